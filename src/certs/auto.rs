//! A certificate authority of our own, kept in a Secret that all replicas share.
//!
//! Every few seconds each replica reads the Secret, and serves the certificate that it holds. Only the leader writes:
//!
//! ```text
//! Secret ──read──▶ SecretParts ──plan──▶ Plan ──carry out──▶ Credentials ──▶ Secret, caBundle of each webhook
//! ```
//!
//! There is one exception: any replica fills an empty `caBundle`, with the authorities of the Secret. After an
//! installation it is empty and there may be no leader for a while, and every call fails until it is filled.
//!
//! All state is in the Secret, so that any replica can continue where a leader was killed. There are two rules. First, an
//! authority signs, and a certificate of it is served, only when every webhook has trusted it for `propagation`, unless
//! there is nothing better to serve. Each replica measures that time itself, with its monotonic clock. Second, an
//! authority is trusted until it expires. A damaged Secret is repaired from what this replica remembers of it, so that
//! nothing changes for the API servers; only what is not remembered is made anew.

mod authority;
mod config;
mod contents;
mod memory;
mod plan;
mod secret;
#[cfg(test)]
mod tests;
mod webhooks;

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use futures_util::FutureExt as _;
use k8s_openapi::api::core::v1;
use kube::Client;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use self::authority::{Authority, Leaf};
pub(crate) use self::config::Config;
use self::contents::{Credentials, SecretParts, SecretProblem};
use self::memory::{At, Memory};
use self::plan::SecretChange;
use self::secret::Secret;
use self::webhooks::{Configuration, Target, Webhooks};
use super::Serving;
use crate::cluster::lease::Leadership;
use crate::metrics::Metrics;

/// The time between two rounds, plus up to as much again at random, so that replicas do not read at the same moment.
const INTERVAL: Duration = Duration::from_secs(2);
/// For all calls of one round.
const PATIENCE: Duration = Duration::from_secs(10);
/// So many failed rounds in a row, some two minutes, count as a failed reload.
const LASTING_FAILURES: u32 = 40;

/// Keeps Secret and webhooks as they should be until the task is aborted, and gives `serving` the certificate to serve.
pub(crate) fn start(
    client: Client,
    config: Config,
    leadership: Leadership,
    serving: Arc<Serving>,
    metrics: Arc<Metrics>,
) -> anyhow::Result<JoinHandle<()>> {
    config.validate()?;
    metrics.certificate_untrusted(true);
    let reconciler = Reconciler {
        secret: Secret::new(client.clone(), &config.namespace, &config.secret),
        webhooks: Webhooks::new(&client, &config.webhook_configuration),
        memory: Memory::default(),
        published: HashMap::new(),
        serving,
        leadership,
        metrics,
        config,
    };
    Ok(tokio::spawn(reconciler.run()))
}

struct Reconciler {
    config: Config,
    secret: Secret,
    webhooks: Webhooks,
    leadership: Leadership,
    metrics: Arc<Metrics>,
    serving: Arc<Serving>,
    memory: Memory,
    /// The bundle of each configuration that this replica has published, or has found there.
    published: HashMap<&'static str, Vec<u8>>,
}

impl Reconciler {
    async fn run(mut self) {
        let jitter = RandomState::new();
        let (mut last_failure, mut failures) = (None, 0_u32);
        for round in 0_u64.. {
            // It can be cancelled anywhere, since each round starts from what is there.
            let ended = AssertUnwindSafe(timeout(PATIENCE, self.reconcile())).catch_unwind().await;
            let failure = match ended {
                Ok(Ok(Ok(()))) => None,
                Ok(Ok(Err(error))) => Some(format!("{error:#}")),
                Ok(Err(_)) => Some("no answer in time".to_owned()),
                Err(_) => Some("this is a bug in pillion; its log says where".to_owned()),
            };
            failures = if failure.is_some() { failures + 1 } else { 0 };
            // Worth an alert: if it goes on like this, the certificate expires.
            let lasts = failures.is_multiple_of(LASTING_FAILURES) && failures > 0;
            if lasts {
                self.metrics.certificate_reloaded(false);
            }
            match &failure {
                Some(why) if lasts || last_failure != failure => {
                    tracing::warn!(why, "cannot reconcile the certificates; the one in use is kept");
                }
                None if last_failure.is_some() => tracing::info!("certificates are reconciled again"),
                _ => {}
            }
            last_failure = failure;

            let extra = INTERVAL.mul_f64((jitter.hash_one(round) % 1000) as f64 / 1000.0);
            tokio::select! {
                () = sleep(INTERVAL + extra) => {}
                () = self.leadership.changed() => {}
            }
        }
    }

    async fn reconcile(&mut self) -> anyhow::Result<()> {
        let (wall, secret) = self.secret.read().await.context("cannot read the Secret")?;
        let at = At { wall, monotonic: Instant::now() };
        let parts = secret.as_ref().map(|secret| SecretParts::read(secret.data.as_ref(), at.wall));
        if self.leadership.is_leader() {
            self.lead(at, secret, parts).await
        } else {
            match parts {
                Some(parts) => self.follow(at, &parts).await,
                // The leader creates it.
                None => Ok(()),
            }
        }
    }

