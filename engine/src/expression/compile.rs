//! One walk over an expression's tree, when it is loaded: what may stand there, what type and size each value has, and which
//! function each call is.
//!
//! Inside a comprehension a value from outside of it can only be compared: anything else could take the square of the
//! input.

use cel::common::ast::{CallExpr, EntryExpr, Expr, IdedEntryExpr, IdedExpr as Tree, ListExpr, LiteralValue, SelectExpr, operators};

use super::call;
use super::cost::{Cost, Growth};
use super::evaluate::{Comprehension, Entry, Kind, Node};
use super::path::{Path, literal};
use super::source::MAX_DEPTH;
use super::types::{Found, Scope, Type};
use super::variables::{Input, Root, Wanted, step};
use crate::text::{did_you_mean, nearest};

pub(super) const OUTSIDE: &str = "inside a comprehension, a value from outside of it can only be compared";

/// What became of a tree.
pub(super) struct Compiled {
    pub(super) node: Node,
    pub(super) inputs: Vec<Input>,
    pub(super) cost: Cost,
    pub(super) kind: Type,
}

/// Checks a tree, and finds what its names stand for.
pub(super) fn compile(tree: &Tree, scope: &Scope<'_>) -> Result<Compiled, String> {
    let mut compiler =
        Compiler { scope, items: Vec::new(), inputs: Vec::new(), cost: Cost::default(), found: Found::default() };
    let value = compiler.visit(tree, 0)?;
    compiler.cost.growth = compiler.cost.growth.or(value.growth);
    Ok(Compiled {
        kind: compiler.found.resolve(&value.kind),
        node: value.node,
        inputs: compiler.inputs,
        cost: compiler.cost,
    })
}

pub(super) struct Compiler<'a> {
    scope: &'a Scope<'a>,
    /// The variables of the comprehensions around the node at hand, the innermost last.
    items: Vec<Item>,
    inputs: Vec<Input>,
    pub(super) cost: Cost,
    pub(super) found: Found,
}

/// The variable of a comprehension.
struct Item {
    name: String,
    kind: Type,
    growth: Growth,
    /// Whether it stands for many values, one after the other.
    is_one_of_many: bool,
}

/// A step, and what is known of its value.
pub(super) struct Operand {
    pub(super) node: Node,
    pub(super) kind: Type,
    /// Whether it comes from outside of the innermost comprehension.
    pub(super) outside: bool,
    pub(super) growth: Growth,
    /// How it is written, if it is a path.
    pub(super) place: Option<String>,
}

impl Operand {
    /// A value so small that it does not matter where it comes from.
    pub(super) fn small(node: Node, kind: Type) -> Operand {
        Operand { node, kind, outside: false, growth: Growth::SMALL, place: None }
    }

    fn place(&self) -> String {
        self.place.clone().unwrap_or_else(|| "…".into())
    }
}

