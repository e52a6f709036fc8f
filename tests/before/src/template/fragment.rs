//! A part of a pod with holes in it.
//!
//! It is compiled against the schema once, when the template is loaded: what has no hole is checked and serialized then,
//! and each hole knows what its place in a pod must hold. So a review evaluates the holes and checks their values, and
//! nothing else.

mod conform;
mod pieces;
mod view;

use serde::Serialize;
use serde_json::Value;
use serde_json::value::{RawValue, to_raw_value};

pub(crate) use self::conform::article_of;
use self::conform::{article, conform, expected};
use self::pieces::{Piece, split};
pub(crate) use self::view::{Values, View};
use super::expression::{Expression, Failure, Scope, Variables};
use super::parameter::Parameters;
use super::reader::{Reader, member};
use crate::did_you_mean;
use crate::schema::{Schema, Type};
use crate::yaml::{self, Node, Position};

/// A part of a pod. Its holes are numbered in a list beside it.
#[derive(Debug)]
pub(crate) struct Fragment {
    shape: Shape,
    /// The JSON, when nothing in it varies.
    fixed: Option<Box<RawValue>>,
    /// Whether it is there even if nulls leave nothing in it: an emptyDir says something by being there.
    stays: bool,
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
                let message = if key.name.contains("${{") {
                    "is a key, and a key cannot hold an expression".to_owned()
                } else {
                    format!("is not a field of {}{}", article(name), did_you_mean(object.nearest(&key.name)))
                };
                self.reader.problem(key.position, &path, message);
                continue;
            };
            if conform::is_no_choice(object, field, node.as_str()) {
                self.reader.problem(node.position, &path, "must not be empty");
            } else if node.value != yaml::Value::Null {
                match self.compile(node, kind, &path) {
                    Some(fragment) => {
                        let stays =
                            name == "Volume" && key.name == "emptyDir" && !matches!(fragment.shape, Shape::Hole(_));
                        fragments.push((field.as_str().into(), Fragment { stays, ..fragment }));
                    }
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
            let part = match piece {
                Piece::Text(text) => Ok(Part::Text(text.clone())),
                Piece::Hole(source) => self.part(source),
            };
            match part {
                Ok(part) => parts.push(part),
                Err(error) => {
                    self.reader.problem(node.position, path, error);
                    return None;
                }
            }
        }
        if parts.len() > 1 && !matches!(kind, Type::Scalar(_)) {
            let message = format!("must be {}, so an expression must stand alone in it", expected(kind));
            self.reader.problem(node.position, path, message);
            return None;
        }
        let place = path.trim_start_matches("spec.pod.").to_owned();
        self.holes.push(Hole { parts, kind, place, position: node.position });
        Some(Fragment { shape: Shape::Hole(self.holes.len() - 1), fixed: None, stays: false })
    }

    fn part(&self, source: &str) -> Result<Part, String> {
        let named = source.trim().strip_prefix("params.").filter(|name| self.scope.parameters.contains_key(name));
        if let Some(name) = named {
            return Ok(Part::Parameter(name.to_owned()));
        }
        match Expression::compile(source, self.scope) {
            Ok(expression) => Ok(Part::Expression(Box::new(expression))),
            Err(error) => Err(format!("has a wrong expression, ${{{{{source}}}}}: {error}")),
        }
    }
}

impl Fragment {
    fn scalar(value: Value) -> Fragment {
        Fragment { fixed: to_raw_value(&value).ok(), shape: Shape::Scalar(value), stays: false }
    }

    /// What stands for a hole that gave nothing.
    pub(crate) fn nothing() -> Fragment {
        Fragment::filled(Value::Null)
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
        Fragment { shape, fixed: None, stays: false }
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
        let mut fragment = Fragment { shape, fixed: None, stays: false };
        if !varies {
            let mut json = Vec::new();
            View::new(&fragment, Values::NONE).write(&mut json);
            fragment.fixed = String::from_utf8(json).ok().and_then(|json| RawValue::from_string(json).ok());
        }
        fragment
    }
}

impl Fragment {
    /// The names of a list's items, as far as they do not vary.
    pub(crate) fn fixed_names(&self, list: &str) -> impl Iterator<Item = &str> {
        self.items_of(list).iter().filter_map(Fragment::fixed_name)
    }

    /// Whether an item of a list has this name, or one that varies.
    pub(crate) fn may_name(&self, list: &str, name: &str) -> bool {
        self.items_of(list).iter().any(|item| item.fixed_name().is_none_or(|known| known == name))
    }

    /// The holes in a field of a list's item, by the item's name.
    pub(crate) fn holes_of(&self, list: &str, name: &str, field: &str) -> Vec<usize> {
        let mut holes = Vec::new();
        let item = self.items_of(list).iter().find(|item| item.fixed_name() == Some(name));
        if let Some(fragment) = item.and_then(|item| item.member(field)) {
            fragment.collect_holes(&mut holes);
        }
        holes
    }

