//! A certificate authority of our own, kept in a Secret that all replicas share.
//!
//! Every few seconds each replica looks at the Secret, and serves the certificate that it holds. The leader alone writes:
//!
//! ```text
//! Secret ──read──▶ Found ──plan──▶ Plan ──carry out──▶ Kept ──▶ Secret, caBundle of each webhook
//! ```
//!
//! There is one exception: an empty `caBundle` is filled by any replica, with the authorities of the Secret. After an
//! installation it is empty and there may be no leader for a while, and every call fails until it is filled.
//!
//! All state is in the Secret, so that any replica can go on where a leader was killed. There are two rules. An
//! authority signs, and a certificate of it is served, only when every webhook has trusted it for `propagation`, which
//! each replica counts for itself, on its monotonic clock; unless there is nothing better to serve. And an authority
//! is trusted until it expires. What is wrong with the Secret is put right from what this replica remembers of it, so
//! that nothing changes for the API servers; only what nobody remembers is made anew.

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
use self::contents::{Found, Kept, Problem};
use self::memory::{At, Memory};
use self::plan::Change;
use self::secret::Secret;
use self::webhooks::{Configuration, Target, Webhooks};
use super::Serving;
use crate::cluster::lease::Leadership;
use crate::metrics::Metrics;

/// Between two looks, and up to so much again, because replicas should not look in step.
const INTERVAL: Duration = Duration::from_secs(2);
/// For all calls of one look.
const PATIENCE: Duration = Duration::from_secs(10);
/// So many looks that failed in a row are more than a passing trouble: some two minutes.
const LASTING: u32 = 40;

/// Looks after the certificates until it is aborted, and lets `serving` have the one to serve.
pub(crate) fn start(
    client: Client,
    config: Config,
    leadership: Leadership,
    serving: Arc<Serving>,
    metrics: Arc<Metrics>,
) -> anyhow::Result<JoinHandle<()>> {
    config.check()?;
    metrics.certificate_untrusted(true);
    let keeper = Keeper {
        secret: Secret::new(client.clone(), &config.namespace, &config.secret),
        webhooks: Webhooks::new(&client, &config.webhook_configuration),
        memory: Memory::default(),
        published: HashMap::new(),
        serving,
        leadership,
        metrics,
        config,
    };
    Ok(tokio::spawn(keeper.run()))
}

struct Keeper {
    config: Config,
    secret: Secret,
    webhooks: Webhooks,
    leadership: Leadership,
    metrics: Arc<Metrics>,
    serving: Arc<Serving>,
    memory: Memory,
    /// What this replica has published in, or found in, the configurations.
    published: HashMap<&'static str, Vec<u8>>,
}

impl Keeper {
    async fn run(mut self) {
        let jitter = RandomState::new();
        let (mut complaint, mut failures) = (None, 0_u32);
        for round in 0_u64.. {
            // Cancelled anywhere it does no harm, since each look starts from what is there.
            let look = AssertUnwindSafe(timeout(PATIENCE, self.look())).catch_unwind().await;
            let failure = match look {
                Ok(Ok(Ok(()))) => None,
                Ok(Ok(Err(error))) => Some(format!("{error:#}")),
                Ok(Err(_)) => Some("no answer in time".to_owned()),
                Err(_) => Some("a fault of ours; the log has it".to_owned()),
            };
            failures = if failure.is_some() { failures + 1 } else { 0 };
            // What lasts is worth an alert: it ends with the certificate.
            let lasts = failures.is_multiple_of(LASTING) && failures > 0;
            if lasts {
                self.metrics.certificate_reloaded(false);
            }
            match &failure {
                Some(why) if lasts || complaint != failure => {
                    tracing::warn!(why, "cannot look after the certificates; what is served stays");
                }
                None if complaint.is_some() => tracing::info!("certificates are looked after again"),
                _ => {}
            }
            complaint = failure;

            let extra = INTERVAL.mul_f64((jitter.hash_one(round) % 1000) as f64 / 1000.0);
            tokio::select! {
                () = sleep(INTERVAL + extra) => {}
                () = self.leadership.changed() => {}
            }
        }
    }

