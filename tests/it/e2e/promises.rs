//! What native sidecars promise, shown by real containers that Pillion injected.

use serde_json::Value;

use super::cookbook::{address, ends_by_itself, restricted_namespace};
use super::{manifest, shared_release};
use crate::harness::node::{condition, container, followed, node, until};
use crate::harness::proven::proven;

#[test]
#[ignore = "needs a node: make e2e"]
fn a_sidecar_is_up_before_the_apps_first_init_container_or_after_it_as_placement_says() {
    let _release = shared_release();
    let namespace = node().namespace("placement");
    namespace.apply(&manifest("placement"));
    namespace.ended("web");

    let said = |container: &str, text: &str| namespace.logged("web", container, text);
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
    let _release = shared_release();
    let namespace = node().namespace("order");
    namespace.apply(&manifest("order"));

    let [works, fails] = [("works", "Complete"), ("fails", "Failed")].map(|(job, ends)| namespace.job(job, ends));
    let said = |container: &str, text: &str| namespace.logged(&works, container, text);
    let begun = [said("a", "up"), said("b", "up"), said("c", "up"), said("app", "up")];
    assert!(begun.is_sorted(), "{begun:?}");
    let ended =
        [("app", "gone"), ("c", "stops"), ("c", "gone"), ("b", "stops"), ("b", "gone"), ("a", "stops"), ("a", "gone")];
    let order = ended.map(|(container, text)| said(container, text));
    assert!(order.is_sorted(), "{order:?}");
    for name in ["a", "b", "c"] {
        assert_eq!(container(&namespace.ended(&works), name)["state"]["terminated"]["exitCode"], 0, "{name}");
    }

    let pod = namespace.ended(&fails);
    assert_eq!(pod["status"]["phase"], "Failed");
    assert_eq!(container(&pod, "app")["state"]["terminated"]["exitCode"], 7);
    assert_eq!(container(&pod, "a")["state"]["terminated"]["exitCode"], 0);
}

#[test]
#[ignore = "needs a node: make e2e"]
fn the_sidecars_of_a_deleted_pod_stop_after_the_app_in_reverse_order() {
    let _release = shared_release();
    let namespace = node().namespace("deleted");
    namespace.apply(&manifest("order"));
    namespace.ready("deleted");

    let [app, a, b, c] = ["app", "a", "b", "c"].map(|container| namespace.follow("deleted", container));
    followed(&app, "up");
    namespace.kubectl(&["delete", "pod", "deleted", "--wait=false"]);
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
    let _release = shared_release();
    let namespace = restricted_namespace(&["result-uploader"]);
    let stores = node().namespace("results-store");
    stores.apply(&manifest("store"));
    namespace.apply(&manifest("results").replace("STORE_IP", &address(&stores.ready("store"))));

    for (job, ends, report) in [("works", "Complete", "good"), ("fails", "Failed", "bad")] {
        let pod = namespace.job(job, ends);
        stores.logged("store", "sink", &format!("{pod} last of {job}"));
        for sidecar in ["collector", "result-uploader"] {
            let ended = namespace.ended(&pod);
            assert_eq!(container(&ended, sidecar)["state"]["terminated"]["exitCode"], 0, "{sidecar} of {job}");
        }
        let uploaded = stores.exec("store", "files", &format!("cat /data/results/{pod}/report"));
        assert_eq!(uploaded.trim(), report);
    }
    stores.logged("store", "sink", "deleted first");
    ends_by_itself(&namespace, "deleted");
    stores.logged("store", "sink", "deleted last of deleted");
    proven("result-uploader", "rclone", &stores.exec("store", "files", "rclone version"), "Debian 12");
}

/// How often a container was restarted.
fn restarts(pod: &Value, name: &str) -> u64 {
    container(pod, name)["restartCount"].as_u64().unwrap_or(0)
}

