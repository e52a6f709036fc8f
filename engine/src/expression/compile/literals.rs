//! What is written out: constants, lists and objects.

use cel::common::ast::{EntryExpr, IdedEntryExpr, IdedExpr as Tree, ListExpr, LiteralValue};

use super::{Compiler, Operand, refuse_outside};
use crate::expression::evaluate::{Entry, Node};
use crate::expression::types::Type;

impl Compiler<'_> {
    pub(super) fn literal(&self, value: &LiteralValue) -> Result<Operand, String> {
        let (node, kind) = match value {
            LiteralValue::Null => (Node::Null, Type::Null),
            LiteralValue::Boolean(value) => (Node::Bool(*value.inner()), Type::Bool),
            LiteralValue::Int(number) => (Node::Int(*number.inner()), Type::Int),
            LiteralValue::Double(number) => (Node::Double(*number.inner()), Type::Double),
            LiteralValue::String(text) => (Node::String(text.inner().to_owned()), Type::String),
            LiteralValue::UInt(number) => {
                return Err(format!("a pod knows no unsigned numbers; write {}", number.inner()));
            }
            LiteralValue::Bytes(_) => return Err("bytes are not used in a pod; write a text without b".into()),
        };
        Ok(Operand::new(node, kind))
    }

    pub(super) fn entries(&mut self, list: &ListExpr, depth: usize) -> Result<Vec<(bool, Operand)>, String> {
        let mut entries = Vec::with_capacity(list.elements.len());
        for (at, element) in list.elements.iter().enumerate() {
            entries.push(self.entry(element, list.optional_indices.contains(&at), depth)?);
        }
        Ok(entries)
    }

    /// An item or value of a literal, and whether it is optional: its type is that of what it holds.
    pub(super) fn entry(&mut self, tree: &Tree, is_optional: bool, depth: usize) -> Result<(bool, Operand), String> {
        let mut value = self.visit(tree, depth + 1)?;
        refuse_outside(&value)?;
        if is_optional {
            value.kind = match self.types.resolve(&value.kind) {
                Type::Optional(of) => *of,
                other => {
                    return Err(format!(
                        "what stands behind ? must be optional, such as pod.?spec, and is {}",
                        other.with_article()
                    ));
                }
            };
        }
        Ok((is_optional, value))
    }

    pub(super) fn join_items(&mut self, one: Option<Type>, other: &Type) -> Result<Type, String> {
        let Some(one) = one else { return Ok(other.clone()) };
        self.types.join(&one, other).ok_or_else(|| {
            let (one, other) = (self.types.resolve(&one), self.types.resolve(other));
            format!("a list holds values of one type, and not {one} and {other}; string() and double() convert")
        })
    }

    pub(super) fn list(&mut self, entries: Vec<(bool, Operand)>, kind: Type) -> Operand {
        let entries =
            entries.into_iter().map(|(is_optional, entry)| Entry { value: entry.node, is_optional }).collect();
        Operand::new(Node::List(entries), Type::list(kind))
    }

    pub(super) fn map(&mut self, entries: &[IdedEntryExpr], depth: usize) -> Result<Operand, String> {
        let (mut nodes, mut kinds) = (Vec::new(), None::<(Type, Type)>);
        for entry in entries {
            let EntryExpr::MapEntry(entry) = &entry.expr else {
                unreachable!("an object that is written out has no fields of a type")
            };
            let (_, key) = self.entry(&entry.key, false, depth)?;
            let (is_optional, value) = self.entry(&entry.value, entry.optional, depth)?;
            kinds = Some(match kinds {
                None => (key.kind, value.kind),
                Some((known, values)) => {
                    let keys = self.types.join(&known, &key.kind).ok_or("the keys of an object are of one type")?;
                    // Its values may be of several types: it is a part of a pod.
                    (keys, self.types.join(&values, &value.kind).unwrap_or(Type::Dyn))
                }
            });
            nodes.push((key.node, Entry { value: value.node, is_optional }));
        }
        let (key, value) = kinds.unwrap_or_else(|| (self.types.fresh(), self.types.fresh()));
        let key = self.types.resolve(&key);
        if !matches!(key, Type::String | Type::Int | Type::Bool | Type::Dyn | Type::Variable(_)) {
            return Err(format!("the key of an object is a string, and not {}", key.with_article()));
        }
        let kind = Type::Map(Box::new(key), Box::new(value));
        Ok(Operand::new(Node::Map(nodes), kind))
    }
}
