//! Pillion in a real cluster, with a node that runs pods: `make e2e`.

pub(crate) mod cookbook;
mod install;
mod promises;
mod rollout;
mod workloads;

use std::fs;
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use serde_json::Value;

use crate::harness::metrics::Metrics;
use crate::harness::namespace::Calls;
use crate::harness::node::{condition, node, until};

/// Whether Pillion is installed as the chart's own values have it. Tests that leave it so share it.
static RELEASE: RwLock<bool> = RwLock::new(false);

pub(crate) const CHART: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/charts/pillion");

/// Pillion as the chart's own values have it, for as long as this is held.
#[track_caller]
pub(crate) fn shared_release() -> RwLockReadGuard<'static, bool> {
    loop {
        let installed = RELEASE.read().unwrap_or_else(PoisonError::into_inner);
        if *installed {
            return installed;
        }
        drop(installed);
        let mut installed = RELEASE.write().unwrap_or_else(PoisonError::into_inner);
        if !*installed {
            install(&[]);
            *installed = true;
        }
    }
}

/// The release for a test that changes it.
pub(crate) struct ExclusiveRelease(RwLockWriteGuard<'static, bool>);

/// Waits until nobody else needs Pillion.
pub(crate) fn exclusive_release() -> ExclusiveRelease {
    ExclusiveRelease(RELEASE.write().unwrap_or_else(PoisonError::into_inner))
}

impl Drop for ExclusiveRelease {
    fn drop(&mut self) {
        *self.0 = false;
    }
}

/// `helm upgrade --install` with the chart's own values and those that flags set, until all replicas are ready. The
/// namespace has the strictest level of Pod Security.
#[track_caller]
pub(crate) fn install(flags: &[&str]) {
    node().apply(
        r#"{"apiVersion": "v1", "kind": "Namespace",
            "metadata": {"name": "pillion", "labels": {"pod-security.kubernetes.io/enforce": "restricted"}}}"#,
    );
    helm(&[&["upgrade", "--install", "pillion", CHART, "--reset-values", "--wait", "--timeout=2m"], flags].concat());
}

/// Helm, in the release's namespace.
#[track_caller]
pub(crate) fn helm(arguments: &[&str]) -> String {
    node().helm(&[arguments, &["--namespace=pillion"]].concat())
}

/// kubectl, in the release's namespace; it must succeed.
#[track_caller]
pub(crate) fn kubectl(arguments: &[&str]) {
    node().kubectl(&[&["--namespace=pillion"], arguments].concat(), "").succeeded();
}

/// The name of a pod.
pub(crate) fn name(pod: &Value) -> &str {
    pod["metadata"]["name"].as_str().expect("a pod has a name")
}

/// A file of `tests/cluster/manifests/`.
#[track_caller]
pub(crate) fn manifest(name: &str) -> String {
    let file = format!("{}/tests/cluster/manifests/{name}.yaml", env!("CARGO_MANIFEST_DIR"));
    fs::read_to_string(&file).unwrap_or_else(|e| panic!("{file}: {e}"))
}

/// Warnings among the events of Pillion's namespace.
pub(crate) fn warnings() -> Vec<String> {
    let events = node().api.get("/api/v1/namespaces/pillion/events?fieldSelector=type=Warning").json();
    let events = events["items"].as_array().into_iter().flatten();
    events.map(|event| format!("{}: {}", event["involvedObject"]["name"], event["message"])).collect()
}

/// The pods of Pillion.
fn pods() -> Vec<Value> {
    let mut pods =
        node().api.get("/api/v1/namespaces/pillion/pods?labelSelector=app.kubernetes.io/name=pillion").json();
    pods["items"].as_array_mut().map(std::mem::take).unwrap_or_default()
}

fn is_terminating(pod: &Value) -> bool {
    pod["metadata"].get("deletionTimestamp").is_some()
}

/// The pods of Pillion, without those that are terminating.
pub(crate) fn replicas() -> Vec<Value> {
    pods().into_iter().filter(|pod| !is_terminating(pod)).collect()
}

/// What the API server has counted of the calls to Pillion.
pub(crate) fn calls() -> Calls {
    Calls::of(&Metrics::parse(&node().api.get("/metrics").text()), "pods.pillion.dev")
}

/// Waits until all replicas are ready, and those before them have ended.
#[track_caller]
pub(crate) fn all_ready() {
    until("all replicas to be ready", || {
        let deployment = node().api.get("/apis/apps/v1/namespaces/pillion/deployments/pillion").json();
        let pods = pods();
        let ready = |pod: &Value| condition(pod, "Ready") == Some("True") && !is_terminating(pod);
        (Some(pods.len() as u64) == deployment["spec"]["replicas"].as_u64() && pods.iter().all(ready)).then_some(())
    });
}

/// Uninstalls Pillion, however it was installed, with its namespace and its custom resources.
#[track_caller]
pub(crate) fn nothing_is_installed() {
    helm(&["uninstall", "pillion", "--ignore-not-found", "--wait"]);
    let manifests = concat!(env!("CARGO_MANIFEST_DIR"), "/manifests/install.yaml");
    node().kubectl(&["delete", "-f", manifests, "--ignore-not-found"], "").succeeded();
}
