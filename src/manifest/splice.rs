//! Writes changes into the text of a YAML document, and leaves everything else byte for byte: comments, quotes, the order.
//!
//! What was written in block style is changed entry by entry. A value in flow style, or an alias, is written anew when
//! something in it changes, in block style.

use std::iter::from_fn;
use std::ops::Range;

use serde_json::{Map, Value, json};
use similar::{Algorithm, DiffOp, capture_diff_slices};

use super::written::{self, Entry, Item, Shape, Written, line_start};

/// A document with its changes.
pub(super) struct Spliced {
    pub(super) text: String,
    /// The values that were written anew, and why, each with the line on which it began.
    pub(super) anew: Vec<Anew>,
}

/// A value that was written anew, with the loss of its comments.
#[derive(Debug, Eq, PartialEq)]
pub(crate) struct Anew {
    /// The line of the document on which it began, counted from 0.
    pub(crate) line: usize,
    /// Its path, such as `spec.template.spec`; empty for the document.
    pub(crate) path: String,
    /// What kept it from being changed in its place.
    pub(crate) why: &'static str,
}

/// Why something is written anew that was written line by line.
pub(super) const NOT_BY_LINES: &str = "it cannot be changed line by line";

/// The document `text`, which means `before`, so changed that it means `after`; `None` when it must be written anew as a
/// whole. The caller sees to it that the result does mean `after`.
pub(super) fn splice(text: &str, before: &Value, after: &Value) -> Option<Spliced> {
    let root = written::find(text)?;
    let mut splicer = Splicer { text, style: Style::of(text, &root), edits: Vec::new(), anew: Vec::new() };
    splicer.change(None, &root, (before, after), "")?;
    Some(Spliced { text: splicer.spliced(), anew: splicer.anew })
}

/// How a document is written.
struct Style {
    newline: &'static str,
    /// Whether the dashes of a list are below the first letter of its key.
    is_compact: bool,
}

impl Style {
    fn of(text: &str, root: &Written) -> Style {
        let newline = if text.contains("\r\n") { "\r\n" } else { "\n" };
        Style { newline, is_compact: is_compact(root).unwrap_or(true) }
    }
}

/// Whether the first list in a mapping has its dashes below its key; `None` if there is none.
fn is_compact(written: &Written) -> Option<bool> {
    match &written.shape {
        Shape::Mapping { column, entries } => entries.iter().find_map(|entry| match &entry.value.shape {
            Shape::Sequence { column: dashes, .. } => Some(dashes == column),
            _ => is_compact(&entry.value),
        }),
        Shape::Sequence { items, .. } => items.iter().find_map(|item| is_compact(&item.value)),
        Shape::Scalar | Shape::Flow | Shape::Alias => None,
    }
}

/// What a value belongs to, and is written anew with: an entry of a mapping, or an item of a list.
#[derive(Clone, Copy)]
struct Slot<'t> {
    /// The byte at which it begins: its key, or its dash.
    start: usize,
    /// The key as it was written; `None` for an item.
    key: Option<&'t str>,
    column: usize,
}

struct Splicer<'t> {
    text: &'t str,
    style: Style,
    /// What is written in place of what, in the order of the text.
    edits: Vec<(Range<usize>, String)>,
    anew: Vec<Anew>,
}

impl<'t> Splicer<'t> {
    fn spliced(&mut self) -> String {
        // Of two insertions at one place, the one that is deeper was made first.
        self.edits.sort_by_key(|(range, _)| range.start);
        let mut text = String::new();
        let mut done = 0;
        for (range, new) in &self.edits {
            text.push_str(&self.text[done..range.start.max(done)]);
            // After the last line, if that has no end.
            if new.ends_with('\n') && !text.is_empty() && range.is_empty() && !text.ends_with('\n') {
                text.push_str(self.style.newline);
            }
            text.push_str(new);
            done = range.end.max(done);
        }
        text + &self.text[done..]
    }

