//! A part of a pod with holes in it, and the same as one pod gets it.
//!
//! What has no hole is serialized once, when the template is loaded.

use serde::Serialize;
use serde_json::Value;
use serde_json::value::{RawValue, to_raw_value};

/// A part of a pod. Its holes are numbered in a list beside it.
#[derive(Debug)]
pub(crate) struct Fragment {
    pub(crate) shape: Shape,
    /// The JSON, when nothing in it varies.
    pub(crate) fixed: Option<Box<RawValue>>,
    /// Whether it is there even if nulls leave nothing in it: an emptyDir says something by being there.
    pub(crate) stays: bool,
}

#[derive(Debug)]
pub(crate) enum Shape {
    Scalar(Value),
    /// The number of a hole.
    Hole(usize),
    Object(Vec<(Box<str>, Fragment)>),
    List(Vec<Fragment>),
}

impl Fragment {
    pub(crate) fn scalar(value: Value) -> Fragment {
        Fragment { fixed: to_raw_value(&value).ok(), shape: Shape::Scalar(value), stays: false }
    }

    /// The hole of a number.
    pub(crate) fn hole(number: usize) -> Fragment {
        Fragment { shape: Shape::Hole(number), fixed: None, stays: false }
    }

    /// What stands for a hole that gave nothing.
    pub(crate) fn nothing() -> Fragment {
        Fragment::filled(Value::Null)
    }

    /// What a hole gave. It is written once, so it is not serialized beforehand.
    pub(crate) fn filled(value: Value) -> Fragment {
        let shape = match value {
            Value::Object(members) => {
                let members = members.into_iter().map(|(name, value)| (name.into(), Fragment::filled(value)));
                Shape::Object(members.collect())
            }
            Value::Array(items) => Shape::List(items.into_iter().map(Fragment::filled).collect()),
            scalar => Shape::Scalar(scalar),
        };
        Fragment { shape, fixed: None, stays: false }
    }

    pub(crate) fn object(members: Vec<(Box<str>, Fragment)>) -> Fragment {
        Fragment::with_shape(Shape::Object(members))
    }

    pub(crate) fn list(items: Vec<Fragment>) -> Fragment {
        Fragment::with_shape(Shape::List(items))
    }

    fn with_shape(shape: Shape) -> Fragment {
        let varies = match &shape {
            Shape::Object(members) => members.iter().any(|(_, fragment)| fragment.fixed.is_none()),
            Shape::List(items) => items.iter().any(|fragment| fragment.fixed.is_none()),
            Shape::Scalar(_) | Shape::Hole(_) => unreachable!("made elsewhere"),
        };
        let mut fragment = Fragment { shape, fixed: None, stays: false };
        if !varies {
            let mut json = Vec::new();
            View::new(&fragment, Values::NONE).write(&mut json);
            fragment.fixed = String::from_utf8(json).ok().and_then(|json| RawValue::from_string(json).ok());
        }
        fragment
    }
}

impl Fragment {
    /// The names of a list's items, as far as they do not vary.
    pub(crate) fn fixed_names(&self, list: &str) -> impl Iterator<Item = &str> {
        self.items_of(list).iter().filter_map(Fragment::fixed_name)
    }

    /// Whether an item of a list has this name, or one that varies.
    pub(crate) fn may_name(&self, list: &str, name: &str) -> bool {
        self.items_of(list).iter().any(|item| item.fixed_name().is_none_or(|known| known == name))
    }

    /// The holes in a field of a list's item, by the item's name.
    pub(crate) fn holes_of(&self, list: &str, name: &str, field: &str) -> Vec<usize> {
        let mut holes = Vec::new();
        let item = self.items_of(list).iter().find(|item| item.fixed_name() == Some(name));
        if let Some(fragment) = item.and_then(|item| item.member(field)) {
            fragment.collect_holes(&mut holes);
        }
        holes
    }

    fn items_of(&self, list: &str) -> &[Fragment] {
        self.member(list).map(Fragment::items).unwrap_or_default()
    }

