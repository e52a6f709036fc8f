//! Values, from JSON and back. Every JSON integer is an `int`, as in Kubernetes.

use std::cmp::Ordering;
use std::fmt;
use std::ops::Deref;
use std::rc::Rc;

use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

use super::functions::Fault;
use super::meter::Meter;
use crate::quantity::Quantity;

/// The bytes of JSON that one evaluation may read.
const MAX_INPUT: u64 = 1 << 20;
/// The values in them: each takes some forty bytes, however short its text.
const MAX_INPUT_VALUES: u64 = 1 << 16;

/// A value. Texts of the input and of the source stay where they are.
#[derive(Clone, Debug, Default)]
pub(super) enum Value<'a> {
    #[default]
    Null,
    Bool(bool),
    Int(i64),
    Double(f64),
    String(Text<'a>),
    List(Rc<Vec<Value<'a>>>),
    Map(Rc<Map<'a>>),
    Optional(Option<Rc<Value<'a>>>),
    /// Nanoseconds.
    Duration(i64),
    Quantity(Rc<Quantity>),
}

/// A text. To clone it copies nothing: a pod's text is compared with each item of a list.
#[derive(Clone, Debug)]
pub(super) enum Text<'a> {
    Borrowed(&'a str),
    Shared(Rc<str>),
}

impl Deref for Text<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        match self {
            Text::Borrowed(text) => text,
            Text::Shared(text) => text,
        }
    }
}

impl<'a> From<&'a str> for Text<'a> {
    fn from(text: &'a str) -> Text<'a> {
        Text::Borrowed(text)
    }
}

impl From<String> for Text<'_> {
    fn from(text: String) -> Self {
        Text::Shared(text.into())
    }
}

/// Entries, sorted by their keys, which are strings, integers or booleans. Kubernetes has no order; this one is as good as
/// any, and always the same.
#[derive(Clone, Debug, Default)]
pub(super) struct Map<'a>(Vec<(Value<'a>, Value<'a>)>);

impl<'a> Map<'a> {
    /// Of entries with the same key the last one counts.
    pub(super) fn new(mut entries: Vec<(Value<'a>, Value<'a>)>) -> Map<'a> {
        entries.reverse();
        entries.sort_by(|(one, _), (other, _)| compare_keys(one, other));
        entries.dedup_by(|(later, _), (first, _)| compare_keys(later, first) == Ordering::Equal);
        Map(entries)
    }

    pub(super) fn entries(&self) -> &[(Value<'a>, Value<'a>)] {
        &self.0
    }

    pub(super) fn get(&self, key: &Value<'_>) -> Option<&Value<'a>> {
        // A whole double finds the integer that it equals.
        let key = match *key {
            Value::Double(number) => &Value::Int(whole(number)?),
            ref key @ (Value::String(_) | Value::Int(_) | Value::Bool(_)) => key,
            _ => return None,
        };
        let at = self.0.binary_search_by(|(known, _)| compare_keys(known, key)).ok()?;
        Some(&self.0[at].1)
    }

    pub(super) fn field(&self, name: &str) -> Option<&Value<'a>> {
        self.get(&Value::text(name))
    }
}

fn compare_keys(one: &Value<'_>, other: &Value<'_>) -> Ordering {
    match (one, other) {
        (Value::String(one), Value::String(other)) => (**one).cmp(other),
        (Value::Int(one), Value::Int(other)) => one.cmp(other),
        (Value::Bool(one), Value::Bool(other)) => one.cmp(other),
        (one, other) => one.rank().cmp(&other.rank()),
    }
}

/// Whether two values are the same key of an object.
pub(super) fn is_same_key(one: &Value<'_>, other: &Value<'_>) -> bool {
    compare_keys(one, other) == Ordering::Equal
}

/// The integer that a double is, if it is one.
fn whole(number: f64) -> Option<i64> {
    let integer = number as i64;
    (integer as f64 == number && integer != i64::MAX).then_some(integer)
}

