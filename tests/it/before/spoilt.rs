//! What goes wrong in a template: slips that have a rule, and slips of any kind.

use serde_json::{Value, json};

use super::random::Random;

/// Where a slip can be made, by the field that holds the object (or the list that it is in), and what is put there. `~` takes
/// the field out.
const SLIPS: &[(&str, &str, &str)] = &[
    ("", "apiVersion", r#"["pillion.dev/v1", "~", 1]"#),
    ("", "kind", r#"["Template", "~", "InjectionTemplate"]"#),
    ("", "metadata", r#"["~", {}, {"name": "Bad_Name"}, {"name": "a", "namspace": "b"}, "x"]"#),
    ("", "spec", r#"["~", {}, [], null, {"pod": {}}]"#),
    ("spec", "pod", r#"[{"volumes": []}, {"metadata": {"labels": {}}}, {"spec": {}, "kind": "Pod"}, null, "x"]"#),
    (
        "spec",
        "when",
        r#"["${{ true }}", "params.nope", "1 +", "'a'", "container.name == 'a'", "pod.spec.nope == 1", "1", "''", "1 / 0 == 1"]"#,
    ),
    ("spec", "onError", r#"["deny", "Ignore", 1]"#),
    ("spec", "os", r#"[["macos"], "linux", [1]]"#),
    (
        "spec",
        "placement",
        r#"[{}, {"position": "First"}, {"before": "a", "after": "b"}, {"before": "Bad Name"}, {"behind": "a"}, []]"#,
    ),
    ("spec", "shares", r#"["data", ["${{ params.nope }}"], {"a": 1}, [1], ["nope"], null, "${{ ['data'] }}"]"#),
    (
        "spec",
        "namespaceSelector",
        r#"[{"matchLabels": {"a": 1}}, {"matchLabels": []}, {"matchLabel": {}}, {"matchExpressions": [{"key": "a"}]},
        {"matchExpressions": [{"key": "a", "operator": "In"}]}, {"matchExpressions": [{"key": "a", "operator": "Exists", "values": ["b"]}]},
        {"matchExpressions": [{"operator": "Exists"}]}, {"matchExpressions": [{"key": "a", "operator": "Is", "values": ["b"]}]}]"#,
    ),
    ("spec", "serviceAccountToken", r#"["no", false, false]"#),
    ("spec", "hostNetwork", "[\"yes\", false, true, true]"),
    ("parameters", "name", r#"["LogDir", "log-dir", "~", 1, "own0", ""]"#),
    ("parameters", "type", r#"["text", "int", "~", "integer", "string", "list"]"#),
    ("parameters", "default", r#"[1, "x", [], {}, null, -5, 1.5, "9Gi", "~", true, 9999999999999999999, ""]"#),
    ("parameters", "example", r#"[1, "x", [], "~", "Bad Name", 70000]"#),
    ("parameters", "enum", r#"[[], "a", [1, "a"], ["a", "b"], {}]"#),
    ("parameters", "pattern", r#"["(", "^/", "\\w{1,63}", 1, "^x$"]"#),
    ("parameters", "minimum", r#"[5, "x", "1s", 100000]"#),
    ("parameters", "maximum", r#"[0, "x", "1Ki", -1]"#),
    ("parameters", "maxLength", r#"[1, -1, "3", 0]"#),
    ("parameters", "settableBy", r#"["Nobody", "Anybody", "Namespace"]"#),
    ("parameters", "optional", r#"["yes", true, false]"#),
    ("parameters", "sensitive", r#"[true, 1]"#),
    (
        "metadata",
        "labels",
        r#"[{"pillion.dev/x": "a"}, {"pod-template-hash": "a"}, {"a b": "c"}, {"a": "b c"}, {"a": 1}, "x",
        {"${{ 'a' }}": "b"}, {"job-name": "a"}, {"a": "${{ 'b c' }}"}, {"a": null}]"#,
    ),
    (
        "metadata",
        "annotations",
        r#"[{"a.pillion.dev/x": "a"}, {"kubernetes.io/config.mirror": "a"}, {"A B": "c"}, {"a": 1}, {"a": true}]"#,
    ),
    ("metadata", "finalizers", r#"[["a"], null]"#),
    ("metadata", "ownerReferences", "[[]]"),
    ("spec", "nodeName", r#"["a"]"#),
    ("spec", "serviceAccountName", r#"["a"]"#),
    ("spec", "ephemeralContainers", "[[]]"),
    ("spec", "priorityClassName", r#"["a"]"#),
    (
        "spec",
        "volumes",
        r#"["${{ [{'name': 'data', 'emptyDir': {}}] }}", {}, [{"emptyDir": {}}], "${{ [{'name': 'Bad Name'}] }}"]"#,
    ),
    ("spec", "containers", r#"["${{ [] }}", [{}], {}, [{"name": "proxy", "image": "b"}]]"#),
    (
        "spec",
        "initContainers",
        r#"["${{ [] }}", [{"image": "a"}], [null], [{"name": "app", "image": "b", "restartPolicy": "Always"}]]"#,
    ),
    ("spec", "terminationGracePeriodSeconds", r#"[-1, "30", 2, 1, 0, "${{ -5 }}", 120]"#),
    ("spec", "activeDeadlineSeconds", r#"[0, -1, 99999999999, "${{ 0 }}"]"#),
    ("spec", "dnsPolicy", r#"["None", "none", "${{ 'None' }}", ""]"#),
    (
        "spec",
        "dnsConfig",
        r#"[{"nameservers": ["a"]}, {"nameservers": ["1.1.1.1", "1.1.1.2", "1.1.1.3", "1.1.1.4"]}, {"nameserver": []},
        {"nameservers": ["${{ 'x' }}"]}, {"nameservers": "${{ ['1.1.1.1', 'a'] }}"}]"#,
    ),
    ("spec", "hostname", r#"["Bad_Name", "${{ 'a.b' }}", "a.b", ""]"#),
    ("spec", "subdomain", r#"["a.b", ""]"#),
    (
        "spec",
        "hostAliases",
        r#"[[{"ip": "x"}], [{"hostnames": ["a"]}], [{"ip": "${{ 'x' }}"}], ["${{ null }}"], [{"ip": "${{ null }}"}]]"#,
    ),
    ("spec", "readinessGates", r#"[[{"conditionType": "a b"}], [{"conditionType": "${{ '' }}"}], [{}]]"#),
    ("spec", "nodeSelector", r#"[{"a b": "c"}, {"a": "b c"}, {"a": 1}, {"a": "${{ 'b c' }}"}]"#),
    (
        "spec",
        "tolerations",
        r#"[[{}], [{"key": "a b"}], [{"operator": "Exists", "value": "a"}], [{"key": "a", "value": "b c"}], [{"key": "a", "tolerationSeconds": 1}],
        [{"key": "a", "operator": "exists"}], "${{ [{'key': 'a', 'tolerationSeconds': 1}] }}"]"#,
    ),
    (
        "spec",
        "topologySpreadConstraints",
        r#"[[{"maxSkew": 0, "topologyKey": "a", "whenUnsatisfiable": "DoNotSchedule"}], [{"maxSkew": 1}],
        [{"maxSkew": 1, "topologyKey": "", "whenUnsatisfiable": "DoNotSchedule"}], [{"maxSkew": 1, "topologyKey": "a", "whenUnsatisfiable": ""}]]"#,
    ),
    (
        "spec",
        "securityContext",
        r#"[{"runAsUser": -1}, {"sysctls": [{"name": "A", "value": "1"}]}, {"fsGroup": 9999999999}, {"supplementalGroups": [-1]},
        {"windowsOptions": {"hostProcess": true}}, {"runAsUser": 0}, {"sysctls": [{"name": "${{ '' }}", "value": "1"}]}, {"runAsNonRoot": "yes"}]"#,
    ),
    (
        "spec",
        "resources",
        r#"[{"limits": {"cpu": "1m"}}, {"requests": {"cpu": "1m", "memory": "1Ki"}}, {"requests": {"cpu": 2}, "limits": {"cpu": 1}}, {"limits": {"memory": "1Ki"}}]"#,
    ),
    ("spec", "hostPID", "[true]"),
    ("spec", "shareProcessNamespace", "[true]"),
    (
        "volumes",
        "name",
        r#"["kube-api-access-x", "Data", "data", "~", "${{ 'Bad Name' }}", "${{ params.nope }}", "", "kube-api-access-${{ 'x' }}"]"#,
    ),
    (
        "volumes",
        "hostPath",
        r#"[{"path": "/a/../b"}, {"path": ""}, {}, {"path": "${{ '..' }}"}, {"path": "/var/log", "type": "Folder"}, {"path": "/a"}]"#,
    ),
    (
        "volumes",
        "configMap",
        r#"[{}, {"name": "Bad Name"}, {"name": "a", "defaultMode": 999}, {"name": "a", "items": [{"key": "", "path": "a"}]},
        {"name": "a", "items": [{"key": "k", "path": "../a"}]}, {"name": "${{ 'Bad Name' }}"}, {"name": "a", "items": [{"key": "k", "path": "a", "mode": -1}]}]"#,
    ),
    (
        "volumes",
        "secret",
        r#"[{}, {"secretName": "Bad_Name"}, {"secretName": "a", "items": [{"key": "k"}]}, {"name": "a"}]"#,
    ),
    (
        "volumes",
        "emptyDir",
        r#"[{"sizeLimit": "-1"}, {"sizeLimit": "x"}, {"medium": 1}, "${{ null }}", {"sizeLimit": "${{ '-1' }}"}, null]"#,
    ),
    (
        "volumes",
        "downwardAPI",
        r#"[{"items": [{"path": "a"}]}, {"items": [{"path": "", "fieldRef": {"fieldPath": "metadata.name"}}]},
        {"items": [{"path": "a", "fieldRef": {"fieldPath": "status.podIP"}}]}, {"items": [{"path": "a", "resourceFieldRef": {"resource": "limits.cpu"}}]},
        {"defaultMode": 999}, {"items": [{"path": "a", "mode": 999, "fieldRef": {"fieldPath": "metadata.name"}}]}]"#,
    ),
    ("volumes", "csi", r#"[{}, {"driver": ""}, {"driver": "Bad Name"}]"#),
    ("volumes", "image", r#"[{}, {"reference": ""}]"#),
    ("volumes", "persistentVolumeClaim", r#"[{}, {"claimName": ""}, {"claimName": "A"}]"#),
    (
        "volumes",
        "projected",
        r#"[{"sources": [{}]}, {"sources": [{"serviceAccountToken": {"path": "a", "expirationSeconds": 5}}]}, {"defaultMode": 999},
        {"sources": [{"serviceAccountToken": {"path": "/a"}}]}, {"sources": [{"configMap": {}}]}, {"sources": [{"secret": {"name": "a", "items": [{"key": "k", "path": ""}]}}]},
        {"sources": [{"configMap": {"name": "a"}, "secret": {"name": "b"}}]}]"#,
    ),
    (
        "initContainers",
        "restartPolicy",
        r#"["~", "Never", "Sometimes", "OnFailure", "${{ 'Never' }}", "${{ params.nope }}"]"#,
    ),
    ("initContainers", "image", r#"["~", "", " a", "${{ '' }}", 1, "${{ null }}"]"#),
    ("initContainers", "name", r#"["~", "App", "app", "${{ 'Bad Name' }}", ""]"#),
    ("initContainers", "startupProbe", r#"[{"exec": {"command": ["true"]}}, {}]"#),
    ("initContainers", "lifecycle", r#"[{"preStop": {"sleep": {"seconds": 1}}}, {}, {"postStart": {}}, "${{ {} }}"]"#),
    ("initContainers", "resizePolicy", r#"[[{"resourceName": "disk", "restartPolicy": "NotRequired"}], [{}]]"#),
    ("initContainers", "imagePullPolicy", r#"["always", "", "${{ 'always' }}"]"#),
    (
        "initContainers",
        "volumeMounts",
        r#"["${{ [] }}", [{"name": "nope", "mountPath": "/x"}], [{"name": "data", "mountPath": "/x"}, {"name": "data", "mountPath": "/x"}],
        [{"name": "data"}], [{"name": "data", "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount"}], [{"name": "${{ 'nope' }}", "mountPath": "/x"}]]"#,
    ),
    ("containers", "restartPolicy", r#"["Always", "Never"]"#),
    ("containers", "image", r#"["~", ""]"#),
    ("app", "containers", r#"[["Bad_Name"], ["proxy"], "*", ["fluent-bit"], "~", [1]]"#),
    ("app", "when", r#"["${{ true }}", "params.nope", "'a'", "1", "container.nope == 1"]"#),
    ("app", "override", r#"["yes", true]"#),
    ("app", "image", r#"["a"]"#),
    (
        "app",
        "volumeMounts",
        r#"[[{"name": "nope", "mountPath": "/x"}], "${{ [] }}", [{"name": "data", "mountPath": "/same"}], [{"name": "tmp", "mountPath": "/same"}],
        [{"name": "data", "mountPath": "${{ '' }}"}], [{"name": "${{ 'nope' }}", "mountPath": "/y"}]]"#,
    ),
    (
        "app",
        "ports",
        r#"[[{"containerPort": 0}], [{"name": "http", "containerPort": 81}], [{"containerPort": 80, "hostPort": 80}], [{"containerPort": "${{ 70000 }}"}],
        [{"name": "twice", "containerPort": 81}, {"name": "twice", "containerPort": 82}]]"#,
    ),
    (
        "app",
        "readinessProbe",
        r#"[{"httpGet": {"port": "nope"}}, {}, {"tcpSocket": {"port": "${{ 0 }}"}}, "${{ null }}", {"exec": {"command": []}}, {"tcpSocket": {"port": "http"}}]"#,
    ),
    (
        "app",
        "lifecycle",
        r#"[{"preStop": {"sleep": {"seconds": 9999}}}, {"preStop": {}}, {"postStart": {"exec": {}}}, {"preStop": {"sleep": {"seconds": "${{ 99 }}"}}}]"#,
    ),
    (
        "app",
        "resources",
        r#"[{"requests": {"cpu": 9}}, {"limits": {"cpu": "1m"}}, {"limits": {"cpux": 1}}, {"limits": {"memory": "-1"}}, {"requests": {"memory": "9Gi"}}]"#,
    ),
    (
        "app",
        "env",
        r#"[[{"name": "a=b"}], [{"name": ""}], [{"name": "${{ '' }}"}], [{"name": "A"}, {"name": "A", "value": "1"}], [{"value": "a"}], "${{ [{'name': 'A=B'}] }}"]"#,
    ),
    ("app", "initContainers", r#"[["*"], ["setup"], ["agent"]]"#),
    ("app", "startupProbe", r#"[{"exec": {"command": ["true"]}}]"#),
    ("ports", "containerPort", r#"[0, 65536, -1, "http", "~", "${{ 0 }}", "${{ 8080.0 }}", "${{ 1.5 }}"]"#),
    ("ports", "hostPort", r#"[70000, -1, 0, 8080, "${{ 70000 }}"]"#),
    ("ports", "name", r#"["HTTP", "a-name-that-is-too-long", "80", "a--b", "http", "${{ 'Bad' }}"]"#),
    ("ports", "protocol", r#"["tcp", "", "UDP"]"#),
    ("env", "name", r#"["a=b", "", "~", "ü", "${{ 'a=b' }}", "A"]"#),
    (
        "env",
        "value",
        r#"[1, true, null, "x", "${{ 1 }}", "${ params.a }", "{{ params.a }}", "${{ params.a", "$${{ a }}", {}]"#,
    ),
    (
        "env",
        "valueFrom",
        r#"[{}, {"fieldRef": {"fieldPath": "metadata.nme"}}, {"resourceFieldRef": {"resource": "cpu"}}, {"configMapKeyRef": {"key": "a"}},
        {"secretKeyRef": {"name": "a", "key": ".."}}, {"fieldRef": {"fieldPath": "a"}, "secretKeyRef": {"name": "a", "key": "b"}}, {"fieldRef": {}},
        {"secretKeyRef": {"name": "Bad Name", "key": "b"}}, {"fieldRef": {"fieldPath": "${{ 'x' }}"}}]"#,
    ),
    ("envFrom", "prefix", r#"["=", "A_", "${{ '=' }}"]"#),
    ("envFrom", "configMapRef", r#"[{}, {"name": "Bad Name"}, {"name": "${{ 'Bad Name' }}"}]"#),
    ("envFrom", "secretRef", r#"[{}, {"name": "a"}]"#),
    ("volumeMounts", "mountPath", r#"["", "~", "/data", "${{ '' }}", "/data/", "${{ null }}"]"#),
    ("volumeMounts", "name", r#"["nope", "~", "dta", "${{ 'nope' }}"]"#),
    ("volumeMounts", "subPath", r#"["../a", "/a", "a", "${{ '../a' }}"]"#),
    ("volumeMounts", "subPathExpr", r#"["../a", "$(A)"]"#),
    ("volumeMounts", "recursiveReadOnly", r#"["Enabled", "enabled", "IfPossible", "${{ 'Enabled' }}"]"#),
    ("volumeMounts", "mountPropagation", r#"["Bidirectional", "${{ 'Bidirectional' }}"]"#),
    ("volumeDevices", "devicePath", r#"["", "~"]"#),
    ("startupProbe", "successThreshold", "[2, -1, 0]"),
    ("readinessProbe", "terminationGracePeriodSeconds", "[5]"),
    ("livenessProbe", "terminationGracePeriodSeconds", "[0, -1]"),
    ("livenessProbe", "successThreshold", r#"[2, "${{ 2 }}"]"#),
    ("readinessProbe", "periodSeconds", "[-1, \"10\"]"),
    ("readinessProbe", "exec", r#"[{"command": []}, {}, {"command": "true"}]"#),
    (
        "startupProbe",
        "httpGet",
        r#"[{"port": 0}, {"port": "nope"}, {"port": "NOPE"}, {}, {"port": 80, "httpHeaders": [{"name": "a b", "value": ""}]}, {"port": 80, "host": "a"}]"#,
    ),
    ("httpGet", "port", r#"[0, 70000, "Nope", "nope", "~", "${{ 'nope' }}", "${{ 0 }}"]"#),
    ("httpGet", "host", r#"["localhost"]"#),
    ("tcpSocket", "port", r#"["nope", "htp", 0]"#),
    ("sleep", "seconds", r#"[-1, 9999, "${{ 9999 }}", 31, "5"]"#),
    ("preStop", "exec", r#"[{}, {"command": ["a"]}]"#),
    (
        "resources",
        "requests",
        r#"[{"cpu": 100}, {"cpux": 1}, {"cpu": "-1"}, {"example.com/gpu": 1}, {"cpu": "x"}, {"cpu": "${{ '100' }}"}, {"hugepages-2Mi": "2Mi"}]"#,
    ),
    (
        "resources",
        "limits",
        r#"[{"cpu": "1m"}, {"memory": "-1"}, {"example.com/gpu": 0.5}, {"pods": 1}, {"memory": "1Ki"}]"#,
    ),
    ("securityContext", "runAsUser", r#"[-1, 2147483648, "0", "${{ -1 }}"]"#),
    ("securityContext", "privileged", "[true]"),
    ("securityContext", "allowPrivilegeEscalation", "[false]"),
    ("securityContext", "capabilities", r#"[{"add": ["CAP_SYS_ADMIN"]}, {"add": ["SYS_ADMIN"]}, {"drop": "ALL"}]"#),
    (
        "securityContext",
        "seccompProfile",
        r#"[{"type": "Localhost"}, {"type": "RuntimeDefault", "localhostProfile": "a"}, {"type": ""}, {"type": "Localhost", "localhostProfile": "../a"}, {}]"#,
    ),
    ("securityContext", "procMount", r#"["Unmasked"]"#),
    ("securityContext", "seLinuxOptions", r#"[{"type": "spc_t"}, {"user": "root"}]"#),
    ("securityContext", "windowsOptions", r#"[{"hostProcess": true}, {"runAsUserName": "a"}]"#),
    ("hostAliases", "ip", r#"["x", "~"]"#),
    ("items", "path", r#"["", "../a", "~"]"#),
];

/// Values that fit in few places.
const ODD: &str = r#"[
    "", null, true, 0, -1, 1.5, 65536, 99999999999, 1e300, [], {}, [null], {"a": null}, "Bad Name", "..", "/x/../y", "a b",
    "${{", "${{ }}", "${{ params.nope }}", "${{ pod.spec.nope }}", "${{ null }}", "${{ 'x' }}", "${{ 0 }}", "${{ [] }}",
    "${{ {} }}", "${{ {'a': 'b'} }}", "${{ 1.5 }}", "${{ true }}", "100Q", "1.5.5", "ü", "\u0000", "~", "${params.a}",
    "\u0001.inf", "\u00010x1F", "\u00010644", "\u00011_000", "\u0001~", "\u0001yes", "\u0001!!str 1", "\u0001-0", "\u0001&a b"
]"#;

/// Makes one or two slips in a template.
pub(super) fn spoil(random: &mut Random, template: &mut Value) {
    for _ in 0..random.pick(&[1, 1, 1, 2]) {
        if random.percent(70) {
            slip(random, template);
        } else {
            mishap(random, template);
        }
    }
}

/// Puts something where there is a rule against it.
fn slip(random: &mut Random, template: &mut Value) {
    // Not every template has a place for every slip.
    for _ in 0..20 {
        let (holder, field, values) = random.pick(SLIPS);
        let mut places = Vec::new();
        find(template, "", holder, String::new(), &mut places);
        if places.is_empty() {
            continue;
        }
        let place = random.pick(&places);
        let value = random.json(values);
        let object = template.pointer_mut(&place).and_then(Value::as_object_mut).expect("it was found");
        if value == "~" {
            object.remove(field);
        } else {
            object.insert(field.into(), value);
        }
        return;
    }
}

/// The objects that are in a field of this name.
fn find(value: &Value, field: &str, wanted: &str, path: String, places: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            if field == wanted {
                places.push(path.clone());
            }
            for (name, value) in members {
                let token = name.replace('~', "~0").replace('/', "~1");
                find(value, name, wanted, format!("{path}/{token}"), places);
            }
        }
        Value::Array(items) => {
            for (at, item) in items.iter().enumerate() {
                find(item, field, wanted, format!("{path}/{at}"), places);
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
            _ => text.insert_str(at, "{"),
        }
    }
    text
}
