//! What a template gives, compiled once: what has no hole is told from what has, and each hole knows what its place in a pod
//! must hold. So a review evaluates the holes and judges their values, and nothing else.

use std::sync::Arc;

use serde_json::Value;

use super::diagnostics::Diagnostics;
use super::normalize::normalize;
use super::parameter::{Parameter, Parameters, WithoutPod};
use crate::expression::pieces::{Piece, plain, split};
use crate::expression::{Expression, Failure, Scope, Variables};
use crate::json::fragment::{Fragment, Numbers, Preset, Shape, Values, size};
use crate::json::{Kind, View};
use crate::rules::Violation;
use crate::rules::report::{Place, Report};
use crate::rules::table::NO_RULES;
use crate::rules::walk::{Walk, expected};
use crate::schema::Type;
use crate::yaml::{self, Node, Position};

/// A place that expressions fill.
#[derive(Debug)]
pub(crate) struct Hole {
    parts: Box<[Part]>,
    kind: &'static Type,
    /// Where it is, for messages: `initContainers[0].image`.
    place: String,
    /// The same in its file.
    pub(crate) position: Position,
    /// The parameters that it reads.
    reads: Numbers,
    /// Whether its value may hold a secret: then messages do not repeat it.
    pub(crate) is_private: bool,
    /// Whether its place has a preset.
    pub(super) has_preset: bool,
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

/// What is wrong with an expression in place of what can only hold expressions.
pub(super) const WRITTEN_OUT: &str = "must be written out; expressions can stand inside of it";

/// Compiles nodes into fragments, and numbers the holes. Whether the nodes are right for their types is for the rules to
/// say; a part that is not is skipped.
pub(crate) struct Compiler<'a> {
    pub(crate) diagnostics: &'a Diagnostics<'a>,
    pub(crate) scope: &'a Scope<'a>,
    pub(crate) holes: Vec<Hole>,
}

