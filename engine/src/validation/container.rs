//! A container and what it consists of.

use std::collections::HashSet;

use serde_json::Value;

use super::{Report, is_data_key, is_port_name, resources, stays_inside, text};
use crate::template::is_dns_label;
use crate::{did_you_mean, nearest, shown};

const HANDLERS: &[&str] = &["exec", "httpGet", "tcpSocket", "grpc"];
const LIFECYCLE_HANDLERS: &[&str] = &["exec", "httpGet", "tcpSocket", "sleep"];
const ENV_SOURCES: &[&str] = &["fieldRef", "resourceFieldRef", "configMapKeyRef", "secretKeyRef", "fileKeyRef"];
const PROBES: &[&str] = &["startupProbe", "livenessProbe", "readinessProbe"];

/// A whole container. `is_init` says in which list.
pub(crate) fn container(report: &mut Report, container: &Value, is_init: bool) {
    if !is_dns_label(text(container, "name")) {
        report.at(".name", |report| report.wrong("is no DNS label"));
    }
    let image = text(container, "image");
    if image.is_empty() || image.trim() != image {
        report.at(".image", |report| report.wrong("must be the name of an image"));
    }
    let ends = is_init && text(container, "restartPolicy") != "Always";
    for field in PROBES.iter().chain(&["lifecycle"]) {
        report.member(container, field, |report, value| match *field {
            _ if ends => report.wrong(
                "must not stand on an init container that ends; restartPolicy: Always makes it a native sidecar",
            ),
            "lifecycle" => {
                for hook in ["postStart", "preStop"] {
                    report.member(value, hook, handler);
                }
            }
            field => {
                probe(report, value, field);
                named_port(report, value, &container["ports"]);
            }
        });
    }
    report.each(container, "ports", port);
    twice(report, container, "ports", "name");
    report.each(container, "env", env);
    report.each(container, "envFrom", env_from);
    for (list, path) in [("volumeMounts", "mountPath"), ("volumeDevices", "devicePath")] {
        report.each(container, list, |report, it| mount(report, it, path));
        twice(report, container, list, path);
    }
    report.member(container, "resources", resources);
    report.member(container, "securityContext", security_context);
}

/// Items of a list must differ in a field.
fn twice(report: &mut Report, container: &Value, list: &str, field: &str) {
    let mut seen = HashSet::new();
    report.each(container, list, |report, item| {
        let value = text(item, field);
        if !value.is_empty() && !seen.insert(value.to_owned()) {
            report.at(&format!(".{field}"), |report| report.wrong(format!("is {value} a second time")));
        }
    });
}

/// A container's port.
pub(crate) fn port(report: &mut Report, port: &Value) {
    let is_port = |number: i64| (1..=65535).contains(&number);
    if !port.get("containerPort").and_then(Value::as_i64).is_some_and(is_port) {
        report.at(".containerPort", |report| report.wrong("must be between 1 and 65535"));
    }
    if port.get("hostPort").and_then(Value::as_i64).is_some_and(|number| number != 0 && !is_port(number)) {
        report.at(".hostPort", |report| report.wrong("must be between 1 and 65535"));
    }
    if port.get("name").is_some() && !is_port_name(text(port, "name")) {
        report.at(".name", |report| {
            report.wrong("must have at most 15 lower-case letters, digits and '-', and one letter at least");
        });
    }
}

