//! Logs, on standard error: JSON for machines, text for a terminal.

use std::io::{self, IsTerminal as _};
use std::panic;

use clap::ValueEnum;
use tracing::Level;

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

/// Starts logging for the whole process.
pub(crate) fn start(args: &LogArgs) {
    let LogArgs { log_format, log_level } = *args;
    let terminal = if io::stderr().is_terminal() { LogFormat::Text } else { LogFormat::Json };
    let subscriber = tracing_subscriber::fmt().with_max_level(log_level).with_writer(io::stderr);
    match log_format.unwrap_or(terminal) {
        LogFormat::Json => subscriber.json().flatten_event(true).with_current_span(false).with_span_list(false).init(),
        LogFormat::Text => subscriber.init(),
    }
    // The default hook prints the panic's message, which may quote the pod at hand.
    panic::set_hook(Box::new(|panic| {
        let location = panic.location().map(ToString::to_string).unwrap_or_default();
        tracing::error!(location, "panicked; this is a bug in pillion, please report it");
    }));
}
