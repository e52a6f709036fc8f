//! Pods as proptest makes them up. Most are fit for an API server, and many hold what the cookbook brings, too.

use std::collections::HashSet;

use proptest::collection::vec;
use proptest::option::weighted;
use proptest::prelude::*;
use proptest::sample::{Index, select, subsequence};
use proptest::string::string_regex;
use serde_json::{Value, json};

use super::cookbook::{self, Recipe};
use super::json::Json;

/// A pod that asks for some templates of the cookbook, with some of their parameters.
pub(crate) fn pod_with_choice() -> impl Strategy<Value = Value> {
    (pod(), choice()).prop_map(|(mut pod, choice)| {
        let annotations = pod["metadata"]["annotations"].as_object_mut().expect("a map");
        annotations.extend(choice.into_iter().map(|(key, value)| (key, value.into())));
        pod
    })
}

/// The annotations that choose templates and set parameters.
fn choice() -> impl Strategy<Value = Vec<(String, String)>> {
    let all: Vec<&'static Recipe> = cookbook::recipes().iter().collect();
    let most = all.len().min(4);
    subsequence(all, 1..=most).prop_shuffle().prop_flat_map(|chosen| {
        let names: Vec<&str> = chosen.iter().map(|recipe| recipe.name.as_str()).collect();
        let asked = ("pillion.dev/templates".to_owned(), names.join(","));
        let set: Vec<_> = chosen.into_iter().map(parameters).collect();
        set.prop_map(move |set| set.into_iter().flatten().chain([asked.clone()]).collect())
    })
}

fn parameters(recipe: &'static Recipe) -> BoxedStrategy<Vec<(String, String)>> {
    let declared = recipe.spec["parameters"].as_array().into_iter().flatten();
    let set: Vec<_> = declared
        .filter(|parameter| parameter["settableBy"].as_str().is_none_or(|who| who == "Pod"))
        .map(|parameter| {
            let key = format!("{}.pillion.dev/{}", recipe.name, parameter["name"].as_str().expect("a name"));
            let is_required = parameter["default"].is_null() && parameter["optional"] != true;
            let value = prop_oneof![30 => value_of(parameter), 1 => text()];
            weighted(if is_required { 0.97 } else { 0.2 }, value)
                .prop_map(move |value| value.map(|value| (key.clone(), value)))
        })
        .collect();
    set.prop_map(|set| set.into_iter().flatten().collect()).boxed()
}

/// A value that keeps a parameter's rules, as far as they are simple.
fn value_of(parameter: &Value) -> BoxedStrategy<String> {
    let display = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let written: Vec<String> =
        ["default", "example"].iter().map(|key| &parameter[*key]).filter(|it| !it.is_null()).map(display).collect();
    let written = (!written.is_empty()).then(|| select(written).boxed());
    if let Some(allowed) = parameter["enum"].as_array() {
        return select(allowed.iter().map(display).collect::<Vec<_>>()).boxed();
    }
    let bound = |key: &str, otherwise: i64| parameter[key].as_i64().unwrap_or(otherwise);
    let made_up = match parameter["type"].as_str().expect("a type") {
        "string" => match parameter["pattern"].as_str() {
            // Anchors are not known here, and the text is as long as the pattern says anyway.
            Some(pattern) => {
                string_regex(pattern.trim_start_matches('^').trim_end_matches('$')).ok().map(Strategy::boxed)
            }
            None => Some(text()),
        },
        "integer" | "number" => {
            let (minimum, maximum) = (bound("minimum", -10), bound("maximum", 70_000));
            let maximum = maximum.max(minimum);
            Some(prop_oneof![Just(minimum), Just(maximum), minimum..=maximum].prop_map(|it| it.to_string()).boxed())
        }
        "boolean" => Some(select(vec!["true", "false"]).prop_map(str::to_owned).boxed()),
        "quantity" => Some(select(vec!["1", "10m", "0.5", "64Mi", "1Gi", "1e3"]).prop_map(str::to_owned).boxed()),
        "duration" => Some(select(vec!["1s", "90s", "1h30m", "500ms"]).prop_map(str::to_owned).boxed()),
        _ => None,
    };
    match (written, made_up) {
        (Some(written), Some(made_up)) => prop_oneof![written, made_up].boxed(),
        (Some(strategy), None) | (None, Some(strategy)) => strategy,
        (None, None) => text(),
    }
}