    async fn lead(&mut self, at: At, secret: Option<v1::Secret>, parts: Option<SecretParts>) -> anyhow::Result<()> {
        let mut configurations = self.webhooks.read().await;
        let webhooks = configurations.as_ref().map_or(Vec::new(), |read| trusted(read));
        if let (Ok(_), Some(parts)) = (&configurations, &parts) {
            self.memory.note_trusted(at, &parts.authorities, &webhooks);
        }
        let (credentials, changes) = self.memory.plan(at, parts.as_ref(), &webhooks, &self.config)?;
        if !changes.is_empty() {
            self.secret.write(secret, &credentials).await.context("cannot write the Secret")?;
            self.log_changes(&changes, &credentials);
        }
        // Before the first certificate is served; it is served also when the authorities cannot be published.
        let published = match &mut configurations {
            Ok(configurations) => self.publish(configurations, &credentials.bundle(), Target::All).await,
            Err(_) => Ok(()),
        };
        self.metrics.authority_expires(credentials.signer.authority.not_after.as_second());
        let served = self.memory.adopt(at, &credentials, &self.config);
        serve(served, &self.serving, &self.metrics);
        self.note_trust(&configurations);
        configurations.context("cannot read the webhook configurations")?;
        published.context("cannot publish the authorities in the webhook configurations")
    }

    async fn follow(&mut self, at: At, parts: &SecretParts) -> anyhow::Result<()> {
        let served = self.memory.adopt_parts(at, parts, &self.config);
        serve(served, &self.serving, &self.metrics);
        if let Some(signer) = parts.signer() {
            self.metrics.authority_expires(signer.authority.not_after.as_second());
        }
        let mut configurations = self.webhooks.read().await;
        if let Ok(configurations) = &mut configurations {
            // So that this replica, if it leads next, has measured the time already.
            self.memory.note_trusted(at, &parts.authorities, &trusted(configurations));
        }
        let published = match (&mut configurations, parts.complete()) {
            (Ok(configurations), Some(credentials)) => {
                self.publish(configurations, &credentials.bundle(), Target::Empty).await
            }
            _ => Ok(()),
        };
        self.note_trust(&configurations);
        configurations.context("cannot read the webhook configurations")?;
        published.context("cannot publish the authorities in the webhook configurations")?;
        if parts.problems.is_empty() {
            return Ok(());
        }
        self.metrics.certificate_reloaded(false);
        let problems = parts.problems.iter().map(SecretProblem::to_string).collect::<Vec<_>>().join("; ");
        anyhow::bail!("the leader has to repair the Secret {}: {problems}", self.config.secret)
    }

    /// Makes `bundle` the `caBundle` of the webhooks that `target` selects.
    async fn publish(
        &mut self,
        configurations: &mut [Configuration],
        bundle: &[u8],
        target: Target,
    ) -> kube::Result<()> {
        for configuration in configurations {
            let resource = configuration.resource;
            if configuration.publish(bundle, target).await? {
                let name = &self.config.webhook_configuration;
                if self.published.get(resource).is_some_and(|published| published == bundle) {
                    tracing::warn!(resource, name, "caBundle was changed by somebody else; published again");
                    self.metrics.ca_bundle_repaired();
                } else {
                    tracing::info!(resource, name, "authorities published in caBundle");
                }
            }
            if configuration.holds(bundle) {
                self.published.insert(resource, bundle.to_vec());
            }
        }
        Ok(())
    }

    /// Notes whether all webhooks trust the certificate that is served.
    fn note_trust(&self, configurations: &kube::Result<Vec<Configuration>>) {
        let (Some(trust), Some(leaf)) = (self.serving.trust(), self.memory.served()) else { return };
        let why_not = match configurations {
            Ok(configurations) => configurations.iter().find(|configuration| !configuration.trusts(leaf)).map(|it| {
                let (resource, name) = (it.resource, &self.config.webhook_configuration);
                format!("the caBundle of {resource}/{name} lacks the CA of the certificate that is served")
            }),
            // Without the right to read them this is unknown, which must not keep the replica from becoming ready.
            Err(kube::Error::Api(status)) if status.code == 403 => None,
            Err(_) => return,
        };
        self.metrics.certificate_untrusted(why_not.is_some());
        trust.note(why_not);
    }

    fn log_changes(&self, changes: &[SecretChange], credentials: &Credentials) {
        let secret = &self.config.secret;
        let (authority_expires, certificate_expires) =
            (credentials.signer.authority.not_after, credentials.leaf.not_after());
        for change in changes {
            if let SecretChange::Repaired(_) = change {
                tracing::warn!(secret, "{change}");
            } else {
                tracing::info!(secret, %authority_expires, %certificate_expires, "{change}");
            }
        }
        if changes.iter().any(|change| matches!(change, SecretChange::Repaired(_))) {
            self.metrics.secret_repaired();
        }
    }
}

/// The authorities that each webhook trusts.
fn trusted(configurations: &[Configuration]) -> Vec<Vec<Authority>> {
    configurations.iter().flat_map(Configuration::authorities).collect()
}

fn serve(served: Option<&(Leaf, Authority)>, serving: &Serving, metrics: &Metrics) {
    let Some((leaf, issuer)) = served else { return };
    serving.pair.store(Some(Arc::clone(&leaf.pair)));
    metrics.certificate_expires(leaf.not_after().as_second());
    metrics.certificate_reloaded(true);
    tracing::info!(expires = %leaf.not_after(), authority_expires = %issuer.not_after, "certificate served");
}