impl<'a> Value<'a> {
    pub(super) fn text(text: impl Into<Text<'a>>) -> Value<'a> {
        Value::String(text.into())
    }

    pub(super) fn list(items: Vec<Value<'a>>) -> Value<'a> {
        Value::List(Rc::new(items))
    }

    pub(super) fn some(value: Value<'a>) -> Value<'a> {
        Value::Optional(Some(Rc::new(value)))
    }

    /// An optional value that holds this, or nothing.
    pub(super) fn optional(value: Option<Value<'a>>) -> Value<'a> {
        Value::Optional(value.map(Rc::new))
    }

    /// The integer that it is, or that it equals.
    pub(super) fn as_whole(&self) -> Option<i64> {
        match *self {
            Value::Int(number) => Some(number),
            Value::Double(number) => whole(number),
            _ => None,
        }
    }

    /// The bytes of a text, the items of a list or the entries of an object.
    pub(super) fn length(&self) -> usize {
        match self {
            Value::String(text) => text.len(),
            Value::List(items) => items.len(),
            Value::Map(map) => map.0.len(),
            _ => 0,
        }
    }

    fn rank(&self) -> u8 {
        match self {
            Value::Bool(_) => 0,
            Value::Int(_) => 1,
            _ => 2,
        }
    }

    /// Whether two values are equal. Values of different types are not, but numbers are compared as numbers.
    ///
    /// # Errors
    ///
    /// A quantity before a value of another type, as in cel-go, and what takes too many steps.
    pub(super) fn equals(&self, other: &Value<'_>, meter: &Meter) -> Result<bool, Fault> {
        meter.step(1)?;
        // Inside of lists and maps cel-go takes such an error for equality.
        let differ = |one: &Value<'_>, other: &Value<'_>| match one.equals(other, meter) {
            Ok(equal) => Ok(!equal),
            Err(Fault::Type) => Ok(false),
            Err(fault) => Err(fault),
        };
        Ok(match (self, other) {
            (Value::Null, Value::Null) => true,
            (Value::Bool(one), Value::Bool(other)) => one == other,
            (Value::String(one), Value::String(other)) => {
                meter.step(one.len().min(other.len()) / 16)?;
                **one == **other
            }
            (Value::Duration(one), Value::Duration(other)) => one == other,
            // cel-go does not know a sum on the right side for a quantity.
            (Value::Quantity(one), Value::Quantity(other)) if !other.is_sum => one.cmp(other) == Ordering::Equal,
            (Value::Quantity(_), other) if !matches!(other, Value::Null) => return Err(Fault::Type),
            (Value::Int(_) | Value::Double(_), Value::Int(_) | Value::Double(_)) => {
                self.compare(other) == Some(Ordering::Equal)
            }
            (Value::List(one), Value::List(other)) if one.len() == other.len() => {
                for (one, other) in one.iter().zip(other.iter()) {
                    if differ(one, other)? {
                        return Ok(false);
                    }
                }
                true
            }
            (Value::Map(one), Value::Map(other)) if one.0.len() == other.0.len() => {
                for (key, value) in &one.0 {
                    let Some(found) = other.get(key) else { return Ok(false) };
                    if differ(value, found)? {
                        return Ok(false);
                    }
                }
                true
            }
            (Value::Optional(Some(one)), Value::Optional(Some(other))) => return one.equals(other, meter),
            (Value::Optional(None), Value::Optional(None)) => true,
            _ => false,
        })
    }

    /// The order of two values that have one. Nothing for those of different types, and for what is not a number.
    pub(super) fn compare(&self, other: &Value<'_>) -> Option<Ordering> {
        match (self, other) {
            (Value::Bool(one), Value::Bool(other)) => Some(one.cmp(other)),
            (Value::Int(one), Value::Int(other)) | (Value::Duration(one), Value::Duration(other)) => {
                Some(one.cmp(other))
            }
            (Value::String(one), Value::String(other)) => Some((**one).cmp(other)),
            (Value::Double(one), Value::Double(other)) => one.partial_cmp(other),
            (Value::Int(one), Value::Double(other)) => compare_numbers(*one, *other),
            (Value::Double(one), Value::Int(other)) => compare_numbers(*other, *one).map(Ordering::reverse),
            _ => None,
        }
    }
}

/// An integer against a double. Beyond 64 bits a double is larger or smaller than every integer.
fn compare_numbers(integer: i64, double: f64) -> Option<Ordering> {
    const BEYOND: f64 = i64::MAX as f64;
    match double {
        _ if double.is_nan() => None,
        _ if double > BEYOND => Some(Ordering::Less),
        _ if double < -BEYOND => Some(Ordering::Greater),
        _ => (integer as f64).partial_cmp(&double),
    }
}

/// How much an evaluation has to work on.
#[derive(Debug, Default)]
pub(super) struct Weight {
    /// The input's JSON text.
    pub(super) bytes: u64,
    /// The items of all lists and the entries of all objects.
    pub(super) items: u64,
}

/// The value of a JSON text, or why it is too large.
pub(super) fn from_json<'a>(json: &'a str, weight: &mut Weight) -> Result<Value<'a>, String> {
    weight.bytes += json.len() as u64;
    if weight.bytes > MAX_INPUT {
        return Err("it works on more than 1 MiB of the pod".into());
    }
    let value = weight.deserialize(&mut serde_json::Deserializer::from_str(json));
    value.map_err(|_| {
        if weight.items > MAX_INPUT_VALUES {
            format!("it names more than {MAX_INPUT_VALUES} values of the pod")
        } else {
            "it names a value that is nested too deeply".into()
        }
    })
}

impl Weight {
    fn count<E: de::Error>(&mut self) -> Result<(), E> {
        self.items += 1;
        if self.items > MAX_INPUT_VALUES { Err(E::custom("too many values")) } else { Ok(()) }
    }
}

/// Makes a value of JSON, and counts its items.
impl<'de> DeserializeSeed<'de> for &mut Weight {
    type Value = Value<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value<'de>, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for &mut Weight {
    type Value = Value<'de>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value<'de>, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value<'de>, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value<'de>, E> {
        Ok(Value::Int(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value<'de>, E> {
        Ok(i64::try_from(value).map_or(Value::Double(value as f64), Value::Int))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value<'de>, E> {
        Ok(Value::Double(value))
    }

    fn visit_borrowed_str<E>(self, value: &'de str) -> Result<Value<'de>, E> {
        Ok(Value::text(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value<'de>, E> {
        Ok(Value::text(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Value<'de>, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = access.next_element_seed(&mut *self)? {
            self.count()?;
            items.push(item);
        }
        Ok(Value::list(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value<'de>, A::Error> {
        let mut entries = Vec::new();
        while let Some(key) = access.next_key_seed(&mut *self)? {
            self.count()?;
            entries.push((key, access.next_value_seed(&mut *self)?));
        }
        Ok(Value::Map(Rc::new(Map::new(entries))))
    }
}

/// The JSON of a value. A double that is a whole number is written as one: JSON has one kind of number.
pub(super) fn to_json(value: &Value<'_>, meter: &Meter) -> Result<serde_json::Value, Fault> {
    meter.step(1)?;
    Ok(match value {
        Value::Null | Value::Optional(None) => serde_json::Value::Null,
        Value::Bool(value) => (*value).into(),
        Value::Int(value) => (*value).into(),
        Value::Double(value) => match whole(*value) {
            Some(integer) if integer.unsigned_abs() < 1 << 53 => integer.into(),
            _ => serde_json::Number::from_f64(*value).ok_or(Fault::Failed("it gives infinity or NaN"))?.into(),
        },
        Value::String(value) => {
            meter.bytes(value.len())?;
            (**value).into()
        }
        Value::List(items) => {
            meter.items(items.len())?;
            items.iter().map(|item| to_json(item, meter)).collect::<Result<_, _>>()?
        }
        Value::Map(map) => {
            meter.items(map.entries().len())?;
            let members = map.entries().iter().map(|(key, value)| match key {
                Value::String(key) => Ok((key.to_string(), to_json(value, meter)?)),
                _ => Err(Fault::Failed("it gives an object with a key that is no string")),
            });
            serde_json::Value::Object(members.collect::<Result<_, _>>()?)
        }
        Value::Optional(Some(value)) => to_json(value, meter)?,
        Value::Duration(_) => {
            return Err(Fault::Failed(
                "it gives a duration, which JSON does not know: write string(…) or .getSeconds()",
            ));
        }
        Value::Quantity(_) => {
            return Err(Fault::Failed(
                "it gives a quantity, which JSON does not know: write .asInteger() or .asApproximateFloat()",
            ));
        }
    })
}
