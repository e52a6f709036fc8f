//! The webhook and its admin listener: a [`Config`] becomes [`Bound`] sockets, which serve until a signal.

mod admin;
mod drain;
pub(crate) mod listener;
mod mutate;
mod request;
mod validate;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use tokio::sync::{Semaphore, watch};

use self::admin::Admin;
use self::drain::Signals;
use self::listener::{Limits, Listener, Phase};
use self::mutate::{HEAVY_AT_A_TIME, Mutate};
use self::request::Bodies;
use self::validate::Validate;
use crate::catalog::CatalogHandle;
use crate::certs::Serving;
use crate::cluster::Cluster;
use crate::cluster::events::Events;
use crate::metrics::Metrics;

/// Kubelet and Prometheus need few connections, and should get them even when the webhook has none left.
const ADMIN_LIMITS: Limits =
    Limits { connections: 64, greeting_when_full: Duration::from_millis(200), ..Limits::DEFAULT };

/// All that a server needs.
pub(crate) struct Config {
    /// Where the webhook listens.
    pub(crate) listen: SocketAddr,
    /// Where the admin listener listens.
    pub(crate) admin_listen: SocketAddr,
    /// The certificate that the webhook serves.
    pub(crate) certificate: Arc<Serving>,
    /// The templates.
    pub(crate) catalog: Arc<CatalogHandle>,
    /// The cluster, if it is watched.
    pub(crate) cluster: Option<Arc<Cluster>>,
    /// Where warnings are recorded for events, if the cluster is watched.
    pub(crate) events: Option<Events>,
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
    phase: watch::Sender<Phase>,
    webhook: Listener,
    admin: Listener,
    config: Config,
}

impl Bound {
    /// Binds both sockets, and logs their addresses.
    pub(crate) async fn bind(config: Config) -> anyhow::Result<Bound> {
        // First, because a signal may come as soon as the log says that the server listens.
        let signals = Signals::catch()?;
        let tls = listener::tls(Arc::clone(&config.certificate) as _).context("cannot set up TLS")?;
        let limits = Limits { connections: config.max_connections, ..Limits::DEFAULT };
        let webhook = bind("webhook", config.listen, Some(tls), limits).await?;
        let admin = bind("admin", config.admin_listen, None, ADMIN_LIMITS).await?;
        let (phase, _) = watch::channel(Phase::Serving);
        Ok(Bound { signals, phase, webhook, admin, config })
    }

    /// Where the webhook listens.
    pub(crate) fn address(&self) -> anyhow::Result<SocketAddr> {
        Ok(self.webhook.address()?)
    }

    /// Resolves when the server begins to drain.
    pub(crate) fn draining(&self) -> impl Future<Output = ()> + use<> {
        let mut phases = self.phase.subscribe();
        async move {
            // An error means that the server is gone altogether.
            let _ = phases.wait_for(|phase| !matches!(phase, Phase::Serving)).await;
        }
    }

    /// Serves until a signal, and through the drain that follows it.
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let Bound { signals, phase, webhook, admin, config } = self;
        let Config { certificate, catalog, cluster, events, metrics, max_body, patience, drain, .. } = config;
        let phases = phase.subscribe();

        let bodies = Bodies::new(max_body, patience);
        let validate = Validate { metrics: Arc::clone(&metrics), bodies: bodies.clone() };
        let mutate = Mutate {
            catalog: Arc::clone(&catalog),
            cluster: cluster.clone(),
            events,
            metrics: Arc::clone(&metrics),
            bodies,
            heavy: Semaphore::new(HEAVY_AT_A_TIME),
        };
        let (probes, probed) = watch::channel(());
        let health = Admin { certificate, catalog, cluster, metrics, phase: phases.clone(), probes };
        let webhook = tokio::spawn(webhook.serve(mutate.router().merge(validate.router()), phases));
        let admin = tokio::spawn(async move {
            // This phase never ends: the port is open to the probes of the kubelet for as long as the process lives.
            let (_serving, phases) = watch::channel(Phase::Serving);
            admin.serve(health.router(), phases).await;
        });
        drain::run(&phase, drain, signals, webhook, admin, probed).await
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
