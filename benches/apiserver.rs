//! What Pillion costs whoever creates a pod: the typical pod on a real API server, 2,000 times one after the other with
//! `dryRun=All`, with nothing extra, with a MutatingAdmissionPolicy that adds the same sidecar and volume, and with
//! Pillion; and reviews alone, one at a time, 100 a second over one kept-alive connection.

#![allow(clippy::print_stdout, reason = "figures are what a benchmark is for")]

use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

#[path = "../tests/it/harness/mod.rs"]
#[expect(dead_code, reason = "the tests use the rest")]
mod harness;

use harness::cluster::Cluster;
use harness::namespace::{Namespace, Webhook};
use harness::pillion::Setup;

const TEMPLATE: &str = r#"
apiVersion: pillion.dev/v1alpha1
kind: ClusterInjectionTemplate
metadata: {name: shipper}
spec:
  pod:
    spec:
      initContainers:
        - name: shipper
          image: registry.example.com/shipper:1
          restartPolicy: Always
          startupProbe: {httpGet: {path: /, port: 2020}}
          volumeMounts: [{name: app-logs, mountPath: /var/log/app}]
      volumes: [{name: app-logs, emptyDir: {}}]
"#;

const POLICY: &str = r#"[
  JSONPatch{op: "add", path: "/spec/initContainers", value: []},
  JSONPatch{op: "add", path: "/spec/initContainers/-", value: Object.spec.initContainers{
    name: "shipper", image: "registry.example.com/shipper:1", restartPolicy: "Always",
    startupProbe: Object.spec.initContainers.startupProbe{
      httpGet: Object.spec.initContainers.startupProbe.httpGet{path: "/", port: 2020}},
    volumeMounts: [Object.spec.initContainers.volumeMounts{name: "app-logs", mountPath: "/var/log/app"}]}},
  JSONPatch{op: "add", path: "/spec/volumes/-", value:
    Object.spec.volumes{name: "app-logs", emptyDir: Object.spec.volumes.emptyDir{}}}
]"#;

const ROUNDS: u32 = 2000;

fn main() {
    let Some(cluster) = Cluster::shared() else { return };
    let pillion = Setup::new().template("shipper.yaml", TEMPLATE).start();
    let authority = pillion.authority.pem();
    let webhook = Webhook { name: "bench", url: &pillion.url(), authority: &authority, failure_policy: "Fail" };

    let bare = Namespace::new("bench-bare", &[]).expect("there is a control plane");
    let policy = Namespace::new("bench-policy", &[]).expect("there is a control plane");
    let ours = Namespace::opted_in("bench-ours").expect("there is a control plane");
    add_policy(cluster);
    ours.call(&[webhook]);

    let sidecars = |namespace: &Namespace| {
        let created = namespace.create("v1", "pods?dryRun=All", &pod());
        assert_eq!(created.status, 201, "{}", created.text());
        created.json()["spec"]["initContainers"].as_array().map_or(0, Vec::len)
    };
    harness::eventually("the policy to be applied", || (sidecars(&policy) == 1).then_some(()));
    assert_eq!((sidecars(&bare), sidecars(&ours)), (0, 1));

    println!("creating the typical pod, {ROUNDS} times each, in turns, dryRun=All");
    let mut times = [Vec::new(), Vec::new(), Vec::new()];
    for _ in 0..ROUNDS {
        for (namespace, times) in [&bare, &policy, &ours].into_iter().zip(&mut times) {
            let begun = Instant::now();
            sidecars(namespace);
            times.push(begun.elapsed());
        }
    }
    for (name, times) in ["nothing extra", "MutatingAdmissionPolicy", "Pillion"].into_iter().zip(times) {
        print(name, times);
    }
    println!("  calls of Pillion a pod: {:.2}", ours.calls("bench").allowed / f64::from(ROUNDS + 1));

    println!("a review at a time, 100 a second over one connection");
    let mut review: Value = serde_json::from_str(include_str!("../tests/fixtures/reviews/typical.json")).expect("JSON");
    review["request"]["object"]["metadata"]["annotations"]["pillion.dev/templates"] = json!("shipper");
    let body = review.to_string();
    let mut connection = pillion.connect();
    let mut times = Vec::new();
    let begun = Instant::now();
    for number in 0..1000 {
        sleep(Duration::from_millis(10 * number).saturating_sub(begun.elapsed()));
        let sent = Instant::now();
        let answer = connection.post(body.as_bytes());
        times.push(sent.elapsed());
        assert!(answer.text().contains("JSONPatch"));
    }
    print("Pillion", times);
}

fn print(name: &str, mut times: Vec<Duration>) {
    times.sort();
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e3;
    let mean = times.iter().sum::<Duration>().as_secs_f64() * 1e3 / times.len() as f64;
    println!("  {name:<24} mean {mean:.2} ms  p50 {:.2} ms  p99 {:.2} ms", at(0.5), at(0.99));
}

/// The pod of the captured review, as a client would send it.
fn pod() -> Value {
    let mut review: Value = serde_json::from_str(include_str!("../tests/fixtures/reviews/typical.json")).expect("JSON");
    let mut pod = review["request"]["object"].take();
    let is_token = |item: &Value| item["name"].as_str().is_some_and(|name| name.starts_with("kube-api-access-"));
    let drop_token = |list: &mut Value| list.as_array_mut().expect("a list").retain(|item| !is_token(item));
    drop_token(&mut pod["spec"]["volumes"]);
    for container in pod["spec"]["containers"].as_array_mut().expect("a list") {
        drop_token(&mut container["volumeMounts"]);
    }
    let metadata = pod["metadata"].as_object_mut().expect("an object");
    metadata.retain(|field, _| ["generateName", "labels", "annotations"].contains(&field.as_str()));
    metadata["annotations"]["pillion.dev/templates"] = json!("shipper");
    pod
}

fn add_policy(cluster: &Cluster) {
    let create = |resource: &str, object: Value| {
        let created = cluster.api.create(&format!("/apis/admissionregistration.k8s.io/v1/{resource}"), &object);
        assert_eq!(created.status, 201, "{}", created.text());
    };
    let absent = "!has(object.spec.initContainers) || !object.spec.initContainers.exists(c, c.name == 'shipper')";
    create(
        "mutatingadmissionpolicies",
        json!({
            "metadata": {"name": "bench"},
            "spec": {
                "failurePolicy": "Fail",
                "reinvocationPolicy": "IfNeeded",
                "matchConstraints": {
                    "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "bench-policy"}},
                    "resourceRules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}],
                },
                "matchConditions": [{"name": "not-yet", "expression": absent}],
                "mutations": [{"patchType": "JSONPatch", "jsonPatch": {"expression": POLICY}}],
            },
        }),
    );
    create("mutatingadmissionpolicybindings", json!({"metadata": {"name": "bench"}, "spec": {"policyName": "bench"}}));
}
