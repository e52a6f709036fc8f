//! What an accepted expression does, step by step. Names, functions and types were found when it was compiled.

use std::rc::Rc;

use super::functions::{Arguments, Fault, MAX_PARAMETERS, Overload, Returned, Run};
use super::meter::Meter;
use super::value::{Map, Text, Value, is_same_key};
use super::variables::Failure;
use crate::pattern::Pattern;
use crate::text::shown;

/// A step of an expression.
#[derive(Debug)]
pub(super) enum Node {
    Null,
    Bool(bool),
    Int(i64),
    Double(f64),
    String(String),
    Duration(i64),
    /// A value that is looked up before anything is evaluated.
    Input(usize),
    /// The item at hand in the comprehension that is so many deep.
    Item(usize),
    List(Vec<Entry>),
    Map(Vec<(Node, Entry)>),
    /// `of.field`. `place` is how it is written, for messages.
    Member {
        of: Box<Node>,
        field: String,
        place: String,
    },
    /// `has(of.field)`
    Has {
        of: Box<Node>,
        field: String,
        place: String,
    },
    /// `of.?field`
    OptionalMember {
        of: Box<Node>,
        field: String,
    },
    /// `of[at]`
    Index {
        of: Box<Node>,
        at: Box<Node>,
        place: String,
    },
    /// `of[?at]`
    OptionalIndex {
        of: Box<Node>,
        at: Box<Node>,
    },
    And(Box<Node>, Box<Node>),
    Or(Box<Node>, Box<Node>),
    Conditional(Box<[Node; 3]>),
    /// `one.or(other)`, or `one.orValue(other)`.
    OptionalOr {
        one: Box<Node>,
        other: Box<Node>,
        is_value: bool,
    },
    Call {
        overloads: Vec<&'static Overload>,
        arguments: Vec<Node>,
        pattern: Option<Box<Pattern>>,
        name: String,
    },
    Comprehension(Box<Comprehension>),
}

/// An item or value of a literal. An optional one, `?x`, is omitted when it holds nothing.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) value: Node,
    pub(super) is_optional: bool,
}

/// A macro that goes through a list, or the keys of a map.
#[derive(Debug)]
pub(super) struct Comprehension {
    pub(super) kind: Kind,
    pub(super) range: Node,
    pub(super) body: Node,
    /// What items are, for messages: `pod.spec.containers`. Their names may be shown.
    pub(super) items: Option<String>,
}

#[derive(Debug)]
pub(super) enum Kind {
    All,
    Exists,
    ExistsOne,
    /// `map`, of those for which the condition holds.
    Map(Option<Node>),
    Filter,
    /// `optMap` and `optFlatMap` of an optional value.
    OptionalMap {
        is_flat: bool,
    },
}

/// The values that a step can read.
pub(super) struct Frame<'v, 'a> {
    /// What is missing is `None`; using it is an error.
    pub(super) inputs: &'v [Option<Value<'a>>],
    /// Says that an input is missing.
    pub(super) missing: &'v dyn Fn(usize) -> String,
    pub(super) items: Vec<Value<'a>>,
    pub(super) meter: &'v Meter,
}

type Evaluated<'a> = Result<Value<'a>, Failure>;

impl Fault {
    /// The failure of what is called so.
    pub(super) fn of(self, name: &str) -> Failure {
        match self {
            Fault::Type => {
                failed(format!("{name} got a value of the wrong type; string(), int() and quantity() convert"))
            }
            Fault::Failed(why) => Failure::Failed(why.into()),
            Fault::Limit(why) => Failure::Limit(why.into()),
        }
    }
}

fn failed(why: impl Into<String>) -> Failure {
    Failure::Failed(why.into())
}

fn wrong_type(name: &str) -> Failure {
    failed(format!("{name} got a value of the wrong type"))
}

/// cel-go makes a plain value of what `optMap` gives, and fails on a quantity.
pub(super) const NO_QUANTITY: &str = "cannot give a quantity; convert it inside, such as by .asInteger()";

impl Frame<'_, '_> {
    /// Counts items that are built.
    fn build(&self, items: usize) -> Result<(), Failure> {
        self.meter.items(items).map_err(|fault| fault.of("it"))
    }
}

