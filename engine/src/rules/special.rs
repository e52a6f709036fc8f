//! The rules about a single part of a pod that no row can say by itself.

use super::parts::PROBES;
use super::report::{Place, Report};
use super::row::{Broken, hint};
use super::volumes::is_inside;
use crate::json::{Member, View};
use crate::names::{is_label_value, is_port_name, is_qualified_name, reserved_key};
use crate::schema::Schema;
use crate::yaml::Position;

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
    for member in new_members(labels) {
        let (place, value) = (place.key(&member), member.value);
        judge_key(report, &member.name, &place, member.position);
        if value.string().is_some_and(|text| !is_label_value(&text)) {
            report.add(&place, value, format!("is {value}, which is no label's value"));
        }
    }
}

pub(super) fn annotations(report: &mut Report, annotations: View<'_>, place: &Place<'_>) {
    for member in new_members(annotations) {
        // The API server takes capitals here.
        judge_key(report, &member.name.to_lowercase(), &place.key(&member), member.position);
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
    for Member { name: map, position, value, .. } in metadata.touched_members() {
        let place = place.member(&map);
        let fields = Schema::get().metadata;
        // What is misspelt is said elsewhere.
        let is_misspelt = fields.fields.get(&map).is_none() && fields.nearest(&map).is_some();
        if map != "labels" && map != "annotations" && !is_misspelt {
            report.add_at(&place, position, "must not be set in a template: only labels and annotations may");
        }
        for member in new_members(value) {
            if let Some(why) = reserved_key(&map, &member.name) {
                report.add_at(&place.key(&member), member.position, why);
            }
        }
    }
}

pub(super) fn node_selector(report: &mut Report, selector: View<'_>, place: &Place<'_>) {
    for member in new_members(selector) {
        let value = member.value;
        if !is_qualified_name(&member.name) || value.string().is_some_and(|text| !is_label_value(&text)) {
            report.add(&place.key(&member), value, format!("is {value}, which is no label that a node can have"));
        }
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
                let hint = hint(port, known.iter().map(|name| &**name));
                let message = format!("is {}, and the container has no port of that name{hint}", port.shown());
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
        let hint = hint(field, allowed.iter().copied().chain(KEYS));
        let message = format!("is {field}, which cannot be shown to a container{hint}");
        report.add(&place.member("fieldPath"), field, message);
    }
}

/// A file shows an amount of a container that it must name.
pub(super) fn container_of_file(report: &mut Report, reference: View<'_>, place: &Place<'_>) {
    if reference.get("containerName").is_none_or(View::is_empty) {
        report.add(place, reference, "lacks containerName");
    }
}

/// Source: validateMountRecursiveReadOnly.
pub(super) fn recursive_read_only(mount: View<'_>) -> Broken {
    if !["Enabled", "IfPossible"].contains(&&*mount.text("recursiveReadOnly")) {
        return None;
    }
    if !mount.is_true("readOnly") {
        return Some(("recursiveReadOnly", "needs readOnly: true".into()));
    }
    let is_propagated = !["", "None"].contains(&&*mount.text("mountPropagation"));
    is_propagated.then(|| ("recursiveReadOnly", "needs mountPropagation: None".into()))
}

pub(super) fn escalation(report: &mut Report, context: View<'_>, place: &Place<'_>) {
    let mut added = context.get("capabilities").into_iter().flat_map(|it| it.list("add"));
    let is_admin = added.any(|capability| capability.string().as_deref() == Some("CAP_SYS_ADMIN"));
    if context.is_false("allowPrivilegeEscalation") && (context.is_true("privileged") || is_admin) {
        let value = context.get("allowPrivilegeEscalation").unwrap_or(context);
        let message = "must not be false for a container that is privileged or has CAP_SYS_ADMIN";
        report.add(&place.member("allowPrivilegeEscalation"), value, message);
    }
}

/// Source: validateSeccompProfileField.
pub(super) fn seccomp(profile: View<'_>) -> Broken {
    match (profile.text("type") == "Localhost", profile.get("localhostProfile").and_then(View::string)) {
        (true, None) => Some(("localhostProfile", "must be there with type: Localhost".into())),
        (true, Some(path)) => (!is_inside(&path))
            .then(|| ("localhostProfile", "must lead to a place inside of the kubelet's folder".into())),
        (false, Some(_)) => Some(("localhostProfile", "must be there with type: Localhost only".into())),
        (false, None) => None,
    }
}

/// Source: ValidateAppArmorProfileField.
pub(super) fn app_armor(profile: View<'_>) -> Broken {
    match (profile.text("type") == "Localhost", profile.get("localhostProfile").and_then(View::string)) {
        (true, name) => {
            let is_name = name.is_some_and(|name| !name.is_empty() && name.trim() == name && name.len() <= 4095);
            (!is_name).then(|| ("localhostProfile", "must name a profile with type: Localhost".into()))
        }
        (false, Some(_)) => Some(("localhostProfile", "must be there with type: Localhost only".into())),
        (false, None) => None,
    }
}

/// Source: validateContainerRestartPolicy.
pub(super) fn restart_rules(report: &mut Report, container: View<'_>, place: &Place<'_>) {
    let rules = container.touched("restartPolicyRules").filter(|rules| !rules.is_empty());
    if let Some(rules) =
        rules.filter(|_| container.text("restartPolicy").is_empty() && !container.is_unknown_at("restartPolicy"))
    {
        report.add(&place.member("restartPolicyRules"), rules, "needs a restartPolicy of the container");
    }
}

/// The names of DNS that are searched, together. Source: validatePodDNSConfig.
pub(super) fn searches(config: View<'_>) -> Broken {
    let length = config.list("searches").filter_map(View::string).map(|search| search.len() + 1).sum::<usize>();
    (length > 2049).then(|| ("searches", "must have at most 2048 characters together".into()))
}
