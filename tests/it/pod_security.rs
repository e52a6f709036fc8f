//! What the engine holds for the Pod Security Standards is what the API server holds for them.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::harness::namespace::Namespace;
use crate::harness::pod_security::Level::{self, Baseline, Privileged, Restricted};
use crate::harness::pod_security::{level, reasons, restricted_container, violations};

/// What is changed in a pod that passes *restricted*, by place, and the level that it passes then.
fn changes() -> Vec<(Level, Value)> {
    let unconfined = || json!({"type": "Unconfined"});
    vec![
        (Restricted, json!({})),
        // The node's own.
        (Privileged, json!({"spec/hostNetwork": true})),
        (Privileged, json!({"spec/hostPID": true})),
        (Privileged, json!({"spec/hostIPC": true})),
        (Privileged, json!({"spec/containers/0/ports": [{"containerPort": 80, "hostPort": 80}]})),
        (Restricted, json!({"spec/containers/0/ports": [{"containerPort": 80}]})),
        (Privileged, json!({"spec/volumes": [{"name": "a", "hostPath": {"path": "/"}}]})),
        (Baseline, json!({"spec/volumes": [{"name": "a", "nfs": {"server": "nfs", "path": "/"}}]})),
        (Restricted, json!({"spec/volumes": [{"name": "a", "emptyDir": {}}, {"name": "b"}]})),
        (Privileged, json!({"spec/containers/0/livenessProbe": {"httpGet": {"host": "node", "port": 80}}})),
        (Privileged, json!({"spec/containers/0/readinessProbe": {"tcpSocket": {"host": "node", "port": 80}}})),
        (Privileged, json!({"spec/initContainers/0/startupProbe": {"tcpSocket": {"host": "node", "port": 80}}})),
        (Privileged, json!({"spec/containers/0/lifecycle/preStop": {"httpGet": {"host": "node", "port": 80}}})),
        (Privileged, json!({"spec/containers/0/lifecycle/postStart": {"httpGet": {"host": "node", "port": 80}}})),
        (Restricted, json!({"spec/containers/0/livenessProbe": {"httpGet": {"port": 80}}})),
        // Confinement.
        (Privileged, json!({"spec/securityContext/appArmorProfile": unconfined()})),
        (Privileged, json!({"spec/containers/0/securityContext/appArmorProfile": unconfined()})),
        (
            Privileged,
            json!({"metadata/annotations": {"container.apparmor.security.beta.kubernetes.io/app": "unconfined"}}),
        ),
        (Restricted, json!({"spec/securityContext/appArmorProfile": {"type": "RuntimeDefault"}})),
        (Privileged, json!({"spec/securityContext/seccompProfile": unconfined()})),
        (Privileged, json!({"spec/initContainers/0/securityContext/seccompProfile": unconfined()})),
        (Baseline, json!({"spec/containers/0/securityContext/seccompProfile": null})),
        (
            Restricted,
            json!({
                "spec/securityContext/seccompProfile": {"type": "RuntimeDefault"},
                "spec/containers/0/securityContext/seccompProfile": null,
            }),
        ),
        (Privileged, json!({"spec/securityContext/seLinuxOptions": {"type": "spc_t"}})),
        (Privileged, json!({"spec/containers/0/securityContext/seLinuxOptions": {"user": "system_u"}})),
        (Privileged, json!({"spec/containers/0/securityContext/seLinuxOptions": {"role": "system_r"}})),
        (Restricted, json!({"spec/securityContext/seLinuxOptions": {"type": "container_engine_t", "level": "s0"}})),
        (Privileged, json!({"spec/securityContext/sysctls": [{"name": "kernel.msgmax", "value": "1"}]})),
        (Restricted, json!({"spec/securityContext/sysctls": [{"name": "net.ipv4.tcp_rmem", "value": "1 2 3"}]})),
        // Without a user namespace the API server refuses it.
        (Baseline, json!({"spec/hostUsers": false, "spec/containers/0/securityContext/procMount": "Unmasked"})),
        (Restricted, json!({"spec/containers/0/securityContext/procMount": "Default"})),
        // Rights.
        (
            Privileged,
            json!({
                "spec/containers/0/securityContext/privileged": true,
                "spec/containers/0/securityContext/allowPrivilegeEscalation": null,
            }),
        ),
        (Privileged, json!({"spec/hostNetwork": true, "spec/securityContext/windowsOptions": {"hostProcess": true}})),
        (Privileged, json!({"spec/containers/0/securityContext/capabilities/add": ["NET_ADMIN"]})),
        (Baseline, json!({"spec/initContainers/0/securityContext/capabilities/add": ["CHOWN"]})),
        (Restricted, json!({"spec/containers/0/securityContext/capabilities/add": ["NET_BIND_SERVICE"]})),
        (Baseline, json!({"spec/containers/0/securityContext/capabilities/drop": ["CHOWN"]})),
        (Baseline, json!({"spec/containers/0/securityContext/allowPrivilegeEscalation": null})),
        (Baseline, json!({"spec/containers/0/securityContext": null})),
        (Baseline, json!({"spec/containers/0/securityContext/runAsNonRoot": null})),
        (Baseline, json!({"spec/initContainers/0/securityContext/runAsNonRoot": false})),
        (Baseline, json!({"spec/securityContext/runAsNonRoot": false})),
        (
            Restricted,
            json!({
                "spec/securityContext/runAsNonRoot": true,
                "spec/containers/0/securityContext/runAsNonRoot": null,
            }),
        ),
        (Baseline, json!({"spec/securityContext/runAsUser": 0})),
        (Baseline, json!({"spec/containers/0/securityContext/runAsUser": 0})),
        (
            Restricted,
            json!({
                "spec/hostUsers": false,
                "spec/securityContext/runAsUser": 0,
                "spec/containers/0/securityContext/runAsNonRoot": false,
            }),
        ),
        // What Windows does not know.
        (
            Restricted,
            json!({
                "spec/os": {"name": "windows"},
                "spec/initContainers/0/securityContext": {"runAsNonRoot": true},
                "spec/containers/0/securityContext": {"runAsNonRoot": true},
            }),
        ),
    ]
}

