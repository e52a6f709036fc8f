//! Pillion from the outside: the program itself over real TLS, on real files, and behind a real API server.

mod apiserver;
mod dev;
mod drain;
mod golden;
mod harness;
mod https;
mod inject;
mod limits;
mod observe;
mod reload;
mod schema;
