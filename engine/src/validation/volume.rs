//! A volume and where it comes from.

use serde_json::Value;

use super::{Report, stays_inside, text};
use crate::schema::Schema;
use crate::template::is_dns_label;

/// A volume.
pub(crate) fn volume(report: &mut Report, volume: &Value) {
    if !is_dns_label(text(volume, "name")) {
        report.at(".name", |report| report.wrong("is no DNS label"));
    }
    let mut sources: Vec<_> = Schema::get().object("Volume").fields.keys().map(String::as_str).collect();
    // Those that people use come first in the message.
    sources.retain(|source| *source != "name");
    sources.sort_by_key(|source| !["emptyDir", "configMap", "secret", "projected"].contains(source));
    report.one_of(volume, &sources);
    report.member(volume, "configMap", |report, source| {
        report.object_name(source, "name");
        items(report, source);
    });
    report.member(volume, "secret", |report, source| {
        report.object_name(source, "secretName");
        items(report, source);
    });
    report.member(volume, "hostPath", |report, source| report.required(source, "path"));
    report.member(volume, "persistentVolumeClaim", |report, source| report.object_name(source, "claimName"));
    report.member(volume, "projected", |report, source| {
        report.each(source, "sources", |report, source| {
            let kinds =
                ["configMap", "secret", "downwardAPI", "serviceAccountToken", "clusterTrustBundle", "podCertificate"];
            report.one_of(source, &kinds);
        });
    });
}

fn items(report: &mut Report, source: &Value) {
    report.each(source, "items", |report, item| {
        let path = text(item, "path");
        if path.is_empty() || !stays_inside(path) {
            report.at(".path", |report| report.wrong("must lead to a place inside of the volume"));
        }
    });
    let mode = source.get("defaultMode").and_then(Value::as_i64);
    if mode.is_some_and(|mode| !(0..=0o777).contains(&mode)) {
        report.at(".defaultMode", |report| report.wrong("must be between 0 and 0777"));
    }
}
