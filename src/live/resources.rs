//! What the template resources of the cluster amount to, now and since the process began.

use std::collections::{BTreeMap, BTreeSet};
use std::ptr;
use std::sync::Arc;

use pillion_engine::catalog::Catalog;
use pillion_engine::template::{Template, TemplateName};

use super::library::Loaded;
use crate::cluster::status::{Report, Standing};
use crate::cluster::templates::{Change, Identity, Kind, Resource, TemplateStatus, read};

/// The template resources, each with the last that was good of it. Lives as long as the process.
pub(crate) struct Resources {
    /// Those that count.
    kinds: &'static [Kind],
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
    /// Tells the log what is wrong with it, or what could be better.
    fn say(&self) {
        let meanwhile = if self.good.is_some() { "what was last good of it stays in force" } else { "" };
        for problem in &self.problems {
            tracing::error!(problem, meanwhile, "template refused");
        }
        let accepted = self.good.iter().filter(|_| self.problems.is_empty());
        for warning in accepted.flat_map(|template| template.warnings()) {
            tracing::warn!(warning = warning.to_string(), "template accepted, but should be better");
        }
    }
}

/// Puts a resource into a catalog: as a template, or with the first thing that is wrong with it.
pub(crate) fn enter(catalog: &mut Catalog, identity: &Identity, template: Result<Arc<Template>, String>) {
    match (template, identity.name.parse::<TemplateName>()) {
        (Ok(template), _) => catalog.insert(template),
        (Err(why), Ok(name)) => catalog.refuse(name, identity.namespace.as_deref(), why),
        // No pod can ask for what has no template's name.
        (Err(_), Err(_)) => {}
    }
}

impl Resources {
    /// No resources yet. `heeds_namespaced` says whether `InjectionTemplate`s count.
    pub(crate) fn new(heeds_namespaced: bool) -> Resources {
        let kinds: &[Kind] = if heeds_namespaced { &Kind::ALL } else { &[Kind::ClusterWide] };
        Resources { kinds, entries: BTreeMap::new(), listed: BTreeSet::new() }
    }

    /// The kinds that count.
    pub(crate) fn kinds(&self) -> &'static [Kind] {
        self.kinds
    }

    /// Takes up what has become of them, and says whether that is more than what is written about them. The log hears of
    /// what is new and wrong.
    pub(crate) fn heed(&mut self, change: Change) -> bool {
        match change {
            Change::Listed(kind, resources) => {
                self.listed.insert(kind);
                let entries = std::mem::take(&mut self.entries).into_iter();
                let (mut last, others): (BTreeMap<_, _>, _) = entries.partition(|(identity, _)| identity.kind == kind);
                self.entries = others;
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
        let Resource { identity, uid, generation, document, status: written } = resource;
        // A resource that was deleted and made again has nothing in common with the one before but its name.
        let (entry, is_news) = match last.filter(|last| last.uid == uid) {
            // Only its status or metadata has changed.
            Some(last) if last.generation == generation => (Entry { written, ..last }, false),
            last => {
                let (good, problems) = match read(&identity, document) {
                    Ok(template) => (Some(template), Vec::new()),
                    Err(problems) => (last.and_then(|last| last.good), problems),
                };
                let entry = Entry { uid, generation, written, problems, good };
                entry.say();
                (entry, true)
            }
        };
        self.entries.insert(identity, entry);
        is_news
    }

    fn heeded(&self) -> impl Iterator<Item = (&Identity, &Entry)> {
        self.entries.iter().filter(|(identity, _)| self.kinds.contains(&identity.kind))
    }

    /// Puts them into a catalog, the broken ones as such.
    pub(crate) fn enter(&self, catalog: &mut Catalog) {
        for (identity, entry) in self.heeded() {
            let first_problem = || entry.problems.first().cloned().unwrap_or_default();
            enter(catalog, identity, entry.good.clone().ok_or_else(first_problem));
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

    /// What each has to say of itself, given the catalog in force and the files that went into it. Nothing until
    /// everything has been seen: one that is shadowed would look accepted until the other is there.
    pub(crate) fn reports(&self, catalog: &Catalog, files: &Loaded) -> Vec<Report> {
        if !Kind::ALL.iter().all(|kind| self.listed.contains(kind)) {
            return Vec::new();
        }
        self.entries
            .iter()
            .map(|(identity, entry)| {
                let found = catalog.template(&identity.name, identity.namespace.as_deref().unwrap_or_default());
                let in_force = entry.good.as_deref().filter(|good| found.is_some_and(|found| ptr::eq(found, *good)));
                let (standing, message) = self.standing(identity, &entry.problems, in_force, files);
                Report {
                    identity: identity.clone(),
                    uid: entry.uid.clone(),
                    generation: entry.generation,
                    digest: in_force.map(|template| template.digest().to_owned()),
                    standing,
                    message,
                    written: entry.written.clone(),
                }
            })
            .collect()
    }

    /// `in_force` is what is in force of the resource itself.
    fn standing(
        &self,
        identity: &Identity,
        problems: &[String],
        in_force: Option<&Template>,
        files: &Loaded,
    ) -> (Standing, String) {
        let Identity { kind, namespace, name } = identity;
        if !self.kinds.contains(kind) {
            let message = "this server heeds no templates of namespaces (--namespaced-templates=false); ask the \
                           platform's owner for a ClusterInjectionTemplate";
            (Standing::NamespacedTemplatesDisabled, message.into())
        } else if let [problem, others @ ..] = problems {
            let more = if others.is_empty() { String::new() } else { format!("; and {} more", others.len()) };
            let meanwhile = in_force.map(|it| format!("; what was last good of it, {}, stays in force", it.digest()));
            (Standing::InvalidTemplate, format!("{problem}{more}{}", meanwhile.unwrap_or_default()))
        } else if let Some(template) = in_force {
            (Standing::Accepted, self.remarks(identity, template))
        } else if files.has(name, namespace.as_deref()) {
            let message = format!("a file of the server has a template {name}, and files go before resources");
            (Standing::FileTakesPrecedence, message)
        } else {
            let message = format!(
                "the cluster-wide template {name} goes before it; rename this one, or have that one say \
                 allowShadowing: true"
            );
            (Standing::Shadowed, message)
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
            [first, others @ ..] => message += &format!("; could be better: {first}; and {} more", others.len()),
        }
        message
    }
}
