//! One walk over an expression's tree, when it is loaded: what may stand there, what type and size each value has, and
//! variables in place of paths.
//!
//! Inside a comprehension a value from outside of it can only be compared: anything else could take the square of the
//! input.

use kube_cel::cel::common::ast::{CallExpr, ComprehensionExpr, EntryExpr, Expr, LiteralValue, operators};
use kube_cel::cel::parser::Expression as Tree;

use super::cost::Cost;
use super::path::{optional_of_item, path_of};
use super::source::MAX_DEPTH;
use super::typing::{Scope, Shape};
use super::variables::{Input, Root, Wanted};
use crate::text::{did_you_mean, nearest};

/// Begins the names of our variables and of those in the crate's macros. No identifier of a source can.
const MARK: char = '@';
const OUTSIDE: &str = "inside a comprehension, a value from outside of it can only be compared";

/// The name of the variable for an input.
pub(super) fn variable(at: usize) -> String {
    format!("{MARK}{at}")
}

/// Checks a tree and puts variables in place of its paths. Gives the inputs that these stand for, the cost, and the type of
/// the result.
pub(super) fn compile(tree: &mut Tree, scope: &Scope<'_>) -> Result<(Vec<Input>, Cost, Shape), String> {
    let mut compiler = Compiler { scope, items: Vec::new(), inputs: Vec::new(), cost: Cost::default() };
    let value = compiler.visit(tree, 0)?;
    compiler.cost.growth = compiler.cost.growth.max(value.growth);
    Ok((compiler.inputs, compiler.cost, value.shape))
}

struct Compiler<'a> {
    scope: &'a Scope<'a>,
    /// The variables of the comprehensions around the node at hand, the innermost last.
    items: Vec<(String, Summary)>,
    inputs: Vec<Input>,
    cost: Cost,
}

/// What is known of a value.
#[derive(Clone, Copy)]
struct Summary {
    /// Whether it comes from outside of the innermost comprehension.
    outside: bool,
    /// Its size, as a multiple of the input.
    growth: u64,
    shape: Shape,
}

impl Summary {
    /// A value so small that it does not matter where it comes from.
    fn small(shape: Shape) -> Summary {
        Summary { outside: false, growth: 1, shape }
    }
}

