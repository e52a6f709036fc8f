//! The release is uninstalled and installed again: as soon as its replicas are ready, pods are injected.

use std::time::{Duration, Instant};

use super::*;
use crate::harness::load::{Load, Outcome};

/// In which API servers learn that a webhook configuration has changed.
pub(super) const LEARN: Duration = Duration::from_secs(1);

#[test]
fn no_call_fails_once_the_replicas_of_a_new_release_are_ready() {
    let Some(cluster) = Cluster::own() else { return };
    let values = json!({"config": {"drainSeconds": 0}});
    let mut installed = Install::on(&cluster).values(values).with_helm().by_service().start();
    let here = cluster.namespace("shop", &OPTED_IN);
    cluster.apply(&cluster_wide("shipper", "1").to_string());
    eventually("the first pod", || sidecars(&here, "shipper"));

    let load = Load::begin(&here, 10, 1);
    for round in 0..10 {
        installed.leader();
        // The roles go before the replicas, so that the leader cannot give back the Lease.
        installed.helm(&["uninstall"]);
        for (number, replica) in installed.replicas().iter().enumerate() {
            if (round + number) % 2 == 0 { installed.stop(replica) } else { installed.kill(replica) }
        }
        assert!(cluster.api.get(LEASE).json()["spec"]["holderIdentity"].is_string(), "the Lease is left over");

        let policy = if round % 2 == 0 { "Ignore" } else { "Fail" };
        installed.install(&["--set", &format!("webhook.failurePolicy={policy}")]);
        for replica in installed.begin_all() {
            installed.await_ready(&replica);
        }
        let ready = Instant::now();
        let pods = eventually("20 pods", || Some(load.since(ready + LEARN)).filter(|pods| pods.len() >= 20));
        assert!(pods.iter().all(|outcome| *outcome == Outcome::Injected), "round {round}, {policy}: {pods:?}");
    }
}