    fn fixed_name(&self) -> Option<&str> {
        match &self.member("name")?.shape {
            Shape::Scalar(Value::String(name)) => Some(name),
            _ => None,
        }
    }

    fn collect_holes(&self, holes: &mut Vec<usize>) {
        match &self.shape {
            Shape::Hole(at) => holes.push(*at),
            Shape::Object(members) => members.iter().for_each(|(_, fragment)| fragment.collect_holes(holes)),
            Shape::List(items) => items.iter().for_each(|fragment| fragment.collect_holes(holes)),
            Shape::Scalar(_) => {}
        }
    }

    fn members(&self) -> &[(Box<str>, Fragment)] {
        if let Shape::Object(members) = &self.shape { members } else { &[] }
    }

    fn member(&self, name: &str) -> Option<&Fragment> {
        self.members().iter().find(|(member, _)| &**member == name).map(|(_, member)| member)
    }

    fn items(&self) -> &[Fragment] {
        if let Shape::List(items) = &self.shape { items } else { &[] }
    }
}

/// Appends a value that is always JSON: a string, or a value that came from JSON.
pub(crate) fn write_json<T: Serialize + ?Sized>(json: &mut Vec<u8>, value: &T) {
    serde_json::to_writer(json, value).expect("a byte vector takes everything");
}

/// About how many bytes a value takes as a [`Fragment`]: with many small ones that is far more than their text.
pub(crate) fn size(value: &Value) -> usize {
    size_of::<(Box<str>, Fragment)>()
        + match value {
            Value::String(text) => text.len(),
            Value::Array(items) => items.iter().map(size).sum(),
            Value::Object(members) => members.iter().map(|(name, value)| name.len() + size(value)).sum(),
            Value::Null | Value::Bool(_) | Value::Number(_) => 0,
        }
}

/// The values of a fragment's holes, by their numbers and in order of them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Values<'a> {
    /// Of holes that have one value for all containers.
    pub(crate) shared: &'a [(usize, Fragment)],
    /// Of all others.
    pub(crate) own: &'a [(usize, Fragment)],
}

impl<'a> Values<'a> {
    /// For a fragment without holes.
    pub(crate) const NONE: Values<'static> = Values { shared: &[], own: &[] };

    /// For a fragment whose holes are all of one kind.
    pub(crate) fn all(own: &'a [(usize, Fragment)]) -> Values<'a> {
        Values { shared: &[], own }
    }

    fn get(self, hole: usize) -> &'a Fragment {
        let find = |values: &'a [(usize, Fragment)]| {
            let at = values.binary_search_by_key(&hole, |(number, _)| *number).ok()?;
            Some(&values[at].1)
        };
        find(self.own).or_else(|| find(self.shared)).expect("every hole was filled")
    }
}

/// A fragment with its holes filled: what a template gives to one pod. A hole that gave `null` is not there.
#[derive(Clone, Copy, Debug)]
pub(crate) struct View<'a> {
    fragment: &'a Fragment,
    values: Values<'a>,
}

