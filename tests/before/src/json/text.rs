//! The members and items of JSON text, each of which stays text.

use std::borrow::Cow;
use std::fmt;
use std::iter;
use std::marker::PhantomData;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// The most values that a pod may hold, objects and lists included: each takes up to some hundred bytes once it is opened,
/// however short its text. The largest pods in use have some ten thousand.
pub(crate) const MAX_VALUES: usize = 1 << 17;

/// Whether some texts hold no more than [`MAX_VALUES`] values, all together.
pub(crate) fn are_bounded<'a>(texts: impl Iterator<Item = &'a RawValue> + Clone) -> bool {
    // The shortest value takes two bytes, so most pods need no counting.
    texts.clone().map(|json| json.get().len() / 2 + 1).sum::<usize>() <= MAX_VALUES
        || texts.map(count_values).sum::<usize>() <= MAX_VALUES
}

/// How many values a text holds. An empty object or list counts as two.
fn count_values(json: &RawValue) -> usize {
    let (mut values, mut in_string, mut escaped) = (1, false, false);
    for byte in json.get().bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => in_string = !in_string,
            b',' | b'[' | b'{' if !in_string => values += 1,
            _ => {}
        }
    }
    values
}

/// A JSON object whose members stay raw.
#[derive(Clone, Debug, Default)]
pub(crate) struct Object<'a> {
    /// In the order of the text, repeated names included.
    pub(crate) members: Vec<(Cow<'a, str>, &'a RawValue)>,
}

impl<'a> Object<'a> {
    /// The members of a JSON object; nothing if it is no object, or has too many of them.
    pub(crate) fn parse(json: &'a RawValue) -> Option<Object<'a>> {
        // `null` is how Go writes an object that is not there.
        if json.get() == "null" {
            return Some(Object::default());
        }
        serde_json::from_str::<Lenient<Object<'a>>>(json.get()).ok()?.0
    }

    /// A member. Of two with one name, Go takes the last, and so does this.
    pub(crate) fn get(&self, name: &str) -> Option<&'a RawValue> {
        self.members.iter().rfind(|(key, _)| key == name).map(|&(_, value)| value).filter(|value| value.get() != "null")
    }

    /// A member that is an object; empty when it is not there.
    pub(crate) fn object(&self, name: &str) -> Option<Object<'a>> {
        self.get(name).map_or_else(|| Some(Object::default()), Object::parse)
    }

    /// A member that is a string.
    pub(crate) fn string(&self, name: &str) -> Option<Cow<'a, str>> {
        string(self.get(name)?)
    }
}

/// One member of a JSON object, when nothing else of it matters.
pub(crate) fn member<'a>(json: &'a RawValue, name: &str) -> Option<&'a RawValue> {
    struct Member<'n>(&'n str);

    impl<'de> Visitor<'de> for Member<'_> {
        type Value = Option<&'de RawValue>;

        fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
            formatter.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Self::Value, A::Error> {
            let mut found = None;
            while let Some(Name(name)) = access.next_key()? {
                if name == self.0 {
                    found = Some(access.next_value()?);
                } else {
                    access.next_value::<IgnoredAny>()?;
                }
            }
            Ok(found)
        }
    }

    serde_json::Deserializer::from_str(json.get()).deserialize_map(Member(name)).ok()?
}

/// A value by the names that lead to it.
pub(crate) fn find<'a>(json: &'a RawValue, path: &[String]) -> Option<&'a RawValue> {
    path.iter().try_fold(json, |json, name| member(json, name).filter(|value| value.get() != "null"))
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

/// The items of a JSON list of objects, opened in one pass; nothing if it is something else.
pub(crate) fn objects(json: &RawValue) -> Option<Vec<Object<'_>>> {
    let items: Vec<Lenient<Object<'_>>> = serde_json::from_str(json.get()).ok()?;
    items.into_iter().map(|Lenient(item)| item).collect()
}

