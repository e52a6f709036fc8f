//! Would the API server accept the result? A closed table that blames only what a template added.
//!
//! A value that the API server cannot read makes it answer 500 even under `failurePolicy: Ignore`, and one that it
//! refuses is reported to whoever made the pod, who cannot see that it came from a template.

use std::collections::HashSet;

use super::draft::{Change, Entry, Node};
use crate::template::is_dns_label;

/// The sum of all annotations. Source: apimachinery pkg/api/validation/objectmeta.go.
const MAX_ANNOTATIONS: usize = 256 << 10;

/// Checks a draft after a template was merged into it.
///
/// # Errors
///
/// With the field and what is wrong with it.
pub(super) fn check(draft: &mut Node<'_>) -> Result<(), String> {
    let grace_period = draft
        .member("spec")
        .and_then(|spec| spec.node.member("terminationGracePeriodSeconds"))
        .and_then(|entry| entry.node.to_value().as_i64())
        .unwrap_or(30);
    let Some(spec) = draft.member("spec") else { return Ok(()) };
    let volumes = names(&mut spec.node, "volumes");
    check_volumes(&mut spec.node)?;
    for list in ["initContainers", "containers"] {
        let Some(containers) = spec.node.member(list).and_then(|entry| entry.node.items()) else { continue };
        for container in containers {
            let is_new = container.is_new();
            let name = container.node.text_of("name").map(std::borrow::Cow::into_owned).unwrap_or_default();
            let place = format!("{list}[{name}]");
            if is_new {
                check_container(&mut container.node, &name, &place, grace_period)?;
            }
            check_mounts(&mut container.node, is_new, &place, &volumes)?;
        }
    }
    Ok(())
}

/// The annotations of a finished draft.
pub(super) fn check_annotations(draft: &mut Node<'_>) -> Result<(), String> {
    let annotations = draft.member("metadata").and_then(|metadata| metadata.node.member("annotations"));
    let Some(members) = annotations.and_then(|annotations| annotations.node.members()) else { return Ok(()) };
    if members.iter().all(|(_, entry)| entry.change == Change::Kept) {
        return Ok(());
    }
    let size: usize =
        members.iter().map(|(key, entry)| key.len() + entry.node.string().map_or(0, |value| value.len())).sum();
    if size > MAX_ANNOTATIONS {
        return Err(format!("metadata.annotations would have {size} bytes, and {MAX_ANNOTATIONS} are allowed"));
    }
    Ok(())
}

fn names(node: &mut Node<'_>, list: &str) -> HashSet<String> {
    let items = node.member(list).and_then(|entry| entry.node.items());
    items.into_iter().flatten().map(|entry| text(&mut entry.node, "name").unwrap_or_default()).collect()
}

fn text(node: &mut Node<'_>, field: &str) -> Option<String> {
    Some(node.member(field)?.node.string()?.into_owned())
}

fn number(node: &mut Node<'_>, field: &str) -> Option<i64> {
    node.member(field)?.node.to_value().as_i64()
}

fn check_volumes(spec: &mut Node<'_>) -> Result<(), String> {
    let volumes = spec.member("volumes").and_then(|entry| entry.node.items());
    for volume in volumes.into_iter().flatten().filter(|volume| volume.is_new()) {
        let name = text(&mut volume.node, "name").unwrap_or_default();
        if !is_dns_label(&name) {
            return Err(format!("volumes[{name}].name is no DNS label"));
        }
    }
    Ok(())
}

fn check_container(container: &mut Node<'_>, name: &str, place: &str, grace_period: i64) -> Result<(), String> {
    if !is_dns_label(name) {
        return Err(format!("{place}.name is no DNS label"));
    }
    if text(container, "image").is_none_or(|image| image.is_empty() || image.trim() != image) {
        return Err(format!("{place}.image must be the name of an image"));
    }
    let sidecar = text(container, "restartPolicy").as_deref() == Some("Always");
    let ports = container.member("ports").and_then(|entry| entry.node.items());
    for port in ports.into_iter().flatten() {
        if !number(&mut port.node, "containerPort").is_some_and(|port| (1..=65535).contains(&port)) {
            return Err(format!("{place}.ports: containerPort must be between 1 and 65535"));
        }
    }
    for probe in ["startupProbe", "livenessProbe", "readinessProbe"] {
        let Some(entry) = container.member(probe) else { continue };
        if place.starts_with("init") && !sidecar {
            return Err(format!("{place}.{probe} needs restartPolicy: Always"));
        }
        for field in ["periodSeconds", "timeoutSeconds", "successThreshold", "failureThreshold", "initialDelaySeconds"]
        {
            if number(&mut entry.node, field).is_some_and(|seconds| seconds < 0) {
                return Err(format!("{place}.{probe}.{field} must not be negative"));
            }
        }
    }
    let pre_stop = container.member("lifecycle").and_then(|lifecycle| lifecycle.node.member("preStop"));
    let sleep = pre_stop.and_then(|handler| handler.node.member("sleep"));
    if let Some(seconds) = sleep.and_then(|sleep| number(&mut sleep.node, "seconds"))
        && !(1..=grace_period).contains(&seconds)
    {
        // Source: kubernetes pkg/apis/core/validation, validateSleepAction.
        return Err(format!(
            "{place}.lifecycle.preStop.sleep.seconds is {seconds}, and the pod has {grace_period} seconds to end"
        ));
    }
    Ok(())
}

fn check_mounts(container: &mut Node<'_>, is_new: bool, place: &str, volumes: &HashSet<String>) -> Result<(), String> {
    for list in ["volumeMounts", "volumeDevices"] {
        let Some(entry) = container.member(list) else { continue };
        if !is_new && matches!(entry.node, Node::Raw(_)) {
            continue;
        }
        let all_new = is_new || entry.is_new();
        let Some(items) = entry.node.items() else { continue };
        let is_added = |mount: &&mut Entry<'_>| all_new || mount.is_new();
        for mount in items.iter_mut().filter(is_added) {
            let name = text(&mut mount.node, "name").unwrap_or_default();
            if !volumes.contains(&name) {
                return Err(format!("{place}.{list} names the volume {name}, which the pod does not have"));
            }
            let path = text(&mut mount.node, if list == "volumeMounts" { "mountPath" } else { "devicePath" });
            if path.is_none_or(|path| path.is_empty() || path.contains(':')) {
                return Err(format!("{place}.{list} needs a path without a colon for the volume {name}"));
            }
        }
    }
    Ok(())
}
