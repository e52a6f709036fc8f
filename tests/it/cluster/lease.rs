//! Who holds the Lease, and when somebody else gets it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{JoinHandle, sleep};
use std::time::Duration;

use super::*;
use crate::harness::kubernetes::Kubernetes;

/// Somebody who holds the Lease and does nothing else, until it is dropped.
pub(super) struct Holder {
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Holder {
    /// A Lease of a holder that says `renewed`, and that changes all the time.
    pub(super) fn begin(api: &Kubernetes, renewed: Value) -> Holder {
        let over = Arc::new(AtomicBool::new(false));
        let (api, ended) = (api.clone(), Arc::clone(&over));
        let hold = move |number: u32| {
            let spec = json!({"holderIdentity": "somebody", "renewTime": renewed, "leaseTransitions": number});
            let held = api.merge(LEASE, &json!({"spec": spec}));
            assert_eq!(held.status, 200, "{}", held.text());
        };
        hold(0);
        let thread = std::thread::spawn(move || {
            for number in 1.. {
                if ended.load(Ordering::Relaxed) {
                    return;
                }
                sleep(Duration::from_millis(500));
                hold(number);
            }
        });
        Holder { over, thread: Some(thread) }
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        self.thread.take().map(JoinHandle::join);
    }
}

/// A release that was there before, with its Secret and its Lease, and no replica.
pub(super) fn left(install: Install<'_>) -> Installed<'_> {
    let values = json!({"replicaCount": 1, "config": {"drainSeconds": 0}});
    let installed = install.values(values).start();
    let leader = installed.leader();
    installed.ca_bundle();
    installed.stop(&leader);
    installed
}

#[test]
fn the_lease_goes_with_the_release() {
    let Some(cluster) = Cluster::that_collects_garbage() else { return };
    let installed = Install::on(&cluster).with_helm().start();
    installed.leader();
    assert_eq!(cluster.api.get(LEASE).status, 200);
    installed.helm(&["uninstall"]);
    eventually("the Lease to be gone", || (cluster.api.get(LEASE).status == 404).then_some(()));
    for replica in installed.replicas() {
        installed.stop(&replica);
    }
    assert_eq!(cluster.api.get(LEASE).status, 404);
}

#[test]
fn a_lease_of_long_ago_is_taken_at_once() {
    let Some(cluster) = Cluster::own() else { return };
    let installed = left(Install::on(&cluster));
    // It changes all the time, so that it never runs out.
    let _holder = Holder::begin(&cluster.api, json!("2020-01-01T00:00:00.000000Z"));
    let replica = installed.add();
    replica.logged("message", "leading");
}
