//! What a function is given, and how it fails.

use std::borrow::Cow;

use crate::expression::value::{Map, Value};
use crate::quantity::Quantity;

/// Why a function gave no value. It shows none: they may be a pod's secrets.
#[derive(Clone, Debug)]
pub(in crate::expression) enum Fault {
    /// It does not take values of these types.
    Type,
    Failed(Cow<'static, str>),
}

pub(super) type Outcome<'a> = Result<Value<'a>, Fault>;

pub(super) fn failed(why: &'static str) -> Fault {
    Fault::Failed(why.into())
}

pub(super) fn overflow() -> Fault {
    failed("the result does not fit into 64 bits")
}

pub(super) fn text<'v>(of: &'v [Value<'_>], at: usize) -> Result<&'v str, Fault> {
    if let Value::String(text) = &of[at] { Ok(text) } else { Err(Fault::Type) }
}

pub(super) fn list<'v, 'a>(of: &'v [Value<'a>], at: usize) -> Result<&'v [Value<'a>], Fault> {
    if let Value::List(items) = &of[at] { Ok(items) } else { Err(Fault::Type) }
}

pub(super) fn map<'v, 'a>(of: &'v [Value<'a>], at: usize) -> Result<&'v Map<'a>, Fault> {
    if let Value::Map(map) = &of[at] { Ok(map) } else { Err(Fault::Type) }
}

pub(super) fn int(of: &[Value<'_>], at: usize) -> Result<i64, Fault> {
    if let Value::Int(number) = of[at] { Ok(number) } else { Err(Fault::Type) }
}

pub(super) fn double(of: &[Value<'_>], at: usize) -> Result<f64, Fault> {
    if let Value::Double(number) = of[at] { Ok(number) } else { Err(Fault::Type) }
}

pub(super) fn boolean(of: &[Value<'_>], at: usize) -> Result<bool, Fault> {
    if let Value::Bool(value) = of[at] { Ok(value) } else { Err(Fault::Type) }
}

pub(super) fn duration(of: &[Value<'_>], at: usize) -> Result<i64, Fault> {
    if let Value::Duration(nanoseconds) = of[at] { Ok(nanoseconds) } else { Err(Fault::Type) }
}

pub(super) fn quantity(of: &[Value<'_>], at: usize) -> Result<Quantity, Fault> {
    if let Value::Quantity(quantity) = &of[at] { Ok(**quantity) } else { Err(Fault::Type) }
}

/// What an optional value holds.
pub(super) fn held<'v, 'a>(of: &'v [Value<'a>], at: usize) -> Result<Option<&'v Value<'a>>, Fault> {
    if let Value::Optional(held) = &of[at] { Ok(held.as_deref()) } else { Err(Fault::Type) }
}
