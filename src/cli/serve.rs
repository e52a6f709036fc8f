//! `pillion serve`: the webhook, with templates from files and from the cluster, or with all of it built in (`--dev`).

mod cluster;
mod invite;

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr as _;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use pillion_engine::catalog::{Catalog, ImageMirror};
use pillion_engine::template::OnError;
use tokio::runtime::Runtime;

use self::cluster::{AutoArgs, ClusterArgs};
use self::invite::invite;
use super::durations::{duration, interval};
use crate::catalog::{Reloader, Source};
use crate::certs::files::Files;
use crate::certs::{Serving, dev};
use crate::cluster::Cluster;
use crate::cluster::client::connect;
use crate::metrics::Metrics;
use crate::reload;
use crate::server::{Bound, Config};
use crate::telemetry::{self, LogArgs};

const PORT: u16 = 8443;
const ADMIN_PORT: u16 = 9402;
const DRAIN: Duration = Duration::from_secs(10);

/// Flags of `pillion serve`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  pillion serve --dev
  pillion serve --watch --certs auto --certs-name pillion.pillion.svc
  pillion serve --templates templates/ --tls-cert tls.crt --tls-key tls.key")]
pub(crate) struct Args {
    /// Try it out: built-in templates, a certificate made in memory, loopback addresses, a ready curl line
    #[arg(long, env = "PILLION_DEV", conflicts_with_all = ["tls_cert", "tls_key", "certs", "watch"])]
    dev: bool,

    /// Folder or file with templates; can be given several times
    #[arg(long, env = "PILLION_TEMPLATES", value_name = "DIR", value_delimiter = ',')]
    templates: Vec<PathBuf>,

    /// Where the serving certificate comes from [default: files]
    #[arg(long, env = "PILLION_CERTS", value_enum)]
    certs: Option<CertsFrom>,

    /// Serving certificate and its chain, PEM; re-read when it changes
    #[arg(long, env = "PILLION_TLS_CERT", value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,

    /// The certificate's private key, PEM; re-read when it changes
    #[arg(long, env = "PILLION_TLS_KEY", value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,

    /// Where the webhook listens [default: 0.0.0.0:8443, with --dev 127.0.0.1:8443]
    #[arg(long, env = "PILLION_LISTEN", value_name = "ADDR:PORT")]
    listen: Option<SocketAddr>,

    /// Where /livez, /readyz and /metrics are served, in plain HTTP [default: 0.0.0.0:9402, with --dev 127.0.0.1:9402]
    #[arg(long, env = "PILLION_ADMIN_LISTEN", value_name = "ADDR:PORT")]
    admin_listen: Option<SocketAddr>,

    /// What happens to a pod when a template that has no onError of its own cannot be applied: deny or skip
    #[arg(long, env = "PILLION_ON_ERROR", default_value = "deny", value_parser = OnError::from_str)]
    on_error: OnError,

    /// Registry that has copies of images, such as mirror.example.com/docker-hub: containers of templates that a namespace
    /// requires may have their images from there, too; can be given several times
    #[arg(long, env = "PILLION_IMAGE_MIRRORS", value_name = "REGISTRY", value_delimiter = ',', value_parser = ImageMirror::from_str)]
    image_mirrors: Vec<ImageMirror>,

    /// How long to go on serving after SIGTERM, until API servers use other replicas [default: 10, with --dev 0]
    #[arg(long, env = "PILLION_DRAIN_SECONDS", value_name = "SECONDS", value_parser = duration)]
    drain_seconds: Option<Duration>,

    /// How often template and certificate files are read
    #[arg(long, env = "PILLION_RELOAD_INTERVAL", value_name = "SECONDS", default_value = "2", value_parser = interval)]
    reload_interval: Duration,

    /// How long the body of a request may take to arrive; of a body over 32 KiB, the rest has 2 seconds at the most
    #[arg(long, env = "PILLION_REQUEST_TIMEOUT", value_name = "SECONDS", default_value = "10", value_parser = duration)]
    request_timeout: Duration,

    /// Largest body of a request: API servers take objects of up to 3 MiB; an update carries two, and of each etcd stores
    /// up to 1.5 MiB unless told otherwise
    #[arg(long, env = "PILLION_MAX_BODY_BYTES", value_name = "BYTES", default_value_t = 4 * 1024 * 1024, value_parser = clap::value_parser!(u32).range(1..=64 * 1024 * 1024))]
    max_body_bytes: u32,

    /// Connections to the webhook at a time; further ones wait
    #[arg(long, env = "PILLION_MAX_CONNECTIONS", value_name = "NUMBER", default_value_t = 1024, value_parser = clap::value_parser!(u32).range(1..=65_536))]
    max_connections: u32,

    #[command(flatten)]
    cluster: ClusterArgs,

