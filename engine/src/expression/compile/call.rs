//! Calls of operators and functions: which of their forms a call is, and what Kubernetes knows of it before it runs.

use cel::common::ast::{CallExpr, Expr, IdedExpr as Tree, operators};

use super::{Compiler, Operand, refuse_outside};
use crate::expression::evaluate::Node;
use crate::expression::functions::{Arguments, Fault, Overload, Run, format};
use crate::expression::meter::Meter;
use crate::expression::path::literal;
use crate::expression::types::Type;
use crate::expression::value::Value;
use crate::expression::{evaluate, functions, source};
use crate::pattern::Pattern;
use crate::text::{did_you_mean, nearest};

pub(super) fn visit(compiler: &mut Compiler<'_>, call: &CallExpr, depth: usize) -> Result<Operand, String> {
    let mut name = call.func_name.clone();
    let mut trees: Vec<&Tree> = Vec::with_capacity(call.args.len() + 1);
    let mut is_member = false;
    match call.target.as_deref() {
        // optional.of(x) is a function of that name, not a method of a variable.
        Some(Tree { expr: Expr::Ident(target), .. }) if functions::overloads(&format!("{target}.{name}")).is_some() => {
            name = format!("{target}.{name}");
        }
        Some(target) => {
            is_member = true;
            trees.push(target);
        }
        None => {}
    }
    trees.extend(&call.args);
    let Some(overloads) = functions::overloads(&name) else { return Err(unknown(&name)) };
    let mut arguments = Vec::with_capacity(trees.len());
    for (at, tree) in trees.iter().enumerate() {
        arguments.push(match &tree.expr {
            // The values of a format may be of several types.
            Expr::List(list) if name == "format" && at == 1 => format_values(compiler, &trees, list, depth)?,
            _ if name == "format" && at == 1 => return Err("format() needs its values written out as a list".into()),
            _ => compiler.visit(tree, depth + 1)?,
        });
    }
    let kinds: Vec<Type> = arguments.iter().map(|argument| argument.kind.clone()).collect();
    let (matching, kind) = resolve(compiler, overloads, is_member, &kinds).ok_or_else(|| {
        let kinds: Vec<_> = kinds.iter().map(|kind| compiler.types.resolve(kind)).collect();
        no_match(&name, overloads, is_member, &kinds)
    })?;
    let compares = matches!(
        name.as_str(),
        operators::EQUALS
            | operators::NOT_EQUALS
            | operators::LESS
            | operators::LESS_EQUALS
            | operators::GREATER
            | operators::GREATER_EQUALS
    );
    // Of two values that are compared one may come from outside.
    arguments.iter().filter(|argument| argument.outside).skip(usize::from(compares)).try_for_each(refuse_outside)?;
    let pattern = match matching.first().map(|overload| overload.run) {
        Some(Run::Regex(_)) => Some(Box::new(pattern(&name, trees[1])?)),
        Some(Run::Lazy) => return Ok(lazy(&name, arguments, kind)),
        _ => None,
    };
    let arguments: Vec<_> = arguments.into_iter().map(|argument| argument.node).collect();
    match (name.as_str(), arguments.as_slice()) {
        // Kubernetes does not ask what is in it.
        (operators::IN, [_, Node::List(items)]) if items.is_empty() => {
            return Ok(Operand::new(Node::Bool(false), Type::Bool));
        }
        (operators::IN, [key, of]) => compiler.note_asked(key, of),
        _ => {}
    }
    let node = Node::Call { overloads: matching, arguments, pattern, name: shown(&name) };
    let node = fold(&name, node)?;
    Ok(Operand::new(node, kind))
}

fn lazy(name: &str, arguments: Vec<Operand>, kind: Type) -> Operand {
    let mut nodes = arguments.into_iter().map(|argument| Box::new(argument.node));
    let (Some(one), Some(other)) = (nodes.next(), nodes.next()) else {
        unreachable!("their signatures have two parameters")
    };
    Operand::new(Node::OptionalOr { one, other, is_value: name == "orValue" }, kind)
}

/// The forms that a call can be, and the type of what it gives.
fn resolve(
    compiler: &mut Compiler<'_>,
    overloads: &'static [Overload],
    is_member: bool,
    arguments: &[Type],
) -> Option<(Vec<&'static Overload>, Type)> {
    let mut matching = Vec::new();
    let mut result: Option<Type> = None;
    let is_known = arguments.first().is_some_and(|first| !matches!(compiler.types.resolve(first), Type::Dyn));
    let forms =
        overloads.iter().filter(|overload| overload.is_member == is_member && !(overload.is_for_dyn() && is_known));
    for overload in forms {
        let variables: Vec<Type> = (0..overload.variables).map(|_| compiler.types.fresh()).collect();
        let parameters: Vec<Type> = overload.parameters.iter().map(|of| of.with_variables(&variables)).collect();
        if !compiler.types.takes(&parameters, arguments) {
            continue;
        }
        let gives = compiler.types.resolve(&overload.result.with_variables(&variables));
        result = Some(match result {
            Some(known) if known.to_string() != gives.to_string() => Type::Dyn,
            Some(known) => known,
            None => gives,
        });
        matching.push(overload);
    }
    result.map(|result| (matching, result))
}

