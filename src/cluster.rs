//! The only user of the cluster's API: what is watched, what is asked for, what is written, and who may write.
//!
//! Reviews read caches that watches keep full. A namespace or template that was created a moment before its pods may
//! not be there yet, so what reviews miss is asked for once, with a bound on time and number, and used by those that
//! wait for it or come in the next moment: only the watches change the caches, or something that was just deleted could
//! come back.

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
use self::namespaces::{Namespaces, known};
use self::templates::{Change, Kind, MissingTemplate, Resource};
use self::watch::Seen;
pub(crate) use self::watch::Watched;
use crate::metrics::Metrics;

/// How long one request of a watch lasts. A connection that died in silence is noticed some seconds later.
const WATCH_SECONDS: u32 = 45;
/// The most templates that one review asks the API server for. Nobody makes more of them together with a pod.
const MAX_MISSING: usize = 8;
/// Changes that wait to be taken up, at most 1.5 MiB each. Further ones wait at the API server.
const CHANGES: usize = 64;

/// The cluster's API, and what is known of the cluster.
pub(crate) struct Cluster {
    client: Client,
    namespaces: Namespaces,
    watches: Vec<Arc<Watched>>,
    namespace_lookups: Arc<Lookups<String, Arc<Namespace>>>,
    /// By [`Kind`].
    template_lookups: [Arc<Lookups<(String, TemplateName), MissingTemplate>>; 2],
    metrics: Arc<Metrics>,
}

/// A change, and the watch that saw it.
pub(crate) type Heard = (Change, Arc<Watched>);

impl Cluster {
    /// Begins to watch. What becomes of template resources goes to the receiver.
    pub(crate) fn watch(client: Client, metrics: Arc<Metrics>) -> (Arc<Cluster>, mpsc::Receiver<Heard>) {
        let (changes, heard) = mpsc::channel(CHANGES);
        let of_namespaces = Watched::new("namespaces", Arc::clone(&metrics));
        let of_templates = Kind::ALL.map(|kind| (kind, Watched::new(kind.plural(), Arc::clone(&metrics))));
        let mut watches = vec![Arc::clone(&of_namespaces)];
        watches.extend(of_templates.iter().map(|(_, watched)| Arc::clone(watched)));
        let cluster = Arc::new(Cluster {
            client: client.clone(),
            namespaces: Namespaces::default(),
            watches,
            namespace_lookups: Lookups::new("namespaces", Arc::clone(&metrics)),
            template_lookups: Kind::ALL.map(|kind| Lookups::new(kind.plural(), Arc::clone(&metrics))),
            metrics,
        });
        tokio::spawn(follow_namespaces(Arc::clone(&cluster), of_namespaces));
        for (kind, watched) in of_templates {
            tokio::spawn(follow_templates(client.clone(), kind, watched, changes.clone()));
        }
        (cluster, heard)
    }

    /// How each watch is doing.
    pub(crate) fn watches(&self) -> &[Arc<Watched>] {
        &self.watches
    }

    /// From now on the first failure of a watch is its end: the server is on its way out, and serves what is known.
    pub(crate) fn drain(&self) {
        self.watches.iter().for_each(|watched| watched.drain());
    }

    /// A namespace, from the cache or else, until `deadline`, from the API server.
    pub(crate) async fn namespace(&self, name: &str, deadline: Instant) -> Arc<Namespace> {
        if let Some(namespace) = self.namespaces.get(name) {
            return namespace;
        }
        let question = || {
            let (api, name): (Api<v1::Namespace>, _) = (Api::all(self.client.clone()), name.to_owned());
            async move { Ok(api.get_metadata_opt(&name).await?.map(|object| Arc::new(known(object)))) }
        };
        let why = match self.namespace_lookups.ask(name.to_owned(), deadline, question).await {
            Ok(Some(namespace)) => return namespace,
            // The answer may be older than the namespace, and that may require templates.
            Ok(None) => format!("namespace {name} was not there when the API server was asked for it"),
            Err(why) => format!("namespace {name} is not known, and could not be asked for: {why}"),
        };
        Arc::new(Namespace::unavailable(name, why))
    }

    /// Those of the named templates that the API server has for pods of a namespace.
    pub(crate) async fn templates(
        &self,
        kinds: &[Kind],
        names: &[TemplateName],
        namespace: &str,
        deadline: Instant,
    ) -> Vec<MissingTemplate> {
        let all_of = |name| try_join_all(kinds.iter().map(move |kind| self.template(*kind, name, namespace, deadline)));
        let found = join_all(names.iter().take(MAX_MISSING).map(all_of)).await;
        // Nothing of a name of which one kind could not be asked for: it may be the one that goes first.
        found.into_iter().flatten().flatten().flatten().collect()
    }

    async fn template(
        &self,
        kind: Kind,
        name: &TemplateName,
        namespace: &str,
        deadline: Instant,
    ) -> lookups::Answer<MissingTemplate> {
        let key = match kind {
            Kind::ClusterWide => String::new(),
            Kind::Namespaced => namespace.to_owned(),
        };
        let question = || {
            let (client, resource) = (self.client.clone(), kind.resource());
            let api: Api<DynamicObject> = match kind {
                Kind::ClusterWide => Api::all_with(client, &resource),
                Kind::Namespaced => Api::namespaced_with(client, namespace, &resource),
            };
            let name = name.clone();
            async move {
                let Some(object) = api.get_opt(name.as_str()).await? else { return Ok(None) };
                // Once for all who wait, and not where reviews are answered: it can take milliseconds.
                let read = spawn_blocking(move || MissingTemplate::read(Resource::of(kind, object)));
                Ok(Some(read.await.map_err(|error| kube::Error::Service(error.into()))?))
            }
        };
        self.template_lookups[kind as usize].ask((key, name.clone()), deadline, question).await
    }
}

async fn follow_namespaces(cluster: Arc<Cluster>, watched: Arc<Watched>) {
    let api: Api<PartialObjectMeta<v1::Namespace>> = Api::all(cluster.client.clone());
    let watch = || watcher(api.clone(), watcher::Config::default().timeout(WATCH_SECONDS));
    let take_up = |seen| {
        cluster.namespaces.heed(seen);
        cluster.metrics.namespaces_known(cluster.namespaces.len());
        watched.mark_full();
        ready(())
    };
    watched.follow(watch, take_up).await;
}

async fn follow_templates(client: Client, kind: Kind, watched: Arc<Watched>, changes: mpsc::Sender<Heard>) {
    let resource = kind.resource();
    let api: Api<DynamicObject> = Api::all_with(client, &resource);
    let watch = || watcher(api.clone(), watcher::Config::default().timeout(WATCH_SECONDS));
    let of = |object| Resource::of(kind, object);
    let pass_on = |seen| {
        let change = match seen {
            Seen::All(objects) => Change::Listed(kind, objects.into_iter().map(of).collect()),
            Seen::Applied(object) => Change::Applied(of(object)),
            Seen::Deleted(object) => Change::Deleted(of(object).identity),
        };
        // It only fails when the process is on its way out.
        changes.send((change, Arc::clone(&watched))).map(drop)
    };
    watched.follow(watch, pass_on).await;
}

#[cfg(test)]
mod tests;
