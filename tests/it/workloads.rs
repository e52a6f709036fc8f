//! What sidecars do to others, as the real API server sees it: what `docs/workloads.md` says, and what Pillion warns of.

use serde_json::{Value, json};

use crate::harness::namespace::{Namespace, Webhook};
use crate::harness::pillion::{Pillion, Setup, pod};

/// A namespace that sends its pods to a server with these templates.
#[track_caller]
fn injected_by(setup: Setup, name: &str) -> Option<(Pillion, Namespace)> {
    let pillion = setup.start();
    let here = Namespace::opted_in(name)?;
    let (url, authority) = (pillion.url(), pillion.authority.pem());
    here.call(&[Webhook { name: "pillion", url: &url, authority: &authority, failure_policy: "Fail" }]);
    Some((pillion, here))
}

fn template(name: &str, spec: &Value) -> String {
    let metadata = json!({"name": name});
    json!({"apiVersion": "pillion.dev/v1alpha1", "kind": "ClusterInjectionTemplate", "metadata": metadata, "spec": spec})
        .to_string()
}

/// What stands in the place of the resources of a pod's container, and of the pod's own.
fn pods() -> Vec<Value> {
    let container = |resources: Value| json!({"name": "app", "image": "app:1", "resources": resources});
    let of = |resources: Value| json!({"containers": [container(resources)]});
    let whole = json!({"limits": {"cpu": "2", "memory": "64Mi"}});
    vec![
        of(json!({})),
        of(whole.clone()),
        of(json!({"limits": {"cpu": "1", "memory": "64Mi"}, "requests": {"cpu": "1000m", "memory": "65536Ki"}})),
        of(json!({"limits": {"cpu": "1", "memory": "64Mi"}, "requests": {"cpu": "999m"}})),
        of(json!({"limits": {"cpu": "1", "memory": "64Mi"}, "requests": {"cpu": "0"}})),
        of(json!({"limits": {"cpu": "0", "memory": "64Mi"}})),
        of(json!({"limits": {"cpu": "1"}})),
        of(json!({"requests": {"cpu": "1", "memory": "64Mi"}})),
        of(
            json!({"limits": {"cpu": "1", "memory": "64Mi", "ephemeral-storage": "1Gi"}, "requests": {"ephemeral-storage": "1Mi"}}),
        ),
        json!({"containers": [container(whole.clone())], "initContainers": [{"name": "init", "image": "init:1"}]}),
        json!({"containers": [container(whole.clone())],
               "initContainers": [{"name": "init", "image": "init:1", "resources": whole}]}),
        json!({"containers": [container(json!({}))], "resources": whole}),
        json!({"containers": [container(json!({}))], "resources": {"limits": {"cpu": "2"}}}),
        json!({"containers": [container(whole.clone())], "resources": {"requests": {"cpu": "4", "memory": "1Gi"}}}),
    ]
}

/// What templates bring, by their names.
fn specs() -> Vec<(&'static str, Value)> {
    let sidecar = |resources: Value| {
        let sidecar = json!({"name": "side", "image": "side:1", "restartPolicy": "Always", "resources": resources});
        json!({"pod": {"spec": {"initContainers": [sidecar]}}})
    };
    let (small, whole) = (json!({"cpu": "50m", "memory": "16Mi"}), json!({"cpu": "2", "memory": "64Mi"}));
    vec![
        ("nothing", sidecar(json!({}))),
        ("requests", sidecar(json!({"requests": small}))),
        ("limits", sidecar(json!({"limits": small}))),
        ("equal", sidecar(json!({"requests": {"cpu": "0.05", "memory": "16384Ki"}, "limits": small}))),
        ("below", sidecar(json!({"requests": {"memory": "8Mi"}, "limits": small}))),
        ("memory-alone", sidecar(json!({"limits": {"memory": "16Mi"}}))),
        ("none-at-all", sidecar(json!({"limits": {"cpu": "0", "memory": "16Mi"}}))),
        ("regular", json!({"pod": {"spec": {"containers": [{"name": "side", "image": "side:1"}]}}})),
        ("ends", json!({"pod": {"spec": {"initContainers": [{"name": "side", "image": "side:1"}]}}})),
        ("no-container", json!({"pod": {"metadata": {"labels": {"a": "b"}}}})),
        (
            "fills-in",
            json!({"app": [{"containers": ["*"], "resources": {"requests": {"cpu": "1m", "memory": "1Mi"}}}]}),
        ),
        (
            "raises",
            json!({"app": [{"containers": ["*"], "override": true, "resources": {"limits": {"memory": "1Gi"}}}]}),
        ),
        ("of-the-pod", json!({"pod": {"spec": {"resources": {"limits": whole}}}})),
        ("cpu-of-the-pod", json!({"pod": {"spec": {"resources": {"limits": {"cpu": "2"}}}}})),
    ]
}

