//! `pillion serve`: the webhook, with its templates and certificate from files, or with all of it built in (`--dev`).

use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::str::FromStr as _;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use pillion_engine::template::{OnError, TemplateName};
use serde_json::json;
use tempfile::NamedTempFile;
use tokio::runtime::Runtime;
use tokio::task::block_in_place;
use tokio::time::sleep;

use crate::certs::files::{Files, Polled};
use crate::certs::{Serving, dev};
use crate::live::{Keeper, Live, Source};
use crate::metrics::Metrics;
use crate::server::{Bound, Config};
use crate::telemetry::{self, LogArgs};

const PORT: u16 = 8443;
const ADMIN_PORT: u16 = 9402;

/// Flags of `pillion serve`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Try it out: built-in templates, a certificate made in memory, loopback addresses, a ready curl line
    #[arg(long, env = "PILLION_DEV", conflicts_with_all = ["tls_cert", "tls_key"])]
    dev: bool,

    /// Folder or file with templates; can be given several times
    #[arg(long, env = "PILLION_TEMPLATES", value_name = "DIR", value_delimiter = ',', required_unless_present = "dev")]
    templates: Vec<PathBuf>,

    /// Serving certificate and its chain, PEM; re-read when it changes
    #[arg(long, env = "PILLION_TLS_CERT", value_name = "FILE", required_unless_present = "dev")]
    tls_cert: Option<PathBuf>,

    /// The certificate's private key, PEM; re-read when it changes
    #[arg(long, env = "PILLION_TLS_KEY", value_name = "FILE", required_unless_present = "dev")]
    tls_key: Option<PathBuf>,

    /// Where the webhook listens [default: 0.0.0.0:8443, with --dev 127.0.0.1:8443]
    #[arg(long, env = "PILLION_LISTEN", value_name = "ADDR:PORT")]
    listen: Option<SocketAddr>,

    /// Where /livez, /readyz and /metrics are served, in plain HTTP [default: 0.0.0.0:9402, with --dev 127.0.0.1:9402]
    #[arg(long, env = "PILLION_ADMIN_LISTEN", value_name = "ADDR:PORT")]
    admin_listen: Option<SocketAddr>,

    /// What becomes of a pod when a template that does not say so itself cannot be applied: deny or skip
    #[arg(long, env = "PILLION_ON_ERROR", default_value = "deny", value_parser = OnError::from_str)]
    on_error: OnError,

    /// How long to go on serving after SIGTERM, while API servers learn to go elsewhere
    #[arg(long, env = "PILLION_DRAIN_SECONDS", value_name = "SECONDS", default_value = "10", value_parser = super::duration)]
    drain_seconds: Duration,

    /// How often template and certificate files are looked at
    #[arg(long, env = "PILLION_RELOAD_INTERVAL", value_name = "SECONDS", default_value = "2", value_parser = super::interval)]
    reload_interval: Duration,

    /// How long the body of a request may take to arrive
    #[arg(long, env = "PILLION_REQUEST_TIMEOUT", value_name = "SECONDS", default_value = "10", value_parser = super::duration)]
    request_timeout: Duration,

    /// Largest body of a request; API servers take objects of 3 MiB, and an update carries two
    #[arg(long, env = "PILLION_MAX_BODY_BYTES", value_name = "BYTES", default_value_t = 8 * 1024 * 1024)]
    max_body_bytes: usize,

    /// Connections to the webhook at a time; further ones wait
    #[arg(long, env = "PILLION_MAX_CONNECTIONS", value_name = "NUMBER", default_value_t = 1024, value_parser = clap::value_parser!(u32).range(1..=65_536))]
    max_connections: u32,

    #[command(flatten)]
    telemetry: LogArgs,
}

/// Serves until a signal.
pub(crate) fn run(args: Args) -> anyhow::Result<()> {
    telemetry::start(&args.telemetry);
    Runtime::new().context("cannot start the runtime")?.block_on(serve(args))
}