impl Node {
    pub(super) fn evaluate<'a>(&'a self, frame: &mut Frame<'_, 'a>) -> Evaluated<'a> {
        frame.meter.step(1).map_err(|fault| fault.of("it"))?;
        match self {
            Node::Null => Ok(Value::Null),
            Node::Bool(value) => Ok(Value::Bool(*value)),
            Node::Int(number) => Ok(Value::Int(*number)),
            Node::Double(number) => Ok(Value::Double(*number)),
            Node::String(text) => Ok(Value::text(text.as_str())),
            Node::Duration(nanoseconds) => Ok(Value::Duration(*nanoseconds)),
            Node::Input(at) => frame.inputs[*at].clone().ok_or_else(|| Failure::Failed((frame.missing)(*at))),
            Node::Item(at) => Ok(frame.items[*at].clone()),
            Node::List(entries) => {
                frame.build(entries.len())?;
                let mut items = Vec::with_capacity(entries.len());
                for entry in entries {
                    items.extend(entry.evaluate(frame)?);
                }
                Ok(Value::list(items))
            }
            Node::Map(entries) => {
                frame.build(entries.len())?;
                let mut all = Vec::with_capacity(entries.len());
                for (key, entry) in entries {
                    let key = key.evaluate(frame)?;
                    if !matches!(key, Value::String(_) | Value::Int(_) | Value::Bool(_)) {
                        return Err(failed("the key of an object is a string, an integer or a boolean"));
                    }
                    match entry.evaluate(frame)? {
                        Some(value) => all.push((key, value)),
                        // It takes an earlier one away, as in cel-go.
                        None => all.retain(|(known, _)| !is_same_key(known, &key)),
                    }
                }
                Ok(Value::Map(Rc::new(Map::new(all))))
            }
            Node::Member { of, field, place } => {
                let of = of.evaluate(frame)?;
                match &of {
                    Value::Optional(None) => Ok(of),
                    Value::Optional(Some(held)) => optional_member(held, field),
                    of => find(of, field)?.ok_or_else(|| not_there(place)),
                }
            }
            Node::Has { of, field, place } => match of.evaluate(frame)? {
                Value::Map(map) => Ok(Value::Bool(map.field(field).is_some())),
                Value::List(_) => Err(wrong_type(&format!("has({place})"))),
                // What can have no fields has none.
                _ => Ok(Value::Bool(false)),
            },
            Node::OptionalMember { of, field } => {
                let of = of.evaluate(frame)?;
                let Some(held) = held(&of) else { return Ok(of) };
                optional_member(held, field)
            }
            Node::Index { of, at, place } => {
                let of = of.evaluate(frame)?;
                if let Value::Optional(None) = of {
                    return Ok(of);
                }
                let at = at.evaluate(frame)?;
                match &of {
                    Value::Optional(Some(held)) => Ok(Value::optional(index(held, &at)?)),
                    Value::List(items) => index(&of, &at)?.ok_or_else(|| {
                        failed(format!(
                            "{place} is not there: the list has {}; ask with size() or [?…]",
                            count(items.len())
                        ))
                    }),
                    of => index(of, &at)?.ok_or_else(|| not_there(place)),
                }
            }
            Node::OptionalIndex { of, at } => {
                let of = of.evaluate(frame)?;
                let Some(held) = held(&of) else { return Ok(of) };
                let at = at.evaluate(frame)?;
                match held {
                    Value::Map(_) | Value::List(_) => Ok(Value::optional(index(held, &at)?)),
                    _ => Ok(Value::Optional(None)),
                }
            }
            Node::And(one, other) => logic(one, other, false, frame),
            Node::Or(one, other) => logic(one, other, true, frame),
            Node::Conditional(parts) => {
                let [condition, then, otherwise] = &**parts;
                match condition.evaluate(frame)? {
                    Value::Bool(true) => then.evaluate(frame),
                    Value::Bool(false) => otherwise.evaluate(frame),
                    _ => Err(wrong_type("the condition of ?:")),
                }
            }
            // What is no optional value stands for itself, as in cel-go.
            Node::OptionalOr { one, other, is_value } => match one.evaluate(frame)? {
                Value::Optional(None) => other.evaluate(frame),
                Value::Optional(Some(held)) if *is_value => Ok((*held).clone()),
                one => Ok(one),
            },
            Node::Call { overloads, arguments, pattern, name } => {
                let mut values: [Value<'a>; MAX_PARAMETERS] = Default::default();
                for (value, argument) in values.iter_mut().zip(arguments) {
                    *value = argument.evaluate(frame)?;
                }
                let arguments = Arguments { values: &values[..arguments.len()], meter: frame.meter };
                call(overloads, arguments, pattern.as_deref()).map_err(|fault| fault.of(name))
            }
            Node::Comprehension(comprehension) => comprehension.evaluate(frame),
        }
    }
}

