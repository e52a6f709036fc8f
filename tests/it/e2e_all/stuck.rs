//! Sidecars that do not come up: the second table of the bad days in `docs/monitoring.md`.

use serde_json::{Value, json};

use crate::e2e::{manifest, name, shared_release};
use crate::harness::node::{TestNamespace, condition, node, until};

#[test]
#[ignore = "needs a node: make e2e-all"]
fn a_sidecar_that_does_not_come_up_holds_up_the_rollout_and_old_pods_go_on() {
    let _release = shared_release();
    let namespace = node().namespace("stuck");
    namespace.apply(&manifest("stuck"));
    let old = namespace.pod_of("app=web");
    namespace.ready(&old);

    // Templates, and what shows that their sidecar does not come up.
    type Shows = fn(&TestNamespace, &Value) -> bool;
    let stuck: [(&str, Shows); 4] = [
        ("never-ready", |_, pod| {
            let [side, app] = [&pod["status"]["initContainerStatuses"][0], &pod["status"]["containerStatuses"][0]];
            side["state"]["running"].is_object() && side["ready"] == false && app["ready"] == true
        }),
        ("no-image", |_, pod| {
            let waiting = &pod["status"]["initContainerStatuses"][0]["state"]["waiting"]["reason"];
            waiting == "ErrImagePull" || waiting == "ImagePullBackOff"
        }),
        ("no-variable", |_, pod| {
            pod["status"]["initContainerStatuses"][0]["state"]["waiting"]["reason"] == "CreateContainerConfigError"
        }),
        ("no-config-map", |namespace, pod| {
            let missing = "configmap \"settings\" not found";
            namespace.events(name(pod)).iter().any(|event| event.starts_with("FailedMount") && event.contains(missing))
        }),
    ];
    for (template, shows) in stuck {
        let asks = json!({"spec": {"template": {"metadata": {"annotations": {"pillion.dev/templates": template}}}}});
        let changed = namespace.api.merge("apps/v1", "deployments/web", &asks);
        assert_eq!(changed.status, 200, "{}", changed.text());
        until(&format!("{template} to show"), || {
            let pods = namespace.api.get("v1", "pods?labelSelector=app=web").json();
            let asks = |pod: &&Value| pod["metadata"]["annotations"]["pillion.dev/templates"] == template;
            shows(&namespace, pods["items"].as_array()?.iter().find(asks)?).then_some(())
        });
        let before = namespace.api.get("v1", &format!("pods/{old}")).json();
        assert_eq!(condition(&before, "Ready"), Some("True"), "the old pod goes on");
    }
    // The last of them heals by itself.
    let settings = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings"}});
    namespace.apply(&settings.to_string());
    namespace.kubectl(&["rollout", "status", "deployment/web", "--timeout=3m"]);
}
