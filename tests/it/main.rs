//! Pillion from the outside: the program itself over real TLS, on real files, and behind a real API server.

mod apiserver;
mod bad_input;
mod cluster;
mod cookbook;
mod dev;
mod docs;
mod drain;
mod examples;
mod golden;
mod harness;
mod https;
mod inject;
mod limits;
mod observe;
mod properties;
mod random_pods;
mod reload;
mod schema;
mod warnings;
