//! A part of a pod with holes in it.
//!
//! It is compiled against the schema once, when the template is loaded: what has no hole is checked and serialized then,
//! and each hole knows what its place in a pod must hold. So a review evaluates the holes and checks their values, and
//! nothing else.

use serde::Serialize;
use serde_json::Value;
use serde_json::value::{RawValue, to_raw_value};

use super::expression::{Expression, Failure, Scope, Variables};
use super::parameter::Parameters;
use super::reader::{Reader, did_you_mean, member};
use crate::nearest;
use crate::quantity::parse_quantity;
use crate::schema::{Scalar, ScalarKind, Schema, Type};
use crate::yaml::{self, Node, Position};

/// The longest value that a hole may take in a pod. A pod has at most 1.5 MB in etcd.
const MAX_TEXT: usize = 256 << 10;

/// A part of a pod. Its holes are numbered in a list beside it.
#[derive(Debug)]
pub(crate) struct Fragment {
    shape: Shape,
    /// The JSON, when nothing in it varies.
    fixed: Option<Box<RawValue>>,
}

#[derive(Debug)]
enum Shape {
    Scalar(Value),
    /// The number of a hole.
    Hole(usize),
    Object(Vec<(Box<str>, Fragment)>),
    List(Vec<Fragment>),
}

/// A place that expressions fill.
#[derive(Debug)]
pub(crate) struct Hole {
    parts: Vec<Part>,
    kind: &'static Type,
    /// Where it is, for messages: `initContainers[0].image`.
    place: String,
    /// The same in its file.
    pub(crate) position: Position,
}

#[derive(Debug)]
enum Part {
    Text(String),
    /// `params.NAME` alone, by far the most frequent: it needs no evaluation.
    Parameter(String),
    Expression(Box<Expression>),
}

/// Why a fragment could not be rendered.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum RenderError {
    /// An expression gave no value: its place, its source and why.
    Expression { place: String, source: String, failure: Failure },
    /// An expression gave a value that its place cannot hold.
    WrongType { place: String, message: String },
}

/// Compiles nodes into fragments, and numbers the holes.
pub(crate) struct Compiler<'a, 'r> {
    pub(crate) reader: &'r mut Reader<'a>,
    pub(crate) scope: &'r Scope<'r>,
    pub(crate) holes: Vec<Hole>,
}

impl Compiler<'_, '_> {
    /// Compiles a value of a type; `None` when it is wrong beyond use. `null` counts as not there.
    pub(crate) fn compile(&mut self, node: &Node, kind: &'static Type, path: &str) -> Option<Fragment> {
        if let Some(text) = node.as_str() {
            match split(text) {
                Ok(parts) if parts.iter().any(|part| matches!(part, Piece::Hole(_))) => {
                    return self.hole(node, &parts, kind, path);
                }
                Ok(parts) => {
                    // Only `$${{` can have changed the text.
                    let texts = parts.iter().map(|(Piece::Text(text) | Piece::Hole(text))| text.as_str());
                    let text: String = texts.collect();
                    return self.scalar(node, text.into(), kind, path);
                }
                Err(message) => {
                    self.reader.problem(node.position, path, message);
                    return None;
                }
            }
        }
        match (&node.value, kind) {
            (yaml::Value::Object(_), Type::Ref { name }) => self.object(node, name, path, true),
            (yaml::Value::Object(members), Type::Map { value }) => {
                let mut fragments = Vec::with_capacity(members.len());
                for (key, node) in members.iter().filter(|(_, node)| node.value != yaml::Value::Null) {
                    let path = member(path, &key.name);
                    if key.name.contains("${{") {
                        self.reader.problem(key.position, &path, "is a key, and a key cannot hold an expression");
                    }
                    fragments.push((key.name.as_str().into(), self.compile(node, value, &path)?));
                }
                Some(Fragment::object(fragments))
            }
            (yaml::Value::List(items), Type::List { item, .. }) => {
                let items = items
                    .iter()
                    .enumerate()
                    .filter(|(_, node)| node.value != yaml::Value::Null)
                    .map(|(at, node)| self.compile(node, item, &format!("{path}[{at}]")))
                    .collect::<Vec<_>>();
                Some(Fragment::list(items.into_iter().collect::<Option<_>>()?))
            }
            (yaml::Value::List(_) | yaml::Value::Object(_), _) => {
                let message = format!("must be {}, not {}", expected(kind), node.value.kind());
                self.reader.problem(node.position, path, message);
                None
            }
            _ => self.scalar(node, node.to_json(), kind, path),
        }
    }