    fn items_of(&self, list: &str) -> &[Fragment] {
        self.member(list).map(Fragment::items).unwrap_or_default()
    }

    fn fixed_name(&self) -> Option<&str> {
        match &self.member("name")?.shape {
            Shape::Scalar(Value::String(name)) => Some(name),
            _ => None,
        }
    }

    fn collect_holes(&self, holes: &mut Vec<usize>) {
        match &self.shape {
            Shape::Hole(at) => holes.push(*at),
            Shape::Object(members) => members.iter().for_each(|(_, fragment)| fragment.collect_holes(holes)),
            Shape::List(items) => items.iter().for_each(|fragment| fragment.collect_holes(holes)),
            Shape::Scalar(_) => {}
        }
    }

    /// Items of a list, as far as they do not vary.
    pub(crate) fn fixed_items(&self, list: &str) -> impl Iterator<Item = Value> {
        let items = self.member(list).map(Fragment::items).unwrap_or_default();
        let fixed = items.iter().filter(|item| item.fixed.is_some());
        fixed.map(|fragment| View::new(fragment, Values::NONE).to_value())
    }

    /// Members of an object, as far as they do not vary.
    pub(crate) fn fixed_members(&self) -> impl Iterator<Item = (&str, Value)> {
        let fixed = self.members().iter().filter(|(_, fragment)| fragment.fixed.is_some());
        fixed.map(|(name, fragment)| (&**name, View::new(fragment, Values::NONE).to_value()))
    }

    fn members(&self) -> &[(Box<str>, Fragment)] {
        if let Shape::Object(members) = &self.shape { members } else { &[] }
    }

    fn member(&self, name: &str) -> Option<&Fragment> {
        self.members().iter().find(|(member, _)| &**member == name).map(|(_, member)| member)
    }

    fn items(&self) -> &[Fragment] {
        if let Shape::List(items) = &self.shape { items } else { &[] }
    }
}

/// Appends a value that is always JSON: a string, or a value that came from JSON.
pub(crate) fn write_json<T: Serialize + ?Sized>(json: &mut Vec<u8>, value: &T) {
    serde_json::to_writer(json, value).expect("a byte vector takes everything");
}

impl Hole {
    /// What is to be evaluated.
    pub(crate) fn expressions(&self) -> impl Iterator<Item = &Expression> {
        self.parts
            .iter()
            .filter_map(|part| if let Part::Expression(expression) = part { Some(&**expression) } else { None })
    }

    /// Whether it has one value for all pods with the same parameters.
    pub(crate) fn reads_only_parameters(&self) -> bool {
        self.parts.iter().all(|part| match part {
            Part::Text(_) | Part::Parameter(_) => true,
            Part::Expression(expression) => expression.reads_only_parameters(),
        })
    }

    /// Whether its value depends on a parameter.
    pub(crate) fn reads_parameter(&self, name: &str) -> bool {
        self.parts.iter().any(|part| match part {
            Part::Text(_) => false,
            Part::Parameter(parameter) => parameter == name,
            Part::Expression(expression) => expression.reads_parameter(name),
        })
    }

    /// The value of a hole, checked against its place.
    ///
    /// # Errors
    ///
    /// When an expression gives no value, or one that the place cannot hold.
    pub(crate) fn fill(&self, variables: &dyn Variables, parameters: &Parameters) -> Result<Fragment, RenderError> {
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
            return Ok(Fragment::nothing());
        }
        variables.spend(size(&value)).map_err(|failure| RenderError::Expression {
            place: self.place.clone(),
            source: self.source(),
            failure,
        })?;
        conform(value, self.kind, true).map(Fragment::filled).map_err(|mismatch| RenderError::WrongType {
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

/// The values of those holes that are wanted, by their numbers and in order of them.
///
/// # Errors
///
/// With all that fail.
pub(crate) fn fill(
    holes: &[Hole],
    wanted: impl Fn(&Hole) -> bool,
    variables: &dyn Variables,
    parameters: &Parameters,
) -> Result<Vec<(usize, Fragment)>, Vec<RenderError>> {
    let mut errors = Vec::new();
    let mut values = Vec::new();
    for (at, hole) in holes.iter().enumerate().filter(|(_, hole)| wanted(hole)) {
        match hole.fill(variables, parameters) {
            Ok(value) => values.push((at, value)),
            // What is left is not worth the work.
            Err(error @ RenderError::Expression { failure: Failure::Limit(_), .. }) => return Err(vec![error]),
            Err(error) => errors.push(error),
        }
    }
    if errors.is_empty() { Ok(values) } else { Err(errors) }
}

/// About how many bytes a value takes as a [`Fragment`]: with many small ones that is far more than their text.
fn size(value: &Value) -> usize {
    size_of::<(Box<str>, Fragment)>()
        + match value {
            Value::String(text) => text.len(),
            Value::Array(items) => items.iter().map(size).sum(),
            Value::Object(members) => members.iter().map(|(name, value)| name.len() + size(value)).sum(),
            Value::Null | Value::Bool(_) | Value::Number(_) => 0,
        }
}
