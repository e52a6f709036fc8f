//! What happens when nobody answers is for each namespace to say: in one with `pillion.dev/failure-policy: fail` pods wait.

use std::path::Path;
use std::thread::sleep;
use std::time::Instant;

use super::reinstall::LEARN;
use super::*;
use crate::harness::load::{Load, Outcome};
use crate::harness::namespace::Calls;
use crate::harness::process::Folder;
use crate::harness::tools;

const REQUIRES: &str = "pillion.dev/required-templates";

/// What the API server has counted of the webhook for namespaces whose pods wait.
fn strict_calls(cluster: &Cluster) -> Calls {
    Calls::of(&cluster.metrics(), "strict-pods.pillion.dev")
}

/// The template that the pods of these tests ask for; each namespace must have got it.
fn ship(cluster: &Cluster, namespaces: &[&Namespace]) {
    cluster.apply(&cluster_wide("shipper", "1").to_string());
    for here in namespaces {
        eventually("a pod to be injected", || sidecars(here, "shipper").filter(|sidecars| !sidecars.is_empty()));
    }
}

fn opted_out(name: &str) -> Value {
    let mut pod = pod(name, "shipper");
    pod["metadata"]["labels"] = json!({"pillion.dev/inject": "disabled"});
    pod
}

#[test]
fn pods_wait_for_pillion_where_the_namespace_says_fail_and_nowhere_else() {
    let Some(cluster) = Cluster::own() else { return };
    let installed = Install::on(&cluster).start();
    let (shop, bank) = (cluster.namespace("shop", &OPTED_IN), cluster.namespace("bank", &STRICT));
    let wrong = [("large", "Fail"), ("other", "ignore"), ("yes", "yes"), ("empty", "")]
        .map(|(name, value)| (value, cluster.namespace(name, &[OPTED_IN[0], ("pillion.dev/failure-policy", value)])));
    ship(&cluster, &[&shop, &bank]);
    assert!(
        strict_calls(&cluster).allowed > 0.0 && installed.calls().allowed > 0.0,
        "each is called by its own webhook"
    );
    for (value, here) in &wrong {
        let warnings = here.create("v1", "pods?dryRun=All", &pod("web", "shipper")).warnings();
        let warning = format!("the namespace's label pillion.dev/failure-policy is \"{value}\", which means nothing");
        assert!(warnings.iter().any(|it| it.contains(&warning)), "{value}: {warnings:?}");
    }

    for replica in installed.replicas() {
        installed.kill(&replica);
    }
    for asked in [pod("web", "shipper"), opted_out("web")] {
        let refused = bank.create("v1", "pods", &asked);
        assert_eq!(refused.status, 500, "{}", refused.text());
        let why = "failed calling webhook \\\"strict-pods.pillion.dev\\\"";
        assert!(refused.text().contains(why), "{}", refused.text());
    }
    for here in wrong.iter().map(|(_, here)| here).chain([&shop]) {
        assert_eq!(here.create_pod(&pod("web", "shipper"))["spec"].get("initContainers"), None);
    }
    let calls = strict_calls(&cluster);
    assert_eq!((calls.failed, calls.failed_open, installed.calls().failed), (2.0, 0.0, 0.0));

    installed.add();
    let created = bank.create("v1", "pods", &pod("web", "shipper"));
    assert_eq!(names(&created.json(), "initContainers"), ["shipper"], "{}", created.text());
    let audited =
        cluster.audit().into_iter().find(|it| it["auditID"] == created.header("audit-id").unwrap_or_default());
    assert_eq!(audited.expect("it is audited")["annotations"]["strict-pods.pillion.dev/outcome"], "injected");
}

#[test]
fn no_label_of_a_pod_escapes_what_a_namespace_requires_whose_pods_wait() {
    let Some(cluster) = Cluster::own() else { return };
    let _installed = Install::on(&cluster).start();
    let (shop, bank) = (cluster.namespace("shop", &OPTED_IN), cluster.namespace("bank", &STRICT));
    ship(&cluster, &[&shop, &bank]);
    assert_eq!(bank.create_pod(&opted_out("free"))["spec"].get("initContainers"), None, "its label counts");

    for name in ["shop", "bank"] {
        let required = json!({"metadata": {"annotations": {REQUIRES: "shipper"}}});
        assert_eq!(cluster.api.merge(&format!("/api/v1/namespaces/{name}"), &required).status, 200);
    }
    eventually("the annotation to be known", || {
        let made = bank.create("v1", "pods?dryRun=All", &opted_out("web")).json();
        (names(&made, "initContainers") == ["shipper"]).then_some(())
    });
    assert_eq!(shop.create_pod(&opted_out("web"))["spec"].get("initContainers"), None, "Pillion is not asked");
}

