//! Chains of names from a variable, as they stand in a parsed tree.

use kube_cel::cel::common::ast::{CallExpr, Expr, LiteralValue, SelectExpr, operators};
use kube_cel::cel::parser::Expression as Tree;

use super::variables::Wanted;

/// A chain of names from a variable, such as `pod.spec.?os.?name` or `has(pod.spec.os)`.
pub(super) struct Path {
    pub(super) root: String,
    pub(super) names: Vec<String>,
    pub(super) wanted: Wanted,
}

/// The text of a string literal.
pub(super) fn literal(tree: &Tree) -> Option<&str> {
    match &tree.expr {
        Expr::Literal(LiteralValue::String(text)) => Some(text.inner()),
        _ => None,
    }
}

/// The path that a tree is, if it is one.
pub(super) fn path_of(tree: &Tree) -> Option<Path> {
    let (operand, name, step) = match &tree.expr {
        Expr::Ident(root) => return Some(Path { root: root.clone(), names: Vec::new(), wanted: Wanted::Value }),
        Expr::Select(select) if select.test => (&*select.operand, &*select.field, Wanted::Presence),
        Expr::Select(select) => (&*select.operand, &*select.field, Wanted::Value),
        Expr::Call(call) => match call.func_name.as_str() {
            operators::INDEX => (&call.args[0], literal(&call.args[1])?, Wanted::Value),
            operators::OPT_INDEX | operators::OPT_SELECT => {
                (&call.args[0], literal(&call.args[1])?, Wanted::Optional { from: 0 })
            }
            _ => return None,
        },
        _ => return None,
    };
    let mut path = path_of(operand)?;
    path.wanted = match (path.wanted, step) {
        (Wanted::Value, Wanted::Optional { .. }) => Wanted::Optional { from: path.names.len() },
        (Wanted::Value, step) => step,
        (Wanted::Optional { from }, Wanted::Value | Wanted::Optional { .. }) => Wanted::Optional { from },
        _ => return None,
    };
    path.names.push(name.to_owned());
    Some(path)
}

/// `item.a.?b.c` as `has(item.a.b) ? (has(item.a.b.c) ? optional.of(item.a.b.c) : optional.none()) : optional.none()`:
/// the crate takes a missing member for an error.
pub(super) fn optional_of_item(path: &Path, from: usize) -> Tree {
    let node = |expr: Expr| Tree { id: 0, expr };
    let call = |target: Option<&str>, name: &str, args: Vec<Tree>| {
        let target = target.map(|target| Box::new(node(Expr::Ident(target.into()))));
        node(Expr::Call(CallExpr { func_name: name.into(), target, args }))
    };
    let mut member = node(Expr::Ident(path.root.clone()));
    let mut tests = Vec::new();
    for (at, field) in path.names.iter().enumerate() {
        let select = |test| Expr::Select(SelectExpr { operand: Box::new(member.clone()), field: field.clone(), test });
        if at >= from {
            tests.push(node(select(true)));
        }
        member = node(select(false));
    }
    tests.into_iter().rev().fold(call(Some("optional"), "of", vec![member]), |then, test| {
        call(None, operators::CONDITIONAL, vec![test, then, call(Some("optional"), "none", Vec::new())])
    })
}
