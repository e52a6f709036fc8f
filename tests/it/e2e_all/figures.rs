//! What Pillion costs a cluster: memory and CPU of a replica, and the start of a pod.

use std::io::Write as _;
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::e2e::{exclusive_release, install};
use crate::harness::load::{Load, Outcome};
use crate::harness::node::{TestNamespace, condition, is_test_node, node, until};
use crate::harness::templates::namespaced;

/// What each replica uses as the kubelet reports it: bytes, and thousandths of a CPU.
fn usage() -> Vec<(u64, u64)> {
    assert!(is_test_node(), "the kubelet is that of the tests' node");
    let summary = node().api.get("/api/v1/nodes/node/proxy/stats/summary").json();
    let pods = summary["pods"].as_array().expect("the kubelet reports pods");
    let ours = pods.iter().filter(|pod| pod["podRef"]["namespace"] == "pillion");
    ours.map(|pod| {
        let container = &pod["containers"][0];
        let number = |value: &Value| value.as_u64().unwrap_or(0);
        (number(&container["memory"]["workingSetBytes"]), number(&container["cpu"]["usageNanoCores"]) / 1_000_000)
    })
    .collect()
}

fn report(what: &str) {
    writeln!(std::io::stderr(), "figure: {what}").expect("stderr is open");
}

/// A pod with a sidecar that its author wrote, or one that asks for the same.
fn pod(name: &str, by_hand: bool) -> Value {
    let sidecar = json!({
        "name": "side",
        "image": "localhost/debian:1",
        "restartPolicy": "Always",
        "command": ["sh", "-c", "trap 'exit 0' TERM; sleep infinity & wait"],
        "resources": {"requests": {"cpu": "1m", "memory": "4Mi"}}
    });
    let command = json!(["sh", "-c", "trap 'exit 0' TERM; sleep infinity & wait"]);
    let mut pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": {
        "terminationGracePeriodSeconds": 1,
        "containers": [{"name": "app", "image": "localhost/debian:1", "command": command}]
    }});
    if by_hand {
        // Pillion is not asked about it.
        pod["metadata"]["labels"] = json!({"pillion.dev/inject": "disabled"});
        pod["spec"]["initContainers"] = json!([sidecar]);
    } else {
        pod["metadata"]["annotations"] = json!({"pillion.dev/templates": "side"});
    }
    pod
}

/// How long it takes until a pod is ready, and until it is created.
fn start(namespace: &TestNamespace, pod: &Value) -> (Duration, Duration) {
    let begun = Instant::now();
    namespace.api.create_pod(pod);
    let created = begun.elapsed();
    let path = format!("pods/{}", pod["metadata"]["name"].as_str().expect("it has a name"));
    until("the pod to be ready", || {
        (condition(&namespace.api.get("v1", &path).json(), "Ready") == Some("True")).then_some(())
    });
    (begun.elapsed(), created)
}

fn median(mut times: Vec<Duration>) -> u128 {
    times.sort();
    times[times.len() / 2].as_millis()
}

#[test]
#[ignore = "needs a node: make e2e-all"]
fn what_pillion_costs() {
    let _release = exclusive_release();
    install(&[]);
    let namespace = node().namespace("figures");
    namespace.apply(&namespaced(namespace.name(), "shipper", "1").to_string());
    // The kubelet measures every ten seconds or so.
    sleep(Duration::from_secs(30));
    report(&format!("each replica at rest, (bytes, thousandths of a CPU): {:?}", usage()));
    let load = Load::begin(&namespace.api, 20, 100);
    sleep(Duration::from_secs(60));
    let busy = usage();
    assert!(busy.len() == 2 && busy.iter().all(|(bytes, _)| *bytes > 0), "{busy:?}");
    report(&format!("at 20 pods a second: {busy:?}"));
    assert!(load.end().iter().all(|asked| asked.outcome == Outcome::Injected));

    let mut template = namespaced(namespace.name(), "side", "1");
    template["spec"]["pod"]["spec"] = json!({"initContainers": pod("any", true)["spec"]["initContainers"]});
    namespace.apply(&template.to_string());
    let (mut by_hand, mut injected) = (Vec::new(), Vec::new());
    for round in 0..10 {
        by_hand.push(start(&namespace, &pod(&format!("hand-{round}"), true)));
        injected.push(start(&namespace, &pod(&format!("injected-{round}"), false)));
    }
    for (what, times) in [("written by hand", by_hand), ("injected", injected)] {
        let (ready, created): (Vec<_>, Vec<_>) = times.into_iter().unzip();
        report(&format!(
            "a pod with a sidecar {what}: created after {} ms, ready after {} ms",
            median(created),
            median(ready)
        ));
    }
}
