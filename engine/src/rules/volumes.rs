//! What makes a source of a volume one that can be mounted.

use std::collections::HashSet;

use super::report::{Place, Report};
use super::row::Broken;
use crate::json::View;
use crate::names::{is_dns_label, is_dns_subdomain};
use crate::quantity::Quantity;
use crate::schema::Schema;

/// A path that stays inside of what it is relative to.
pub(super) fn is_inside(path: &str) -> bool {
    !path.starts_with('/') && has_no_backsteps(path)
}

/// The same of a file that the kubelet writes, which keeps names that begin with two dots for itself.
pub(super) fn is_file_inside(path: &str) -> bool {
    is_inside(path) && !path.starts_with("..")
}

pub(super) fn has_no_backsteps(path: &str) -> bool {
    !path.split('/').any(|part| part == "..")
}

/// Of the fields of a volume one says where it comes from; without any it is an emptyDir.
pub(super) fn source(volume: View<'_>) -> Broken {
    let is_source = |name: &str| name != "name" && Schema::get().volume.fields.get(name).is_some();
    let mut sources = volume.members().filter(|member| is_source(&member.name) && !member.value.is_null());
    let (first, second) = (sources.next()?, sources.next()?);
    Some(("", format!("has {} and {}, and only one of them may be there", first.name, second.name).into()))
}

/// The qualified name of an iSCSI target or initiator. Source: iscsiInitiatorIqnRegex and the two beside it.
pub(super) fn is_iscsi_name(name: &str) -> bool {
    let has = |rest: &str, length: usize| {
        rest.len() == length + 1
            && !rest.starts_with('\n')
            && rest.bytes().skip(1).all(|byte| byte.is_ascii_alphanumeric())
    };
    match name.split_at_checked(3) {
        Some(("eui", rest)) => has(rest, 16),
        Some(("naa", rest)) => has(rest, 32),
        Some(("iqn", rest)) => is_iqn(rest),
        _ => false,
    }
}

/// What follows `iqn`: `.2001-04.com.example:storage`.
fn is_iqn(rest: &str) -> bool {
    let digits = |text: &str, count: usize| text.len() == count && text.bytes().all(|byte| byte.is_ascii_digit());
    let Some(date) = rest.strip_prefix('.').and_then(|rest| rest.get(..8)) else { return false };
    let Some((authority, name)) = rest[9..].split_once(':') else { return false };
    date.is_ascii()
        && digits(&date[..4], 4)
        && &date[4..5] == "-"
        && digits(&date[5..7], 2)
        && &date[7..] == "."
        && !authority.is_empty()
        && authority.chars().all(|letter| letter.is_ascii_alphanumeric() || "-.".contains(letter))
        && !name.is_empty()
        && !name.contains(|letter: char| ",;*&$|".contains(letter) || letter.is_ascii_whitespace())
}

pub(super) fn iscsi(source: View<'_>) -> Broken {
    let asks = ["chapAuthDiscovery", "chapAuthSession"].iter().any(|field| source.is_true(field));
    (asks && source.get("secretRef").is_none()).then(|| ("secretRef", "must be there for CHAP".into()))
}

/// Source: validateVolumeSource, of iSCSI.
pub(super) fn iscsi_portal(volume: View<'_>) -> Broken {
    let iscsi = volume.get("iscsi").filter(|iscsi| iscsi.get("initiatorName").is_some())?;
    let length = volume.text("name").len() + 1 + iscsi.text("targetPortal").len();
    (length > 64).then(|| ("name", "must have at most 63 characters together with iscsi.targetPortal".into()))
}

pub(super) fn fibre_channel(source: View<'_>) -> Broken {
    let is_there = |field: &str| source.get(field).is_some_and(|value| !value.is_empty());
    match (is_there("targetWWNs"), is_there("wwids")) {
        (false, false) => Some(("targetWWNs", "must be there, or wwids".into())),
        (true, true) => Some(("targetWWNs", "must not stand beside wwids".into())),
        (true, false) if source.get("lun").is_none() => Some(("lun", "must be there with targetWWNs".into())),
        (true, false) => {
            let lun = source.get("lun").and_then(View::integer);
            lun.is_some_and(|lun| !(0..=255).contains(&lun)).then(|| ("lun", "must be between 0 and 255".into()))
        }
        (false, true) => None,
    }
}

pub(super) fn flocker(source: View<'_>) -> Broken {
    let is_there = |field: &str| !source.text(field).is_empty();
    match (is_there("datasetName"), is_there("datasetUUID")) {
        (false, false) => Some(("", "must have one of datasetName, datasetUUID".into())),
        (true, true) => Some(("", "has datasetName and datasetUUID, and only one of them may be there".into())),
        _ => None,
    }
}

pub(super) fn quobyte(source: View<'_>) -> Broken {
    if source.text("tenant").len() > 64 {
        return Some(("tenant", "must have at most 64 characters".into()));
    }
    let is_pair = |pair: &str| match pair.strip_prefix('[').and_then(|rest| rest.split_once("]:")) {
        Some((_, port)) => !port.contains(':'),
        None => pair.matches(':').count() == 1 && !pair.contains(['[', ']']),
    };
    let registry = source.text("registry");
    let is_wrong = !registry.is_empty() && !registry.split(',').all(is_pair);
    is_wrong.then(|| ("registry", "must be HOST:PORT, or several with commas".into()))
}

pub(super) fn azure_disk(source: View<'_>) -> Broken {
    let start = match &*source.text("kind") {
        "Managed" => "/subscriptions/",
        // The API server fills in Shared.
        "Shared" | "Dedicated" | "" => "https://",
        _ => return None,
    };
    let is_wrong = !source.text("diskURI").is_empty() && !source.text("diskURI").starts_with(start);
    is_wrong.then(|| ("diskURI", format!("must begin with {start} for this kind").into()))
}

