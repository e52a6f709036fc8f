//! What native sidecars promise, shown by real containers that Pillion injected.

use serde_json::Value;

use super::{manifest, pillion};
use crate::harness::cookbook::recipe;
use crate::harness::node::{condition, container, followed, node, until};
use crate::harness::proven::proven;

#[test]
#[ignore = "needs a node: make e2e"]
fn a_sidecar_is_up_before_the_apps_first_init_container_or_after_it_as_placement_says() {
    let _pillion = pillion();
    let here = node().namespace("placement");
    here.apply(&manifest("placement"));
    here.ended("web");

    let said = |container: &str, text: &str| here.said("web", container, text);
    let order =
        [said("early", "up"), said("own", "up"), said("own", "late does not"), said("late", "up"), said("app", "up")];
    assert!(order.is_sorted(), "{order:?}");
    said("own", "early answers");
    said("app", "early answers");
    said("app", "late answers");
}

#[test]
#[ignore = "needs a node: make e2e"]
fn sidecars_outlive_the_app_and_stop_in_reverse_order_and_the_job_ends_as_its_app_did() {
    let _pillion = pillion();
    let here = node().namespace("order");
    here.apply(&manifest("order"));

    let [works, fails] = [("works", "Complete"), ("fails", "Failed")].map(|(job, ends)| here.job(job, ends));
    let said = |container: &str, text: &str| here.said(&works, container, text);
    let begun = [said("a", "up"), said("b", "up"), said("c", "up"), said("app", "up")];
    assert!(begun.is_sorted(), "{begun:?}");
    let ended =
        [("app", "gone"), ("c", "stops"), ("c", "gone"), ("b", "stops"), ("b", "gone"), ("a", "stops"), ("a", "gone")];
    let order = ended.map(|(container, text)| said(container, text));
    assert!(order.is_sorted(), "{order:?}");
    for name in ["a", "b", "c"] {
        assert_eq!(container(&here.ended(&works), name)["state"]["terminated"]["exitCode"], 0, "{name}");
    }

    let pod = here.ended(&fails);
    assert_eq!(pod["status"]["phase"], "Failed");
    assert_eq!(container(&pod, "app")["state"]["terminated"]["exitCode"], 7);
    assert_eq!(container(&pod, "a")["state"]["terminated"]["exitCode"], 0);
}

#[test]
#[ignore = "needs a node: make e2e"]
fn the_sidecars_of_a_deleted_pod_stop_after_the_app_in_reverse_order() {
    let _pillion = pillion();
    let here = node().namespace("deleted");
    here.apply(&manifest("order"));
    here.ready("deleted");

    let [app, a, b, c] = ["app", "a", "b", "c"].map(|container| here.follow("deleted", container));
    followed(&app, "up");
    here.kubectl(&["delete", "pod", "deleted", "--wait=false"]);
    let ended = [
        (&app, "stops"),
        (&app, "gone"),
        (&c, "stops"),
        (&c, "gone"),
        (&b, "stops"),
        (&b, "gone"),
        (&a, "stops"),
        (&a, "gone"),
    ];
    let order = ended.map(|(container, text)| followed(container, text));
    assert!(order.is_sorted(), "{order:?}");
}

#[test]
#[ignore = "needs a node: make e2e"]
fn the_last_line_and_the_results_of_a_job_arrive_whether_it_works_or_fails() {
    let _pillion = pillion();
    let here = node().namespace("results");
    node().apply(&recipe("result-uploader").text);
    here.apply(&manifest("store"));
    let store = here.ready("store");
    let address = store["status"]["podIP"].as_str().expect("it runs");
    here.apply(&manifest("results").replace("STORE_IP", address));

    for (job, ends, report) in [("works", "Complete", "good"), ("fails", "Failed", "bad")] {
        let pod = here.job(job, ends);
        here.said("store", "sink", &format!("{pod} last of {job}"));
        let uploaded = here.exec("store", "files", &format!("cat /data/results/{pod}/report"));
        assert_eq!(uploaded.trim(), report);
    }
    proven("result-uploader", "rclone", &here.exec("store", "files", "rclone version"), "Debian 12");
}

