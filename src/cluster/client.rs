//! The client for the cluster's API.

use std::time::Duration;

use kube::{Client, Config};

/// Why a server cannot work with its cluster.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unusable {
    #[error("cannot tell which cluster to use; run this in a pod, or set KUBECONFIG")]
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
