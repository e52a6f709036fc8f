//! The commands, one file each.

mod durations;
mod inject;
mod output;
mod serve;

use std::process::ExitCode;

use clap::Parser;

use self::output::{print, report};
use crate::cluster::client::Unusable;
use crate::version::{REVISION, VERSION};

/// Adds native sidecars, probes and shared volumes to Kubernetes pods.
#[derive(Debug, Parser)]
#[command(name = "pillion", version)]
pub(crate) enum Command {
    /// Serve as a mutating admission webhook
    Serve(Box<serve::Args>),
    /// Inject into manifests: YAML out on standard output, the report on standard error
    Inject(inject::Args),
    /// Print version and revision
    Version,
}

/// Runs a command. The exit code is 1 when a pod is not injected as asked, 2 for wrong usage or input or a failure of the
/// command itself, 3 for a cluster that cannot be used.
pub(crate) fn run(command: Command) -> ExitCode {
    let ended = match command {
        Command::Serve(args) => serve::run(*args).map(|()| ExitCode::SUCCESS),
        Command::Inject(args) => inject::run(args),
        Command::Version => print(format_args!("pillion {VERSION} ({REVISION})\n")).map(|()| ExitCode::SUCCESS),
    };
    ended.unwrap_or_else(|error| {
        report(format_args!("error: {error:#}"));
        ExitCode::from(if error.is::<Unusable>() { 3 } else { 2 })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_flags_make_sense() {
        use clap::CommandFactory as _;
        Command::command().debug_assert();
    }
}
