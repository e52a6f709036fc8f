//! What a review depends on beside itself: the templates in force, and the pod's namespace.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

pub use crate::image::ImageMirror;
use crate::names::{OnError, TemplateName};
use crate::template::Template;
use crate::text::nearest;

/// The templates in force. Once built it is never changed: a reload makes a new one.
#[derive(Clone, Debug, Default)]
pub struct Catalog {
    pub(crate) on_error: OnError,
    pub(crate) image_mirrors: Vec<ImageMirror>,
    templates: HashMap<TemplateName, Slot>,
}

/// A template in force, or the first thing that is wrong with one that was refused.
type Entry = Result<Arc<Template>, String>;

/// The templates of one name.
#[derive(Clone, Debug, Default)]
struct Slot {
    cluster_wide: Option<Entry>,
    by_namespace: BTreeMap<String, Entry>,
}

impl Slot {
    fn in_force(&self) -> impl Iterator<Item = &Arc<Template>> {
        self.cluster_wide.iter().chain(self.by_namespace.values()).flatten()
    }
}

impl Catalog {
    /// An empty catalog. `on_error` is for problems with no template to ask, such as an unknown name.
    pub fn new(on_error: OnError) -> Catalog {
        Catalog { on_error, ..Catalog::default() }
    }

    /// The same where containers may have the images of all templates from these mirrors.
    pub fn with_image_mirrors(self, image_mirrors: Vec<ImageMirror>) -> Catalog {
        Catalog { image_mirrors, ..self }
    }

    /// Puts a template in force, in place of another of the same name and namespace.
    pub fn insert(&mut self, template: Arc<Template>) {
        self.put(template.name.clone(), template.namespace.as_deref(), Ok(Arc::clone(&template)));
    }

    /// Remembers why a template was refused, for those who ask for it. A cluster-wide one may have meant not to be
    /// shadowed, so it is not.
    pub fn refuse(&mut self, name: TemplateName, namespace: Option<&str>, why: String) {
        self.put(name, namespace, Err(why));
    }

    fn put(&mut self, name: TemplateName, namespace: Option<&str>, entry: Entry) {
        let slot = self.templates.entry(name).or_default();
        match namespace {
            Some(namespace) => drop(slot.by_namespace.insert(namespace.to_owned(), entry)),
            None => slot.cluster_wide = Some(entry),
        }
    }

    /// How many templates are in force.
    pub fn len(&self) -> usize {
        self.templates.values().flat_map(Slot::in_force).count()
    }

    /// Whether no template is in force.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The names of the templates in force, in no particular order.
    pub fn names(&self) -> impl Iterator<Item = &TemplateName> {
        self.templates.iter().filter(|(_, slot)| slot.in_force().next().is_some()).map(|(name, _)| name)
    }

    /// The template that pods of this namespace get for a name.
    pub fn template(&self, name: &str, namespace: &str) -> Option<&Template> {
        Some(self.find(name, namespace)?.ok()?)
    }

    /// The template that pods of this namespace get for a name, or why it was refused: the cluster-wide one, unless the
    /// namespace has one and may shadow it.
    pub(crate) fn find(&self, name: &str, namespace: &str) -> Option<Result<&Arc<Template>, &str>> {
        let slot = self.templates.get(name)?;
        let wide = slot.cluster_wide.as_ref();
        let may_shadow = wide.is_none_or(|wide| wide.as_ref().is_ok_and(|template| template.allows_shadowing));
        let own = slot.by_namespace.get(namespace).filter(|_| may_shadow);
        Some(own.or(wide)?.as_ref().map_err(String::as_str))
    }

    /// The name that is nearest to an unknown one, of those that lead to a template for this namespace.
    pub fn nearest(&self, name: &str, namespace: &str) -> Option<&str> {
        let names = self.templates.keys().map(TemplateName::as_str);
        nearest(name, names.filter(|name| self.template(name, namespace).is_some()))
    }
}

/// What is known of the pod's namespace.
#[derive(Debug)]
pub struct Namespace {
    /// Its name.
    pub name: String,
    pub(crate) details: Details,
}

/// What is known of a namespace beside its name.
#[derive(Debug)]
pub(crate) enum Details {
    /// This server knows no namespaces.
    Unknown,
    Known(Known),
    /// It should be known, and is not for this reason.
    Unavailable(String),
}

#[derive(Debug)]
pub(crate) struct Known {
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) annotations: BTreeMap<String, String>,
    pub(crate) object: Box<str>,
}

impl Namespace {
    /// A namespace of which only the name is known.
    pub fn named(name: &str) -> Namespace {
        Namespace { name: name.to_owned(), details: Details::Unknown }
    }

    /// A namespace that should be known and is not, for the reason given: it may require templates.
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
        let known =
            Known { labels: strings("labels"), annotations: strings("annotations"), object: object.to_string().into() };
        let name = metadata["name"].as_str().unwrap_or_default().to_owned();
        Namespace { name, details: Details::Known(known) }
    }

    pub(crate) fn known(&self) -> Option<&Known> {
        match &self.details {
            Details::Known(known) => Some(known),
            Details::Unknown | Details::Unavailable(_) => None,
        }
    }

    pub(crate) fn label(&self, key: &str) -> Option<&str> {
        self.known()?.labels.get(key).map(String::as_str)
    }

    pub(crate) fn annotations(&self) -> impl Iterator<Item = (&str, &str)> {
        self.known().into_iter().flat_map(|known| &known.annotations).map(|(key, value)| (key.as_str(), value.as_str()))
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
        catalog.find("meter", namespace).map_or("nothing", |found| found.map_or_else(|why| why, |it| &it.description))
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
