//! The catalog in force: the templates of files and resources, and the last known good version of those that are broken.
//!
//! Each template stands alone. When a change breaks one, its last known good version is kept; when one is deleted, it is
//! gone at once. A template that has never been good is known as broken, so that a pod that asks for it is told why, and
//! not that there is no such template. Files take precedence over resources.

mod library;
mod resources;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use arc_swap::ArcSwap;
use pillion_engine::catalog::Catalog;
use pillion_engine::template::TemplateName;
use prometheus::IntCounter;
use tokio::sync::watch;

pub(crate) use self::library::{Library, Loaded};
use self::resources::Resources;
use crate::cluster::status::DesiredStatus;
use crate::cluster::templates::{MissingTemplate, TemplateChange, TemplateKind};
use crate::files::{self, SourceFile};
use crate::metrics::Metrics;

/// A catalog and the counters of its templates: one snapshot, so that a template's series ends with the template.
pub(crate) struct Snapshot {
    /// The templates.
    pub(crate) catalog: Catalog,
    /// `pillion_injections_total`, by template.
    pub(crate) injections: BTreeMap<TemplateName, IntCounter>,
    /// What is wrong with the templates at present, one line each.
    pub(crate) problems: Vec<String>,
    /// The kinds of resources that are in use.
    pub(crate) kinds: &'static [TemplateKind],
}

impl Snapshot {
    fn new(files: &Loaded, resources: &Resources, empty: &Catalog, metrics: &Metrics) -> Snapshot {
        let mut catalog = empty.clone();
        resources.insert_into(&mut catalog);
        // Last, so that they replace resources of the same name.
        files.insert_into(&mut catalog);
        let refused = files.refused + resources.refused();
        tracing::info!(in_force = catalog.len(), refused, "templates loaded");
        Snapshot {
            injections: metrics.templates_loaded(&catalog, refused),
            catalog,
            problems: files.problems.iter().chain(resources.problems()).cloned().collect(),
            kinds: resources.kinds(),
        }
    }

    /// The catalog with templates that it lacks.
    pub(crate) fn with(&self, missing: Vec<MissingTemplate>) -> Catalog {
        let mut catalog = self.catalog.clone();
        for MissingTemplate { identity, template } in missing {
            resources::insert(&mut catalog, &identity, template);
        }
        catalog
    }
}

/// Access to the current [`Snapshot`], for reviews.
pub(crate) struct CatalogHandle(ArcSwap<Snapshot>);

impl CatalogHandle {
    /// The current snapshot.
    pub(crate) fn snapshot(&self) -> Arc<Snapshot> {
        self.0.load_full()
    }
}

/// Replaces the [`Snapshot`] of a [`CatalogHandle`] when files or resources change.
pub(crate) struct Reloader {
    source: Source,
    /// The catalog without templates: what the server's flags say of all.
    empty: Catalog,
    metrics: Arc<Metrics>,
    library: Library,
    /// The files as they were last read.
    last: Vec<SourceFile>,
    files: Loaded,
    resources: Resources,
    catalog: Arc<CatalogHandle>,
    statuses: watch::Sender<Vec<DesiredStatus>>,
}

/// Where template files come from.
pub(crate) enum Source {
    /// There are none; templates are resources.
    Nowhere,
    /// The built-in cookbook, which never changes.
    Cookbook,
    /// Files and folders.
    Files(Vec<PathBuf>),
}

impl Source {
    /// What `--templates` names; `otherwise` if it names nothing.
    pub(crate) fn of(roots: Vec<PathBuf>, otherwise: Source) -> anyhow::Result<Source> {
        for root in &roots {
            root.metadata().with_context(|| format!("--templates {}: cannot be read", root.display()))?;
        }
        Ok(if roots.is_empty() { otherwise } else { Source::Files(roots) })
    }

    /// All template files as they are now.
    pub(crate) fn read(&self) -> Vec<SourceFile> {
        match self {
            Source::Nowhere => Vec::new(),
            Source::Cookbook => files::cookbook(),
            Source::Files(roots) => files::read(roots, files::TEMPLATES),
        }
    }
}

impl Reloader {
    /// Loads the files. Broken templates are reported, and do not keep the others from being loaded.
    pub(crate) fn start(source: Source, empty: Catalog, namespaced_templates: bool, metrics: Arc<Metrics>) -> Reloader {
        let mut library = Library::default();
        let last = source.read();
        let files = library.load(&last);
        log(&files);
        let resources = Resources::new(namespaced_templates);
        let snapshot = Snapshot::new(&files, &resources, &empty, &metrics);
        let catalog = Arc::new(CatalogHandle(ArcSwap::from_pointee(snapshot)));
        let (statuses, _) = watch::channel(Vec::new());
        Reloader { source, empty, metrics, library, last, files, resources, catalog, statuses }
    }

    /// The catalog that is kept current.
    pub(crate) fn catalog(&self) -> Arc<CatalogHandle> {
        Arc::clone(&self.catalog)
    }

    /// The status that each resource should have, whenever one of them changes.
    pub(crate) fn desired_statuses(&self) -> watch::Receiver<Vec<DesiredStatus>> {
        self.statuses.subscribe()
    }

    /// Reads the files again, and replaces the snapshot if they have changed.
    pub(crate) fn poll(&mut self) {
        let files = self.source.read();
        if files != self.last {
            self.last = files;
            self.files = self.library.load(&self.last);
            log(&self.files);
            self.metrics.config_reloaded(self.files.refused == 0);
            self.replace_snapshot();
        }
    }

    /// Applies changes of resources, and replaces the snapshot unless nothing but a status has changed.
    pub(crate) fn apply(&mut self, changes: impl IntoIterator<Item = TemplateChange>) {
        let mut needs_snapshot = false;
        for change in changes {
            needs_snapshot |= self.resources.apply(change);
        }
        if needs_snapshot {
            self.replace_snapshot();
        } else {
            self.publish_statuses();
        }
    }

    fn replace_snapshot(&self) {
        let snapshot = Snapshot::new(&self.files, &self.resources, &self.empty, &self.metrics);
        self.catalog.0.store(Arc::new(snapshot));
        self.publish_statuses();
    }

    fn publish_statuses(&self) {
        let statuses = self.resources.desired_statuses(&self.catalog.snapshot().catalog, &self.files);
        self.statuses.send_if_modified(|last| {
            let is_new = *last != statuses;
            *last = statuses;
            is_new
        });
    }
}

/// Logs what is wrong with files, and what could be better.
fn log(files: &Loaded) {
    for problem in &files.problems {
        tracing::error!(problem, meanwhile = "the last known good version, if any, is kept", "template refused");
    }
    for warning in &files.warnings {
        tracing::warn!(warning, "template accepted, but should be better");
    }
}

#[cfg(test)]
mod tests;
