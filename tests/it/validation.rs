//! Generated pods, put to our rules and to a real API server: what one refuses the other refuses.
//!
//! `PILLION_PODS_SEED` is the first seed and `PILLION_PODS` how many pods are mutated; each number says all about its pods.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use pillion_engine::rules::violations;
use serde_json::Value;
use serde_json::value::to_raw_value;

use crate::harness::generated_pods::{Generator, vanished};
use crate::harness::namespace::Namespace;
use crate::random_pods::setting;

/// What is wrong with a pod by our rules.
fn ours(pod: &Value) -> Vec<String> {
    violations(&to_raw_value(pod).expect("JSON")).iter().map(ToString::to_string).collect()
}

/// What the API server says of a pod.
struct Theirs {
    accepts: bool,
    message: String,
    vanished: Vec<String>,
}

fn theirs(here: &Namespace, pod: &Value) -> Theirs {
    let answer = here.create("v1", "pods?dryRun=All&fieldValidation=Strict", pod);
    assert!(answer.status < 500, "{}: {pod}", answer.text());
    let mut gone = Vec::new();
    let accepts = answer.status == 201;
    if accepts {
        vanished(&pod["spec"], &answer.json()["spec"], "spec", &mut gone);
    }
    let message =
        if accepts { String::new() } else { answer.json()["message"].as_str().unwrap_or_default().to_owned() };
    Theirs { accepts, message, vanished: gone }
}

/// How often pods were judged alike, and where not.
#[derive(Default)]
struct Tally {
    both_accept: u64,
    both_refuse: u64,
    vanished: BTreeMap<String, u64>,
    differences: Vec<String>,
}

impl Tally {
    fn judge(&mut self, number: u64, pod: &Value, theirs: Theirs) {
        let ours = ours(pod);
        match (ours.is_empty(), theirs.accepts) {
            // Nobody judged what was dropped before.
            _ if !theirs.vanished.is_empty() => {
                for path in theirs.vanished {
                    *self.vanished.entry(path).or_default() += 1;
                }
            }
            (true, true) => self.both_accept += 1,
            (false, false) => self.both_refuse += 1,
            (true, false) => self.differences.push(format!("missed by us in {number}: {} {pod}", theirs.message)),
            (false, true) => self.differences.push(format!("made up by us in {number}: {}", ours.join("; "))),
        }
    }
}

#[test]
fn what_our_rules_refuse_is_what_the_api_server_refuses() {
    let Some(here) = Namespace::new("validation", &[]) else { return };
    let first: u64 = setting("PILLION_PODS_SEED", 20_261_130);
    let end = first + setting::<u64>("PILLION_PODS", 500);
    let next = AtomicU64::new(first);
    let tally = Mutex::new(Tally::default());
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= end {
                        return;
                    }
                    let mut generator = Generator::new(number, Vec::new());
                    let mut pod = Generator::least();
                    for _ in 0..generator.below(60) {
                        let grown = generator.grown(&pod);
                        if ours(&grown).is_empty() {
                            pod = grown;
                        }
                    }
                    let mutated: Vec<_> = (0..8).map(|_| generator.mutated(&pod)).collect();
                    for pod in [pod].iter().chain(&mutated) {
                        let theirs = theirs(&here, pod);
                        tally.lock().expect("no panic").judge(number, pod, theirs);
                    }
                }
            });
        }
    });
    let Tally { both_accept, both_refuse, vanished, differences } = tally.into_inner().expect("no panic");
    println!("{both_accept} accepted and {both_refuse} refused by both, vanished: {vanished:#?}");
    assert!(differences.is_empty(), "{} differences\n{}", differences.len(), differences.join("\n"));
}