    /// Compiles an object of a named type. With `complete`, the fields that Kubernetes requires must be there.
    pub(crate) fn object(&mut self, node: &Node, name: &'static str, path: &str, complete: bool) -> Option<Fragment> {
        let yaml::Value::Object(members) = &node.value else {
            self.reader.problem(node.position, path, format!("must be an object, not {}", node.value.kind()));
            return None;
        };
        let object = Schema::get().object(name);
        let mut fragments = Vec::with_capacity(members.len());
        let mut whole = true;
        for (key, node) in members {
            let path = member(path, &key.name);
            let Some((field, kind)) = object.fields.get_key_value(&key.name) else {
                let hint = did_you_mean(object.nearest(&key.name));
                self.reader.problem(key.position, &path, format!("is not a field of {}{hint}", article(name)));
                continue;
            };
            if node.value != yaml::Value::Null {
                match self.compile(node, kind, &path) {
                    Some(fragment) => fragments.push((field.as_str().into(), fragment)),
                    None => whole = false,
                }
            }
        }
        for required in object.required.iter().filter(|_| complete) {
            if node.get(required).is_none_or(|node| node.value == yaml::Value::Null) {
                self.reader.problem(node.position, path, format!("lacks {required}"));
            }
        }
        whole.then(|| Fragment::object(fragments))
    }

    fn scalar(&mut self, node: &Node, value: Value, kind: &'static Type, path: &str) -> Option<Fragment> {
        match conform(value, kind, false) {
            Ok(value) => Some(Fragment::scalar(value)),
            Err(mismatch) => {
                self.reader.problem(node.position, &format!("{path}{}", mismatch.path), mismatch.message);
                None
            }
        }
    }

    fn hole(&mut self, node: &Node, pieces: &[Piece], kind: &'static Type, path: &str) -> Option<Fragment> {
        // What a container holds is checked when the template is loaded.
        let item = if let Type::List { item, .. } = kind { item } else { kind };
        if matches!(item, Type::Ref { name } if name == "Container") {
            self.reader.problem(node.position, path, "must be written out; expressions can stand inside of it");
            return None;
        }
        let mut parts = Vec::with_capacity(pieces.len());
        for piece in pieces {
            parts.push(match piece {
                Piece::Text(text) => Part::Text(text.clone()),
                Piece::Hole(source) => match Expression::compile(source, self.scope) {
                    Ok(expression) => match expression.source().strip_prefix("params.") {
                        Some(name) if self.scope.parameters.contains_key(name) => Part::Parameter(name.to_owned()),
                        _ => Part::Expression(Box::new(expression)),
                    },
                    Err(error) => {
                        let message = format!("has a wrong expression, ${{{{{source}}}}}: {error}");
                        self.reader.problem(node.position, path, message);
                        return None;
                    }
                },
            });
        }
        if parts.len() > 1 && !matches!(kind, Type::Scalar(_)) {
            let message = format!("must be {}, so an expression must stand alone in it", expected(kind));
            self.reader.problem(node.position, path, message);
            return None;
        }
        let place = path.trim_start_matches("spec.pod.").to_owned();
        self.holes.push(Hole { parts, kind, place, position: node.position });
        Some(Fragment { shape: Shape::Hole(self.holes.len() - 1), fixed: None })
    }
}

impl Fragment {
    fn scalar(value: Value) -> Fragment {
        Fragment { fixed: to_raw_value(&value).ok(), shape: Shape::Scalar(value) }
    }

    /// What a hole gave. It is written once, so it is not serialized beforehand.
    fn filled(value: Value) -> Fragment {
        let shape = match value {
            Value::Object(members) => {
                let members = members.into_iter().map(|(name, value)| (name.into(), Fragment::filled(value)));
                Shape::Object(members.collect())
            }
            Value::Array(items) => Shape::List(items.into_iter().map(Fragment::filled).collect()),
            scalar => Shape::Scalar(scalar),
        };
        Fragment { shape, fixed: None }
    }

    fn object(members: Vec<(Box<str>, Fragment)>) -> Fragment {
        Fragment::with_shape(Shape::Object(members))
    }

    fn list(items: Vec<Fragment>) -> Fragment {
        Fragment::with_shape(Shape::List(items))
    }

