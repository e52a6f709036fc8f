//! The labels and annotations of an object that are Pillion's, and those that are probably meant to be.

use pillion_engine::names::{FAILURE_POLICY, INJECT, REQUIRED, TEMPLATES, parameter_of};
use pillion_engine::text::nearest;
use pillion_engine::yaml::{Node, Value};

use super::objects::{below, is_pod_template};

/// A key in an object.
#[derive(Clone)]
pub(crate) struct FoundKey {
    /// The key.
    pub(crate) key: String,
    /// What it is set to, as text.
    pub(crate) value: String,
    /// The path of the map that holds it.
    pub(crate) map: String,
    /// The line of the file on which it is.
    pub(crate) line: u64,
    /// Whether it is under Pillion's own domain.
    pub(crate) is_ours: bool,
    /// Whether it is a label or annotation of a pod or of a pod template.
    pub(crate) is_of_pod: bool,
    /// What it is, or is like.
    pub(crate) meant: Meant,
}

/// What a key says.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Meant {
    /// [`INJECT`], [`TEMPLATES`], [`REQUIRED`] or [`FAILURE_POLICY`].
    Key(&'static str),
    /// The parameter of a template.
    Parameter(String, String),
    /// Nothing that is known.
    Nothing,
}

impl FoundKey {
    /// Whether it is a label.
    pub(crate) fn is_label(&self) -> bool {
        self.map.ends_with("labels")
    }

    /// Whether it means what it is like.
    pub(crate) fn is_exact(&self) -> bool {
        self.key_meant().is_some_and(|key| key == self.key)
    }

    /// The right key for what is meant.
    pub(crate) fn key_meant(&self) -> Option<String> {
        match &self.meant {
            Meant::Key(key) => Some((*key).to_owned()),
            Meant::Parameter(template, parameter) => Some(format!("{template}.pillion.dev/{parameter}")),
            Meant::Nothing => None,
        }
    }
}

/// Maps in which a key is one of Pillion's, or was written in the wrong place.
const HOLDING: [&str; 5] = ["labels", "annotations", "metadata", "template", "spec"];
/// Maps that choose objects, or were written by others.
const SKIPPED: [&str; 5] = ["matchLabels", "selector", "nodeSelector", "managedFields", "status"];

/// The keys in an object, in the order in which they were written.
pub(crate) fn found_keys(object: &Node) -> Vec<FoundKey> {
    let mut found = Vec::new();
    let is_pod = object.get("kind").and_then(Node::as_str) == Some("Pod");
    walk(object, String::new(), is_pod, false, &mut found);
    found
}

/// `is_pod`: whether the node is a pod or a pod template. `is_of_pod`: whether it is the metadata of one.
fn walk(node: &Node, path: String, is_pod: bool, is_of_pod: bool, found: &mut Vec<FoundKey>) {
    let name = path.rsplit('.').next().unwrap_or_default();
    let (is_map_of_keys, is_holding) = (["labels", "annotations"].contains(&name), HOLDING.contains(&name));
    for (key, value) in node.members() {
        let is_ours = key.name.starts_with("pillion.dev/") || key.name.contains(".pillion.dev/");
        if is_ours && is_holding || is_map_of_keys && is_alike(&key.name) {
            found.push(FoundKey {
                key: key.name.clone(),
                value: as_text(value),
                map: path.clone(),
                line: key.position.line,
                is_ours,
                is_of_pod: is_of_pod && is_map_of_keys,
                meant: meant(&key.name),
            });
        } else if !SKIPPED.contains(&key.name.as_str()) {
            let is_of_pod = is_pod && key.name == "metadata" || is_of_pod && path.ends_with("metadata");
            let is_pod = !path.is_empty() && is_pod_template(value);
            walk(value, below(&path, &key.name), is_pod, is_of_pod, found);
        }
    }
    for (number, item) in node.items().iter().enumerate() {
        walk(item, format!("{path}[{number}]"), is_pod_template(item), false, found);
    }
}

fn as_text(value: &Node) -> String {
    match &value.value {
        Value::String(text) => text.clone(),
        Value::List(items) => items.iter().map(as_text).collect::<Vec<_>>().join(","),
        _ => value.to_json().to_string(),
    }
}

