//! Follows the resources of one kind for as long as the process lives.
//!
//! After any failure everything is listed anew: the one way to know that the watch is back, and that nothing was missed.

use std::error::Error;
use std::fmt::Debug;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::{StreamExt as _, pin_mut};
use kube::core::Resource;
use kube::runtime::utils::Backoff as _;
use kube::runtime::watcher::{self, DefaultBackoff, Event};
use serde::de::DeserializeOwned;
use tokio::time::{Duration, Instant, sleep, timeout_at};

use crate::metrics::Metrics;

/// How often to ask whether a resource that is not served has been installed.
const NOT_INSTALLED: Duration = Duration::from_secs(15);

/// A watch that has not failed within this time after its list is well.
const SETTLED: Duration = Duration::from_secs(1);

/// What was seen of a resource.
pub(crate) enum Seen<K> {
    /// These are all there are.
    All(Vec<K>),
    /// This one is new, or was changed.
    Applied(K),
    /// This one is gone.
    Deleted(K),
}

/// How a watch is doing.
pub(crate) struct Watched {
    /// The resource's plural name.
    pub(crate) resource: &'static str,
    state: Mutex<State>,
    metrics: Arc<Metrics>,
}

#[derive(Clone, Debug, Default)]
struct State {
    /// Whether everything has been taken up once.
    full: bool,
    /// What went wrong since it was last known to be well.
    failure: Option<String>,
}

impl Watched {
    /// A watch that has seen nothing yet.
    pub(crate) fn new(resource: &'static str, metrics: Arc<Metrics>) -> Arc<Watched> {
        metrics.watch_is_up(resource, false);
        Arc::new(Watched { resource, state: Mutex::default(), metrics })
    }

    /// Notes that everything has been taken up, so that reviews can rely on it.
    pub(crate) fn is_full(&self) {
        self.state().full = true;
    }

    /// Whether reviews can rely on it.
    pub(crate) fn check(&self) -> Result<(), String> {
        let state = self.state();
        match (&state.failure, state.full) {
            (_, true) => Ok(()),
            (Some(failure), false) => Err(failure.clone()),
            (None, false) => Err("not listed yet".into()),
        }
    }

    /// What is wrong at present, though what was seen before stays in service.
    pub(crate) fn failure(&self) -> Option<String> {
        self.state().failure.clone()
    }

    fn is_up(&self) {
        self.metrics.watch_is_up(self.resource, true);
        if self.state().failure.take().is_some() {
            tracing::info!(resource = self.resource, "watch is back");
        }
    }

    fn failed(&self, why: String) {
        self.metrics.watch_is_up(self.resource, false);
        self.metrics.watch_failed(self.resource);
        let known = self.state().failure.replace(why.clone());
        if known.as_ref() != Some(&why) {
            tracing::warn!(resource = self.resource, why, "watch failed; what is known stays in service meanwhile");
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lists, then watches, and begins anew after each failure. Never ends.
    pub(crate) async fn follow<K, S>(&self, watch: impl Fn() -> S, mut seen: impl FnMut(Seen<K>))
    where
        K: Clone + Debug + DeserializeOwned + Resource + Send + 'static,
        S: futures_util::Stream<Item = watcher::Result<Event<K>>>,
    {
        let mut backoff = DefaultBackoff::default();
        loop {
            let events = watch();
            pin_mut!(events);
            let mut listed = Vec::new();
            let mut stage = Stage::Listing;
            let pause = loop {
                let event = match stage {
                    Stage::Listed(at) => timeout_at(at + SETTLED, events.next()).await,
                    Stage::Listing | Stage::Watching => Ok(events.next().await),
                };
                let Ok(event) = event else {
                    stage = Stage::Watching;
                    self.is_up();
                    backoff.reset();
                    continue;
                };
                match event {
                    Some(Ok(Event::Init)) => listed.clear(),
                    Some(Ok(Event::InitApply(object))) => listed.push(object),
                    Some(Ok(Event::InitDone)) => {
                        seen(Seen::All(std::mem::take(&mut listed)));
                        stage = Stage::Listed(Instant::now());
                    }
                    Some(Ok(Event::Apply(object))) => seen(Seen::Applied(object)),
                    Some(Ok(Event::Delete(object))) => seen(Seen::Deleted(object)),
                    Some(Err(error)) if is_not_served(&error) => {
                        seen(Seen::All(Vec::new()));
                        self.failed("the API server does not serve it: its CustomResourceDefinition is missing".into());
                        break Some(NOT_INSTALLED);
                    }
                    Some(Err(error)) => {
                        self.failed(describe(&error));
                        break backoff.next();
                    }
                    None => break backoff.next(),
                }
            };
            sleep(pause.unwrap_or(NOT_INSTALLED)).await;
        }
    }
}

/// How far one attempt to follow a resource has come.
#[derive(Clone, Copy, Debug)]
enum Stage {
    Listing,
    /// The list was good; whether the watch is, is seen by its not failing at once.
    Listed(Instant),
    Watching,
}

fn is_not_served(error: &watcher::Error) -> bool {
    matches!(error, watcher::Error::InitialListFailed(kube::Error::Api(status)) if status.code == 404)
}

/// An error in words for people: the API server's own if it has answered, otherwise the error's with its causes'.
pub(crate) fn describe(error: &(dyn Error + 'static)) -> String {
    let causes = || std::iter::successors(Some(error), |error| (*error).source());
    let answer = causes().find_map(|error| match error.downcast_ref() {
        Some(kube::Error::Api(status)) if !status.message.is_empty() => Some(status.message.clone()),
        _ => None,
    });
    answer.unwrap_or_else(|| {
        causes().map(ToString::to_string).fold(String::new(), |text, cause| match text {
            _ if text.is_empty() => cause,
            _ if text.contains(&cause) => text,
            _ => format!("{text}: {cause}"),
        })
    })
}
