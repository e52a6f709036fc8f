//! `pillion review`: an AdmissionReview that an API server sent, answered as the webhook would.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use pillion_engine::admission::Review;
use pillion_engine::decision::{Decision, Outcome};
use pillion_engine::response;

use super::engine::EngineArgs;
use super::input;
use super::namespaces::{NamespaceLabels, Namespaces};
use super::output::{print, report};

/// Flags of `pillion review`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  pillion review -f review.json
  pillion review -f review.json --templates templates/ | jq -r .response.patch | base64 -d")]
pub(crate) struct Args {
    /// File or URL of an AdmissionReview in JSON, or - for standard input
    #[arg(short, long = "filename", value_name = "FILE")]
    filename: PathBuf,

    #[command(flatten)]
    namespaces: NamespaceLabels,

    #[command(flatten)]
    engine: EngineArgs,
}

/// Prints the response. The exit code is 1 when the pod is refused, or let through without what it asked for.
pub(crate) fn run(args: Args) -> anyhow::Result<ExitCode> {
    let Args { filename, namespaces, engine } = args;
    let catalog = engine.load()?;
    let text = input::read_file(&filename)?;
    let review = Review::parse(text.as_bytes()).with_context(|| filename.display().to_string())?;
    let namespace = Namespaces::labelled(namespaces).find(review.namespace());
    let namespace = namespace.map_err(|why| anyhow::anyhow!("{why}"))?;
    let decision = pillion_engine::review(&catalog, &namespace, &review);
    let Decision { outcome, reason, message, .. } = &decision;
    report(format_args!("{outcome}: {reason}{}", message.as_ref().map(|it| format!(": {it}")).unwrap_or_default()));
    print(String::from_utf8_lossy(&response::response(&review, &decision)) + "\n")?;
    Ok(if matches!(outcome, Outcome::Denied | Outcome::Error) { ExitCode::from(1) } else { ExitCode::SUCCESS })
}
