//! What a pod shares with its node, and its names.

use super::parts::{Parts, containers, named};
use super::report::{Place, Report};
use crate::json::View;

/// Whether one of these members is judged, so that what they break together is a template's.
fn touches(owner: View<'_>, fields: &[&str]) -> bool {
    fields.iter().any(|field| owner.touched(field).is_some())
}

/// The namespaces of a node and of a pod. Source: validateHostUsers and validatePodSpecSecurityContext.
pub(super) fn judge_namespaces(report: &mut Report, parts: &Parts<'_>, place: &Place<'_>) {
    let spec = parts.spec;
    if spec.is_true("shareProcessNamespace")
        && spec.is_true("hostPID")
        && touches(spec, &["shareProcessNamespace", "hostPID"])
    {
        let value = spec.get("shareProcessNamespace").unwrap_or(spec);
        report.add(&place.member("shareProcessNamespace"), value, "must not be true in a pod with hostPID: true");
    }
    if !spec.is_false("hostUsers") {
        return;
    }
    let value = spec.get("hostUsers").unwrap_or(spec);
    let place = place.member("hostUsers");
    for field in ["hostNetwork", "hostPID", "hostIPC"] {
        if spec.is_true(field) && touches(spec, &["hostUsers", field]) {
            report.add(&place, value, format!("must not be false in a pod with {field}: true"));
        }
    }
    let brings_device = |container: View<'_>| {
        let devices = container.get("volumeDevices").filter(|devices| !devices.is_empty());
        devices.is_some_and(|devices| value.is_new() || devices.is_touched())
    };
    if containers(spec).any(|container| brings_device(container.tree)) {
        report.add(&place, value, "must not be false in a pod with volumeDevices");
    }
}

/// Source: ValidateSecurityContext.
pub(super) fn judge_proc_mount(report: &mut Report, parts: &Parts<'_>, place: &Place<'_>) {
    let users = parts.spec.get("hostUsers");
    if parts.spec.is_false("hostUsers") || users.is_some_and(View::is_unknown) {
        return;
    }
    for container in &parts.touched {
        let mount = container.tree.get("securityContext").and_then(|context| context.get("procMount"));
        // Whether the pod says hostUsers is known at review only.
        if let Some(mount) =
            mount.filter(|mount| mount.is_new() && mount.is_text("Unmasked") && !parts.spec.is_written())
        {
            container.at(place, |place| {
                let place = place.member("securityContext");
                report.add(&place.member("procMount"), mount, "needs hostUsers: false of the pod to be Unmasked");
            });
        }
    }
}

/// Each port is one of the node's. Source: validatePodHostNetworkDeps.
pub(super) fn judge_ports(report: &mut Report, parts: &Parts<'_>, place: &Place<'_>) {
    if !parts.spec.is_true("hostNetwork") {
        return;
    }
    let is_new = touches(parts.spec, &["hostNetwork"]);
    for container in named(parts.spec, "containers") {
        for port in container.tree.list("ports").filter(|port| is_new || port.is_new()) {
            let (host, own) = (port.get("hostPort").and_then(View::integer), port.get("containerPort"));
            let differs = host.filter(|host| *host != 0).zip(own.and_then(View::integer)).is_some_and(|(a, b)| a != b);
            if differs {
                container.at(place, |place| {
                    let message = "has a hostPort that is not its containerPort, in a pod with hostNetwork: true";
                    report.add(&place.member("ports"), port, message);
                });
            }
        }
    }
}

/// Source: validatePodHostName.
pub(super) fn judge_hostname(report: &mut Report, parts: &Parts<'_>, place: &Place<'_>) {
    let Some(name) = parts.spec.get("hostnameOverride") else { return };
    for field in ["setHostnameAsFQDN", "hostNetwork"] {
        if parts.spec.is_true(field) && touches(parts.spec, &["hostnameOverride", field]) {
            report.add(&place.member("hostnameOverride"), name, format!("must not be set in a pod with {field}: true"));
        }
    }
}

/// Settings of the kernel that are the node's where the pod has no namespace of its own. Source: ValidateHostSysctl.
pub(super) fn judge_sysctls(report: &mut Report, parts: &Parts<'_>, place: &Place<'_>) {
    const OF_IPC: &[&str] = &[
        "kernel.sem",
        "kernel.shmall",
        "kernel.shmmax",
        "kernel.shmmni",
        "kernel.shm_rmid_forced",
        "kernel.shm",
        "kernel.msgmax",
        "kernel.msgmnb",
        "kernel.msgmni",
        "kernel.msg",
    ];
    let Some(context) = parts.spec.get("securityContext") else { return };
    let place = place.member("securityContext");
    let place = place.member("sysctls");
    for (at, sysctl) in context.list("sysctls").enumerate() {
        // Either mark may stand between the parts of a name; the first says which.
        let written = sysctl.text("name");
        let name = match written.find(['.', '/']).map(|at| &written[at..=at]) {
            Some("/") => written.replace('.', "\0").replace('/', ".").replace('\0', "/"),
            _ => written.into_owned(),
        };
        let field = if name.starts_with("net.") {
            "hostNetwork"
        } else if OF_IPC.contains(&&*name) || name.starts_with("fs.mqueue.") {
            "hostIPC"
        } else {
            continue;
        };
        if parts.spec.is_true(field) && (sysctl.is_new() || touches(parts.spec, &[field])) {
            report.add(&place.index(at), sysctl, format!("must not be set in a pod with {field}: true"));
        }
    }
}

/// Source: ValidatePodCreate.
pub(super) fn judge_gates(report: &mut Report, parts: &Parts<'_>, place: &Place<'_>) {
    let gates = parts.spec.touched("schedulingGates").filter(|gates| !gates.is_empty());
    if let Some(gates) = gates.filter(|_| !parts.spec.text("nodeName").is_empty()) {
        report.add(&place.member("schedulingGates"), gates, "must not be set in a pod with nodeName");
    }
}
