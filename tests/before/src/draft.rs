//! The pod as it will be: what was there, untouched, and what was added to it.
//!
//! Nothing is opened that nobody asks for. Each list and object that is opened remembers which of its entries are new,
//! so the patch is read off the finished draft, in one walk and without a comparison.

use std::borrow::Cow;
use std::collections::HashMap;

use serde::{Serialize, Serializer};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::decision::Patch;
use crate::fragment::{View, write_json};
use crate::object::{self, Object};
use crate::schema::{Schema, Type};

/// A value of the draft.
#[derive(Clone, Debug)]
pub(crate) enum Node<'a> {
    /// The pod's, unopened.
    Raw(&'a RawValue),
    /// A template's, unopened.
    View(View<'a>),
    /// An annotation of ours.
    Value(Value),
    Object(Vec<(Cow<'a, str>, Entry<'a>)>),
    List(Vec<Entry<'a>>),
}

/// A value and whether it is new.
#[derive(Clone, Debug)]
pub(crate) struct Entry<'a> {
    pub(crate) node: Node<'a>,
    pub(crate) change: Change,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Change {
    /// It is the pod's.
    None,
    Added,
    /// Added to the end of the init containers: what goes before them goes before this.
    Appended,
    /// Added behind a container that its template names.
    Attached,
    Replaced,
}

impl<'a> Entry<'a> {
    pub(crate) fn existing(node: Node<'a>) -> Entry<'a> {
        Entry { node, change: Change::None }
    }

    pub(crate) fn added(node: Node<'a>) -> Entry<'a> {
        Entry { node, change: Change::Added }
    }

    /// Whether it comes from a template.
    pub(crate) fn is_ours(&self) -> bool {
        self.change != Change::None
    }

    /// Whether this is an object of that name.
    pub(crate) fn is_named(&self, wanted: &str) -> bool {
        self.node.text_of("name").is_some_and(|name| name == wanted)
    }

    /// Replaces the value. What this draft itself added is still new to the pod.
    pub(crate) fn replace(&mut self, node: Node<'a>) {
        self.node = node;
        if self.change == Change::None {
            self.change = Change::Replaced;
        }
    }
}

impl<'a> Node<'a> {
    /// The members of an object, opened; `None` if this is no object.
    pub(crate) fn members(&mut self) -> Option<&mut Vec<(Cow<'a, str>, Entry<'a>)>> {
        let members = match self {
            Node::Raw(raw) => Object::parse(raw).map(|object| opened(&object)),
            Node::View(view) if view.is_object() => {
                Some(view.members().map(|(name, view)| (name.into(), Entry::existing(Node::View(view)))).collect())
            }
            _ => None,
        };
        if let Some(members) = members {
            *self = Node::Object(members);
        }
        if let Node::Object(members) = self { Some(members) } else { None }
    }

    /// The items of a list, opened; `None` if this is no list.
    pub(crate) fn items(&mut self) -> Option<&mut Vec<Entry<'a>>> {
        let items = match self {
            Node::Raw(raw) => match object::objects(raw) {
                Some(objects) => {
                    Some(objects.iter().map(|object| Entry::existing(Node::Object(opened(object)))).collect())
                }
                None => {
                    object::list(raw).map(|raws| raws.into_iter().map(|raw| Entry::existing(Node::Raw(raw))).collect())
                }
            },
            Node::View(view) if view.is_list() => {
                Some(view.items().map(|view| Entry::existing(Node::View(view))).collect())
            }
            _ => None,
        };
        if let Some(items) = items {
            *self = Node::List(items);
        }
        if let Node::List(items) = self { Some(items) } else { None }
    }

    /// A member that is there and not `null`.
    pub(crate) fn member(&mut self, name: &str) -> Option<&mut Entry<'a>> {
        let members = self.members()?;
        let at = members.iter().rposition(|(member, _)| member == name)?;
        Some(&mut members[at].1).filter(|entry| !entry.node.is_null())
    }

    /// A member, added if need be. `None` if this is no object.
    pub(crate) fn member_or(&mut self, name: &'a str, empty: Node<'a>) -> Option<&mut Entry<'a>> {
        if self.member(name).is_none() {
            self.add(name, empty);
        }
        self.member(name)
    }

    /// Adds a member to an object that has none of its name, or `null`.
    pub(crate) fn add(&mut self, name: &'a str, node: Node<'a>) {
        if let Some(members) = self.members() {
            members.push((name.into(), Entry::added(node)));
        }
    }

    pub(crate) fn string(&self) -> Option<Cow<'_, str>> {
        match self {
            Node::Raw(raw) => object::string(raw),
            Node::View(view) => view.as_str().map(Cow::Borrowed),
            Node::Value(value) => value.as_str().map(Cow::Borrowed),
            Node::Object(_) | Node::List(_) => None,
        }
    }

    /// Whether this is an opened object or list with nothing in it.
    pub(crate) fn is_empty(&self) -> bool {
        match self {
            Node::Object(members) => members.is_empty(),
            Node::List(items) => items.is_empty(),
            Node::Raw(_) | Node::View(_) | Node::Value(_) => false,
        }
    }

    fn is_null(&self) -> bool {
        matches!(self, Node::Raw(raw) if raw.get() == "null")
    }

    /// The text of a member that is text or a number, without opening the object for it.
    pub(crate) fn text_of(&self, name: &str) -> Option<Cow<'_, str>> {
        match self {
            Node::Raw(raw) => {
                let raw = object::member(raw, name).filter(|raw| raw.get() != "null")?;
                object::string(raw).or(Some(Cow::Borrowed(raw.get())))
            }
            Node::View(view) => as_text(view.get(name)?.value()?).map(Cow::Owned),
            Node::Object(members) => {
                let (_, Entry { node, .. }) = members.iter().rfind(|(member, _)| member == name)?;
                node.string().or_else(|| as_text(&node.to_value()).map(Cow::Owned))
            }
            Node::List(_) | Node::Value(_) => None,
        }
    }

    /// How an item of a list is named in a pointer.
    pub(crate) fn key(&self, keys: &[String]) -> String {
        if keys.is_empty() { key_of(&self.to_value(), keys) } else { join_keys(keys, |key| self.text_of(key)) }
    }

    pub(crate) fn to_value(&self) -> Value {
        match self {
            Node::Raw(raw) => serde_json::from_str(raw.get()).unwrap_or_default(),
            Node::View(view) => view.to_value(),
            Node::Value(value) => value.clone(),
            Node::Object(members) => {
                members.iter().map(|(name, entry)| (name.clone().into_owned(), entry.node.to_value())).collect()
            }
            Node::List(items) => items.iter().map(|entry| entry.node.to_value()).collect(),
        }
    }

    /// Whether all of this is in the draft, by its recorded pointers.
    pub(crate) fn holds<'p>(&mut self, pointers: impl IntoIterator<Item = &'p String>) -> bool {
        let paths: Vec<_> = pointers.into_iter().map(|pointer| tokens(pointer)).collect();
        self.holds_paths(&Schema::get().pod, paths.iter().map(Vec::as_slice).collect())
    }

    /// Each list and object on the way is gone through once, however many paths lead into it.
    fn holds_paths(&mut self, kind: &Type, paths: Vec<&[String]>) -> bool {
        let mut wanted: HashMap<&str, Vec<&[String]>> = HashMap::new();
        for (token, rest) in paths.into_iter().filter_map(<[String]>::split_first) {
            wanted.entry(token).or_default().push(rest);
        }
        if wanted.is_empty() {
            return true;
        }
        let mut holds = |token: &str, entry: &mut Entry<'a>| {
            let Some(paths) = wanted.remove(token) else { return true };
            kind.child(token).is_some_and(|inner| entry.node.holds_paths(inner, paths))
        };
        let all = match kind {
            Type::List { keys, .. } => {
                let mut items = self.items().into_iter().flatten();
                items.all(|entry| holds(&entry.node.key(keys), entry))
            }
            _ => {
                let members = self.members().into_iter().flatten().rev();
                members.filter(|(_, entry)| !entry.node.is_null()).all(|(name, entry)| holds(name, entry))
            }
        };
        all && wanted.is_empty()
    }

    /// The changes of the draft, parents before children and each list from its beginning, so that every index is right
    /// when its operation is applied.
    ///
    /// The API server answers 500, even under `failurePolicy: Ignore`, when a patch does not apply. So there are no
    /// `test` operations.
    pub(crate) fn patch(&self) -> Patch {
        // Most patches fit.
        let mut json = Vec::with_capacity(4096);
        let mut operations = 0;
        self.operations(&mut String::new(), &mut operations, &mut json);
        json.extend_from_slice(if operations == 0 { b"[]" } else { b"]" });
        Patch { operations, json: String::from_utf8(json).expect("JSON is UTF-8") }
    }

    fn operations(&self, path: &mut String, operations: &mut usize, json: &mut Vec<u8>) {
        let length = path.len();
        match self {
            Node::Object(members) => {
                for (name, entry) in members.iter().filter(|(_, entry)| entry.may_be_changed()) {
                    push_token(path, name);
                    entry.operations(path, operations, json);
                    path.truncate(length);
                }
            }
            Node::List(items) => {
                for (at, entry) in items.iter().enumerate().filter(|(_, entry)| entry.may_be_changed()) {
                    push_token(path, &at.to_string());
                    entry.operations(path, operations, json);
                    path.truncate(length);
                }
            }
            Node::Raw(_) | Node::View(_) | Node::Value(_) => {}
        }
    }
}

