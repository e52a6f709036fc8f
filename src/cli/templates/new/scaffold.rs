//! A template made of a container: what the container needs of its pod, and nothing that a template must not hold.
//!
//! What that is the engine says: whatever it refuses is left out, and told.

use std::mem;

use anyhow::ensure;
use pillion_engine::load;
use pillion_engine::template::{NO_TOKEN, TOKEN_VOLUME, TemplateName};
use pillion_engine::yaml::Node;
use serde_json::{Map, Value, json};

use super::Found;

/// Where the container is in the template.
const CONTAINER: &str = "spec.pod.spec.initContainers[0]";

/// Fields of a pod that its containers may rely on, and that are not copied: the pods that get the template have their own.
const OF_THE_POD: [&str; 12] = [
    "automountServiceAccountToken",
    "dnsConfig",
    "hostAliases",
    "hostIPC",
    "hostPID",
    "hostUsers",
    "imagePullSecrets",
    "runtimeClassName",
    "securityContext",
    "serviceAccountName",
    "shareProcessNamespace",
    "terminationGracePeriodSeconds",
];

/// The amounts that become parameters: the parameter, where the amount is, and what it is, as in the cookbook.
const AMOUNTS: [(&str, &str, &str); 4] = [
    ("cpuRequest", "/resources/requests/cpu", "CPU to reserve."),
    ("cpuLimit", "/resources/limits/cpu", "CPU not to exceed."),
    ("memoryRequest", "/resources/requests/memory", "Memory to reserve."),
    ("memoryLimit", "/resources/limits/memory", "Memory not to exceed."),
];

/// A template that the engine accepts.
pub(super) struct Scaffold {
    pub(super) template: Value,
    /// What of the workload is not in it, or is there in another way.
    pub(super) notes: Vec<String>,
}

impl Scaffold {
    /// Makes a template of a container.
    ///
    /// # Errors
    ///
    /// When no template can have the container.
    pub(super) fn of(name: &TemplateName, found: &Found) -> anyhow::Result<Scaffold> {
        let mut notes = Vec::new();
        let mut container = found.container().clone();
        if let Some(policy) = container["restartPolicy"].as_str().filter(|_| found.list == "containers") {
            notes.push(format!("restartPolicy {policy} becomes Always, which makes a native sidecar of it"));
        }
        let withholds_token = items(&container["volumeMounts"]).any(|mount| mount["name"] == NO_TOKEN);
        if take_out_token(&mut container) && !withholds_token {
            notes.push("left out: the mount of the API token, which the API server adds itself".to_owned());
        }
        let spec = spec(found, container, withholds_token);
        let mut template = json!({
            "apiVersion": "pillion.dev/v1alpha1",
            "kind": "ClusterInjectionTemplate",
            "metadata": {"name": name.as_str()},
            "spec": spec,
        });
        while let Err(refused) = load::parse(&Node::from(template.clone()), "") {
            let problem = refused.problems.first().map(|it| (it.path.as_str(), format!("{} {}", it.path, it.message)));
            let (path, sentence) = problem.unwrap_or_default();
            let place = path.strip_prefix(CONTAINER).unwrap_or_default();
            let is_left_out = leave_out(&mut template["spec"]["pod"]["spec"]["initContainers"][0], place);
            ensure!(is_left_out, "{}: no template can have the container {}: {sentence}", found.subject, found.name());
            notes.push(format!("left out: {sentence}"));
        }
        let pod = &found.pod["spec"];
        let is_said =
            |field: &&str| !matches!(&pod[*field], Value::Null | Value::Bool(false)) && pod[*field] != json!({});
        let relied_on: Vec<_> = OF_THE_POD.into_iter().filter(is_said).collect();
        if !relied_on.is_empty() {
            notes
                .push(format!("not copied from the pod, where the container may rely on it: {}", relied_on.join(", ")));
        }
        Ok(Scaffold { template, notes })
    }
}

