//! What the containers reserve together, in a pod that says how much it reserves as a whole.
//! Source: KEP-2837, and kubernetes pkg/apis/core/validation, validatePodResources.

use std::collections::BTreeMap;

use super::super::draft::{Entry, Node};
use crate::shown;
use crate::validation::{Report, amounts};

/// Compares what containers ask for with `spec.resources`.
pub(super) fn check(report: &mut Report, spec: &mut Node<'_>) {
    let Some(of_pod) = spec.value_of("resources") else { return };
    let containers = Containers::of(spec);
    for (resource, allowed) in amounts(&of_pod, "requests") {
        // What is too much without the templates is the pod's own fault.
        let (all, own) = (containers.requested(&resource, true), containers.requested(&resource, false));
        if all > allowed && own <= allowed {
            let message = format!("reserves less {resource} than its containers with those of the templates do");
            report.at(&format!("resources.requests[{}]", shown(&resource)), |report| report.wrong(message));
        }
    }
    let limits = amounts(&of_pod, "limits");
    for container in containers.0.iter().filter(|container| container.is_ours) {
        let over = |(name, limit): &(&String, &f64)| limits.get(*name).is_some_and(|of_pod| *limit > of_pod);
        for (resource, _) in container.limits.iter().filter(over) {
            let message = format!("allow more {resource} than spec.resources.limits of the pod");
            report.at(&format!("{}[{}].resources.limits", container.list, shown(&container.name)), |report| {
                report.wrong(message);
            });
        }
    }
}

struct Container {
    list: &'static str,
    name: String,
    is_ours: bool,
    /// Whether it is an init container that ends.
    ends: bool,
    requests: BTreeMap<String, f64>,
    limits: BTreeMap<String, f64>,
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

    fn read(list: &'static str, entry: &Entry<'_>) -> Container {
        let resources = entry.node.value_of("resources").unwrap_or_default();
        Container {
            list,
            name: entry.node.text_of("name").unwrap_or_default().into_owned(),
            is_ours: entry.is_ours(),
            ends: list == "initContainers" && entry.node.text_of("restartPolicy").as_deref() != Some("Always"),
            requests: amounts(&resources, "requests"),
            limits: amounts(&resources, "limits"),
        }
    }

    /// The most that is reserved at any time: sidecars stay while each init container runs, and then beside the app.
    /// Source: k8s.io/component-helpers resource/helpers.go.
    fn requested(&self, resource: &str, with_ours: bool) -> f64 {
        let (mut running, mut most) = (0.0_f64, 0.0_f64);
        for container in self.0.iter().filter(|container| with_ours || !container.is_ours) {
            // Without a request the limit counts as one.
            let amount =
                container.requests.get(resource).or(container.limits.get(resource)).copied().unwrap_or_default();
            most = most.max(running + amount);
            if !container.ends {
                running += amount;
            }
        }
        most.max(running)
    }
}
