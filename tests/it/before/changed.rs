//! What others do to a pod between two calls.

use serde_json::{Value, json};

use super::random::Random;
use crate::harness::json::Json;

/// A pod as an API server, other webhooks or people have changed it.
pub(super) fn by_others(pod: &Json, random: &mut Random) -> Json {
    let Ok(mut pod) = serde_json::from_str::<Value>(&pod.to_string()) else { return pod.clone() };
    for _ in 0..=random.below(4) {
        let change = random.pick(&[
            fill_in_defaults,
            rewrite_quantities,
            add_sidecar,
            add_variable,
            add_volume,
            take_out,
            take_out,
            change_annotation,
            change_container,
        ]);
        change(&mut pod, random);
    }
    Json::from(&pod)
}

fn containers(pod: &mut Value) -> impl Iterator<Item = &mut Value> {
    let spec = pod.get_mut("spec").and_then(Value::as_object_mut);
    let lists = spec.into_iter().flatten().filter(|(name, _)| *name == "containers" || *name == "initContainers");
    lists.flat_map(|(_, list)| list.as_array_mut().into_iter().flatten()).filter(|it| it.is_object())
}

fn put(object: Option<&mut Value>, name: &str, value: Value) {
    if let Some(members) = object.and_then(Value::as_object_mut) {
        members.entry(name).or_insert(value);
    }
}

/// As an API server does. Source: kubernetes pkg/apis/core/v1/defaults.go.
fn fill_in_defaults(pod: &mut Value, _: &mut Random) {
    for (field, value) in
        [("dnsPolicy", "ClusterFirst"), ("restartPolicy", "Always"), ("serviceAccountName", "default")]
    {
        put(pod.get_mut("spec"), field, value.into());
    }
    put(pod.get_mut("spec"), "terminationGracePeriodSeconds", 30.into());
    put(pod.get_mut("spec"), "securityContext", json!({}));
    for container in containers(pod) {
        put(Some(container), "terminationMessagePath", "/dev/termination-log".into());
        put(Some(container), "imagePullPolicy", "IfNotPresent".into());
        put(Some(container), "resources", json!({}));
        for port in container.get_mut("ports").and_then(Value::as_array_mut).into_iter().flatten() {
            put(Some(port), "protocol", "TCP".into());
        }
        for variable in container.get_mut("env").and_then(Value::as_array_mut).into_iter().flatten() {
            if variable["value"] == "" {
                variable.as_object_mut().expect("it has a value").remove("value");
            }
        }
        for probe in ["startupProbe", "livenessProbe", "readinessProbe"] {
            for (field, value) in
                [("periodSeconds", 10), ("timeoutSeconds", 1), ("successThreshold", 1), ("failureThreshold", 3)]
            {
                put(container.get_mut(probe), field, value.into());
            }
        }
    }
    for volume in pod.pointer_mut("/spec/volumes").and_then(Value::as_array_mut).into_iter().flatten() {
        for source in ["configMap", "secret", "projected", "downwardAPI"] {
            put(volume.get_mut(source), "defaultMode", 0o644.into());
        }
    }
}

fn rewrite_quantities(pod: &mut Value, _: &mut Random) {
    for container in containers(pod) {
        for kind in ["requests", "limits"] {
            let amounts = container.get_mut("resources").and_then(|it| it.get_mut(kind)?.as_object_mut());
            for (_, amount) in amounts.into_iter().flatten() {
                let written = match amount.to_string().trim_matches('"') {
                    "0.5" => "500m".into(),
                    "1024Mi" => "1Gi".into(),
                    number if number.parse::<u64>().is_ok() => number.to_owned(),
                    _ => continue,
                };
                *amount = written.into();
            }
        }
    }
}

fn add_sidecar(pod: &mut Value, random: &mut Random) {
    let name = random.pick(&["istio-proxy", "proxy", "agent", "app", "setup"]);
    let port = random.pick(&[15090, 8080, 9090]);
    let sidecar =
        json!({"name": name, "image": "istio:1", "restartPolicy": "Always", "ports": [{"containerPort": port}]});
    put(pod.get_mut("spec"), "initContainers", json!([]));
    if let Some(list) = pod.pointer_mut("/spec/initContainers").and_then(Value::as_array_mut) {
        let at = random.below(list.len() + 1);
        list.insert(at, sidecar);
    }
}

fn add_variable(pod: &mut Value, random: &mut Random) {
    let name = random.pick(&["MODE", "A", "LOG_DIR", "OTHER"]);
    for container in containers(pod) {
        put(Some(container), "env", json!([]));
        if let Some(list) = container.get_mut("env").and_then(Value::as_array_mut) {
            let at = random.below(list.len() + 1);
            list.insert(at, json!({"name": name, "value": "of another"}));
        }
    }
}

fn add_volume(pod: &mut Value, random: &mut Random) {
    let name = random.pick(&["kube-api-access-x7k2p", "data", "istio-envoy"]);
    let path = random.pick(&["/var/run/secrets/kubernetes.io/serviceaccount", "/data", "/etc/istio"]);
    put(pod.get_mut("spec"), "volumes", json!([]));
    if let Some(list) = pod.pointer_mut("/spec/volumes").and_then(Value::as_array_mut) {
        list.push(json!({"name": name, "emptyDir": {}}));
    }
    for container in containers(pod) {
        put(Some(container), "volumeMounts", json!([]));
        if let Some(list) = container.get_mut("volumeMounts").and_then(Value::as_array_mut) {
            list.push(json!({"name": name, "mountPath": path, "readOnly": true}));
        }
    }
}

/// Takes something out, wherever.
fn take_out(pod: &mut Value, random: &mut Random) {
    let mut place = &mut *pod;
    loop {
        let stops = random.percent(25);
        place = match place {
            Value::Object(members) if !members.is_empty() => {
                let at = random.below(members.len());
                let name = members.keys().nth(at).expect("it is below their number").clone();
                if stops || !(members[&name].is_object() || members[&name].is_array()) {
                    members.shift_remove(&name);
                    return;
                }
                &mut members[&name]
            }
            Value::Array(items) if !items.is_empty() => {
                let at = random.below(items.len());
                if stops || !(items[at].is_object() || items[at].is_array()) {
                    items.remove(at);
                    return;
                }
                &mut items[at]
            }
            _ => return,
        };
    }
}

fn change_annotation(pod: &mut Value, random: &mut Random) {
    let Some(annotations) = pod.pointer_mut("/metadata/annotations").and_then(Value::as_object_mut) else { return };
    if annotations.is_empty() {
        return;
    }
    let at = random.below(annotations.len());
    let (_, value) = annotations.iter_mut().nth(at).expect("it is below their number");
    let text = value.as_str().unwrap_or_default();
    *value = match random.below(4) {
        0 => text.replace("injected", "skipped"),
        1 => text.chars().take(text.chars().count() / 2).collect(),
        2 => format!("{text},fluent-bit"),
        _ => random.pick(&["", "1", "true", "{}", "/data", "x"]).to_owned(),
    }
    .into();
}

fn change_container(pod: &mut Value, random: &mut Random) {
    let count = containers(pod).count();
    let at = random.below(count);
    let Some(container) = containers(pod).nth(at) else { return };
    let (field, value) = random.pick(&[
        ("name", json!("renamed")),
        ("image", json!("mirror.example.com/app:2")),
        ("restartPolicy", json!("Always")),
        ("securityContext", json!({"privileged": true})),
        ("command", json!(["other"])),
        ("ports", json!([{"name": "http", "containerPort": 8080}])),
    ]);
    container[field] = value;
}