impl Entry {
    fn evaluate<'a>(&'a self, frame: &mut Frame<'_, 'a>) -> Result<Option<Value<'a>>, Failure> {
        match self.value.evaluate(frame)? {
            Value::Optional(held) if self.is_optional => Ok(held.map(|held| (*held).clone())),
            _ if self.is_optional => Err(failed("what stands behind ? is no optional value")),
            value => Ok(Some(value)),
        }
    }
}

/// Calls the first form that takes these values, and counts what it reads and builds.
pub(super) fn call<'a>(overloads: &[&Overload], of: Arguments<'_, 'a>, pattern: Option<&Pattern>) -> Returned<'a> {
    /// What a byte of a text counts as that a regular expression goes over: it may try many ways at once.
    const REGEX_STEPS: usize = 16;
    let overload = overloads.iter().find(|overload| overload.takes(of.values)).ok_or(Fault::Type)?;
    for value in of.values {
        of.meter.step(value.length() / 16)?;
    }
    let returned = match (overload.run, pattern) {
        (Run::Plain(run), _) => run(of)?,
        (Run::Regex(run), Some(pattern)) => {
            of.meter.step(of.values[0].length() * REGEX_STEPS)?;
            run(pattern.regex(), of)?
        }
        (Run::Regex(_) | Run::Lazy, _) => unreachable!("the compiler makes other nodes of these"),
    };
    match &returned {
        Value::String(Text::Shared(text)) => of.meter.bytes(text.len())?,
        Value::List(items) => of.meter.items(items.len())?,
        _ => {}
    }
    Ok(returned)
}

fn count(items: usize) -> String {
    if items == 1 { "1 item".into() } else { format!("{items} items") }
}

fn not_there(place: &str) -> Failure {
    failed(format!("{place} is not there; ask with has() or use .?"))
}

fn find<'a>(of: &Value<'a>, field: &str) -> Result<Option<Value<'a>>, Failure> {
    match of {
        Value::Map(map) => Ok(map.field(field).cloned()),
        _ => Err(wrong_type(&format!(".{field}"))),
    }
}

/// `of.?field`: nothing, too, of what can have no members.
fn optional_member<'a>(of: &Value<'a>, field: &str) -> Evaluated<'a> {
    match of {
        Value::Map(map) => Ok(Value::optional(map.field(field).cloned())),
        Value::List(_) => Err(wrong_type(&format!(".?{field}"))),
        _ => Ok(Value::Optional(None)),
    }
}

/// What an optional value holds, if it holds anything; any other value is what it is.
fn held<'v, 'a>(of: &'v Value<'a>) -> Option<&'v Value<'a>> {
    match of {
        Value::Optional(held) => held.as_deref(),
        other => Some(other),
    }
}

fn index<'a>(of: &Value<'a>, at: &Value<'_>) -> Result<Option<Value<'a>>, Failure> {
    match (of, at) {
        (Value::Map(map), Value::String(_) | Value::Int(_) | Value::Bool(_) | Value::Double(_)) => {
            Ok(map.get(at).cloned())
        }
        (Value::List(items), _) => {
            let at = at.as_whole().ok_or_else(|| wrong_type("[…]"))?;
            Ok(usize::try_from(at).ok().and_then(|at| items.get(at)).cloned())
        }
        _ => Err(wrong_type("[…]")),
    }
}

/// `&&` and `||`: one side can decide although the other is an error.
fn logic<'a>(one: &'a Node, other: &'a Node, decides: bool, frame: &mut Frame<'_, 'a>) -> Evaluated<'a> {
    let one = one.evaluate(frame);
    if matches!(one, Err(Failure::Limit(_))) || matches!(one, Ok(Value::Bool(value)) if value == decides) {
        return one;
    }
    let other = other.evaluate(frame);
    match (one, other) {
        (_, Err(limit @ Failure::Limit(_))) => Err(limit),
        (_, Ok(Value::Bool(value))) if value == decides => Ok(Value::Bool(decides)),
        (Err(error), _) => Err(error),
        (Ok(Value::Bool(_)), other @ (Ok(Value::Bool(_)) | Err(_))) => other,
        _ => Err(wrong_type(if decides { "||" } else { "&&" })),
    }
}

