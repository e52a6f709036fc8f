//! A value to read: of a template as it was written, of a whole pod, or of a pod with what templates brought.

use std::borrow::Cow;
use std::fmt;

use either::{Left, Right};
use serde_json::{Number, Value};

use super::fragment::{Fragment, NULL, Scalar, Shape};
use super::node::{Json, Node};
use super::tape::Text;
use crate::expression::pieces;
use crate::quantity::Quantity;
use crate::text::shown;
use crate::yaml::{self, Position};

/// A value and whether it is to be judged. Cheap to copy.
#[derive(Clone, Copy)]
pub(crate) struct View<'t> {
    form: Form<'t>,
    is_new: bool,
    /// The first of the templates whose parts are judged.
    since: u16,
}

#[derive(Clone, Copy)]
enum Form<'t> {
    /// A template as it was written.
    Written(&'t yaml::Node),
    /// What a template gives, without holes.
    Fragment(&'t Fragment),
    /// A part of a pod as it came.
    Text(Text<'t>),
    /// A part of a pod that was opened.
    Opened(&'t Node<'t>),
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
    pub(crate) value: View<'t>,
    /// Whether messages must not repeat its name: it came with the value of an expression that may know a secret.
    pub(crate) is_private: bool,
}

impl Member<'_> {
    /// Its name for a message, short, and only if that may be shown.
    pub(crate) fn shown(&self) -> Cow<'_, str> {
        if self.is_private { "a key that is not shown".into() } else { shown(&self.name) }
    }
}

impl<'a> Node<'a> {
    /// What it says as long as it is not opened, for longer than the tree.
    fn unopened(&self) -> Option<View<'a>> {
        match self.json {
            Json::Text(text) => Some(View::whole(text)),
            Json::Fragment(fragment) => Some(View::fragment(fragment)),
            Json::Object(_) | Json::List(_) => None,
        }
    }

    /// The name of an object.
    pub(crate) fn name(&self) -> Option<Cow<'a, str>> {
        self.string_at("name")
    }

    /// A member of an object that is a string.
    pub(crate) fn string_at(&self, name: &str) -> Option<Cow<'a, str>> {
        match self.unopened() {
            Some(view) => view.get(name)?.string(),
            None => self.child(name)?.unopened()?.string(),
        }
    }

    /// How an item of a list is called.
    pub(crate) fn key(&self, keys: &[String]) -> Cow<'a, str> {
        self.unopened().map_or_else(|| Cow::Owned(self.view().key(keys).into_owned()), |view| view.key(keys))
    }

    /// To read: what this call brought is judged.
    pub(crate) fn view(&self) -> View<'_> {
        self.view_since(0)
    }

    /// To read: what templates of this call brought is judged, from that of a number on.
    pub(crate) fn view_since(&self, since: u16) -> View<'_> {
        let form = match self.json {
            Json::Text(text) => Form::Text(text),
            Json::Fragment(fragment) => Form::Fragment(fragment),
            Json::Object(_) | Json::List(_) => Form::Opened(self),
        };
        View { form, is_new: self.is_new_since(since), since }
    }

    /// Whether this is an object of that name.
    pub(crate) fn is_named(&self, wanted: &str) -> bool {
        self.view().get("name").is_some_and(|name| name.is_text(wanted))
    }
}

impl<'t> View<'t> {
    /// What stands for a value that is not there.
    pub(crate) const NOTHING: View<'static> = View::new(Form::Fragment(&NULL));

