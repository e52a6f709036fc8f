//! What a pod of one operating system cannot have. Source: kubernetes pkg/apis/core/validation, validateWindows and
//! validateLinux.

use super::super::draft::{Entry, Node};
use crate::shown;
use crate::validation::Report;

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
const WINDOWS_SECURITY: &[&str] = &["windowsOptions"];

/// Checks what templates brought, where the pod says for which operating system it is.
pub(super) fn check(report: &mut Report, spec: &mut Node<'_>) {
    let Some(os) = spec.value_of("os").and_then(|os| os["name"].as_str().map(str::to_owned)) else { return };
    let (fields, security): (&[&str], _) =
        if os == "windows" { (LINUX_FIELDS, LINUX_SECURITY) } else { (&[], WINDOWS_SECURITY) };
    let refuse = |report: &mut Report| report.wrong(format!("must not be set for a pod of {}", shown(&os)));
    for field in fields {
        if spec.member(field).is_some_and(|entry| entry.is_ours()) {
            report.at(field, refuse);
        }
    }
    if let Some(context) = spec.member("securityContext") {
        let is_new = context.is_ours();
        for field in security {
            if context.node.member(field).is_some_and(|entry| is_new || entry.is_ours()) {
                report.at(&format!("securityContext.{field}"), refuse);
            }
        }
    }
    for list in ["initContainers", "containers"] {
        let entries = spec.member(list).and_then(|entry| entry.node.items());
        for entry in entries.into_iter().flatten().filter(|entry| entry.is_ours()) {
            check_container(report, list, entry, security, refuse);
        }
    }
}

fn check_container(report: &mut Report, list: &str, entry: &Entry<'_>, fields: &[&str], refuse: impl Fn(&mut Report)) {
    let Some(context) = entry.node.value_of("securityContext") else { return };
    let name = entry.node.text_of("name").unwrap_or_default();
    for field in fields.iter().filter(|field| !context[**field].is_null()) {
        report.at(&format!("{list}[{}].securityContext.{field}", shown(&name)), &refuse);
    }
}
