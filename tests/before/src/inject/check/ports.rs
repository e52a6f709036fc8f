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
    let (ours, own): (Vec<_>, Vec<_>) = entry.node.items().into_iter().flatten().partition(|port| port.is_ours());
    for port in own.into_iter().chain(ours) {
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
    let of_node = |entry: &Entry<'_>| {
        let host = move |port: &Port| if on_host && port.host == 0 { port.number } else { port.host };
        declared(entry).into_iter().map(move |port| Port { host: host(&port), ..port }).filter(|port| port.host > 0)
    };
    if !containers.iter().any(|entry| gives_ports(entry) && of_node(entry).any(|port| port.is_ours)) {
        return;
    }
    let mut taken = HashSet::new();
    // The pod's own come first, so that a port that is asked for twice is the template's.
    for ours in [false, true] {
        for entry in containers.iter() {
            for Port { host, protocol, address, .. } in of_node(entry).filter(|port| port.is_ours == ours) {
                if !taken.insert((host, protocol, address)) && ours {
                    let name = entry.node.text_of("name").unwrap_or_default();
                    report.at(&format!("containers[{}].ports", shown(&name)), |report| {
                        report.wrong(format!("ask for the node's port {host}, which another container has"));
                    });
                }
            }
        }
    }
}

/// Two containers that run side by side with one port, where a template brought one of them: most likely the second
/// cannot listen. The API server lets it pass, and addresses may differ, so it is only said.
pub(in super::super) fn clashes(draft: &mut Node<'_>) -> Vec<String> {
    let Some(spec) = draft.member("spec") else { return Vec::new() };
    // The first container that a template brought with a port.
    let mut ours: HashMap<(i64, String), String> = HashMap::new();
    let mut warnings = Vec::new();
    each_side_by_side(&mut spec.node, |entry| {
        if !entry.is_ours() {
            return;
        }
        let name = entry.node.text_of("name").unwrap_or_default();
        for port in declared(entry) {
            match ours.get(&(port.number, port.protocol.clone())) {
                Some(first) if *first != name => warnings.push(port.clash(first, &name)),
                Some(_) => {}
                None => drop(ours.insert((port.number, port.protocol), name.clone().into_owned())),
            }
        }
    });
    if ours.is_empty() {
        return warnings;
    }
    // Most containers have none of these ports, and need not be read to see it.
    let mentions = |entry: &Entry<'_>| {
        ours.len() > 16 || ours.keys().any(|(number, _)| entry.node.mentions("ports", &number.to_string()))
    };
    each_side_by_side(&mut spec.node, |entry| {
        if entry.is_ours() || !mentions(entry) {
            return;
        }
        let name = entry.node.text_of("name").unwrap_or_default();
        for port in declared(entry) {
            let other = ours.get(&(port.number, port.protocol.clone()));
            warnings.extend(other.map(|other| port.clash(&name, other)));
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
    /// The node's address that `host` is of.
    address: String,
    /// Whether a template gave it.
    is_ours: bool,
}

impl Port {
    fn clash(&self, one: &str, other: &str) -> String {
        let Port { number, protocol, .. } = self;
        let (one, other) = (shown(one), shown(other));
        format!("{one} and {other} both have port {number}/{}: one of them may fail to start", shown(protocol))
    }
}

/// Whether a template gave a container any ports, as far as can be seen without reading them.
fn gives_ports(container: &Entry<'_>) -> bool {
    let is_touched = |entry: &Entry<'_>| !matches!(entry.node, Node::Raw(_));
    container.is_ours() || ports_of(container).is_some_and(is_touched)
}

fn ports_of<'e, 'a>(container: &'e Entry<'a>) -> Option<&'e Entry<'a>> {
    let Node::Object(members) = &container.node else { return None };
    members.iter().rfind(|(name, _)| name == "ports").map(|(_, entry)| entry)
}

/// The ports of a container, without opening it.
fn declared(container: &Entry<'_>) -> Vec<Port> {
    let given = ports_of(container);
    let is_new = container.is_ours() || given.is_some_and(Entry::is_ours);
    let items = given.and_then(|ports| if let Node::List(items) = &ports.node { Some(items) } else { None });
    let is_given = |at: usize| items.and_then(|items| items.get(at)).is_some_and(Entry::is_ours);
    let number = |port: &Value, field: &str| port.get(field).and_then(Value::as_i64).unwrap_or_default();
    let text = |port: &Value, field: &str| port.get(field).and_then(Value::as_str).map(str::to_owned);
    let read = |(at, port): (usize, &Value)| Port {
        number: number(port, "containerPort"),
        protocol: text(port, "protocol").unwrap_or_else(|| "TCP".into()),
        host: number(port, "hostPort"),
        address: text(port, "hostIP").unwrap_or_default(),
        is_ours: is_new || is_given(at),
    };
    let ports = container.node.value_of("ports");
    ports.as_ref().and_then(Value::as_array).into_iter().flatten().enumerate().map(read).collect()
}
