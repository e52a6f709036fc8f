//! Pods over every field of the schema, made by one change after another, and any value where a change is a mutation.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use proptest::prelude::Rng as _;
use proptest::test_runner::{RngAlgorithm, TestRng};
use serde_json::{Map, Value, json};

/// The types of a pod as `engine/src/schema.json` has them.
static SCHEMA: LazyLock<Value> = LazyLock::new(|| {
    serde_json::from_str(include_str!("../../../engine/src/schema.json")).expect("the committed schema is JSON")
});

/// What an API server takes, by `Type.field` for scalars and `Type.field keys` for the keys of maps.
static VALUES: LazyLock<BTreeMap<String, Vec<Value>>> = LazyLock::new(|| {
    serde_saphyr::from_str(include_str!("../../fixtures/pod-values.yaml")).expect("the values are YAML")
});

/// What pods begin with, and may have from the beginning.
static PARTS: LazyLock<Value> = LazyLock::new(|| {
    serde_saphyr::from_str(include_str!("../../fixtures/pod-parts.yaml")).expect("the parts are YAML")
});

/// What an API server takes hardly anywhere, or nowhere but at an edge.
static ODD: LazyLock<Vec<Value>> = LazyLock::new(|| {
    let long = |length: usize| Value::from("a".repeat(length));
    let numbers =
        [-1_i64, -1, -1, 0, 1, 2, 3, 4, 10, 21, 64, 100, 101, 256, 512, 599, 3599, 65_535, 65_536, 2_147_483_647];
    let texts = [
        "",
        " ",
        "a",
        "A",
        "1",
        "-a",
        "a-",
        "a.b",
        "a_b",
        "a b",
        "a/b",
        "a/b/c",
        "/a",
        "..",
        "../a",
        "a/..",
        "..a",
        "a..b",
        "a=b",
        "a:b",
        "é",
        "*",
        ".",
        "nope",
        "web ",
        "0",
        "-1",
        "1.5",
        "1m",
        "1500m",
        "1Ki",
        "3Mi",
        "-1Gi",
        "1e3",
        "10.0.0.1",
        "300.1.1.1",
        "::1",
        "010.0.0.1",
        "kubernetes.io/a",
        "requests.cpu",
        "limits.cpu",
        "cpu",
        "hugepages-1Gi",
        "pods",
        "true",
        "null",
        "{}",
        "SIGTERM",
        "QUIT",
        "iqn.2001-0é.com:x",
        "eui.é123456789abcde",
        "x\u{1}",
        "a\\b",
        "metadata.name",
        "spec.schedulerName",
        "metadata.labels['']",
    ];
    let texts = texts.into_iter().map(Value::from);
    let lengths = [16, 63, 64, 65, 253, 254, 400].map(long);
    numbers.into_iter().map(Value::from).chain(texts).chain(lengths).collect()
});

/// Fields that a generated pod has not: they are another admission plugin's matter, a status, or nothing that a template can
/// give or meet.
const OMITTED: &[&str] = &[
    "PodSpec.ephemeralContainers",
    "PodSpec.overhead",
    "PodSpec.preemptionPolicy",
    "PodSpec.priority",
    "PodSpec.priorityClassName",
    "PodSpec.runtimeClassName",
    "PodSpec.serviceAccount",
    "PodSpec.serviceAccountName",
    "ManagedFieldsEntry.time",
    "ObjectMeta.creationTimestamp",
    "ObjectMeta.deletionTimestamp",
    "ObjectMeta.managedFields",
];

