//! What the template resources of the cluster amount to, now and since the process began.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use pillion_engine::catalog::Catalog;
use pillion_engine::template::{self, Template, TemplateName};
use pillion_engine::yaml::Node;

use crate::cluster::status::{Report, Standing, TemplateStatus};
use crate::cluster::templates::{Change, Identity, Kind, Resource};

/// The template resources, each with the last that was good of it. Lives as long as the process.
pub(crate) struct Resources {
    heeds_namespaced: bool,
    entries: BTreeMap<Identity, Entry>,
    /// Kinds of which everything has been seen.
    listed: BTreeSet<Kind>,
}

struct Entry {
    uid: String,
    generation: i64,
    written: Option<TemplateStatus>,
    /// What is wrong with it as it stands now; nothing if it is good.
    problems: Vec<String>,
    good: Option<Arc<Template>>,
}

impl Entry {
    fn parse(resource: Resource, last: Option<Entry>) -> Entry {
        // A resource that was deleted and made again has nothing in common with the one before but its name.
        let last = last.filter(|last| last.uid == resource.uid);
        let Resource { identity, uid, generation, document, status: written } = resource;
        match last {
            // Only its status or metadata has changed.
            Some(last) if last.generation == generation => Entry { written, ..last },
            last => {
                let last = last.and_then(|last| last.good);
                let (good, problems) = match read(&identity, document) {
                    Ok(template) => (Some(template), Vec::new()),
                    Err(problems) => (last, problems),
                };
                Entry { uid, generation, written, problems, good }
            }
        }
    }
}

/// Reads a template resource: the same way as a file.
///
/// # Errors
///
/// With everything that is wrong with it.
pub(crate) fn read(identity: &Identity, document: serde_json::Value) -> Result<Arc<Template>, Vec<String>> {
    let parse = || template::parse(&Node::from(document), &identity.to_string());
    match catch_unwind(AssertUnwindSafe(parse)) {
        Ok(Ok(template)) => Ok(Arc::new(template)),
        Ok(Err(refused)) => Err(refused.problems.iter().map(ToString::to_string).collect()),
        // The others must not suffer from it. The log has the place.
        Err(_) => Err(vec![format!("{identity}: reading it failed, which is a bug in pillion; please report it")]),
    }
}

impl Resources {
    /// No resources yet. `heeds_namespaced` says whether `InjectionTemplate`s count.
    pub(crate) fn new(heeds_namespaced: bool) -> Resources {
        Resources { heeds_namespaced, entries: BTreeMap::new(), listed: BTreeSet::new() }
    }

    /// Takes up what has become of them, and says whether that is more than what is written about them. The log hears of
    /// what is new and wrong.
    pub(crate) fn heed(&mut self, change: Change) -> bool {
        match change {
            Change::Listed(kind, resources) => {
                self.listed.insert(kind);
                let is_of_kind = |identity: &Identity, _: &mut Entry| identity.kind == kind;
                let mut last: BTreeMap<_, _> = self.entries.extract_if(.., is_of_kind).collect();
                let mut is_news = false;
                for resource in resources {
                    let known = last.remove(&resource.identity);
                    is_news |= self.put(resource, known);
                }
                is_news || !last.is_empty()
            }
            Change::Applied(resource) => {
                let last = self.entries.remove(&resource.identity);
                self.put(resource, last)
            }
            Change::Deleted(identity) => self.entries.remove(&identity).is_some(),
        }
    }

    fn put(&mut self, resource: Resource, last: Option<Entry>) -> bool {
        let identity = resource.identity.clone();
        let is_same = |last: &Entry| last.uid == resource.uid && last.generation == resource.generation;
        let is_news = !last.as_ref().is_some_and(is_same);
        let entry = Entry::parse(resource, last);
        if is_news {
            let meanwhile = if entry.good.is_some() { "what was last good of it stays in force" } else { "" };
            for problem in &entry.problems {
                tracing::error!(problem, meanwhile, "template refused");
            }
            let accepted = entry.good.iter().filter(|_| entry.problems.is_empty());
            for warning in accepted.flat_map(|template| template.warnings()) {
                tracing::warn!(warning = warning.to_string(), "template accepted, but should be better");
            }
        }
        self.entries.insert(identity, entry);
        is_news
    }

    fn heeded(&self) -> impl Iterator<Item = (&Identity, &Entry)> {
        self.entries.iter().filter(|(identity, _)| self.heeds_namespaced || identity.kind == Kind::ClusterWide)
    }

    /// Whether a namespace's own templates count.
    pub(crate) fn heeds_namespaced(&self) -> bool {
        self.heeds_namespaced
    }

