//! The rules that parts of a pod keep or break together. What breaks one is said only of parts that are judged.
//!
//! Source, where nothing else is said: kubernetes pkg/apis/core/validation/validation.go.

use std::cell::LazyCell;
use std::collections::HashMap;

use super::parts::{Container, PROBES, Parts, containers, named};
use super::report::{Place, Report};
use super::row::hint;
use super::{amounts, annotations, host, ports, reserve, windows};
use crate::json::View;
use crate::names::NO_TOKEN;
use crate::schema::Schema;
use crate::text::shown;

/// How long a pod has to end until it says otherwise.
pub(crate) const DEFAULT_GRACE_PERIOD: i64 = 30;

/// The fields of a spec, beside the time that it has to end, that the API server fills in and a template may replace: a pod
/// that has one of these values has said nothing. Source: kubernetes pkg/apis/core/v1/defaults.go.
pub(crate) const DEFAULTS: [(&str, &str); 4] = [
    ("dnsPolicy", "ClusterFirst"),
    ("enableServiceLinks", "true"),
    ("restartPolicy", "Always"),
    ("schedulerName", "default-scheduler"),
];

/// What parts must be together, in words, and the function that judges it.
pub(super) type Rule = (&'static str, fn(&mut Report, &Parts<'_>, &Place<'_>));

#[rustfmt::skip]
pub(super) const ACROSS: &[Rule] = &[
    ("no two containers of any list, and no two volumes, have one name", judge_names),
    ("no probe and no hook on an init container that ends", judge_what_ends),
    ("what a container mounts or reads variables from is a volume of the pod, and of the kind for it", judge_all_mounts),
    ("no `sleep` of a hook is longer than the pod has to end", judge_sleep),
    ("no `RestartContainer` of a `resizePolicy` where nothing restarts: in a pod with `restartPolicy: Never`, and in an init container that ends", judge_resizing),
    ("`dnsPolicy: None` comes with `dnsConfig.nameservers`", judge_dns),
    ("`procMount: Unmasked` comes with `hostUsers: false`", host::judge_proc_mount),
    ("a pod with `hostPID` shares no process namespace, and one with `hostUsers: false` has no namespace and no device of its node", host::judge_namespaces),
    ("on the node's network a `hostPort` is the `containerPort`", host::judge_ports),
    ("`hostnameOverride` comes with neither `hostNetwork` nor `setHostnameAsFQDN`", host::judge_hostname),
    ("no sysctl of a namespace that is the node's", host::judge_sysctls),
    ("no `schedulingGates` in a pod that has a node", host::judge_gates),
    ("no key of `matchLabelKeys` that the selector has already", judge_label_keys),
    ("nothing that belongs to another operating system than the pod's, and a `stopSignal` only where it has one", windows::judge_os),
    ("all containers are HostProcess containers of Windows, on the node's network, or none is", windows::judge_host_process),
    ("annotations of seccomp and AppArmor name profiles, and containers of the pod; a deletion cost is a number, and tolerations are a JSON list of them", annotations::judge),
    ("a profile of seccomp or AppArmor is the same in its annotation and in its field", annotations::judge_profiles),
    ("who requests a resource that cannot be shared out limits it as well, and who asks for huge pages asks for cpu or memory", amounts::judge_partners),
    ("a claim that a container names is one of the pod's", amounts::judge_claims),
    ("no two regular containers have one port of the node (`hostPort`), and no container has one of these twice", ports::judge_host_ports),
    ("containers limit and request no more than `spec.resources` of their pod", reserve::judge),
];

/// Judges a pod.
pub(crate) fn judge(report: &mut Report, parts: &Parts<'_>, place: &Place<'_>) {
    for (at, (_, judge)) in ACROSS.iter().enumerate() {
        let before = report.len();
        judge(report, parts, &place.member("spec"));
        report.attribute(before, || super::number_of_across(at));
    }
}

fn judge_names(report: &mut Report, parts: &Parts<'_>, place: &Place<'_>) {
    // What templates bring is merged by name: two of one name are a conflict.
    if !parts.spec.is_new() {
        return;
    }
    for lists in [&["initContainers", "containers", "ephemeralContainers"] as &[_], &["volumes"]] {
        let mut seen = HashMap::new();
        for item in lists.iter().flat_map(|list| named(parts.spec, list)) {
            let Some(name) = item.tree.get("name").filter(|name| !name.is_empty() && !name.is_unknown()) else {
                continue;
            };
            if let Some(first) = seen.get(&item.name()) {
                let first: &Container<'_> = first;
                first.at(place, |first| {
                    let message = format!("is {}, which {first} has already", name.shown());
                    item.at(place, |place| report.add(&place.member("name"), name, message));
                });
                continue;
            }
            seen.insert(item.name(), item);
        }
    }
}

/// Regular containers that templates brought into a pod that is to end: it does so only once each of them has.
pub(super) fn endless_containers(spec: View<'_>) -> Vec<String> {
    let policy = spec.text("restartPolicy");
    if policy.is_empty() || policy == "Always" {
        return Vec::new();
    }
    let brought = named(spec, "containers").filter(|container| container.tree.is_new());
    let sentence = |container: Container<'_>| {
        let (name, policy) = (container.name(), shown(&policy));
        format!(
            "containers[{}]: with restartPolicy {policy} the pod ends only when it does; make it a native sidecar",
            shown(&name)
        )
    };
    brought.map(sentence).collect()
}

