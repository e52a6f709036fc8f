//! Pods that are asked for at a steady rate, however long each takes, and what came of each.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{JoinHandle, sleep, spawn};
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

struct Asked {
    at: Instant,
    outcome: Outcome,
}

pub(crate) struct Load {
    asked: Arc<Mutex<Vec<Asked>>>,
    over: Arc<AtomicBool>,
    pace: Option<JoinHandle<()>>,
}

impl Load {
    /// Asks for so many pods a second in a namespace from now on, each with the template `shipper`. None is kept.
    pub(crate) fn begin(here: &Namespace, a_second: u32) -> Load {
        let (asked, over) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicBool::new(false)));
        let pace = {
            let (asked, over, here) = (Arc::clone(&asked), Arc::clone(&over), Arc::new(here.clone()));
            spawn(move || {
                let begun = Instant::now();
                let mut under_way = Vec::new();
                for number in 0.. {
                    sleep(
                        (begun + Duration::from_secs(1) * number / a_second).saturating_duration_since(Instant::now()),
                    );
                    if over.load(Ordering::Relaxed) {
                        break;
                    }
                    let (asked, here) = (Arc::clone(&asked), Arc::clone(&here));
                    under_way.push(spawn(move || {
                        let at = Instant::now();
                        let outcome = Outcome::of(&here.create("v1", "pods?dryRun=All", &pod("web", "shipper")));
                        asked.lock().expect("nobody panics in between").push(Asked { at, outcome });
                    }));
                }
                for call in under_way {
                    call.join().expect("each call is answered");
                }
            })
        };
        Load { asked, over, pace: Some(pace) }
    }

    /// What came of the pods that were asked for since a moment, of those that are answered, in the order of the answers.
    pub(crate) fn since(&self, moment: Instant) -> Vec<Outcome> {
        let asked = self.asked.lock().expect("nobody panics in between");
        asked.iter().filter(|asked| asked.at >= moment).map(|asked| asked.outcome.clone()).collect()
    }

    /// Stops to ask, and gives what came of all pods once all are answered.
    #[track_caller]
    pub(crate) fn end(mut self) -> Vec<Outcome> {
        self.over.store(true, Ordering::Relaxed);
        self.pace.take().expect("it ends once").join().expect("each call is answered");
        let asked = std::mem::take(&mut *self.asked.lock().expect("nobody panics in between"));
        asked.into_iter().map(|asked| asked.outcome).collect()
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
    }
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
