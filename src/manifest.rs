//! Kubernetes manifests: documents in a file, and the pods in them.
//!
//! A document that is not changed is written byte for byte. One that is changed keeps the order of its fields and the
//! comments above it.

use pillion_engine::yaml;
use serde::de::IgnoredAny;
use serde_json::{Map, Value};

/// Why a document could not be read or written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ManifestError {
    #[error("line {line}, column {column}: {0}", line = .0.position.line, column = .0.position.column)]
    Syntax(#[from] yaml::SyntaxError),
    #[error("cannot be written as YAML: {0}")]
    Writing(String),
}

/// Splits a file into documents, which together are the file. YAML documents begin with their `---`; JSON ones may
/// simply follow each other.
pub(crate) fn documents(text: &str) -> Vec<&str> {
    yaml::documents(text).into_iter().flat_map(json_documents).collect()
}

fn json_documents(text: &str) -> Vec<&str> {
    if !text.trim_start().starts_with('{') {
        return vec![text];
    }
    let mut values = serde_json::Deserializer::from_str(text).into_iter::<IgnoredAny>();
    let mut ends = Vec::new();
    while let Some(value) = values.next() {
        if value.is_err() {
            // YAML that begins like JSON.
            return vec![text];
        }
        // The space after a value goes with it.
        let end = values.byte_offset();
        ends.push(text.len() - text[end..].trim_start().len());
    }
    let starts = std::iter::once(0).chain(ends.iter().copied());
    starts.zip(&ends).map(|(start, &end)| &text[start..end]).collect()
}

/// Reads a document that has `lines` before it, as kubectl would: `0644` is octal, and a key may appear only once. `None`
/// when the document is empty.
pub(crate) fn parse(document: &str, lines: usize) -> Result<Option<Value>, ManifestError> {
    let node = yaml::read_document(document, lines as u64)?;
    Ok(node.map(|node| node.to_json()).filter(|value| !value.is_null()))
}

/// Writes `value` in place of `document`.
pub(crate) fn write(document: &str, value: &Value) -> Result<String, ManifestError> {
    // Long lines stay lines: folded ones are hard to read in a command or a script.
    let options = serde_saphyr::ser_options! { folded_wrap_chars: usize::MAX };
    let mut text = preamble(document).to_owned();
    let yaml = serde_saphyr::to_string_with_options(value, options);
    text.push_str(&yaml.map_err(|error| ManifestError::Writing(error.to_string()))?);
    Ok(text)
}

/// The lines before a document's first field: its marker and the comments below that.
fn preamble(document: &str) -> &str {
    let is_preamble = |line: &&str| {
        let line = line.strip_prefix("---").unwrap_or(line).trim();
        line.is_empty() || line.starts_with('#') || line.starts_with('%') || line == "..."
    };
    let length = document.split_inclusive('\n').take_while(is_preamble).map(str::len).sum();
    &document[..length]
}

/// A pod in a manifest, or what pods will be made from.
pub(crate) struct PodSource<'a> {
    /// The kind of the object that holds it, in lower case, as kubectl writes it.
    pub(crate) kind: String,
    /// The name of that object.
    pub(crate) name: String,
    /// Its namespace.
    pub(crate) namespace: String,
    /// An annotation of ours on that object itself, where it has no effect.
    pub(crate) misplaced: Option<String>,
    /// The object that holds `metadata` and `spec` of the pod.
    template: &'a mut Map<String, Value>,
}

/// Where a kind of object keeps its pod template.
fn template_path(group: &str, kind: &str) -> Option<&'static [&'static str]> {
    match (group, kind) {
        ("", "Pod") => Some(&[]),
        ("", "PodTemplate") => Some(&["template"]),
        ("", "ReplicationController")
        | ("apps", "DaemonSet" | "Deployment" | "ReplicaSet" | "StatefulSet")
        | ("batch", "Job") => Some(&["spec", "template"]),
        ("batch", "CronJob") => Some(&["spec", "jobTemplate", "spec", "template"]),
        _ => None,
    }
}