    fn with_shape(shape: Shape) -> Fragment {
        let varies = match &shape {
            Shape::Object(members) => members.iter().any(|(_, fragment)| fragment.fixed.is_none()),
            Shape::List(items) => items.iter().any(|fragment| fragment.fixed.is_none()),
            Shape::Scalar(_) | Shape::Hole(_) => unreachable!("made elsewhere"),
        };
        let mut fragment = Fragment { shape, fixed: None };
        if !varies {
            let mut json = Vec::new();
            View { fragment: &fragment, values: &[] }.write(&mut json);
            fragment.fixed = String::from_utf8(json).ok().and_then(|json| RawValue::from_string(json).ok());
        }
        fragment
    }
}

impl Fragment {
    /// The names of a list's items, as far as they do not vary.
    pub(crate) fn fixed_names(&self, list: &str) -> impl Iterator<Item = &str> {
        let items: &[Fragment] = match self.member(list).map(|list| &list.shape) {
            Some(Shape::List(items)) => items,
            _ => &[],
        };
        items.iter().filter_map(|item| match &item.member("name")?.shape {
            Shape::Scalar(Value::String(name)) => Some(name.as_str()),
            _ => None,
        })
    }

    fn member(&self, name: &str) -> Option<&Fragment> {
        match &self.shape {
            Shape::Object(members) => members.iter().find(|(member, _)| &**member == name).map(|(_, member)| member),
            _ => None,
        }
    }
}

/// Appends a value that is always JSON: a string, or a value that came from JSON.
pub(crate) fn write_json<T: Serialize + ?Sized>(json: &mut Vec<u8>, value: &T) {
    serde_json::to_writer(json, value).expect("a byte vector takes everything");
}

impl Hole {
    /// Whether it has one value for all pods with the same parameters.
    pub(crate) fn reads_only_parameters(&self) -> bool {
        self.parts.iter().all(|part| match part {
            Part::Text(_) | Part::Parameter(_) => true,
            Part::Expression(expression) => expression.reads_only_parameters(),
        })
    }

    /// The value of a hole, checked against its place.
    fn fill(&self, variables: &dyn Variables, parameters: &Parameters) -> Result<Value, RenderError> {
        let value = match self.parts.as_slice() {
            [part] => self.evaluate(part, variables, parameters)?,
            parts => {
                let mut text = String::new();
                for part in parts {
                    match self.evaluate(part, variables, parameters)? {
                        Value::String(part) => text.push_str(&part),
                        part @ (Value::Number(_) | Value::Bool(_)) => text.push_str(&part.to_string()),
                        other => {
                            let message = format!("cannot have {} inside a longer text", article_of(&other));
                            return Err(RenderError::WrongType { place: self.place.clone(), message });
                        }
                    }
                }
                text.into()
            }
        };
        if value.is_null() {
            return Ok(value);
        }
        variables.spend(size(&value)).map_err(|failure| RenderError::Expression {
            place: self.place.clone(),
            source: self.source(),
            failure,
        })?;
        conform(value, self.kind, true).map_err(|mismatch| RenderError::WrongType {
            place: format!("{}{}", self.place, mismatch.path),
            message: mismatch.message,
        })
    }

    /// What was written there, for messages.
    fn source(&self) -> String {
        let parts = self.parts.iter().map(|part| match part {
            Part::Text(text) => text.clone(),
            Part::Parameter(name) => format!("${{{{ params.{name} }}}}"),
            Part::Expression(expression) => format!("${{{{ {} }}}}", expression.source()),
        });
        parts.collect()
    }

    fn evaluate(&self, part: &Part, variables: &dyn Variables, parameters: &Parameters) -> Result<Value, RenderError> {
        match part {
            Part::Text(text) => Ok(text.as_str().into()),
            Part::Parameter(name) => Ok(parameters.get(name).clone()),
            Part::Expression(expression) => expression.evaluate(variables).map_err(|failure| RenderError::Expression {
                place: self.place.clone(),
                source: expression.source().to_owned(),
                failure,
            }),
        }
    }
}

/// The values of a fragment's holes, in their order.
pub(crate) fn fill(
    holes: &[Hole],
    variables: &dyn Variables,
    parameters: &Parameters,
) -> Result<Vec<Fragment>, RenderError> {
    holes.iter().map(|hole| hole.fill(variables, parameters).map(Fragment::filled)).collect()
}

