//! A container and what it consists of.

use std::collections::HashSet;

use serde_json::Value;

use super::{
    Report, env, env_from, handler, is_port_name, named_port, probe, resources, security_context, stays_inside, text,
};
use crate::template::is_dns_label;
use crate::{did_you_mean, nearest, shown};

/// Why something must not stand on a container.
const ENDS: &str = "must not stand on an init container that ends; restartPolicy: Always makes it a native sidecar";
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
    for field in PROBES {
        report.member(container, field, |report, value| {
            if ends {
                report.wrong(ENDS);
            }
            probe(report, value, field);
            named_port(report, value, &container["ports"]);
        });
    }
    report.member(container, "lifecycle", |report, lifecycle| {
        if ends && lifecycle.as_object().is_some_and(serde_json::Map::is_empty) {
            report.wrong(ENDS);
        }
        for hook in ["postStart", "preStop"] {
            report.member(lifecycle, hook, |report, value| {
                if ends {
                    report.wrong(ENDS);
                }
                handler(report, value);
            });
        }
    });
    report.each(container, "ports", port);
    twice(report, container, "ports", "name");
    report.each(container, "env", env);
    report.each(container, "envFrom", env_from);
    for (list, path) in [("volumeMounts", "mountPath"), ("volumeDevices", "devicePath")] {
        report.each(container, list, |report, it| mount(report, it, path));
        twice(report, container, list, path);
    }
    report.each(container, "volumeMounts", |report, mount| {
        let is_privileged = container["securityContext"]["privileged"] == true;
        if text(mount, "mountPropagation") == "Bidirectional" && !is_privileged {
            report
                .at(".mountPropagation", |report| report.wrong("can only be Bidirectional in a privileged container"));
        }
    });
    report.each(container, "resizePolicy", |report, policy| {
        let resource = text(policy, "resourceName");
        if !["cpu", "memory"].contains(&resource) {
            report.at(".resourceName", |report| report.wrong("must be cpu or memory"));
        }
    });
    report.member(container, "resources", resources);
    report.member(container, "securityContext", security_context);
}

/// Items of a list must differ in a field.
fn twice(report: &mut Report, container: &Value, list: &str, field: &str) {
    let mut seen = HashSet::new();
    report.each(container, list, |report, item| {
        let value = text(item, field);
        if !value.is_empty() && !seen.insert(value.to_owned()) {
            report.at(&format!(".{field}"), |report| report.wrong(format!("is {} a second time", shown(value))));
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
    let name = text(port, "name");
    if !name.is_empty() && !is_port_name(name) {
        report.at(".name", |report| {
            report.wrong("must have at most 15 lower-case letters, digits and '-', and one letter at least");
        });
    }
}

/// A mount; `path` is the field that says where.
pub(crate) fn mount(report: &mut Report, mount: &Value, path: &str) {
    let at = text(mount, path);
    if at.is_empty() {
        report.wrong(format!("lacks {path}"));
    }
    let read_only = text(mount, "recursiveReadOnly");
    let choices = ["Disabled", "Enabled", "IfPossible"];
    if !read_only.is_empty() && !choices.contains(&read_only) {
        let hint = did_you_mean(nearest(read_only, choices.into_iter()));
        let message = format!("is \"{}\", and must be one of {}{hint}", shown(read_only), choices.join(", "));
        report.at(".recursiveReadOnly", |report| report.wrong(message));
    }
    if read_only == "Enabled" && mount.get("readOnly") != Some(&true.into()) {
        report.at(".recursiveReadOnly", |report| report.wrong("needs readOnly: true"));
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
