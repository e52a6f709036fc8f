//! Each kind of workload makes pods that are injected and run.

use super::{manifest, shared_release};
use crate::harness::node::{condition, container, node, until};
use crate::harness::pillion::names;

#[test]
#[ignore = "needs a node: make e2e"]
fn pods_of_every_kind_of_workload_are_injected_and_run() {
    let _release = shared_release();
    let namespace = node().namespace("workloads");
    namespace.apply(&manifest("workloads"));

    let nodes = node().api.get("/api/v1/nodes").json()["items"].as_array().map_or(0, Vec::len);
    for (kind, wanted) in [("pod", 1), ("deployment", 2), ("statefulset", 2), ("daemonset", nodes)] {
        let pods = until(&format!("{wanted} ready pods of the {kind}"), || {
            let mut pods = namespace.api.get("v1", &format!("pods?labelSelector=kind={kind}")).json();
            let pods = pods["items"].as_array_mut().map(std::mem::take)?;
            let ready = pods.iter().filter(|pod| condition(pod, "Ready") == Some("True")).count();
            (ready == wanted).then_some(pods)
        });
        for pod in pods {
            assert_eq!(names(&pod, "initContainers"), ["side"], "{pod}");
            assert!(container(&pod, "side")["state"]["running"].is_object(), "{pod}");
        }
    }
    for kind in ["job", "cronjob"] {
        let pod = namespace.ended(&namespace.pod_of(&format!("kind={kind}")));
        assert_eq!(pod["status"]["phase"], "Succeeded", "{pod}");
        assert_eq!(container(&pod, "side")["state"]["terminated"]["exitCode"], 0, "{pod}");
        let name = pod["metadata"]["labels"]["job-name"].as_str().expect("Jobs label their pods").to_owned();
        namespace.job(&name, "Complete");
    }
}