    const fn new(form: Form<'t>) -> View<'t> {
        View { form, is_new: true, since: 0 }
    }

    /// A part of a template's file.
    pub(crate) fn written(node: &'t yaml::Node) -> View<'t> {
        View::new(Form::Written(node))
    }

    /// A pod of somebody else, all of which is judged.
    pub(crate) fn whole(pod: Text<'t>) -> View<'t> {
        View::new(Form::Text(pod))
    }

    /// What a template gives.
    pub(crate) fn fragment(fragment: &'t Fragment) -> View<'t> {
        View::new(Form::Fragment(fragment))
    }

    fn with(self, form: Form<'t>) -> View<'t> {
        View { form, ..self }
    }

    /// Whether all of it is judged, and not only what a template brought into it.
    pub(crate) fn is_new(self) -> bool {
        self.is_new
    }

    /// Whether any of it is judged.
    pub(crate) fn is_touched(self) -> bool {
        self.is_new || matches!(self.form, Form::Opened(node) if node.is_touched_since(self.since))
    }

    /// Whether nothing in it varies from pod to pod: then it was judged when its template was loaded.
    pub(crate) fn is_fixed(self) -> bool {
        matches!(self.form, Form::Fragment(fragment) if fragment.is_fixed)
    }

    /// Whether messages must not repeat it: an expression that may know a secret gave it.
    pub(crate) fn is_private(self) -> bool {
        match self.form {
            Form::Written(node) => node.is_private,
            Form::Fragment(fragment) => fragment.is_private,
            Form::Text(_) | Form::Opened(_) => false,
        }
    }

    /// A scalar for a message, short, and without what must not be shown.
    pub(crate) fn shown(self) -> Cow<'t, str> {
        match self.as_text() {
            _ if self.is_private() => "a value that is not shown".into(),
            Some(text) => shown(&text).into_owned().into(),
            None => self.kind().name().into(),
        }
    }

    /// Whether a person wrote it into a template.
    pub(crate) fn is_written(self) -> bool {
        matches!(self.form, Form::Written(_))
    }

    /// Where it was written, if in a template.
    pub(crate) fn position(self) -> Position {
        if let Form::Written(node) = self.form { node.position } else { Position::default() }
    }

    pub(crate) fn kind(self) -> Kind<'t> {
        match self.form {
            Form::Written(node) => match &node.value {
                yaml::Value::Null => Kind::Null,
                yaml::Value::Bool(value) => Kind::Bool(*value),
                yaml::Value::Number(number) => Kind::Number(Cow::Borrowed(number)),
                yaml::Value::String(text) => pieces::plain(text).map_or(Kind::Unknown, Kind::String),
                yaml::Value::List(_) => Kind::List,
                yaml::Value::Object(_) => Kind::Object,
            },
            Form::Fragment(fragment) => match &fragment.shape {
                Shape::Scalar(Scalar::Null) => Kind::Null,
                Shape::Scalar(Scalar::Bool(value)) => Kind::Bool(*value),
                Shape::Scalar(Scalar::Number(number)) => Kind::Number(Cow::Borrowed(number)),
                Shape::Scalar(Scalar::String(text)) => Kind::String(Cow::Borrowed(text)),
                Shape::List(_) => Kind::List,
                Shape::Object(_) => Kind::Object,
                Shape::Hole(_) => Kind::Unknown,
            },
            Form::Text(text) => match text.first() {
                b'{' => Kind::Object,
                b'[' => Kind::List,
                b'"' => text.string().map_or(Kind::Null, Kind::String),
                b't' => Kind::Bool(true),
                b'f' => Kind::Bool(false),
                _ => serde_json::from_str(text.json()).map_or(Kind::Null, |number| Kind::Number(Cow::Owned(number))),
            },
            Form::Opened(Node { json: Json::List(_), .. }) => Kind::List,
            Form::Opened(_) => Kind::Object,
        }
    }

    /// The members of an object; none of anything else.
    pub(crate) fn members(self) -> impl Iterator<Item = Member<'t>> {
        // Of a map that was merged each member says for itself.
        let of_private = self.is_private();
        let is_private =
            move |value: View<'_>| of_private || matches!(self.form, Form::Opened(_)) && value.is_private();
        let member =
            move |name, value| Member { name, position: Position::default(), value, is_private: is_private(value) };
        match self.form {
            Form::Written(node) => Left(Left(node.members().iter().map(move |(key, node)| Member {
                position: key.position,
                ..member(Cow::Borrowed(&*key.name), View::written(node))
            }))),
            Form::Fragment(fragment) => Left(Right(
                fragment
                    .members()
                    .iter()
                    .map(move |(name, part)| member(Cow::Borrowed(&**name), self.with(Form::Fragment(part)))),
            )),
            Form::Text(text) => {
                Right(Left(text.members().map(move |part| member(part.name(), self.with(Form::Text(part))))))
            }
            Form::Opened(node) => Right(Right(
                node.opened_members()
                    .iter()
                    .map(move |(name, node)| member(Cow::Borrowed(&**name), node.view_since(self.since))),
            )),
        }
    }

    /// The members of an object of which anything is judged.
    pub(crate) fn touched_members(self) -> impl Iterator<Item = Member<'t>> {
        self.members().filter(|member| member.value.is_touched())
    }

    /// The items of a list; none of anything else.
    pub(crate) fn items(self) -> impl Iterator<Item = View<'t>> {
        match self.form {
            Form::Written(node) => Left(Left(node.items().iter().map(View::written))),
            Form::Fragment(fragment) => {
                Left(Right(fragment.items().iter().map(move |item| self.with(Form::Fragment(item)))))
            }
            Form::Text(text) => Right(Left(text.items().map(move |item| self.with(Form::Text(item))))),
            Form::Opened(node) => Right(Right(node.opened_items().iter().map(move |node| node.view_since(self.since)))),
        }
    }

