//! Pillion from the outside: the program itself over real TLS, on real files, and behind a real API server.

mod apiserver;
mod bad_input;
mod cache;
mod cel;
mod chart;
mod cli;
mod cluster;
mod cookbook;
mod dev;
mod docs;
mod drain;
mod e2e;
mod e2e_all;
mod events;
mod examples;
mod explain;
mod final_check;
mod golden;
mod harness;
mod https;
mod inject;
mod limits;
mod monitoring;
mod observe;
mod pod_security;
mod properties;
mod random_pods;
mod reload;
mod rules;
mod schema;
mod schema_command;
#[cfg(feature = "otlp")]
mod tracing;
mod validation;
mod warnings;
mod workloads;
