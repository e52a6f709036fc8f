//! What talks to the cluster's API: watches, lookups, statuses, events and the election of the replica that writes.
//!
//! Reviews read caches that watches keep current. A namespace or template that was created a moment before its pods may
//! be missing there, so it is looked up, with bounds on time and number, and the result is used by the reviews of that
//! moment. It is not put into the caches: only the watches change these, or something that was just deleted could come
//! back.

pub(crate) mod client;
#[cfg(test)]
mod crd;
pub(crate) mod events;
pub(crate) mod lease;
mod lookups;
mod namespaces;
pub(crate) mod status;
pub(crate) mod templates;
pub(crate) mod version;
mod watch;

use std::future::ready;
use std::sync::Arc;

use futures_util::FutureExt as _;
use futures_util::future::{join_all, try_join_all};
use k8s_openapi::api::core::v1;
use kube::core::{DynamicObject, PartialObjectMeta};
use kube::runtime::watcher;
use kube::{Api, Client};
use pillion_engine::catalog::Namespace;
use pillion_engine::template::TemplateName;
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;
use tokio::time::Instant;

use self::lookups::Lookups;
use self::namespaces::{Namespaces, to_engine};
use self::templates::{MissingTemplate, TemplateChange, TemplateKind, TemplateResource};
use self::watch::ObjectChange;
pub(crate) use self::watch::Watch;
use crate::metrics::Metrics;

/// How long one request of a watch lasts. A connection that died silently is noticed some seconds later.
const WATCH_SECONDS: u32 = 45;
/// The most templates that are looked up for one review. Nobody creates more of them together with a pod.
const MAX_MISSING: usize = 8;
/// Events that may wait to be applied, at most 1.5 MiB each. Further ones wait at the API server.
const MAX_WAITING_EVENTS: usize = 64;

/// The caches of the cluster, and the lookups of what they lack.
pub(crate) struct Cluster {
    client: Client,
    namespaces: Namespaces,
    watches: Vec<Arc<Watch>>,
    namespace_lookups: Arc<Lookups<String, Arc<Namespace>>>,
    /// By [`TemplateKind`].
    template_lookups: [Arc<Lookups<(String, TemplateName), MissingTemplate>>; 2],
    metrics: Arc<Metrics>,
}

/// A change of template resources, and the watch that it came from.
pub(crate) type WatchEvent = (TemplateChange, Arc<Watch>);

impl Cluster {
    /// Begins to watch. Changes of template resources go to the receiver.
    pub(crate) fn watch(client: Client, metrics: Arc<Metrics>) -> (Arc<Cluster>, mpsc::Receiver<WatchEvent>) {
        let (events, receiver) = mpsc::channel(MAX_WAITING_EVENTS);
        let namespaces = Watch::new("namespaces", Arc::clone(&metrics));
        let templates = TemplateKind::ALL.map(|kind| (kind, Watch::new(kind.plural(), Arc::clone(&metrics))));
        let mut watches = vec![Arc::clone(&namespaces)];
        watches.extend(templates.iter().map(|(_, watch)| Arc::clone(watch)));
        let cluster = Arc::new(Cluster {
            client: client.clone(),
            namespaces: Namespaces::default(),
            watches,
            namespace_lookups: Lookups::new("namespaces", Arc::clone(&metrics)),
            template_lookups: TemplateKind::ALL.map(|kind| Lookups::new(kind.plural(), Arc::clone(&metrics))),
            metrics,
        });
        tokio::spawn(watch_namespaces(Arc::clone(&cluster), namespaces));
        for (kind, watch) in templates {
            tokio::spawn(watch_templates(client.clone(), kind, watch, events.clone()));
        }
        (cluster, receiver)
    }

    /// The watches, with their state.
    pub(crate) fn watches(&self) -> &[Arc<Watch>] {
        &self.watches
    }

    /// From now on each watch ends at its first failure: the server drains, and uses what is known.
    pub(crate) fn drain(&self) {
        self.watches.iter().for_each(|watch| watch.drain());
    }

