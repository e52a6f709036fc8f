//! `pillion templates new`: what it makes of a container is a template that gives the container back.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::harness::tools::{Ran, run};

const PILLION: &str = env!("CARGO_BIN_EXE_pillion");

fn pillion(arguments: &[&str], stdin: &str) -> Ran {
    run(Path::new(PILLION), arguments, stdin)
}

/// A template of a container of a manifest, and what is said of it.
fn new(manifest: &Value, container: &str) -> Ran {
    pillion(&["templates", "new", "scaffold", "-f", "-", "-c", container], &manifest.to_string())
}

fn items(list: &Value) -> impl Iterator<Item = &Value> {
    list.as_array().into_iter().flatten()
}

fn uses(container: &Value, volume: &Value) -> bool {
    let mounts = items(&container["volumeMounts"]).chain(items(&container["volumeDevices"]));
    mounts.into_iter().any(|mount| mount["name"] == volume["name"])
}

/// Takes a container out of a pod, and the volumes that it alone mounts.
fn take_out(pod: &mut Value, name: &str) -> Value {
    let spec = &mut pod["spec"];
    let mut taken = Value::Null;
    for list in ["initContainers", "containers"] {
        if let Some(containers) = spec[list].as_array_mut() {
            containers.retain(|it| {
                it["name"] != name || {
                    taken = it.clone();
                    false
                }
            });
        }
    }
    let others: Vec<_> = items(&spec["initContainers"]).chain(items(&spec["containers"])).cloned().collect();
    if let Some(volumes) = spec["volumes"].as_array_mut() {
        volumes.retain(|volume| !uses(&taken, volume) || others.iter().any(|it| uses(it, volume)));
    }
    taken
}

/// Fails unless the template of a container lints clean and gives it back to the pod at `place` of the workload.
#[track_caller]
fn comes_back(workload: &Value, place: &str, name: &str) {
    let ran = new(workload, name);
    assert_eq!(ran.code, 0, "{name}: {}", ran.stderr);
    let template = ran.stdout;
    let linted = pillion(&["lint", "-f", "-"], &template);
    assert!(linted.code == 0 && linted.stderr.contains(", 0 errors,"), "{name}: {}\n{template}", linted.stdout);

    let mut without = workload.clone();
    let pod = without.pointer_mut(place).expect("a pod");
    let was_regular = items(&pod["spec"]["containers"]).any(|it| it["name"] == name);
    let mut taken = take_out(pod, name);
    if was_regular {
        taken["restartPolicy"] = json!("Always");
    }
    let before = pod["spec"].clone();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("scaffold.yaml");
    fs::write(&file, &template).expect("the folder is writable");
    let file = file.to_str().expect("text");
    let arguments = ["inject", "-f", "-", "--templates", file, "--template", "scaffold", "-o", "json"];
    let ran = pillion(&arguments, &without.to_string());
    assert_eq!(ran.code, 0, "{name}: {}\n{template}", ran.stderr);
    let after: Value = serde_json::from_str(&ran.stdout).expect("JSON");
    let after = &after.pointer(place).expect("the pod")["spec"];
    let back = items(&after["initContainers"]).find(|it| it["name"] == name).unwrap_or_else(|| panic!("{after:#}"));
    assert_eq!(back, &taken, "{template}");
    // The others have what they had, and its volumes are there again.
    let all = |spec: &Value| -> Vec<Value> {
        items(&spec["initContainers"])
            .chain(items(&spec["containers"]))
            .filter(|it| it["name"] != name)
            .cloned()
            .collect()
    };
    assert_eq!(all(after), all(&before), "{template}");
    let original = workload.pointer(place).expect("the pod");
    for volume in items(&original["spec"]["volumes"]).filter(|volume| uses(&taken, volume)) {
        assert!(items(&after["volumes"]).any(|it| it == volume), "{volume}\n{template}");
    }
}

