//! What is known of namespaces: those in the input, and those that flags describe.

use std::collections::BTreeMap;

use pillion_engine::catalog::Namespace;
use serde_json::{Value, json};

use super::output::as_word;
use super::settings::TEMPLATES;

/// The label by which a namespace opts in.
pub(super) const INJECT: &str = "pillion.dev/inject";
/// The templates that pods of a namespace cannot drop.
const REQUIRED: &str = "pillion.dev/required-templates";

/// The namespaces that the chart's webhooks never see, beside Pillion's own.
const SYSTEM: [&str; 2] = ["kube-node-lease", "kube-system"];

/// Flags about namespaces.
#[derive(Debug, clap::Args)]
pub(super) struct NamespaceArgs {
    /// Namespace of objects that name none
    #[arg(short, long, value_name = "NAMESPACE", default_value = "default")]
    namespace: String,

    /// Labels of namespaces that are not in the input, beside pillion.dev/inject=enabled
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
    known: BTreeMap<String, Value>,
}

impl Namespaces {
    pub(super) fn new(NamespaceArgs { namespace, namespace_labels }: NamespaceArgs) -> Namespaces {
        let mut labels = json!({INJECT: "enabled"});
        for (key, value) in &namespace_labels {
            labels[key] = value.as_str().into();
        }
        let labels = Some(labels).filter(|_| !namespace_labels.is_empty());
        Namespaces { default: namespace, labels, known: BTreeMap::new() }
    }

    /// None, but the name of that of objects which name none.
    pub(super) fn with_default(name: String) -> Namespaces {
        Namespaces { default: name, labels: None, known: BTreeMap::new() }
    }

    /// Remembers a Namespace of the input.
    pub(super) fn insert(&mut self, mut object: Value) {
        let Some(name) = object["metadata"]["name"].as_str().map(str::to_owned) else { return };
        // As the API server does.
        if let Value::Object(metadata) = &mut object["metadata"] {
            let labels = metadata.entry("labels").or_insert_with(|| json!({}));
            if let Value::Object(labels) = labels {
                labels.insert("kubernetes.io/metadata.name".into(), name.as_str().into());
            }
        }
        self.known.insert(name, object);
    }

    /// Has none of them give or require templates.
    pub(super) fn forget_templates(&mut self) {
        for object in self.known.values_mut() {
            if let Some(Value::Object(annotations)) = object.pointer_mut("/metadata/annotations") {
                annotations.retain(|key, _| key != TEMPLATES && key != REQUIRED);
            }
        }
    }

    /// The namespace of an object that names this one, or none.
    pub(super) fn name<'a>(&'a self, named: Option<&'a str>) -> &'a str {
        named.unwrap_or(&self.default)
    }

    /// A Namespace of the input.
    pub(super) fn object(&self, name: &str) -> Option<&Value> {
        self.known.get(name)
    }

    /// What is known of a namespace; or, if its pods are not sent to Pillion, why, and what to do.
    pub(super) fn find(&self, name: &str) -> Result<Namespace, String> {
        if SYSTEM.contains(&name) {
            return Err(format!("not sent to Pillion: the webhook leaves {name} alone"));
        }
        let by_flags = || {
            let mut labels = self.labels.clone()?;
            labels["kubernetes.io/metadata.name"] = name.into();
            Some(json!({"metadata": {"name": name, "labels": labels}}))
        };
        let Some(object) = self.known.get(name).cloned().or_else(by_flags) else { return Ok(Namespace::named(name)) };
        match object["metadata"]["labels"][INJECT].as_str() {
            Some("enabled" | "true") => Ok(Namespace::from_object(&object)),
            _ => Err(format!(
                "not sent to Pillion: its namespace lacks the label {INJECT}: enabled; add it to the manifest of the \
                 namespace, or: kubectl label namespace {} {INJECT}=enabled",
                as_word(name)
            )),
        }
    }
}
