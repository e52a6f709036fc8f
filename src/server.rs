//! The webhook and its admin listener: a [`Config`] becomes [`Bound`] sockets, which serve until they are told to stop.

mod admin;
mod drain;
pub(crate) mod listener;
mod mutate;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use tokio::sync::watch;
use tokio::task::JoinSet;

use self::admin::Admin;
use self::drain::Signals;
use self::listener::{Limits, Listener, Phase};
use self::mutate::Mutate;
use crate::certs::Serving;
use crate::live::Live;
use crate::metrics::Metrics;

/// Kubelet and Prometheus need few connections, and should get them even when the webhook has none left.
const ADMIN_LIMITS: Limits = Limits { connections: 64, ..Limits::DEFAULT };

/// All that a server needs.
pub(crate) struct Config {
    /// Where the webhook listens.
    pub(crate) listen: SocketAddr,
    /// Where the admin listener listens.
    pub(crate) admin_listen: SocketAddr,
    /// What the webhook shows its clients.
    pub(crate) certificate: Arc<Serving>,
    /// The templates.
    pub(crate) live: Arc<Live>,
    /// The counters.
    pub(crate) metrics: Arc<Metrics>,
    /// Connections to the webhook at a time.
    pub(crate) max_connections: u32,
    /// The largest review, in bytes.
    pub(crate) max_body: usize,
    /// How long a review may take to arrive.
    pub(crate) patience: Duration,
    /// How long to go on serving after the signal to stop.
    pub(crate) drain: Duration,
}

/// A server whose sockets are bound.
pub(crate) struct Bound {
    signals: Signals,
    webhook: Listener,
    admin: Listener,
    config: Config,
}

impl Bound {
    /// Binds both sockets, and says where.
    pub(crate) async fn bind(config: Config) -> anyhow::Result<Bound> {
        // First, because whoever reads that the server listens may send one.
        let signals = Signals::catch()?;
        let tls = listener::tls(Arc::clone(&config.certificate) as _).context("cannot set up TLS")?;
        let limits = Limits { connections: config.max_connections, ..Limits::DEFAULT };
        let webhook = bind("webhook", config.listen, Some(tls), limits).await?;
        let admin = bind("admin", config.admin_listen, None, ADMIN_LIMITS).await?;
        Ok(Bound { signals, webhook, admin, config })
    }

    /// Where the webhook listens.
    pub(crate) fn address(&self) -> anyhow::Result<SocketAddr> {
        Ok(self.webhook.address()?)
    }

    /// Serves until a signal, and through the drain that follows it.
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let Bound { signals, webhook, admin, config } = self;
        let Config { certificate, live, metrics, max_body, patience, drain, .. } = config;
        let (phase, phases) = watch::channel(Phase::Serving);

        let mutate = Mutate { live: Arc::clone(&live), metrics: Arc::clone(&metrics), max_body, patience };
        let health = Admin { certificate, live, metrics, phase: phases.clone() };
        let mut listeners = JoinSet::new();
        listeners.spawn(webhook.serve(mutate.router(), phases.clone()));
        listeners.spawn(admin.serve(health.router(), phases));
        drain::run(&phase, drain, signals, listeners).await
    }
}

async fn bind(
    name: &'static str,
    address: SocketAddr,
    tls: Option<rustls::ServerConfig>,
    limits: Limits,
) -> anyhow::Result<Listener> {
    let listener = Listener::bind(address, tls, limits)
        .await
        .with_context(|| format!("cannot listen on {address} for the {name} listener"))?;
    tracing::info!(listener = name, address = %listener.address()?, "listening");
    Ok(listener)
}
