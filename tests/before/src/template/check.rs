//! What a template must not hold, and what its parts must agree on. Everything here can be known without a pod.

use std::collections::{BTreeMap, BTreeSet};

use super::is_dns_label;
use super::reader::{Reader, member};
use crate::yaml::{Key, Node, Position, Value};

/// What a pod's own containers can receive.
pub(super) const APP_FIELDS: &[&str] = &[
    "env",
    "envFrom",
    "volumeMounts",
    "volumeDevices",
    "ports",
    "startupProbe",
    "livenessProbe",
    "readinessProbe",
    "lifecycle",
    "resources",
];

/// What only the pod's author or the cluster decides.
const FORBIDDEN: &[&str] = &[
    "ephemeralContainers",
    "nodeName",
    "os",
    "priority",
    "priorityClassName",
    "preemptionPolicy",
    "runtimeClassName",
    "overhead",
    "serviceAccount",
    "serviceAccountName",
    "automountServiceAccountToken",
];

/// Labels by which controllers know their pods: another value would orphan the pod or make it another's.
const CONTROLLER_LABELS: &[&str] = &[
    "pod-template-hash",
    "controller-revision-hash",
    "statefulset.kubernetes.io/pod-name",
    "apps.kubernetes.io/pod-index",
    "batch.kubernetes.io/controller-uid",
    "batch.kubernetes.io/job-name",
    "batch.kubernetes.io/job-completion-index",
    "controller-uid",
    "job-name",
];

/// The kubelet marks the pods that it mirrors so. Source: k8s.io/api/core/v1, MirrorPodAnnotationKey.
pub(crate) const MIRROR: &str = "kubernetes.io/config.mirror";

/// The API server takes a volume of such a name for the token that it mounts itself.
/// Source: kubernetes plugin/pkg/admission/serviceaccount.
const TOKEN_VOLUME_PREFIX: &str = "kube-api-access-";
const TOKEN_PATH: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// How the volumes of `serviceAccountToken: false` begin.
pub(crate) const NO_TOKEN: &str = "no-token-";

/// Checks `spec` of a template. Texts with holes are left to the review.
pub(super) fn check(reader: &mut Reader<'_>, spec: &Node) {
    let pod = spec.get("pod");
    if let Some(metadata) = pod.and_then(|pod| pod.get("metadata")) {
        check_metadata(reader, metadata);
    }
    let empty = Node::from(serde_json::Value::Null);
    let pod_spec = pod.and_then(|pod| pod.get("spec")).unwrap_or(&empty);
    if let Value::Object(members) = &pod_spec.value {
        for (key, _) in members.iter().filter(|(key, _)| FORBIDDEN.contains(&key.name.as_str())) {
            reader.problem(
                key.position,
                &member("spec.pod.spec", &key.name),
                "must not stand in a template: the pod's author or the cluster decides it",
            );
        }
    }
    let volumes = check_volumes(reader, spec, pod_spec);
    let mut containers = BTreeMap::new();
    for (list, sidecars) in [("initContainers", true), ("containers", false)] {
        for (at, container) in items(pod_spec, list).iter().enumerate() {
            let path = format!("spec.pod.spec.{list}[{at}]");
            check_name(reader, container, &path, &mut containers);
            check_container(reader, container, &path, sidecars);
            check_mounts(reader, container, &path, &volumes);
        }
    }
    for (at, entry) in items(spec, "app").iter().enumerate() {
        for name in ["containers", "initContainers"].iter().flat_map(|list| items(entry, list)) {
            if name.as_str().is_some_and(|name| containers.contains_key(name)) {
                let message = "names a container that the template brings itself: write it into that container";
                reader.problem(name.position, &format!("spec.app[{at}]"), message);
            }
        }
        check_mounts(reader, entry, &format!("spec.app[{at}]"), &volumes);
    }
}

fn items<'a>(node: &'a Node, list: &str) -> &'a [Node] {
    node.get(list).map(Node::items).unwrap_or_default()
}

