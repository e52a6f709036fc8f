//! Reloads what is served: templates from files and resources, the certificate from its files.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::block_in_place;
use tokio::time::{MissedTickBehavior, interval};

use crate::catalog::Reloader;
use crate::certs::files::{Files, Polled};
use crate::cluster::WatchEvent;
use crate::cluster::templates::TemplateChange;
use crate::metrics::Metrics;

/// Begins to read files every `pause`, and to apply the changes of `events` as they come.
pub(crate) fn start(
    mut reloader: Reloader,
    mut events: Option<mpsc::Receiver<WatchEvent>>,
    mut certificate: Option<Files>,
    pause: Duration,
    metrics: Arc<Metrics>,
) {
    tokio::spawn(async move {
        let mut tick = interval(pause);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut received = Vec::new();
        loop {
            tokio::select! {
                _ = tick.tick() => survive(&metrics, || {
                    reloader.poll();
                    if let Some(files) = &mut certificate {
                        poll(files, &metrics);
                    }
                }),
                () = receive(&mut events, &mut received) => {
                    survive(&metrics, || apply(&mut reloader, received.drain(..)));
                }
            }
        }
    });
}

/// Does work that may panic: whatever is wrong with these contents, the next ones are tried again. The panic is logged.
fn survive(metrics: &Metrics, work: impl FnOnce()) {
    if block_in_place(|| catch_unwind(AssertUnwindSafe(work))).is_err() {
        metrics.config_reloaded(false);
    }
}

/// Receives all events that are there, and at least one.
async fn receive(events: &mut Option<mpsc::Receiver<WatchEvent>>, received: &mut Vec<WatchEvent>) {
    const MOST: usize = 64;
    let number = match events {
        Some(events) => events.recv_many(received, MOST).await,
        None => 0,
    };
    if number == 0 {
        std::future::pending::<()>().await;
    }
}

fn apply(reloader: &mut Reloader, events: impl Iterator<Item = WatchEvent>) {
    let (changes, watches): (Vec<_>, Vec<_>) = events.unzip();
    let listed = changes.iter().zip(&watches).filter(|(change, _)| matches!(change, TemplateChange::Listed(..)));
    let listed: Vec<_> = listed.map(|(_, watch)| Arc::clone(watch)).collect();
    reloader.apply(changes);
    // Only now do reviews see what was listed.
    listed.iter().for_each(|watch| watch.mark_listed());
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
            tracing::error!(%why, "new certificate refused; the one in use is kept");
            metrics.certificate_reloaded(false);
        }
    }
}

#[cfg(test)]
mod tests {
    use pillion_engine::catalog::Catalog;

    use super::*;
    use crate::catalog::Source;
    use crate::cluster::Watch;
    use crate::cluster::templates::{Identity, TemplateKind, TemplateResource};

    fn template() -> TemplateResource {
        let document = serde_json::json!({
            "apiVersion": "pillion.dev/v1alpha1",
            "kind": "ClusterInjectionTemplate",
            "metadata": {"name": "meter"},
            "spec": {"pod": {"metadata": {"labels": {"a": "b"}}}},
        });
        let identity = Identity { kind: TemplateKind::ClusterWide, namespace: None, name: "meter".into() };
        TemplateResource { identity, uid: "1".into(), generation: 1, document, status: None }
    }

    fn watch(metrics: &Arc<Metrics>) -> Arc<Watch> {
        Watch::new("clusterinjectiontemplates", Arc::clone(metrics))
    }

    #[test]
    fn a_watch_counts_as_listed_when_reviews_see_all_that_was_listed() {
        let metrics = Arc::new(Metrics::new().unwrap());
        let mut reloader = Reloader::start(Source::Nowhere, Catalog::default(), true, Arc::clone(&metrics));
        let watch = watch(&metrics);
        apply(&mut reloader, [(TemplateChange::Applied(template()), Arc::clone(&watch))].into_iter());
        assert_eq!(watch.check_listed(), Err("not listed yet".into()));
        apply(
            &mut reloader,
            [(TemplateChange::Listed(TemplateKind::ClusterWide, vec![template()]), Arc::clone(&watch))].into_iter(),
        );
        assert_eq!((watch.check_listed(), reloader.catalog().snapshot().catalog.len()), (Ok(()), 1));
    }

    #[tokio::test]
    async fn events_that_wait_are_received_together_and_in_order() {
        let watch = watch(&Arc::new(Metrics::new().unwrap()));
        let (changes, receiver) = mpsc::channel(2);
        for change in [TemplateChange::Applied(template()), TemplateChange::Deleted(template().identity)] {
            changes.send((change, Arc::clone(&watch))).await.unwrap();
        }
        let mut received = Vec::new();
        receive(&mut Some(receiver), &mut received).await;
        assert!(matches!(received[..], [(TemplateChange::Applied(_), _), (TemplateChange::Deleted(_), _)]));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_panic_is_survived_and_counted() {
        let metrics = Metrics::new().unwrap();
        survive(&metrics, || panic!("no such file"));
        assert!(metrics.text().unwrap().contains("pillion_config_reloads_total{result=\"failure\"} 1\n"));
    }
}
