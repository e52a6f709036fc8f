//! Events on the owners of pods: whoever runs `kubectl describe` on a workload reads what its controller was warned of.

use serde_json::{Value, json};

use crate::harness::cluster::Cluster;
use crate::harness::eventually;
use crate::harness::namespace::{Namespace, Webhook};
use crate::harness::pillion::{LOG_SHIPPER, Pillion, Setup, pod};

/// A server that watches the cluster, and a namespace that sends its pods to it.
fn watching(name: &str, flags: [&str; 2]) -> Option<(Pillion, Namespace)> {
    let cluster = Cluster::shared()?;
    cluster.apply(include_str!("../../charts/pillion/files/crds.yaml"));
    let setup = Setup::new().template("log-shipper.yaml", LOG_SHIPPER).flags(["--watch", "--identity", name]);
    let pillion = setup.flags(flags).environment([("KUBECONFIG", &cluster.admin())]).start();
    let here = cluster.namespace(name, &[("pillion.dev/inject", "enabled")]);
    let (url, authority) = (pillion.url(), pillion.authority.pem());
    here.call(&[Webhook { name: "pillion", url: &url, authority: &authority, failure_policy: "Fail" }]);
    Some((pillion, here))
}

const DENY: [&str; 2] = ["--on-error", "deny"];
const SKIP: [&str; 2] = ["--on-error", "skip"];

impl Namespace {
    /// The events here that Pillion wrote.
    #[track_caller]
    fn told(&self) -> Vec<Value> {
        let mut events = self.get("events.k8s.io/v1", "events").json();
        let events = events["items"].as_array_mut().expect("a list").iter_mut().map(Value::take);
        events.filter(|event| event["reportingController"] == "pillion.dev/pillion").collect()
    }

    /// The one event here, when there is one.
    #[track_caller]
    fn only_event(&self) -> Value {
        eventually("an event", || match &mut self.told()[..] {
            [] => None,
            [event] => Some(event.take()),
            events => panic!("{events:#?}"),
        })
    }

    #[track_caller]
    fn deploy(&self, replicas: u32, annotations: Value) {
        let template = json!({
            "metadata": {"labels": {"app": "web"}, "annotations": annotations},
            "spec": {"containers": [{"name": "app", "image": "registry.example.com/app:1"}]}
        });
        let deployment = json!({
            "metadata": {"name": "web"},
            "spec": {"replicas": replicas, "selector": {"matchLabels": {"app": "web"}}, "template": template}
        });
        let created = self.create("apps/v1", "deployments", &deployment);
        assert_eq!(created.status, 201, "{}", created.text());
    }
}

/// A pod that says a ReplicaSet of this name controls it.
fn owned(pod: Value, owner: &str) -> Value {
    let mut pod = pod;
    pod["metadata"]["ownerReferences"] = json!([{
        "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": owner, "uid": format!("uid-of-{owner}"), "controller": true
    }]);
    pod
}

/// A pod with a key of ours that means nothing.
fn stray(name: &str, key: &str) -> Value {
    let mut pod = pod(name, "log-shipper");
    pod["metadata"]["annotations"][key] = json!("x");
    pod
}

#[test]
fn a_stray_key_in_a_deployment_is_an_event_on_its_replica_set() {
    let Some((pillion, here)) = watching("told-of-a-stray-key", DENY) else { return };
    // Each pod is sent to us twice, and counts once.
    here.limit_containers();

    here.deploy(3, json!({"pillion.dev/templates": "log-shipper", "pillion.dev/templtes": "log-shipper"}));

    let event = here.only_event();
    let replica_set = here.get("apps/v1", "replicasets").json()["items"][0].take();
    assert_eq!(
        event["regarding"],
        json!({
            "apiVersion": "apps/v1", "kind": "ReplicaSet", "namespace": "told-of-a-stray-key",
            "name": replica_set["metadata"]["name"], "uid": replica_set["metadata"]["uid"]
        })
    );
    assert_eq!(
        (&event["type"], &event["reason"], &event["action"]),
        (&json!("Warning"), &json!("Injected"), &json!("Inject"))
    );
    assert_eq!(event["reportingInstance"], "told-of-a-stray-key");
    let note = "annotation pillion.dev/templtes means nothing to Pillion; did you mean pillion.dev/templates?";
    assert_eq!(event["note"], note);
    eventually("both calls of all pods", || (pillion.requests() == 6.0).then_some(()));
    eventually("all pods to be counted", || (here.only_event()["series"]["count"] == 3).then_some(()));

    let described =
        Cluster::shared().expect("it runs").kubectl(&["describe", "replicaset", "-n", "told-of-a-stray-key"], "");
    let described = described.succeeded();
    assert!(described.contains(note) && described.contains("x3 over"), "{described}");
}

