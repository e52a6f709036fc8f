//! Annotations that the API server itself reads.

use serde_json::Value;

use super::parts::{Parts, containers};
use super::report::{Place, Report};
use super::scheduling;
use super::volumes::is_inside;
use crate::json::{Fragment, Kind, View};

const COST: &str = "controller.kubernetes.io/pod-deletion-cost";
const TOLERATIONS: &str = "scheduler.alpha.kubernetes.io/tolerations";
const SECCOMP_POD: &str = "seccomp.security.alpha.kubernetes.io/pod";
const SECCOMP: &str = "container.seccomp.security.alpha.kubernetes.io/";
const APP_ARMOR: &str = "container.apparmor.security.beta.kubernetes.io/";

/// Source: ValidatePodSpecificAnnotations.
pub(super) fn judge(report: &mut Report, parts: &Parts<'_>, place: &Place<'_>) {
    let Some(annotations) = parts.metadata.touched("annotations") else { return };
    let place = place.beside("metadata");
    for member in annotations.members().filter(|it| it.value.is_new()) {
        let text = match member.value.kind() {
            Kind::String(text) => text,
            // Of a map of strings it is an empty one.
            Kind::Null => "".into(),
            _ => continue,
        };
        let message = match &*member.name {
            COST => (!is_cost(&text)).then_some("must be an integer of 32 bits"),
            TOLERATIONS => {
                (!are_tolerations(&text)).then_some("must be a JSON list of tolerations as a pod can have them")
            }
            SECCOMP_POD => why_no_seccomp(&text),
            key => match (key.strip_prefix(SECCOMP), key.strip_prefix(APP_ARMOR)) {
                (Some(_), _) => why_no_seccomp(&text),
                (_, Some(container)) => why_no_app_armor(parts, container, &text),
                _ => None,
            },
        };
        if let Some(message) = message {
            report.add_at(&place.member("annotations").key(&member), member.position, message);
        }
    }
}

/// Source: kubernetes pkg/apis/core/helper, GetDeletionCostFromPodAnnotations.
fn is_cost(text: &str) -> bool {
    text.parse::<i32>().is_ok() && !text.starts_with('+') && (text == "0" || !text.starts_with('0'))
}

/// Source: ValidateTolerationsInPodAnnotations, which reads the names of fields in any case.
fn are_tolerations(text: &str) -> bool {
    const FIELDS: [&str; 5] = ["key", "operator", "value", "effect", "tolerationSeconds"];
    let is_one = |(name, value): (&str, &Value)| match name {
        "tolerationSeconds" => value.is_i64() || value.is_null(),
        _ => value.is_string() || value.is_null(),
    };
    let is_toleration = |item: &Value| {
        let members = item.as_object().into_iter().flatten();
        let fields = members
            .filter_map(|(name, value)| Some((*FIELDS.iter().find(|field| field.eq_ignore_ascii_case(name))?, value)));
        let fields: Vec<_> = fields.collect();
        let toleration =
            Fragment::fixed(fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).clone())).collect());
        (item.is_object() || item.is_null())
            && fields.into_iter().all(is_one)
            && scheduling::toleration(View::fragment(&toleration)).is_none()
    };
    match serde_json::from_str(text) {
        Ok(Value::Array(items)) => items.iter().all(is_toleration),
        Ok(value) => value.is_null(),
        Err(_) => text.is_empty(),
    }
}

fn why_no_seccomp(profile: &str) -> Option<&'static str> {
    let is_right = match profile.strip_prefix("localhost/") {
        Some(path) => is_inside(path),
        None => ["runtime/default", "docker/default", "unconfined"].contains(&profile),
    };
    (!is_right).then_some("must be runtime/default, unconfined or localhost/PATH")
}

fn why_no_app_armor(parts: &Parts<'_>, container: &str, profile: &str) -> Option<&'static str> {
    // A template's annotation may be about a container of the pod.
    if !parts.metadata.is_written() && !containers(parts.spec).any(|known| known.name() == container) {
        return Some("must be about a container of the pod");
    }
    let is_right = ["", "runtime/default", "unconfined"].contains(&profile) || profile.starts_with("localhost/");
    (!is_right).then_some("must be runtime/default, unconfined or localhost/PROFILE")
}
