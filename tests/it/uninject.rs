//! `pillion uninject`: what was injected comes out again, and no more.

use std::fs;
use std::path::Path;

use pillion_engine::admission::Review;
use serde_json::value::to_raw_value;
use serde_json::{Value, json};

use crate::golden::{Case, applied, catalog};
use crate::harness::tools::{Ran, run};

fn pillion(arguments: &[&str], stdin: &str) -> Ran {
    run(Path::new(env!("CARGO_BIN_EXE_pillion")), arguments, stdin)
}

fn uninject(manifest: &str) -> Ran {
    pillion(&["uninject", "-f", "-"], manifest)
}

/// The YAML documents of a text.
#[track_caller]
fn documents(text: &str) -> Vec<Value> {
    serde_saphyr::from_multiple(text).unwrap_or_else(|error| panic!("{error}:\n{text}"))
}

#[test]
fn every_example_comes_back_as_it_was() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let files = fs::read_dir(folder).expect("the folder is there").flatten().map(|entry| entry.path());
    let files: Vec<_> = files.filter(|path| path.extension().is_some_and(|end| end == "yaml")).collect();
    assert!(files.len() >= 33, "{files:?}");
    for file in files {
        let path = file.to_str().expect("a name that is text");
        let before = fs::read_to_string(&file).expect("the file is readable");
        let injected = pillion(&["inject", "-f", path], "");
        assert_eq!(injected.code, 0, "{path}: {}", injected.stderr);
        assert_ne!(injected.stdout, before, "{path}");
        let ran = uninject(&injected.stdout);
        assert_eq!(ran.code, 0, "{path}: {}", ran.stderr);
        assert_eq!(documents(&ran.stdout), documents(&before), "{path}");
        // Byte for byte, too, where nothing was written anew.
        if !injected.stderr.contains("is written anew") {
            assert_eq!(ran.stdout, before, "{path}");
        }
        assert!(!ran.stderr.contains("warning"), "{path}: {}", ran.stderr);
    }
}

#[test]
fn every_golden_case_comes_back_as_it_was_but_for_what_a_template_overrode() {
    let mut seen = 0;
    for case in Case::all() {
        let name = case.folder.strip_prefix(case.folder.ancestors().nth(2).expect("chapters")).expect("a chapter");
        // Other pods than their authors wrote them, and copies of injected ones.
        let is_of_copies = ["required", "second-call", "status"].iter().any(|chapter| name.starts_with(chapter));
        // The pod has the template's container.
        if is_of_copies || name.ends_with("a-container-that-the-pod-has-as-the-api-server-writes-it") {
            continue;
        }
        let (pod, namespace) = (case.parse("pod.yaml").expect("a pod"), case.namespace());
        if pod["metadata"]["annotations"].get("pillion.dev/status").is_some() {
            continue;
        }
        let raw = to_raw_value(&pod).expect("JSON");
        let decision = pillion_engine::review(&catalog(&case).0, &namespace, &Review::of_pod("shop", &raw));
        if decision.patch.is_empty() {
            continue;
        }
        seen += 1;
        let injected = to_raw_value(&applied(&pod, &decision)).expect("JSON");
        let uninjected = pillion_engine::uninject(&injected).expect("a status of ours").expect("a status");
        let overridden = uninjected.templates.iter().any(|template| !template.overridden.is_empty());
        if !overridden {
            assert_eq!(without_nulls(uninjected.pod), without_nulls(pod), "{}", name.display());
        }
        let left = uninjected.templates.iter().map(|template| template.missing.len() + template.unknown.len());
        assert_eq!(left.sum::<usize>(), 0, "{}: {:?}", name.display(), uninjected.templates);
    }
    assert!(seen > 150, "{seen}");
}

/// What is `null` is not there.
fn without_nulls(mut value: Value) -> Value {
    match &mut value {
        Value::Object(members) => {
            members.retain(|_, member| !member.is_null());
            members.values_mut().for_each(|member| *member = without_nulls(member.take()));
        }
        Value::Array(items) => items.iter_mut().for_each(|item| *item = without_nulls(item.take())),
        _ => {}
    }
    value
}

const TEMPLATE: &str = r#"
apiVersion: pillion.dev/v1alpha1
kind: ClusterInjectionTemplate
metadata: {name: side}
spec:
  shares: [data]
  safeToEvictVolumes: [scratch]
  pod:
    metadata: {labels: {side: "yes"}}
    spec:
      terminationGracePeriodSeconds: 60
      dnsPolicy: None
      dnsConfig: {nameservers: [127.0.0.1]}
      securityContext: {fsGroup: 1000}
      newField: 1
      initContainers: [{name: side, image: side, restartPolicy: Always, volumeMounts: [{name: data, mountPath: /data}]}]
      volumes: [{name: scratch, emptyDir: {}}, {name: data, emptyDir: {}}]
  app:
    - containers: ["*"]
      env: [{name: SIDE, value: "1"}]
      resources: {requests: {cpu: 10m}}
