//! What an expression may say, decided when it is loaded.

use std::collections::BTreeMap;
use std::panic::catch_unwind;

use kube_cel::cel::common::ast::{CallExpr, ComprehensionExpr, EntryExpr, Expr, LiteralValue, operators};
use kube_cel::cel::parser::{Expression as Tree, Parser};

use super::path::{Path, literal, optional_of_item, path_of};
use super::{Cost, Input, Root, Wanted};
use crate::schema::{Schema, Type};
use crate::{did_you_mean, nearest};

/// The longest source. The crate's parser needs stack in proportion to it.
const MAX_SOURCE: usize = 1024;
/// How deep brackets may nest. Each level takes the parser some twenty calls.
const MAX_BRACKETS: usize = 16;
/// How deep the tree may be: so many operators in a row, for example.
const MAX_DEPTH: usize = 48;
/// Steps of a comprehension that one use of a regular expression counts for.
const REGEX_STEPS: u64 = 200;

/// The names that an expression may use.
#[derive(Debug)]
pub struct Scope<'a> {
    /// The template's parameters and whether each is a list.
    pub parameters: BTreeMap<&'a str, bool>,
    /// Whether `container` is there: inside `app`.
    pub container: bool,
}

/// Functions whose result is small, whatever they work on.
#[rustfmt::skip]
const TO_SCALARS: &[&str] = &[
    "size", "startsWith", "endsWith", "contains", "int", "double", "isQuantity", "isInteger", "asInteger",
    "asApproximateFloat", "sign", "compareTo", "isGreaterThan", "isLessThan", "indexOf", "lastIndexOf", "isSorted", "sum",
    "hasValue", "quantity", "add", "sub",
];
/// Functions whose result is no larger than what they work on.
#[rustfmt::skip]
const TO_PARTS: &[&str] = &[
    "string", "lowerAscii", "upperAscii", "trim", "substring", "charAt", "min", "max", "first", "last", "value", "or",
    "orValue", "optional.of", "optional.none",
];
/// The same, and it is a list.
const TO_LISTS: &[&str] = &["sort", "reverse", "slice", "flatten"];
/// Functions with a rule of their own, in `visit_function`.
const WITH_RULES: &[&str] = &["matches", "find", "findAll", "split", "join", "replace", "strings.quote"];
/// What stands before some functions' names as if it were a variable.
const NAMESPACES: &[&str] = &["optional", "strings"];

/// Why an expression was refused.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{0}")]
pub struct Invalid(String);

fn invalid<T>(message: impl Into<String>) -> Result<T, Invalid> {
    Err(Invalid(message.into()))
}

pub(super) fn check(source: &str, scope: &Scope<'_>) -> Result<(Tree, Vec<Input>, Cost), Invalid> {
    if source.len() > MAX_SOURCE {
        return invalid(format!("an expression may have {MAX_SOURCE} bytes, and this one has {}", source.len()));
    }
    if source.trim().is_empty() {
        return invalid("it is empty");
    }
    if brackets(source) > MAX_BRACKETS {
        return invalid(format!("brackets may nest {MAX_BRACKETS} deep"));
    }
    // The parser panics on some texts that it cannot read, such as a lone quote.
    let parse = || Parser::new().enable_optional_syntax(true).max_recursion_depth(MAX_DEPTH as u16).parse(source);
    let mut tree = match catch_unwind(parse) {
        Ok(Ok(tree)) => tree,
        Ok(Err(errors)) => return invalid(parse_error(&errors.to_string())),
        Err(_) => return invalid("syntax error"),
    };
    let mut checker = Checker { scope, bound: Vec::new(), inputs: Vec::new(), cost: Cost::default() };
    let value = checker.visit(&mut tree, 0)?;
    checker.cost.growth = checker.cost.growth.max(value.growth);
    Ok((tree, checker.inputs, checker.cost))
}

