//! What the pod has against what a template gives, after an API server has seen it.

use std::collections::HashMap;

use serde_json::Value;

use crate::quantity::parse_quantity;
use crate::schema::{Scalar, ScalarKind, Schema, Type};

/// Whether a value holds all that another one asks for. The API server has filled in defaults by then, rewritten
/// quantities (`0.5` is `500m`) and left out empty values.
pub(super) fn covers(there: &Value, asked: &Value, kind: &'static Type) -> bool {
    match (kind, there, asked) {
        (Type::Scalar(Scalar { kind: ScalarKind::Quantity, .. }), Value::String(there), Value::String(asked)) => {
            matches!((parse_quantity(there), parse_quantity(asked)), (Some(one), Some(other)) if one == other)
        }
        (Type::Scalar(Scalar { kind: ScalarKind::Quantity, .. }), Value::String(there), Value::Number(asked)) => {
            parse_quantity(there).is_some_and(|there| Some(there) == asked.as_f64())
        }
        (Type::Ref { name }, Value::Object(there), Value::Object(asked)) => {
            let object = Schema::get().object(name);
            asked.iter().all(|(field, asked)| match (there.get(field), object.fields.get(field)) {
                (Some(there), Some(kind)) => covers(there, asked, kind),
                _ => is_empty(asked),
            })
        }
        (Type::Map { value: kind }, Value::Object(there), Value::Object(asked)) => {
            asked.iter().all(|(key, asked)| there.get(key).is_some_and(|there| covers(there, asked, kind)))
        }
        (Type::List { item, keys }, Value::Array(there), Value::Array(asked)) => {
            let key = |value| crate::inject::status::key_of(value, keys);
            if keys.is_empty() {
                return there.len() == asked.len()
                    && there.iter().zip(asked).all(|(there, asked)| covers(there, asked, item));
            }
            let there: HashMap<String, &Value> = there.iter().map(|there| (key(there), there)).collect();
            asked.iter().all(|asked| there.get(&key(asked)).is_some_and(|there| covers(there, asked, item)))
        }
        (_, there, asked) => there == asked,
    }
}

pub(super) fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(members) => members.is_empty(),
        _ => false,
    }
}
