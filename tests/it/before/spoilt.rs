//! What goes wrong in a template: slips that have a rule, and slips of any kind.

use serde_json::{Value, json};

use super::holes;
use super::random::Random;

/// Where a slip can be made, by the last of the fields that lead to the object (or to the list that it is in), and what is put
/// there. `~` takes the field out.
#[rustfmt::skip]
const SLIPS: &[(&str, &str, &str)] = &[
    ("", "apiVersion", r#"["pillion.dev/v1", "~", 1]"#),
    ("", "kind", r#"["Template", "~", "InjectionTemplate"]"#),
    ("", "metadata", r#"["~", {}, {"name": "Bad_Name"}, {"name": "a", "namspace": "b"}, "x"]"#),
    ("", "spec", r#"["~", {}, [], null, {"pod": {}}]"#),
    ("/spec", "pod", r#"[{"volumes": []}, {"metadata": {"labels": {}}}, {"spec": {}, "kind": "Pod"}, null, "x"]"#),
    ("/spec", "when", r#"["${{ true }}", "params.nope", "1 +", "'a'", "container.name == 'a'", "pod.spec.nope == 1", "1", "''", "1 / 0 == 1"]"#),
    ("/spec", "onError", r#"["deny", "Ignore", 1]"#),
    ("/spec", "os", r#"[["macos"], "linux", [1]]"#),
    ("/spec", "placement", r#"[{}, {"position": "First"}, {"before": "a", "after": "b"}, {"before": "Bad Name"}, {"behind": "a"}, []]"#),
    ("/spec", "shares", r#"["data", ["${{ params.nope }}"], {"a": 1}, [1], ["nope"], null, "${{ ['data'] }}"]"#),
    ("/spec", "namespaceSelector", r#"[{"matchLabels": {"a": 1}}, {"matchLabels": []}, {"matchLabel": {}}, {"matchExpressions": [{"key": "a"}]},
        {"matchExpressions": [{"key": "a", "operator": "In"}]}, {"matchExpressions": [{"key": "a", "operator": "Exists", "values": ["b"]}]},
        {"matchExpressions": [{"operator": "Exists"}]}, {"matchExpressions": [{"key": "a", "operator": "Is", "values": ["b"]}]}]"#),
    ("/spec", "serviceAccountToken", r#"["no", false, false]"#),
    ("/spec", "hostNetwork", "[\"yes\", false, true, true]"),
    ("/spec/parameters", "name", r#"["LogDir", "log-dir", "~", 1, "own0", ""]"#),
    ("/spec/parameters", "type", r#"["text", "int", "~", "integer", "string", "list"]"#),
    ("/spec/parameters", "default", r#"[1, "x", [], {}, null, -5, 1.5, "9Gi", "~", true, 9999999999999999999, ""]"#),
    ("/spec/parameters", "example", r#"[1, "x", [], "~", "Bad Name", 70000]"#),
    ("/spec/parameters", "enum", r#"[[], "a", [1, "a"], ["a", "b"], {}]"#),
    ("/spec/parameters", "pattern", r#"["(", "^/", "\\w{1,63}", 1, "^x$"]"#),
    ("/spec/parameters", "minimum", r#"[5, "x", "1s", 100000]"#),
    ("/spec/parameters", "maximum", r#"[0, "x", "1Ki", -1]"#),
    ("/spec/parameters", "maxLength", r#"[1, -1, "3", 0]"#),
    ("/spec/parameters", "settableBy", r#"["Nobody", "Anybody", "Namespace"]"#),
    ("/spec/parameters", "optional", r#"["yes", true, false]"#),
    ("/spec/parameters", "sensitive", r#"[true, 1]"#),
    ("pod/metadata", "labels", r#"[{"pillion.dev/x": "a"}, {"pod-template-hash": "a"}, {"a b": "c"}, {"a": "b c"}, {"a": 1}, "x",
        {"${{ 'a' }}": "b"}, {"job-name": "a"}, {"a": "${{ 'b c' }}"}, {"a": null}]"#),
    ("pod/metadata", "annotations", r#"[{"a.pillion.dev/x": "a"}, {"kubernetes.io/config.mirror": "a"}, {"A B": "c"}, {"a": 1}, {"a": true}]"#),
    ("pod/metadata", "finalizers", r#"[["a"], null]"#),
    ("pod/metadata", "ownerReferences", "[[]]"),
    ("pod/spec", "nodeName", r#"["a"]"#),
    ("pod/spec", "serviceAccountName", r#"["a"]"#),
    ("pod/spec", "ephemeralContainers", "[[]]"),
    ("pod/spec", "priorityClassName", r#"["a"]"#),
    ("pod/spec", "volumes", r#"["${{ [{'name': 'data', 'emptyDir': {}}] }}", {}, [{"emptyDir": {}}], "${{ [{'name': 'Bad Name'}] }}"]"#),
    ("pod/spec", "containers", r#"["${{ [] }}", [{}], {}, [{"name": "proxy", "image": "b"}]]"#),
    ("pod/spec", "initContainers", r#"["${{ [] }}", [{"image": "a"}], [null], [{"name": "app", "image": "b", "restartPolicy": "Always"}]]"#),
    ("pod/spec", "terminationGracePeriodSeconds", r#"[-1, "30", 2, 1, 0, "${{ -5 }}", 120]"#),
    ("pod/spec", "activeDeadlineSeconds", r#"[0, -1, 99999999999, "${{ 0 }}"]"#),
    ("pod/spec", "dnsPolicy", r#"["None", "none", "${{ 'None' }}", ""]"#),
    ("pod/spec", "dnsConfig", r#"[{"nameservers": ["a"]}, {"nameservers": ["1.1.1.1", "1.1.1.2", "1.1.1.3", "1.1.1.4"]}, {"nameserver": []},
        {"nameservers": ["${{ 'x' }}"]}, {"nameservers": "${{ ['1.1.1.1', 'a'] }}"}]"#),
    ("pod/spec", "hostname", r#"["Bad_Name", "${{ 'a.b' }}", "a.b", ""]"#),
    ("pod/spec", "subdomain", r#"["a.b", ""]"#),
    ("pod/spec", "hostAliases", r#"[[{"ip": "x"}], [{"hostnames": ["a"]}], [{"ip": "${{ 'x' }}"}], ["${{ null }}"], [{"ip": "${{ null }}"}]]"#),
    ("pod/spec", "readinessGates", r#"[[{"conditionType": "a b"}], [{"conditionType": "${{ '' }}"}], [{}]]"#),
    ("pod/spec", "nodeSelector", r#"[{"a b": "c"}, {"a": "b c"}, {"a": 1}, {"a": "${{ 'b c' }}"}]"#),
    ("pod/spec", "tolerations", r#"[[{}], [{"key": "a b"}], [{"operator": "Exists", "value": "a"}], [{"key": "a", "value": "b c"}], [{"key": "a", "tolerationSeconds": 1}],
        [{"key": "a", "operator": "exists"}], "${{ [{'key': 'a', 'tolerationSeconds': 1}] }}"]"#),
    ("pod/spec", "topologySpreadConstraints", r#"[[{"maxSkew": 0, "topologyKey": "a", "whenUnsatisfiable": "DoNotSchedule"}], [{"maxSkew": 1}],
        [{"maxSkew": 1, "topologyKey": "", "whenUnsatisfiable": "DoNotSchedule"}], [{"maxSkew": 1, "topologyKey": "a", "whenUnsatisfiable": ""}]]"#),
    ("pod/spec", "securityContext", r#"[{"runAsUser": -1}, {"sysctls": [{"name": "A", "value": "1"}]}, {"fsGroup": 9999999999}, {"supplementalGroups": [-1]},
        {"windowsOptions": {"hostProcess": true}}, {"runAsUser": 0}, {"sysctls": [{"name": "${{ '' }}", "value": "1"}]}, {"runAsNonRoot": "yes"}]"#),
    ("pod/spec", "resources", r#"[{"limits": {"cpu": "1m"}}, {"requests": {"cpu": "1m", "memory": "1Ki"}}, {"requests": {"cpu": 2}, "limits": {"cpu": 1}}, {"limits": {"memory": "1Ki"}}]"#),
    ("pod/spec", "hostPID", "[true]"),
    ("pod/spec", "shareProcessNamespace", "[true]"),
    ("spec/volumes", "name", r#"["kube-api-access-x", "Data", "data", "~", "${{ 'Bad Name' }}", "${{ params.nope }}", "", "kube-api-access-${{ 'x' }}"]"#),
    ("spec/volumes", "hostPath", r#"[{"path": "/a/../b"}, {"path": ""}, {}, {"path": "${{ '..' }}"}, {"path": "/var/log", "type": "Folder"}, {"path": "/a"}]"#),
    ("spec/volumes", "configMap", r#"[{}, {"name": "Bad Name"}, {"name": "a", "defaultMode": 999}, {"name": "a", "items": [{"key": "", "path": "a"}]},
        {"name": "a", "items": [{"key": "k", "path": "../a"}]}, {"name": "${{ 'Bad Name' }}"}, {"name": "a", "items": [{"key": "k", "path": "a", "mode": -1}]}]"#),
    ("spec/volumes", "secret", r#"[{}, {"secretName": "Bad_Name"}, {"secretName": "a", "items": [{"key": "k"}]}, {"name": "a"}]"#),
    ("spec/volumes", "emptyDir", r#"[{"sizeLimit": "-1"}, {"sizeLimit": "x"}, {"medium": 1}, "${{ null }}", {"sizeLimit": "${{ '-1' }}"}, null]"#),
    ("spec/volumes", "downwardAPI", r#"[{"items": [{"path": "a"}]}, {"items": [{"path": "", "fieldRef": {"fieldPath": "metadata.name"}}]},
        {"items": [{"path": "a", "fieldRef": {"fieldPath": "status.podIP"}}]}, {"items": [{"path": "a", "resourceFieldRef": {"resource": "limits.cpu"}}]},
        {"defaultMode": 999}, {"items": [{"path": "a", "mode": 999, "fieldRef": {"fieldPath": "metadata.name"}}]}]"#),
    ("spec/volumes", "csi", r#"[{}, {"driver": ""}, {"driver": "Bad Name"}]"#),
    ("spec/volumes", "image", r#"[{}, {"reference": ""}]"#),
    ("spec/volumes", "persistentVolumeClaim", r#"[{}, {"claimName": ""}, {"claimName": "A"}]"#),
    ("spec/volumes", "projected", r#"[{"sources": [{}]}, {"sources": [{"serviceAccountToken": {"path": "a", "expirationSeconds": 5}}]}, {"defaultMode": 999},
        {"sources": [{"serviceAccountToken": {"path": "/a"}}]}, {"sources": [{"configMap": {}}]}, {"sources": [{"secret": {"name": "a", "items": [{"key": "k", "path": ""}]}}]},
        {"sources": [{"configMap": {"name": "a"}, "secret": {"name": "b"}}]}]"#),
    ("spec/initContainers", "restartPolicy", r#"["~", "Never", "Sometimes", "OnFailure", "${{ 'Never' }}", "${{ params.nope }}"]"#),
    ("spec/initContainers", "image", r#"["~", "", " a", "${{ '' }}", 1, "${{ null }}"]"#),
    ("spec/initContainers", "name", r#"["~", "App", "app", "${{ 'Bad Name' }}", ""]"#),
    ("spec/initContainers", "startupProbe", r#"[{"exec": {"command": ["true"]}}, {}]"#),
    ("spec/initContainers", "lifecycle", r#"[{"preStop": {"sleep": {"seconds": 1}}}, {}, {"postStart": {}}, "${{ {} }}"]"#),
    ("spec/initContainers", "resizePolicy", r#"[[{"resourceName": "disk", "restartPolicy": "NotRequired"}], [{}]]"#),
    ("spec/initContainers", "imagePullPolicy", r#"["always", "", "${{ 'always' }}"]"#),
    ("spec/initContainers", "volumeMounts", r#"["${{ [] }}", [{"name": "nope", "mountPath": "/x"}], [{"name": "data", "mountPath": "/x"}, {"name": "data", "mountPath": "/x"}],
        [{"name": "data"}], [{"name": "data", "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount"}], [{"name": "${{ 'nope' }}", "mountPath": "/x"}]]"#),
    ("spec/containers", "restartPolicy", r#"["Always", "Never"]"#),
    ("spec/containers", "image", r#"["~", ""]"#),
    ("/spec/app", "containers", r#"[["Bad_Name"], ["proxy"], "*", ["fluent-bit"], "~", [1]]"#),
    ("/spec/app", "when", r#"["${{ true }}", "params.nope", "'a'", "1", "container.nope == 1"]"#),
    ("/spec/app", "override", r#"["yes", true]"#),
    ("/spec/app", "image", r#"["a"]"#),
    ("/spec/app", "volumeMounts", r#"[[{"name": "nope", "mountPath": "/x"}], "${{ [] }}", [{"name": "data", "mountPath": "/same"}], [{"name": "tmp", "mountPath": "/same"}],
        [{"name": "data", "mountPath": "${{ '' }}"}], [{"name": "${{ 'nope' }}", "mountPath": "/y"}]]"#),
    ("/spec/app", "ports", r#"[[{"containerPort": 0}], [{"name": "http", "containerPort": 81}], [{"containerPort": 80, "hostPort": 80}], [{"containerPort": "${{ 70000 }}"}],
        [{"name": "twice", "containerPort": 81}, {"name": "twice", "containerPort": 82}]]"#),
    ("/spec/app", "readinessProbe", r#"[{"httpGet": {"port": "nope"}}, {}, {"tcpSocket": {"port": "${{ 0 }}"}}, "${{ null }}", {"exec": {"command": []}}, {"tcpSocket": {"port": "http"}}]"#),
    ("/spec/app", "lifecycle", r#"[{"preStop": {"sleep": {"seconds": 9999}}}, {"preStop": {}}, {"postStart": {"exec": {}}}, {"preStop": {"sleep": {"seconds": "${{ 99 }}"}}}]"#),
    ("/spec/app", "resources", r#"[{"requests": {"cpu": 9}}, {"limits": {"cpu": "1m"}}, {"limits": {"cpux": 1}}, {"limits": {"memory": "-1"}}, {"requests": {"memory": "9Gi"}}]"#),
    ("/spec/app", "env", r#"[[{"name": "a=b"}], [{"name": ""}], [{"name": "${{ '' }}"}], [{"name": "A"}, {"name": "A", "value": "1"}], [{"value": "a"}], "${{ [{'name': 'A=B'}] }}"]"#),
    ("/spec/app", "initContainers", r#"[["*"], ["setup"], ["agent"]]"#),
    ("/spec/app", "startupProbe", r#"[{"exec": {"command": ["true"]}}]"#),
    ("ports", "containerPort", r#"[0, 65536, -1, "http", "~", "${{ 0 }}", "${{ 8080.0 }}", "${{ 1.5 }}"]"#),
    ("ports", "hostPort", r#"[70000, -1, 0, 8080, "${{ 70000 }}"]"#),
    ("ports", "name", r#"["HTTP", "a-name-that-is-too-long", "80", "a--b", "http", "${{ 'Bad' }}"]"#),
    ("ports", "protocol", r#"["tcp", "", "UDP"]"#),
    ("env", "name", r#"["a=b", "", "~", "ü", "${{ 'a=b' }}", "A"]"#),
    ("env", "value", r#"[1, true, null, "x", "${{ 1 }}", "${ params.a }", "{{ params.a }}", "${{ params.a", "$${{ a }}", {}]"#),
    ("env", "valueFrom", r#"[{}, {"fieldRef": {"fieldPath": "metadata.nme"}}, {"resourceFieldRef": {"resource": "cpu"}}, {"configMapKeyRef": {"key": "a"}},
        {"secretKeyRef": {"name": "a", "key": ".."}}, {"fieldRef": {"fieldPath": "a"}, "secretKeyRef": {"name": "a", "key": "b"}}, {"fieldRef": {}},
        {"secretKeyRef": {"name": "Bad Name", "key": "b"}}, {"fieldRef": {"fieldPath": "${{ 'x' }}"}}]"#),
    ("envFrom", "prefix", r#"["=", "A_", "${{ '=' }}"]"#),
    ("envFrom", "configMapRef", r#"[{}, {"name": "Bad Name"}, {"name": "${{ 'Bad Name' }}"}]"#),
    ("envFrom", "secretRef", r#"[{}, {"name": "a"}]"#),
    ("volumeMounts", "mountPath", r#"["", "~", "/data", "${{ '' }}", "/data/", "${{ null }}"]"#),
    ("volumeMounts", "name", r#"["nope", "~", "dta", "${{ 'nope' }}"]"#),
    ("volumeMounts", "subPath", r#"["../a", "/a", "a", "${{ '../a' }}"]"#),
    ("volumeMounts", "subPathExpr", r#"["../a", "$(A)"]"#),
    ("volumeMounts", "recursiveReadOnly", r#"["Enabled", "enabled", "IfPossible", "${{ 'Enabled' }}"]"#),
    ("volumeMounts", "mountPropagation", r#"["Bidirectional", "Bidirectional", "Bidirectional", "Bidirectional", "${{ 'Bidirectional' }}"]"#),
    ("volumeDevices", "devicePath", r#"["", "~"]"#),
    ("startupProbe", "successThreshold", "[2, -1, 0]"),
    ("readinessProbe", "terminationGracePeriodSeconds", "[5]"),
    ("livenessProbe", "terminationGracePeriodSeconds", "[0, -1]"),
    ("livenessProbe", "successThreshold", r#"[2, "${{ 2 }}"]"#),
    ("readinessProbe", "periodSeconds", "[-1, \"10\"]"),
    ("readinessProbe", "exec", r#"[{"command": []}, {}, {"command": "true"}]"#),
    ("startupProbe", "httpGet", r#"[{"port": 0}, {"port": "nope"}, {"port": "NOPE"}, {}, {"port": 80, "httpHeaders": [{"name": "a b", "value": ""}]}, {"port": 80, "host": "a"}]"#),
    ("httpGet", "port", r#"[0, 70000, "Nope", "nope", "~", "${{ 'nope' }}", "${{ 0 }}"]"#),
    ("httpGet", "host", r#"["localhost"]"#),
    ("tcpSocket", "port", r#"["nope", "htp", 0]"#),
    ("sleep", "seconds", r#"[-1, 9999, "${{ 9999 }}", 31, "5"]"#),
    ("preStop", "exec", r#"[{}, {"command": ["a"]}]"#),
    ("resources", "requests", r#"[{"cpu": 100}, {"cpux": 1}, {"cpu": "-1"}, {"example.com/gpu": 1}, {"cpu": "x"}, {"cpu": "${{ '100' }}"}, {"hugepages-2Mi": "2Mi"}]"#),
    ("resources", "limits", r#"[{"cpu": "1m"}, {"memory": "-1"}, {"example.com/gpu": 0.5}, {"pods": 1}, {"memory": "1Ki"}]"#),
    ("securityContext", "runAsUser", r#"[-1, 2147483648, "0", "${{ -1 }}"]"#),
    ("securityContext", "privileged", "[true]"),
    ("securityContext", "allowPrivilegeEscalation", "[false]"),
    ("securityContext", "capabilities", r#"[{"add": ["CAP_SYS_ADMIN"]}, {"add": ["SYS_ADMIN"]}, {"drop": "ALL"}]"#),
    ("securityContext", "seccompProfile", r#"[{"type": "Localhost"}, {"type": "RuntimeDefault", "localhostProfile": "a"}, {"type": ""}, {"type": "Localhost", "localhostProfile": "../a"}, {}]"#),
    ("securityContext", "procMount", r#"["Unmasked"]"#),
    ("securityContext", "seLinuxOptions", r#"[{"type": "spc_t"}, {"user": "root"}]"#),
    ("securityContext", "windowsOptions", r#"[{"hostProcess": true}, {"runAsUserName": "a"}]"#),
    ("hostAliases", "ip", r#"["x", "~"]"#),
    ("items", "path", r#"["", "../a", "~"]"#),
    ("/metadata", "labels", r#"[{"a": "b"}, "x"]"#),
    ("/metadata", "namespace", r#"["shop", 1, "~"]"#),
    ("/metadata", "name", r#"["~", 1, "T0", "", "t-", "${{ 'a' }}"]"#),
    ("pod/metadata", "labels", r#"[{"a b": "${{ 'c' }}"}, {"a": "${{ params.own0 }}"}, {"controller-uid": "a"}, "${{ {'job-name': 'a'} }}",
        "${{ {'a b': 'c'} }}", "${{ {'pillion.dev/x': 'c'} }}", "${{ {'a': 'b c'} }}"]"#),
    ("pod/metadata", "annotations", r#"["${{ {'kubernetes.io/config.mirror': 'a'} }}", {"kubernetes.io/config.mirror": "x"}]"#),
    ("pod/spec", "hostNetwork", "[true]"),
    ("pod/spec", "volumes", r#"[[{"name": "data"}, {"name": "data"}], [{"name": "data", "emptyDir": {}}, {"name": "${{ 'data' }}"}]]"#),
    ("pod/spec", "containers", r#"[[{"name": "one", "image": "a"}, {"name": "one", "image": "b"}], [{"name": "one", "image": "a", "ports": [{"containerPort": 80, "hostPort": 80}, {"containerPort": 81, "hostPort": 80}]}]]"#),
    ("pod/spec", "initContainers", r#"[[{"name": "one", "image": "a", "restartPolicy": "Always", "lifecycle": {"preStop": {"sleep": {"seconds": 40}}}}]]"#),
    ("/spec", "parameters", r#"[[{"name": "a", "type": "string"}, {"name": "a", "type": "string"}], {}, [{"name": "a", "type": "integer", "enum": [1, 2], "maximum": 1}],
        [{"name": "a", "type": "string", "enum": ["a", "b"], "pattern": "^a"}], "x", [null]]"#),
    ("/spec", "when", r#"["1 == 'a' && 2 > 1", "1 / 0 > 1", "${{ pod.spec.x }}", "${{ true", "'a'.matches('(')", "params", "pods.spec == 1", "b'a' == b'b'", "((((((((((((((((((1))))))))))))))))))",
        "pod.spec.containers.all(c, pod.spec.containers.all(d, c != d))", "lists.range(5) == []", "pod.metadata.name.startWith('a')", "pod.spec.containers.map(c, c.name)"]"#),
    ("/spec", "allowShadowing", r#"["x", true]"#),
    ("/spec", "description", "[1, [], true]"),
    ("spec/initContainers", "volumeMounts", r#"[[{"name": "data", "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount/"}]]"#),
    ("spec/volumes", "projected", r#"[{"sources": [{"downwardAPI": {"items": [{"path": "a"}]}}]}, {"sources": [{"clusterTrustBundle": {}}]}, {"sources": []}]"#),
    ("spec/volumes", "nope", r#"[{}]"#),
    ("spec/volumes", "name", r#"["kube-api-access-abcde", "sockets"]"#),
    ("spec/volumes", "nfs", r#"[{"server": "a", "path": "/a"}, {}, {"server": "a"}]"#),
    ("dnsConfig", "nameservers", r#"[["1.1.1.1", "1.1.1.2", "1.1.1.3", "1.1.1.4"], ["x"], "${{ ['x'] }}"]"#),
    ("tolerations", "value", r#"["a", "a b"]"#),
    ("tolerations", "effect", r#"["NoSchedule", "", "~"]"#),
    ("tolerations", "key", r#"["~", "a b", ""]"#),
    ("httpHeaders", "name", r#"["a b", "", "${{ 'a b' }}"]"#),
    ("httpGet", "httpHeaders", r#"[[{"name": "a b", "value": ""}], [{"name": "a"}], [{"name": "${{ '' }}", "value": ""}]]"#),
    ("resources", "limits", r#"[{"example.com/gpu": 0.5}, {"example.com/gpu": "${{ '0.5' }}"}]"#),
    ("resources", "requests", r#"[{"example.com/gpu": 1}, {"cpu": "${{ '-1' }}"}, {"cpux": "${{ '1' }}"}]"#),
    ("securityContext", "seccompProfile", r#"[{"type": "Localhost", "localhostProfile": "/a"}, {"type": "Localhost", "localhostProfile": "a/../b"}, {"type": "${{ 'Localhost' }}"}]"#),
    ("valueFrom", "fieldRef", r#"[{"fieldPath": "spec.nodName"}, {"fieldPath": "metadata.labels['a b']"}, {"fieldPath": "metadata.annotations['A B']"}]"#),
    ("valueFrom", "resourceFieldRef", r#"[{"resource": "limits.cpus"}, {"resource": "requests.hugepages-2Mi"}]"#),
    ("env", "value", r#"["a {{ b", "x${{ params.own0 }}y", "${{ null }}x", "${{ 'a' }} and ${{ 1 }}", "${{ {} }}x", "${{ [] }}"]"#),
    ("spec/initContainers", "args", r#"["${{ ['a', null, 1] }}", ["${{ null }}", "${{ 1 }}"], [1], "a", "a ${{ params.own0 }}", [null]]"#),
    ("spec/initContainers", "tty", r#"["{true}", "true", "${{ 'true' }}"]"#),
    ("spec/initContainers", "terminationMessagePolicy", r#"["file", ""]"#),
    ("spec/initContainers", "restartPolicyRules", r#"[[{"action": "Restart"}], [{}]]"#),
];

/// Values that fit in few places.
const ODD: &str = r#"[
    "", null, true, 0, -1, 1.5, 65536, 99999999999, 1e300, [], {}, [null], {"a": null}, "Bad Name", "..", "/x/../y", "a b",
    "${{", "${{ }}", "${{ params.nope }}", "${{ pod.spec.nope }}", "${{ null }}", "${{ 'x' }}", "${{ 0 }}", "${{ [] }}",
    "${{ {} }}", "${{ {'a': 'b'} }}", "${{ 1.5 }}", "${{ true }}", "100Q", "1.5.5", "ü", "\u0000", "~", "${params.a}",
    "\u0001.inf", "\u00010x1F", "\u00010644", "\u00011_000", "\u0001~", "\u0001yes", "\u0001!!str 1", "\u0001-0", "\u0001&a b"
]"#;

/// A value that has no business where it is put.
#[derive(Clone)]
struct Slip {
    holder: &'static str,
    field: &'static str,
    value: Value,
    /// Whether an expression puts it there, for some pods alone.
    is_late: bool,
}

/// What spoils templates, in turn, so that nothing is forgotten.
pub(super) struct Spoiler {
    all: Vec<Slip>,
    /// Those that have found no place since all were begun anew.
    left: Vec<Slip>,
}

impl Spoiler {
    pub(super) fn new() -> Spoiler {
        let values =
            |list: &str| -> Vec<Value> { serde_json::from_str(list).unwrap_or_else(|error| panic!("{list}: {error}")) };
        let slips = |&(holder, field, list): &(&'static str, &'static str, &str)| {
            let is_of_pod = !holder.starts_with('/') || holder == "/spec/app";
            let is_written_out = ["", "containers", "initContainers", "when", "override", "metadata"].contains(&field)
                || holder.is_empty();
            let slip = move |value: Value| {
                let can_be_late = is_of_pod && !is_written_out && value != "~" && !value.to_string().contains("${{");
                let lates = if can_be_late { &[false, true][..] } else { &[false] };
                lates
                    .iter()
                    .map(move |&is_late| Slip { holder, field, value: value.clone(), is_late })
                    .collect::<Vec<_>>()
            };
            values(list).into_iter().flat_map(slip).collect::<Vec<_>>()
        };
        Spoiler { all: SLIPS.iter().flat_map(slips).collect(), left: Vec::new() }
    }

    /// Makes one or two slips in a template.
    pub(super) fn spoil(&mut self, random: &mut Random, template: &mut Value) {
        for _ in 0..random.pick(&[1, 1, 1, 2]) {
            if random.percent(80) {
                self.slip(random, template);
            } else {
                mishap(random, template);
            }
        }
    }

    /// Puts something where there is a rule against it: the next that has a place in this template.
    fn slip(&mut self, random: &mut Random, template: &mut Value) {
        if self.left.is_empty() {
            self.left = self.all.clone();
        }
        let (count, first) = (self.left.len(), random.below(self.left.len()));
        for at in (0..count).map(|at| (first + at) % count) {
            let mut places = Vec::new();
            find(template, "", self.left[at].holder, String::new(), &mut places);
            if !places.is_empty() {
                let place = random.pick(&places);
                return self.left.swap_remove(at).make(random, template, &place);
            }
        }
        self.left.clear();
    }
}

impl Slip {
    fn make(self, random: &mut Random, template: &mut Value, place: &str) {
        let Slip { field, value, is_late, .. } = self;
        let object = template.pointer_mut(place).and_then(Value::as_object_mut).expect("it was found");
        if value == "~" {
            object.remove(field);
            return;
        }
        if !is_late {
            object.insert(field.into(), value);
            return;
        }
        let before = object.get(field).filter(|before| !before.to_string().contains("${{")).unwrap_or(&Value::Null);
        let (before, value) = (holes::cel(before), holes::cel(&value));
        let source = match random.below(5) {
            0 => format!("pod.spec.containers.size() > 1 ? {value} : {before}"),
            1 => format!("pod.metadata.labels[?'app'].hasValue() ? {before} : {value}"),
            2 => format!("params.slip == true ? {value} : null"),
            _ => format!("params.slip == true ? {value} : {before}"),
        };
        object.insert(field.into(), format!("${{{{ {source} }}}}").into());
        if source.starts_with("params")
            && let Some(Value::Array(parameters)) = template.pointer_mut("/spec/parameters")
            && !parameters.iter().any(|parameter| parameter["name"] == "slip")
        {
            let mut parameter = random.json(
                r#"[{"default": false}, {"default": false}, {"default": true}, {"optional": true}, {}, {"example": false}]"#,
            );
            parameter["name"] = "slip".into();
            parameter["type"] = "boolean".into();
            parameters.push(parameter);
        }
    }
}

/// The objects to which these fields lead, at last or, with a slash before them, from the beginning.
fn find(value: &Value, fields: &str, wanted: &str, path: String, places: &mut Vec<String>) {
    let is_wanted = match fields.strip_suffix(wanted) {
        Some(before) => before.is_empty() || before.ends_with('/'),
        None => false,
    };
    match value {
        Value::Object(members) => {
            if is_wanted && (!wanted.is_empty() || fields.is_empty()) {
                places.push(path.clone());
            }
            for (name, value) in members {
                let token = name.replace('~', "~0").replace('/', "~1");
                find(value, &format!("{fields}/{name}"), wanted, format!("{path}/{token}"), places);
            }
        }
        Value::Array(items) => {
            for (at, item) in items.iter().enumerate() {
                find(item, fields, wanted, format!("{path}/{at}"), places);
            }
        }
        _ => {}
    }
}

/// Something that goes wrong anywhere.
fn mishap(random: &mut Random, template: &mut Value) {
    let other = branch(random, &mut template.clone()).clone();
    let place = branch(random, template);
    match place {
        Value::Object(members) if !members.is_empty() => {
            let at = random.below(members.len());
            let name = members.keys().nth(at).expect("it is below their number").clone();
            match random.below(5) {
                0 => drop(members.shift_remove(&name)),
                1 => {
                    let value = members.shift_remove(&name).expect("it is there");
                    let cut = name.chars().count() / 2;
                    let typo = name.chars().enumerate().filter(|(at, _)| *at != cut).map(|(_, letter)| letter);
                    members.insert(typo.collect(), value);
                }
                2 => drop(members.insert(name, random.json(ODD))),
                3 => members.extend(other.as_object().cloned().unwrap_or_default()),
                _ => drop(members.insert(name, other)),
            }
        }
        Value::Array(items) if !items.is_empty() => {
            let at = random.below(items.len());
            match random.below(4) {
                0 => items.push(items[at].clone()),
                1 => items[at] = random.json(ODD),
                2 => items.push(other),
                _ => *place = json!({"a": items}),
            }
        }
        place => *place = random.json(ODD),
    }
}

/// An object or a list, wherever.
fn branch<'v>(random: &mut Random, value: &'v mut Value) -> &'v mut Value {
    fn places<'v>(parts: impl Iterator<Item = &'v Value>) -> Vec<usize> {
        parts.enumerate().filter(|(_, part)| part.is_object() || part.is_array()).map(|(at, _)| at).collect()
    }

    let mut place = value;
    loop {
        let stops = random.percent(15);
        let parts: Vec<usize> = match &*place {
            Value::Object(members) => places(members.values()),
            Value::Array(items) => places(items.iter()),
            _ => Vec::new(),
        };
        if stops || parts.is_empty() {
            return place;
        }
        let at = random.pick(&parts);
        place = match place {
            Value::Object(members) => members.values_mut().nth(at).expect("it is below their number"),
            Value::Array(items) => &mut items[at],
            _ => unreachable!("it has parts"),
        };
    }
}

/// A template as text; what begins with U+0001 is written as it is.
pub(super) fn write(random: &mut Random, template: &Value) -> String {
    if random.percent(25)
        && let Ok(text) = serde_saphyr::to_string(template)
    {
        return text;
    }
    let json = template.to_string();
    let mut text = String::with_capacity(json.len());
    for (at, part) in json.split("\"\\u0001").enumerate() {
        if at == 0 {
            text.push_str(part);
        } else {
            let (plain, rest) = part.split_once('"').unwrap_or((part, ""));
            text.push_str(plain);
            text.push_str(rest);
        }
    }
    if random.percent(1) {
        let at = text.char_indices().nth(random.below(text.chars().count())).map_or(0, |(at, _)| at);
        match random.below(3) {
            0 => text.truncate(at),
            1 => text.insert(at, '\t'),
            _ => text.insert(at, '{'),
        }
    }
    text
}
