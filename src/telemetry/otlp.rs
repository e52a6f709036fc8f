//! Traces by OTLP over HTTP, configured by the standard variables of OpenTelemetry. Nothing is sent unless one of them
//! names an endpoint.
//!
//! Spans wait in a queue of bounded length, and a separate thread sends them: a collector that is slow or unavailable does
//! not delay reviews.

use std::env;
use std::future::{Future, ready};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::http::HeaderMap;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use opentelemetry::propagation::TextMapPropagator as _;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_http::{Bytes, HeaderExtractor, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{ExporterBuildError, SpanExporter, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{Sampler, SdkTracer, SdkTracerProvider};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::{Error as PemError, PemObject as _};
use rustls::{ClientConfig, RootCertStore};
use tokio::runtime::{self, Runtime};
use tokio::time::timeout;
use tracing::Span;
use tracing_opentelemetry::{OpenTelemetryLayer, OpenTelemetrySpanExt as _};

/// How long the last spans may take when the process ends.
const FLUSH: Duration = Duration::from_secs(3);
/// The longest answer of a collector that is read.
const MAX_ANSWER: usize = 64 * 1024;

/// Why no traces can be sent, though an endpoint was named.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error("{name} is \"{value}\", but must be {rule}")]
    Variable { name: String, value: String, rule: &'static str },
    #[error("{name}: cannot read {file}: {error}")]
    Certificate { name: String, file: String, error: PemError },
    #[error(transparent)]
    Exporter(#[from] ExporterBuildError),
    #[error("cannot set up the client: {0}")]
    Client(#[from] io::Error),
    #[error("cannot set up TLS: {0}")]
    Tls(#[from] rustls::Error),
}

/// Sends traces until it is dropped.
pub(super) struct Traces(SdkTracerProvider);

impl Traces {
    /// Begins to send traces, if an endpoint is named.
    pub(super) fn start() -> Result<Option<Traces>, Error> {
        let is_disabled = variable("OTEL_SDK_DISABLED").is_some_and(|(_, value)| value.eq_ignore_ascii_case("true"));
        if is_disabled || of_traces("ENDPOINT").is_none() {
            return Ok(None);
        }
        if let Some((name, value)) = of_traces("PROTOCOL")
            && value != "http/protobuf"
        {
            return Err(Error::Variable { name, value, rule: "http/protobuf, the only one that is built in" });
        }
        let sampler = sampler()?;
        let exporter = SpanExporter::builder().with_http().with_http_client(Collector::new()?).build()?;
        let mut resource = Resource::builder();
        let names_service = |(_, attributes): (_, String)| attributes.contains("service.name=");
        if variable("OTEL_SERVICE_NAME").is_none() && !variable("OTEL_RESOURCE_ATTRIBUTES").is_some_and(names_service) {
            resource = resource.with_service_name("pillion");
        }
        let provider = SdkTracerProvider::builder()
            .with_batch_exporter(exporter)
            .with_sampler(sampler)
            .with_resource(resource.build())
            .build();
        Ok(Some(Traces(provider)))
    }

    /// The layer that makes traces of spans.
    pub(super) fn layer<S>(&self) -> OpenTelemetryLayer<S, SdkTracer>
    where
        S: tracing::Subscriber + for<'span> tracing_subscriber::registry::LookupSpan<'span>,
    {
        OpenTelemetryLayer::new(self.0.tracer("pillion"))
            .with_location(false)
            .with_target(false)
            .with_threads(false)
            .with_tracked_inactivity(false)
    }
}

impl Drop for Traces {
    fn drop(&mut self) {
        // What cannot be sent now is lost; why has been logged.
        let _ = self.0.shutdown_with_timeout(FLUSH);
    }
}

/// Puts a span below the one that a request names in `traceparent`.
pub(super) fn adopt(span: &Span, headers: &HeaderMap) {
    if !span.is_disabled() {
        let parent = TraceContextPropagator::new().extract(&HeaderExtractor(headers));
        // It fails for spans that have begun, or that are not collected.
        let _ = span.set_parent(parent);
    }
}

/// A variable that is set to something.
fn variable(name: &str) -> Option<(String, String)> {
    let value = env::var(name).ok().filter(|value| !value.is_empty())?;
    Some((name.to_owned(), value))
}

/// A setting of the exporter, for traces or for everything.
fn of_traces(setting: &str) -> Option<(String, String)> {
    variable(&format!("OTEL_EXPORTER_OTLP_TRACES_{setting}"))
        .or_else(|| variable(&format!("OTEL_EXPORTER_OTLP_{setting}")))
}

/// Which reviews are traced. By default the API server decides, and where it says nothing all are.
fn sampler() -> Result<Sampler, Error> {
    let Some((name, value)) = variable("OTEL_TRACES_SAMPLER") else {
        return Ok(Sampler::ParentBased(Box::new(Sampler::AlwaysOn)));
    };
    let (is_parent_based, own) = value.strip_prefix("parentbased_").map_or((false, value.as_str()), |own| (true, own));
    let own = match own {
        "always_on" => Sampler::AlwaysOn,
        "always_off" => Sampler::AlwaysOff,
        "traceidratio" => Sampler::TraceIdRatioBased(ratio()?),
        _ => {
            let rule = "always_on, always_off or traceidratio, or one of them behind parentbased_";
            return Err(Error::Variable { name, value, rule });
        }
    };
    Ok(if is_parent_based { Sampler::ParentBased(Box::new(own)) } else { own })
}

fn ratio() -> Result<f64, Error> {
    let Some((name, value)) = variable("OTEL_TRACES_SAMPLER_ARG") else { return Ok(1.0) };
    match value.parse() {
        Ok(ratio) if (0.0..=1.0).contains(&ratio) => Ok(ratio),
        _ => Err(Error::Variable { name, value, rule: "a number from 0 to 1" }),
    }
}

/// How long the collector may take.
fn patience() -> Result<Duration, Error> {
    let Some((name, value)) = of_traces("TIMEOUT") else { return Ok(Duration::from_secs(10)) };
    match value.parse() {
        Ok(milliseconds) if milliseconds > 0 => Ok(Duration::from_millis(milliseconds)),
        _ => Err(Error::Variable { name, value, rule: "a number of milliseconds" }),
    }
}

/// The authorities for the collector's certificate: those of a file, or else those of the system.
fn authorities() -> Result<RootCertStore, Error> {
    let mut roots = RootCertStore::empty();
    let certificates = match of_traces("CERTIFICATE") {
        Some((name, file)) => CertificateDer::pem_file_iter(&file)
            .and_then(Iterator::collect)
            .map_err(|error| Error::Certificate { name, file, error })?,
        None => rustls_native_certs::load_native_certs().certs,
    };
    roots.add_parsable_certificates(certificates);
    Ok(roots)
}

/// The client of the collector. It blocks its thread, which does nothing else.
#[derive(Debug)]
struct Collector {
    runtime: Runtime,
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    patience: Duration,
    is_failing: AtomicBool,
}

impl Collector {
    fn new() -> Result<Collector, Error> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(authorities()?)
            .with_no_client_auth();
        let connector = HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1().build();
        let mut client = Client::builder(TokioExecutor::new());
        // While nothing is sent the runtime does not run, and would not see that the collector closes a connection.
        client.pool_max_idle_per_host(0);
        Ok(Collector {
            runtime: runtime::Builder::new_current_thread().enable_all().build()?,
            client: client.build(connector),
            patience: patience()?,
            is_failing: AtomicBool::new(false),
        })
    }

    async fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let answer = self.client.request(request.map(Full::new)).await?;
        let (head, body) = answer.into_parts();
        let body = Limited::new(body, MAX_ANSWER).collect().await?;
        Ok(Response::from_parts(head, body.to_bytes()))
    }

    /// Logs when sending begins to fail and when it works again.
    fn log_outcome(&self, outcome: &Result<Response<Bytes>, HttpError>) {
        let why = match outcome {
            Ok(answer) if answer.status().is_success() => None,
            Ok(answer) => Some(format!("the collector answered {}", answer.status())),
            Err(error) => Some(describe(error.as_ref())),
        };
        let was_failing = self.is_failing.swap(why.is_some(), Ordering::Relaxed);
        match why {
            Some(why) if !was_failing => tracing::warn!(why, "traces cannot be sent, and are lost until they can"),
            None if was_failing => tracing::info!("traces are sent again"),
            _ => {}
        }
    }
}

/// An error with its causes.
fn describe(error: &(dyn std::error::Error + 'static)) -> String {
    let mut description = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        description = format!("{description}: {error}");
        cause = error.source();
    }
    description
}

impl HttpClient for Collector {
    fn send_bytes<'life, 'future>(
        &'life self,
        request: Request<Bytes>,
    ) -> Pin<Box<dyn Future<Output = Result<Response<Bytes>, HttpError>> + Send + 'future>>
    where
        'life: 'future,
        Self: 'future,
    {
        let sent = self.runtime.block_on(async { timeout(self.patience, self.send(request)).await });
        let outcome = sent.unwrap_or_else(|_| Err(format!("no answer within {:?}", self.patience).into()));
        self.log_outcome(&outcome);
        Box::pin(ready(outcome))
    }
}