#[test]
fn pillion_starts_from_nothing_in_a_namespace_whose_pods_wait_for_it() {
    let Some(cluster) = Cluster::own() else { return };
    let installed = Install::on(&cluster).values(json!({"webhook": {"excludeReleaseNamespace": false}})).apply();
    let labels: Value = STRICT.iter().map(|(key, value)| ((*key).to_owned(), json!(value))).collect();
    assert_eq!(cluster.api.merge("/api/v1/namespaces/pillion", &json!({"metadata": {"labels": labels}})).status, 200);
    let here = Namespace::of(&cluster.api, "pillion");
    let mut own = installed.manifest("Deployment")["spec"]["template"].clone();
    own["metadata"]["name"] = json!("own");
    let mut other = own.clone();
    other["metadata"]["labels"]["app.kubernetes.io/component"] = json!("other");

    eventually("pods to be refused", || (here.create("v1", "pods?dryRun=All", &other).status == 500).then_some(()));
    here.create_pod(&own);
}

/// The chart as it was when there was one webhook for pods.
fn chart_with_one_webhook(folder: &Folder) -> String {
    let chart = folder.path("pillion").display().to_string();
    let ours = concat!(env!("CARGO_MANIFEST_DIR"), "/charts/pillion");
    tools::run(Path::new("cp"), ["-r", ours, &chart], "").succeeded();
    let webhook = include_str!("../../fixtures/one-webhook.yaml");
    folder.write("pillion/templates/mutatingwebhook.yaml", webhook);
    chart
}

#[test]
fn no_pod_is_refused_or_bare_while_one_webhook_becomes_two_and_back() {
    let Some(cluster) = Cluster::own() else { return };
    let folder = Folder::new("pillion-chart-");
    let installed = Install::on(&cluster).with_helm_from(&chart_with_one_webhook(&folder)).start();
    let namespaces = [cluster.namespace("shop", &OPTED_IN), cluster.namespace("bank", &STRICT)];
    ship(&cluster, &namespaces.each_ref());
    installed.leader();

    let loads = namespaces.each_ref().map(|here| Load::begin(here, 80, 8));
    // What the first upgrade has given, the second must not take away.
    for step in [&["upgrade"][..], &["upgrade"], &["rollback", "1"], &["upgrade"]] {
        let begun = Instant::now();
        installed.helm(step);
        sleep(LEARN);
        for (load, name) in loads.iter().zip(["shop", "bank"]) {
            let pods = load.since(begun);
            assert!(pods.len() > 50, "only {} pods in {name}", pods.len());
            let others = pods.iter().filter(|outcome| **outcome != Outcome::Injected).count();
            assert_eq!(others, 0, "of {} pods in {name} during {step:?}", pods.len());
        }
    }
    assert!(strict_calls(&cluster).allowed > 0.0, "the second webhook was called");
}

#[test]
fn no_pod_is_refused_while_a_release_goes_whose_webhooks_went_first() {
    let Some(cluster) = Cluster::own() else { return };
    let installed = Install::on(&cluster).with_helm().by_service().start();
    let bank = cluster.namespace("bank", &STRICT);
    ship(&cluster, &[&bank]);

    let load = Load::begin(&bank, 80, 8);
    let begun = Instant::now();
    cluster.kubectl(&["delete", "mutatingwebhookconfiguration", "pillion"], "").succeeded();
    // Sooner than in a cluster, where they drain: Helm deletes the Deployment first.
    installed.replicas().iter().for_each(|replica| installed.kill(replica));
    installed.helm(&["uninstall"]);
    sleep(LEARN);
    let pods = load.since(begun);
    assert!(pods.len() > 50, "only {} pods", pods.len());
    assert!(!pods.iter().any(|outcome| matches!(outcome, Outcome::Refused(_))), "{pods:?}");
    assert_eq!(pods.last(), Some(&Outcome::Bare), "nobody is asked any more");
}