    /// A namespace, from the cache, or else from the API server if that answers until `deadline`.
    pub(crate) async fn namespace(&self, name: &str, deadline: Instant) -> Arc<Namespace> {
        if let Some(namespace) = self.namespaces.get(name) {
            return namespace;
        }
        let request = || {
            let (api, name): (Api<v1::Namespace>, _) = (Api::all(self.client.clone()), name.to_owned());
            async move { Ok(api.get_metadata_opt(&name).await?.map(|object| Arc::new(to_engine(object)))) }
        };
        let why = match self.namespace_lookups.get(name.to_owned(), deadline, request).await {
            Ok(Some(namespace)) => return namespace,
            // The answer may be older than the namespace, which may require templates.
            Ok(None) => format!("namespace {name} was not found when it was looked up"),
            Err(why) => format!("namespace {name} is not known, and could not be looked up: {why}"),
        };
        Arc::new(Namespace::unavailable(name, why))
    }

    /// The named templates that the API server has for pods of a namespace.
    pub(crate) async fn templates(
        &self,
        kinds: &[TemplateKind],
        names: &[TemplateName],
        namespace: &str,
        deadline: Instant,
    ) -> Vec<MissingTemplate> {
        let lookups = names
            .iter()
            .take(MAX_MISSING)
            .map(|name| try_join_all(kinds.iter().map(move |kind| self.template(*kind, name, namespace, deadline))));
        let found = join_all(lookups).await;
        // None of a name for which one kind could not be looked up: that one may take precedence.
        found.into_iter().flatten().flatten().flatten().collect()
    }

    async fn template(
        &self,
        kind: TemplateKind,
        name: &TemplateName,
        namespace: &str,
        deadline: Instant,
    ) -> lookups::Answer<MissingTemplate> {
        let key = match kind {
            TemplateKind::ClusterWide => String::new(),
            TemplateKind::Namespaced => namespace.to_owned(),
        };
        let request = || {
            let (client, resource) = (self.client.clone(), kind.resource());
            let api: Api<DynamicObject> = match kind {
                TemplateKind::ClusterWide => Api::all_with(client, &resource),
                TemplateKind::Namespaced => Api::namespaced_with(client, namespace, &resource),
            };
            let name = name.clone();
            async move {
                let Some(object) = api.get_opt(name.as_str()).await? else { return Ok(None) };
                // Once for all who wait, and not on the threads of reviews: it can take milliseconds.
                let read = spawn_blocking(move || MissingTemplate::read(TemplateResource::of(kind, object)));
                Ok(Some(read.await.map_err(|error| kube::Error::Service(error.into()))?))
            }
        };
        self.template_lookups[kind as usize].get((key, name.clone()), deadline, request).await
    }
}

async fn watch_namespaces(cluster: Arc<Cluster>, watch: Arc<Watch>) {
    let api: Api<PartialObjectMeta<v1::Namespace>> = Api::all(cluster.client.clone());
    let attempt = || watcher(api.clone(), watcher::Config::default().timeout(WATCH_SECONDS));
    let apply = |change| {
        cluster.namespaces.apply(change);
        cluster.metrics.namespaces_known(cluster.namespaces.len());
        watch.mark_listed();
        ready(())
    };
    watch.run(attempt, apply).await;
}

async fn watch_templates(client: Client, kind: TemplateKind, watch: Arc<Watch>, events: mpsc::Sender<WatchEvent>) {
    let api: Api<DynamicObject> = Api::all_with(client, &kind.resource());
    let attempt = || watcher(api.clone(), watcher::Config::default().timeout(WATCH_SECONDS));
    let read = |object| TemplateResource::of(kind, object);
    let send = |change| {
        let change = match change {
            ObjectChange::Listed(objects) => TemplateChange::Listed(kind, objects.into_iter().map(read).collect()),
            ObjectChange::Applied(object) => TemplateChange::Applied(read(object)),
            ObjectChange::Deleted(object) => TemplateChange::Deleted(read(object).identity),
        };
        // It only fails when the process is about to end.
        events.send((change, Arc::clone(&watch))).map(drop)
    };
    watch.run(attempt, send).await;
}

#[cfg(test)]
mod tests;