    /// Changes a value at a path. `None` if only the whole document can be written anew.
    fn change(
        &mut self,
        slot: Option<Slot<'t>>,
        written: &Written,
        (before, after): (&Value, &Value),
        path: &str,
    ) -> Option<()> {
        let (edits, anew) = (self.edits.len(), self.anew.len());
        let changed = match (&written.shape, before, after) {
            (Shape::Mapping { column, entries }, Value::Object(before), Value::Object(after)) if !after.is_empty() => {
                self.mapping(*column, entries, (before, after), path)
            }
            (Shape::Sequence { column, items }, Value::Array(before), Value::Array(after)) if !after.is_empty() => {
                self.sequence(*column, items, (before, after), path)
            }
            (Shape::Scalar, ..) if !after.is_object() && !after.is_array() => self.scalar(written, after),
            _ => None,
        };
        changed.or_else(|| {
            self.edits.truncate(edits);
            self.anew.truncate(anew);
            self.replace(slot?, written, (before, after), path)
        })
    }

    fn mapping(
        &mut self,
        column: usize,
        entries: &[Entry],
        (before, after): (&Map<String, Value>, &Map<String, Value>),
        path: &str,
    ) -> Option<()> {
        for Entry { name, key, value } in entries {
            // A merge key (<<) is none of the mapping's.
            let Some(old) = before.get(name) else { continue };
            let Some(new) = after.get(name) else {
                self.remove(key.start, value.end, column)?;
                continue;
            };
            if old != new {
                let slot = Slot { start: key.start, key: Some(&self.text[key.clone()]), column };
                let dot = if path.is_empty() { "" } else { "." };
                self.change(Some(slot), value, (old, new), &format!("{path}{dot}{name}"))?;
            }
        }
        let is_written = |name: &String| entries.iter().any(|entry| entry.name == *name);
        if before.keys().any(|name| !is_written(name) && !after.contains_key(name)) {
            return None;
        }
        let end = self.next_line(entries.last()?.value.end, column)?;
        for (name, value) in after {
            // What a merge key brought is overridden by an entry.
            if !is_written(name) && before.get(name) != Some(value) {
                self.insert(end, column, &json!({name: value}))?;
            }
        }
        Some(())
    }

    fn sequence(
        &mut self,
        column: usize,
        items: &[Item],
        (before, after): (&[Value], &[Value]),
        path: &str,
    ) -> Option<()> {
        let [old, new] = [before, after].map(|items| items.iter().map(identity).collect::<Vec<_>>());
        let insert = |splicer: &mut Self, at: usize, new: &[Value]| {
            let at = match at.checked_sub(1) {
                Some(last) => splicer.next_line(items[last].value.end, column)?,
                None => splicer.above(items.first()?.dash)?,
            };
            new.iter().try_for_each(|item| splicer.insert(at, column, &json!([item])))
        };
        for operation in capture_diff_slices(Algorithm::Myers, &old, &new) {
            let (_, old, new) = operation.as_tag_tuple();
            if let DiffOp::Equal { .. } = operation {
                for (old, new) in old.zip(new).filter(|(old, new)| before[*old] != after[*new]) {
                    let Item { dash, value } = &items[old];
                    let slot = Slot { start: *dash, key: None, column };
                    self.change(Some(slot), value, (&before[old], &after[new]), &format!("{path}[{old}]"))?;
                }
                continue;
            }
            let end = old.end;
            for Item { dash, value } in &items[old] {
                self.remove(*dash, value.end, column)?;
            }
            insert(self, end, &after[new])?;
        }
        Some(())
    }

    /// Writes another scalar in place of one, if both fit on their line.
    fn scalar(&mut self, written: &Written, after: &Value) -> Option<()> {
        let Written { start, end, .. } = *written;
        let new = self.render(after)?;
        let is_one_line = !self.text[start..end].contains('\n') && !new.contains('\n') && !self.is_block_text(start);
        let space = if start == end { " " } else { "" };
        is_one_line.then(|| self.edits.push((start..end, format!("{space}{new}"))))
    }

    /// Whether a scalar begins on a line of its own, as block text does.
    fn is_block_text(&self, start: usize) -> bool {
        self.text[line_start(self.text, start)..start].trim().is_empty()
    }

