//! What the containers reserve together, in a pod that says how much it reserves as a whole.
//! Source: KEP-2837, and kubernetes pkg/apis/core/validation, validatePodResources.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use super::super::draft::{Entry, Node};
use crate::shown;
use crate::validation::{Report, amounts};

/// Compares what containers ask for with `spec.resources`.
pub(super) fn check(report: &mut Report, spec: &mut Node<'_>) {
    let Some(of_pod) = spec.value_of("resources") else { return };
    let given: HashSet<String> =
        spec.member("resources").map(given).unwrap_or_default().into_iter().map(|(_, name)| name).collect();
    let containers = Containers::of(spec);
    // Where the pod only limits, the API server takes what its containers request for the pod's request.
    let mut all_allowed = amounts(&of_pod, "limits");
    all_allowed.extend(amounts(&of_pod, "requests"));
    for (resource, allowed) in all_allowed {
        // What is too much without the templates is the pod's own fault.
        let (all, own) = (containers.requested(&resource, true), containers.requested(&resource, false));
        // Tenths add up to a little more than they should.
        let exceeds = |sum: f64| sum > allowed * (1.0 + 1e-9);
        if exceeds(all) && (given.contains(&resource) || !exceeds(own)) {
            let all = (all * 1e6).round() / 1e6;
            let kind = if of_pod["requests"][&resource].is_null() { "limits" } else { "requests" };
            let (written, resource) = (&of_pod[kind][&resource], shown(&resource));
            let message =
                format!("is {written} for the whole pod, and with the templates its containers would request {all}");
            report.at(&format!("spec.resources.{kind}.{resource}"), |report| report.wrong(message));
        }
    }
}

/// The amounts that templates gave, by `requests` or `limits` and by name.
pub(super) fn given(resources: &mut Entry<'_>) -> BTreeSet<(&'static str, String)> {
    let is_new = resources.is_ours();
    let mut given = BTreeSet::new();
    for kind in ["requests", "limits"] {
        let Some(amounts) = resources.node.member(kind) else { continue };
        let is_new = is_new || amounts.is_ours();
        let ours = amounts.node.members().into_iter().flatten().filter(|(_, amount)| is_new || amount.is_ours());
        given.extend(ours.map(|(name, _)| (kind, name.clone().into_owned())));
    }
    given
}

struct Container {
    /// Whether it is an init container that ends.
    ends: bool,
    /// What it requests, or else its limit, which counts as a request then.
    all: BTreeMap<String, f64>,
    /// The same without what templates gave.
    own: BTreeMap<String, f64>,
}

/// In the order in which they start.
struct Containers(Vec<Container>);

impl Containers {
    fn of(spec: &mut Node<'_>) -> Containers {
        let mut all = Vec::new();
        for list in ["initContainers", "containers"] {
            let entries = spec.member(list).and_then(|entry| entry.node.items());
            all.extend(entries.into_iter().flatten().map(|entry| Containers::read(list, entry)));
        }
        Containers(all)
    }

    fn read(list: &'static str, entry: &mut Entry<'_>) -> Container {
        let is_init = list == "initContainers";
        let ends = is_init && entry.node.text_of("restartPolicy").as_deref() != Some("Always");
        let value = entry.node.value_of("resources").unwrap_or_default();
        let mut all = amounts(&value, "limits");
        all.extend(amounts(&value, "requests"));
        let mut own = if entry.is_ours() { BTreeMap::new() } else { all.clone() };
        if !entry.is_ours()
            && let Some(resources) = entry.node.member("resources").filter(|it| !matches!(it.node, Node::Raw(_)))
        {
            for (_, name) in given(resources) {
                own.remove(&name);
            }
        }
        Container { ends, all, own }
    }

    /// The most that is reserved at any time: sidecars stay while each init container runs, and then beside the app.
    /// Source: k8s.io/component-helpers resource/helpers.go.
    fn requested(&self, resource: &str, with_ours: bool) -> f64 {
        let (mut running, mut most) = (0.0_f64, 0.0_f64);
        for container in &self.0 {
            let amounts = if with_ours { &container.all } else { &container.own };
            let amount = amounts.get(resource).copied().unwrap_or_default();
            most = most.max(running + amount);
            if !container.ends {
                running += amount;
            }
        }
        most.max(running)
    }
}
