//! Somebody else's mutating webhook, which adds a container to every pod that lacks it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::authority::Authority;
use super::tls::{self, Server};

/// The container that it adds.
pub(crate) const ADDED: &str = "meter";

pub(crate) struct Neighbour(Server);

impl Neighbour {
    /// Serves until the test process ends.
    pub(crate) fn start() -> Neighbour {
        Neighbour(tls::serve(answer))
    }

    pub(crate) fn url(&self) -> String {
        format!("https://{}/mutate", self.0.address)
    }

    pub(crate) fn authority(&self) -> &Authority {
        &self.0.authority
    }
}

fn answer(review: &Value) -> Value {
    let request = &review["request"];
    let containers = request["object"]["spec"]["containers"].as_array().expect("a pod has containers");
    let there = containers.iter().any(|container| container["name"] == ADDED);
    let container = json!({"name": ADDED, "image": "registry.example.com/meter:1"});
    let patch = json!([{"op": "add", "path": "/spec/containers/-", "value": container}]);
    let mut response = json!({"uid": request["uid"], "allowed": true});
    if !there {
        response["patchType"] = json!("JSONPatch");
        response["patch"] = json!(STANDARD.encode(patch.to_string()));
    }
    json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response})
}
