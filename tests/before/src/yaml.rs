//! A tree that knows where each of its parts was written, from YAML or JSON.
//!
//! Templates are refused with file, line and column. So they are read into [`Node`]s rather than into plain values,
//! with the same rules that kubectl applies to YAML: `0644` is octal, and a key may stand only once.

use std::fmt;

use serde::Deserialize;
use serde::de::{self, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::Number;
use serde_saphyr::{Options, Spanned};

/// Line and column, both counted from 1.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub struct Position {
    /// The line.
    pub line: u64,
    /// The column, in characters.
    pub column: u64,
}

impl Position {
    /// The place that a text's own first character would have, when the text begins `lines` further down in a file.
    fn below(self, lines: u64) -> Position {
        Position { line: self.line + lines, ..self }
    }
}

/// A value and where it was written.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// What was written.
    pub value: Value,
    /// Where it begins.
    pub position: Position,
}

/// The values of YAML's JSON schema.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// `null`, `~`, or nothing at all.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number that JSON can hold.
    Number(Number),
    /// Text.
    String(String),
    /// A sequence.
    List(Vec<Node>),
    /// A mapping, in the order in which it was written; keys are unique.
    Object(Vec<(Key, Node)>),
}

/// The key of a mapping's entry.
#[derive(Clone, Debug, PartialEq)]
pub struct Key {
    /// The key itself.
    pub name: String,
    /// Where it was written.
    pub position: Position,
}

/// Why a document could not be read.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{message}")]
pub struct SyntaxError {
    /// Where reading stopped.
    pub position: Position,
    /// What was wrong, in one line.
    pub message: String,
}

/// Reads every document of a file. An empty document, or one with comments only, is left out; a broken one does not
/// touch the others.
pub fn read(text: &str) -> Vec<Result<Node, SyntaxError>> {
    let mut nodes = Vec::new();
    let mut line = 0;
    for document in documents(text) {
        if let Some(result) = read_document(document, line).transpose() {
            nodes.push(result);
        }
        line += document.matches('\n').count() as u64;
    }
    nodes
}

/// Splits a file at the lines that begin with `---`: each piece begins with its own marker, if it has one, and all of
/// them together are the file. A marker cannot stand inside a document, because block text is always indented.
pub fn documents(text: &str) -> Vec<&str> {
    let mut starts: Vec<usize> = text
        .match_indices("---")
        .map(|(at, _)| at)
        .filter(|&at| at == 0 || text[..at].ends_with('\n'))
        .filter(|&at| text[at + 3..].chars().next().is_none_or(char::is_whitespace))
        .collect();
    if starts.first() != Some(&0) {
        starts.insert(0, 0);
    }
    let ends = starts.iter().skip(1).copied().chain([text.len()]);
    starts.iter().zip(ends).map(|(&start, end)| &text[start..end]).filter(|piece| !piece.is_empty()).collect()
}

/// Reads one document, of which `lines` lines of the file come before it. Nothing if it holds comments only.
///
/// # Errors
///
/// When it is not YAML, or has a key twice.
pub fn read_document(document: &str, lines: u64) -> Result<Option<Node>, SyntaxError> {
    let marker = document.strip_prefix("---").map_or(0, |_| 3);
    let blank = document[marker..].lines().all(|line| {
        let line = line.trim();
        line.is_empty() || line.starts_with('#') || line == "..."
    });
    if blank {
        return Ok(None);
    }
    match serde_saphyr::from_str_with_options::<Spanned<Plain>>(document, options()) {
        Ok(tree) => Ok(Some(node(tree, lines))),
        Err(error) => Err(syntax_error(&error, document, lines)),
    }
}

fn options() -> Options {
    serde_saphyr::options! { legacy_octal_numbers: true, with_snippet: false }
}

fn syntax_error(error: &serde_saphyr::Error, document: &str, lines: u64) -> SyntaxError {
    let here = error.location().map(|at| Position { line: at.line(), column: at.column() }).unwrap_or_default();
    let mut message = error.to_string();
    // Behind these come the place, which we give ourselves, and advice for users of the crate.
    if let Some(cut) = [" at line ", "\n", ", set "].iter().filter_map(|end| message.find(end)).min() {
        message.truncate(cut);
    }
    let line = document.lines().nth(here.line.saturating_sub(1) as usize).unwrap_or_default();
    let before = line.split("${{").next().unwrap_or_default();
    if line.contains("${{")
        && !before.trim_end().ends_with(['"', '\''])
        && before.matches(['"', '\'']).count().is_multiple_of(2)
    {
        message.push_str("; quote the whole value that holds ${{ }}");
    }
    SyntaxError { position: here.below(lines), message: format!("invalid YAML: {message}") }
}

fn node(tree: Spanned<Plain>, lines: u64) -> Node {
    let position = Position { line: tree.referenced.line(), column: tree.referenced.column() }.below(lines);
    let value = match tree.value {
        Plain::Null => Value::Null,
        Plain::Bool(value) => Value::Bool(value),
        Plain::Number(value) => Value::Number(value),
        Plain::String(value) => Value::String(value),
        Plain::List(items) => Value::List(items.into_iter().map(|item| node(item, lines)).collect()),
        Plain::Object(members) => Value::Object(
            members
                .into_iter()
                .map(|(key, value)| {
                    let position = Position { line: key.referenced.line(), column: key.referenced.column() };
                    (Key { name: key.value, position: position.below(lines) }, node(value, lines))
                })
                .collect(),
        ),
    };
    Node { value, position }
}

/// What the deserializer gives, before its positions are counted from the file's beginning.
enum Plain {
    Null,
    Bool(bool),
    Number(Number),
    String(String),
    List(Vec<Spanned<Plain>>),
    Object(Vec<(Spanned<String>, Spanned<Plain>)>),
}

