//! Environment variables.

use serde_json::Value;

use super::resources::STANDARD;
use super::{Report, is_data_key, is_qualified_name, text};
use crate::{did_you_mean, nearest, shown};

const SOURCES: &[&str] = &["fieldRef", "resourceFieldRef", "configMapKeyRef", "secretKeyRef", "fileKeyRef"];
/// What a variable can show of its pod.
const FIELDS: &[&str] = &[
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.serviceAccountName",
    "status.hostIP",
    "status.hostIPs",
    "status.podIP",
    "status.podIPs",
];

/// An environment variable.
pub(crate) fn env(report: &mut Report, variable: &Value) {
    if !is_name(text(variable, "name")) {
        report.at(".name", |report| report.wrong("must be printable ASCII without ="));
    }
    report.member(variable, "valueFrom", |report, source| {
        report.one_of(source, SOURCES);
        for reference in ["configMapKeyRef", "secretKeyRef"] {
            report.member(source, reference, |report, reference| {
                report.object_name(reference, "name");
                if !is_data_key(text(reference, "key")) {
                    report.at(".key", |report| report.wrong("must be letters, digits, '-', '_' and '.'"));
                }
            });
        }
        report.member(source, "fieldRef", |report, reference| field(report, reference, FIELDS));
        report.member(source, "resourceFieldRef", resource);
        if !text(variable, "value").is_empty() {
            report.wrong("must not stand beside value");
        }
    });
}

/// A ConfigMap or Secret of which every key becomes a variable.
pub(crate) fn env_from(report: &mut Report, source: &Value) {
    let kinds = ["configMapRef", "secretRef"];
    report.one_of(source, &kinds);
    kinds
        .iter()
        .for_each(|kind| report.member(source, kind, |report, reference| report.object_name(reference, "name")));
    let prefix = text(source, "prefix");
    if !prefix.is_empty() && !is_name(prefix) {
        report.at(".prefix", |report| report.wrong("must be printable ASCII without ="));
    }
}

/// Source: apimachinery pkg/util/validation, IsRelaxedEnvVarName.
fn is_name(name: &str) -> bool {
    !name.is_empty() && !name.contains('=') && name.chars().all(|letter| (' '..='~').contains(&letter))
}

/// A field of the pod, which is one of a few; labels and annotations by their key.
pub(super) fn field(report: &mut Report, reference: &Value, allowed: &[&str]) {
    let path = text(reference, "fieldPath");
    let key = ["metadata.labels['", "metadata.annotations['"]
        .iter()
        .find_map(|map| path.strip_prefix(map)?.strip_suffix("']"));
    // Of annotations the API server checks the key in lower case.
    let key = key.map(|key| if path.starts_with("metadata.annotations") { key.to_lowercase() } else { key.to_owned() });
    if !allowed.contains(&path) && !key.is_some_and(|key| is_qualified_name(&key)) {
        let maps = ["metadata.labels['KEY']", "metadata.annotations['KEY']"];
        let hint = did_you_mean(nearest(path, allowed.iter().copied().chain(maps)));
        report.at(".fieldPath", |report| {
            report.wrong(format!("is \"{}\", which cannot be shown to a container{hint}", shown(path)));
        });
    }
}

/// An amount of a container, such as `limits.memory`.
pub(super) fn resource(report: &mut Report, reference: &Value) {
    let resource = text(reference, "resource");
    let name = resource.strip_prefix("limits.").or(resource.strip_prefix("requests.")).unwrap_or_default();
    if !STANDARD.contains(&name) && !name.starts_with("hugepages-") {
        let kinds = ["limits.cpu", "limits.memory", "requests.cpu", "requests.memory"];
        let hint = did_you_mean(nearest(resource, kinds.into_iter()));
        report.at(".resource", |report| {
            report
                .wrong(format!("is \"{}\", and must be such as limits.memory or requests.cpu{hint}", shown(resource)));
        });
    }
}
