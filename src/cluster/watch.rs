//! Watches the resources of one kind for as long as the process lives.
//!
//! After any failure everything is listed again: only then it is known that the watch works, and that nothing was missed.

use std::error::Error;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::{FutureExt as _, Stream, StreamExt as _};
use kube::runtime::utils::Backoff as _;
use kube::runtime::watcher::{self, DefaultBackoff, Event};
use tokio::time::{Duration, Instant, sleep, timeout_at};

use crate::metrics::Metrics;

/// How often to ask whether a resource that is not served has been installed.
const NOT_INSTALLED: Duration = Duration::from_secs(15);
/// When an API server does not serve a resource any more, it is asked again after this time, and only then all objects of
/// the resource count as deleted.
const NOT_SERVED_RETRY: Duration = Duration::from_secs(5);
/// A watch counts as working when it has not failed within this time after its list.
const SETTLED: Duration = Duration::from_secs(1);

/// A change of the objects of a resource.
pub(crate) enum ObjectChange<K> {
    /// These are all there are.
    Listed(Vec<K>),
    /// This one is new, or was changed.
    Applied(K),
    /// This one is gone.
    Deleted(K),
}

/// A watch and its state.
pub(crate) struct Watch {
    /// The resource's plural name.
    pub(crate) resource: &'static str,
    state: Mutex<State>,
    metrics: Arc<Metrics>,
}

#[derive(Clone, Debug, Default)]
struct State {
    /// Whether everything has been listed once, and reviews use it.
    listed: bool,
    /// The last failure, until the watch works again.
    failure: Option<String>,
    /// Whether the server drains.
    draining: bool,
}

impl Watch {
    /// A watch that has seen nothing yet.
    pub(crate) fn new(resource: &'static str, metrics: Arc<Metrics>) -> Arc<Watch> {
        metrics.set_watch_up(resource, false);
        Arc::new(Watch { resource, state: Mutex::default(), metrics })
    }

    /// Notes that everything has been listed, and that reviews use it.
    pub(crate) fn mark_listed(&self) {
        self.state().listed = true;
    }

    /// Fails until everything has been listed once, and reviews use it.
    pub(crate) fn check_listed(&self) -> Result<(), String> {
        let state = self.state();
        match (&state.failure, state.listed) {
            (_, true) => Ok(()),
            (Some(failure), false) => Err(failure.clone()),
            (None, false) => Err("not listed yet".into()),
        }
    }

    /// From now on the watch ends at its first failure.
    pub(crate) fn drain(&self) {
        self.state().draining = true;
    }

    /// Why the watch does not work at present; what was watched before is still used.
    pub(crate) fn failure(&self) -> Option<String> {
        self.state().failure.clone()
    }

    fn recovered(&self) {
        self.metrics.set_watch_up(self.resource, true);
        if self.state().failure.take().is_some() {
            tracing::info!(resource = self.resource, "watch is back");
        }
    }

