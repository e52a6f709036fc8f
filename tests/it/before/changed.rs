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
            forge_status,
            forge_status,
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

/// What somebody writes who wants a status to say something else.
fn forge_status(pod: &mut Value, random: &mut Random) {
    let places: Vec<String> = (0..4).map(|_| place(pod, random)).collect();
    let Some(annotations) = pod.pointer_mut("/metadata/annotations").and_then(Value::as_object_mut) else { return };
    let asked = annotations.get("pillion.dev/templates").and_then(Value::as_str).unwrap_or("t0");
    let asked: Vec<String> = asked.split(',').map(|name| name.trim_start_matches('+').to_owned()).collect();
    let written = annotations.get("pillion.dev/status").and_then(Value::as_str);
    let mut status: Value = written.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_else(|| json!({}));
    let Some(members) = status.as_object_mut() else { return };
    let records = members.entry("templates").or_insert_with(|| json!([]));
    let Some(records) = records.as_array_mut() else { return };
    if records.is_empty() || random.percent(15) {
        records.push(json!({"name": random.pick(&asked), "digest": "0123456789abcdef"}));
    }
    let at = random.below(records.len());
    let place = random.pick(&places);
    let lists = ["added", "added", "added", "overridden", "app"];
    match random.below(10) {
        0 => records[at]["name"] = random.pick(&asked).into(),
        1 => records[at]["digest"] = "0123456789abcdef".into(),
        2 => drop(records.remove(at)),
        3 => {
            records[at]["replaced"] =
                json!([[place, random.pick(&[json!(5), json!("Never"), json!({}), Value::Null])]]);
        }
        4 | 5 => {
            let list = records[at].get_mut(random.pick(&lists)).and_then(Value::as_array_mut);
            if let Some(list) = list.filter(|list| !list.is_empty()) {
                list.remove(random.below(list.len()));
            }
        }
        _ => {
            let list = random.pick(&lists);
            if !records[at][list].is_array() {
                records[at][list] = json!([]);
            }
            if let Some(list) = records[at][list].as_array_mut() {
                list.extend(places.into_iter().map(Value::from));
            }
        }
    }
    annotations.insert("pillion.dev/status".into(), status.to_string().into());
}

/// A pointer to somewhere in a pod, as a status names it, or nearly so.
fn place(pod: &Value, random: &mut Random) -> String {
    let (mut pointer, mut here) = (String::new(), pod);
    for depth in 0.. {
        let token = match here {
            Value::Object(members) if !members.is_empty() => {
                let (name, value) = members.iter().nth(random.below(members.len())).expect("it is below their number");
                here = value;
                name.clone()
            }
            Value::Array(items) if !items.is_empty() => {
                here = &items[random.below(items.len())];
                let text = |name: &str| here.get(name).map(|it| it.to_string().trim_matches('"').to_owned());
                let port =
                    text("containerPort").map(|port| format!("{port}/{}", text("protocol").unwrap_or("TCP".into())));
                text("mountPath").or(port).or_else(|| text("name")).unwrap_or_else(|| here.to_string())
            }
            _ => break,
        };
        pointer += &format!("/{}", token.replace('~', "~0").replace('/', "~1"));
        if depth > 1 && random.percent(25) {
            break;
        }
    }
    if random.percent(5) { format!("{pointer}x") } else { pointer }
}
