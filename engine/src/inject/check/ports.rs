//! Ports, which all containers of a pod share.

use std::collections::{HashMap, HashSet};

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
    let mut taken = HashSet::new();
    // On the node's network each port is one of the node's.
    let on_host = spec.value_of("hostNetwork").is_some_and(|value| value == true);
    for entry in spec.member("containers").and_then(|entry| entry.node.items()).into_iter().flatten() {
        for port in declared(entry) {
            let number = if on_host && port.host == 0 { port.number } else { port.host };
            let is_taken = number > 0 && !taken.insert((number, port.protocol));
            if is_taken && entry.is_ours() {
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
    let mut taken: HashMap<(i64, String), (String, bool)> = HashMap::new();
    let mut warnings = Vec::new();
    for list in ["containers", "initContainers"] {
        for entry in spec.node.member(list).and_then(|entry| entry.node.items()).into_iter().flatten() {
            if list == "initContainers" && entry.node.text_of("restartPolicy").as_deref() != Some("Always") {
                continue;
            }
            let name = || entry.node.text_of("name").unwrap_or_default().into_owned();
            for Port { number, protocol, .. } in declared(entry) {
                let Some((other, is_ours)) = taken.get(&(number, protocol.clone())) else {
                    taken.insert((number, protocol), (name(), entry.is_ours()));
                    continue;
                };
                let name = name();
                if (entry.is_ours() || *is_ours) && *other != name {
                    let (name, other) = (shown(&name), shown(other));
                    warnings.push(format!(
                        "{other} and {name} both have port {number}/{protocol}: one of them may fail to start"
                    ));
                }
            }
        }
    }
    warnings
}

struct Port {
    number: i64,
    protocol: String,
    host: i64,
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
