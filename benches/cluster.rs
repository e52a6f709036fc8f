//! Pillion in a cluster, as the chart installs it: how soon the first pod is injected, how soon a template's change is
//! used, and what it takes to know 1,000 templates and 5,000 namespaces.

#![allow(clippy::print_stdout, reason = "figures are what a benchmark is for")]

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;

#[path = "../tests/it/harness/mod.rs"]
#[expect(dead_code, reason = "the tests use the rest")]
mod harness;

use harness::cluster::Cluster;
use harness::installed::{Install, Installed};
use harness::namespace::Namespace;
use harness::templates::{cluster_wide, path, sidecars};
use harness::{cookbook, eventually};

const TEMPLATES: usize = 1000;
const NAMESPACES: usize = 5000;

fn main() {
    let Some(cluster) = Cluster::own() else { return };
    let here = cluster.namespace("shop", &[("pillion.dev/inject", "enabled")]);

    let begun = Instant::now();
    let installed = Install::on(&cluster).apply();
    println!("helm template | kubectl apply: {:.1?}", begun.elapsed());
    cluster.apply(&cluster_wide("shipper", "0").to_string());
    let applied = Instant::now();
    for _ in 0..2 {
        installed.begin();
    }
    eventually("a pod to be injected", || sidecars(&here, "shipper").filter(|sidecars| !sidecars.is_empty()));
    println!("first injected pod, after two replicas were started: {:.1?}", applied.elapsed());
    for replica in installed.replicas() {
        installed.await_ready(&replica);
    }

    report(&installed, "with 1 template and 6 namespaces");
    change(&cluster, &here);
    fill(&cluster, &installed);
    report(&installed, &format!("with {TEMPLATES} templates and {NAMESPACES} namespaces more"));
    change(&cluster, &here);

    let replica = installed.begin();
    let started = Instant::now();
    installed.await_ready(&replica);
    println!("a replica that starts then is ready after {:.1?}", started.elapsed());
}

fn report(installed: &Installed<'_>, when: &str) {
    for replica in installed.replicas() {
        let memory = replica.metric("process_resident_memory_bytes", &[]) / f64::from(1 << 20);
        let role = if replica.leads() { ", which leads," } else { "" };
        println!("{when}: {}{role} has {memory:.1} MiB resident", replica.name);
    }
}

/// Changes a template again and again, and creates pods until one has the change.
fn change(cluster: &Cluster, here: &Namespace) {
    let mut times = Vec::new();
    for version in 1..=50 {
        let changed = cluster_wide("shipper", &version.to_string());
        let answer = cluster.api.merge(&path(&changed), &json!({"spec": changed["spec"]}));
        assert_eq!(answer.status, 200, "{}", answer.text());
        let begun = Instant::now();
        let image = changed["spec"]["pod"]["spec"]["initContainers"][0]["image"].as_str().expect("an image");
        while sidecars(here, "shipper").is_none_or(|sidecars| sidecars != [image]) {}
        times.push(begun.elapsed());
    }
    times.sort();
    println!("a template's change is used after {:.1?} (median), {:.1?} (worst of 50)", times[24], times[49]);
}

/// Creates templates, all those of the cookbook in turns, and namespaces, and waits until every replica knows them.
fn fill(cluster: &Cluster, installed: &Installed<'_>) {
    let recipes = cookbook::recipes();
    let template = |number: usize| {
        let recipe = &recipes[number % recipes.len()];
        let template = json!({
            "apiVersion": "pillion.dev/v1alpha1",
            "kind": "ClusterInjectionTemplate",
            "metadata": {"name": format!("template-{number}")},
            "spec": recipe.spec
        });
        ("/apis/pillion.dev/v1alpha1/clusterinjectiontemplates", template)
    };
    let namespace = |number: usize| {
        let labels = json!({"team": format!("team-{}", number % 50), "pillion.dev/inject": "enabled"});
        ("/api/v1/namespaces", json!({"metadata": {"name": format!("namespace-{number}"), "labels": labels}}))
    };
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                loop {
                    let (collection, object) = match next.fetch_add(1, Ordering::Relaxed) {
                        number if number < TEMPLATES => template(number),
                        number if number < TEMPLATES + NAMESPACES => namespace(number - TEMPLATES),
                        _ => return,
                    };
                    let created = cluster.api.create(collection, &object);
                    assert_eq!(created.status, 201, "{}", created.text());
                }
            });
        }
    });
    for replica in installed.replicas() {
        eventually("all to be known", || {
            let metrics = replica.metrics();
            let know = |name: &str, wanted: usize| metrics.sum(name, &[]) >= wanted as f64;
            (know("pillion_templates_loaded", TEMPLATES) && know("pillion_watched_namespaces", NAMESPACES))
                .then_some(())
        });
    }
    // The statuses are written, and what that took is given back.
    std::thread::sleep(Duration::from_secs(20));
}
