//! The Pod Security Standards: which level a pod passes.
//!
//! Source: <https://kubernetes.io/docs/concepts/security/pod-security-standards/> and k8s.io/pod-security-admission
//! policy/, as of Kubernetes 1.36.

use std::fmt;

use serde_json::Value;

use crate::validation::{Report, Wrong};

/// What a pod may do to its node, from most to least.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum PodSecurity {
    /// Anything.
    Privileged,
    /// Nothing by which privileges are known to grow.
    Baseline,
    /// What current practice for hardening allows.
    Restricted,
}

impl fmt::Display for PodSecurity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            PodSecurity::Privileged => "privileged",
            PodSecurity::Baseline => "baseline",
            PodSecurity::Restricted => "restricted",
        })
    }
}

/// What keeps a pod from a level.
#[derive(Debug, Default)]
pub(crate) struct Assessment {
    /// Above *baseline*.
    pub(crate) baseline: Vec<Wrong>,
    /// Above *restricted*, but not above *baseline*.
    pub(crate) restricted: Vec<Wrong>,
}

impl Assessment {
    /// Looks at a pod's `spec`.
    pub(crate) fn of(spec: &Value) -> Assessment {
        let (mut baseline, mut restricted) = (Report::default(), Report::default());
        assess_pod(&mut baseline, &mut restricted, spec);
        for list in ["initContainers", "containers"] {
            for container in items(&spec[list]) {
                let step = format!("{list}[{}]", container["name"].as_str().unwrap_or_default());
                baseline.at(&step, |report| assess_baseline(report, container));
                restricted.at(&step, |report| assess_restricted(report, container, spec));
            }
        }
        Assessment { baseline: baseline.wrong, restricted: restricted.wrong }
    }

    pub(crate) fn level(&self) -> PodSecurity {
        match (self.baseline.is_empty(), self.restricted.is_empty()) {
            (false, _) => PodSecurity::Privileged,
            (true, false) => PodSecurity::Baseline,
            (true, true) => PodSecurity::Restricted,
        }
    }
}

fn items(list: &Value) -> &[Value] {
    list.as_array().map_or(&[], Vec::as_slice)
}

fn assess_pod(baseline: &mut Report, restricted: &mut Report, spec: &Value) {
    const SAFE_SYSCTLS: &[&str] = &[
        "kernel.shm_rmid_forced",
        "net.ipv4.ip_local_port_range",
        "net.ipv4.ip_local_reserved_ports",
        "net.ipv4.ip_unprivileged_port_start",
        "net.ipv4.ping_group_range",
        "net.ipv4.tcp_fin_timeout",
        "net.ipv4.tcp_keepalive_intvl",
        "net.ipv4.tcp_keepalive_probes",
        "net.ipv4.tcp_keepalive_time",
        "net.ipv4.tcp_rmem",
        "net.ipv4.tcp_syncookies",
        "net.ipv4.tcp_wmem",
    ];
    const RESTRICTED_VOLUMES: &[&str] = &[
        "configMap",
        "csi",
        "downwardAPI",
        "emptyDir",
        "ephemeral",
        "image",
        "persistentVolumeClaim",
        "projected",
        "secret",
    ];
    for field in ["hostNetwork", "hostPID", "hostIPC"] {
        if spec[field] == true {
            baseline.at(field, |report| report.wrong("is true"));
        }
    }
    for sysctl in items(&spec["securityContext"]["sysctls"]) {
        if !sysctl["name"].as_str().is_some_and(|name| SAFE_SYSCTLS.contains(&name)) {
            baseline.at("securityContext.sysctls", |report| report.wrong(format!("set {}", sysctl["name"])));
        }
    }
    let context = &spec["securityContext"];
    baseline.at("securityContext", |report| assess_profiles(report, context));
    // Whatever the containers say themselves.
    for (field, value) in [("runAsNonRoot", Value::Bool(false)), ("runAsUser", 0.into())] {
        if context[field] == value {
            restricted.at("securityContext", |report| report.wrong(format!("has {field}: {value}")));
        }
    }
    for volume in items(&spec["volumes"]) {
        let step = format!("volumes[{}]", volume["name"].as_str().unwrap_or_default());
        let sources = volume.as_object().into_iter().flatten().map(|(name, _)| name.as_str());
        if let Some(source) = sources.into_iter().find(|name| *name != "name" && !RESTRICTED_VOLUMES.contains(name)) {
            let report = if source == "hostPath" { &mut *baseline } else { &mut *restricted };
            report.at(&step, |report| report.wrong(format!("is a {source}")));
        }
    }
}