fn spec(found: &Found, mut container: Value, withholds_token: bool) -> Value {
    let pod = &found.pod["spec"];
    let kind = if found.is_sidecar() { "native sidecar" } else { "init container" };
    escape(&mut container);
    let mut spec = json!({
        "description": format!("The {kind} {}.", found.name()),
        "parameters": parameters(&mut container),
    });
    if found.is_sidecar() {
        set_after(&mut container, "image", "restartPolicy", "Always".into());
    }
    if pod["hostNetwork"] == true {
        spec["hostNetwork"] = true.into();
    }
    if pod["os"]["name"] == "windows" {
        spec["os"] = json!(["windows"]);
    }
    if withholds_token {
        spec["serviceAccountToken"] = false.into();
    }
    let used = volumes_of(&container);
    let shared: Vec<_> = used.iter().filter(|volume| found.is_shared(volume)).collect();
    if !shared.is_empty() {
        spec["shares"] = json!(shared);
    }
    let is_brought = |volume: &&Value| used.iter().any(|name| volume["name"] == **name) && !found.is_claimed(volume);
    let mut volumes: Vec<_> = items(&pod["volumes"]).filter(is_brought).cloned().collect();
    volumes.iter_mut().for_each(escape);
    spec["pod"] = json!({"spec": {"initContainers": [container]}});
    if !volumes.is_empty() {
        spec["pod"]["spec"]["volumes"] = volumes.into();
    }
    let app = app(found, &shared);
    if !app.is_empty() {
        spec["app"] = app.into();
    }
    spec
}

/// Takes out the mounts of the API token, and of the volume that hides it; tells whether there were any.
fn take_out_token(container: &mut Value) -> bool {
    let Some(mounts) = container.get_mut("volumeMounts").and_then(Value::as_array_mut) else { return false };
    let before = mounts.len();
    mounts.retain(|mount| !mount["name"].as_str().is_some_and(|it| it == NO_TOKEN || it.starts_with(TOKEN_VOLUME)));
    let is_taken_out = mounts.len() < before;
    if mounts.is_empty() {
        container.as_object_mut().map(|members| members.shift_remove("volumeMounts"));
    }
    is_taken_out
}

/// Keeps what looks like an expression from being one.
fn escape(value: &mut Value) {
    match value {
        Value::String(text) => *text = text.replace("${{", "$${{"),
        Value::Array(items) => items.iter_mut().for_each(escape),
        Value::Object(members) => members.values_mut().for_each(escape),
        _ => {}
    }
}

/// Lets parameters choose the image and the resources. The values that they had are the defaults.
fn parameters(container: &mut Value) -> Value {
    let mut parameters = Vec::new();
    let mut offer = |name: &str, place: &str, kind: &str, description: &str| {
        let value = container.pointer_mut(place).filter(|value| value.is_string() || value.is_number());
        if let Some(value) = value {
            let default = mem::replace(value, format!("${{{{ params.{name} }}}}").into());
            parameters.push(json!({"name": name, "description": description, "type": kind, "default": default}));
        }
    };
    offer("image", "/image", "string", "The image.");
    for (name, place, description) in AMOUNTS {
        offer(name, place, "quantity", description);
    }
    parameters.into()
}

/// Sets a member behind another one.
fn set_after(object: &mut Value, other: &str, name: &str, value: Value) {
    let Value::Object(members) = object else { return };
    members.shift_remove(name);
    let at = members.keys().position(|key| key == other).map_or(members.len(), |at| at + 1);
    members.shift_insert(at, name.to_owned(), value);
}

fn items(list: &Value) -> impl Iterator<Item = &Value> {
    list.as_array().into_iter().flatten()
}

/// The names of the volumes that a container uses.
fn volumes_of(container: &Value) -> Vec<String> {
    let mounts = items(&container["volumeMounts"]).chain(items(&container["volumeDevices"]));
    let files = items(&container["env"]).map(|variable| &variable["valueFrom"]["fileKeyRef"]["volumeName"]);
    let mut used: Vec<String> = Vec::new();
    for name in mounts.map(|mount| &mount["name"]).chain(files).filter_map(Value::as_str) {
        if !used.iter().any(|it| it == name) {
            used.push(name.to_owned());
        }
    }
    used
}

