//! The [Pod Security Standards](https://kubernetes.io/docs/concepts/security/pod-security-standards/) as of Kubernetes
//! 1.36, each check with the reason that the API server gives (k8s.io/pod-security-admission, `policy/`).

use std::collections::BTreeSet;
use std::fmt;

use serde_json::{Value, json};

#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Level {
    Privileged,
    Baseline,
    Restricted,
}

use Level::{Baseline, Privileged, Restricted};

impl fmt::Display for Level {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Privileged => "privileged",
            Baseline => "baseline",
            Restricted => "restricted",
        })
    }
}

/// The highest level that a pod passes.
pub(crate) fn level(pod: &Value) -> Level {
    let passed = [Restricted, Baseline].into_iter().find(|&level| violations(level, pod).is_empty());
    passed.unwrap_or(Privileged)
}

/// The reasons for which a pod does not pass a level.
pub(crate) fn violations(level: Level, pod: &Value) -> BTreeSet<String> {
    let broken = CHECKS.iter().filter(|(levels, _, is_broken)| levels.contains(&level) && is_broken(pod));
    broken.map(|(_, reason, _)| (*reason).to_owned()).collect()
}

/// The reasons that a warning of the API server names; nothing if it is about something else.
pub(crate) fn reasons(warning: &str) -> Option<BTreeSet<String>> {
    // would violate PodSecurity "LEVEL:VERSION": REASON (DETAIL), REASON (DETAIL)
    let (_, reasons) = warning.strip_prefix("would violate PodSecurity ")?.split_once(": ")?;
    let reasons = reasons.split(['(', ')']).step_by(2).map(|reason| reason.trim_matches([',', ' ']));
    // The only one that depends on how many there are.
    let reasons = reasons.map(|reason| reason.replace("AppArmor profiles", "AppArmor profile"));
    Some(reasons.filter(|reason| !reason.is_empty()).collect())
}

/// Every reason that can be given.
pub(crate) fn all_reasons() -> BTreeSet<String> {
    CHECKS.iter().map(|(_, reason, _)| (*reason).to_owned()).collect()
}

/// A container that passes *restricted*, whatever its pod says.
pub(crate) fn restricted_container(name: &str) -> Value {
    json!({
        "name": name,
        "image": "example.com/app:1",
        "securityContext": {
            "runAsNonRoot": true,
            "allowPrivilegeEscalation": false,
            "capabilities": {"drop": ["ALL"]},
            "seccompProfile": {"type": "RuntimeDefault"},
        },
    })
}

/// At which levels a check is made, the reason that it gives, and whether a pod breaks it.
type Check = (&'static [Level], &'static str, fn(&Value) -> bool);

const CHECKS: &[Check] = &[
    (&[Baseline, Restricted], "host namespaces", |pod| {
        ["hostNetwork", "hostPID", "hostIPC"].iter().any(|field| pod["spec"][field] == true)
    }),
    (&[Baseline, Restricted], "hostPort", |pod| {
        containers(pod).flat_map(|it| items(&it["ports"])).any(|it| it["hostPort"].as_u64().is_some_and(|it| it > 0))
    }),
    (&[Baseline, Restricted], "hostProcess", |pod| contexts(pod).any(|it| it["windowsOptions"]["hostProcess"] == true)),
    (&[Baseline, Restricted], "privileged", |pod| contexts(pod).any(|it| it["privileged"] == true)),
    (&[Baseline, Restricted], "probe or lifecycle host", |pod| {
        let actions = handlers(pod).flat_map(|it| [&it["httpGet"], &it["tcpSocket"]]);
        actions.map(|it| text(it, "host")).any(|it| !it.is_empty())
    }),
    (&[Baseline, Restricted], "forbidden AppArmor profile", |pod| {
        let annotations = pod["metadata"]["annotations"].as_object().into_iter().flatten();
        let mut profiles = annotations
            .filter(|(key, _)| key.starts_with("container.apparmor.security.beta.kubernetes.io/"))
            .map(|(_, value)| value.as_str().unwrap_or_default());
        profiles.any(|it| !["", "runtime/default"].contains(&it) && !it.starts_with("localhost/"))
            || contexts(pod).any(|it| is_unconfined(&it["appArmorProfile"]))
    }),
    (&[Baseline, Restricted], "forbidden sysctls", |pod| {
        let mut sysctls = items(&pod["spec"]["securityContext"]["sysctls"]);
        sysctls.any(|it| !SAFE_SYSCTLS.contains(&text(it, "name")))
    }),
    (&[Baseline, Restricted], "seLinuxOptions", |pod| {
        contexts(pod).map(|it| &it["seLinuxOptions"]).any(|it| {
            !SELINUX_TYPES.contains(&text(it, "type")) || !text(it, "user").is_empty() || !text(it, "role").is_empty()
        })
    }),
    (&[Baseline], "hostPath volumes", |pod| volumes(pod).any(|(source, _)| source == "hostPath")),
    (&[Restricted], "restricted volume types", |pod| volumes(pod).any(|(source, _)| !VOLUMES.contains(&&**source))),
    (&[Baseline], "non-default capabilities", |pod| adds_more_than(DEFAULT_CAPABILITIES, pod)),
    (&[Restricted], "unrestricted capabilities", |pod| {
        let drops_all = |it: &Value| items(&it["securityContext"]["capabilities"]["drop"]).any(|it| it == "ALL");
        !is_windows(pod) && (adds_more_than(&["NET_BIND_SERVICE"], pod) || !containers(pod).all(drops_all))
    }),
    (&[Baseline], "procMount", |pod| !is_user_namespaced(pod) && masks_less(pod)),
    (&[Restricted], "procMount", masks_less),
    (&[Baseline], "seccompProfile", |pod| contexts(pod).any(|it| is_unconfined(&it["seccompProfile"]))),
    (&[Restricted], "seccompProfile", |pod| {
        let is_unconfined = contexts(pod).any(|it| is_unconfined(&it["seccompProfile"]));
        !is_windows(pod) && (is_unconfined || is_left_open("seccompProfile", pod))
    }),
    (&[Restricted], "allowPrivilegeEscalation != false", |pod| {
        !is_windows(pod) && containers(pod).any(|it| it["securityContext"]["allowPrivilegeEscalation"] != false)
    }),
    (&[Restricted], "runAsNonRoot != true", |pod| {
        let is_false = contexts(pod).any(|it| it["runAsNonRoot"] == false);
        !is_user_namespaced(pod) && (is_false || is_left_open("runAsNonRoot", pod))
    }),
    (&[Restricted], "runAsUser=0", |pod| !is_user_namespaced(pod) && contexts(pod).any(|it| it["runAsUser"] == 0)),
];

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

