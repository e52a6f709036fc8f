//! The rules that parts of a pod keep or break together. What breaks one is said only of parts that are judged.
//!
//! Source, where nothing else is said: kubernetes pkg/apis/core/validation/validation.go.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap, HashSet};

use super::report::{Place, Report};
use super::reserve;
use super::special::{HOOKS, PROBES};
use super::tree::Tree;
use crate::text::{did_you_mean, nearest, shown};

/// What a pod's containers have until it says otherwise.
pub(crate) const DEFAULT_GRACE_PERIOD: i64 = 30;

/// A container, and where it is.
#[derive(Clone)]
pub(super) struct Container<'t> {
    pub(super) list: &'static str,
    at: usize,
    name: Cow<'t, str>,
    pub(super) tree: Tree<'t>,
}

/// The containers of both lists in the order in which they start.
pub(super) fn containers(spec: Tree<'_>) -> Vec<Container<'_>> {
    let of_list = |list: &'static str| {
        let items = spec.list(list).into_iter().enumerate();
        items.map(move |(at, tree)| Container { list, at, name: tree.text("name"), tree })
    };
    ["initContainers", "containers"].into_iter().flat_map(of_list).collect()
}

impl Container<'_> {
    /// Whether it is an init container that ends before the next one starts.
    pub(super) fn ends(&self) -> bool {
        self.list == "initContainers"
            && self.tree.text("restartPolicy") != "Always"
            && !self.tree.get("restartPolicy").is_some_and(Tree::is_unknown)
    }

    /// Goes on with its place.
    pub(super) fn at(&self, place: &Place<'_>, judge: impl FnOnce(&Place<'_>)) {
        let list = place.member(self.list);
        judge(&list.item(self.at, self.tree, &[String::from("name")]));
    }
}

/// The names that a mount can give.
pub(crate) struct Volumes {
    names: HashSet<String>,
    /// Whether an expression gives one of them, so that no name can be called wrong.
    is_open: bool,
}

impl Volumes {
    /// The volumes of a pod.
    pub(crate) fn of(spec: Tree<'_>) -> Volumes {
        let volumes = spec.list("volumes");
        let is_open = spec.get("volumes").is_some_and(Tree::is_unknown)
            || volumes.iter().any(|it| it.is_unknown() || it.get("name").is_some_and(Tree::is_unknown));
        Volumes { names: volumes.iter().map(|volume| volume.text("name").into_owned()).collect(), is_open }
    }

    /// Those of this list of names as well.
    pub(crate) fn and(mut self, names: Tree<'_>) -> Volumes {
        self.is_open |= names.is_unknown() || names.items().into_iter().any(Tree::is_unknown);
        self.names.extend(names.items().into_iter().filter_map(Tree::string).map(Cow::into_owned));
        self
    }

    /// Without these, which count as not there.
    pub(crate) fn without(mut self, hidden: &HashSet<String>) -> Volumes {
        self.names.retain(|name| !hidden.contains(name));
        self
    }
}

/// Judges a pod's `spec`.
pub(crate) fn judge(report: &mut Report, spec: Tree<'_>, place: &Place<'_>, volumes: &Volumes) {
    let containers = containers(spec);
    judge_names(report, spec, &containers, place);
    let grace_period = grace_period(spec);
    for container in containers.iter().filter(|container| container.tree.is_touched()) {
        container.at(place, |place| {
            judge_restarts(report, container, place);
            judge_mounts(report, container.tree, place, volumes);
            judge_sleep(report, container.tree, place, grace_period);
        });
    }
    judge_dns(report, spec, place);
    judge_os(report, spec, &containers, place);
    judge_host_ports(report, spec, &containers, place);
    reserve::judge(report, spec, &containers, place);
}

/// No two containers have one name, in whichever lists they are; nor two volumes.
fn judge_names(report: &mut Report, spec: Tree<'_>, containers: &[Container<'_>], place: &Place<'_>) {
    let mut first = HashMap::new();
    let volumes = spec.list("volumes").into_iter().enumerate();
    let volumes = volumes.map(|(at, tree)| Container { list: "volumes", at, name: tree.text("name"), tree });
    for item in containers.iter().cloned().chain(volumes) {
        let key = (item.list == "volumes", item.name.clone().into_owned());
        let Some(name) = item.tree.get("name").filter(|name| !name.is_empty() && !name.is_unknown()) else { continue };
        match first.get(&key) {
            Some(first) if name.is_new() => item.at(place, |place| {
                let message = format!("is {}, which {first} has already", shown(&item.name));
                report.add(&place.member("name"), name, message);
            }),
            Some(_) => {}
            None => item.at(place, |place| drop(first.insert(key, place.to_string()))),
        }
    }
}

