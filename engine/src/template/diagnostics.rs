//! Reading the fields of our own format, and collecting everything that is wrong with a template, each with its place.

use std::collections::HashSet;
use std::fmt;

use crate::text::{did_you_mean, nearest};
use crate::yaml::{Node, Position, Value};

/// One thing that is wrong with a template: where, what, and the nearest right name where there is one.
#[derive(Clone, Debug, PartialEq)]
pub struct Diagnostic {
    file: String,
    position: Position,
    /// The field, such as `spec.pod.spec.initContainers[0].image`; empty for the document as a whole.
    path: String,
    /// A predicate: `must be an integer`.
    message: String,
}

impl Diagnostic {
    pub(crate) fn new(file: &str, position: Position, path: &str, message: String) -> Diagnostic {
        Diagnostic { file: file.to_owned(), position, path: path.to_owned(), message }
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.file)?;
        // A custom resource has no lines.
        if self.position.line > 0 {
            write!(formatter, ":{}:{}", self.position.line, self.position.column)?;
        }
        formatter.write_str(": ")?;
        if !self.path.is_empty() {
            write!(formatter, "{} ", self.path)?;
        }
        formatter.write_str(&self.message)
    }
}

/// Collects what is wrong with one document.
#[derive(Debug)]
pub(crate) struct Diagnostics<'a> {
    file: &'a str,
    found: Vec<Diagnostic>,
}

impl<'a> Diagnostics<'a> {
    pub(crate) fn new(file: &'a str) -> Diagnostics<'a> {
        Diagnostics { file, found: Vec::new() }
    }

    pub(crate) fn add(&mut self, position: Position, path: &str, message: impl Into<String>) {
        self.found.push(Diagnostic::new(self.file, position, path, message.into()));
    }

    pub(crate) fn file(&self) -> &'a str {
        self.file
    }

    pub(crate) fn is_clean(&self) -> bool {
        self.found.is_empty()
    }

    /// In the order of the file, each once.
    pub(crate) fn into_sorted(mut self) -> Vec<Diagnostic> {
        self.found.sort_by_key(|it| it.position);
        let mut seen = HashSet::new();
        self.found.retain(|it| seen.insert((it.position, it.path.clone(), it.message.clone())));
        self.found
    }
}

/// The fields of an object of our own format.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fields<'a> {
    node: &'a Node,
    path: &'a str,
}

impl<'a> Fields<'a> {
    /// An object with no other fields than the known ones. `what` it is stands in messages: `a parameter`.
    pub(crate) fn of(
        diagnostics: &mut Diagnostics<'_>,
        node: &'a Node,
        path: &'a str,
        what: &str,
        known: &[&str],
    ) -> Option<Fields<'a>> {
        let Value::Object(members) = &node.value else {
            diagnostics.add(node.position, path, format!("must be an object, not {}", node.value.kind()));
            return None;
        };
        for (key, _) in members {
            if !known.contains(&key.name.as_str()) {
                let hint = did_you_mean(nearest(&key.name, known.iter().copied()));
                diagnostics.add(key.position, &member(path, &key.name), format!("is not a field of {what}{hint}"));
            }
        }
        Some(Fields { node, path })
    }

    /// A field that is there and not `null`.
    pub(crate) fn get(&self, name: &str) -> Option<&'a Node> {
        self.node.get(name).filter(|node| node.value != Value::Null)
    }

    pub(crate) fn path(&self, name: &str) -> String {
        member(self.path, name)
    }

    pub(crate) fn wrong(&self, diagnostics: &mut Diagnostics<'_>, name: &str, message: &str) {
        let position = self.get(name).unwrap_or(self.node).position;
        diagnostics.add(position, &self.path(name), message);
    }

    pub(crate) fn string(&self, diagnostics: &mut Diagnostics<'_>, name: &str) -> Option<&'a str> {
        let node = self.get(name)?;
        match &node.value {
            Value::Bool(_) | Value::Number(_) => {
                self.wrong(diagnostics, name, &format!("must be a string, not {}; quote it", node.to_json()));
            }
            _ if node.as_str().is_none() => {
                self.wrong(diagnostics, name, &format!("must be a string, not {}", node.value.kind()));
            }
            _ => {}
        }
        node.as_str()
    }

    pub(crate) fn required_string(&self, diagnostics: &mut Diagnostics<'_>, name: &str) -> Option<&'a str> {
        if self.get(name).is_none() {
            diagnostics.add(self.node.position, self.path, format!("lacks {name}"));
        }
        self.string(diagnostics, name)
    }

    pub(crate) fn boolean(&self, diagnostics: &mut Diagnostics<'_>, name: &str) -> Option<bool> {
        match self.get(name)?.value {
            Value::Bool(value) => Some(value),
            ref other => {
                self.wrong(diagnostics, name, &format!("must be true or false, not {}", other.kind()));
                None
            }
        }
    }

    /// One of a closed set of words; `Some(None)` when it is not there, `None` when it is none of them.
    pub(crate) fn choice<T: Copy>(
        &self,
        diagnostics: &mut Diagnostics<'_>,
        name: &str,
        choices: &[(&str, T)],
    ) -> Option<Option<T>> {
        if self.get(name).is_none() {
            return Some(None);
        }
        let word = self.string(diagnostics, name)?;
        match choices.iter().find(|(choice, _)| *choice == word) {
            Some((_, value)) => Some(Some(*value)),
            None => {
                let words: Vec<_> = choices.iter().map(|(choice, _)| *choice).collect();
                let hint = did_you_mean(nearest(word, words.iter().copied()));
                self.wrong(diagnostics, name, &format!("must be one of {}{hint}", words.join(", ")));
                None
            }
        }
    }

    /// The items of a list; empty when it is not there.
    pub(crate) fn list(&self, diagnostics: &mut Diagnostics<'_>, name: &str) -> &'a [Node] {
        match self.get(name).map(|node| &node.value) {
            None => &[],
            Some(Value::List(items)) => items,
            Some(other) => {
                self.wrong(diagnostics, name, &format!("must be a list, not {}", other.kind()));
                &[]
            }
        }
    }

    pub(crate) fn strings(&self, diagnostics: &mut Diagnostics<'_>, name: &str) -> Vec<&'a str> {
        let items = self.list(diagnostics, name);
        let texts: Vec<_> = items.iter().filter_map(Node::as_str).collect();
        if texts.len() < items.len() {
            self.wrong(diagnostics, name, "must be a list of strings");
        }
        texts
    }
}

pub(crate) fn member(path: &str, name: &str) -> String {
    // A label's key holds dots itself.
    match (path.is_empty(), name.contains(['.', '/'])) {
        (_, true) => format!("{path}[{name}]"),
        (true, false) => name.to_owned(),
        (false, false) => format!("{path}.{name}"),
    }
}
