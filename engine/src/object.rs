//! JSON that stays raw until someone asks for it.
//!
//! A pod is only ever looked into where a question leads, so numbers, order, and fields that nobody here has heard of
//! are untouched by construction, and most of a large pod is never parsed.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// A JSON object whose members stay raw.
#[derive(Clone, Debug, Default)]
pub(crate) struct Object<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'a> Object<'a> {
    /// The members of a JSON object; nothing if it is no object.
    pub(crate) fn parse(json: &'a RawValue) -> Option<Object<'a>> {
        // `null` is how Go writes an object that is not there.
        if json.get() == "null" { Some(Object::default()) } else { serde_json::from_str(json.get()).ok() }
    }

    /// A member. Of two with one name, Go takes the last, and so does this.
    pub(crate) fn get(&self, name: &str) -> Option<&'a RawValue> {
        self.0.iter().rev().find(|(key, _)| key == name).map(|&(_, value)| value).filter(|value| value.get() != "null")
    }

    /// A member that is an object; empty when it is not there.
    pub(crate) fn object(&self, name: &str) -> Option<Object<'a>> {
        self.get(name).map_or_else(|| Some(Object::default()), Object::parse)
    }

    /// A member that is a string.
    pub(crate) fn string(&self, name: &str) -> Option<Cow<'a, str>> {
        string(self.get(name)?)
    }

    /// Every member, in order.
    pub(crate) fn members(&self) -> impl Iterator<Item = (&str, &'a RawValue)> {
        self.0.iter().map(|(key, value)| (key.as_ref(), *value))
    }

    /// Every member, in order.
    pub(crate) fn into_members(self) -> Vec<(Cow<'a, str>, &'a RawValue)> {
        self.0
    }
}

/// The text of a JSON string; nothing if it is no string.
pub(crate) fn string(json: &RawValue) -> Option<Cow<'_, str>> {
    let text = json.get();
    // Most strings have no escapes, and then their text is their value.
    match text.strip_prefix('"')?.strip_suffix('"')? {
        plain if !plain.contains('\\') => Some(Cow::Borrowed(plain)),
        _ => serde_json::from_str(text).ok().map(Cow::Owned),
    }
}

/// The items of a JSON list; nothing if it is no list.
pub(crate) fn list(json: &RawValue) -> Option<Vec<&RawValue>> {
    if json.get() == "null" { Some(Vec::new()) } else { serde_json::from_str(json.get()).ok() }
}

impl<'de> Deserialize<'de> for Object<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;

        impl<'de> Visitor<'de> for Members {
            type Value = Object<'de>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::with_capacity(16);
                while let Some((Name(name), value)) = access.next_entry()? {
                    members.push((name, value));
                }
                Ok(Object(members))
            }
        }

        deserializer.deserialize_map(Members)
    }
}

/// serde borrows a `Cow<str>` only inside a struct that says so.
#[derive(Deserialize)]
#[serde(transparent)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(json: &str) -> &RawValue {
        serde_json::from_str(json).expect("JSON")
    }

    #[test]
    fn members_keep_their_text() {
        let object = Object::parse(raw(r#"{"a": 1.50, "b": {"c" : null}, "\u0064": "e\n"}"#)).expect("an object");
        assert_eq!(object.get("a").map(RawValue::get), Some("1.50"));
        assert_eq!(object.get("b").map(RawValue::get), Some(r#"{"c" : null}"#));
        assert_eq!(object.string("d").as_deref(), Some("e\n"));
    }

    #[test]
    fn null_is_not_there() {
        let object = Object::parse(raw(r#"{"a": null}"#)).expect("an object");
        assert!(object.get("a").is_none());
        assert_eq!(object.object("a").map(|object| object.members().count()), Some(0));
    }

    #[test]
    fn what_is_no_object_is_nothing() {
        assert!(Object::parse(raw("[1]")).is_none());
        assert!(list(raw("{}")).is_none());
        assert!(string(raw("1")).is_none());
    }
}
