//! Probes, and what is run when a container starts or stops.

use serde_json::Value;

use super::{Report, is_port_name, text};
use crate::{did_you_mean, nearest, shown};

const HANDLERS: &[&str] = &["exec", "httpGet", "tcpSocket", "grpc"];
const LIFECYCLE_HANDLERS: &[&str] = &["exec", "httpGet", "tcpSocket", "sleep"];

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
            report.each(action, "httpHeaders", header);
            if !right {
                report.at(".port", |report| report.wrong("must be between 1 and 65535, or the name of a port"));
            }
        });
    }
}

/// Source: apimachinery pkg/util/validation, IsHTTPHeaderName.
fn header(report: &mut Report, header: &Value) {
    let name = text(header, "name");
    if name.is_empty() || !name.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '-') {
        report.at(".name", |report| report.wrong("must be letters, digits and '-'"));
    }
}
