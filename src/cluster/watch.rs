//! Follows the resources of one kind for as long as the process lives.
//!
//! After any failure everything is listed anew: the one way to know that the watch is back, and that nothing was missed.

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
/// After this time it is asked a second time whether a resource is served, before everything of it counts as gone.
const SURELY: Duration = Duration::from_secs(5);
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
    /// Whether the server is on its way out.
    draining: bool,
}

impl Watched {
    /// A watch that has seen nothing yet.
    pub(crate) fn new(resource: &'static str, metrics: Arc<Metrics>) -> Arc<Watched> {
        metrics.set_watch_up(resource, false);
        Arc::new(Watched { resource, state: Mutex::default(), metrics })
    }

    /// Notes that everything has been taken up, so that reviews can rely on it.
    pub(crate) fn mark_full(&self) {
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

    /// From now on the first failure is the end.
    pub(crate) fn drain(&self) {
        self.state().draining = true;
    }

    /// What is wrong at present, though what was seen before stays in service.
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
            tracing::warn!(resource = self.resource, why, "watch failed; what is known stays in service meanwhile");
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lists, then watches, and begins anew after each failure. Ends only when the server drains.
    pub(crate) async fn follow<K, S, T>(&self, watch: impl Fn() -> S, mut seen: impl FnMut(Seen<K>) -> T)
    where
        S: Stream<Item = watcher::Result<Event<K>>>,
        T: Future<Output = ()>,
    {
        let mut backoff = DefaultBackoff::default();
        let mut was_served = true;
        loop {
            let mut stage = Stage::Listing;
            let attempt = self.attempt(watch(), &mut seen, &mut stage);
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
                        SURELY
                    } else {
                        seen(Seen::All(Vec::new())).await;
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

    /// Lists and watches for as long as all goes well.
    async fn attempt<K, T: Future<Output = ()>>(
        &self,
        events: impl Stream<Item = watcher::Result<Event<K>>>,
        seen: &mut impl FnMut(Seen<K>) -> T,
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
                    seen(Seen::All(std::mem::take(&mut listed))).await;
                    *stage = Stage::Listed(Instant::now());
                }
                Some(Ok(Event::Apply(object))) => seen(Seen::Applied(object)).await,
                Some(Ok(Event::Delete(object))) => seen(Seen::Deleted(object)).await,
                Some(Err(error)) if is_not_served(&error) => return Ended::NotServed,
                Some(Err(error)) => return Ended::Failed(describe(&error)),
                None => return Ended::Failed("the watch ended".into()),
            }
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

/// Why an attempt to follow a resource has ended.
#[derive(Debug)]
enum Ended {
    /// The API server knows no such resource.
    NotServed,
    Failed(String),
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

    fn watched() -> Arc<Watched> {
        Watched::new("namespaces", Arc::new(Metrics::new().unwrap()))
    }

    /// Lets a watch live through `attempts`, of which the last goes on for ever, and says what was seen, with the seconds
    /// at which it was seen.
    async fn follow(watched: &Watched, attempts: Vec<Vec<Step>>) -> Vec<(u64, String)> {
        let attempts: Mutex<Vec<Option<Vec<Step>>>> = Mutex::new(attempts.into_iter().map(Some).collect());
        let next = AtomicUsize::new(0);
        let begun = Instant::now();
        let mut told = Vec::new();
        let watch = || {
            let mut attempts = attempts.lock().unwrap();
            let steps = attempts.get_mut(next.fetch_add(1, Ordering::Relaxed)).and_then(Option::take);
            let is_last = attempts.iter().all(Option::is_none);
            stream::iter(steps.unwrap_or_default()).chain(if is_last {
                pending().boxed()
            } else {
                stream::empty().boxed()
            })
        };
        let following = watched.follow(watch, |seen| {
            let name = |object: &Namespace| object.metadata.name.clone().unwrap_or_default();
            told.push(match seen {
                Seen::All(all) => format!("all: {}", all.iter().map(name).collect::<Vec<_>>().join(" ")),
                Seen::Applied(object) => format!("applied: {}", name(&object)),
                Seen::Deleted(object) => format!("deleted: {}", name(&object)),
            });
            told.push(begun.elapsed().as_secs().to_string());
            ready(())
        });
        // Time is not real here: it jumps to whatever is waited for next.
        assert!(tokio::time::timeout(Duration::from_secs(300), following).await.is_err());
        told.chunks(2).map(|pair| (pair[1].parse().unwrap(), pair[0].clone())).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn after_a_failure_everything_is_listed_anew() {
        let watched = watched();
        let broken: Step = Err(watcher::Error::NoResourceVersion);
        let mut first = list(&["a", "b"]);
        first.extend([Ok(Event::Apply(named("c"))), Ok(Event::Delete(named("a"))), broken]);
        let told = follow(&watched, vec![first, list(&["b", "d"])]).await;
        let told: Vec<&str> = told.iter().map(|(_, what)| &**what).collect();
        assert_eq!(told, ["all: a b", "applied: c", "deleted: a", "all: b d"]);
        assert_eq!(watched.failure(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_resource_counts_as_gone_only_when_the_api_server_says_so_twice() {
        let watched = watched();
        let told = follow(&watched, vec![list(&["a"]), answered(404), list(&["a"])]).await;
        assert_eq!(told.iter().filter(|(_, what)| what == "all: ").count(), 0, "{told:?}");
        let told = follow(&watched, vec![answered(404), answered(404)]).await;
        assert_eq!(told.len(), 1);
        assert_eq!(told[0].1, "all: ");
        assert!(watched.failure().unwrap().contains("CustomResourceDefinition is missing"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_panic_is_one_more_failure_after_which_everything_is_listed_anew() {
        let (watched, begun) = (watched(), AtomicUsize::new(0));
        let attempt = || match begun.fetch_add(1, Ordering::Relaxed) {
            0 => stream::iter(list(&["a"])).chain(stream::poll_fn(|_| panic!("no such event"))).boxed(),
            _ => stream::iter(list(&["b"])).chain(pending()).boxed(),
        };
        let (seen, mut lists) = mpsc::unbounded_channel();
        let following = watched.follow(attempt, |it| {
            if let Seen::All(all) = it {
                seen.send((all, watched.failure())).unwrap();
            }
            ready(())
        });
        assert!(tokio::time::timeout(Duration::from_secs(300), following).await.is_err());
        assert_eq!(lists.recv().await.unwrap(), (vec![named("a")], None));
        assert_eq!(lists.recv().await.unwrap().1.as_deref(), Some("this is a bug in pillion; its log says where"));
        assert_eq!(watched.failure(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn while_the_server_drains_a_watch_goes_on_until_its_first_failure() {
        let (watched, begun) = (watched(), AtomicUsize::new(0));
        watched.drain();
        let attempt = || {
            begun.fetch_add(1, Ordering::Relaxed);
            let mut steps = list(&["a"]);
            steps.extend([Ok(Event::Apply(named("b"))), Err(watcher::Error::NoResourceVersion)]);
            stream::iter(steps)
        };
        let mut seen = 0;
        let count = |_| {
            seen += 1;
            ready(())
        };
        watched.follow(attempt, count).await;
        assert_eq!((seen, begun.into_inner(), watched.failure()), (2, 1, None));
    }

    #[tokio::test(start_paused = true)]
    async fn a_list_that_is_followed_by_no_watch_does_not_hurry_the_next() {
        let watched = watched();
        let forbidden = || -> Vec<Step> {
            let status = Status { code: 403, message: "no watch for you".into(), ..Status::default() };
            let mut steps = list(&["a"]);
            steps.push(Err(watcher::Error::WatchStartFailed(kube::Error::Api(Box::new(status)))));
            steps
        };
        let attempts = std::iter::repeat_with(forbidden).take(6).collect();
        let told = follow(&watched, attempts).await;
        assert!(told[5].0 > 10, "six lists within {} seconds", told[5].0);
        assert_eq!(watched.failure().as_deref(), Some("no watch for you"));
    }
}
