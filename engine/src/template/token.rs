//! `serviceAccountToken: false`: the added containers get no API token.

use super::diagnostics::Diagnostics;
use crate::names::{NO_TOKEN, TOKEN_PATH};
use crate::yaml::{Key, Node, Value};

/// Mounts an empty volume where each added container would find the API token: a container that has something mounted there
/// gets no token from the API server. The volume comes with the first container that a pod is given.
pub(super) fn withhold(diagnostics: &Diagnostics<'_>, spec: &mut Node) {
    let Some(pod_spec) = child(spec, "pod").and_then(|pod| child(pod, "spec")) else { return };
    for list in ["initContainers", "containers"] {
        let Some(Node { value: Value::List(containers), .. }) = child(pod_spec, list) else { continue };
        for (at, container) in containers.iter_mut().enumerate() {
            let path = format!("spec.pod.spec.{list}[{at}].volumeMounts");
            let mounts = container.get("volumeMounts");
            // An expression for all of them leaves no place for one more.
            if let Some(mounts) = mounts.filter(|mounts| mounts.as_str().is_some()) {
                diagnostics.add(mounts.position, path, "must be written out with serviceAccountToken: false");
                continue;
            }
            let mut paths = mounts.map(Node::items).unwrap_or_default().iter().filter_map(|it| it.get("mountPath"));
            let is_token = |path: &&Node| path.as_str().is_some_and(|it| it.trim_end_matches('/') == TOKEN_PATH);
            if let Some(taken) = paths.find(is_token) {
                let message = "mounts the API token's path, which serviceAccountToken: false covers";
                diagnostics.add(taken.position, path, message);
                continue;
            }
            mount(container);
        }
    }
}

fn child<'a>(node: &'a mut Node, name: &str) -> Option<&'a mut Node> {
    match &mut node.value {
        Value::Object(members) => members.iter_mut().find(|(key, _)| key.name == name).map(|(_, node)| node),
        _ => None,
    }
}

fn mount(container: &mut Node) {
    let position = container.position;
    let mount = serde_json::json!({"name": NO_TOKEN, "mountPath": TOKEN_PATH, "readOnly": true});
    let mount = Node::written_at(mount, position);
    let Value::Object(members) = &mut container.value else { return };
    match members.iter_mut().find(|(key, _)| key.name == "volumeMounts").map(|(_, node)| &mut node.value) {
        Some(Value::List(mounts)) => mounts.push(mount),
        // `null` counts as not there.
        Some(value @ Value::Null) => *value = Value::List(vec![mount]),
        // The rules say what is wrong with anything else.
        Some(_) => {}
        None => {
            let list = Key { name: "volumeMounts".to_owned(), position };
            members.push((list, Node { value: Value::List(vec![mount]), position, is_private: false }));
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::json::View;
    use crate::load::read;

    #[test]
    fn a_null_where_a_list_can_be_does_not_let_the_token_in() {
        let text = "{apiVersion: pillion.dev/v1alpha1, kind: ClusterInjectionTemplate, metadata: {name: a}, spec: \
                    {serviceAccountToken: false, pod: {spec: {containers: [{name: a, image: a, volumeMounts: null}]}}}}";
        let template = read(text, "a.yaml").remove(0).expect("it is right");
        let spec = View::fragment(template.pod.spec.as_ref().expect("a spec")).to_value();
        assert_eq!(spec["containers"][0]["volumeMounts"][0]["mountPath"], super::TOKEN_PATH);
    }
}
