//! What containers reserve and may use, in a pod that says so for itself as a whole.
//! Source: KEP-2837, and kubernetes pkg/apis/core/validation, validatePodResources.

use std::collections::BTreeMap;

use super::parts::{Container, Parts, containers};
use super::report::{Place, Report};
use super::tree::Tree;
use crate::text::shown;

/// An amount, and whether a template gave it.
type Amounts = BTreeMap<String, (f64, bool)>;

fn amounts(resources: Option<Tree<'_>>, kind: &str) -> Amounts {
    let members = resources.and_then(|resources| resources.get(kind)).map(Tree::members).unwrap_or_default();
    let amount = |value: Tree<'_>| Some((value.amount()?, value.is_new()));
    members.into_iter().filter_map(|member| Some((member.name.into_owned(), amount(member.value)?))).collect()
}

/// Compares what containers ask for with `spec.resources`.
pub(super) fn judge(report: &mut Report, parts: &Parts<'_>, place: &Place<'_>) {
    let Some(of_pod) = parts.spec.get("resources") else { return };
    let (requests, limits) = (amounts(Some(of_pod), "requests"), amounts(Some(of_pod), "limits"));
    let containers: Vec<_> = containers(parts.spec).collect();
    for container in &containers {
        let resources = container.tree.get("resources");
        for (name, (limit, is_new)) in amounts(resources, "limits") {
            if !limits.get(&name).is_some_and(|(most, of_pod)| (is_new || *of_pod) && limit > *most) {
                continue;
            }
            let message = format!("allow more {} than spec.resources.limits of the pod", shown(&name));
            container.at(place, |place| {
                let place = place.member("resources");
                report.add(&place.member("limits"), resources.unwrap_or(container.tree), message);
            });
        }
    }
    let containers: Vec<_> = containers.iter().map(Reservation::of).collect();
    let (all, own) = (most_reserved(&containers, true), most_reserved(&containers, false));
    // Where the pod only limits, the API server takes what its containers request for the pod's request.
    let mut all_allowed = limits.clone();
    all_allowed.extend(requests.clone());
    for (resource, (allowed, is_new)) in all_allowed {
        // Tenths add up to a little more than they should.
        let exceeds = |sum: f64| sum > allowed * (1.0 + 1e-9);
        let of = |most: &BTreeMap<&str, f64>| most.get(&*resource).copied().unwrap_or_default();
        // What is too much without the templates is the pod's own fault.
        let is_limit = limits.get(&resource).is_some_and(|(_, is_new)| *is_new);
        if exceeds(of(&all)) && (is_new || is_limit || !exceeds(of(&own))) {
            let all = (of(&all) * 1e6).round() / 1e6;
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

/// What a container requests; its limit where it requests nothing.
struct Reservation {
    /// Whether it is an init container that ends.
    ends: bool,
    amounts: Amounts,
}

impl Reservation {
    fn of(container: &Container<'_>) -> Reservation {
        let resources = container.tree.get("resources");
        let mut amounts = amounts(resources, "limits");
        amounts.extend(self::amounts(resources, "requests"));
        Reservation { ends: container.ends(), amounts }
    }
}

/// The most of each resource that is reserved at any time: sidecars stay while each init container runs, and then beside
/// the app. Source: k8s.io/component-helpers resource/helpers.go.
fn most_reserved(containers: &[Reservation], with_new: bool) -> BTreeMap<&str, f64> {
    let (mut running, mut most) = (BTreeMap::new(), BTreeMap::new());
    for Reservation { ends, amounts } in containers {
        for (resource, (amount, _)) in amounts.iter().filter(|(_, (_, is_new))| with_new || !is_new) {
            let running: &mut f64 = running.entry(&**resource).or_default();
            let most: &mut f64 = most.entry(&**resource).or_default();
            *most = most.max(*running + amount);
            if !ends {
                *running += amount;
            }
        }
    }
    most
}
