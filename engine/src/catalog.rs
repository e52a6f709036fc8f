//! The templates in force, and what is known of a namespace: all that a review depends on beside the review itself.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use serde_json::value::{RawValue, to_raw_value};

use crate::names::{OnError, TemplateName};
use crate::template::Template;
use crate::text::nearest;

/// The templates in force. Once built it is never changed: a reload makes a new one.
#[derive(Clone, Debug, Default)]
pub struct Catalog {
    on_error: OnError,
    templates: HashMap<TemplateName, Slot>,
}

/// Everything of one name.
#[derive(Clone, Debug, Default)]
struct Slot {
    cluster_wide: Option<Entry>,
    /// By namespace.
    namespaced: BTreeMap<String, Entry>,
}

#[derive(Clone, Debug)]
enum Entry {
    InForce(Arc<Template>),
    /// With the first thing that is wrong with it.
    Refused(String),
}

impl Entry {
    fn template(&self) -> Option<&Arc<Template>> {
        match self {
            Entry::InForce(template) => Some(template),
            Entry::Refused(_) => None,
        }
    }

    fn found(&self) -> Found<'_> {
        match self {
            Entry::InForce(template) => Found::Template(template),
            Entry::Refused(why) => Found::Refused(why),
        }
    }
}

impl Slot {
    fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.cluster_wide.iter().chain(self.namespaced.values())
    }
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
        let (name, namespace) = (template.name.clone(), template.namespace.clone());
        self.put(name, namespace, Entry::InForce(template));
    }

    /// Remembers a template that was refused, so that asking for it says so. `why` is the first thing wrong with it. One
    /// that is cluster-wide may have meant not to be shadowed, so it is not.
    pub fn refuse(&mut self, name: TemplateName, namespace: Option<&str>, why: String) {
        self.put(name, namespace.map(str::to_owned), Entry::Refused(why));
    }

    fn put(&mut self, name: TemplateName, namespace: Option<String>, entry: Entry) {
        let slot = self.templates.entry(name).or_default();
        match namespace {
            Some(namespace) => drop(slot.namespaced.insert(namespace, entry)),
            None => slot.cluster_wide = Some(entry),
        }
    }

    /// How many templates are in force.
    pub fn len(&self) -> usize {
        self.templates.values().flat_map(Slot::entries).filter_map(Entry::template).count()
    }

    /// Whether no template is in force.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The names of the templates in force, in no particular order.
    pub fn names(&self) -> impl Iterator<Item = &TemplateName> {
        let in_force = |slot: &Slot| slot.entries().any(|entry| entry.template().is_some());
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
        let Some(slot) = self.templates.get(name) else { return Found::Unknown };
        let own = slot.namespaced.get(namespace).map(Entry::found);
        match &slot.cluster_wide {
            Some(Entry::InForce(template)) if template.allows_shadowing => own.unwrap_or(Found::Template(template)),
            Some(entry) => entry.found(),
            None => own.unwrap_or(Found::Unknown),
        }
    }

    /// The template for this namespace whose name is nearest to one that leads nowhere.
    pub(crate) fn nearest(&self, name: &str, namespace: &str) -> Option<&str> {
        let is_usable = |name: &&str| matches!(self.find(name, namespace), Found::Template(_));
        nearest(name, self.templates.keys().map(TemplateName::as_str).filter(is_usable))
    }
}

/// What is known of the pod's namespace.
#[derive(Debug)]
pub struct Namespace {
    pub(crate) name: String,
    pub(crate) details: Details,
}

/// What is known of a namespace beside its name.
#[derive(Debug)]
pub(crate) enum Details {
    /// Nothing, and nothing more is expected.
    Unknown,
    /// All of it.
    Known(Known),
    /// It should be known; this is why it is not.
    Unavailable(String),
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
        Namespace { name: name.to_owned(), details: Details::Unknown }
    }

    /// A namespace that should be known, and could not be asked for: what it requires must not be left out in silence.
    pub fn unavailable(name: &str, why: String) -> Namespace {
        Namespace { name: name.to_owned(), details: Details::Unavailable(why) }
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
        let name = metadata["name"].as_str().unwrap_or_default().to_owned();
        Namespace { name, details: Details::Known(known) }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn known(&self) -> Option<&Known> {
        match &self.details {
            Details::Known(known) => Some(known),
            Details::Unknown | Details::Unavailable(_) => None,
        }
    }

    pub(crate) fn annotation_keys(&self) -> impl Iterator<Item = &str> {
        self.known().into_iter().flat_map(|known| known.annotations.keys()).map(String::as_str)
    }

    pub(crate) fn annotation(&self, key: &str) -> Option<&str> {
        self.known()?.annotations.get(key).map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load;

    fn template(kind: &str, namespace: &str, description: &str, more: &str) -> Arc<Template> {
        let text = format!(
            "apiVersion: pillion.dev/v1alpha1\nkind: {kind}\nmetadata: {{name: meter{namespace}}}\nspec:\n  \
             description: {description}\n{more}  pod: {{metadata: {{labels: {{a: b}}}}}}\n"
        );
        Arc::new(load::read(&text, "meter.yaml").remove(0).expect("a template"))
    }

    fn cluster_wide(more: &str) -> Arc<Template> {
        template("ClusterInjectionTemplate", "", "cluster-wide", more)
    }

    fn of_shop() -> Arc<Template> {
        template("InjectionTemplate", ", namespace: shop", "of shop", "")
    }

    fn broken() -> (TemplateName, String) {
        ("meter".parse().expect("a name"), "it is broken".into())
    }

    /// What pods of a namespace get for the name.
    fn found<'a>(catalog: &'a Catalog, namespace: &str) -> &'a str {
        match catalog.find("meter", namespace) {
            Found::Template(template) => &template.description,
            Found::Refused(why) => why,
            Found::Unknown => "nothing",
        }
    }

    #[test]
    fn a_namespace_has_its_own_template_only_where_the_cluster_wide_one_allows_it() {
        let mut catalog = Catalog::new(OnError::Deny);
        catalog.insert(of_shop());
        assert_eq!([found(&catalog, "shop"), found(&catalog, "bank")], ["of shop", "nothing"]);
        catalog.insert(cluster_wide(""));
        assert_eq!([found(&catalog, "shop"), found(&catalog, "bank")], ["cluster-wide", "cluster-wide"]);
        catalog.insert(cluster_wide("  allowShadowing: true\n"));
        assert_eq!([found(&catalog, "shop"), found(&catalog, "bank")], ["of shop", "cluster-wide"]);
    }

    #[test]
    fn a_broken_cluster_wide_template_is_not_shadowed_because_it_may_forbid_it() {
        let mut catalog = Catalog::new(OnError::Deny);
        let (name, why) = broken();
        catalog.insert(of_shop());
        catalog.refuse(name, None, why);
        assert_eq!([found(&catalog, "shop"), found(&catalog, "bank")], ["it is broken", "it is broken"]);
        assert_eq!(catalog.template("meter", "shop").map(|it| &it.description), None);
    }

    #[test]
    fn a_broken_template_of_a_namespace_concerns_that_namespace_alone() {
        let mut catalog = Catalog::new(OnError::Deny);
        let (name, why) = broken();
        catalog.refuse(name, Some("shop"), why);
        assert_eq!([found(&catalog, "shop"), found(&catalog, "bank")], ["it is broken", "nothing"]);
        catalog.insert(cluster_wide(""));
        assert_eq!(found(&catalog, "shop"), "cluster-wide");
    }
}