/// Objects of which one field says what they are.
const ONE_OF: &[(&str, &[&str])] = &[
    ("Probe", &["exec", "httpGet", "tcpSocket", "grpc"]),
    ("LifecycleHandler", &["exec", "httpGet", "tcpSocket", "sleep"]),
    ("EnvVarSource", &["fieldRef", "resourceFieldRef", "configMapKeyRef", "secretKeyRef", "fileKeyRef"]),
    ("EnvFromSource", &["configMapRef", "secretRef"]),
    (
        "VolumeProjection",
        &["configMap", "secret", "downwardAPI", "serviceAccountToken", "clusterTrustBundle", "podCertificate"],
    ),
    ("DownwardAPIVolumeFile", &["fieldRef", "resourceFieldRef"]),
    ("PodResourceClaim", &["resourceClaimName", "resourceClaimTemplateName"]),
    ("FCVolumeSource", &["targetWWNs", "wwids"]),
    ("FlockerVolumeSource", &["datasetName", "datasetUUID"]),
    ("EphemeralVolumeSource", &["volumeClaimTemplate"]),
    ("ClusterTrustBundleProjection", &["name", "signerName"]),
    ("PodCertificateProjection", &["credentialBundlePath", "keyPath"]),
    ("ContainerRestartRule", &["exitCodes"]),
    ("PersistentVolumeClaimSpec", &["accessModes"]),
    ("PodSchedulingGroup", &["podGroupName"]),
];

/// The fields without which an object is refused, beside those that the schema requires.
const NEEDED: &[(&str, &[&str])] = &[
    ("Container", &["image"]),
    ("PersistentVolumeClaimSpec", &["resources"]),
    ("VolumeResourceRequirements", &["requests"]),
    ("ScaleIOVolumeSource", &["volumeName"]),
    ("StorageOSVolumeSource", &["volumeName"]),
    ("ImageVolumeSource", &["reference"]),
    ("SecretVolumeSource", &["secretName"]),
    ("ConfigMapVolumeSource", &["name"]),
    ("ConfigMapProjection", &["name"]),
    ("SecretProjection", &["name"]),
    ("ConfigMapEnvSource", &["name"]),
    ("SecretEnvSource", &["name"]),
    ("ConfigMapKeySelector", &["name"]),
    ("SecretKeySelector", &["name"]),
    ("LocalObjectReference", &["name"]),
    ("ExecAction", &["command"]),
    ("PodDNSConfigOption", &["name"]),
];

/// The pods of one seed.
#[derive(Clone)]
pub(crate) struct Generator {
    random: TestRng,
    /// Whether a change may be anything, and not only what an API server takes.
    is_wild: bool,
}

/// A place in a pod, and its type.
struct Place {
    path: String,
    /// `Type.field`.
    field: String,
    kind: Value,
}