/// Text of all kinds, and what might mean something to somebody on the way.
pub(crate) fn text() -> BoxedStrategy<String> {
    let meaningful = [
        "",
        " ",
        "${{ params.image }}",
        "$(HOME)",
        "a: [b]\n- c",
        "{\"a\": \"b\"}",
        "\"'\\",
        "\u{202e}\u{0}\u{7f}",
        "~",
        "null",
        "--",
        "/a/../b",
    ];
    prop_oneof![2 => "\\PC{0,16}", 1 => select(meaningful.to_vec()).prop_map(str::to_owned)].boxed()
}

/// An object of those members that are drawn; half of them are.
fn object(members: Vec<(&'static str, BoxedStrategy<Value>)>) -> BoxedStrategy<Value> {
    drawn(0.5, members)
}

fn drawn(share: f64, members: Vec<(&'static str, BoxedStrategy<Value>)>) -> BoxedStrategy<Value> {
    let member = |(name, value)| weighted(share, value).prop_map(move |value| Some((name, value?)));
    let members: Vec<_> = members.into_iter().map(member).collect();
    members
        .prop_map(|members| members.into_iter().flatten().map(|(name, value)| (name.to_owned(), value)).collect())
        .boxed()
}

fn one_of<const N: usize>(values: [Value; N]) -> BoxedStrategy<Value> {
    select(values.to_vec()).boxed()
}

/// Mostly one of `own`, sometimes one that the cookbook uses.
fn word(own: &[&str], cookbook: &[String]) -> BoxedStrategy<String> {
    let own = select(own.iter().map(|&word| word.to_owned()).collect::<Vec<_>>());
    if cookbook.is_empty() { own.boxed() } else { prop_oneof![3 => own, 1 => select(cookbook.to_vec())].boxed() }
}

/// The first of each key.
fn unique(items: Vec<Value>, key: impl Fn(&Value) -> Value) -> Value {
    let mut seen = HashSet::new();
    items.into_iter().filter(|item| seen.insert(key(item).to_string())).collect()
}

fn map_of(keys: &'static [&'static str], value: BoxedStrategy<Value>) -> BoxedStrategy<Value> {
    vec((select(keys.to_vec()), value), 1..3)
        .prop_map(|members| members.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
        .boxed()
}

fn words() -> BoxedStrategy<Value> {
    vec(text(), 1..4).prop_map(Value::from).boxed()
}

fn env() -> BoxedStrategy<Value> {
    let source = one_of([
        json!({"fieldRef": {"fieldPath": "metadata.name"}}),
        json!({"secretKeyRef": {"name": "keys", "key": "a", "optional": true}}),
        json!({"resourceFieldRef": {"resource": "limits.cpu"}}),
    ]);
    let value = prop_oneof![
        3 => text().prop_map(|text| json!({"value": text})),
        1 => source.prop_map(|source| json!({"valueFrom": source}))
    ];
    let variable = (word(&["A", "MODE", "a.b-c", "LOG_DIR"], &cookbook::words().env), value);
    vec(variable, 1..5)
        .prop_map(|variables| {
            let named = |(name, mut value): (String, Value)| {
                value["name"] = name.into();
                value
            };
            unique(variables.into_iter().map(named).collect(), |variable| variable["name"].clone())
        })
        .boxed()
}

fn ports() -> BoxedStrategy<Value> {
    let number = if cookbook::words().ports.is_empty() {
        (1..65_536_u64).boxed()
    } else {
        prop_oneof![1..65_536_u64, select(cookbook::words().ports.clone())].boxed()
    };
    vec((number, one_of([json!("TCP"), json!("UDP"), json!(null)])), 1..4)
        .prop_map(|ports| {
            let port = |(at, (number, protocol)): (usize, (u64, Value))| {
                let mut port = json!({"containerPort": number});
                if !protocol.is_null() {
                    port["protocol"] = protocol;
                }
                if at == 0 {
                    port["name"] = json!("main");
                }
                port
            };
            let key = |port: &Value| json!([port["containerPort"], port["protocol"] == "UDP"]);
            unique(ports.into_iter().enumerate().map(port).collect(), key)
        })
        .boxed()
}

fn probe() -> BoxedStrategy<Value> {
    let handler = one_of([
        json!({"httpGet": {"path": "/ready", "port": 8080}}),
        json!({"tcpSocket": {"port": 8080}}),
        json!({"exec": {"command": ["true"]}}),
        json!({"grpc": {"port": 9000}}),
    ]);
    (handler, object(vec![("periodSeconds", (1..30).prop_map(Value::from).boxed())]))
        .prop_map(|(handler, mut probe)| {
            probe.as_object_mut().expect("an object").extend(handler.as_object().cloned().unwrap_or_default());
            probe
        })
        .boxed()
}

fn resources() -> BoxedStrategy<Value> {
    one_of([
        json!({}),
        json!({"requests": {"cpu": "100m", "memory": "64Mi"}}),
        json!({"limits": {"cpu": 2, "memory": "1Gi"}}),
        json!({"requests": {"cpu": "0.5"}, "limits": {"cpu": 0.5, "memory": "128974848"}}),
        json!({"requests": {"ephemeral-storage": "1Gi"}}),
    ])
}

fn lifecycle() -> BoxedStrategy<Value> {
    let handler = one_of([
        json!({"exec": {"command": ["sleep", "1"]}}),
        json!({"httpGet": {"path": "/quit", "port": 8080}}),
        json!({"sleep": {"seconds": 1}}),
    ]);
    object(vec![("preStop", handler.clone()), ("postStart", handler)])
        .prop_filter("a lifecycle is not empty", |lifecycle| lifecycle != &json!({}))
        .boxed()
}

/// The mounts of a container before it is known which volumes there are.
type Mounts = Vec<(Index, String)>;

fn container() -> impl Strategy<Value = (Value, Mounts)> {
    let fields = drawn(
        0.3,
        vec![
            ("command", words()),
            ("args", words()),
            ("workingDir", one_of([json!("/srv")])),
            ("env", env()),
            (
                "envFrom",
                one_of([
                    json!([{"configMapRef": {"name": "config", "optional": true}}, {"secretRef": {"name": "keys"}}]),
                ]),
            ),
            ("ports", ports()),
            ("resources", resources()),
            ("startupProbe", probe()),
            ("readinessProbe", probe()),
            ("livenessProbe", probe()),
            ("lifecycle", lifecycle()),
            (
                "securityContext",
                object(vec![
                    ("runAsUser", (1..100_000).prop_map(Value::from).boxed()),
                    ("readOnlyRootFilesystem", any::<bool>().prop_map(Value::from).boxed()),
                    ("capabilities", one_of([json!({"drop": ["ALL"], "add": ["NET_BIND_SERVICE"]})])),
                ]),
            ),
            ("imagePullPolicy", one_of([json!("Always"), json!("IfNotPresent")])),
            ("terminationMessagePolicy", one_of([json!("FallbackToLogsOnError")])),
            ("stdin", any::<bool>().prop_map(Value::from).boxed()),
        ],
    );
    let image = select(vec!["registry.example.com/app:1", "app", "app@sha256:0123"]);
    let own_paths = ["/data", "/var/log/app", "/tmp", "/data/", "/etc/app/config.yaml"];
    let mounts = vec((any::<Index>(), word(&own_paths, &cookbook::words().mount_paths)), 0..3);
    (fields, image, mounts).prop_map(|(mut container, image, mounts)| {
        container["image"] = image.into();
        (container, mounts)
    })
}

fn volume() -> BoxedStrategy<Value> {
    one_of([
        json!({"emptyDir": {}}),
        json!({"emptyDir": {"medium": "Memory", "sizeLimit": "64Mi"}}),
        json!({"configMap": {"name": "config", "optional": true}}),
        json!({"secret": {"secretName": "keys", "defaultMode": 0o400}}),
        json!({"hostPath": {"path": "/var/log", "type": "Directory"}}),
        json!({"downwardAPI": {"items": [{"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}}]}}),
        json!({"persistentVolumeClaim": {"claimName": "data"}}),
    ])
}

fn metadata() -> BoxedStrategy<Value> {
    let value = || text().prop_map(Value::from).boxed();
    let label = one_of([json!("web"), json!("v1.2"), json!("")]);
    let labels = map_of(&["app", "app.kubernetes.io/name", "team", "logs"], label);
    let annotations =
        map_of(&["example.com/note", "prometheus.io/scrape", "kubectl.kubernetes.io/default-container"], value());
    let volumes = vec(select(vec!["app-logs", "source", "mine", ""]), 0..3).prop_map(|names| names.join(","));
    (weighted(0.6, labels), weighted(0.6, annotations), weighted(0.3, volumes))
        .prop_map(|(labels, annotations, volumes)| {
            let mut metadata = json!({"name": "web", "annotations": annotations.unwrap_or_else(|| json!({}))});
            if let Some(volumes) = volumes {
                metadata["annotations"][cookbook::SAFE_TO_EVICT] = volumes.into();
            }
            if let Some(labels) = labels {
                metadata["labels"] = labels;
            }
            metadata
        })
        .boxed()
}

/// The fields of a spec other than its lists of containers and volumes.
fn rest_of_spec() -> BoxedStrategy<Value> {
    let requirement = json!({"key": "zone", "operator": "In", "values": ["a"]});
    let affinity = json!({"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution":
        {"nodeSelectorTerms": [{"matchExpressions": [requirement]}]}}});
    let spread = json!([{"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "ScheduleAnyway"}]);
    let boolean = || any::<bool>().prop_map(Value::from).boxed();
    let common = drawn(
        0.2,
        vec![
            ("restartPolicy", one_of([json!("Always"), json!("OnFailure"), json!("Never")])),
            ("terminationGracePeriodSeconds", (1..120).prop_map(Value::from).boxed()),
            ("activeDeadlineSeconds", (1..600).prop_map(Value::from).boxed()),
            ("dnsPolicy", one_of([json!("ClusterFirst"), json!("Default")])),
            ("nodeSelector", one_of([json!({"disk": "ssd"})])),
            ("shareProcessNamespace", boolean()),
            ("automountServiceAccountToken", boolean()),
            ("enableServiceLinks", boolean()),
            ("schedulerName", one_of([json!("default-scheduler"), json!("other")])),
            ("hostname", one_of([json!("web-0")])),
            ("subdomain", one_of([json!("web")])),
            ("imagePullSecrets", one_of([json!([{"name": "pull"}])])),
            ("hostAliases", one_of([json!([{"ip": "10.0.0.1", "hostnames": ["db"]}])])),
            ("tolerations", one_of([json!([{"key": "a", "operator": "Exists"}]), json!([{"operator": "Exists"}])])),
            ("affinity", one_of([affinity])),
            ("topologySpreadConstraints", one_of([spread])),
            (
                "dnsConfig",
                one_of([json!({"nameservers": ["10.0.0.53"], "options": [{"name": "ndots", "value": "2"}]})]),
            ),
            ("readinessGates", one_of([json!([{"conditionType": "example.com/ready"}])])),
            (
                "securityContext",
                object(vec![
                    ("runAsNonRoot", boolean()),
                    ("runAsUser", (1..100_000).prop_map(Value::from).boxed()),
                    ("fsGroup", (1..100_000).prop_map(Value::from).boxed()),
                    ("supplementalGroups", one_of([json!([5, 6])])),
                    ("seccompProfile", one_of([json!({"type": "RuntimeDefault"})])),
                ]),
            ),
        ],
    );
    let rare = drawn(
        0.04,
        vec![
            ("hostNetwork", one_of([json!(true)])),
            ("os", one_of([json!({"name": "linux"}), json!({"name": "windows"})])),
            ("resources", one_of([json!({"requests": {"cpu": "1"}, "limits": {"cpu": "1", "memory": "1Gi"}})])),
        ],
    );
    (common, rare)
        .prop_map(|(mut common, rare)| {
            common.as_object_mut().expect("an object").extend(rare.as_object().cloned().unwrap_or_default());
            common
        })
        .boxed()
}

fn pod() -> impl Strategy<Value = Value> {
    let words = cookbook::words();
    let name = || word(&["app", "web", "setup", "worker"], &words.containers);
    let containers = vec((name(), container()), 1..4);
    let init_containers = vec((name(), container(), any::<bool>()), 0..3);
    let volumes = vec((word(&["data", "app-logs", "tmp"], &words.volumes), volume()), 0..4);
    (metadata(), rest_of_spec(), containers, init_containers, volumes).prop_map(
        |(metadata, mut spec, containers, init_containers, volumes)| {
            let named = |(name, mut volume): (String, Value)| {
                volume["name"] = name.into();
                volume
            };
            let volumes = unique(volumes.into_iter().map(named).collect(), |volume| volume["name"].clone());
            let mut taken = HashSet::new();
            let mut finish = |name: String, (mut container, mounts): (Value, Mounts)| {
                container["name"] = name.clone().into();
                container["volumeMounts"] = mounted(mounts, &volumes);
                taken.insert(name).then_some(container)
            };
            let containers: Vec<_> = containers.into_iter().filter_map(|(name, it)| finish(name, it)).collect();
            let init_containers = init_containers.into_iter().filter_map(|(name, it, is_sidecar)| {
                let mut container = finish(name, it)?;
                let members = container.as_object_mut().expect("an object");
                if is_sidecar {
                    members.insert("restartPolicy".into(), "Always".into());
                } else {
                    members.retain(|field, _| !field.ends_with("Probe") && field != "lifecycle");
                }
                Some(container)
            });
            let init_containers: Vec<_> = init_containers.collect();
            spec["containers"] = containers.into();
            if !init_containers.is_empty() {
                spec["initContainers"] = init_containers.into();
            }
            if volumes != json!([]) {
                spec["volumes"] = volumes;
            }
            json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})
        },
    )
}

fn mounted(mounts: Mounts, volumes: &Value) -> Value {
    let volumes = volumes.as_array().expect("a list");
    let mounts = mounts.into_iter().filter(|_| !volumes.is_empty());
    let mount = |(volume, path): (Index, String)| json!({"name": volume.get(volumes)["name"], "mountPath": path});
    unique(mounts.map(mount).collect(), |mount| mount["mountPath"].clone())
}

/// A pod into which something was put that no API server of today would send: fields of the future, numbers in other
/// words, `null`, and now and then something that has no business where it stands.
pub(crate) fn odd_pod() -> impl Strategy<Value = Json> {
    let oddity = (any::<Index>(), prop::bool::weighted(0.25), json());
    (pod_with_choice(), vec(oddity, 0..5)).prop_map(|(pod, oddities)| {
        let mut pod = Json::from(&pod);
        for (place, instead, oddity) in oddities {
            let mut count = 0;
            pod.visit(&mut |_| count += 1);
            let (mut at, wanted) = (0, place.index(count));
            pod.visit(&mut |value| {
                if at == wanted {
                    put(value, &oddity, instead);
                }
                at += 1;
            });
        }
        pod
    })
}

fn put(place: &mut Json, oddity: &Json, instead: bool) {
    match place {
        Json::Object(members) if !instead => {
            let field = format!("{FUTURE}{}", members.len());
            members.insert(members.len() / 2, (field, oddity.clone()));
        }
        Json::List(items) if !instead => items.push(oddity.clone()),
        _ => *place = oddity.clone(),
    }
}

/// A field that nobody has heard of yet.
const FUTURE: &str = "zukünftig/~field";

/// Any JSON, in any writing.
pub(crate) fn json() -> impl Strategy<Value = Json> {
    let numbers = [
        "0",
        "-0",
        "1",
        "1.0",
        "1e3",
        "1E+2",
        "-0.5e-7",
        "8080",
        "12345678901234567890123456789",
        "-9223372036854775809",
        "1.7976931348623157e308",
        "3.14159265358979323846264338327950288",
    ];
    let texts = [r#""\u0061""#, r#""\/\"\\\b\f\n\r\t""#, r#""\ud83d\ude00""#, r#""""#, r#""\u0000""#];
    let scalar = prop_oneof![
        Just("null".to_owned()),
        Just("true".to_owned()),
        select(numbers.to_vec()).prop_map(str::to_owned),
        select(texts.to_vec()).prop_map(str::to_owned),
        text().prop_map(|text| Value::from(text).to_string()),
    ];
    scalar.prop_map(Json::Scalar).prop_recursive(5, 24, 4, |inner| {
        let name = prop_oneof![
            select(vec!["name", "containers", "spec", "metadata", "annotations", "value", "a/b", "~"])
                .prop_map(str::to_owned),
            text(),
        ];
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Json::List),
            vec((name, inner), 0..4).prop_map(|mut members| {
                let mut seen = HashSet::new();
                members.retain(|(name, _)| seen.insert(name.clone()));
                Json::Object(members)
            }),
        ]
    })
}