fn pattern(name: &str, tree: &Tree) -> Result<Pattern, String> {
    let pattern = literal(tree).ok_or_else(|| format!("{name}() needs its regular expression written out"))?;
    Pattern::new(pattern).map_err(|error| format!("{name}(): {error}"))
}

/// The value of a conversion of what is written out, as Kubernetes does it: it fails when it is loaded, wherever it stands.
fn fold(name: &str, node: Node) -> Result<Node, String> {
    let Node::Call { overloads, arguments, .. } = &node else { return Ok(node) };
    if !matches!(name, "int" | "double" | "bool" | "string" | "duration" | "dyn") {
        return Ok(node);
    }
    let constant = match arguments.first() {
        Some(Node::Null) => Value::Null,
        Some(Node::Bool(value)) => Value::Bool(*value),
        Some(Node::Int(number)) => Value::Int(*number),
        Some(Node::Double(number)) => Value::Double(*number),
        Some(Node::String(text)) => Value::text(text.as_str()),
        Some(Node::Duration(nanoseconds)) => Value::Duration(*nanoseconds),
        _ => return Ok(node),
    };
    Ok(match evaluate::call(overloads, Arguments { values: &[constant], meter: &Meter::default() }, None) {
        Ok(Value::Null) => Node::Null,
        Ok(Value::Bool(value)) => Node::Bool(value),
        Ok(Value::Int(number)) => Node::Int(number),
        Ok(Value::Double(number)) => Node::Double(number),
        Ok(Value::String(text)) => Node::String(text.to_string()),
        Ok(Value::Duration(nanoseconds)) => Node::Duration(nanoseconds),
        Ok(_) => return Ok(node),
        Err(Fault::Type) => return Err(format!("{name}() does not take that")),
        Err(Fault::Failed(why) | Fault::Limit(why)) => return Err(why.into()),
    })
}

/// The values of `'…'.format([…])`.
fn format_values(
    compiler: &mut Compiler<'_>,
    trees: &[&Tree],
    list: &cel::common::ast::ListExpr,
    depth: usize,
) -> Result<Operand, String> {
    let entries = compiler.entries(list, depth)?;
    if entries.iter().any(|(is_optional, _)| *is_optional) {
        return Err("the values of format() are not optional; write .orValue(…)".into());
    }
    let kinds: Vec<_> = entries.iter().map(|(_, entry)| compiler.types.resolve(&entry.kind)).collect();
    let format = literal(trees[0]).ok_or("format() needs its format written out")?;
    format::check(format, &kinds)?;
    Ok(compiler.list(entries, Type::Dyn))
}

/// An operator as it is written, or a function with its brackets.
fn shown(name: &str) -> String {
    match name {
        operators::IN => "in".into(),
        operators::NEGATE => "-".into(),
        operators::LOGICAL_NOT => "!".into(),
        name => match name.strip_prefix('_').and_then(|name| name.strip_suffix('_')) {
            Some(operator) => operator.into(),
            None => format!("{name}()"),
        },
    }
}

fn unknown(name: &str) -> String {
    if source::MACROS.contains(&name) {
        return format!("{name}() goes through a list with one name for the item: list.{name}(item, …)");
    }
    let near = match name {
        "uint" => Some("int"),
        "sets.contains" | "contains" => Some("in"),
        _ => nearest(name, functions::names().chain(source::MACROS.iter().copied())),
    };
    format!("{name}() is not a function that templates can use{}", did_you_mean(near))
}

fn no_match(name: &str, overloads: &[Overload], is_member: bool, kinds: &[Type]) -> String {
    let given: Vec<String> = kinds.iter().map(Type::to_string).collect();
    let is_text = |kind: &Type| matches!(kind, Type::String);
    match (name, kinds) {
        ("join", [Type::List(item), ..]) => format!(
            "join() takes a list of strings, and not {}; write .map(item, string(item)).join(…)",
            Type::list((**item).clone())
        ),
        (operators::EQUALS | operators::NOT_EQUALS, [one, other]) => {
            let hint = match (one, other) {
                (Type::Int, Type::Double) | (Type::Double, Type::Int) => {
                    "; write 1.0 for 1, or convert with double() or int()"
                }
                _ if kinds.iter().any(is_text) => "; string() and int() convert",
                _ => "",
            };
            format!("{} compares values of one type, and not {one} and {other}{hint}", shown(name))
        }
        _ if !name.starts_with(|first: char| first.is_ascii_alphabetic()) => {
            let hint = if kinds.iter().any(is_text) { "; string(), int() and double() convert" } else { "" };
            format!("{} does not take {}{hint}", shown(name), given.join(" and "))
        }
        _ => {
            let forms: Vec<_> = overloads.iter().map(|overload| overload.signature).collect();
            let mut forms: Vec<_> =
                forms.iter().map(|form| form.rsplit_once(") ").map_or(*form, |(form, _)| form)).collect();
            forms.dedup();
            let forms: Vec<_> = forms.iter().map(|form| format!("{form})")).collect();
            let (of, given) = match given.split_first() {
                Some((of, rest)) if is_member => (format!("{of}."), rest),
                _ => (String::new(), given.as_slice()),
            };
            format!("{of}{name}({}) does not exist, but {} does", given.join(", "), forms.join(" or "))
        }
    }
}
