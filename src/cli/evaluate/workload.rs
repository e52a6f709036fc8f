//! What a workload may not have in its pod template, though a pod of it may: the webhook sees the pods alone.

use serde_json::Value;

/// Why the API server would refuse a workload of this group and kind with `after` as the spec of its pods, which it would
/// not with `before`. See ValidatePodTemplateSpecForReplicaSet and validateJobSpec in pkg/apis of Kubernetes.
pub(super) fn refused_by_controller(group: &str, kind: &str, before: &Value, after: &Value) -> Option<String> {
    let is_changed = |field: &str| before[field] != after[field] && !after[field].is_null();
    let restarts: &[&str] = match (group, kind) {
        ("", "ReplicationController") | ("apps", "DaemonSet" | "Deployment" | "ReplicaSet" | "StatefulSet") => {
            if is_changed("activeDeadlineSeconds") {
                return Some(sentence(kind, "must not have activeDeadlineSeconds"));
            }
            &["Always"]
        }
        ("batch", "CronJob" | "Job") => &["Never", "OnFailure"],
        _ => return None,
    };
    let policy = after["restartPolicy"].as_str().unwrap_or("Always");
    (is_changed("restartPolicy") && !restarts.contains(&policy))
        .then(|| sentence(kind, &format!("must have restartPolicy {}, not {policy}", restarts.join(" or "))))
}

fn sentence(kind: &str, rule: &str) -> String {
    format!("the pod template of a {kind} {rule}; its pods may be otherwise, so let the webhook inject them")
}
