//! What the rules go through: a template as it was written, a whole pod, or a pod with what templates brought.

use std::borrow::Cow;
use std::fmt;

use serde_json::value::RawValue;
use serde_json::{Number, Value};

use crate::draft::{self, join_keys};
use crate::expression::pieces;
use crate::fragment::View;
use crate::object::{self, Object};
use crate::quantity::parse_quantity;
use crate::text::shown;
use crate::yaml::{self, Position};

/// A value and whether it is to be judged. Cheap to copy.
#[derive(Clone, Copy)]
pub(crate) struct Tree<'t> {
    node: Node<'t>,
    is_new: bool,
}

#[derive(Clone, Copy)]
enum Node<'t> {
    /// A template as it was written.
    Written(&'t yaml::Node),
    /// What a template gives to one pod.
    View(View<'t>),
    /// A part of a pod as it came.
    Text(&'t RawValue),
    /// A part of a pod that was opened.
    Opened(&'t draft::Node<'t>),
}

/// What a value is.
pub(crate) enum Kind<'t> {
    Null,
    Bool(bool),
    Number(Cow<'t, Number>),
    String(Cow<'t, str>),
    List,
    Object,
    /// What stands there holds an expression that was not evaluated: it can be anything, or nothing.
    Unknown,
}

/// A member of an object.
pub(crate) struct Member<'t> {
    pub(crate) name: Cow<'t, str>,
    /// Where its name was written.
    pub(crate) position: Position,
    pub(crate) value: Tree<'t>,
}

impl<'t> Tree<'t> {
    /// A part of a template's file.
    pub(crate) fn written(node: &'t yaml::Node) -> Tree<'t> {
        Tree { node: Node::Written(node), is_new: true }
    }

    /// A pod of somebody else, all of which is judged.
    pub(crate) fn whole(json: &'t RawValue) -> Tree<'t> {
        Tree { node: Node::Text(json), is_new: true }
    }

    /// What a hole gave.
    pub(crate) fn view(view: View<'t>) -> Tree<'t> {
        Tree { node: Node::View(view), is_new: true }
    }

    /// A pod into which templates were merged: what they brought is judged.
    pub(crate) fn merged(node: &'t draft::Node<'t>) -> Tree<'t> {
        Tree::of_draft(node, false)
    }

    /// What stands for a value that is not there.
    pub(crate) const NOTHING: Tree<'static> = Tree { node: Node::Text(RawValue::NULL), is_new: true };

    fn of_draft(node: &'t draft::Node<'t>, is_new: bool) -> Tree<'t> {
        let node = match node {
            draft::Node::Raw(raw) => Node::Text(raw),
            draft::Node::View(view) => Node::View(*view),
            _ => Node::Opened(node),
        };
        Tree { node, is_new }
    }

    fn with(self, node: Node<'t>) -> Tree<'t> {
        Tree { node, ..self }
    }

    /// Whether all of it is judged, and not only what a template brought into it.
    pub(crate) fn is_new(self) -> bool {
        self.is_new
    }

    /// Whether any of it is judged.
    pub(crate) fn is_touched(self) -> bool {
        let is_touched =
            |entry: &'t draft::Entry<'t>| entry.is_ours() || Tree::of_draft(&entry.node, false).is_touched();
        self.is_new
            || match self.node {
                Node::Opened(draft::Node::Object(members)) => members.iter().any(|(_, entry)| is_touched(entry)),
                Node::Opened(draft::Node::List(items)) => items.iter().any(is_touched),
                _ => false,
            }
    }

    /// Whether nothing in it varies from pod to pod: then it was judged when its template was loaded.
    pub(crate) fn is_fixed(self) -> bool {
        matches!(self.node, Node::View(view) if view.is_fixed())
    }

    /// Whether a person wrote it into a template, so that a message may repeat it. What an expression gave may be a secret.
    pub(crate) fn is_written(self) -> bool {
        matches!(self.node, Node::Written(_))
    }

    /// Where it was written, if in a template.
    pub(crate) fn position(self) -> Position {
        if let Node::Written(node) = self.node { node.position } else { Position::default() }
    }

    pub(crate) fn kind(self) -> Kind<'t> {
        match self.node {
            Node::Written(node) => match &node.value {
                yaml::Value::Null => Kind::Null,
                yaml::Value::Bool(value) => Kind::Bool(*value),
                yaml::Value::Number(number) => Kind::Number(Cow::Borrowed(number)),
                yaml::Value::String(text) => pieces::plain(text).map_or(Kind::Unknown, Kind::String),
                yaml::Value::List(_) => Kind::List,
                yaml::Value::Object(_) => Kind::Object,
            },
            Node::View(view) => match view.value() {
                Some(value) => Kind::of(value),
                None if view.is_list() => Kind::List,
                None => Kind::Object,
            },
            Node::Text(raw) => match raw.get().as_bytes().first() {
                Some(b'{') => Kind::Object,
                Some(b'[') => Kind::List,
                Some(b'"') => object::string(raw).map_or(Kind::Null, Kind::String),
                Some(b't') => Kind::Bool(true),
                Some(b'f') => Kind::Bool(false),
                _ => serde_json::from_str(raw.get()).map_or(Kind::Null, |number| Kind::Number(Cow::Owned(number))),
            },
            Node::Opened(draft::Node::List(_)) => Kind::List,
            Node::Opened(draft::Node::Value(value)) => Kind::of(value),
            Node::Opened(_) => Kind::Object,
        }
    }

    /// The members of an object; none of anything else.
    pub(crate) fn members(self) -> Vec<Member<'t>> {
        let member = |name, value| Member { name, position: Position::default(), value };
        match self.node {
            Node::Written(yaml::Node { value: yaml::Value::Object(members), .. }) => members
                .iter()
                .map(|(key, node)| Member {
                    name: Cow::Borrowed(&*key.name),
                    position: key.position,
                    value: Tree::written(node),
                })
                .collect(),
            Node::View(view) => {
                view.members().map(|(name, view)| member(name.into(), self.with(Node::View(view)))).collect()
            }
            Node::Text(raw) => {
                let members = Object::parse(raw).unwrap_or_default().members;
                members.into_iter().map(|(name, raw)| member(name, self.with(Node::Text(raw)))).collect()
            }
            Node::Opened(draft::Node::Object(members)) => members
                .iter()
                .map(|(name, entry)| {
                    member(Cow::Borrowed(&**name), Tree::of_draft(&entry.node, self.is_new || entry.is_ours()))
                })
                .collect(),
            _ => Vec::new(),
        }
    }

    /// The members of an object of which anything is judged.
    pub(crate) fn touched_members(self) -> impl Iterator<Item = Member<'t>> {
        self.members().into_iter().filter(|member| member.value.is_touched())
    }

    /// The items of a list; none of anything else.
    pub(crate) fn items(self) -> Vec<Tree<'t>> {
        match self.node {
            Node::Written(node) => node.items().iter().map(Tree::written).collect(),
            Node::View(view) => view.items().map(|item| self.with(Node::View(item))).collect(),
            Node::Text(raw) => {
                let items = object::list(raw).unwrap_or_default();
                items.into_iter().map(|item| self.with(Node::Text(item))).collect()
            }
            Node::Opened(draft::Node::List(items)) => {
                items.iter().map(|entry| Tree::of_draft(&entry.node, self.is_new || entry.is_ours())).collect()
            }
            _ => Vec::new(),
        }
    }

    /// The items of a list of which anything is judged, with their numbers.
    pub(crate) fn touched_items(self) -> impl Iterator<Item = (usize, Tree<'t>)> {
        self.items().into_iter().enumerate().filter(|(_, item)| item.is_touched())
    }

    /// A member that is there, not `null`, and of which anything is judged.
    pub(crate) fn touched(self, name: &str) -> Option<Tree<'t>> {
        self.get(name).filter(|value| value.is_touched())
    }

    /// A member that is there and not `null`.
    pub(crate) fn get(self, name: &str) -> Option<Tree<'t>> {
        let value = match self.node {
            Node::Written(node) => Tree::written(node.get(name)?),
            Node::View(view) => self.with(Node::View(view.get(name)?)),
            Node::Text(raw) => self.with(Node::Text(object::member(raw, name)?)),
            Node::Opened(draft::Node::Object(members)) => {
                let (_, entry) = members.iter().rfind(|(member, _)| member == name)?;
                Tree::of_draft(&entry.node, self.is_new || entry.is_ours())
            }
            Node::Opened(_) => return None,
        };
        (!value.is_null()).then_some(value)
    }

    pub(super) fn is_null(self) -> bool {
        match self.node {
            Node::Written(node) => node.value == yaml::Value::Null,
            Node::Text(raw) => raw.get() == "null",
            Node::View(_) | Node::Opened(_) => false,
        }
    }

    /// The items of a member that is a list.
    pub(crate) fn list(self, name: &str) -> Vec<Tree<'t>> {
        self.get(name).map(Tree::items).unwrap_or_default()
    }

    /// Whether it holds an expression that was not evaluated.
    pub(crate) fn is_unknown(self) -> bool {
        matches!(self.kind(), Kind::Unknown)
    }

    /// Whether a member holds such an expression.
    pub(crate) fn is_unknown_at(self, name: &str) -> bool {
        self.get(name).is_some_and(Tree::is_unknown)
    }

    /// Whether this is a text or list with nothing in it.
    pub(crate) fn is_empty(self) -> bool {
        match self.kind() {
            Kind::String(text) => text.is_empty(),
            Kind::List => self.items().into_iter().all(Tree::is_null),
            _ => false,
        }
    }

    pub(crate) fn string(self) -> Option<Cow<'t, str>> {
        if let Kind::String(text) = self.kind() { Some(text) } else { None }
    }

    pub(crate) fn integer(self) -> Option<i64> {
        if let Kind::Number(number) = self.kind() { number.as_i64() } else { None }
    }

    /// The amount that a quantity stands for, if it is one.
    pub(crate) fn amount(self) -> Option<f64> {
        match self.kind() {
            Kind::String(text) => parse_quantity(&text),
            Kind::Number(number) => number.as_f64(),
            _ => None,
        }
    }

    /// The text of a member; empty when it is not there.
    pub(crate) fn text(self, name: &str) -> Cow<'t, str> {
        self.get(name).and_then(Tree::string).unwrap_or_default()
    }

    /// How an item of a list is called by its keys: `8080/TCP`.
    pub(crate) fn key(self, keys: &[String]) -> String {
        join_keys(keys, |key| match self.get(key)?.kind() {
            Kind::String(text) => Some(text),
            Kind::Number(number) => Some(number.to_string().into()),
            _ => None,
        })
    }

    /// Whether its text holds another text; true if only opening it would tell.
    pub(crate) fn mentions(self, text: &str) -> bool {
        if let Node::Text(raw) = self.node { raw.get().contains(text) } else { true }
    }

    pub(crate) fn is_true(self, name: &str) -> bool {
        self.get(name).is_some_and(|value| matches!(value.kind(), Kind::Bool(true)))
    }
}

/// A scalar as it is written in JSON, short enough for a message.
impl fmt::Display for Tree<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind() {
            Kind::Bool(value) => value.fmt(formatter),
            Kind::Number(number) => number.fmt(formatter),
            Kind::String(text) => write!(formatter, "\"{}\"", shown(&text)),
            other => formatter.write_str(other.name()),
        }
    }
}

impl<'t> Kind<'t> {
    pub(crate) fn of(value: &'t Value) -> Kind<'t> {
        match value {
            Value::Null => Kind::Null,
            Value::Bool(value) => Kind::Bool(*value),
            Value::Number(number) => Kind::Number(Cow::Borrowed(number)),
            Value::String(text) => Kind::String(Cow::Borrowed(text)),
            Value::Array(_) => Kind::List,
            Value::Object(_) => Kind::Object,
        }
    }

    /// What it is called in messages.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Kind::Null => "null",
            Kind::Bool(_) => "a boolean",
            Kind::Number(_) => "a number",
            Kind::String(_) => "a string",
            Kind::List => "a list",
            Kind::Object => "an object",
            Kind::Unknown => "an expression",
        }
    }
}
