//! The pod under review, as far as somebody has asked.

use std::borrow::Cow;

use serde_json::Value;
use serde_json::value::{RawValue, to_raw_value};

use super::status::Status;
use crate::admission::Review;
use crate::catalog::Namespace;
use crate::decision::Subject;
use crate::object::{self, Object};
use crate::template::expression::{Failure, Root, Variables};

/// A pod whose outermost members were read.
pub(super) struct Pod<'a> {
    pub(super) raw: &'a RawValue,
    metadata: Object<'a>,
    spec: Object<'a>,
    labels: Object<'a>,
    annotations: Object<'a>,
    pub(super) init_containers: Vec<Container<'a>>,
    pub(super) containers: Vec<Container<'a>>,
}

/// A container and its name.
pub(super) struct Container<'a> {
    pub(super) name: Cow<'a, str>,
    raw: &'a RawValue,
}

impl<'a> Pod<'a> {
    /// Nothing if it is not shaped like a pod.
    pub(super) fn parse(raw: &'a RawValue) -> Option<Pod<'a>> {
        let pod = Object::parse(raw)?;
        let metadata = pod.object("metadata")?;
        let spec = pod.object("spec")?;
        Some(Pod {
            raw,
            labels: metadata.object("labels")?,
            annotations: metadata.object("annotations")?,
            init_containers: containers(&spec, "initContainers")?,
            containers: containers(&spec, "containers")?,
            metadata,
            spec,
        })
    }

    pub(super) fn label(&self, key: &str) -> Option<Cow<'a, str>> {
        self.labels.string(key)
    }

    pub(super) fn annotation(&self, key: &str) -> Option<Cow<'a, str>> {
        self.annotations.string(key)
    }

    pub(super) fn annotation_keys(&self) -> impl Iterator<Item = &str> {
        self.annotations.members().map(|(key, _)| key)
    }

    pub(super) fn uses_host_network(&self) -> bool {
        self.spec.get("hostNetwork").is_some_and(|value| value.get() == "true")
    }

    /// The operating system; Linux unless it says otherwise.
    pub(super) fn os(&self) -> Cow<'a, str> {
        self.spec.object("os").and_then(|os| os.string("name")).unwrap_or("linux".into())
    }

    pub(super) fn subject(&self, review: &Review<'_>) -> Subject {
        let text = |name: &str| self.metadata.string(name).filter(|text| !text.is_empty());
        let owners = self.metadata.get("ownerReferences").and_then(object::list).unwrap_or_default();
        let controller = owners
            .into_iter()
            .filter_map(Object::parse)
            .find(|owner| owner.get("controller").is_some_and(|controller| controller.get() == "true"));
        Subject {
            // Kubernetes up to 1.23 left metadata.namespace empty.
            namespace: text("namespace").map_or_else(|| review.namespace().to_owned(), Cow::into_owned),
            name: text("name").or_else(|| text("generateName")).unwrap_or_default().into_owned(),
            owner: controller.map(|owner| {
                format!("{}/{}", owner.string("kind").unwrap_or_default(), owner.string("name").unwrap_or_default())
            }),
        }
    }
}

fn containers<'a>(spec: &Object<'a>, list: &str) -> Option<Vec<Container<'a>>> {
    let Some(raw) = spec.get(list) else { return Some(Vec::new()) };
    let container = |raw: &'a RawValue| Some(Container { name: Object::parse(raw)?.string("name")?, raw });
    object::list(raw)?.into_iter().map(container).collect()
}

/// What the expressions of one template see.
pub(super) struct Seen<'a> {
    pub(super) pod: &'a Pod<'a>,
    /// What Pillion added before: expressions do not see it, so that a second call sees what the first saw.
    pub(super) status: &'a Status,
    pub(super) namespace: &'a Namespace,
    pub(super) parameters: &'a Parameters,
    /// The container at hand, and the list it is in.
    pub(super) container: Option<(&'static str, &'a Container<'a>)>,
}

/// A template's parameters with their values.
#[derive(Debug, Default)]
pub(super) struct Parameters(pub(super) Vec<(String, Value)>);

impl Parameters {
    pub(super) fn get(&self, name: &str) -> &Value {
        self.0.iter().find(|(parameter, _)| parameter == name).map_or(&Value::Null, |(_, value)| value)
    }
}

impl Variables for Seen<'_> {
    fn lookup(&self, root: Root, path: &[String]) -> Result<Option<Cow<'_, RawValue>>, Failure> {
        match root {
            Root::Params => {
                let Some((name, path)) = path.split_first() else { return Ok(None) };
                let value = path.iter().try_fold(self.parameters.get(name), |value, name| value.get(name));
                Ok(value.filter(|value| !value.is_null()).map(owned))
            }
            Root::NamespaceObject => match &self.namespace.known {
                Some(known) => Ok(find(&known.object, path).map(Cow::Borrowed)),
                None if path == ["metadata", "name"] => Ok(Some(owned(&self.namespace.name.as_str().into()))),
                None => Err(Failure::UnknownNamespace),
            },
            Root::Container => {
                let Some((list, container)) = self.container else { return Ok(None) };
                let place = ["spec", list, &container.name];
                Ok(self.without_added(&place, path, find(container.raw, path)))
            }
            Root::Pod => {
                let found = match path.first().map(String::as_str) {
                    None => Some(self.pod.raw),
                    Some("spec") if path.len() > 1 => self.pod.spec.get(&path[1]).and_then(|raw| find(raw, &path[2..])),
                    Some(_) => find(self.pod.raw, path),
                };
                let found = self.without_added(&[], path, found);
                // An API server leaves empty maps out; nobody should have to ask for each.
                let is_map =
                    path.len() == 2 && path[0] == "metadata" && (path[1] == "labels" || path[1] == "annotations");
                Ok(found.or_else(|| is_map.then(|| owned(&Value::Object(Default::default())))))
            }
        }
    }
}

impl<'a> Seen<'a> {
    fn without_added(&self, place: &[&str], path: &[String], raw: Option<&'a RawValue>) -> Option<Cow<'a, RawValue>> {
        let raw = raw?;
        if self.status.is_empty() {
            return Some(Cow::Borrowed(raw));
        }
        let place: Vec<&str> = place.iter().copied().chain(path.iter().map(String::as_str)).collect();
        self.status.without_added(&place, raw)
    }
}

fn owned<'b>(value: &Value) -> Cow<'b, RawValue> {
    Cow::Owned(to_raw_value(value).expect("a JSON value is JSON"))
}

fn find<'a>(raw: &'a RawValue, path: &[String]) -> Option<&'a RawValue> {
    path.iter().try_fold(raw, |raw, name| Object::parse(raw)?.get(name))
}
