//! How two results for one pod differ: the smallest parts that are not the same, each with its place.

use std::collections::BTreeSet;

use pillion_engine::names::{OUTCOME, STATUS};
use serde_json::{Map, Value};

/// The annotations that say what Pillion did. They differ whenever a template does.
const RECORDS: [&str; 2] = [STATUS, OUTCOME];

/// What tells the items of a list apart.
const KEYS: [(&str, &[&str]); 10] = [
    ("containers", &["name"]),
    ("env", &["name"]),
    ("hostAliases", &["ip"]),
    ("imagePullSecrets", &["name"]),
    ("initContainers", &["name"]),
    ("ports", &["containerPort", "protocol"]),
    ("topologySpreadConstraints", &["topologyKey", "whenUnsatisfiable"]),
    ("volumeDevices", &["devicePath"]),
    ("volumeMounts", &["mountPath"]),
    ("volumes", &["name"]),
];

/// The lists of which the order means something.
const ORDERED: [&str; 4] = ["containers", "env", "envFrom", "initContainers"];

/// Objects that are put together of what several bring, so each member counts for itself.
const SHARED: [&str; 7] =
    ["annotations", "labels", "limits", "nodeSelector", "requests", "resources", "securityContext"];

/// Maps of keys that people choose.
const MAPS: [&str; 5] = ["annotations", "labels", "limits", "nodeSelector", "requests"];

/// A step on the way to a part of a pod.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(super) enum Step {
    Field(String),
    /// An item of a list by its key, or by nothing where items have none.
    Item(String),
    /// A container that the pod itself brings. Which one does not matter where many workloads are put together.
    OwnContainer,
}

/// What is at a place at one end.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(super) enum Part {
    Absent,
    /// What the pod itself has there. It is not shown: it may be a secret.
    Own,
    Value(Value),
}

/// A part that is not the same.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(super) struct Difference {
    pub(super) steps: Vec<Step>,
    /// Old and new.
    pub(super) parts: [Part; 2],
    /// Whether the parts are keys of items that are in another order.
    pub(super) is_order: bool,
}

/// A difference, and the container of the pod itself that it is in.
pub(super) struct Found {
    pub(super) difference: Difference,
    pub(super) container: Option<String>,
}

/// Compares two results for a pod, which by itself is `own`.
pub(super) fn compare(own: &Value, results: [&Value; 2]) -> Vec<Found> {
    let mut comparison = Comparison { steps: Vec::new(), container: None, found: Vec::new() };
    comparison.value(Some(own), results.map(Some));
    comparison.found
}

/// The key of an item of a list; `None` where items of such a list have none.
pub(super) fn key_of(list: &str, item: &Value) -> Option<String> {
    let (_, fields) = KEYS.iter().find(|(name, _)| *name == list)?;
    let text = |field: &&str| match &item[*field] {
        Value::String(text) => text.clone(),
        Value::Null if *field == "protocol" => "TCP".to_owned(),
        other => other.to_string(),
    };
    item.is_object().then(|| fields.iter().map(text).collect::<Vec<_>>().join("/"))
}

/// The fields that make the key of an item.
pub(super) fn key_fields(list: &str) -> &'static [&'static str] {
    KEYS.iter().find(|(name, _)| *name == list).map_or(&[], |(_, fields)| fields)
}

/// The items of a list by their keys. Where two have one key, the second counts as another.
fn items<'v>(list: &str, value: Option<&'v Value>) -> Vec<(String, &'v Value)> {
    let mut items: Vec<(String, &Value)> = Vec::new();
    for item in value.and_then(Value::as_array).into_iter().flatten() {
        let key = key_of(list, item).unwrap_or_else(|| item.to_string());
        let same = items.iter().filter(|(known, _)| known.split('#').next() == Some(&key)).count();
        items.push((if same == 0 { key } else { format!("{key}#{}", same + 1) }, item));
    }
    items
}

fn find<'v>(items: &[(String, &'v Value)], key: &str) -> Option<&'v Value> {
    items.iter().find(|(known, _)| known == key).map(|(_, item)| *item)
}

fn part(own: Option<&Value>, end: Option<&Value>) -> Part {
    match end {
        None => Part::Absent,
        Some(_) if own == end => Part::Own,
        Some(value) => Part::Value(value.clone()),
    }
}

struct Comparison {
    steps: Vec<Step>,
    container: Option<String>,
    found: Vec<Found>,
}

impl Comparison {
    /// The field that holds what is at hand; empty for an item.
    fn field(&self) -> &str {
        match self.steps.last() {
            Some(Step::Field(name)) => name,
            _ => "",
        }
    }

    fn add(&mut self, parts: [Part; 2], is_order: bool) {
        let difference = Difference { steps: self.steps.clone(), parts, is_order };
        self.found.push(Found { difference, container: self.container.clone() });
    }

    fn value(&mut self, own: Option<&Value>, ends: [Option<&Value>; 2]) {
        if ends[0] == ends[1] {
            return;
        }
        let are_all = |is: fn(&Value) -> bool| ends.iter().flatten().all(|end| is(end));
        let is_list_of_objects = |end: &Value| end.as_array().is_some_and(|items| items.iter().all(Value::is_object));
        if are_all(Value::is_object) && (ends.iter().all(Option::is_some) || SHARED.contains(&self.field())) {
            self.members(own, ends);
        } else if are_all(is_list_of_objects) {
            let list = self.field().to_owned();
            let [own, from, to] = [own, ends[0], ends[1]].map(|end| items(&list, end));
            self.items(&list, &own, [&from, &to]);
        } else {
            self.add(ends.map(|end| part(own, end)), false);
        }
    }

