//! Would the API server accept the result? What a part alone can tell stands in [`validation`]; here is what the parts must
//! agree on with the pod. Only what a template brought is blamed.

mod os;
mod ports;
mod reserve;

use std::collections::{BTreeMap, HashSet};

use serde_json::Value;

pub(super) use self::ports::clashes;
use super::draft::{Entry, Node};
use super::merge::DEFAULT_GRACE_PERIOD;
use crate::schema::{Schema, Type};
use crate::shown;
use crate::template::check::reserved;
use crate::template::fragment::View;
use crate::validation::{self, Report, Wrong};

/// The sum of all annotations. Source: apimachinery pkg/api/validation/objectmeta.go.
pub(super) const MAX_ANNOTATIONS: usize = 256 << 10;

const ENDS: &str = "must not stand on an init container that ends; leave it out with when";

/// Checks a draft after a template was merged into it, and gives everything that is wrong. Volumes that are `hidden` count
/// as not there.
pub(super) fn check(draft: &mut Node<'_>, hidden: &HashSet<String>) -> Vec<Wrong> {
    let mut report = Report::default();
    check_metadata(&mut report, draft);
    let Some(spec) = draft.member("spec") else { return report.wrong };
    let spec = &mut spec.node;
    let grace_period = number(spec, "terminationGracePeriodSeconds").unwrap_or(DEFAULT_GRACE_PERIOD);
    let mut volumes = check_volumes(&mut report, spec);
    volumes.retain(|volume| !hidden.contains(volume));
    let limits = spec.value_of("resources").map(|of_pod| validation::amounts(&of_pod, "limits")).unwrap_or_default();
    for list in ["initContainers", "containers"] {
        for entry in spec.member(list).and_then(|entry| entry.node.items()).into_iter().flatten() {
            if !is_touched(entry) {
                continue;
            }
            let name = entry.node.text_of("name").unwrap_or_default();
            let step = format!("{list}[{}]", shown(&name));
            drop(name);
            let around = Around { limits: &limits, is_init: list == "initContainers", grace_period, volumes: &volumes };
            report.at(&step, |report| match (&entry.node, entry.is_ours()) {
                (Node::View(view), true) => around.check_new(report, *view),
                _ => around.check_own(report, &mut entry.node),
            });
        }
    }
    check_fields(&mut report, spec);
    check_dns(&mut report, spec);
    os::check(&mut report, spec);
    ports::check_host_ports(&mut report, spec);
    reserve::check(&mut report, spec);
    report.wrong
}

/// Whether a template brought or changed something of it.
fn is_touched(entry: &Entry<'_>) -> bool {
    let is_changed = |entry: &Entry<'_>| entry.is_ours() || matches!(entry.node, Node::Object(_) | Node::List(_));
    entry.is_ours() || matches!(&entry.node, Node::Object(members) if members.iter().any(|(_, it)| is_changed(it)))
}

/// The annotations of a finished draft.
pub(super) fn check_annotations(draft: &mut Node<'_>) -> Result<(), String> {
    let annotations = draft.member("metadata").and_then(|metadata| metadata.node.member("annotations"));
    let Some(members) = annotations.and_then(|annotations| annotations.node.members()) else { return Ok(()) };
    if !members.iter().any(|(_, entry)| entry.is_ours()) {
        return Ok(());
    }
    let size_of = |with_ours: bool| -> usize {
        let counted = members.iter().filter(|(_, entry)| with_ours || !entry.is_ours());
        counted.map(|(key, entry)| key.len() + entry.node.string().map_or(0, |value| value.len())).sum()
    };
    // What is too much without the templates is the pod's own fault.
    let size = size_of(true);
    if size > MAX_ANNOTATIONS && size_of(false) <= MAX_ANNOTATIONS {
        return Err(format!("metadata.annotations would have {size} bytes, and {MAX_ANNOTATIONS} are allowed"));
    }
    Ok(())
}

