//! Releases that come, change and go.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::e2e::{
    CHART, all_ready, calls, exclusive_release, helm, install, kubectl, nothing_is_installed, replicas, warnings,
};
use crate::harness::load::{Load, assert_all_injected};
use crate::harness::node::{TestNamespace, node, until};
use crate::harness::pillion::{names, pod};
use crate::harness::templates::namespaced;

/// How long API servers may take to apply a changed webhook configuration.
const LEARN: Duration = Duration::from_secs(1);

/// A namespace with the template that the load asks for.
#[track_caller]
fn namespace_with_template(name: &str) -> TestNamespace {
    let namespace = node().namespace(name);
    namespace.apply(&namespaced(namespace.name(), "shipper", "1").to_string());
    namespace
}

#[test]
#[ignore = "needs a node: make e2e-all"]
fn ten_upgrades_lose_nothing_and_leave_no_warning() {
    let _release = exclusive_release();
    nothing_is_installed();
    install(&["--set=webhook.failurePolicy=Fail"]);
    let namespace = namespace_with_template("upgrades");
    let before = calls();

    let load = Load::begin(&namespace.api, 20, 100);
    for round in 0..10 {
        let level = if round % 2 == 0 { "debug" } else { "info" };
        install(&["--set=webhook.failurePolicy=Fail", &format!("--set=config.logLevel={level}")]);
    }
    all_ready();
    let asked = load.end();
    assert_all_injected(asked.iter().map(|asked| &asked.outcome));
    assert!(asked.len() > 400, "only {} pods", asked.len());
    let after = calls();
    assert_eq!((after.failed, after.failed_open), (before.failed, before.failed_open));
    assert_eq!(warnings(), [""; 0]);
}

#[test]
#[ignore = "needs a node: make e2e-all"]
fn after_each_of_ten_reinstalls_every_pod_is_injected() {
    let _release = exclusive_release();
    install(&[]);
    let namespace = namespace_with_template("reinstalls");

    let load = Load::begin(&namespace.api, 20, 100);
    for round in 0..10 {
        helm(&["uninstall", "pillion", "--wait"]);
        let policy = if round % 2 == 0 { "Ignore" } else { "Fail" };
        install(&[&format!("--set=webhook.failurePolicy={policy}")]);
        let ready = Instant::now();
        let asked = until("40 pods", || Some(load.since(ready + LEARN)).filter(|asked| asked.len() >= 40));
        assert_all_injected(&asked);
    }
}

#[test]
#[ignore = "needs a node: make e2e-all"]
fn what_is_there_for_high_availability_installs_and_passes_the_charts_test() {
    let _release = exclusive_release();
    nothing_is_installed();
    install(&[&format!("--values={CHART}/values-ha.yaml")]);
    assert_eq!(replicas().len(), 3);
    helm(&["test", "pillion"]);
    assert_eq!(warnings(), [""; 0]);
}

#[test]
#[ignore = "needs a node: make e2e-all"]
fn on_the_network_of_the_node_it_installs_is_upgraded_and_passes_the_charts_test() {
    let _release = exclusive_release();
    nothing_is_installed();
    let enforce = json!({"pod-security.kubernetes.io/enforce": "privileged"});
    let namespace =
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "pillion", "labels": enforce}});
    node().apply(&namespace.to_string());
    let values =
        ["--set=hostNetwork=true,webhook.port=8443,metrics.port=9402,replicaCount=1", "--wait", "--timeout=2m"];
    helm(&[&["install", "pillion", CHART], &values[..]].concat());
    helm(&["test", "pillion"]);
    let change = ["--reset-then-reuse-values", "--set=config.logLevel=debug", "--wait", "--timeout=2m"];
    helm(&[&["upgrade", "pillion", CHART], &change[..]].concat());
    helm(&["test", "pillion"]);
    assert_eq!(replicas()[0]["spec"]["hostNetwork"], true);
    nothing_is_installed();
}

#[test]
#[ignore = "needs a node: make e2e-all"]
fn the_manifests_install_without_helm() {
    let _release = exclusive_release();
    nothing_is_installed();
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/manifests/install.yaml");
    node().kubectl(&["apply", "--server-side", "-f", file], "").succeeded();
    kubectl(&["rollout", "status", "deployment/pillion", "--timeout=2m"]);
    let namespace = namespace_with_template("manifests");
    let made = namespace.api.create_pod(&pod("web", "shipper"));
    assert_eq!(names(&made, "initContainers"), ["shipper"]);
    nothing_is_installed();
}

#[test]
#[ignore = "needs a node: make e2e-all"]
fn what_is_uninstalled_leaves_pods_alone() {
    let _release = exclusive_release();
    // So that it would show if a webhook were left behind.
    install(&["--set=webhook.failurePolicy=Fail"]);
    let namespace = namespace_with_template("uninstalled");
    helm(&["uninstall", "pillion", "--wait"]);
    std::thread::sleep(LEARN);
    let made = namespace.api.create_pod(&pod("web", "shipper"));
    assert_eq!(made["spec"].get("initContainers"), None);
}
