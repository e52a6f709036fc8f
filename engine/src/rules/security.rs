//! The levels of the Pod Security Standards: which one a pod keeps, or what a template brings.
//!
//! Each check is called what the API server calls it in its warnings. Source:
//! <https://kubernetes.io/docs/concepts/security/pod-security-standards/> and k8s.io/pod-security-admission policy/, as of
//! Kubernetes 1.36.

use std::fmt;
use std::sync::LazyLock;

use serde_json::value::RawValue;

use super::annotations::APP_ARMOR;
use super::parts::named;
use super::report::{Place, Report, Violation};
use super::row::Must::*;
use super::row::{Row, Rules, check};
use super::walk::Walk;
use crate::json::{Kind, Tape, View};

/// A level, from the one that forbids nothing to the strictest.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Level {
    /// It forbids nothing.
    Privileged,
    /// It forbids what is known to lead out of a container.
    Baseline,
    /// It asks for what hardens a container, too.
    Restricted,
}

impl Level {
    /// What a namespace's label calls it.
    pub fn as_str(self) -> &'static str {
        match self {
            Level::Privileged => "privileged",
            Level::Baseline => "baseline",
            Level::Restricted => "restricted",
        }
    }

    /// The strictest level that is kept in spite of breaches.
    pub fn kept(breaches: impl IntoIterator<Item = Level>) -> Level {
        match breaches.into_iter().min() {
            Some(Level::Restricted) => Level::Baseline,
            Some(_) => Level::Privileged,
            None => Level::Restricted,
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// Something that a level does not allow.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Breach {
    /// The least strict level that does not allow it.
    pub level: Level,
    /// The check, as warnings of the API server call it.
    pub check: &'static str,
    /// What it is, and where.
    pub violation: Violation,
}

/// What the levels do not allow in a whole pod.
pub fn breaches(pod: &RawValue) -> Vec<Breach> {
    let tape = Tape::scan(pod.get());
    let mut report = Report::default();
    let pod = tape.as_ref().map_or(View::NOTHING, |tape| View::whole(tape.root()));
    Walk::new(&LEVELS, &mut report).partial_pod(pod, &Place::root(""));
    of_violations(report.into_violations())
}

/// What breaks a check; the walk tells of wrong types, too.
pub(crate) fn of_violations(violations: Vec<Violation>) -> Vec<Breach> {
    let breach = |violation: Violation| {
        let rule = violation.rule?;
        let rows = [(Level::Baseline, BASELINE), (Level::Restricted, RESTRICTED)];
        let mut rows = rows.into_iter().flat_map(|(level, rows)| rows.iter().map(move |row| (level, row)));
        let (level, row) = rows.find(|(_, row)| super::number_of(row) == rule)?;
        Some(Breach { level, check: row.check, violation })
    };
    violations.into_iter().filter_map(breach).collect()
}

/// The checks of both levels.
pub(crate) static LEVELS: LazyLock<Rules> = LazyLock::new(|| Rules::link(&[BASELINE, RESTRICTED]));

#[rustfmt::skip]
const CAPABILITIES: &[&str] = &[
    "AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD", "NET_BIND_SERVICE", "SETFCAP", "SETGID",
    "SETPCAP", "SETUID", "SYS_CHROOT",
];
#[rustfmt::skip]
const SYSCTLS: &[&str] = &[
    "kernel.shm_rmid_forced", "net.ipv4.ip_local_port_range", "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.ip_unprivileged_port_start", "net.ipv4.ping_group_range", "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_keepalive_intvl", "net.ipv4.tcp_keepalive_probes", "net.ipv4.tcp_keepalive_time",
    "net.ipv4.tcp_rmem", "net.ipv4.tcp_syncookies", "net.ipv4.tcp_wmem",
];
const SELINUX_TYPES: &[&str] = &["", "container_t", "container_init_t", "container_kvm_t", "container_engine_t"];
#[rustfmt::skip]
const VOLUMES: &[&str] = &[
    "configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "image", "persistentVolumeClaim", "projected", "secret",
];
const OF_VOLUMES: &str = "must be a configMap, csi, downwardAPI, emptyDir, ephemeral, image, persistentVolumeClaim, \
                          projected or secret";

#[rustfmt::skip]
pub(super) static BASELINE: &[Row] = &[
    check("host namespaces", &["PodSpec"], &["hostNetwork", "hostPID", "hostIPC"], NotBeTrue),
    check("privileged", &["SecurityContext"], &["privileged"], NotBeTrue),
    check("hostProcess", &["WindowsSecurityContextOptions"], &["hostProcess"], NotBeTrue),
    check("non-default capabilities", &["Capabilities"], &["add"], BeOneOf(CAPABILITIES)),
    check("forbidden sysctls", &["Sysctl"], &["name"], BeOneOf(SYSCTLS)),
    check("seLinuxOptions", &["SELinuxOptions"], &["type"], BeOneOf(SELINUX_TYPES)),
    check("seLinuxOptions", &["SELinuxOptions"], &["user", "role"], Be(str::is_empty, "must not be set")),
    check("seccompProfile", &["SeccompProfile"], &["type"], BeOneOf(&["RuntimeDefault", "Localhost"])),
    check("forbidden AppArmor profile", &["AppArmorProfile"], &["type"], BeOneOf(&["RuntimeDefault", "Localhost"])),
    check("forbidden AppArmor profile", &["Pod"], &["metadata"], Pass(app_armor, "must have no annotation of AppArmor except for runtime/default and localhost/PROFILE")),
    check("procMount", &["Pod"], &["spec"], Pass(|report, spec, place| PROC_MOUNT.judge(report, spec, place), "must have no container with `procMount: Unmasked`, except with `hostUsers: false`")),
    check("hostPort", &["ContainerPort"], &["hostPort"], BeWithin(0, 0)),
    check("probe or lifecycle host", &["HTTPGetAction", "TCPSocketAction"], &["host"], Be(str::is_empty, "must not be set")),
    check("hostPath volumes", &["Volume"], &["hostPath"], NotBeSet("must not be set")),
];

/// What is asked beside that.
#[rustfmt::skip]
pub(super) static RESTRICTED: &[Row] = &[
    check("restricted volume types", &["Volume"], &[""], Pass(volume_type, OF_VOLUMES)),
    check("procMount", &["SecurityContext"], &["procMount"], BeOneOf(&["", "Default"])),
    check("unrestricted capabilities", &["Pod"], &["spec"], Pass(capabilities, "must have containers that drop ALL capabilities and add none but NET_BIND_SERVICE, except with `os: {name: windows}`")),
    check("allowPrivilegeEscalation != false", &["Pod"], &["spec"], Pass(|report, spec, place| ESCALATION.judge(report, spec, place), "must have `allowPrivilegeEscalation: false` in each container, except with `os: {name: windows}`")),
    check("runAsNonRoot != true", &["Pod"], &["spec"], Pass(|report, spec, place| NON_ROOT.judge(report, spec, place), "must have `runAsNonRoot: true` for each container, of its own or of the pod, except with `hostUsers: false`")),
    check("runAsUser=0", &["Pod"], &["spec"], Pass(|report, spec, place| USER.judge(report, spec, place), "must have no `runAsUser: 0`, except with `hostUsers: false`")),
    check("seccompProfile", &["Pod"], &["spec"], Pass(|report, spec, place| SECCOMP.judge(report, spec, place), "must have a seccompProfile for each container, of its own or of the pod, except with `os: {name: windows}`")),
];

fn app_armor(report: &mut Report, metadata: View<'_>, place: &Place<'_>) {
    let place = place.member("annotations");
    for member in metadata.map("annotations").filter(|member| member.name.starts_with(APP_ARMOR)) {
        let is_right = |profile: &str| ["", "runtime/default"].contains(&profile) || profile.starts_with("localhost/");
        match member.value.kind() {
            Kind::Unknown => report.note_unknown(&place.key(&member), member.value),
            Kind::String(profile) if !is_right(&profile) => {
                report.add(&place.key(&member), member.value, "must be runtime/default or localhost/PROFILE");
            }
            _ => {}
        }
    }
}

fn volume_type(report: &mut Report, volume: View<'_>, place: &Place<'_>) {
    for source in volume.members().filter(|it| it.name != "name" && !it.value.is_null()) {
        if !VOLUMES.contains(&&*source.name) {
            report.add(&place.key(&source), source.value, OF_VOLUMES);
        }
    }
}

/// What a field of security contexts must be.
struct Ask {
    field: &'static str,
    is_right: fn(View<'_>) -> bool,
    must: &'static str,
    /// What a container lacks that does not say it; nothing if it need not.
    lacks: Option<&'static str>,
    /// Whether containers have what their pod says.
    is_inherited: bool,
    /// The pods of which it is not asked.
    except: fn(View<'_>) -> bool,
}

#[rustfmt::skip]
const PROC_MOUNT: Ask = Ask { field: "procMount", is_right: |it| ["", "Default"].iter().any(|text| it.is_text(text)), must: "must be Default", lacks: None, is_inherited: false, except: has_user_namespace };
#[rustfmt::skip]
const ESCALATION: Ask = Ask { field: "allowPrivilegeEscalation", is_right: |it| matches!(it.kind(), Kind::Bool(false)), must: "must be false", lacks: Some("allowPrivilegeEscalation: false"), is_inherited: false, except: is_for_windows };
#[rustfmt::skip]
const NON_ROOT: Ask = Ask { field: "runAsNonRoot", is_right: |it| matches!(it.kind(), Kind::Bool(true)), must: "must be true", lacks: Some("runAsNonRoot: true, and the pod's does not have it either"), is_inherited: true, except: has_user_namespace };
#[rustfmt::skip]
const USER: Ask = Ask { field: "runAsUser", is_right: |it| it.integer() != Some(0), must: "must not be 0", lacks: None, is_inherited: true, except: has_user_namespace };
/// What it is, *baseline* asks.
#[rustfmt::skip]
const SECCOMP: Ask = Ask { field: "seccompProfile", is_right: |_| true, must: "", lacks: Some("seccompProfile: {type: RuntimeDefault}, and the pod's does not have one either"), is_inherited: true, except: is_for_windows };

fn is_for_windows(spec: View<'_>) -> bool {
    spec.get("os").is_some_and(|os| os.text("name") == "windows")
}

fn has_user_namespace(spec: View<'_>) -> bool {
    spec.is_false("hostUsers")
}

impl Ask {
    /// Judges the security contexts of the containers, and that of their pod if they have what it says.
    fn judge(&self, report: &mut Report, spec: View<'_>, place: &Place<'_>) {
        if (self.except)(spec) {
            return;
        }
        let context = spec.get("securityContext").filter(|_| self.is_inherited);
        let may_inherit = context.is_some_and(|it| it.is_unknown() || it.get(self.field).is_some());
        if let Some(context) = context {
            self.judge_value(report, context, &place.member("securityContext"));
        }
        each_container(spec, place, |container, context, place| {
            self.judge_value(report, context, place);
            if let Some(lacks) = self.lacks.filter(|_| !may_inherit && context.get(self.field).is_none()) {
                report.add(place, container, format!("lacks {lacks}"));
            }
        });
    }

    fn judge_value(&self, report: &mut Report, context: View<'_>, place: &Place<'_>) {
        match context.get(self.field) {
            Some(value) if value.is_unknown() => report.note_unknown(&place.member(self.field), value),
            Some(value) if !(self.is_right)(value) => report.add(&place.member(self.field), value, self.must),
            _ => {}
        }
    }
}

/// Visits the containers, each with its security context and the place of that. The walk notes those that an expression
/// makes as a whole.
fn each_container(spec: View<'_>, place: &Place<'_>, mut judge: impl FnMut(View<'_>, View<'_>, &Place<'_>)) {
    for container in ["initContainers", "containers", "ephemeralContainers"].into_iter().flat_map(|it| named(spec, it))
    {
        let context = container.tree.get("securityContext").unwrap_or(View::NOTHING);
        if !context.is_unknown() {
            container.at(place, |place| judge(container.tree, context, &place.member("securityContext")));
        }
    }
}

fn capabilities(report: &mut Report, spec: View<'_>, place: &Place<'_>) {
    if is_for_windows(spec) {
        return;
    }
    each_container(spec, place, |container, context, place| {
        let capabilities = context.get("capabilities").unwrap_or(View::NOTHING);
        let place = place.member("capabilities");
        for (at, added) in capabilities.list("add").enumerate() {
            if !added.is_unknown() && !added.is_text("NET_BIND_SERVICE") {
                report.add(&place.member("add").index(at), added, "must be NET_BIND_SERVICE");
            }
        }
        let is_all = |dropped: View<'_>| dropped.is_unknown() || dropped.is_text("ALL");
        let may_drop_all = capabilities.is_unknown() || capabilities.is_unknown_at("drop");
        if !may_drop_all && !capabilities.list("drop").any(is_all) {
            report.add(&place, container, "lacks drop: [ALL]");
        }
    });
}
