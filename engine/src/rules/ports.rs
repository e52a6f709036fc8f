//! Ports, which all containers of a pod share.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashSet};

use super::parts::{Container, Parts, named};
use super::report::{Place, Report};
use crate::json::View;
use crate::text::shown;

/// A port that a container declares.
struct Port<'t> {
    number: i64,
    protocol: Cow<'t, str>,
    host: i64,
    /// The node's address that `host` is of.
    address: Cow<'t, str>,
    tree: View<'t>,
}

fn ports(container: View<'_>) -> impl Iterator<Item = Port<'_>> {
    let number = |port: View<'_>, field: &str| port.get(field).and_then(View::integer).unwrap_or_default();
    container.list("ports").map(move |tree| Port {
        number: number(tree, "containerPort"),
        protocol: tree.get("protocol").and_then(View::string).unwrap_or("TCP".into()),
        host: number(tree, "hostPort"),
        address: tree.text("hostIP"),
        tree,
    })
}

/// Regular containers share the node's ports; an init container has them for itself. Source: checkHostPortConflicts.
pub(super) fn judge_host_ports(report: &mut Report, parts: &Parts<'_>, place: &Place<'_>) {
    let brings_network = parts.spec.touched("hostNetwork").is_some();
    let is_touched = |list: &str| {
        let mut touched = parts.touched.iter().filter(|container| container.list == list);
        brings_network || touched.any(|container| container.tree.touched("ports").is_some())
    };
    if is_touched("containers") {
        judge_together(report, parts, &named(parts.spec, "containers").collect::<Vec<_>>(), place);
    }
    if is_touched("initContainers") {
        for container in named(parts.spec, "initContainers") {
            judge_together(report, parts, &[container], place);
        }
    }
}

/// Judges the ports of the node that containers ask for together.
fn judge_together(report: &mut Report, parts: &Parts<'_>, containers: &[Container<'_>], place: &Place<'_>) {
    // On the node's network each port is one of the node's.
    let on_host = parts.spec.is_true("hostNetwork");
    let brings_network = parts.spec.touched("hostNetwork").is_some();
    let host = |port: &Port<'_>| if on_host && port.host == 0 { port.number } else { port.host };
    let mut taken = HashSet::new();
    // The pod's own come first, so that a port that is asked for twice is the template's.
    for is_new in [false, true] {
        for container in containers {
            for port in ports(container.tree).filter(|port| port.tree.is_new() == is_new && host(port) > 0) {
                let host = host(&port);
                if !taken.insert((host, port.protocol, port.address)) && (is_new || brings_network) {
                    container.at(place, |place| {
                        let message = format!("ask for the node's port {host} a second time");
                        report.add(&place.member("ports"), port.tree, message);
                    });
                }
            }
        }
    }
}

/// Two containers that run side by side with one port, where a template brought one of them: most likely the second
/// cannot listen. The API server lets it pass, and addresses may differ, so it is only said.
pub(super) fn port_clashes(spec: View<'_>) -> Vec<String> {
    // Regular containers come first.
    let side_by_side = || {
        let sidecars = named(spec, "initContainers").filter(|container| !container.ends());
        named(spec, "containers").chain(sidecars)
    };
    let clash = |(number, protocol): &(i64, Cow<'_, str>), one: &str, other: &str| {
        let (one, other, protocol) = (shown(one), shown(other), shown(protocol));
        format!("{one} and {other} both have port {number}/{protocol}: one of them may fail to start")
    };
    // The first container that a template brought with a port.
    let mut first: BTreeMap<(i64, Cow<'_, str>), Cow<'_, str>> = BTreeMap::new();
    let mut clashes = Vec::new();
    for container in side_by_side().filter(|container| container.tree.is_new()) {
        for port in ports(container.tree) {
            let key = (port.number, port.protocol);
            match first.get(&key) {
                Some(first) if *first != container.name() => clashes.push(clash(&key, first, &container.name())),
                Some(_) => {}
                None => drop(first.insert(key, container.name())),
            }
        }
    }
    if !first.is_empty() {
        for container in side_by_side().filter(|container| !container.tree.is_new()) {
            for port in ports(container.tree) {
                let key = (port.number, port.protocol);
                clashes.extend(first.get(&key).map(|other| clash(&key, &container.name(), other)));
            }
        }
    }
    clashes
}
