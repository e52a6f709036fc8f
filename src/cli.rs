//! The commands, one file each.

mod inject;
mod serve;

use std::fmt::Display;
use std::io::{self, Write as _};
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;

use crate::cluster::Unusable;

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

/// How a command ended that did end.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Outcome {
    /// All is as it was asked for.
    AsAsked,
    /// Something is not, and the report says what.
    NotAsAsked,
}

/// Runs a command: 0 as asked, 1 not as asked, 2 for usage, input and surroundings that do not allow it, 3 for a cluster
/// that does not.
pub(crate) fn run(command: Command) -> ExitCode {
    let ended = match command {
        Command::Serve(args) => serve::run(*args).map(|()| Outcome::AsAsked),
        Command::Inject(args) => inject::run(args),
        Command::Version => {
            print(format_args!("pillion {} ({})\n", crate::VERSION, crate::REVISION)).map(|()| Outcome::AsAsked)
        }
    };
    match ended {
        Ok(Outcome::AsAsked) => ExitCode::SUCCESS,
        Ok(Outcome::NotAsAsked) => ExitCode::from(1),
        Err(error) => {
            report(format_args!("error: {error:#}"));
            ExitCode::from(if error.is::<Unusable>() { 3 } else { 2 })
        }
    }
}

/// Writes to standard output, all or nothing.
fn print(text: impl Display) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    write!(out, "{text}")?;
    Ok(out.flush()?)
}

/// Writes a line to standard error.
fn report(line: impl Display) {
    // There is nobody left to tell when standard error is closed.
    let _ = writeln!(io::stderr(), "{line}");
}

/// Parses `10`, `10s`, `0.5`, `200ms`, `5m` or `24h`.
fn duration(text: &str) -> Result<Duration, String> {
    const UNITS: [(&str, f64); 4] = [("ms", 0.001), ("s", 1.0), ("m", 60.0), ("h", 3600.0)];
    let with_unit = UNITS.iter().find_map(|(unit, seconds)| Some((text.strip_suffix(unit)?, *seconds)));
    let (number, unit) = with_unit.unwrap_or((text, 1.0));
    number
        .parse()
        .ok()
        .and_then(|amount: f64| Duration::try_from_secs_f64(amount * unit).ok())
        .ok_or_else(|| "not a duration, such as 10 (seconds), 200ms, 5m or 24h".to_owned())
}

/// As [`duration`], but some time must pass.
fn interval(text: &str) -> Result<Duration, String> {
    duration(text).and_then(|it| if it.is_zero() { Err("must be more than 0".to_owned()) } else { Ok(it) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_seconds_unless_they_say_otherwise() {
        assert_eq!(duration("10"), Ok(Duration::from_secs(10)));
        assert_eq!(duration("0.5s"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("200ms"), Ok(Duration::from_millis(200)));
        assert_eq!(duration("90m"), Ok(Duration::from_secs(5400)));
        assert_eq!(duration("720h"), Ok(Duration::from_secs(720 * 3600)));
        for wrong in ["", "-1", "1d", "ms", "h", "NaN", "1e300"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_flags_make_sense() {
        use clap::CommandFactory as _;
        Command::command().debug_assert();
    }
}