fn check_metadata(report: &mut Report, draft: &mut Node<'_>) {
    for map in ["labels", "annotations"] {
        let entry = draft.member("metadata").and_then(|metadata| metadata.node.member(map));
        let Some(entry) = entry.filter(|entry| !matches!(entry.node, Node::Raw(_))) else { continue };
        for (key, entry) in entry.node.members().into_iter().flatten().filter(|(_, entry)| entry.is_ours()) {
            report.at(&format!("metadata.{map}[{}]", shown(key)), |report| {
                if let Some(why) = reserved(map, key) {
                    report.wrong(why);
                }
                // The API server takes capitals in an annotation's key.
                let plain = if map == "annotations" { key.to_lowercase().into() } else { key.clone() };
                if !validation::is_qualified_name(&plain) {
                    report.wrong("is no key that Kubernetes takes, such as team or example.com/team");
                }
                let value = entry.node.string().unwrap_or_default();
                if map == "labels" && !validation::is_label_value(&value) {
                    report.wrong(format!("is \"{}\", which is no label's value", shown(&value)));
                }
            });
        }
    }
}

/// The names of all volumes.
fn check_volumes(report: &mut Report, spec: &mut Node<'_>) -> HashSet<String> {
    let mut names = HashSet::new();
    for entry in spec.member("volumes").and_then(|entry| entry.node.items()).into_iter().flatten() {
        let name = entry.node.text_of("name").unwrap_or_default().into_owned();
        if entry.is_ours() && !is_checked(&entry.node) {
            let step = format!("volumes[{}]", shown(&name));
            let value = entry.node.to_value();
            report.at(&step, |report| {
                complete(report, &entry.node, &value, Schema::get().item("PodSpec", "volumes"));
                validation::volume(report, &value);
            });
        }
        names.insert(name);
    }
    names
}

/// What does not vary was checked when its template was loaded.
fn is_checked(node: &Node<'_>) -> bool {
    matches!(node, Node::View(view) if view.is_fixed())
}

/// What templates gave beside containers and volumes, as far as it varies.
fn check_fields(report: &mut Report, spec: &mut Node<'_>) {
    let fields = spec.members().into_iter().flatten();
    for (name, entry) in fields.filter(|(name, _)| !["containers", "initContainers", "volumes"].contains(&&**name)) {
        let is_new = entry.is_ours();
        let is_asked = |it: &Entry<'_>| (is_new || it.is_ours()) && !is_checked(&it.node);
        let value = match &entry.node {
            Node::Object(members) if members.iter().any(|(_, it)| is_asked(it)) => {
                let ours = members.iter().filter(|(_, it)| is_asked(it));
                ours.map(|(name, it)| (name.clone().into_owned(), it.node.to_value())).collect()
            }
            Node::List(items) if items.iter().any(is_asked) => {
                // Each in its place; the pod's own as nothing.
                items.iter().map(|it| if is_asked(it) { it.node.to_value() } else { Value::Null }).collect()
            }
            Node::Raw(_) | Node::View(_) | Node::Value(_) if is_asked(entry) => entry.node.to_value(),
            _ => continue,
        };
        report.at(name, |report| {
            report.complete(&value, Schema::get().field("PodSpec", name));
            validation::pod_field(report, name, &value);
        });
    }
}

/// Whether all is there that Kubernetes requires. Only what gave nothing can have left it out.
fn complete(report: &mut Report, node: &Node<'_>, value: &Value, kind: &Type) {
    if !matches!(node, Node::View(view) if !view.has_nulls()) {
        report.complete(value, kind);
    }
}

