//! The rules that parts of a pod keep or break together. What breaks one is said only of parts that are judged.
//!
//! Source, where nothing else is said: kubernetes pkg/apis/core/validation/validation.go.

use std::collections::HashMap;

use super::parts::{Container, PROBES, Parts, named};
use super::report::{Place, Report};
use super::special::is_had_in_whole;
use super::{ports, reserve};
use crate::json::View;
use crate::names::NO_TOKEN;
use crate::schema::Schema;
use crate::text::{did_you_mean, nearest, shown};

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
    ("an init container is a native sidecar or ends, and no other container has a `restartPolicy`", judge_restarts),
    ("no probe and no hook on an init container that ends", judge_what_ends),
    ("what a container mounts is a volume of the pod", judge_all_mounts),
    ("no `sleep` of a hook is longer than the pod has to end", judge_sleep),
    ("`dnsPolicy: None` comes with `dnsConfig.nameservers`", judge_dns),
    ("nothing that belongs to another operating system than the pod's", judge_os),
    ("who requests a resource that cannot be shared out limits it as well", judge_limits),
    ("no two regular containers have one port of the node", ports::judge_host_ports),
    ("containers limit and request no more than `spec.resources` of their pod", reserve::judge),
];

/// Judges a pod's `spec`.
pub(crate) fn judge(report: &mut Report, parts: &Parts<'_>, place: &Place<'_>) {
    for (_, judge) in ACROSS {
        judge(report, parts, place);
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
                    let message = format!("is {}, which {first} has already", shown(&item.name()));
                    item.at(place, |place| report.add(&place.member("name"), name, message));
                });
                continue;
            }
            seen.insert(item.name(), item);
        }
    }
}

fn judge_restarts(report: &mut Report, parts: &Parts<'_>, place: &Place<'_>) {
    for container in parts.varying() {
        let Some(policy) = container.tree.get("restartPolicy").filter(|it| it.is_new()) else { continue };
        let is_init = container.list == "initContainers";
        let message = match policy.string().as_deref() {
            _ if !is_init => "must not be set on a regular container; a native sidecar is an entry of initContainers",
            Some("Always" | "Never" | "OnFailure") | None => continue,
            _ => "must be Always, which makes a native sidecar",
        };
        container.at(place, |place| report.add(&place.member("restartPolicy"), policy, message));
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

/// What a container mounts must be there.
pub(crate) fn judge_mounts(report: &mut Report, container: View<'_>, place: &Place<'_>, parts: &Parts<'_>) {
    for list in ["volumeMounts", "volumeDevices"] {
        let Some(mounts) = container.touched(list) else { continue };
        for (at, mount) in mounts.touched_items() {
            let Some((volume, name)) = mount.get("name").and_then(|it| Some((it, it.string()?))) else { continue };
            // It comes with the containers, and is not written in their template.
            if parts.spec.is_written() && name == NO_TOKEN {
                continue;
            }
            if !parts.may_have_volume(&name) {
                // Of a pod there can be ten thousands, and as many mounts.
                let known: Vec<_> = parts.volume_names().take_while(|_| parts.spec.is_written()).collect();
                let hint = did_you_mean(nearest(&name, known.iter().map(|name| &**name)));
                let message = format!(
                    "is {}, and there is no volume of that name: bring it in volumes, or list it in shares if the pod \
                     has it{hint}",
                    shown(&name)
                );
                let keys = Schema::get().container.keys(list);
                report.add(&place.member(list).item(at, mount, keys).member("name"), volume, message);
            }
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

/// What is had in whole is limited to what is requested of it.
fn judge_limits(report: &mut Report, parts: &Parts<'_>, place: &Place<'_>) {
    let mut judge = |owner: View<'_>, place: &Place<'_>| {
        let Some(resources) = owner.touched("resources").filter(|it| !it.is_unknown_at("limits")) else { return };
        for request in resources.map("requests").filter(|it| it.value.is_new() && is_had_in_whole(&it.name)) {
            if resources.get("limits").and_then(|limits| limits.get(&request.name)).is_none() {
                let message = format!("needs a limit for {} that equals the request", shown(&request.name));
                report.add(&place.member("resources"), resources, message);
            }
        }
    };
    judge(parts.spec, place);
    for container in parts.varying() {
        container.at(place, |place| judge(container.tree, place));
    }
}

/// Without servers of its own a pod with `dnsPolicy: None` has no DNS at all, and is refused.
fn judge_dns(report: &mut Report, parts: &Parts<'_>, place: &Place<'_>) {
    let servers =
        parts.spec.get("dnsConfig").and_then(|it| if it.is_unknown() { Some(it) } else { it.get("nameservers") });
    let policy = parts.spec.get("dnsPolicy").filter(|it| it.is_new() && it.string().as_deref() == Some("None"));
    if let Some(policy) = policy.filter(|_| servers.is_none_or(View::is_empty)) {
        report.add(&place.member("dnsPolicy"), policy, "is None, which needs dnsConfig.nameservers");
    }
}

/// Source: validateWindows and validateLinux.
fn judge_os(report: &mut Report, parts: &Parts<'_>, place: &Place<'_>) {
    const LINUX: &[&str] = &["hostPID", "hostIPC", "hostUsers", "shareProcessNamespace"];
    /// Fields of security contexts, of pods and of containers.
    #[rustfmt::skip]
    const LINUX_SECURITY: &[&str] = &[
        "allowPrivilegeEscalation", "appArmorProfile", "capabilities", "fsGroup", "fsGroupChangePolicy", "privileged",
        "procMount", "readOnlyRootFilesystem", "runAsGroup", "runAsUser", "seLinuxOptions", "seccompProfile",
        "supplementalGroups", "sysctls",
    ];
    // A template cannot say it, so it is the pod's.
    let spec = parts.spec;
    let Some(os) = spec.get("os").filter(|_| !spec.is_written()).map(|os| os.text("name")) else { return };
    let (fields, security): (&[&str], &[&str]) =
        if os == "windows" { (LINUX, LINUX_SECURITY) } else { (&[], &["windowsOptions"]) };
    let mut refuse = |owner: Option<View<'_>>, fields: &[&str], place: &Place<'_>| {
        for (field, value) in fields.iter().filter_map(|field| Some((field, owner?.get(field)?))) {
            if value.is_new() {
                report.add(&place.member(field), value, format!("must not be set for a pod of {}", shown(&os)));
            }
        }
    };
    refuse(Some(spec), fields, place);
    refuse(spec.get("securityContext"), security, &place.member("securityContext"));
    for container in &parts.touched {
        container.at(place, |place| {
            refuse(container.tree.get("securityContext"), security, &place.member("securityContext"));
        });
    }
}
