//! The way back: a pod without what its status says that templates brought.
//!
//! Anybody can write a status. Nothing is taken out that is not there, and nothing that no template can have added.

use std::collections::HashSet;

use serde_json::Value;
use serde_json::value::RawValue;

use super::path::place_of;
use super::pod::{Pod, too_many_values};
use super::status::{Status, tokens};
use crate::decision::Reason;
use crate::json::Tape;
use crate::names::{OUTCOME, STATUS};
use crate::schema::Schema;
use crate::text::shown;

/// A pod without what was injected into it, and without Pillion's own annotations. What it asks for is left.
#[derive(Debug)]
pub struct Uninjected {
    /// The pod.
    pub pod: Value,
    /// The templates that its status names.
    pub templates: Vec<Recorded>,
}

/// What was recorded of a template and could not be taken back: places such as `containers[app].env[MODE]`.
#[derive(Debug)]
pub struct Recorded {
    /// Its name.
    pub name: String,
    /// Something was added, and is not there.
    pub missing: Vec<String>,
    /// A value of the pod was replaced, and not recorded: the template's is left.
    pub overridden: Vec<String>,
    /// Nothing that is known here can have been added or replaced; what is there is left.
    pub unknown: Vec<String>,
}

/// Takes back what earlier calls did to a pod; nothing if it has no annotation that says so.
///
/// # Errors
///
/// With the reason why it cannot be known what that was.
pub fn uninject(pod: &RawValue) -> Result<Option<Uninjected>, String> {
    let tape = Tape::scan(pod.get()).ok_or_else(too_many_values)?;
    let pod = match Pod::read(tape.root()) {
        Ok(pod) => pod,
        Err(Reason::TooLarge) => return Err(too_many_values()),
        Err(_) => return Ok(None),
    };
    let [written, outcome] = [STATUS, OUTCOME].map(|key| pod.annotation(key));
    if written.is_none() && outcome.is_none() {
        return Ok(None);
    }
    pod.check_size()?;
    let unreadable =
        || format!("the annotation {STATUS} is none that Pillion wrote, so it is not known what was added");
    let recorded: Status<'_> = match &written {
        Some(text) => serde_json::from_str(text).map_err(|_| unreadable())?,
        None => Status::default(),
    };
    let status = Status::parse(written.as_deref(), None);
    if status.templates.len() < recorded.templates.len() {
        return Err(unreadable());
    }
    let (mut tree, _) = pod.tree().ok_or("the containers of the pod are none")?;
    let missing = status.mark(&mut tree, |_, _| false);
    let templates = recorded.templates.iter().zip(&status.templates).map(|(recorded, record)| {
        let known: HashSet<_> = record.places().collect();
        Recorded {
            name: shown(&record.name).into_owned(),
            missing: places(record.added.iter().filter(|place| missing.contains(place.as_str()))),
            overridden: places(&record.overridden),
            unknown: places(recorded.places().filter(|place| !known.contains(place))),
        }
    });
    let templates = templates.collect();
    let pod = tree.original_value(Some(&Schema::get().pod)).unwrap_or_default();
    // Each pod has one of its own.
    if pod["spec"]["containers"].as_array().is_none_or(Vec::is_empty) {
        return Err(format!("the annotation {STATUS} names every container of the pod"));
    }
    Ok(Some(Uninjected { pod, templates }))
}

fn places<'p>(pointers: impl IntoIterator<Item = &'p String>) -> Vec<String> {
    let place = |pointer: &String| place_of(&tokens(pointer).iter().map(String::as_str).collect::<Vec<_>>());
    pointers.into_iter().map(place).collect()
}