    /// Writes an entry or item anew.
    fn replace(
        &mut self,
        slot: Slot<'t>,
        written: &Written,
        (before, after): (&Value, &Value),
        path: &str,
    ) -> Option<()> {
        let why = match written.shape {
            _ if is_empty(before) || is_empty(after) => None,
            Shape::Flow => Some("it is in flow style"),
            Shape::Alias => Some("it is an alias"),
            Shape::Mapping { .. } | Shape::Sequence { .. } => Some(NOT_BY_LINES),
            Shape::Scalar => None,
        };
        let line = self.text[..slot.start].matches('\n').count();
        self.anew.extend(why.map(|why| Anew { line, path: path.to_owned(), why }));
        let new = match slot.key {
            Some(key) => format!("{key}{}", self.render(&json!({"k": after}))?.strip_prefix('k')?),
            None => self.render(&json!([after]))?,
        };
        // What follows on the line, a comment, stays on the first one.
        let (first, others) = new.split_once('\n').map_or((&*new, None), |(first, others)| (first, Some(others)));
        self.edits.push((slot.start..written.end, first.to_owned()));
        if let Some(others) = others {
            self.insert_lines(self.next_line(written.end, slot.column)?, slot.column, others);
        }
        Some(())
    }

    /// Removes the lines of an entry or item; `None` if it begins behind something else.
    fn remove(&mut self, start: usize, end: usize, column: usize) -> Option<()> {
        let line = line_start(self.text, start);
        let is_first = self.text[line..start].trim().is_empty();
        let end = self.next_line(end, column)?;
        is_first.then(|| self.edits.push((line..end, String::new())))
    }

    /// Inserts entries or items, in lines of their own before the line that begins at `at`.
    fn insert(&mut self, at: usize, column: usize, value: &Value) -> Option<()> {
        let new = self.render(value)?;
        self.insert_lines(at, column, &new);
        Some(())
    }

    fn insert_lines(&mut self, at: usize, column: usize, lines: &str) {
        let newline = self.style.newline;
        let indent = |line: &str| if line.is_empty() { newline.into() } else { " ".repeat(column) + line + newline };
        self.edits.push((at..at, lines.split('\n').map(indent).collect()));
    }

    /// The first byte of the line behind an entry or item that ends at `end`, and behind the comments that are indented more
    /// than it. `None` if something else stands on its line.
    fn next_line(&self, end: usize, column: usize) -> Option<usize> {
        let mut at = end;
        if !self.text[..end].ends_with('\n') {
            let line = line_of(self.text, end);
            let rest = line.trim();
            if !(rest.is_empty() || rest.starts_with('#')) {
                return None;
            }
            at += line.len();
        }
        let deeper = from_fn(|| {
            let line = line_of(self.text, at);
            let comment = line.trim_start();
            let is_deeper = comment.starts_with('#') && line.len() - comment.len() > column;
            is_deeper.then(|| at += line.len())
        });
        deeper.for_each(drop);
        Some(at)
    }

    /// The first byte of the line of the first item of a list, or of the comments above it. `None` if the item does not begin
    /// its line.
    fn above(&self, dash: usize) -> Option<usize> {
        let mut at = line_start(self.text, dash);
        if !self.text[at..dash].trim().is_empty() {
            return None;
        }
        while let Some(before) = at.checked_sub(1) {
            let line = line_start(self.text, before);
            if !self.text[line..before].trim_start().starts_with('#') {
                break;
            }
            at = line;
        }
        Some(at)
    }

    /// A value as YAML in the document's style, without the end of its last line.
    fn render(&self, value: &Value) -> Option<String> {
        let mut text = super::to_yaml(value, self.style.is_compact).ok()?;
        if text.ends_with('\n') {
            text.pop();
        }
        Some(text)
    }
}

/// The rest of the line from a byte on, with its end.
fn line_of(text: &str, at: usize) -> &str {
    text[at..].split_inclusive('\n').next().unwrap_or_default()
}

fn is_empty(value: &Value) -> bool {
    value.as_object().is_some_and(Map::is_empty) || value.as_array().is_some_and(Vec::is_empty)
}