/// A text that is known now: one without holes.
fn fixed<'a>(node: &'a Node, field: &str) -> Option<(&'a str, Position)> {
    let node = node.get(field)?;
    Some((node.as_str().filter(|text| !text.contains("${{"))?, node.position))
}

fn check_metadata(reader: &mut Reader<'_>, metadata: &Node) {
    let Value::Object(members) = &metadata.value else { return };
    for (key, node) in members {
        let path = member("spec.pod.metadata", &key.name);
        if key.name != "labels" && key.name != "annotations" {
            reader.problem(key.position, &path, "must not stand in a template: only labels and annotations may");
        }
        let Value::Object(entries) = &node.value else { continue };
        for (Key { name, position }, _) in entries {
            if let Some(why) = reserved(&key.name, name) {
                reader.problem(*position, &member(&path, name), why);
            }
        }
    }
}

/// Why a template must not set a key of `labels` or `annotations`.
pub(crate) fn reserved(map: &str, key: &str) -> Option<&'static str> {
    let domain = key.split_once('/').map(|(domain, _)| domain);
    if domain.is_some_and(|domain| domain == "pillion.dev" || domain.ends_with(".pillion.dev")) {
        return Some("is one of Pillion's own keys");
    }
    if key == MIRROR {
        return Some("is the kubelet's own key");
    }
    (map == "labels" && CONTROLLER_LABELS.contains(&key)).then_some("is a label that controllers own")
}

fn check_name(reader: &mut Reader<'_>, node: &Node, path: &str, seen: &mut BTreeMap<String, String>) {
    let Some((name, position)) = fixed(node, "name") else { return };
    if !is_dns_label(name) {
        reader.problem(position, &format!("{path}.name"), super::NotADnsLabel.to_string());
    }
    match seen.get(name) {
        Some(first) => {
            reader.problem(position, &format!("{path}.name"), format!("is {name}, which {first} has already"));
        }
        None => drop(seen.insert(name.to_owned(), path.to_owned())),
    }
}

fn check_volumes(reader: &mut Reader<'_>, spec: &Node, pod_spec: &Node) -> Option<BTreeSet<String>> {
    let mut seen = BTreeMap::new();
    let shares = items(spec, "shares");
    let mut all_known = !shares.iter().any(|name| name.as_str().is_some_and(|name| name.contains("${{")))
        && pod_spec.get("volumes").is_none_or(|volumes| volumes.as_str().is_none());
    for (at, volume) in items(pod_spec, "volumes").iter().enumerate() {
        let path = format!("spec.pod.spec.volumes[{at}]");
        check_name(reader, volume, &path, &mut seen);
        match fixed(volume, "name") {
            Some((name, position)) if name.starts_with(TOKEN_VOLUME_PREFIX) => {
                reader.problem(position, &format!("{path}.name"), "is a name that the API server keeps for itself");
            }
            Some(_) => {}
            None => all_known = false,
        }
    }
    // With a name that only a pod decides, no mount can be called wrong.
    let shares = shares.iter().filter_map(Node::as_str).map(str::to_owned);
    all_known.then(|| seen.into_keys().chain(shares).collect())
}

fn check_mounts(reader: &mut Reader<'_>, node: &Node, path: &str, volumes: &Option<BTreeSet<String>>) {
    let Some(volumes) = volumes else { return };
    for list in ["volumeMounts", "volumeDevices"] {
        for (at, mount) in items(node, list).iter().enumerate() {
            let Some((name, position)) = fixed(mount, "name") else { continue };
            if !volumes.contains(name) {
                let hint = crate::did_you_mean(crate::nearest(name, volumes.iter().map(String::as_str)));
                let message =
                    format!("is {name}, a volume that is neither in spec.pod.spec.volumes nor in shares{hint}");
                reader.problem(position, &format!("{path}.{list}[{at}].name"), message);
            }
        }
    }
}

