//! Logs, on standard error: JSON for machines, text for a terminal. And traces, if they are enabled: a span for each
//! review, and below it one for each lookup at the API server.
//!
//! A thread of its own writes the log, as many lines at once as are waiting, so that no review waits for whoever reads it.

#[cfg(any(test, not(feature = "otlp")))]
mod ignored;
#[cfg(feature = "otlp")]
mod otlp;

use std::fmt::{self, Display};
use std::io::{self, BufWriter, IsTerminal as _};
use std::panic;
use std::sync::OnceLock;

use axum::http::HeaderMap;
use clap::ValueEnum;
use pillion_engine::admission::Review;
use pillion_engine::decision::{Decision, TemplateDecision};
use tracing::field::Empty;
#[cfg(test)]
use tracing::subscriber::DefaultGuard;
use tracing::{Level, Metadata, Span};
use tracing_appender::non_blocking::{ErrorCounter, NonBlocking, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::fmt::Layer as Lines;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Layer, Registry, registry};

/// The target of every span. When traces are not collected, no span is made.
const TRACES: &str = "pillion::traces";

/// The log lines that may wait to be written, each of some kilobytes at the most. Further ones are dropped, and counted.
const WAITING_LINES: usize = 8192;

static DROPPED_LINES: OnceLock<ErrorCounter> = OnceLock::new();

/// How a log line looks.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum LogFormat {
    /// One JSON object a line.
    Json,
    /// Plain text.
    Text,
}

/// What is logged, and how.
#[derive(Debug, clap::Args)]
pub(crate) struct LogArgs {
    /// Format of the log lines [default: text on a terminal, json otherwise]
    #[arg(long, env = "PILLION_LOG_FORMAT")]
    log_format: Option<LogFormat>,

    /// Least level that is logged: error, warn, info, debug or trace
    #[arg(long, env = "PILLION_LOG_LEVEL", default_value_t = Level::INFO)]
    log_level: Level,
}

/// Sends the last traces, and writes the last log lines, when it is dropped.
#[must_use]
pub(crate) struct Telemetry {
    #[cfg(feature = "otlp")]
    _traces: Option<otlp::Traces>,
    // Last, because the traces may have something to say.
    _lines: WorkerGuard,
}

/// How many log lines were dropped, because nobody took those before them.
pub(crate) fn dropped_lines() -> u64 {
    DROPPED_LINES.get().map_or(0, |counter| counter.dropped_lines() as u64)
}

/// Starts logging, and tracing if that is enabled, for the whole process.
pub(crate) fn start(args: &LogArgs) -> Telemetry {
    let waiting = NonBlockingBuilder::default().buffered_lines_limit(WAITING_LINES).thread_name("log");
    let (writer, lines_guard) = waiting.finish(BufWriter::new(io::stderr()));
    // There is one log for the whole process.
    let _ = DROPPED_LINES.set(writer.error_counter());
    let subscriber = registry().with(lines(args, writer));
    #[cfg(not(feature = "otlp"))]
    let telemetry = {
        subscriber.init();
        let ignored = ignored::variables(std::env::vars_os());
        if !ignored.is_empty() {
            tracing::warn!(
                ignored = ignored.join(","),
                "this build sends no traces: it was made without the feature otlp"
            );
        }
        Telemetry { _lines: lines_guard }
    };
    #[cfg(feature = "otlp")]
    let telemetry = match otlp::Traces::start() {
        Ok(Some(traces)) => {
            let is_traced = |metadata: &Metadata<'_>| metadata.is_span() && metadata.target() == TRACES;
            subscriber.with(traces.layer().with_filter(filter_fn(is_traced))).init();
            tracing::info!("sending traces");
            Telemetry { _traces: Some(traces), _lines: lines_guard }
        }
        // A layer that is not there would count as interested in spans.
        off => {
            subscriber.init();
            if let Err(error) = off {
                tracing::error!(%error, "no traces are sent");
            }
            Telemetry { _traces: None, _lines: lines_guard }
        }
    };
    // The default hook prints the panic's message, which may quote the pod at hand.
    panic::set_hook(Box::new(|panic| {
        let location = panic.location().map(ToString::to_string).unwrap_or_default();
        tracing::error!(location, "panicked; this is a bug in pillion, please report it");
    }));
    telemetry
}