fn judge_what_ends(report: &mut Report, parts: &Parts<'_>, place: &Place<'_>) {
    const OF_THE_TEMPLATE: &str = "must not be set on an init container that ends: make it a native sidecar with \
                                   restartPolicy: Always, or leave it out";
    const OF_THE_POD: &str = "must not be set on an init container that ends: skip it with when";
    for container in parts.varying().filter(|container| container.ends()) {
        let message = if container.tree.is_new() { OF_THE_TEMPLATE } else { OF_THE_POD };
        container.at(place, |place| {
            let probes = PROBES.iter().filter_map(|probe| Some((probe, container.tree.get(probe)?)));
            for (probe, value) in probes.filter(|(_, value)| value.is_new()) {
                report.add(&place.member(probe), value, message);
            }
            let lifecycle =
                container.tree.get("lifecycle").filter(|it| it.is_new() && container.hooks().next().is_none());
            if let Some(lifecycle) = lifecycle {
                report.add(&place.member("lifecycle"), lifecycle, message);
            }
            for (hook, value) in container.hooks().filter(|(_, value)| value.is_new()) {
                report.add(&place.member("lifecycle").member(hook), value, message);
            }
        });
    }
}

fn judge_all_mounts(report: &mut Report, parts: &Parts<'_>, place: &Place<'_>) {
    for container in &parts.touched {
        container.at(place, |place| judge_mounts(report, container.tree, place, parts));
    }
}

/// What a container mounts must be there, and devices must be ones.
pub(crate) fn judge_mounts(report: &mut Report, container: View<'_>, place: &Place<'_>, parts: &Parts<'_>) {
    for list in ["volumeMounts", "volumeDevices"] {
        let Some(mounts) = container.touched(list) else { continue };
        for (at, mount) in mounts.touched_items() {
            let place = place.member(list);
            let place = place.item(at, mount, Schema::get().container.keys(list));
            judge_volume(report, mount, "name", &place, parts);
            if list == "volumeDevices" {
                judge_device(report, mount, &place, parts);
            }
        }
    }
    judge_mounts_and_devices(report, container, place);
    for (at, variable) in container.touched("env").into_iter().flat_map(View::touched_items) {
        let Some(reference) = variable.get("valueFrom").and_then(|from| from.get("fileKeyRef")) else { continue };
        let place = place.member("env");
        let place = place.item(at, variable, Schema::get().container.keys("env"));
        let place = place.member("valueFrom");
        let place = place.member("fileKeyRef");
        judge_volume(report, reference, "volumeName", &place, parts);
        if parts.source_of(&reference.text("volumeName")).is_some_and(|source| source != "emptyDir") {
            report.add(&place.member("volumeName"), reference, "must be an emptyDir");
        }
    }
}

