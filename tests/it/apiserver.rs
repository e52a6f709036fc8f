//! Pods that go through a real API server, each test in a namespace of its own.
//!
//! Every test also asks the API server what it thinks of the webhook: no call may have gone wrong that was not meant to.

use serde_json::{Value, json};

use crate::harness::namespace::{Calls, Namespace, Webhook};
use crate::harness::neighbour::{self, Neighbour};
use crate::harness::pillion::{LOG_SHIPPER, Pillion, Setup, names, pod};

const COOKBOOK: [&str; 3] = ["fluent-bit", "otel-collector", "envoy"];

impl Pillion {
    /// This server as the API server is told of it.
    fn webhook<'a>(&'a self, url: &'a str, authority: &'a str, failure_policy: &'a str) -> Webhook<'a> {
        Webhook { name: "pillion", url, authority, failure_policy }
    }
}

/// A namespace that sends its pods to `pillion`.
#[track_caller]
fn namespace_of(pillion: &Pillion, name: &str, failure_policy: &str) -> Option<Namespace> {
    let here = Namespace::opted_in(name)?;
    here.call(&[pillion.webhook(&pillion.url(), &pillion.authority.pem(), failure_policy)]);
    Some(here)
}

fn calls(allowed: u32) -> Calls {
    Calls { allowed: allowed.into(), denied: 0.0, failed: 0.0, failed_open: 0.0 }
}

fn mounts(container: &Value) -> Vec<&str> {
    let mounts = container["volumeMounts"].as_array().into_iter().flatten();
    mounts.map(|mount| mount["mountPath"].as_str().expect("a mount has a path")).collect()
}

const TOKEN: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

#[test]
fn a_pod_gets_its_native_sidecar_with_probe_volume_and_mounts() {
    let pillion = Pillion::start();
    let Some(here) = namespace_of(&pillion, "gets-its-sidecar", "Fail") else { return };

    let created = here.create_pod(&pod("web", "log-shipper"));

    let sidecar = &created["spec"]["initContainers"][0];
    assert_eq!(sidecar["name"], "log-shipper");
    assert_eq!(sidecar["restartPolicy"], "Always");
    assert_eq!(sidecar["startupProbe"]["httpGet"]["port"], 2020);
    let app = &created["spec"]["containers"][0];
    assert_eq!(mounts(app), [TOKEN, "/var/log/app"]);
    // With the mount of the token the API server has nothing to add, and does not call again.
    assert_eq!(mounts(sidecar), ["/var/log/app", TOKEN]);
    assert_eq!(sidecar["volumeMounts"][1], app["volumeMounts"][0]);
    assert_eq!(app["env"], json!([{"name": "LOG_DIR", "value": "/var/log/app"}]));
    assert!(names(&created, "volumes").contains(&"app-logs"));
    let annotations = &created["metadata"]["annotations"];
    assert_eq!(annotations["pillion.dev/outcome"], "log-shipper=injected");
    assert_eq!(pillion.requests(), 1.0);
    assert_eq!(here.calls("pillion"), calls(1));
}

#[test]
fn a_namespace_that_did_not_opt_in_is_left_alone() {
    let pillion = Pillion::start();
    let Some(here) = Namespace::new("did-not-opt-in", &[]) else { return };
    here.call(&[pillion.webhook(&pillion.url(), &pillion.authority.pem(), "Fail")]);

    let created = here.create_pod(&pod("web", "log-shipper"));

    assert_eq!(created["spec"].get("initContainers"), None);
    assert_eq!(pillion.requests(), 0.0);
    assert_eq!(here.calls("pillion"), calls(0));
}

#[test]
fn a_pod_that_opted_out_by_label_is_never_sent_to_us() {
    let pillion = Pillion::start();
    let Some(here) = namespace_of(&pillion, "opted-out-by-label", "Fail") else { return };
    let mut bare = pod("web", "log-shipper");
    bare["metadata"]["labels"] = json!({"pillion.dev/inject": "disabled"});

    let created = here.create_pod(&bare);

    assert_eq!(created["spec"].get("initContainers"), None);
    assert_eq!(pillion.requests(), 0.0);
    assert_eq!(here.calls("pillion"), calls(0));
}