/// An environment variable.
pub(crate) fn env(report: &mut Report, variable: &Value) {
    // Source: apimachinery pkg/util/validation, IsRelaxedEnvVarName.
    let name = text(variable, "name");
    if name.is_empty() || name.contains('=') || !name.chars().all(|letter| (' '..='~').contains(&letter)) {
        report.at(".name", |report| report.wrong("must be printable ASCII without ="));
    }
    report.member(variable, "valueFrom", |report, source| {
        report.one_of(source, ENV_SOURCES);
        for reference in ["configMapKeyRef", "secretKeyRef"] {
            report.member(source, reference, |report, reference| {
                report.object_name(reference, "name");
                if !is_data_key(text(reference, "key")) {
                    report.at(".key", |report| report.wrong("must be letters, digits, '-', '_' and '.'"));
                }
            });
        }
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
}

/// A mount; `path` is the field that says where.
pub(crate) fn mount(report: &mut Report, mount: &Value, path: &str) {
    let at = text(mount, path);
    if at.is_empty() {
        report.required(mount, path);
    } else if at.contains(':') {
        report.at(&format!(".{path}"), |report| report.wrong("must be a path without a colon"));
    }
    for field in ["subPath", "subPathExpr"] {
        if !stays_inside(text(mount, field)) {
            report.at(&format!(".{field}"), |report| report.wrong("must lead to a place inside of the volume"));
        }
    }
    if !text(mount, "subPath").is_empty() && !text(mount, "subPathExpr").is_empty() {
        report.wrong("has subPath and subPathExpr, and only one of them may be there");
    }
}

/// A probe; `which` is the field that it stands in.
pub(crate) fn probe(report: &mut Report, probe: &Value, which: &str) {
    report.one_of(probe, HANDLERS);
    action(report, probe);
    let numbers = ["initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold"];
    report.not_negative(probe, &numbers);
    if which != "readinessProbe" && probe.get("successThreshold").and_then(Value::as_i64).is_some_and(|it| it > 1) {
        report.at(".successThreshold", |report| report.wrong(format!("must be 1 in a {which}")));
    }
    report.member(probe, "terminationGracePeriodSeconds", |report, seconds| {
        if which == "readinessProbe" {
            report.wrong("must not stand in a readinessProbe, which ends nothing");
        } else if seconds.as_i64().is_some_and(|seconds| seconds <= 0) {
            report.wrong("must be at least 1");
        }
    });
}

/// A port that a probe names must be one of its container's. The API server does not ask, and the probe never succeeds.
pub(crate) fn named_port(report: &mut Report, probe: &Value, ports: &Value) {
    for kind in ["httpGet", "tcpSocket"] {
        let Some(name) = probe.get(kind).and_then(|action| action.get("port")?.as_str()) else { continue };
        let names: Vec<_> = ports.as_array().into_iter().flatten().map(|port| text(port, "name")).collect();
        if !names.contains(&name) {
            let hint = did_you_mean(nearest(name, names.into_iter()));
            report.at(&format!(".{kind}.port"), |report| {
                report.wrong(format!("is {}, and the container has no port of that name{hint}", shown(name)));
            });
        }
    }
}

/// What is run when a container starts or stops.
pub(crate) fn handler(report: &mut Report, handler: &Value) {
    report.one_of(handler, LIFECYCLE_HANDLERS);
    action(report, handler);
    report.member(handler, "sleep", |report, sleep| report.not_negative(sleep, &["seconds"]));
}

fn action(report: &mut Report, handler: &Value) {
    report.member(handler, "exec", |report, exec| {
        if exec.get("command").and_then(Value::as_array).is_none_or(Vec::is_empty) {
            report.wrong("lacks command");
        }
    });
    for kind in ["httpGet", "tcpSocket", "grpc"] {
        report.member(handler, kind, |report, action| {
            let right = match action.get("port") {
                Some(Value::Number(number)) => number.as_i64().is_some_and(|number| (1..=65535).contains(&number)),
                Some(Value::String(name)) => is_port_name(name),
                _ => true,
            };
            if !right {
                report.at(".port", |report| report.wrong("must be between 1 and 65535, or the name of a port"));
            }
        });
    }
}

fn security_context(report: &mut Report, context: &Value) {
    report.not_negative(context, &["runAsUser", "runAsGroup"]);
    let is_true = |field: &str| context.get(field) == Some(&true.into());
    let added = context.pointer("/capabilities/add").and_then(Value::as_array).into_iter().flatten();
    let is_admin = added.into_iter().any(|capability| capability == "CAP_SYS_ADMIN");
    if context.get("allowPrivilegeEscalation") == Some(&false.into()) && (is_true("privileged") || is_admin) {
        report.at(".allowPrivilegeEscalation", |report| {
            report.wrong("must not be false for a container that is privileged or has CAP_SYS_ADMIN");
        });
    }
    report.member(context, "seccompProfile", |report, profile| {
        if (text(profile, "type") == "Localhost") == text(profile, "localhostProfile").is_empty() {
            report.wrong("needs localhostProfile with type: Localhost, and with no other");
        }
    });
}
