//! What containers reserve and may use, in a pod that says so for itself as a whole.
//! Source: KEP-2837, and kubernetes pkg/apis/core/validation, validatePodResources.

use std::collections::BTreeMap;

use super::amounts::{Amounts, amounts};
use super::parts::{self, Container, Parts};
use super::report::{Place, Report};
use crate::json::View;
use crate::quantity::Quantity;
use crate::text::shown;

/// Compares what containers ask for with `spec.resources`.
pub(super) fn judge(report: &mut Report, parts: &Parts<'_>, place: &Place<'_>) {
    let Some(of_pod) = parts.spec.get("resources") else { return };
    let (requests, limits) = (amounts(of_pod, "requests"), amounts(of_pod, "limits"));
    let mut containers = Vec::new();
    for container in parts::containers(parts.spec) {
        let Some(resources) = container.tree.get("resources") else { continue };
        for (name, (limit, is_new)) in amounts(resources, "limits").iter().filter(|_| container.list == "containers") {
            if limits.get(name).is_some_and(|(most, of_pod)| (*is_new || *of_pod) && limit.cmp(most).is_gt()) {
                let message = format!("allow more {} than spec.resources.limits of the pod", shown(name));
                container.at(place, |place| {
                    report.add(&place.member("resources").member("limits"), resources, message);
                });
            }
        }
        containers.push(reserved_by(&container, resources));
    }
    let (all, own) = (most_reserved(&containers, true), most_reserved(&containers, false));
    // Where the pod only limits, the API server takes what its containers request for the pod's request.
    let mut all_allowed = limits.clone();
    all_allowed.extend(requests.clone());
    for (resource, (allowed, is_new)) in all_allowed {
        let exceeds =
            |most: &BTreeMap<&str, Quantity>| most.get(&*resource).is_some_and(|sum| sum.cmp(&allowed).is_gt());
        // What is too much without the templates is the pod's own fault.
        let is_limit = limits.get(&resource).is_some_and(|(_, is_new)| *is_new);
        if exceeds(&all) && (is_new || is_limit || !exceeds(&own)) {
            let all = all[&*resource].to_float();
            let kind = if requests.contains_key(&resource) { "requests" } else { "limits" };
            let Some(written) = of_pod.get(kind).and_then(|amounts| amounts.get(&resource)) else { continue };
            let message =
                format!("is {written} for the whole pod, and with the templates its containers would request {all}");
            let place = place.member("resources");
            let place = place.member(kind);
            report.add(&place.member(&resource), written, message);
        }
    }
}

/// The most of a resource that the containers of a pod reserve at any time.
pub(super) fn reserved_by_containers(spec: View<'_>, resource: &str) -> Option<Quantity> {
    let all = parts::containers(spec).filter_map(|it| Some(reserved_by(&it, it.tree.get("resources")?)));
    most_reserved(&all.collect::<Vec<_>>(), true).remove(resource)
}

/// Whether a container ends, and what it reserves: its limit, where it requests nothing.
fn reserved_by(container: &Container<'_>, resources: View<'_>) -> (bool, Amounts) {
    let mut reserved = amounts(resources, "limits");
    reserved.extend(amounts(resources, "requests"));
    (container.ends(), reserved)
}

/// The most of each resource that is reserved at any time: sidecars stay while each init container runs, and then beside
/// the app. With each container stands whether it ends. Source: k8s.io/component-helpers resource/helpers.go.
fn most_reserved(containers: &[(bool, Amounts)], with_new: bool) -> BTreeMap<&str, Quantity> {
    let nothing = Quantity::from_integer(0);
    let (mut running, mut most) = (BTreeMap::new(), BTreeMap::new());
    for (ends, amounts) in containers {
        for (resource, (amount, _)) in amounts.iter().filter(|(_, (_, is_new))| with_new || !is_new) {
            let running: &mut Quantity = running.entry(&**resource).or_insert(nothing);
            let most: &mut Quantity = most.entry(&**resource).or_insert(nothing);
            // What is more than can be counted is judged by itself.
            let sum = running.checked_add(amount).unwrap_or(*running);
            if sum.cmp(most).is_gt() {
                *most = sum;
            }
            if !ends {
                *running = sum;
            }
        }
    }
    most
}
