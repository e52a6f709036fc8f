//! A part of a pod with holes in it, as a template has it.
//!
//! What has no hole is written as JSON once, when the first pod gets it; and so is what the defaults of parameters make of a
//! part that reads no others: see [`Preset`].

use std::sync::{Arc, OnceLock};

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Number, Value};

/// A part of a pod. Its holes are numbered in a list beside it. What does not vary is shared by its copies.
#[derive(Clone, Debug)]
pub(crate) struct Fragment {
    pub(crate) shape: Shape,
    /// Whether nothing in it varies: then it was judged when the template was loaded.
    pub(crate) is_fixed: bool,
    /// Whether it may hold a secret: then messages do not repeat it.
    pub(crate) is_private: bool,
    /// The JSON of such an object or list. Most templates in force are never asked for, and need no memory for it.
    json: OnceLock<Box<str>>,
    /// About how many bytes its JSON takes, if nothing in it varies.
    size: u32,
    /// Whether it is added even if nulls leave nothing in it: an emptyDir says something by being there.
    pub(crate) may_be_empty: bool,
    preset: Option<Arc<Preset>>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub(crate) enum Scalar {
    Null,
    Bool(bool),
    Number(Number),
    String(Box<str>),
}

/// What a part with holes is as long as nobody sets one of the parameters that it reads.
#[derive(Debug)]
pub(crate) struct Preset {
    pub(crate) reads: Numbers,
    /// Without holes; nothing if it is omitted.
    pub(crate) given: Option<Fragment>,
}

/// The numbers of some parameters of a template, which has at most 64.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Numbers(u64);

impl Numbers {
    pub(crate) const ALL: Numbers = Numbers(u64::MAX);

    pub(crate) fn insert(&mut self, number: usize) {
        self.0 |= 1 << number;
    }

    pub(crate) fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether one of them is read by what reads these. With [`Numbers::ALL`] that is so of what reads none, too: then no
    /// preset is known to be right.
    pub(crate) fn affect(self, reads: Numbers) -> bool {
        self == Numbers::ALL || self.0 & reads.0 != 0
    }
}

#[derive(Clone, Debug)]
pub(crate) enum Shape {
    Scalar(Scalar),
    /// The number of a hole.
    Hole(usize),
    Object(Arc<[(Box<str>, Fragment)]>),
    List(Arc<[Fragment]>),
}

/// The values of holes, by their numbers and in order of them. What was omitted has none.
pub(crate) type Values = Vec<(usize, Option<Fragment>)>;

/// The value of a hole, from several lists that have all of them together.
fn value_of<'v>(hole: usize, values: &[&'v Values]) -> Option<&'v Fragment> {
    values
        .iter()
        .find_map(|values| Some(&values[values.binary_search_by_key(&hole, |(at, _)| *at).ok()?].1))
        .expect("every hole was filled")
        .as_ref()
}

/// What is not there.
pub(super) static NULL: Fragment = Fragment::varying(Shape::Scalar(Scalar::Null));

impl Fragment {
    const fn varying(shape: Shape) -> Fragment {
        Fragment {
            shape,
            is_fixed: false,
            is_private: false,
            json: OnceLock::new(),
            size: 0,
            may_be_empty: false,
            preset: None,
        }
    }

    /// Part of a template.
    pub(crate) fn new(shape: Shape) -> Fragment {
        let is_fixed = match &shape {
            Shape::Scalar(_) => true,
            Shape::Hole(_) => false,
            Shape::Object(members) => members.iter().all(|(_, fragment)| fragment.is_fixed),
            Shape::List(items) => items.iter().all(|fragment| fragment.is_fixed),
        };
        let fragment = Fragment { is_fixed, ..Fragment::varying(shape) };
        Fragment { size: fragment.sum_of_sizes() as u32, ..fragment }
    }

    /// What varies with no pod.
    pub(crate) fn fixed(value: Value) -> Fragment {
        Fragment::of(value, &Fragment::new)
    }

    /// The value of a hole, and whether it may hold a secret. It is needed once.
    pub(crate) fn filled(value: Value, is_private: bool) -> Fragment {
        Fragment::of(value, &|shape| Fragment { is_private, ..Fragment::varying(shape) })
    }

