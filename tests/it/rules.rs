//! The rules, asked of the real API server: what breaks one is refused there too, and what keeps all of them is not.

use pillion_engine::rules::violations;
use serde_json::value::to_raw_value;
use serde_json::{Value, json};

use crate::golden::applied;
use crate::harness::cookbook;
use crate::harness::namespace::Namespace;
use crate::pod_security::put;

/// What is wrong with a pod, one place and sentence a line.
fn said(pod: &Value) -> Vec<String> {
    let pod = to_raw_value(pod).expect("JSON");
    violations(&pod).iter().map(ToString::to_string).collect()
}

/// A pod that keeps every rule, with something of each kind in it.
fn pod() -> Value {
    let probe = json!({"httpGet": {"port": "http"}, "periodSeconds": 5});
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "web", "labels": {"app": "web"}, "annotations": {"Example.com/Note": "x"}},
        "spec": {
            "terminationGracePeriodSeconds": 20,
            "hostname": "web",
            "securityContext": {"runAsUser": 1000, "fsGroup": 1000, "supplementalGroups": [1000]},
            "nodeSelector": {"example.com/zone": "a"},
            "tolerations": [{"key": "spot", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 30}],
            "topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "ScheduleAnyway"}],
            "hostAliases": [{"ip": "127.0.0.1", "hostnames": ["a"]}],
            "dnsPolicy": "None",
            "dnsConfig": {"nameservers": ["1.1.1.1"]},
            "readinessGates": [{"conditionType": "example.com/ready"}],
            "initContainers": [
                {"name": "proxy", "image": "proxy:1", "restartPolicy": "Always", "startupProbe": {"tcpSocket": {"port": 1}}},
                {"name": "migrate", "image": "migrate:1"},
            ],
            "containers": [{
                "name": "web",
                "image": "web:1",
                "ports": [{"name": "http", "containerPort": 80}, {"name": "metrics", "containerPort": 81, "hostPort": 81}],
                "env": [
                    {"name": "A", "value": "b"},
                    {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
                    {"name": "CPU", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu"}}},
                    {"name": "KEY", "valueFrom": {"secretKeyRef": {"name": "secret", "key": "key"}}},
                ],
                "envFrom": [{"configMapRef": {"name": "map"}, "prefix": "P_"}],
                "resources": {"requests": {"cpu": "100m"}, "limits": {"cpu": "0.1", "example.com/gpu": 1}},
                "livenessProbe": probe,
                "readinessProbe": probe,
                "lifecycle": {"preStop": {"sleep": {"seconds": 5}}},
                "volumeMounts": [{"name": "data", "mountPath": "/data", "subPath": "a/b"}, {"name": "files", "mountPath": "/f"}],
                "securityContext": {"allowPrivilegeEscalation": false, "seccompProfile": {"type": "RuntimeDefault"}},
            }],
            "volumes": [
                {"name": "data", "emptyDir": {"sizeLimit": "1Gi"}},
                {"name": "files", "projected": {"sources": [
                    {"configMap": {"name": "map", "items": [{"key": "k", "path": "p", "mode": 256}]}},
                    {"serviceAccountToken": {"path": "token", "expirationSeconds": 600}},
                    {"downwardAPI": {"items": [{"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}}]}},
                ]}},
                {"name": "plain"},
            ],
        },
    })
}

/// One change each, and the beginning of what is said of it.
fn broken() -> Vec<(String, Value, &'static str)> {
    let of_container = [
        ("name", json!("Web"), ".name must be a DNS label"),
        ("image", json!(""), " lacks image"),
        ("image", json!(" web:1"), ".image must not begin or end with whitespace"),
        ("ports/1/name", json!("http"), ".ports[1].name is http a second time"),
        ("ports/0/containerPort", json!(0), ".ports[0/TCP].containerPort must be between 1 and 65535"),
        ("ports/0/hostPort", json!(70_000), ".ports[80/TCP].hostPort must be between"),
        ("ports/0/name", json!("-"), ".ports[80/TCP].name must have at most 15"),
        (
            "ports/0/protocol",
            json!("tcp"),
            ".ports[80/tcp].protocol must be one of SCTP, TCP, UDP, not \"tcp\"; did you mean TCP?",
        ),
        ("env/0/name", json!("A=B"), ".env[A=B].name must be printable ASCII"),
        ("env/1/value", json!("x"), ".env[IP].valueFrom must not stand beside value"),
        ("env/1/valueFrom", json!({}), ".env[IP].valueFrom must have one of fieldRef"),
        (
            "env/1/valueFrom/fieldRef/fieldPath",
            json!("status.phase"),
            ".env[IP].valueFrom.fieldRef.fieldPath is \"status.phase\"",
        ),
        (
            "env/2/valueFrom/resourceFieldRef/resource",
            json!("limits.gpu"),
            ".env[CPU].valueFrom.resourceFieldRef.resource must be such as limits.memory",
        ),
        ("env/3/valueFrom/secretKeyRef/key", json!("a b"), ".env[KEY].valueFrom.secretKeyRef.key must be letters"),
        (
            "env/3/valueFrom/secretKeyRef/name",
            json!("A_B"),
            ".env[KEY].valueFrom.secretKeyRef.name must be the name of an object",
        ),
        ("envFrom/0/prefix", json!("A="), ".envFrom[0].prefix must be printable ASCII"),
        ("envFrom/0/secretRef", json!({"name": "s"}), ".envFrom[0] has configMapRef and secretRef"),
        ("resources/requests/cpu", json!("200m"), ".resources would request more cpu than the limit allows"),
        ("resources/requests/memroy", json!("1Gi"), ".resources.requests.memroy is not a resource"),
        ("resources/requests/memory", json!("-1"), ".resources.requests.memory must not be negative"),
        (
            "resources/limits/example.com~1gpu",
            json!("500m"),
            ".resources.limits[example.com/gpu] must be a whole number",
        ),
        ("resources/requests/example.com~1gpu", json!(2), ".resources must limit example.com/gpu to just what"),
        ("livenessProbe/httpGet", Value::Null, ".livenessProbe must have one of exec"),
        ("livenessProbe/tcpSocket", json!({"port": 1}), ".livenessProbe has httpGet and tcpSocket"),
        ("livenessProbe/httpGet/port", json!(0), ".livenessProbe.httpGet.port must be between 1 and 65535"),
        (
            "livenessProbe/httpGet/httpHeaders",
            json!([{"name": "a b", "value": "x"}]),
            ".livenessProbe.httpGet.httpHeaders[0].name must be letters",
        ),
        ("livenessProbe/periodSeconds", json!(-1), ".livenessProbe.periodSeconds must not be negative"),
        ("livenessProbe/successThreshold", json!(2), ".livenessProbe.successThreshold must be 1"),
        (
            "readinessProbe/terminationGracePeriodSeconds",
            json!(5),
            ".readinessProbe.terminationGracePeriodSeconds must not be set",
        ),
        ("lifecycle/preStop/sleep/seconds", json!(21), ".lifecycle.preStop.sleep.seconds is more than the 20 seconds"),
        ("lifecycle/preStop", json!({"exec": {}}), ".lifecycle.preStop.exec lacks command"),
        ("volumeMounts/0/name", json!("dta"), ".volumeMounts[/data].name is dta, and there is no volume of that name"),
        ("volumeMounts/1/mountPath", json!("/data"), ".volumeMounts[1].mountPath is /data a second time"),
        ("volumeMounts/0/subPath", json!("../x"), ".volumeMounts[/data].subPath must lead to a place inside"),
        ("volumeMounts/0/subPathExpr", json!("x"), ".volumeMounts[/data] must not have both"),
        (
            "volumeMounts/0/recursiveReadOnly",
            json!("Enabled"),
            ".volumeMounts[/data].recursiveReadOnly needs readOnly: true",
        ),
        ("volumeMounts/0/mountPropagation", json!("Bidirectional"), ".volumeMounts[0].mountPropagation can only be"),
        ("securityContext/privileged", json!(true), ".securityContext.allowPrivilegeEscalation must not be false"),
        ("securityContext/runAsUser", json!(-1), ".securityContext.runAsUser must be between 0"),
        (
            "securityContext/seccompProfile/localhostProfile",
            json!("a"),
            ".securityContext.seccompProfile.localhostProfile must be there with type: Localhost only",
        ),
    ];
    let of_container = of_container.into_iter().map(|(place, value, said)| ("spec/containers/0", place, value, said));
    let of_spec = [
        ("metadata/labels", "a b", json!("x"), "metadata.labels.a b is no key"),
        ("metadata/labels", "app", json!("a b"), "metadata.labels.app is \"a b\""),
        ("spec", "hostname", json!("Web"), "spec.hostname must be a DNS label"),
        ("spec", "activeDeadlineSeconds", json!(0), "spec.activeDeadlineSeconds must be between 1"),
        (
            "spec",
            "securityContext/supplementalGroups/0",
            json!(-1),
            "spec.securityContext.supplementalGroups[0] must be between 0",
        ),
        ("spec/nodeSelector", "a b", json!("x"), "spec.nodeSelector.a b is \"x\", which is no label"),
        (
            "spec/tolerations/0",
            "effect",
            json!("NoSchedule"),
            "spec.tolerations[0].tolerationSeconds needs effect: NoExecute",
        ),
        ("spec/tolerations/0", "value", json!("x"), "spec.tolerations[0].value must not stand beside operator: Exists"),
        ("spec/topologySpreadConstraints/0", "maxSkew", json!(0), "maxSkew must be at least 1"),
        ("spec/hostAliases/0", "ip", json!("a"), "ip must be an IP address"),
        ("spec/dnsConfig", "nameservers", json!([]), "spec.dnsPolicy is None, which needs dnsConfig.nameservers"),
        ("spec/readinessGates/0", "conditionType", json!("a b"), "conditionType must be a name"),
        (
            "spec/initContainers/1",
            "livenessProbe",
            json!({"tcpSocket": {"port": 1}}),
            "livenessProbe must not be set on an init container that ends",
        ),
        (
            "spec/initContainers/1",
            "name",
            json!("web"),
            "spec.containers[web].name is web, which spec.initContainers[web] has already",
        ),
        (
            "spec/volumes/0",
            "name",
            json!("files"),
            "spec.volumes[files].name is files, which spec.volumes[files] has already",
        ),
        ("spec/volumes/0", "configMap", json!({"name": "x"}), "has emptyDir and configMap"),
        ("spec/volumes/0", "emptyDir", json!({"sizeLimit": "-1"}), "emptyDir.sizeLimit must not be negative"),
        (
            "spec/volumes/1/projected/sources/0/configMap/items/0",
            "path",
            json!("/x"),
            "path must lead to a place inside",
        ),
        ("spec/volumes/1/projected/sources/0/configMap/items/0", "mode", json!(512), "mode must be between 0 and 0777"),
        (
            "spec/volumes/1/projected/sources/1/serviceAccountToken",
            "expirationSeconds",
            json!(1),
            "expirationSeconds must be between 600",
        ),
        (
            "spec/volumes/1/projected/sources/2/downwardAPI/items/0/fieldRef",
            "fieldPath",
            json!("status.podIP"),
            "fieldPath is \"status.podIP\"",
        ),
        (
            "spec",
            "os",
            json!({"name": "windows"}),
            "spec.securityContext.runAsUser must not be set for a pod of windows",
        ),
    ];
    let all = of_container.chain(of_spec);
    all.map(|(owner, place, value, said)| (format!("{owner}/{place}"), value, said)).collect()
}

#[test]
fn what_breaks_a_rule_is_refused_by_the_api_server_too() {
    let Some(here) = Namespace::new("rules", &[]) else { return };
    let refuses = |pod: &Value| {
        let answer = here.create("v1", "pods?dryRun=All", pod);
        (answer.status != 201, answer.text())
    };
    assert_eq!(said(&pod()), [""; 0]);
    let (is_refused, why) = refuses(&pod());
    assert!(!is_refused, "{why}");
    let mut missing = Vec::new();
    for (place, value, sentence) in broken() {
        let mut pod = pod();
        put(&mut pod, &place, &value);
        let said = said(&pod);
        if !said.iter().any(|said| said.contains(sentence)) {
            missing.push(format!("{place}: {value} is said {said:?}, not {sentence:?}"));
        }
        let (is_refused, answer) = refuses(&pod);
        if !is_refused {
            missing.push(format!("{place}: {value} is accepted: {answer}"));
        }
    }
    assert!(missing.is_empty(), "{}", missing.join("\n"));
}

#[test]
fn what_the_examples_come_out_as_breaks_no_rule() {
    let catalog = cookbook::catalog(pillion_engine::template::OnError::Deny);
    for example in cookbook::examples() {
        let raw = to_raw_value(&example.pod).expect("JSON");
        let review = pillion_engine::admission::Review::of_pod("shop", &raw);
        let decision = pillion_engine::review(&catalog, &pillion_engine::catalog::Namespace::named("shop"), &review);
        assert_eq!(said(&applied(&example.pod, &decision)), [""; 0], "{}", example.name);
    }
}