"#;

/// Workloads of several kinds, some with empty objects and with fields that the template replaces.
const WORKLOADS: &str = r#"
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db}
spec:
  template:
    metadata: {annotations: {cluster-autoscaler.kubernetes.io/safe-to-evict-local-volumes: own, pillion.dev/templates: side}}
    spec:
      terminationGracePeriodSeconds: 20
      dnsPolicy: ClusterFirst
      securityContext: {}
      containers: [{name: db, image: db, resources: {}, env: [{name: A, value: a}]}]
  volumeClaimTemplates: [{metadata: {name: data}}]
---
apiVersion: batch/v1
kind: Job
metadata: {name: once}
spec: {template: {spec: {restartPolicy: Never, containers: [{name: job, image: job, resources: {requests: {memory: 1Mi}}}]}}}
---
apiVersion: v1
kind: List
items:
  - {apiVersion: v1, kind: ConfigMap, metadata: {name: settings}}
  - apiVersion: v1
    kind: Pod
    metadata: {name: web, creationTimestamp: null}
    spec: {containers: [{name: web, image: web}], volumes: [{name: own, emptyDir: {}}]}
"#;

#[test]
fn workloads_come_back_as_they_were_with_what_was_replaced() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    fs::write(folder.path().join("side.yaml"), TEMPLATE).expect("the folder is writable");
    let templates = folder.path().to_str().expect("a name that is text");
    let namespace = "---\napiVersion: v1\nkind: Namespace\nmetadata:\n  name: default\n  \
                     labels: {pillion.dev/inject: enabled}\n  annotations: {pillion.dev/templates: side}\n";
    let before = format!("{WORKLOADS}{namespace}");
    let injected = pillion(&["inject", "-f", "-", "--templates", templates], &before);
    assert_eq!(injected.code, 0, "{}", injected.stderr);
    assert_eq!(injected.stderr.matches(": injected side").count(), 3, "{}", injected.stderr);
    let ran = uninject(&injected.stdout);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert_eq!(documents(&ran.stdout), documents(&before));
    assert!(ran.stderr.contains("default/statefulset/db: uninjected side\n"), "{}", ran.stderr);

    let again = uninject(&ran.stdout);
    assert_eq!((again.code, again.stdout, &*again.stderr), (0, ran.stdout, ""), "there is nothing to take out");
}

#[test]
fn what_a_pod_asks_for_is_left_and_it_can_be_injected_again() {
    let pod = r#"{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web"}, "spec": {"containers": [{"name": "web", "image": "web"}]}}"#;
    let flags = ["inject", "-f", "-", "--template", "fluent-bit", "--set", "fluent-bit.logDir=/logs"];
    let injected = pillion(&flags, pod).succeeded();
    let uninjected = uninject(&injected).succeeded();
    let mut expected: Value = serde_json::from_str(pod).expect("JSON");
    expected["metadata"]["annotations"] =
        json!({"pillion.dev/templates": "fluent-bit", "fluent-bit.pillion.dev/logDir": "/logs"});
    assert_eq!(documents(&uninjected), [expected]);
    assert_eq!(pillion(&["inject", "-f", "-"], &uninjected).succeeded(), injected);
}

/// A pod with this status.
fn pod(status: &Value) -> Value {
    let status = status.as_str().map_or_else(|| status.to_string(), str::to_owned);
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "web", "labels": {"own": "1"}, "annotations": {"pillion.dev/status": status, "own": "1"}},
        "spec": {
            "terminationGracePeriodSeconds": 60,
            "containers": [
                {"name": "web", "image": "web", "env": [{"name": "A", "value": "1"}, {"name": "OWN"}, {"name": "A", "value": "2"}]},
                {"name": "side", "image": "side"},
            ],
        },
    })
}

/// A status of one template.
fn status(added: Value, replaced: Value, overridden: Value) -> Value {
    json!({"version": "9", "templates": [{"name": "side", "added": added, "replaced": replaced, "overridden": overridden}]})
}

