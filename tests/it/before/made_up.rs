//! Templates that are made up, over the whole breadth of what one can hold. What they give a pod follows the schema, with
//! words that fit where the API server has a rule; most are accepted.

use std::collections::HashSet;
use std::sync::LazyLock;

use serde_json::{Map, Value, json};

use super::holes;
use super::random::Random;

/// What a pod may hold, as the old engine knew it.
static SCHEMA: LazyLock<Value> = LazyLock::new(|| {
    serde_json::from_str(include_str!("../../before/src/schema.json")).expect("the committed schema is JSON")
});

/// The fields of which an object has one.
const UNIONS: &[(&str, &[&str])] = &[
    ("Probe", &["exec", "httpGet", "tcpSocket", "grpc"]),
    ("LifecycleHandler", &["exec", "httpGet", "tcpSocket", "sleep"]),
    ("EnvVar", &["value", "value", "valueFrom"]),
    ("EnvVarSource", &["fieldRef", "resourceFieldRef", "configMapKeyRef", "secretKeyRef", "fileKeyRef"]),
    ("EnvFromSource", &["configMapRef", "secretRef"]),
    ("DownwardAPIVolumeFile", &["fieldRef", "resourceFieldRef"]),
    ("VolumeMount", &["subPath", "subPathExpr", "readOnly"]),
    (
        "VolumeProjection",
        &["configMap", "secret", "downwardAPI", "serviceAccountToken", "clusterTrustBundle", "podCertificate"],
    ),
];

/// Sources of volumes that have rules of their own.
const SOURCES: &[&str] = &[
    "emptyDir",
    "emptyDir",
    "configMap",
    "secret",
    "projected",
    "projected",
    "hostPath",
    "downwardAPI",
    "csi",
    "image",
    "persistentVolumeClaim",
    "ephemeral",
];

/// Fields of a pod's `spec` that templates give.
const POD_FIELDS: &[&str] = &[
    "activeDeadlineSeconds",
    "affinity",
    "dnsConfig",
    "dnsPolicy",
    "enableServiceLinks",
    "hostAliases",
    "hostIPC",
    "hostNetwork",
    "hostPID",
    "hostUsers",
    "hostname",
    "hostnameOverride",
    "imagePullSecrets",
    "nodeSelector",
    "readinessGates",
    "resourceClaims",
    "resources",
    "restartPolicy",
    "schedulerName",
    "schedulingGates",
    "securityContext",
    "setHostnameAsFQDN",
    "shareProcessNamespace",
    "subdomain",
    "terminationGracePeriodSeconds",
    "tolerations",
    "topologySpreadConstraints",
];

/// A template of that name.
pub(super) fn template(random: &mut Random, name: &str) -> Value {
    let mut author = Author { random, volumes: Vec::new(), ports: Vec::new() };
    let mut spec = author.spec();
    // Some templates have none, and some have many.
    let share = random.pick(&[0, 0, 3, 8, 8, 20]);
    holes::make(random, &mut spec, share);
    let namespaced = random.percent(10);
    let kind = if namespaced { "InjectionTemplate" } else { "ClusterInjectionTemplate" };
    let mut metadata = json!({"name": name});
    if namespaced {
        metadata["namespace"] = random.json(r#"["shop", "shop", "bank"]"#);
    }
    json!({"apiVersion": "pillion.dev/v1alpha1", "kind": kind, "metadata": metadata, "spec": spec})
}

struct Author<'r> {
    random: &'r mut Random,
    /// The names of the volumes that mounts can name.
    volumes: Vec<String>,
    /// The names of the ports that probes can name.
    ports: Vec<Value>,
}

