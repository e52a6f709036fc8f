//! What reviews ask the API server for, because the caches lack it.
//!
//! Whoever may create a pod can name templates that do not exist, as often as he likes, so questions are bounded in every
//! way: in time, in number, and to one at a time about the same thing. Whoever else wants it waits for the same answer:
//! the pods of a new namespace come in hundreds. What is over the bounds is refused, not queued: other pods need their
//! answers.
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
use crate::metrics::{Looked, Metrics};
use crate::telemetry::lookup_span;

/// Questions that may be asked at once, and those that may be asked in each further second.
const BURST: f64 = 64.0;
const PER_SECOND: f64 = 32.0;
/// How long the API server may take. No review waits longer for it.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long an answer is used, also one that there is no such thing.
const USED_FOR: Duration = Duration::from_millis(250);
/// Failures are logged no more often than this.
const LOG_PAUSE: Duration = Duration::from_secs(10);

const LATE: &str = "the API server did not answer in time";

/// What the API server has, or why it did not say, in words for people.
pub(super) type Answer<T> = Result<Option<T>, String>;

/// A question and, once there is one, its answer: nothing if the API server took too long.
type Asked<T> = Arc<SetOnce<Option<Answer<T>>>>;

/// Questions about one resource.
pub(super) struct Lookups<K, T> {
    resource: &'static str,
    state: Mutex<State<K, T>>,
    metrics: Arc<Metrics>,
}

struct State<K, T> {
    /// How many questions may be asked, as of that time.
    budget: (f64, Instant),
    /// What was asked, for as long as the answer may be used.
    asked: HashMap<K, Asked<T>>,
    logged: Option<Instant>,
}

