//! What Pillion wrote down on the pod about what it added: `pillion.dev/status` and `pillion.dev/outcome`.
//!
//! A status is a hint, never a proof: anybody can write one, and a pod can have lost what it speaks of. So each name that
//! it records is looked for in the pod.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashSet};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::{RawValue, to_raw_value};

use super::check::MAX_ANNOTATIONS;
use super::decide::MAX_TEMPLATES;
use crate::decision::{Outcome, Reason};
use crate::schema::{Schema, Type};
use crate::shown;

pub(super) const STATUS: &str = "pillion.dev/status";
pub(super) const OUTCOME: &str = "pillion.dev/outcome";

/// The most that a status may record, and so that templates may add to a pod, all together: a pod of fifty containers with
/// a dozen templates has fewer entries.
pub(super) const MAX_ENTRIES: usize = 4096;

/// The same for fields of the pod that were replaced: a template replaces at most five.
const MAX_REPLACED: usize = 5 * MAX_TEMPLATES;

/// Everything recorded on one pod.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub(super) struct Status {
    /// Of the Pillion that wrote it.
    #[serde(default)]
    pub(super) version: String,
    #[serde(default)]
    pub(super) templates: Vec<Record>,
    /// Which record speaks of an addition, as read from the pod.
    #[serde(skip)]
    owners: BTreeMap<String, usize>,
    /// Why templates were left out in an earlier call.
    #[serde(skip)]
    failures: BTreeMap<String, Reason>,
}

/// What one template added.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub(super) struct Record {
    pub(super) name: String,
    /// Of the template and its parameters.
    #[serde(default)]
    pub(super) digest: String,
    /// Where: JSON pointers in which a list's item is named by its key, such as `/spec/volumes/app-logs`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) added: Vec<String>,
    /// What was there before, where one of the pod's own fields was replaced.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) replaced: Vec<(String, Value)>,
    /// What an entry with `override: true` replaced. What was there is not kept: it may be a secret.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) overridden: Vec<String>,
    /// The pod's own containers, as far as the template has seen them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) app: Vec<String>,
}

impl Record {
    /// About how many bytes of the status it takes beside its entries.
    pub(super) fn bytes_of_names(&self) -> usize {
        // What JSON needs for its members.
        const AROUND: usize = 64;
        AROUND + self.name.len() + self.digest.len() + self.app.iter().map(|name| name.len() + 3).sum::<usize>()
    }

    /// How much was added and changed.
    pub(super) fn entries(&self) -> usize {
        self.added.len() + self.replaced.len() + self.overridden.len()
    }

    /// What was missing and came back is recorded once.
    pub(super) fn without_repetitions(mut self) -> Record {
        let mut seen = HashSet::new();
        self.added.retain(|added| seen.insert(added.clone()));
        self
    }
}

impl Status {
    /// A status that cannot be read records nothing.
    pub(super) fn parse(annotation: Option<&str>, outcome: Option<&str>) -> Status {
        let annotation = annotation.filter(|text| text.len() <= MAX_ANNOTATIONS);
        let mut status: Status = annotation.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
        let words = outcome.unwrap_or_default().split(',').take(MAX_TEMPLATES).filter_map(|word| word.split_once('='));
        let failure =
            |word: &str| Reason::ALL.iter().find(|it| it.as_str() == word && it.outcomes().contains(&Outcome::Error));
        status.failures = words.filter_map(|(name, word)| Some((name.to_owned(), *failure(word)?))).collect();
        for record in &mut status.templates {
            record.added.retain(|added| can_be_added(added));
            record.replaced.retain(|(replaced, _)| can_be_added(replaced));
        }
        // We write one for each thing that a template added. Whoever writes more wants to keep us busy.
        let replaced: usize = status.templates.iter().map(|record| record.replaced.len()).sum();
        if status.entries() > MAX_ENTRIES || replaced > MAX_REPLACED {
            return Status::default();
        }
        status.index();
        status
    }