    fn of(value: Value, make: &dyn Fn(Shape) -> Fragment) -> Fragment {
        make(match value {
            Value::Object(members) => Shape::Object(
                members.into_iter().map(|(name, value)| (name.into(), Fragment::of(value, make))).collect(),
            ),
            Value::Array(items) => Shape::List(items.into_iter().map(|item| Fragment::of(item, make)).collect()),
            Value::Null => Shape::Scalar(Scalar::Null),
            Value::Bool(value) => Shape::Scalar(Scalar::Bool(value)),
            Value::Number(number) => Shape::Scalar(Scalar::Number(number)),
            Value::String(text) => Shape::Scalar(Scalar::String(text.into())),
        })
    }

    /// The value of a hole, for many pods.
    pub(crate) fn settled(&self) -> Fragment {
        let settled = Fragment::new(match &self.shape {
            Shape::Object(members) => {
                Shape::Object(members.iter().map(|(name, member)| (name.clone(), member.settled())).collect())
            }
            Shape::List(items) => Shape::List(items.iter().map(Fragment::settled).collect()),
            other => other.clone(),
        });
        Fragment { is_private: self.is_private, ..settled }
    }

    /// The same with presets, of which `holes` has those of the holes.
    pub(crate) fn with_presets(&self, holes: &[Option<Arc<Preset>>]) -> Fragment {
        if self.is_fixed {
            return self.clone();
        }
        let mut reads = Numbers::default();
        // What a part gives, if that is known.
        let mut given = |part: &Fragment| match &part.preset {
            Some(preset) => {
                reads.0 |= preset.reads.0;
                Some(preset.given.clone())
            }
            None => part.is_fixed.then(|| Some(part.clone())),
        };
        let (shape, left) = match &self.shape {
            Shape::Hole(number) => return Fragment { preset: holes[*number].clone(), ..self.clone() },
            Shape::Scalar(_) => return self.clone(),
            Shape::Object(members) => {
                let members: Arc<[_]> =
                    members.iter().map(|(name, part)| (name.clone(), part.with_presets(holes))).collect();
                let given = members.iter().map(|(name, part)| Some((name.clone(), given(part)?)));
                let left = given
                    .collect::<Option<Vec<_>>>()
                    .map(|all| Shape::Object(all.into_iter().filter_map(|(name, part)| Some((name, part?))).collect()));
                (Shape::Object(members), left)
            }
            Shape::List(items) => {
                let items: Arc<[_]> = items.iter().map(|part| part.with_presets(holes)).collect();
                let left = items.iter().map(given).collect::<Option<Vec<_>>>();
                let left = left.map(|all| Shape::List(all.into_iter().flatten().collect()));
                (Shape::List(items), left)
            }
        };
        let preset = left.map(|left| {
            let given = Fragment::new(left);
            Preset { reads, given: (!self.is_emptied(given.len())).then_some(given) }.into()
        });
        Fragment { shape, preset, ..self.clone() }
    }

    /// The members of an object, and of those that are lists the items, that are to be kept.
    pub(crate) fn keep(&self, is_kept: &dyn Fn(&Fragment) -> bool) -> Fragment {
        if is_kept(self) {
            return self.clone();
        }
        let members = self.members().iter().filter_map(|(name, part)| {
            let items = || part.items().iter().filter(|item| is_kept(item)).cloned().collect();
            let kept = match &part.shape {
                _ if is_kept(part) => part.clone(),
                Shape::List(_) => Fragment::new(Shape::List(items())),
                _ => return None,
            };
            Some((name.clone(), kept))
        });
        Fragment { may_be_empty: self.may_be_empty, ..Fragment::new(Shape::Object(members.collect())) }
    }

    /// What it is as long as only these parameters are set, if that is known.
    pub(crate) fn preset(&self, set: Numbers) -> Option<&Preset> {
        self.preset.as_deref().filter(|preset| !set.affect(preset.reads))
    }

    /// Whether nulls left nothing in an object or list that now has so many parts.
    pub(crate) fn is_emptied(&self, left: usize) -> bool {
        left == 0 && self.len() > 0 && !self.may_be_empty
    }

