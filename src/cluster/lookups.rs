//! Lookups at the API server of what the caches lack.
//!
//! Whoever may create a pod can name templates that do not exist, as often as they like. So lookups are bounded in time
//! and number, and there is one at a time for each key: all reviews that need it wait for the same answer, because the
//! pods of a new namespace come in hundreds. A lookup over the bounds fails at once and is not queued, so that other pods
//! do not wait for it.
//!
//! An answer is used for a moment longer, because the pods of a burst do not all come at the same time. A cache that a
//! watch keeps current can be as old.

use std::collections::HashMap;
use std::hash::Hash;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::sync::SetOnce;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tracing::Instrument as _;

use super::watch::describe;
use crate::metrics::{LookupResult, Metrics};
use crate::telemetry::lookup_span;

/// Lookups that may begin at once, and those that may begin in each further second.
const BURST: f64 = 64.0;
const PER_SECOND: f64 = 32.0;
/// How long the API server may take. No review waits longer for it.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long an answer is used, also one that there is no such thing.
const USED_FOR: Duration = Duration::from_millis(250);
/// Failures are logged no more often than this.
const LOG_PAUSE: Duration = Duration::from_secs(10);

const LATE: &str = "the API server did not answer in time";

/// What the API server has, or why it did not answer, in words for people.
pub(super) type Answer<T> = Result<Option<T>, String>;

/// The answer of a lookup, once there is one; `None` if the API server took too long.
type PendingAnswer<T> = Arc<SetOnce<Option<Answer<T>>>>;

/// Lookups of one resource.
pub(super) struct Lookups<K, T> {
    resource: &'static str,
    state: Mutex<State<K, T>>,
    metrics: Arc<Metrics>,
}

struct State<K, T> {
    /// How many lookups may begin, as of that time.
    budget: (f64, Instant),
    /// The lookups in progress, and those whose answer may still be used.
    pending: HashMap<K, PendingAnswer<T>>,
    last_logged: Option<Instant>,
}

