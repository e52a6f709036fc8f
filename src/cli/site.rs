//! Where a pod stands in a manifest, and how it is changed there and in the cluster.

use std::path::Path;

use pillion_engine::yaml::{Node, Value};
use serde_json::{Map, json};

use super::fix::{Setting, in_ascii};
use super::output::{as_word, quoted};
use crate::manifest::{Object, PodTemplate};

/// Where a pod stands: an object of a file, and the pod template in it.
#[derive(Clone)]
pub(super) struct Site<'a> {
    file: String,
    kind: String,
    /// Nothing if the API server is to make one up.
    name: Option<String>,
    namespace: String,
    /// The path of the pod template; empty for a pod itself.
    path: String,
    /// The object as it was written.
    object: &'a Node,
    /// The pod template as it was written.
    node: &'a Node,
}

impl<'a> Site<'a> {
    /// The place of an object, for pod templates in it.
    pub(super) fn of(file: &Path, object: &Object<'a>, namespace: &str) -> Site<'a> {
        let is_named = object.value["metadata"]["name"].is_string();
        Site {
            file: file.display().to_string(),
            kind: object.kind_in_lower_case(),
            name: is_named.then(|| object.name.clone()),
            namespace: namespace.to_owned(),
            path: String::new(),
            object: object.node,
            node: object.node,
        }
    }

    /// The same for a pod template of the object.
    pub(super) fn template<'t>(&self, template: &PodTemplate<'t>) -> Site<'t>
    where
        'a: 't,
    {
        Site { path: template.path.clone(), node: template.node, ..self.clone() }
    }

    /// An annotation of the pod, as it was written.
    pub(super) fn annotation(&self, key: &str) -> Option<String> {
        self.node.get("metadata")?.get("annotations")?.get(key)?.as_str().map(str::to_owned)
    }

    /// The namespace.
    pub(super) fn namespace(&self) -> &str {
        &self.namespace
    }

    /// Where another namespace is to be written.
    pub(super) fn other_namespace(&self) -> String {
        let namespace = self.object.get("metadata").and_then(|metadata| metadata.get("namespace"));
        let line = namespace.unwrap_or(self.object).position.line;
        format!("{}:{line}: write another namespace than {}", self.file, self.namespace)
    }

    /// The file.
    pub(super) fn file(&self) -> &str {
        &self.file
    }

    /// The file as a word of a command; nothing if it is standard input.
    pub(super) fn file_flag(&self) -> Option<String> {
        (self.file != "standard input").then(|| quoted(&self.file))
    }

    /// The kind of the object, as kubectl writes it.
    pub(super) fn kind(&self) -> &str {
        &self.kind
    }

    /// What is injected, in words: pods have no pod template.
    pub(super) fn noun(&self) -> &'static str {
        if self.path.is_empty() { "pod" } else { "pod template" }
    }

    /// The path of a member of the pod's metadata.
    pub(super) fn path_of(&self, map: &str) -> String {
        let dot = if self.path.is_empty() { "" } else { "." };
        format!("{}{dot}metadata.{map}", self.path)
    }

    /// Whether a path is that of the pod's labels or annotations.
    pub(super) fn has(&self, map: &str) -> bool {
        [self.path_of("labels"), self.path_of("annotations")].iter().any(|own| own == map)
    }

    /// File and line of a place in the pod, or of the nearest part around it that is there.
    pub(super) fn position(&self, place: &str) -> String {
        format!("{}:{}", self.file, self.line_of(place).0)
    }

    /// What to write for a label or annotation that is no text.
    pub(super) fn written_as_text(&self) -> Option<String> {
        ["labels", "annotations"].into_iter().find_map(|map| {
            let members = self.node.get("metadata")?.get(map)?.members();
            let (key, value) = members.iter().find(|(_, value)| value.as_str().is_none())?;
            let value = match &value.value {
                Value::List(items) => items.iter().filter_map(Node::as_str).collect::<Vec<_>>().join(","),
                _ => value.to_json().to_string(),
            };
            Some(format!("{}:{}: write {}: {}", self.file, key.position.line, key.name, in_ascii(&json!(value))))
        })
    }

    /// The command that changes the metadata of the pod template in the cluster. A merge patch reaches no item of a list, a
    /// Job cannot be changed, and a pod is injected only when it is created.
    pub(super) fn patch(&self, annotations: &[Setting], labels: &[Setting]) -> Option<String> {
        let is_fixed = self.path.is_empty() || self.path.contains('[') || self.kind == "job";
        let name = self.name.as_ref().filter(|_| !is_fixed && annotations.len() + labels.len() > 0)?;
        let mut metadata = Map::new();
        for (map, settings) in [("annotations", annotations), ("labels", labels)] {
            if !settings.is_empty() {
                let members: Map<_, _> = settings.iter().map(|(key, value)| (key.clone(), json!(value))).collect();
                metadata.insert(map.to_owned(), members.into());
            }
        }
        let patch = self.path.rsplit('.').fold(json!({"metadata": metadata}), |inner, field| json!({field: inner}));
        let [kind, name, namespace] = [&self.kind, name, &self.namespace].map(|word| as_word(word));
        Some(format!("kubectl patch {kind} {name} -n {namespace} --type=merge -p {}", quoted(&in_ascii(&patch))))
    }

    /// The changes of labels or annotations of the pod, in the file.
    pub(super) fn edits(&self, map: &str, settings: &[Setting]) -> Vec<String> {
        let metadata = self.node.get("metadata").and_then(|metadata| metadata.get(map));
        let line = self.line_of(&format!("metadata.{map}")).0;
        settings.iter().map(|setting| edit_of(&self.file, metadata, line, &self.path_of(map), setting)).collect()
    }

    /// The line of a place in the pod, and whether it is there; else the line of what is around it.
    pub(super) fn line_of(&self, place: &str) -> (u64, bool) {
        let mut node = self.node;
        let mut line = node.position.line;
        let is_in_metadata = place == "metadata" || place.starts_with("metadata.");
        let root = (!is_in_metadata).then_some(Step::Member("spec"));
        for step in root.into_iter().chain(steps(place)) {
            let found = match step {
                Step::Member(name) => {
                    node.members().iter().find(|(key, _)| key.name == name).map(|(key, it)| (key.position.line, it))
                }
                Step::Item(key) if !node.members().is_empty() => {
                    node.members().iter().find(|(name, _)| name.name == key).map(|(key, it)| (key.position.line, it))
                }
                Step::Item(key) => item(node, key).map(|item| (item.position.line, item)),
            };
            let Some((at, found)) = found else { return (line, false) };
            (line, node) = (at, found);
        }
        (line, true)
    }
}

