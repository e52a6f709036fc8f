//! `-o`: how the result is written.

use serde_json::Value;
use similar::TextDiff;

use crate::manifest::{self, Object};

/// What is written to standard output.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, clap::ValueEnum)]
pub(in crate::cli) enum Format {
    /// The documents, those that do not change byte for byte
    #[default]
    Yaml,
    /// The objects, one after the other
    Json,
    /// What changes, as a unified diff
    Diff,
    /// What changes, as a JSON patch for each object, for kubectl patch --type=json
    Patch,
    /// The names of the objects that change, as kubectl writes them
    Name,
}

/// An object that changes.
pub(super) struct Change<'a> {
    /// The object as kubectl names it: `deployment.apps/web`.
    pub(super) name: String,
    /// Its place and name in reports.
    pub(super) subject: &'a str,
    pub(super) before: &'a Value,
    pub(super) after: &'a Value,
}

/// As kubectl names an object.
pub(super) fn name(object: &Object<'_>) -> String {
    let kind = object.kind_in_lower_case();
    let dot = if object.group.is_empty() { "" } else { "." };
    format!("{kind}{dot}{}/{}", object.group, object.name)
}

impl Format {
    /// Writes an object that changes, in a format that is about changes.
    pub(super) fn write_change(self, change: &Change<'_>, output: &mut String) -> anyhow::Result<()> {
        let Change { name, subject, before, after } = change;
        match self {
            Format::Yaml | Format::Json => {}
            Format::Name => *output += &format!("{name}\n"),
            Format::Patch => *output += &format!("{}\n", serde_json::to_string(&json_patch::diff(before, after))?),
            Format::Diff => {
                let [before, after] = [manifest::write(before)?, manifest::write(after)?];
                let diff = TextDiff::from_lines(&before, &after);
                *output += &diff.unified_diff().header(subject, subject).to_string();
            }
        }
        Ok(())
    }
}