impl Generator {
    pub(crate) fn new(seed: u64) -> Generator {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&seed.to_be_bytes());
        Generator { random: TestRng::from_seed(RngAlgorithm::ChaCha, &bytes), is_wild: false }
    }

    /// A pod to begin with: the least that is one, or one that has much already, as long as it is right.
    pub(crate) fn first(&mut self, is_right: impl Fn(&Value) -> bool) -> Value {
        let mut pod = PARTS["pod"].clone();
        if self.one_in(3) {
            return pod;
        }
        self.is_wild = false;
        for list in ["volumes", "initContainers"] {
            pod["spec"][list] = PARTS[list].clone();
        }
        for (field, value) in PARTS["container"].as_object().expect("an object") {
            let mut grown = pod.clone();
            grown["spec"]["containers"][0][field] = value.clone();
            if !self.one_in(4) && is_right(&grown) {
                pod = grown;
            }
        }
        for (field, value) in PARTS["spec"].as_object().expect("an object") {
            if self.one_in(2) {
                pod["spec"][field] = value.clone();
            }
        }
        for source in Self::fields("Volume").into_iter().filter(|field| field != "name") {
            let value = self.value(&format!("Volume.{source}"), &SCHEMA["Volume"]["fields"][&source]);
            let mut volume = json!({"name": source.to_lowercase()});
            volume[source] = value;
            let mut grown = pod.clone();
            grown["spec"]["volumes"].as_array_mut().expect("a list").push(volume);
            if is_right(&grown) {
                pod = grown;
            }
        }
        pod
    }

    /// A pod with one change that an API server most likely takes.
    pub(crate) fn grown(&mut self, pod: &Value) -> Value {
        self.is_wild = false;
        self.changed(pod, |_| true).expect("a pod has places")
    }

    /// A pod with one change to anything.
    pub(crate) fn mutated(&mut self, pod: &Value) -> Value {
        self.mutated_at(pod, |_| true).expect("a pod has places")
    }

    /// A pod with one change to anything of these places: `Type.field` for what a field holds, `Type` for an object. `None`
    /// if it has no such place.
    pub(crate) fn mutated_at(&mut self, pod: &Value, is_wanted: impl Fn(&str) -> bool) -> Option<Value> {
        self.is_wild = true;
        self.changed(pod, is_wanted)
    }

    pub(crate) fn below(&mut self, end: usize) -> usize {
        (self.random.next_u64() % end as u64) as usize
    }

    fn one_in(&mut self, of: usize) -> bool {
        self.below(of) == 0
    }

    fn changed(&mut self, pod: &Value, is_wanted: impl Fn(&str) -> bool) -> Option<Value> {
        let mut places = Vec::new();
        collect(pod, &json!({"ref": "Pod"}), "", "Pod", &mut places);
        places.retain(|place| is_wanted(&place.field) || place.kind["ref"].as_str().is_some_and(&is_wanted));
        // Each field as often as any other one, however many of it there are.
        let fields: Vec<&str> =
            places.iter().map(|place| place.field.as_str()).collect::<BTreeSet<_>>().into_iter().collect();
        // Some places hold nothing that can be changed.
        for _ in 0..if fields.is_empty() { 0 } else { 50 } {
            let field = fields[self.below(fields.len())];
            let of_field: Vec<_> = places.iter().filter(|place| place.field == field).collect();
            let Place { path, field, kind } = of_field[self.below(of_field.len())];
            let mut changed = pod.clone();
            let value = changed.pointer_mut(path).expect("the place is there");
            self.change(value, field, kind);
            // An expression that gives null leaves out the item of a list or the resource, so there is none.
            let is_item = path.ends_with(|last: char| last.is_ascii_digit()) || kind["type"] == "quantity";
            let is_null_item = value.is_null() && is_item;
            if !is_null_item && changed != *pod {
                return Some(changed);
            }
        }
        None
    }

    /// Changes a value of a type in place.
    fn change(&mut self, value: &mut Value, field: &str, kind: &Value) {
        if let (Some(name), Value::Object(members)) = (kind["ref"].as_str(), &mut *value) {
            let there: Vec<String> = members.keys().cloned().collect();
            let may_remove = self.is_wild && !there.is_empty();
            if may_remove && self.one_in(4) {
                members.shift_remove(&there[self.below(there.len())]);
                return;
            }
            let absent: Vec<String> =
                Self::fields(name).into_iter().filter(|field| !members.contains_key(field)).collect();
            let adds = !self.is_wild || !self.one_in(8);
            if adds && !absent.is_empty() {
                let added = absent[self.below(absent.len())].clone();
                let kind = &SCHEMA[name]["fields"][&added];
                let value = self.value(&format!("{name}.{added}"), kind);
                members.insert(added, value);
                return;
            }
        }
        if let (Some(item), Value::Array(items)) = (kind.get("list"), &mut *value) {
            match self.below(if self.is_wild { 4 } else { 1 }) {
                1 if !items.is_empty() => drop(items.remove(self.below(items.len()))),
                2 if !items.is_empty() => items.push(items[self.below(items.len())].clone()),
                3 => {
                    let one = self.value(field, item);
                    let count = [3, 4, 21, 33, 256][self.below(5)];
                    items.extend(std::iter::repeat_n(one, count));
                }
                _ => items.push(self.value(field, item)),
            }
            return;
        }
        if let (Some(of), Value::Object(members)) = (kind.get("map"), &mut *value) {
            let there: Vec<String> = members.keys().cloned().collect();
            if self.is_wild && !there.is_empty() && self.one_in(3) {
                members.shift_remove(&there[self.below(there.len())]);
            } else {
                let key = self.key(field);
                members.insert(key, self.value(field, of));
            }
            return;
        }
        *value = if self.is_wild && self.one_in(12) {
            [Value::Null, json!({}), json!([]), json!("")][self.below(4)].clone()
        } else {
            self.value(field, kind)
        };
    }

    /// The fields that a type may have here.
    fn fields(name: &str) -> Vec<String> {
        let names = SCHEMA[name]["fields"].as_object().expect("a type has fields").keys();
        names.filter(|field| !OMITTED.contains(&&*format!("{name}.{field}"))).cloned().collect()
    }

    /// A value of a type.
    fn value(&mut self, field: &str, kind: &Value) -> Value {
        if let Some(name) = kind["ref"].as_str() {
            return self.object(name);
        }
        if let Some(item) = kind.get("list") {
            let count = if self.one_in(4) { 2 } else { 1 };
            return (0..count).map(|_| self.value(field, item)).collect();
        }
        if let Some(of) = kind.get("map") {
            let count = if self.one_in(4) { 2 } else { 1 };
            let members = (0..count).map(|_| (self.key(field), self.value(field, of)));
            return Value::Object(members.collect());
        }
        self.scalar(field, kind)
    }

    fn object(&mut self, name: &str) -> Value {
        let mut object = Map::new();
        let fields = Self::fields(name);
        let listed = |table: &[(&str, &'static [&'static str])]| {
            table.iter().find(|(of, _)| *of == name).map_or(&[][..], |(_, fields)| *fields)
        };
        let (one_of, needed) = (listed(ONE_OF), listed(NEEDED));
        let sources: Vec<&str> = match name {
            "Volume" => fields.iter().map(String::as_str).filter(|field| *field != "name").collect(),
            _ => one_of.iter().copied().filter(|field| fields.iter().any(|it| it == field)).collect(),
        };
        let chosen = (!sources.is_empty()).then(|| sources[self.below(sources.len())]);
        let required = SCHEMA[name]["required"].as_array().into_iter().flatten().filter_map(Value::as_str);
        let required: Vec<&str> = required.chain(needed.iter().copied()).collect();
        for field in &fields {
            let field = field.as_str();
            let is_source = sources.contains(&field);
            if required.contains(&field) || chosen == Some(field) || !is_source && self.one_in(5) {
                let kind = &SCHEMA[name]["fields"][field];
                object.insert(field.to_owned(), self.value(&format!("{name}.{field}"), kind));
            }
        }
        if object.is_empty() && !fields.is_empty() && !self.one_in(6) {
            let field = &fields[self.below(fields.len())];
            object.insert(field.clone(), self.value(&format!("{name}.{field}"), &SCHEMA[name]["fields"][field]));
        }
        Value::Object(object)
    }

    fn key(&mut self, field: &str) -> String {
        let key = if self.is_wild && self.one_in(2) {
            self.odd()
        } else {
            let keys = VALUES.get(&format!("{field} keys"));
            keys.map_or_else(|| json!("key"), |keys| keys[self.below(keys.len())].clone())
        };
        key.as_str().map_or_else(|| key.to_string(), str::to_owned)
    }

    fn scalar(&mut self, field: &str, kind: &Value) -> Value {
        let of = kind["type"].as_str().expect("a scalar has a type");
        if self.is_wild && !self.one_in(4) {
            // The wrong type is refused before any rule is asked, so it need not come often.
            let any_type = self.one_in(20);
            let fits = |odd: &Value| match of {
                "string" => odd.is_string(),
                "int32" | "int64" => odd.is_number(),
                "boolean" => odd.is_boolean(),
                _ => true,
            };
            for _ in 0..20 {
                let odd = self.odd();
                if any_type || fits(&odd) {
                    return odd;
                }
            }
        }
        let choices = VALUES.get(field).or_else(|| kind["enum"].as_array());
        if let Some(choices) = choices {
            return choices[self.below(choices.len())].clone();
        }
        match of {
            "boolean" => json!(!self.one_in(3)),
            "int32" | "int64" => json!(1 + self.below(3)),
            "any" => json!({}),
            _ => json!(["text", "other"][self.below(2)]),
        }
    }

    /// Any value: an odd one, or one that is right for some other field.
    fn odd(&mut self) -> Value {
        if self.one_in(2) {
            return ODD[self.below(ODD.len())].clone();
        }
        let at = self.below(VALUES.len());
        let values = VALUES.values().nth(at).expect("it is one of them");
        values[self.below(values.len())].clone()
    }
}