#[test]
fn the_pods_of_a_deployment_are_injected() {
    let pillion = Pillion::start();
    let Some(here) = namespace_of(&pillion, "pods-of-a-deployment", "Fail") else { return };
    let mut template = pod("", "log-shipper");
    template["metadata"]["labels"] = json!({"app": "web"});

    let deployment = json!({
        "metadata": {"name": "web"},
        "spec": {"replicas": 1, "selector": {"matchLabels": {"app": "web"}}, "template": template}
    });
    let created = here.create("apps/v1", "deployments", &deployment);
    assert_eq!(created.status, 201, "{}", created.text());

    let made = here.pod_labelled("app=web");
    assert_eq!(names(&made, "initContainers"), ["log-shipper"]);
    let owner = made["metadata"]["ownerReferences"][0]["name"].as_str().expect("a ReplicaSet owns the pod");
    let decision = pillion.logged("owner", &format!("ReplicaSet/{owner}"));
    assert_eq!(decision["name"], format!("{owner}-"));
    assert_eq!(decision["namespace"], "pods-of-a-deployment");
    assert_eq!(here.calls("pillion"), calls(1));
}

#[test]
fn the_pods_of_a_job_are_injected() {
    let pillion = Pillion::start();
    let Some(here) = namespace_of(&pillion, "pods-of-a-job", "Fail") else { return };
    let mut template = pod("", "log-shipper");
    template["metadata"]["labels"] = json!({"app": "batch"});
    template["spec"]["restartPolicy"] = json!("Never");

    let job = json!({"metadata": {"name": "batch"}, "spec": {"template": template}});
    let created = here.create("batch/v1", "jobs", &job);
    assert_eq!(created.status, 201, "{}", created.text());

    let made = here.pod_labelled("app=batch");
    assert_eq!(names(&made, "initContainers"), ["log-shipper"]);
    assert_eq!(pillion.logged("owner", "Job/batch")["outcome"], "injected");
    assert_eq!(here.calls("pillion"), calls(1));
}

#[test]
fn a_dry_run_gives_the_same_pod_and_stores_nothing() {
    let pillion = Pillion::start();
    let Some(here) = namespace_of(&pillion, "dry-run", "Fail") else { return };
    let mut web = pod("web", "log-shipper");
    // Else the API server makes up a name for the token's volume each time.
    web["spec"]["automountServiceAccountToken"] = json!(false);

    let answer = here.create("v1", "pods?dryRun=All", &web);
    assert_eq!(answer.status, 201, "{}", answer.text());
    let tried = answer.json();
    assert_eq!(here.get("v1", "pods/web").status, 404);
    let created = here.create_pod(&web);

    assert_eq!(names(&tried, "initContainers"), ["log-shipper"]);
    assert_eq!(tried["spec"], created["spec"]);
    assert_eq!(tried["metadata"]["annotations"], created["metadata"]["annotations"]);
    assert_eq!(here.calls("pillion"), calls(2));
}

#[test]
fn nothing_is_injected_twice_when_a_webhook_after_us_changes_the_pod() {
    let pillion = Pillion::start();
    let neighbour = Neighbour::start();
    let Some(here) = Namespace::opted_in("webhook-after-us") else { return };
    here.call(&[
        pillion.webhook(&pillion.url(), &pillion.authority.pem(), "Fail"),
        Webhook {
            name: "neighbour",
            url: &neighbour.url(),
            authority: &neighbour.authority().pem(),
            failure_policy: "Fail",
        },
    ]);

    let created = here.create_pod(&pod("web", "log-shipper"));

    assert_eq!(names(&created, "initContainers"), ["log-shipper"]);
    assert_eq!(names(&created, "containers"), ["app", neighbour::ADDED]);
    let volumes = names(&created, "volumes");
    assert_eq!(volumes.iter().filter(|name| **name == "app-logs").count(), 1, "{volumes:?}");
    // What came after us has got its share too.
    for container in created["spec"]["containers"].as_array().expect("a list") {
        assert_eq!(container["env"], json!([{"name": "LOG_DIR", "value": "/var/log/app"}]));
        assert_eq!(mounts(container).iter().filter(|path| **path == "/var/log/app").count(), 1, "{container}");
    }
    assert_eq!(here.calls("pillion"), calls(2));
    assert_eq!(here.calls("neighbour"), calls(2));
}

