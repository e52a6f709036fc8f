//! Resources: their names, how much of each, and claims of devices.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::collections::{BTreeMap, HashSet};

use super::parts::Parts;
use super::report::{Place, Report};
use crate::json::View;
use crate::names::{is_dns_label, is_qualified_name};
use crate::quantity::Quantity;
use crate::text::{did_you_mean, nearest};

const RESOURCES: &[&str] = &["cpu", "memory", "ephemeral-storage"];
const HUGE_PAGES: &str = "hugepages-";

/// How much of each resource, and whether it is judged.
pub(super) type Amounts = BTreeMap<String, (Quantity, bool)>;

/// The amounts of `requests` or `limits`, as far as they can be read.
pub(super) fn amounts(resources: View<'_>, kind: &str) -> Amounts {
    let all = resources.map(kind);
    all.filter_map(|it| Some((it.name.into_owned(), (it.value.quantity()?, it.value.is_new())))).collect()
}

/// What a variable or file can show of a container. Source: validContainerResourceFieldPathExpressions.
pub(super) fn is_shown(resource: &str) -> bool {
    let name = resource.strip_prefix("limits.").or(resource.strip_prefix("requests."));
    name.is_some_and(|name| RESOURCES.contains(&name) || name.starts_with(HUGE_PAGES))
}

/// What cannot be shared out among containers. Source: kubernetes pkg/apis/core/helper, IsOvercommitAllowed.
fn is_had_in_whole(resource: &str) -> bool {
    resource.starts_with(HUGE_PAGES) || !is_native(resource)
}

/// Source: kubernetes pkg/apis/core/helper, IsNativeResource.
fn is_native(resource: &str) -> bool {
    !resource.contains('/') || resource.contains("kubernetes.io/")
}

/// Requests and limits of a container.
pub(super) fn of_container(report: &mut Report, resources: View<'_>, place: &Place<'_>) {
    judge(report, resources, place, |name| {
        let is_standard = RESOURCES.contains(&name) || name.starts_with(HUGE_PAGES);
        // The name with `requests.` before it must be one, too. Source: IsExtendedResourceName.
        let is_extended = || {
            is_qualified_name(name)
                && (is_native(name) || !name.starts_with("requests.") && is_qualified_name(&format!("requests.{name}")))
        };
        is_qualified_name(name) && is_standard || name.contains('/') && is_extended()
    });
}

/// Requests and limits of a pod as a whole.
pub(super) fn of_pod(report: &mut Report, resources: View<'_>, place: &Place<'_>) {
    if let Some(claims) = resources.touched("claims") {
        report.add(&place.member("claims"), claims, "must not be set for a pod as a whole");
    }
    judge(report, resources, place, |name| {
        ["cpu", "memory"].contains(&name) || name.starts_with(HUGE_PAGES) && is_qualified_name(name)
    });
}

fn judge(report: &mut Report, resources: View<'_>, place: &Place<'_>, is_known: impl Fn(&str) -> bool) {
    for kind in ["requests", "limits"] {
        let place = place.member(kind);
        for member in resources.map(kind).filter(|amount| amount.value.is_new()) {
            let (place, position, name, value) = (place.key(&member), member.position, &member.name, member.value);
            if !is_known(name) {
                let near = nearest(name, RESOURCES.iter().copied()).filter(|_| !member.is_private);
                let hint = did_you_mean(near);
                let message =
                    format!("is not a resource that Kubernetes knows here, such as cpu or example.com/gpu{hint}");
                report.add_at(&place, position, message);
            } else if let Some(message) = value.quantity().and_then(|amount| why_wrong(name, &amount)) {
                report.add(&place, value, message);
            }
        }
    }
    let (requests, limits) = (amounts(resources, "requests"), amounts(resources, "limits"));
    for member in resources.map("requests") {
        let (name, resource) = (&*member.name, member.shown());
        let Some((request, is_new)) = requests.get(name) else { continue };
        match limits.get(name) {
            Some((_, limit_is_new)) if !is_new && !limit_is_new => {}
            // What cannot be shared out is had in whole, and as much as was asked for.
            Some((limit, _)) if request.cmp(limit).is_ne() && is_had_in_whole(name) => {
                report.add(place, resources, format!("must limit {resource} to just what they request of it"));
            }
            Some((limit, _)) if request.cmp(limit).is_gt() => {
                report.add(place, resources, format!("would request more {resource} than the limit allows"));
            }
            _ => {}
        }
    }
}