#[test]
fn only_what_is_at_the_recorded_places_is_taken_out_and_the_rest_is_told() {
    let status = status(
        json!([
            "/spec/containers/web/env/A",
            "/spec/containers/gone",
            "/metadata/labels/gone",
            "/metadata/labels",
            "/spec/containers",
            "/metadata/name",
            "/metadata",
            "",
        ]),
        json!([
            ["/spec/containers/web/image", "evil"],
            ["/spec/terminationGracePeriodSeconds", {}],
            ["/spec/hostNetwork", true]
        ]),
        json!(["/spec/containers/web/env/OWN"]),
    );
    let before = pod(&status);
    let ran = pillion(&["uninject", "-f", "-", "-o", "json"], &before.to_string());
    assert_eq!(ran.code, 1, "{}", ran.stderr);
    let mut expected = before;
    expected["metadata"]["annotations"] = json!({"own": "1"});
    expected["spec"]["containers"][0]["env"] = json!([{"name": "OWN"}]);
    assert_eq!(serde_json::from_str::<Value>(&ran.stdout).expect("JSON"), expected);
    let place = "standard input:1 default/pod/web";
    assert_eq!(
        ran.stderr,
        format!(
            "{place}: uninjected side\n\
             {place}: warning: template \"side\": containers[gone], metadata.labels[gone]: recorded as added, and not there\n\
             {place}: warning: template \"side\": containers[web].env[OWN]: replaced, and what was there before is not recorded; \
             correct it by hand\n\
             {place}: warning: template \"side\": metadata.labels, containers, metadata.name, metadata, , containers[web].image, \
             terminationGracePeriodSeconds, hostNetwork: recorded, and nothing that this version can have added; left as it is\n"
        )
    );
}

#[test]
fn what_is_missing_alone_is_no_failure() {
    let ran = uninject(&pod(&status(json!(["/spec/volumes/gone"]), json!([]), json!([]))).to_string());
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert!(ran.stderr.contains("volumes[gone]: recorded as added, and not there"), "{}", ran.stderr);
}

#[test]
fn a_pod_whose_status_cannot_be_believed_is_left_as_it_is() {
    let many: Vec<_> = (0..5000).map(|number| format!("/spec/volumes/v{number}")).collect();
    let all = status(json!(["/spec/containers/web", "/spec/containers/side"]), json!([]), json!([]));
    for (status, says) in [
        (json!("no JSON"), "is none that Pillion wrote"),
        (json!("null"), "is none that Pillion wrote"),
        (json!({"templates": [{"name": 1}]}), "is none that Pillion wrote"),
        (status(json!(many), json!([]), json!([])), "is none that Pillion wrote"),
        (all, "names every container of the pod"),
    ] {
        let before = pod(&status).to_string();
        let ran = uninject(&before);
        assert_eq!((ran.code, &*ran.stdout), (1, &*before), "{says}");
        assert!(
            ran.stderr.contains(": left as it is: the annotation pillion.dev/status ") && ran.stderr.contains(says),
            "{}",
            ran.stderr
        );
    }
}

#[test]
fn the_words_of_an_outcome_are_taken_out_too_and_what_is_no_pod_is_left() {
    let mut skipped = pod(&json!(""));
    skipped["metadata"]["annotations"] =
        json!({"pillion.dev/outcome": "side=guard_false", "pillion.dev/templates": "side"});
    let ran = pillion(&["uninject", "-f", "-", "-o", "json"], &skipped.to_string());
    assert!(ran.code == 0 && ran.stderr.contains("default/pod/web: nothing was injected"), "{}", ran.stderr);
    skipped["metadata"]["annotations"] = json!({"pillion.dev/templates": "side"});
    assert_eq!(serde_json::from_str::<Value>(&ran.stdout).expect("JSON"), skipped);

    let others = "# No pod.\nkind: ConfigMap\n---\napiVersion: v1\nkind: Pod # without a spec\nmetadata: {annotations: {pillion.dev/status: x}}\n";
    let ran = uninject(others);
    assert_eq!((ran.code, &*ran.stdout, &*ran.stderr), (0, others, ""));
}

#[test]
fn the_formats_are_those_of_inject() {
    let plain = r#"{"apiVersion":"v1","kind":"Pod","metadata":{"name":"web","annotations":{"pillion.dev/templates":"shared-processes"}},"spec":{"containers":[{"name":"web","image":"web"}]}}"#;
    let injected = pillion(&["inject", "-f", "-", "-o", "json"], plain).succeeded();
    let written = |format: &str| pillion(&["uninject", "-n", "shop", "-f", "-", "-o", format], &injected).succeeded();
    assert_eq!(written("name"), "pod/web\n");
    let patch: json_patch::Patch = serde_json::from_str(&written("patch")).expect("a patch");
    let mut patched: Value = serde_json::from_str(&injected).expect("JSON");
    json_patch::patch(&mut patched, &patch).expect("it applies");
    assert_eq!(patched, serde_json::from_str::<Value>(plain).expect("JSON"));
    let diff = written("diff");
    assert!(
        diff.starts_with("--- standard input:1 shop/pod/web\n") && diff.contains("\n-  - name: shared-processes\n"),
        "{diff}"
    );

    let ran = pillion(&["uninject"], "");
    assert!(ran.code == 2 && ran.stderr.contains("with --filename"), "{}", ran.stderr);
    let ran = pillion(&["uninject", "-f", "nowhere.yaml"], "");
    assert!(ran.code == 2 && ran.stderr.contains("error: nowhere.yaml: No such file"), "{}", ran.stderr);
}
