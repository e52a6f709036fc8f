//! Chains of names behind a variable, as they stand in a parsed tree.

use std::fmt;

use cel::common::ast::{Expr, IdedExpr as Tree, LiteralValue};

use super::types::{Scope, Type};
use super::variables::{Root, step};

/// A chain of names behind a variable, such as `pod.spec.?os.?name`.
pub(super) struct Path {
    pub(super) root: Root,
    pub(super) names: Vec<String>,
    /// The type of what it names; nothing for the variable itself.
    pub(super) kind: Option<Type>,
    /// How many names stand before the first `.?`.
    pub(super) optional: Option<usize>,
    /// Whether it ends in a key of a map such as labels, or is the name of a pod.
    pub(super) is_key: bool,
}

impl Path {
    pub(super) fn of(root: Root) -> Path {
        Path { root, names: Vec::new(), kind: None, optional: None, is_key: false }
    }

    /// The path with one more name, if the type of what it names so far has known members: an object, or a map such as
    /// labels.
    pub(super) fn then(
        mut self,
        name: &str,
        optional: bool,
        is_index: bool,
        scope: &Scope<'_>,
    ) -> Result<Option<Path>, String> {
        let member = match &self.kind {
            // Fields are no keys, here as in Kubernetes. The caller says so.
            None if is_index && self.root != Root::Params => return Ok(None),
            Some(Type::Object(_)) if is_index => return Ok(None),
            None => scope.member(self.root, name)?,
            Some(kind @ (Type::Object(_) | Type::Map(..))) => kind.member(name, &self.to_string())?,
            Some(_) => return Ok(None),
        };
        // What somebody gave as JSON is looked into when it is evaluated.
        if self.root == Root::Params && self.kind.is_some() {
            return Ok(None);
        }
        if optional && self.optional.is_none() {
            self.optional = Some(self.names.len());
        }
        let of_map = matches!(self.kind, Some(Type::Map(..)));
        self.is_key = of_map || (self.root == Root::Pod && name == "name" && self.names == ["metadata"]);
        self.kind = Some(member);
        self.names.push(name.to_owned());
        Ok(Some(self))
    }
}

impl fmt::Display for Path {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.root.as_str())?;
        for (at, name) in self.names.iter().enumerate() {
            let step = step(name);
            match self.optional {
                Some(from) if at >= from => match step.strip_prefix('.') {
                    Some(name) => write!(formatter, ".?{name}")?,
                    None => write!(formatter, "[?{}", &step[1..])?,
                },
                _ => formatter.write_str(&step)?,
            }
        }
        Ok(())
    }
}

/// The text of a string literal.
pub(super) fn literal(tree: &Tree) -> Option<&str> {
    match &tree.expr {
        Expr::Literal(LiteralValue::String(text)) => Some(text.inner()),
        _ => None,
    }
}
