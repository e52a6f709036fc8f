//! The release is uninstalled and installed again: as soon as its replicas are ready, pods are injected.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{scope, sleep};
use std::time::{Duration, Instant};

use super::*;

/// In which API servers learn that a webhook configuration has changed.
pub(super) const LEARN: Duration = Duration::from_secs(1);

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Outcome {
    Injected,
    Bare,
    Refused,
}

/// Pods that were asked for, each with the moment.
#[derive(Default)]
pub(super) struct Load {
    pods: Mutex<Vec<(Instant, Outcome)>>,
    over: AtomicBool,
}

impl Load {
    /// Asks for a pod ten times a second.
    pub(super) fn run(&self, here: &Namespace) {
        while !self.over.load(Ordering::Relaxed) {
            let begun = Instant::now();
            let answer = here.create("v1", "pods?dryRun=All", &pod("web", "shipper"));
            let outcome = match answer.status {
                201 if answer.json()["spec"].get("initContainers").is_some() => Outcome::Injected,
                201 => Outcome::Bare,
                _ => Outcome::Refused,
            };
            self.pods.lock().expect("nobody panics in between").push((begun, outcome));
            sleep(Duration::from_millis(100));
        }
    }

    /// What came of the pods that were asked for from a moment on.
    pub(super) fn since(&self, moment: Instant) -> Vec<Outcome> {
        let pods = self.pods.lock().expect("nobody panics in between");
        pods.iter().filter(|(begun, _)| *begun >= moment).map(|(_, outcome)| *outcome).collect()
    }
}

/// Ends the load, also when a check fails.
pub(super) struct Ends<'a>(pub(super) &'a Load);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.over.store(true, Ordering::Relaxed);
    }
}

#[test]
fn no_call_fails_once_the_replicas_of_a_new_release_are_ready() {
    let Some(cluster) = Cluster::own() else { return };
    let values = json!({"config": {"drainSeconds": 0}});
    let mut installed = Install::on(&cluster).values(values).with_helm().by_service().start();
    let here = cluster.namespace("shop", &OPTED_IN);
    cluster.apply(&cluster_wide("shipper", "1").to_string());
    eventually("the first pod", || sidecars(&here, "shipper"));

    let load = Load::default();
    scope(|scope| {
        scope.spawn(|| load.run(&here));
        let _ends = Ends(&load);
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
    });
}
