//! What is known of the cluster's namespaces: their metadata, followed by a watch.

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use k8s_openapi::api::core::v1;
use kube::core::PartialObjectMeta;
use pillion_engine::catalog::Namespace;
use serde_json::json;

use super::watch::Seen;

/// Every namespace, for whoever reviews.
#[derive(Default)]
pub(crate) struct Namespaces(ArcSwap<HashMap<String, Arc<Namespace>>>);

impl Namespaces {
    /// What is known of a namespace.
    pub(crate) fn get(&self, name: &str) -> Option<Arc<Namespace>> {
        self.0.load().get(name).map(Arc::clone)
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.0.load().len()
    }

    /// Takes up what was seen. Only one task does, so nothing is lost between reading and storing.
    pub(crate) fn heed(&self, seen: Seen<PartialObjectMeta<v1::Namespace>>) {
        let now = match seen {
            Seen::All(objects) => objects.into_iter().map(entry).collect(),
            Seen::Applied(object) => {
                let mut now = HashMap::clone(&self.0.load());
                now.extend([entry(object)]);
                now
            }
            Seen::Deleted(object) => {
                let mut now = HashMap::clone(&self.0.load());
                now.remove(object.metadata.name.as_deref().unwrap_or_default());
                now
            }
        };
        self.0.store(Arc::new(now));
    }
}

fn entry(object: PartialObjectMeta<v1::Namespace>) -> (String, Arc<Namespace>) {
    (object.metadata.name.clone().unwrap_or_default(), Arc::new(known(object)))
}

/// The engine's view: what expressions read as `namespaceObject`.
pub(crate) fn known(object: PartialObjectMeta<v1::Namespace>) -> Namespace {
    let mut metadata = object.metadata;
    // Large, and nothing that a template should depend on.
    metadata.managed_fields = None;
    Namespace::from_object(&json!({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}))
}
