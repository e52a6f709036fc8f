//! One walk over an expression's tree, when it is loaded: what may stand there, what type and size each value has, and which
//! function each call is.
//!
//! Inside a comprehension a value from outside of it can only be compared: anything else could take the square of the
//! input.

mod call;
mod comprehension;
mod literals;

use cel::common::ast::{CallExpr, Expr, IdedExpr as Tree, SelectExpr, operators};

use super::Key;
use super::evaluate::Node;
use super::path::{Path, literal};
use super::source::MAX_DEPTH;
use super::types::{Scope, Type, TypeVariables};
use super::variables::{Input, Root, Wanted, step};
use crate::text::{did_you_mean, nearest};

/// Refuses a value from outside of the comprehension at hand where it is not compared.
fn refuse_outside(value: &Operand) -> Result<(), String> {
    if !value.outside {
        return Ok(());
    }
    let what = value.place.as_deref().unwrap_or("a value");
    Err(format!(
        "inside a comprehension {what} comes from outside of it and can only be compared, as in item.name == {what}; use it before \
         or behind the comprehension"
    ))
}

/// A tree that was compiled.
pub(super) struct Compiled {
    pub(super) node: Node,
    pub(super) inputs: Vec<Input>,
    pub(super) asked: Vec<Key>,
    /// Whether it has a comprehension.
    pub(super) loops: bool,
    pub(super) kind: Type,
}

/// Checks a tree, and finds what its names stand for.
pub(super) fn compile(tree: &Tree, scope: &Scope<'_>) -> Result<Compiled, String> {
    let mut compiler = Compiler {
        scope,
        items: Vec::new(),
        inputs: Vec::new(),
        asked: Vec::new(),
        loops: false,
        types: TypeVariables::default(),
    };
    let value = compiler.visit(tree, 0)?;
    Ok(Compiled {
        kind: compiler.types.resolve(&value.kind),
        node: value.node,
        inputs: compiler.inputs,
        asked: compiler.asked,
        loops: compiler.loops,
    })
}

struct Compiler<'a> {
    scope: &'a Scope<'a>,
    /// The variables of the comprehensions around the node at hand, the innermost last.
    items: Vec<Item>,
    inputs: Vec<Input>,
    asked: Vec<Key>,
    loops: bool,
    types: TypeVariables,
}

/// The variable of a comprehension.
struct Item {
    name: String,
    kind: Type,
    /// Whether it stands for many values, one after the other.
    is_one_of_many: bool,
}

/// A step, and what is known of its value.
struct Operand {
    node: Node,
    kind: Type,
    /// Whether it comes from outside of the innermost comprehension.
    outside: bool,
    /// How it is written, if it is a path.
    place: Option<String>,
}

impl Operand {
    /// A value that is made here, or so small that it does not matter where it comes from.
    fn new(node: Node, kind: Type) -> Operand {
        Operand { node, kind, outside: false, place: None }
    }

    fn place(&self) -> String {
        self.place.clone().unwrap_or_else(|| "…".into())
    }
}