/// A change of a label or annotation in a file. `line` is that of the map, or of where it would be.
pub(super) fn edit_of(file: &str, map: Option<&Node>, line: u64, path: &str, (key, value): &Setting) -> String {
    let members = map.map_or(&[][..], Node::members);
    let there = members.iter().find(|(known, _)| known.name == *key).map(|(key, _)| key.position.line);
    match (there, value) {
        (Some(line), Some(value)) => format!("{file}:{line}: write {key}: {}", in_yaml(value)),
        (Some(line), None) => format!("{file}:{line}: remove {key}"),
        (None, Some(value)) => format!("{file}:{line}: add {key}: {} to {path}", in_yaml(value)),
        (None, None) => format!("{file}:{line}: remove {key} from {path}"),
    }
}

/// A step of a path in a message: `containers[app].env`.
enum Step<'p> {
    Member(&'p str),
    Item(&'p str),
}

fn steps(place: &str) -> impl Iterator<Item = Step<'_>> {
    let mut rest = place;
    std::iter::from_fn(move || {
        rest = rest.strip_prefix('.').unwrap_or(rest);
        if let Some(inner) = rest.strip_prefix('[') {
            let (key, behind) = inner.split_once(']')?;
            rest = behind;
            return Some(Step::Item(key));
        }
        let end = rest.find(['.', '[']).unwrap_or(rest.len());
        let (name, behind) = rest.split_at(end);
        rest = behind;
        (!name.is_empty()).then_some(Step::Member(name))
    })
}

/// The item of a list that messages call by this key.
fn item<'n>(list: &'n Node, key: &str) -> Option<&'n Node> {
    let is_called = |item: &&Node| {
        ["name", "mountPath", "devicePath", "containerPort"].iter().filter_map(|field| item.get(field)).any(|value| {
            value.as_str().is_some_and(|text| text == key)
                || key
                    .split_once('/')
                    .is_some_and(|(port, _)| value.to_json().as_u64().is_some_and(|known| known.to_string() == port))
        })
    };
    list.items().iter().find(is_called).or_else(|| list.items().get(key.parse::<usize>().ok()?))
}

/// A text as YAML takes it for one, in a flow too.
fn in_yaml(text: &str) -> String {
    let is_plain = text.starts_with(|letter: char| letter.is_ascii_alphabetic())
        && text.chars().all(|letter| letter.is_ascii_alphanumeric() || "-._/".contains(letter))
        && !["y", "n", "yes", "no", "on", "off", "true", "false", "null"].contains(&&*text.to_lowercase());
    if is_plain { text.to_owned() } else { in_ascii(&json!(text)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::parse;

    #[test]
    fn the_line_of_a_place_is_found_or_that_of_what_is_around_it() {
        let pod = "metadata:\n  labels:\n    app.kubernetes.io/name: web\nspec:\n  containers:\n    - name: app\n      \
                   volumeMounts:\n        - mountPath: /data.d\n          name: data\n      ports:\n        - \
                   containerPort: 80\n";
        let node = parse(pod, 0).unwrap().unwrap();
        let site = Site {
            file: "web.yaml".into(),
            kind: "pod".into(),
            name: None,
            namespace: "shop".into(),
            path: String::new(),
            object: &node,
            node: &node,
        };
        for (place, line) in [
            ("metadata.labels[app.kubernetes.io/name]", (3, true)),
            ("metadata.annotations", (1, false)),
            ("containers[app]", (6, true)),
            ("containers[0]", (6, true)),
            ("containers[app].volumeMounts[/data.d].name", (9, true)),
            ("containers[app].ports[80/TCP]", (11, true)),
            ("containers[other]", (5, false)),
            ("hostNetwork", (4, false)),
        ] {
            assert_eq!(site.line_of(place), line, "{place}");
        }
    }

    #[test]
    fn what_is_to_be_written_is_a_text_whatever_it_looks_like() {
        let written = ["fluent-bit", "a,b", "80", "true", "", "a: b", "ü\u{202e}\"", "/var/log"].map(in_yaml);
        assert_eq!(
            written,
            ["fluent-bit", "\"a,b\"", "\"80\"", "\"true\"", "\"\"", "\"a: b\"", r#""\u00fc\u202e\"""#, "\"/var/log\""]
        );
        for text in ["a", "true", "ü\u{1f600}", "a\nb"] {
            assert_eq!(parse(&in_yaml(text), 0).unwrap().unwrap().to_json(), json!(text));
        }
    }
}
