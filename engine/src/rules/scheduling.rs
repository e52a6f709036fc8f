//! What lets a pod be put on a node: selectors, affinity, spreading and tolerations.

use super::report::{Place, Report};
use super::row::Broken;
use crate::json::View;
use crate::names::{is_dns_subdomain, is_label_value, is_qualified_name};

const NEEDS_VALUES: &str = "must be there for operator In and NotIn";
const NO_VALUES: &str = "must not stand beside operator Exists or DoesNotExist";
const LABEL_VALUES: &str = "must be values that a label can have";

fn has_label_values(requirement: View<'_>) -> bool {
    requirement.list("values").filter_map(View::string).all(|value| is_label_value(&value))
}

/// A requirement of a selector of labels. Source: apimachinery, ValidateLabelSelectorRequirement.
pub(super) fn label_requirement(requirement: View<'_>) -> Broken {
    let has_values = requirement.get("values").is_some_and(|values| !values.is_empty());
    match &*requirement.text("operator") {
        "In" | "NotIn" if !has_values => Some(("values", NEEDS_VALUES.into())),
        "Exists" | "DoesNotExist" if has_values => Some(("values", NO_VALUES.into())),
        _ if !has_label_values(requirement) => Some(("values", LABEL_VALUES.into())),
        _ => None,
    }
}

/// A requirement about the labels of a node. Source: ValidateNodeSelectorRequirement.
fn node_requirement(requirement: View<'_>) -> Broken {
    let values = requirement.list("values").count();
    match &*requirement.text("operator") {
        _ if requirement.is_unknown_at("operator") || requirement.is_unknown_at("values") => None,
        "In" | "NotIn" if values == 0 => Some(("values", NEEDS_VALUES.into())),
        "Exists" | "DoesNotExist" if values > 0 => Some(("values", NO_VALUES.into())),
        "Gt" | "Lt" if values != 1 => Some(("values", "must be one value for operator Gt and Lt".into())),
        _ if !requirement.is_unknown_at("key") && !is_qualified_name(&requirement.text("key")) => {
            Some(("key", "must be a label's key".into()))
        }
        _ => None,
    }
}

/// A requirement about a field of a node. Source: ValidateNodeFieldSelectorRequirement.
fn field_requirement(requirement: View<'_>) -> Broken {
    if ["operator", "key", "values"].iter().any(|field| requirement.is_unknown_at(field)) {
        return None;
    }
    let mut values = requirement.list("values").filter_map(View::string);
    match &*requirement.text("operator") {
        "In" | "NotIn" if requirement.list("values").count() != 1 => Some(("values", "must be one value".into())),
        "In" | "NotIn" if requirement.text("key") != "metadata.name" => {
            Some(("key", "must be metadata.name in matchFields".into()))
        }
        "In" | "NotIn" => {
            (!values.all(|name| is_dns_subdomain(&name))).then(|| ("values", "must be the name of a node".into()))
        }
        _ => Some(("operator", "must be In or NotIn in matchFields".into())),
    }
}

/// The terms by which a pod chooses nodes.
pub(super) fn node_term(report: &mut Report, term: View<'_>, place: &Place<'_>) {
    type Judge = fn(View<'_>) -> Broken;
    for (list, why_broken) in [("matchExpressions", node_requirement as Judge), ("matchFields", field_requirement)] {
        for (at, requirement) in term.list(list).enumerate().filter(|(_, it)| it.is_new() && !it.is_fixed()) {
            if let Some((field, message)) = why_broken(requirement) {
                report.add(&place.member(list).index(at).member(field), requirement, message);
            }
        }
    }
}

/// Of terms that must hold, values are checked, too. Source: ValidateNodeSelector.
pub(super) fn node_values(selector: View<'_>) -> Broken {
    let mut requirements = selector.list("nodeSelectorTerms").flat_map(|term| term.list("matchExpressions"));
    requirements.any(|requirement| !has_label_values(requirement)).then(|| ("nodeSelectorTerms", LABEL_VALUES.into()))
}

/// Source: ValidateMatchLabelKeysAndMismatchLabelKeys.
pub(super) fn label_keys(term: View<'_>) -> Broken {
    let selector = term.get("labelSelector");
    for field in ["matchLabelKeys", "mismatchLabelKeys"] {
        if selector.is_none() && term.get(field).is_some_and(|keys| !keys.is_empty()) {
            return Some((field, "must not be there without labelSelector".into()));
        }
    }
    let keys: Vec<_> = term.list("matchLabelKeys").filter_map(View::string).collect();
    if term.list("mismatchLabelKeys").filter_map(View::string).any(|key| keys.contains(&key)) {
        return Some(("matchLabelKeys", "must have no key of mismatchLabelKeys".into()));
    }
    None
}

/// Source: validateMinDomains.
pub(super) fn spread(constraint: View<'_>) -> Broken {
    let is_beside = constraint.get("minDomains").is_some() && constraint.text("whenUnsatisfiable") == "ScheduleAnyway";
    is_beside.then(|| ("minDomains", "needs whenUnsatisfiable: DoNotSchedule".into()))
}

/// Source: ValidateTolerations.
pub(super) fn toleration(toleration: View<'_>) -> Broken {
    let (key, value) = (toleration.text("key"), toleration.text("value"));
    let operator = toleration.text("operator");
    if key.is_empty() && operator != "Exists" {
        return Some(("", "without a key needs operator: Exists".into()));
    }
    if !key.is_empty() && !is_qualified_name(&key) {
        return Some(("key", "must be a key that a taint can have".into()));
    }
    if toleration.get("tolerationSeconds").is_some() && toleration.text("effect") != "NoExecute" {
        return Some(("tolerationSeconds", "needs effect: NoExecute".into()));
    }
    match &*operator {
        "Exists" if !value.is_empty() => Some(("value", "must not stand beside operator: Exists".into())),
        "Gt" | "Lt" if value.parse::<i64>().is_err() => {
            Some(("value", "must be an integer for operator Gt and Lt".into()))
        }
        "" | "Equal" if !is_label_value(&value) => Some(("value", "must be a value that a taint can have".into())),
        _ => None,
    }
}
