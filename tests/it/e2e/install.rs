//! The chart, as Helm installs it.

use serde_json::Value;

use super::{alone, helm, install};
use crate::harness::node::{node, until};

/// Warnings among the events of Pillion's namespace.
fn warnings() -> Vec<String> {
    let events = node().api.get("/api/v1/namespaces/pillion/events?fieldSelector=type=Warning").json();
    let events = events["items"].as_array().into_iter().flatten();
    events.map(|event| format!("{}: {}", event["involvedObject"]["name"], event["message"])).collect()
}

/// The pods of Pillion, those that end left out.
fn replicas() -> Vec<Value> {
    let mut pods =
        node().api.get("/api/v1/namespaces/pillion/pods?labelSelector=app.kubernetes.io/name=pillion").json();
    let mut pods = pods["items"].as_array_mut().map(std::mem::take).unwrap_or_default();
    pods.retain(|pod| pod["metadata"].get("deletionTimestamp").is_none());
    pods
}

#[test]
#[ignore = "needs a node: make e2e"]
fn the_chart_installs_with_its_own_values_is_upgraded_and_passes_its_own_test() {
    let _alone = alone();
    install(&[]);
    assert_eq!(replicas().len(), 2);
    for replica in replicas() {
        let status = &replica["status"]["containerStatuses"][0];
        assert_eq!((&status["ready"], &status["restartCount"]), (&true.into(), &0.into()), "{replica}");
    }
    helm(&["test", "pillion"]);

    install(&["--set=config.logLevel=debug"]);
    helm(&["test", "pillion"]);
    helm(&["rollback", "pillion", "1", "--wait"]);
    helm(&["test", "pillion"]);
    until("the old replicas to have ended", || (replicas().len() == 2).then_some(()));
    assert_eq!(warnings(), [""; 0]);
}
