//! A part of a pod with holes in it, and the same as one pod gets it.
//!
//! What has no hole is serialized once, when the template is loaded.

use std::sync::Arc;

use serde::{Serialize, Serializer};
use serde_json::Value;
use serde_json::value::{RawValue, to_raw_value};

/// A part of a pod. Its holes are numbered in a list beside it. What does not vary is shared by its copies.
#[derive(Clone, Debug)]
pub(crate) struct Fragment {
    pub(crate) shape: Shape,
    /// Whether nothing in it varies.
    is_fixed: bool,
    /// The JSON of such an object or list.
    json: Option<Arc<RawValue>>,
    /// Whether it is added even if nulls leave nothing in it: an emptyDir says something by being there.
    pub(crate) may_be_empty: bool,
}

#[derive(Clone, Debug)]
pub(crate) enum Shape {
    Scalar(Value),
    /// The number of a hole.
    Hole(usize),
    Object(Arc<[(Box<str>, Fragment)]>),
    List(Arc<[Fragment]>),
}

impl Fragment {
    /// Part of a template. It is serialized here if nothing in it varies.
    pub(crate) fn new(shape: Shape) -> Fragment {
        let is_fixed = match &shape {
            Shape::Scalar(_) => true,
            Shape::Hole(_) => false,
            Shape::Object(members) => members.iter().all(|(_, fragment)| fragment.is_fixed),
            Shape::List(items) => items.iter().all(|fragment| fragment.is_fixed),
        };
        let mut fragment = Fragment { shape, is_fixed, json: None, may_be_empty: false };
        if is_fixed && !matches!(fragment.shape, Shape::Scalar(_)) {
            fragment.json = to_raw_value(&View::new(&fragment, &[], &[])).ok().map(Arc::from);
        }
        fragment
    }

    /// The value of a hole. It is written once, so it is not serialized beforehand.
    pub(crate) fn filled(value: Value) -> Fragment {
        let shape = match value {
            Value::Object(members) => {
                let members = members.into_iter().map(|(name, value)| (name.into(), Fragment::filled(value)));
                Shape::Object(members.collect())
            }
            Value::Array(items) => Shape::List(items.into_iter().map(Fragment::filled).collect()),
            scalar => Shape::Scalar(scalar),
        };
        Fragment { shape, is_fixed: false, json: None, may_be_empty: false }
    }

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
        if let Shape::Hole(number) = self.shape {
            holes.push(number);
        }
        self.members().iter().map(|(_, member)| member).chain(self.items()).for_each(|part| part.collect_holes(holes));
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

/// A fragment with its holes filled: what a template adds to one pod. A hole whose value is `null` is omitted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct View<'a> {
    fragment: &'a Fragment,
    /// The values of holes, by their numbers and in order of them: of those that have one value for all containers.
    shared: &'a [(usize, Fragment)],
    /// Of all others.
    own: &'a [(usize, Fragment)],
}

impl<'a> View<'a> {
    /// A fragment with the values of all its holes.
    pub(crate) fn new(
        fragment: &'a Fragment,
        shared: &'a [(usize, Fragment)],
        own: &'a [(usize, Fragment)],
    ) -> View<'a> {
        View { fragment, shared, own }
    }

    /// A part of this fragment; what stands for a hole is its value.
    fn child(self, fragment: &'a Fragment) -> Option<View<'a>> {
        let fragment = match fragment.shape {
            Shape::Hole(number) => [self.own, self.shared]
                .into_iter()
                .find_map(|values| Some(&values[values.binary_search_by_key(&number, |(at, _)| *at).ok()?].1))
                .expect("every hole was filled"),
            _ => fragment,
        };
        let view = View { fragment, ..self };
        // What nulls have emptied is omitted, too; what was written empty is not.
        let is_there = match view.value() {
            _ if view.is_fixed() || fragment.may_be_empty => true,
            Some(value) => !value.is_null(),
            None if fragment.members().is_empty() && fragment.items().is_empty() => true,
            None => view.members().next().is_some() || view.items().next().is_some(),
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
        self.fragment.is_fixed
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
        match (&self.fragment.json, self.value()) {
            (Some(json), _) => json.get().len(),
            (None, Some(Value::String(text))) => text.len() + 2,
            (None, Some(_)) => 8,
            (None, None) if self.is_list() => 2 + self.items().map(|item| item.size() + 1).sum::<usize>(),
            (None, None) => 2 + self.members().map(|(name, part)| name.len() + 4 + part.size()).sum::<usize>(),
        }
    }

    /// The same fragment without holes: what does not vary any more is serialized once.
    pub(crate) fn resolve(self) -> Fragment {
        if self.is_fixed() {
            return self.fragment.clone();
        }
        Fragment::new(match self.value() {
            Some(value) => Shape::Scalar(value.clone()),
            None if self.is_list() => Shape::List(self.items().map(View::resolve).collect()),
            None => Shape::Object(self.members().map(|(name, member)| (name.into(), member.resolve())).collect()),
        })
    }

    /// The same as a plain value, where a comparison needs one.
    pub(crate) fn to_value(self) -> Value {
        match self.value() {
            Some(value) => value.clone(),
            None if self.is_list() => self.items().map(View::to_value).collect(),
            None => self.members().map(|(name, member)| (name.to_owned(), member.to_value())).collect(),
        }
    }
}

impl Serialize for View<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match (&self.fragment.json, self.value()) {
            (Some(json), _) => json.serialize(serializer),
            (None, Some(value)) => value.serialize(serializer),
            (None, None) if self.is_list() => serializer.collect_seq(self.items()),
            (None, None) => serializer.collect_map(self.members()),
        }
    }
}