    fn members(&mut self, own: Option<&Value>, ends: [Option<&Value>; 2]) {
        let keys = ends.iter().flatten().filter_map(|end| end.as_object()).flat_map(Map::keys);
        let mut seen = BTreeSet::new();
        for key in keys.filter(|key| seen.insert(*key)) {
            if self.field() == "annotations" && RECORDS.contains(&key.as_str()) {
                continue;
            }
            self.steps.push(Step::Field(key.clone()));
            self.value(own.and_then(|own| own.get(key)), ends.map(|end| end.and_then(|end| end.get(key))));
            self.steps.pop();
        }
    }

    fn items(&mut self, list: &str, own: &[(String, &Value)], ends: [&[(String, &Value)]; 2]) {
        let mut seen = BTreeSet::new();
        for (key, _) in ends.iter().copied().flatten().filter(|(key, _)| seen.insert(key)) {
            let parts = ends.map(|end| find(end, key));
            let own = find(own, key);
            let is_own_container = list.to_lowercase().ends_with("containers") && own.is_some();
            self.steps.push(match key_fields(list) {
                [] => Step::Item(String::new()),
                _ if is_own_container => Step::OwnContainer,
                _ => Step::Item(key.clone()),
            });
            let outer = self.container.clone();
            if is_own_container {
                self.container = Some(key.clone());
            }
            self.value(own, parts);
            self.container = outer;
            self.steps.pop();
        }
        let [from, to] = [(0, 1), (1, 0)].map(|(one, other)| {
            let common = ends[one].iter().filter(|(key, _)| find(ends[other], key).is_some());
            common.map(|(key, _)| Value::from(key.as_str())).collect::<Vec<_>>()
        });
        if ORDERED.contains(&list) && from != to {
            self.add([from, to].map(|keys| Part::Value(keys.into())), true);
        }
    }
}

impl Difference {
    /// Where it is, as the engine names places: `initContainers[proxy].image`. `container` is that of the pod itself, if it is
    /// the same for all that this is about.
    pub(super) fn place(&self, container: Option<&str>) -> String {
        let (mut place, mut field) = (String::new(), "");
        for step in &self.steps {
            let is_in_map = MAPS.contains(&field);
            match step {
                Step::Field(name) if is_in_map => place += &format!("[{name}]"),
                Step::Field(name) => {
                    place += if place.is_empty() { "" } else { "." };
                    place += name;
                }
                Step::Item(key) => place += &format!("[{key}]"),
                Step::OwnContainer => place += &format!("[{}]", container.unwrap_or("*")),
            }
            field = match step {
                Step::Field(name) if !is_in_map => name,
                _ => "",
            };
        }
        place.strip_prefix("spec.").map(str::to_owned).unwrap_or(place)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Each difference between two results, as `place: old -> new`.
    fn differences(own: Value, from: Value, to: Value) -> Vec<String> {
        let part = |part: &Part| match part {
            Part::Absent => "nothing".to_owned(),
            Part::Own => "own".to_owned(),
            Part::Value(value) => value.to_string(),
        };
        let found = compare(&json!({"spec": own}), [&json!({"spec": from}), &json!({"spec": to})]);
        let line = |Found { difference, container }: Found| {
            let [from, to] = difference.parts.each_ref().map(part);
            format!("{}: {from} -> {to}", difference.place(container.as_deref()))
        };
        found.into_iter().map(line).collect()
    }

    #[test]
    fn the_smallest_parts_that_differ_are_told_with_their_places() {
        let own = json!({"containers": [{"name": "app", "env": [{"name": "MODE", "value": "own"}]}]});
        let from = json!({
            "initContainers": [{"name": "a", "image": "a:1"}, {"name": "b", "args": ["x"]}],
            "containers": [{"name": "app", "env": [{"name": "MODE", "value": "own"}]}],
            "tolerations": [{"key": "x"}],
        });
        let to = json!({
            "initContainers": [{"name": "b", "args": ["x", "y"]}, {"name": "a", "image": "a:2"}],
            "containers": [{
                "name": "app", "resources": {"limits": {"memory": "1Gi"}}, "ports": [{"containerPort": 80}],
                "env": [{"name": "MODE", "value": "new"}, {"name": "MODE", "value": "twice"}],
            }],
            "tolerations": [{"key": "y"}],
        });
        assert_eq!(
            differences(own, from, to),
            [
                r#"initContainers[a].image: "a:1" -> "a:2""#,
                r#"initContainers[b].args: ["x"] -> ["x","y"]"#,
                r#"initContainers: ["a","b"] -> ["b","a"]"#,
                r#"containers[app].env[MODE].value: own -> "new""#,
                r#"containers[app].env[MODE#2]: nothing -> {"name":"MODE","value":"twice"}"#,
                r#"containers[app].resources.limits[memory]: nothing -> "1Gi""#,
                r#"containers[app].ports[80/TCP]: nothing -> {"containerPort":80}"#,
                r#"tolerations[]: {"key":"x"} -> nothing"#,
                r#"tolerations[]: nothing -> {"key":"y"}"#,
            ]
        );
    }

    #[test]
    fn what_pillion_notes_on_the_pod_is_no_difference() {
        let pod = |status: &str| json!({"metadata": {"annotations": {"pillion.dev/status": status, "pillion.dev/outcome": status}}});
        assert!(compare(&json!({}), [&pod("a"), &pod("b")]).is_empty());
        let (before, after) = (pod("a"), json!({"metadata": {"annotations": {"other": "x"}}}));
        let found = compare(&json!({}), [&before, &after]);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].difference.place(None), "metadata.annotations[other]");
    }
}
