//! Reading the fields of our own format, and collecting everything that is wrong with a template, each with its place.

use std::cell::RefCell;
use std::collections::HashSet;
use std::fmt;

use crate::json::Kind;
use crate::text::{did_you_mean, nearest};
use crate::yaml::{Node, Position, Value};

/// One thing that is wrong with a template: where, what, and the nearest right name where there is one.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Diagnostic {
    pub(crate) file: String,
    /// Where; line 0 for a custom resource, which has no lines.
    pub position: Position,
    /// The field, such as `spec.pod.spec.initContainers[0].image`; empty for the document as a whole.
    pub path: String,
    /// A predicate: `must be an integer`.
    pub message: String,
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.file)?;
        // A custom resource has no lines.
        if self.position.line > 0 {
            write!(formatter, ":{}:{}", self.position.line, self.position.column)?;
        }
        let space = if self.path.is_empty() { "" } else { " " };
        write!(formatter, ": {}{space}{}", self.path, self.message)
    }
}

/// Collects what is wrong with one document. All that read the document share it.
#[derive(Debug)]
pub struct Diagnostics<'a> {
    pub(crate) file: &'a str,
    found: RefCell<Vec<Diagnostic>>,
}

impl<'a> Diagnostics<'a> {
    /// For a file of this name.
    pub fn new(file: &'a str) -> Diagnostics<'a> {
        Diagnostics { file, found: RefCell::default() }
    }

    /// Adds one.
    pub fn add(&self, position: Position, path: impl Into<String>, message: impl Into<String>) {
        self.found.borrow_mut().push(self.diagnostic(position, path.into(), message.into()));
    }

    /// Something about the document that is not collected.
    pub(crate) fn diagnostic(&self, position: Position, path: String, message: String) -> Diagnostic {
        Diagnostic { file: self.file.to_owned(), position, path, message }
    }

    /// Whether nothing is wrong so far.
    pub fn is_clean(&self) -> bool {
        self.found.borrow().is_empty()
    }

    /// In the order of the file, each once.
    pub fn into_sorted(self) -> Vec<Diagnostic> {
        let mut found = self.found.into_inner();
        found.sort_by_key(|it| it.position);
        let mut seen = HashSet::new();
        found.retain(|it| seen.insert(it.clone()));
        found
    }
}

/// An object of our own format. What is wrong with a field goes to the diagnostics, and the field counts as missing.
pub struct Fields<'a> {
    /// Where what is wrong goes.
    pub diagnostics: &'a Diagnostics<'a>,
    /// The object.
    pub node: &'a Node,
    /// Where it is in the document; empty for all of it.
    pub path: String,
}

impl<'a> Fields<'a> {
    /// An object with no other fields than the known ones. `what` it is stands in messages: `a parameter`.
    pub fn of(
        diagnostics: &'a Diagnostics<'a>,
        node: &'a Node,
        path: String,
        what: &str,
        known: &[&str],
    ) -> Option<Fields<'a>> {
        if !matches!(node.value, Value::Object(_)) {
            diagnostics.add(
                node.position,
                path,
                format!("must be an object, not {}", Kind::of(&node.to_json()).name()),
            );
            return None;
        }
        for (key, _) in node.members().iter().filter(|(key, _)| !known.contains(&key.name.as_str())) {
            let hint = did_you_mean(nearest(&key.name, known.iter().copied()));
            diagnostics.add(key.position, member(&path, &key.name), format!("is not a field of {what}{hint}"));
        }
        Some(Fields { diagnostics, node, path })
    }

    /// A field that is an object of the same kind.
    pub fn object(&self, name: &str, what: &str, known: &[&str]) -> Option<Fields<'a>> {
        Fields::of(self.diagnostics, self.get(name)?, member(&self.path, name), what, known)
    }

    /// The objects in a list.
    pub fn objects(&self, name: &str, what: &str, known: &[&str]) -> impl Iterator<Item = Fields<'a>> {
        let items = self.list(name).iter().enumerate();
        items.filter_map(move |(at, node)| {
            let path = format!("{}[{at}]", member(&self.path, name));
            Fields::of(self.diagnostics, node, path, what, known)
        })
    }

    /// A field that is there and not `null`.
    pub fn get(&self, name: &str) -> Option<&'a Node> {
        self.node.get(name).filter(|node| node.value != Value::Null)
    }

    /// A field that must be there.
    pub fn require(&self, name: &str) -> Option<&'a Node> {
        let node = self.get(name);
        if node.is_none() {
            self.wrong(format!("lacks {name}"));
        }
        node
    }

    /// The object is wrong.
    pub fn wrong(&self, message: impl Into<String>) {
        self.diagnostics.add(self.node.position, &self.path, message);
    }

    /// A field is wrong, or missing.
    pub fn wrong_field(&self, name: &str, message: impl Into<String>) {
        let position = self.get(name).unwrap_or(self.node).position;
        self.diagnostics.add(position, member(&self.path, name), message);
    }

    /// A field that is a string.
    pub fn string(&self, name: &str) -> Option<&'a str> {
        let node = self.get(name)?;
        if node.as_str().is_none() {
            let value = node.to_json();
            let is_scalar = value.is_boolean() || value.is_number();
            let what = if is_scalar { format!("{value}; quote it") } else { Kind::of(&value).name().to_owned() };
            self.wrong_field(name, format!("must be a string, not {what}"));
        }
        node.as_str()
    }

    /// The same, which must be there.
    pub fn required_string(&self, name: &str) -> Option<&'a str> {
        self.require(name)?;
        self.string(name)
    }

    pub(crate) fn boolean(&self, name: &str) -> Option<bool> {
        let value = self.get(name)?.to_json();
        if !value.is_boolean() {
            self.wrong_field(name, format!("must be true or false, not {}", Kind::of(&value).name()));
        }
        value.as_bool()
    }

    /// One of a closed set of words.
    pub fn choice<T: Clone>(&self, name: &str, choices: &[(&str, T)]) -> Option<T> {
        let word = self.string(name)?;
        let choice = choices.iter().find(|(choice, _)| *choice == word);
        if choice.is_none() {
            let words: Vec<_> = choices.iter().map(|(choice, _)| *choice).collect();
            let hint = did_you_mean(nearest(word, words.iter().copied()));
            self.wrong_field(name, format!("must be one of {}{hint}", words.join(", ")));
        }
        choice.map(|(_, value)| value.clone())
    }

    /// The items of a list; none when it is missing.
    pub fn list(&self, name: &str) -> &'a [Node] {
        let Some(node) = self.get(name) else { return &[] };
        if !matches!(node.value, Value::List(_)) {
            self.wrong_field(name, format!("must be a list, not {}", Kind::of(&node.to_json()).name()));
        }
        node.items()
    }

    /// The items of a list of strings.
    pub fn strings(&self, name: &str) -> Vec<String> {
        let items = self.list(name);
        let texts: Vec<_> = items.iter().filter_map(Node::as_str).map(str::to_owned).collect();
        if texts.len() < items.len() {
            self.wrong_field(name, "must be a list of strings");
        }
        texts
    }
}

fn member(path: &str, name: &str) -> String {
    // A label's key holds dots itself.
    match (path.is_empty(), name.contains(['.', '/'])) {
        (_, true) => format!("{path}[{name}]"),
        (true, false) => name.to_owned(),
        (false, false) => format!("{path}.{name}"),
    }
}
