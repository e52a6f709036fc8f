//! The template resources of the cluster: what each says now, and its last known good version since the process began.

use std::collections::{BTreeMap, BTreeSet};
use std::ptr;
use std::sync::Arc;

use pillion_engine::catalog::Catalog;
use pillion_engine::template::{Template, TemplateName};

use super::library::{Loaded, MAX_PROBLEMS};
use crate::cluster::status::{Acceptance, DesiredStatus};
use crate::cluster::templates::{Identity, TemplateChange, TemplateKind, TemplateResource, TemplateStatus, read};

/// The template resources. Lives as long as the process.
pub(crate) struct Resources {
    /// The kinds that are in use.
    kinds: &'static [TemplateKind],
    known: BTreeMap<Identity, KnownResource>,
    /// The kinds of which all resources have been listed once.
    listed: BTreeSet<TemplateKind>,
}

struct KnownResource {
    uid: String,
    generation: i64,
    /// Its status in the cluster.
    written: Option<TemplateStatus>,
    /// What is wrong with it as it stands now; nothing if it is good.
    problems: Vec<String>,
    /// As it stands now if that is good, otherwise as it was when it was last good.
    last_good: Option<Arc<Template>>,
}

impl KnownResource {
    /// Logs what is wrong with it, or what could be better.
    fn log(&self) {
        let meanwhile = if self.last_good.is_some() { "the last known good version is kept" } else { "" };
        for problem in self.problems.iter().take(MAX_PROBLEMS) {
            tracing::error!(problem, meanwhile, "template refused");
        }
        if let Some(more) = self.problems.len().checked_sub(MAX_PROBLEMS).filter(|more| *more > 0) {
            tracing::error!(problem = format!("and {more} more"), meanwhile, "template refused");
        }
        let accepted = self.last_good.iter().filter(|_| self.problems.is_empty());
        for warning in accepted.flat_map(|template| &template.warnings) {
            tracing::warn!(warning = warning.to_string(), "template accepted, but should be better");
        }
    }
}

/// Inserts a resource into a catalog: as a template, or with the first thing that is wrong with it.
pub(crate) fn insert(catalog: &mut Catalog, identity: &Identity, template: Result<Arc<Template>, String>) {
    match (template, identity.name.parse::<TemplateName>()) {
        (Ok(template), _) => catalog.insert(template),
        (Err(why), Ok(name)) => catalog.refuse(name, identity.namespace.as_deref(), why),
        // No pod can ask for what has no template's name.
        (Err(_), Err(_)) => {}
    }
}

impl Resources {
    /// No resources yet. `namespaced_templates` says whether `InjectionTemplate`s are used.
    pub(crate) fn new(namespaced_templates: bool) -> Resources {
        let kinds: &[TemplateKind] =
            if namespaced_templates { &TemplateKind::ALL } else { &[TemplateKind::ClusterWide] };
        Resources { kinds, known: BTreeMap::new(), listed: BTreeSet::new() }
    }

