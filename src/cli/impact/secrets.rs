//! What must not be shown: what templates make of parameters that are `sensitive`, and of what pods keep secrets in.
//!
//! An expression may make anything of a value, so the places are hidden that such an expression fills, and beside that every
//! text that holds the value itself. Rather too much is hidden than too little.

use std::collections::{BTreeMap, BTreeSet};

use pillion_engine::yaml;
use serde_json::Value;

use super::difference::{Difference, Part, Step, key_fields, key_of};
use crate::files::SourceFile;

/// What is shown instead.
pub(super) const HIDDEN: &str = "(not shown)";

/// A shorter value is hidden only where it is all of a text: it would be found in too many.
const MIN_PART: usize = 4;

/// Where the API server keeps what people use for secrets, as an expression names it.
const PRIVATE: [&str; 4] = [".env", ".args", ".command", ".httpHeaders"];

/// The secrets of all templates, by the template's name.
#[derive(Default)]
pub(super) struct Secrets(BTreeMap<String, OfTemplate>);

#[derive(Default)]
struct OfTemplate {
    parameters: BTreeSet<String>,
    /// The defaults of these.
    values: Vec<String>,
    places: Vec<Vec<Match>>,
}

/// What a step to a hidden place must be.
#[derive(Clone)]
enum Match {
    Is(String),
    /// An item that is none of those with these keys.
    NoneOf(Vec<String>),
    Any,
}

impl Match {
    fn is(&self, name: &str) -> bool {
        matches!(self, Match::Is(of) if of == name)
    }

    fn matches(&self, step: &Step) -> bool {
        match (self, step) {
            (Match::Is(name), Step::Field(of) | Step::Item(of)) => name == of,
            (Match::Is(_), Step::OwnContainer) => false,
            (Match::NoneOf(keys), Step::Item(of)) => !keys.contains(of),
            (Match::NoneOf(_) | Match::Any, _) => true,
        }
    }
}

impl Secrets {
    /// Those of the templates in these files.
    pub(super) fn of<'f>(files: impl Iterator<Item = &'f SourceFile>) -> Secrets {
        let mut secrets = Secrets::default();
        let texts = files.filter_map(|file| file.text.as_deref().ok());
        let is_of_interest = |text: &&str| text.contains("sensitive") || PRIVATE.iter().any(|it| text.contains(it));
        for document in texts.filter(is_of_interest).flat_map(yaml::documents) {
            // What cannot be read makes nothing of a secret.
            let Ok(Some(node)) = yaml::read_document(document, 0) else { continue };
            let template = node.to_json();
            let Some(name) = template["metadata"]["name"].as_str() else { continue };
            secrets.0.entry(name.to_owned()).or_default().add(&template["spec"]);
        }
        secrets
    }

    /// What is to be hidden of a pod that has these templates and, with its namespace, these annotations.
    pub(super) fn mask<'s>(&'s self, templates: &[&str], annotations: &[&Value]) -> Mask<'s> {
        let mut mask = Mask::default();
        for (name, secrets) in templates.iter().filter_map(|name| self.0.get_key_value(*name)) {
            mask.places.extend(&secrets.places);
            mask.values.extend(secrets.values.iter().cloned());
            for parameter in &secrets.parameters {
                let key = format!("{name}.pillion.dev/{parameter}");
                let set = annotations.iter().filter_map(|annotations| annotations[&key].as_str());
                set.for_each(|text| add_texts(&text.into(), &mut mask.values));
            }
        }
        mask
    }
}

impl OfTemplate {
    /// Adds the secrets of a `spec`.
    fn add(&mut self, spec: &Value) {
        for parameter in spec["parameters"].as_array().into_iter().flatten() {
            if parameter["sensitive"] == true {
                self.parameters.extend(parameter["name"].as_str().map(str::to_owned));
                add_texts(&parameter["default"], &mut self.values);
            }
        }
        self.walk(&spec["pod"], "", &mut Vec::new());
        for entry in spec["app"].as_array().into_iter().flatten() {
            for list in ["containers", "initContainers"] {
                self.walk(entry, "", &mut vec![Match::Is("spec".into()), Match::Is(list.into()), Match::Any]);
            }
        }
    }