#[test]
fn a_pod_that_was_copied_from_the_cluster_gets_nothing_twice() {
    let pillion = Pillion::start();
    let Some(here) = namespace_of(&pillion, "copied-pod", "Fail") else { return };
    let first = here.create_pod(&pod("web", "log-shipper"));
    let mut copy = first.clone();
    copy["metadata"] = json!({"name": "copy", "annotations": first["metadata"]["annotations"]});

    let second = here.create_pod(&copy);

    assert_eq!(second["spec"], first["spec"]);
    assert_eq!(second["metadata"]["annotations"], first["metadata"]["annotations"]);
    assert_eq!(here.calls("pillion"), calls(2));
}

#[test]
fn a_limit_range_that_fills_in_defaults_makes_the_api_server_call_again() {
    let pillion = Pillion::start();
    let Some(here) = namespace_of(&pillion, "limit-range", "Fail") else { return };
    here.limit_containers();

    let created = here.create_pod(&pod("web", "log-shipper"));

    let sidecar = &created["spec"]["initContainers"][0];
    assert_eq!(sidecar["resources"]["limits"]["cpu"], "1");
    assert_eq!(mounts(sidecar), ["/var/log/app", TOKEN]);
    assert_eq!(here.calls("pillion"), calls(2));
}

#[test]
fn no_sidecar_gets_a_token_that_the_service_account_does_not_give() {
    let pillion = Pillion::start();
    let Some(here) = namespace_of(&pillion, "no-automount", "Fail") else { return };
    let account = json!({"metadata": {"name": "quiet"}, "automountServiceAccountToken": false});
    let created = here.create("v1", "serviceaccounts", &account);
    assert_eq!(created.status, 201, "{}", created.text());
    let mut quiet = pod("quiet", "log-shipper");
    quiet["spec"]["serviceAccountName"] = json!("quiet");
    // By hand, at the very place.
    let mut by_hand = quiet.clone();
    by_hand["metadata"]["name"] = json!("by-hand");
    by_hand["spec"]["volumes"] =
        json!([{"name": "token", "projected": {"sources": [{"serviceAccountToken": {"path": "token"}}]}}]);
    by_hand["spec"]["containers"][0]["volumeMounts"] = json!([{"name": "token", "mountPath": TOKEN}]);

    for pod in [quiet, by_hand] {
        let created = here.create_pod(&pod);
        assert_eq!(mounts(&created["spec"]["initContainers"][0]), ["/var/log/app"], "{pod}");
    }

    assert_eq!(here.calls("pillion"), calls(2));
}

#[test]
fn what_covers_the_token_is_one_volume_and_leaves_nothing_to_add() {
    let pillion = Setup::new().cookbook("fluent-bit").cookbook("nginx-exporter").start();
    let Some(here) = namespace_of(&pillion, "covered-token", "Fail") else { return };

    let created = here.create_pod(&pod("web", "fluent-bit,nginx-exporter"));

    for sidecar in created["spec"]["initContainers"].as_array().expect("a list") {
        let covers = sidecar["volumeMounts"].as_array().into_iter().flatten().find(|it| it["mountPath"] == TOKEN);
        assert_eq!(covers.expect("a mount")["name"], "pillion-no-token", "{sidecar}");
    }
    assert_eq!(names(&created, "volumes").iter().filter(|name| **name == "pillion-no-token").count(), 1);
    assert_eq!(here.calls("pillion"), calls(1));
}

