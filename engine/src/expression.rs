//! Expressions: Kubernetes' dialect of CEL, in a subset whose cost is known before it runs.
//!
//! This module is the only one that knows the CEL crate, because that crate trusts its input: it has no hook to count
//! steps, and a short text can make it abort the process. So a text is measured before it is parsed ([`source`]), and the
//! parsed tree before it is accepted ([`compile`]): variables, functions from a closed list, how much a result can outgrow
//! its input, and that inside a comprehension what comes from outside is only compared. What is left costs time and memory
//! in proportion to the values it names, and these are weighed before each evaluation ([`cost`]).
//!
//! Each value that an expression names by a path, such as `pod.spec.containers`, becomes a variable of its own, so that
//! only these are ever converted ([`convert`]).

mod compile;
mod convert;
mod cost;
mod path;
pub(crate) mod pieces;
mod source;
mod typing;
mod variables;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::LazyLock;

use kube_cel::KubeCelExt;
use kube_cel::cel::parser::Expression as Tree;
use kube_cel::cel::{Context, ExecutionError, Value};

pub(crate) use cost::STEP;
pub use source::Invalid;
pub use typing::Scope;
pub use variables::{Failure, Root, Variables};

/// An expression that was accepted.
#[derive(Debug)]
pub struct Expression {
    source: String,
    tree: Tree,
    inputs: Vec<variables::Input>,
    cost: cost::Cost,
    can_be_boolean: bool,
}

static FUNCTIONS: LazyLock<Context<'static>> = LazyLock::new(|| Context::default().with_all());

impl Expression {
    /// Checks a text and keeps it as a tree.
    ///
    /// # Errors
    ///
    /// With what is wrong, in words for the template's author.
    pub fn compile(source: &str, scope: &Scope<'_>) -> Result<Expression, Invalid> {
        let mut tree = source::parse(source)?;
        let (inputs, cost, shape) = compile::compile(&mut tree, scope)?;
        Ok(Expression { source: source.trim().to_owned(), tree, inputs, cost, can_be_boolean: shape.can_be_boolean() })
    }

    /// The text, for messages.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Whether it reads nothing but parameters, so that it has one value for all pods with the same ones.
    pub fn reads_only_parameters(&self) -> bool {
        self.inputs.iter().all(|input| input.root == Root::Params)
    }

    /// Whether it goes through the items of something.
    pub(crate) fn loops(&self) -> bool {
        self.cost.steps > 0
    }

    /// Whether its value can be `true` or `false`. It cannot when the expression or the schema gives it another type.
    pub(crate) fn can_be_boolean(&self) -> bool {
        self.can_be_boolean
    }

    /// Whether its value depends on a parameter.
    pub fn reads_parameter(&self, name: &str) -> bool {
        self.inputs.iter().any(|it| it.root == Root::Params && it.path.first().is_none_or(|first| first == name))
    }

    /// The expression's value for these variables.
    ///
    /// # Errors
    ///
    /// When a value is missing or of the wrong type, or when it would cost too much.
    pub fn evaluate(&self, variables: &dyn Variables) -> Result<serde_json::Value, Failure> {
        variables.begin_evaluation()?;
        let mut context = FUNCTIONS.new_inner_scope();
        let mut weight = convert::Weight::default();
        for (at, input) in self.inputs.iter().enumerate() {
            // What is missing is not bound, so that `has(a) && a.b` works; using it is reported below.
            if let Some(value) = input.value(variables, &mut weight)? {
                context.add_variable_from_value(compile::variable(at), value);
            }
        }
        let steps = self.cost.steps(&weight).map_err(Failure::Limit)?;
        variables.spend((weight.bytes + STEP * steps) as usize)?;
        // The crate's own faults must not take the server down with them.
        let value = catch_unwind(AssertUnwindSafe(|| Value::resolve(&self.tree, &context)))
            .map_err(|_| Failure::Failed("the expression could not be evaluated".into()))?
            .map_err(|error| Failure::Failed(self.explain(&error)))?;
        convert::to_json(&value).map_err(Failure::Failed)
    }

    /// The expression's value, which must be `true` or `false`.
    ///
    /// # Errors
    ///
    /// As [`Expression::evaluate`].
    pub fn holds(&self, variables: &dyn Variables) -> Result<bool, Failure> {
        match self.evaluate(variables)? {
            serde_json::Value::Bool(value) => Ok(value),
            _ => Err(Failure::Failed("it must give true or false".into())),
        }
    }

    /// In words of the template's author, and without the values: they may be a pod's secrets.
    fn explain(&self, error: &ExecutionError) -> String {
        match error {
            ExecutionError::UndeclaredReference(name) => {
                match (0..).zip(&self.inputs).find(|(at, _)| compile::variable(*at) == **name) {
                    Some((_, input)) => format!("{input} is not set; ask with has() or use .?"),
                    None => format!("{name} is not known"),
                }
            }
            ExecutionError::NoSuchKey(_) => "a key that it asks for is not there; ask with has() or use .?".into(),
            ExecutionError::IndexOutOfBounds(_) => "a list has fewer items than the index asks for".into(),
            ExecutionError::NoSuchOverload
            | ExecutionError::UnsupportedBinaryOperator(..)
            | ExecutionError::ValuesNotComparable(..)
            | ExecutionError::UnexpectedType { .. } => {
                "an operator or function got a value of the wrong type; string(), int() and quantity() convert".into()
            }
            ExecutionError::DivisionByZero(_) | ExecutionError::RemainderByZero(_) => "division by zero".into(),
            ExecutionError::Overflow(..) => "the result does not fit into 64 bits".into(),
            ExecutionError::FunctionError { function, .. } => format!("{function}() failed on this value"),
            _ => "it cannot be evaluated for this pod".into(),
        }
    }
}

#[cfg(test)]
mod tests;
