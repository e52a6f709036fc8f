//! A volume and where it comes from.

use std::sync::LazyLock;

use serde_json::Value;

use super::env::{field, resource};
use super::resources::as_number;
use super::{Report, stays_inside, text};
use crate::schema::Schema;
use crate::template::is_dns_label;

/// The fields of which one says where a volume comes from. Those that people use come first, for the message.
static SOURCES: LazyLock<Vec<&str>> = LazyLock::new(|| {
    let mut sources: Vec<_> = Schema::get().object("Volume").fields.keys().map(String::as_str).collect();
    sources.retain(|source| *source != "name");
    sources.sort_by_key(|source| !["emptyDir", "configMap", "secret", "projected"].contains(source));
    sources
});

/// A volume.
pub(crate) fn volume(report: &mut Report, volume: &Value) {
    if !is_dns_label(text(volume, "name")) {
        report.at(".name", |report| report.wrong("is no DNS label"));
    }
    // One without a source is an emptyDir.
    if volume.as_object().is_some_and(|fields| fields.len() > 1) {
        report.one_of(volume, &SOURCES);
    }
    report.member(volume, "configMap", |report, source| {
        report.object_name(source, "name");
        items(report, source);
    });
    report.member(volume, "secret", |report, source| {
        report.object_name(source, "secretName");
        items(report, source);
    });
    report.member(volume, "hostPath", |report, source| {
        let path = text(source, "path");
        if path.is_empty() || path.split('/').any(|part| part == "..") {
            report.at(".path", |report| report.wrong("must be a path without .."));
        }
    });
    report.member(volume, "emptyDir", |report, source| {
        report.member(source, "sizeLimit", |report, limit| {
            if as_number(limit).is_some_and(|limit| limit < 0.0) {
                report.wrong("must not be negative");
            }
        });
    });
    report.member(volume, "downwardAPI", downward);
    report.member(volume, "csi", |report, source| report.object_name(source, "driver"));
    report.member(volume, "image", |report, source| report.required(source, "reference"));
    report.member(volume, "persistentVolumeClaim", |report, source| report.object_name(source, "claimName"));
    report.member(volume, "projected", |report, source| {
        mode(report, source, "defaultMode");
        report.each(source, "sources", projection);
    });
}

fn projection(report: &mut Report, source: &Value) {
    let kinds = ["configMap", "secret", "downwardAPI", "serviceAccountToken", "clusterTrustBundle", "podCertificate"];
    report.one_of(source, &kinds);
    for kind in ["configMap", "secret"] {
        report.member(source, kind, |report, source| {
            report.object_name(source, "name");
            items(report, source);
        });
    }
    report.member(source, "downwardAPI", downward);
    report.member(source, "serviceAccountToken", |report, token| {
        path(report, token);
        // Source: kubernetes pkg/apis/core/validation, validateProjectionSources.
        if token.get("expirationSeconds").and_then(Value::as_i64).is_some_and(|it| !(600..=1 << 32).contains(&it)) {
            report.at(".expirationSeconds", |report| report.wrong("must be at least 600"));
        }
    });
}

fn downward(report: &mut Report, source: &Value) {
    // A file can show whole maps, and not what only a running pod has.
    let fields = ["metadata.name", "metadata.namespace", "metadata.uid", "metadata.labels", "metadata.annotations"];
    mode(report, source, "defaultMode");
    report.each(source, "items", |report, item| {
        path(report, item);
        mode(report, item, "mode");
        report.one_of(item, &["fieldRef", "resourceFieldRef"]);
        report.member(item, "fieldRef", |report, reference| field(report, reference, &fields));
        report.member(item, "resourceFieldRef", |report, reference| {
            report.required(reference, "containerName");
            resource(report, reference);
        });
    });
}

fn items(report: &mut Report, source: &Value) {
    mode(report, source, "defaultMode");
    report.each(source, "items", |report, item| {
        report.required(item, "key");
        path(report, item);
        mode(report, item, "mode");
    });
}

fn path(report: &mut Report, item: &Value) {
    let path = text(item, "path");
    if path.is_empty() || !stays_inside(path) {
        report.at(".path", |report| report.wrong("must lead to a place inside of the volume"));
    }
}

fn mode(report: &mut Report, item: &Value, field: &str) {
    if item.get(field).and_then(Value::as_i64).is_some_and(|mode| !(0..=0o777).contains(&mode)) {
        report.at(&format!(".{field}"), |report| report.wrong("must be between 0 and 0777"));
    }
}
