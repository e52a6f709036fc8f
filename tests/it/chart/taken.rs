//! What a real API server says to what Helm renders.

use serde_json::{Value, json};

use super::{CHART, Chart, ci, list, objects, only};
use crate::harness::cluster::Cluster;
use crate::harness::installed::Install;
use crate::harness::process::Folder;

/// Lets a control plane know the kinds of cert-manager and of the Prometheus operator.
fn add_foreign_kinds(cluster: &Cluster) {
    cluster.apply(include_str!("../../fixtures/foreign-crds.yaml"));
    let wait = ["wait", "--for=condition=Established", "crd", "--all", "--timeout=60s"];
    cluster.kubectl(&wait, "").succeeded();
}

#[test]
fn the_api_server_takes_what_is_rendered_from_all_values() {
    let (Some(chart), Some(cluster)) = (Chart::open(), Cluster::shared()) else { return };
    add_foreign_kinds(cluster);
    cluster.namespace("tried", &[]);
    for values in ci() {
        // A release that no other test installs, so that nobody owns a field of it.
        let rendered = chart.template_as("tried", &["--skip-tests", &values.file]);
        let apply = ["apply", "--server-side", "--dry-run=server", "--validate=strict", "-f", "-"];
        let ran = cluster.kubectl(&apply, &rendered.succeeded());
        assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{}", values.name);
    }
}

#[test]
fn the_notes_say_what_was_installed_what_to_beware_of_and_what_comes_next() {
    // Helm installs nothing over the definitions that other tests have applied without it.
    let (Some(chart), Some(cluster)) = (Chart::open(), Cluster::own()) else { return };
    add_foreign_kinds(&cluster);
    let folder = Folder::new("pillion-notes-");
    let config = cluster.kubectl(&["config", "view", "--raw", "--output=json"], "").succeeded();
    let kubeconfig = format!("--kubeconfig={}", folder.write("config.json", &config));
    let notes = |namespace: &str, values: &str| {
        let namespace = format!("--namespace={namespace}");
        let install = ["install", "noted", CHART, &namespace, &kubeconfig, "--dry-run=server", values];
        let said = chart.helm(&install).succeeded();
        said.split_once("NOTES:").expect("there are notes").1.to_owned()
    };
    cluster.namespace("notes", &[]);
    for values in ci() {
        let notes = notes("notes", &values.file);
        let installed = format!("Pillion {} is installed as", env!("CARGO_PKG_VERSION"));
        assert!(notes.contains(&installed) && notes.contains("Certificates: "), "{}: {notes}", values.name);
        let next = notes.split_once("Next:").expect("there is a next").1;
        let commands = next.lines().filter(|line| line.starts_with("  kubectl ") || line.starts_with("  helm "));
        assert_eq!(commands.count(), 3, "{}: {notes}", values.name);
        let warns = ["ha", "one-replica", "everything"].contains(&values.name.as_str());
        assert_eq!(notes.contains("WARNING: "), warns, "{}: {notes}", values.name);
    }
    for (namespace, values, warning) in [
        ("notes", "replicaCount=1", "fewer than two replicas"),
        ("notes", "webhook.failurePolicy=Fail", "failurePolicy is Fail"),
        ("notes", "webhook.failurePolicy=Fail,webhook.excludedNamespaces={a}", "kube-system is not excluded"),
        ("default", "replicaCount=2", "Pods in default are never injected"),
    ] {
        let notes = notes(namespace, &format!("--set={values}"));
        assert!(notes.contains("WARNING: ") && notes.contains(warning), "{values}: {notes}");
    }
    let cookbook = notes("notes", "--set=cookbook.enabled={vector}");
    assert!(cookbook.contains("--annotations=pillion.dev/templates=vector"), "{cookbook}");
}

#[test]
fn its_pods_pass_the_restricted_level_of_pod_security() {
    let (Some(chart), Some(cluster)) = (Chart::open(), Cluster::shared()) else { return };
    let namespace = cluster.namespace("restricted-chart", &[("pod-security.kubernetes.io/enforce", "restricted")]);
    for values in ci() {
        let objects = chart.render(&[&values.file]);
        let mut pod = only(&objects, "Deployment")["spec"]["template"].clone();
        pod["metadata"]["name"] = json!("own");
        pod["spec"]["serviceAccountName"] = json!("default");
        let created = namespace.create("v1", "pods?dryRun=All&fieldValidation=Strict", &pod);
        // The one way to the network of a node, and only with a namespace that allows it.
        let expected = if values.name == "host-network" { 403 } else { 201 };
        assert_eq!(created.status, expected, "{}: {}", values.name, created.text());

        let user = &pod["spec"]["containers"][0]["securityContext"]["runAsUser"];
        assert!(user.is_null() && pod["spec"]["securityContext"]["runAsUser"].is_null(), "the image says who it is");
    }
}

#[test]
fn the_helm_test_passes_only_when_its_pod_is_injected() {
    let Some(cluster) = Cluster::own() else { return };
    let _installed = Install::on(&cluster).release("tested").start();
    let chart = Chart::open().expect("where there is a control plane there is Helm");
    let rendered = chart.template_as("tested", &["--show-only=templates/tests/injection.yaml"]);
    let objects = objects(&rendered.succeeded());
    let of_pod = |pod: &Value| list(&pod["spec"]["containers"][0]["env"]).to_vec();
    let order = ["Namespace", "ServiceAccount", "ClusterInjectionTemplate", "Pod"];
    for kind in order {
        cluster.apply(&only(&objects, kind).to_string());
    }
    let as_asked = only(&objects, "Pod");
    assert_eq!(of_pod(as_asked), [Value::Null; 0]);
    let name = as_asked["metadata"]["name"].as_str().expect("it has a name");
    let pod = cluster.api.get(&format!("/api/v1/namespaces/{name}/pods/{name}")).json();
    assert_eq!(of_pod(&pod), [json!({"name": "ARGUMENT", "value": "version"})], "{pod}");
}