impl<'a> View<'a> {
    pub(crate) fn new(fragment: &'a Fragment, values: Values<'a>) -> View<'a> {
        View { fragment, values }
    }

    /// A part of this fragment; what stands for a hole is its value.
    fn child(self, fragment: &'a Fragment) -> Option<View<'a>> {
        let fragment = match fragment.shape {
            Shape::Hole(at) => self.values.get(at),
            _ => fragment,
        };
        let view = View { fragment, ..self };
        // What nulls have emptied is not there either; what was written empty is.
        let is_there = fragment.fixed.is_some()
            || fragment.stays
            || match &fragment.shape {
                Shape::Scalar(value) => !value.is_null(),
                Shape::Object(members) => members.is_empty() || view.members().next().is_some(),
                Shape::List(items) => items.is_empty() || view.items().next().is_some(),
                Shape::Hole(_) => unreachable!("a view is of a hole's value"),
            };
        is_there.then_some(view)
    }

    /// The value of a scalar.
    pub(crate) fn value(self) -> Option<&'a Value> {
        match &self.fragment.shape {
            Shape::Scalar(value) => Some(value),
            Shape::Object(_) | Shape::List(_) => None,
            Shape::Hole(_) => unreachable!("a view is of a hole's value"),
        }
    }

    /// Whether nothing in it varies: then it was checked when the template was loaded.
    pub(crate) fn is_fixed(self) -> bool {
        self.fragment.fixed.is_some()
    }

    pub(crate) fn is_object(self) -> bool {
        matches!(self.fragment.shape, Shape::Object(_))
    }

    pub(crate) fn is_list(self) -> bool {
        matches!(self.fragment.shape, Shape::List(_))
    }

    pub(crate) fn as_str(self) -> Option<&'a str> {
        self.value()?.as_str()
    }

    pub(crate) fn members(self) -> impl Iterator<Item = (&'a str, View<'a>)> {
        self.fragment.members().iter().filter_map(move |(name, fragment)| Some((&**name, self.child(fragment)?)))
    }

    pub(crate) fn get(self, name: &str) -> Option<View<'a>> {
        self.child(self.fragment.member(name)?)
    }

    pub(crate) fn items(self) -> impl Iterator<Item = View<'a>> {
        self.fragment.items().iter().filter_map(move |fragment| self.child(fragment))
    }

    /// About how many bytes its JSON takes.
    pub(crate) fn size(self) -> usize {
        if let Some(fixed) = &self.fragment.fixed {
            return fixed.get().len();
        }
        match &self.fragment.shape {
            Shape::Scalar(Value::String(text)) => text.len() + 2,
            Shape::Scalar(_) => 8,
            Shape::Hole(_) => unreachable!("a view is of a hole's value"),
            Shape::Object(_) => self.members().map(|(name, view)| name.len() + 4 + view.size()).sum::<usize>() + 2,
            Shape::List(_) => self.items().map(|view| view.size() + 1).sum::<usize>() + 2,
        }
    }

    /// Appends the JSON.
    pub(crate) fn write(self, json: &mut Vec<u8>) {
        if let Some(fixed) = &self.fragment.fixed {
            json.extend_from_slice(fixed.get().as_bytes());
            return;
        }
        match &self.fragment.shape {
            Shape::Scalar(value) => write_json(json, value),
            Shape::Hole(_) => unreachable!("a view is of a hole's value"),
            Shape::Object(_) => {
                json.push(b'{');
                for (at, (name, view)) in self.members().enumerate() {
                    if at > 0 {
                        json.push(b',');
                    }
                    write_json(json, name);
                    json.push(b':');
                    view.write(json);
                }
                json.push(b'}');
            }
            Shape::List(_) => {
                json.push(b'[');
                for (at, view) in self.items().enumerate() {
                    if at > 0 {
                        json.push(b',');
                    }
                    view.write(json);
                }
                json.push(b']');
            }
        }
    }

    /// The same fragment without holes: what does not vary any more is checked and serialized once.
    pub(crate) fn resolve(self) -> Fragment {
        match &self.fragment.shape {
            Shape::Scalar(value) => Fragment::scalar(value.clone()),
            Shape::Hole(_) => unreachable!("a view is of a hole's value"),
            Shape::Object(_) => {
                Fragment::object(self.members().map(|(name, view)| (name.into(), view.resolve())).collect())
            }
            Shape::List(_) => Fragment::list(self.items().map(View::resolve).collect()),
        }
    }

    /// The same as a plain value, where a comparison needs one.
    pub(crate) fn to_value(self) -> Value {
        match &self.fragment.shape {
            Shape::Scalar(value) => value.clone(),
            Shape::Hole(_) => unreachable!("a view is of a hole's value"),
            Shape::Object(_) => self.members().map(|(name, view)| (name.to_owned(), view.to_value())).collect(),
            Shape::List(_) => self.items().map(View::to_value).collect(),
        }
    }
}