impl Entry<'_> {
    fn may_be_changed(&self) -> bool {
        self.is_ours() || matches!(self.node, Node::Object(_) | Node::List(_))
    }

    fn operations(&self, path: &mut String, operations: &mut usize, json: &mut Vec<u8>) {
        #[derive(Serialize)]
        struct Operation<'a> {
            op: &'static str,
            path: &'a str,
            value: &'a Node<'a>,
        }

        let op = match self.change {
            Change::None => return self.node.operations(path, operations, json),
            Change::Added | Change::Appended | Change::Attached => "add",
            Change::Replaced => "replace",
        };
        json.push(if *operations == 0 { b'[' } else { b',' });
        *operations += 1;
        write_json(json, &Operation { op, path, value: &self.node });
    }
}

impl Serialize for Node<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Node::Raw(raw) => raw.serialize(serializer),
            Node::View(view) => view.serialize(serializer),
            Node::Value(value) => value.serialize(serializer),
            Node::Object(members) => serializer.collect_map(members.iter().map(|(name, entry)| (name, &entry.node))),
            Node::List(items) => serializer.collect_seq(items.iter().map(|entry| &entry.node)),
        }
    }
}

/// Members that nothing was added to.
pub(crate) fn opened<'a>(object: &Object<'a>) -> Vec<(Cow<'a, str>, Entry<'a>)> {
    object.members.iter().map(|(name, raw)| (name.clone(), Entry::existing(Node::Raw(raw)))).collect()
}

