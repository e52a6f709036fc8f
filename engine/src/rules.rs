//! What an API server accepts in a pod, and what Pillion accepts in a template.
//!
//! Each rule stands once. One [`walk`] goes over a value and its type and judges types, enumerations and required fields,
//! and whatever the rows of a [`table`] say of a single part. What parts keep or break together is [`across`]. All of them go
//! over a [`View`], be it a template as it was written, with its positions, or a pod with what templates brought: only that
//! is judged then, and only as far as it varies from pod to pod.

pub(crate) mod across;
mod amounts;
mod annotations;
mod host;
pub mod outline;
pub(crate) mod parts;
pub(crate) mod ports;
pub(crate) mod qos;
pub(crate) mod references;
pub(crate) mod report;
mod reserve;
pub(crate) mod row;
mod scheduling;
pub mod security;
mod special;
pub(crate) mod table;
mod volumes;
pub(crate) mod walk;
mod windows;

use std::collections::HashSet;

use serde_json::value::RawValue;

use self::parts::Parts;
pub use self::report::Violation;
use self::report::{Place, Report};
use self::row::Row;
use self::walk::Walk;
use crate::json::{Tape, View};
use crate::schema::Schema;
use crate::text::Few;

/// Whose rules they are.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Group {
    /// Kubernetes' rules about a single part of a pod.
    Parts,
    /// Its rules about parts together.
    Across,
    /// What Pillion asks of a template beside that.
    Template,
    /// What the *baseline* level of Pod Security asks.
    Baseline,
    /// What its *restricted* level asks beside that.
    Restricted,
}

/// A rule as the page of rules shows it.
#[derive(Debug)]
pub struct Description {
    /// Whose it is.
    pub group: Group,
    /// What it is about, such as `Container.image`; empty for a rule about parts together.
    pub of: String,
    /// What must be.
    pub must: String,
}

fn tables() -> [(Group, &'static [Row]); 4] {
    [
        (Group::Parts, table::API),
        (Group::Template, table::TEMPLATE),
        (Group::Baseline, security::BASELINE),
        (Group::Restricted, security::RESTRICTED),
    ]
}

/// The number of a rule about a single part.
fn number_of(row: &Row) -> usize {
    let mut rows = tables().into_iter().flat_map(|(_, rows)| rows);
    rows.position(|other| std::ptr::eq(other, row)).expect("every row is of a table")
}

/// The number of a rule about parts together, by its place among them.
fn number_of_across(at: usize) -> usize {
    tables().iter().map(|(_, rows)| rows.len()).sum::<usize>() + at
}

/// Every rule.
pub fn descriptions() -> Vec<Description> {
    let of_rows = tables().into_iter().flat_map(|(group, rows)| {
        rows.iter().map(move |row| Description { group, of: row.of(), must: row.must.sentence() })
    });
    let across = across::ACROSS.iter();
    let across =
        across.map(|(must, _)| Description { group: Group::Across, of: String::new(), must: (*must).to_owned() });
    of_rows.chain(across).collect()
}

/// Everything in a whole pod that an API server would refuse, as far as the rules know.
pub fn violations(pod: &RawValue) -> Vec<Violation> {
    // What is no JSON that can be read has nothing that a pod must have.
    let tape = Tape::scan(pod.get());
    let pod = tape.as_ref().map_or(View::NOTHING, |tape| View::whole(tape.root()));
    let mut report = Report::default();
    let mut walk = Walk::new(&table::OF_PODS, &mut report);
    for (name, kind) in [("metadata", Schema::get().metadata), ("spec", Schema::get().spec)] {
        match pod.get(name) {
            Some(part) => walk.value(part, Schema::get().pod().field(name), &Place::root(name)),
            None => walk.object(View::NOTHING, kind, &Place::root(name)),
        }
    }
    across::judge(&mut report, &Parts::of(pod, View::NOTHING, None), &Place::root(""));
    report.into_violations()
}

/// What an API server lets pass in a pod with what templates brought, and what most likely is not what anybody wants.
pub(crate) fn warnings(spec: View<'_>) -> Vec<String> {
    [ports::port_clashes(spec), references::late_references_of_pod(spec), across::endless_containers(spec)]
        .into_iter()
        .flat_map(|warnings| Few::from_iter(warnings).into_sentences())
        .collect()
}

/// What is wrong with what templates brought into a pod. Volumes that are `hidden` count as not there.
pub(crate) fn violations_of_templates(pod: View<'_>, hidden: &HashSet<String>) -> Vec<Violation> {
    let mut report = Report::default();
    Walk::new(&table::OF_TEMPLATES, &mut report).partial_pod(pod, &Place::root(""));
    across::judge(&mut report, &Parts::of(pod, View::NOTHING, Some(hidden)), &Place::root(""));
    let mut violations = report.into_violations();
    // As everywhere in messages about a pod.
    for violation in &mut violations {
        if let Some(place) = violation.place.strip_prefix("spec.") {
            violation.place = place.to_owned();
        }
    }
    violations
}