    #[command(flatten)]
    auto: AutoArgs,

    #[command(flatten)]
    telemetry: LogArgs,
}

/// Where a certificate comes from.
#[derive(Clone, Copy, Debug, Eq, PartialEq, clap::ValueEnum)]
enum CertsFrom {
    /// An authority of our own, kept in a Secret that all replicas share.
    Auto,
    /// The files of --tls-cert and --tls-key.
    Files,
}

/// Serves until a signal.
pub(crate) fn run(args: Args) -> anyhow::Result<()> {
    ensure!(
        args.dev || args.cluster.watch || !args.templates.is_empty(),
        "no source of templates: name files or folders with --templates, read the resources of the cluster with --watch, or \
         try it out with the built-in templates and --dev"
    );
    keep_freed_memory();
    let runtime = Runtime::new().context("cannot start the runtime")?;
    // Dropped before the runtime, so that the admin listener still answers while the last traces are sent.
    let _telemetry = telemetry::start(&args.telemetry);
    runtime.block_on(serve(args))
}

/// Has the allocator keep up to 2 MiB of free memory for each thread. By itself glibc gives back to the kernel what is free
/// beyond 128 KiB, and then each larger review pays for new pages; but once it has freed a larger block that it had from
/// mmap, it takes twice the size of that instead. Source: mallopt(3), `M_MMAP_THRESHOLD` and `M_TRIM_THRESHOLD`.
fn keep_freed_memory() {
    drop(black_box(Vec::<u8>::with_capacity(1 << 20)));
}

async fn serve(args: Args) -> anyhow::Result<()> {
    let Args {
        dev,
        templates,
        certs,
        tls_cert,
        tls_key,
        listen,
        admin_listen,
        on_error,
        image_mirrors,
        cluster,
        auto,
        ..
    } = args;
    let host = IpAddr::V4(if dev { Ipv4Addr::LOCALHOST } else { Ipv4Addr::UNSPECIFIED });
    let metrics = Arc::new(Metrics::new().context("cannot set up metrics")?);

    let source = Source::of(templates, if dev { Source::Cookbook } else { Source::Nowhere })?;
    let empty = Catalog::new(on_error).with_image_mirrors(image_mirrors);
    let reloader = Reloader::start(source, empty, cluster.namespaced_templates, Arc::clone(&metrics));
    let catalog = reloader.catalog();

    let is_auto = certs == Some(CertsFrom::Auto);
    let (serving, files, authority) = match tls_cert.zip(tls_key) {
        _ if dev => {
            let (pair, authority) = dev::make().context("cannot make a certificate")?;
            (Arc::new(Serving::new(pair)), None, Some(authority))
        }
        None if is_auto => (Arc::new(Serving::empty()), None, None),
        Some(_) if is_auto => bail!("--certs auto makes the certificate: omit --tls-cert and --tls-key"),
        Some((certificate, key)) => {
            let files = Files::open(certificate, key).context("--tls-cert, --tls-key")?;
            (files.serving(), Some(files), None)
        }
        None => bail!("a certificate is needed: give --tls-cert and --tls-key, or --certs auto in a cluster"),
    };
    if let Some(pair) = serving.pair() {
        metrics.certificate_expires(pair.not_after());
    }

    let client = if cluster.watch || is_auto { Some(connect().await?) } else { None };
    let watching = client.as_ref().filter(|_| cluster.watch);
    let (cache, changes) = watching.map(|client| Cluster::watch(client.clone(), Arc::clone(&metrics))).unzip();
    let events = watching.map(|client| cluster.events(client.clone(), &metrics));

    let bound = Bound::bind(Config {
        listen: listen.unwrap_or(SocketAddr::new(host, PORT)),
        admin_listen: admin_listen.unwrap_or(SocketAddr::new(host, ADMIN_PORT)),
        certificate: Arc::clone(&serving),
        catalog: Arc::clone(&catalog),
        cluster: cache.clone(),
        events: events.clone(),
        metrics: Arc::clone(&metrics),
        max_connections: args.max_connections,
        max_body: args.max_body_bytes as usize,
        patience: args.request_timeout,
        drain: args.drain_seconds.unwrap_or(if dev { Duration::ZERO } else { DRAIN }),
    })
    .await?;
    // Kept until the end, because the file is deleted with it.
    let _authority = authority.map(|pem| invite(&pem, bound.address()?, &catalog)).transpose()?;

    let statuses = reloader.desired_statuses();
    reload::start(reloader, changes, files, args.reload_interval, Arc::clone(&metrics));
    match client {
        Some(client) => {
            let auto = is_auto.then_some((auto, serving));
            cluster.run(client, auto, cache.zip(events), statuses, metrics, bound).await
        }
        None => bound.run().await,
    }
}
