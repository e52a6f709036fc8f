//! JSON to CEL and back. Every JSON integer is an `int`, as in Kubernetes; the crate would make positive ones `uint`, which
//! cannot be added to an `int`.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use kube_cel::cel::Value;
use kube_cel::cel::objects::{Key, Map, OptionalValue};
use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

/// The bytes of JSON that one evaluation may read.
const MAX_INPUT: u64 = 1 << 20;
/// The values in them: each takes some hundred bytes, however short its text.
const MAX_INPUT_VALUES: u64 = 1 << 16;

/// How much an evaluation has to work on.
#[derive(Debug, Default)]
pub(super) struct Weight {
    /// The input's JSON text.
    pub(super) bytes: u64,
    /// The items of all lists and the entries of all objects.
    pub(super) items: u64,
}

/// The value of a JSON text, or why it is too large.
pub(super) fn from_json(json: &str, weight: &mut Weight) -> Result<Value, String> {
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

pub(super) fn optional(value: Option<Value>) -> Value {
    Value::Opaque(Arc::new(value.map_or_else(OptionalValue::none, OptionalValue::of)))
}

/// A list, or an object's keys, sorted.
pub(super) fn items(value: Value) -> Value {
    let Value::Map(map) = value else { return value };
    let mut keys: Vec<_> = map.map.keys().collect();
    keys.sort();
    Value::List(Arc::new(keys.into_iter().map(Value::from).collect()))
}

impl Weight {
    fn count<E: de::Error>(&mut self) -> Result<(), E> {
        self.items += 1;
        if self.items > MAX_INPUT_VALUES { Err(E::custom("too many values")) } else { Ok(()) }
    }
}

/// Makes a value of JSON, and counts its items.
impl<'de> DeserializeSeed<'de> for &mut Weight {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for &mut Weight {
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

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = access.next_element_seed(&mut *self)? {
            self.count()?;
            items.push(item);
        }
        Ok(Value::List(Arc::new(items)))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut map = HashMap::new();
        while let Some(key) = access.next_key::<String>()? {
            self.count()?;
            map.insert(Key::String(Arc::new(key)), access.next_value_seed(&mut *self)?);
        }
        Ok(Value::Map(Map { map: Arc::new(map) }))
    }
}

/// The JSON of a value. A map's entries are sorted, as the crate's order is random.
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
            let members = map.map.iter().map(|(key, value)| match key {
                Key::String(key) => Ok((key.to_string(), to_json(value)?)),
                _ => Err("it gives an object with a key that is no string".to_owned()),
            });
            let mut members: serde_json::Map<_, _> = members.collect::<Result<_, _>>()?;
            members.sort_keys();
            members.into()
        }
        Value::Opaque(opaque) => match opaque.downcast_ref::<OptionalValue>() {
            Some(optional) => optional.value().map_or(Ok(serde_json::Value::Null), to_json)?,
            None => return Err("it gives a value that JSON does not know, such as a quantity".into()),
        },
        _ => return Err("it gives a value that JSON does not know".into()),
    })
}