    async fn look(&mut self) -> anyhow::Result<()> {
        let (wall, secret) = self.secret.read().await.context("cannot read the Secret")?;
        let at = At { wall, monotonic: Instant::now() };
        let found = secret.as_ref().map(|secret| Found::read(secret.data.as_ref(), at.wall));
        if self.leadership.is_leader() {
            self.lead(at, secret, found).await
        } else {
            match found {
                Some(found) => self.follow(at, &found).await,
                // The leader makes it.
                None => Ok(()),
            }
        }
    }

    async fn lead(&mut self, at: At, secret: Option<v1::Secret>, found: Option<Found>) -> anyhow::Result<()> {
        let mut configurations = self.webhooks.read().await;
        let webhooks = configurations.as_ref().map_or(Vec::new(), |read| trusted(read));
        if let (Ok(_), Some(found)) = (&configurations, &found) {
            self.memory.note_trusted(at, &found.authorities, &webhooks);
        }
        let (kept, changes) = self.memory.plan(at, found.as_ref(), &webhooks, &self.config)?;
        if !changes.is_empty() {
            self.secret.write(secret, &kept).await.context("cannot write the Secret")?;
            self.tell(&changes, &kept);
        }
        // Before the certificate is served, if it is the first, but that it cannot be published is no reason not to.
        let published = match &mut configurations {
            Ok(configurations) => self.publish(configurations, &kept.bundle(), Target::All).await,
            Err(_) => Ok(()),
        };
        self.metrics.authority_expires(kept.signer.authority.not_after.as_second());
        let served = self.memory.keep(at, &kept, &self.config);
        serve(served, &self.serving, &self.metrics);
        self.note_trust(&configurations);
        configurations.context("cannot read the webhook configurations")?;
        published.context("cannot publish the authorities in the webhook configurations")
    }

    async fn follow(&mut self, at: At, found: &Found) -> anyhow::Result<()> {
        let served = self.memory.heed(at, found, &self.config);
        serve(served, &self.serving, &self.metrics);
        if let Some(signer) = found.signer() {
            self.metrics.authority_expires(signer.authority.not_after.as_second());
        }
        let mut configurations = self.webhooks.read().await;
        if let Ok(configurations) = &mut configurations {
            // Whoever leads next need not begin to count.
            self.memory.note_trusted(at, &found.authorities, &trusted(configurations));
        }
        let published = match (&mut configurations, found.whole()) {
            (Ok(configurations), Some(kept)) => self.publish(configurations, &kept.bundle(), Target::Empty).await,
            _ => Ok(()),
        };
        self.note_trust(&configurations);
        configurations.context("cannot read the webhook configurations")?;
        published.context("cannot publish the authorities in the webhook configurations")?;
        if found.problems.is_empty() {
            return Ok(());
        }
        self.metrics.certificate_reloaded(false);
        let problems = found.problems.iter().map(Problem::to_string).collect::<Vec<_>>().join("; ");
        anyhow::bail!("the leader has to repair the Secret {}: {problems}", self.config.secret)
    }

    /// Lets the webhooks that are meant trust `bundle`.
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
            // Without the right to read them nobody can tell, and that must not keep the replica from being ready.
            Err(kube::Error::Api(status)) if status.code == 403 => None,
            Err(_) => return,
        };
        self.metrics.certificate_untrusted(why_not.is_some());
        trust.note(why_not);
    }

    fn tell(&self, changes: &[Change], kept: &Kept) {
        let secret = &self.config.secret;
        let (authority_expires, certificate_expires) = (kept.signer.authority.not_after, kept.leaf.not_after());
        for change in changes {
            if let Change::Repaired(_) = change {
                tracing::warn!(secret, "{change}");
            } else {
                tracing::info!(secret, %authority_expires, %certificate_expires, "{change}");
            }
        }
        if changes.iter().any(|change| matches!(change, Change::Repaired(_))) {
            self.metrics.secret_repaired();
        }
    }
}

/// Whom each webhook trusts.
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