/// Puts a value at a place like `spec/containers/0/name`; `~1` is a slash in a name.
pub(crate) fn put(pod: &mut Value, place: &str, value: &Value) {
    let place = place.split('/').fold(pod, |at, step| match step.parse::<usize>() {
        Ok(index) => &mut at[index],
        Err(_) => &mut at[step.replace("~1", "/")],
    });
    *place = value.clone();
}

/// A pod that passes *restricted*, but for changes by place.
fn changed_pod(changes: &Value) -> Value {
    let mut init = restricted_container("init");
    init["restartPolicy"] = json!("Always");
    let spec = json!({"initContainers": [init], "containers": [restricted_container("app")]});
    let mut pod = json!({"metadata": {"name": "a"}, "spec": spec});
    for (place, value) in changes.as_object().expect("places and values") {
        put(&mut pod, place, value);
    }
    pod
}

/// Every reason for which some pod of these tests does not pass a level.
fn all_reasons() -> BTreeSet<String> {
    let pods = changes().into_iter().map(|(_, changes)| changed_pod(&changes));
    pods.flat_map(|pod| [Baseline, Restricted].map(|level| violations(level, &pod))).flatten().collect()
}

#[test]
fn a_pod_passes_the_level_that_its_fields_keep() {
    for (expected, changes) in changes() {
        assert_eq!(level(&changed_pod(&changes)), expected, "{changes}");
    }
    // Each check breaks for one of them.
    assert_eq!(all_reasons().len(), 17, "{:?}", all_reasons());
}

#[test]
fn each_check_of_pod_security_is_that_of_the_api_server() {
    let namespace = |level: Level| {
        Namespace::new(
            &format!("pod-security-{level}"),
            &[("pod-security.kubernetes.io/warn", level.to_string().as_str())],
        )
    };
    let Some(restricted) = namespace(Restricted) else { return };
    let baseline = namespace(Baseline).expect("there is a control plane");

    let mut met = BTreeSet::new();
    for (_, changes) in changes() {
        let pod = changed_pod(&changes);
        for (here, level) in [(&restricted, Restricted), (&baseline, Baseline)] {
            let answer = here.create("v1", "pods?dryRun=All", &pod);
            assert_eq!(answer.status, 201, "{changes}: {}", answer.text());
            let warned: BTreeSet<_> = answer.warnings().iter().filter_map(|it| reasons(it)).flatten().collect();
            assert_eq!(violations(level, &pod), warned, "{level}: {changes}");
            met.extend(warned);
        }
    }
    assert_eq!(met, all_reasons());
}
