//! Converts what an expression gave into what its place can hold.

use serde_json::{Number, Value};

use crate::json::View;
use crate::rules::report::{Place, Report};
use crate::schema::{ScalarKind, Type};

/// The longest value that a hole may take in a pod. A pod has at most 1.5 MB in etcd.
const MAX_TEXT: usize = 256 << 10;

/// The most items of a list, or members of an object, that a hole may give: each is looked for among those of the pod.
const MAX_ITEMS: usize = 1000;

/// Formats a value where only text can stand, and omits what is `null`, at any depth. What is too large goes to the
/// report; what is not of the type is not changed.
pub(super) fn normalize(value: Value, kind: &Type, place: &Place<'_>, report: &mut Report) -> Value {
    let items = value.as_array().map(Vec::len).or(value.as_object().map(serde_json::Map::len)).unwrap_or_default();
    if items > MAX_ITEMS {
        let message = format!("would have {items} items, and {MAX_ITEMS} are allowed");
        report.add(place, View::NOTHING, message);
        return Value::Null;
    }
    match (kind, value) {
        (Type::Scalar(scalar), value) => match (scalar.kind, value) {
            (ScalarKind::String | ScalarKind::IntOrString, Value::String(text)) if text.len() > MAX_TEXT => {
                report.add(place, View::NOTHING, format!("may have {MAX_TEXT} bytes"));
                Value::Null
            }
            (ScalarKind::String, value @ (Value::Number(_) | Value::Bool(_))) => value.to_string().into(),
            (ScalarKind::Int32 | ScalarKind::Int64 | ScalarKind::IntOrString, Value::Number(number)) => {
                Value::Number(whole(&number).unwrap_or(number))
            }
            (_, value) => value,
        },
        (Type::List { item, .. }, Value::Array(items)) => {
            let there = items.into_iter().filter(|value| !value.is_null()).enumerate();
            let normalized = there.map(|(at, value)| normalize(value, item, &place.index(at), report));
            normalized.filter(|value| !value.is_null()).collect()
        }
        // What nulls leave empty is not there either.
        (Type::Object(_), Value::Object(members)) if !members.is_empty() && members.values().all(Value::is_null) => {
            Value::Null
        }
        (kind @ (Type::Object(_) | Type::Map(_)), Value::Object(members)) => {
            let there = members.into_iter().filter(|(_, value)| !value.is_null());
            let normalized = there.map(|(name, value)| match kind.child(&name) {
                Some(kind) => {
                    let value = normalize(value, kind, &place.member(&name), report);
                    (name, value)
                }
                None => (name, value),
            });
            normalized.filter(|(_, value)| !value.is_null()).collect()
        }
        (_, value) => value,
    }
}

/// A whole number is one however it was computed: `80.0` is 80.
fn whole(number: &Number) -> Option<Number> {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    let float = number.as_f64().filter(|float| number.is_f64() && float.fract() == 0.0 && float.abs() <= EXACT)?;
    Some((float as i64).into())
}
