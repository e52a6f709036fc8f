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
    mut changes: Option<mpsc::UnboundedReceiver<Heard>>,
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
async fn hear(changes: &mut Option<mpsc::UnboundedReceiver<Heard>>, heard: &mut Vec<Heard>) {
    const MOST: usize = 1024;
    let received = match changes {
        Some(changes) => changes.recv_many(heard, MOST).await,
        None => 0,
    };
    if received == 0 {
        std::future::pending().await
    }
}

fn heed(keeper: &mut Keeper, heard: impl Iterator<Item = Heard>) {
    let (changes, watches): (Vec<_>, Vec<_>) = heard.unzip();
    let full = changes.iter().zip(&watches).filter(|(change, _)| matches!(change, Change::Listed(..)));
    let full: Vec<_> = full.map(|(_, watched)| Arc::clone(watched)).collect();
    keeper.heed(changes);
    // Only now do reviews see what was listed.
    full.iter().for_each(|watched| watched.is_full());
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
