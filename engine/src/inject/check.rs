//! Would the API server accept the result? A closed table that blames only what a template brought.
//!
//! A value that the API server cannot read makes it answer 500 even under `failurePolicy: Ignore`, and one that it
//! refuses is reported to whoever made the pod, who cannot see that it came from a template.

use std::collections::{HashMap, HashSet};

use super::decide::shown;
use super::draft::{Entry, Node};
use super::merge::DEFAULT_GRACE_PERIOD;
use crate::quantity::parse_quantity;
use crate::template::check::reserved;
use crate::template::is_dns_label;

/// The sum of all annotations. Source: apimachinery pkg/api/validation/objectmeta.go.
const MAX_ANNOTATIONS: usize = 256 << 10;

/// Checks a draft after a template was merged into it.
///
/// # Errors
///
/// With the field and what is wrong with it.
pub(super) fn check(draft: &mut Node<'_>) -> Result<(), String> {
    check_metadata(draft)?;
    let Some(spec) = draft.member("spec") else { return Ok(()) };
    let grace_period = number(&mut spec.node, "terminationGracePeriodSeconds").unwrap_or(DEFAULT_GRACE_PERIOD);
    let volumes = check_volumes(&mut spec.node)?;
    for list in ["initContainers", "containers"] {
        let Some(containers) = spec.node.member(list).and_then(|entry| entry.node.items()) else { continue };
        for entry in containers {
            let is_init = list == "initContainers";
            let mut container = Container { is_new: entry.is_ours(), is_init, node: &mut entry.node };
            container.check(grace_period, &volumes).map_err(|(field, message)| {
                let name = container.node.text_of("name").unwrap_or_default();
                format!("{list}[{}]{field} {message}", shown(&name))
            })?;
        }
    }
    Ok(())
}

/// The annotations of a finished draft.
pub(super) fn check_annotations(draft: &mut Node<'_>) -> Result<(), String> {
    let annotations = draft.member("metadata").and_then(|metadata| metadata.node.member("annotations"));
    let Some(members) = annotations.and_then(|annotations| annotations.node.members()) else { return Ok(()) };
    if !members.iter().any(|(_, entry)| entry.is_ours()) {
        return Ok(());
    }
    let size: usize =
        members.iter().map(|(key, entry)| key.len() + entry.node.string().map_or(0, |value| value.len())).sum();
    if size > MAX_ANNOTATIONS {
        return Err(format!("metadata.annotations would have {size} bytes, and {MAX_ANNOTATIONS} are allowed"));
    }
    Ok(())
}

fn check_metadata(draft: &mut Node<'_>) -> Result<(), String> {
    for map in ["labels", "annotations"] {
        let entry = draft.member("metadata").and_then(|metadata| metadata.node.member(map));
        let Some(entry) = entry.filter(|entry| !matches!(entry.node, Node::Raw(_))) else { continue };
        for (key, entry) in entry.node.members().into_iter().flatten().filter(|(_, entry)| entry.is_ours()) {
            let place = format!("metadata.{map}[{}]", shown(key));
            if let Some(why) = reserved(map, key) {
                return Err(format!("{place} {why}"));
            }
            let value = entry.node.string().unwrap_or_default();
            if map == "labels" && !is_label_value(&value) {
                return Err(format!("{place} is \"{}\", which is no label's value", shown(&value)));
            }
        }
    }
    Ok(())
}

/// Source: apimachinery pkg/util/validation, IsValidLabelValue.
fn is_label_value(value: &str) -> bool {
    let ends = [value.chars().next(), value.chars().next_back()];
    value.len() <= 63
        && ends.into_iter().flatten().all(|letter| letter.is_ascii_alphanumeric())
        && value.chars().all(|letter| letter.is_ascii_alphanumeric() || "-_.".contains(letter))
}

/// The names of all volumes.
fn check_volumes(spec: &mut Node<'_>) -> Result<HashSet<String>, String> {
    let mut names = HashSet::new();
    for volume in spec.member("volumes").and_then(|entry| entry.node.items()).into_iter().flatten() {
        let name = volume.node.text_of("name").unwrap_or_default().into_owned();
        if volume.is_ours() && !is_dns_label(&name) {
            return Err(format!("volumes[{}].name is no DNS label", shown(&name)));
        }
        names.insert(name);
    }
    Ok(names)
}