impl<K, T> Lookups<K, T>
where
    K: Clone + Eq + Hash + Send + 'static,
    T: Clone + Send + Sync + 'static,
{
    /// No questions yet about a resource, by its plural name.
    pub(super) fn new(resource: &'static str, metrics: Arc<Metrics>) -> Arc<Lookups<K, T>> {
        let state = State { budget: (BURST, Instant::now()), asked: HashMap::new(), logged: None };
        Arc::new(Lookups { resource, state: Mutex::new(state), metrics })
    }

    /// What the API server says of `key`, if asking is within the bounds and it says so until `deadline`.
    pub(super) async fn ask<F>(self: &Arc<Self>, key: K, deadline: Instant, question: impl Fn() -> F) -> Answer<T>
    where
        F: Future<Output = kube::Result<Option<T>>> + Send + 'static,
    {
        let answered = async {
            loop {
                // Somebody else's question may be given up while there is time left for this one.
                if let Some(answer) = self.asked(&key, &question)?.wait().await {
                    return answer.clone();
                }
            }
        };
        let answered = timeout_at(deadline, answered.instrument(lookup_span(self.resource))).await;
        answered.unwrap_or_else(|_| Err(LATE.into()))
    }

    /// The question about `key`, now asked if it was not. An error when too much has been asked already.
    fn asked<F>(self: &Arc<Self>, key: &K, question: impl Fn() -> F) -> Result<Asked<T>, String>
    where
        F: Future<Output = kube::Result<Option<T>>> + Send + 'static,
    {
        let mut state = self.state();
        if let Some(asked) = state.asked.get(key) {
            return Ok(Arc::clone(asked));
        }
        if !state.may_ask(Instant::now()) {
            drop(state);
            let why = "too much is being asked for at the moment".to_owned();
            self.failed(&why);
            return Err(why);
        }
        let asked = Asked::default();
        // On its own, so that it does not end with the review that happens to be the first.
        tokio::spawn(Arc::clone(self).answer(key.clone(), question(), Arc::clone(&asked)));
        state.asked.insert(key.clone(), Arc::clone(&asked));
        Ok(asked)
    }

    async fn answer(
        self: Arc<Self>,
        key: K,
        question: impl Future<Output = kube::Result<Option<T>>> + Send,
        asked: Asked<T>,
    ) {
        let answer = match timeout(PATIENCE, AssertUnwindSafe(question).catch_unwind()).await {
            Ok(Ok(answer)) => Some(answer.map_err(|error| describe(&error))),
            Ok(Err(_)) => Some(Err("this is a bug in pillion; its log says where".to_owned())),
            Err(_) => None,
        };
        match &answer {
            Some(Ok(Some(_))) => self.metrics.looked_up(self.resource, Looked::Found),
            Some(Ok(None)) => self.metrics.looked_up(self.resource, Looked::Absent),
            Some(Err(why)) => self.failed(why),
            None => self.failed(LATE),
        }
        let is_used = matches!(answer, Some(Ok(_)));
        if !is_used {
            // Before anybody knows, so that whoever asks again asks anew.
            self.state().asked.remove(&key);
        }
        // Only this task sets it.
        let _ = asked.set(answer);
        if is_used {
            sleep(USED_FOR).await;
            self.state().asked.remove(&key);
        }
    }

    fn failed(&self, why: &str) {
        self.metrics.looked_up(self.resource, Looked::Failed);
        let mut state = self.state();
        if state.logged.is_none_or(|at| at.elapsed() > LOG_PAUSE) {
            state.logged = Some(Instant::now());
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
    /// Whether one more question is within the bounds. If so, it counts.
    fn may_ask(&mut self, now: Instant) -> bool {
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
    async fn all_who_want_the_same_wait_for_one_answer() {
        for (answer, result) in [(Some("there"), "found"), (None, "absent")] {
            let (lookups, server) = (lookups(), ApiServer::default());
            let burst = join_all((0..500).map(|_| lookups.ask(1, within(2.0), || server.says(answer)))).await;
            assert_eq!(burst, vec![Ok(answer); 500]);
            assert_eq!(server.asked(), 1);
            let counted = format!("pillion_lookups_total{{resource=\"things\",result=\"{result}\"}} 1\n");
            assert!(lookups.metrics.text().unwrap().contains(&counted));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_second_of_pods_takes_few_questions() {
        let (lookups, server) = (lookups(), ApiServer::default());
        for _ in 0..500 {
            let quick = || {
                server.0.fetch_add(1, Ordering::Relaxed);
                ready(Ok(Some("there")))
            };
            assert_eq!(lookups.ask(1, within(2.0), quick).await, Ok(Some("there")));
            sleep(Duration::from_millis(2)).await;
        }
        assert!(server.asked() <= 4, "it was asked {} times", server.asked());
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_found_is_asked_for_again_after_a_moment() {
        let lookups = lookups();
        assert_eq!(lookups.ask(1, within(2.0), || ready(Ok(Some("old")))).await, Ok(Some("old")));
        assert_eq!(lookups.ask(1, within(2.0), || ready(Ok(Some("new")))).await, Ok(Some("old")));
        sleep(USED_FOR * 2).await;
        assert_eq!(lookups.ask(1, within(2.0), || ready(Ok(Some("new")))).await, Ok(Some("new")));
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_not_there_is_not_asked_for_again_at_once() {
        let lookups = lookups();
        assert_eq!(lookups.ask(1, within(2.0), || ready(Ok(None))).await, Ok(None));
        assert_eq!(lookups.ask(1, within(2.0), || ready(Ok(Some("there now")))).await, Ok(None));
        assert_eq!(lookups.ask(2, within(2.0), || ready(Ok(Some("another")))).await, Ok(Some("another")));
        sleep(USED_FOR * 2).await;
        assert_eq!(lookups.ask(1, within(2.0), || ready(Ok(Some("there now")))).await, Ok(Some("there now")));
        sleep(USED_FOR * 2).await;
        assert!(lookups.state().asked.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_failure_is_every_waiting_reviews_and_the_next_one_asks_again() {
        let lookups = lookups();
        let failing = || sleep(Duration::from_secs(1)).map(|()| Err(kube::Error::TlsRequired));
        let burst = join_all((0..3).map(|_| lookups.ask(1, within(2.0), failing))).await;
        assert!(burst.iter().all(Result::is_err), "{burst:?}");
        assert_eq!(lookups.ask(1, within(2.0), || ready(Ok(Some("there")))).await, Ok(Some("there")));
    }

    #[tokio::test(start_paused = true)]
    async fn a_panic_is_a_failure_and_the_next_one_asks_again() {
        let lookups = lookups();
        let answer = lookups.ask(1, within(2.0), || async { panic!("no such thing") }).await;
        assert_eq!(answer, Err("this is a bug in pillion; its log says where".into()));
        assert_eq!(lookups.ask(1, within(2.0), || ready(Ok(Some("there")))).await, Ok(Some("there")));
    }

    #[tokio::test(start_paused = true)]
    async fn a_flood_of_questions_is_answered_without_asking() {
        let lookups = lookups();
        let mut asked = 0;
        for key in 0..1000 {
            asked += usize::from(lookups.ask(key, within(2.0), || ready(Ok(None))).await.is_ok());
        }
        assert_eq!(asked, BURST as usize);
        sleep(Duration::from_secs(1)).await;
        assert!(lookups.ask(1000, within(2.0), || ready(Ok(None))).await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_beyond_his_own_deadline() {
        let (lookups, begun) = (lookups(), Instant::now());
        let waits = |seconds| {
            let answer = lookups.ask(1, within(seconds), pending);
            async move { (answer.await, begun.elapsed().as_secs_f64().round()) }
        };
        let late = || Err(LATE.to_owned());
        let first_and_second = join_all([waits(2.0), waits(1.0)]).await;
        assert_eq!(first_and_second, [(late(), 2.0), (late(), 1.0)]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_question_does_not_end_with_the_review_that_asked_it() {
        let (lookups, server) = (lookups(), ApiServer::default());
        // Its deadline is sooner, or its client has gone.
        let first = timeout(Duration::from_millis(500), lookups.ask(1, within(2.0), || server.says(Some("there"))));
        let second = lookups.ask(1, within(2.0), || server.says(Some("there")));
        let (first, second) = tokio::join!(first, second);
        assert!(first.is_err());
        assert_eq!((second, server.asked()), (Ok(Some("there")), 1));
    }

    #[tokio::test(start_paused = true)]
    async fn who_has_time_left_when_a_question_is_given_up_asks_again() {
        let (lookups, server) = (lookups(), ApiServer::default());
        let first = lookups.ask(1, within(2.0), pending);
        let second = async {
            sleep(Duration::from_secs(1)).await;
            lookups.ask(1, within(2.5), || server.says(Some("there"))).await
        };
        let (first, second) = tokio::join!(first, second);
        assert!(first.is_err());
        assert_eq!((second, server.asked()), (Ok(Some("there")), 1));
    }
}