/// What an optional value holds: cel-go makes a plain value of the result of `optMap`, and knows no plain quantity.
fn unpacked(mapped: Value<'_>) -> Evaluated<'_> {
    match mapped {
        Value::Quantity(_) => Err(failed(format!("optMap() {NO_QUANTITY}"))),
        Value::Optional(held) => Ok(held.map_or(Value::Null, |held| (*held).clone())),
        mapped => Ok(mapped),
    }
}

impl Comprehension {
    fn evaluate<'a>(&'a self, frame: &mut Frame<'_, 'a>) -> Evaluated<'a> {
        let range = self.range.evaluate(frame)?;
        match (&self.kind, range) {
            (Kind::OptionalMap { .. }, Value::Optional(None)) => Ok(Value::Optional(None)),
            (Kind::OptionalMap { is_flat }, Value::Optional(Some(held))) => {
                let mapped = self.step(&self.body, &held, frame)?;
                match mapped {
                    Value::Optional(Some(held)) if *is_flat => unpacked((*held).clone()).map(Value::some),
                    mapped if *is_flat => Ok(mapped),
                    mapped => unpacked(mapped).map(Value::some),
                }
            }
            (_, Value::List(items)) => self.go_through(&items, frame),
            (_, Value::Map(map)) => {
                let keys: Vec<_> = map.entries().iter().map(|(key, _)| key.clone()).collect();
                self.go_through(&keys, frame)
            }
            _ => Err(wrong_type("a comprehension")),
        }
    }

    fn go_through<'a>(&'a self, items: &[Value<'a>], frame: &mut Frame<'_, 'a>) -> Evaluated<'a> {
        match &self.kind {
            Kind::All => self.any(items, false, frame),
            Kind::Exists => self.any(items, true, frame),
            Kind::ExistsOne => {
                let mut found = 0;
                for (at, item) in items.iter().enumerate() {
                    found += usize::from(self.holds(&self.body, at, item, frame)?);
                }
                Ok(Value::Bool(found == 1))
            }
            Kind::Filter => {
                let mut kept = Vec::new();
                for (at, item) in items.iter().enumerate() {
                    if self.holds(&self.body, at, item, frame)? {
                        frame.build(1)?;
                        kept.push(item.clone());
                    }
                }
                Ok(Value::list(kept))
            }
            Kind::Map(condition) => {
                frame.build(items.len())?;
                let mut mapped = Vec::with_capacity(items.len());
                for (at, item) in items.iter().enumerate() {
                    let wanted =
                        condition.as_ref().map_or(Ok(true), |condition| self.holds(condition, at, item, frame));
                    if wanted? {
                        mapped.push(self.step(&self.body, item, frame).map_err(|error| self.of_item(at, item, error))?);
                    }
                }
                Ok(Value::list(mapped))
            }
            Kind::OptionalMap { .. } => Err(wrong_type("optMap()")),
        }
    }

    /// `exists`, or `all` if `false` decides. Like `||` and `&&`, an item can decide although another is an error.
    fn any<'a>(&'a self, items: &[Value<'a>], decides: bool, frame: &mut Frame<'_, 'a>) -> Evaluated<'a> {
        let mut first_error = None;
        for (at, item) in items.iter().enumerate() {
            match self.step(&self.body, item, frame) {
                Ok(Value::Bool(holds)) if holds == decides => return Ok(Value::Bool(decides)),
                Ok(Value::Bool(_)) => {}
                Err(limit @ Failure::Limit(_)) => return Err(limit),
                other if first_error.is_none() => first_error = Some(self.condition(at, item, other)),
                _ => {}
            }
        }
        match first_error {
            Some(Err(error)) => Err(error),
            _ => Ok(Value::Bool(!decides)),
        }
    }

    fn step<'a>(&'a self, node: &'a Node, item: &Value<'a>, frame: &mut Frame<'_, 'a>) -> Evaluated<'a> {
        frame.items.push(item.clone());
        let value = node.evaluate(frame);
        frame.items.pop();
        value
    }

    fn holds<'a>(
        &'a self,
        node: &'a Node,
        at: usize,
        item: &Value<'a>,
        frame: &mut Frame<'_, 'a>,
    ) -> Result<bool, Failure> {
        let value = self.step(node, item, frame);
        self.condition(at, item, value)
    }

    fn condition<'a>(&self, at: usize, item: &Value<'_>, value: Evaluated<'a>) -> Result<bool, Failure> {
        match value {
            Ok(Value::Bool(holds)) => Ok(holds),
            Ok(_) => Err(self.of_item(at, item, wrong_type("a condition"))),
            Err(error) => Err(self.of_item(at, item, error)),
        }
    }

    /// The failure with the item at hand: its place, and its name if that may be shown. The keys of an object have no place.
    fn of_item(&self, at: usize, item: &Value<'_>, failure: Failure) -> Failure {
        let (Some(items), Failure::Failed(error)) = (&self.items, &failure) else { return failure };
        let name = match item {
            Value::Map(map) => map.field("name"),
            _ => None,
        };
        failed(match name {
            Some(Value::String(name)) => format!("{error}, in {items}[{at}], {}", shown(name)),
            _ => format!("{error}, in {items}[{at}]"),
        })
    }
}
