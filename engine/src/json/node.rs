//! The tree of a pod. Each value knows who brought it and what stood in its place before.

use std::borrow::Cow;
use std::mem;

use serde_json::{Value, json};

use super::fragment::{Fragment, Numbers, Shape, Values, write_json};
use super::tape::Text;
use crate::schema::Type;

/// Who brought a value.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum By {
    Pod,
    /// A template in an earlier call, by the number of its record in the status.
    Earlier(u16),
    /// A template in a call of which nothing is recorded, by its number among those that the pod asks for.
    Copy(u16),
    /// A template in this call, by the same number.
    Now(u16),
    /// Pillion itself, in its own annotations.
    Pillion,
}

/// How a value came to stand where it is.
#[derive(Debug)]
pub(crate) enum Change<'a> {
    /// It came with what it stands in.
    None,
    Added,
    /// It stands in the place of another value.
    Replaced(Box<Node<'a>>),
}

/// A value of the tree. What is brought with another value stands below it.
#[derive(Debug)]
pub(crate) struct Node<'a> {
    pub(crate) json: Json<'a>,
    /// The text that an object or list was opened from.
    source: Option<Text<'a>>,
    pub(crate) by: By,
    pub(crate) change: Change<'a>,
}

/// What is opened is opened to add to it.
const SPARE: usize = 2;

