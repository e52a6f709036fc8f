//! Functions of lists.

use std::cmp::Ordering;

use super::arguments::{Arguments, Fault, Returned};
use crate::expression::meter::Meter;
use crate::expression::value::Value;

/// A place in a list, or -1.
pub(super) fn place<'a>(at: Option<usize>) -> Value<'a> {
    Value::Int(at.map_or(-1, |at| at as i64))
}

/// Where the first item stands that equals a value.
pub(super) fn position<'v, 'a: 'v>(
    items: impl Iterator<Item = &'v Value<'a>>,
    wanted: &Value<'_>,
    meter: &Meter,
) -> Result<Option<usize>, Fault> {
    for (at, item) in items.enumerate() {
        match item.equals(wanted, meter) {
            Ok(true) => return Ok(Some(at)),
            Ok(false) | Err(Fault::Type) => {}
            Err(fault) => return Err(fault),
        }
    }
    Ok(None)
}

/// `!=`: true where `==` fails, as in cel-go.
pub(super) fn differ<'a>(of: Arguments<'_, 'a>) -> Returned<'a> {
    match of.values[0].equals(&of.values[1], of.meter) {
        Ok(equal) => Ok(Value::Bool(!equal)),
        Err(Fault::Type) => Ok(Value::Bool(true)),
        Err(fault) => Err(fault),
    }
}

pub(super) fn sum<'a>(
    of: Arguments<'_, 'a>,
    zero: Value<'a>,
    add: fn(Arguments<'_, 'a>) -> Returned<'a>,
) -> Returned<'a> {
    let meter = of.meter;
    of.list(0)?.iter().try_fold(zero, |sum, item| add(Arguments { values: &[sum, item.clone()], meter }))
}

/// Whether values of its type have an order.
fn is_ordered(value: &Value<'_>) -> bool {
    matches!(value, Value::Bool(_) | Value::Int(_) | Value::Double(_) | Value::String(_) | Value::Duration(_))
}

/// The largest item if `wanted` is `Less`, else the smallest. What cannot be compared with it is passed over, as in Kubernetes.
pub(super) fn extreme<'a>(items: &[Value<'a>], wanted: Ordering) -> Returned<'a> {
    let (mut best, rest) = items.split_first().ok_or(Fault::Failed("min() and max() got an empty list"))?;
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

pub(super) fn is_sorted<'a>(items: &[Value<'a>]) -> Returned<'a> {
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

pub(super) fn sort<'a>(items: &[Value<'a>]) -> Returned<'a> {
    let alike = |one: &Value<'_>, other: &Value<'_>| std::mem::discriminant(one) == std::mem::discriminant(other);
    if items.windows(2).any(|pair| !alike(&pair[0], &pair[1])) {
        return Err(Fault::Failed("sort() got values of different types"));
    }
    // Kubernetes gives these some order or other.
    if items.iter().any(|item| matches!(item, Value::Double(number) if number.is_nan())) {
        return Err(Fault::Failed("sort() got what is not a number"));
    }
    let mut sorted = items.to_vec();
    sorted.sort_by(|one, other| one.compare(other).unwrap_or(Ordering::Equal));
    Ok(Value::list(sorted))
}

pub(super) fn slice<'a>(items: &[Value<'a>], begin: i64, end: i64) -> Returned<'a> {
    let range = usize::try_from(begin).ok().zip(usize::try_from(end).ok());
    let slice = range.and_then(|(begin, end)| items.get(begin..end));
    slice.map(|items| Value::list(items.to_vec())).ok_or(Fault::Failed("slice() is beyond the end of the list"))
}

pub(super) fn flatten<'a>(items: &[Value<'a>], depth: i64, meter: &Meter) -> Result<Vec<Value<'a>>, Fault> {
    if depth < 0 {
        return Err(Fault::Failed("flatten() got a negative depth"));
    }
    meter.items(items.len())?;
    let mut flat = Vec::with_capacity(items.len());
    for item in items {
        match item {
            Value::List(inner) if depth > 0 => flat.extend(flatten(inner, depth - 1, meter)?),
            other => flat.push(other.clone()),
        }
    }
    Ok(flat)
}

pub(super) fn size<'a>(of: Arguments<'_, 'a>) -> Returned<'a> {
    let size = match &of.values[0] {
        Value::String(text) => text.chars().count(),
        Value::List(items) => items.len(),
        Value::Map(map) => map.entries().len(),
        _ => return Err(Fault::Type),
    };
    Ok(Value::Int(size as i64))
}
