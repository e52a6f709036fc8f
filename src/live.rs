//! The catalog in force: what the template files say now, and the last good of what they say wrongly.
//!
//! Each template stands alone. A template that is broken by an edit stays in force as it last was, one that is deleted
//! goes at once, and one that was never good is known as broken, so that a pod that asks for it hears that, rather than
//! that there is no such template.

mod library;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use arc_swap::{ArcSwap, Guard};
use pillion_engine::catalog::Catalog;
use pillion_engine::template::{OnError, TemplateName};
use prometheus::IntCounter;

pub(crate) use self::library::{Library, Loaded};
use crate::files::{self, Found, TEMPLATE_BYTES};
use crate::metrics::Metrics;

/// A catalog and the counters of its templates: one snapshot, so that a template's series ends with the template.
pub(crate) struct InForce {
    /// The templates.
    pub(crate) catalog: Catalog,
    /// `pillion_injections_total`, by template.
    pub(crate) injections: BTreeMap<TemplateName, IntCounter>,
    /// What is wrong with the template files at present, one line each.
    pub(crate) problems: Vec<String>,
}

/// The catalog in force, for whoever reviews.
pub(crate) struct Live(ArcSwap<InForce>);

impl Live {
    /// The snapshot of this moment.
    pub(crate) fn in_force(&self) -> Guard<Arc<InForce>> {
        self.0.load()
    }
}

/// Keeps a [`Live`] catalog current with the files.
pub(crate) struct Keeper {
    source: Source,
    on_error: OnError,
    metrics: Arc<Metrics>,
    library: Library,
    last: Vec<Found>,
    live: Arc<Live>,
}

/// Where templates come from.
pub(crate) enum Source {
    /// The built-in cookbook, which never changes.
    Cookbook,
    /// Files and folders.
    Files(Vec<PathBuf>),
}

impl Source {
    /// What `--templates` names, or the cookbook if it names nothing.
    pub(crate) fn of(roots: Vec<PathBuf>) -> anyhow::Result<Source> {
        for root in &roots {
            root.metadata().with_context(|| format!("--templates {}: cannot be read", root.display()))?;
        }
        Ok(if roots.is_empty() { Source::Cookbook } else { Source::Files(roots) })
    }

    /// All template files of this moment.
    pub(crate) fn read(&self) -> Vec<Found> {
        match self {
            Source::Cookbook => files::cookbook(),
            Source::Files(roots) => files::read(roots, TEMPLATE_BYTES),
        }
    }
}

impl Keeper {
    /// Loads what there is. Broken templates are reported and known as such, and do not stand in the way.
    pub(crate) fn start(source: Source, on_error: OnError, metrics: Arc<Metrics>) -> Keeper {
        let mut library = Library::default();
        let last = source.read();
        let in_force = report(library.load(&last, on_error), &metrics);
        Keeper { source, on_error, metrics, library, last, live: Arc::new(Live(ArcSwap::from_pointee(in_force))) }
    }

    /// The catalog that is kept current.
    pub(crate) fn live(&self) -> Arc<Live> {
        Arc::clone(&self.live)
    }

    /// Reads the files again, and puts what is new in force.
    pub(crate) fn poll(&mut self) {
        let found = self.source.read();
        if found != self.last {
            self.last = found;
            let loaded = self.library.load(&self.last, self.on_error);
            self.metrics.config_reloaded(loaded.refused == 0);
            self.live.0.store(Arc::new(report(loaded, &self.metrics)));
        }
    }
}

fn report(loaded: Loaded, metrics: &Metrics) -> InForce {
    let Loaded { catalog, problems, warnings, refused } = loaded;
    for problem in &problems {
        tracing::error!(problem, meanwhile = "what was in force of it stays in force", "template refused");
    }
    for warning in warnings {
        tracing::warn!(warning, "template accepted, but should be better");
    }
    tracing::info!(in_force = catalog.len(), refused, "templates loaded");
    let injections = metrics.templates_loaded(&catalog, refused);
    InForce { catalog, injections, problems }
}
