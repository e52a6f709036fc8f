//! The rules about a single part of a pod that no row can say by itself.

use std::collections::BTreeSet;

use super::parts::PROBES;
use super::report::{Place, Report};
use super::reserve::amounts;
use super::row::one_of;
use crate::json::{Kind, Member, View};
use crate::names::{is_label_value, is_port_name, is_qualified_name, reserved_key};
use crate::schema::Schema;
use crate::text::{did_you_mean, nearest, shown};
use crate::yaml::Position;

const RESOURCES: &[&str] = &["cpu", "memory", "ephemeral-storage"];

/// What a variable can show of its pod, beside labels and annotations.
#[rustfmt::skip]
const FIELDS_OF_VARIABLES: &[&str] = &[
    "metadata.name", "metadata.namespace", "metadata.uid", "spec.nodeName", "spec.serviceAccountName", "status.hostIP",
    "status.hostIPs", "status.podIP", "status.podIPs",
];
/// The same of a file: whole maps too, and not what only a running pod has.
const FIELDS_OF_FILES: &[&str] =
    &["metadata.name", "metadata.namespace", "metadata.uid", "metadata.labels", "metadata.annotations"];

/// The members of a map that are judged and were not when their template was loaded.
fn new_members(map: View<'_>) -> impl Iterator<Item = Member<'_>> {
    map.members().filter(|member| member.value.is_new() && !member.value.is_fixed())
}

pub(super) fn labels(report: &mut Report, labels: View<'_>, place: &Place<'_>) {
    for Member { name, position, value } in new_members(labels) {
        let place = place.member(&name);
        judge_key(report, &name, &place, position);
        if let Some(text) = value.string().filter(|text| !is_label_value(text)) {
            report.add(&place, value, format!("is \"{}\", which is no label's value", shown(&text)));
        }
    }
}

pub(super) fn annotations(report: &mut Report, annotations: View<'_>, place: &Place<'_>) {
    for Member { name, position, .. } in new_members(annotations) {
        // The API server takes capitals here.
        judge_key(report, &name.to_lowercase(), &place.member(&name), position);
    }
}

fn judge_key(report: &mut Report, key: &str, place: &Place<'_>, position: Position) {
    // In a template an expression for a key is refused in any case.
    let is_expression = position != Position::default() && key.contains("${{");
    if !is_qualified_name(key) && !is_expression {
        report.add_at(place, position, "is no key that Kubernetes takes, such as team or example.com/team");
    }
}

/// What a template's metadata may hold.
pub(super) fn template_metadata(report: &mut Report, metadata: View<'_>, place: &Place<'_>) {
    for Member { name: map, position, value } in metadata.touched_members() {
        let place = place.member(&map);
        // What is no field at all is said elsewhere.
        if map != "labels" && map != "annotations" && Schema::get().metadata.fields.get(&map).is_some() {
            report.add_at(&place, position, "must not be set in a template: only labels and annotations may");
        }
        for Member { name, position, .. } in new_members(value) {
            if let Some(why) = reserved_key(&map, &name) {
                report.add_at(&place.member(&name), position, why);
            }
        }
    }
}

pub(super) fn node_selector(report: &mut Report, selector: View<'_>, place: &Place<'_>) {
    for Member { name, value, .. } in new_members(selector) {
        if !is_qualified_name(&name) || value.string().is_some_and(|text| !is_label_value(&text)) {
            report.add(&place.member(&name), value, "is no label that a node can have");
        }
    }
}

pub(super) fn toleration(report: &mut Report, toleration: View<'_>, place: &Place<'_>) {
    let (key, value) = (toleration.text("key"), toleration.text("value"));
    let exists = toleration.text("operator") == "Exists";
    if key.is_empty() && !exists && !toleration.is_unknown_at("key") && !toleration.is_unknown_at("operator") {
        report.add(place, toleration, "without a key needs operator: Exists");
    }
    if !key.is_empty() && !is_qualified_name(&key) {
        report.add(
            &place.member("key"),
            toleration.get("key").unwrap_or(toleration),
            "is no key that a taint can have",
        );
    }
    if exists && !value.is_empty() {
        report.add(
            &place.member("value"),
            toleration.get("value").unwrap_or(toleration),
            "must not stand beside operator: Exists",
        );
    } else if !is_label_value(&value) {
        report.add(
            &place.member("value"),
            toleration.get("value").unwrap_or(toleration),
            "is no value that a taint can have",
        );
    }
    if let Some(seconds) = toleration.get("tolerationSeconds").filter(|seconds| !seconds.is_unknown())
        && toleration.text("effect") != "NoExecute"
        && !toleration.is_unknown_at("effect")
    {
        report.add(&place.member("tolerationSeconds"), seconds, "needs effect: NoExecute");
    }
}

pub(super) fn mount_propagation(report: &mut Report, container: View<'_>, place: &Place<'_>) {
    let Some(mounts) = container.touched("volumeMounts") else { return };
    for (at, mount) in mounts.touched_items() {
        let Some(value) = mount.get("mountPropagation") else { continue };
        let context = container.get("securityContext");
        let may_be = |it: View<'_>| it.is_unknown() || it.is_unknown_at("privileged") || it.is_true("privileged");
        if value.string().as_deref() == Some("Bidirectional") && !context.is_some_and(may_be) {
            let place = place.member("volumeMounts");
            let message = "can only be Bidirectional in a privileged container";
            report.add(&place.index(at).member("mountPropagation"), value, message);
        }
    }
}

/// A port that a probe names must be one of its container's. The API server does not ask, and the probe never succeeds.
pub(super) fn named_ports(report: &mut Report, container: View<'_>, place: &Place<'_>) {
    for probe in PROBES {
        let Some(value) = container.get(probe).filter(|it| it.is_new()) else { continue };
        // Then both were judged when the template was loaded.
        if container.is_new() && value.is_fixed() && container.get("ports").is_some_and(View::is_fixed) {
            continue;
        }
        for action in ["httpGet", "tcpSocket"] {
            let port = value.get(action).and_then(|action| action.get("port"));
            let name = port.and_then(|port| Some((port, port.string().filter(|name| is_port_name(name))?)));
            let Some((port, name)) = name else { continue };
            // With an expression for a name, or for all ports, no name can be called wrong.
            let is_open = container.is_unknown_at("ports")
                || container.list("ports").any(|port| port.is_unknown() || port.is_unknown_at("name"));
            let names = || container.list("ports").map(|port| port.text("name"));
            if !is_open && !names().any(|known| known == name) {
                let known: Vec<_> = names().collect();
                let hint = did_you_mean(nearest(&name, known.iter().map(|name| &**name)));
                let message = format!("is {}, and the container has no port of that name{hint}", shown(&name));
                report.add(&place.member(probe).member(action).member("port"), port, message);
            }
        }
    }
}

/// A probe that ends or starts its container.
pub(super) fn one_success(report: &mut Report, probe: View<'_>, place: &Place<'_>) {
    if let Some(threshold) = probe.get("successThreshold").filter(|it| it.is_new() && it.integer() > Some(1)) {
        report.add(&place.member("successThreshold"), threshold, "must be 1 in a startupProbe or livenessProbe");
    }
}

pub(super) fn no_grace_period(report: &mut Report, probe: View<'_>, place: &Place<'_>) {
    if let Some(period) = probe.get("terminationGracePeriodSeconds").filter(|it| it.is_new() && !it.is_unknown()) {
        let message = "must not be set in a readinessProbe, which ends nothing";
        report.add(&place.member("terminationGracePeriodSeconds"), period, message);
    }
}

pub(super) fn one_value(report: &mut Report, variable: View<'_>, place: &Place<'_>) {
    let source = variable.get("valueFrom").filter(|it| !it.is_unknown());
    if let Some(source) = source.filter(|_| !variable.text("value").is_empty()) {
        report.add(&place.member("valueFrom"), source, "must not stand beside value");
    }
}

pub(super) fn field_of_variable(report: &mut Report, reference: View<'_>, place: &Place<'_>) {
    judge_field(report, reference, place, FIELDS_OF_VARIABLES);
}

pub(super) fn field_of_file(report: &mut Report, reference: View<'_>, place: &Place<'_>) {
    judge_field(report, reference, place, FIELDS_OF_FILES);
}

fn judge_field(report: &mut Report, reference: View<'_>, place: &Place<'_>, allowed: &[&str]) {
    const KEYS: [&str; 2] = ["metadata.labels['KEY']", "metadata.annotations['KEY']"];
    let Some((field, path)) = reference.get("fieldPath").and_then(|field| Some((field, field.string()?))) else {
        return;
    };
    let key_of = |map: &str| path.strip_prefix(map)?.strip_prefix("['")?.strip_suffix("']");
    let of_label = key_of("metadata.labels").map(str::to_owned);
    // Of annotations the API server checks the key in lower case.
    let key = of_label.or_else(|| key_of("metadata.annotations").map(str::to_lowercase));
    if !allowed.contains(&&*path) && !key.is_some_and(|key| is_qualified_name(&key)) {
        let hint = did_you_mean(nearest(&path, allowed.iter().copied().chain(KEYS)));
        let message = format!("is \"{}\", which cannot be shown to a container{hint}", shown(&path));
        report.add(&place.member("fieldPath"), field, message);
    }
}

/// A file shows an amount of a container that it must name.
pub(super) fn container_of_file(report: &mut Report, reference: View<'_>, place: &Place<'_>) {
    if reference.get("containerName").is_none_or(View::is_empty) {
        report.add(place, reference, "lacks containerName");
    }
}

/// An amount of a container, such as `limits.memory`.
pub(super) fn resource(report: &mut Report, resource: View<'_>, place: &Place<'_>) {
    let Some(text) = resource.string() else { return };
    let name = text.strip_prefix("limits.").or(text.strip_prefix("requests.")).unwrap_or_default();
    if !RESOURCES.contains(&name) && !name.starts_with("hugepages-") {
        let known = ["limits.cpu", "limits.memory", "requests.cpu", "requests.memory"];
        let hint = did_you_mean(nearest(&text, known.into_iter()));
        let message = format!("is \"{}\", and must be such as limits.memory or requests.cpu{hint}", shown(&text));
        report.add(place, resource, message);
    }
}

pub(super) fn recursive_read_only(report: &mut Report, mount: View<'_>, place: &Place<'_>) {
    if let Some(value) = mount.get("recursiveReadOnly")
        && value.string().as_deref() == Some("Enabled")
        && !mount.is_true("readOnly")
        && !mount.is_unknown_at("readOnly")
    {
        report.add(&place.member("recursiveReadOnly"), value, "needs readOnly: true");
    }
}

pub(super) fn escalation(report: &mut Report, context: View<'_>, place: &Place<'_>) {
    let mut added = context.get("capabilities").into_iter().flat_map(|it| it.list("add"));
    let is_admin = added.any(|capability| capability.string().as_deref() == Some("CAP_SYS_ADMIN"));
    let escalation = context.get("allowPrivilegeEscalation");
    if let Some(value) = escalation.filter(|it| matches!(it.kind(), Kind::Bool(false)))
        && (context.is_true("privileged") || is_admin)
    {
        let message = "must not be false for a container that is privileged or has CAP_SYS_ADMIN";
        report.add(&place.member("allowPrivilegeEscalation"), value, message);
    }
}

/// A seccomp or AppArmor profile.
pub(super) fn profile(report: &mut Report, profile: View<'_>, place: &Place<'_>) {
    if profile.is_unknown_at("type") || profile.is_unknown_at("localhostProfile") {
        return;
    }
    let path = profile.text("localhostProfile");
    if (profile.text("type") == "Localhost") == path.is_empty() {
        report.add(place, profile, "needs localhostProfile with type: Localhost, and with no other");
    } else if path.starts_with('/') || path.split('/').any(|part| part == "..") {
        let message = "must lead to a place inside of the kubelet's folder";
        report.add(&place.member("localhostProfile"), profile, message);
    }
}

/// Of the fields of a volume one says where it comes from; without any it is an emptyDir.
pub(super) fn volume_source(report: &mut Report, volume: View<'_>, place: &Place<'_>) {
    let mut sources: Vec<_> = Schema::get().volume.fields.names().filter(|source| *source != "name").collect();
    // Those that people use come first, for the message.
    sources.sort_by_key(|source| (!["emptyDir", "configMap", "secret", "projected"].contains(source), *source));
    if volume.members().filter(|member| !member.value.is_null()).count() > 1
        && let Some(message) = one_of(volume, &sources)
    {
        report.add(place, volume, message);
    }
}

/// Requests and limits of a container or of a pod.
pub(super) fn resources(report: &mut Report, resources: View<'_>, place: &Place<'_>) {
    for kind in ["requests", "limits"] {
        let place = place.member(kind);
        for amount in resources.map(kind) {
            if amount.value.is_new() {
                judge_amount(report, &amount, &place.member(&amount.name));
            }
        }
    }
    let (requests, limits) = (amounts(resources, "requests"), amounts(resources, "limits"));
    let names: BTreeSet<_> = requests.keys().chain(limits.keys()).collect();
    for name in names {
        let (request, limit) = (requests.get(name), limits.get(name));
        if ![request, limit].into_iter().flatten().any(|(_, is_new)| *is_new) {
            continue;
        }
        let (request, limit) = (request.map(|(amount, _)| amount), limit.map(|(amount, _)| amount));
        let resource = shown(name);
        if request.zip(limit).is_some_and(|(request, limit)| request > limit) {
            report.add(place, resources, format!("would request more {resource} than the limit allows"));
        }
        // What cannot be shared out is had in whole, and as much as was asked for.
        if is_had_in_whole(name) {
            if request.zip(limit).is_some_and(|(request, limit)| request != limit) {
                report.add(place, resources, format!("must limit {resource} to just what they request of it"));
            } else if request.or(limit).is_some_and(|amount| amount.fract() != 0.0) {
                report.add(place, resources, format!("must ask for a whole number of {resource}"));
            }
        }
    }
}

/// What cannot be shared out among containers. Source: kubernetes pkg/apis/core/helper, IsOvercommitAllowed.
pub(super) fn is_had_in_whole(resource: &str) -> bool {
    resource.starts_with("hugepages-") || resource.contains('/') && !resource.contains("kubernetes.io/")
}

fn judge_amount(report: &mut Report, Member { name, position, value }: &Member<'_>, place: &Place<'_>) {
    let is_standard = RESOURCES.contains(&&**name) || name.starts_with("hugepages-");
    if !(is_standard || name.contains('/') && is_qualified_name(name)) {
        let hint = did_you_mean(nearest(name, RESOURCES.iter().copied()));
        let message = format!("is not a resource that Kubernetes knows, such as cpu or example.com/gpu{hint}");
        report.add_at(place, *position, message);
    }
    if value.amount().is_some_and(|amount| amount < 0.0) {
        report.add(place, *value, "must not be negative");
    }
}
