//! Values against the types that their places in a pod have.

use serde_json::{Number, Value};

use crate::quantity::parse_quantity;
use crate::schema::{Object, Scalar, ScalarKind, Schema, Type};
use crate::{did_you_mean, nearest, shown};

/// The longest value that a hole may take in a pod. A pod has at most 1.5 MB in etcd.
const MAX_TEXT: usize = 256 << 10;

/// The most items of a list, or members of an object, that a hole may give: each is looked for among those of the pod.
const MAX_ITEMS: usize = 1000;

/// Where a value is not what its type asks for, and what that is.
pub(super) struct Mismatch {
    pub(super) path: String,
    pub(super) message: String,
}

/// A value as its type has it. What an expression gave is formatted where only text can stand; what was written must
/// already be right, because kubectl would refuse it too.
pub(super) fn conform(value: Value, kind: &'static Type, evaluated: bool) -> Result<Value, Mismatch> {
    let wrong = |message: String| Err(Mismatch { path: String::new(), message });
    let items = value.as_array().map(Vec::len).or(value.as_object().map(serde_json::Map::len)).unwrap_or_default();
    if items > MAX_ITEMS {
        return wrong(format!("would have {items} items, and {MAX_ITEMS} are allowed"));
    }
    match (kind, value) {
        (Type::Scalar(scalar), value) => {
            conform_scalar(value, scalar, evaluated).or_else(|value| wrong(mismatch(scalar, &value, evaluated)))
        }
        (Type::List { item, .. }, Value::Array(items)) => items
            .into_iter()
            .filter(|value| !value.is_null())
            .enumerate()
            .map(|(at, value)| conform(value, item, evaluated).map_err(|mismatch| mismatch.under(&format!("[{at}]"))))
            .collect::<Result<_, _>>()
            .map(Value::Array),
        // What is null is not there, at any depth.
        (Type::Map { value: kind }, Value::Object(members)) => members
            .into_iter()
            .filter(|(_, value)| !value.is_null())
            .map(|(name, value)| match conform(value, kind, evaluated) {
                Ok(value) => Ok((name, value)),
                Err(mismatch) => Err(mismatch.under(&format!("[{}]", shown(&name)))),
            })
            .collect::<Result<_, _>>()
            .map(Value::Object),
        // What nulls leave empty is not there either.
        (Type::Ref { .. }, Value::Object(members)) if !members.is_empty() && members.values().all(Value::is_null) => {
            Ok(Value::Null)
        }
        (Type::Ref { name: object }, Value::Object(members)) => {
            let schema = Schema::get().object(object);
            if let Some(required) =
                schema.required.iter().find(|required| members.get(*required).is_none_or(Value::is_null))
            {
                return wrong(format!("lacks {required}"));
            }
            if let Some(blank) = schema.required.iter().find(|it| is_no_choice(schema, it, members[*it].as_str())) {
                return wrong(format!("has {blank}, which must not be empty"));
            }
            let mut conforming = serde_json::Map::new();
            for (name, value) in members.into_iter().filter(|(_, value)| !value.is_null()) {
                let Some(kind) = schema.fields.get(&name) else {
                    let hint = did_you_mean(schema.nearest(&name));
                    let article = article(object);
                    return wrong(format!("has {}, which is not a field of {article}{hint}", shown(&name)));
                };
                let value = conform(value, kind, evaluated).map_err(|mismatch| mismatch.under(&format!(".{name}")))?;
                if !value.is_null() {
                    conforming.insert(name, value);
                }
            }
            Ok(Value::Object(conforming))
        }
        (kind, value) => wrong(format!("must be {}, not {}", expected(kind), article_of(&value))),
    }
}

/// Whether a text is the empty one where one of a few words is required.
pub(super) fn is_no_choice(object: &Object, field: &str, text: Option<&str>) -> bool {
    let is_choice = matches!(object.fields.get(field), Some(Type::Scalar(scalar)) if !scalar.allowed.is_empty());
    text == Some("") && is_choice && object.required.iter().any(|required| required == field)
}

impl Mismatch {
    fn under(self, parent: &str) -> Mismatch {
        Mismatch { path: format!("{parent}{}", self.path), ..self }
    }
}

