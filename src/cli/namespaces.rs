//! What is known of namespaces: those in the input, and those that flags describe.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use clap::builder::NonEmptyStringValueParser;
use pillion_engine::catalog::Namespace;
use pillion_engine::names::{INJECT, REQUIRED, TEMPLATES};
use pillion_engine::yaml::Node;
use serde_json::{Value, json};

use super::fix::{Fix, Setting, in_ascii};
use super::output::{as_word, quoted};
use super::site::edit_of;
use crate::manifest::{FoundKey, Meant, found_keys};

/// The namespaces that the chart's webhooks never see, beside Pillion's own.
const SYSTEM: [&str; 2] = ["kube-node-lease", "kube-system"];

/// Flags about namespaces.
#[derive(Debug, clap::Args)]
pub(super) struct NamespaceArgs {
    /// Namespace of objects that name none
    #[arg(short, long, value_name = "NAMESPACE", default_value = "default", value_parser = NonEmptyStringValueParser::new())]
    namespace: String,

    #[command(flatten)]
    labels: NamespaceLabels,
}

/// Flags about the namespaces that are asked for.
#[derive(Debug, clap::Args)]
pub(super) struct NamespaceLabels {
    /// Labels of namespaces that are not in the input, beside pillion.dev/inject=enabled; can be given several times
    #[arg(long, value_name = "KEY=VALUE", value_delimiter = ',', value_parser = label)]
    namespace_labels: Vec<(String, String)>,
}

fn label(text: &str) -> Result<(String, String), String> {
    let label = text.split_once('=').filter(|(key, _)| !key.is_empty());
    let (key, value) = label.ok_or("write it as key=value, such as team=shop")?;
    Ok((key.to_owned(), value.to_owned()))
}

/// What is known of namespaces.
pub(super) struct Namespaces {
    /// That of objects which name none.
    default: String,
    /// The labels of those that are not in the input, if flags give some.
    labels: Option<Value>,
    known: BTreeMap<String, Known>,
}

/// A Namespace of the input.
struct Known {
    object: Value,
    file: String,
    node: Node,
}

/// Why the pods of a namespace are not sent to Pillion, and what to do.
pub(super) struct NotOptedIn {
    pub(super) why: String,
    pub(super) fix: Fix,
}

impl fmt::Display for NotOptedIn {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let NotOptedIn { why, fix: Fix { command, edits, .. } } = self;
        write!(formatter, "not sent to Pillion: {why}")?;
        let fix = command.iter().chain(edits).next();
        fix.map_or(Ok(()), |fix| write!(formatter, "; {fix}"))
    }
}

impl Namespaces {
    pub(super) fn new(NamespaceArgs { namespace, labels }: NamespaceArgs) -> Namespaces {
        Namespaces { default: namespace, ..Namespaces::labelled(labels) }
    }

    /// Namespaces whose objects all name theirs.
    pub(super) fn labelled(NamespaceLabels { namespace_labels }: NamespaceLabels) -> Namespaces {
        let mut labels = json!({INJECT: "enabled"});
        for (key, value) in &namespace_labels {
            labels[key] = value.as_str().into();
        }
        let labels = Some(labels).filter(|_| !namespace_labels.is_empty());
        Namespaces { default: String::new(), labels, known: BTreeMap::new() }
    }

    /// None, but the name of that of objects which name none.
    pub(super) fn with_default(name: String) -> Namespaces {
        Namespaces { default: name, labels: None, known: BTreeMap::new() }
    }

    /// One namespace, of which all is known.
    pub(super) fn of(name: &str, object: Value) -> Namespaces {
        let mut namespaces = Namespaces::with_default(name.to_owned());
        namespaces.insert(Path::new(""), &Node::from(object.clone()), object);
        namespaces
    }

    /// Remembers a Namespace of the input.
    pub(super) fn insert(&mut self, file: &Path, node: &Node, mut object: Value) {
        let Some(name) = object["metadata"]["name"].as_str().map(str::to_owned) else { return };
        // As the API server does.
        if let Value::Object(metadata) = &mut object["metadata"] {
            let labels = metadata.entry("labels").or_insert_with(|| json!({}));
            if let Value::Object(labels) = labels {
                labels.insert("kubernetes.io/metadata.name".into(), name.as_str().into());
            }
        }
        self.known.insert(name, Known { object, file: file.display().to_string(), node: node.clone() });
    }

    /// A Namespace of the input.
    pub(super) fn object(&self, name: &str) -> Option<&Value> {
        self.known.get(name).map(|known| &known.object)
    }

    /// An annotation of a Namespace of the input.
    pub(super) fn annotation(&self, name: &str, key: &str) -> Option<String> {
        self.object(name)?["metadata"]["annotations"][key].as_str().map(str::to_owned)
    }

    /// File and line of an annotation of a Namespace of the input.
    pub(super) fn position(&self, name: &str, key: &str) -> Option<String> {
        let Known { file, node, .. } = self.known.get(name)?;
        let annotations = node.get("metadata")?.get("annotations")?.members();
        let (key, _) = annotations.iter().find(|(known, _)| known.name == key)?;
        Some(format!("{file}:{}", key.position.line))
    }