/// How deep brackets nest outside strings; an unclosed one is left to the parser.
fn brackets(source: &str) -> usize {
    let (mut depth, mut deepest) = (0_usize, 0);
    let mut quote = None;
    let mut characters = source.chars();
    while let Some(character) = characters.next() {
        match (quote, character) {
            (Some(_), '\\') => drop(characters.next()),
            (Some(open), _) if character == open => quote = None,
            (Some(_), _) => {}
            (None, '"' | '\'') => quote = Some(character),
            (None, '(' | '[' | '{') => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            (None, ')' | ']' | '}') => depth = depth.saturating_sub(1),
            (None, _) => {}
        }
    }
    deepest
}

/// The first of the parser's messages, without its drawing of the place: an expression is one line of a template.
fn parse_error(message: &str) -> String {
    let first = message.lines().find(|line| line.starts_with("ERROR")).or(message.lines().next()).unwrap_or_default();
    let reason = first.rsplit_once("Syntax error: ").map_or(first, |(_, reason)| reason);
    // The words of the parser's generator.
    if reason.contains("input '<EOF>'") {
        return "it ends too early".into();
    }
    if let Some(text) = reason.strip_prefix("token recognition error at: ") {
        return format!("syntax error at {text}");
    }
    if let Some((input, _)) = reason.split_once(" expecting ") {
        return format!("syntax error: {input}");
    }
    format!("syntax error: {reason}")
}

/// Where a value comes from, as seen from the innermost comprehension.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Origin {
    /// From the expression's own text, or so small that it does not matter.
    Constant,
    /// From the item at hand.
    Item,
    /// From outside of the comprehension: using it for every item could take the square of the input.
    Outside,
}

/// What is known of a value's type.
#[derive(Clone, Copy)]
enum Shape {
    Known(&'static Type),
    Object(&'static str),
    List,
    Unknown,
}

/// What is known of a value.
#[derive(Clone, Copy)]
struct Summary {
    origin: Origin,
    growth: u64,
    shape: Shape,
}

impl Summary {
    const SCALAR: Summary = Summary { origin: Origin::Constant, growth: 1, shape: Shape::Unknown };

    fn list(self) -> Summary {
        Summary { shape: Shape::List, ..self }
    }
}

impl Shape {
    fn of(kind: &'static Type) -> Shape {
        match kind {
            Type::Ref { name } => Shape::Object(name),
            other => Shape::Known(other),
        }
    }

    /// The shape of a member, or the names that a member can have when this one is not among them.
    fn member(self, name: &str) -> Result<Shape, Option<String>> {
        match self {
            Shape::Object(object) => match Schema::get().object(object).fields.get(name) {
                Some(kind) => Ok(Shape::of(kind)),
                None => Err(Schema::get().object(object).nearest(name).map(str::to_owned)),
            },
            Shape::Known(Type::Map { value }) => Ok(Shape::of(value)),
            Shape::Known(_) | Shape::List => Err(None),
            Shape::Unknown => Ok(Shape::Unknown),
        }
    }

    /// What it is called in messages.
    fn name(self) -> String {
        match self {
            Shape::Object(object) => {
                format!("{} {object}", if object.starts_with(['A', 'E', 'I', 'O', 'U']) { "an" } else { "a" })
            }
            Shape::List | Shape::Known(Type::List { .. }) => "a list".to_owned(),
            Shape::Known(_) | Shape::Unknown => "a value".to_owned(),
        }
    }

    fn item(self) -> Shape {
        match self {
            Shape::Known(Type::List { item, .. }) => Shape::of(item),
            Shape::Known(Type::Map { value }) => Shape::of(value),
            _ => Shape::Unknown,
        }
    }

    fn is_list(self) -> bool {
        matches!(self, Shape::List | Shape::Known(Type::List { .. }))
    }
}

/// A comprehension's variable.
struct Bound {
    name: String,
    /// How many comprehensions are around its use.
    level: usize,
    shape: Shape,
    growth: u64,
}

struct Checker<'a> {
    scope: &'a Scope<'a>,
    bound: Vec<Bound>,
    inputs: Vec<Input>,
    cost: Cost,
}

impl Checker<'_> {
    fn visit(&mut self, tree: &mut Tree, depth: usize) -> Result<Summary, Invalid> {
        if depth > MAX_DEPTH {
            return invalid(format!("an expression may be {MAX_DEPTH} operators deep"));
        }
        if let Some(summary) = self.visit_path(tree)? {
            return Ok(summary);
        }
        match &mut tree.expr {
            Expr::Literal(LiteralValue::Bytes(_)) => invalid("bytes are not used in a pod"),
            Expr::Literal(LiteralValue::String(text)) => {
                Ok(Summary { growth: self.repeated(text.inner().len()), ..Summary::SCALAR })
            }
            Expr::Literal(_) => Ok(Summary::SCALAR),
            Expr::Ident(name) => self.unknown_variable(name),
            Expr::Select(select) => {
                let operand = self.visit(&mut select.operand, depth + 1)?;
                let shape = operand
                    .shape
                    .member(&select.field)
                    .map_err(|near| no_field(&operand.shape.name(), &select.field, near))?;
                Ok(if select.test { Summary::SCALAR } else { Summary { shape, ..operand } })
            }
            Expr::List(list) => {
                let mut whole = Summary::SCALAR.list();
                for element in &mut list.elements {
                    whole = self.join(whole, element, depth)?;
                }
                Ok(whole.list())
            }
            Expr::Map(map) => {
                let mut whole = Summary::SCALAR;
                for entry in &mut map.entries {
                    let EntryExpr::MapEntry(entry) = &mut entry.expr else {
                        return invalid("types cannot be made here");
                    };
                    whole = self.join(whole, &mut entry.key, depth)?;
                    whole = self.join(whole, &mut entry.value, depth)?;
                }
                Ok(whole)
            }
            Expr::Comprehension(comprehension) => self.visit_comprehension(comprehension, depth),
            Expr::Call(call) => self.visit_call(call, depth),
            Expr::Struct(_) | Expr::Unspecified => invalid("types cannot be made here"),
        }
    }

