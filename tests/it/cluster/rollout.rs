//! One replica after the other is replaced while pods are created.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread::{scope, sleep};
use std::time::Duration;

use super::*;

/// Creates pods, four at a time, until `meanwhile` is done; every one of them must be injected. Gives how many there were.
fn under_load(here: &Namespace, meanwhile: impl FnOnce()) -> u32 {
    let (over, created) = (AtomicBool::new(false), AtomicU32::new(0));
    scope(|scope| {
        for worker in 0..4 {
            let (over, created) = (&over, &created);
            scope.spawn(move || {
                for number in 0.. {
                    if over.load(Ordering::Relaxed) {
                        return;
                    }
                    let made = here.create_pod(&pod(&format!("web-{worker}-{number}"), "shipper"));
                    assert_eq!(names(&made, "initContainers"), ["shipper"], "{made}");
                    created.fetch_add(1, Ordering::Relaxed);
                    sleep(Duration::from_millis(10));
                }
            });
        }
        let finished = Finished(&over);
        meanwhile();
        drop(finished);
    });
    created.into_inner()
}

/// Ends the load, also when a check fails.
struct Finished<'a>(&'a AtomicBool);

impl Drop for Finished<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn not_one_call_fails_while_the_replicas_are_replaced() {
    let Some(cluster) = Cluster::own() else { return };
    let values = json!({"webhook": {"failurePolicy": "Fail"}, "config": {"drainSeconds": 3}});
    let installed = Install::on(&cluster).values(values).start();
    let here = cluster.namespace("shop", &OPTED_IN);
    cluster.apply(&cluster_wide("shipper", "1").to_string());
    eventually("the first pod", || sidecars(&here, "shipper"));
    let before = installed.calls();

    let old = installed.replicas();
    let created = under_load(&here, || {
        for replica in &old {
            // As the Deployment is told: one more first.
            installed.add();
            installed.stop(replica);
        }
    });

    let calls = installed.calls();
    assert_eq!((calls.failed, calls.failed_open, calls.denied), (before.failed, before.failed_open, before.denied));
    assert!(created > 50, "only {created} pods");
    assert!(calls.allowed - before.allowed >= f64::from(created));
    for replica in installed.replicas() {
        assert!(replica.metric("pillion_admission_requests_total", &[]) > 0.0, "{} has its share", replica.name);
    }
}
