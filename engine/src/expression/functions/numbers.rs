//! Operators of numbers, durations and quantities, and conversions.

use std::cmp::Ordering;
use std::rc::Rc;

use super::arguments::{Arguments, Fault, OVERFLOW, Returned};
use crate::expression::numbers::{format_double, parse_double};
use crate::expression::value::Value;
use crate::quantity::{NoQuantity, Quantity};

pub(super) fn compare<'a>(of: Arguments<'_, 'a>, holds: fn(Ordering) -> bool) -> Returned<'a> {
    match of.values[0].compare(&of.values[1]) {
        Some(order) => Ok(Value::Bool(holds(order))),
        None if matches!(of.values[0], Value::Double(_)) || matches!(of.values[1], Value::Double(_)) => {
            Err(Fault::Failed("what is not a number cannot be compared"))
        }
        None => Err(Fault::Type),
    }
}

pub(super) fn integers<'a>(of: Arguments<'_, 'a>, reckon: fn(i64, i64) -> Option<i64>) -> Returned<'a> {
    reckon(of.int(0)?, of.int(1)?).map(Value::Int).ok_or(OVERFLOW)
}

pub(super) fn not_by_zero<'a>(of: Arguments<'_, 'a>, reckon: fn(i64, i64) -> Option<i64>) -> Returned<'a> {
    if of.int(1)? == 0 { Err(Fault::Failed("division by zero")) } else { integers(of, reckon) }
}

pub(super) fn doubles<'a>(of: Arguments<'_, 'a>, reckon: fn(f64, f64) -> f64) -> Returned<'a> {
    Ok(Value::Double(reckon(of.double(0)?, of.double(1)?)))
}

pub(super) fn durations<'a>(of: Arguments<'_, 'a>, reckon: fn(i64, i64) -> Option<i64>) -> Returned<'a> {
    reckon(of.duration(0)?, of.duration(1)?).map(Value::Duration).ok_or(OVERFLOW)
}

pub(super) fn quantities<'a>(result: Option<Quantity>) -> Returned<'a> {
    result.map(|quantity| Value::Quantity(Rc::new(quantity))).ok_or(Fault::Failed("the quantity has too many digits"))
}

pub(super) fn no_quantity(error: NoQuantity) -> Fault {
    Fault::Failed(match error {
        NoQuantity::Malformed => "quantity() got no quantity such as 500m or 64Mi",
        NoQuantity::TooLarge => "quantity() got more than 10^28 or more than 36 digits",
    })
}

/// A duration in units of so many nanoseconds, rounded as Go rounds it.
pub(super) fn units(nanoseconds: i64, unit: i64) -> f64 {
    (nanoseconds / unit) as f64 + (nanoseconds % unit) as f64 / unit as f64
}

/// A value as `string()` writes it.
pub(super) fn to_text<'a>(of: Arguments<'_, 'a>) -> Returned<'a> {
    Ok(match &of.values[0] {
        Value::String(_) => of.values[0].clone(),
        Value::Bool(value) => Value::text(value.to_string()),
        Value::Int(number) => Value::text(number.to_string()),
        Value::Double(number) => Value::text(format_double(*number)),
        Value::Duration(nanoseconds) => Value::text(format!("{}s", units(*nanoseconds, 1_000_000_000))),
        _ => return Err(Fault::Type),
    })
}

pub(super) fn to_int<'a>(of: Arguments<'_, 'a>) -> Returned<'a> {
    // As Kubernetes, which takes the double next to 2^63 for too large.
    const BEYOND: f64 = i64::MAX as f64;
    match &of.values[0] {
        Value::Int(number) | Value::Duration(number) => Ok(Value::Int(*number)),
        Value::Double(number) if *number > -BEYOND && *number < BEYOND => Ok(Value::Int(*number as i64)),
        Value::Double(_) => Err(OVERFLOW),
        Value::String(text) => {
            text.parse().map(Value::Int).map_err(|_| Fault::Failed("int() got a text that is no integer"))
        }
        _ => Err(Fault::Type),
    }
}

pub(super) fn to_double<'a>(of: Arguments<'_, 'a>) -> Returned<'a> {
    match &of.values[0] {
        Value::Double(number) => Ok(Value::Double(*number)),
        Value::Int(number) => Ok(Value::Double(*number as f64)),
        Value::String(text) => {
            parse_double(text).map(Value::Double).ok_or(Fault::Failed("double() got a text that is no number"))
        }
        _ => Err(Fault::Type),
    }
}

pub(super) fn to_bool<'a>(of: Arguments<'_, 'a>) -> Returned<'a> {
    match &of.values[0] {
        Value::Bool(value) => Ok(Value::Bool(*value)),
        Value::String(text) => match &**text {
            "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(Value::Bool(true)),
            "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(Value::Bool(false)),
            _ => Err(Fault::Failed("bool() got a text that is neither true nor false")),
        },
        _ => Err(Fault::Type),
    }
}
