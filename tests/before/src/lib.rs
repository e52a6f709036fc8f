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
mod inject;
mod object;
mod quantity;
pub mod schema;
pub mod security;
pub mod template;
mod validation;
pub mod yaml;

pub use inject::{Selection, refuse_unread, review, select};

/// The name that is nearest to one that is none, if one is near enough to be meant.
pub(crate) fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    // Nobody mistypes something as long as that, and comparing takes the product of both lengths.
    const LONGEST: usize = 128;
    let length = name.chars().count();
    let distance = |candidate: &str| {
        if candidate.eq_ignore_ascii_case(name) {
            return Some(0);
        }
        let other = candidate.chars().count();
        let (shorter, difference) = (length.min(other), length.abs_diff(other));
        // The beginning of a word, or a word with something behind it: `int` for `integer`.
        if shorter >= 3 && (candidate.starts_with(name) || name.starts_with(candidate)) {
            return Some(difference);
        }
        // No name is nearer than the difference of the lengths.
        let near = 1 + shorter / 4;
        if difference > near { None } else { Some(strsim::osa_distance(name, candidate)).filter(|it| *it <= near) }
    };
    known
        .filter(|candidate| name.len().max(candidate.len()) <= LONGEST)
        .filter_map(|candidate| Some((distance(candidate)?, candidate)))
        .min()
        .map(|(_, candidate)| candidate)
}

/// The end of a message about a wrong name.
pub(crate) fn did_you_mean(near: Option<&str>) -> String {
    near.map(|name| format!("; did you mean {name}?")).unwrap_or_default()
}

/// What somebody else wrote, short enough for a message and without control characters.
pub(crate) fn shown(text: &str) -> String {
    const LONGEST: usize = 64;
    let mut shown: String = text.chars().take(LONGEST).flat_map(char::escape_debug).collect();
    if text.chars().count() > LONGEST {
        shown.push('…');
    }
    shown
}

/// The beginning of an expression, in one line.
pub(crate) fn excerpt(source: &str) -> String {
    const LONGEST: usize = 160;
    let source = one_line(source);
    match source.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &source[..end]),
        None => source,
    }
}

/// A message of several lines as one.
pub(crate) fn one_line(message: &str) -> String {
    message.split_whitespace().collect::<Vec<_>>().join(" ")
}
