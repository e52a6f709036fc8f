//! The metadata of the cluster's namespaces, kept current by a watch.

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use k8s_openapi::api::core::v1;
use kube::core::PartialObjectMeta;
use pillion_engine::catalog::Namespace;
use serde_json::json;

use super::watch::ObjectChange;

/// All namespaces, for reviews.
#[derive(Default)]
pub(crate) struct Namespaces(ArcSwap<HashMap<String, Arc<Namespace>>>);

impl Namespaces {
    /// A namespace, if it is known.
    pub(crate) fn get(&self, name: &str) -> Option<Arc<Namespace>> {
        self.0.load().get(name).map(Arc::clone)
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.0.load().len()
    }

    /// Applies a change. Only one task calls this, so nothing is lost between reading and storing.
    pub(crate) fn apply(&self, change: ObjectChange<PartialObjectMeta<v1::Namespace>>) {
        let now = match change {
            ObjectChange::Listed(objects) => objects.into_iter().map(by_name).collect(),
            ObjectChange::Applied(object) => {
                let mut now = HashMap::clone(&self.0.load());
                now.extend([by_name(object)]);
                now
            }
            ObjectChange::Deleted(object) => {
                let mut now = HashMap::clone(&self.0.load());
                now.remove(object.metadata.name.as_deref().unwrap_or_default());
                now
            }
        };
        self.0.store(Arc::new(now));
    }
}

fn by_name(object: PartialObjectMeta<v1::Namespace>) -> (String, Arc<Namespace>) {
    (object.metadata.name.clone().unwrap_or_default(), Arc::new(to_engine(object)))
}

/// The engine's namespace: what expressions read as `namespaceObject`.
pub(crate) fn to_engine(object: PartialObjectMeta<v1::Namespace>) -> Namespace {
    let mut metadata = object.metadata;
    // Large, and nothing that a template should depend on.
    metadata.managed_fields = None;
    Namespace::from_object(&json!({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}))
}
