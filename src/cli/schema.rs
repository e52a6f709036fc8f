//! `pillion schema`: a JSON Schema of templates, for editors and portals.
//!
//! It is of draft-07: yaml-language-server, which most editors ask, knows no later one, and everyone else knows that. A value
//! and the expression that may stand for it are one schema of two types, `["integer", "string"]` with a pattern for the
//! string, and no `anyOf`: editors complete inside of it, and name the one thing that is wrong.
//!
//! What the schema refuses, the engine refuses. It cannot be the other way round: the schema knows nothing of what
//! expressions give, nor of fields that must fit together. Two things it refuses alone: a field of a newer Kubernetes, which
//! the engine passes on with a warning, because it is more likely misspelt; and labels and annotations of the template itself
//! that are no strings, because an API server refuses them.

mod format;
mod pod;

use serde_json::{Map, Value, json};

use super::output::print;

/// Prints the schema.
pub(crate) fn run() -> anyhow::Result<()> {
    let mut schema = format::template();
    schema["definitions"] = pod::definitions();
    print(format_args!("{schema:#}\n"))
}

/// A text with an expression in it: `${{`, which no `$` makes a literal one.
const HOLE: &str = r"(^|[^$])\$\{\{";

/// A DNS label, as the names of templates, containers and volumes are.
const LABEL: &str = "[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?";

/// Sets members of an object.
fn set(object: &mut Value, members: Value) {
    if let (Value::Object(object), Value::Object(members)) = (object, members) {
        object.extend(members);
    }
}

/// A field that must not be there, with what an editor says of it.
fn nothing(message: &str) -> Value {
    // `null` counts as not there.
    json!({"type": "null", "description": message, "errorMessage": message, "doNotSuggest": true})
}

/// An object with these fields and no other.
fn object(properties: Map<String, Value>) -> Value {
    json!({"type": ["object", "null"], "properties": properties, "additionalProperties": false})
}
