//! Pods that are created at a steady rate, and the result of each.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::http::Answer;
use super::namespace::Namespace;
use super::pillion::pod;

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Outcome {
    Injected,
    /// Created without what was asked for.
    Bare,
    /// Not created: the API server's message.
    Refused(String),
}

/// A pod that was asked for.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) at: Instant,
    pub(crate) took: Duration,
    pub(crate) outcome: Outcome,
}

pub(crate) struct Load {
    shared: Arc<Shared>,
    workers: Vec<JoinHandle<()>>,
}

struct Shared {
    begun: Instant,
    /// The number of the next pod.
    next: AtomicU32,
    over: Mutex<bool>,
    ended: Condvar,
    asked: Mutex<Vec<Asked>>,
}

impl Load {
    /// Asks for so many pods a second in a namespace from now on, each with the template `shipper`, as long as no more than
    /// `concurrency` calls are under way. None is kept.
    pub(crate) fn begin(here: &Namespace, per_second: u32, concurrency: u32) -> Load {
        let shared = Arc::new(Shared {
            begun: Instant::now(),
            next: AtomicU32::new(0),
            over: Mutex::default(),
            ended: Condvar::new(),
            asked: Mutex::default(),
        });
        let workers = (0..concurrency).map(|_| {
            let (shared, here) = (Arc::clone(&shared), here.clone());
            let worker = Builder::new().stack_size(256 << 10).spawn(move || shared.ask(&here, per_second));
            worker.expect("a thread starts")
        });
        Load { workers: workers.collect(), shared }
    }

    /// The results of the pods that were asked for since a moment, of those that are answered, in the order of the answers.
    pub(crate) fn since(&self, moment: Instant) -> Vec<Outcome> {
        let asked = self.shared.asked.lock().expect("nobody panics in between");
        asked.iter().filter(|asked| asked.at >= moment).map(|asked| asked.outcome.clone()).collect()
    }

    /// Stops asking, and gives all pods once all are answered.
    #[track_caller]
    pub(crate) fn end(mut self) -> Vec<Asked> {
        self.shared.end();
        for worker in self.workers.drain(..) {
            worker.join().expect("each call is answered");
        }
        std::mem::take(&mut *self.shared.asked.lock().expect("nobody panics in between"))
    }
}

impl Shared {
    fn end(&self) {
        *self.over.lock().expect("nobody panics in between") = true;
        self.ended.notify_all();
    }

    fn ask(&self, here: &Namespace, per_second: u32) {
        loop {
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            let turn = self.begun + Duration::from_secs(1) * number / per_second;
            let over = self.over.lock().expect("nobody panics in between");
            let pause = turn.saturating_duration_since(Instant::now());
            let (over, _) =
                self.ended.wait_timeout_while(over, pause, |over| !*over).expect("nobody panics in between");
            if *over {
                return;
            }
            drop(over);
            let at = Instant::now();
            // What could not be asked for in time is not made up for.
            if at > turn + Duration::from_secs(1) {
                continue;
            }
            let outcome = Outcome::of(&here.create("v1", "pods?dryRun=All", &pod("web", "shipper")));
            let took = at.elapsed();
            self.asked.lock().expect("nobody panics in between").push(Asked { at, took, outcome });
        }
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.shared.end();
    }
}

/// None of these pods was created without its sidecar, or refused.
#[track_caller]
pub(crate) fn assert_all_injected<'a>(outcomes: impl IntoIterator<Item = &'a Outcome>) {
    let outcomes: Vec<_> = outcomes.into_iter().collect();
    let lost: Vec<_> = outcomes.iter().filter(|outcome| ***outcome != Outcome::Injected).collect();
    assert!(lost.is_empty(), "{} of {}: {:?}", lost.len(), outcomes.len(), lost[0]);
}

impl Outcome {
    fn of(answer: &Answer) -> Outcome {
        if answer.status != 201 {
            return Outcome::Refused(answer.text());
        }
        let pod: Value = answer.json();
        if pod["spec"].get("initContainers").is_some() { Outcome::Injected } else { Outcome::Bare }
    }
}