const SELINUX_TYPES: &[&str] = &["", "container_t", "container_init_t", "container_kvm_t", "container_engine_t"];

const VOLUMES: &[&str] = &[
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

const DEFAULT_CAPABILITIES: &[&str] = &[
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

fn items(list: &Value) -> impl Iterator<Item = &Value> {
    list.as_array().into_iter().flatten()
}

fn text<'v>(object: &'v Value, field: &str) -> &'v str {
    object[field].as_str().unwrap_or_default()
}

fn containers(pod: &Value) -> impl Iterator<Item = &Value> {
    ["initContainers", "containers", "ephemeralContainers"].into_iter().flat_map(|list| items(&pod["spec"][list]))
}

/// The security context of the pod, and those of its containers.
fn contexts(pod: &Value) -> impl Iterator<Item = &Value> {
    [&pod["spec"]["securityContext"]].into_iter().chain(containers(pod).map(|it| &it["securityContext"]))
}

/// The probes and lifecycle handlers.
fn handlers(pod: &Value) -> impl Iterator<Item = &Value> {
    containers(pod).flat_map(|it| {
        let probes = ["startupProbe", "livenessProbe", "readinessProbe"].map(|probe| &it[probe]);
        probes.into_iter().chain(["postStart", "preStop"].map(|hook| &it["lifecycle"][hook]))
    })
}

/// The sources of the volumes.
fn volumes(pod: &Value) -> impl Iterator<Item = (&String, &Value)> {
    let members = items(&pod["spec"]["volumes"]).filter_map(Value::as_object).flatten();
    members.filter(|(name, source)| *name != "name" && !source.is_null())
}

fn adds_more_than(allowed: &[&str], pod: &Value) -> bool {
    let mut added = contexts(pod).flat_map(|it| items(&it["capabilities"]["add"]));
    added.any(|it| !allowed.contains(&it.as_str().unwrap_or_default()))
}

fn masks_less(pod: &Value) -> bool {
    contexts(pod).any(|it| !["", "Default"].contains(&text(it, "procMount")))
}

fn is_unconfined(profile: &Value) -> bool {
    !profile.is_null() && !["RuntimeDefault", "Localhost"].contains(&text(profile, "type"))
}

/// Whether neither the pod nor one of its containers says what this field of the security context is.
fn is_left_open(field: &str, pod: &Value) -> bool {
    let is_open = |context: &Value| context[field].is_null();
    is_open(&pod["spec"]["securityContext"]) && containers(pod).any(|it| is_open(&it["securityContext"]))
}

fn is_windows(pod: &Value) -> bool {
    pod["spec"]["os"]["name"] == "windows"
}

fn is_user_namespaced(pod: &Value) -> bool {
    pod["spec"]["hostUsers"] == false
}