/// What tells an item of a list from the others before and after a change: its path in a container, its name, or all of it.
fn identity(item: &Value) -> String {
    let named = ["mountPath", "devicePath", "name"].iter().find_map(|field| item[*field].as_str());
    let metadata = &item["metadata"];
    match (named, metadata["name"].as_str()) {
        (Some(name), _) => name.to_owned(),
        (None, Some(name)) => {
            let [kind, namespace] = [&item["kind"], &metadata["namespace"]].map(|it| it.as_str().unwrap_or_default());
            format!("{kind}/{namespace}/{name}")
        }
        (None, None) => item.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use crate::manifest::{Changed, change, parse};

    use super::*;

    /// The document after a JSON patch.
    #[track_caller]
    fn patched(text: &str, patch: Value) -> Changed {
        let before = parse(text, 0).unwrap().unwrap().to_json();
        let mut after = before.clone();
        json_patch::patch(&mut after, &serde_json::from_value::<json_patch::Patch>(patch).unwrap()).unwrap();
        let changed = change(text, &before, &after).unwrap();
        assert_eq!(parse(&changed.text, 0).unwrap().unwrap().to_json(), after, "{}", changed.text);
        changed
    }

    #[track_caller]
    fn assert_patched(text: &str, patch: Value, expected: &str) {
        let Changed { text, anew } = patched(text, patch);
        assert_eq!((&*text, &anew[..]), (expected, &[][..]));
    }

    fn add(path: &str, value: Value) -> Value {
        json!([{"op": "add", "path": path, "value": value}])
    }

    fn remove(path: &str) -> Value {
        json!([{"op": "remove", "path": path}])
    }

    fn replace(path: &str, value: Value) -> Value {
        json!([{"op": "replace", "path": path, "value": value}])
    }

    #[test]
    fn an_item_goes_behind_the_one_before_it_and_before_the_comments_of_the_next() {
        let text = "list: # all\n- a # one\n  # about a\n# of b\n- 'b'\n# end\n";
        let item = json!({"new": [1]});
        for (at, expected) in [
            (0, "list: # all\n- new:\n  - 1\n- a # one\n  # about a\n# of b\n- 'b'\n# end\n"),
            (1, "list: # all\n- a # one\n  # about a\n- new:\n  - 1\n# of b\n- 'b'\n# end\n"),
            (2, "list: # all\n- a # one\n  # about a\n# of b\n- 'b'\n- new:\n  - 1\n# end\n"),
        ] {
            assert_patched(text, add(&format!("/list/{at}"), item.clone()), expected);
        }
        assert_patched("list:\n  # of a\n  - a", add("/list/0", json!("new")), "list:\n  - new\n  # of a\n  - a");
        assert_patched("list:\n  - a", add("/list/1", json!("new")), "list:\n  - a\n  - new\n");
        assert_patched("- - a\n- b\n", add("/0/1", json!("new")), "- - a\n  - new\n- b\n");
    }

    #[test]
    fn an_entry_goes_behind_the_last_in_the_style_of_the_document() {
        assert_patched(
            "a:\n    b: \"1\" # one\n# c\nd: 2\n",
            add("/a/e", json!([1])),
            "a:\n    b: \"1\" # one\n    e:\n    - 1\n# c\nd: 2\n",
        );
        assert_patched("l:\n  - a: 1\nb: 2\n", add("/l/0/c", json!([1])), "l:\n  - a: 1\n    c:\n      - 1\nb: 2\n");
        assert_patched(
            "a: |\n  text\n  # text\nb:\n  c: |-\n    end\n\n\nd: 1\n",
            add("/b/e", json!(1)),
            "a: |\n  text\n  # text\nb:\n  c: |-\n    end\n  e: 1\n\n\nd: 1\n",
        );
        assert_patched(
            "a:\n  b: |+\n    end\n\nd: 1\n",
            add("/a/e", json!(1)),
            "a:\n  b: |+\n    end\n\n  e: 1\nd: 1\n",
        );
        assert_patched(
            "a: # none\nb: ''\n",
            replace("/a", json!({"c": "x\ny\n"})),
            "a: # none\n  c: |\n    x\n    y\nb: ''\n",
        );
        assert_patched("a: {}\nb: []\n", replace("/a", json!({"c": 1})), "a:\n  c: 1\nb: []\n");
        assert_patched(
            "a: 1\r\nb:\r\n  c: 1\r\n",
            add("/b/d", json!({"e": "x\ny"})),
            "a: 1\r\nb:\r\n  c: 1\r\n  d:\r\n    e: |-\r\n      x\r\n      y\r\n",
        );
        assert_patched("--- # one\n'a': 1 # a\n...\n", add("/b", json!(2)), "--- # one\n'a': 1 # a\nb: 2\n...\n");
        assert_patched(
            "base: &base\n  x: 1\nuse:\n  <<: *base\n",
            add("/use/z", json!(2)),
            "base: &base\n  x: 1\nuse:\n  <<: *base\n  z: 2\n",
        );
    }

    #[test]
    fn a_scalar_is_replaced_on_its_line() {
        assert_patched("a: 'x' # why\nb: 1\n", replace("/a", json!("yes")), "a: \"yes\" # why\nb: 1\n");
        assert_patched(
            "- a: 1\n- a: 2 # two\n  name: x\n",
            replace("/1/a", json!(3)),
            "- a: 1\n- a: 3 # two\n  name: x\n",
        );
        assert_patched("a: # none\n", replace("/a", json!("x")), "a: x # none\n");
        assert_patched("a: |\n  x\n  y\nb: 1 # one\n", replace("/a", json!("z")), "a: z\nb: 1 # one\n");
        assert_patched("a: x # one\n", replace("/a", json!("y\nz\n")), "a: | # one\n  y\n  z\n");
    }

    #[test]
    fn what_is_removed_takes_its_lines_along() {
        assert_patched("a: 1\nb:\n  c: 2\n  # c's\n# d's\nd: 3\n", remove("/b"), "a: 1\n# d's\nd: 3\n");
        assert_patched("l:\n- a: 1\n  b: 2\n- c\n", remove("/l/0"), "l:\n- c\n");
        assert_patched("l:\n- a: 1\n  b: 2\n- c\n", remove("/l/0/b"), "l:\n- a: 1\n- c\n");
        assert_patched("l:\n- a # one\nb: 1\n", remove("/l/0"), "l: [] # one\nb: 1\n");
        assert_patched(
            "items:\n- metadata: {name: a}\n- metadata: {name: b}\n",
            remove("/items/0"),
            "items:\n- metadata: {name: b}\n",
        );
    }

    #[test]
    fn flow_style_and_aliases_are_written_anew_at_their_place() {
        let why = |changed: &Changed| {
            let anew = changed.anew.iter().map(|Anew { line, path, why }| format!("{line} {path}: {why}"));
            anew.collect::<Vec<_>>()
        };
        let flow = patched("# top\na: {b: 1, # b\n  c: [1]} # a\nd: 'x'\n", add("/a/c/1", json!(2)));
        assert_eq!(flow.text, "# top\na: # a\n  b: 1\n  c:\n  - 1\n  - 2\nd: 'x'\n");
        assert_eq!(why(&flow), ["1 a: it is in flow style"]);
        let item = patched("l:\n  - {name: a} # a\n  - {name: b}\n", add("/l/0/x", json!([1])));
        assert_eq!(item.text, "l:\n  - name: a # a\n    x:\n      - 1\n  - {name: b}\n");
        assert_eq!(why(&item), ["1 l[0]: it is in flow style"]);
        let alias = patched("a: &x {b: 1}\nc: *x # again\n", add("/c/d", json!(2)));
        assert_eq!(alias.text, "a: &x {b: 1}\nc: # again\n  b: 1\n  d: 2\n");
        assert_eq!(why(&alias), ["1 c: it is an alias"]);
        // What the alias stands for must not change with it.
        let anchor = patched("# top\na: &x\n  b: 1 # one\nc: *x\n", add("/a/d", json!(2)));
        assert_eq!(anchor.text, "# top\na:\n  b: 1\n  d: 2\nc:\n  b: 1\n");
        assert_eq!(why(&anchor), ["1 : it cannot be changed line by line"]);
        let json = patched("{\"a\": {\"b\": 1}}\n", add("/a/c", json!(2)));
        assert_eq!((&*json.text, json.anew.len()), ("a:\n  b: 1\n  c: 2\n", 0));
    }
}
