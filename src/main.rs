//! Pillion, the program: a mutating admission webhook, and the same engine on the command line.
//!
//! What happens to a pod is decided in the crate `pillion-engine`. Here is what surrounds that: the commands ([`cli`]), the
//! sockets ([`server`]) and their certificates ([`certs`]), the templates in force ([`live`]), which come from [`files`]
//! and from the [`cluster`], what keeps all of it current ([`keep`]), metrics, logs and traces ([`telemetry`]).

#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test that fails says where"))]

mod certs;
mod cli;
mod cluster;
mod files;
mod keep;
mod live;
mod manifest;
mod metrics;
mod server;
mod telemetry;
mod version;

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    cli::run(cli::Command::parse())
}
