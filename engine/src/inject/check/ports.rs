//! Ports, which all containers of a pod share.

use std::collections::HashSet;

use serde_json::Value;

use super::super::draft::{Entry, Node};
use crate::shown;
use crate::validation::Report;

/// The names of a container's ports, where a template brought one.
pub(super) fn check_names(report: &mut Report, container: &mut Node<'_>) {
    let Some(entry) = container.member("ports").filter(|entry| !matches!(entry.node, Node::Raw(_))) else { return };
    let mut names = HashSet::new();
    // The pod's own come first, so that a name that stands twice is the template's.
    for port in entry.node.items().into_iter().flatten() {
        let Some(name) = port.node.text_of("name").map(|name| name.into_owned()) else { continue };
        if names.contains(&name) && port.is_ours() {
            report.at(&format!(".ports[{}].name", shown(&name)), |report| report.wrong("stands a second time"));
        }
        names.insert(name);
    }
}

/// Two regular containers cannot have one port of the node. Source: kubernetes pkg/apis/core/validation,
/// checkHostPortConflicts.
pub(super) fn check_host_ports(report: &mut Report, spec: &mut Node<'_>) {
    // On the node's network each port is one of the node's.
    let on_host = spec.value_of("hostNetwork").is_some_and(|value| value == true);
    let Some(containers) = spec.member("containers").and_then(|entry| entry.node.items()) else { return };
    let of_node = |entry: &Entry<'_>| -> Vec<(i64, String)> {
        let ports = declared(entry).into_iter();
        let number = |port: &Port| if on_host && port.host == 0 { port.number } else { port.host };
        ports.map(|port| (number(&port), port.protocol)).filter(|(number, _)| *number > 0).collect()
    };
    if containers.iter().filter(|entry| entry.is_ours()).all(|entry| of_node(entry).is_empty()) {
        return;
    }
    let mut taken = HashSet::new();
    for entry in containers {
        for (number, protocol) in of_node(entry) {
            if !taken.insert((number, protocol)) && entry.is_ours() {
                let name = entry.node.text_of("name").unwrap_or_default().into_owned();
                report.at(&format!("containers[{}].ports", shown(&name)), |report| {
                    report.wrong(format!("ask for the node's port {number}, which another container has"));
                });
            }
        }
    }
}

/// Two containers that run side by side with one port, where a template brought one of them: most likely the second
/// cannot listen. The API server lets it pass, and addresses may differ, so it is only said.
pub(in super::super) fn clashes(draft: &mut Node<'_>) -> Vec<String> {
    let Some(spec) = draft.member("spec") else { return Vec::new() };
    let mut ours: Vec<(Port, String)> = Vec::new();
    let mut warnings = Vec::new();
    each_side_by_side(&mut spec.node, |entry| {
        if !entry.is_ours() {
            return;
        }
        let name = entry.node.text_of("name").unwrap_or_default();
        for port in declared(entry) {
            let other = ours.iter().find(|(other, _)| other.clashes(&port));
            warnings.extend(other.map(|(_, other)| port.clash(other, &name)));
            ours.push((port, name.clone().into_owned()));
        }
    });
    if ours.is_empty() {
        return warnings;
    }
    each_side_by_side(&mut spec.node, |entry| {
        // Most containers have none of these ports, and need not be read to see it.
        if entry.is_ours() || !ours.iter().any(|(port, _)| entry.node.mentions("ports", &port.number.to_string())) {
            return;
        }
        let name = entry.node.text_of("name").unwrap_or_default();
        for port in declared(entry) {
            warnings.extend(
                ours.iter().filter(|(other, _)| other.clashes(&port)).map(|(_, other)| port.clash(&name, other)),
            );
        }
    });
    warnings
}

/// The containers that run at the same time: all but init containers that end.
fn each_side_by_side(spec: &mut Node<'_>, mut visit: impl FnMut(&Entry<'_>)) {
    for list in ["containers", "initContainers"] {
        for entry in spec.member(list).and_then(|entry| entry.node.items()).into_iter().flatten() {
            if list == "containers" || entry.node.text_of("restartPolicy").as_deref() == Some("Always") {
                visit(entry);
            }
        }
    }
}

struct Port {
    number: i64,
    protocol: String,
    host: i64,
}

impl Port {
    fn clashes(&self, other: &Port) -> bool {
        self.number == other.number && self.protocol == other.protocol
    }

    fn clash(&self, one: &str, other: &str) -> String {
        let Port { number, protocol, .. } = self;
        let (one, other) = (shown(one), shown(other));
        format!("{one} and {other} both have port {number}/{}: one of them may fail to start", shown(protocol))
    }
}

/// The ports of a container, without opening it.
fn declared(entry: &Entry<'_>) -> Vec<Port> {
    let ports = entry.node.value_of("ports");
    let number = |port: &Value, field: &str| port.get(field).and_then(Value::as_i64).unwrap_or_default();
    let read = |port: &Value| Port {
        number: number(port, "containerPort"),
        protocol: port.get("protocol").and_then(Value::as_str).unwrap_or("TCP").to_owned(),
        host: number(port, "hostPort"),
    };
    ports.as_ref().and_then(Value::as_array).into_iter().flatten().map(read).collect()
}