/// The items of a JSON list; nothing if it is no list, or too long a one.
pub(crate) fn list(json: &RawValue) -> Option<Vec<&RawValue>> {
    match json.get() {
        "null" => Some(Vec::new()),
        text => are_bounded(iter::once(json)).then(|| serde_json::from_str(text).ok()).flatten(),
    }
}

/// An object of Kubernetes whose `metadata` and `spec` were opened in the same pass over the text.
#[derive(Clone, Debug, Default)]
pub(crate) struct Opened<'a> {
    pub(crate) metadata: Option<Object<'a>>,
    pub(crate) spec: Option<Object<'a>>,
    /// The other members.
    pub(crate) rest: Vec<(Cow<'a, str>, &'a RawValue)>,
}

/// What is made of an object, or nothing where something else stands in its place: then the rest can still be read.
#[derive(Clone, Debug, Default)]
pub(crate) struct Lenient<T>(pub(crate) Option<T>);

/// What can be read from the members of an object.
pub(crate) trait FromMembers<'de>: Sized {
    /// Nothing if a member that matters has another shape than it should.
    fn from_members<A: MapAccess<'de>>(access: A) -> Result<Option<Self>, A::Error>;
}

impl<'de: 'a, 'a> FromMembers<'de> for Object<'a> {
    fn from_members<A: MapAccess<'de>>(mut access: A) -> Result<Option<Self>, A::Error> {
        let mut members = Vec::new();
        while let Some((Name(name), value)) = access.next_entry()? {
            if members.len() == MAX_VALUES {
                while access.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                return Ok(None);
            }
            members.push((name, value));
        }
        Ok(Some(Object { members }))
    }
}

impl<'de: 'a, 'a> FromMembers<'de> for Opened<'a> {
    fn from_members<A: MapAccess<'de>>(mut access: A) -> Result<Option<Self>, A::Error> {
        let mut opened = Opened::default();
        let mut is_shaped = true;
        while let Some(Name(name)) = access.next_key()? {
            match &*name {
                "metadata" => {
                    opened.metadata = access.next_value::<Lenient<_>>()?.0;
                    is_shaped &= opened.metadata.is_some();
                }
                "spec" => {
                    opened.spec = access.next_value::<Lenient<_>>()?.0;
                    is_shaped &= opened.spec.is_some();
                }
                _ if opened.rest.len() == MAX_VALUES => {
                    access.next_value::<IgnoredAny>()?;
                    is_shaped = false;
                }
                _ => opened.rest.push((name, access.next_value()?)),
            }
        }
        Ok(is_shaped.then_some(opened))
    }
}

/// Visits values that are no objects.
macro_rules! nothing_of {
    ($($visit:ident($scalar:ty)),*) => {
        $(fn $visit<E>(self, _: $scalar) -> Result<Self::Value, E> {
            Ok(Lenient(None))
        })*
    };
}

impl<'de, T: FromMembers<'de>> Deserialize<'de> for Lenient<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members<T>(PhantomData<T>);

        impl<'de, T: FromMembers<'de>> Visitor<'de> for Members<T> {
            type Value = Lenient<T>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("any JSON")
            }

            fn visit_map<A: MapAccess<'de>>(self, access: A) -> Result<Self::Value, A::Error> {
                T::from_members(access).map(Lenient)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Self::Value, A::Error> {
                while access.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Lenient(None))
            }

            fn visit_unit<E>(self) -> Result<Self::Value, E> {
                Ok(Lenient(None))
            }

            nothing_of!(visit_bool(bool), visit_i64(i64), visit_u64(u64), visit_f64(f64), visit_str(&str));
        }

        deserializer.deserialize_any(Members(PhantomData))
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
        assert_eq!(object.object("a").map(|object| object.members.len()), Some(0));
    }

    #[test]
    fn what_is_no_object_is_nothing() {
        assert!(Object::parse(raw("[1]")).is_none());
        assert!(list(raw("{}")).is_none());
        assert!(string(raw("1")).is_none());
    }
}
