//! A tree that knows where each of its parts was written, from YAML or JSON.
//!
//! Templates are refused with file, line and column. So they are read into [`Node`]s rather than into plain values,
//! with the same rules that kubectl applies to YAML: `0644` is octal, and a key may appear only once.

use std::fmt;
use std::iter::{from_fn, once};

use serde::Deserialize;
use serde::de::{self, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::Number;
use serde_saphyr::budget::BudgetBreach;
use serde_saphyr::{Location, Spanned};

/// The most values of one document: as many as 10,000 large pods have.
const MAX_VALUES: usize = 5_000_000;

/// Line and column, both counted from 1.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Position {
    /// The line.
    pub line: u64,
    /// The column, in characters.
    pub column: u64,
}

/// A value and where it was written.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(from = "Spanned<Value>")]
pub struct Node {
    /// What was written.
    pub value: Value,
    /// Where it begins.
    pub position: Position,
    /// Whether messages must not repeat it: it may hold a secret.
    pub(crate) is_private: bool,
}

/// The values of YAML's JSON schema.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Value {
    /// `null`, `~`, or nothing at all.
    #[default]
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
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(from = "Spanned<String>")]
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

/// Reads every document of a file. An empty document, or one with comments only, is skipped; a broken one does not touch
/// the others.
pub fn read(text: &str) -> Vec<Result<Node, SyntaxError>> {
    let mut lines = 0;
    let read = |document: &str| {
        let result = read_document(document, lines).transpose();
        lines += document.matches('\n').count() as u64;
        result
    };
    documents(text).into_iter().filter_map(read).collect()
}

/// Splits a file at the lines that begin with `---`: each piece begins with its own marker, if it has one, and all of
/// them together are the file. A marker cannot stand inside a document, because block text is always indented.
pub fn documents(text: &str) -> Vec<&str> {
    let lines = text.match_indices("\n---").map(|(at, _)| at + 1);
    let markers = lines.filter(|&at| text[at + 3..].chars().next().is_none_or(char::is_whitespace));
    let starts: Vec<usize> = once(0).chain(markers).collect();
    let ends = starts[1..].iter().copied().chain([text.len()]);
    starts.iter().zip(ends).map(|(&start, end)| &text[start..end]).filter(|piece| !piece.is_empty()).collect()
}

/// Reads one document, of which `lines` lines of the file come before it. `None` if it holds comments only.
///
/// # Errors
///
/// When it is not YAML, or has a key twice.
pub fn read_document(document: &str, lines: u64) -> Result<Option<Node>, SyntaxError> {
    let is_blank = document.strip_prefix("---").unwrap_or(document).lines().all(|line| {
        let line = line.trim();
        line.is_empty() || line.starts_with('#') || line == "..."
    });
    if is_blank {
        return Ok(None);
    }
    // What was written has fewer values than bytes; it may have more by its aliases.
    let max_nodes = document.len().clamp(250_000, MAX_VALUES);
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! { enforce_alias_anchor_ratio: false, max_events: 2 * max_nodes, max_nodes: max_nodes },
        legacy_octal_numbers: true,
        with_snippet: false,
    };
    let mut node: Node = serde_saphyr::from_str_with_options(document, options)
        .map_err(|error| syntax_error(&error, document, lines))?;
    node.move_down(lines);
    Ok(Some(node))
}

fn syntax_error(error: &serde_saphyr::Error, document: &str, lines: u64) -> SyntaxError {
    let mut position = error.location().map(Position::from).unwrap_or_default();
    let cause = if let serde_saphyr::Error::AliasError { error, .. } = error { error } else { error };
    let mut message = match cause {
        serde_saphyr::Error::Budget { breach: BudgetBreach::Depth { .. }, .. } => "nested more than 64 deep".to_owned(),
        serde_saphyr::Error::Budget { .. } => {
            "more values than are read of one document, with those of aliases".to_owned()
        }
        cause => cause.to_string(),
    };
    // Behind these come the place, which we give ourselves, and advice for users of the crate.
    if let Some(cut) = [" at line ", "\n", ", set "].iter().filter_map(|end| message.find(end)).min() {
        message.truncate(cut);
    }
    let line = document.lines().nth(position.line.saturating_sub(1) as usize).unwrap_or_default();
    if let Some((before, _)) = line.split_once("${{")
        && !before.trim_end().ends_with(['"', '\''])
        && before.matches(['"', '\'']).count().is_multiple_of(2)
    {
        message.push_str("; quote the whole value that holds ${{ }}");
    }
    position.line += lines;
    SyntaxError { position, message: format!("invalid YAML: {message}") }
}

