//! What the webhook would make of a pod of a manifest. The commands that go over manifests judge each pod here.

mod workload;

use pillion_engine::admission::Review;
use pillion_engine::catalog::{Catalog, Namespace};
use pillion_engine::decision::{Decision, Outcome, Reason};
use serde_json::Value;
use serde_json::value::{RawValue, to_raw_value};

use super::input;
use super::namespaces::{Namespaces, NotOptedIn};
use super::settings::Settings;
use crate::manifest::PodTemplate;

/// A pod of a manifest, as it would be sent to the webhook.
pub(super) struct Candidate {
    /// The pod, with what the command line says of all pods.
    pub(super) pod: Value,
    json: Box<RawValue>,
    pub(super) namespace: Namespace,
}

/// Why a pod does not reach the webhook.
pub(super) enum NotSent {
    /// The API server would refuse it, for this reason.
    Malformed(String),
    /// Its namespace does not send its pods, for this reason.
    ByNamespace(NotOptedIn),
}

impl Candidate {
    /// The pod that is made of a pod template in this namespace, or why the webhook never sees it.
    pub(super) fn new(
        template: &PodTemplate<'_>,
        namespace: &str,
        namespaces: &Namespaces,
        settings: &mut Settings,
    ) -> anyhow::Result<Result<Candidate, NotSent>> {
        let mut pod = template.pod(namespace);
        if let Err(wrong) = input::check_shape(&pod) {
            return Ok(Err(NotSent::Malformed(wrong)));
        }
        settings.apply(&mut pod);
        Ok(match namespaces.find(namespace) {
            Ok(namespace) => Ok(Candidate { json: to_raw_value(&pod)?, pod, namespace }),
            Err(why) => Err(NotSent::ByNamespace(why)),
        })
    }

    /// Reviews the pod. Group and kind are those of the object that it is from.
    pub(super) fn evaluate(&self, catalog: &Catalog, group: &str, kind: &str) -> anyhow::Result<Evaluation> {
        self.evaluate_by(pillion_engine::review, catalog, group, kind)
    }

    /// The same, with the result at each place that a template speaks of.
    pub(super) fn explain(&self, catalog: &Catalog, group: &str, kind: &str) -> anyhow::Result<Evaluation> {
        let explain = |catalog: &Catalog, namespace: &Namespace, review: &Review<'_>| {
            let selection = pillion_engine::select(catalog, namespace, review);
            selection.map_or_else(|decision| *decision, |selection| selection.explain(catalog))
        };
        self.evaluate_by(explain, catalog, group, kind)
    }

    fn evaluate_by(
        &self,
        decide: impl Fn(&Catalog, &Namespace, &Review<'_>) -> Decision,
        catalog: &Catalog,
        group: &str,
        kind: &str,
    ) -> anyhow::Result<Evaluation> {
        let review = Review::of_pod(&self.namespace.name, &self.json);
        let mut decision = decide(catalog, &self.namespace, &review);
        if !decision.allowed() || decision.patch.is_empty() {
            return Ok(Evaluation { decision, pod: None });
        }
        let patch: json_patch::Patch = serde_json::from_str(&decision.patch.json)?;
        let mut pod = self.pod.clone();
        json_patch::patch(&mut pod, &patch)?;
        if let Some(why) = workload::refused_by_controller(group, kind, &self.pod["spec"], &pod["spec"]) {
            (decision.outcome, decision.reason, decision.message) = (Outcome::Denied, Reason::InvalidResult, Some(why));
            return Ok(Evaluation { decision, pod: None });
        }
        Ok(Evaluation { decision, pod: Some(pod) })
    }
}

/// The result of a review.
pub(super) struct Evaluation {
    /// What was decided. A workload that the API server would not take with such a pod template is denied, too.
    pub(super) decision: Decision,
    /// The pod as it becomes, if it changes.
    pub(super) pod: Option<Value>,
}