/// What names a volume must name one that is there.
fn judge_volume(report: &mut Report, user: View<'_>, field: &'static str, place: &Place<'_>, parts: &Parts<'_>) {
    let Some((volume, name)) = user.get(field).and_then(|it| Some((it, it.string()?))) else { return };
    // It comes with the containers, and is not written in their template.
    if parts.spec.is_written() && name == NO_TOKEN || parts.may_have_volume(&name) {
        return;
    }
    // Of a pod there can be ten thousands, and as many mounts.
    let known: Vec<_> = parts.volume_names().take_while(|_| parts.spec.is_written()).collect();
    let hint = hint(volume, known.iter().map(|name| &**name));
    let message = format!(
        "is {}, and there is no volume of that name: bring it in volumes, or list it in shares if the pod has it{hint}",
        volume.shown()
    );
    report.add(&place.member(field), volume, message);
}

/// Source: ValidateVolumeDevices.
fn judge_device(report: &mut Report, device: View<'_>, place: &Place<'_>, parts: &Parts<'_>) {
    let source = parts.source_of(&device.text("name"));
    if source.is_some_and(|source| !["persistentVolumeClaim", "ephemeral"].contains(&source)) {
        report.add(&place.member("name"), device, "must be a volume of a persistentVolumeClaim or ephemeral");
    }
}

/// No volume is a device and a folder in one container, and no path is both. Source: ValidateVolumeMounts.
fn judge_mounts_and_devices(report: &mut Report, container: View<'_>, place: &Place<'_>) {
    let [mounts, devices] = ["volumeMounts", "volumeDevices"].map(|list| container.get(list));
    let Some((mounts, devices)) = mounts.zip(devices).filter(|(one, other)| one.is_touched() || other.is_touched())
    else {
        return;
    };
    let taken = |field: &'static str| {
        let mut taken: HashMap<_, bool> = HashMap::new();
        for mount in mounts.items().filter(|mount| !mount.text(field).is_empty()) {
            *taken.entry(mount.text(field)).or_default() |= mount.is_new();
        }
        taken
    };
    let (names, paths) = (taken("name"), taken("mountPath"));
    for (at, device) in devices.items().enumerate() {
        let clashes = [names.get(&device.text("name")), paths.get(&device.text("devicePath"))];
        if clashes.into_iter().flatten().any(|is_new| *is_new || device.is_new()) {
            report.add(&place.member("volumeDevices").index(at), device, "is mounted as a folder, too");
        }
    }
}

/// Source: validateSleepAction.
fn judge_sleep(report: &mut Report, parts: &Parts<'_>, place: &Place<'_>) {
    // A template can only give a pod more time than it has.
    let least = if parts.spec.is_written() { DEFAULT_GRACE_PERIOD } else { i64::MIN };
    let period = parts.spec.get("terminationGracePeriodSeconds");
    let period =
        period.map_or(DEFAULT_GRACE_PERIOD, |it| it.integer().filter(|it| *it >= 0).unwrap_or(i64::MAX)).max(least);
    for container in &parts.touched {
        for (hook, handler) in container.hooks() {
            let seconds = handler.get("sleep").and_then(|sleep| sleep.get("seconds"));
            if let Some(seconds) = seconds.filter(|it| it.is_new() && it.integer() > Some(period)) {
                let message = format!("is more than the {period} seconds that the pod has to end");
                container.at(place, |place| {
                    report.add(
                        &place.member("lifecycle").member(hook).member("sleep").member("seconds"),
                        seconds,
                        message,
                    );
                });
            }
        }
    }
}

/// Source: validateResizePolicy and validateInitContainers.
fn judge_resizing(report: &mut Report, parts: &Parts<'_>, place: &Place<'_>) {
    let policy = parts.spec.get("restartPolicy");
    let never = policy.filter(|policy| policy.is_text("Never"));
    for container in touched_or_all(parts, never.is_some_and(View::is_new)) {
        let why = match () {
            () if never.is_some() => "in a pod with restartPolicy: Never",
            () if container.ends() => "in an init container that ends",
            () => continue,
        };
        for (at, resize) in container.tree.list("resizePolicy").enumerate() {
            let is_judged = resize.is_new() || never.is_some_and(View::is_new);
            if is_judged && resize.text("restartPolicy") == "RestartContainer" {
                container.at(place, |place| {
                    let place = place.member("resizePolicy");
                    report.add(&place.index(at).member("restartPolicy"), resize, format!("must be NotRequired {why}"));
                });
            }
        }
    }
}