impl<'de> Deserialize<'de> for Plain {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(PlainVisitor)
    }
}

struct PlainVisitor;

impl<'de> Visitor<'de> for PlainVisitor {
    type Value = Plain;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a YAML value")
    }

    fn visit_unit<E>(self) -> Result<Plain, E> {
        Ok(Plain::Null)
    }

    fn visit_none<E>(self) -> Result<Plain, E> {
        Ok(Plain::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Plain, E> {
        Ok(Plain::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Plain, E> {
        Ok(Plain::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Plain, E> {
        Ok(Plain::Number(value.into()))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Plain, E> {
        Number::from_f64(value).map(Plain::Number).ok_or_else(|| E::custom("infinity and NaN are not JSON numbers"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Plain, E> {
        Ok(Plain::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Plain, E> {
        Ok(Plain::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Plain, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = access.next_element()? {
            items.push(item);
        }
        Ok(Plain::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Plain, A::Error> {
        let mut members = Vec::new();
        while let Some(member) = access.next_entry()? {
            members.push(member);
        }
        Ok(Plain::Object(members))
    }
}

impl Value {
    /// What this is, as a message calls it.
    pub fn kind(&self) -> &'static str {
        match self {
            Value::Null => "null",
            Value::Bool(_) => "a boolean",
            Value::Number(_) => "a number",
            Value::String(_) => "a string",
            Value::List(_) => "a list",
            Value::Object(_) => "an object",
        }
    }
}

impl Node {
    /// The text, if this is text.
    pub fn as_str(&self) -> Option<&str> {
        match &self.value {
            Value::String(text) => Some(text),
            _ => None,
        }
    }

    /// The items of a list; none of anything else.
    pub fn items(&self) -> &[Node] {
        match &self.value {
            Value::List(items) => items,
            _ => &[],
        }
    }

    /// The member of that name, if this is an object that has it.
    pub fn get(&self, name: &str) -> Option<&Node> {
        match &self.value {
            Value::Object(members) => members.iter().find(|(key, _)| key.name == name).map(|(_, node)| node),
            _ => None,
        }
    }

    /// How many values there are in the tree, this one included.
    pub fn values(&self) -> usize {
        1 + match &self.value {
            Value::List(items) => items.iter().map(Node::values).sum(),
            Value::Object(members) => members.iter().map(|(_, node)| node.values()).sum(),
            _ => 0,
        }
    }

    /// The same tree without positions.
    pub fn to_json(&self) -> serde_json::Value {
        match &self.value {
            Value::Null => serde_json::Value::Null,
            Value::Bool(value) => (*value).into(),
            Value::Number(value) => value.clone().into(),
            Value::String(value) => value.clone().into(),
            Value::List(items) => items.iter().map(Node::to_json).collect(),
            Value::Object(members) => members.iter().map(|(key, value)| (key.name.clone(), value.to_json())).collect(),
        }
    }
}

impl From<serde_json::Value> for Node {
    /// A tree that was not written in a file: every position is 0:0.
    fn from(value: serde_json::Value) -> Node {
        let value = match value {
            serde_json::Value::Null => Value::Null,
            serde_json::Value::Bool(value) => Value::Bool(value),
            serde_json::Value::Number(value) => Value::Number(value),
            serde_json::Value::String(value) => Value::String(value),
            serde_json::Value::Array(items) => Value::List(items.into_iter().map(Node::from).collect()),
            serde_json::Value::Object(members) => Value::Object(
                members
                    .into_iter()
                    .map(|(name, value)| (Key { name, position: Position::default() }, Node::from(value)))
                    .collect(),
            ),
        };
        Node { value, position: Position::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_count_from_the_beginning_of_the_file_in_every_document() {
        let nodes = read("a: 1\n---\n# second\nb:\n  - c: x\n");
        let second = nodes[1].as_ref().expect("valid YAML");
        let Value::List(items) = &second.get("b").expect("b").value else { panic!("a list") };
        assert_eq!(items[0].get("c").expect("c").position, Position { line: 5, column: 8 });
    }

    #[test]
    fn a_broken_document_says_where_and_leaves_the_others_alone() {
        let nodes = read("a: 1\n---\nb: [1\n---\nc: 3\n");
        assert!(nodes[0].is_ok() && nodes[2].is_ok());
        let error = nodes[1].as_ref().expect_err("an open list");
        assert!(error.position.line >= 3 && error.message.starts_with("invalid YAML"), "{error:?}");
    }

    #[test]
    fn a_key_that_stands_twice_is_refused() {
        assert!(read("a: 1\na: 2\n")[0].is_err());
    }

    #[test]
    fn numbers_are_read_as_kubectl_reads_them() {
        let nodes = read("mode: 0644\nsmall: -3\nratio: 0.5\ntext: '0644'\nyes: yes\n");
        let json = nodes[0].as_ref().expect("valid YAML").to_json();
        assert_eq!(json, serde_json::json!({"mode": 420, "small": -3, "ratio": 0.5, "text": "0644", "yes": true}));
    }

    #[test]
    fn an_unquoted_hole_is_explained() {
        let nodes = read("a: {b: ${{ params.x }}}\n");
        let error = nodes[0].as_ref().expect_err("braces in a flow mapping");
        assert!(error.message.contains("quote the whole value"), "{error}");
    }

    #[test]
    fn the_documents_of_a_file_add_up_to_the_file() {
        let text = "# head\n---\na: |\n  ---\n  text\n--- # marker\nb: 1\n---\n";
        let pieces = documents(text);
        assert_eq!(pieces.concat(), text);
        assert_eq!(pieces.len(), 4);
    }
}
