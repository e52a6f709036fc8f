//! A template's own text with its holes filled in, as far as that can be done without a pod.

use std::borrow::Cow;

use serde_json::Value;

use crate::expression::Expression;
use crate::json::View;
use crate::json::fragment::{Fragment, Shape};
use crate::template::diagnostics::Diagnostics;
use crate::template::part::{Hole, RenderError};
use crate::template::{Parameter, Parameters, Template, WithoutPod};
use crate::yaml::{self, Node};

/// How many parameters that can be omitted are tried alone.
const MAX_ALONE: usize = 8;

/// The parts of a template that end up in a pod, each value where it was written.
#[derive(Clone)]
pub(super) struct Source {
    pub(super) pod: Node,
    pub(super) shares: Node,
    /// What entries of `app` give, by their numbers.
    pub(super) app: Vec<(usize, Node)>,
}

/// What the parameters of a template can be: all examples, and none as for a pod that sets nothing.
pub(super) fn sample_sets(template: &Template) -> Vec<Parameters<'_>> {
    let samples = template.parameters.iter().map(|it| (it.name.as_str(), Cow::Owned(it.sample()))).collect();
    let defaults = parameters_with(template, None);
    let sets = if samples == defaults { vec![samples] } else { vec![samples, defaults] };
    sets.into_iter().filter(|set| may_apply(template, set)).collect()
}

/// Each of the parameters that can be omitted, each alone.
pub(super) fn single_sets(template: &Template) -> Vec<Parameters<'_>> {
    let optional = template.parameters.iter().filter(|it| it.optional && it.default.is_none());
    let sets = optional.take(MAX_ALONE).map(|it| parameters_with(template, Some(&it.name)));
    sets.filter(|set| may_apply(template, set)).collect()
}

/// Whether the guard lets a template be applied with these parameters, or asks for more than them.
fn may_apply(template: &Template, set: &Parameters<'_>) -> bool {
    let guard = template.when.as_ref().filter(|when| when.reads_only_parameters());
    guard.is_none_or(|guard| guard.holds(&WithoutPod::new(set)) != Ok(false))
}

/// All that must be given or have a default, and this one.
fn parameters_with<'t>(template: &'t Template, wanted: Option<&str>) -> Parameters<'t> {
    let is_omitted = |it: &Parameter| it.optional && it.default.is_none() && Some(it.name.as_str()) != wanted;
    let value = |it: &Parameter| if is_omitted(it) { Value::Null } else { it.some_sample() };
    template.parameters.iter().map(|it| (it.name.as_str(), Cow::Owned(value(it)))).collect()
}

impl Source {
    /// The same with what these parameters make of it. Holes that read a pod stay, and so do those of parameters of which
    /// nobody wrote down what a value looks like; entries of `app` whose condition does not hold, or reads a pod, are
    /// omitted. A hole that can never fit is found now rather than by a pod.
    pub(super) fn filled(&self, diagnostics: &Diagnostics<'_>, template: &Template, set: &Parameters<'_>) -> Source {
        let variables = WithoutPod::new(set);
        let values = |holes: &[Hole], prefix: &str| -> Filling {
            holes.iter().map(|hole| value(diagnostics, template, &variables, hole, prefix)).collect()
        };
        let of_pod = values(&template.pod.holes, "spec.pod.");
        let parts = self.pod.members().iter().filter_map(|(key, node)| {
            let fragment = match key.name.as_str() {
                "metadata" => template.pod.metadata.as_ref()?,
                _ => template.pod.spec.as_ref()?,
            };
            Some((key.clone(), filled(node, fragment, &of_pod)?))
        });
        let pod = Node { value: yaml::Value::Object(parts.collect()), position: self.pod.position, is_private: false };
        let shares = template.pod.shares.as_ref().and_then(|fragment| filled(&self.shares, fragment, &of_pod));
        let app = self.app.iter().filter_map(|(at, node)| {
            let entry = &template.app[*at];
            let applies = |when: &Expression| when.reads_only_parameters() && when.holds(&variables) == Ok(true);
            entry.when.as_ref().is_none_or(applies).then_some(())?;
            Some((*at, filled(node, &entry.container, &values(&entry.holes, ""))?))
        });
        Source { pod, shares: shares.unwrap_or_default(), app: app.collect() }
    }
}