impl Compiler<'_> {
    fn visit(&mut self, tree: &mut Tree, depth: usize) -> Result<Summary, String> {
        if depth > MAX_DEPTH {
            return Err(format!("an expression may be {MAX_DEPTH} operators deep"));
        }
        if let Some(summary) = self.visit_path(tree, Wanted::Value)? {
            return Ok(summary);
        }
        match &mut tree.expr {
            Expr::Literal(LiteralValue::Bytes(_)) => Err("bytes are not used in a pod".into()),
            Expr::Literal(LiteralValue::Boolean(_)) => Ok(Summary::small(Shape::Unknown)),
            // A text of the source can stand in a result once for each item.
            Expr::Literal(LiteralValue::String(text)) if !self.items.is_empty() => {
                Ok(Summary { growth: 1 + text.inner().len() as u64, ..Summary::small(Shape::Other) })
            }
            Expr::Literal(_) => Ok(Summary::small(Shape::Other)),
            Expr::Select(select) => {
                let operand = self.visit(&mut select.operand, depth + 1)?;
                let shape = operand.shape.member(&select.field, &operand.shape.name())?;
                Ok(if select.test { Summary::small(Shape::Unknown) } else { Summary { shape, ..operand } })
            }
            Expr::List(list) => self.visit_parts(list.elements.iter_mut().collect(), Shape::List, depth),
            Expr::Map(map) => {
                let parts = map.entries.iter_mut().flat_map(|entry| match &mut entry.expr {
                    EntryExpr::MapEntry(entry) => [&mut entry.key, &mut entry.value],
                    EntryExpr::StructField(_) => unreachable!("an object that is written out has no fields of a type"),
                });
                self.visit_parts(parts.collect(), Shape::Other, depth)
            }
            Expr::Comprehension(comprehension) => self.visit_comprehension(comprehension, depth),
            Expr::Call(call) => self.visit_call(call, depth),
            Expr::Ident(name) => Err(self.unknown_variable(name)),
            Expr::Struct(_) | Expr::Unspecified => Err("types cannot be made here".into()),
        }
    }

    /// Replaces a path by the variable for what it names. `wanted` is what of it, unless the path says so itself.
    fn visit_path(&mut self, tree: &mut Tree, wanted: Wanted) -> Result<Option<Summary>, String> {
        let Some(path) = path_of(tree) else { return Ok(None) };
        let wanted = if path.wanted == Wanted::Value { wanted } else { path.wanted };
        let summary = if path.root.starts_with(MARK) {
            // A macro's result so far. Only the macro's own operators use it.
            Summary { growth: 0, ..Summary::small(Shape::Unknown) }
        } else if let Some(at) = self.items.iter().rposition(|(name, _)| *name == path.root) {
            let item = self.items[at].1;
            let shape = path.names.iter().try_fold(item.shape, |shape, name| shape.member(name, &path.root))?;
            if let Wanted::Optional { from } = wanted {
                *tree = optional_of_item(&path, from);
            }
            Summary { outside: at + 1 < self.items.len(), shape, ..item }
        } else if let Some(root) = Root::ALL.into_iter().find(|root| root.as_str() == path.root) {
            let shape = match self.scope.shape(root, &path.names)? {
                shape if wanted == Wanted::Items && !shape.is_list() => Shape::List,
                shape => shape,
            };
            let input = Input { root, path: path.names, wanted };
            let at = self.inputs.iter().position(|known| *known == input).unwrap_or(self.inputs.len());
            if at == self.inputs.len() {
                self.inputs.push(input);
            }
            tree.expr = Expr::Ident(variable(at));
            Summary { outside: !self.items.is_empty(), growth: 1, shape }
        } else {
            return Ok(None);
        };
        Ok(Some(if wanted == Wanted::Presence { Summary::small(Shape::Unknown) } else { summary }))
    }

    fn unknown_variable(&self, name: &str) -> String {
        let items = self.items.iter().map(|(name, _)| name.as_str());
        let hint = match name {
            _ if self.scope.parameters.contains_key(name) => format!("; did you mean params.{name}?"),
            "namespace" => did_you_mean(Some("namespaceObject")),
            _ => did_you_mean(nearest(name, items.chain(Root::ALL.map(Root::as_str)))),
        };
        format!("{name} is not a variable{hint}")
    }

    /// The parts of a list or object literal.
    fn visit_parts(&mut self, parts: Vec<&mut Tree>, shape: Shape, depth: usize) -> Result<Summary, String> {
        let mut whole = Summary::small(shape);
        for part in parts {
            let part = self.visit(part, depth + 1)?;
            if part.outside {
                return Err(OUTSIDE.into());
            }
            self.cost.built += 1;
            whole.growth = whole.growth.saturating_add(part.growth);
        }
        Ok(whole)
    }

    fn visit_comprehension(&mut self, tree: &mut ComprehensionExpr, depth: usize) -> Result<Summary, String> {
        let range = match self.visit_path(&mut tree.iter_range, Wanted::Items)? {
            Some(range) => range,
            None => self.visit(&mut tree.iter_range, depth + 1)?,
        };
        if range.outside {
            return Err("a comprehension inside another can only go through the item at hand".into());
        }
        let gathers = matches!(tree.accu_init.expr, Expr::List(_));
        if gathers && !range.shape.is_list() {
            return Err("map() and filter() need a list here: the order of an object's keys is not fixed".into());
        }
        self.items.push((tree.iter_var.clone(), Summary { shape: range.shape.item(), ..range }));
        let body = self.visit(&mut tree.loop_step, depth + 1)?;
        self.items.pop();
        self.cost.steps = self.cost.steps.max(1);
        self.cost.gathers |= gathers;
        self.cost.growth = self.cost.growth.max(body.growth);
        Ok(if gathers {
            Summary { growth: body.growth.saturating_mul(range.growth.max(1)), ..Summary::small(Shape::List) }
        } else {
            Summary::small(Shape::Unknown)
        })
    }

    fn visit_call(&mut self, call: &mut CallExpr, depth: usize) -> Result<Summary, String> {
        let mut name = call.func_name.clone();
        let mut operands = Vec::with_capacity(call.args.len() + 1);
        match call.target.as_deref_mut() {
            // optional.of(x) is a function of that name, not a method of a variable.
            Some(Tree { expr: Expr::Ident(target), .. }) if target == "optional" || target == "strings" => {
                name = format!("{target}.{name}");
            }
            Some(target) => operands.push(self.visit(target, depth + 1)?),
            None => {}
        }
        for argument in &mut call.args {
            operands.push(self.visit(argument, depth + 1)?);
        }
        let outside = operands.iter().filter(|operand| operand.outside).count();
        let growth = operands.iter().fold(0_u64, |sum, operand| sum.saturating_add(operand.growth)).max(1);
        let (growth, shape) = match name.as_str() {
            operators::EQUALS
            | operators::NOT_EQUALS
            | operators::LESS
            | operators::LESS_EQUALS
            | operators::GREATER
            | operators::GREATER_EQUALS => {
                return if outside > 1 { Err(OUTSIDE.into()) } else { Ok(Summary::small(Shape::Unknown)) };
            }
            operators::LOGICAL_AND | operators::LOGICAL_OR | operators::LOGICAL_NOT | operators::NOT_STRICTLY_FALSE => {
                return Ok(Summary::small(Shape::Unknown));
            }
            // Looking something up copies nothing and takes the same time for every size.
            operators::INDEX | operators::OPT_INDEX => {
                return Ok(Summary { shape: operands[0].shape.item(), ..operands[0] });
            }
            operators::CONDITIONAL => {
                (operands[1].growth.max(operands[2].growth), operands[1].shape.or(operands[2].shape))
            }
            operators::ADD if operands.iter().all(|operand| operand.shape.is_list()) => (growth, Shape::List),
            operators::ADD => (growth, Shape::Other),
            operators::SUBSTRACT | operators::MULTIPLY | operators::DIVIDE | operators::MODULO => (1, Shape::Other),
            // The crate takes `-true` for `false`.
            operators::IN | operators::NEGATE => (1, Shape::Unknown),
            operators::OPT_SELECT => (growth, Shape::Unknown),
            function => self.cost.of_function(function, &call.args, growth, !self.items.is_empty())?,
        };
        if outside > 0 {
            return Err(OUTSIDE.into());
        }
        self.cost.growth = self.cost.growth.max(growth);
        Ok(Summary { outside: false, growth, shape })
    }
}
