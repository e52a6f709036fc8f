//! `pillion version`.

use serde_json::json;

use super::output::{Format, print};
use crate::version::{REVISION, VERSION};

/// Flags of `pillion version`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  pillion version -o json")]
pub(crate) struct Args {
    /// How to write it
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

/// Prints version and revision.
pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    match args.output {
        Format::Text => print(format_args!("pillion {VERSION} ({REVISION})\n")),
        Format::Json => print(format_args!("{}\n", json!({"version": VERSION, "revision": REVISION}))),
    }
}
