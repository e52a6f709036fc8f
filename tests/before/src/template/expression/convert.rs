//! JSON to CEL and back.
//!
//! Every JSON integer is an `int`, as in Kubernetes; the crate would make positive ones `uint` and then refuse to add
//! the two.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use kube_cel::cel::Value;
use kube_cel::cel::objects::{Key, Map, OptionalValue};
use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::Failure;

/// How much an evaluation has to work on.
#[derive(Debug, Default)]
pub(super) struct Weight {
    /// The input's JSON text.
    pub(super) bytes: u64,
    /// The items of all lists and the entries of all objects.
    pub(super) items: u64,
}

impl Weight {
    fn count<E: de::Error>(&mut self) -> Result<(), E> {
        self.items += 1;
        if self.items > super::MAX_INPUT_VALUES { Err(E::custom("too many values")) } else { Ok(()) }
    }
}

pub(super) fn from_json(json: &RawValue, weight: &mut Weight) -> Result<Value, Failure> {
    weight.bytes += json.get().len() as u64;
    if weight.bytes > super::MAX_INPUT {
        return Err(Failure::Limit("it works on more than 1 MiB of the pod".into()));
    }
    let mut deserializer = serde_json::Deserializer::from_str(json.get());
    Counting(weight).deserialize(&mut deserializer).map_err(|_| {
        let is_full = weight.items > super::MAX_INPUT_VALUES;
        let message = if is_full {
            format!("it names more than {} values of the pod", super::MAX_INPUT_VALUES)
        } else {
            "it names a value that is nested too deeply".into()
        };
        Failure::Limit(message)
    })
}

pub(super) fn optional(value: Option<Value>) -> Value {
    Value::Opaque(Arc::new(value.map_or_else(OptionalValue::none, OptionalValue::of)))
}

/// A list as it is, and an object's keys, sorted.
pub(super) fn items(value: Value) -> Value {
    let Value::Map(map) = &value else { return value };
    let mut keys: Vec<_> =
        map.map.keys().filter_map(|key| if let Key::String(key) = key { Some(key.clone()) } else { None }).collect();
    keys.sort();
    Value::List(Arc::new(keys.into_iter().map(Value::String).collect()))
}

struct Counting<'a>(&'a mut Weight);

impl<'de> DeserializeSeed<'de> for Counting<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Counting<'_> {
    type Value = Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Int(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(i64::try_from(value).map_or(Value::Float(value as f64), Value::Int))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Value::Float(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(Arc::new(value.to_owned())))
    }

    fn visit_string<E: de::Error>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(Arc::new(value)))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = access.next_element_seed(Counting(self.0))? {
            self.0.count()?;
            items.push(item);
        }
        Ok(Value::List(Arc::new(items)))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut map = HashMap::new();
        while let Some(key) = access.next_key::<String>()? {
            self.0.count()?;
            map.insert(Key::String(Arc::new(key)), access.next_value_seed(Counting(self.0))?);
        }
        Ok(Value::Map(Map { map: Arc::new(map) }))
    }
}

/// A map's entries come out sorted, because the crate keeps them in an order that changes from run to run.
pub(super) fn to_json(value: &Value) -> Result<serde_json::Value, String> {
    Ok(match value {
        Value::Null => serde_json::Value::Null,
        Value::Bool(value) => (*value).into(),
        Value::Int(value) => (*value).into(),
        Value::UInt(value) => (*value).into(),
        Value::Float(value) => serde_json::Number::from_f64(*value).ok_or("it gives infinity or NaN")?.into(),
        Value::String(value) => value.as_str().into(),
        Value::List(items) => items.iter().map(to_json).collect::<Result<_, _>>()?,
        Value::Map(map) => {
            let mut members = Vec::with_capacity(map.map.len());
            for (key, value) in map.map.iter() {
                let Key::String(key) = key else {
                    return Err("it gives an object with a key that is no string".into());
                };
                members.push((key.as_str().to_owned(), to_json(value)?));
            }
            members.sort_by(|(one, _), (other, _)| one.cmp(other));
            serde_json::Value::Object(members.into_iter().collect())
        }
        Value::Opaque(opaque) => match opaque.downcast_ref::<OptionalValue>() {
            Some(optional) => optional.value().map_or(Ok(serde_json::Value::Null), to_json)?,
            None => return Err("it gives a value that JSON does not know, such as a quantity".into()),
        },
        _ => return Err("it gives a value that JSON does not know".into()),
    })
}
