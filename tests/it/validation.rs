//! Generated pods, put to our rules and to a real API server: what one refuses the other refuses.
//!
//! `PILLION_PODS_SEED` is the first seed and `PILLION_PODS` how many pods are mutated; each number says all about its pods.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::{env, fs, thread};

use pillion_engine::rules::{Group, Violation, descriptions, violations};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::to_raw_value;

use crate::harness::generated_pods::{Generator, vanished};
use crate::harness::namespace::Namespace;
use crate::random_pods::setting;

/// How many mutations of a pod are judged.
const MUTATIONS: usize = 8;

/// What is wrong with a pod by our rules.
fn ours(pod: &Value) -> Vec<Violation> {
    violations(&to_raw_value(pod).expect("JSON"))
}

/// A pod that our rules accept, and mutations of it. The first is the pod itself.
fn generated(seed: u64) -> Vec<Value> {
    let mut generator = Generator::new(seed, Vec::new());
    let mut pod = generator.first(|pod| ours(pod).is_empty());
    for _ in 0..generator.below(60) {
        let grown = generator.grown(&pod);
        if ours(&grown).is_empty() {
            pod = grown;
        }
    }
    let mutated: Vec<_> = (0..MUTATIONS).map(|_| generator.mutated(&pod)).collect();
    [pod].into_iter().chain(mutated).collect()
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

fn join(violations: &[Violation]) -> String {
    violations.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
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
            (true, true) => self.both_accept += 1,
            (false, false) => self.both_refuse += 1,
            // What a feature gate drops is judged by nobody.
            (false, true) if !theirs.vanished.is_empty() => {
                for path in theirs.vanished {
                    *self.vanished.entry(path).or_default() += 1;
                }
            }
            (true, false) => self.differences.push(format!("missed by us in {number}: {} {pod}", theirs.message)),
            (false, true) => self.differences.push(format!("made up by us in {number}: {}", join(&ours))),
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
                    for pod in &generated(number) {
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

/// A generated pod that breaks one rule and no other.
#[derive(Clone, Copy, Deserialize, Serialize)]
struct Found {
    seed: u64,
    mutation: usize,
}

const FOUND: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/broken-rules.json");

/// Kubernetes' rules in words, by their numbers.
fn rules() -> BTreeMap<usize, String> {
    let all = descriptions().into_iter().enumerate();
    let of_kubernetes = all.filter(|(_, rule)| matches!(rule.group, Group::Parts | Group::Across));
    of_kubernetes.map(|(number, rule)| (number, format!("{} {}", rule.of, rule.must).trim().to_owned())).collect()
}

/// The rule that a pod breaks, if it is just one and nothing else is wrong.
fn broken(pod: &Value) -> Option<usize> {
    let violations = ours(pod);
    let first = violations.first()?.rule()?;
    violations.iter().all(|violation| violation.rule() == Some(first)).then_some(first)
}

/// Looks for a generated pod that breaks just it, for each rule.
fn find() -> BTreeMap<String, Found> {
    let rules = rules();
    let mut found = BTreeMap::new();
    let most = setting("PILLION_PODS", 20_000);
    for seed in 0..most {
        for (mutation, pod) in generated(seed).iter().enumerate() {
            if let Some(rule) = broken(pod).and_then(|number| rules.get(&number)) {
                found.entry(rule.clone()).or_insert(Found { seed, mutation });
            }
        }
        if found.len() == rules.len() {
            break;
        }
    }
    found
}

#[test]
fn a_pod_that_breaks_just_one_rule_is_refused_and_one_that_keeps_it_is_not() {
    if env::var_os("UPDATE_RULES").is_some() {
        fs::write(FOUND, serde_json::to_string_pretty(&find()).expect("JSON")).expect("the file is writable");
    }
    let Some(here) = Namespace::new("rules", &[]) else { return };
    let found: BTreeMap<String, Found> =
        serde_json::from_str(&fs::read_to_string(FOUND).expect("the file is there")).expect("JSON");
    let mut wrong = Vec::new();
    for (number, rule) in rules() {
        let Some(Found { seed, mutation }) = found.get(&rule).copied() else {
            wrong.push(format!("{rule}: no generated pod breaks it alone"));
            continue;
        };
        let pods = generated(seed);
        let (keeps, breaks) = (&pods[0], &pods[mutation]);
        if broken(breaks) != Some(number) {
            wrong.push(format!(
                "{rule}: the pod of seed {seed} breaks {:?}; UPDATE_RULES=1 looks for others",
                ours(breaks)
            ));
        }
        let (kept, refused) = (theirs(&here, keeps), theirs(&here, breaks));
        if !kept.accepts {
            wrong.push(format!("{rule}: the pod that keeps it is refused: {}: {keeps}", kept.message));
        }
        if refused.accepts && refused.vanished.is_empty() {
            wrong.push(format!("{rule}: the pod that breaks it is accepted: {breaks}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
