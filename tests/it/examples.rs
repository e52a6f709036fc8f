//! Every example of `examples/`, with what it needs, on a real API server.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::harness::cluster::Cluster;
use crate::harness::cookbook::{self, examples};
use crate::harness::http::Answer;
use crate::harness::namespace::{Calls, Namespace, Webhook};
use crate::harness::pillion::{Pillion, Setup};
use crate::harness::pod_security::Level::{Baseline, Restricted};
use crate::harness::pod_security::{self, Level, violations};

/// Creates something that is no pod.
#[track_caller]
fn create(here: &Namespace, object: &Value) {
    let (version, kind) = (object["apiVersion"].as_str(), object["kind"].as_str());
    let (version, kind) = version.zip(kind).expect("an object has apiVersion and kind");
    let resource = format!("{}s", kind.to_lowercase());
    let created = if kind.starts_with("Cluster") {
        let cluster = Cluster::shared().expect("the namespace is in it");
        cluster.api.create(&format!("/apis/{version}/{resource}"), object)
    } else {
        here.create(version, &resource, object)
    };
    // Some examples need the same thing.
    assert!([201, 409].contains(&created.status), "{kind}: {}", created.text());
}

#[test]
fn every_template_has_an_example() {
    let examples = examples();
    let lacks =
        |name: &str| !examples.iter().any(|example| example.name == name && example.templates().contains(&name));
    let without: Vec<_> = cookbook::recipes().iter().map(|recipe| &*recipe.name).filter(|name| lacks(name)).collect();
    assert!(without.is_empty(), "{without:?}");
}

/// A namespace in which the API server warns of whatever breaks a Pod Security level, with all that the examples need.
#[track_caller]
fn namespace(pillion: &Pillion, level: Level) -> Option<Namespace> {
    let warn = ("pod-security.kubernetes.io/warn", &*level.to_string());
    let here = Namespace::new(&format!("examples-{level}"), &[("pillion.dev/inject", "enabled"), warn])?;
    examples().iter().flat_map(|example| &example.needs).for_each(|object| create(&here, object));
    let (url, authority) = (pillion.url(), pillion.authority.pem());
    here.call(&[Webhook { name: "pillion", url: &url, authority: &authority, failure_policy: "Fail" }]);
    Some(here)
}

/// Creates the pod, and takes what it violates of the Pod Security level out of the other warnings.
fn created(here: &Namespace, pod: &Value) -> (Answer, BTreeSet<String>, Vec<String>) {
    let answer = here.create("v1", "pods?dryRun=All", pod);
    let (violated, others): (Vec<_>, Vec<_>) =
        answer.warnings().into_iter().partition(|warning| pod_security::reasons(warning).is_some());
    let violated = violated.iter().filter_map(|warning| pod_security::reasons(warning)).flatten().collect();
    (answer, violated, others)
}

#[test]
fn every_example_is_taken_and_gets_all_that_it_asks_for_at_the_level_that_its_templates_claim() {
    let pillion = Setup::new().whole_cookbook().start();
    let Some(restricted) = namespace(&pillion, Restricted) else { return };
    let baseline = namespace(&pillion, Baseline).expect("there is a control plane");

    let mut wrong = Vec::new();
    for example in examples() {
        let name = &example.name;
        let (answer, above_restricted, warnings) = created(&restricted, &example.pod);
        if answer.status != 201 {
            wrong.push(format!("{name}: {}", answer.text()));
            continue;
        }
        if !warnings.is_empty() {
            wrong.push(format!("{name}: {warnings:?}"));
        }
        let pod = answer.json();
        let outcome = &pod["metadata"]["annotations"]["pillion.dev/outcome"];
        let wanted: Vec<_> = example.templates().iter().map(|template| format!("{template}=injected")).collect();
        if *outcome != wanted.join(",") {
            wrong.push(format!("{name}: {outcome}"));
        }
        let (_, above_baseline, _) = created(&baseline, &example.pod);
        for (level, warned) in [(Restricted, above_restricted), (Baseline, above_baseline)] {
            let violated = violations(level, &pod);
            if violated != warned {
                wrong.push(format!("{name}: {level} is violated by {violated:?}, the API server says by {warned:?}"));
            }
        }
        let level = pod_security::level(&pod);
        let claims =
            example.templates().into_iter().map(|it| pod_security::level(&cookbook::recipe(it).injected_pod()));
        let claimed = claims.min().expect("an example asks for a template");
        if claimed != level {
            wrong.push(format!("{name}: its templates claim {claimed}, and it passes {level}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    for namespace in [restricted, baseline] {
        let Calls { denied, failed, failed_open, .. } = namespace.calls("pillion");
        assert_eq!((denied, failed, failed_open), (0.0, 0.0, 0.0));
    }
}