/// Visits each pod of an object, those in the items of a list too.
pub(crate) fn each_pod<E>(object: &mut Value, visit: &mut impl FnMut(PodSource<'_>) -> Result<(), E>) -> Result<(), E> {
    let text = |value: &Value, field: &str| value[field].as_str().unwrap_or_default().to_owned();
    let (api_version, kind) = (text(object, "apiVersion"), text(object, "kind"));
    let group = api_version.split_once('/').map_or("", |(group, _)| group);
    if kind.ends_with("List") {
        for item in object.get_mut("items").and_then(Value::as_array_mut).into_iter().flatten() {
            each_pod(item, visit)?;
        }
        return Ok(());
    }
    let Some(path) = template_path(group, &kind) else { return Ok(()) };
    let metadata = &object["metadata"];
    let name = text(metadata, if metadata["name"].is_string() { "name" } else { "generateName" });
    let namespace = metadata["namespace"].as_str().unwrap_or("default").to_owned();
    let is_ours = |key: &&String| key.starts_with("pillion.dev/") || key.contains(".pillion.dev/");
    let annotations = metadata["annotations"].as_object().filter(|_| !path.is_empty());
    let misplaced = annotations.into_iter().flat_map(Map::keys).find(is_ours).cloned();
    let template = path.iter().try_fold(object, |value, field| value.get_mut(*field)).and_then(Value::as_object_mut);
    match template {
        Some(template) => visit(PodSource { kind: kind.to_lowercase(), name, namespace, misplaced, template }),
        None => Ok(()),
    }
}

impl PodSource<'_> {
    /// The pod as it would be sent to the API server: with a namespace, and a name or `generateName`.
    pub(crate) fn pod(&self) -> Value {
        let mut pod = Map::new();
        if self.kind != "pod" {
            pod.insert("apiVersion".into(), "v1".into());
            pod.insert("kind".into(), "Pod".into());
        }
        pod.extend(self.template.clone());
        let metadata = pod.entry("metadata").or_insert_with(|| Map::new().into());
        if let Value::Object(metadata) = metadata {
            metadata.entry("namespace").or_insert_with(|| self.namespace.as_str().into());
            if self.kind != "pod" && !metadata.contains_key("name") {
                metadata.entry("generateName").or_insert_with(|| format!("{}-", self.name).into());
            }
        }
        pod.into()
    }

    /// Puts `pod`, which was made from this, back in its place, without what [`PodSource::pod`] added.
    pub(crate) fn put_back(&mut self, mut pod: Value) {
        let Some(pod) = pod.as_object_mut() else { return };
        if let Some(mut metadata) = pod.shift_remove("metadata") {
            let before = self.template.get("metadata");
            if let Value::Object(metadata) = &mut metadata {
                for field in ["namespace", "generateName"] {
                    if before.is_none_or(|before| before.get(field).is_none()) {
                        metadata.shift_remove(field);
                    }
                }
            }
            if before.is_some() {
                self.template.insert("metadata".into(), metadata);
            } else {
                self.template.shift_insert(0, "metadata".into(), metadata);
            }
        }
        if let Some(spec) = pod.shift_remove("spec") {
            self.template.insert("spec".into(), spec);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn round_trip(value: &Value) -> Value {
        let text = write("", value).unwrap();
        parse(&text, 0).unwrap_or_else(|error| panic!("{error}:\n{text}")).unwrap()
    }

    #[test]
    fn documents_together_are_the_file() {
        for text in [
            "# only a comment\n",
            "a: 1\n---\nb: 2\n",
            "---\na: |\n  ---\n--- # two\nb: 2",
            "---\n---\n",
            "{\"a\": 1}\n{\"b\": 2}\n",
            "{a: 1}\n---\n{b: [",
        ] {
            assert_eq!(documents(text).concat(), text);
        }
        assert_eq!(documents("{\"a\": 1}\n{\"b\": 2}\n").len(), 2);
        assert_eq!(documents("a: 1\n---\nb: 2\n").len(), 2);
        assert_eq!(documents("a: |\n  ---\n").len(), 1);
    }

    #[test]
    fn yaml_is_read_as_kubectl_reads_it() {
        let read = |text: &str| parse(text, 0).unwrap();
        assert_eq!(read("defaultMode: 0644"), Some(json!({"defaultMode": 420})));
        assert_eq!(read("{\"emoji\": \"\\ud83d\\ude00\",\n\t\"a\\/b\": 1}"), Some(json!({"emoji": "😀", "a/b": 1})));
        assert_eq!(read("---\n# nothing\n"), None);
        for (twice, place) in [("a: 1\na: 2\n", "line 12, column 1"), ("{\"a\": 1, \"a\": 2}", "line 11, column 10")] {
            let error = parse(twice, 10).unwrap_err();
            assert_eq!(error.to_string(), format!("{place}: invalid YAML: duplicate mapping key: a"));
        }
    }

    #[test]
    fn what_is_written_is_read_as_the_same() {
        let words = [
            "yes",
            "no",
            "on",
            "y",
            "null",
            "~",
            "true",
            "0123",
            "0x1f",
            "1e3",
            "1_000",
            "12:30:45",
            "2026-01-01",
            "",
            " ",
            "a: b",
            "a #b",
            "- a",
            "*a",
            "&a",
            "!a",
            "%a",
            "@a",
            "`a`",
            "{a}",
            "[a]",
            "'",
            "\"",
            "\\",
            "a\tb",
            "line\n",
            "line\n\n",
            "\nline",
            "two\nlines",
            "#!/bin/sh\nset -e\n\n  echo \"$X\"  \n",
            "trailing \nspace",
            "\u{1f600}",
            "\u{85}",
            "\r\n",
            "---",
            "...",
            "=",
            "<<",
            ".5",
            "+1",
            ".inf",
            "0o7",
            "key:",
            "?",
            "-",
        ];
        for word in words {
            assert_eq!(round_trip(&json!({ "value": word })), json!({ "value": word }));
            assert_eq!(round_trip(&json!([word, [word]])), json!([word, [word]]));
            assert_eq!(round_trip(&json!({ word: 1 })), json!({ word: 1 }));
        }
        let long = "x ".repeat(100) + "y";
        for value in [json!(0), json!(-1), json!(u64::MAX), json!(0.5), json!(1e300), json!([]), json!({}), json!(long)]
        {
            assert_eq!(round_trip(&json!({ "value": value })), json!({ "value": value }));
        }
    }

    #[test]
    fn the_comments_above_a_document_stay() {
        let document = "---\n# Source: chart/templates/web.yaml\nkind: Pod # inline\n";
        let text = write(document, &json!({"kind": "Pod", "apiVersion": "v1"})).unwrap();
        assert_eq!(text, "---\n# Source: chart/templates/web.yaml\nkind: Pod\napiVersion: v1\n");
    }

    #[test]
    fn pods_are_found_in_workloads_and_lists() {
        let mut list = json!({"apiVersion": "v1", "kind": "List", "items": [
            {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "namespace": "shop"},
             "spec": {"template": {"spec": {}}}},
            {"apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": "nightly"},
             "spec": {"jobTemplate": {"spec": {"template": {"metadata": {"labels": {"a": "b"}}, "spec": {}}}}}},
            {"apiVersion": "v1", "kind": "Pod", "metadata": {"generateName": "one-"}, "spec": {}},
            {"apiVersion": "batch.volcano.sh/v1alpha1", "kind": "Job", "spec": {"template": {}}},
            {"apiVersion": "v1", "kind": "ConfigMap"},
        ]});
        let before = list.clone();
        let mut seen = Vec::new();
        let visited: Result<(), ()> = each_pod(&mut list, &mut |mut source| {
            let pod = source.pod();
            seen.push(format!("{} {} {} {}", source.kind, source.name, source.namespace, pod["metadata"]));
            source.put_back(pod);
            Ok(())
        });
        assert_eq!(visited, Ok(()));
        assert_eq!(
            seen,
            [
                r#"deployment web shop {"namespace":"shop","generateName":"web-"}"#,
                r#"cronjob nightly default {"labels":{"a":"b"},"namespace":"default","generateName":"nightly-"}"#,
                r#"pod one- default {"generateName":"one-","namespace":"default"}"#,
            ]
        );
        assert_eq!(list["items"][1], before["items"][1]);
        assert_eq!(list["items"][2], before["items"][2]);
    }
}