/// How often a container was restarted.
fn restarts(pod: &Value, name: &str) -> u64 {
    container(pod, name)["restartCount"].as_u64().unwrap_or(0)
}

#[test]
#[ignore = "needs a node: make e2e"]
fn a_sidecar_that_crashes_or_hangs_is_restarted_alone() {
    let _pillion = pillion();
    let here = node().namespace("restarts");
    here.apply(&manifest("probes"));

    for (pod, sidecar) in [("crash", "crashes"), ("hung", "hangs")] {
        let before = here.pod(pod, "to run its app", |pod| {
            container(pod, "app")["state"]["running"].is_object().then(|| pod.clone())
        });
        let after = here.pod(pod, "to restart its sidecar", |pod| (restarts(pod, sidecar) >= 1).then(|| pod.clone()));
        assert_eq!(restarts(&after, "app"), 0, "{after}");
        assert_eq!(container(&after, "app")["containerID"], container(&before, "app")["containerID"]);
        assert_eq!(after["status"]["phase"], "Running");
    }
    let crash = here.namespace.get("v1", "pods/crash").json();
    assert_eq!(container(&crash, "crashes")["lastState"]["terminated"]["exitCode"], 3);
    until("an event of the liveness probe", || {
        let events = here.events("hung");
        events
            .iter()
            .any(|event| event.starts_with("Killing: Init container hangs failed liveness probe"))
            .then_some(())
    });
}

#[test]
#[ignore = "needs a node: make e2e"]
fn readiness_of_a_sidecar_holds_back_the_pod_and_injected_probes_work_on_the_app() {
    let _pillion = pillion();
    let here = node().namespace("probes");
    here.apply(&manifest("probes"));

    here.pod("held", "to wait for its sidecar alone", |pod| {
        let ready = |name| container(pod, name)["ready"] == true;
        (ready("app") && !ready("late") && condition(pod, "Ready") == Some("False")).then_some(())
    });
    here.ready("held");

    here.ready("probed");
    let ready = here.said("probed", "app", "ready");
    let probed = here.namespace.get("v1", "pods/probed").json();
    let conditions = probed["status"]["conditions"].as_array().expect("it has conditions");
    let since = conditions.iter().find(|condition| condition["type"] == "Ready").expect("it is ready");
    // In whole seconds.
    assert!(since["lastTransitionTime"].as_str().expect("a time")[..19] >= ready[..19], "{since} {ready}");
    assert_eq!(restarts(&probed, "app"), 0);

    here.pod("misprobed", "to be restarted", |pod| (restarts(pod, "app") >= 1).then_some(()));
    until("an event of its liveness probe", || {
        here.events("misprobed").iter().any(|event| event.contains("Liveness probe failed")).then_some(())
    });
}

#[test]
#[ignore = "needs a node: make e2e"]
fn a_volume_a_socket_processes_and_the_end_of_the_pod_are_shared() {
    let _pillion = pillion();
    let here = node().namespace("sharing");
    here.apply(&manifest("sharing"));
    let pod = here.ready("web");
    assert_eq!(pod["spec"]["terminationGracePeriodSeconds"], 30);

    for text in ["of the sidecar", "over the socket", "hung up"] {
        here.said("web", "app", text);
    }
    let app = here.follow("web", "app");
    followed(&app, "of the sidecar");
    here.kubectl(&["delete", "pod", "web", "--wait=false"]);
    // The pod's own grace period of two seconds would not do.
    let order = ["before it stops", "stops", "gone"].map(|text| followed(&app, text));
    assert!(order.is_sorted(), "{order:?}");
}

#[test]
#[ignore = "needs a node: make e2e"]
fn a_sidecar_calls_the_api_server_with_the_pods_account_unless_its_template_has_no_token() {
    let _pillion = pillion();
    let here = node().namespace("token");
    here.apply(&manifest("token"));
    here.ready("web");

    here.said("web", "asks", &format!("system:serviceaccount:{}:default", here.name));
    here.said("web", "stays-out", "no token");
}
