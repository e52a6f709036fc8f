//! Functions of lists.

use std::cmp::Ordering;

use super::arguments::{Fault, Outcome, failed};
use crate::expression::value::Value;

pub(super) fn optional<'a>(value: Option<&Value<'a>>) -> Value<'a> {
    value.cloned().map_or(Value::Optional(None), Value::some)
}

/// A place in a list, or -1.
pub(super) fn place<'a>(at: Option<usize>) -> Value<'a> {
    Value::Int(at.map_or(-1, |at| at as i64))
}

pub(super) fn position<'v, 'a: 'v>(
    mut items: impl Iterator<Item = &'v Value<'a>>,
    wanted: &Value<'_>,
) -> Option<usize> {
    items.position(|item| item.equals(wanted) == Some(true))
}

pub(super) fn sum<'a>(items: &[Value<'a>], zero: Value<'a>, add: fn(&[Value<'a>]) -> Outcome<'a>) -> Outcome<'a> {
    items.iter().try_fold(zero, |sum, item| add(&[sum, item.clone()]))
}

/// Whether values of its type have an order.
fn is_ordered(value: &Value<'_>) -> bool {
    matches!(value, Value::Bool(_) | Value::Int(_) | Value::Double(_) | Value::String(_) | Value::Duration(_))
}

/// The largest item if `wanted` is `Less`, else the smallest. What cannot be compared with it is passed over, as in Kubernetes.
pub(super) fn extreme<'a>(items: &[Value<'a>], wanted: Ordering) -> Outcome<'a> {
    let (mut best, rest) = items.split_first().ok_or(failed("min() and max() got an empty list"))?;
    for item in rest {
        if !is_ordered(item) {
            return Err(Fault::Type);
        }
        if best.compare(item) == Some(wanted) {
            best = item;
        }
    }
    Ok(best.clone())
}

pub(super) fn is_sorted<'a>(items: &[Value<'a>]) -> Outcome<'a> {
    for pair in items.windows(2) {
        if !is_ordered(&pair[1]) {
            return Err(Fault::Type);
        }
        if pair[0].compare(&pair[1]) == Some(Ordering::Greater) {
            return Ok(Value::Bool(false));
        }
    }
    Ok(Value::Bool(true))
}

pub(super) fn sort<'a>(items: &[Value<'a>]) -> Outcome<'a> {
    let alike = |one: &Value<'_>, other: &Value<'_>| std::mem::discriminant(one) == std::mem::discriminant(other);
    if items.windows(2).any(|pair| !alike(&pair[0], &pair[1])) {
        return Err(failed("sort() got values of different types"));
    }
    let mut sorted = items.to_vec();
    sorted.sort_by(|one, other| one.compare(other).unwrap_or(Ordering::Equal));
    Ok(Value::list(sorted))
}

pub(super) fn slice<'a>(items: &[Value<'a>], begin: i64, end: i64) -> Outcome<'a> {
    let range = usize::try_from(begin).ok().zip(usize::try_from(end).ok());
    let slice = range.and_then(|(begin, end)| items.get(begin..end));
    slice.map(|items| Value::list(items.to_vec())).ok_or(failed("slice() is beyond the end of the list"))
}

pub(super) fn flatten<'a>(items: &[Value<'a>], depth: i64) -> Result<Vec<Value<'a>>, Fault> {
    if depth < 0 {
        return Err(failed("flatten() got a negative depth"));
    }
    let mut flat = Vec::with_capacity(items.len());
    for item in items {
        match item {
            Value::List(inner) if depth > 0 => flat.extend(flatten(inner, depth - 1)?),
            other => flat.push(other.clone()),
        }
    }
    Ok(flat)
}

pub(super) fn size<'a>(of: &[Value<'a>]) -> Outcome<'a> {
    let size = match &of[0] {
        Value::String(text) => text.chars().count(),
        Value::List(items) => items.len(),
        Value::Map(map) => map.entries().len(),
        _ => return Err(Fault::Type),
    };
    Ok(Value::Int(size as i64))
}