/// The value of each hole, and whether it may hold a secret: nothing if it is not filled in, `null` if it is omitted.
type Filling = Vec<Option<(Value, bool)>>;

fn value(
    diagnostics: &Diagnostics<'_>,
    template: &Template,
    variables: &WithoutPod<'_>,
    hole: &Hole,
    prefix: &str,
) -> Option<(Value, bool)> {
    let reads_unknown = |is_known: fn(&Parameter) -> bool| {
        template.parameters.iter().any(|it| !is_known(it) && hole.reads_parameter(&it.name))
    };
    // Of some parameters a sample does not even show the type.
    if !hole.reads_only_parameters() || reads_unknown(Parameter::shows_its_type) {
        return None;
    }
    let is_made_up = |it: &Parameter| hole.reads_parameter(&it.name) && !it.shows(variables.parameters.get(&it.name));
    let (place, message) = match hole.fill(variables, variables.parameters) {
        // Where nobody wrote down what a value looks like, no rule can be broken before a pod gives one.
        Ok(_) if template.parameters.iter().any(is_made_up) => return None,
        Ok(fragment) => {
            let value = fragment.as_ref().map_or(Value::Null, |it| View::fragment(it).to_value());
            return Some((value, hole.is_private));
        }
        Err(RenderError::WrongType { place, message }) => (place, message),
        Err(RenderError::Expression { place, source, failure }) => {
            (place, format!("has an expression, {source}, that fails: {failure}"))
        }
    };
    let is_of_names = ["spec.shares", "spec.safeToEvictVolumes"].iter().any(|names| place.starts_with(names));
    let prefix = if is_of_names { "" } else { prefix };
    diagnostics.add(hole.position, format!("{prefix}{place}"), format!("filled with defaults and examples {message}"));
    None
}

/// A node with its holes filled in; nothing if `null` leaves nothing of it.
fn filled(node: &Node, fragment: &Fragment, values: &Filling) -> Option<Node> {
    let value = match (&fragment.shape, &node.value) {
        (Shape::Hole(at), _) => match &values[*at] {
            None => return Some(node.clone()),
            Some((Value::Null, _)) => return None,
            Some((value, is_private)) => {
                let mut node = Node::written_at(as_data(value), node.position);
                node.mark_private(*is_private);
                return Some(node);
            }
        },
        (Shape::Object(fragments), yaml::Value::Object(members)) => {
            // Both are in the order of the file.
            let mut fragments = fragments.iter().peekable();
            let there = members.iter().filter_map(|(key, node)| {
                let (_, fragment) = fragments.next_if(|(name, _)| **name == *key.name)?;
                Some((key.clone(), filled(node, fragment, values)?))
            });
            yaml::Value::Object(there.collect())
        }
        (Shape::List(fragments), yaml::Value::List(items)) => {
            // What is omitted keeps its place, so that the items behind it keep their numbers.
            let mut fragments = fragments.iter();
            let item = |node: &Node| {
                let fragment = if node.value == yaml::Value::Null { None } else { fragments.next() };
                let item = fragment.and_then(|fragment| filled(node, fragment, values));
                item.unwrap_or(Node { position: node.position, ..Node::default() })
            };
            yaml::Value::List(items.iter().map(item).collect())
        }
        _ => return Some(node.clone()),
    };
    let is_emptied = !fragment.may_be_empty && is_empty(&value) && !is_empty(&node.value);
    (!is_emptied).then_some(Node { value, position: node.position, is_private: false })
}

/// A value in which nothing is taken for an expression.
fn as_data(value: &Value) -> Value {
    match value {
        Value::String(text) => text.replace("${{", "$${{").into(),
        Value::Array(items) => items.iter().map(as_data).collect(),
        Value::Object(members) => members.iter().map(|(name, value)| (name.clone(), as_data(value))).collect(),
        scalar => scalar.clone(),
    }
}

fn is_empty(value: &yaml::Value) -> bool {
    match value {
        yaml::Value::List(items) => items.iter().all(|item| item.value == yaml::Value::Null),
        yaml::Value::Object(members) => members.is_empty(),
        _ => false,
    }
}
