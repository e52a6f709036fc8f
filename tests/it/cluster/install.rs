//! From nothing to the first injected pod.

use std::time::{Duration, Instant};

use super::*;

/// A namespace, an account, one template for all namespaces and one for this, and a pod that asks for both.
fn all_at_once(name: &str) -> Value {
    let (wide, narrow) = (format!("{name}-wide"), format!("{name}-narrow"));
    let mut web = pod("web", &format!("{wide},{narrow}"));
    web["metadata"]["namespace"] = json!(name);
    web["spec"]["serviceAccountName"] = json!("web");
    let labels = json!({"pillion.dev/inject": "enabled"});
    let items = json!([
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}},
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "web", "namespace": name}},
        cluster_wide(&wide, "1"),
        namespaced(name, &narrow, "1"),
        web
    ]);
    json!({"apiVersion": "v1", "kind": "List", "items": items})
}

#[track_caller]
fn assert_injected(cluster: &Cluster, name: &str) {
    let stored = cluster.api.get(&format!("/api/v1/namespaces/{name}/pods/web")).json();
    assert_eq!(names(&stored, "initContainers"), [format!("{name}-wide"), format!("{name}-narrow")], "{stored}");
}

#[test]
fn namespace_account_templates_and_pod_can_come_in_one_apply() {
    let Some(Installed { cluster, .. }) = installed() else { return };
    // Whether the caches know them in time is a race.
    for round in 0..20 {
        let name = format!("all-at-once-{round}");
        let how: &[&str] = if round % 2 == 0 { &["apply", "-f", "-"] } else { &["apply", "--server-side", "-f", "-"] };
        cluster.kubectl(how, &all_at_once(&name).to_string()).succeeded();
        assert_injected(cluster, &name);
    }
}

fn namespaces(cluster: &Cluster) -> f64 {
    let list = cluster.api.get("/api/v1/namespaces").json();
    list["items"].as_array().map(Vec::len).expect("a list") as f64
}

#[test]
fn what_the_caches_cannot_know_yet_is_asked_for() {
    let Some(cluster) = Cluster::own() else { return };
    let installed = Install::on(&cluster).start();
    installed.slow_down(Duration::from_millis(500));

    let found = |resource: &str| -> f64 {
        let labels = [format!("resource=\"{resource}\""), "result=\"found\"".to_owned()];
        let labels = labels.each_ref().map(String::as_str);
        installed.replicas().iter().map(|replica| replica.metric("pillion_lookups_total", &labels)).sum()
    };

    cluster.apply(&all_at_once("ahead").to_string());
    assert_injected(&cluster, "ahead");
    assert!(found("namespaces") >= 1.0);

    // In a namespace that is known, of templates that are not.
    let here = cluster.namespace("known", &OPTED_IN);
    for replica in installed.replicas() {
        eventually("the namespace to be known", || {
            (replica.metric("pillion_watched_namespaces", &[]) == namespaces(&cluster)).then_some(())
        });
    }
    let templates = [cluster_wide("new-wide", "1"), namespaced("known", "new-narrow", "1")];
    cluster.apply(&json!({"apiVersion": "v1", "kind": "List", "items": templates}).to_string());
    assert_eq!(sidecars(&here, "new-wide,new-narrow").map(|sidecars| sidecars.len()), Some(2));
    for resource in ["clusterinjectiontemplates", "injectiontemplates"] {
        assert!(found(resource) >= 1.0, "{resource} were asked for");
    }
    for label in ["template=\"new-wide\"", "template=\"new-narrow\""] {
        let replicas = installed.replicas();
        let injected: f64 = replicas.iter().map(|it| it.metric("pillion_injections_total", &[label])).sum();
        assert_eq!(injected, 1.0, "{label}");
    }
    let calls = installed.calls();
    assert_eq!((calls.failed, calls.failed_open), (0.0, 0.0));
}

#[test]
fn ten_seconds_after_the_chart_was_applied_pods_are_injected() {
    let Some(cluster) = Cluster::own() else { return };
    let here = cluster.namespace("shop", &[]);

    let installed = Install::on(&cluster).apply();
    let applied = Instant::now();
    cluster.apply(&cluster_wide("shipper", "1").to_string());
    let labelled = cluster
        .api
        .merge("/api/v1/namespaces/shop", &json!({"metadata": {"labels": {"pillion.dev/inject": "enabled"}}}));
    assert_eq!(labelled.status, 200, "{}", labelled.text());
    for _ in 0..2 {
        installed.begin();
    }

    let first =
        eventually("a pod to be injected", || sidecars(&here, "shipper").filter(|sidecars| !sidecars.is_empty()));
    assert_eq!(first, ["registry.example.com/shipper:1"]);
    assert!(applied.elapsed() < Duration::from_secs(10), "it took {:?}", applied.elapsed());
    // From here on each of them is.
    for replica in installed.replicas() {
        installed.await_ready(&replica);
    }
    let created = here.create_pod(&pod("web", "shipper"));
    assert_eq!(names(&created, "initContainers"), ["shipper"]);
}

#[test]
fn the_pods_of_the_deployment_are_created_where_the_restricted_level_is_enforced() {
    let Some(Installed { cluster, .. }) = installed() else { return };
    // Those that a kubelet would start, if there were one.
    let made = eventually("the controllers to make pods", || {
        let mut pods = cluster.api.get("/api/v1/namespaces/pillion/pods").json();
        let pods = pods["items"].as_array_mut().map(std::mem::take)?;
        (pods.len() == 2).then_some(pods)
    });
    for pod in made {
        assert_eq!(pod["spec"]["serviceAccountName"], "pillion");
        assert_eq!(names(&pod, "containers"), ["pillion"]);
        assert_eq!(pod["spec"].get("initContainers"), None, "it does not inject itself");
    }
}
