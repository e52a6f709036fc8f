//! What Pillion wrote down on the pod about what it added: `pillion.dev/status` and `pillion.dev/outcome`.
//!
//! A status is a hint, never a proof: anybody can write one, and a pod can have lost what it speaks of. So each name that
//! it records is looked for in the pod.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashSet};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::{RawValue, to_raw_value};

use crate::decision::{Outcome, Reason};
use crate::draft::{is_empty, key_of, push_token, tokens};
use crate::schema::{Schema, Type};
use crate::text::shown;

pub(super) const STATUS: &str = "pillion.dev/status";
pub(super) const OUTCOME: &str = "pillion.dev/outcome";

/// The sum of all annotations. Source: apimachinery pkg/api/validation/objectmeta.go.
pub(super) const MAX_ANNOTATIONS: usize = 256 << 10;

/// The most templates that a pod may ask for. Each is looked up.
pub(super) const MAX_TEMPLATES: usize = 32;

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
    /// Why templates were skipped in an earlier call.
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
}

impl Status {
    /// A status that cannot be read records nothing.
    pub(super) fn parse(annotation: Option<&str>, outcome: Option<&str>) -> Status {
        let annotation = annotation.filter(|text| text.len() <= MAX_ANNOTATIONS);
        let mut status: Status = annotation.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
        let words = outcome.unwrap_or_default().split(',').take(MAX_TEMPLATES).filter_map(|word| word.split_once('='));
        let failures = words.filter_map(|(name, word)| {
            let reason = Reason::ALL.iter().find(|it| it.as_str() == word && it.outcomes().contains(&Outcome::Error));
            Some((name.to_owned(), *reason?))
        });
        status.failures = failures.collect();
        for record in &mut status.templates {
            record.added.retain(|added| can_be_added(added));
            // Only fields of the spec itself are replaced.
            record.replaced.retain(|(replaced, _)| can_be_added(replaced) && replaced.matches('/').count() == 2);
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
        let of_record = |record: &Record| -> usize {
            let replaced = record.replaced.iter().map(|(place, _)| place);
            let places = record.added.iter().chain(&record.overridden).chain(replaced);
            record.bytes_of_names() + places.map(|place| place.len() + 3).sum::<usize>()
        };
        self.templates.iter().map(of_record).sum()
    }

    /// How much is recorded.
    pub(super) fn entries(&self) -> usize {
        self.templates.iter().map(Record::entries).sum()
    }

    fn index(&mut self) {
        let records = self.templates.iter().enumerate();
        self.owners =
            records.flat_map(|(at, record)| record.added.iter().map(move |added| (added.clone(), at))).collect();
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

    /// Puts a record in place of the template's earlier one. What was missing and came back is recorded once.
    pub(super) fn put(&mut self, mut record: Record) {
        let mut seen = HashSet::new();
        record.added.retain(|added| seen.insert(added.clone()));
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

    /// Why an earlier call skipped a template.
    pub(super) fn failure(&self, template: &str) -> Option<Reason> {
        self.failures.get(template).copied().filter(|_| !self.is_empty())
    }

    /// The template that added something, if one is recorded for it.
    pub(super) fn added_by(&self, pointer: &str) -> Option<&str> {
        self.owners.get(pointer).and_then(|&at| self.templates.get(at)).map(|record| &*record.name)
    }

    /// A value of the pod as it was before anything was added. `place` names it from the pod's root.
    pub(super) fn without_added<'a>(&self, place: &[&str], raw: Cow<'a, RawValue>) -> Option<Cow<'a, RawValue>> {
        let (mut here, mut kind) = (String::new(), &Schema::get().pod);
        for token in place {
            push_token(&mut here, token);
            if self.owners.contains_key(&here) {
                return None;
            }
            kind = kind.child(token)?;
        }
        let parse = || serde_json::from_str::<Value>(raw.get()).unwrap_or_default();
        let mut value = None;
        if self.added_below(&here) {
            self.remove_added(value.insert(parse()), kind, &mut here);
        }
        // The first to replace something knows what the pod had.
        for (replaced, before) in self.templates.iter().rev().flat_map(|record| &record.replaced) {
            let inner = replaced.strip_prefix(&here);
            if let Some(field) = inner.and_then(|inner| value.get_or_insert_with(parse).pointer_mut(inner)) {
                *field = before.clone();
            }
        }
        // What only held additions was not there before.
        if value.as_ref().is_some_and(is_empty) {
            return None;
        }
        // Our own two annotations are additions, too, though not recorded as such.
        if place.first().is_none_or(|first| *first == "metadata") {
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
        Some(value.map_or(raw, |value| Cow::Owned(to_raw_value(&value).expect("a JSON value is JSON"))))
    }

    /// Whether something was added below a place.
    fn added_below(&self, place: &str) -> bool {
        let inside = format!("{place}/");
        self.owners.range(inside.clone()..).next().is_some_and(|(added, _)| added.starts_with(&inside))
    }

    /// Removes what was added below a place, and what that leaves empty: an API server has no empty lists. Each part is
    /// visited once, however much a status records.
    fn remove_added(&self, value: &mut Value, kind: &Type, place: &mut String) {
        let length = place.len();
        let mut was_added = |token: &str, part: &mut Value| {
            place.truncate(length);
            push_token(place, token);
            if let Some(inner) = kind.child(token).filter(|_| self.added_below(place)) {
                self.remove_added(part, inner, place);
            }
            self.owners.contains_key(place.as_str())
        };
        match (kind, value) {
            // The item of a list stays, however empty: it was there before.
            (Type::List { keys, .. }, Value::Array(items)) => {
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
    match tokens.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["metadata", "labels" | "annotations", _] => true,
        ["spec", "containers" | "initContainers" | "volumes"] => false,
        ["spec", _, ..] => true,
        _ => false,
    }
}

/// A place for people: `containers[app].env[NAME]`.
pub(super) fn place_of<'a>(tokens: impl IntoIterator<Item = &'a str>) -> String {
    let (mut place, mut kind) = (String::new(), Some(&Schema::get().pod));
    for token in tokens {
        let token = shown(token);
        match kind {
            Some(Type::List { .. } | Type::Map(_) | Type::Scalar(_)) => place += &format!("[{token}]"),
            _ if place.is_empty() => place.push_str(&token),
            _ => place += &format!(".{token}"),
        }
        kind = kind.and_then(|kind| kind.child(&token));
    }
    place.strip_prefix("spec.").map(str::to_owned).unwrap_or(place)
}