#[derive(Debug)]
pub(crate) enum Json<'a> {
    /// The pod's, unopened.
    Text(Text<'a>),
    /// A template's, unopened and without holes.
    Fragment(&'a Fragment),
    /// In the order of the text, repeated names included.
    Object(Vec<(Cow<'a, str>, Node<'a>)>),
    List(Vec<Node<'a>>),
}

impl<'a> Node<'a> {
    fn new(json: Json<'a>) -> Node<'a> {
        Node { json, source: None, by: By::Pod, change: Change::None }
    }

    /// A value of the pod.
    pub(crate) fn text(text: Text<'a>) -> Node<'a> {
        Node::new(Json::Text(text))
    }

    /// What a template gives, with the values of its holes and these parameters set; nothing if they omit it.
    pub(crate) fn render(fragment: &'a Fragment, values: &[&'a Values], set: Numbers, by: By) -> Option<Node<'a>> {
        let node = |json| Node { by, ..Node::new(json) };
        if let Some(preset) = fragment.preset(set) {
            return Some(node(Json::Fragment(preset.given.as_ref()?)));
        }
        let node = match &fragment.shape {
            Shape::Hole(_) => node(Json::Fragment(fragment.filled_by(values, set)?)),
            Shape::Object(members) if !fragment.is_fixed => {
                let there = members.iter().filter_map(|(name, member)| {
                    Some((Cow::Borrowed(&**name), Node::render(member, values, set, by)?))
                });
                node(Json::Object(there.collect()))
            }
            Shape::List(items) if !fragment.is_fixed => {
                node(Json::List(items.iter().filter_map(|item| Node::render(item, values, set, by)).collect()))
            }
            _ => node(Json::Fragment(fragment)),
        };
        let left = if matches!(node.json, Json::Fragment(_)) { 1 } else { node.children().count() };
        (!fragment.is_emptied(left)).then_some(node)
    }

    /// A value without holes that somebody brings.
    pub(crate) fn fragment(fragment: &'a Fragment, by: By) -> Node<'a> {
        Node { by, ..Node::new(Json::Fragment(fragment)) }
    }

    /// An object or list that is added to hold what is added to it.
    pub(crate) fn holder(json: Json<'a>, by: By) -> Node<'a> {
        Node { by, ..Node::new(json) }.added()
    }

    /// The same value as an addition.
    pub(crate) fn added(self) -> Node<'a> {
        Node { change: Change::Added, ..self }
    }

    /// Whether this call brought it.
    pub(crate) fn is_new(&self) -> bool {
        self.is_new_since(0)
    }

    /// Whether this call brought it, and none of its templates before that of a number.
    pub(super) fn is_new_since(&self, since: u16) -> bool {
        match self.by {
            By::Now(number) => number >= since,
            By::Pillion => !matches!(self.change, Change::None),
            By::Pod | By::Earlier(_) | By::Copy(_) => false,
        }
    }

    fn open(&mut self) {
        let by = self.by;
        let child = |json| Node { by, ..Node::new(json) };
        self.json = match self.json {
            Json::Text(text) if text.is_object() => {
                self.source = Some(text);
                let mut members = Vec::with_capacity(text.parts().count() + SPARE);
                members.extend(text.parts().map(|part| (part.name(), child(Json::Text(part)))));
                Json::Object(members)
            }
            Json::Text(text) if text.is_list() => {
                self.source = Some(text);
                let mut items = Vec::with_capacity(text.parts().count() + SPARE);
                items.extend(text.parts().map(|part| child(Json::Text(part))));
                Json::List(items)
            }
            // Go writes so what is not there.
            Json::Text(text) if text.is_null() => Json::Object(Vec::new()),
            Json::Fragment(fragment) => match &fragment.shape {
                Shape::Object(members) => Json::Object(
                    members
                        .iter()
                        .map(|(name, member)| (Cow::Borrowed(&**name), child(Json::Fragment(member))))
                        .collect(),
                ),
                Shape::List(items) => Json::List(items.iter().map(|item| child(Json::Fragment(item))).collect()),
                Shape::Scalar(_) | Shape::Hole(_) => return,
            },
            Json::Text(_) | Json::Object(_) | Json::List(_) => return,
        };
    }

    /// The members of an object, opened; `None` if this is no object.
    pub(crate) fn members(&mut self) -> Option<&mut Vec<(Cow<'a, str>, Node<'a>)>> {
        self.open();
        if let Json::Object(members) = &mut self.json { Some(members) } else { None }
    }

    /// The items of a list, opened; `None` if this is no list.
    pub(crate) fn items(&mut self) -> Option<&mut Vec<Node<'a>>> {
        self.open();
        if let Json::List(items) = &mut self.json { Some(items) } else { None }
    }

    /// The same of a value that is not needed any more; none if it is no object.
    pub(crate) fn into_members(mut self) -> Vec<(Cow<'a, str>, Node<'a>)> {
        self.members().map(mem::take).unwrap_or_default()
    }

    pub(crate) fn into_items(mut self) -> Vec<Node<'a>> {
        self.items().map(mem::take).unwrap_or_default()
    }

    /// A member that is there and not `null`.
    pub(crate) fn member(&mut self, name: &str) -> Option<&mut Node<'a>> {
        let members = self.members()?;
        let at = members.iter().rposition(|(member, _)| member == name)?;
        Some(&mut members[at].1).filter(|node| !node.is_null())
    }

    /// A member, added as an empty list or object if need be. `None` if this is no object.
    pub(crate) fn member_or(&mut self, name: &'a str, empty: fn() -> Json<'a>, by: By) -> Option<&mut Node<'a>> {
        if self.member(name).is_none() {
            self.members()?.push((name.into(), Node::holder(empty(), by)));
        }
        self.member(name)
    }

    /// The items of a member that is a list, which is added if need be.
    pub(crate) fn items_or(&mut self, name: &'a str, by: By) -> Option<&mut Vec<Node<'a>>> {
        self.member_or(name, || Json::List(Vec::new()), by)?.items()
    }

    /// Adds a member to an object that has none of its name, or `null`.
    pub(crate) fn push(&mut self, name: Cow<'a, str>, node: Node<'a>) {
        if let Some(members) = self.members() {
            members.push((name, node));
        }
    }

    /// The items of a member that is a list; none if it is something else.
    pub(crate) fn list(&mut self, name: &str) -> &mut [Node<'a>] {
        self.member(name).and_then(Node::items).map(Vec::as_mut_slice).unwrap_or_default()
    }

    /// Whether this is `null`, as Go writes a list that is not there.
    pub(crate) fn is_null(&self) -> bool {
        matches!(self.json, Json::Text(text) if text.is_null())
    }

    /// Whether this is an object or list with nothing in it.
    pub(crate) fn is_empty(&self) -> bool {
        match &self.json {
            Json::Object(members) => members.is_empty(),
            Json::List(items) => items.is_empty(),
            Json::Text(_) | Json::Fragment(_) => false,
        }
    }

    /// About how many bytes it takes.
    pub(crate) fn size(&self) -> usize {
        match &self.json {
            Json::Text(text) => text.json().len(),
            Json::Fragment(fragment) => fragment.size(),
            Json::Object(members) => 2 + members.iter().map(|(name, part)| name.len() + 4 + part.size()).sum::<usize>(),
            Json::List(items) => 2 + items.iter().map(|item| item.size() + 1).sum::<usize>(),
        }
    }

    /// Appends its JSON.
    pub(crate) fn write(&self, json: &mut Vec<u8>) {
        match &self.json {
            Json::Text(text) => json.extend_from_slice(text.json().as_bytes()),
            Json::Fragment(fragment) => fragment.write(json),
            Json::Object(members) => {
                json.push(b'{');
                for (at, (name, node)) in members.iter().enumerate() {
                    json.extend_from_slice(if at > 0 { b"," } else { b"" });
                    write_json(json, name);
                    json.push(b':');
                    node.write(json);
                }
                json.push(b'}');
            }
            Json::List(items) => {
                json.push(b'[');
                for (at, node) in items.iter().enumerate() {
                    json.extend_from_slice(if at > 0 { b"," } else { b"" });
                    node.write(json);
                }
                json.push(b']');
            }
        }
    }

    /// Puts another value in its place.
    pub(crate) fn replace(&mut self, with: Node<'a>) {
        let was = mem::replace(self, with);
        self.change = Change::Replaced(was.into());
    }

    /// Whether anything is in it that this call brought, from the template of a number on.
    pub(super) fn is_touched_since(&self, since: u16) -> bool {
        self.is_new_since(since) || self.children().any(|child| child.is_touched_since(since))
    }

    /// The members of an opened object; none of anything else.
    pub(super) fn opened_members(&self) -> &[(Cow<'a, str>, Node<'a>)] {
        if let Json::Object(members) = &self.json { members } else { &[] }
    }

    /// The items of an opened list; none of anything else.
    pub(super) fn opened_items(&self) -> &[Node<'a>] {
        if let Json::List(items) = &self.json { items } else { &[] }
    }

    fn children(&self) -> impl Iterator<Item = &Node<'a>> {
        self.opened_members().iter().map(|(_, node)| node).chain(self.opened_items())
    }

    /// Takes out all that somebody brought, and puts back what stood there before. False if nothing is left.
    pub(crate) fn undo(&mut self, by: By) -> bool {
        while self.by == by {
            match mem::replace(&mut self.change, Change::None) {
                Change::Replaced(was) => *self = *was,
                Change::None | Change::Added => return false,
            }
        }
        match &mut self.json {
            Json::Object(members) => members.retain_mut(|(_, node)| node.undo(by)),
            Json::List(items) => items.retain_mut(|node| node.undo(by)),
            Json::Text(_) | Json::Fragment(_) => {}
        }
        true
    }

    /// A member of an opened object.
    pub(crate) fn child(&self, name: &str) -> Option<&Node<'a>> {
        self.opened_members().iter().rfind(|(member, _)| member == name).map(|(_, node)| node)
    }

    /// The items of a list of the spec, if both were opened.
    pub(crate) fn opened_list(&self, name: &str) -> &[Node<'a>] {
        self.child("spec").and_then(|spec| spec.child(name)).map(Node::opened_items).unwrap_or_default()
    }

    /// What the pod itself has here.
    fn original(&self) -> Option<&Node<'a>> {
        match &self.change {
            Change::Replaced(was) => was.original(),
            _ => (self.by == By::Pod).then_some(self),
        }
    }

    /// A value of the pod as it was before any template, by the names that lead to it.
    pub(crate) fn find(&self, path: &[String]) -> Option<Cow<'a, str>> {
        let node = self.original().filter(|node| !node.is_null())?;
        match (&node.json, path.split_first(), node.source) {
            (Json::Text(text), ..) => text.find(path).map(|text| Cow::Borrowed(text.json())),
            (_, Some((name, path)), _) => node.child(name)?.find(path),
            (_, None, Some(source)) if !node.is_changed() => Some(Cow::Borrowed(source.json())),
            _ => node.original_value(None).map(|value| Cow::Owned(value.to_string())),
        }
    }

    /// How much text is read to find a value: all of the member of the pod's object that it is in.
    pub(crate) fn scanned(&self, name: &str) -> usize {
        let mut node = self.child(name);
        while let Some(Node { change: Change::Replaced(was), .. }) = node {
            node = Some(was);
        }
        let text = node.and_then(|node| if let Json::Text(text) = node.json { Some(text) } else { node.source });
        text.filter(|text| !text.is_null()).map_or(0, |text| text.json().len())
    }

    /// Whether templates ever brought anything into it.
    fn is_changed(&self) -> bool {
        self.by != By::Pod || self.children().any(Node::is_changed)
    }

    /// The value as the pod had it. An API server has no empty lists, so what only held additions was not there; the item
    /// of a list was, however empty, and so was an object whose fields are known, as that is added whole.
    pub(crate) fn original_value(&self, kind: Option<&Type>) -> Option<Value> {
        let node = self.original()?;
        let value: Value = match &node.json {
            Json::Text(text) => serde_json::from_str(text.json()).ok()?,
            // What stood there before, as a status has it.
            Json::Fragment(_) => node.view().to_value(),
            Json::Object(members) => {
                let part = |(name, part): &(Cow<'_, str>, Node<'_>)| {
                    Some((name.to_string(), part.original_value(kind.and_then(|kind| kind.child(name)))?))
                };
                members.iter().filter_map(part).collect()
            }
            Json::List(items) => {
                let there = items.iter().filter(|item| item.original().is_some());
                let item = kind.and_then(|kind| kind.child(""));
                there.map(|it| it.original_value(item).unwrap_or_else(|| json!({}))).collect()
            }
        };
        let is_emptied = node.children().next().is_some() && (value == json!({}) || value == json!([]));
        let is_kept = matches!(kind, Some(Type::Object(object)) if object.name != "ObjectMeta");
        (!is_emptied || is_kept).then_some(value)
    }
}

#[cfg(test)]
mod tests;
