//! Graceful shutdown: the server drains, then finishes the requests in progress.
//!
//! API servers go on using connections to a pod that is being deleted, and learn of it late. So after the first signal
//! everything is still served, and each answer asks for a new connection; a second signal ends the server at once. The
//! server stays ready while it drains: its pod is marked as terminating in the EndpointSlice already, and a failing
//! readiness probe would only cause Warning events.
//!
//! The kubelet also probes a container that has ended, until it has removed the pod, and records a Warning event when nobody
//! answers. So if it probes at all, the server ends right after a probe, when the next one is farthest away.

use std::time::Duration;

use anyhow::Context as _;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout_at};

use super::listener::Phase;

/// For requests in progress after the drain. A review takes microseconds, but its client may be slow. The chart gives 30 s:
/// the rest is for the last traces and lines of the log.
const FINISH: Duration = Duration::from_secs(25);

/// The longest wait for the next probe of the kubelet: the period of the chart's readiness probe, and a little.
const NEXT_PROBE: Duration = Duration::from_secs(6);

/// The signals that stop the server.
pub(crate) struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// From here on the signals no longer end the process by themselves.
    pub(crate) fn catch() -> anyhow::Result<Signals> {
        let terminate = signal(SignalKind::terminate()).context("cannot catch SIGTERM")?;
        let interrupt = signal(SignalKind::interrupt()).context("cannot catch SIGINT")?;
        Ok(Signals { terminate, interrupt })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// Waits for a signal, then leads `webhook` through the phases. `admin` serves until the process ends, and `probed` is
/// notified of each readiness probe.
pub(crate) async fn run(
    phase: &watch::Sender<Phase>,
    drain: Duration,
    mut signals: Signals,
    mut webhook: JoinHandle<()>,
    mut admin: JoinHandle<()>,
    mut probed: watch::Receiver<()>,
) -> anyhow::Result<()> {
    let ended = tokio::select! {
        () = signals.next() => None,
        ended = &mut webhook => Some(ended),
        ended = &mut admin => Some(ended),
    };
    if let Some(ended) = ended {
        ended.context("a listener failed")?;
        anyhow::bail!("a listener ended before the server was stopped");
    }
    phase.send_replace(Phase::Draining);
    tracing::info!(seconds = drain.as_secs_f64(), "draining");
    probed.mark_unchanged();

    let finish = async {
        sleep(drain).await;
        phase.send_replace(Phase::Closing);
        tracing::info!("closing");
        let deadline = Instant::now() + FINISH;
        let finished = timeout_at(deadline, webhook).await;
        if probed.has_changed().unwrap_or(false) {
            probed.mark_unchanged();
            let _ = timeout_at(deadline.min(Instant::now() + NEXT_PROBE), probed.changed()).await;
        }
        finished
    };
    tokio::select! {
        finished = finish => match finished {
            Ok(ended) => {
                ended.context("the webhook's listener failed")?;
                tracing::info!("stopped");
            }
            Err(_) => tracing::warn!("stopped with requests unfinished"),
        },
        () = signals.next() => tracing::warn!("stopped by a second signal"),
    }
    Ok(())
}
