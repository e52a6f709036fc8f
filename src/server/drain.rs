//! The way out: not ready at once, serving on while the news spreads, then finishing what was begun.
//!
//! API servers go on using connections to a pod that is being deleted, and learn of it late. So the first signal only
//! makes the server unready and lets each answer ask for a new connection; a second one ends it at once.

use std::time::Duration;

use anyhow::Context as _;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::listener::Phase;

/// For what is still in progress after the drain. A review takes microseconds; its client may take its time.
const FINISH: Duration = Duration::from_secs(30);

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

/// Waits for a signal, then leads `listeners` through the phases.
pub(crate) async fn run(
    phase: &watch::Sender<Phase>,
    drain: Duration,
    mut signals: Signals,
    mut listeners: JoinSet<()>,
) -> anyhow::Result<()> {
    tokio::select! {
        () = signals.next() => {}
        Some(ended) = listeners.join_next() => {
            ended.context("a listener failed")?;
            anyhow::bail!("a listener ended although nobody stopped it");
        }
    }
    tracing::info!(seconds = drain.as_secs_f64(), "draining");
    phase.send_replace(Phase::Draining);

    let finish = async {
        sleep(drain).await;
        tracing::info!("closing");
        phase.send_replace(Phase::Closing);
        timeout(FINISH, async { while listeners.join_next().await.is_some() {} }).await
    };
    tokio::select! {
        finished = finish => match finished {
            Ok(()) => tracing::info!("stopped"),
            Err(_) => tracing::warn!("stopped with requests unfinished"),
        },
        () = signals.next() => tracing::warn!("stopped by a second signal"),
    }
    Ok(())
}