impl Compiler<'_> {
    pub(super) fn visit(&mut self, tree: &Tree, depth: usize) -> Result<Operand, String> {
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
                    let Item { name, kind, growth, .. } = &self.items[at];
                    Ok(Operand {
                        node: Node::Item(at),
                        kind: kind.clone(),
                        outside: self.items[at + 1..].iter().any(|item| item.is_one_of_many),
                        growth: *growth,
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
                let kind = kind.unwrap_or_else(|| self.found.fresh());
                Ok(self.list(entries, kind))
            }
            Expr::Map(map) => self.map(&map.entries, depth),
            Expr::Call(call) => self.visit_call(call, depth),
            Expr::Comprehension(_) => unreachable!("macros are not expanded"),
            Expr::Struct(_) | Expr::Unspecified => Err("types cannot be made here; write {'name': value}".into()),
        }
    }

    fn literal(&self, value: &LiteralValue) -> Result<Operand, String> {
        let (node, kind) = match value {
            LiteralValue::Null => (Node::Null, Type::Null),
            LiteralValue::Boolean(value) => (Node::Bool(*value.inner()), Type::Bool),
            LiteralValue::Int(number) => (Node::Int(*number.inner()), Type::Int),
            LiteralValue::Double(number) => (Node::Double(*number.inner()), Type::Double),
            LiteralValue::String(text) => (Node::String(text.inner().to_owned()), Type::String),
            LiteralValue::UInt(number) => return Err(format!("a pod knows no unsigned numbers; write {}", number.inner())),
            LiteralValue::Bytes(_) => return Err("bytes are not used in a pod; write a text without b".into()),
        };
        let mut operand = Operand::small(node, kind);
        // A text of the source can stand in a result once for each item.
        if let (Node::String(text), true) = (&operand.node, self.is_inside()) {
            operand.growth.bytes += text.len() as u64;
        }
        Ok(operand)
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
        let node = self.read(Input { root: path.root, path: path.names, wanted, double: matches!(kind.without_null(), Type::Double) });
        Ok(Operand {
            node,
            kind: if path.optional.is_some() { Type::optional(kind) } else { kind },
            outside: self.is_inside(),
            growth: Growth::INPUT,
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

    fn unknown_variable(&self, name: &str) -> String {
        let items = self.items.iter().map(|item| item.name.as_str());
        let hint = match name {
            _ if self.scope.parameters.contains_key(name) => format!("; did you mean params.{name}?"),
            _ => did_you_mean(nearest(name, items.chain(Root::ALL.map(Root::as_str)))),
        };
        format!("{name} is not a variable{hint}")
    }

    fn member(&self, of: Operand, field: &str) -> Result<Operand, String> {
        let resolved = self.found.resolve(&of.kind);
        let kind = resolved.member(field, &self.name(&of, &resolved))?;
        let place = format!("{}{}", of.place(), step(field));
        let node = Node::Member { of: Box::new(of.node), field: field.to_owned(), place: place.clone() };
        Ok(Operand { node, kind, outside: of.outside, growth: of.growth, place: of.place.map(|_| place) })
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
    pub(super) fn is_inside(&self) -> bool {
        self.items.iter().any(|item| item.is_one_of_many)
    }

    pub(super) fn entries(&mut self, list: &ListExpr, depth: usize) -> Result<Vec<(bool, Operand)>, String> {
        let mut entries = Vec::with_capacity(list.elements.len());
        for (at, element) in list.elements.iter().enumerate() {
            entries.push(self.entry(element, list.optional_indices.contains(&at), depth)?);
        }
        Ok(entries)
    }

    /// An item or value of a literal, and whether it is optional: its type is that of what it holds.
    fn entry(&mut self, tree: &Tree, is_optional: bool, depth: usize) -> Result<(bool, Operand), String> {
        let mut value = self.visit(tree, depth + 1)?;
        if value.outside {
            return Err(OUTSIDE.into());
        }
        if is_optional {
            value.kind = match self.found.resolve(&value.kind) {
                Type::Optional(of) => *of,
                Type::Dyn => Type::Dyn,
                other => return Err(format!("what stands behind ? must be optional, such as pod.?spec, and is {}", other.with_article())),
            };
        }
        Ok((is_optional, value))
    }

    fn join_items(&mut self, one: Option<Type>, other: &Type) -> Result<Type, String> {
        let Some(one) = one else { return Ok(other.clone()) };
        self.found.join(&one, other).ok_or_else(|| {
            let (one, other) = (self.found.resolve(&one), self.found.resolve(other));
            format!("a list holds values of one type, and not {one} and {other}; string() and double() convert")
        })
    }

    pub(super) fn list(&mut self, entries: Vec<(bool, Operand)>, kind: Type) -> Operand {
        let growth = entries.iter().map(|(_, entry)| entry.growth.held()).reduce(Growth::plus).unwrap_or(Growth::SMALL);
        let entries = entries.into_iter().map(|(is_optional, entry)| Entry { value: entry.node, is_optional }).collect();
        Operand { growth, ..Operand::small(Node::List(entries), Type::list(kind)) }
    }

    fn map(&mut self, entries: &[IdedEntryExpr], depth: usize) -> Result<Operand, String> {
        let (mut nodes, mut kinds, mut growth) = (Vec::new(), None::<(Type, Type)>, None::<Growth>);
        for entry in entries {
            let EntryExpr::MapEntry(entry) = &entry.expr else {
                unreachable!("an object that is written out has no fields of a type")
            };
            let (_, key) = self.entry(&entry.key, false, depth)?;
            let (is_optional, value) = self.entry(&entry.value, entry.optional, depth)?;
            let entry = key.growth.plus(value.growth.held());
            growth = Some(growth.map_or(entry, |growth| growth.plus(entry)));
            kinds = Some(match kinds {
                None => (key.kind, value.kind),
                Some((known, values)) => {
                    let keys = self.found.join(&known, &key.kind).ok_or("the keys of an object are of one type")?;
                    // Its values may be of several types: it is a part of a pod.
                    (keys, self.found.join(&values, &value.kind).unwrap_or(Type::Dyn))
                }
            });
            nodes.push((key.node, Entry { value: value.node, is_optional }));
        }
        let (key, value) = kinds.unwrap_or_else(|| (self.found.fresh(), self.found.fresh()));
        let key = self.found.resolve(&key);
        if !matches!(key, Type::String | Type::Int | Type::Bool | Type::Dyn | Type::Variable(_)) {
            return Err(format!("the key of an object is a string, and not {}", key.with_article()));
        }
        let kind = Type::Map(Box::new(key), Box::new(value));
        Ok(Operand { growth: growth.unwrap_or(Growth::SMALL), ..Operand::small(Node::Map(nodes), kind) })
    }

    fn visit_call(&mut self, call: &CallExpr, depth: usize) -> Result<Operand, String> {
        let arguments = call.args.as_slice();
        match (call.func_name.as_str(), call.target.as_deref(), arguments) {
            ("has", None, [of]) => self.has(of, depth),
            ("all" | "exists" | "exists_one" | "existsOne" | "filter" | "optMap" | "optFlatMap", Some(range), [name, body]) => {
                self.comprehension(&call.func_name, range, name, None, body, depth)
            }
            ("map", Some(range), [name, body]) => self.comprehension("map", range, name, None, body, depth),
            ("map", Some(range), [name, condition, body]) => {
                self.comprehension("map", range, name, Some(condition), body, depth)
            }
            (operators::CONDITIONAL, None, [condition, then, otherwise]) => {
                let condition = self.condition(condition, "the condition of ?:", depth)?;
                let (then, otherwise) = (self.visit(then, depth + 1)?, self.visit(otherwise, depth + 1)?);
                if condition.outside || then.outside || otherwise.outside {
                    return Err(OUTSIDE.into());
                }
                let kind = self.found.join(&then.kind, &otherwise.kind).ok_or_else(|| {
                    let (then, otherwise) = (self.found.resolve(&then.kind), self.found.resolve(&otherwise.kind));
                    format!("both sides of ?: give values of one type or null, and not {then} and {otherwise}; string() and double() convert")
                })?;
                let growth = then.growth.or(otherwise.growth);
                let node = Node::Conditional(Box::new([condition.node, then.node, otherwise.node]));
                Ok(Operand { growth, ..Operand::small(node, kind) })
            }
            (name @ (operators::LOGICAL_AND | operators::LOGICAL_OR), None, [one, other]) => {
                let what = if name == operators::LOGICAL_AND { "&&" } else { "||" };
                let (one, other) = (self.condition(one, what, depth)?, self.condition(other, what, depth)?);
                let (one, other) = (Box::new(one.node), Box::new(other.node));
                let node = if what == "&&" { Node::And(one, other) } else { Node::Or(one, other) };
                Ok(Operand::small(node, Type::Bool))
            }
            (operators::OPT_SELECT, None, [of, field]) => {
                let of = self.visit(of, depth + 1)?;
                let field = literal(field).ok_or("a name stands behind .?")?.to_owned();
                let resolved = self.found.resolve(&of.kind);
                let kind = resolved.member(&field, &self.name(&of, &resolved))?;
                let kind = if matches!(kind, Type::Optional(_)) { kind } else { Type::optional(kind) };
                let node = Node::OptionalMember { of: Box::new(of.node), field };
                Ok(Operand { node, kind, outside: of.outside, growth: of.growth, place: None })
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
        if self.found.takes(&[Type::Bool], std::slice::from_ref(&value.kind)) {
            Ok(value)
        } else {
            let kind = self.found.resolve(&value.kind);
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
            let input = Input { root: path.root, path: path.names, wanted: Wanted::Presence, double: false };
            return Ok(Operand::small(self.read(input), Type::Bool));
        }
        let of = self.visit(&select.operand, depth + 1)?;
        let resolved = self.found.resolve(&of.kind);
        if matches!(resolved, Type::Optional(_)) {
            return Err("has() and .? do not go together; write .hasValue()".into());
        }
        resolved.member(&select.field, &self.name(&of, &resolved))?;
        let place = format!("{}{}", of.place(), step(&select.field));
        Ok(Operand::small(Node::Has { of: Box::new(of.node), field: select.field.clone(), place }, Type::Bool))
    }

    fn index(&mut self, of: Operand, at: Operand, is_optional: bool) -> Result<Operand, String> {
        // Looking something up copies nothing and takes the same time for every size.
        let resolved = self.found.resolve(&of.kind);
        let (inner, was_optional) = match &resolved {
            Type::Optional(inner) => (&**inner, true),
            other => (other.without_null(), false),
        };
        let (wanted, item) = match inner {
            Type::List(item) => (Type::Int, (**item).clone()),
            Type::Map(key, value) => ((**key).clone(), (**value).clone()),
            Type::Dyn | Type::Variable(_) => (Type::Dyn, Type::Dyn),
            Type::Object(object) => {
                return Err(format!("{} has fields and no keys; write .field or .?field", crate::text::article(&object.name)));
            }
            other => return Err(format!("{} has no items", other.with_article())),
        };
        if !self.found.takes(std::slice::from_ref(&wanted), std::slice::from_ref(&at.kind)) {
            let at = self.found.resolve(&at.kind);
            return Err(format!("an item of {resolved} is found by {}, and not by {}", wanted.with_article(), at.with_article()));
        }
        let written = match &at.node {
            Node::Int(at) => at.to_string(),
            Node::String(at) => format!("'{}'", at.escape_debug()),
            _ => at.place.clone().unwrap_or_else(|| "…".into()),
        };
        let place = format!("{}[{written}]", of.place());
        let kind = if is_optional || was_optional { Type::optional(item) } else { item };
        let (outside, growth, is_place) = (of.outside, of.growth, of.place.is_some());
        let (of, at) = (Box::new(of.node), Box::new(at.node));
        let node = if is_optional {
            Node::OptionalIndex { of, at }
        } else {
            Node::Index { of, at, place: place.clone() }
        };
        Ok(Operand { node, kind, outside, growth, place: is_place.then_some(place) })
    }

    fn comprehension(
        &mut self,
        name: &str,
        range: &Tree,
        variable: &Tree,
        condition: Option<&Tree>,
        body: &Tree,
        depth: usize,
    ) -> Result<Operand, String> {
        let Expr::Ident(variable) = &variable.expr else {
            return Err(format!("{name}() begins with a name for the item: {name}(item, …)"));
        };
        let range = self.visit(range, depth + 1)?;
        if range.outside {
            return Err("a comprehension inside another can only go through the item at hand".into());
        }
        let resolved = self.found.resolve(&range.kind);
        let is_optional_map = name.starts_with("opt");
        let item = match resolved.without_null() {
            Type::Optional(of) if is_optional_map => (**of).clone(),
            Type::Dyn | Type::Variable(_) => Type::Dyn,
            Type::List(item) if !is_optional_map => (**item).clone(),
            Type::Map(key, _) if !is_optional_map => (**key).clone(),
            Type::Optional(_) => return Err(format!("{name}() needs a list, and not an optional one; write .orValue([])")),
            other => {
                let needs = if is_optional_map { "an optional value" } else { "a list, or an object whose keys it goes through" };
                return Err(format!("{name}() needs {needs}, and not {}", other.with_article()));
            }
        };
        // Names in a pod may be shown; a parameter's need not be.
        let of_pod = |place: &String| !place.starts_with(Root::Params.as_str());
        let items = range.place.clone().filter(of_pod).filter(|_| matches!(item, Type::Object(_) | Type::String));
        let growth = range.growth;
        self.items.push(Item { name: variable.clone(), kind: item.clone(), growth, is_one_of_many: !is_optional_map });
        let condition = condition.map(|condition| self.condition(condition, "map()", depth)).transpose()?;
        let body = match name {
            "map" | "optMap" | "optFlatMap" => {
                let body = self.visit(body, depth + 1)?;
                if body.outside {
                    return Err(OUTSIDE.into());
                }
                body
            }
            _ => self.condition(body, &format!("{name}()"), depth)?,
        };
        self.items.pop();
        self.cost.steps = self.cost.steps.max(u64::from(!is_optional_map));
        self.cost.growth = self.cost.growth.or(range.growth).or(body.growth);
        let mapped = body.growth.held().times(growth);
        let (kind, kind_of_value, growth) = match name {
            "all" => (Kind::All, Type::Bool, Growth::SMALL),
            "exists" => (Kind::Exists, Type::Bool, Growth::SMALL),
            "exists_one" | "existsOne" => (Kind::ExistsOne, Type::Bool, Growth::SMALL),
            "filter" => (Kind::Filter, Type::list(item), growth),
            "map" => (Kind::Map(condition.map(|condition| condition.node)), Type::list(body.kind.clone()), mapped),
            "optMap" => (Kind::OptionalMap { is_flat: false }, Type::optional(body.kind.clone()), mapped),
            _ => {
                let kind = self.found.resolve(&body.kind);
                if !matches!(kind, Type::Optional(_) | Type::Dyn) {
                    return Err(format!("optFlatMap() needs an optional value, and not {}; write optMap()", kind.with_article()));
                }
                (Kind::OptionalMap { is_flat: true }, kind, mapped)
            }
        };
        self.cost.growth = self.cost.growth.or(growth);
        let node = Node::Comprehension(Box::new(Comprehension { kind, range: range.node, body: body.node, items }));
        // What it gives is new, and so no longer from outside of a comprehension around it.
        Ok(Operand { growth, ..Operand::small(node, kind_of_value) })
    }
}
