//! A replica is ready when the webhooks trust its certificate, whoever leads.

use std::thread::{sleep, spawn};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::lease::{Holder, left};
use super::*;
use crate::harness::authority::Authority;
use crate::harness::http;
use crate::harness::replica::Replica;

const MINUTE: Duration = Duration::from_secs(60);
const LACKS: &str = "the caBundle of mutatingwebhookconfigurations/pillion lacks the CA";

/// Makes `bundle` the `caBundle` of each webhook.
fn set_bundles(installed: &Installed<'_>, bundle: &Value) {
    installed.set_clients("caBundle", bundle);
}

/// The `caBundle` of each webhook: two for pods, and that for templates.
fn bundles(installed: &Installed<'_>) -> Vec<Value> {
    let configurations = installed.configurations().map(|path| installed.cluster.api.get(&path).json());
    let webhooks = configurations.iter().flat_map(|it| it["webhooks"].as_array().expect("it has webhooks"));
    webhooks.map(|webhook| webhook["clientConfig"]["caBundle"].clone()).collect()
}

/// Gives the role its rules, but for a change; the last is about the webhook configurations.
fn set_rules(installed: &Installed<'_>, change: impl FnOnce(&mut Vec<Value>)) {
    let mut rules = installed.manifest("ClusterRole")["rules"].as_array().expect("rules").clone();
    assert_eq!(rules.last().expect("a rule")["apiGroups"], json!(["admissionregistration.k8s.io"]));
    change(&mut rules);
    assert_eq!(installed.cluster.api.merge(CLUSTER_ROLE, &json!({"rules": rules})).status, 200);
}

/// The bundle of somebody else.
fn foreign() -> Value {
    json!(STANDARD.encode(Authority::new().pem()))
}

fn readyz(replica: &Replica) -> (u16, String) {
    let url = format!("http://{}/readyz?verbose", replica.admin);
    let answer = eventually("the replica to listen", || http::try_get(&url));
    (answer.status, answer.text())
}

#[test]
fn any_replica_publishes_where_nothing_is_published() {
    let Some(cluster) = Cluster::own() else { return };
    let installed = left(Install::on(&cluster).by_service());
    let before = bundles(&installed);
    let _holder = Holder::begin(&cluster.api, Value::Null);
    set_bundles(&installed, &json!(""));
    let [first, second] = [(); 2].map(|()| installed.begin());
    for replica in [&first, &second] {
        installed.await_ready(replica);
        assert!(!replica.leads());
        assert!(readyz(replica).1.contains("[+]ca-bundle ok\n"));
    }
    assert_eq!(bundles(&installed), before);
    // Also later, and as something that should not happen.
    set_bundles(&installed, &json!(""));
    eventually("the caBundle to be there again", || (bundles(&installed) == before).then_some(()));
    let repairs =
        || [&first, &second].map(|it| it.metric("pillion_certificate_repairs_total", &[])).iter().sum::<f64>();
    eventually("the repair to be counted", || (repairs() >= 1.0).then_some(()));
}

#[test]
fn a_bundle_of_others_is_left_to_the_leader_and_a_replica_that_starts_waits_for_it() {
    let Some(cluster) = Cluster::own() else { return };
    let installed = left(Install::on(&cluster).by_service());
    let ours = bundles(&installed);
    let holder = Holder::begin(&cluster.api, Value::Null);
    let foreign = foreign();
    set_bundles(&installed, &foreign);
    let replica = installed.begin();
    eventually("the replica to say what it waits for", || {
        let (status, text) = readyz(&replica);
        (status == 503 && text.contains(&format!("[-]ca-bundle failed: {LACKS}"))).then_some(())
    });
    assert!(readyz(&replica).1.contains("[+]certificate ok\n"));
    assert_eq!(replica.metric("pillion_certificate_untrusted", &[]), 1.0);
    assert_eq!(bundles(&installed), vec![foreign.clone(); 3]);

    let url = format!("http://{}/readyz?wait=30", replica.admin);
    let waits = spawn(move || http::send(&http::agent(""), "GET", &url, &[], &[]).status);
    drop(holder);
    installed.await_ready(&replica);
    assert_eq!(waits.join().expect("it is answered"), 200);
    assert_eq!((bundles(&installed), replica.leads()), (ours, true));
    assert_eq!(replica.metric("pillion_certificate_untrusted", &[]), 0.0);

    // What was ready stays ready.
    let _holder = Holder::begin(&cluster.api, Value::Null);
    eventually("the leader to notice", || (!replica.leads()).then_some(()));
    eventually("the replica to say what is wrong", || {
        // What it began as the leader may come in between.
        set_bundles(&installed, &foreign);
        let (status, text) = readyz(&replica);
        assert_eq!(status, 200, "{text}");
        text.contains(&format!("[!]ca-bundle: {LACKS}")).then_some(())
    });
    assert_eq!(replica.metric("pillion_certificate_untrusted", &[]), 1.0);
}

#[test]
fn after_a_minute_a_replica_is_ready_all_the_same_and_says_so() {
    let Some(cluster) = Cluster::own() else { return };
    let installed = Install::on(&cluster).by_service().apply();
    set_rules(&installed, |rules| rules.last_mut().expect("a rule")["verbs"] = json!(["get"]));

    let begun = Instant::now();
    let replica = installed.begin();
    let not_ready = format!("[-]ca-bundle failed: {LACKS}");
    eventually("the replica to wait", || readyz(&replica).1.contains(&not_ready).then_some(()));
    while readyz(&replica).0 != 200 {
        assert!(begun.elapsed() < 2 * MINUTE, "{}", readyz(&replica).1);
        sleep(Duration::from_millis(100));
    }
    assert!(begun.elapsed() >= MINUTE);
    let warning = replica.logged("message", "ready, but calls will fail: the webhooks do not trust the certificate");
    assert_eq!(warning["level"], "WARN");
    let (status, text) = readyz(&replica);
    assert!(status == 200 && text.contains(&format!("[!]ca-bundle: {LACKS}")), "{text}");
    assert_eq!(replica.metric("pillion_certificate_untrusted", &[]), 1.0);

    set_rules(&installed, |_| {});
    eventually("all to be well", || (!readyz(&replica).1.contains("[!]")).then_some(()));
    assert_eq!(replica.metric("pillion_certificate_untrusted", &[]), 0.0);
}

#[test]
fn webhooks_that_are_called_by_url_are_left_to_the_leader_and_not_waited_for() {
    let Some(cluster) = Cluster::own() else { return };
    let installed = left(Install::on(&cluster));
    let _holder = Holder::begin(&cluster.api, Value::Null);
    for bundle in [foreign(), json!("")] {
        set_bundles(&installed, &bundle);
        let replica = installed.add();
        assert!(!replica.leads() && readyz(&replica).1.contains("[+]ca-bundle ok\n"));
    }
    assert_eq!(bundles(&installed), [Value::Null, Value::Null, Value::Null]);
}

#[test]
fn configurations_that_may_not_be_read_or_are_not_there_block_nothing() {
    let Some(cluster) = Cluster::own() else { return };
    let installed = left(Install::on(&cluster).by_service());
    let _holder = Holder::begin(&cluster.api, Value::Null);
    set_bundles(&installed, &foreign());
    set_rules(&installed, |rules| rules.truncate(rules.len() - 1));
    installed.add();

    set_rules(&installed, |_| {});
    for path in installed.configurations() {
        assert_eq!(cluster.api.delete(&path).status, 200);
    }
    installed.add();
}
