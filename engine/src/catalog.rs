//! The templates in force, and what is known of a namespace: all that a review depends on beside the review itself.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use serde_json::value::{RawValue, to_raw_value};

use crate::nearest;
use crate::template::{OnError, Template, TemplateName};

/// The templates in force. Once built it is never changed: a reload makes a new one.
#[derive(Clone, Debug, Default)]
pub struct Catalog {
    on_error: OnError,
    templates: HashMap<TemplateName, Slot>,
}

/// Everything of one name.
#[derive(Clone, Debug, Default)]
struct Slot {
    cluster_wide: Option<Arc<Template>>,
    /// By namespace.
    namespaced: BTreeMap<String, Arc<Template>>,
    /// Why a template of this name was refused.
    refused: Option<String>,
}

/// What a name leads to.
#[derive(Debug)]
pub(crate) enum Found<'a> {
    Template(&'a Arc<Template>),
    /// With the first thing that is wrong with it.
    Refused(&'a str),
    Unknown,
}

impl Catalog {
    /// An empty catalog. `on_error` is for problems with no template to ask, such as an unknown name.
    pub fn new(on_error: OnError) -> Catalog {
        Catalog { on_error, templates: HashMap::new() }
    }

    /// Puts a template in force, in place of another of the same name and namespace.
    pub fn insert(&mut self, template: Arc<Template>) {
        let slot = self.templates.entry(template.name().clone()).or_default();
        match template.namespace() {
            Some(namespace) => drop(slot.namespaced.insert(namespace.to_owned(), template)),
            None => slot.cluster_wide = Some(template),
        }
    }

    /// Remembers a template that was refused, so that asking for it says so. `why` is the first thing wrong with it.
    pub fn refuse(&mut self, name: TemplateName, why: String) {
        self.templates.entry(name).or_default().refused = Some(why);
    }

    /// How many templates are in force.
    pub fn len(&self) -> usize {
        self.templates.values().map(|slot| slot.namespaced.len() + usize::from(slot.cluster_wide.is_some())).sum()
    }

    /// Whether no template is in force.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The names of the templates in force, in no particular order.
    pub fn names(&self) -> impl Iterator<Item = &TemplateName> {
        let in_force = |slot: &Slot| slot.cluster_wide.is_some() || !slot.namespaced.is_empty();
        self.templates.iter().filter(move |(_, slot)| in_force(slot)).map(|(name, _)| name)
    }

    /// The template that pods of this namespace get for a name.
    pub fn template(&self, name: &str, namespace: &str) -> Option<&Template> {
        match self.find(name, namespace) {
            Found::Template(template) => Some(template),
            Found::Refused(_) | Found::Unknown => None,
        }
    }

    pub(crate) fn on_error(&self) -> OnError {
        self.on_error
    }

    /// The template that a pod of this namespace gets for a name: the cluster-wide one, unless that one allows to be
    /// shadowed.
    pub(crate) fn find(&self, name: &str, namespace: &str) -> Found<'_> {
        let slot = self.templates.get(name);
        let own = slot.and_then(|slot| slot.namespaced.get(namespace));
        let cluster_wide = slot.and_then(|slot| slot.cluster_wide.as_ref());
        match (cluster_wide, own, slot.and_then(|slot| slot.refused.as_deref())) {
            (Some(template), Some(own), _) if template.allows_shadowing() => Found::Template(own),
            (Some(template), _, _) | (None, Some(template), _) => Found::Template(template),
            (None, None, Some(why)) => Found::Refused(why),
            (None, None, None) => Found::Unknown,
        }
    }

    /// The template for this namespace whose name is nearest to one that leads nowhere.
    pub(crate) fn nearest(&self, name: &str, namespace: &str) -> Option<&str> {
        let is_usable = |slot: &Slot| slot.cluster_wide.is_some() || slot.namespaced.contains_key(namespace);
        nearest(name, self.templates.iter().filter(|(_, slot)| is_usable(slot)).map(|(name, _)| name.as_str()))
    }
}

/// What is known of the pod's namespace.
#[derive(Debug)]
pub struct Namespace {
    pub(crate) name: String,
    /// Its labels, annotations and the object itself, if somebody has told us.
    pub(crate) known: Option<Known>,
}

#[derive(Debug)]
pub(crate) struct Known {
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) annotations: BTreeMap<String, String>,
    pub(crate) object: Box<RawValue>,
}

impl Namespace {
    /// A namespace of which only the name is known.
    pub fn named(name: &str) -> Namespace {
        Namespace { name: name.to_owned(), known: None }
    }

    /// A namespace as the API server presents it.
    pub fn from_object(object: &serde_json::Value) -> Namespace {
        let metadata = &object["metadata"];
        let strings = |field: &str| -> BTreeMap<String, String> {
            let members = metadata[field].as_object().into_iter().flatten();
            members.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned()))).collect()
        };
        let known = Known {
            labels: strings("labels"),
            annotations: strings("annotations"),
            object: to_raw_value(object).expect("a JSON value is JSON"),
        };
        Namespace { name: metadata["name"].as_str().unwrap_or_default().to_owned(), known: Some(known) }
    }

    pub(crate) fn annotation_keys(&self) -> impl Iterator<Item = &str> {
        self.known.iter().flat_map(|known| known.annotations.keys()).map(String::as_str)
    }

    pub(crate) fn annotation(&self, key: &str) -> Option<&str> {
        self.known.as_ref()?.annotations.get(key).map(String::as_str)
    }
}
