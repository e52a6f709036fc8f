//! `serviceAccountToken: false`: the added containers get no API token.

use super::diagnostics::Diagnostics;
use crate::names::digest;
use crate::yaml::{Key, Node, Value};

/// Where the API server mounts a container's token. Source: kubernetes plugin/pkg/admission/serviceaccount.
const TOKEN_PATH: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// How the volumes of `serviceAccountToken: false` begin.
pub(crate) const NO_TOKEN: &str = "no-token-";

/// The same template with an emptyDir where each added container would find the API token: a container that has
/// something mounted there gets no token from the API server.
pub(super) fn without_token(spec: &Node, template: &str) -> Node {
    // A volume's name has 63 characters, as a template's has.
    let short = if template.len() <= 54 { template.to_owned() } else { digest(&[template.as_bytes()]) };
    let volume = format!("{NO_TOKEN}{short}");
    let mut spec = spec.clone();
    let Some(pod_spec) = child(&mut spec, "pod").and_then(|pod| child(pod, "spec")) else { return spec };
    let mount = serde_json::json!({"name": volume, "mountPath": TOKEN_PATH, "readOnly": true});
    for list in ["initContainers", "containers"] {
        let Some(Node { value: Value::List(containers), .. }) = child(pod_spec, list) else { continue };
        containers.iter_mut().for_each(|container| push(container, "volumeMounts", mount.clone()));
    }
    push(pod_spec, "volumes", serde_json::json!({"name": volume, "emptyDir": {}}));
    spec
}

/// Whether each container has a place for one more mount: an expression for all of them leaves none.
pub(super) fn has_place_for_mounts(diagnostics: &mut Diagnostics<'_>, spec: &Node) -> bool {
    let Some(pod_spec) = spec.get("pod").and_then(|pod| pod.get("spec")) else { return true };
    let mut has_place = true;
    for list in ["initContainers", "containers"] {
        let containers = pod_spec.get(list).map(Node::items).unwrap_or_default().iter().enumerate();
        for (at, mounts) in containers.filter_map(|(at, it)| Some((at, it.get("volumeMounts")?))) {
            let path = format!("spec.pod.spec.{list}[{at}].volumeMounts");
            if mounts.as_str().is_some() {
                diagnostics.add(mounts.position, &path, "must be written out with serviceAccountToken: false");
                has_place = false;
            }
            let Value::List(mounts) = &mounts.value else { continue };
            for path_node in mounts.iter().filter_map(|mount| mount.get("mountPath")) {
                if path_node.as_str().is_some_and(|it| it.trim_end_matches('/') == TOKEN_PATH) {
                    let message = "mounts the API token's path, which serviceAccountToken: false covers";
                    diagnostics.add(path_node.position, &path, message);
                    has_place = false;
                }
            }
        }
    }
    has_place
}

fn child<'a>(node: &'a mut Node, name: &str) -> Option<&'a mut Node> {
    match &mut node.value {
        Value::Object(members) => members.iter_mut().find(|(key, _)| key.name == name).map(|(_, node)| node),
        _ => None,
    }
}

fn push(node: &mut Node, list: &str, item: serde_json::Value) {
    let item = Node::written_at(item, node.position);
    if let Some(known) = child(node, list) {
        // An expression that stands for the whole list was reported.
        if let Value::List(items) = &mut known.value {
            items.push(item);
        }
    } else if let Value::Object(members) = &mut node.value {
        let key = Key { name: list.to_owned(), position: node.position };
        members.push((key, Node { value: Value::List(vec![item]), position: node.position }));
    }
}