impl Compiler<'_> {
    /// Compiles a part that is there whatever is in it.
    pub(crate) fn whole(&mut self, node: &Node, kind: &'static Type, place: &Place<'_>) -> Fragment {
        let mut fragment = self.compile(node, kind, place);
        fragment.may_be_empty = true;
        fragment
    }

    /// Compiles a value of a type. `null` counts as not there.
    pub(crate) fn compile(&mut self, node: &Node, kind: &'static Type, place: &Place<'_>) -> Fragment {
        match (&node.value, kind) {
            (yaml::Value::String(text), _) => match split(text).as_deref() {
                Ok([Piece::Text(text)]) => Fragment::fixed(text.as_str().into()),
                Ok(pieces) => self.hole(node, pieces, kind, place),
                Err(message) => self.wrong(node, place, message),
            },
            (yaml::Value::Object(members), _) => {
                let there = members.iter().filter(|(_, node)| node.value != yaml::Value::Null);
                let members = there.filter_map(|(key, node)| {
                    let place = place.member(&key.name);
                    let Some(kind) = kind.child(&key.name) else {
                        let is_newer = matches!(kind, Type::Object(object) if object.nearest(&key.name).is_none());
                        return is_newer.then(|| (key.name.as_str().into(), self.newer(node, &place)));
                    };
                    let mut fragment = self.compile(node, kind, &place);
                    // An emptyDir says something by being there, whatever nulls leave in it.
                    fragment.may_be_empty = key.name == "emptyDir" && !matches!(fragment.shape, Shape::Hole(_));
                    Some((key.name.as_str().into(), fragment))
                });
                Fragment::new(Shape::Object(members.collect()))
            }
            (yaml::Value::List(items), Type::List { item, .. }) => {
                let there = items.iter().enumerate().filter(|(_, node)| node.value != yaml::Value::Null);
                Fragment::new(Shape::List(there.map(|(at, node)| self.compile(node, item, &place.index(at))).collect()))
            }
            _ => Fragment::fixed(node.to_json()),
        }
    }

    /// A field of a newer Kubernetes, or one that the rules refuse. Of what type it is nobody knows.
    fn newer(&mut self, node: &Node, place: &Place<'_>) -> Fragment {
        match &node.value {
            yaml::Value::String(text) => match plain(text) {
                Some(text) => Fragment::fixed(text.into()),
                None => {
                    self.wrong(node, place, "is of a type that Pillion does not know, so no expression can be in it")
                }
            },
            yaml::Value::Object(members) => {
                let members = members.iter().filter(|(_, node)| node.value != yaml::Value::Null);
                let members =
                    members.map(|(key, node)| (key.name.as_str().into(), self.newer(node, &place.member(&key.name))));
                Fragment::new(Shape::Object(members.collect()))
            }
            yaml::Value::List(items) => {
                let items = items.iter().enumerate();
                Fragment::new(Shape::List(items.map(|(at, node)| self.newer(node, &place.index(at))).collect()))
            }
            _ => Fragment::fixed(node.to_json()),
        }
    }

    fn wrong(&mut self, node: &Node, place: &Place<'_>, message: impl Into<String>) -> Fragment {
        self.diagnostics.add(node.position, place.to_string(), message);
        Fragment::fixed(Value::Null)
    }

    fn hole(&mut self, node: &Node, pieces: &[Piece], kind: &'static Type, place: &Place<'_>) -> Fragment {
        // What a container holds is judged when the template is loaded.
        let item = if let Type::List { item, .. } = kind { item } else { kind };
        if matches!(item, Type::Object(object) if object.name == "Container") {
            return self.wrong(node, place, WRITTEN_OUT);
        }
        if pieces.len() > 1 && !matches!(kind, Type::Scalar(_)) {
            let message = format!("must be {}, so an expression must stand alone in it", expected(kind));
            return self.wrong(node, place, message);
        }
        let parts = pieces.iter().map(|piece| self.part(piece)).collect::<Result<Box<[_]>, _>>();
        match parts.and_then(|parts| why_unfit(&parts, kind).map_or(Ok(parts), Err)) {
            Ok(parts) => {
                let place = place.to_string().trim_start_matches("spec.pod.").to_owned();
                self.holes.push(Hole {
                    parts,
                    kind,
                    place,
                    position: node.position,
                    reads: Numbers::default(),
                    is_private: false,
                    has_preset: false,
                });
                Fragment::new(Shape::Hole(self.holes.len() - 1))
            }
            Err(error) => self.wrong(node, place, error),
        }
    }

    fn part(&self, piece: &Piece) -> Result<Part, String> {
        let source = match piece {
            Piece::Text(text) => return Ok(Part::Text(text.clone())),
            Piece::Hole(source) => source,
        };
        let named = source.trim().strip_prefix("params.").filter(|name| self.scope.parameters.contains_key(name));
        if let Some(name) = named {
            return Ok(Part::Parameter(name.to_owned()));
        }
        Expression::compile(source, self.scope)
            .map(|expression| Part::Expression(Box::new(expression)))
            .map_err(|error| format!("has a wrong expression, ${{{{{source}}}}}: {error}"))
    }
}

/// Why what an expression gives cannot stand there, as far as its type tells.
fn why_unfit(parts: &[Part], kind: &Type) -> Option<String> {
    let alone = parts.len() == 1;
    let unfit = |expression: &&Expression| {
        if alone { !expression.kind.fits(kind) } else { !expression.kind.can_be_formatted() }
    };
    let expression = expressions(parts).find(unfit)?;
    let gives = format!("holds ${{{{ {} }}}}, which gives {}", expression.source, expression.kind.with_article());
    Some(if alone {
        format!("must be {}, and {gives}", expected(kind))
    } else {
        format!("{gives}, inside a longer text")
    })
}

/// The expressions that need evaluation.
fn expressions(parts: &[Part]) -> impl Iterator<Item = &Expression> {
    parts.iter().filter_map(|part| if let Part::Expression(expression) = part { Some(&**expression) } else { None })
}

impl Hole {
    /// The expressions in it that need evaluation.
    pub(crate) fn expressions(&self) -> impl Iterator<Item = &Expression> {
        expressions(&self.parts)
    }

    /// Where it is, for messages.
    pub(crate) fn place(&self) -> &str {
        &self.place
    }

    /// What is written out of its value: the text before the first expression, that between each two, and that behind the
    /// last, each of which may be empty.
    pub(crate) fn written(&self) -> Vec<&str> {
        let mut written = vec![""];
        for part in &self.parts {
            match (part, written.last_mut()) {
                (Part::Text(text), Some(last)) => *last = text,
                _ => written.push(""),
            }
        }
        written
    }

    /// Whether its value can differ between two pods of one namespace with the same parameters.
    pub(crate) fn varies_with_pod(&self) -> bool {
        self.expressions().any(Expression::reads_pod)
    }

