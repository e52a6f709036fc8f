//! Events on the owners of pods, because controllers swallow the warnings of admission.
//!
//! A review only writes down what it has to tell, in a [`Book`] of bounded size. A task writes the events, at a bounded
//! rate: the same warning about the pods of one owner is one event that says how often.
//!
//! Of a pod that is refused nothing is told here: its controller reports our message itself (`FailedCreate`).

mod book;

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
use pillion_engine::admission::Review;
use pillion_engine::decision::Decision;
use tokio::time::{MissedTickBehavior, interval, timeout};

use self::book::{Book, Note, Regarding, Write};
use crate::metrics::{Metrics, Told};

/// Who reports, in every event.
const CONTROLLER: &str = "pillion.dev/pillion";
/// How often what was told is written.
const TICK: Duration = Duration::from_secs(1);
/// How long the API server may take for an event.
const PATIENCE: Duration = Duration::from_secs(5);
/// What goes wrong with events is logged no more often than this.
const LOG_PAUSE: Duration = Duration::from_secs(600);
/// The longest `reportingInstance`.
/// Source: pkg/apis/core/validation/events.go of Kubernetes.
const MAX_INSTANCE: usize = 128;
/// The longest name of an object. An owner reference may hold anything.
const MAX_NAME: usize = 253;

/// Where reviews tell what should be known of a pod.
#[derive(Clone)]
pub(crate) struct Events {
    book: Arc<Mutex<Book>>,
    draining: Arc<AtomicBool>,
    metrics: Arc<Metrics>,
}

impl Events {
    /// Begins to write events, in the name of this replica.
    pub(crate) fn start(client: Client, identity: &str, metrics: Arc<Metrics>) -> Events {
        let instance = identity.chars().filter(char::is_ascii).take(MAX_INSTANCE).collect();
        let events = Events { book: Arc::default(), draining: Arc::default(), metrics };
        tokio::spawn(events.clone().write(client, instance));
        events
    }

    /// From now on what cannot be written is only counted: the server is on its way out.
    pub(crate) fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    /// Tells the pod's owner of every warning, those of templates that were left out among them. It never waits.
    pub(crate) fn tell(&self, review: &Review<'_>, decision: &Decision) {
        if review.dry_run() || !decision.allowed() || decision.warnings.is_empty() {
            return;
        }
        let Some(regarding) = regarding(decision) else { return };
        let (now, time) = (Instant::now(), Timestamp::now());
        let mut book = self.book();
        for warning in &decision.warnings {
            let note = Note::new(warning.left_out.unwrap_or(decision.reason), &warning.text);
            let repeated = decision.subject.seen_before;
            // What the first call about a pod had no room for was counted then.
            if !book.tell(&regarding, note, repeated, now, time) && !repeated {
                self.metrics.told(Told::Dropped, 1);
            }
        }
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn write(self, client: Client, instance: String) {
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut logged: Option<Instant> = None;
        loop {
            tick.tick().await;
            let (writes, forgotten) = self.book().due(Instant::now());
            self.metrics.told(Told::Dropped, forgotten);
            let written = join_all(writes.iter().map(|it| write(&client, &instance, it))).await;
            let now = Instant::now();
            let mut book = self.book();
            for (write, written) in writes.iter().zip(written) {
                match written {
                    Ok(()) => {
                        self.metrics.told(Told::Sent, 1);
                        book.written(write, now);
                    }
                    Err(why) => {
                        self.metrics.told(Told::Failed, 1);
                        book.failed(write, now);
                        let is_news = logged.is_none_or(|at| now.duration_since(at) > LOG_PAUSE);
                        if is_news && !self.draining.load(Ordering::Relaxed) {
                            logged = Some(now);
                            let owner = &write.regarding.owner;
                            tracing::warn!(
                                why,
                                owner = owner.to_string(),
                                namespace = write.regarding.namespace,
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
fn regarding(decision: &Decision) -> Option<Regarding> {
    let namespace = &decision.subject.namespace;
    let owner = decision.subject.owner.as_ref()?;
    let parts = [namespace, &owner.api_version, &owner.kind, &owner.name, &owner.uid];
    // A node owns its mirror pods, and lies in no namespace.
    let is_told = owner.kind != "Node" && parts.iter().all(|part| (1..=MAX_NAME).contains(&part.len()));
    is_told.then(|| Regarding { namespace: namespace.clone(), owner: owner.clone() })
}

/// Makes the event, or brings it up to date.
async fn write(client: &Client, instance: &str, write: &Write) -> Result<(), String> {
    let api: Api<Event> = Api::namespaced(client.clone(), &write.regarding.namespace);
    let parameters = PatchParams::apply(CONTROLLER).force();
    let patch = Patch::Apply(event(instance, write));
    match timeout(PATIENCE, api.patch(&write.name, &parameters, &patch)).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(kube::Error::Api(status))) => Err(format!("{}: {}", status.reason, status.message)),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err(format!("the API server did not answer within {PATIENCE:?}")),
    }
}

fn event(instance: &str, write: &Write) -> Event {
    let Write { regarding: Regarding { namespace, owner }, note, name, first, last, count } = write;
    Event {
        metadata: ObjectMeta { name: Some(name.clone()), namespace: Some(namespace.clone()), ..ObjectMeta::default() },
        action: Some("Inject".into()),
        event_time: Some(MicroTime(*first)),
        note: Some(note.text.clone()),
        reason: Some(note.reason.camel_case().into()),
        regarding: Some(ObjectReference {
            api_version: Some(owner.api_version.clone()),
            kind: Some(owner.kind.clone()),
            name: Some(owner.name.clone()),
            namespace: Some(namespace.clone()),
            uid: Some(owner.uid.clone()),
            ..ObjectReference::default()
        }),
        reporting_controller: Some(CONTROLLER.into()),
        reporting_instance: Some(instance.into()),
        series: (*count > 1).then_some(EventSeries { count: *count, last_observed_time: MicroTime(*last) }),
        type_: Some("Warning".into()),
        ..Event::default()
    }
}