/// The layer that writes log lines. It ignores spans.
fn lines(args: &LogArgs, writer: NonBlocking) -> impl Layer<Registry> + use<> {
    let LogArgs { log_format, log_level } = *args;
    let terminal = if io::stderr().is_terminal() { LogFormat::Text } else { LogFormat::Json };
    let lines = Lines::new().with_writer(writer).with_ansi(io::stderr().is_terminal());
    let lines = match log_format.unwrap_or(terminal) {
        LogFormat::Json => lines.json().flatten_event(true).with_current_span(false).with_span_list(false).boxed(),
        LogFormat::Text => lines.boxed(),
    };
    let is_logged = move |metadata: &Metadata<'_>| {
        // We log failures of the API server ourselves, once and in fewer words.
        let is_repeated = metadata.target().starts_with("kube_") && log_level < Level::DEBUG;
        metadata.is_event() && !is_repeated && *metadata.level() <= log_level
    };
    lines.with_filter(filter_fn(is_logged))
}

/// A span for a review, below that of the API server if its request names one.
pub(crate) fn review_span(headers: &HeaderMap) -> Span {
    let span = tracing::info_span!(
        target: TRACES,
        "review",
        otel.kind = "server",
        otel.status_code = Empty,
        otel.status_description = Empty,
        k8s.namespace.name = Empty,
        pillion.review.uid = Empty,
        pillion.outcome = Empty,
        pillion.reason = Empty,
        pillion.templates = Empty,
    );
    #[cfg(feature = "otlp")]
    otlp::adopt(&span, headers);
    #[cfg(not(feature = "otlp"))]
    let _ = headers;
    span
}

/// A span for a lookup at the API server.
pub(crate) fn lookup_span(resource: &str) -> Span {
    tracing::info_span!(target: TRACES, "lookup", otel.kind = "client", k8s.resource.name = resource)
}

/// Records the decision in the current span: what metrics and audit log have too, and nothing that the pod holds.
pub(crate) fn trace_decision(review: &Review<'_>, decision: &Decision) {
    let span = Span::current();
    if span.is_disabled() {
        return;
    }
    span.record("k8s.namespace.name", &*review.subject().namespace);
    span.record("pillion.review.uid", review.uid());
    span.record("pillion.outcome", decision.outcome.as_str());
    span.record("pillion.reason", decision.reason.as_str());
    span.record("pillion.templates", Templates(&decision.templates).to_string());
}

/// Records in the span of a review why there was no answer.
pub(crate) fn trace_refusal(span: &Span, why: impl Display) {
    if !span.is_disabled() {
        span.record("otel.status_code", "ERROR");
        span.record("otel.status_description", why.to_string());
    }
}

/// Each template with its reason, as logs and traces have them.
pub(crate) struct Templates<'d>(pub(crate) &'d [TemplateDecision]);

impl fmt::Display for Templates<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, TemplateDecision { name, reason, .. }) in self.0.iter().enumerate() {
            let comma = if at == 0 { "" } else { "," };
            write!(formatter, "{comma}{name}={reason}")?;
        }
        Ok(())
    }
}

/// Logs what the current thread says, in JSON, for as long as the guards live.
#[cfg(test)]
pub(crate) fn log_to(writer: impl io::Write + Send + 'static) -> (DefaultGuard, WorkerGuard) {
    let args = LogArgs { log_format: Some(LogFormat::Json), log_level: Level::TRACE };
    let (writer, lines_guard) = NonBlocking::new(writer);
    (registry().with(lines(&args, writer)).set_default(), lines_guard)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn when_traces_are_not_collected_no_span_is_made() {
        let _log = log_to(io::sink());
        assert!(review_span(&HeaderMap::new()).is_disabled());
        assert!(lookup_span("namespaces").is_disabled());
    }
}