/// The name of a CSI driver. Source: ValidateCSIDriverName.
pub(super) fn is_csi_driver(name: &str) -> bool {
    name.len() <= 63 && is_dns_subdomain(&name.to_lowercase())
}

/// Where a Secret must be named if one is referred to.
pub(super) fn secret_is_named(source: View<'_>) -> Broken {
    let is_nameless = source.get("secretRef").is_some_and(|secret| secret.text("name").is_empty());
    is_nameless.then(|| ("secretRef", "lacks name".into()))
}

pub(super) fn csi_secret(source: View<'_>) -> Broken {
    let name = source.get("nodePublishSecretRef")?.text("name");
    (!is_dns_subdomain(&name)).then(|| ("nodePublishSecretRef", "must name a Secret".into()))
}

pub(super) fn flex_options(source: View<'_>) -> Broken {
    let is_reserved = |key: &str| {
        let domain = format!(".{}", key.split('/').next().unwrap_or_default().to_lowercase());
        domain.ends_with(".kubernetes.io") || domain.ends_with(".k8s.io")
    };
    let is_broken = source.map("options").any(|option| is_reserved(&option.name));
    is_broken.then(|| ("options", "must have no keys of kubernetes.io or k8s.io".into()))
}

/// Source: ValidateTemplateObjectMeta.
pub(super) fn claim_metadata(metadata: View<'_>) -> Broken {
    let other = metadata.members().find(|member| {
        let says_nothing = member.value.says_nothing() || member.value.integer() == Some(0);
        !["annotations", "labels", "managedFields"].contains(&&*member.name) && !says_nothing
    });
    other.map(|_| ("", "must have labels and annotations only".into()))
}

/// Source: ValidatePersistentVolumeClaimSpec.
pub(super) fn claim(spec: View<'_>) -> Broken {
    let modes: Vec<_> = spec.list("accessModes").filter_map(View::string).collect();
    if modes.iter().any(|mode| mode == "ReadWriteOncePod") && modes.iter().any(|mode| mode != "ReadWriteOncePod") {
        return Some(("accessModes", "must be ReadWriteOncePod alone, or without it".into()));
    }
    let storage = spec.get("resources").and_then(|it| it.get("requests")?.get("storage"));
    let Some(storage) = storage else { return Some(("resources", "must request storage".into())) };
    if storage.quantity().is_some_and(|amount| amount.sign() <= 0) {
        return Some(("resources", "must request more storage than none".into()));
    }
    let (source, reference) = (spec.get("dataSource"), spec.get("dataSourceRef"));
    let namespace = reference.map(|it| it.text("namespace")).unwrap_or_default();
    if !namespace.is_empty() && !is_dns_label(&namespace) {
        return Some(("dataSourceRef", "must name a namespace that can be".into()));
    }
    match (source, reference) {
        (Some(_), Some(_)) if !namespace.is_empty() => {
            Some(("dataSource", "must not stand beside a dataSourceRef of another namespace".into()))
        }
        (Some(source), Some(reference)) => {
            let differs = ["apiGroup", "kind", "name"].iter().any(|field| source.text(field) != reference.text(field));
            differs.then(|| ("dataSource", "must be what dataSourceRef is".into()))
        }
        _ => None,
    }
}

/// What a claim gets its data from. Source: validateDataSource and validateDataSourceRef.
pub(super) fn data_source(source: View<'_>) -> Broken {
    match &*source.text("apiGroup") {
        "" if source.text("kind") != "PersistentVolumeClaim" => {
            Some(("kind", "must be PersistentVolumeClaim without apiGroup".into()))
        }
        "" => None,
        group => (!is_dns_subdomain(group)).then(|| ("apiGroup", "must be the name of an API group".into())),
    }
}

/// The files of all sources of a projected volume go into one folder. Source: validateProjectionSources.
pub(super) fn projected_paths(report: &mut Report, sources: View<'_>, place: &Place<'_>) {
    let mut seen = HashSet::new();
    for (at, source) in sources.items().enumerate() {
        let items = ["secret", "configMap", "downwardAPI"].into_iter().filter_map(|kind| source.get(kind));
        for path in items.flat_map(|it| it.list("items")).filter_map(|item| item.get("path")) {
            let Some(text) = path.string().filter(|text| !text.is_empty()) else { continue };
            if !seen.insert(text) && path.is_new() && !path.is_fixed() {
                report.add(&place.index(at), path, "gives a file the path of another one");
            }
        }
    }
}

/// Source: validateContainerResourceDivisor.
pub(super) fn divisor(reference: View<'_>) -> Broken {
    let value = reference.get("divisor")?;
    let divisor = value.quantity().filter(|divisor| divisor.sign() != 0)?;
    // What is written with a unit of two stays so: 1024 is not 1Ki.
    let is_binary = value.as_text().is_some_and(|text| text.ends_with('i'));
    let (units, allowed) = match reference.text("resource") {
        resource if resource.ends_with(".cpu") => (&["1", "1m"][..], "1 or 1m"),
        _ if is_binary => (&["1Ki", "1Mi", "1Gi", "1Ti", "1Pi", "1Ei"][..], "1, or a unit such as 1Mi or 1M"),
        _ => (&["1", "1k", "1M", "1G", "1T", "1P", "1E"][..], "1, or a unit such as 1Mi or 1M"),
    };
    let is_right = units.iter().any(|unit| Quantity::parse(unit).is_ok_and(|unit| divisor.cmp(&unit).is_eq()));
    (!is_right).then(|| ("divisor", format!("must be {allowed}").into()))
}