/// A JSON pointer of these tokens.
pub(crate) fn pointer<'a>(tokens: impl IntoIterator<Item = &'a str>) -> String {
    let mut pointer = String::new();
    tokens.into_iter().for_each(|token| push_token(&mut pointer, token));
    pointer
}

/// RFC 6901.
pub(crate) fn push_token(pointer: &mut String, token: &str) {
    pointer.push('/');
    for character in token.chars() {
        match character {
            '~' => pointer.push_str("~0"),
            '/' => pointer.push_str("~1"),
            other => pointer.push(other),
        }
    }
}

pub(crate) fn tokens(pointer: &str) -> Vec<String> {
    pointer.split('/').skip(1).map(|token| token.replace("~1", "/").replace("~0", "~")).collect()
}

/// How a list's item is named in a pointer: by its key, or by its whole text where Kubernetes gives it none.
pub(crate) fn key_of(item: &Value, keys: &[String]) -> String {
    if !keys.is_empty() {
        return join_keys(keys, |key| as_text(item.get(key)?).map(Cow::Owned));
    }
    // An item of envFrom is known by its source and prefix, as one source can be there with several.
    for source in ["configMapRef", "secretRef"] {
        if let Some(name) = item[source]["name"].as_str() {
            return match item["prefix"].as_str() {
                Some(prefix) if !prefix.is_empty() => format!("{source}/{name}/{prefix}"),
                _ => format!("{source}/{name}"),
            };
        }
    }
    match (item, item["name"].as_str()) {
        (Value::String(text), _) => text.clone(),
        // A sysctl, of which Kubernetes publishes no key.
        (Value::Object(members), Some(name)) if members.len() == 2 && members.contains_key("value") => name.to_owned(),
        _ => {
            // The API server has an order of its own.
            let mut item = item.clone();
            item.sort_all_objects();
            item.to_string()
        }
    }
}

/// The text of a string, or the JSON of anything else but `null`.
fn as_text(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    }
}

/// Whether a value says nothing, so that an API server omits it.
pub(crate) fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(value) => !value,
        Value::Number(_) => false,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(members) => members.is_empty(),
    }
}

/// The values of an item's keys as one text.
pub(crate) fn join_keys<'t>(keys: &[String], text_of: impl Fn(&str) -> Option<Cow<'t, str>>) -> String {
    let part = |key: &String| match text_of(key) {
        Some(text) => as_key(key, &text).to_owned(),
        None if key == "protocol" => "TCP".to_owned(),
        None => String::new(),
    };
    keys.iter().map(part).collect::<Vec<_>>().join("/")
}

/// A key's text as it counts: `/data/` and `/data` are one place.
pub(crate) fn as_key<'t>(key: &str, text: &'t str) -> &'t str {
    match key {
        "mountPath" if text.len() > 1 => text.trim_end_matches('/'),
        _ => text,
    }
}