    fn len(&self) -> usize {
        self.members().len() + self.items().len()
    }

    /// What stands here once holes are filled: itself, or the value of a hole.
    pub(crate) fn filled_by<'v>(&'v self, values: &[&'v Values], set: Numbers) -> Option<&'v Fragment> {
        match (self.preset(set), &self.shape) {
            (Some(preset), _) => preset.given.as_ref(),
            (None, Shape::Hole(hole)) => value_of(*hole, values),
            (None, _) => Some(self),
        }
    }

    /// The names of a list's items, as far as they do not vary.
    pub(crate) fn fixed_names(&self, list: &str) -> impl Iterator<Item = &str> {
        self.items_of(list).iter().filter_map(Fragment::fixed_name)
    }

    /// The item of a list that has this name, or else those whose names vary.
    pub(crate) fn called(&self, list: &str, name: &str) -> impl Iterator<Item = &Fragment> {
        let items = self.items_of(list);
        let named = items.iter().find(|item| item.fixed_name() == Some(name));
        let varying = items.iter().filter(move |item| named.is_none() && item.fixed_name().is_none());
        named.into_iter().chain(varying)
    }

    fn items_of(&self, list: &str) -> &[Fragment] {
        self.get(list).map(Fragment::items).unwrap_or_default()
    }

    fn fixed_name(&self) -> Option<&str> {
        self.get("name")?.as_str()
    }

    /// The numbers of the holes in it.
    pub(crate) fn holes(&self) -> Vec<usize> {
        let mut holes = Vec::new();
        self.collect_holes(&mut holes);
        holes
    }

    fn collect_holes(&self, holes: &mut Vec<usize>) {
        if let Shape::Hole(number) = self.shape {
            holes.push(number);
        }
        self.members().iter().map(|(_, member)| member).chain(self.items()).for_each(|part| part.collect_holes(holes));
    }

    pub(crate) fn as_str(&self) -> Option<&str> {
        if let Shape::Scalar(Scalar::String(text)) = &self.shape { Some(text) } else { None }
    }

    pub(crate) fn members(&self) -> &[(Box<str>, Fragment)] {
        if let Shape::Object(members) = &self.shape { members } else { &[] }
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Fragment> {
        self.members().iter().find(|(member, _)| &**member == name).map(|(_, member)| member)
    }

    pub(crate) fn items(&self) -> &[Fragment] {
        if let Shape::List(items) = &self.shape { items } else { &[] }
    }

    /// Its JSON, if it has no holes.
    pub(crate) fn to_json(&self) -> String {
        serde_json::to_string(self).expect("a fragment is plain data")
    }

    /// Appends its JSON, if it has no holes.
    pub(crate) fn write(&self, json: &mut Vec<u8>) {
        if self.is_fixed && !matches!(self.shape, Shape::Scalar(_)) {
            json.extend_from_slice(self.json.get_or_init(|| self.to_json().into()).as_bytes());
        } else {
            write_json(json, self);
        }
    }

    /// About how many bytes its JSON takes.
    pub(crate) fn size(&self) -> usize {
        if self.is_fixed { self.size as usize } else { self.sum_of_sizes() }
    }

    fn sum_of_sizes(&self) -> usize {
        match &self.shape {
            Shape::Scalar(Scalar::String(text)) => text.len() + 2,
            Shape::Scalar(_) | Shape::Hole(_) => 8,
            Shape::List(items) => 2 + items.iter().map(|item| item.size() + 1).sum::<usize>(),
            Shape::Object(members) => {
                2 + members.iter().map(|(name, part)| name.len() + 4 + part.size()).sum::<usize>()
            }
        }
    }
}

/// Of what has no holes.
impl Serialize for Fragment {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.shape {
            Shape::Scalar(value) => value.serialize(serializer),
            Shape::List(items) => serializer.collect_seq(&**items),
            Shape::Object(members) => serializer.collect_map(members.iter().map(|(name, part)| (name, part))),
            Shape::Hole(_) => unreachable!("holes are filled before a fragment is written"),
        }
    }
}

impl<'de> Deserialize<'de> for Fragment {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Fragment, D::Error> {
        Value::deserialize(deserializer).map(|value| Fragment::filled(value, false))
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