#[test]
#[ignore = "needs a node: make e2e"]
fn a_sidecar_that_crashes_or_hangs_is_restarted_alone() {
    let _release = shared_release();
    let namespace = node().namespace("restarts");
    namespace.apply(&manifest("probes"));

    for (pod, sidecar) in [("crash", "crashes"), ("hung", "hangs")] {
        let before = namespace.pod(pod, "to run its app", |pod| {
            container(pod, "app")["state"]["running"].is_object().then(|| pod.clone())
        });
        let after = namespace.pod(pod, "to restart its sidecar", |pod| {
            (restarts(pod, sidecar) > restarts(&before, sidecar)).then(|| pod.clone())
        });
        assert_eq!(restarts(&after, "app"), 0, "{after}");
        assert_eq!(container(&after, "app")["containerID"], container(&before, "app")["containerID"]);
        assert_eq!(after["status"]["phase"], "Running");
    }
    let crash = namespace.api.get("v1", "pods/crash").json();
    assert_eq!(container(&crash, "crashes")["lastState"]["terminated"]["exitCode"], 3);
    until("an event of the liveness probe", || {
        let events = namespace.events("hung");
        events
            .iter()
            .any(|event| event.starts_with("Killing: Init container hangs failed liveness probe"))
            .then_some(())
    });
}

#[test]
#[ignore = "needs a node: make e2e"]
fn readiness_of_a_sidecar_holds_back_the_pod_and_injected_probes_work_on_the_app() {
    let _release = shared_release();
    let namespace = node().namespace("probes");
    namespace.apply(&manifest("probes"));

    namespace.pod("held", "to wait for its sidecar alone", |pod| {
        let ready = |name| container(pod, name)["ready"] == true;
        (ready("app") && !ready("late") && condition(pod, "Ready") == Some("False")).then_some(())
    });
    namespace.exec("held", "late", "touch /tmp/ready");
    namespace.ready("held");

    namespace.ready("probed");
    let ready = namespace.logged("probed", "app", "ready");
    let probed = namespace.api.get("v1", "pods/probed").json();
    let conditions = probed["status"]["conditions"].as_array().expect("it has conditions");
    let since = conditions.iter().find(|condition| condition["type"] == "Ready").expect("it is ready");
    // In whole seconds.
    assert!(since["lastTransitionTime"].as_str().expect("a time")[..19] >= ready[..19], "{since} {ready}");
    assert_eq!(restarts(&probed, "app"), 0);

    namespace.pod("misprobed", "to be restarted", |pod| (restarts(pod, "app") >= 1).then_some(()));
    until("an event of its liveness probe", || {
        namespace.events("misprobed").iter().any(|event| event.contains("Liveness probe failed")).then_some(())
    });
}

#[test]
#[ignore = "needs a node: make e2e"]
fn a_volume_a_socket_processes_and_the_end_of_the_pod_are_shared() {
    let _release = shared_release();
    let namespace = node().namespace("sharing");
    namespace.apply(&manifest("sharing"));
    let pod = namespace.ready("web");
    assert_eq!(pod["spec"]["terminationGracePeriodSeconds"], 30);

    for text in ["of the sidecar", "over the socket", "hung up"] {
        namespace.logged("web", "app", text);
    }
    let app = namespace.follow("web", "app");
    followed(&app, "of the sidecar");
    namespace.kubectl(&["delete", "pod", "web", "--wait=false"]);
    // The pod's own grace period of two seconds would not do.
    let order = ["before it stops", "stops", "gone"].map(|text| followed(&app, text));
    assert!(order.is_sorted(), "{order:?}");
}

#[test]
#[ignore = "needs a node: make e2e"]
fn a_sidecar_calls_the_api_server_with_the_pods_account_unless_its_template_has_no_token() {
    let _release = shared_release();
    let namespace = node().namespace("token");
    namespace.apply(&manifest("token"));
    namespace.ready("web");

    namespace.logged("web", "asks", &format!("system:serviceaccount:{}:default", namespace.name()));
    namespace.logged("web", "stays-out", "no token");
}
