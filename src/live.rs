//! The catalog in force: what template files and resources say now, and the last good of what they say wrongly.
//!
//! Each template stands alone. A template that is broken by an edit stays in force as it last was, one that is deleted
//! goes at once, and one that was never good is known as broken, so that a pod that asks for it hears that, rather than
//! that there is no such template. Files go before resources.

mod library;
mod resources;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use arc_swap::ArcSwap;
use pillion_engine::catalog::Catalog;
use pillion_engine::template::{OnError, TemplateName};
use prometheus::IntCounter;
use tokio::sync::watch;

pub(crate) use self::library::{Library, Loaded};
use self::resources::Resources;
use crate::cluster::status::Report;
use crate::cluster::templates::{Change, Kind, MissingTemplate};
use crate::files::{self, Found, TEMPLATE_BYTES};
use crate::metrics::Metrics;

/// A catalog and the counters of its templates: one snapshot, so that a template's series ends with the template.
pub(crate) struct InForce {
    /// The templates.
    pub(crate) catalog: Catalog,
    /// `pillion_injections_total`, by template.
    pub(crate) injections: BTreeMap<TemplateName, IntCounter>,
    /// What is wrong with the templates at present, one line each.
    pub(crate) problems: Vec<String>,
    /// The kinds of resources that count.
    pub(crate) kinds: &'static [Kind],
}

impl InForce {
    /// The catalog with templates that it lacks.
    pub(crate) fn with(&self, missing: Vec<MissingTemplate>) -> Catalog {
        let mut catalog = self.catalog.clone();
        for MissingTemplate { identity, template } in missing {
            resources::enter(&mut catalog, &identity, template);
        }
        catalog
    }
}

/// The catalog in force, for whoever reviews.
pub(crate) struct Live(ArcSwap<InForce>);

impl Live {
    /// The snapshot of this moment.
    pub(crate) fn in_force(&self) -> Arc<InForce> {
        self.0.load_full()
    }
}

/// Keeps a [`Live`] catalog current with files and resources.
pub(crate) struct Keeper {
    source: Source,
    on_error: OnError,
    metrics: Arc<Metrics>,
    library: Library,
    last: Vec<Found>,
    files: Loaded,
    resources: Resources,
    live: Arc<Live>,
    reports: watch::Sender<Vec<Report>>,
}

/// Where templates come from.
pub(crate) enum Source {
    /// Resources alone.
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

    /// All template files of this moment.
    pub(crate) fn read(&self) -> Vec<Found> {
        match self {
            Source::Nowhere => Vec::new(),
            Source::Cookbook => files::cookbook(),
            Source::Files(roots) => files::read(roots, TEMPLATE_BYTES),
        }
    }
}

impl Keeper {
    /// Loads what files there are. Broken templates are reported and known as such, and do not stand in the way.
    pub(crate) fn start(source: Source, on_error: OnError, heeds_namespaced: bool, metrics: Arc<Metrics>) -> Keeper {
        let mut library = Library::default();
        let last = source.read();
        let files = library.load(&last);
        say(&files);
        let resources = Resources::new(heeds_namespaced);
        let live = Arc::new(Live(ArcSwap::from_pointee(in_force(&files, &resources, on_error, &metrics))));
        let (reports, _) = watch::channel(Vec::new());
        Keeper { source, on_error, metrics, library, last, files, resources, live, reports }
    }

    /// The catalog that is kept current.
    pub(crate) fn live(&self) -> Arc<Live> {
        Arc::clone(&self.live)
    }

    /// What the resources have to say of themselves, whenever that changes.
    pub(crate) fn reports(&self) -> watch::Receiver<Vec<Report>> {
        self.reports.subscribe()
    }

    /// Reads the files again, and puts what is new in force.
    pub(crate) fn poll(&mut self) {
        let found = self.source.read();
        if found != self.last {
            self.last = found;
            self.files = self.library.load(&self.last);
            say(&self.files);
            self.metrics.config_reloaded(self.files.refused == 0);
            self.put_in_force();
        }
    }

    /// Takes up changes of resources, and puts what is new in force.
    pub(crate) fn heed(&mut self, changes: impl IntoIterator<Item = Change>) {
        let mut is_news = false;
        for change in changes {
            is_news |= self.resources.heed(change);
        }
        if is_news {
            self.put_in_force();
        } else {
            self.report();
        }
    }

    fn put_in_force(&self) {
        self.live.0.store(Arc::new(in_force(&self.files, &self.resources, self.on_error, &self.metrics)));
        self.report();
    }

    fn report(&self) {
        let reports = self.resources.reports(&self.live.in_force().catalog, &self.files);
        self.reports.send_if_modified(|last| {
            let is_new = *last != reports;
            *last = reports;
            is_new
        });
    }
}

fn in_force(files: &Loaded, resources: &Resources, on_error: OnError, metrics: &Metrics) -> InForce {
    let mut catalog = Catalog::new(on_error);
    resources.enter(&mut catalog);
    // Last, so that they go before resources of the same name.
    files.enter(&mut catalog);
    let refused = files.refused + resources.refused();
    tracing::info!(in_force = catalog.len(), refused, "templates loaded");
    let injections = metrics.templates_loaded(&catalog, refused);
    let problems = files.problems.iter().chain(resources.problems()).cloned().collect();
    InForce { catalog, injections, problems, kinds: resources.kinds() }
}

/// Tells the log what is wrong with files, and what could be better.
fn say(files: &Loaded) {
    for problem in &files.problems {
        tracing::error!(problem, meanwhile = "what was in force of it stays in force", "template refused");
    }
    for warning in &files.warnings {
        tracing::warn!(warning, "template accepted, but should be better");
    }
}

#[cfg(test)]
mod tests;