impl Author<'_> {
    fn spec(&mut self) -> Value {
        let mut spec = json!({"parameters": self.parameters()});
        let chance = [
            ("description", 40, r#"["Ships logs.", "", "a\nb"]"#),
            ("onError", 30, r#"["Deny", "Skip", "Skip"]"#),
            ("serviceAccountToken", 20, "[true, false, false]"),
            ("os", 20, r#"[["linux"], ["windows"], ["linux", "windows"], ["windows", "linux"], []]"#),
            ("hostNetwork", 30, "[true, true, false]"),
            ("allowShadowing", 10, "[true, false]"),
            ("namespaceSelector", 10, SELECTORS),
            ("placement", 30, PLACEMENTS),
            ("when", 20, CONDITIONS),
        ];
        for (field, share, values) in chance {
            if self.random.percent(share) {
                spec[field] = self.random.json(values);
            }
        }
        let gives_pod = self.random.percent(85);
        let count = if gives_pod { self.random.pick(&[0, 1, 1, 2, 3]) } else { 0 };
        let volumes: Vec<Value> = (0..count).map(|_| self.volume()).collect();
        self.volumes = volumes.iter().filter_map(|volume| volume["name"].as_str().map(str::to_owned)).collect();
        let volumes = unique(volumes, &["name"]);
        if self.random.percent(40) {
            let shares = self.random.json(r#"[["data"], ["app-logs", "tmp"], ["data", "app-logs"], []]"#);
            let names = shares.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned);
            self.volumes.extend(names);
            spec["shares"] = shares;
        }
        if gives_pod {
            spec["pod"] = self.pod(volumes);
            if spec["pod"]["spec"]["hostNetwork"] == true {
                spec["hostNetwork"] = true.into();
            }
        }
        if spec["os"].to_string().contains("windows") && self.random.percent(60) {
            self.give_what_one_system_lacks(&mut spec);
        }
        let entries = if spec.get("pod").is_none() { 1 } else { self.random.pick(&[0, 0, 1, 1, 2]) };
        if entries > 0 {
            spec["app"] = (0..entries).map(|_| self.app_entry()).collect();
        }
        spec
    }

    /// One thing alone that pods of Windows, or of Linux, cannot have.
    fn give_what_one_system_lacks(&mut self, spec: &mut Value) {
        let Some(pod) = spec.pointer_mut("/pod/spec").and_then(Value::as_object_mut) else { return };
        let mut context = |name: &str| {
            let fields = SCHEMA[name]["fields"].as_object().expect("a type has fields");
            let names: Vec<&String> = fields.keys().collect();
            let field = self.random.pick(&names);
            json!({field: self.value(&fields[field], name, field, 2)})
        };
        let (of_pod, of_container) = (context("PodSecurityContext"), context("SecurityContext"));
        let lists = pod.iter_mut().filter(|(name, _)| *name == "initContainers" || *name == "containers");
        let containers: Vec<_> = lists.flat_map(|(_, list)| list.as_array_mut().into_iter().flatten()).collect();
        let is_of_pod = containers.is_empty() || self.random.percent(50);
        for container in containers {
            container["securityContext"] = if is_of_pod { json!({}) } else { of_container.clone() };
        }
        if is_of_pod {
            let field = self.random.pick(&[
                "hostPID",
                "hostIPC",
                "shareProcessNamespace",
                "securityContext",
                "securityContext",
            ]);
            pod.insert(field.into(), if field == "securityContext" { of_pod } else { true.into() });
        }
    }

    /// Some that nothing need name.
    fn parameters(&mut self) -> Vec<Value> {
        const MADE: &str = r#"[
            {"type": "string", "default": "web"}, {"type": "string", "default": "/data", "pattern": "^/"},
            {"type": "string", "enum": ["a", "b"]}, {"type": "string", "optional": true, "maxLength": 5},
            {"type": "string"}, {"type": "string", "example": "registry.example.com/app:1"},
            {"type": "string", "default": "s3cret", "sensitive": true}, {"type": "boolean"},
            {"type": "integer", "default": 8080, "minimum": 1, "maximum": 65535}, {"type": "integer"},
            {"type": "integer", "optional": true, "settableBy": "Namespace"},
            {"type": "number", "default": 0.5, "minimum": 0, "maximum": 1}, {"type": "boolean", "default": false},
            {"type": "quantity", "default": "64Mi", "maximum": "1Gi"}, {"type": "quantity", "default": 1},
            {"type": "duration", "default": "30s", "minimum": "1s"}, {"type": "duration", "enum": ["1m", "60s"]},
            {"type": "object", "default": {"a": "b"}}, {"type": "object", "optional": true},
            {"type": "list", "default": ["a", "b"]}, {"type": "list", "optional": true, "example": [1]},
            {"type": "string", "default": "fixed", "settableBy": "Nobody"}
        ]"#;
        let count = self.random.pick(&[0, 0, 1, 2, 4]);
        let made = |at| {
            let mut parameter = self.random.json(MADE);
            parameter["name"] = format!("own{at}").into();
            parameter
        };
        (0..count).map(made).collect()
    }

    fn pod(&mut self, volumes: Vec<Value>) -> Value {
        let mut pod = json!({});
        if self.random.percent(40) {
            pod["metadata"] = self.members(&[
                ("labels", 60, r#"[{"logs": "shipped"}, {"app": "web", "example.com/team": ""}, {"a.b_c": "v1.2"}]"#),
                ("annotations", 60, r#"[{"example.com/Note": "a: [b]"}, {"prometheus.io/scrape": "true"}, {"Example.com/Team": "${{ pod.metadata.name }}"}, {"a": ""}]"#),
            ]);
        }
        let mut names = HashSet::new();
        let mut spec = Map::new();
        for (list, counts) in [("initContainers", [0, 1, 1, 2]), ("containers", [0, 0, 0, 1])] {
            let containers = (0..self.random.pick(&counts)).map(|_| self.container(list == "initContainers"));
            let containers: Vec<_> = containers.filter(|it| names.insert(it["name"].to_string())).collect();
            if !containers.is_empty() {
                spec.insert(list.into(), containers.into());
            }
        }
        for _ in 0..self.random.pick(&[0, 0, 1, 1, 2, 3]) {
            let field = self.random.pick(POD_FIELDS);
            spec.insert(field.into(), self.value(&SCHEMA["PodSpec"]["fields"][field], "PodSpec", field, 0));
        }
        if !volumes.is_empty() {
            spec.insert("volumes".into(), volumes.into());
        }
        pod["spec"] = spec.into();
        pod
    }

    /// An object with some of these members.
    fn members(&mut self, members: &[(&str, usize, &str)]) -> Value {
        let mut object = Map::new();
        for (name, share, values) in members {
            if self.random.percent(*share) {
                object.insert((*name).into(), self.random.json(values));
            }
        }
        object.into()
    }

    fn volume(&mut self) -> Value {
        let mut volume =
            json!({"name": self.random.json(r#"["data", "app-logs", "config", "sockets", "cache", "work"]"#)});
        let all = SCHEMA["Volume"]["fields"].as_object().expect("a type has fields");
        let rare: Vec<_> = all.keys().map(String::as_str).filter(|name| *name != "name").collect();
        let source = if self.random.percent(15) { self.random.pick(&rare) } else { self.random.pick(SOURCES) };
        if !self.random.percent(3) {
            volume[source] = self.value(&all[source], "Volume", source, 1);
        }
        volume
    }

    fn container(&mut self, is_init: bool) -> Value {
        let is_sidecar = is_init && self.random.percent(75);
        let mut container = self.container_fields(if is_init && !is_sidecar { ENDING } else { &[] }, 20);
        container.insert("name".into(), self.random.json(r#"["fluent-bit", "proxy", "agent", "init-dirs"]"#));
        container.insert("image".into(), self.random.json(IMAGES));
        if is_sidecar {
            container.insert("restartPolicy".into(), "Always".into());
        } else {
            container.remove("restartPolicy");
            container.remove("restartPolicyRules");
        }
        container.into()
    }

    /// Fields of a container other than those that are skipped, in so many of a hundred cases each.
    fn container_fields(&mut self, skipped: &[&str], share: usize) -> Map<String, Value> {
        let mut container = Map::new();
        let fields = SCHEMA["Container"]["fields"].as_object().expect("a type has fields");
        // Probes name ports, so these come first.
        self.ports = Vec::new();
        if self.random.percent(60) {
            let ports = self.value(&fields["ports"], "Container", "ports", 1);
            self.ports = ports.as_array().into_iter().flatten().filter_map(|port| port.get("name").cloned()).collect();
            container.insert("ports".into(), ports);
        }
        for (field, kind) in fields.iter().filter(|(field, _)| !skipped.contains(&field.as_str()) && *field != "ports")
        {
            let share = if field == "volumeMounts" { 60 } else { share };
            if self.random.percent(share) {
                let is_mount = field.starts_with("volume");
                if !is_mount || !self.volumes.is_empty() {
                    let mut value = self.value(kind, "Container", field, 1);
                    if field == "readinessProbe" {
                        // It ends nothing.
                        value.as_object_mut().expect("it is a probe").remove("terminationGracePeriodSeconds");
                    }
                    container.insert(field.clone(), value);
                }
            }
        }
        container
    }

    fn app_entry(&mut self) -> Value {
        let own = ["name", "image", "restartPolicy"];
        let known =
            ["env", "envFrom", "volumeMounts", "volumeDevices", "startupProbe", "livenessProbe", "readinessProbe"];
        let fields = SCHEMA["Container"]["fields"].as_object().expect("a type has fields").keys().map(String::as_str);
        let mut skipped: Vec<_> = fields.filter(|it| !known.contains(it)).collect();
        skipped.retain(|it| !["lifecycle", "resources"].contains(it));
        skipped.extend(own);
        let mut entry = self.members(&[
            ("containers", 85, r#"[["*"], ["*"], ["*"], ["app"], ["a*", "w*b"], ["*-main"], ["web", "worker"], []]"#),
            ("initContainers", 25, r#"[["*"], ["setup"], ["s*p"]]"#),
            ("override", 30, "[true, true, false]"),
            ("when", 25, ENTRY_CONDITIONS),
        ]);
        let fields = self.container_fields(&skipped, 25);
        let members = entry.as_object_mut().expect("it is made of members");
        if !members.contains_key("initContainers") {
            members.entry("containers").or_insert_with(|| json!(["*"]));
        }
        if fields.is_empty() {
            members.insert("env".into(), json!([{"name": "MODE", "value": "fast"}]));
        }
        members.extend(fields);
        entry
    }

    /// A value of a type.
    fn value(&mut self, kind: &Value, owner: &str, field: &str, depth: usize) -> Value {
        if let Some(name) = kind["ref"].as_str() {
            return match name {
                "ResourceRequirements" => self.resources(),
                "Toleration" => self.random.json(TOLERATIONS),
                "SeccompProfile" | "AppArmorProfile" => self.random.json(PROFILES),
                "LabelSelector" => self.random.json(SELECTORS),
                _ => self.object(name, depth + 1),
            };
        }
        if let Some(item) = kind.get("list") {
            let count = self.random.pick(&[1, 1, 2, 3]);
            let items: Vec<_> = (0..count).map(|_| self.value(item, owner, field, depth + 1)).collect();
            let keys: Vec<_> = kind["keys"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
            let items = if field == "ports" { unique(items, &["name"]) } else { items };
            return unique(items, &keys).into();
        }
        if let Some(value) = kind.get("map") {
            let keys = match field {
                "requests" | "limits" | "overhead" => r#"["cpu", "memory", "storage"]"#,
                _ => r#"["disk", "example.com/zone", "a.b"]"#,
            };
            let count = self.random.pick(&[1, 2]);
            let members = (0..count).map(|_| (self.random.json(keys), self.value(value, owner, field, depth + 1)));
            let members: Vec<_> = members.collect();
            let member = |(name, value): (Value, Value)| (name.as_str().unwrap_or_default().to_owned(), value);
            return Value::Object(members.into_iter().map(member).collect());
        }
        if let Some(allowed) = kind["enum"].as_array() {
            return match field {
                "mountPropagation" => self.random.json(r#"["None", "HostToContainer"]"#),
                "dnsPolicy" => self.random.json(r#"["Default", "ClusterFirst", "ClusterFirstWithHostNet"]"#),
                _ => self.random.pick(allowed),
            };
        }
        self.scalar(kind["type"].as_str().unwrap_or_default(), owner, field)
    }

    fn object(&mut self, name: &str, depth: usize) -> Value {
        let schema = &SCHEMA[name];
        let fields = schema["fields"].as_object().expect("a type has fields");
        let is_required = |field: &str| schema["required"].as_array().is_some_and(|it| it.contains(&field.into()));
        let union = UNIONS.iter().find(|(union, _)| *union == name).map(|(_, fields)| *fields).unwrap_or_default();
        let chosen = (!union.is_empty()).then(|| self.random.pick(union));
        let share = [50, 40, 30, 20].get(depth).copied().unwrap_or(10);
        let mut object = Map::new();
        for (field, kind) in fields {
            let is_wanted = match (union.contains(&field.as_str()), field.as_str()) {
                (true, field) => chosen == Some(field),
                // Each of these is there, or its owner says nothing.
                (false, "command" | "secretName" | "claimName" | "driver" | "reference" | "sources" | "items") => {
                    depth < 6 && (field != "items" || name.starts_with("Downward"))
                }
                (false, "name" | "containerName") => true,
                (false, "recursiveReadOnly" | "terminationGracePeriodSeconds") => self.random.percent(5),
                (false, field) => is_required(field) || self.random.percent(share),
            };
            if is_wanted {
                object.insert(field.clone(), self.value(kind, name, field, depth));
            }
        }
        object.into()
    }

    fn scalar(&mut self, kind: &str, owner: &str, field: &str) -> Value {
        let words = match (owner, field) {
            ("Volume" | "VolumeMount" | "VolumeDevice", "name") => {
                let volumes: Vec<Value> = self.volumes.iter().map(|name| name.as_str().into()).collect();
                return if volumes.is_empty() { "data".into() } else { self.random.pick(&volumes) };
            }
            ("HTTPGetAction" | "TCPSocketAction", "port") if !self.ports.is_empty() && self.random.percent(50) => {
                let ports = self.ports.clone();
                return self.random.pick(&ports);
            }
            ("ContainerPort", "name") => r#"["metrics", "admin", "web", "health"]"#,
            ("EnvVar", "name") => r#"["A", "MODE", "LOG_DIR", "a.b-c", "PORT"]"#,
            ("EnvVar", "value") => r#"["", "fast", "$(A)/b", "a: [b]", "ü", "1"]"#,
            ("DownwardAPIVolumeFile", "fieldRef") | ("ObjectFieldSelector", "fieldPath") => {
                r#"["metadata.name", "metadata.namespace", "metadata.labels['app']", "metadata.annotations['A']", "metadata.uid"]"#
            }
            ("ResourceFieldSelector", "resource") => r#"["limits.cpu", "requests.memory", "limits.ephemeral-storage"]"#,
            ("HostAlias", "ip") | (_, "nameservers") => r#"["10.0.0.1", "10.0.0.53", "::1"]"#,
            ("Sysctl", "name") => r#"["net.ipv4.tcp_syncookies", "kernel.shm_rmid_forced", "net.core.somaxconn"]"#,
            ("ContainerResizePolicy", "resourceName") => r#"["cpu", "memory"]"#,
            ("PodReadinessGate", "conditionType") => r#"["example.com/ready", "ready"]"#,
            ("HTTPHeader", "name") => r#"["Host", "X-Probe"]"#,
            ("HostPathVolumeSource", "path") => r#"["/var/log", "/"]"#,
            (
                "KeyToPath"
                | "DownwardAPIVolumeFile"
                | "ServiceAccountTokenProjection"
                | "ClusterTrustBundleProjection",
                "path",
            ) => r#"["token", "a/b", "labels"]"#,
            ("Container", "restartPolicy") => r#"["Always"]"#,
            (_, "add") => r#"["NET_BIND_SERVICE", "NET_ADMIN", "CHOWN"]"#,
            (_, "drop") => r#"["ALL", "NET_RAW"]"#,
            (_, "mountPath") => {
                r#"["/data", "/var/log/app", "/tmp", "/data/", "/etc/app/config.yaml", "/sockets", "/a", "/b", "/var/run/secrets/kubernetes.io/serviceaccount"]"#
            }
            (_, "devicePath") => r#"["/dev/xvda", "/dev/b"]"#,
            (_, "subPath" | "subPathExpr") => r#"["a", "a/b", "$(A)"]"#,
            (_, "port" | "containerPort") => "[80, 8080, 9090, 15000, 2020]",
            (_, "hostPort") => "[8080, 9090, 30000]",
            (_, "mode" | "defaultMode") => "[420, 256, 0, 511]",
            (_, "expirationSeconds" | "maxExpirationSeconds") => "[600, 3600, 86400]",
            (_, "successThreshold") => "[1]",
            (_, "seconds") => "[1, 5, 25]",
            (_, "runAsUser" | "runAsGroup" | "fsGroup" | "supplementalGroups") => "[0, 1000, 65532]",
            (_, "sizeLimit" | "divisor") => r#"["1Mi", "0.5", 1, "1Gi"]"#,
            (_, "recursiveReadOnly") => r#"["Disabled", "IfPossible"]"#,
            (_, "labelSelector") => SELECTORS,
            (_, "image") => IMAGES,
            _ => match kind {
                "int32" | "int64" => "[1, 2, 5, 10, 30, 60]",
                "boolean" => "[true, false]",
                "quantity" => r#"["1", "500m", "64Mi", 2, 0.5]"#,
                "intOrString" => "[80, 8080]",
                "any" => r#"[{}, "x", 1]"#,
                _ => r#"["a", "web", "config", "keys", "x-1"]"#,
            },
        };
        self.random.json(words)
    }

    fn resources(&mut self) -> Value {
        self.random.json(
            r#"[
            {}, {"requests": {"cpu": "100m", "memory": "64Mi"}}, {"limits": {"cpu": 2, "memory": "1Gi"}},
            {"requests": {"cpu": "0.5"}, "limits": {"cpu": 0.5, "memory": "128974848"}},
            {"requests": {"ephemeral-storage": "1Gi", "cpu": "10m"}, "limits": {"cpu": "1"}},
            {"limits": {"example.com/gpu": 1}}, {"limits": {"hugepages-2Mi": "4Mi"}, "requests": {"hugepages-2Mi": "4Mi"}},
            {"requests": {"memory": "1e3"}, "limits": {"memory": "10Mi"}}, {"claims": [{"name": "gpu"}]}
        ]"#,
        )
    }
}

/// The first of each key.
fn unique(items: Vec<Value>, keys: &[&str]) -> Vec<Value> {
    let mut seen = HashSet::new();
    let key = |item: &Value| keys.iter().map(|key| item[*key].to_string()).collect::<Vec<_>>().join("/");
    items.into_iter().filter(|item| keys.is_empty() || item[keys[0]].is_null() || seen.insert(key(item))).collect()
}

/// What an init container that ends does not have.
const ENDING: &[&str] = &["startupProbe", "livenessProbe", "readinessProbe", "lifecycle"];

const IMAGES: &str = r#"["registry.example.com/app:1", "a", "app@sha256:0123", "localhost:5000/app"]"#;

const PLACEMENTS: &str = r#"[
    {"position": "BeforeInit"}, {"position": "AfterInit"}, {"before": "setup"}, {"after": "setup"}, {"after": "proxy"}
]"#;

const SELECTORS: &str = r#"[
    {}, {"matchLabels": {"team": "payments"}}, {"matchExpressions": [{"key": "team", "operator": "Exists"}]},
    {"matchExpressions": [{"key": "team", "operator": "NotIn", "values": ["a", "b"]}]},
    {"matchExpressions": [{"key": "stage", "operator": "DoesNotExist"}], "matchLabels": {"team": "payments"}}
]"#;

const TOLERATIONS: &str = r#"[
    {"operator": "Exists"}, {"key": "dedicated", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 5},
    {"key": "a", "operator": "Equal", "value": "b"}, {"key": "example.com/a", "value": "", "effect": "NoSchedule"},
    {"key": "a", "operator": "Gt", "value": "5"}
]"#;

const PROFILES: &str = r#"[
    {"type": "RuntimeDefault"}, {"type": "Localhost", "localhostProfile": "profiles/a.json"}, {"type": "Unconfined"}
]"#;

/// Conditions of a template.
const CONDITIONS: &str = r#"[
    "true", "false", "pod.metadata.labels[?'app'].orValue('none') == 'web'", "has(pod.spec.volumes)",
    "namespaceObject.metadata.name != 'bank'", "pod.spec.containers.size() > 1", "has(pod.metadata.name)",
    "pod.spec.containers.exists(c, has(c.ports))", "namespaceObject.metadata.?labels.team.orValue('') == 'payments'",
    "!(has(pod.spec.hostNetwork) && pod.spec.hostNetwork)"
]"#;

/// Conditions of an entry of `app`.
const ENTRY_CONDITIONS: &str = r#"[
    "true", "has(container.ports)", "container.name == 'app'", "!has(container.readinessProbe)", "false",
    "container.?ports.orValue([]).size() > 1", "has(pod.spec.volumes)", "container.image.startsWith('registry')"
]"#;
