//! Leader election: the replica that holds the Lease writes.
//!
//! As in Kubernetes' own components, a candidate takes over when, by its own monotonic clock, the Lease has not changed for
//! [`DURATION`]. A leader that cannot renew stops leading before that, even if this process does not run in the meantime,
//! because leading ends at a time that was set before. Clocks of two machines are compared only to see that a Lease is left
//! over from long ago.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use k8s_openapi::api::authentication::v1::SelfSubjectReview;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, OwnerReference};
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use kube::api::{ObjectMeta, PostParams};
use kube::{Api, Client};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use super::watch::describe;
use crate::metrics::Metrics;

/// How long the others wait for a Lease that nobody renews.
const DURATION: Duration = Duration::from_secs(15);
/// How long a replica leads after a renewal. The rest of [`DURATION`] is for requests that are on their way.
const LEADING: Duration = Duration::from_secs(12);
/// A holder that has not renewed for longer than this is gone. Clocks of machines in one cluster do not differ by as much.
/// Where they do, a leader that is still there is replaced, but only once, since by its clock the Lease of the new one is
/// from the future. That is safe, because each write to the Secret and to the webhooks names the resourceVersion that was
/// read.
const LONG_PAST: SignedDuration = SignedDuration::from_mins(10);
const RENEW: Duration = Duration::from_secs(5);
const RETRY: Duration = Duration::from_secs(2);
/// For the few calls of one attempt: several attempts fit into [`LEADING`].
const PATIENCE: Duration = Duration::from_secs(3);

/// Whether this replica may write.
#[derive(Clone)]
pub(crate) struct Leadership {
    until: watch::Receiver<Option<Instant>>,
    /// What [`Leadership::changed`] last waited for.
    was_leader: bool,
}

impl Leadership {
    /// Whether this replica leads at this moment.
    pub(crate) fn is_leader(&self) -> bool {
        self.until.borrow().is_some_and(|until| Instant::now() < until)
    }

    /// Waits until [`Leadership::is_leader`] is no longer what the last call ended with; before the first, it is false.
    pub(crate) async fn changed(&mut self) {
        while self.is_leader() == self.was_leader {
            if self.until.changed().await.is_err() {
                // The campaign has ended, and nothing changes any more.
                std::future::pending::<()>().await;
            }
        }
        self.was_leader = !self.was_leader;
    }
}

/// A campaign for the Lease, which runs in a task.
#[must_use = "the campaign ends when it is dropped"]
pub(crate) struct Campaign {
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Campaign {
    /// Stops leading at once, and gives the Lease back so that the next one need not wait for it to run out.
    pub(crate) async fn resign(self) {
        drop(self.stop);
        // An attempt that is under way ends first; then the Lease is given back.
        if timeout(2 * PATIENCE, self.task).await.is_err() {
            tracing::warn!("the Lease was not given back; the next leader has to wait until it runs out");
        }
    }
}

/// Stands for election until the campaign is dropped or resigned.
pub(crate) fn campaign(
    client: Client,
    namespace: &str,
    name: &str,
    identity: &str,
    metrics: Arc<Metrics>,
) -> (Leadership, Campaign) {
    let (until, receiver) = watch::channel(None);
    let (stop, stopped) = oneshot::channel();
    let candidate = Candidate {
        leases: Api::namespaced(client.clone(), namespace),
        reviews: Api::all(client),
        namespace: namespace.to_owned(),
        name: name.to_owned(),
        identity: identity.to_owned(),
        rival: Rival::default(),
        until,
        metrics,
    };
    let task = tokio::spawn(candidate.run(stopped));
    (Leadership { until: receiver, was_leader: false }, Campaign { stop, task })
}

struct Candidate {
    leases: Api<Lease>,
    reviews: Api<SelfSubjectReview>,
    namespace: String,
    name: String,
    identity: String,
    rival: Rival,
    until: watch::Sender<Option<Instant>>,
    metrics: Arc<Metrics>,
}

enum Attempt {
    Held,
    HeldByAnother,
    /// Somebody wrote the Lease between our reading and our writing.
    Overtaken,
}

impl Candidate {
    async fn run(mut self, mut stopped: oneshot::Receiver<()>) {
        let mut last_failure = None;
        loop {
            // Taken before the attempt, since the others see the renewal later.
            let began = Instant::now();
            let attempt = timeout(PATIENCE, AssertUnwindSafe(self.attempt()).catch_unwind()).await;
            let failure = match attempt {
                Ok(Ok(Ok(Attempt::Held))) => {
                    self.lead_until(Some(began + LEADING));
                    None
                }
                Ok(Ok(Ok(Attempt::HeldByAnother))) => {
                    self.lead_until(None);
                    None
                }
                Ok(Ok(Ok(Attempt::Overtaken))) => None,
                Ok(Ok(Err(error))) => Some(describe(&error)),
                // The task must go on, or this replica could never lead again. The place is in the log.
                Ok(Err(_)) => Some("this is a bug in pillion".to_owned()),
                Err(_) => Some("no answer in time".to_owned()),
            };
            if failure.is_some() && failure != last_failure {
                tracing::warn!(lease = self.name, why = failure, "cannot take part in the election");
            }
            let settled = failure.is_none();
            last_failure = failure;

            let until = *self.until.borrow();
            if until.is_some_and(|until| until <= Instant::now()) {
                self.lead_until(None);
            }
            let pause = if settled && self.until.borrow().is_some() { RENEW } else { RETRY };
            tokio::select! {
                () = sleep(pause) => {}
                _ = &mut stopped => break,
            }
        }
        let led = self.until.borrow().is_some();
        self.lead_until(None);
        if led && let Ok(Err(error)) = timeout(PATIENCE, self.release()).await {
            // `helm uninstall` takes the right away before the pods end, and the Lease runs out by itself.
            tracing::info!(lease = self.name, why = %error, "the Lease was not given back");
        }
    }

