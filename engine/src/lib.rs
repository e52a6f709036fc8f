//! The decisions of Pillion: a pure function from templates, a namespace and an AdmissionReview to a JSON patch.
//!
//! ```text
//! admission   parse the envelope; the pod's members stay raw until someone asks for them
//!     │
//!     ▼
//! inject      decide: opt-out? which templates? allowed here?            ─▶ skipped / denied + reason
//!     │       for each template, in order, against the draft:
//!     │         render: parameters checked, expressions evaluated        ─▶ partial pod
//!     │         merge:  additions to the draft, or                       ─▶ conflict
//!     │         check:  would the API server accept it?                  ─▶ invalid_result
//!     ▼
//! decision    the draft as JSON patch, outcome and reason of every template, warnings
//! ```
//!
//! [`review`] knows no clock, no network and no client. The server, every command, the benchmarks and the fuzzers call
//! it, so they cannot disagree. What it depends on is compiled beforehand: [`template`] takes files to checked templates
//! against the [`schema`] of a pod, and [`catalog`] holds those in force.

pub mod admission;
pub mod catalog;
pub mod decision;
mod draft;
mod expression;
mod fragment;
mod inject;
pub mod load;
mod names;
mod object;
mod quantity;
pub mod response;
pub mod rules;
mod schema;
pub mod template;
mod text;
pub mod yaml;

pub use inject::{Selection, refuse_unread, review, select};