    /// A value that becomes part of a larger one.
    fn join(&mut self, whole: Summary, part: &mut Tree, depth: usize) -> Result<Summary, Invalid> {
        let part = self.visit(part, depth + 1)?;
        self.inside_only(part)?;
        self.cost.built += 1;
        Ok(Summary {
            origin: whole.origin.max(part.origin),
            growth: whole.growth.saturating_add(part.growth),
            shape: Shape::Unknown,
        })
    }

    /// How often a text of the source can stand in a result, for each byte of input.
    fn repeated(&self, length: usize) -> u64 {
        if self.level() > 0 { 1 + length as u64 } else { 1 }
    }

    fn level(&self) -> usize {
        self.bound.last().map_or(0, |bound| bound.level)
    }

    fn inside_only(&self, value: Summary) -> Result<(), Invalid> {
        if value.origin == Origin::Outside {
            return invalid("inside a comprehension, a value from outside of it can only be compared");
        }
        Ok(())
    }

    /// Takes a path from a variable for what it names as a whole, so that nothing more is ever converted.
    fn visit_path(&mut self, tree: &mut Tree) -> Result<Option<Summary>, Invalid> {
        let (path, wanted) = match &tree.expr {
            Expr::Select(select) if select.test => match path_of(&select.operand) {
                Some(mut path) if path.optional_from.is_none() => {
                    path.names.push(select.field.clone());
                    (path, Wanted::Presence)
                }
                _ => return Ok(None),
            },
            _ => match path_of(tree) {
                Some(path) => {
                    let wanted = path.optional_from.map_or(Wanted::Value, |from| Wanted::Optional { from });
                    (path, wanted)
                }
                None => return Ok(None),
            },
        };
        if let Some(bound) = self.bound.iter().rev().find(|bound| bound.name == path.root) {
            let origin = if bound.level < self.level() { Origin::Outside } else { Origin::Item };
            let mut shape = bound.shape;
            for name in &path.names {
                shape = shape.member(name).map_err(|near| no_field(&path.root, name, near))?;
            }
            let summary = Summary { origin, growth: bound.growth, shape };
            if let Some(from) = path.optional_from {
                *tree = optional_of_item(&path, from);
            }
            return Ok(Some(if wanted == Wanted::Presence { Summary::SCALAR } else { summary }));
        }
        let Some(root) = Root::ALL.into_iter().find(|root| root.as_str() == path.root) else {
            return Ok(None);
        };
        let shape = self.visit_root(root, &path)?;
        tree.expr = Expr::Ident(self.input(root, path.names, wanted));
        if wanted == Wanted::Presence {
            return Ok(Some(Summary::SCALAR));
        }
        let origin = if self.level() > 0 { Origin::Outside } else { Origin::Item };
        Ok(Some(Summary { origin, growth: 1, shape }))
    }