/// Every place of a value, with its type.
fn collect(value: &Value, kind: &Value, path: &str, field: &str, places: &mut Vec<Place>) {
    // Of a pod itself and its metadata only labels and annotations are judged.
    if !["", "/metadata"].contains(&path) {
        places.push(Place { path: path.to_owned(), field: field.to_owned(), kind: kind.clone() });
    }
    let inner = |name: &str| format!("{path}/{}", name.replace('~', "~0").replace('/', "~1"));
    match value {
        Value::Array(items) => {
            for (at, item) in items.iter().enumerate() {
                collect(item, &kind["list"], &inner(&at.to_string()), field, places);
            }
        }
        Value::Object(members) => {
            for (name, value) in members {
                if let Some(of) = kind.get("map") {
                    collect(value, of, &inner(name), field, places);
                } else if let Some(object) = kind["ref"].as_str()
                    && let Some(kind) = SCHEMA[object]["fields"].get(name)
                    && !(path == "/metadata" && name == "name")
                {
                    collect(value, kind, &inner(name), &format!("{object}.{name}"), places);
                }
            }
        }
        _ => {}
    }
}

/// The fields of a pod that an API server with this OpenAPI document does not know, as `Type.field`.
pub(crate) fn unknown_fields(openapi: &Value) -> BTreeSet<String> {
    let schemas = openapi["components"]["schemas"].as_object().expect("OpenAPI has schemas");
    let published = |name: &str| schemas.iter().find(|(full, _)| full.rsplit('.').next() == Some(name));
    let objects = SCHEMA.as_object().expect("the schema is an object").iter();
    let fields = objects.flat_map(|(name, object)| {
        let there = published(name).map(|(_, schema)| &schema["properties"]);
        let fields = object["fields"].as_object().expect("a type has fields").keys();
        let missing = fields.filter(move |field| there.is_none_or(|there| there.get(field).is_none()));
        missing.map(move |field| format!("{name}.{field}"))
    });
    fields.collect()
}