fn judge_restarts(report: &mut Report, container: &Container<'_>, place: &Place<'_>) {
    let tree = container.tree;
    if let Some(policy) = tree.get("restartPolicy").filter(|policy| policy.is_new() && !policy.is_unknown()) {
        let place = place.member("restartPolicy");
        if container.list == "containers" {
            let message = "must not be set on a regular container; a native sidecar is an entry of initContainers";
            report.add(&place, policy, message);
        } else if policy.string().is_some_and(|it| !["Always", "Never", "OnFailure"].contains(&&*it)) {
            report.add(&place, policy, "must be Always, which makes a native sidecar");
        }
    }
    if !container.ends() {
        return;
    }
    let lifecycle = tree.get("lifecycle");
    let hooks = HOOKS.iter().filter_map(|hook| Some((true, *hook, lifecycle?.get(hook)?)));
    let probes = PROBES.iter().filter_map(|probe| Some((false, *probe, tree.get(probe)?)));
    for (is_hook, field, value) in probes.chain(hooks).filter(|(.., value)| value.is_new()) {
        let lifecycle = place.member("lifecycle");
        let place = if is_hook { &lifecycle } else { place };
        let message = "must not be set on an init container that ends: make it a native sidecar with restartPolicy: \
                       Always, or skip it with when";
        report.add(&place.member(field), value, message);
    }
}

/// What containers mount must be there.
pub(crate) fn judge_mounts(report: &mut Report, container: Tree<'_>, place: &Place<'_>, volumes: &Volumes) {
    for list in ["volumeMounts", "volumeDevices"] {
        let place = place.member(list);
        for (at, mount) in container.list(list).into_iter().enumerate().filter(|_| !volumes.is_open) {
            let Some((volume, name)) = mount.get("name").and_then(|it| Some((it, it.string()?))) else { continue };
            if volume.is_new() && !volumes.names.contains(&*name) {
                let hint = did_you_mean(nearest(&name, volumes.names.iter().map(String::as_str)));
                let message = format!(
                    "is {}, and there is no volume of that name: bring it in volumes, or list it in shares if the pod \
                     has it{hint}",
                    shown(&name)
                );
                report.add(&place.index(at).member("name"), volume, message);
            }
        }
    }
}

/// How long a pod may take to end. A template can only make it longer.
fn grace_period(spec: Tree<'_>) -> i64 {
    let Some(period) = spec.get("terminationGracePeriodSeconds") else { return DEFAULT_GRACE_PERIOD };
    let least = if spec.is_written() { DEFAULT_GRACE_PERIOD } else { i64::MIN };
    period.integer().unwrap_or(i64::MAX).max(least)
}

/// Source: kubernetes pkg/apis/core/validation, validateSleepAction.
fn judge_sleep(report: &mut Report, container: Tree<'_>, place: &Place<'_>, grace_period: i64) {
    for hook in HOOKS {
        let sleep = container.get("lifecycle").and_then(|lifecycle| lifecycle.get(hook)?.get("sleep"));
        let Some(seconds) = sleep.and_then(|sleep| sleep.get("seconds")).filter(|it| it.is_new()) else { continue };
        if seconds.integer() > Some(grace_period) {
            let (lifecycle, message) =
                (place.member("lifecycle"), format!("is more than the {grace_period} seconds that the pod has to end"));
            let hook = lifecycle.member(hook);
            let sleep = hook.member("sleep");
            report.add(&sleep.member("seconds"), seconds, message);
        }
    }
}

/// Without servers of its own a pod with `dnsPolicy: None` has no DNS at all, and is refused.
fn judge_dns(report: &mut Report, spec: Tree<'_>, place: &Place<'_>) {
    let Some(policy) = spec.get("dnsPolicy").filter(|policy| policy.is_new()) else { return };
    let servers = spec.get("dnsConfig").map_or(Some(spec), |config| config.get("nameservers"));
    let has_servers = spec.get("dnsConfig").is_some_and(|it| it.is_unknown() || !it.list("nameservers").is_empty())
        || servers.is_some_and(Tree::is_unknown);
    if policy.string().as_deref() == Some("None") && !has_servers {
        report.add(&place.member("dnsPolicy"), policy, "is None, which needs dnsConfig.nameservers");
    }
}