#[test]
fn what_a_template_does_not_name_stays_as_the_api_server_would_have_it() {
    let pillion = COOKBOOK.into_iter().fold(Setup::new(), Setup::cookbook).start();
    let Some(here) = namespace_of(&pillion, "stays-as-it-was", "Fail") else { return };
    let review: Value =
        serde_json::from_slice(include_bytes!("../fixtures/reviews/large.json")).expect("the fixture is JSON");
    let mut large = review["request"]["object"].clone();
    // What only a controller can say, or the namespace of the fixture.
    large["metadata"] = json!({"name": "large", "labels": large["metadata"]["labels"]});
    let bare = here.create("v1", "pods?dryRun=All", &large);
    assert_eq!(bare.status, 201, "{}", bare.text());
    large["metadata"]["annotations"] =
        json!({"pillion.dev/templates": COOKBOOK.join(","), "envoy.pillion.dev/upstreamHost": "catalog.shop.svc"});

    let injected = here.create("v1", "pods?dryRun=All", &large);

    assert_eq!(injected.status, 201, "{}", injected.text());
    let (bare, injected) = (bare.json(), injected.json());
    assert_eq!(names(&injected, "initContainers"), COOKBOOK);
    assert_eq!(names(&injected, "containers"), names(&bare, "containers"));
    assert!(holds(&injected["spec"], &bare["spec"]), "before: {}\nafter: {}", bare["spec"], injected["spec"]);
}

/// Whether `whole` is `part` and more: more fields, and more items at any place of a list.
fn holds(whole: &Value, part: &Value) -> bool {
    match (whole, part) {
        (Value::Object(whole), Value::Object(part)) => {
            part.iter().all(|(key, value)| whole.get(key).is_some_and(|found| holds(found, value)))
        }
        (Value::Array(whole), Value::Array(part)) => {
            let mut rest = whole.iter();
            part.iter().all(|item| rest.any(|found| holds(found, item)))
        }
        _ => whole == part,
    }
}