#[test]
fn a_template_that_is_left_out_is_an_event_on_the_job() {
    let Some((pillion, here)) = watching("told-of-what-is-left-out", SKIP) else { return };
    let mut template = pod("", "log-shiper,log-shipper");
    template["spec"]["restartPolicy"] = json!("Never");

    let created =
        here.create("batch/v1", "jobs", &json!({"metadata": {"name": "batch"}, "spec": {"template": template}}));
    assert_eq!(created.status, 201, "{}", created.text());

    let event = here.only_event();
    let regarding = &event["regarding"];
    assert_eq!((&regarding["kind"], &regarding["name"]), (&json!("Job"), &json!("batch")));
    assert_eq!((&event["type"], &event["reason"]), (&json!("Warning"), &json!("UnknownTemplate")));
    let note = event["note"].as_str().expect("a note");
    assert!(note.starts_with("skipped: ") && note.ends_with("did you mean log-shipper?"), "{note}");
    assert_eq!(pillion.metric("pillion_events_total", &["result=\"sent\""]), 1.0);
}

#[test]
fn the_pods_of_one_owner_are_one_event_that_says_how_many() {
    let Some((pillion, here)) = watching("told-of-many", SKIP) else { return };

    here.deploy(50, json!({"pillion.dev/templates": "log-shiper"}));

    eventually("all pods to be counted", || (here.only_event()["series"]["count"] == 50).then_some(()));
    let sent = pillion.metric("pillion_events_total", &["result=\"sent\""]);
    assert!((1.0..10.0).contains(&sent), "the API server was called {sent} times");
}

#[test]
fn a_dry_run_a_pod_without_owner_and_a_refused_pod_are_no_events() {
    let Some((pillion, here)) = watching("told-of-nothing", DENY) else { return };

    let tried = here.create("v1", "pods?dryRun=All", &owned(stray("tried", "pillion.dev/tried"), "web"));
    assert_eq!(tried.status, 201, "{}", tried.text());
    assert!(tried.warnings().iter().any(|warning| warning.contains("pillion.dev/tried")), "{:?}", tried.warnings());
    here.create_pod(&stray("bare", "pillion.dev/bare"));
    let refused = here.create("v1", "pods", &owned(pod("refused", "log-shiper"), "web"));
    assert_eq!(refused.status, 403, "{}", refused.text());
    // What came before it would be told before it.
    here.create_pod(&owned(stray("told", "pillion.dev/told"), "web"));

    let event = here.only_event();
    assert!(event["note"].as_str().is_some_and(|note| note.contains("pillion.dev/told")), "{event}");
    assert_eq!(pillion.metric("pillion_events_total", &[]), 1.0);
}

#[test]
fn an_owner_of_which_there_is_too_much_to_tell_is_left_alone_for_a_while() {
    let Some((pillion, here)) = watching("told-too-much", DENY) else { return };

    for number in 0..30 {
        here.create_pod(&owned(stray(&format!("web-{number}"), &format!("pillion.dev/number-{number}")), "chatty"));
    }
    here.create_pod(&owned(stray("quiet-1", "pillion.dev/other"), "quiet"));

    eventually("the events", || (here.told().len() == 26).then_some(()));
    assert_eq!(pillion.metric("pillion_events_total", &["result=\"dropped\""]), 5.0);
    assert!(here.told().iter().any(|event| event["regarding"]["name"] == "quiet"));
}

#[test]
fn an_event_that_is_not_taken_costs_nothing_else() {
    let Some((pillion, here)) = watching("told-in-vain", DENY) else { return };

    // No object has such a name, so no event can.
    for number in 0..3 {
        here.create_pod(&owned(stray(&format!("web-{number}"), "pillion.dev/key"), "No_Name"));
    }
    pillion.logged("message", "cannot write an event");
    here.create_pod(&owned(stray("other-1", "pillion.dev/key"), "other"));

    assert_eq!(here.only_event()["regarding"]["name"], "other");
    assert_eq!(pillion.metric("pillion_events_total", &["result=\"failed\""]), 1.0);
    assert_eq!(pillion.log().iter().filter(|line| line.contains("cannot write an event")).count(), 1);
}