    fn visit_root(&self, root: Root, path: &Path) -> Result<Shape, Invalid> {
        let names = match root {
            Root::Params => {
                let Some((name, rest)) = path.names.split_first() else {
                    return invalid("name a parameter: params.NAME");
                };
                let Some(&is_list) = self.scope.parameters.get(name.as_str()) else {
                    let near = nearest(name, self.scope.parameters.keys().copied());
                    return invalid(format!("parameter {name} is not declared{}", did_you_mean(near)));
                };
                return Ok(if is_list && rest.is_empty() { Shape::List } else { Shape::Unknown });
            }
            Root::Container if !self.scope.container => {
                return invalid("container is only known inside app");
            }
            // Servers watch the metadata of namespaces alone.
            Root::NamespaceObject => {
                return match path.names.first().map(String::as_str) {
                    None | Some("metadata" | "apiVersion" | "kind") => Ok(Shape::Unknown),
                    Some(_) => invalid("namespaceObject has metadata alone: its name, labels and annotations"),
                };
            }
            Root::Pod | Root::Container => &path.names,
        };
        let mut shape = Shape::Object(if root == Root::Pod { "Pod" } else { "Container" });
        let mut so_far = root.as_str().to_owned();
        for name in names {
            shape = shape.member(name).map_err(|near| no_field(&so_far, name, near))?;
            so_far = format!("{so_far}.{name}");
        }
        Ok(shape)
    }

    /// The variable that stands for an input.
    fn input(&mut self, root: Root, path: Vec<String>, wanted: Wanted) -> String {
        if let Some(known) =
            self.inputs.iter().find(|input| input.root == root && input.path == path && input.wanted == wanted)
        {
            return known.variable.clone();
        }
        // No identifier of a source can begin with this character.
        let variable = format!("@{}", self.inputs.len());
        self.inputs.push(Input { variable: variable.clone(), root, path, wanted });
        variable
    }

    fn unknown_variable<T>(&self, name: &str) -> Result<T, Invalid> {
        let bound = self.bound.iter().map(|bound| bound.name.as_str());
        let known = bound.chain(Root::ALL.iter().map(|root| root.as_str()));
        if self.scope.parameters.contains_key(name) {
            return invalid(format!("{name} is not a variable; did you mean params.{name}?"));
        }
        let near = if name == "namespace" { Some("namespaceObject") } else { nearest(name, known) };
        invalid(format!("{name} is not a variable{}", did_you_mean(near)))
    }