    /// About how many bytes it takes.
    pub(super) fn bytes(&self) -> usize {
        let entries = |record: &Record| -> usize {
            let places =
                record.added.iter().chain(&record.overridden).chain(record.replaced.iter().map(|(place, _)| place));
            places.map(|place| place.len() + 3).sum()
        };
        self.templates.iter().map(|record| record.bytes_of_names() + entries(record)).sum()
    }

    /// How much is recorded.
    pub(super) fn entries(&self) -> usize {
        self.templates.iter().map(Record::entries).sum()
    }

    fn index(&mut self) {
        let additions = |(at, record): (usize, &Record)| {
            record.added.iter().map(move |added| (added.clone(), at)).collect::<Vec<_>>()
        };
        self.owners = self.templates.iter().enumerate().flat_map(additions).collect();
    }

    /// Forgets containers of which `is_brought` does not know, by template, list and name.
    pub(super) fn keep_containers(&mut self, is_brought: impl Fn(&str, &str, &str) -> bool) {
        for Record { name: template, added, .. } in &mut self.templates {
            added.retain(|added| match tokens(added).as_slice() {
                [spec, list, name] if spec == "spec" && (list == "containers" || list == "initContainers") => {
                    is_brought(template, list, name)
                }
                _ => true,
            });
        }
        self.index();
    }

    pub(super) fn is_empty(&self) -> bool {
        self.templates.is_empty()
    }

    /// Puts a record in place of the template's earlier one.
    pub(super) fn put(&mut self, record: Record) {
        self.templates.retain(|known| known.name != record.name);
        self.templates.push(record);
    }

    pub(super) fn record(&self, template: &str) -> Option<&Record> {
        self.templates.iter().find(|record| record.name == template)
    }

    /// The volumes that these templates added.
    pub(super) fn volumes_of(&self, templates: &[String]) -> HashSet<String> {
        let records = templates.iter().filter_map(|template| self.record(template));
        let added = records.flat_map(|record| &record.added);
        // The name of a volume has nothing to escape.
        added.filter_map(|added| added.strip_prefix("/spec/volumes/")).map(str::to_owned).collect()
    }

    /// Why an earlier call left a template out.
    pub(super) fn failure(&self, template: &str) -> Option<Reason> {
        self.failures.get(template).copied().filter(|_| !self.is_empty())
    }

    /// The template that added something, if one is recorded for it.
    pub(super) fn added_by(&self, pointer: &str) -> Option<&str> {
        self.owners.get(pointer).and_then(|&at| self.templates.get(at)).map(|record| &*record.name)
    }

