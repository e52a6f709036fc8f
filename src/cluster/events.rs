//! Events on the owners of pods, because controllers do not show the warnings of admission.
//!
//! A review only records its warnings, in an [`EventLog`] of bounded size. A task writes the events, at a bounded rate: the
//! same warning about the pods of one owner is one event with a count.
//!
//! There is no event about a pod that is refused: its controller reports our message itself (`FailedCreate`).

mod log;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::api::events::v1::{Event, EventSeries};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use k8s_openapi::jiff::Timestamp;
use kube::api::{Patch, PatchParams};
use kube::core::ObjectMeta;
use kube::{Api, Client};
use pillion_engine::admission::{Review, Subject};
use pillion_engine::decision::Decision;
use tokio::time::{MissedTickBehavior, interval, timeout};

use self::log::{EventLog, Note, PendingEvent, Regarding};
use crate::metrics::{EventResult, Metrics};

/// The `reportingController` of every event.
const CONTROLLER: &str = "pillion.dev/pillion";
/// How often events are written.
const TICK: Duration = Duration::from_secs(1);
/// How long the API server may take for an event.
const PATIENCE: Duration = Duration::from_secs(5);
/// Failures are logged no more often than this.
const LOG_PAUSE: Duration = Duration::from_secs(600);
/// The longest `reportingInstance`.
/// Source: pkg/apis/core/validation/events.go of Kubernetes.
const MAX_INSTANCE: usize = 128;
/// The longest name of an object. An owner reference may hold anything.
pub(crate) const MAX_NAME: usize = 253;

/// Where reviews record the warnings about pods.
#[derive(Clone)]
pub(crate) struct Events {
    log: Arc<Mutex<EventLog>>,
    draining: Arc<AtomicBool>,
    metrics: Arc<Metrics>,
}

impl Events {
    /// Begins to write events, in the name of this replica.
    pub(crate) fn start(client: Client, identity: &str, metrics: Arc<Metrics>) -> Events {
        let instance = identity.chars().filter(char::is_ascii).take(MAX_INSTANCE).collect();
        let events = Events { log: Arc::default(), draining: Arc::default(), metrics };
        tokio::spawn(events.clone().write(client, instance));
        events
    }

    /// From now on failures are counted and not logged: the server drains.
    pub(crate) fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    /// Records every warning, those about skipped templates included, for an event on the pod's owner. It never waits.
    pub(crate) fn record(&self, review: &Review<'_>, decision: &Decision) {
        if review.dry_run() || !decision.allowed() || decision.warnings.is_empty() {
            return;
        }
        let subject = review.subject();
        let repeated = subject.seen_before;
        let Some(regarding) = regarding(subject) else { return };
        let (now, time) = (Instant::now(), Timestamp::now());
        let mut log = self.log();
        for warning in &decision.warnings {
            let note = Note::new(warning.skipped.unwrap_or(decision.reason), &warning.text);
            // If there was no room for it on the first call about a pod, it was counted then.
            if !log.record(&regarding, note, repeated, now, time) && !repeated {
                self.metrics.events_recorded(EventResult::Dropped, 1);
            }
        }
    }

    fn log(&self) -> MutexGuard<'_, EventLog> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn write(self, client: Client, instance: String) {
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut last_logged: Option<Instant> = None;
        loop {
            tick.tick().await;
            let (events, expired) = self.log().due(Instant::now());
            self.metrics.events_recorded(EventResult::Dropped, expired);
            let written = join_all(events.iter().map(|event| write(&client, &instance, event))).await;
            let now = Instant::now();
            let mut log = self.log();
            for (event, written) in events.iter().zip(written) {
                match written {
                    Ok(()) => {
                        self.metrics.events_recorded(EventResult::Sent, 1);
                        log.written(event, now);
                    }
                    Err(why) => {
                        self.metrics.events_recorded(EventResult::Failed, 1);
                        log.failed(event, now);
                        let is_loggable = last_logged.is_none_or(|at| now.duration_since(at) > LOG_PAUSE);
                        if is_loggable && !self.draining.load(Ordering::Relaxed) {
                            last_logged = Some(now);
                            let owner = &event.regarding.owner;
                            tracing::warn!(
                                why,
                                owner = owner.to_string(),
                                namespace = event.regarding.namespace,
                                "cannot write an event"
                            );
                        }
                    }
                }
            }
        }
    }
}

/// The object that an event is about, if the pod has an owner that can have one.
fn regarding(subject: Subject<'_>) -> Option<Regarding> {
    let Subject { namespace, owner, .. } = subject;
    let owner = owner?;
    let parts = [&namespace, &owner.api_version, &owner.kind, &owner.name, &owner.uid];
    // A node owns its mirror pods, and is in no namespace.
    let may_have_events = owner.kind != "Node" && parts.iter().all(|part| (1..=MAX_NAME).contains(&part.len()));
    may_have_events.then(|| Regarding { namespace: namespace.into_owned(), owner: owner.into_owned() })
}

/// Creates the event, or updates it.
async fn write(client: &Client, instance: &str, event: &PendingEvent) -> Result<(), String> {
    let api: Api<Event> = Api::namespaced(client.clone(), &event.regarding.namespace);
    let parameters = PatchParams::apply(CONTROLLER).force();
    let patch = Patch::Apply(to_object(instance, event));
    match timeout(PATIENCE, api.patch(&event.name, &parameters, &patch)).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(kube::Error::Api(status))) => Err(format!("{}: {}", status.reason, status.message)),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err(format!("the API server did not answer within {PATIENCE:?}")),
    }
}

fn to_object(instance: &str, event: &PendingEvent) -> Event {
    let PendingEvent { regarding: Regarding { namespace, owner }, note, name, first, last, count } = event;
    Event {
        metadata: ObjectMeta { name: Some(name.clone()), namespace: Some(namespace.clone()), ..ObjectMeta::default() },
        action: Some("Inject".into()),
        event_time: Some(MicroTime(*first)),
        note: Some(note.text.clone()),
        reason: Some(note.reason.camel_case().into()),
        regarding: Some(ObjectReference {
            api_version: Some(owner.api_version.clone().into_owned()),
            kind: Some(owner.kind.clone().into_owned()),
            name: Some(owner.name.clone().into_owned()),
            namespace: Some(namespace.clone()),
            uid: Some(owner.uid.clone().into_owned()),
            ..ObjectReference::default()
        }),
        reporting_controller: Some(CONTROLLER.into()),
        reporting_instance: Some(instance.into()),
        series: (*count > 1).then_some(EventSeries { count: *count, last_observed_time: MicroTime(*last) }),
        type_: Some("Warning".into()),
        ..Event::default()
    }
}