/// A fragment with its holes filled: what a template gives to one pod. A hole that gave `null` is not there.
#[derive(Clone, Copy, Debug)]
pub(crate) struct View<'a> {
    fragment: &'a Fragment,
    values: &'a [Fragment],
}

impl<'a> View<'a> {
    pub(crate) fn new(fragment: &'a Fragment, values: &'a [Fragment]) -> View<'a> {
        View { fragment, values }
    }

    /// A part of this fragment; what stands for a hole is its value.
    fn child(self, fragment: &'a Fragment) -> Option<View<'a>> {
        let fragment = match fragment.shape {
            Shape::Hole(at) => &self.values[at],
            _ => fragment,
        };
        let there = !matches!(fragment.shape, Shape::Scalar(Value::Null));
        there.then_some(View { fragment, ..self })
    }

    /// The value of a scalar.
    pub(crate) fn value(self) -> Option<&'a Value> {
        match &self.fragment.shape {
            Shape::Scalar(value) => Some(value),
            Shape::Object(_) | Shape::List(_) => None,
            Shape::Hole(_) => unreachable!("a view is of a hole's value"),
        }
    }

    pub(crate) fn is_object(self) -> bool {
        matches!(self.fragment.shape, Shape::Object(_))
    }

    pub(crate) fn is_list(self) -> bool {
        matches!(self.fragment.shape, Shape::List(_))
    }

    pub(crate) fn as_str(self) -> Option<&'a str> {
        self.value()?.as_str()
    }

    pub(crate) fn members(self) -> impl Iterator<Item = (&'a str, View<'a>)> {
        let members: &[(Box<str>, Fragment)] = match &self.fragment.shape {
            Shape::Object(members) => members,
            _ => &[],
        };
        members.iter().filter_map(move |(name, fragment)| Some((&**name, self.child(fragment)?)))
    }

    pub(crate) fn get(self, name: &str) -> Option<View<'a>> {
        self.members().find(|(member, _)| *member == name).map(|(_, view)| view)
    }

    pub(crate) fn items(self) -> impl Iterator<Item = View<'a>> {
        let items: &[Fragment] = match &self.fragment.shape {
            Shape::List(items) => items,
            _ => &[],
        };
        items.iter().filter_map(move |fragment| self.child(fragment))
    }

    /// Appends the JSON.
    pub(crate) fn write(self, json: &mut Vec<u8>) {
        if let Some(fixed) = &self.fragment.fixed {
            json.extend_from_slice(fixed.get().as_bytes());
            return;
        }
        match &self.fragment.shape {
            Shape::Scalar(value) => write_json(json, value),
            Shape::Hole(_) => unreachable!("a view is of a hole's value"),
            Shape::Object(_) => {
                json.push(b'{');
                for (at, (name, view)) in self.members().enumerate() {
                    if at > 0 {
                        json.push(b',');
                    }
                    write_json(json, name);
                    json.push(b':');
                    view.write(json);
                }
                json.push(b'}');
            }
            Shape::List(_) => {
                json.push(b'[');
                for (at, view) in self.items().enumerate() {
                    if at > 0 {
                        json.push(b',');
                    }
                    view.write(json);
                }
                json.push(b']');
            }
        }
    }

    /// The same fragment without holes: what does not vary any more is checked and serialized once.
    pub(crate) fn resolve(self) -> Fragment {
        match &self.fragment.shape {
            Shape::Scalar(value) => Fragment::scalar(value.clone()),
            Shape::Hole(_) => unreachable!("a view is of a hole's value"),
            Shape::Object(_) => {
                Fragment::object(self.members().map(|(name, view)| (name.into(), view.resolve())).collect())
            }
            Shape::List(_) => Fragment::list(self.items().map(View::resolve).collect()),
        }
    }

    /// The same as a plain value, where a comparison needs one.
    pub(crate) fn to_value(self) -> Value {
        match &self.fragment.shape {
            Shape::Scalar(value) => value.clone(),
            Shape::Hole(_) => unreachable!("a view is of a hole's value"),
            Shape::Object(_) => self.members().map(|(name, view)| (name.to_owned(), view.to_value())).collect(),
            Shape::List(_) => self.items().map(View::to_value).collect(),
        }
    }
}

/// About how much text a value is.
fn size(value: &Value) -> usize {
    match value {
        Value::String(text) => text.len(),
        Value::Array(items) => items.iter().map(size).sum(),
        Value::Object(members) => members.iter().map(|(name, value)| name.len() + size(value)).sum(),
        Value::Null | Value::Bool(_) | Value::Number(_) => 8,
    }
}