/// Without servers of its own a pod with `dnsPolicy: None` has no DNS at all, and is refused.
fn check_dns(report: &mut Report, spec: &mut Node<'_>) {
    let Some(policy) = spec.member("dnsPolicy") else { return };
    if !policy.is_ours() || policy.node.string().as_deref() != Some("None") {
        return;
    }
    let config = spec.member("dnsConfig").map(|entry| entry.node.to_value()).unwrap_or_default();
    if config.get("nameservers").and_then(Value::as_array).is_none_or(Vec::is_empty) {
        report.at("dnsPolicy", |report| report.wrong("is None, which needs dnsConfig.nameservers"));
    }
}

/// What a container must agree on with its pod.
struct Around<'v> {
    /// `limits` of the pod as a whole.
    limits: &'v BTreeMap<String, f64>,
    is_init: bool,
    grace_period: i64,
    /// The names of the pod's volumes.
    volumes: &'v HashSet<String>,
}

impl Around<'_> {
    /// A container that a template brought.
    fn check_new(&self, report: &mut Report, view: View<'_>) {
        if !view.is_fixed() {
            let value = view.to_value();
            complete(report, &Node::View(view), &value, Schema::get().item("PodSpec", "containers"));
            validation::container(report, &value, self.is_init);
        }
        if !self.limits.is_empty() {
            let resources = view.get("resources").map(View::to_value).unwrap_or_default();
            self.check_limits(report, &validation::amounts(&resources, "limits"));
        }
        for list in ["volumeMounts", "volumeDevices"] {
            for (at, mount) in view.get(list).into_iter().flat_map(View::items).enumerate() {
                let name = mount.get("name").and_then(View::as_str).unwrap_or_default();
                report.at(&format!(".{list}[{at}]"), |report| self.check_volume(report, name));
            }
        }
        for hook in ["postStart", "preStop"] {
            let handler = view.get("lifecycle").and_then(|lifecycle| lifecycle.get(hook));
            let seconds = handler.and_then(|handler| handler.get("sleep")?.get("seconds")?.value()?.as_i64());
            self.check_sleep(report, hook, seconds);
        }
    }

    /// One of the pod's own containers, to which something was added.
    fn check_own(&self, report: &mut Report, container: &mut Node<'_>) {
        check_items(report, container, "env", validation::env);
        check_items(report, container, "envFrom", validation::env_from);
        check_items(report, container, "ports", validation::port);
        ports::check_names(report, container);
        for (list, path) in [("volumeMounts", "mountPath"), ("volumeDevices", "devicePath")] {
            check_items(report, container, list, |report, mount| validation::mount(report, mount, path));
            self.check_volumes(report, container, list, path);
        }
        let ends = self.is_init && container.text_of("restartPolicy").as_deref() != Some("Always");
        for probe in ["startupProbe", "livenessProbe", "readinessProbe"] {
            let Some(entry) = container.member(probe).filter(|entry| entry.is_ours()) else { continue };
            let (value, is_checked) = (entry.node.to_value(), is_checked(&entry.node));
            report.at(&format!(".{probe}"), |report| {
                if ends {
                    report.wrong(ENDS);
                }
                if !is_checked {
                    report.complete(&value, Schema::get().field("Container", probe));
                    validation::probe(report, &value, probe);
                }
                validation::named_port(report, &value, &container.value_of("ports").unwrap_or_default());
            });
        }
        self.check_lifecycle(report, container, ends);
        self.check_resources(report, container);
    }

    /// The volumes that mounts of templates name.
    fn check_volumes(&self, report: &mut Report, container: &mut Node<'_>, list: &str, path: &str) {
        let Some(entry) = container.member(list).filter(|entry| !matches!(entry.node, Node::Raw(_))) else { return };
        for item in entry.node.items().into_iter().flatten().filter(|item| item.is_ours()) {
            let name = item.node.text_of("name").unwrap_or_default();
            if !self.volumes.contains(&*name) {
                let at = item.node.text_of(path).unwrap_or_default();
                report.at(&format!(".{list}[{}]", shown(&at)), |report| self.check_volume(report, &name));
            }
        }
    }

    /// A request or limit of a template beside one of the pod.
    fn check_resources(&self, report: &mut Report, container: &mut Node<'_>) {
        let Some(resources) = container.member("resources").filter(|entry| !matches!(entry.node, Node::Raw(_))) else {
            return;
        };
        let value = resources.node.to_value();
        let ours = reserve::given(resources);
        for (kind, name) in &ours {
            report.at(&format!(".resources.{kind}"), |report| validation::amount(report, name, &value[kind][name]));
        }
        let (requests, mut limits) = (validation::amounts(&value, "requests"), validation::amounts(&value, "limits"));
        let is_ours = |name: &str| ["requests", "limits"].iter().any(|kind| ours.contains(&(*kind, name.to_owned())));
        for name in validation::excess(&requests, &limits).filter(|name| is_ours(name)) {
            report.at(".resources", |report| {
                report.wrong(format!("would request more {} than the limit allows", shown(name)));
            });
        }
        limits.retain(|name, _| ours.contains(&("limits", name.clone())));
        self.check_limits(report, &limits);
    }

    /// Source: KEP-2837.
    fn check_limits(&self, report: &mut Report, limits: &BTreeMap<String, f64>) {
        for name in validation::excess(limits, self.limits) {
            let message = format!("allow more {} than spec.resources.limits of the pod", shown(name));
            report.at(".resources.limits", |report| report.wrong(message));
        }
    }

    fn check_volume(&self, report: &mut Report, name: &str) {
        if !self.volumes.contains(name) {
            report.at(".name", |report| {
                report.wrong(format!("is {}, and the pod has no volume of that name: it must bring one", shown(name)));
            });
        }
    }

    fn check_lifecycle(&self, report: &mut Report, container: &mut Node<'_>, ends: bool) {
        let Some(lifecycle) = container.member("lifecycle") else { return };
        let is_new = lifecycle.is_ours();
        for hook in ["postStart", "preStop"] {
            let entry = lifecycle.node.member(hook).filter(|entry| is_new || entry.is_ours());
            let Some(value) = entry.map(|entry| entry.node.to_value()) else { continue };
            report.at(&format!(".lifecycle.{hook}"), |report| {
                if ends {
                    report.wrong(ENDS);
                }
                report.complete(&value, Schema::get().field("Lifecycle", hook));
                validation::handler(report, &value);
            });
            self.check_sleep(report, hook, value.pointer("/sleep/seconds").and_then(Value::as_i64));
        }
    }

    /// Source: kubernetes pkg/apis/core/validation, validateSleepAction.
    fn check_sleep(&self, report: &mut Report, hook: &str, seconds: Option<i64>) {
        if let Some(seconds) = seconds.filter(|seconds| *seconds > self.grace_period) {
            let left = self.grace_period;
            report.at(&format!(".lifecycle.{hook}.sleep"), |report| {
                report.wrong(format!("takes {seconds} seconds, and the pod has {left} seconds to end"));
            });
        }
    }
}

/// Checks those items of a list that templates brought, as far as they vary.
fn check_items(report: &mut Report, container: &mut Node<'_>, list: &str, check: impl Fn(&mut Report, &Value)) {
    let Some(entry) = container.member(list).filter(|entry| !matches!(entry.node, Node::Raw(_))) else { return };
    let items = entry.node.items().into_iter().flatten();
    for item in items.filter(|item| item.is_ours() && !is_checked(&item.node)) {
        let Type::List { keys, item: kind } = Schema::get().field("Container", list) else {
            unreachable!("it is a list")
        };
        let step = format!(".{list}[{}]", shown(&item.node.key(keys)));
        let value = item.node.to_value();
        report.at(&step, |report| {
            complete(report, &item.node, &value, kind);
            check(report, &value);
        });
    }
}

fn number(node: &mut Node<'_>, field: &str) -> Option<i64> {
    node.member(field)?.node.to_value().as_i64()
}