    /// The labels and annotations of a Namespace of the input that are Pillion's, or are like them.
    pub(super) fn found_keys(&self, name: &str) -> Vec<FoundKey> {
        self.known.get(name).map(|known| found_keys(&known.node)).unwrap_or_default()
    }

    /// Whether flags say something of the namespaces that are not in the input.
    pub(super) fn has_labels(&self) -> bool {
        self.labels.is_some()
    }

    /// Has none of them give or require templates.
    pub(super) fn forget_templates(&mut self) {
        for Known { object, .. } in self.known.values_mut() {
            if let Some(Value::Object(annotations)) = object.pointer_mut("/metadata/annotations") {
                annotations.retain(|key, _| key != TEMPLATES && key != REQUIRED);
            }
        }
    }

    /// The namespace of an object that names this one, or none.
    pub(super) fn name<'a>(&'a self, named: Option<&'a str>) -> &'a str {
        named.unwrap_or(&self.default)
    }

    /// What is known of a namespace; or, if its pods are not sent to Pillion, why, and what to do.
    pub(super) fn find(&self, name: &str) -> Result<Namespace, NotOptedIn> {
        if SYSTEM.contains(&name) {
            return Err(NotOptedIn { why: format!("the webhook leaves {name} alone"), fix: Fix::default() });
        }
        let by_flags = || {
            let mut labels = self.labels.clone()?;
            labels["kubernetes.io/metadata.name"] = name.into();
            Some(json!({"metadata": {"name": name, "labels": labels}}))
        };
        let Some(object) = self.object(name).cloned().or_else(by_flags) else { return Ok(Namespace::named(name)) };
        match object["metadata"]["labels"][INJECT].as_str() {
            Some("enabled" | "true") => Ok(Namespace::from_object(&object)),
            _ => Err(self.not_opted_in(name, &object["metadata"]["labels"][INJECT])),
        }
    }

    /// Why this value of the label does not opt in, or what is in its place.
    fn not_opted_in(&self, name: &str, label: &Value) -> NotOptedIn {
        let mut labels = vec![(INJECT.to_owned(), Some("enabled".to_owned()))];
        let found = self.found_keys(name).into_iter().find(|found| found.meant == Meant::Key(INJECT));
        let why = match (label, found) {
            (Value::String(value), _) => {
                format!("the label {INJECT} of namespace {name} is {value:?}, and only enabled and true count")
            }
            (Value::Null, Some(found)) if found.is_exact() => {
                format!("{INJECT} is an annotation of namespace {name}, and counts as a label alone")
            }
            (Value::Null, Some(found)) if found.is_label() => {
                labels.push((found.key.clone(), None));
                format!("namespace {name} has the label {}, which means nothing to Pillion", found.key)
            }
            (Value::Null, _) => format!("namespace {name} lacks the label {INJECT}: enabled"),
            (wrong, _) => {
                labels = vec![(INJECT.to_owned(), Some(wrong.to_string()))];
                let fix = Fix { edits: self.edits("labels", name, &labels), ..Fix::default() };
                return NotOptedIn { why: format!("the label {INJECT} of namespace {name} must be a string"), fix };
            }
        };
        let (command, edits) = (self.command("label", name, &labels), self.edits("labels", name, &labels));
        NotOptedIn { why, fix: Fix { command, edits, has_examples: false } }
    }

    /// The command that changes labels (`label`) or annotations (`annotate`) of a namespace.
    pub(super) fn command(&self, verb: &str, name: &str, settings: &[Setting]) -> Option<String> {
        let map = if verb == "label" { "labels" } else { "annotations" };
        let is_plain = |value: &String| value.is_ascii() && !value.contains(char::is_control);
        if !settings.iter().filter_map(|(_, value)| value.as_ref()).all(is_plain) {
            let members: serde_json::Map<_, _> =
                settings.iter().map(|(key, value)| (key.clone(), json!(value))).collect();
            let patch = quoted(&in_ascii(&json!({"metadata": {map: members}})));
            return Some(format!("kubectl patch namespace {} --type=merge -p {patch}", as_word(name)));
        }
        let there = self.object(name).map(|object| &object["metadata"][map]);
        let is_there = |(key, value): &Setting| value.is_some() && there.is_some_and(|there| there.get(key).is_some());
        let words = settings.iter().map(|(key, value)| match value {
            Some(value) => quoted(&format!("{key}={value}")),
            None => quoted(&format!("{key}-")),
        });
        let words: Vec<_> = words.collect();
        let overwrite = if settings.iter().any(is_there) { " --overwrite" } else { "" };
        let name = as_word(name);
        (!words.is_empty()).then(|| format!("kubectl {verb} namespace {name} {}{overwrite}", words.join(" ")))
    }

    /// The same in the file that has the Namespace.
    pub(super) fn edits(&self, map: &str, name: &str, settings: &[Setting]) -> Vec<String> {
        let Some(Known { file, node, .. }) = self.known.get(name) else { return Vec::new() };
        let metadata = node.get("metadata").unwrap_or(node);
        let members = metadata.get(map);
        let line = members.unwrap_or(metadata).position.line;
        settings.iter().map(|it| edit_of(file, members, line, &format!("metadata.{map}"), it)).collect()
    }
}