/// Takes fields out of a value of a type.
pub(crate) fn without(value: &mut Value, kind: &Value, unknown: &BTreeSet<String>) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(|item| without(item, &kind["list"], unknown)),
        Value::Object(members) => {
            let object = kind["ref"].as_str().unwrap_or_default();
            members.retain(|field, _| !unknown.contains(&format!("{object}.{field}")));
            for (field, member) in members {
                let kind = kind.get("map").unwrap_or(&SCHEMA[object]["fields"][field]);
                without(member, kind, unknown);
            }
        }
        _ => {}
    }
}

/// The values of a pod that another does not have, of those that say anything.
pub(crate) fn vanished(sent: &Value, back: &Value, path: &str, found: &mut Vec<String>) {
    let says_nothing = match sent {
        Value::Null => true,
        Value::Bool(value) => !value,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(members) => members.is_empty(),
    };
    if says_nothing {
        return;
    }
    match (sent, back) {
        (_, Value::Null) => found.push(path.to_owned()),
        (Value::Object(sent), Value::Object(_)) => {
            for (name, value) in sent {
                vanished(value, &back[name], &format!("{path}.{name}"), found);
            }
        }
        (Value::Array(sent), Value::Array(back)) => {
            for (at, value) in sent.iter().enumerate() {
                vanished(value, back.get(at).unwrap_or(&Value::Null), &format!("{path}[]"), found);
            }
        }
        _ => {}
    }
}