fn check_container(reader: &mut Reader<'_>, container: &Node, path: &str, init: bool) {
    let restart_policy = container.get("restartPolicy");
    let sidecar = init
        && restart_policy
            .is_some_and(|policy| policy.as_str() != Some("Never") && policy.as_str() != Some("OnFailure"));
    if let (Some((policy, position)), true) = (fixed(container, "restartPolicy"), init)
        && !["Always", "Never", "OnFailure"].contains(&policy)
    {
        reader.problem(position, &format!("{path}.restartPolicy"), "must be Always, which makes a native sidecar");
    }
    if let (Some(policy), false) = (restart_policy, init) {
        let message = "must not stand on a regular container; a native sidecar is an entry of initContainers";
        reader.problem(policy.position, &format!("{path}.restartPolicy"), message);
    }
    if container.get("image").is_none() {
        reader.problem(container.position, path, "lacks image");
    }
    let hooks = container.get("lifecycle");
    let hooks = ["postStart", "preStop"].map(|hook| (format!("lifecycle.{hook}"), hooks.and_then(|it| it.get(hook))));
    let probes =
        ["startupProbe", "livenessProbe", "readinessProbe"].map(|probe| (probe.to_owned(), container.get(probe)));
    for (field, node) in probes.into_iter().chain(hooks) {
        let Some(node) = node else { continue };
        if init && !sidecar {
            let message =
                "must not stand on an init container that ends; with restartPolicy: Always it is a native sidecar";
            reader.problem(node.position, &format!("{path}.{field}"), message);
        }
    }
}

/// The same template with an emptyDir where each added container would find the API token: a container that has
/// something mounted there gets no token from the API server.
pub(super) fn without_token(spec: &Node, template: &str) -> Node {
    // A volume's name has 63 characters, as a template's has.
    let short = if template.len() <= 54 { template.to_owned() } else { super::digest(&[template.as_bytes()]) };
    let volume = format!("{NO_TOKEN}{short}");
    let mut spec = spec.clone();
    let Some(pod_spec) = child(&mut spec, "pod").and_then(|pod| child(pod, "spec")) else { return spec };
    let mount = Node::from(serde_json::json!({"name": volume, "mountPath": TOKEN_PATH, "readOnly": true}));
    for list in ["initContainers", "containers"] {
        let Some(Node { value: Value::List(containers), .. }) = child(pod_spec, list) else { continue };
        containers.iter_mut().for_each(|container| push(container, "volumeMounts", mount.clone()));
    }
    push(pod_spec, "volumes", Node::from(serde_json::json!({"name": volume, "emptyDir": {}})));
    spec
}

/// An expression for all of a container's mounts leaves no place for one more.
pub(super) fn check_mounts_are_lists(reader: &mut Reader<'_>, spec: &Node) {
    let Some(pod_spec) = spec.get("pod").and_then(|pod| pod.get("spec")) else { return };
    for list in ["initContainers", "containers"] {
        for (at, mounts) in
            items(pod_spec, list).iter().enumerate().filter_map(|(at, it)| Some((at, it.get("volumeMounts")?)))
        {
            let path = format!("spec.pod.spec.{list}[{at}].volumeMounts");
            if mounts.as_str().is_some() {
                reader.problem(mounts.position, &path, "must be written out with serviceAccountToken: false");
            }
            let Value::List(mounts) = &mounts.value else { continue };
            for (path_node, position) in mounts.iter().filter_map(|mount| fixed(mount, "mountPath")) {
                if path_node.trim_end_matches('/') == TOKEN_PATH {
                    reader.problem(
                        position,
                        &path,
                        "mounts the API token's path, which serviceAccountToken: false covers",
                    );
                }
            }
        }
    }
}

fn child<'a>(node: &'a mut Node, name: &str) -> Option<&'a mut Node> {
    match &mut node.value {
        Value::Object(members) => members.iter_mut().find(|(key, _)| key.name == name).map(|(_, node)| node),
        _ => None,
    }
}

fn push(node: &mut Node, list: &str, item: Node) {
    if let Some(known) = child(node, list) {
        // An expression that stands for the whole list was reported.
        if let Value::List(items) = &mut known.value {
            items.push(item);
        }
    } else if let Value::Object(members) = &mut node.value {
        let key = Key { name: list.to_owned(), position: node.position };
        members.push((key, Node { value: Value::List(vec![item]), position: node.position }));
    }
}