async fn serve(args: Args) -> anyhow::Result<()> {
    let Args { dev, templates, tls_cert, tls_key, listen, admin_listen, on_error, .. } = args;
    let host = IpAddr::V4(if dev { Ipv4Addr::LOCALHOST } else { Ipv4Addr::UNSPECIFIED });
    let metrics = Arc::new(Metrics::new().context("cannot set up metrics")?);

    let mut keeper = Keeper::start(Source::of(templates)?, on_error, Arc::clone(&metrics));
    let live = keeper.live();

    let (certificate, mut files, authority) = match tls_cert.zip(tls_key) {
        Some((certificate, key)) => {
            let files = Files::open(certificate, key).context("--tls-cert, --tls-key")?;
            (files.serving(), Some(files), None)
        }
        None => {
            let (pair, authority) = dev::make().context("cannot make a certificate")?;
            (Arc::new(Serving::new(pair)), None, Some(authority))
        }
    };
    metrics.certificate_expires(certificate.pair().not_after());

    let bound = Bound::bind(Config {
        listen: listen.unwrap_or(SocketAddr::new(host, PORT)),
        admin_listen: admin_listen.unwrap_or(SocketAddr::new(host, ADMIN_PORT)),
        certificate,
        live: Arc::clone(&live),
        metrics: Arc::clone(&metrics),
        max_connections: args.max_connections,
        max_body: args.max_body_bytes,
        patience: args.request_timeout,
        drain: args.drain_seconds,
    })
    .await?;
    // Bound to a name, because the file goes with it.
    let _authority = authority.map(|pem| invite(&pem, bound.address()?, &live)).transpose()?;

    let interval = args.reload_interval;
    tokio::spawn(async move {
        loop {
            sleep(interval).await;
            let poll = || block_in_place(|| poll(&mut keeper, files.as_mut(), &metrics));
            // The next contents of the files deserve another try. The log has the panic.
            if catch_unwind(AssertUnwindSafe(poll)).is_err() {
                metrics.config_reloaded(false);
            }
        }
    });
    bound.run().await
}

fn poll(keeper: &mut Keeper, certificate: Option<&mut Files>, metrics: &Metrics) {
    keeper.poll();
    let Some(files) = certificate else { return };
    match files.poll() {
        Polled::Unchanged => {}
        Polled::Replaced => {
            let not_after = files.serving().pair().not_after();
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

/// Prints a command that sends a review, and keeps the certificate that it needs in a file.
fn invite(authority: &str, webhook: SocketAddr, live: &Live) -> anyhow::Result<NamedTempFile> {
    let mut file = tempfile::Builder::new().prefix("pillion-dev-ca-").suffix(".crt").tempfile()?;
    file.write_all(authority.as_bytes()).with_context(|| format!("cannot write {}", file.path().display()))?;

    let in_force = live.in_force();
    let names = || in_force.catalog.names().map(TemplateName::as_str);
    let template = names().find(|name| *name == "fluent-bit").or_else(|| names().min()).unwrap_or_default();
    let host =
        if webhook.ip().is_unspecified() { format!("localhost:{}", webhook.port()) } else { webhook.to_string() };
    let review = json!({
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "request": {
            "uid": "try-it-out",
            "kind": {"group": "", "version": "v1", "kind": "Pod"},
            "resource": {"group": "", "version": "v1", "resource": "pods"},
            "namespace": "default",
            "operation": "CREATE",
            "object": {
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": {"name": "web", "annotations": {"pillion.dev/templates": template}},
                "spec": {"containers": [{"name": "app", "image": "registry.example.com/app:1"}]},
            },
        },
    });
    super::print(format_args!(
        "curl -sS --cacert '{}' -H 'Content-Type: application/json' https://{host}/mutate -d '{review}'\n",
        file.path().display(),
    ))?;
    Ok(file)
}