impl<K, T> Lookups<K, T>
where
    K: Clone + Eq + Hash + Send + 'static,
    T: Clone + Send + Sync + 'static,
{
    /// No lookups yet of a resource, by its plural name.
    pub(super) fn new(resource: &'static str, metrics: Arc<Metrics>) -> Arc<Lookups<K, T>> {
        let state = State { budget: (BURST, Instant::now()), pending: HashMap::new(), last_logged: None };
        Arc::new(Lookups { resource, state: Mutex::new(state), metrics })
    }

    /// What the API server answers to `request`, if that is within the bounds and it answers until `deadline`.
    pub(super) async fn get<F>(self: &Arc<Self>, key: K, deadline: Instant, request: impl Fn() -> F) -> Answer<T>
    where
        F: Future<Output = kube::Result<Option<T>>> + Send + 'static,
    {
        let answered = async {
            loop {
                // A lookup that another review began may be given up while this one still has time.
                if let Some(answer) = self.pending(&key, &request)?.wait().await {
                    return answer.clone();
                }
            }
        };
        let answered = timeout_at(deadline, answered.instrument(lookup_span(self.resource))).await;
        answered.unwrap_or_else(|_| Err(LATE.into()))
    }

    /// The lookup of `key`, which begins now if there is none. An error if there have been too many.
    fn pending<F>(self: &Arc<Self>, key: &K, request: impl Fn() -> F) -> Result<PendingAnswer<T>, String>
    where
        F: Future<Output = kube::Result<Option<T>>> + Send + 'static,
    {
        let mut state = self.state();
        if let Some(pending) = state.pending.get(key) {
            return Ok(Arc::clone(pending));
        }
        if !state.may_begin(Instant::now()) {
            drop(state);
            let why = "there are too many lookups at the moment".to_owned();
            self.failed(&why);
            return Err(why);
        }
        let pending = PendingAnswer::default();
        // In a task of its own, so that it does not end with the review that happens to be the first.
        tokio::spawn(Arc::clone(self).answer(key.clone(), request(), Arc::clone(&pending)));
        state.pending.insert(key.clone(), Arc::clone(&pending));
        Ok(pending)
    }

    async fn answer(
        self: Arc<Self>,
        key: K,
        request: impl Future<Output = kube::Result<Option<T>>> + Send,
        pending: PendingAnswer<T>,
    ) {
        let answer = match timeout(PATIENCE, AssertUnwindSafe(request).catch_unwind()).await {
            Ok(Ok(answer)) => Some(answer.map_err(|error| describe(&error))),
            Ok(Err(_)) => Some(Err("this is a bug in pillion; its log says where".to_owned())),
            Err(_) => None,
        };
        match &answer {
            Some(Ok(Some(_))) => self.metrics.looked_up(self.resource, LookupResult::Found),
            Some(Ok(None)) => self.metrics.looked_up(self.resource, LookupResult::Absent),
            Some(Err(why)) => self.failed(why),
            None => self.failed(LATE),
        }
        let is_used = matches!(answer, Some(Ok(_)));
        if !is_used {
            // Before anybody has the answer, so that whoever tries again begins another lookup.
            self.state().pending.remove(&key);
        }
        // Only this task sets it.
        let _ = pending.set(answer);
        if is_used {
            sleep(USED_FOR).await;
            self.state().pending.remove(&key);
        }
    }

    fn failed(&self, why: &str) {
        self.metrics.looked_up(self.resource, LookupResult::Failed);
        let mut state = self.state();
        if state.last_logged.is_none_or(|at| at.elapsed() > LOG_PAUSE) {
            state.last_logged = Some(Instant::now());
            tracing::warn!(
                resource = self.resource,
                why,
                "lookup failed; further failures of this kind are only counted"
            );
        }
    }

    fn state(&self) -> MutexGuard<'_, State<K, T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K, T> State<K, T> {
    /// Whether one more lookup is within the bounds. If so, it is counted.
    fn may_begin(&mut self, now: Instant) -> bool {
        let (left, since) = self.budget;
        let left = (left + now.duration_since(since).as_secs_f64() * PER_SECOND).min(BURST);
        let may = left >= 1.0;
        self.budget = (if may { left - 1.0 } else { left }, now);
        may
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures_util::future::join_all;

    use super::*;

    fn lookups() -> Arc<Lookups<u32, &'static str>> {
        Lookups::new("things", Arc::new(Metrics::new().unwrap()))
    }

    fn within(seconds: f64) -> Instant {
        Instant::now() + Duration::from_secs_f64(seconds)
    }

    /// An API server that takes a second, and counts what it is asked.
    #[derive(Default)]
    struct ApiServer(Arc<AtomicUsize>);

    impl ApiServer {
        fn says(
            &self,
            answer: Option<&'static str>,
        ) -> impl Future<Output = kube::Result<Option<&'static str>>> + use<> {
            self.0.fetch_add(1, Ordering::Relaxed);
            sleep(Duration::from_secs(1)).map(move |()| Ok(answer))
        }

        fn asked(&self) -> usize {
            self.0.load(Ordering::Relaxed)
        }
    }

    #[tokio::test(start_paused = true)]
    async fn all_lookups_of_one_key_wait_for_one_answer() {
        for (answer, result) in [(Some("there"), "found"), (None, "absent")] {
            let (lookups, server) = (lookups(), ApiServer::default());
            let burst = join_all((0..500).map(|_| lookups.get(1, within(2.0), || server.says(answer)))).await;
            assert_eq!(burst, vec![Ok(answer); 500]);
            assert_eq!(server.asked(), 1);
            let counted = format!("pillion_lookups_total{{resource=\"things\",result=\"{result}\"}} 1\n");
            assert!(lookups.metrics.text().unwrap().contains(&counted));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_second_of_pods_takes_few_requests() {
        let (lookups, server) = (lookups(), ApiServer::default());
        for _ in 0..500 {
            let quick = || {
                server.0.fetch_add(1, Ordering::Relaxed);
                ready(Ok(Some("there")))
            };
            assert_eq!(lookups.get(1, within(2.0), quick).await, Ok(Some("there")));
            sleep(Duration::from_millis(2)).await;
        }
        assert!(server.asked() <= 4, "it was asked {} times", server.asked());
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_found_is_requested_again_after_a_moment() {
        let lookups = lookups();
        assert_eq!(lookups.get(1, within(2.0), || ready(Ok(Some("old")))).await, Ok(Some("old")));
        assert_eq!(lookups.get(1, within(2.0), || ready(Ok(Some("new")))).await, Ok(Some("old")));
        sleep(USED_FOR * 2).await;
        assert_eq!(lookups.get(1, within(2.0), || ready(Ok(Some("new")))).await, Ok(Some("new")));
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_absent_is_not_requested_again_at_once() {
        let lookups = lookups();
        assert_eq!(lookups.get(1, within(2.0), || ready(Ok(None))).await, Ok(None));
        assert_eq!(lookups.get(1, within(2.0), || ready(Ok(Some("there now")))).await, Ok(None));
        assert_eq!(lookups.get(2, within(2.0), || ready(Ok(Some("another")))).await, Ok(Some("another")));
        sleep(USED_FOR * 2).await;
        assert_eq!(lookups.get(1, within(2.0), || ready(Ok(Some("there now")))).await, Ok(Some("there now")));
        sleep(USED_FOR * 2).await;
        assert!(lookups.state().pending.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_failure_is_returned_to_all_that_wait_and_the_next_lookup_tries_again() {
        let lookups = lookups();
        let failing = || sleep(Duration::from_secs(1)).map(|()| Err(kube::Error::TlsRequired));
        let burst = join_all((0..3).map(|_| lookups.get(1, within(2.0), failing))).await;
        assert!(burst.iter().all(Result::is_err), "{burst:?}");
        assert_eq!(lookups.get(1, within(2.0), || ready(Ok(Some("there")))).await, Ok(Some("there")));
    }

    #[tokio::test(start_paused = true)]
    async fn a_panic_is_a_failure_and_the_next_lookup_tries_again() {
        let lookups = lookups();
        let answer = lookups.get(1, within(2.0), || async { panic!("no such thing") }).await;
        assert_eq!(answer, Err("this is a bug in pillion; its log says where".into()));
        assert_eq!(lookups.get(1, within(2.0), || ready(Ok(Some("there")))).await, Ok(Some("there")));
    }

    #[tokio::test(start_paused = true)]
    async fn lookups_over_the_bounds_fail_without_a_request() {
        let lookups = lookups();
        let mut asked = 0;
        for key in 0..1000 {
            asked += usize::from(lookups.get(key, within(2.0), || ready(Ok(None))).await.is_ok());
        }
        assert_eq!(asked, BURST as usize);
        sleep(Duration::from_secs(1)).await;
        assert!(lookups.get(1000, within(2.0), || ready(Ok(None))).await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn no_lookup_waits_beyond_its_own_deadline() {
        let (lookups, begun) = (lookups(), Instant::now());
        let waits = |seconds| {
            let answer = lookups.get(1, within(seconds), pending);
            async move { (answer.await, begun.elapsed().as_secs_f64().round()) }
        };
        let late = || Err(LATE.to_owned());
        let first_and_second = join_all([waits(2.0), waits(1.0)]).await;
        assert_eq!(first_and_second, [(late(), 2.0), (late(), 1.0)]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_lookup_does_not_end_with_the_review_that_began_it() {
        let (lookups, server) = (lookups(), ApiServer::default());
        // Its deadline is sooner, or its client has gone.
        let first = timeout(Duration::from_millis(500), lookups.get(1, within(2.0), || server.says(Some("there"))));
        let second = lookups.get(1, within(2.0), || server.says(Some("there")));
        let (first, second) = tokio::join!(first, second);
        assert!(first.is_err());
        assert_eq!((second, server.asked()), (Ok(Some("there")), 1));
    }

    #[tokio::test(start_paused = true)]
    async fn a_review_that_has_time_left_when_a_lookup_is_given_up_tries_again() {
        let (lookups, server) = (lookups(), ApiServer::default());
        let first = lookups.get(1, within(2.0), pending);
        let second = async {
            sleep(Duration::from_secs(1)).await;
            lookups.get(1, within(2.5), || server.says(Some("there"))).await
        };
        let (first, second) = tokio::join!(first, second);
        assert!(first.is_err());
        assert_eq!((second, server.asked()), (Ok(Some("there")), 1));
    }
}
