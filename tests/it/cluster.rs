//! Pillion in a cluster of its own: installed with the chart, with the rights that the chart gives it.

mod burst;
mod certs;
mod failure_policy;
mod gitops;
mod install;
mod lease;
mod outage;
mod reinstall;
mod rights;
mod rollout;
mod templates;
mod trust;
mod version;

use std::sync::LazyLock;

use serde_json::{Value, json};

use crate::harness::cluster::Cluster;
use crate::harness::eventually;
use crate::harness::installed::{Install, Installed};
use crate::harness::namespace::Namespace;
use crate::harness::pillion::{names, pod};
use crate::harness::templates::{broken, cluster_wide, condition, namespaced, path, sidecars};

/// The chart with its own values and nothing else, for all tests that leave it as it was.
fn installed() -> Option<&'static Installed<'static>> {
    static CLUSTER: LazyLock<Option<Cluster>> = LazyLock::new(Cluster::own);
    static INSTALLED: LazyLock<Option<Installed<'static>>> =
        LazyLock::new(|| Some(Install::on(CLUSTER.as_ref()?).start()));
    INSTALLED.as_ref()
}

const OPTED_IN: [(&str, &str); 1] = [("pillion.dev/inject", "enabled")];
/// As `OPTED_IN`, for a namespace whose pods wait while nobody answers.
const STRICT: [(&str, &str); 2] = [("pillion.dev/inject", "enabled"), ("pillion.dev/failure-policy", "fail")];
const LEASE: &str = "/apis/coordination.k8s.io/v1/namespaces/pillion/leases/pillion";
const CLUSTER_ROLE: &str = "/apis/rbac.authorization.k8s.io/v1/clusterroles/pillion";