    /// A value of the pod as it was before anything was added. `place` names it from the pod's root.
    pub(super) fn without_added<'a>(&self, place: &[&str], raw: Cow<'a, RawValue>) -> Option<Cow<'a, RawValue>> {
        let around = (1..=place.len()).map(|length| pointer(place[..length].iter().copied()));
        if around.into_iter().any(|pointer| self.owners.contains_key(&pointer)) {
            return None;
        }
        let parse = || serde_json::from_str::<Value>(raw.get()).unwrap_or_default();
        let mut value = None;
        let kind = kind_of(place)?;
        let mut here = pointer(place.iter().copied());
        if self.added_below(&here) {
            self.take_out(value.insert(parse()), kind, &mut here);
        }
        // The first to replace something knows what the pod had.
        for (replaced, before) in self.templates.iter().rev().flat_map(|record| &record.replaced) {
            match replaced.strip_prefix(&here) {
                Some("") => value = Some(before.clone()),
                Some(path) if path.starts_with('/') => {
                    restore(value.get_or_insert_with(parse), kind, &tokens(path), before);
                }
                _ => {}
            }
        }
        // What only held additions was not there before.
        if value.as_ref().is_some_and(is_empty) {
            return None;
        }
        // Our own two annotations are additions, too, though not recorded as such.
        if place.first() == Some(&"metadata") || place.is_empty() {
            let whole = value.get_or_insert_with(parse);
            let annotations = match place {
                [] => whole.pointer_mut("/metadata/annotations"),
                ["metadata"] => whole.get_mut("annotations"),
                ["metadata", "annotations"] => Some(whole),
                ["metadata", "annotations", STATUS | OUTCOME] => return None,
                _ => None,
            };
            if let Some(Value::Object(annotations)) = annotations {
                annotations.retain(|key, _| key != STATUS && key != OUTCOME);
            }
        }
        Some(match value {
            Some(value) => Cow::Owned(to_raw_value(&value).expect("a JSON value is JSON")),
            None => raw,
        })
    }

    /// Whether something was added below a place.
    fn added_below(&self, place: &str) -> bool {
        let inside = format!("{place}/");
        self.owners.range(inside.clone()..).next().is_some_and(|(added, _)| added.starts_with(&inside))
    }

    /// Takes out what was added below a place, and what that leaves empty: an API server has no empty lists. Each part is
    /// looked at once, however much a status records.
    fn take_out(&self, value: &mut Value, shape: Shape, place: &mut String) {
        let length = place.len();
        let mut was_added = |token: &str, part: &mut Value| {
            place.truncate(length);
            place.push('/');
            escape(token, place);
            if let Some(inner) = shape.child(token).filter(|_| self.added_below(place)) {
                self.take_out(part, inner, place);
            }
            self.owners.contains_key(place.as_str())
        };
        match (shape, value) {
            // The item of a list stays, however empty: it was there before.
            (Shape::Other(Type::List { keys, .. }), Value::Array(items)) => {
                items.retain_mut(|item| !was_added(&key_of(item, keys), item));
            }
            (_, Value::Object(members)) => members.retain(|name, part| {
                let was_empty = is_empty(part);
                !was_added(name, part) && (was_empty || !is_empty(part))
            }),
            _ => {}
        }
        place.truncate(length);
    }
}

/// Whether a template can have added what is there: never a pod as a whole, nor all of its containers.
fn can_be_added(pointer: &str) -> bool {
    let tokens = tokens(pointer);
    let part = tokens.iter().map(String::as_str).collect::<Vec<_>>();
    match part.as_slice() {
        ["metadata", "labels" | "annotations", _] => true,
        ["spec", "containers" | "initContainers" | "volumes"] => false,
        ["spec", _, ..] => true,
        _ => false,
    }
}

/// A JSON pointer of these tokens.
pub(super) fn pointer<'a>(tokens: impl IntoIterator<Item = &'a str>) -> String {
    let mut pointer = String::new();
    for token in tokens {
        pointer.push('/');
        escape(token, &mut pointer);
    }
    pointer
}

/// The same place for people: `containers[app].env[NAME]`.
pub(super) fn place_of<'a>(tokens: impl IntoIterator<Item = &'a str>) -> String {
    let (mut place, mut shape) = (String::new(), Some(Shape::Object("Pod")));
    for token in tokens {
        let token = shown(token);
        match shape {
            Some(Shape::Other(_)) => place += &format!("[{token}]"),
            _ if place.is_empty() => place.push_str(&token),
            _ => place += &format!(".{token}"),
        }
        shape = shape.and_then(|shape| shape.child(&token));
    }
    place.strip_prefix("spec.").map(str::to_owned).unwrap_or(place)
}

/// RFC 6901.
pub(super) fn escape(token: &str, pointer: &mut String) {
    if !token.contains(['~', '/']) {
        pointer.push_str(token);
        return;
    }
    for character in token.chars() {
        match character {
            '~' => pointer.push_str("~0"),
            '/' => pointer.push_str("~1"),
            other => pointer.push(other),
        }
    }
}

pub(super) fn tokens(pointer: &str) -> Vec<String> {
    pointer.split('/').skip(1).map(|token| token.replace("~1", "/").replace("~0", "~")).collect()
}

/// The type of a place: each name is a field, a map's key, or the key of a list's item.
fn kind_of(place: &[&str]) -> Option<Shape> {
    place.iter().try_fold(Shape::Object("Pod"), |shape, name| shape.child(name))
}