#[test]
fn every_sidecar_of_the_injected_examples_comes_back() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/injected");
    let mut number = 0;
    for entry in fs::read_dir(folder).expect("a folder") {
        let text = fs::read_to_string(entry.expect("an entry").path()).expect("text");
        let mut pod: Value = serde_saphyr::from_str(&text).expect("YAML");
        // As a team has it that writes its sidecars by hand.
        pod["metadata"]["annotations"] = json!({});
        let containers = items(&pod["spec"]["initContainers"]).chain(items(&pod["spec"]["containers"]));
        let names: Vec<_> = containers.map(|it| it["name"].as_str().expect("a name").to_owned()).collect();
        let is_app = |name: &str| names.len() == 1 || items(&pod["spec"]["containers"]).any(|it| it["name"] == name);
        for name in names.iter().filter(|name| !is_app(name)) {
            comes_back(&pod, "", name);
            number += 1;
        }
    }
    assert!(number >= 33, "{number}");
}

/// A workload, and where its pod is.
fn workload(api_version: &str, kind: &str, place: &str, pod: Value) -> (Value, String) {
    let mut workload =
        json!({"apiVersion": api_version, "kind": kind, "metadata": {"name": "web", "namespace": "shop"}});
    let whole = place.split('.').filter(|step| !step.is_empty()).fold(&mut workload, |at, step| &mut at[step]);
    for (field, value) in pod.as_object().expect("a pod") {
        whole[field] = value.clone();
    }
    (workload, place.split('.').filter(|step| !step.is_empty()).map(|step| format!("/{step}")).collect())
}

fn mount(volume: &str, path: &str) -> Value {
    json!({"name": volume, "mountPath": path})
}

