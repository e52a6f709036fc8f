//! Annotations that the API server itself reads.

use std::mem;

use serde_json::Value;

use super::parts::{Parts, containers};
use super::report::{Place, Report};
use super::table::OF_PODS;
use super::volumes::is_inside;
use super::walk::Walk;
use crate::json::{Kind, Member, Tape, View};
use crate::schema::Schema;

const COST: &str = "controller.kubernetes.io/pod-deletion-cost";
const TOLERATIONS: &str = "scheduler.alpha.kubernetes.io/tolerations";
const SECCOMP_POD: &str = "seccomp.security.alpha.kubernetes.io/pod";
const SECCOMP: &str = "container.seccomp.security.alpha.kubernetes.io/";
pub(super) const APP_ARMOR: &str = "container.apparmor.security.beta.kubernetes.io/";

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
        let seccomp = |profile: &str| why_no_seccomp(profile).map(str::to_owned);
        let message = match &*member.name {
            COST => (!is_cost(&text)).then(|| "must be an integer of 32 bits".into()),
            TOLERATIONS => why_no_tolerations(&text),
            SECCOMP_POD => seccomp(&text),
            key => match (key.strip_prefix(SECCOMP), key.strip_prefix(APP_ARMOR)) {
                (Some(_), _) => seccomp(&text),
                (_, Some(container)) => why_no_app_armor(parts, container, &text).map(str::to_owned),
                _ => None,
            },
        };
        if let Some(message) = message {
            report.add_at(&place.member("annotations").key(&member), member.position, message);
        }
    }
}

/// A profile that stands in an annotation and in a field is the same. Source: validateSeccompAnnotationsAndFields and
/// validateAppArmorAnnotationsAndFieldsMatchOnCreate.
pub(super) fn judge_profiles(report: &mut Report, parts: &Parts<'_>, place: &Place<'_>) {
    let Some(annotations) = parts.metadata.get("annotations") else { return };
    let is_for_windows = parts.spec.get("os").is_some_and(|os| os.text("name") == "windows");
    for Member { name: key, value: annotation, .. } in annotations.members() {
        if key == SECCOMP_POD {
            if let Some(profile) = other_profile(annotation, profile_of(parts.spec, "seccompProfile")) {
                report.add(&place.member("securityContext").member("seccompProfile"), profile, OTHER_PROFILE);
            }
            continue;
        }
        let (name, field) = match (key.strip_prefix(SECCOMP), key.strip_prefix(APP_ARMOR)) {
            (Some(name), _) => (name, "seccompProfile"),
            (_, Some(name)) if !is_for_windows => (name, "appArmorProfile"),
            _ => continue,
        };
        // An API server makes a field of an annotation for AppArmor, unless that is empty.
        let is_inherited = field == "appArmorProfile" && annotation.is_empty();
        for container in containers(parts.spec).filter(|container| container.name() == name) {
            let inherited = || profile_of(parts.spec, field).filter(|_| is_inherited);
            let profile = profile_of(container.tree, field).or_else(inherited);
            if let Some(profile) = other_profile(annotation, profile) {
                container.at(place, |place| {
                    report.add(&place.member("securityContext").member(field), profile, OTHER_PROFILE);
                });
            }
        }
    }
}

const OTHER_PROFILE: &str = "must be the profile that the annotation for it names; remove one of them";

fn profile_of<'t>(whole: View<'t>, field: &str) -> Option<View<'t>> {
    whole.get("securityContext")?.get(field)
}

/// The profile of a field, if that is not the one that the annotation names, and templates brought one of the two.
fn other_profile<'t>(annotation: View<'_>, profile: Option<View<'t>>) -> Option<View<'t>> {
    let named = annotation.string().unwrap_or_default();
    profile.filter(|profile| {
        let is_same = match &*profile.text("type") {
            "Unconfined" => named == "unconfined",
            "RuntimeDefault" => ["runtime/default", "docker/default"].contains(&&*named),
            "Localhost" => {
                named.strip_prefix("localhost/").is_some_and(|path| path == profile.text("localhostProfile"))
            }
            _ => true,
        };
        !is_same && (annotation.is_new() || profile.is_touched())
    })
}

/// Source: kubernetes pkg/apis/core/helper, GetDeletionCostFromPodAnnotations.
fn is_cost(text: &str) -> bool {
    text.parse::<i32>().is_ok() && !text.starts_with('+') && (text == "0" || !text.starts_with('0'))
}

/// Source: ValidateTolerationsInPodAnnotations, which reads the names of fields in any case and passes over others.
fn why_no_tolerations(text: &str) -> Option<String> {
    if text.is_empty() {
        return None;
    }
    let kind = Schema::get().spec.field("tolerations");
    let fields = &Schema::get().spec.item("tolerations").object().fields;
    let mut written = serde_json::from_str(text).unwrap_or_else(|_| Value::from(text));
    for item in written.as_array_mut().into_iter().flatten().filter(|item| item.is_object() || item.is_null()) {
        let members = item.as_object_mut().map(mem::take).unwrap_or_default();
        let known = members.into_iter().filter_map(|(name, value)| {
            Some((fields.names().find(|field| field.eq_ignore_ascii_case(&name))?.to_owned(), value))
        });
        *item = Value::Object(known.collect());
    }
    let json = written.to_string();
    let tape = Tape::scan(&json)?;
    let mut report = Report::default();
    Walk::new(&OF_PODS, &mut report).value(View::whole(tape.root()), kind, &Place::root(""));
    let first = report.into_violations().into_iter().next()?;
    Some(format!("must be a JSON list of tolerations, and {} {}", first.place, first.message))
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