/// What lies at a place.
#[derive(Clone, Copy)]
pub(super) enum Shape {
    Object(&'static str),
    Other(&'static Type),
}

impl Shape {
    pub(super) fn of(kind: &'static Type) -> Shape {
        match kind {
            Type::Ref { name } => Shape::Object(name),
            other => Shape::Other(other),
        }
    }

    /// What lies below, by field, by a map's key, or by the key of a list's item.
    pub(super) fn child(self, name: &str) -> Option<Shape> {
        match self {
            Shape::Object(object) => Schema::get().object(object).fields.get(name).map(Shape::of),
            Shape::Other(Type::Map { value }) => Some(Shape::of(value)),
            Shape::Other(Type::List { item, .. }) => Some(Shape::of(item)),
            Shape::Other(_) => None,
        }
    }

    fn find<'v>(self, value: &'v mut Value, token: &str) -> Option<&'v mut Value> {
        match (self, value) {
            (Shape::Other(Type::List { keys, .. }), Value::Array(items)) => {
                items.iter_mut().find(|item| key_of(item, keys) == token)
            }
            (_, Value::Object(members)) => members.get_mut(token),
            _ => None,
        }
    }
}

/// How a list's item is named in a pointer: by its key, or by its whole text where Kubernetes gives it none.
pub(super) fn key_of(item: &Value, keys: &[String]) -> String {
    if keys.is_empty() {
        let text = |item: &Value, field: &str| item.get(field).and_then(Value::as_str).map(str::to_owned);
        // An item of envFrom is known by its source and prefix, as one source can be there with several.
        let source =
            ["configMapRef", "secretRef"].into_iter().find_map(|kind| Some((kind, text(item.get(kind)?, "name")?)));
        return match (source, item) {
            (Some((kind, name)), _) => match text(item, "prefix").filter(|prefix| !prefix.is_empty()) {
                Some(prefix) => format!("{kind}/{name}/{prefix}"),
                None => format!("{kind}/{name}"),
            },
            (None, Value::String(text)) => text.clone(),
            // A sysctl, of which Kubernetes publishes no key.
            (None, Value::Object(members)) if members.len() == 2 && members.contains_key("value") => {
                text(item, "name").unwrap_or_else(|| sorted(item).to_string())
            }
            (None, item) => sorted(item).to_string(),
        };
    }
    let parts: Vec<_> = keys
        .iter()
        .map(|key| match item.get(key) {
            Some(Value::String(text)) => as_key(key, text).to_owned(),
            Some(other) => other.to_string(),
            None => default_key(key).to_owned(),
        })
        .collect();
    parts.join("/")
}

/// The same value with the members of each object in the order of their names: the API server has an order of its own.
fn sorted(value: &Value) -> Value {
    match value {
        Value::Object(members) => {
            let mut members: Vec<_> = members.iter().map(|(name, value)| (name.clone(), sorted(value))).collect();
            members.sort_by(|(one, _), (other, _)| one.cmp(other));
            Value::Object(members.into_iter().collect())
        }
        Value::Array(items) => items.iter().map(sorted).collect(),
        scalar => scalar.clone(),
    }
}

/// A key's text as it counts: `/data/` and `/data` are one place.
pub(super) fn as_key<'t>(key: &str, text: &'t str) -> &'t str {
    match key {
        "mountPath" if text.len() > 1 => text.trim_end_matches('/'),
        _ => text,
    }
}

/// What a key is when it is left out.
pub(super) fn default_key(key: &str) -> &'static str {
    if key == "protocol" { "TCP" } else { "" }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Array(items) => items.is_empty(),
        Value::Object(members) => members.is_empty(),
        _ => false,
    }
}

fn restore(value: &mut Value, shape: Shape, path: &[String], before: &Value) {
    let mut at = Some((value, shape));
    for token in path {
        at = at.and_then(|(value, shape)| Some((shape.find(value, token)?, shape.child(token)?)));
    }
    if let Some((value, _)) = at {
        *value = before.clone();
    }
}