#[test]
fn a_container_comes_back_to_workloads_of_every_kind() {
    let app = |mounts: Value| json!({"name": "app", "image": "app:1", "volumeMounts": mounts});
    let side = |more: Value| {
        let mut side = json!({"name": "side", "image": "side:1"});
        side.as_object_mut().expect("fields").extend(more.as_object().expect("fields").clone());
        side
    };
    let logs = json!({"volumeMounts": [mount("logs", "/logs")]});
    let empty = |name: &str| json!({"name": name, "emptyDir": {}});
    let probes = json!({"ports": [{"name": "http", "containerPort": 8080}],
        "startupProbe": {"httpGet": {"port": "http", "path": "/ready"}},
        "readinessProbe": {"tcpSocket": {"port": 8080}}, "livenessProbe": {"exec": {"command": ["true"]}},
        "lifecycle": {"preStop": {"sleep": {"seconds": 5}}}});
    let literal = json!({"args": ["${{ github.sha }}", "a: b # c", "$(A)", "", "- x\n  \n\ttab\n"],
        "env": [{"name": "A", "value": "${{ x }}"}, {"name": "B", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}],
        "envFrom": [{"configMapRef": {"name": "c"}}], "resources": {"limits": {"cpu": "500m", "example.com/gpu": 1}},
        "securityContext": {"runAsUser": 1}, "workingDir": "/x", "tty": true});
    let spec = |init: Value, containers: Value, volumes: Value| json!({"spec": {"initContainers": init, "containers": containers, "volumes": volumes}});
    let (apps, template) = ("apps/v1", "spec.template");
    let mut on_host = spec(json!([]), json!([app(json!([])), side(json!({}))]), json!([]));
    on_host["spec"]["hostNetwork"] = json!(true);
    let mut windows = spec(json!([]), json!([app(json!([])), side(json!({}))]), json!([]));
    windows["spec"]["os"] = json!({"name": "windows"});
    let mut stateful = workload(
        apps,
        "StatefulSet",
        template,
        spec(
            json!([]),
            json!([app(json!([mount("data", "/data")])), side(json!({"volumeMounts": [mount("data", "/d")]}))]),
            json!([]),
        ),
    );
    stateful.0["spec"]["volumeClaimTemplates"] = json!([{"metadata": {"name": "data"}, "spec": {}}]);
    let token = "/var/run/secrets/kubernetes.io/serviceaccount";
    for ((workload, place), name) in [
        // A regular container alone, with probes, and with what looks like an expression.
        (workload("v1", "Pod", "", spec(json!([]), json!([app(json!([])), side(probes)]), json!([]))), "side"),
        (workload("v1", "Pod", "", spec(json!([]), json!([app(json!([])), side(literal)]), json!([]))), "side"),
        // An init container that ends, and one that is a native sidecar already.
        (
            workload(apps, "Deployment", template, spec(json!([side(json!({}))]), json!([app(json!([]))]), json!([]))),
            "side",
        ),
        (
            workload(
                apps,
                "DaemonSet",
                template,
                spec(json!([side(json!({"restartPolicy": "Always"}))]), json!([app(json!([]))]), json!([])),
            ),
            "side",
        ),
        // With volumes of its own, with those of others, and with those that each other container mounts elsewhere.
        (
            workload(
                apps,
                "Deployment",
                template,
                spec(json!([]), json!([app(json!([])), side(logs.clone())]), json!([empty("logs"), empty("other")])),
            ),
            "side",
        ),
        (
            workload(
                "batch/v1",
                "CronJob",
                "spec.jobTemplate.spec.template",
                spec(
                    json!([]),
                    json!([app(json!([mount("logs", "/var/log")])), side(logs.clone())]),
                    json!([empty("logs")]),
                ),
            ),
            "side",
        ),
        (
            workload(
                "argoproj.io/v1alpha1",
                "Rollout",
                template,
                spec(
                    json!([{"name": "setup", "image": "setup:1", "volumeMounts": [mount("logs", "/setup")]}]),
                    json!([
                        app(json!([mount("logs", "/var/log"), mount("logs", "/copy")])),
                        {"name": "b", "image": "b:1", "volumeMounts": [mount("logs", "/b")]},
                        {"name": "c", "image": "c:1"},
                        side(logs.clone()),
                    ]),
                    json!([empty("logs")]),
                ),
            ),
            "side",
        ),
        (stateful, "side"),
        // Block devices, the node's network, Windows.
        (
            workload(
                "v1",
                "Pod",
                "",
                spec(
                    json!([]),
                    json!([app(json!([])), side(json!({"volumeDevices": [{"name": "disk", "devicePath": "/dev/x"}]}))]),
                    json!([{"name": "disk", "persistentVolumeClaim": {"claimName": "disk"}}]),
                ),
            ),
            "side",
        ),
        (workload(apps, "DaemonSet", template, on_host), "side"),
        (workload("v1", "Pod", "", windows), "side"),
        // A pod as a cluster shows it whose container has no API token.
        (
            workload(
                "v1",
                "Pod",
                "",
                spec(
                    json!([]),
                    json!([
                        app(json!([mount("kube-api-access-x1y2z", token)])),
                        side(
                            json!({"volumeMounts": [{"name": "pillion-no-token", "mountPath": token, "readOnly": true}]})
                        ),
                    ]),
                    json!([
                        {"name": "kube-api-access-x1y2z", "projected": {"sources": [{"serviceAccountToken": {"path": "token"}}]}},
                        {"name": "pillion-no-token", "emptyDir": {"medium": "Memory"}},
                    ]),
                ),
            ),
            "side",
        ),
    ] {
        comes_back(&workload, &place, name);
    }
}