/// Whether somebody may have meant Pillion by a key.
fn is_alike(key: &str) -> bool {
    let domain = key.split_once('/').map_or(key, |(domain, _)| domain);
    domain.contains("pillion") || nearest(domain, ["pillion.dev"].into_iter()).is_some()
}

/// What a key says, or is probably meant to say.
fn meant(key: &str) -> Meant {
    let known = [INJECT, TEMPLATES, REQUIRED, FAILURE_POLICY];
    if let Some(key) = known.into_iter().find(|known| *known == key) {
        return Meant::Key(key);
    }
    if let Some((template, parameter)) = parameter_of(key) {
        return Meant::Parameter(template.to_owned(), parameter.to_owned());
    }
    let (domain, name) = key.split_once('/').unwrap_or(("", key));
    if let Some((template, _)) = domain.split_once(".pillion") {
        return Meant::Parameter(template.to_owned(), name.to_owned());
    }
    let word: String = name.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_lowercase();
    let near = || {
        let names = known.iter().map(|key| key.split_once('/').map_or(*key, |(_, name)| name));
        let near = nearest(name, names)?;
        known.into_iter().find(|key| key.ends_with(near))
    };
    let like = match &*word {
        word if word.contains("require") => Some(REQUIRED),
        word if word.contains("template") || word.contains("sidecar") => Some(TEMPLATES),
        word if word.contains("inject") => Some(INJECT),
        _ => near(),
    };
    match (like, name.split_once('.')) {
        (Some(key), _) => Meant::Key(key),
        (None, Some((template, parameter))) if !domain.is_empty() => {
            Meant::Parameter(template.to_owned(), parameter.to_owned())
        }
        _ => Meant::Nothing,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::parse;

    #[test]
    fn what_is_meant_by_a_key_is_known() {
        let parameter = |template: &str, parameter: &str| Meant::Parameter(template.into(), parameter.into());
        for (key, says) in [
            ("pillion.dev/templates", Meant::Key(TEMPLATES)),
            ("pillion.dev/template", Meant::Key(TEMPLATES)),
            ("pillion.dev/tempaltes", Meant::Key(TEMPLATES)),
            ("pillion.io/templates", Meant::Key(TEMPLATES)),
            ("pillion-templates", Meant::Key(TEMPLATES)),
            ("pillion.dev/inject-templates", Meant::Key(TEMPLATES)),
            ("pillion.dev/required", Meant::Key(REQUIRED)),
            ("pillion.dev/injection", Meant::Key(INJECT)),
            ("pillion.dev/failurePolicy", Meant::Key(FAILURE_POLICY)),
            ("envoy.pillion.dev/port", parameter("envoy", "port")),
            ("envoy.pillion.io/port", parameter("envoy", "port")),
            ("pillion.dev/envoy.port", parameter("envoy", "port")),
            ("pillion.dev/colour", Meant::Nothing),
        ] {
            assert_eq!(meant(key), says, "{key}");
        }
    }

    #[test]
    fn keys_are_found_where_they_count_and_where_they_do_not() {
        let object = "kind: Deployment\nmetadata:\n  labels: {pillion.dev/inject: enabled, app: pillion.dev/web}\nspec:\n  \
                      selector: {matchLabels: {pillion.dev/inject: enabled}}\n  template:\n    annotations: \
                      {pillion.dev/templates: [a, b]}\n    metadata:\n      labels: {pilion.dev/templates: a}\n    spec: \
                      {containers: [{name: pillion.dev/x}]}\n";
        let node = parse(object, 0).unwrap().unwrap();
        let found: Vec<_> = found_keys(&node)
            .into_iter()
            .map(|it| format!("{} {}={} in {}, of pod: {}", it.line, it.key, it.value, it.map, it.is_of_pod))
            .collect();
        assert_eq!(
            found,
            [
                "3 pillion.dev/inject=enabled in metadata.labels, of pod: false",
                "7 pillion.dev/templates=a,b in spec.template.annotations, of pod: false",
                "9 pilion.dev/templates=a in spec.template.metadata.labels, of pod: true",
            ]
        );
    }
}
