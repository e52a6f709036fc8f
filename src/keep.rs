//! Keeps what is served current: templates with their files and resources, the certificate with its files.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::block_in_place;
use tokio::time::{MissedTickBehavior, interval};

use crate::certs::files::{Files, Polled};
use crate::cluster::Heard;
use crate::cluster::templates::Change;
use crate::live::Keeper;
use crate::metrics::Metrics;

/// Begins to look at files every `pause`, and to heed `changes` as they come.
pub(crate) fn current(
    mut keeper: Keeper,
    mut changes: Option<mpsc::Receiver<Heard>>,
    mut certificate: Option<Files>,
    pause: Duration,
    metrics: Arc<Metrics>,
) {
    tokio::spawn(async move {
        let mut tick = interval(pause);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut heard = Vec::new();
        loop {
            tokio::select! {
                _ = tick.tick() => survive(&metrics, || {
                    keeper.poll();
                    if let Some(files) = &mut certificate {
                        poll(files, &metrics);
                    }
                }),
                () = hear(&mut changes, &mut heard) => survive(&metrics, || heed(&mut keeper, heard.drain(..))),
            }
        }
    });
}

/// The next contents deserve another try, whatever was wrong with these. The log has the panic.
fn survive(metrics: &Metrics, work: impl FnOnce()) {
    if block_in_place(|| catch_unwind(AssertUnwindSafe(work))).is_err() {
        metrics.config_reloaded(false);
    }
}

/// All the changes that are there, and at least one.
async fn hear(changes: &mut Option<mpsc::Receiver<Heard>>, heard: &mut Vec<Heard>) {
    const MOST: usize = 64;
    let received = match changes {
        Some(changes) => changes.recv_many(heard, MOST).await,
        None => 0,
    };
    if received == 0 {
        std::future::pending::<()>().await;
    }
}

fn heed(keeper: &mut Keeper, heard: impl Iterator<Item = Heard>) {
    let (changes, watches): (Vec<_>, Vec<_>) = heard.unzip();
    let full = changes.iter().zip(&watches).filter(|(change, _)| matches!(change, Change::Listed(..)));
    let full: Vec<_> = full.map(|(_, watched)| Arc::clone(watched)).collect();
    keeper.heed(changes);
    // Only now do reviews see what was listed.
    full.iter().for_each(|watched| watched.mark_full());
}

fn poll(files: &mut Files, metrics: &Metrics) {
    match files.poll() {
        Polled::Unchanged => {}
        Polled::Replaced(not_after) => {
            tracing::info!(not_after, "certificate replaced");
            metrics.certificate_reloaded(true);
            metrics.certificate_expires(not_after);
        }
        Polled::Refused(why) => {
            tracing::error!(%why, "new certificate refused; the one before stays");
            metrics.certificate_reloaded(false);
        }
    }
}

#[cfg(test)]
mod tests {
    use pillion_engine::template::OnError;

    use super::*;
    use crate::cluster::Watched;
    use crate::cluster::templates::{Identity, Kind, Resource};
    use crate::live::Source;

    fn template() -> Resource {
        let document = serde_json::json!({
            "apiVersion": "pillion.dev/v1alpha1",
            "kind": "ClusterInjectionTemplate",
            "metadata": {"name": "meter"},
            "spec": {"pod": {"metadata": {"labels": {"a": "b"}}}},
        });
        let identity = Identity { kind: Kind::ClusterWide, namespace: None, name: "meter".into() };
        Resource { identity, uid: "1".into(), generation: 1, document, status: None }
    }

    fn watched(metrics: &Arc<Metrics>) -> Arc<Watched> {
        Watched::new("clusterinjectiontemplates", Arc::clone(metrics))
    }

    #[test]
    fn a_watch_is_full_when_reviews_see_all_that_was_listed() {
        let metrics = Arc::new(Metrics::new().unwrap());
        let mut keeper = Keeper::start(Source::Nowhere, OnError::Deny, true, Arc::clone(&metrics));
        let watched = watched(&metrics);
        heed(&mut keeper, [(Change::Applied(template()), Arc::clone(&watched))].into_iter());
        assert_eq!(watched.check(), Err("not listed yet".into()));
        heed(&mut keeper, [(Change::Listed(Kind::ClusterWide, vec![template()]), Arc::clone(&watched))].into_iter());
        assert_eq!((watched.check(), keeper.live().in_force().catalog.len()), (Ok(()), 1));
    }

    #[tokio::test]
    async fn what_waits_is_taken_up_at_once_and_in_order() {
        let watched = watched(&Arc::new(Metrics::new().unwrap()));
        let (changes, receiver) = mpsc::channel(2);
        for change in [Change::Applied(template()), Change::Deleted(template().identity)] {
            changes.send((change, Arc::clone(&watched))).await.unwrap();
        }
        let mut heard = Vec::new();
        hear(&mut Some(receiver), &mut heard).await;
        assert!(matches!(heard[..], [(Change::Applied(_), _), (Change::Deleted(_), _)]));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_panic_is_survived_and_counted() {
        let metrics = Metrics::new().unwrap();
        survive(&metrics, || panic!("no such file"));
        assert!(metrics.text().unwrap().contains("pillion_config_reloads_total{result=\"failure\"} 1\n"));
    }
}
