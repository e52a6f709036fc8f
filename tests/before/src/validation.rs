//! What the API server accepts in a container or a volume, as far as that part alone can tell.
//!
//! A template's own parts are checked when it is loaded; at review only what an expression gave is checked again. A value
//! that the API server refuses is reported to whoever made the pod, who cannot see that it came from a template.
//!
//! Source of every rule, where nothing else is said: kubernetes pkg/apis/core/validation/validation.go.

mod container;
mod env;
mod pod;
mod probe;
mod resources;
mod security;
mod volume;

use std::fmt;

use serde_json::Value;

use crate::schema::{Schema, Type};

pub(crate) use self::container::{container, mount, port};
pub(crate) use self::env::{env, env_from};
pub(crate) use self::pod::pod_field;
pub(crate) use self::probe::{handler, named_port, probe};
pub(crate) use self::resources::{amount, amounts, excess, resources};
use self::security::security_context;
pub(crate) use self::volume::volume;

/// One thing that is wrong with a part of a pod.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Wrong {
    /// Where, such as `initContainers[proxy].ports[0]`.
    pub(crate) place: String,
    /// A predicate: `must be between 1 and 65535`.
    pub(crate) message: String,
}

impl fmt::Display for Wrong {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {}", self.place, self.message)
    }
}

/// Collects what is wrong on a walk through a pod.
#[derive(Debug, Default)]
pub(crate) struct Report {
    place: String,
    pub(crate) wrong: Vec<Wrong>,
}

impl Report {
    /// Takes a step into the pod: `.ports` or `[0]`.
    pub(crate) fn at<T>(&mut self, step: &str, check: impl FnOnce(&mut Report) -> T) -> T {
        let length = self.place.len();
        self.place.push_str(step);
        let result = check(self);
        self.place.truncate(length);
        result
    }

    pub(crate) fn wrong(&mut self, message: impl Into<String>) {
        let wrong = Wrong { place: self.place.trim_start_matches('.').to_owned(), message: message.into() };
        if !self.wrong.contains(&wrong) {
            self.wrong.push(wrong);
        }
    }

    /// Fields that Kubernetes requires, at any depth: an expression may have left one out.
    pub(crate) fn complete(&mut self, value: &Value, kind: &Type) {
        match (kind, value) {
            (Type::Ref { name }, Value::Object(members)) => {
                let object = Schema::get().object(name);
                for field in object.required.iter().filter(|field| value[field.as_str()].is_null()) {
                    self.wrong(format!("lacks {field}"));
                }
                for (field, value) in members.iter().filter(|(_, value)| value.is_object() || value.is_array()) {
                    let Some(kind) = object.fields.get(field) else { continue };
                    self.at(&format!(".{field}"), |report| report.complete(value, kind));
                }
            }
            (Type::List { item, .. }, Value::Array(items)) => {
                for (at, value) in items.iter().enumerate() {
                    self.at(&format!("[{at}]"), |report| report.complete(value, item));
                }
            }
            _ => {}
        }
    }

    /// Checks a member, if it is there.
    fn member(&mut self, owner: &Value, name: &str, check: impl FnOnce(&mut Report, &Value)) {
        if let Some(value) = owner.get(name).filter(|value| !value.is_null()) {
            self.at(&format!(".{name}"), |report| check(report, value));
        }
    }

    /// Checks each item of a list, if it is there.
    fn each(&mut self, owner: &Value, list: &str, mut check: impl FnMut(&mut Report, &Value)) {
        self.member(owner, list, |report, items| {
            for (at, item) in items.as_array().into_iter().flatten().enumerate() {
                report.at(&format!("[{at}]"), |report| check(report, item));
            }
        });
    }

    /// A text that must be there.
    fn required(&mut self, owner: &Value, name: &str) {
        if text(owner, name).is_empty() {
            self.wrong(format!("lacks {name}"));
        }
    }

    /// The name of another object that must be there, such as a Secret.
    fn object_name(&mut self, owner: &Value, field: &str) {
        let name = text(owner, field);
        if name.is_empty() {
            self.wrong(format!("lacks {field}"));
        } else if !is_dns_subdomain(name) {
            let message = format!("is \"{}\", which no object can be called", crate::shown(name));
            self.at(&format!(".{field}"), |report| report.wrong(message));
        }
    }

    /// Of these members exactly one must be there.
    fn one_of(&mut self, owner: &Value, names: &[&str]) {
        let given: Vec<_> =
            names.iter().copied().filter(|name| owner.get(name).is_some_and(|it| !it.is_null())).collect();
        match given.as_slice() {
            [_] => {}
            [] if names.len() <= 6 => self.wrong(format!("needs one of {}", names.join(", "))),
            [] => self.wrong(format!("needs one of {} and the like", names[..4].join(", "))),
            _ => self.wrong(format!("has {}, and only one of them may be there", given.join(" and "))),
        }
    }

    fn not_negative(&mut self, owner: &Value, names: &[&str]) {
        for name in names {
            if owner.get(name).and_then(Value::as_i64).is_some_and(|number| number < 0) {
                self.at(&format!(".{name}"), |report| report.wrong("must not be negative"));
            }
        }
    }
}

fn text<'v>(owner: &'v Value, name: &str) -> &'v str {
    owner.get(name).and_then(Value::as_str).unwrap_or_default()
}

/// RFC 6335, as Kubernetes checks the names of ports. Source: apimachinery pkg/util/validation, IsValidPortName.
pub(crate) fn is_port_name(name: &str) -> bool {
    (1..=15).contains(&name.len())
        && name.chars().all(|letter| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '-')
        && name.contains(|letter: char| letter.is_ascii_lowercase())
        && !name.starts_with('-')
        && !name.ends_with('-')
        && !name.contains("--")
}

/// A label's or annotation's key. Source: apimachinery pkg/util/validation, IsQualifiedName.
pub(crate) fn is_qualified_name(key: &str) -> bool {
    let (prefix, name) = match key.split_once('/') {
        Some((prefix, name)) => (Some(prefix), name),
        None => (None, key),
    };
    !name.is_empty() && is_label_value(name) && prefix.is_none_or(is_dns_subdomain)
}

/// RFC 1123, as Kubernetes checks the names of most objects. Source: apimachinery pkg/util/validation,
/// IsDNS1123Subdomain.
fn is_dns_subdomain(name: &str) -> bool {
    name.len() <= 253 && name.split('.').all(crate::template::is_dns_word)
}

/// A label's value. Source: apimachinery pkg/util/validation, IsValidLabelValue.
pub(crate) fn is_label_value(value: &str) -> bool {
    let ends = [value.chars().next(), value.chars().next_back()];
    value.len() <= 63
        && ends.into_iter().flatten().all(|letter| letter.is_ascii_alphanumeric())
        && value.chars().all(|letter| letter.is_ascii_alphanumeric() || "-_.".contains(letter))
}

/// The key of a ConfigMap or Secret. Source: apimachinery pkg/util/validation, IsConfigMapKey.
fn is_data_key(key: &str) -> bool {
    (1..=253).contains(&key.len())
        && key.chars().all(|letter| letter.is_ascii_alphanumeric() || "-_.".contains(letter))
        && key != "."
        && !key.starts_with("..")
}

/// A path that stays inside of what it is relative to.
fn stays_inside(path: &str) -> bool {
    !path.starts_with('/') && !path.split('/').any(|part| part == "..")
}