/// Those in which something is judged, or all of them.
fn touched_or_all<'t>(parts: &Parts<'t>, all: bool) -> impl Iterator<Item = Container<'t>> {
    containers(parts.spec).filter(move |container| all || container.tree.is_touched())
}

/// The API server adds the labels of the pod that `matchLabelKeys` names to the selector beside it, and takes no key twice.
/// Source: mutatePodAffinity and ValidateMatchLabelKeysAndMismatchLabelKeys.
fn judge_label_keys(report: &mut Report, parts: &Parts<'_>, place: &Place<'_>) {
    let labels = parts.metadata.get("labels");
    let brings_labels = labels.is_some_and(View::is_touched);
    let affinity = parts.spec.get("affinity");
    let kinds = ["podAffinity", "podAntiAffinity"].into_iter().filter_map(|kind| affinity?.get(kind));
    let of_affinity = kinds.flat_map(|kind| {
        let preferred = kind.list("preferredDuringSchedulingIgnoredDuringExecution");
        let required = kind.list("requiredDuringSchedulingIgnoredDuringExecution");
        required.chain(preferred.filter_map(|term| term.get("podAffinityTerm")))
    });
    // By key, whether a template brought the label.
    let of_pod: LazyCell<HashMap<_, _>, _> = LazyCell::new(|| {
        labels.into_iter().flat_map(View::members).map(|label| (label.name, label.value.is_new())).collect()
    });
    let terms = of_affinity.map(|term| ("affinity", term));
    let spread = parts.spec.list("topologySpreadConstraints").map(|term| ("topologySpreadConstraints", term));
    for (field, term) in terms.chain(spread) {
        let Some(selector) = term.get("labelSelector").filter(|_| term.is_new() || brings_labels) else { continue };
        // How often the selector has each key once the API server has added those that the pod's labels have.
        let mut uses: HashMap<_, Uses> = HashMap::new();
        for key in term.list("matchLabelKeys").filter_map(View::string) {
            let label = of_pod.get(&key).copied();
            let uses = uses.entry(key).or_default();
            uses.label = label;
            uses.expressions += usize::from(label.is_some());
        }
        for label in selector.map("matchLabels") {
            uses.entry(label.name).and_modify(|uses| uses.labels = 1);
        }
        for key in selector.list("matchExpressions").filter_map(|it| it.get("key")?.string()) {
            uses.entry(key).and_modify(|uses| uses.expressions += 1);
        }
        let is_broken = |uses: &Uses| {
            uses.expressions > 0 && uses.labels + uses.expressions > 1 && (term.is_new() || uses.label == Some(true))
        };
        if uses.values().any(is_broken) {
            report.add(&place.member(field), term, "has a key in matchLabelKeys and in the labelSelector beside it");
        }
    }
}

/// How often a selector has a key that `matchLabelKeys` names.
#[derive(Default)]
struct Uses {
    labels: usize,
    expressions: usize,
    /// Whether a template brought the pod's label of that key, if it has one.
    label: Option<bool>,
}

/// Without servers of its own a pod with `dnsPolicy: None` has no DNS at all, and is refused.
fn judge_dns(report: &mut Report, parts: &Parts<'_>, place: &Place<'_>) {
    // The pod may have them.
    if parts.spec.is_written() {
        return;
    }
    let servers =
        parts.spec.get("dnsConfig").and_then(|it| if it.is_unknown() { Some(it) } else { it.get("nameservers") });
    let policy = parts.spec.get("dnsPolicy").filter(|it| it.is_new() && it.string().as_deref() == Some("None"));
    if let Some(policy) = policy.filter(|_| servers.is_none_or(View::is_empty)) {
        report.add(&place.member("dnsPolicy"), policy, "is None, which needs dnsConfig.nameservers");
    }
}
