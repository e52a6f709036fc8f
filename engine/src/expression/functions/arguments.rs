//! What a function is given, and how it fails.

use crate::expression::meter::Meter;
use crate::expression::value::{Map, Value};
use crate::quantity::Quantity;

/// Why a function gave no value. It shows none: they may be a pod's secrets.
#[derive(Clone, Copy, Debug)]
pub(in crate::expression) enum Fault {
    /// It does not take values of these types.
    Type,
    Failed(&'static str),
    /// It would do more than an evaluation may.
    Limit(&'static str),
}

pub(in crate::expression) type Returned<'a> = Result<Value<'a>, Fault>;

pub(super) const OVERFLOW: Fault = Fault::Failed("the result does not fit into 64 bits");

/// The values that a function is given. What it builds is counted.
#[derive(Clone, Copy)]
pub(in crate::expression) struct Arguments<'v, 'a> {
    pub(in crate::expression) values: &'v [Value<'a>],
    pub(in crate::expression) meter: &'v Meter,
}

impl<'v, 'a> Arguments<'v, 'a> {
    pub(super) fn text(&self, at: usize) -> Result<&'v str, Fault> {
        if let Value::String(text) = &self.values[at] { Ok(text) } else { Err(Fault::Type) }
    }

    pub(super) fn list(&self, at: usize) -> Result<&'v [Value<'a>], Fault> {
        if let Value::List(items) = &self.values[at] { Ok(items) } else { Err(Fault::Type) }
    }

    pub(super) fn map(&self, at: usize) -> Result<&'v Map<'a>, Fault> {
        if let Value::Map(map) = &self.values[at] { Ok(map) } else { Err(Fault::Type) }
    }

    pub(super) fn int(&self, at: usize) -> Result<i64, Fault> {
        if let Value::Int(number) = self.values[at] { Ok(number) } else { Err(Fault::Type) }
    }

    pub(super) fn double(&self, at: usize) -> Result<f64, Fault> {
        if let Value::Double(number) = self.values[at] { Ok(number) } else { Err(Fault::Type) }
    }

    pub(super) fn boolean(&self, at: usize) -> Result<bool, Fault> {
        if let Value::Bool(value) = self.values[at] { Ok(value) } else { Err(Fault::Type) }
    }

    pub(super) fn duration(&self, at: usize) -> Result<i64, Fault> {
        if let Value::Duration(nanoseconds) = self.values[at] { Ok(nanoseconds) } else { Err(Fault::Type) }
    }

    pub(super) fn quantity(&self, at: usize) -> Result<&'v Quantity, Fault> {
        if let Value::Quantity(quantity) = &self.values[at] { Ok(quantity) } else { Err(Fault::Type) }
    }

    /// What an optional value holds.
    pub(super) fn held(&self, at: usize) -> Result<Option<&'v Value<'a>>, Fault> {
        if let Value::Optional(held) = &self.values[at] { Ok(held.as_deref()) } else { Err(Fault::Type) }
    }
}
