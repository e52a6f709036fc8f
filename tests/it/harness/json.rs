//! JSON whose scalars keep their text, so that `1e3` is not `1000.0` and `"\u0061"` is not `"a"`.

use std::fmt;

use serde_json::Value;

#[derive(Clone, PartialEq)]
pub(crate) enum Json {
    /// Anything without parts, as it is written.
    Scalar(String),
    List(Vec<Json>),
    Object(Vec<(String, Json)>),
}

impl Json {
    pub(crate) fn null() -> Json {
        Json::Scalar("null".into())
    }

    pub(crate) fn is_null(&self) -> bool {
        *self == Json::null()
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Json> {
        self.members().iter().find(|(member, _)| member == name).map(|(_, value)| value)
    }

    /// The members of an object; none of anything else.
    pub(crate) fn members(&self) -> &[(String, Json)] {
        if let Json::Object(members) = self { members } else { &[] }
    }

    /// The items of a list; none of anything else.
    pub(crate) fn items(&self) -> &[Json] {
        if let Json::List(items) = self { items } else { &[] }
    }

    /// The text of a string.
    pub(crate) fn string(&self) -> Option<String> {
        serde_json::from_str(&self.to_string()).ok()
    }

    /// Every value in it, itself first. A value's own parts come behind it.
    pub(crate) fn visit(&mut self, see: &mut impl FnMut(&mut Json)) {
        see(self);
        match self {
            Json::Scalar(_) => {}
            Json::List(items) => items.iter_mut().for_each(|item| item.visit(see)),
            Json::Object(members) => members.iter_mut().for_each(|(_, value)| value.visit(see)),
        }
    }

    /// Applies a JSON Patch, of which `add` and `replace` are all that Pillion writes.
    #[track_caller]
    pub(crate) fn apply(&mut self, patch: &Value) {
        for operation in patch.as_array().expect("a patch is a list") {
            let path = operation["path"].as_str().expect("a path is text");
            let tokens = path.split('/').skip(1).map(|token| token.replace("~1", "/").replace("~0", "~"));
            let adds = match operation["op"].as_str() {
                Some("add") => true,
                Some("replace") => false,
                other => panic!("an operation {other:?}"),
            };
            self.put(&tokens.collect::<Vec<_>>(), (&operation["value"]).into(), adds);
        }
    }

    #[track_caller]
    fn put(&mut self, path: &[String], value: Json, adds: bool) {
        let (token, rest) = path.split_first().expect("no operation is about the whole pod");
        let part = match self {
            Json::Object(members) => match members.iter_mut().find(|(name, _)| name == token) {
                Some((_, part)) => part,
                None => {
                    assert!(rest.is_empty() && adds, "there is no {token}");
                    return members.push((token.clone(), value));
                }
            },
            Json::List(items) => {
                let at: usize = token.parse().expect("a list's items are numbered");
                if rest.is_empty() && adds {
                    return items.insert(at, value);
                }
                &mut items[at]
            }
            Json::Scalar(text) => panic!("there is no {token} in {text}"),
        };
        if rest.is_empty() { *part = value } else { part.put(rest, value, adds) }
    }
}

impl From<&Value> for Json {
    fn from(value: &Value) -> Json {
        match value {
            Value::Array(items) => Json::List(items.iter().map(Json::from).collect()),
            Value::Object(members) => {
                Json::Object(members.iter().map(|(name, value)| (name.clone(), value.into())).collect())
            }
            scalar => Json::Scalar(scalar.to_string()),
        }
    }
}

impl fmt::Display for Json {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let separator = |at| if at == 0 { "" } else { "," };
        match self {
            Json::Scalar(text) => formatter.write_str(text),
            Json::List(items) => {
                formatter.write_str("[")?;
                for (at, item) in items.iter().enumerate() {
                    write!(formatter, "{}{item}", separator(at))?;
                }
                formatter.write_str("]")
            }
            Json::Object(members) => {
                formatter.write_str("{")?;
                for (at, (name, value)) in members.iter().enumerate() {
                    write!(formatter, "{}{}:{value}", separator(at), Value::from(name.as_str()))?;
                }
                formatter.write_str("}")
            }
        }
    }
}

/// What a failed test prints can be given to `pillion inject` as it is.
impl fmt::Debug for Json {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}
