//! What a container reserves and may use.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{Report, is_qualified_name};
use crate::quantity::parse_quantity;
use crate::{did_you_mean, nearest, shown};

pub(super) const STANDARD: &[&str] = &["cpu", "memory", "ephemeral-storage"];

/// Requests and limits of one container.
pub(crate) fn resources(report: &mut Report, resources: &Value) {
    for kind in ["requests", "limits"] {
        report.member(resources, kind, |report, amounts| {
            for (name, amount) in amounts.as_object().into_iter().flatten() {
                self::amount(report, name, amount);
            }
        });
    }
    let (requests, limits) = (amounts(resources, "requests"), amounts(resources, "limits"));
    for name in excess(&requests, &limits) {
        report.wrong(format!("would request more {} than the limit allows", shown(name)));
    }
    // What cannot be shared out is had in whole, and as much as was asked for.
    let in_whole = |(name, _): &(&String, &f64)| name.contains('/') || name.starts_with("hugepages-");
    for (name, amount) in requests.iter().chain(&limits).filter(in_whole) {
        if limits.get(name) != Some(amount) || requests.get(name).is_some_and(|request| request != amount) {
            return report.wrong(format!("must limit {} to just what they request of it", shown(name)));
        }
        if amount.fract() != 0.0 {
            return report.wrong(format!("must ask for a whole number of {}", shown(name)));
        }
    }
}

/// One entry of `requests` or `limits`.
pub(crate) fn amount(report: &mut Report, name: &str, amount: &Value) {
    report.at(&format!("[{}]", shown(name)), |report| check_amount(report, name, amount));
}

fn check_amount(report: &mut Report, name: &str, amount: &Value) {
    let is_standard = STANDARD.contains(&name) || name.starts_with("hugepages-");
    if !(is_standard || name.contains('/') && is_qualified_name(name)) {
        let hint = did_you_mean(nearest(name, STANDARD.iter().copied()));
        report.wrong(format!("is not a resource that Kubernetes knows, such as cpu or example.com/gpu{hint}"));
    }
    if as_number(amount).is_some_and(|amount| amount < 0.0) {
        report.wrong("must not be negative");
    }
}

/// The amounts of `requests` or `limits`, as far as they can be read.
pub(crate) fn amounts(resources: &Value, kind: &str) -> BTreeMap<String, f64> {
    let amounts = resources.get(kind).and_then(Value::as_object).into_iter().flatten();
    amounts.filter_map(|(name, amount)| Some((name.clone(), as_number(amount)?))).collect()
}

/// The resources of which more is requested than a limit allows.
pub(crate) fn excess<'n>(
    requests: &'n BTreeMap<String, f64>,
    limits: &BTreeMap<String, f64>,
) -> impl Iterator<Item = &'n str> {
    requests
        .iter()
        .filter(|(name, request)| limits.get(*name).is_some_and(|limit| *request > limit))
        .map(|(name, _)| name.as_str())
}

pub(super) fn as_number(amount: &Value) -> Option<f64> {
    match amount {
        Value::String(text) => parse_quantity(text),
        other => other.as_f64(),
    }
}
