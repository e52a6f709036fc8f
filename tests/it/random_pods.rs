//! Pods that are made up, with random choices of the cookbook's templates, before a real API server.
//!
//! Each pod has a number that says all about it. `RANDOM_PODS_SEED` is the first of them, and `RANDOM_PODS` how many there are.

use std::env;
use std::io::{Write as _, stderr};
use std::str::FromStr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use proptest::strategy::{Strategy as _, ValueTree as _};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use serde_json::Value;

use crate::harness::namespace::{Calls, Namespace, Webhook};
use crate::harness::pillion::Setup;
use crate::harness::pods;

pub(crate) fn setting<T: FromStr>(variable: &str, otherwise: T) -> T {
    env::var(variable).ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}

fn made_up(number: u64) -> Value {
    let mut seed = [0; 32];
    seed[..8].copy_from_slice(&number.to_be_bytes());
    let mut runner = TestRunner::new_with_rng(Config::default(), TestRng::from_seed(RngAlgorithm::ChaCha, &seed));
    pods::pod_with_choice().new_tree(&mut runner).expect("a pod can be made up").current()
}

#[test]
fn every_pod_that_we_inject_is_taken_by_the_api_server_if_the_bare_one_was() {
    let pillion = Setup::new().whole_cookbook().flags(["--on-error", "skip"]).start();
    let Some(here) = Namespace::opted_in("random-pods") else { return };
    let (url, authority) = (pillion.url(), pillion.authority.pem());
    here.call(&[Webhook { name: "pillion", url: &url, authority: &authority, failure_policy: "Fail" }]);
    let elsewhere = Namespace::new("random-pods-bare", &[]).expect("there is a control plane");

    let first: u64 = setting("RANDOM_PODS_SEED", 20_251_121);
    let next = AtomicU64::new(first);
    let end = first + setting("RANDOM_PODS", 300);
    let injected = AtomicU64::new(0);
    let offenders = Mutex::new(Vec::new());
    let try_them = || {
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= end {
                break;
            }
            let pod = made_up(number);
            let bare = elsewhere.create("v1", "pods?dryRun=All", &pod);
            if bare.status != 201 {
                continue;
            }
            let answer = here.create("v1", "pods?dryRun=All", &pod);
            if answer.status == 201 {
                let outcome = answer.json()["metadata"]["annotations"]["pillion.dev/outcome"].take();
                let is_injected = outcome.as_str().is_some_and(|outcome| outcome.contains("=injected"));
                injected.fetch_add(is_injected.into(), Ordering::Relaxed);
            } else if !(answer.status == 403 && answer.text().contains("admission webhook")) {
                let message = answer.json()["message"].take();
                offenders.lock().expect("no thread panics with it").push((number, message));
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(try_them);
        }
    });

    let mut offenders = offenders.into_inner().expect("no thread panics with it");
    offenders.sort_by_key(|&(number, _)| number);
    if let Some(&(number, _)) = offenders.first() {
        let all: Vec<_> = offenders.iter().map(|(number, message)| format!("{number}: {message}")).collect();
        panic!("{} pods:\n{}\nthe first is\n{}", all.len(), all.join("\n"), made_up(number));
    }
    let (injected, tried) = (injected.into_inner(), end - first);
    assert!(injected * 3 > tried, "only {injected} of {tried} were injected, which shows little");
    if env::var_os("RANDOM_PODS").is_some() {
        // Past the test runner, which shows the output of a test only when it fails.
        writeln!(stderr(), "{injected} of {tried} pods were injected").expect("stderr is open");
    }
    let Calls { failed, failed_open, .. } = here.calls("pillion");
    assert_eq!((failed, failed_open), (0.0, 0.0));
}