    /// Whether it has one value for all pods with the same parameters.
    pub(crate) fn reads_only_parameters(&self) -> bool {
        self.expressions().all(Expression::reads_only_parameters)
    }

    /// Whether its value depends on a parameter.
    pub(crate) fn reads_parameter(&self, name: &str) -> bool {
        self.parts.iter().any(|part| matches!(part, Part::Parameter(parameter) if parameter == name))
            || self.expressions().any(|expression| expression.reads_parameter(name))
    }

    /// Notes which of a template's parameters it reads, and whether these or the pod may give it a secret.
    pub(super) fn note_parameters(&mut self, parameters: &[Parameter]) {
        for (number, parameter) in parameters.iter().enumerate() {
            if self.reads_parameter(&parameter.name) {
                self.reads.insert(number);
                self.is_private |= parameter.sensitive;
            }
        }
        let reads_private = self.expressions().any(Expression::reads_private);
        self.is_private |= reads_private;
    }

    /// Whether a preset does not tell its value, where these parameters are set.
    pub(crate) fn is_open(&self, set: Numbers) -> bool {
        !self.has_preset || set.affect(self.reads)
    }

    /// Its value for a pod that sets no parameter, if it reads nothing else. What fails is reported to the pod that asks.
    pub(super) fn preset(&self, variables: &WithoutPod<'_>) -> Option<Arc<Preset>> {
        let is_known = self.reads_only_parameters().then(|| self.fill(variables, variables.parameters).ok());
        let given = is_known.flatten()?.map(|value| value.settled());
        Some(Preset { reads: self.reads, given }.into())
    }

    /// The value of a hole, checked against its place.
    ///
    /// # Errors
    ///
    /// When an expression gives no value, or one that the place cannot hold.
    pub(crate) fn fill(
        &self,
        variables: &dyn Variables,
        parameters: &Parameters<'_>,
    ) -> Result<Option<Fragment>, RenderError> {
        let value = match &*self.parts {
            [part] => self.evaluate(part, variables, parameters)?,
            parts => {
                let mut text = String::with_capacity(64);
                for part in parts {
                    if let Part::Text(part) = part {
                        text.push_str(part);
                        continue;
                    }
                    match self.evaluate(part, variables, parameters)? {
                        Value::String(part) => text.push_str(&part),
                        part @ (Value::Number(_) | Value::Bool(_)) => text.push_str(&part.to_string()),
                        other => {
                            let message = format!("cannot have {} inside a longer text", Kind::of(&other).name());
                            return Err(RenderError::WrongType { place: self.place.clone(), message });
                        }
                    }
                }
                text.into()
            }
        };
        if value.is_null() {
            return Ok(None);
        }
        variables.spend(size(&value)).map_err(|failure| self.failed(self.source(), failure))?;
        let place = Place::root(&self.place);
        let mut report = Report::default();
        let value = normalize(value, self.kind, &place, &mut report);
        let fragment = (!value.is_null()).then(|| Fragment::filled(value, self.is_private));
        if let Some(fragment) = &fragment {
            Walk::new(&NO_RULES, &mut report).value(View::fragment(fragment), self.kind, &place);
        }
        match report.into_violations().into_iter().next() {
            Some(Violation { place, message, .. }) => Err(RenderError::WrongType { place, message }),
            None => Ok(fragment),
        }
    }

    /// What was written there, for messages.
    fn source(&self) -> String {
        let parts = self.parts.iter().map(|part| match part {
            Part::Text(text) => text.clone(),
            Part::Parameter(name) => format!("${{{{ params.{name} }}}}"),
            Part::Expression(expression) => format!("${{{{ {} }}}}", expression.source),
        });
        parts.collect()
    }

    fn evaluate(
        &self,
        part: &Part,
        variables: &dyn Variables,
        parameters: &Parameters<'_>,
    ) -> Result<Value, RenderError> {
        match part {
            Part::Text(text) => Ok(text.as_str().into()),
            Part::Parameter(name) => Ok(parameters.get(name).clone()),
            Part::Expression(expression) => {
                expression.evaluate(variables).map_err(|failure| self.failed(expression.source.clone(), failure))
            }
        }
    }

    fn failed(&self, source: String, failure: Failure) -> RenderError {
        RenderError::Expression { place: self.place.clone(), source, failure }
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
    parameters: &Parameters<'_>,
) -> Result<Values, Vec<RenderError>> {
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