#[test]
fn a_pod_that_injection_makes_burstable_is_warned_of_and_no_other() {
    let templates = specs();
    let setup = templates
        .iter()
        .fold(Setup::new(), |setup, (name, spec)| setup.template(&format!("{name}.yaml"), &template(name, spec)));
    let Some((_pillion, here)) = injected_by(setup, "made-burstable") else { return };
    let class_of = |spec: &Value, templates: &str| {
        let mut web = pod("web", templates);
        web["spec"] = spec.clone();
        let answer = here.create("v1", "pods?dryRun=All", &web);
        let class = (answer.status == 201).then(|| answer.json()["status"]["qosClass"].take());
        (class.and_then(|class| Some(class.as_str()?.to_owned())), answer.warnings().join(" "))
    };

    let (mut lost, mut kept) = (0, 0);
    for spec in pods() {
        let (before, _) = class_of(&spec, "");
        let before = before.expect("the pod itself is right");
        for (name, _) in &templates {
            // With some the containers would have more than the pod.
            let (Some(after), warnings) = class_of(&spec, name) else { continue };
            let is_lost = before == "Guaranteed" && after != before;
            let is_warned_of = warnings.contains("this pod was Guaranteed and is Burstable now");
            assert_eq!(is_warned_of, is_lost, "{name} makes {before} {after} of {spec}: {warnings}");
            assert!(!is_lost || after == "Burstable", "{name} makes {before} {after} of {spec}");
            lost += usize::from(is_lost);
            kept += usize::from(before == "Guaranteed" && !is_lost);
        }
    }
    assert!(lost > 20 && kept > 20, "{lost} lost it and {kept} kept it");
}

#[test]
fn a_default_limit_below_a_sidecars_request_refuses_its_pod_until_it_gets_a_limit() {
    let Some((_pillion, here)) = injected_by(Setup::new().cookbook("envoy"), "default-limit") else { return };
    let limits = json!({"type": "Container", "default": {"cpu": "50m"}});
    let made = here.create("v1", "limitranges", &json!({"metadata": {"name": "a"}, "spec": {"limits": [limits]}}));
    assert_eq!(made.status, 201, "{}", made.text());
    let mut web = pod("web", "envoy");
    web["metadata"]["annotations"]["envoy.pillion.dev/upstreamHost"] = json!("catalog.shop.svc");

    let refused = here.create("v1", "pods", &web);
    assert_eq!(refused.status, 422, "{}", refused.text());
    let says = "spec.initContainers[0].resources.requests: Invalid value: \"100m\": must be less than or equal to cpu limit of 50m";
    assert!(refused.text().replace('\\', "").contains(says), "{}", refused.text());

    web["metadata"]["annotations"]["envoy.pillion.dev/cpuLimit"] = json!("1");
    let created = here.create_pod(&web);
    assert_eq!(created["spec"]["initContainers"][0]["resources"]["limits"]["cpu"], "1");
}

#[test]
fn a_quota_on_limits_refuses_pods_whose_sidecar_has_none() {
    let Some((_pillion, here)) = injected_by(Setup::new().cookbook("envoy"), "quota-on-limits") else { return };
    let hard = json!({"limits.cpu": "10", "limits.memory": "10Gi"});
    let made = here.create("v1", "resourcequotas", &json!({"metadata": {"name": "a"}, "spec": {"hard": hard}}));
    assert_eq!(made.status, 201, "{}", made.text());
    // As the controller would write it that counts what is used.
    let status = json!({"status": {"hard": hard, "used": {"limits.cpu": "0", "limits.memory": "0"}}});
    let counted = here.merge("v1", "resourcequotas/a/status", &status);
    assert_eq!(counted.status, 200, "{}", counted.text());
    let mut web = pod("web", "envoy");
    web["metadata"]["annotations"]["envoy.pillion.dev/upstreamHost"] = json!("catalog.shop.svc");
    web["spec"]["containers"][0]["resources"] = json!({"limits": {"cpu": "1", "memory": "64Mi"}});

    let refused = here.create("v1", "pods", &web);
    assert_eq!(refused.status, 403, "{}", refused.text());
    assert!(refused.text().contains("must specify limits.cpu for: envoy"), "{}", refused.text());

    web["metadata"]["annotations"]["envoy.pillion.dev/cpuLimit"] = json!("1");
    here.create_pod(&web);
}

#[test]
fn volumes_that_may_be_lost_are_named_for_the_cluster_autoscaler() {
    let Some((_pillion, here)) = injected_by(Setup::new().cookbook("fluent-bit"), "safe-to-evict") else { return };
    let created = here.create_pod(&pod("web", "fluent-bit"));

    let named = &created["metadata"]["annotations"]["cluster-autoscaler.kubernetes.io/safe-to-evict-local-volumes"];
    assert_eq!(named, "app-logs,fluent-bit-state");
    // Source: kubernetes/autoscaler cluster-autoscaler/utils/drain, isLocalVolume.
    let is_local = |volume: &&Value| {
        !volume["hostPath"].is_null() || !volume["emptyDir"].is_null() && volume["emptyDir"]["medium"] != "Memory"
    };
    let local = created["spec"]["volumes"].as_array().expect("a list").iter().filter(is_local);
    let local: Vec<_> = local.filter_map(|volume| volume["name"].as_str()).collect();
    assert_eq!(named, &local.join(","), "none of them keeps a node");
}
