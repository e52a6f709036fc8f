//! The only user of the cluster's API: what is watched, what is asked for, what is written, and who may write.
//!
//! Reviews read caches that watches keep full. A namespace or template that was created a moment before its pods may
//! not be there yet, so what a review misses is asked for once, with a bound on time and number, and used for that
//! review alone: only the watches change the caches, or something that was just deleted could come back.

#[cfg(test)]
mod crd;
pub(crate) mod events;
pub(crate) mod lease;
mod namespaces;
pub(crate) mod status;
pub(crate) mod templates;
mod version;
mod watch;

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use k8s_openapi::api::core::v1;
use kube::core::{DynamicObject, PartialObjectMeta};
use kube::runtime::watcher;
use kube::{Api, Client, Config};
use pillion_engine::catalog::{Catalog, Namespace};
use pillion_engine::template::TemplateName;
use tokio::sync::{Semaphore, mpsc};
use tokio::time::timeout;
use tracing::Instrument as _;

use self::namespaces::{Namespaces, known};
use self::templates::{Change, Identity, Kind, Resource};
pub(crate) use self::version::check_version;
pub(crate) use self::watch::Watched;
use self::watch::{Seen, describe};
use crate::live::read;
use crate::metrics::{Looked, Metrics};
use crate::telemetry::lookup_span;

/// How long a review waits for what it misses. API servers are told to wait 5 seconds for the review as a whole.
const LOOKUP_PATIENCE: Duration = Duration::from_secs(2);
/// Questions at a time, so that a flood of pods with wrong names is none of questions.
const LOOKUPS: usize = 32;

/// The cluster's API, and what is known of the cluster.
pub(crate) struct Cluster {
    client: Client,
    namespaces: Namespaces,
    watches: Vec<Arc<Watched>>,
    lookups: Semaphore,
    metrics: Arc<Metrics>,
}

/// A change, and the watch that saw it.
pub(crate) type Heard = (Change, Arc<Watched>);

/// Why a server cannot work with its cluster.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unusable {
    #[error("cannot tell which cluster to speak to; run this in a pod, or set KUBECONFIG")]
    Unknown(#[source] kube::config::InferConfigError),
    #[error("cannot set up a client for the cluster")]
    Client(#[source] kube::Error),
    #[error(
        "the cluster is Kubernetes {0}, and native sidecars need 1.29 or later: an older one would turn each sidecar into \
         an init container that never ends; upgrade the cluster"
    )]
    TooOld(String),
}

/// A client for the cluster that KUBECONFIG names, or else that this process runs in.
pub(crate) async fn connect() -> Result<Client, Unusable> {
    let mut config = Config::infer().await.map_err(Unusable::Unknown)?;
    config.connect_timeout = Some(Duration::from_secs(5));
    Client::try_from(config).map_err(Unusable::Client)
}

