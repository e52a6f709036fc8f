//! Pillion, the program: a mutating admission webhook, and the same engine on the command line.
//!
//! The crate `pillion-engine` decides what is injected into a pod. This crate has the rest: the commands ([`cli`]), the
//! sockets ([`server`]) and their certificates ([`certs`]), the templates in force ([`catalog`]), which come from
//! [`files`] and from the [`cluster`], the reloading of both ([`reload`]), [`metrics`], logs and traces ([`telemetry`]).

#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test that fails says where"))]

mod catalog;
mod certs;
mod cli;
mod cluster;
mod files;
mod manifest;
mod metrics;
mod reload;
mod server;
mod telemetry;
mod version;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::run(cli::parse())
}