/// The field of a container and what is wrong with it.
type Wrong = (&'static str, String);

struct Container<'c, 'a> {
    /// Whether all of it comes from a template.
    is_new: bool,
    is_init: bool,
    node: &'c mut Node<'a>,
}

impl<'a> Container<'_, 'a> {
    fn check(&mut self, grace_period: i64, volumes: &HashSet<String>) -> Result<(), Wrong> {
        if self.is_new {
            let image = self.node.text_of("image").unwrap_or_default();
            if image.is_empty() || image.trim() != image {
                return Err((".image", "must be the name of an image".into()));
            }
            if !self.node.text_of("name").is_some_and(|name| is_dns_label(&name)) {
                return Err((".name", "is no DNS label".into()));
            }
        }
        self.check_ports()?;
        self.check_env()?;
        self.check_probes()?;
        self.check_sleep(grace_period)?;
        self.check_resources()?;
        self.check_mounts(volumes)
    }

    /// The items of a list, each with whether a template brought it. Nothing if nobody has touched the list.
    fn items(&mut self, list: &str) -> impl Iterator<Item = (bool, &mut Entry<'a>)> {
        let is_new = self.is_new;
        let entry = self.node.member(list).filter(|entry| is_new || !matches!(entry.node, Node::Raw(_)));
        let all = is_new || entry.as_ref().is_some_and(|entry| entry.is_ours());
        let items = entry.and_then(|entry| entry.node.items());
        items.into_iter().flatten().map(move |item| (all || item.is_ours(), item))
    }

    fn check_ports(&mut self) -> Result<(), Wrong> {
        let mut names = HashSet::new();
        // The pod's own come first, so that a name that stands twice is the template's.
        for (is_ours, port) in self.items("ports") {
            let name = port.node.text_of("name").map(|name| name.into_owned());
            let is_twice = name.is_some_and(|name| !names.insert(name));
            if is_ours && is_twice {
                return Err((".ports", "would have one name twice".into()));
            }
            let is_port = |number: i64| (1..=65535).contains(&number);
            if is_ours && !number(&mut port.node, "containerPort").is_some_and(is_port) {
                return Err((".ports", "need a containerPort between 1 and 65535".into()));
            }
        }
        Ok(())
    }

    fn check_env(&mut self) -> Result<(), Wrong> {
        for (is_ours, variable) in self.items("env") {
            let name = variable.node.text_of("name").unwrap_or_default();
            // Source: apimachinery pkg/util/validation, IsRelaxedEnvVarName.
            if is_ours && (name.is_empty() || name.contains('=') || !name.chars().all(|it| (' '..='~').contains(&it))) {
                return Err((".env", format!("has the name \"{}\", which no variable can have", shown(&name))));
            }
        }
        Ok(())
    }

    fn check_probes(&mut self) -> Result<(), Wrong> {
        let ends = self.is_init && self.node.text_of("restartPolicy").as_deref() != Some("Always");
        for probe in [".startupProbe", ".livenessProbe", ".readinessProbe"] {
            let is_new = self.is_new;
            let Some(entry) = self.node.member(&probe[1..]).filter(|entry| is_new || entry.is_ours()) else { continue };
            if ends {
                return Err((".restartPolicy", format!("must be Always for a {}", &probe[1..])));
            }
            for field in ["periodSeconds", "timeoutSeconds", "failureThreshold", "initialDelaySeconds"] {
                if number(&mut entry.node, field).is_some_and(|number| number < 0) {
                    return Err((probe, format!("must not have a negative {field}")));
                }
            }
        }
        Ok(())
    }

    fn check_sleep(&mut self, grace_period: i64) -> Result<(), Wrong> {
        let is_new = self.is_new;
        let Some(lifecycle) = self.node.member("lifecycle") else { return Ok(()) };
        let is_new = is_new || lifecycle.is_ours();
        let handler = lifecycle.node.member("preStop").filter(|handler| is_new || handler.is_ours());
        let seconds = handler.and_then(|it| it.node.member("sleep")).and_then(|it| number(&mut it.node, "seconds"));
        // Source: kubernetes pkg/apis/core/validation, validateSleepAction.
        match seconds {
            Some(seconds) if !(0..=grace_period).contains(&seconds) => Err((
                ".lifecycle.preStop.sleep",
                format!("takes {seconds} seconds, and the pod has {grace_period} seconds to end"),
            )),
            _ => Ok(()),
        }
    }

    fn check_resources(&mut self) -> Result<(), Wrong> {
        let is_new = self.is_new;
        let Some(resources) = self.node.member("resources") else { return Ok(()) };
        if !is_new && matches!(resources.node, Node::Raw(_)) {
            return Ok(());
        }
        let is_new = is_new || resources.is_ours();
        let mut amounts = |kind: &str| -> HashMap<String, (f64, bool)> {
            let Some(entry) = resources.node.member(kind) else { return HashMap::new() };
            let is_new = is_new || entry.is_ours();
            let members = entry.node.members().into_iter().flatten();
            let amount = |entry: &Entry<'_>| match entry.node.to_value() {
                serde_json::Value::String(text) => parse_quantity(&text),
                other => other.as_f64(),
            };
            members.filter_map(|(name, it)| Some((name.to_string(), (amount(it)?, is_new || it.is_ours())))).collect()
        };
        let (requests, limits) = (amounts("requests"), amounts("limits"));
        if requests.values().chain(limits.values()).any(|(amount, is_ours)| *is_ours && *amount < 0.0) {
            return Err((".resources", "must not be negative".into()));
        }
        for (name, (request, request_is_ours)) in &requests {
            if let Some((limit, limit_is_ours)) = limits.get(name)
                && request > limit
                && (*request_is_ours || *limit_is_ours)
            {
                return Err((".resources", format!("would request more {name} than the limit allows")));
            }
        }
        Ok(())
    }

    fn check_mounts(&mut self, volumes: &HashSet<String>) -> Result<(), Wrong> {
        for (list, path) in [("volumeMounts", "mountPath"), ("volumeDevices", "devicePath")] {
            for (_, mount) in self.items(list).filter(|(is_ours, _)| *is_ours) {
                let volume = mount.node.text_of("name").unwrap_or_default();
                if !volumes.contains(&*volume) {
                    let message = format!("name the volume {}, which the pod does not have", shown(&volume));
                    return Err((".volumeMounts", message));
                }
                if mount.node.text_of(path).is_none_or(|path| path.is_empty() || path.contains(':')) {
                    let message = format!("need a path without a colon for the volume {}", shown(&volume));
                    return Err((".volumeMounts", message));
                }
                let climbs = |path: &str| path.starts_with('/') || path.split('/').any(|part| part == "..");
                if mount.node.text_of("subPath").is_some_and(|path| climbs(&path)) {
                    let message = format!("need a subPath inside of the volume {}", shown(&volume));
                    return Err((".volumeMounts", message));
                }
            }
        }
        Ok(())
    }
}

fn number(node: &mut Node<'_>, field: &str) -> Option<i64> {
    node.member(field)?.node.to_value().as_i64()
}
