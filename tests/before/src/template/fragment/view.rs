//! A fragment as one pod gets it.

use serde_json::Value;

use super::{Fragment, Shape, write_json};

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

    /// Whether a hole gave nothing, here or elsewhere in the template.
    pub(crate) fn has_nulls(self) -> bool {
        let mut values = self.values.own.iter().chain(self.values.shared);
        values.any(|(_, value)| matches!(value.shape, Shape::Scalar(Value::Null)))
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
