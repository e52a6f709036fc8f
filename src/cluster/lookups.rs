//! What reviews ask the API server for, because the caches lack it.
//!
//! Whoever may create a pod can name templates that do not exist, as often as he likes, so questions are bounded in every
//! way: in time, in number for one review and for all of them, and by not asking again at once for what was not there.
//! What is over the bounds is not asked for, rather than waited with: other pods need their answers.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, timeout_at};
use tracing::Instrument as _;

use super::watch::describe;
use crate::metrics::{Looked, Metrics};
use crate::telemetry::lookup_span;

/// Questions that may be asked at once, and those that may be asked in each further second.
const BURST: f64 = 64.0;
const PER_SECOND: f64 = 32.0;
/// How long an answer holds that there is no such thing.
const ABSENCE: Duration = Duration::from_secs(1);
/// Answers of that kind that are kept.
const MAX_ABSENT: usize = 1024;
/// Failures are logged no more often than this.
const LOG_PAUSE: Duration = Duration::from_secs(10);

/// Questions about one resource.
pub(super) struct Lookups<K> {
    resource: &'static str,
    state: Mutex<State<K>>,
    metrics: Arc<Metrics>,
}

struct State<K> {
    /// How many questions may be asked, as of that time.
    budget: (f64, Instant),
    absent: HashMap<K, Instant>,
    logged: Option<Instant>,
}

impl<K: Clone + Eq + Hash> Lookups<K> {
    /// No questions yet about a resource, by its plural name.
    pub(super) fn new(resource: &'static str, metrics: Arc<Metrics>) -> Lookups<K> {
        let state = State { budget: (BURST, Instant::now()), absent: HashMap::new(), logged: None };
        Lookups { resource, state: Mutex::new(state), metrics }
    }

    /// Asks for `key`, if that is within the bounds.
    ///
    /// # Errors
    ///
    /// When there was no answer, in words for people.
    pub(super) async fn ask<T>(
        &self,
        key: K,
        deadline: Instant,
        question: impl Future<Output = kube::Result<Option<T>>>,
    ) -> Result<Option<T>, String> {
        let answer = match self.may_ask(&key, Instant::now()) {
            Ok(true) => {
                let question = question.instrument(lookup_span(self.resource));
                match timeout_at(deadline, question).await {
                    Ok(answer) => answer.map_err(|error| describe(&error)),
                    Err(_) => Err("the API server did not answer in time".into()),
                }
            }
            Ok(false) => return Ok(None),
            Err(why) => Err(why),
        };
        let looked = match &answer {
            Ok(Some(_)) => Looked::Found,
            Ok(None) => {
                self.remember_absence(key, Instant::now());
                Looked::Absent
            }
            Err(why) => {
                self.complain(why);
                Looked::Failed
            }
        };
        self.metrics.looked_up(self.resource, looked);
        answer
    }

    /// Whether to ask: not for what was not there a moment ago. An error when too much has been asked already.
    fn may_ask(&self, key: &K, now: Instant) -> Result<bool, String> {
        let mut state = self.state();
        if state.absent.get(key).is_some_and(|at| now.duration_since(*at) < ABSENCE) {
            return Ok(false);
        }
        let (left, since) = state.budget;
        let left = (left + now.duration_since(since).as_secs_f64() * PER_SECOND).min(BURST);
        let may = left >= 1.0;
        state.budget = (if may { left - 1.0 } else { left }, now);
        if may { Ok(true) } else { Err("too much is being asked for at the moment".into()) }
    }

    fn remember_absence(&self, key: K, now: Instant) {
        let mut state = self.state();
        if state.absent.len() >= MAX_ABSENT {
            state.absent.retain(|_, at| now.duration_since(*at) < ABSENCE);
        }
        if state.absent.len() < MAX_ABSENT {
            state.absent.insert(key, now);
        }
    }

    fn complain(&self, why: &str) {
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

    fn state(&self) -> MutexGuard<'_, State<K>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use super::*;

    fn lookups() -> Lookups<u32> {
        Lookups::new("things", Arc::new(Metrics::new().unwrap()))
    }

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(2)
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_not_there_is_not_asked_for_again_at_once() {
        let lookups = lookups();
        assert_eq!(lookups.ask(1, soon(), ready(Ok(None::<&str>))).await, Ok(None));
        assert_eq!(lookups.ask(1, soon(), ready(Ok(Some("there now")))).await, Ok(None));
        assert_eq!(lookups.ask(2, soon(), ready(Ok(Some("another")))).await, Ok(Some("another")));
        tokio::time::advance(ABSENCE).await;
        assert_eq!(lookups.ask(1, soon(), ready(Ok(Some("there now")))).await, Ok(Some("there now")));
    }

    #[tokio::test(start_paused = true)]
    async fn a_flood_of_questions_is_answered_without_asking() {
        let lookups = lookups();
        let mut asked = 0;
        for key in 0..1000 {
            asked += usize::from(lookups.ask(key, soon(), ready(Ok(None::<()>))).await.is_ok());
        }
        assert_eq!(asked, BURST as usize);
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(lookups.ask(1000, soon(), ready(Ok(None::<()>))).await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_beyond_the_deadline() {
        let lookups = lookups();
        let begun = Instant::now();
        let answer = lookups.ask(1, soon(), pending::<kube::Result<Option<()>>>()).await;
        assert_eq!(answer, Err("the API server did not answer in time".into()));
        assert_eq!(begun.elapsed(), Duration::from_secs(2));
    }
}