    fn failed(&self, why: String) {
        self.metrics.set_watch_up(self.resource, false);
        self.metrics.watch_failed(self.resource);
        let known = self.state().failure.replace(why.clone());
        if known.as_ref() != Some(&why) {
            tracing::warn!(resource = self.resource, why, "watch failed; the last known state is used meanwhile");
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lists, then watches, and lists again after each failure. Ends only when the server drains.
    pub(crate) async fn run<K, S, T>(&self, watch: impl Fn() -> S, mut apply: impl FnMut(ObjectChange<K>) -> T)
    where
        S: Stream<Item = watcher::Result<Event<K>>>,
        T: Future<Output = ()>,
    {
        let mut backoff = DefaultBackoff::default();
        let mut was_served = true;
        loop {
            let mut stage = Stage::Listing;
            let attempt = self.attempt(watch(), &mut apply, &mut stage);
            let ended = AssertUnwindSafe(attempt).catch_unwind().await;
            if self.state().draining {
                return;
            }
            match stage {
                Stage::Listing => {}
                Stage::Listed(_) => was_served = true,
                Stage::Watching => {
                    was_served = true;
                    backoff.reset();
                }
            }
            let pause = match ended {
                Ok(Ended::NotServed) => {
                    self.failed("the API server does not serve it: its CustomResourceDefinition is missing".into());
                    // An API server that has just started may not know its own resources yet.
                    if std::mem::take(&mut was_served) {
                        NOT_SERVED_RETRY
                    } else {
                        apply(ObjectChange::Listed(Vec::new())).await;
                        NOT_INSTALLED
                    }
                }
                Ok(Ended::Failed(why)) => {
                    self.failed(why);
                    backoff.next().unwrap_or(NOT_INSTALLED)
                }
                Err(_) => {
                    self.failed("this is a bug in pillion; its log says where".into());
                    backoff.next().unwrap_or(NOT_INSTALLED)
                }
            };
            sleep(pause).await;
        }
    }

    /// Lists and watches until the first failure.
    async fn attempt<K, T: Future<Output = ()>>(
        &self,
        events: impl Stream<Item = watcher::Result<Event<K>>>,
        apply: &mut impl FnMut(ObjectChange<K>) -> T,
        stage: &mut Stage,
    ) -> Ended {
        let mut events = pin!(events);
        let mut listed = Vec::new();
        loop {
            let event = match *stage {
                Stage::Listed(at) => timeout_at(at + SETTLED, events.next()).await,
                Stage::Listing | Stage::Watching => Ok(events.next().await),
            };
            let Ok(event) = event else {
                *stage = Stage::Watching;
                self.recovered();
                continue;
            };
            match event {
                Some(Ok(Event::Init)) => listed.clear(),
                Some(Ok(Event::InitApply(object))) => listed.push(object),
                Some(Ok(Event::InitDone)) => {
                    apply(ObjectChange::Listed(std::mem::take(&mut listed))).await;
                    *stage = Stage::Listed(Instant::now());
                }
                Some(Ok(Event::Apply(object))) => apply(ObjectChange::Applied(object)).await,
                Some(Ok(Event::Delete(object))) => apply(ObjectChange::Deleted(object)).await,
                Some(Err(error)) if is_not_served(&error) => return Ended::NotServed,
                Some(Err(error)) => return Ended::Failed(describe(&error)),
                None => return Ended::Failed("the watch ended".into()),
            }
        }
    }
}

/// How far one attempt to list and watch a resource has come.
#[derive(Clone, Copy, Debug)]
enum Stage {
    Listing,
    /// The list was read, at this time. The watch works if it does not fail at once.
    Listed(Instant),
    Watching,
}

/// Why an attempt to list and watch a resource has ended.
#[derive(Debug)]
enum Ended {
    /// The API server does not serve the resource.
    NotServed,
    Failed(String),
}

fn is_not_served(error: &watcher::Error) -> bool {
    matches!(error, watcher::Error::InitialListFailed(kube::Error::Api(status)) if status.code == 404)
}

/// The text of an error: the API server's own message if it has answered, otherwise the error with its causes.
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

#[cfg(test)]
mod tests {
    use std::future::ready;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures_util::StreamExt as _;
    use futures_util::stream::{self, pending};
    use k8s_openapi::api::core::v1::Namespace;
    use kube::core::{ObjectMeta, Status};
    use tokio::sync::mpsc;

    use super::*;

    type Step = watcher::Result<Event<Namespace>>;

    fn named(name: &str) -> Namespace {
        Namespace { metadata: ObjectMeta { name: Some(name.into()), ..ObjectMeta::default() }, ..Namespace::default() }
    }

    fn list(names: &[&str]) -> Vec<Step> {
        let all = names.iter().map(|name| Ok(Event::InitApply(named(name))));
        [Ok(Event::Init)].into_iter().chain(all).chain([Ok(Event::InitDone)]).collect()
    }

    fn answered(code: u16) -> Vec<Step> {
        let status = Status { code, message: format!("code {code}"), ..Status::default() };
        vec![Err(watcher::Error::InitialListFailed(kube::Error::Api(Box::new(status))))]
    }

    fn namespaces() -> Arc<Watch> {
        Watch::new("namespaces", Arc::new(Metrics::new().unwrap()))
    }

    /// Runs a watch through `attempts`, of which the last goes on for ever. Gives the changes, with the seconds at which they
    /// were applied.
    async fn run(watch: &Watch, attempts: Vec<Vec<Step>>) -> Vec<(u64, String)> {
        let attempts: Mutex<Vec<Option<Vec<Step>>>> = Mutex::new(attempts.into_iter().map(Some).collect());
        let next = AtomicUsize::new(0);
        let begun = Instant::now();
        let mut changes = Vec::new();
        let attempt = || {
            let mut attempts = attempts.lock().unwrap();
            let steps = attempts.get_mut(next.fetch_add(1, Ordering::Relaxed)).and_then(Option::take);
            let is_last = attempts.iter().all(Option::is_none);
            stream::iter(steps.unwrap_or_default()).chain(if is_last {
                pending().boxed()
            } else {
                stream::empty().boxed()
            })
        };
        let running = watch.run(attempt, |change| {
            let name = |object: &Namespace| object.metadata.name.clone().unwrap_or_default();
            changes.push(match change {
                ObjectChange::Listed(all) => format!("listed: {}", all.iter().map(name).collect::<Vec<_>>().join(" ")),
                ObjectChange::Applied(object) => format!("applied: {}", name(&object)),
                ObjectChange::Deleted(object) => format!("deleted: {}", name(&object)),
            });
            changes.push(begun.elapsed().as_secs().to_string());
            ready(())
        });
        // Time is not real here: it jumps to whatever is waited for next.
        assert!(tokio::time::timeout(Duration::from_secs(300), running).await.is_err());
        changes.chunks(2).map(|pair| (pair[1].parse().unwrap(), pair[0].clone())).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn after_a_failure_everything_is_listed_again() {
        let watch = namespaces();
        let broken: Step = Err(watcher::Error::NoResourceVersion);
        let mut first = list(&["a", "b"]);
        first.extend([Ok(Event::Apply(named("c"))), Ok(Event::Delete(named("a"))), broken]);
        let changes = run(&watch, vec![first, list(&["b", "d"])]).await;
        let changes: Vec<&str> = changes.iter().map(|(_, what)| &**what).collect();
        assert_eq!(changes, ["listed: a b", "applied: c", "deleted: a", "listed: b d"]);
        assert_eq!(watch.failure(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_resource_counts_as_gone_only_when_the_api_server_says_so_twice() {
        let watch = namespaces();
        let changes = run(&watch, vec![list(&["a"]), answered(404), list(&["a"])]).await;
        assert_eq!(changes.iter().filter(|(_, what)| what == "listed: ").count(), 0, "{changes:?}");
        let changes = run(&watch, vec![answered(404), answered(404)]).await;
        assert_eq!(changes.len(), 1);
        assert_eq!(changes[0].1, "listed: ");
        assert!(watch.failure().unwrap().contains("CustomResourceDefinition is missing"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_panic_is_a_failure_after_which_everything_is_listed_again() {
        let (watch, begun) = (namespaces(), AtomicUsize::new(0));
        let attempt = || match begun.fetch_add(1, Ordering::Relaxed) {
            0 => stream::iter(list(&["a"])).chain(stream::poll_fn(|_| panic!("no such event"))).boxed(),
            _ => stream::iter(list(&["b"])).chain(pending()).boxed(),
        };
        let (sender, mut lists) = mpsc::unbounded_channel();
        let running = watch.run(attempt, |change| {
            if let ObjectChange::Listed(all) = change {
                sender.send((all, watch.failure())).unwrap();
            }
            ready(())
        });
        assert!(tokio::time::timeout(Duration::from_secs(300), running).await.is_err());
        assert_eq!(lists.recv().await.unwrap(), (vec![named("a")], None));
        assert_eq!(lists.recv().await.unwrap().1.as_deref(), Some("this is a bug in pillion; its log says where"));
        assert_eq!(watch.failure(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn while_the_server_drains_a_watch_goes_on_until_its_first_failure() {
        let (watch, begun) = (namespaces(), AtomicUsize::new(0));
        watch.drain();
        let attempt = || {
            begun.fetch_add(1, Ordering::Relaxed);
            let mut steps = list(&["a"]);
            steps.extend([Ok(Event::Apply(named("b"))), Err(watcher::Error::NoResourceVersion)]);
            stream::iter(steps)
        };
        let mut changes = 0;
        let count = |_| {
            changes += 1;
            ready(())
        };
        watch.run(attempt, count).await;
        assert_eq!((changes, begun.into_inner(), watch.failure()), (2, 1, None));
    }

    #[tokio::test(start_paused = true)]
    async fn a_list_whose_watch_fails_does_not_reset_the_backoff() {
        let watch = namespaces();
        let forbidden = || -> Vec<Step> {
            let status = Status { code: 403, message: "no watch for you".into(), ..Status::default() };
            let mut steps = list(&["a"]);
            steps.push(Err(watcher::Error::WatchStartFailed(kube::Error::Api(Box::new(status)))));
            steps
        };
        let attempts = std::iter::repeat_with(forbidden).take(6).collect();
        let changes = run(&watch, attempts).await;
        assert!(changes[5].0 > 10, "six lists within {} seconds", changes[5].0);
        assert_eq!(watch.failure().as_deref(), Some("no watch for you"));
    }
}