    /// Puts them into a catalog, the broken ones as such.
    pub(crate) fn enter(&self, catalog: &mut Catalog) {
        for (identity, entry) in self.heeded() {
            match (&entry.good, identity.name.parse::<TemplateName>()) {
                (Some(template), _) => catalog.insert(Arc::clone(template)),
                (None, Ok(name)) => {
                    let why = entry.problems.first().cloned().unwrap_or_default();
                    catalog.refuse(name, identity.namespace.as_deref(), why);
                }
                // No pod can ask for what has no template's name.
                (None, Err(_)) => {}
            }
        }
    }

    /// What is wrong with them at present.
    pub(crate) fn problems(&self) -> impl Iterator<Item = &String> {
        self.heeded().flat_map(|(_, entry)| &entry.problems)
    }

    /// How many are refused.
    pub(crate) fn refused(&self) -> usize {
        self.heeded().filter(|(_, entry)| !entry.problems.is_empty()).count()
    }

    /// What each has to say of itself, given the catalog in force. Nothing until everything has been seen: one that is
    /// shadowed would look accepted until the other is there.
    pub(crate) fn reports(&self, catalog: &Catalog) -> Vec<Report> {
        if !Kind::ALL.iter().all(|kind| self.listed.contains(kind)) {
            return Vec::new();
        }
        self.entries
            .iter()
            .map(|(identity, entry)| {
                let (standing, message) = self.standing(identity, entry, catalog);
                let is_in_force = matches!(standing, Standing::Accepted | Standing::InvalidTemplate);
                let digest = entry.good.as_ref().filter(|_| is_in_force).map(|template| template.digest().to_owned());
                Report {
                    identity: identity.clone(),
                    uid: entry.uid.clone(),
                    generation: entry.generation,
                    digest,
                    standing,
                    message,
                    written: entry.written.clone(),
                }
            })
            .collect()
    }

    fn standing(&self, identity: &Identity, entry: &Entry, catalog: &Catalog) -> (Standing, String) {
        let Identity { kind, namespace, name } = identity;
        if *kind == Kind::Namespaced && !self.heeds_namespaced {
            let message = "this server heeds no templates of namespaces (--namespaced-templates=false); ask the \
                           platform's owner for a ClusterInjectionTemplate";
            return (Standing::NamespacedTemplatesDisabled, message.into());
        }
        if let Some(problem) = entry.problems.first() {
            let more = match entry.problems.len() {
                1 => String::new(),
                all => format!("; and {} more", all - 1),
            };
            let meanwhile = match &entry.good {
                Some(last) => format!("; what was last good of it, {}, stays in force", last.digest()),
                None => String::new(),
            };
            return (Standing::InvalidTemplate, format!("{problem}{more}{meanwhile}"));
        }
        let in_force = catalog.template(name, namespace.as_deref().unwrap_or_default());
        let is_this = |template: &Template| entry.good.as_ref().is_some_and(|good| std::ptr::eq(&**good, template));
        match in_force {
            Some(template) if is_this(template) => (Standing::Accepted, self.remarks(identity, template)),
            _ if *kind == Kind::Namespaced && in_force.is_none_or(|template| template.namespace().is_none()) => {
                let message = format!(
                    "the cluster-wide template {name} goes before it; rename this one, or have that one say \
                     allowShadowing: true"
                );
                (Standing::Shadowed, message)
            }
            _ => {
                let message = format!("a file of the server has a template {name}, and files go before resources");
                (Standing::FileTakesPrecedence, message)
            }
        }
    }

    /// What is worth knowing about a template that is in force.
    fn remarks(&self, identity: &Identity, template: &Template) -> String {
        const MOST: usize = 10;
        let mut message = "in force".to_owned();
        if identity.kind == Kind::ClusterWide && template.allows_shadowing() {
            let own = self.heeded().filter(|(other, _)| other.kind == Kind::Namespaced && other.name == identity.name);
            let namespaces: Vec<&str> = own.filter_map(|(other, _)| other.namespace.as_deref()).collect();
            if !namespaces.is_empty() {
                let named = namespaces.iter().take(MOST).copied().collect::<Vec<_>>().join(", ");
                let more = if namespaces.len() > MOST { ", …" } else { "" };
                message += &format!(", except where a namespace has its own ({named}{more})");
            }
        }
        match template.warnings() {
            [] => {}
            [one] => message += &format!("; could be better: {one}"),
            [first, rest @ ..] => message += &format!("; could be better: {first}; and {} more", rest.len()),
        }
        message
    }
}