/// What comes with a resource that is had in whole. Source: validateResourceRequirements.
pub(super) fn judge_partners(report: &mut Report, parts: &Parts<'_>, place: &Place<'_>) {
    judge_partners_of(report, parts.spec, place);
    for container in parts.varying() {
        container.at(place, |place| judge_partners_of(report, container.tree, place));
    }
}

fn judge_partners_of(report: &mut Report, owner: View<'_>, place: &Place<'_>) {
    let Some(resources) = owner.touched("resources") else { return };
    let place = place.member("resources");
    if ["requests", "limits"].iter().any(|kind| resources.is_unknown_at(kind)) {
        return;
    }
    for request in resources.map("requests").filter(|it| it.value.is_new() && is_had_in_whole(&it.name)) {
        if resources.get("limits").and_then(|limits| limits.get(&request.name)).is_none() {
            let message = format!("needs a limit for {} that equals the request", request.shown());
            report.add(&place, resources, message);
        }
    }
    let all = || resources.map("requests").chain(resources.map("limits")).filter(|it| !it.value.is_null());
    let asks_for_pages = all().any(|it| it.value.is_new() && it.name.starts_with(HUGE_PAGES));
    if asks_for_pages && !all().any(|it| ["cpu", "memory"].contains(&&*it.name)) {
        report.add(&place, resources, "must ask for cpu or memory beside huge pages");
    }
}

/// What is wrong with an amount of a resource. Source: ValidateResourceQuantityValue and
/// validateResourceQuantityHugePageValue.
fn why_wrong(resource: &str, amount: &Quantity) -> Option<String> {
    if amount.sign() < 0 {
        return Some("must not be negative".into());
    }
    match resource.strip_prefix(HUGE_PAGES) {
        Some(size) => {
            let size = Quantity::parse(size).ok().filter(|size| size.sign() > 0);
            let is_right = size.is_some_and(|size| amount.is_multiple_of(&size));
            (!is_right).then(|| "must be a multiple of the page's size".into())
        }
        None if !is_native(resource) && !amount.is_whole() => Some("must be a whole number".into()),
        None => None,
    }
}

/// Claims of devices that containers name are claims of the pod. Source: validateResourceClaimNames.
pub(super) fn judge_claims(report: &mut Report, parts: &Parts<'_>, place: &Place<'_>) {
    // A template's container may name one that the pod brings.
    let is_open = parts.spec.is_written() || parts.spec.is_unknown_at("resourceClaims");
    let of_pod = || parts.spec.list("resourceClaims").map(|claim| claim.text("name"));
    let known: OnceCell<HashSet<_>> = OnceCell::new();
    for container in &parts.touched {
        let Some(claims) = container.tree.get("resources").and_then(|it| it.touched("claims")) else { continue };
        container.at(place, |place| {
            let place = place.member("resources");
            let place = place.member("claims");
            let mut seen = Seen::default();
            for (at, claim) in claims.items().enumerate() {
                let Some(of_claim) = claim.get("name").filter(|name| !name.is_unknown()) else { continue };
                let (name, request) = (claim.text("name"), claim.text("request"));
                let is_missing = !is_open && !known.get_or_init(|| of_pod().collect()).contains(&name);
                let is_twice = seen.add(name, &request);
                let message = if is_missing {
                    format!("is {}, and the pod has no claim of that name in resourceClaims", of_claim.shown())
                } else if is_twice {
                    format!("is {} a second time", of_claim.shown())
                } else if !request.is_empty() && !is_dns_label(&request) {
                    "must have a DNS label for its request".to_owned()
                } else {
                    String::new()
                };
                if !message.is_empty() && claim.is_new() {
                    report.add(&place.index(at), claim, message);
                }
            }
        });
    }
}

/// The claims of a container so far: as a whole, by `CLAIM/REQUEST`, and those of which there are requests.
#[derive(Default)]
struct Seen<'t> {
    whole: HashSet<Cow<'t, str>>,
    requests: HashSet<String>,
    in_parts: HashSet<Cow<'t, str>>,
}

impl<'t> Seen<'t> {
    /// Adds one, and gives whether it was there.
    fn add(&mut self, name: Cow<'t, str>, request: &str) -> bool {
        if request.is_empty() {
            self.in_parts.contains(&name) || !self.whole.insert(name)
        } else {
            let is_new = self.requests.insert(format!("{name}/{request}"));
            self.in_parts.insert(name.clone());
            !is_new || self.whole.contains(&name)
        }
    }
}
