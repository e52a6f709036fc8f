//! The pod as it will be: what was there, untouched, and what was added to it.
//!
//! Nothing is opened that nobody asks for. Each list and object that is opened remembers which of its entries are new,
//! so the patch is read off the finished draft, in one walk and without a comparison.

use std::borrow::Cow;
use std::collections::HashMap;

use serde_json::Value;
use serde_json::value::RawValue;

use super::pod::opened;
use super::status::{Shape, as_key, default_key, escape, key_of, tokens};
use crate::decision::Patch;
use crate::object::{self, Object};
use crate::schema::Type;
use crate::template::fragment::{View, write_json};

/// A value of the draft.
#[derive(Clone, Debug)]
pub(super) enum Node<'a> {
    /// The pod's, unopened.
    Raw(&'a RawValue),
    /// A template's, unopened.
    View(View<'a>),
    /// Made here.
    Value(Value),
    Object(Vec<(Cow<'a, str>, Entry<'a>)>),
    List(Vec<Entry<'a>>),
}

/// A value and whether it is new.
#[derive(Clone, Debug)]
pub(super) struct Entry<'a> {
    pub(super) node: Node<'a>,
    pub(super) change: Change,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Change {
    Kept,
    Added,
    /// Added to the end of the init containers: what goes before them goes before this.
    Appended,
    /// Added behind a container that its template names.
    Attached,
    Replaced,
}

impl<'a> Entry<'a> {
    pub(super) fn added(node: Node<'a>) -> Entry<'a> {
        Entry { node, change: Change::Added }
    }

    /// Whether it comes from a template.
    pub(super) fn is_ours(&self) -> bool {
        self.change != Change::Kept
    }

    pub(super) fn kept(node: Node<'a>) -> Entry<'a> {
        Entry { node, change: Change::Kept }
    }

    /// Whether this is an object of that name.
    pub(super) fn is_named(&self, wanted: &str) -> bool {
        self.node.text_of("name").is_some_and(|name| name == wanted)
    }

    /// Puts another value in the place of this one.
    pub(super) fn replace(&mut self, node: Node<'a>) {
        self.node = node;
        // What this draft itself brought is still new to the pod.
        if self.change == Change::Kept {
            self.change = Change::Replaced;
        }
    }
}

impl<'a> Node<'a> {
    /// The members of an object, opened; `None` if this is no object.
    pub(super) fn members(&mut self) -> Option<&mut Vec<(Cow<'a, str>, Entry<'a>)>> {
        let members = match self {
            Node::Object(_) => None,
            Node::Raw(raw) => Some(
                Object::parse(raw)?
                    .into_members()
                    .into_iter()
                    .map(|(name, raw)| (name, Entry::kept(Node::Raw(raw))))
                    .collect(),
            ),
            Node::View(view) if view.is_object() => {
                Some(view.members().map(|(name, view)| (name.into(), Entry::kept(Node::View(view)))).collect())
            }
            Node::Value(Value::Object(members)) => Some(from_value(members)),
            Node::Value(_) | Node::View(_) | Node::List(_) => return None,
        };
        if let Some(members) = members {
            *self = Node::Object(members);
        }
        match self {
            Node::Object(members) => Some(members),
            _ => None,
        }
    }

    /// The items of a list, opened; `None` if this is no list.
    pub(super) fn items(&mut self) -> Option<&mut Vec<Entry<'a>>> {
        let items = match self {
            Node::List(_) => None,
            Node::Raw(raw) => Some(match object::objects(raw) {
                Some(objects) => objects.iter().map(|members| Entry::kept(Node::Object(opened(members)))).collect(),
                None => object::list(raw)?.into_iter().map(|raw| Entry::kept(Node::Raw(raw))).collect(),
            }),
            Node::View(view) if view.is_list() => {
                Some(view.items().map(|view| Entry::kept(Node::View(view))).collect())
            }
            Node::Value(Value::Array(items)) => {
                Some(items.iter().map(|item| Entry::kept(Node::Value(item.clone()))).collect())
            }
            Node::Value(_) | Node::View(_) | Node::Object(_) => return None,
        };
        if let Some(items) = items {
            *self = Node::List(items);
        }
        match self {
            Node::List(items) => Some(items),
            _ => None,
        }
    }

    /// A member that is there and not `null`.
    pub(super) fn member(&mut self, name: &str) -> Option<&mut Entry<'a>> {
        let members = self.members()?;
        let at = members.iter().rposition(|(member, _)| member == name)?;
        Some(&mut members[at].1).filter(|entry| !entry.node.is_null())
    }

    /// A member, made if need be. `None` if this is no object.
    pub(super) fn member_or(&mut self, name: &str, empty: Node<'a>) -> Option<&mut Entry<'a>> {
        if self.member(name).is_none() {
            let members = self.members()?;
            members.retain(|(member, _)| member != name);
            members.push((Cow::Owned(name.to_owned()), Entry::added(empty)));
        }
        self.member(name)
    }

    pub(super) fn string(&self) -> Option<Cow<'_, str>> {
        match self {
            Node::Raw(raw) => object::string(raw),
            Node::View(view) => view.as_str().map(Cow::Borrowed),
            Node::Value(value) => value.as_str().map(Cow::Borrowed),
            Node::Object(_) | Node::List(_) => None,
        }
    }

    /// Whether this is an opened object or list with nothing in it.
    pub(super) fn is_empty(&self) -> bool {
        match self {
            Node::Object(members) => members.is_empty(),
            Node::List(items) => items.is_empty(),
            Node::Raw(_) | Node::View(_) | Node::Value(_) => false,
        }
    }

    fn is_null(&self) -> bool {
        matches!(self, Node::Raw(raw) if raw.get() == "null")
    }

    /// The text of a member that is text or a number, without opening the object for it. A member that is `null` is not
    /// there.
    pub(super) fn text_of(&self, name: &str) -> Option<Cow<'_, str>> {
        let of_value = |value: &'_ Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        match self {
            Node::Raw(raw) => {
                let raw = object::member(raw, name).filter(|raw| raw.get() != "null")?;
                object::string(raw).or(Some(Cow::Borrowed(raw.get())))
            }
            Node::View(view) => view.get(name)?.value().map(|value| of_value(value).into()),
            Node::Value(value) => value.get(name).filter(|value| !value.is_null()).map(|value| of_value(value).into()),
            Node::Object(members) => {
                let (_, entry) = members.iter().rfind(|(member, _)| member == name)?;
                let text = || Some(entry.node.to_value().to_string().into());
                if entry.node.is_null() { None } else { entry.node.string().or_else(text) }
            }
            Node::List(_) => None,
        }
    }

    /// A member that is there and not `null`, without opening the object for it.
    pub(super) fn value_of(&self, name: &str) -> Option<Value> {
        let value = match self {
            Node::Raw(raw) => serde_json::from_str(object::member(raw, name)?.get()).ok(),
            Node::View(view) => view.get(name).map(View::to_value),
            Node::Value(value) => value.get(name).cloned(),
            Node::Object(members) => {
                members.iter().rfind(|(member, _)| member == name).map(|(_, it)| it.node.to_value())
            }
            Node::List(_) => None,
        };
        value.filter(|value| !value.is_null())
    }

    /// Whether the text of a member holds another text; true if only opening it would tell.
    pub(super) fn mentions(&self, name: &str, text: &str) -> bool {
        match self {
            Node::Object(members) => {
                members.iter().rfind(|(member, _)| member == name).is_some_and(|(_, entry)| match entry.node {
                    Node::Raw(raw) => raw.get().contains(text),
                    _ => true,
                })
            }
            _ => true,
        }
    }

    /// How an item of a list is named in a pointer.
    pub(super) fn key(&self, keys: &[String]) -> String {
        if keys.is_empty() {
            return key_of(&self.to_value(), keys);
        }
        let part = |key: &String| match self.text_of(key) {
            Some(text) => as_key(key, &text).to_owned(),
            None => default_key(key).to_owned(),
        };
        keys.iter().map(part).collect::<Vec<_>>().join("/")
    }

    pub(super) fn to_value(&self) -> Value {
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
    pub(super) fn holds<'p>(&mut self, pointers: impl IntoIterator<Item = &'p String>) -> bool {
        let paths: Vec<_> = pointers.into_iter().map(|pointer| tokens(pointer)).collect();
        self.holds_paths(Shape::Object("Pod"), paths.iter().map(Vec::as_slice).collect())
    }

    /// Each list and object on the way is gone through once, however many paths lead into it.
    fn holds_paths(&mut self, shape: Shape, paths: Vec<&[String]>) -> bool {
        let mut wanted: HashMap<&str, Vec<&[String]>> = HashMap::new();
        for (token, rest) in paths.into_iter().filter_map(<[String]>::split_first) {
            wanted.entry(token).or_default().push(rest);
        }
        if wanted.is_empty() {
            return true;
        }
        let mut holds = |token: &str, entry: &mut Entry<'a>| {
            let Some(paths) = wanted.remove(token) else { return true };
            shape.child(token).is_some_and(|inner| entry.node.holds_paths(inner, paths))
        };
        let all = match shape {
            Shape::Other(Type::List { keys, .. }) => {
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

    /// Appends the JSON.
    fn write(&self, json: &mut Vec<u8>) {
        match self {
            Node::Raw(raw) => json.extend_from_slice(raw.get().as_bytes()),
            Node::View(view) => view.write(json),
            Node::Value(value) => write_json(json, value),
            Node::Object(members) => {
                json.push(b'{');
                for (at, (name, entry)) in members.iter().enumerate() {
                    if at > 0 {
                        json.push(b',');
                    }
                    write_json(json, &**name);
                    json.push(b':');
                    entry.node.write(json);
                }
                json.push(b'}');
            }
            Node::List(items) => {
                json.push(b'[');
                for (at, entry) in items.iter().enumerate() {
                    if at > 0 {
                        json.push(b',');
                    }
                    entry.node.write(json);
                }
                json.push(b']');
            }
        }
    }

    /// The changes of the draft, parents before children and each list from its beginning, so that every index is right
    /// when its operation is applied.
    ///
    /// The API server answers 500, even under `failurePolicy: Ignore`, when a patch does not apply. So there are no
    /// `test` operations.
    pub(super) fn patch(&self) -> Patch {
        // Most patches fit.
        let mut json = Vec::with_capacity(4096);
        let mut operations = 0;
        self.operations(&mut String::new(), &mut operations, &mut json);
        json.extend_from_slice(if operations == 0 { b"[]" } else { b"]" });
        Patch { operations, json: String::from_utf8(json).expect("JSON is UTF-8") }
    }

    fn operations(&self, path: &mut String, operations: &mut usize, json: &mut Vec<u8>) {
        let length = path.len();
        let is_untouched =
            |entry: &Entry<'a>| entry.change == Change::Kept && !matches!(entry.node, Node::Object(_) | Node::List(_));
        let mut visit = |path: &mut String, entry: &Entry<'a>| {
            let op = match entry.change {
                Change::Kept => None,
                Change::Added | Change::Appended | Change::Attached => Some("add"),
                Change::Replaced => Some("replace"),
            };
            match op {
                None => entry.node.operations(path, operations, json),
                Some(op) => {
                    json.extend_from_slice(if *operations == 0 { b"[" } else { b"," });
                    *operations += 1;
                    json.extend_from_slice(br#"{"op":""#);
                    json.extend_from_slice(op.as_bytes());
                    json.extend_from_slice(br#"","path":"#);
                    write_json(json, path.as_str());
                    json.extend_from_slice(br#","value":"#);
                    entry.node.write(json);
                    json.push(b'}');
                }
            }
            path.truncate(length);
        };
        match self {
            Node::Object(members) => {
                for (name, entry) in members.iter().filter(|(_, entry)| !is_untouched(entry)) {
                    path.push('/');
                    escape(name, path);
                    visit(path, entry);
                }
            }
            Node::List(items) => {
                for (at, entry) in items.iter().enumerate().filter(|(_, entry)| !is_untouched(entry)) {
                    path.push('/');
                    path.push_str(&at.to_string());
                    visit(path, entry);
                }
            }
            Node::Raw(_) | Node::View(_) | Node::Value(_) => {}
        }
    }
}

fn from_value<'a>(members: &serde_json::Map<String, Value>) -> Vec<(Cow<'a, str>, Entry<'a>)> {
    members.iter().map(|(name, value)| (name.clone().into(), Entry::kept(Node::Value(value.clone())))).collect()
}