    /// The kinds that are in use.
    pub(crate) fn kinds(&self) -> &'static [TemplateKind] {
        self.kinds
    }

    /// Applies a change, and logs what is new and wrong. Returns whether anything but a status or metadata has changed.
    pub(crate) fn apply(&mut self, change: TemplateChange) -> bool {
        match change {
            TemplateChange::Listed(kind, resources) => {
                self.listed.insert(kind);
                let known = std::mem::take(&mut self.known).into_iter();
                let (mut last, others): (BTreeMap<_, _>, _) = known.partition(|(identity, _)| identity.kind == kind);
                self.known = others;
                let mut is_changed = false;
                for resource in resources {
                    let last = last.remove(&resource.identity);
                    is_changed |= self.put(resource, last);
                }
                is_changed || !last.is_empty()
            }
            TemplateChange::Applied(resource) => {
                let last = self.known.remove(&resource.identity);
                self.put(resource, last)
            }
            TemplateChange::Deleted(identity) => self.known.remove(&identity).is_some(),
        }
    }

    fn put(&mut self, resource: TemplateResource, last: Option<KnownResource>) -> bool {
        let TemplateResource { identity, uid, generation, document, status: written } = resource;
        // A resource that was deleted and made again has nothing in common with the one before but its name.
        let (known, is_changed) = match last.filter(|last| last.uid == uid) {
            // Only its status or metadata has changed.
            Some(last) if last.generation == generation => (KnownResource { written, ..last }, false),
            last => {
                let (last_good, problems) = match read(&identity, document) {
                    Ok(template) => (Some(template), Vec::new()),
                    Err(problems) => (last.and_then(|last| last.last_good), problems),
                };
                let known = KnownResource { uid, generation, written, problems, last_good };
                known.log();
                (known, true)
            }
        };
        self.known.insert(identity, known);
        is_changed
    }

    fn in_use(&self) -> impl Iterator<Item = (&Identity, &KnownResource)> {
        self.known.iter().filter(|(identity, _)| self.kinds.contains(&identity.kind))
    }

    /// Inserts them into a catalog; of those without a good version, what is wrong.
    pub(crate) fn insert_into(&self, catalog: &mut Catalog) {
        for (identity, known) in self.in_use() {
            let template = known.last_good.clone();
            let template = template.ok_or_else(|| known.problems.first().cloned().unwrap_or_default());
            insert(catalog, identity, template);
        }
    }

    /// What is wrong with them at present.
    pub(crate) fn problems(&self) -> impl Iterator<Item = &String> {
        self.in_use().flat_map(|(_, known)| &known.problems)
    }

    /// How many are refused.
    pub(crate) fn refused(&self) -> usize {
        self.in_use().filter(|(_, known)| !known.problems.is_empty()).count()
    }

    /// The status that each should have, given the catalog in force and the files that went into it. Empty until both
    /// kinds have been listed: a resource that is shadowed would look accepted until the other one is known.
    pub(crate) fn desired_statuses(&self, catalog: &Catalog, files: &Loaded) -> Vec<DesiredStatus> {
        if !TemplateKind::ALL.iter().all(|kind| self.listed.contains(kind)) {
            return Vec::new();
        }
        self.known
            .iter()
            .map(|(identity, known)| {
                let chosen = catalog.template(&identity.name, identity.namespace.as_deref().unwrap_or_default());
                let in_force = known.last_good.as_deref().filter(|good| chosen.is_some_and(|it| ptr::eq(it, *good)));
                let (acceptance, message) = self.acceptance(identity, &known.problems, in_force, files);
                DesiredStatus {
                    identity: identity.clone(),
                    uid: known.uid.clone(),
                    generation: known.generation,
                    digest: in_force.map(|template| template.digest.to_owned()),
                    acceptance,
                    message,
                    written: known.written.clone(),
                }
            })
            .collect()
    }

    /// `in_force` is the version of this resource that is in force, if there is one.
    fn acceptance(
        &self,
        identity: &Identity,
        problems: &[String],
        in_force: Option<&Template>,
        files: &Loaded,
    ) -> (Acceptance, String) {
        let Identity { kind, namespace, name } = identity;
        if !self.kinds.contains(kind) {
            let message = "this server uses no InjectionTemplates (--namespaced-templates=false); ask the platform's owner \
                           for a ClusterInjectionTemplate";
            (Acceptance::NamespacedTemplatesDisabled, message.into())
        } else if let [problem, others @ ..] = problems {
            let more = if others.is_empty() { String::new() } else { format!("; and {} more", others.len()) };
            let kept = in_force.map(|it| format!("; the last known good version, {}, is kept", it.digest));
            (Acceptance::InvalidTemplate, format!("{problem}{more}{}", kept.unwrap_or_default()))
        } else if let Some(template) = in_force {
            (Acceptance::Accepted, self.remarks(identity, template))
        } else if files.has(name, namespace.as_deref()) {
            let message =
                format!("a file of the server has a template {name}, and files take precedence over resources");
            (Acceptance::FileTakesPrecedence, message)
        } else {
            let message = format!(
                "the ClusterInjectionTemplate {name} takes precedence; rename this one, or set allowShadowing: true in \
                 that one"
            );
            (Acceptance::Shadowed, message)
        }
    }

    /// What is worth knowing about a template that is in force.
    fn remarks(&self, identity: &Identity, template: &Template) -> String {
        const MOST: usize = 10;
        let mut message = "in force".to_owned();
        if identity.kind == TemplateKind::ClusterWide && template.allows_shadowing {
            let own = self
                .in_use()
                .filter(|(other, _)| other.kind == TemplateKind::Namespaced && other.name == identity.name);
            let namespaces: Vec<&str> = own.filter_map(|(other, _)| other.namespace.as_deref()).collect();
            if !namespaces.is_empty() {
                let named = namespaces.iter().take(MOST).copied().collect::<Vec<_>>().join(", ");
                let more = if namespaces.len() > MOST { ", …" } else { "" };
                message += &format!(", except where a namespace has its own ({named}{more})");
            }
        }
        match template.warnings.as_slice() {
            [] => {}
            [one] => message += &format!("; could be better: {one}"),
            [first, others @ ..] => message += &format!("; could be better: {first}; and {} more", others.len()),
        }
        message
    }
}
