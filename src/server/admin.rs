//! The plain HTTP listener for kubelet and Prometheus. It only reads.
//!
//! Ready means: reviews are answered, with a certificate that is valid and, before the replica is ready for the first time,
//! that the webhooks trust. A broken template is in the verbose list, and does not make a replica unready, because the
//! other templates are still served. Nor does draining, because reviews are answered until its end.
//!
//! `/readyz?wait=4` answers as soon as the replica is ready, or after four seconds. The kubelet asks like that, so that a
//! replica that starts is ready at once, and its pod has no event of a failed probe.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{RawQuery, State};
use axum::http::StatusCode;
use axum::http::header::{CONTENT_TYPE, HeaderValue};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use super::listener::Phase;
use crate::catalog::CatalogHandle;
use crate::certs::{Serving, Trust};
use crate::cluster::Cluster;
use crate::metrics::Metrics;

/// The most problems of templates that are listed.
const MAX_PROBLEMS: usize = 100;

/// The longest that `/readyz?wait=` waits.
const MAX_WAIT: Duration = Duration::from_secs(30);

/// How often the checks are made while it waits.
const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// What the admin listener shows.
#[derive(Clone)]
pub(crate) struct Admin {
    /// The certificate that is served.
    pub(crate) certificate: Arc<Serving>,
    /// The templates in force.
    pub(crate) catalog: Arc<CatalogHandle>,
    /// The cluster, if it is watched.
    pub(crate) cluster: Option<Arc<Cluster>>,
    /// The counters.
    pub(crate) metrics: Arc<Metrics>,
    /// Whether the server drains.
    pub(crate) phase: watch::Receiver<Phase>,
    /// Notified of each readiness probe.
    pub(crate) probes: watch::Sender<()>,
}

impl Admin {
    /// The routes of the admin listener.
    pub(crate) fn router(self) -> Router {
        Router::new()
            .route("/livez", get(async || "ok\n"))
            .route("/healthz", get(async || "ok\n"))
            .route("/readyz", get(readyz))
            .route("/metrics", get(metrics))
            .with_state(self)
    }

    /// Each check by name, with what is wrong. The webhook's socket is bound before this listener answers at all.
    fn checks(&self) -> Vec<(String, Result<(), String>)> {
        let certificate = match self.certificate.pair() {
            Some(pair) => pair.check_validity().map_err(|why| why.to_string()),
            None => Err("there is none yet".to_owned()),
        };
        let trust = self.certificate.trust().map(|trust| ("ca-bundle".to_owned(), trust.check_readiness()));
        let watches = self.cluster.iter().flat_map(|cluster| cluster.watches());
        [("certificate".to_owned(), certificate)]
            .into_iter()
            .chain(trust)
            .chain(watches.map(|watch| (format!("watch-{}", watch.resource), watch.check_listed())))
            .collect()
    }

    /// What is wrong, and does not make the replica unready.
    fn remarks(&self) -> Vec<String> {
        let templates = self
            .catalog
            .snapshot()
            .problems
            .iter()
            .take(MAX_PROBLEMS)
            .map(|why| format!("templates: {why}"))
            .collect::<Vec<_>>();
        let certificate = self.certificate.refused().map(|why| format!("certificate: not replaced: {why}"));
        let trust = self.certificate.trust().filter(|trust| trust.check_readiness().is_ok()).and_then(Trust::why_not);
        let trust = trust.map(|why| format!("ca-bundle: {why}"));
        let watches = self.cluster.iter().flat_map(|cluster| cluster.watches());
        let watches = watches.filter_map(|watch| Some(format!("watch-{}: {}", watch.resource, watch.failure()?)));
        let is_draining = *self.phase.borrow() >= Phase::Draining;
        let shutdown = is_draining.then(|| "shutdown: the server is draining".to_owned());
        templates.into_iter().chain(certificate).chain(trust).chain(watches).chain(shutdown).collect()
    }
}

async fn readyz(State(admin): State<Admin>, RawQuery(query): RawQuery) -> Response {
    let query = query.unwrap_or_default();
    let parameters: Vec<_> = query.split('&').map(|it| it.split_once('=').unwrap_or((it, ""))).collect();
    let verbose = parameters.iter().any(|(key, _)| *key == "verbose");
    let wait = parameters.iter().find(|(key, _)| *key == "wait").and_then(|(_, seconds)| seconds.parse().ok());
    let deadline = Instant::now() + Duration::from_secs(wait.unwrap_or(0)).min(MAX_WAIT);
    let mut checks = admin.checks();
    let is_ready = |checks: &[(String, Result<(), String>)]| checks.iter().all(|(_, result)| result.is_ok());
    // The certificate, the webhooks and the watches change on their own, and none tells this.
    while !is_ready(&checks) && *admin.phase.borrow() < Phase::Draining && Instant::now() < deadline {
        sleep(POLL_INTERVAL).await;
        checks = admin.checks();
    }
    // The process may end at this. Nothing is awaited from here on, so the answer is written all the same.
    admin.probes.send_replace(());
    let ready = is_ready(&checks);
    if let Some(trust) = admin.certificate.trust().filter(|_| ready) {
        trust.note_ready();
    }
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    if ready && !verbose {
        return (status, "ok\n").into_response();
    }
    let mut text = String::new();
    for (name, result) in checks {
        // Writing to a string cannot fail.
        let _ = match result {
            Ok(()) => writeln!(text, "[+]{name} ok"),
            Err(why) => writeln!(text, "[-]{name} failed: {why}"),
        };
    }
    let _ = writeln!(text, "[+]templates {} in force", admin.catalog.snapshot().catalog.len());
    for remark in admin.remarks() {
        let _ = writeln!(text, "[!]{remark}");
    }
    text.push_str(if ready { "readyz check passed\n" } else { "readyz check failed\n" });
    (status, text).into_response()
}

async fn metrics(State(admin): State<Admin>) -> Response {
    match admin.metrics.text() {
        Ok(text) => {
            let format = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
            ([(CONTENT_TYPE, format)], text).into_response()
        }
        Err(error) => {
            tracing::error!(%error, "metrics cannot be written");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}