/// What a pod of one operating system cannot have. Source: validateWindows and validateLinux.
fn judge_os(report: &mut Report, spec: Tree<'_>, containers: &[Container<'_>], place: &Place<'_>) {
    const LINUX_FIELDS: &[&str] = &["hostPID", "hostIPC", "hostUsers", "shareProcessNamespace"];
    /// Fields of security contexts, of pods and of containers.
    const LINUX_SECURITY: &[&str] = &[
        "allowPrivilegeEscalation",
        "appArmorProfile",
        "capabilities",
        "fsGroup",
        "fsGroupChangePolicy",
        "privileged",
        "procMount",
        "readOnlyRootFilesystem",
        "runAsGroup",
        "runAsUser",
        "seLinuxOptions",
        "seccompProfile",
        "supplementalGroups",
        "sysctls",
    ];
    // A template cannot say it, so it is the pod's.
    let Some(os) = spec.get("os").filter(|_| !spec.is_written()).map(|os| os.text("name")) else { return };
    let (fields, security) =
        if os == "windows" { (LINUX_FIELDS, LINUX_SECURITY) } else { (&[] as &[&str], &["windowsOptions"] as &[&str]) };
    let mut refuse = |owner: Option<Tree<'_>>, fields: &[&str], place: &Place<'_>| {
        for (field, value) in fields.iter().filter_map(|field| Some((field, owner?.get(field)?))) {
            if value.is_new() {
                report.add(&place.member(field), value, format!("must not be set for a pod of {}", shown(&os)));
            }
        }
    };
    refuse(Some(spec), fields, place);
    refuse(spec.get("securityContext"), security, &place.member("securityContext"));
    for container in containers.iter().filter(|container| container.tree.is_touched()) {
        container.at(place, |place| {
            refuse(container.tree.get("securityContext"), security, &place.member("securityContext"));
        });
    }
}

/// A port that a container declares.
struct Port<'t> {
    number: i64,
    protocol: Cow<'t, str>,
    host: i64,
    /// The node's address that `host` is of.
    address: Cow<'t, str>,
    tree: Tree<'t>,
}

fn ports(container: Tree<'_>) -> impl Iterator<Item = Port<'_>> {
    let number = |port: Tree<'_>, field: &str| port.get(field).and_then(Tree::integer).unwrap_or_default();
    container.list("ports").into_iter().map(move |tree| Port {
        number: number(tree, "containerPort"),
        protocol: tree.get("protocol").and_then(Tree::string).unwrap_or("TCP".into()),
        host: number(tree, "hostPort"),
        address: tree.text("hostIP"),
        tree,
    })
}

/// Two regular containers cannot have one port of the node. Source: checkHostPortConflicts.
fn judge_host_ports(report: &mut Report, spec: Tree<'_>, containers: &[Container<'_>], place: &Place<'_>) {
    let regular = || containers.iter().filter(|container| container.list == "containers");
    if !regular().any(|container| container.tree.get("ports").is_some_and(Tree::is_touched)) {
        return;
    }
    // On the node's network each port is one of the node's.
    let on_host = spec.is_true("hostNetwork");
    let host = |port: &Port<'_>| if on_host && port.host == 0 { port.number } else { port.host };
    let mut taken = HashSet::new();
    // The pod's own come first, so that a port that is asked for twice is the template's.
    for is_new in [false, true] {
        for container in regular() {
            for port in ports(container.tree).filter(|port| port.tree.is_new() == is_new && host(port) > 0) {
                let host = host(&port);
                if !taken.insert((host, port.protocol, port.address)) && is_new {
                    container.at(place, |place| {
                        let message = format!("ask for the node's port {host}, which another container has");
                        report.add(&place.member("ports"), port.tree, message);
                    });
                }
            }
        }
    }
}

/// Two containers that run side by side with one port, where a template brought one of them: most likely the second
/// cannot listen. The API server lets it pass, and addresses may differ, so it is only said.
pub(crate) fn port_clashes(spec: Tree<'_>) -> Vec<String> {
    let mut side_by_side = containers(spec);
    side_by_side.retain(|container| !container.ends());
    // Regular containers come first.
    side_by_side.sort_by_key(|container| container.list);
    let (new, own): (Vec<_>, Vec<_>) = side_by_side.into_iter().partition(|container| container.tree.is_new());
    // The first container that a template brought with a port.
    let mut first: BTreeMap<(i64, String), Cow<'_, str>> = BTreeMap::new();
    let mut clashes = Vec::new();
    let clash = |(number, protocol): &(i64, String), one: &str, other: &str| {
        let (one, other, protocol) = (shown(one), shown(other), shown(protocol));
        format!("{one} and {other} both have port {number}/{protocol}: one of them may fail to start")
    };
    for container in &new {
        for port in ports(container.tree) {
            let key = (port.number, port.protocol.into_owned());
            match first.get(&key) {
                Some(first) if *first != container.name => clashes.push(clash(&key, first, &container.name)),
                Some(_) => {}
                None => drop(first.insert(key, container.name.clone())),
            }
        }
    }
    for container in own.iter().filter(|_| !first.is_empty()) {
        for port in ports(container.tree) {
            let key = (port.number, port.protocol.into_owned());
            clashes.extend(first.get(&key).map(|other| clash(&key, &container.name, other)));
        }
    }
    clashes
}
