//! Kubernetes manifests: documents in a file, the objects in them, and the pods that those hold.
//!
//! A document that is not changed is written byte for byte; of one that is changed, whatever does not change.

mod keys;
mod objects;
mod splice;
mod written;

use pillion_engine::yaml::{self, Node};
use serde::de::IgnoredAny;
use serde_json::Value;
use serde_saphyr::ser;

use self::splice::{NOT_BY_LINES, Spliced, splice};

pub(crate) use self::keys::{FoundKey, Meant, found_keys};
pub(crate) use self::objects::{Kept, Object, PodTemplate, each_object};
pub(crate) use self::splice::Anew;

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
pub(crate) fn parse(document: &str, lines: usize) -> Result<Option<Node>, yaml::SyntaxError> {
    let node = yaml::read_document(document, lines as u64)?;
    Ok(node.filter(|node| node.value != yaml::Value::Null))
}

/// A document that was changed.
pub(crate) struct Changed {
    /// Its text.
    pub(crate) text: String,
    /// The parts that were written anew.
    pub(crate) anew: Vec<Anew>,
}

/// Changes `document`, which means `before`, to mean `after`.
pub(crate) fn change(document: &str, before: &Value, after: &Value) -> Result<Changed, ser::Error> {
    let spliced = splice(document, before, after);
    if let Some(Spliced { text, anew }) = spliced.filter(|spliced| means(&spliced.text, after)) {
        return Ok(Changed { text, anew });
    }
    let preamble = preamble(document);
    let whole = Anew { line: preamble.matches('\n').count(), path: String::new(), why: NOT_BY_LINES };
    // JSON has nothing to lose.
    let is_json = serde_json::from_str::<IgnoredAny>(document).is_ok();
    let text = preamble.to_owned() + &write(after)?;
    Ok(Changed { text, anew: if is_json { Vec::new() } else { vec![whole] } })
}

fn means(document: &str, value: &Value) -> bool {
    parse(document, 0).is_ok_and(|node| node.is_some_and(|node| node.to_json() == *value))
}

/// Writes a value as YAML.
pub(crate) fn write(value: &Value) -> Result<String, ser::Error> {
    to_yaml(value, true)
}

/// Writes a value as YAML; of a compact one, the dashes of a list are below the first letter of its key.
fn to_yaml(value: &Value, is_compact: bool) -> Result<String, ser::Error> {
    // Long lines stay lines: folded ones are hard to read in a command or a script.
    let options = serde_saphyr::ser_options! { folded_wrap_chars: usize::MAX, compact_list_indent: is_compact };
    serde_saphyr::to_string_with_options(value, options)
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn round_trip(value: &Value) -> Value {
        let text = write(value).unwrap();
        parse(&text, 0).unwrap_or_else(|error| panic!("{error}:\n{text}")).unwrap().to_json()
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
        let read = |text: &str| parse(text, 0).unwrap().map(|node| node.to_json());
        assert_eq!(read("defaultMode: 0644"), Some(json!({"defaultMode": 420})));
        assert_eq!(read("{\"emoji\": \"\\ud83d\\ude00\",\n\t\"a\\/b\": 1}"), Some(json!({"emoji": "😀", "a/b": 1})));
        assert_eq!(read("---\n# nothing\n"), None);
        for (twice, line, column) in [("a: 1\na: 2\n", 12, 1), ("{\"a\": 1, \"a\": 2}", 11, 10)] {
            let error = parse(twice, 10).unwrap_err();
            assert_eq!((error.position.line, error.position.column), (line, column));
            assert_eq!(error.message, "invalid YAML: duplicate mapping key: a");
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
}