fn conform_scalar(value: Value, scalar: &Scalar, evaluated: bool) -> Result<Value, Value> {
    let value = match (scalar.kind, value) {
        (ScalarKind::String | ScalarKind::IntOrString, Value::String(text)) if text.len() > MAX_TEXT => {
            return Err(Value::String(text));
        }
        (ScalarKind::String, value @ (Value::Number(_) | Value::Bool(_))) if evaluated => value.to_string().into(),
        (ScalarKind::Int32 | ScalarKind::Int64 | ScalarKind::IntOrString, Value::Number(number)) if evaluated => {
            Value::Number(whole(&number).unwrap_or(number))
        }
        (_, value) => value,
    };
    let right = match (scalar.kind, &value) {
        // Nothing is what the API server fills in its default for.
        (ScalarKind::String, Value::String(text)) => {
            text.is_empty() || scalar.allowed.is_empty() || scalar.allowed.contains(text)
        }
        (ScalarKind::Int32, Value::Number(number)) => {
            number.as_i64().is_some_and(|number| i32::try_from(number).is_ok())
        }
        (ScalarKind::Int64, Value::Number(number)) => number.is_i64(),
        (ScalarKind::Boolean, Value::Bool(_)) | (ScalarKind::Any, _) => true,
        (ScalarKind::Quantity, Value::String(text)) => parse_quantity(text).is_some(),
        (ScalarKind::Quantity, Value::Number(_)) => true,
        (ScalarKind::IntOrString, Value::String(_)) => true,
        (ScalarKind::IntOrString, Value::Number(number)) => {
            number.as_i64().is_some_and(|number| i32::try_from(number).is_ok())
        }
        _ => false,
    };
    if right { Ok(value) } else { Err(value) }
}

/// A whole number is one however it was reckoned: `80.0` is 80.
fn whole(number: &Number) -> Option<Number> {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    let float = number.as_f64().filter(|float| number.is_f64() && float.fract() == 0.0 && float.abs() <= EXACT)?;
    Some((float as i64).into())
}

/// What an expression gave is not repeated: it may be a secret.
fn mismatch(scalar: &Scalar, value: &Value, evaluated: bool) -> String {
    match value {
        Value::String(text) if text.len() > MAX_TEXT => format!("may have {MAX_TEXT} bytes"),
        Value::String(text) if !scalar.allowed.is_empty() => {
            let hint = did_you_mean(nearest(text, scalar.allowed.iter().map(String::as_str)));
            let allowed: Vec<_> = scalar.allowed.iter().filter(|word| !word.is_empty()).map(String::as_str).collect();
            format!("must be one of {}{hint}", allowed.join(", "))
        }
        Value::Number(_) | Value::Bool(_) if scalar.kind == ScalarKind::String => {
            format!("must be a string, not {value}; quote it")
        }
        Value::Number(_) if matches!(scalar.kind, ScalarKind::Int32 | ScalarKind::IntOrString) => {
            "must be an integer of 32 bits".into()
        }
        Value::String(text) if !evaluated && text.contains("{") && text.len() < 100 => {
            format!("must be {}, not \"{text}\"; an expression is written ${{{{ }}}}", scalar_name(scalar.kind))
        }
        Value::String(text) if !evaluated => format!("must be {}, not \"{}\"", scalar_name(scalar.kind), shown(text)),
        _ => format!("must be {}, not {}", scalar_name(scalar.kind), article_of(value)),
    }
}

pub(super) fn expected(kind: &Type) -> &'static str {
    match kind {
        Type::Scalar(scalar) => scalar_name(scalar.kind),
        Type::Ref { .. } | Type::Map { .. } => "an object",
        Type::List { .. } => "a list",
    }
}

fn scalar_name(kind: ScalarKind) -> &'static str {
    match kind {
        ScalarKind::String => "a string",
        ScalarKind::Int32 | ScalarKind::Int64 => "an integer",
        ScalarKind::Boolean => "true or false",
        ScalarKind::Quantity => "a quantity such as 500m or 64Mi",
        ScalarKind::IntOrString => "an integer or a string",
        ScalarKind::Any => "a value",
    }
}

/// What a value is: `a string`.
pub(crate) fn article_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

/// `a Container`, `an EnvVar`.
pub(super) fn article(name: &str) -> String {
    let article = if name.starts_with(['A', 'E', 'I', 'O', 'U']) { "an" } else { "a" };
    format!("{article} {name}")
}