    fn lead_until(&self, until: Option<Instant>) {
        let before = self.until.send_replace(until);
        self.metrics.leads(until.is_some());
        match (before, until) {
            (None, Some(_)) => tracing::info!(lease = self.name, identity = self.identity, "leading"),
            (Some(_), None) => tracing::info!(lease = self.name, identity = self.identity, "no longer leading"),
            _ => {}
        }
    }

    /// Takes the Lease, or renews it.
    async fn attempt(&mut self) -> Result<Attempt, kube::Error> {
        let written = match self.leases.get_opt(&self.name).await? {
            None => {
                let metadata = ObjectMeta {
                    name: Some(self.name.clone()),
                    // Not added to a Lease that is there: an API server may ask for the right to delete it.
                    owner_references: self.account().await?.map(|account| vec![account]),
                    ..ObjectMeta::default()
                };
                let lease =
                    Lease { metadata, spec: Some(claim(LeaseSpec::default(), &self.identity, Timestamp::now())) };
                self.leases.create(&PostParams::default(), &lease).await
            }
            Some(mut lease) => {
                let spec = lease.spec.unwrap_or_default();
                if !self.may_take(&spec) {
                    return Ok(Attempt::HeldByAnother);
                }
                lease.spec = Some(claim(spec, &self.identity, Timestamp::now()));
                // With the resourceVersion that was read, so that of two candidates one is refused.
                self.leases.replace(&self.name, &PostParams::default(), &lease).await
            }
        };
        match written {
            Ok(_) => Ok(Attempt::Held),
            Err(kube::Error::Api(status)) if status.code == 409 => Ok(Attempt::Overtaken),
            Err(error) => Err(error),
        }
    }

    fn may_take(&mut self, spec: &LeaseSpec) -> bool {
        match spec.holder_identity.as_deref() {
            None | Some("") => true,
            Some(holder) => {
                holder == self.identity
                    || is_long_past(spec, Timestamp::now())
                    || self.rival.has_run_out(spec, Instant::now())
            }
        }
    }

    /// The ServiceAccount of this replica, with which the Lease is deleted: of all objects of a release the only one whose
    /// uid can be asked for without a right. `None` when the replica has no account in the Lease's namespace.
    async fn account(&self) -> Result<Option<OwnerReference>, kube::Error> {
        let review = match self.reviews.create(&PostParams::default(), &SelfSubjectReview::default()).await {
            Ok(review) => review,
            Err(kube::Error::Api(status)) if [403, 404].contains(&status.code) => return Ok(None),
            Err(error) => return Err(error),
        };
        let user = review.status.and_then(|status| status.user_info).unwrap_or_default();
        let prefix = format!("system:serviceaccount:{}:", self.namespace);
        let name = user.username.as_deref().and_then(|name| name.strip_prefix(&prefix)).map(str::to_owned);
        Ok(name.zip(user.uid).map(|(name, uid)| OwnerReference {
            api_version: "v1".to_owned(),
            kind: "ServiceAccount".to_owned(),
            name,
            uid,
            ..OwnerReference::default()
        }))
    }