impl From<Location> for Position {
    fn from(location: Location) -> Position {
        Position { line: location.line(), column: location.column() }
    }
}

impl From<Spanned<Value>> for Node {
    fn from(spanned: Spanned<Value>) -> Node {
        Node { value: spanned.value, position: spanned.referenced.into(), is_private: false }
    }
}

impl From<Spanned<String>> for Key {
    fn from(spanned: Spanned<String>) -> Key {
        Key { name: spanned.value, position: spanned.referenced.into() }
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(ValueVisitor)
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a YAML value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("infinity and NaN are not JSON numbers"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        from_fn(|| access.next_element().transpose()).collect::<Result<_, _>>().map(Value::List)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        from_fn(|| access.next_entry().transpose()).collect::<Result<_, _>>().map(Value::Object)
    }
}

impl Node {
    /// The text, if this is text.
    pub fn as_str(&self) -> Option<&str> {
        if let Value::String(text) = &self.value { Some(text) } else { None }
    }

    /// The items of a list; none of anything else.
    pub fn items(&self) -> &[Node] {
        if let Value::List(items) = &self.value { items } else { &[] }
    }

    /// The members of an object; none of anything else.
    pub fn members(&self) -> &[(Key, Node)] {
        if let Value::Object(members) = &self.value { members } else { &[] }
    }

    /// The member of that name, if this is an object that has it.
    pub fn get(&self, name: &str) -> Option<&Node> {
        self.members().iter().find(|(key, _)| key.name == name).map(|(_, node)| node)
    }

    /// How many values there are in the tree, this one included.
    pub(crate) fn size(&self) -> usize {
        let members = self.members().iter().map(|(_, node)| node);
        1 + self.items().iter().chain(members).map(Node::size).sum::<usize>()
    }

    /// Counts the lines from the beginning of a file in which `lines` lines come before.
    fn move_down(&mut self, lines: u64) {
        self.position.line += lines;
        match &mut self.value {
            Value::List(items) => items.iter_mut().for_each(|item| item.move_down(lines)),
            Value::Object(members) => members.iter_mut().for_each(|(key, node)| {
                key.position.line += lines;
                node.move_down(lines);
            }),
            _ => {}
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

    /// Says of all of it whether messages must not repeat it.
    pub(crate) fn mark_private(&mut self, is_private: bool) {
        self.is_private = is_private;
        match &mut self.value {
            Value::List(items) => items.iter_mut().for_each(|item| item.mark_private(is_private)),
            Value::Object(members) => members.iter_mut().for_each(|(_, member)| member.mark_private(is_private)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }

    /// A tree that stands for something at a position.
    pub(crate) fn written_at(value: serde_json::Value, position: Position) -> Node {
        let value = match value {
            serde_json::Value::Null => Value::Null,
            serde_json::Value::Bool(value) => Value::Bool(value),
            serde_json::Value::Number(value) => Value::Number(value),
            serde_json::Value::String(value) => Value::String(value),
            serde_json::Value::Array(items) => {
                Value::List(items.into_iter().map(|item| Node::written_at(item, position)).collect())
            }
            serde_json::Value::Object(members) => {
                let member = |(name, value)| (Key { name, position }, Node::written_at(value, position));
                Value::Object(members.into_iter().map(member).collect())
            }
        };
        Node { value, position, is_private: false }
    }
}

impl From<serde_json::Value> for Node {
    /// A tree that was not written in a file: every position is 0:0.
    fn from(value: serde_json::Value) -> Node {
        Node::written_at(value, Position::default())
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
