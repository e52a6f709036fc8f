//! The flags of a server in a cluster, and what runs beside such a server.

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use kube::Client;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::certs::Serving;
use crate::certs::auto;
use crate::cli::durations::{duration, interval};
use crate::cluster::events::Events;
use crate::cluster::status::{self, DesiredStatus};
use crate::cluster::version::check_version;
use crate::cluster::{Cluster, lease};
use crate::metrics::Metrics;
use crate::server::Bound;

/// Flags of a server in a cluster.
#[derive(Debug, clap::Args)]
pub(super) struct ClusterArgs {
    /// Watch namespaces and template resources of the cluster that this runs in, or that KUBECONFIG names
    #[arg(long, env = "PILLION_WATCH")]
    pub(super) watch: bool,

    /// Whether a namespace's own templates (InjectionTemplate resources) are used
    #[arg(long, env = "PILLION_NAMESPACED_TEMPLATES", value_name = "BOOL", default_value_t = true, action = clap::ArgAction::Set)]
    pub(super) namespaced_templates: bool,

    /// Namespace of the Lease and of the Secret with the certificate [default: the one that this runs in]
    #[arg(long, env = "PILLION_NAMESPACE", value_name = "NAME")]
    namespace: Option<String>,

    /// Name of this replica, in the Lease and in events [default: the host's name and the process' number]
    #[arg(long, env = "PILLION_IDENTITY", value_name = "NAME")]
    identity: Option<String>,

    /// Name of the Lease: who holds it writes the status of templates and the certificate
    #[arg(long, env = "PILLION_LEASE", value_name = "NAME", default_value = "pillion")]
    lease: String,
}

/// Flags of `--certs auto`.
#[derive(Debug, clap::Args)]
pub(super) struct AutoArgs {
    /// Secret that holds the authority and the certificate; it is made if it is not there
    #[arg(long, env = "PILLION_CERTS_SECRET", value_name = "NAME", default_value = "pillion-certs")]
    certs_secret: String,

    /// DNS name or IP address that the certificate is for, such as pillion.pillion.svc; can be given several times
    #[arg(long, env = "PILLION_CERTS_NAME", value_name = "NAME", value_delimiter = ',')]
    certs_name: Vec<String>,

    /// Name of the webhook configurations, mutating and validating, whose caBundle is kept current
    #[arg(long, env = "PILLION_WEBHOOK_CONFIGURATION", value_name = "NAME", default_value = "pillion")]
    webhook_configuration: String,

    /// How long a certificate is valid
    #[arg(long, env = "PILLION_CERTS_DURATION", value_name = "DURATION", default_value = "8760h", value_parser = interval)]
    certs_duration: Duration,

    /// How long before its end a certificate is renewed
    #[arg(long, env = "PILLION_CERTS_RENEW_BEFORE", value_name = "DURATION", default_value = "720h", value_parser = interval)]
    certs_renew_before: Duration,

    /// How long an authority is valid
    #[arg(long, env = "PILLION_CERTS_CA_DURATION", value_name = "DURATION", default_value = "87600h", value_parser = interval)]
    certs_ca_duration: Duration,

    /// How long a new authority is published before a certificate of it is served, so that all API servers know it
    #[arg(long, env = "PILLION_CERTS_PROPAGATION", value_name = "DURATION", default_value = "60s", value_parser = duration)]
    certs_propagation: Duration,
}

impl AutoArgs {
    fn into_config(self, namespace: String) -> auto::Config {
        auto::Config {
            namespace,
            secret: self.certs_secret,
            webhook_configuration: self.webhook_configuration,
            names: self.certs_name,
            duration: self.certs_duration,
            renew_before: self.certs_renew_before,
            ca_duration: self.certs_ca_duration,
            propagation: self.certs_propagation,
        }
    }
}

impl ClusterArgs {
    /// Where reviews record warnings for events.
    pub(super) fn events(&self, client: Client, metrics: &Arc<Metrics>) -> Events {
        Events::start(client, &self.identity(), Arc::clone(metrics))
    }

    /// Serves until a signal. While this replica leads, it also writes statuses and certificates.
    pub(super) async fn run(
        self,
        client: Client,
        auto: Option<(AutoArgs, Arc<Serving>)>,
        watching: Option<(Arc<Cluster>, Events)>,
        statuses: watch::Receiver<Vec<DesiredStatus>>,
        metrics: Arc<Metrics>,
        bound: Bound,
    ) -> anyhow::Result<()> {
        let namespace = self.namespace.clone().unwrap_or_else(|| client.default_namespace().to_owned());
        let identity = self.identity();
        let (leadership, campaign) =
            lease::campaign(client.clone(), &namespace, &self.lease, &identity, Arc::clone(&metrics));
        let mut writers = Vec::new();
        if let Some((args, serving)) = auto {
            let config = args.into_config(namespace);
            writers.push(auto::start(client.clone(), config, leadership.clone(), serving, metrics)?);
        }
        if self.watch {
            writers.push(tokio::spawn(status::write(client.clone(), identity, leadership, statuses)));
        }
        let draining = bound.draining();
        let resigned = tokio::spawn(async move {
            draining.await;
            // `helm uninstall` deletes the roles before the pods end. Failures from here on are not logged as warnings.
            writers.iter().for_each(JoinHandle::abort);
            if let Some((cluster, events)) = watching {
                cluster.drain();
                events.drain();
            }
            campaign.resign().await;
        });
        tokio::select! {
            ended = bound.run() => {
                ended?;
                // It began with the drain, and takes a bounded time.
                Ok(resigned.await?)
            }
            Err(unusable) = check_version(&client) => Err(unusable.into()),
        }
    }

    fn identity(&self) -> String {
        self.identity.clone().unwrap_or_else(|| {
            let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
            format!("{}-{}", host.trim(), std::process::id())
        })
    }
}