/// Where a value is not what its type asks for, and what that is.
struct Mismatch {
    path: String,
    message: String,
}

/// A value as its type has it. What an expression gave is formatted where only text can stand; what was written must
/// already be right, because kubectl would refuse it too.
fn conform(value: Value, kind: &'static Type, evaluated: bool) -> Result<Value, Mismatch> {
    let wrong = |message: String| Err(Mismatch { path: String::new(), message });
    match (kind, value) {
        (Type::Scalar(scalar), value) => {
            conform_scalar(value, scalar, evaluated).or_else(|value| wrong(mismatch(scalar, &value)))
        }
        (Type::List { item, .. }, Value::Array(items)) => items
            .into_iter()
            .filter(|value| !value.is_null())
            .enumerate()
            .map(|(at, value)| conform(value, item, evaluated).map_err(|mismatch| mismatch.under(&format!("[{at}]"))))
            .collect::<Result<_, _>>()
            .map(Value::Array),
        // What is null is not there, at any depth.
        (Type::Map { value: kind }, Value::Object(members)) => members
            .into_iter()
            .filter(|(_, value)| !value.is_null())
            .map(|(name, value)| match conform(value, kind, evaluated) {
                Ok(value) => Ok((name, value)),
                Err(mismatch) => Err(mismatch.under(&member("", &name))),
            })
            .collect::<Result<_, _>>()
            .map(Value::Object),
        (Type::Ref { name: object }, Value::Object(members)) => {
            let schema = Schema::get().object(object);
            if let Some(required) =
                schema.required.iter().find(|required| members.get(*required).is_none_or(Value::is_null))
            {
                return wrong(format!("lacks {required}"));
            }
            let mut conforming = serde_json::Map::new();
            for (name, value) in members.into_iter().filter(|(_, value)| !value.is_null()) {
                let Some(kind) = schema.fields.get(&name) else {
                    let hint = did_you_mean(schema.nearest(&name));
                    return wrong(format!("has {name}, which is not a field of {}{hint}", article(object)));
                };
                let value = conform(value, kind, evaluated).map_err(|mismatch| mismatch.under(&format!(".{name}")))?;
                conforming.insert(name, value);
            }
            Ok(Value::Object(conforming))
        }
        (kind, value) => wrong(format!("must be {}, not {}", expected(kind), article_of(&value))),
    }
}

impl Mismatch {
    fn under(self, parent: &str) -> Mismatch {
        Mismatch { path: format!("{parent}{}", self.path), ..self }
    }
}

fn conform_scalar(value: Value, scalar: &Scalar, evaluated: bool) -> Result<Value, Value> {
    let value = match (scalar.kind, value) {
        (ScalarKind::String | ScalarKind::IntOrString, Value::String(text)) if text.len() > MAX_TEXT => {
            return Err(Value::String(text));
        }
        (ScalarKind::String, value @ (Value::Number(_) | Value::Bool(_))) if evaluated => value.to_string().into(),
        (_, value) => value,
    };
    let right = match (scalar.kind, &value) {
        (ScalarKind::String, Value::String(text)) => scalar.allowed.is_empty() || scalar.allowed.contains(text),
        (ScalarKind::Int32, Value::Number(number)) => {
            number.as_i64().is_some_and(|number| i32::try_from(number).is_ok())
        }
        (ScalarKind::Int64, Value::Number(number)) => number.is_i64(),
        (ScalarKind::Boolean, Value::Bool(_)) | (ScalarKind::Any, _) => true,
        (ScalarKind::Quantity, Value::String(text)) => parse_quantity(text).is_some(),
        (ScalarKind::Quantity, Value::Number(_)) => true,
        (ScalarKind::IntOrString, Value::String(_)) => true,
        (ScalarKind::IntOrString, Value::Number(number)) => {
            number.as_i64().is_some_and(|number| i32::try_from(number).is_ok())
        }
        _ => false,
    };
    if right { Ok(value) } else { Err(value) }
}