impl Cluster {
    /// Begins to watch. What becomes of template resources goes to the receiver.
    pub(crate) fn watch(client: Client, metrics: Arc<Metrics>) -> (Arc<Cluster>, mpsc::UnboundedReceiver<Heard>) {
        let (changes, heard) = mpsc::unbounded_channel();
        let of_namespaces = Watched::new("namespaces", Arc::clone(&metrics));
        let of_templates = Kind::ALL.map(|kind| (kind, Watched::new(kind.plural(), Arc::clone(&metrics))));
        let mut watches = vec![Arc::clone(&of_namespaces)];
        watches.extend(of_templates.iter().map(|(_, watched)| Arc::clone(watched)));
        let cluster = Arc::new(Cluster {
            client: client.clone(),
            namespaces: Namespaces::default(),
            watches,
            lookups: Semaphore::new(LOOKUPS),
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

    /// A namespace, from the cache or else from the API server.
    pub(crate) async fn namespace(&self, name: &str) -> Arc<Namespace> {
        if let Some(namespace) = self.namespaces.get(name) {
            return namespace;
        }
        let api: Api<v1::Namespace> = Api::all(self.client.clone());
        let found: Result<Option<PartialObjectMeta<_>>, _> =
            self.look_up("namespaces", api.get_metadata_opt(name)).await;
        Arc::new(match found {
            Ok(Some(object)) => known(object),
            // It is about to be gone, and the API server will not take the pod.
            Ok(None) => Namespace::named(name),
            Err(why) => Namespace::unavailable(
                name,
                format!("namespace {name} is not known, and could not be asked for: {why}"),
            ),
        })
    }

    /// The catalog with those of `names` that it lacks and the API server has; nothing when it has none of them.
    pub(crate) async fn with_missing(
        &self,
        catalog: &Catalog,
        heeds_namespaced: bool,
        names: &[TemplateName],
        namespace: &str,
    ) -> Option<Catalog> {
        let mut questions = Vec::new();
        for kind in Kind::ALL.into_iter().filter(|kind| heeds_namespaced || *kind == Kind::ClusterWide) {
            questions.extend(names.iter().map(|name| self.template(kind, name, namespace)));
        }
        let found = join_all(questions).await;
        let mut found = found.into_iter().flatten().peekable();
        found.peek()?;
        let mut catalog = catalog.clone();
        for resource in found {
            let Identity { name, namespace, .. } = &resource.identity;
            match (read(&resource.identity, resource.document), name.parse()) {
                (Ok(template), _) => catalog.insert(template),
                (Err(problems), Ok(name)) => {
                    catalog.refuse(name, namespace.as_deref(), problems.into_iter().next().unwrap_or_default());
                }
                (Err(_), Err(_)) => {}
            }
        }
        Some(catalog)
    }

    async fn template(&self, kind: Kind, name: &TemplateName, namespace: &str) -> Option<Resource> {
        let resource = kind.resource();
        let api: Api<DynamicObject> = match kind {
            Kind::ClusterWide => Api::all_with(self.client.clone(), &resource),
            Kind::Namespaced => Api::namespaced_with(self.client.clone(), namespace, &resource),
        };
        let found = self.look_up(kind.plural(), api.get_opt(name.as_str())).await;
        found.ok().flatten().map(|object| Resource::of(kind, object))
    }

    /// One bounded question.
    async fn look_up<T>(
        &self,
        resource: &'static str,
        question: impl Future<Output = kube::Result<Option<T>>>,
    ) -> Result<Option<T>, String> {
        let bounded = async {
            let _permit = self.lookups.acquire().await;
            question.await.map_err(|error| describe(&error))
        };
        let answer = timeout(LOOKUP_PATIENCE, bounded.instrument(lookup_span(resource)))
            .await
            .unwrap_or_else(|_| Err("no answer in time".into()));
        self.metrics.looked_up(
            resource,
            match &answer {
                Ok(Some(_)) => Looked::Found,
                Ok(None) => Looked::Absent,
                Err(why) => {
                    tracing::warn!(resource, why, "lookup failed");
                    Looked::Failed
                }
            },
        );
        answer
    }
}

async fn follow_namespaces(cluster: Arc<Cluster>, watched: Arc<Watched>) {
    let api: Api<PartialObjectMeta<v1::Namespace>> = Api::all(cluster.client.clone());
    watched
        .follow(
            || watcher(api.clone(), watcher::Config::default()),
            |seen| {
                cluster.namespaces.heed(seen);
                cluster.metrics.namespaces_known(cluster.namespaces.len());
                watched.is_full();
            },
        )
        .await;
}

async fn follow_templates(client: Client, kind: Kind, watched: Arc<Watched>, changes: mpsc::UnboundedSender<Heard>) {
    let resource = kind.resource();
    let api: Api<DynamicObject> = Api::all_with(client, &resource);
    let of = |object| Resource::of(kind, object);
    watched
        .follow(
            || watcher(api.clone(), watcher::Config::default()),
            |seen| {
                let change = match seen {
                    Seen::All(objects) => Change::Listed(kind, objects.into_iter().map(of).collect()),
                    Seen::Applied(object) => Change::Applied(of(object)),
                    Seen::Deleted(object) => Change::Deleted(of(object).identity),
                };
                // It only fails when the process is on its way out.
                let _ = changes.send((change, Arc::clone(&watched)));
            },
        )
        .await;
}