    /// Notes the places below a value that must be hidden.
    fn walk(&mut self, value: &Value, field: &str, steps: &mut Vec<Match>) {
        match value {
            Value::String(text) if self.is_private(text) => self.places.push(steps.clone()),
            Value::Object(members) => {
                for (name, member) in members {
                    steps.push(Match::Is(name.clone()));
                    self.walk(member, name, steps);
                    steps.pop();
                }
            }
            Value::Array(items) => {
                let key = |item: &Value| key_of(field, item).filter(|key| !key.contains("${{"));
                let keys: Vec<_> = items.iter().filter_map(key).collect();
                for item in items {
                    let step = match item {
                        // Which item of the result it is depends on those in front of it.
                        Value::String(_) if key_fields(field).is_empty() => None,
                        Value::String(_) => Some(Match::NoneOf(keys.clone())),
                        _ => Some(key(item).map_or(Match::Any, Match::Is)),
                    };
                    let depth = steps.len();
                    steps.extend(step);
                    self.walk(item, "", steps);
                    steps.truncate(depth);
                }
            }
            _ => {}
        }
    }

    /// Whether an expression in a text may read a secret.
    fn is_private(&self, text: &str) -> bool {
        let reads_sensitive = |(at, word): (usize, &str)| match text[at + word.len()..].strip_prefix(['.']) {
            Some(rest) => {
                let rest = rest.trim_start_matches('?');
                let end = rest.find(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
                self.parameters.contains(&rest[..end.unwrap_or(rest.len())])
            }
            // All of them, or one by a name that is not written out.
            None => !self.parameters.is_empty(),
        };
        text.contains("${{")
            && (PRIVATE.iter().any(|it| text.contains(it)) || text.match_indices("params").any(reads_sensitive))
    }
}

/// Adds a value, and the texts in one that is JSON.
fn add_texts(value: &Value, texts: &mut Vec<String>) {
    match value {
        Value::Null => {}
        Value::String(text) => {
            texts.push(text.clone());
            if let Ok(inner @ (Value::Array(_) | Value::Object(_))) = serde_json::from_str(text) {
                add_texts(&inner, texts);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| add_texts(item, texts)),
        Value::Object(members) => members.values().for_each(|member| add_texts(member, texts)),
        other => texts.push(other.to_string()),
    }
}

/// What is hidden of one pod.
#[derive(Default)]
pub(super) struct Mask<'s> {
    places: Vec<&'s Vec<Match>>,
    values: Vec<String>,
}

impl Mask<'_> {
    /// Hides what must not be shown of a difference.
    pub(super) fn hide(&self, difference: &mut Difference) {
        if self.places.is_empty() && self.values.is_empty() {
            return;
        }
        let Difference { steps, parts, .. } = difference;
        let values = parts.iter_mut().filter_map(|part| if let Part::Value(value) = part { Some(value) } else { None });
        values.for_each(|value| self.hide_in(value, &mut steps.clone()));
        for at in 0..steps.len() {
            let is_hidden = self.is_key_hidden(&steps[..=at]);
            if let Step::Field(text) | Step::Item(text) = &mut steps[at]
                && (is_hidden || self.holds_secret(text))
            {
                HIDDEN.clone_into(text);
            }
        }
    }

    /// Whether the last step is a key that an expression made of a secret, by itself or with all of the item.
    fn is_key_hidden(&self, steps: &[Step]) -> bool {
        let [.., Step::Field(list), Step::Item(_)] = steps else { return false };
        let leads_there = |place: &[Match]| place.iter().zip(steps).all(|(wanted, step)| wanted.matches(step));
        let is_key = |last: &Match| key_fields(list).iter().any(|key| last.is(key));
        self.places.iter().any(|place| match place.get(steps.len()..) {
            None | Some([]) => leads_there(place),
            Some([last]) => is_key(last) && leads_there(place),
            _ => false,
        })
    }

    fn hide_in(&self, value: &mut Value, steps: &mut Vec<Step>) {
        let is_hidden = |place: &&Vec<Match>| {
            place.len() <= steps.len() && place.iter().zip(&*steps).all(|(wanted, step)| wanted.matches(step))
        };
        if self.places.iter().any(is_hidden) {
            *value = HIDDEN.into();
            return;
        }
        match value {
            Value::Object(members) => {
                for (name, member) in members.iter_mut() {
                    steps.push(Step::Field(name.clone()));
                    self.hide_in(member, steps);
                    steps.pop();
                }
            }
            Value::Array(items) => {
                let list = if let Some(Step::Field(name)) = steps.last() { name.clone() } else { String::new() };
                for item in items {
                    steps.push(Step::Item(key_of(&list, item).unwrap_or_default()));
                    self.hide_in(item, steps);
                    steps.pop();
                }
            }
            Value::Null => {}
            Value::String(text) if !self.holds_secret(text) => {}
            other if other.is_string() || self.holds_secret(&other.to_string()) => *other = HIDDEN.into(),
            _ => {}
        }
    }

    fn holds_secret(&self, text: &str) -> bool {
        self.values.iter().any(|value| text == value || value.len() >= MIN_PART && text.contains(value.as_str()))
    }
}