fn mismatch(scalar: &Scalar, value: &Value) -> String {
    match value {
        Value::String(text) if text.len() > MAX_TEXT => format!("may have {MAX_TEXT} bytes"),
        Value::String(text) if !scalar.allowed.is_empty() => {
            let hint = did_you_mean(nearest(text, scalar.allowed.iter().map(String::as_str)));
            format!("must be one of {}{hint}", scalar.allowed.join(", "))
        }
        Value::Number(_) | Value::Bool(_) if scalar.kind == ScalarKind::String => {
            format!("must be a string, not {value}; quote it")
        }
        Value::Number(_) if scalar.kind == ScalarKind::Int32 => "must be an integer of 32 bits".into(),
        Value::String(text) if text.contains("{") && text.len() < 100 => {
            format!("must be {}, not \"{text}\"; an expression is written ${{{{ }}}}", scalar_name(scalar.kind))
        }
        _ => format!("must be {}, not {}", scalar_name(scalar.kind), article_of(value)),
    }
}

fn expected(kind: &Type) -> &'static str {
    match kind {
        Type::Scalar(scalar) => scalar_name(scalar.kind),
        Type::Ref { .. } | Type::Map { .. } => "an object",
        Type::List { .. } => "a list",
    }
}

fn scalar_name(kind: ScalarKind) -> &'static str {
    match kind {
        ScalarKind::String => "a string",
        ScalarKind::Int32 | ScalarKind::Int64 => "an integer",
        ScalarKind::Boolean => "true or false",
        ScalarKind::Quantity => "a quantity such as 500m or 64Mi",
        ScalarKind::IntOrString => "an integer or a string",
        ScalarKind::Any => "a value",
    }
}

fn article_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

/// `a Container`, `an EnvVar`.
fn article(name: &str) -> String {
    let article = if name.starts_with(['A', 'E', 'I', 'O', 'U']) { "an" } else { "a" };
    format!("{article} {name}")
}

/// A piece of a scalar.
#[derive(Debug, PartialEq)]
enum Piece {
    Text(String),
    Hole(String),
}

/// Splits a scalar into text and the sources of its expressions.
fn split(text: &str) -> Result<Vec<Piece>, String> {
    let mut pieces = Vec::new();
    let mut literal = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("${{") {
        if rest[..at].ends_with('$') {
            literal.push_str(&rest[..at]);
            literal.push_str("{{");
            rest = &rest[at + 3..];
            continue;
        }
        literal.push_str(&rest[..at]);
        let source = &rest[at + 3..];
        let end = end_of_hole(source).ok_or("has a ${{ that no }} closes; write $${{ for a literal ${{")?;
        if !literal.is_empty() {
            pieces.push(Piece::Text(std::mem::take(&mut literal)));
        }
        pieces.push(Piece::Hole(source[..end].trim().to_owned()));
        rest = &source[end + 2..];
    }
    literal.push_str(rest);
    if !literal.is_empty() || pieces.is_empty() {
        pieces.push(Piece::Text(literal));
    }
    Ok(pieces)
}

/// The first `}}` outside of strings with no brace of the expression's own left open.
fn end_of_hole(source: &str) -> Option<usize> {
    let mut open = 0_usize;
    let mut quote = None;
    let mut characters = source.char_indices();
    while let Some((at, character)) = characters.next() {
        match (quote, character) {
            (Some(_), '\\') => drop(characters.next()),
            (Some(mark), _) if character == mark => quote = None,
            (Some(_), _) => {}
            (None, '"' | '\'') => quote = Some(character),
            (None, '{') => open += 1,
            (None, '}') if open > 0 => open -= 1,
            (None, '}') => return source[at..].starts_with("}}").then_some(at),
            (None, _) => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pieces(text: &str) -> Vec<Piece> {
        split(text).expect(text)
    }

    #[test]
    fn a_hole_ends_where_its_expression_ends() {
        assert_eq!(pieces("plain"), [Piece::Text("plain".into())]);
        assert_eq!(pieces("${{ params.a }}"), [Piece::Hole("params.a".into())]);
        assert_eq!(
            pieces("a${{ {'b': {'c': 1}} }}d"),
            [Piece::Text("a".into()), Piece::Hole("{'b': {'c': 1}}".into()), Piece::Text("d".into())]
        );
        assert_eq!(pieces(r#"${{ 'a}}\'b' + "}}" }}"#), [Piece::Hole(r#"'a}}\'b' + "}}""#.into())]);
        assert_eq!(pieces("${VAR} $(VAR) $${{ x }}"), [Piece::Text("${VAR} $(VAR) ${{ x }}".into())]);
        assert!(split("${{ params.a }").is_err());
        assert!(split("a ${{ 'b }}").is_err());
    }
}
