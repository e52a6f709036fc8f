//! The *baseline* level of the Pod Security Standards.
//!
//! Source: <https://kubernetes.io/docs/concepts/security/pod-security-standards/> and k8s.io/pod-security-admission
//! policy/, as of Kubernetes 1.36.

use std::sync::LazyLock;

use super::row::Must::*;
use super::row::{Row, Rules, row};

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

pub(super) static BASELINE: &[Row] = &[
    row(&["PodSpec"], &["hostNetwork", "hostPID", "hostIPC"], NotBeTrue),
    row(&["SecurityContext"], &["privileged"], NotBeTrue),
    row(&["WindowsSecurityContextOptions"], &["hostProcess"], NotBeTrue),
    row(&["Capabilities"], &["add"], BeOneOf(CAPABILITIES)),
    row(&["Sysctl"], &["name"], BeOneOf(SYSCTLS)),
    row(&["SELinuxOptions"], &["type"], BeOneOf(SELINUX_TYPES)),
    row(&["SELinuxOptions"], &["user", "role"], Be(str::is_empty, "must not be set")),
    row(&["SeccompProfile", "AppArmorProfile"], &["type"], BeOneOf(&["RuntimeDefault", "Localhost"])),
    row(&["SecurityContext"], &["procMount"], BeOneOf(&["", "Default"])),
    row(&["ContainerPort"], &["hostPort"], BeWithin(0, 0)),
    row(&["HTTPGetAction", "TCPSocketAction"], &["host"], Be(str::is_empty, "must not be set")),
    row(&["Volume"], &["hostPath"], NotBeSet("must not be set")),
];

/// What the level asks of each part of a pod.
pub(crate) static BASELINE_LEVEL: LazyLock<Rules> = LazyLock::new(|| Rules::link(&[BASELINE]));
