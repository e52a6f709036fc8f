//! Security contexts.

use serde_json::Value;

use super::{Report, stays_inside, text};

/// Source: apimachinery pkg/util/validation, IsValidUserID.
const MAX_ID: i64 = i32::MAX as i64;

/// Of a pod or of a container.
pub(crate) fn security_context(report: &mut Report, context: &Value) {
    for field in ["runAsUser", "runAsGroup", "fsGroup"] {
        report.member(context, field, id);
    }
    report.each(context, "supplementalGroups", id);
    for kind in ["seccompProfile", "appArmorProfile"] {
        report.member(context, kind, profile);
    }
    let is_true = |field: &str| context.get(field) == Some(&true.into());
    let added = context.pointer("/capabilities/add").and_then(Value::as_array).into_iter().flatten();
    let is_admin = added.into_iter().any(|capability| capability == "CAP_SYS_ADMIN");
    if context.get("allowPrivilegeEscalation") == Some(&false.into()) && (is_true("privileged") || is_admin) {
        report.at(".allowPrivilegeEscalation", |report| {
            report.wrong("must not be false for a container that is privileged or has CAP_SYS_ADMIN");
        });
    }
    report.each(context, "sysctls", |report, sysctl| {
        let name = text(sysctl, "name");
        if name.is_empty()
            || !name.chars().all(|it| it.is_ascii_lowercase() || it.is_ascii_digit() || "-_./".contains(it))
        {
            report.at(".name", |report| report.wrong("is no sysctl's name"));
        }
    });
}

fn id(report: &mut Report, id: &Value) {
    if id.as_i64().is_some_and(|id| !(0..=MAX_ID).contains(&id)) {
        report.wrong(format!("must be between 0 and {MAX_ID}"));
    }
}

fn profile(report: &mut Report, profile: &Value) {
    let path = text(profile, "localhostProfile");
    if (text(profile, "type") == "Localhost") == path.is_empty() {
        report.wrong("needs localhostProfile with type: Localhost, and with no other");
    } else if !stays_inside(path) {
        report.at(".localhostProfile", |report| report.wrong("must lead to a place inside of the kubelet's folder"));
    }
}
