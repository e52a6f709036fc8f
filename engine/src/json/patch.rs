//! The changes of a tree as JSON Patch, read off in one walk. Only what was replaced is compared.
//!
//! Operations stand in the order of the pod: parents before children and each list from its beginning, so that every index
//! is right when its operation is applied. The API server answers 500, even under `failurePolicy: Ignore`, when a patch does
//! not apply, so there are no `test` operations.

use std::fmt::Write as _;
use std::ptr;

use super::fragment::write_json;
use super::node::{Change, Json, Node};
use crate::decision::Patch;

impl Node<'_> {
    /// What changes the value that was there into this one.
    pub(crate) fn patch(&self) -> Patch {
        // Most patches fit.
        let mut writer = Writer { json: Vec::with_capacity(4096), operations: 0, path: String::with_capacity(128) };
        writer.value(self);
        writer.json.extend_from_slice(if writer.operations == 0 { b"[]" } else { b"]" });
        Patch { operations: writer.operations, json: String::from_utf8(writer.json).expect("JSON is UTF-8") }
    }

    fn may_be_changed(&self) -> bool {
        !matches!((&self.change, &self.json), (Change::None, Json::Text(_) | Json::Fragment(_)))
    }

    /// What this call found here; nothing if it added the value.
    fn before(&self) -> Option<&Node<'_>> {
        match &self.change {
            Change::Replaced(was) if self.is_new() => was.before(),
            Change::Added => None,
            _ => Some(self),
        }
    }
}

struct Writer {
    json: Vec<u8>,
    operations: usize,
    path: String,
}

impl Writer {
    fn value(&mut self, node: &Node<'_>) {
        let length = self.path.len();
        match (node.before(), &node.json) {
            (None, _) => self.operation("add", node),
            // Two templates can replace a value, the second with what was there.
            (Some(was), _) if !ptr::eq(was, node) => {
                if was.view().to_value() != node.view().to_value() {
                    self.operation("replace", node);
                }
            }
            (_, Json::Object(members)) => {
                for (name, node) in members.iter().filter(|(_, node)| node.may_be_changed()) {
                    push_token(&mut self.path, name);
                    self.value(node);
                    self.path.truncate(length);
                }
            }
            (_, Json::List(items)) => {
                for (at, node) in items.iter().enumerate().filter(|(_, node)| node.may_be_changed()) {
                    write!(self.path, "/{at}").expect("a string takes everything");
                    self.value(node);
                    self.path.truncate(length);
                }
            }
            (_, Json::Text(_) | Json::Fragment(_)) => {}
        }
    }

    fn operation(&mut self, op: &'static str, value: &Node<'_>) {
        self.json.push(if self.operations == 0 { b'[' } else { b',' });
        self.operations += 1;
        self.json.extend_from_slice(br#"{"op":""#);
        self.json.extend_from_slice(op.as_bytes());
        self.json.extend_from_slice(br#"","path":"#);
        write_json(&mut self.json, &self.path);
        self.json.extend_from_slice(br#","value":"#);
        value.write(&mut self.json);
        self.json.push(b'}');
    }
}

/// Appends a step to a JSON pointer. Source: RFC 6901.
pub(crate) fn push_token(pointer: &mut String, token: &str) {
    pointer.push('/');
    if !token.bytes().any(|byte| byte == b'~' || byte == b'/') {
        return pointer.push_str(token);
    }
    for character in token.chars() {
        match character {
            '~' => pointer.push_str("~0"),
            '/' => pointer.push_str("~1"),
            other => pointer.push(other),
        }
    }
}
