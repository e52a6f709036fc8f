//! Reading a template's fields and collecting everything that is wrong with them, each with its place.

use std::fmt;

use crate::yaml::{Node, Position, Value};
use crate::{did_you_mean, nearest};

/// One thing that is wrong with a template: where, what, and the nearest right name where there is one.
#[derive(Clone, Debug, PartialEq)]
pub struct Problem {
    file: String,
    position: Position,
    /// The field, such as `spec.pod.spec.initContainers[0].image`; empty for the document as a whole.
    path: String,
    /// A predicate: `must be an integer`.
    message: String,
}

impl Problem {
    pub(crate) fn new(file: &str, position: Position, path: &str, message: String) -> Problem {
        Problem { file: file.to_owned(), position, path: path.to_owned(), message }
    }
}

impl fmt::Display for Problem {
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
pub(crate) struct Reader<'a> {
    file: &'a str,
    problems: Vec<Problem>,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(file: &'a str) -> Reader<'a> {
        Reader { file, problems: Vec::new() }
    }

    pub(crate) fn problem(&mut self, position: Position, path: &str, message: impl Into<String>) {
        let problem = Problem::new(self.file, position, path, message.into());
        if !self.problems.contains(&problem) {
            self.problems.push(problem);
        }
    }

    pub(crate) fn file(&self) -> &'a str {
        self.file
    }

    pub(crate) fn is_clean(&self) -> bool {
        self.problems.is_empty()
    }

    /// In the order of the file.
    pub(crate) fn into_problems(mut self) -> Vec<Problem> {
        self.problems.sort_by_key(|problem| problem.position);
        self.problems
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
        reader: &mut Reader<'_>,
        node: &'a Node,
        path: &'a str,
        what: &str,
        known: &[&str],
    ) -> Option<Fields<'a>> {
        let Value::Object(members) = &node.value else {
            reader.problem(node.position, path, format!("must be an object, not {}", node.value.kind()));
            return None;
        };
        for (key, _) in members {
            if !known.contains(&key.name.as_str()) {
                let hint = did_you_mean(nearest(&key.name, known.iter().copied()));
                reader.problem(key.position, &member(path, &key.name), format!("is not a field of {what}{hint}"));
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

    pub(crate) fn problem(&self, reader: &mut Reader<'_>, name: &str, message: &str) {
        let position = self.get(name).unwrap_or(self.node).position;
        reader.problem(position, &self.path(name), message);
    }

    pub(crate) fn string(&self, reader: &mut Reader<'_>, name: &str) -> Option<&'a str> {
        let node = self.get(name)?;
        match &node.value {
            Value::Bool(_) | Value::Number(_) => {
                self.problem(reader, name, &format!("must be a string, not {}; quote it", node.to_json()));
            }
            _ if node.as_str().is_none() => {
                self.problem(reader, name, &format!("must be a string, not {}", node.value.kind()));
            }
            _ => {}
        }
        node.as_str()
    }

    pub(crate) fn required_string(&self, reader: &mut Reader<'_>, name: &str) -> Option<&'a str> {
        if self.get(name).is_none() {
            reader.problem(self.node.position, self.path, format!("lacks {name}"));
        }
        self.string(reader, name)
    }

    pub(crate) fn boolean(&self, reader: &mut Reader<'_>, name: &str) -> Option<bool> {
        match self.get(name)?.value {
            Value::Bool(value) => Some(value),
            ref other => {
                self.problem(reader, name, &format!("must be true or false, not {}", other.kind()));
                None
            }
        }
    }

    /// One of a closed set of words; `Some(None)` when it is not there, `None` when it is none of them.
    pub(crate) fn choice<T: Copy>(
        &self,
        reader: &mut Reader<'_>,
        name: &str,
        choices: &[(&str, T)],
    ) -> Option<Option<T>> {
        if self.get(name).is_none() {
            return Some(None);
        }
        let word = self.string(reader, name)?;
        match choices.iter().find(|(choice, _)| *choice == word) {
            Some((_, value)) => Some(Some(*value)),
            None => {
                let words: Vec<_> = choices.iter().map(|(choice, _)| *choice).collect();
                let hint = did_you_mean(nearest(word, words.iter().copied()));
                self.problem(reader, name, &format!("must be one of {}{hint}", words.join(", ")));
                None
            }
        }
    }

    /// The items of a list; empty when it is not there.
    pub(crate) fn list(&self, reader: &mut Reader<'_>, name: &str) -> &'a [Node] {
        match self.get(name).map(|node| &node.value) {
            None => &[],
            Some(Value::List(items)) => items,
            Some(other) => {
                self.problem(reader, name, &format!("must be a list, not {}", other.kind()));
                &[]
            }
        }
    }

    pub(crate) fn strings(&self, reader: &mut Reader<'_>, name: &str) -> Vec<&'a str> {
        let items = self.list(reader, name);
        let texts: Vec<_> = items.iter().filter_map(Node::as_str).collect();
        if texts.len() < items.len() {
            self.problem(reader, name, "must be a list of strings");
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
