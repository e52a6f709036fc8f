//! Whether the pod has what a template adds, after an API server has seen it.

use std::collections::HashMap;

use serde_json::Value;

use crate::draft::{is_empty, key_of};
use crate::quantity::parse_quantity;
use crate::schema::{Scalar, ScalarKind, Type};

/// Whether an existing value holds all of a wanted one. The API server has filled in defaults by then, rewritten
/// quantities (`0.5` is `500m`) and omitted empty values.
pub(super) fn contains(existing: &Value, wanted: &Value, kind: &'static Type) -> bool {
    match (kind, existing, wanted) {
        (Type::Scalar(Scalar { kind: ScalarKind::Quantity, .. }), Value::String(existing), wanted) => {
            let wanted = wanted.as_str().map_or_else(|| wanted.as_f64(), parse_quantity);
            wanted.is_some() && wanted == parse_quantity(existing)
        }
        (Type::Object(object), Value::Object(existing), Value::Object(wanted)) => {
            wanted.iter().all(|(field, wanted)| match (existing.get(field), object.fields.get(field)) {
                (Some(existing), Some(kind)) => contains(existing, wanted, kind),
                _ => is_empty(wanted),
            })
        }
        (Type::Map(kind), Value::Object(existing), Value::Object(wanted)) => wanted
            .iter()
            .all(|(key, wanted)| existing.get(key).is_some_and(|existing| contains(existing, wanted, kind))),
        (Type::List { item, keys }, Value::Array(existing), Value::Array(wanted)) if keys.is_empty() => {
            existing.len() == wanted.len()
                && existing.iter().zip(wanted).all(|(existing, wanted)| contains(existing, wanted, item))
        }
        (Type::List { item, keys }, Value::Array(existing), Value::Array(wanted)) => {
            let existing: HashMap<String, &Value> = existing.iter().map(|it| (key_of(it, keys), it)).collect();
            wanted.iter().all(|wanted| {
                existing.get(&key_of(wanted, keys)).is_some_and(|existing| contains(existing, wanted, item))
            })
        }
        (_, existing, wanted) => existing == wanted,
    }
}