/// What both a pod's and a container's security context can hold.
fn assess_profiles(report: &mut Report, context: &Value) {
    const SELINUX_TYPES: &[&str] = &["", "container_t", "container_init_t", "container_kvm_t", "container_engine_t"];
    for profile in ["seccompProfile", "appArmorProfile"] {
        if context[profile]["type"] == "Unconfined" {
            report.at(&format!(".{profile}"), |report| report.wrong("is Unconfined"));
        }
    }
    let selinux = &context["seLinuxOptions"];
    let text = |field: &str| selinux[field].as_str().unwrap_or_default();
    if !SELINUX_TYPES.contains(&text("type")) || !text("user").is_empty() || !text("role").is_empty() {
        report.at(".seLinuxOptions", |report| report.wrong("has a type, user or role of its own"));
    }
    if context["windowsOptions"]["hostProcess"] == true {
        report.at(".windowsOptions.hostProcess", |report| report.wrong("is true"));
    }
}

fn assess_baseline(report: &mut Report, container: &Value) {
    const CAPABILITIES: &[&str] = &[
        "AUDIT_WRITE",
        "CHOWN",
        "DAC_OVERRIDE",
        "FOWNER",
        "FSETID",
        "KILL",
        "MKNOD",
        "NET_BIND_SERVICE",
        "SETFCAP",
        "SETGID",
        "SETPCAP",
        "SETUID",
        "SYS_CHROOT",
    ];
    let context = &container["securityContext"];
    report.at(".securityContext", |report| {
        if context["privileged"] == true {
            report.at(".privileged", |report| report.wrong("is true"));
        }
        for capability in items(&context["capabilities"]["add"]) {
            if !capability.as_str().is_some_and(|it| CAPABILITIES.contains(&it)) {
                report.at(".capabilities.add", |report| report.wrong(format!("holds {capability}")));
            }
        }
        if context["procMount"].as_str().is_some_and(|mount| mount != "Default") {
            report.at(".procMount", |report| report.wrong("is not Default"));
        }
        assess_profiles(report, context);
    });
    for port in items(&container["ports"]) {
        if port["hostPort"].as_i64().is_some_and(|port| port != 0) {
            report.at(".ports", |report| report.wrong(format!("take the node's port {}", port["hostPort"])));
        }
    }
    let probes = ["startupProbe", "livenessProbe", "readinessProbe"].map(|probe| (probe, &container[probe]));
    let hooks = ["postStart", "preStop"].map(|hook| (hook, &container["lifecycle"][hook]));
    for (place, handler) in probes.into_iter().chain(hooks) {
        let hosts = ["httpGet", "tcpSocket"].map(|kind| handler[kind]["host"].as_str().unwrap_or_default());
        if hosts.iter().any(|host| !host.is_empty()) {
            report.at(&format!(".{place}"), |report| report.wrong("names a host"));
        }
    }
}

fn assess_restricted(report: &mut Report, container: &Value, spec: &Value) {
    let context = &container["securityContext"];
    let of_pod = &spec["securityContext"];
    let here_or_pod = |field: &str| if context[field].is_null() { &of_pod[field] } else { &context[field] };
    report.at(".securityContext", |report| {
        if context["allowPrivilegeEscalation"] != false {
            report.at(".allowPrivilegeEscalation", |report| report.wrong("is not false"));
        }
        if *here_or_pod("runAsNonRoot") != true {
            report.at(".runAsNonRoot", |report| report.wrong("is not true"));
        }
        if *here_or_pod("runAsUser") == 0 {
            report.at(".runAsUser", |report| report.wrong("is 0"));
        }
        if !["RuntimeDefault", "Localhost"].map(Value::from).contains(&here_or_pod("seccompProfile")["type"]) {
            report.at(".seccompProfile", |report| report.wrong("is neither RuntimeDefault nor Localhost"));
        }
        if !items(&context["capabilities"]["drop"]).contains(&"ALL".into()) {
            report.at(".capabilities.drop", |report| report.wrong("does not hold ALL"));
        }
        if items(&context["capabilities"]["add"]).iter().any(|capability| capability != "NET_BIND_SERVICE") {
            report.at(".capabilities.add", |report| report.wrong("holds more than NET_BIND_SERVICE"));
        }
    });
}