    /// Leaves the Lease without a holder, if it is ours.
    async fn release(&self) -> Result<(), kube::Error> {
        let mut lease = self.leases.get(&self.name).await?;
        let Some(spec) = lease.spec.as_mut().filter(|spec| spec.holder_identity.as_ref() == Some(&self.identity))
        else {
            return Ok(());
        };
        spec.holder_identity = None;
        spec.acquire_time = None;
        self.leases.replace(&self.name, &PostParams::default(), &lease).await.map(drop)
    }
}

/// The Lease of another holder as it was last read, and since when it has been so.
#[derive(Default)]
struct Rival(Option<(LeaseSpec, Instant)>);

impl Rival {
    fn has_run_out(&mut self, spec: &LeaseSpec, now: Instant) -> bool {
        match &self.0 {
            Some((seen, since)) if seen == spec => now.duration_since(*since) >= DURATION,
            _ => {
                self.0 = Some((spec.clone(), now));
                false
            }
        }
    }
}

/// Whether the holder has been gone for long. A time in the future does not count.
fn is_long_past(spec: &LeaseSpec, now: Timestamp) -> bool {
    spec.renew_time.as_ref().is_some_and(|MicroTime(renewed)| now.duration_since(*renewed) > LONG_PAST)
}

/// The Lease of `identity`, which may have held it before.
fn claim(spec: LeaseSpec, identity: &str, now: Timestamp) -> LeaseSpec {
    let renews = spec.holder_identity.as_deref() == Some(identity);
    let transitions = spec.lease_transitions.unwrap_or(0);
    LeaseSpec {
        holder_identity: Some(identity.to_owned()),
        lease_duration_seconds: Some(DURATION.as_secs() as i32),
        acquire_time: if renews { spec.acquire_time } else { Some(MicroTime(now)) },
        renew_time: Some(MicroTime(now)),
        lease_transitions: Some(if renews { transitions } else { transitions.saturating_add(1) }),
        ..spec
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: Timestamp = Timestamp::constant(1_795_262_400, 0);

    #[test]
    fn a_lease_is_long_past_when_its_time_is_and_not_when_it_names_none_or_one_to_come() {
        let lease = claim(LeaseSpec::default(), "them", NOON);
        assert!(!is_long_past(&lease, NOON + LONG_PAST));
        assert!(is_long_past(&lease, NOON + LONG_PAST + SignedDuration::from_secs(1)));
        assert!(!is_long_past(&lease, NOON - SignedDuration::from_hours(1)));
        assert!(!is_long_past(&LeaseSpec { renew_time: None, ..lease }, NOON));
    }

    #[test]
    fn a_lease_runs_out_when_it_has_not_changed_for_its_duration_whatever_times_it_names() {
        let (mut rival, start) = (Rival::default(), Instant::now());
        // Their clock is years behind.
        let lease = |second| claim(LeaseSpec::default(), "them", Timestamp::constant(second, 0));
        assert!(!rival.has_run_out(&lease(1), start));
        assert!(!rival.has_run_out(&lease(2), start + DURATION));
        assert!(!rival.has_run_out(&lease(2), start + 2 * DURATION - Duration::from_secs(1)));
        assert!(rival.has_run_out(&lease(2), start + 2 * DURATION));
    }

    #[test]
    fn a_renewal_keeps_the_acquire_time_and_a_takeover_sets_it() {
        let ours = claim(LeaseSpec { strategy: Some("kept".into()), ..LeaseSpec::default() }, "us", NOON);
        let renewed = claim(ours.clone(), "us", NOON + Duration::from_secs(5));
        assert_eq!((&renewed.acquire_time, renewed.lease_transitions), (&ours.acquire_time, ours.lease_transitions));
        assert_ne!(renewed.renew_time, ours.renew_time);
        let taken = claim(renewed, "them", NOON + Duration::from_secs(30));
        assert_ne!(taken.acquire_time, ours.acquire_time);
        assert_eq!((taken.lease_transitions, taken.strategy.as_deref()), (Some(2), Some("kept")));
    }

    #[tokio::test]
    async fn leading_ends_by_itself_and_each_change_is_returned_once() {
        let (until, receiver) = watch::channel(None);
        let mut leadership = Leadership { until: receiver, was_leader: false };
        assert!(!leadership.is_leader());

        until.send_replace(Some(Instant::now() + LEADING));
        leadership.changed().await;
        assert!(leadership.is_leader());
        // Renewed, which is no change, and then not any more.
        until.send_replace(Some(Instant::now() + LEADING));
        assert!(timeout(Duration::ZERO, leadership.changed()).await.is_err());
        until.send_replace(Some(Instant::now()));
        assert!(!leadership.is_leader());
        leadership.changed().await;
    }
}
