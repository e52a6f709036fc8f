//! The objects of a document, and the pods that they hold.
//!
//! A pod template is found by its shape, wherever it lies: workloads are not only those of Kubernetes itself.

use std::path::Path;

use pillion_engine::yaml::{self, Node};
use serde_json::{Map, Value};

use super::keys::found_keys;

/// Whether an object stays in its document.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Kept {
    Yes,
    No,
}

/// An object of a document: the document itself, or an item of a list.
pub(crate) struct Object<'a> {
    /// Its API group; empty for the core group.
    pub(crate) group: String,
    /// Its kind.
    pub(crate) kind: String,
    /// Its name, or the `generateName` that its name will begin with.
    pub(crate) name: String,
    /// Its namespace, if it says one.
    pub(crate) namespace: Option<String>,
    /// The line of the file on which it begins.
    pub(crate) line: u64,
    /// The object as it was written.
    pub(crate) node: &'a Node,
    /// The object itself.
    pub(crate) value: &'a mut Value,
}

/// Visits each object of a document, those in the items of a list too, and takes out of lists what is not kept. Tells
/// whether something of the document is left.
pub(crate) fn each_object<E>(
    value: &mut Value,
    node: &Node,
    visit: &mut impl FnMut(Object<'_>) -> Result<Kept, E>,
) -> Result<Kept, E> {
    each_object_of(value, node, None, visit)
}

/// `list` is apiVersion and kind of the list that the object is an item of: those of a `PodList` need not say them again.
fn each_object_of<E>(
    value: &mut Value,
    node: &Node,
    list: Option<(&str, &str)>,
    visit: &mut impl FnMut(Object<'_>) -> Result<Kept, E>,
) -> Result<Kept, E> {
    let text = |value: &Value, field: &str| value[field].as_str().unwrap_or_default().to_owned();
    let (mut api_version, mut kind) = (text(value, "apiVersion"), text(value, "kind"));
    if let Some((list_version, list_kind)) = list.filter(|_| kind.is_empty()) {
        (api_version, kind) = (list_version.to_owned(), list_kind.strip_suffix("List").unwrap_or_default().to_owned());
    }
    if kind.ends_with("List")
        && let Some(Value::Array(items)) = value.get_mut("items")
    {
        let nodes = node.get("items").map_or(&[][..], Node::items);
        let mut kept = Vec::with_capacity(items.len());
        let was_empty = items.is_empty();
        for (mut item, node) in std::mem::take(items).into_iter().zip(nodes) {
            if each_object_of(&mut item, node, Some((&api_version, &kind)), visit)? == Kept::Yes {
                kept.push(item);
            }
        }
        *items = kept;
        return Ok(if items.is_empty() && !was_empty { Kept::No } else { Kept::Yes });
    }
    let metadata = &value["metadata"];
    let object = Object {
        group: api_version.split_once('/').map_or("", |(group, _)| group).to_owned(),
        name: text(metadata, if metadata["name"].is_string() { "name" } else { "generateName" }),
        namespace: metadata["namespace"].as_str().map(str::to_owned),
        line: node.position.line,
        node,
        kind,
        value,
    };
    visit(object)
}

impl Object<'_> {
    /// Whether it is of a kind of the core group.
    pub(crate) fn is_core(&self, kind: &str) -> bool {
        self.group.is_empty() && self.kind == kind
    }

    /// Its place and name in reports: `web.yaml:12 shop/deployment/web`.
    pub(crate) fn subject(&self, file: &Path, namespace: &str) -> String {
        format!("{}:{} {}", file.display(), self.line, self.name_in(namespace))
    }

    /// Its name in reports: `shop/deployment/web`.
    pub(crate) fn name_in(&self, namespace: &str) -> String {
        format!("{namespace}/{}/{}", self.kind_in_lower_case(), self.name)
    }

    /// The kind as kubectl writes it.
    pub(crate) fn kind_in_lower_case(&self) -> String {
        self.kind.to_lowercase()
    }

    /// Visits each pod that it holds, or of which it will make pods.
    pub(crate) fn each_pod<E>(&mut self, visit: &mut impl FnMut(PodTemplate<'_>) -> Result<(), E>) -> Result<(), E> {
        // What a template of ours holds is a part of a pod.
        if self.group == "pillion.dev" {
            return Ok(());
        }
        let node = self.node;
        if self.is_core("Pod") {
            let Some(template) = self.value.as_object_mut() else { return Ok(()) };
            return visit(PodTemplate { path: String::new(), owner: None, claims: Vec::new(), node, template });
        }
        let claims = if self.group == "apps" && self.kind == "StatefulSet" { claims(self.value) } else { Vec::new() };
        let mut templates = Vec::new();
        pod_templates(self.value, node, String::new(), &mut templates);
        for (path, template, node) in templates {
            visit(PodTemplate { path, owner: Some(&self.name), claims: claims.clone(), node, template })?;
        }
        Ok(())
    }

    /// The annotations and labels of ours where they have no effect: outside of its pod templates. Each with its place.
    pub(crate) fn stray_keys(&self) -> Vec<(String, String)> {
        if self.is_core("Pod") || self.is_core("Namespace") || self.group.ends_with("pillion.dev") {
            return Vec::new();
        }
        let stray = found_keys(self.node).into_iter().filter(|found| found.is_ours && !found.is_of_pod);
        stray.map(|found| (found.key, found.map)).collect()
    }
}

/// Whether this is a pod template: it has a pod's containers.
pub(super) fn is_pod_template(node: &Node) -> bool {
    let containers = node.get("spec").and_then(|spec| spec.get("containers")).map_or(&[][..], Node::items);
    !containers.is_empty() && containers.iter().all(|container| matches!(container.value, yaml::Value::Object(_)))
}

/// The pod templates below an object, with their paths. The object itself is none: that of a Prometheus has containers
/// which are added to others.
fn pod_templates<'a>(
    value: &'a mut Value,
    node: &'a Node,
    path: String,
    templates: &mut Vec<(String, &'a mut Map<String, Value>, &'a Node)>,
) {
    match value {
        Value::Object(map) => {
            if !path.is_empty() && is_pod_template(node) {
                templates.push((path, map, node));
                return;
            }
            for ((key, value), (_, node)) in map.iter_mut().zip(node.members()) {
                pod_templates(value, node, below(&path, key), templates);
            }
        }
        Value::Array(items) => {
            for (number, (item, node)) in items.iter_mut().zip(node.items()).enumerate() {
                pod_templates(item, node, format!("{path}[{number}]"), templates);
            }
        }
        _ => {}
    }
}

/// The path of a member.
pub(super) fn below(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

/// The names of the volumes that the StatefulSet controller adds to its pods.
fn claims(stateful_set: &Value) -> Vec<String> {
    let claims = stateful_set["spec"]["volumeClaimTemplates"].as_array().into_iter().flatten();
    claims.filter_map(|claim| Some(claim["metadata"]["name"].as_str()?.to_owned())).collect()
}

/// A pod in a manifest, or what pods will be made from.
pub(crate) struct PodTemplate<'a> {
    /// Where it lies in its object; empty for a pod itself.
    pub(crate) path: String,
    /// The name of the object, if that is not the pod itself.
    owner: Option<&'a str>,
    /// The volumes that a controller adds to the pods.
    claims: Vec<String>,
    /// What `template` was written as.
    pub(crate) node: &'a Node,
    /// The object that holds `metadata` and `spec` of the pod.
    template: &'a mut Map<String, Value>,
}

impl PodTemplate<'_> {
    /// The subject of reports about it, given that of its object: with the place in the object, unless it is where Kubernetes'
    /// own workloads have their one template.
    pub(crate) fn subject(&self, of_object: &str) -> String {
        match &*self.path {
            "" | "spec.template" | "spec.jobTemplate.spec.template" => of_object.to_owned(),
            path => format!("{of_object} at {path}"),
        }
    }

    /// The pod as it would be sent to the API server: with a namespace, a name or `generateName`, and the volumes that its
    /// controller adds.
    pub(crate) fn pod(&self, namespace: &str) -> Value {
        let mut pod = Map::new();
        if self.owner.is_some() {
            pod.insert("apiVersion".into(), "v1".into());
            pod.insert("kind".into(), "Pod".into());
        }
        pod.extend(self.template.clone());
        let metadata = pod.entry("metadata").or_insert_with(|| Map::new().into());
        if let Value::Object(metadata) = metadata {
            metadata.entry("namespace").or_insert_with(|| namespace.into());
            if let Some(owner) = self.owner.filter(|_| !metadata.contains_key("name")) {
                metadata.entry("generateName").or_insert_with(|| format!("{owner}-").into());
            }
        }
        if let Some(Value::Object(spec)) = pod.get_mut("spec").filter(|_| !self.claims.is_empty()) {
            let own = spec.get("volumes").and_then(Value::as_array).cloned().unwrap_or_default();
            let claimed = self
                .claims
                .iter()
                .map(|name| serde_json::json!({"name": name, "persistentVolumeClaim": {"claimName": name}}));
            let own = own.into_iter().filter(|volume| !self.is_claimed(volume));
            spec.insert("volumes".into(), claimed.chain(own).collect());
        }
        pod.into()
    }

    /// The volumes that its controller adds.
    pub(crate) fn claims(&self) -> &[String] {
        &self.claims
    }

    fn is_claimed(&self, volume: &Value) -> bool {
        self.claims.iter().any(|claim| volume["name"] == claim.as_str())
    }

    /// Puts `pod`, which was made from this, back in its place, without what [`PodTemplate::pod`] added.
    pub(crate) fn put_back(&mut self, mut pod: Value) {
        let Some(pod) = pod.as_object_mut() else { return };
        if let Some(mut metadata) = pod.shift_remove("metadata") {
            let before = self.template.get("metadata");
            if let Value::Object(metadata) = &mut metadata {
                for field in ["namespace", "generateName"] {
                    if before.is_none_or(|before| before.get(field).is_none()) {
                        metadata.shift_remove(field);
                    }
                }
            }
            if metadata == Value::Object(Map::new()) && before.is_some_and(|before| *before != metadata) {
                // All that it held was taken out.
                self.template.shift_remove("metadata");
            } else if before.is_some() {
                self.template.insert("metadata".into(), metadata);
            } else {
                self.template.shift_insert(0, "metadata".into(), metadata);
            }
        }
        let Some(mut spec) = pod.shift_remove("spec") else { return };
        if let Some(Value::Array(volumes)) = spec.get_mut("volumes").filter(|_| !self.claims.is_empty()) {
            volumes.retain(|volume| !self.is_claimed(volume));
            if let Some(Value::Array(own)) = self.template.get("spec").and_then(|spec| spec.get("volumes")) {
                let own = own.iter().filter(|volume| self.is_claimed(volume)).cloned();
                volumes.splice(0..0, own);
            }
            if volumes.is_empty() {
                spec.as_object_mut().map(|spec| spec.shift_remove("volumes"));
            }
        }
        self.template.insert("spec".into(), spec);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::manifest::parse;

    /// Kind, name, path and metadata of each pod of a list of these objects.
    fn pods(items: Value) -> (Vec<String>, Value) {
        let mut list = json!({"apiVersion": "v1", "kind": "List", "items": items});
        let node = parse(&list.to_string(), 0).unwrap().unwrap();
        let mut seen = Vec::new();
        let visited: Result<Kept, ()> = each_object(&mut list, &node, &mut |mut object| {
            let (kind, name) = (object.kind.clone(), object.name.clone());
            object.each_pod(&mut |mut template| {
                let pod = template.pod("shop");
                seen.push(format!("{kind} {name} {} {}", template.path, pod["metadata"]));
                template.put_back(pod);
                Ok(())
            })?;
            Ok(Kept::Yes)
        });
        assert_eq!(visited, Ok(Kept::Yes));
        (seen, list["items"].take())
    }

    #[test]
    fn pods_are_found_in_whatever_holds_a_pod_template() {
        let spec = json!({"containers": [{"name": "app", "image": "app"}]});
        let template = json!({"metadata": {"labels": {"a": "b"}}, "spec": spec});
        let items = json!([
            {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "namespace": "shop"},
             "spec": {"template": {"spec": spec}}},
            {"apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": "nightly"},
             "spec": {"jobTemplate": {"spec": {"template": template}}}},
            {"apiVersion": "v1", "kind": "Pod", "metadata": {"generateName": "one-"}, "spec": spec},
            {"apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout", "metadata": {"name": "canary"},
             "spec": {"template": template}},
            {"apiVersion": "jobset.x-k8s.io/v1alpha2", "kind": "JobSet", "metadata": {"name": "train"},
             "spec": {"replicatedJobs": [{"name": "workers", "template": {"spec": {"template": template}}}]}},
            {"apiVersion": "monitoring.coreos.com/v1", "kind": "Prometheus", "metadata": {"name": "main"}, "spec": spec},
            {"apiVersion": "v1", "kind": "PodList", "items": [{"metadata": {"name": "two"}, "spec": spec}]},
            {"apiVersion": "v1", "kind": "ConfigMap"},
            {"apiVersion": "pillion.dev/v1alpha1", "kind": "ClusterInjectionTemplate", "spec": {"pod": {"spec": spec}}},
        ]);
        let (seen, after) = pods(items.clone());
        assert_eq!(
            seen,
            [
                r#"Deployment web spec.template {"namespace":"shop","generateName":"web-"}"#,
                r#"CronJob nightly spec.jobTemplate.spec.template {"labels":{"a":"b"},"namespace":"shop","generateName":"nightly-"}"#,
                r#"Pod one-  {"generateName":"one-","namespace":"shop"}"#,
                r#"Rollout canary spec.template {"labels":{"a":"b"},"namespace":"shop","generateName":"canary-"}"#,
                r#"JobSet train spec.replicatedJobs[0].template.spec.template {"labels":{"a":"b"},"namespace":"shop","generateName":"train-"}"#,
                r#"Pod two  {"name":"two","namespace":"shop"}"#,
            ]
        );
        for changed in [1, 2, 3, 4, 5, 6, 7, 8] {
            assert_eq!(after[changed], items[changed]);
        }
    }

    #[test]
    fn the_pods_of_a_stateful_set_have_its_claims_as_volumes() {
        let own = json!([{"name": "data", "emptyDir": {}}, {"name": "tmp", "emptyDir": {}}]);
        let set = json!({"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "db"}, "spec": {
            "template": {"metadata": {}, "spec": {"containers": [{"name": "db"}], "volumes": own}},
            "volumeClaimTemplates": [{"metadata": {"name": "data"}}]
        }});
        let mut value = set.clone();
        let node = parse(&value.to_string(), 0).unwrap().unwrap();
        let visited: Result<Kept, ()> = each_object(&mut value, &node, &mut |mut object| {
            object.each_pod(&mut |mut template| {
                let pod = template.pod("shop");
                let claim = json!({"name": "data", "persistentVolumeClaim": {"claimName": "data"}});
                assert_eq!(pod["spec"]["volumes"], json!([claim, {"name": "tmp", "emptyDir": {}}]));
                template.put_back(pod);
                Ok(())
            })?;
            Ok(Kept::Yes)
        });
        assert_eq!(visited, Ok(Kept::Yes));
        assert_eq!(value, set);
    }
}
