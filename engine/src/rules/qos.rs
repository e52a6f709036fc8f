//! The class of a pod's quality of service, which all of its containers have together: a sidecar can cost an app its own.
//! Source: kubernetes pkg/apis/core/v1/helper/qos, ComputePodQOS.

use std::borrow::Cow;

use super::parts::containers;
use super::reserve::reserved_by_containers;
use crate::json::View;
use crate::quantity::Quantity;
use crate::text::{Few, shown};

/// What keeps something from being Guaranteed: that it does not limit a resource, or requests less than the limit.
enum Lack {
    Limit(&'static str),
    Request(&'static str),
}

/// Says that a pod which was Guaranteed is not any more, whose fault that is, and what to do.
pub(crate) fn lost_guarantee(before: View<'_>, after: View<'_>) -> Option<String> {
    let is_guaranteed = |spec| all_lacks(spec).next().is_none();
    // Most pods never were.
    if !is_guaranteed(before) || is_guaranteed(after) {
        return None;
    }
    let lacks = all_lacks(after).map(|(name, lack)| match lack {
        Lack::Limit(resource) => format!("{} has no {resource} limit", shown(&name)),
        Lack::Request(resource) => format!("{} requests less {resource} than its limit", shown(&name)),
    });
    Some(format!(
        "this pod was Guaranteed and is Burstable now: {}. Give each of these limits of cpu and memory, and requests that \
         equal them; only in a Guaranteed pod a container that requests whole CPUs can have them to itself",
        lacks.collect::<Few>().join(", "),
    ))
}

/// What keeps a pod from being Guaranteed, and in what: in the resources of the pod as a whole if it has any, or else in
/// those of its containers, init containers that end included.
fn all_lacks(spec: View<'_>) -> impl Iterator<Item = (Cow<'_, str>, Lack)> {
    let of_pod = spec.get("resources");
    // The API server takes what containers request for the pod's request.
    let requested = move |resource: &str| reserved_by_containers(spec, resource);
    let in_pod = of_pod.into_iter().flat_map(move |of_pod| lacks(of_pod, requested));
    let in_pod = in_pod.map(|lack| (Cow::Borrowed("spec.resources"), lack));
    let in_containers = containers(spec).filter(move |_| of_pod.is_none()).flat_map(|container| {
        let resources = container.tree.get("resources").unwrap_or(View::NOTHING);
        lacks(resources, |_| None).map(move |lack| (container.name(), lack))
    });
    in_pod.chain(in_containers)
}

/// What these resources lack; what they do not request is `requested`, or else as much as the limit.
fn lacks<'t>(
    resources: View<'t>,
    requested: impl Fn(&str) -> Option<Quantity> + 't,
) -> impl Iterator<Item = Lack> + 't {
    let amount = move |kind: &str, resource: &str| resources.get(kind)?.get(resource)?.quantity();
    ["cpu", "memory"].into_iter().filter_map(move |resource| {
        let Some(limit) = amount("limits", resource).filter(|limit| limit.sign() > 0) else {
            return Some(Lack::Limit(resource));
        };
        let request = amount("requests", resource).or_else(|| requested(resource));
        request.is_some_and(|request| request.cmp(&limit).is_ne()).then_some(Lack::Request(resource))
    })
}
