//! What belongs to one operating system, and the options of Windows.

use std::sync::LazyLock;

use regex::Regex;

use super::parts::{Parts, containers};
use super::report::{Place, Report};
use crate::json::{Kind, View};
use crate::text::shown;

/// A domain of NetBIOS or DNS, as `runAsUserName` may have it. Source: validNetBiosRegex, validWindowsUserDomainDNSRegex.
static DOMAIN: LazyLock<Regex> = LazyLock::new(|| {
    const LABEL: &str = "[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?";
    let net_bios = r#"[^\\/:*?"<>|.][^\\/:*?"<>|]{0,14}"#;
    Regex::new(&format!(r"\A(?:{net_bios}|{LABEL}(?:\.{LABEL})*)\z")).expect("the pattern is right")
});

/// Source: validateWindowsSecurityContextOptions.
pub(super) fn is_user(name: &str) -> bool {
    let (domain, user) = name.split_once('\\').map_or((None, name), |(domain, user)| (Some(domain), user));
    !name.chars().any(|letter| letter.is_ascii_control())
        && domain.is_none_or(|domain| domain.len() < 256 && DOMAIN.is_match(domain))
        && (1..=104).contains(&user.len())
        && !user.chars().all(|letter| ". ".contains(letter))
        && !user.contains(|letter| r#""/\:;|=,+*?<>@[]"#.contains(letter))
}

/// All containers of a pod are HostProcess containers or none. Source: validateWindowsHostProcessPod.
pub(super) fn judge_host_process(report: &mut Report, parts: &Parts<'_>, place: &Place<'_>) {
    let asks = |owner: View<'_>| match owner.get("securityContext")?.get("windowsOptions")?.get("hostProcess")?.kind() {
        Kind::Bool(asks) => Some(asks),
        _ => None,
    };
    // A template alone does not show all containers.
    if parts.spec.is_written() {
        return;
    }
    let of_pod = asks(parts.spec);
    let of_containers = || containers(parts.spec).map(|container| asks(container.tree));
    let is_any = of_pod == Some(true) || of_containers().any(|of| of == Some(true));
    let brings_context = |owner: View<'_>| owner.is_new() || owner.touched("securityContext").is_some();
    let is_judged = brings_context(parts.spec) || parts.touched.iter().any(|container| brings_context(container.tree));
    if !is_any || !is_judged && parts.spec.touched("hostNetwork").is_none() {
        return;
    }
    let place = place.member("securityContext");
    let are_all = of_containers().all(|of| of.or(of_pod) == Some(true));
    let is_clash = of_containers().any(|of| of_pod.is_some() && of.is_some() && of != of_pod);
    if is_judged && (!are_all || is_clash) {
        report.add(&place, parts.spec, "must have hostProcess for all containers or for none");
    } else if of_containers().next().is_some()
        && !parts.spec.is_true("hostNetwork")
        && !parts.spec.is_unknown_at("hostNetwork")
    {
        report.add(&place, parts.spec, "must not have hostProcess without hostNetwork: true");
    }
}

/// Source: validateStopSignal.
fn judge_stop_signals(report: &mut Report, parts: &Parts<'_>, os: &str, place: &Place<'_>) {
    for container in &parts.touched {
        let signal = container.tree.get("lifecycle").and_then(|it| it.touched("stopSignal"));
        let Some(signal) = signal.filter(|signal| !signal.is_empty()) else { continue };
        let message = match os {
            "" => "must not be set in a pod without os",
            "windows" if !["SIGKILL", "SIGTERM"].contains(&&*signal.string().unwrap_or_default()) => {
                "must be SIGKILL or SIGTERM for a pod of windows"
            }
            _ => continue,
        };
        container.at(place, |place| {
            let place = place.member("lifecycle");
            report.add(&place.member("stopSignal"), signal, message);
        });
    }
}

/// Source: validateWindows and validateLinux.
pub(super) fn judge_os(report: &mut Report, parts: &Parts<'_>, place: &Place<'_>) {
    const LINUX: &[&str] = &["hostPID", "hostIPC", "hostUsers", "shareProcessNamespace", "resources"];
    /// Fields of security contexts of pods.
    #[rustfmt::skip]
    const LINUX_PODS: &[&str] = &[
        "appArmorProfile", "fsGroup", "fsGroupChangePolicy", "runAsGroup", "runAsUser", "seLinuxChangePolicy", "seLinuxOptions",
        "seccompProfile", "supplementalGroups", "supplementalGroupsPolicy", "sysctls",
    ];
    #[rustfmt::skip]
    const LINUX_CONTAINERS: &[&str] = &[
        "allowPrivilegeEscalation", "appArmorProfile", "capabilities", "privileged", "procMount", "readOnlyRootFilesystem",
        "runAsGroup", "runAsUser", "seLinuxOptions", "seccompProfile",
    ];
    // A template cannot say it, so it is the pod's.
    let spec = parts.spec;
    if spec.is_written() {
        return;
    }
    let os = spec.get("os").map(|os| os.text("name")).unwrap_or_default();
    judge_stop_signals(report, parts, &os, place);
    let (fields, of_pods, of_containers): (&[&str], &[&str], &[&str]) = match &*os {
        "windows" => (LINUX, LINUX_PODS, LINUX_CONTAINERS),
        "linux" => (&[], &["windowsOptions"], &["windowsOptions"]),
        _ => return,
    };
    let mut refuse = |owner: Option<View<'_>>, fields: &[&str], place: &Place<'_>| {
        for (field, value) in fields.iter().filter_map(|field| Some((field, owner?.get(field)?))) {
            // Where false is what the API server takes for nothing.
            let says_nothing = ["hostPID", "hostIPC"].contains(field) && value.says_nothing()
                || *field == "sysctls" && value.is_empty();
            if value.is_touched() && !says_nothing {
                report.add(&place.member(field), value, format!("must not be set for a pod of {}", shown(&os)));
            }
        }
    };
    refuse(Some(spec), fields, place);
    refuse(spec.get("securityContext"), of_pods, &place.member("securityContext"));
    for container in &parts.touched {
        container.at(place, |place| {
            refuse(container.tree.get("securityContext"), of_containers, &place.member("securityContext"));
        });
    }
}