#[test]
fn what_a_template_cannot_have_is_left_out_and_told() {
    let side = json!({"name": "side", "image": "side:1", "restartPolicy": "OnFailure", "env": [{"name": "A", "value": "1"}],
        "ports": [{"name": "http", "containerPort": 80}], "readinessProbe": {"httpGet": {"port": "htp"}},
        "volumeMounts": [mount("gone", "/gone"), mount("kube-api-access-abcde", "/token")]});
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web", "namespace": "shop"}, "spec": {
        "serviceAccountName": "web", "securityContext": {}, "shareProcessNamespace": true, "hostPID": false,
        "containers": [{"name": "app", "image": "app:1"}, side],
        "volumes": [{"name": "kube-api-access-abcde", "projected": {"sources": []}}]}});
    let ran = new(&pod, "side");
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let said: Vec<_> = ran.stderr.lines().collect();
    let subject = "standard input:1 shop/pod/web: ";
    for (said, sentence) in said.iter().zip([
        "restartPolicy OnFailure becomes Always, which makes a native sidecar of it",
        "left out: the mount of the API token, which the API server adds itself",
        "left out: spec.pod.spec.initContainers[0].readinessProbe.httpGet.port is htp, and the container has no port of that name",
        "left out: spec.pod.spec.initContainers[0].volumeMounts[0].name is gone, and there is no volume of that name",
        "not copied from the pod, where the container may rely on it: serviceAccountName, shareProcessNamespace",
    ]) {
        assert!(said.starts_with(&format!("{subject}{sentence}")), "{}", ran.stderr);
    }
    assert_eq!(said.len(), 5, "{}", ran.stderr);
    let linted = pillion(&["lint", "-f", "-"], &ran.stdout);
    assert_eq!(linted.code, 0, "{}", linted.stdout);
    assert!(!ran.stdout.contains("volumeMounts") && !ran.stdout.contains("readinessProbe"), "{}", ran.stdout);
    assert!(ran.stdout.contains("# The values of variables were copied"), "{}", ran.stdout);
}

#[test]
fn a_container_that_is_not_there_and_one_that_is_there_twice_are_told_with_those_that_are() {
    let pod = |name: &str| {
        json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name},
            "spec": {"containers": [{"name": "app", "image": "app:1"}, {"name": "Side", "image": "s"}]}})
    };
    let two = json!({"apiVersion": "v1", "kind": "List", "items": [pod("a"), pod("b")]});
    let container = |manifest: &Value, flags: &[&str]| {
        pillion(&[&["templates", "new", "x", "-f", "-"], flags].concat(), &manifest.to_string())
    };
    for (manifest, flags, code, says) in [
        (
            pod("a"),
            &["-c", "ap"][..],
            2,
            "there is no container \"ap\"; there are app (standard input:1 default/pod/a), Side (",
        ),
        (pod("a"), &[], 2, "name one with --container: app (standard input:1 default/pod/a), Side"),
        (
            two,
            &["-c", "app"],
            2,
            "several pods have a container app: app (standard input:1 default/pod/a), app (standard input:1 default/pod/b); name a file",
        ),
        (json!({"kind": "ConfigMap"}), &["-c", "app"], 2, "there is no pod in what --filename names"),
        (
            pod("a"),
            &["-c", "Side"],
            2,
            "no template can have the container Side: spec.pod.spec.initContainers[0].name must be a DNS label",
        ),
    ] {
        let ran = container(&manifest, flags);
        assert!(ran.code == code && ran.stderr.contains(says) && ran.stdout.is_empty(), "{says}\n{}", ran.stderr);
    }
    for (arguments, says) in [
        (&["templates", "new", "Not_A_Label"][..], "must be a DNS label"),
        (&["templates", "new", "x", "-f", "/absent.yaml", "-c", "a"], "/absent.yaml: No such file"),
        (&["templates", "new", "x", "-c", "a"], "--filename"),
        (&["templates", "new"], "<NAME>"),
    ] {
        let ran = pillion(arguments, "");
        assert!(ran.code == 2 && ran.stderr.contains(says), "{says}\n{}", ran.stderr);
    }
    // The rest of a file is read.
    let ran = pillion(&["templates", "new", "x", "-f", "-", "-c", "app"], &format!("a: [\n---\n{}\n", pod("a")));
    assert!(ran.code == 2 && ran.stdout.contains("name: app") && ran.stderr.contains("invalid YAML"), "{}", ran.stderr);
}

#[test]
fn without_a_workload_it_is_a_template_to_fill_in_that_is_warned_of_nothing() {
    for name in ["side", "123", "null"] {
        let ran = pillion(&["templates", "new", name], "");
        assert_eq!(ran.code, 0, "{}", ran.stderr);
        let linted = pillion(&["lint", "-f", "-"], &ran.stdout);
        assert_eq!(linted.stdout, format!("{name}: Pod Security restricted\n"), "{}", ran.stdout);
        assert_eq!(linted.stderr, "1 template, 0 errors, 0 warnings\n");
    }
}
