//! Expressions: a subset of Kubernetes' dialect of CEL that means what it means in Kubernetes, and whose cost has a bound.
//!
//! The CEL crate reads the text; this module alone uses it. It trusts its input, so the text is measured before it is parsed
//! ([`source`]). What an expression means is decided here, because it must be what Kubernetes' own evaluator says: types are
//! checked when a template is loaded ([`compile`]), against the schema of a pod and what [`functions`] take. What is accepted
//! is counted while it is evaluated, and stopped when it does too much ([`meter`]).
//!
//! Each path of an expression, such as `pod.spec.containers`, is looked up by itself, so that nothing else of the pod is ever
//! read ([`variables`]).

mod compile;
mod evaluate;
mod functions;
mod meter;
mod numbers;
mod path;
pub(crate) mod pieces;
mod source;
mod types;
mod value;
mod variables;

use std::fmt;

pub(crate) use meter::MAX_WORK;
pub(crate) use types::{Scope, Type};
pub(crate) use variables::{Failure, Root, Variables};

use crate::schema::Schema;

/// An expression that was accepted.
#[derive(Debug)]
pub(crate) struct Expression {
    /// The text, for messages.
    pub(crate) source: String,
    /// The type of its value.
    pub(crate) kind: Type,
    root: evaluate::Node,
    inputs: Box<[variables::Input]>,
    /// The keys that it asks for with `in`.
    asked: Box<[Key]>,
    /// Whether it has a comprehension.
    pub(crate) loops: bool,
}

/// A key of an object such as labels, or a field, that not every pod has.
#[derive(Debug, PartialEq)]
pub(crate) struct Key {
    pub(crate) root: Root,
    pub(crate) path: Vec<String>,
}

impl Key {
    /// How an expression asks whether it is there.
    pub(crate) fn asking(&self) -> String {
        let (key, of) = self.path.split_last().expect("a key is of something");
        match variables::step(key) {
            step if step.starts_with('.') => format!("has({self})"),
            step => format!("{} in {}", &step[1..step.len() - 1], Key { root: self.root, path: of.to_vec() }),
        }
    }

    /// How an expression reads it if it is there.
    pub(crate) fn optional(&self) -> String {
        let (key, of) = self.path.split_last().expect("a key is of something");
        let of = Key { root: self.root, path: of.to_vec() };
        match variables::step(key) {
            step if step.starts_with('.') => format!("{of}.?{}", &step[1..]),
            step => format!("{of}[?{}", &step[1..]),
        }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.root.as_str())?;
        self.path.iter().try_for_each(|name| formatter.write_str(&variables::step(name)))
    }
}

impl Expression {
    /// Parses and checks a text, or says what is wrong in words for the template's author.
    pub(crate) fn compile(source: &str, scope: &Scope<'_>) -> Result<Expression, String> {
        let tree = source::parse(source)?;
        let compile::Compiled { node, inputs, asked, loops, kind } = compile::compile(&tree, scope)?;
        let (inputs, asked) = (inputs.into(), asked.into());
        Ok(Expression { source: source.trim().to_owned(), kind, root: node, inputs, asked, loops })
    }

    /// Whether it reads nothing but parameters.
    pub(crate) fn reads_only_parameters(&self) -> bool {
        self.inputs.iter().all(|input| input.root == Root::Params)
    }

    /// Whether it reads the pod, or a container of it.
    pub(crate) fn reads_pod(&self) -> bool {
        self.inputs.iter().any(|input| matches!(input.root, Root::Pod | Root::Container))
    }

    /// Whether it reads a parameter.
    pub(crate) fn reads_parameter(&self, name: &str) -> bool {
        self.inputs.iter().any(|it| it.root == Root::Params && it.path.first().is_none_or(|first| first == name))
    }

    /// Whether it reads where pods keep secrets.
    pub(crate) fn reads_private(&self) -> bool {
        let schema = Schema::get();
        let read = |input: &variables::Input| {
            let whole = match input.root {
                Root::Pod => Some(&schema.pod),
                Root::Container => schema.spec.fields.get("containers").and_then(|list| list.child("")),
                Root::Params | Root::NamespaceObject => None,
            };
            input.path.iter().try_fold(whole?, |whole, step| whole.child(step))
        };
        self.inputs.iter().filter_map(read).any(|kind| kind.holds_private())
    }

    /// The keys that it reads, though a pod without them makes it fail.
    pub(crate) fn keys(&self) -> impl Iterator<Item = Key> {
        let read = self.inputs.iter().filter(|input| input.is_key && input.wanted == variables::Wanted::Value);
        read.map(|input| Key { root: input.root, path: input.path.clone() })
    }

    /// Whether it asks if that key is there.
    pub(crate) fn asks_for(&self, key: &Key) -> bool {
        let asks = |input: &variables::Input| {
            input.wanted != variables::Wanted::Value && input.root == key.root && input.path == key.path
        };
        self.asked.contains(key) || self.inputs.iter().any(asks)
    }

    /// The expression's value for these variables.
    pub(crate) fn evaluate(&self, variables: &dyn Variables) -> Result<serde_json::Value, Failure> {
        self.with_value(variables, |value, meter| value::to_json(value, meter).map_err(|fault| fault.of("it")))
    }

    /// The expression's value, which must be `true` or `false`.
    pub(crate) fn holds(&self, variables: &dyn Variables) -> Result<bool, Failure> {
        self.with_value(variables, |value, _| match value {
            value::Value::Bool(value) => Ok(*value),
            _ => Err(Failure::Failed("it must give true or false".into())),
        })
    }

    /// Evaluates it, and hands on the value before what it was made of is gone. What that took is counted.
    fn with_value<T>(
        &self,
        variables: &dyn Variables,
        hand_on: impl FnOnce(&value::Value<'_>, &meter::Meter) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        variables.begin_evaluation()?;
        let texts = self.inputs.iter().map(|input| input.read(variables)).collect::<Result<Vec<_>, _>>()?;
        let mut weight = value::Weight::default();
        let values = self.inputs.iter().zip(&texts).map(|(input, text)| input.value(text, &mut weight));
        let inputs = values.collect::<Result<Vec<_>, _>>()?;
        variables.spend(weight.bytes as usize)?;
        let (missing, meter) = (|at: usize| self.inputs[at].missing(), meter::Meter::default());
        let mut frame = evaluate::Frame { inputs: &inputs, missing: &missing, items: Vec::new(), meter: &meter };
        let value = self.root.evaluate(&mut frame).and_then(|value| hand_on(&value, &meter));
        variables.spend(meter.spent())?;
        value
    }
}

#[cfg(test)]
mod tests;