    /// The items of a list of which anything is judged, with their numbers.
    pub(crate) fn touched_items(self) -> impl Iterator<Item = (usize, View<'t>)> {
        self.items().enumerate().filter(|(_, item)| item.is_touched())
    }

    /// A member that is there, not `null`, and of which anything is judged.
    pub(crate) fn touched(self, name: &str) -> Option<View<'t>> {
        self.get(name).filter(|value| value.is_touched())
    }

    /// A member that is there and not `null`.
    pub(crate) fn get(self, name: &str) -> Option<View<'t>> {
        let value = match self.form {
            Form::Written(node) => View::written(node.get(name)?),
            Form::Fragment(fragment) => self.with(Form::Fragment(fragment.get(name)?)),
            Form::Text(text) => self.with(Form::Text(text.get(name)?)),
            Form::Opened(node) => node.child(name)?.view_since(self.since),
        };
        (!value.is_null()).then_some(value)
    }

    pub(crate) fn is_null(self) -> bool {
        match self.form {
            Form::Written(node) => node.value == yaml::Value::Null,
            Form::Text(text) => text.is_null(),
            Form::Fragment(fragment) => matches!(fragment.shape, Shape::Scalar(Scalar::Null)),
            Form::Opened(_) => false,
        }
    }

    /// The items of a member that is a list.
    pub(crate) fn list(self, name: &str) -> impl Iterator<Item = View<'t>> + use<'t> {
        self.get(name).into_iter().flat_map(View::items)
    }

    /// The members of a member that is an object.
    pub(crate) fn map(self, name: &str) -> impl Iterator<Item = Member<'t>> + use<'t> {
        self.get(name).into_iter().flat_map(View::members)
    }

    /// Whether it holds an expression that was not evaluated.
    pub(crate) fn is_unknown(self) -> bool {
        matches!(self.kind(), Kind::Unknown)
    }

    /// Whether such an expression stands anywhere in it.
    pub(crate) fn holds_unknown(self) -> bool {
        self.is_unknown()
            || self.items().any(View::holds_unknown)
            || self.members().any(|member| member.value.holds_unknown())
    }

    /// Whether a member holds such an expression.
    pub(crate) fn is_unknown_at(self, name: &str) -> bool {
        self.get(name).is_some_and(View::is_unknown)
    }

    /// Whether this is a text or list with nothing in it.
    pub(crate) fn is_empty(self) -> bool {
        match self.kind() {
            Kind::String(text) => text.is_empty(),
            Kind::List => self.items().all(View::is_null),
            _ => false,
        }
    }

    pub(crate) fn string(self) -> Option<Cow<'t, str>> {
        match self.form {
            Form::Written(yaml::Node { value: yaml::Value::String(text), .. }) => pieces::plain(text),
            Form::Fragment(fragment) => fragment.as_str().map(Cow::Borrowed),
            Form::Text(text) => text.string(),
            Form::Written(_) | Form::Opened(_) => None,
        }
    }

    pub(crate) fn integer(self) -> Option<i64> {
        if let Kind::Number(number) = self.kind() { number.as_i64() } else { None }
    }

    /// The quantity that it is, if it is one.
    pub(crate) fn quantity(self) -> Option<Quantity> {
        Quantity::parse(&self.as_text()?).ok()
    }

    /// The text of a member; empty when it is not there.
    pub(crate) fn text(self, name: &str) -> Cow<'t, str> {
        self.get(name).and_then(View::string).unwrap_or_default()
    }

    /// Whether this is that text.
    pub(crate) fn is_text(self, text: &str) -> bool {
        self.string().is_some_and(|it| it == text)
    }

    /// How an item of a list is called: by its keys, such as `8080/TCP`, or by its whole text where Kubernetes gives it
    /// none.
    pub(crate) fn key(self, keys: &[String]) -> Cow<'t, str> {
        let part = |key: &String| match self.get(key).and_then(View::as_text) {
            Some(Cow::Borrowed(text)) => Cow::Borrowed(as_key(key, text)),
            Some(Cow::Owned(text)) => Cow::Owned(as_key(key, &text).to_owned()),
            None if key == "protocol" => "TCP".into(),
            None => Cow::default(),
        };
        match keys {
            [] => {}
            [key] => return part(key),
            keys => return keys.iter().map(part).collect::<Vec<_>>().join("/").into(),
        }
        // An item of envFrom is known by its source and prefix, as one source can be there with several.
        for source in ["configMapRef", "secretRef"] {
            if let Some(name) = self.get(source).and_then(|source| source.get("name")?.string()) {
                return match self.text("prefix") {
                    prefix if prefix.is_empty() => format!("{source}/{name}").into(),
                    prefix => format!("{source}/{name}/{prefix}").into(),
                };
            }
        }
        match (self.kind(), self.get("name").and_then(View::string)) {
            (Kind::String(text), _) => text,
            // A sysctl, of which Kubernetes publishes no key.
            (Kind::Object, Some(name)) if self.get("value").is_some() && self.members().count() == 2 => name,
            _ => {
                // The API server has an order of its own, and omits what says nothing.
                let mut item = match self.kind() {
                    Kind::Object => {
                        let members = self.members().filter(|it| !it.value.says_nothing());
                        members.map(|it| (it.name.into_owned(), it.value.to_value())).collect()
                    }
                    _ => self.to_value(),
                };
                item.sort_all_objects();
                item.to_string().into()
            }
        }
    }

    /// The text of a string, or the JSON of another scalar.
    pub(crate) fn as_text(self) -> Option<Cow<'t, str>> {
        match self.kind() {
            Kind::String(text) => Some(text),
            Kind::Number(number) => Some(number.to_string().into()),
            Kind::Bool(value) => Some(value.to_string().into()),
            _ => None,
        }
    }

    pub(crate) fn to_value(self) -> Value {
        // However deep it is: what is deeper than serde reads is nothing that Kubernetes has.
        if let Form::Text(text) = self.form {
            return serde_json::from_str(text.json()).unwrap_or_default();
        }
        match self.kind() {
            Kind::Null | Kind::Unknown => Value::Null,
            Kind::Bool(value) => value.into(),
            Kind::Number(number) => Value::Number(number.into_owned()),
            Kind::String(text) => text.into_owned().into(),
            Kind::List => self.items().map(View::to_value).collect(),
            Kind::Object => self.members().map(|it| (it.name.into_owned(), it.value.to_value())).collect(),
        }
    }

    /// Whether it says nothing, so that an API server omits it.
    pub(crate) fn says_nothing(self) -> bool {
        match self.kind() {
            Kind::Null => true,
            Kind::Bool(value) => !value,
            Kind::Number(_) | Kind::Unknown => false,
            Kind::String(text) => text.is_empty(),
            Kind::List => self.items().next().is_none(),
            Kind::Object => self.members().next().is_none(),
        }
    }

    pub(crate) fn is_false(self, name: &str) -> bool {
        self.get(name).is_some_and(|value| matches!(value.kind(), Kind::Bool(false)))
    }

    pub(crate) fn is_true(self, name: &str) -> bool {
        self.get(name).is_some_and(|value| matches!(value.kind(), Kind::Bool(true)))
    }
}

/// A key's text as it counts: `/data/` and `/data` are one place.
pub(crate) fn as_key<'t>(key: &str, text: &'t str) -> &'t str {
    match key {
        "mountPath" if text.len() > 1 => text.trim_end_matches('/'),
        _ => text,
    }
}

/// A scalar as it is written in JSON, short enough for a message.
impl fmt::Display for View<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind() {
            _ if self.is_private() => formatter.write_str("a value that is not shown"),
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
