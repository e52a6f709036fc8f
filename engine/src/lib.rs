//! The decisions of Pillion: a pure function from templates, a namespace and an AdmissionReview to a JSON patch.
//!
//! ```text
//! admission   go over the text once, and note where everything stands
//!     │
//!     ▼
//! inject      select: opt-out? which templates? allowed here?            ─▶ skipped / denied + reason
//!     │       for each template, in order, over one tree:
//!     │         render: parameters checked, expressions evaluated        ─▶ partial pod
//!     │         merge:  additions to the tree, or                      ─▶ conflict
//!     │         rules:  would the API server accept it?                  ─▶ invalid_result
//!     ▼
//! response    the tree as JSON patch, outcome and reason of every template, warnings
//! ```
//!
//! [`review`] knows no clock, no network and no client. The server, every command, the benchmarks and the fuzzers call
//! it, so they cannot disagree. What it depends on is compiled beforehand: [`load`] takes files to templates that were
//! judged by the [`rules`], and [`catalog`] holds those in force.

// From the ground up: each imports only what stands above it in this list.
mod image;
pub mod names;
mod quantity;
pub mod text;

mod pattern;
pub mod yaml;

pub mod decision;
mod schema;

mod expression;
mod json;

pub mod rules;

pub mod admission;

pub mod response;

pub mod template;

pub mod catalog;

mod inject;

pub mod load;

/// What the scanner of JSON finds in a text, for the fuzzer that holds it to serde_json.
#[cfg(fuzzing)]
pub fn scanned(text: &str) -> Option<serde_json::Value> {
    json::Tape::scan(text).map(|tape| tape.root().to_value())
}

pub use inject::{MERGE_RULES, Recorded, Selection, Uninjected, refuse_unread, review, select, uninject};