    fn visit_comprehension(&mut self, tree: &mut ComprehensionExpr, depth: usize) -> Result<Summary, Invalid> {
        if tree.iter_var2.is_some() {
            return invalid("a comprehension has one variable here");
        }
        let range = self.visit_range(&mut tree.iter_range, depth + 1)?;
        if range.origin == Origin::Outside {
            return invalid("a comprehension inside another can only go through the item at hand");
        }
        let gathers = matches!(tree.accu_init.expr, Expr::List(_));
        if gathers && !range.shape.is_list() {
            return invalid("map() and filter() need a list here: the order of an object's keys is not fixed");
        }
        let level = self.level() + 1;
        let (item, result) = (tree.iter_var.clone(), tree.accu_var.clone());
        self.bound.push(Bound { name: item, level, shape: range.shape.item(), growth: range.growth });
        // The result so far is only ever an operand of the macro's own operators.
        self.bound.push(Bound { name: result, level, shape: Shape::Unknown, growth: 0 });
        let body = self.visit(&mut tree.loop_step, depth + 1);
        self.bound.truncate(self.bound.len() - 2);
        let body = body?;
        self.cost.steps = self.cost.steps.max(1);
        self.cost.gathers |= gathers;
        self.grow(body.growth);
        let origin = if self.level() > 0 { Origin::Item } else { range.origin };
        let growth = if gathers { body.growth.saturating_mul(range.growth.max(1)) } else { 1 };
        let shape = match (gathers, range.shape) {
            (true, _) => Shape::List,
            (false, _) => Shape::Unknown,
        };
        Ok(Summary { origin, growth, shape })
    }

    /// What a comprehension goes through. An object that is named by a path gives its keys in their order.
    fn visit_range(&mut self, tree: &mut Tree, depth: usize) -> Result<Summary, Invalid> {
        let before = self.inputs.len();
        let summary = self.visit(tree, depth)?;
        let Expr::Ident(name) = &tree.expr else { return Ok(summary) };
        let Some(at) = self.inputs.iter().position(|input| input.variable == *name && input.wanted == Wanted::Value)
        else {
            return Ok(summary);
        };
        let (root, path) = (self.inputs[at].root, self.inputs[at].path.clone());
        if at >= before {
            self.inputs.truncate(before);
        }
        tree.expr = Expr::Ident(self.input(root, path, Wanted::Items));
        let item = match summary.shape {
            Shape::Known(Type::List { .. }) | Shape::List => return Ok(summary),
            _ => Shape::List,
        };
        Ok(Summary { shape: item, ..summary })
    }

    fn grow(&mut self, growth: u64) {
        self.cost.growth = self.cost.growth.max(growth);
    }

    fn visit_call(&mut self, call: &mut CallExpr, depth: usize) -> Result<Summary, Invalid> {
        let literals: Vec<Option<String>> = call.args.iter().map(literal).collect();
        // optional.of(x) is a function of that name, not a method of a variable.
        let namespace = call.target.as_ref().and_then(|target| match &target.expr {
            Expr::Ident(name) if NAMESPACES.contains(&name.as_str()) => Some(name.clone()),
            _ => None,
        });
        let mut operands = Vec::with_capacity(call.args.len() + 1);
        if let Some(target) = call.target.as_mut().filter(|_| namespace.is_none()) {
            operands.push(self.visit(target, depth + 1)?);
        }
        for argument in &mut call.args {
            operands.push(self.visit(argument, depth + 1)?);
        }
        let outside = operands.iter().filter(|operand| operand.origin == Origin::Outside).count();
        let origin = operands.iter().map(|operand| operand.origin).max().unwrap_or(Origin::Constant);
        let whole = operands.iter().fold(0_u64, |sum, operand| sum.saturating_add(operand.growth)).max(1);
        let summary = match call.func_name.as_str() {
            operators::EQUALS
            | operators::NOT_EQUALS
            | operators::LESS
            | operators::LESS_EQUALS
            | operators::GREATER
            | operators::GREATER_EQUALS => {
                if outside > 1 {
                    self.inside_only(operands[0])?;
                }
                return Ok(Summary::SCALAR);
            }
            operators::LOGICAL_AND | operators::LOGICAL_OR | operators::LOGICAL_NOT | operators::NOT_STRICTLY_FALSE => {
                return Ok(Summary::SCALAR);
            }
            // Looking something up copies nothing and takes the same time for every size.
            operators::INDEX | operators::OPT_INDEX => {
                let shape = operands[0].shape.item();
                return Ok(Summary { shape, ..operands[0] });
            }
            operators::CONDITIONAL => {
                self.inside_only(operands[1])?;
                self.inside_only(operands[2])?;
                let shape = if operands[1].shape.is_list() && operands[2].shape.is_list() {
                    Shape::List
                } else {
                    Shape::Unknown
                };
                Summary { origin, growth: operands[1].growth.max(operands[2].growth), shape }
            }
            operators::ADD => {
                let shape =
                    if operands.iter().all(|operand| operand.shape.is_list()) { Shape::List } else { Shape::Unknown };
                Summary { origin, growth: whole, shape }
            }
            operators::SUBSTRACT
            | operators::MULTIPLY
            | operators::DIVIDE
            | operators::MODULO
            | operators::NEGATE
            | operators::IN => Summary { origin, ..Summary::SCALAR },
            operators::OPT_SELECT => Summary { origin, growth: whole, shape: Shape::Unknown },
            name => {
                let name = namespace.map_or(name.to_owned(), |prefix| format!("{prefix}.{name}"));
                self.visit_function(&name, &literals, whole, origin)?
            }
        };
        if operands.iter().any(|operand| operand.origin == Origin::Outside) {
            return invalid("inside a comprehension, a value from outside of it can only be compared");
        }
        self.grow(summary.growth);
        Ok(summary)
    }