impl Compiler<'_> {
    fn visit(&mut self, tree: &Tree, depth: usize) -> Result<Operand, String> {
        if depth > MAX_DEPTH {
            return Err(format!("an expression may be {MAX_DEPTH} operators deep"));
        }
        if let Some(path) = self.path(tree)? {
            return self.input(path);
        }
        match &tree.expr {
            Expr::Literal(value) => self.literal(value),
            Expr::Ident(name) => match self.items.iter().rposition(|item| item.name == *name) {
                Some(at) => {
                    let Item { name, kind, .. } = &self.items[at];
                    Ok(Operand {
                        node: Node::Item(at),
                        kind: kind.clone(),
                        outside: self.items[at + 1..].iter().any(|item| item.is_one_of_many),
                        place: Some(name.clone()),
                    })
                }
                None => Err(self.unknown_variable(name)),
            },
            Expr::Select(select) => {
                let of = self.visit(&select.operand, depth + 1)?;
                self.member(of, &select.field)
            }
            Expr::List(list) => {
                let entries = self.entries(list, depth)?;
                let mut kind = None;
                for (_, entry) in &entries {
                    kind = Some(self.join_items(kind, &entry.kind)?);
                }
                let kind = kind.unwrap_or_else(|| self.types.fresh());
                Ok(self.list(entries, kind))
            }
            Expr::Map(map) => self.map(&map.entries, depth),
            Expr::Call(call) => self.visit_call(call, depth),
            Expr::Comprehension(_) => unreachable!("macros are not expanded"),
            Expr::Struct(_) | Expr::Unspecified => Err("types cannot be made here; write {'name': value}".into()),
        }
    }

    /// The path that a tree is, if it is one: names behind a variable of ours, as far as the schema knows them. What is behind
    /// them is found when it is evaluated.
    fn path(&self, tree: &Tree) -> Result<Option<Path>, String> {
        let (operand, name, optional) = match &tree.expr {
            Expr::Ident(name) => {
                let is_item = self.items.iter().any(|item| item.name == *name);
                let root = Root::ALL.into_iter().find(|root| root.as_str() == name && !is_item);
                return Ok(root.map(Path::of));
            }
            Expr::Select(SelectExpr { operand, field, .. }) => (&**operand, field.as_str(), false),
            Expr::Call(CallExpr { func_name, args, target: None }) if args.len() == 2 => {
                let Some(name) = literal(&args[1]) else { return Ok(None) };
                match func_name.as_str() {
                    operators::INDEX => (&args[0], name, false),
                    operators::OPT_INDEX | operators::OPT_SELECT => (&args[0], name, true),
                    _ => return Ok(None),
                }
            }
            _ => return Ok(None),
        };
        let Some(path) = self.path(operand)? else { return Ok(None) };
        let is_index = matches!(&tree.expr, Expr::Call(call) if call.func_name != operators::OPT_SELECT);
        path.then(name, optional, is_index, self.scope)
    }

    /// A variable for what a path names.
    fn input(&mut self, path: Path) -> Result<Operand, String> {
        let kind = match &path.kind {
            Some(kind) => kind.clone(),
            None => self.scope.whole(path.root)?,
        };
        let wanted = path.optional.map_or(Wanted::Value, |from| Wanted::Optional { from });
        let place = path.to_string();
        let double = matches!(kind.without_null(), Type::Double);
        let node = self.read(Input { root: path.root, path: path.names, wanted, double, is_key: path.is_key });
        Ok(Operand {
            node,
            kind: if path.optional.is_some() { Type::optional(kind) } else { kind },
            outside: self.is_inside(),
            place: Some(place),
        })
    }

    fn read(&mut self, input: Input) -> Node {
        let at = self.inputs.iter().position(|known| *known == input).unwrap_or(self.inputs.len());
        if at == self.inputs.len() {
            self.inputs.push(input);
        }
        Node::Input(at)
    }

    /// Notes that an expression asks with `in` for a key that is written out.
    fn note_asked(&mut self, key: &Node, of: &Node) {
        if let (Node::String(key), Node::Input(at)) = (key, of) {
            let Input { root, path, .. } = &self.inputs[*at];
            self.asked.push(Key { root: *root, path: path.iter().chain([key]).cloned().collect() });
        }
    }

    fn unknown_variable(&self, name: &str) -> String {
        let items = self.items.iter().map(|item| item.name.as_str());
        let hint = match name {
            _ if self.scope.parameters.contains_key(name) => format!("; did you mean params.{name}?"),
            _ => did_you_mean(nearest(name, items.chain(Root::ALL.map(Root::as_str)))),
        };
        format!("{name} is not a variable{hint}")
    }

    fn member(&self, of: Operand, field: &str) -> Result<Operand, String> {
        let resolved = self.types.resolve(&of.kind);
        let kind = resolved.member(field, &self.name(&of, &resolved))?;
        let place = format!("{}{}", of.place(), step(field));
        let node = Node::Member { of: Box::new(of.node), field: field.to_owned(), place: place.clone() };
        Ok(Operand { node, kind, outside: of.outside, place: of.place.map(|_| place) })
    }

    /// What a value is called in messages.
    fn name(&self, of: &Operand, kind: &Type) -> String {
        match (&of.node, kind) {
            (Node::Item(_), _) => of.place(),
            (_, Type::Object(_)) => kind.with_article(),
            _ => of.place.clone().unwrap_or_else(|| kind.with_article()),
        }
    }

    /// Whether the node at hand is in a comprehension.
    fn is_inside(&self) -> bool {
        self.items.iter().any(|item| item.is_one_of_many)
    }

    fn visit_call(&mut self, call: &CallExpr, depth: usize) -> Result<Operand, String> {
        let arguments = call.args.as_slice();
        match (call.func_name.as_str(), call.target.as_deref(), arguments) {
            ("has", None, [of]) => self.has(of, depth),
            ("all" | "exists" | "exists_one" | "filter" | "optMap" | "optFlatMap", Some(range), [name, body]) => {
                self.comprehension(&call.func_name, range, name, None, body, depth)
            }
            ("map", Some(range), [name, body]) => self.comprehension("map", range, name, None, body, depth),
            ("map", Some(range), [name, condition, body]) => {
                self.comprehension("map", range, name, Some(condition), body, depth)
            }
            (operators::CONDITIONAL, None, [condition, then, otherwise]) => {
                let condition = self.condition(condition, "the condition of ?:", depth)?;
                let (then, otherwise) = (self.visit(then, depth + 1)?, self.visit(otherwise, depth + 1)?);
                [&condition, &then, &otherwise].into_iter().try_for_each(refuse_outside)?;
                let kind = self.types.join(&then.kind, &otherwise.kind).ok_or_else(|| {
                    let (then, otherwise) = (self.types.resolve(&then.kind), self.types.resolve(&otherwise.kind));
                    format!("both sides of ?: give values of one type or null, and not {then} and {otherwise}; string() and double() convert")
                })?;
                if matches!(&kind, Type::Optional(of) if matches!(self.types.resolve(of), Type::Quantity)) {
                    return Err(
                        "?: cannot give an optional quantity in Kubernetes; write .value() or .orValue() on both sides"
                            .into(),
                    );
                }
                let node = Node::Conditional(Box::new([condition.node, then.node, otherwise.node]));
                Ok(Operand::new(node, kind))
            }
            (name @ (operators::LOGICAL_AND | operators::LOGICAL_OR), None, [one, other]) => {
                let what = if name == operators::LOGICAL_AND { "&&" } else { "||" };
                let (one, other) = (self.condition(one, what, depth)?, self.condition(other, what, depth)?);
                let (one, other) = (Box::new(one.node), Box::new(other.node));
                let node = if what == "&&" { Node::And(one, other) } else { Node::Or(one, other) };
                Ok(Operand::new(node, Type::Bool))
            }
            (operators::OPT_SELECT, None, [of, field]) => {
                let of = self.visit(of, depth + 1)?;
                let field = literal(field).ok_or("a name stands behind .?")?.to_owned();
                let resolved = self.types.resolve(&of.kind);
                let kind = resolved.member(&field, &self.name(&of, &resolved))?;
                let kind = if matches!(kind, Type::Optional(_)) { kind } else { Type::optional(kind) };
                let node = Node::OptionalMember { of: Box::new(of.node), field };
                Ok(Operand { node, kind, outside: of.outside, place: None })
            }
            (name @ (operators::INDEX | operators::OPT_INDEX), None, [of, at]) => {
                let (of, at) = (self.visit(of, depth + 1)?, self.visit(at, depth + 1)?);
                self.index(of, at, name == operators::OPT_INDEX)
            }
            _ => call::visit(self, call, depth),
        }
    }

    /// A value that must be `true` or `false`.
    fn condition(&mut self, tree: &Tree, what: &str, depth: usize) -> Result<Operand, String> {
        let value = self.visit(tree, depth + 1)?;
        if self.types.takes(&[Type::Bool], std::slice::from_ref(&value.kind)) {
            Ok(value)
        } else {
            let kind = self.types.resolve(&value.kind);
            Err(format!("{what} needs true or false, and not {}", kind.with_article()))
        }
    }

    fn has(&mut self, tree: &Tree, depth: usize) -> Result<Operand, String> {
        let Expr::Select(select) = &tree.expr else {
            return Err("has() asks for a field: has(pod.spec.os); for a key write 'key' in pod.metadata.labels".into());
        };
        if let Some(path) = self.path(tree)? {
            if path.optional.is_some() {
                return Err(format!("has() and .? do not go together; write {path}.hasValue()"));
            }
            let input = Input {
                root: path.root,
                path: path.names,
                wanted: Wanted::Presence,
                double: false,
                is_key: path.is_key,
            };
            return Ok(Operand::new(self.read(input), Type::Bool));
        }
        let of = self.visit(&select.operand, depth + 1)?;
        let resolved = self.types.resolve(&of.kind);
        if matches!(resolved, Type::Optional(_)) {
            return Err("has() and .? do not go together; write .hasValue()".into());
        }
        resolved.member(&select.field, &self.name(&of, &resolved))?;
        let place = format!("{}{}", of.place(), step(&select.field));
        Ok(Operand::new(Node::Has { of: Box::new(of.node), field: select.field.clone(), place }, Type::Bool))
    }

    fn index(&mut self, of: Operand, at: Operand, is_optional: bool) -> Result<Operand, String> {
        // Looking something up copies nothing and takes the same time for every size.
        let resolved = self.types.resolve(&of.kind);
        let (inner, was_optional) = match &resolved {
            Type::Optional(inner) => (&**inner, true),
            other => (other.without_null(), false),
        };
        let (wanted, item) = match inner {
            Type::List(item) => (Type::Int, (**item).clone()),
            Type::Map(key, value) => ((**key).clone(), (**value).clone()),
            Type::Dyn | Type::Variable(_) => (Type::Dyn, Type::Dyn),
            Type::Object(object) => {
                return Err(format!(
                    "{} has fields and no keys; write .field or .?field",
                    crate::text::article(&object.name)
                ));
            }
            other => return Err(format!("{} has no items", other.with_article())),
        };
        if !self.types.takes(std::slice::from_ref(&wanted), std::slice::from_ref(&at.kind)) {
            let at = self.types.resolve(&at.kind);
            return Err(format!(
                "an item of {resolved} is found by {}, and not by {}",
                wanted.with_article(),
                at.with_article()
            ));
        }
        if matches!(at.node, Node::Null | Node::Duration(_)) {
            return Err("an item is found by a number or a text".into());
        }
        let written = match &at.node {
            Node::Int(at) => at.to_string(),
            Node::String(at) => format!("'{}'", at.escape_debug()),
            _ => at.place.clone().unwrap_or_else(|| "…".into()),
        };
        let place = format!("{}[{written}]", of.place());
        let kind = if is_optional || was_optional { Type::optional(item) } else { item };
        let (outside, is_place) = (of.outside, of.place.is_some());
        let (of, at) = (Box::new(of.node), Box::new(at.node));
        let node =
            if is_optional { Node::OptionalIndex { of, at } } else { Node::Index { of, at, place: place.clone() } };
        Ok(Operand { node, kind, outside, place: is_place.then_some(place) })
    }
}
