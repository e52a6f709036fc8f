//! The commands, one file each.

mod durations;
mod engine;
mod explain;
mod inject;
mod input;
mod lint;
mod namespaces;
mod output;
mod review;
mod schema;
mod serve;
mod settings;
mod templates;
mod version;

use std::env;
use std::path::Path;
use std::process::ExitCode;

use clap::{CommandFactory as _, FromArgMatches as _, Parser};
use clap_complete::Shell;

use self::output::{print, report};
use crate::cluster::client::Unusable;

/// Adds native sidecars, probes and shared volumes to Kubernetes pods.
#[derive(Debug, Parser)]
#[command(name = "pillion", version)]
pub(crate) enum Command {
    /// Serve as a mutating admission webhook
    Serve(Box<serve::Args>),
    /// Inject into manifests: YAML out on standard output, the report on standard error
    Inject(inject::Args),
    /// Show what inject would change, as a unified diff; the exit code is 1 when anything does
    Diff(input::Common),
    /// Say step by step why a pod is injected, or is not, and what to do
    Explain(explain::Args),
    /// Check templates, as they are checked when they are loaded; the exit code is 1 when one is refused
    Lint(lint::Args),
    /// Print the JSON Schema of templates, for editors: pillion schema > template.schema.json
    Schema,
    /// Answer an AdmissionReview from a file as the webhook would
    Review(review::Args),
    /// List, show and begin templates
    #[command(subcommand)]
    Templates(templates::Command),
    /// Print the completion script of a shell
    Completion {
        /// The shell
        shell: Shell,
    },
    /// Print the manual page
    Man,
    /// Print version and revision
    Version(version::Args),
}

/// The arguments, under the name by which the program was called: `kubectl pillion` finds it as `kubectl-pillion`.
pub(crate) fn parse() -> Command {
    Command::from_arg_matches(&usage().get_matches()).unwrap_or_else(|error| error.exit())
}

fn usage() -> clap::Command {
    let called = env::args_os().next().unwrap_or_default();
    let is_plugin = Path::new(&called).file_stem().is_some_and(|name| name == "kubectl-pillion");
    let usage = Command::command();
    if is_plugin { usage.bin_name("kubectl pillion") } else { usage }
}

/// Runs a command. The exit code is 1 when a pod is not injected as asked, 2 for wrong usage or input or a failure of the
/// command itself, 3 for a cluster that cannot be used.
pub(crate) fn run(command: Command) -> ExitCode {
    let ended = match command {
        Command::Serve(args) => serve::run(*args).map(|()| ExitCode::SUCCESS),
        Command::Inject(args) => inject::run(args),
        Command::Diff(args) => inject::diff(args),
        Command::Explain(args) => explain::run(args),
        Command::Lint(args) => lint::run(&args),
        Command::Schema => schema::run().map(|()| ExitCode::SUCCESS),
        Command::Review(args) => review::run(args),
        Command::Templates(command) => templates::run(command),
        Command::Completion { shell } => completion(shell).map(|()| ExitCode::SUCCESS),
        Command::Man => man().map(|()| ExitCode::SUCCESS),
        Command::Version(args) => version::run(&args).map(|()| ExitCode::SUCCESS),
    };
    ended.unwrap_or_else(|error| {
        report(format_args!("error: {error:#}"));
        ExitCode::from(if error.is::<Unusable>() { 3 } else { 2 })
    })
}

fn completion(shell: Shell) -> anyhow::Result<()> {
    let mut usage = usage();
    let name = usage.get_bin_name().unwrap_or("pillion").replace(' ', "-");
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut usage, name, &mut script);
    print(String::from_utf8_lossy(&script))
}

fn man() -> anyhow::Result<()> {
    let mut page = Vec::new();
    clap_mangen::Man::new(usage()).render(&mut page)?;
    print(String::from_utf8_lossy(&page))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_flags_make_sense() {
        Command::command().debug_assert();
    }
}
