//! Chains of names from a variable, as they stand in a parsed tree.

use kube_cel::cel::common::ast::{CallExpr, Expr, LiteralValue, SelectExpr, operators};
use kube_cel::cel::parser::Expression as Tree;

/// A chain of names from a variable, such as `pod.spec.?os.?name`.
pub(super) struct Path {
    pub(super) root: String,
    pub(super) names: Vec<String>,
    /// How many names come before the first `.?`.
    pub(super) optional_from: Option<usize>,
}

pub(super) fn literal(tree: &Tree) -> Option<String> {
    match &tree.expr {
        Expr::Literal(LiteralValue::String(text)) => Some(text.inner().to_owned()),
        _ => None,
    }
}

pub(super) fn path_of(tree: &Tree) -> Option<Path> {
    let (operand, name, optional) = match &tree.expr {
        Expr::Ident(root) => return Some(Path { root: root.clone(), names: Vec::new(), optional_from: None }),
        Expr::Select(select) if !select.test => (&*select.operand, select.field.clone(), false),
        Expr::Call(call) if call.func_name == operators::INDEX => (&call.args[0], literal(&call.args[1])?, false),
        Expr::Call(call) if call.func_name == operators::OPT_INDEX || call.func_name == operators::OPT_SELECT => {
            (&call.args[0], literal(&call.args[1])?, true)
        }
        _ => return None,
    };
    let mut path = path_of(operand)?;
    if optional {
        path.optional_from.get_or_insert(path.names.len());
    }
    path.names.push(name);
    Some(path)
}

/// `item.a.?b.c` as `has(item.a.b) ? (has(item.a.b.c) ? optional.of(item.a.b.c) : optional.none()) : optional.none()`:
/// the crate takes a missing member for an error.
pub(super) fn optional_of_item(path: &Path, from: usize) -> Tree {
    let select = |length: usize, test: bool| {
        let mut tree = Tree { id: 0, expr: Expr::Ident(path.root.clone()) };
        for (at, field) in path.names[..length].iter().enumerate() {
            let test = test && at + 1 == length;
            tree =
                Tree { id: 0, expr: Expr::Select(SelectExpr { operand: Box::new(tree), field: field.clone(), test }) };
        }
        tree
    };
    let optional = |name: &str, args: Vec<Tree>| Tree {
        id: 0,
        expr: Expr::Call(CallExpr {
            func_name: name.into(),
            target: Some(Box::new(Tree { id: 0, expr: Expr::Ident("optional".into()) })),
            args,
        }),
    };
    let mut tree = optional("of", vec![select(path.names.len(), false)]);
    for length in (from + 1..=path.names.len()).rev() {
        let args = vec![select(length, true), tree, optional("none", Vec::new())];
        tree =
            Tree { id: 0, expr: Expr::Call(CallExpr { func_name: operators::CONDITIONAL.into(), target: None, args }) };
    }
    tree
}