    /// The functions that there are, and what each makes of its input.
    fn visit_function(
        &mut self,
        name: &str,
        literals: &[Option<String>],
        whole: u64,
        origin: Origin,
    ) -> Result<Summary, Invalid> {
        let scalar = Summary { origin, ..Summary::SCALAR };
        let same = Summary { origin, growth: whole, shape: Shape::Unknown };
        let argument = |at: usize| literals.get(at).and_then(Option::as_deref);
        match name {
            name if TO_SCALARS.contains(&name) => Ok(scalar),
            name if TO_PARTS.contains(&name) => Ok(same),
            name if TO_LISTS.contains(&name) => Ok(same.list()),
            "matches" | "find" | "findAll" => {
                let Some(pattern) = argument(literals.len().saturating_sub(1)) else {
                    return invalid(format!("{name}() needs its regular expression written out"));
                };
                crate::template::regex(pattern)
                    .map_err(|error| Invalid(format!("{name}(): {}", crate::one_line(&error.to_string()))))?;
                if self.level() > 0 {
                    self.cost.steps = self.cost.steps.max(REGEX_STEPS);
                }
                self.cost.splits |= name == "findAll";
                Ok(match name {
                    "matches" => scalar,
                    "find" => same,
                    _ => same.list(),
                })
            }
            // Each character may need one more before it.
            "strings.quote" => Ok(Summary { growth: whole.saturating_mul(2), ..same }),
            "split" => {
                self.cost.splits = true;
                match argument(0) {
                    Some(_) => Ok(same.list()),
                    None => invalid("split() needs its separator written out"),
                }
            }
            "join" => match (literals.first(), argument(0)) {
                (None, _) => Ok(same),
                (Some(_), Some(separator)) => {
                    Ok(Summary { growth: whole.saturating_mul(1 + separator.len() as u64), ..same })
                }
                (Some(_), None) => invalid("join() needs its separator written out"),
            },
            "replace" => match (argument(0), argument(1)) {
                (Some(from), Some(to)) => {
                    let times = 1 + to.len().checked_div(from.len()).unwrap_or(to.len()) as u64;
                    Ok(Summary { growth: whole.saturating_mul(times), ..same })
                }
                _ => invalid("replace() needs both of its texts written out"),
            },
            _ => {
                let known = [TO_SCALARS, TO_PARTS, TO_LISTS, WITH_RULES].into_iter().flatten().copied();
                let near = nearest(name, known);
                invalid(format!("{name}() is not a function that templates can use{}", did_you_mean(near)))
            }
        }
    }
}

fn no_field(of: &str, name: &str, near: Option<String>) -> Invalid {
    Invalid(format!("{of} has no field {name}{}", did_you_mean(near.as_deref())))
}