impl Found {
    /// Whether it is to be a native sidecar: it is one, or a regular container.
    pub(super) fn is_sidecar(&self) -> bool {
        self.list == "containers" || self.container()["restartPolicy"] == "Always"
    }

    /// The other containers of the pod, each with its list.
    fn others(&self) -> impl Iterator<Item = (&'static str, &Value)> {
        ["initContainers", "containers"].into_iter().flat_map(move |list| {
            let others = items(&self.pod["spec"][list]).enumerate();
            others.filter(move |(at, _)| (list, *at) != (self.list, self.at)).map(move |(_, it)| (list, it))
        })
    }

    /// Whether a volume comes from a claim of the workload, so that no pod of another one has it.
    pub(super) fn is_claimed(&self, volume: &Value) -> bool {
        self.claims.iter().any(|claim| volume["name"] == claim.as_str())
    }

    /// Whether the pod has a volume without the container, too.
    fn is_shared(&self, name: &str) -> bool {
        self.claims.iter().any(|claim| claim == name)
            || self.others().any(|(_, container)| volumes_of(container).iter().any(|it| it == name))
    }
}

/// What the other containers have of the shared volumes; those that have the same stand together.
fn app(found: &Found, shared: &[&String]) -> Vec<Value> {
    let mut groups: Vec<(&str, Vec<&Value>, Map<String, Value>)> = Vec::new();
    for (list, container) in found.others() {
        let mut given = Map::new();
        for field in ["volumeMounts", "volumeDevices"] {
            let is_of_shared = |mount: &&Value| shared.iter().any(|volume| mount["name"] == ***volume);
            let mut mounts: Value = items(&container[field]).filter(is_of_shared).cloned().collect();
            if mounts != json!([]) {
                escape(&mut mounts);
                given.insert(field.to_owned(), mounts);
            }
        }
        match groups.iter_mut().find(|(of, _, same)| *of == list && *same == given) {
            Some((_, names, _)) => names.push(&container["name"]),
            None => groups.push((list, vec![&container["name"]], given)),
        }
    }
    let are_alike = groups.iter().filter(|(list, ..)| *list == "containers").count() == 1;
    let entry = |(list, names, given): (&str, Vec<&Value>, Map<String, Value>)| {
        // In other pods the app has other names.
        let names = if are_alike && list == "containers" { json!(["*"]) } else { json!(names) };
        Value::Object([(list.to_owned(), names)].into_iter().chain(given).collect())
    };
    groups.into_iter().filter(|(.., given)| !given.is_empty()).map(entry).collect()
}

/// Leaves out what is wrong at a place of the container: the innermost item of a list, or else the field. `false` if no
/// container can be without it.
fn leave_out(container: &mut Value, place: &str) -> bool {
    let steps: Vec<_> = place.split(['.', '[', ']']).filter(|step| !step.is_empty()).collect();
    let is_number = |step: &&str| step.bytes().all(|byte| byte.is_ascii_digit());
    let length = steps.iter().rposition(is_number).map_or(1, |at| at + 1);
    let Some((last, above)) = steps.get(..length).and_then(|steps| steps.split_last()) else { return false };
    let above: String = above.iter().map(|step| format!("/{step}")).collect();
    let is_left_out = match container.pointer_mut(&above) {
        Some(Value::Object(members)) => !["name", "image"].contains(last) && members.shift_remove(*last).is_some(),
        Some(Value::Array(items)) => {
            last.parse().ok().filter(|at| *at < items.len()).map(|at: usize| items.remove(at)).is_some()
        }
        _ => false,
    };
    if let Value::Object(members) = container {
        members.retain(|_, value| *value != json!([]));
    }
    is_left_out
}