#[test]
fn the_cookbook_is_admitted_where_the_restricted_level_is_enforced() {
    let pillion = COOKBOOK.into_iter().fold(Setup::new(), Setup::cookbook).start();
    let restricted = [("pillion.dev/inject", "enabled"), ("pod-security.kubernetes.io/enforce", "restricted")];
    let Some(here) = Namespace::new("restricted", &restricted) else { return };
    here.call(&[pillion.webhook(&pillion.url(), &pillion.authority.pem(), "Fail")]);

    for templates in [COOKBOOK.to_vec(), vec!["fluent-bit"], vec!["otel-collector"], vec!["envoy"]] {
        let mut web = pod(&templates.join("-and-"), &templates.join(","));
        if templates.contains(&"envoy") {
            web["metadata"]["annotations"]["envoy.pillion.dev/upstreamHost"] = json!("catalog.shop.svc");
        }
        web["spec"]["securityContext"] = json!({"runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}});
        web["spec"]["containers"][0]["securityContext"] =
            json!({"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}});
        let created = here.create_pod(&web);
        assert_eq!(names(&created, "initContainers"), templates);
        for sidecar in created["spec"]["initContainers"].as_array().expect("a list") {
            assert_eq!(sidecar["restartPolicy"], "Always");
            for probe in ["startupProbe", "readinessProbe", "livenessProbe"] {
                assert!(sidecar[probe].is_object(), "{probe} of {sidecar}");
            }
        }
    }
    let refused = here.create("v1", "pods", &pod("not-restricted", "fluent-bit"));
    assert_eq!(refused.status, 403, "the level is enforced: {}", refused.text());
    assert!(!refused.text().contains("fluent-bit"), "only the app breaks it: {}", refused.text());
    let Calls { denied, failed, failed_open, .. } = here.calls("pillion");
    assert_eq!((denied, failed, failed_open), (0.0, 0.0, 0.0));
}

/// A pod that cannot get what it asks for, and what the message must say: what, where, and the fix.
struct Hopeless {
    pod: Value,
    says: &'static [&'static str],
}

fn hopeless() -> [Hopeless; 4] {
    let mut wrong_parameter = pod("wrong-parameter", "log-shipper");
    wrong_parameter["metadata"]["annotations"]["log-shipper.pillion.dev/logDir"] = json!("var/log");
    let mut unknown_parameter = pod("unknown-parameter", "log-shipper");
    unknown_parameter["metadata"]["annotations"]["log-shipper.pillion.dev/logDri"] = json!("/var/log");
    let mut clash = pod("clash", "log-shipper");
    clash["spec"]["containers"][0]["name"] = json!("log-shipper");
    [
        Hopeless { pod: wrong_parameter, says: &["log-shipper.pillion.dev/logDir", "var/log", "^/"] },
        Hopeless { pod: unknown_parameter, says: &["log-shipper.pillion.dev/logDri", "logDir"] },
        Hopeless {
            pod: pod("unknown-template", "log-shiper"),
            says: &["log-shiper", "log-shipper", "pillion.dev/templates"],
        },
        Hopeless { pod: clash, says: &["container", "log-shipper", "rename"] },
    ]
}

#[test]
fn a_pod_that_cannot_get_what_it_asks_for_is_refused_with_the_fix() {
    let pillion = Pillion::start();
    let Some(here) = namespace_of(&pillion, "refused-with-the-fix", "Ignore") else { return };

    for Hopeless { pod, says } in hopeless() {
        let refused = here.create("v1", "pods", &pod);
        assert_eq!(refused.status, 403, "{}", refused.text());
        let message = refused.json()["message"].take();
        let message = message.as_str().expect("a Status has a message");
        assert!(message.starts_with("admission webhook"), "{message}");
        assert!(message.contains("docs/reasons.md#"), "it says where more is written: {message}");
        for word in says {
            assert!(message.contains(word), "{word:?} is missing: {message}");
        }
    }
    assert_eq!(here.calls("pillion"), Calls { denied: 4.0, ..calls(0) });
}

#[test]
fn a_pod_whose_json_is_larger_than_is_taken_is_refused_whatever_the_failure_policy() {
    let pillion = Pillion::start();
    let Some(here) = namespace_of(&pillion, "larger-than-is-taken", "Ignore") else { return };
    // An API server writes each as six bytes.
    let mut large = pod("web", "log-shipper");
    large["spec"]["containers"][0]["args"] = json!(["<".repeat(800_000)]);

    let refused = here.create("v1", "pods", &large);

    assert_eq!(refused.status, 403, "{}", refused.text());
    assert!(
        refused.text().contains("the review of this pod has more than 4194304 bytes as JSON"),
        "{}",
        refused.text()
    );
    assert_eq!(here.calls("pillion"), Calls { denied: 1.0, ..calls(0) });
}

#[test]
fn under_the_policy_skip_such_a_pod_is_created_bare_with_a_warning() {
    let pillion = Setup::new().template("log-shipper.yaml", LOG_SHIPPER).flags(["--on-error", "skip"]).start();
    let Some(here) = namespace_of(&pillion, "created-bare", "Fail") else { return };

    for Hopeless { pod, says } in hopeless() {
        let created = here.create("v1", "pods", &pod);
        assert_eq!(created.status, 201, "{}", created.text());
        assert_eq!(created.json()["spec"].get("initContainers"), None);
        let warnings = created.warnings().join("\n");
        assert!(warnings.contains(says[0]), "{:?} is missing in {warnings:?}", says[0]);
    }
    let Calls { denied, failed, failed_open, .. } = here.calls("pillion");
    assert_eq!((denied, failed, failed_open), (0.0, 0.0, 0.0));
}

#[test]
fn without_us_the_failure_policy_ignore_creates_a_bare_pod() {
    let pillion = Pillion::start();
    let Some(here) = namespace_of(&pillion, "stopped-and-ignored", "Ignore") else { return };
    pillion.stop();

    let created = here.create_pod(&pod("web", "log-shipper"));

    assert_eq!(created["spec"].get("initContainers"), None);
    // Only the first round counts: nothing changed the pod, so there is no second.
    assert_eq!(here.calls("pillion"), Calls { failed_open: 1.0, ..calls(0) });
}

#[test]
fn without_us_the_failure_policy_fail_refuses_the_pod() {
    let pillion = Pillion::start();
    let Some(here) = namespace_of(&pillion, "stopped-and-failed", "Fail") else { return };
    pillion.stop();

    let refused = here.create("v1", "pods", &pod("web", "log-shipper"));

    assert_eq!(refused.status, 500, "{}", refused.text());
    assert!(refused.text().contains("failed calling webhook"), "{}", refused.text());
    assert_eq!(here.calls("pillion"), Calls { failed: 1.0, ..calls(0) });
}
