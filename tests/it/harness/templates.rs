//! Templates as objects of the cluster: small ones to create, what pods get of them, and what they say of themselves.

use serde_json::{Value, json};

use super::cluster::Cluster;
use super::eventually;
use super::namespace::Namespace;
use super::pillion::pod;

/// A template that gives a native sidecar of its own name, with an image of this version.
pub(crate) fn cluster_wide(name: &str, version: &str) -> Value {
    json!({
        "apiVersion": "pillion.dev/v1alpha1",
        "kind": "ClusterInjectionTemplate",
        "metadata": {"name": name},
        "spec": {"pod": {"spec": {"initContainers": [{
            "name": name,
            "image": format!("registry.example.com/{name}:{version}"),
            "restartPolicy": "Always",
            "startupProbe": {"tcpSocket": {"port": 2020}},
            "resources": {"requests": {"cpu": "10m", "memory": "16Mi"}}
        }]}}}
    })
}

/// As `cluster_wide`, for one namespace.
pub(crate) fn namespaced(namespace: &str, name: &str, version: &str) -> Value {
    let mut template = cluster_wide(name, version);
    template["kind"] = json!("InjectionTemplate");
    template["metadata"]["namespace"] = json!(namespace);
    template
}

/// Makes a misspelt field of the sidecar.
pub(crate) fn broken(mut template: Value) -> Value {
    let sidecar = &mut template["spec"]["pod"]["spec"]["initContainers"][0];
    sidecar["startupProb"] = sidecar["startupProbe"].take();
    sidecar.as_object_mut().expect("an object").remove("startupProbe");
    template
}

/// The images of the sidecars that a pod gets now which asks for `templates`; nothing when it is refused.
pub(crate) fn sidecars(here: &Namespace, templates: &str) -> Option<Vec<String>> {
    let answer = here.create("v1", "pods?dryRun=All", &pod("try", templates));
    (answer.status == 201).then(|| {
        let made = answer.json();
        let sidecars = made["spec"]["initContainers"].as_array().into_iter().flatten();
        sidecars.map(|sidecar| sidecar["image"].as_str().expect("an image").to_owned()).collect()
    })
}

/// What the template's status says, as soon as it is about the template as it stands: status, reason and message.
pub(crate) fn condition(cluster: &Cluster, template: &Value) -> (String, String, String) {
    let path = path(template);
    eventually(&format!("the status of {path}"), || {
        let stored = cluster.api.get(&path).json();
        let condition = &stored["status"]["conditions"][0];
        let current = [&stored["status"]["observedGeneration"], &condition["observedGeneration"]]
            .iter()
            .all(|generation| generation.is_u64() && **generation == stored["metadata"]["generation"]);
        let text = |field: &str| condition[field].as_str().unwrap_or_default().to_owned();
        (current && condition["type"] == "Accepted").then(|| (text("status"), text("reason"), text("message")))
    })
}

/// Where the API server has a template.
pub(crate) fn path(template: &Value) -> String {
    let metadata = &template["metadata"];
    let (name, kind) = (metadata["name"].as_str().expect("a name"), template["kind"].as_str().expect("a kind"));
    let namespace = metadata["namespace"].as_str().map_or(String::new(), |name| format!("namespaces/{name}/"));
    format!("/apis/pillion.dev/v1alpha1/{namespace}{}s/{name}", kind.to_lowercase())
}
