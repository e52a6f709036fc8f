//! Expressions: a subset of Kubernetes' dialect of CEL whose cost is known before it runs.
//!
//! The CEL crate trusts its input: it counts no steps, and a short text can make it abort the process. So this module
//! alone uses it. It measures a text before it is parsed ([`source`]) and the tree before it is accepted ([`compile`]).
//! What is left costs time and memory in proportion to its input, which is weighed before each evaluation ([`cost`]).
//!
//! Each path of an expression, such as `pod.spec.containers`, becomes a variable of its own, so that nothing else of the
//! pod is ever converted ([`convert`]).

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

pub(crate) use cost::{MAX_WORK, STEP};
pub(crate) use typing::Scope;
pub(crate) use variables::{Failure, Root, Variables};

/// An expression that was accepted.
#[derive(Debug)]
pub(crate) struct Expression {
    /// The text, for messages.
    pub(crate) source: String,
    tree: Tree,
    inputs: Box<[variables::Input]>,
    cost: cost::Cost,
    shape: typing::Shape,
}

static FUNCTIONS: LazyLock<Context<'static>> = LazyLock::new(|| Context::default().with_all());

impl Expression {
    /// Parses and checks a text, or says what is wrong in words for the template's author.
    pub(crate) fn compile(source: &str, scope: &Scope<'_>) -> Result<Expression, String> {
        let mut tree = source::parse(source)?;
        let (inputs, cost, shape) = compile::compile(&mut tree, scope)?;
        Ok(Expression { source: source.trim().to_owned(), tree, inputs: inputs.into(), cost, shape })
    }

    /// Whether it reads nothing but parameters.
    pub(crate) fn reads_only_parameters(&self) -> bool {
        self.inputs.iter().all(|input| input.root == Root::Params)
    }

    /// Whether it has a comprehension.
    pub(crate) fn loops(&self) -> bool {
        self.cost.steps > 0
    }

    /// Whether its value can be `true` or `false`, as far as its type is known.
    pub(crate) fn can_be_boolean(&self) -> bool {
        self.shape.can_be_boolean()
    }

    /// Whether it reads a parameter.
    pub(crate) fn reads_parameter(&self, name: &str) -> bool {
        self.inputs.iter().any(|it| it.root == Root::Params && it.path.first().is_none_or(|first| first == name))
    }

    /// The expression's value for these variables.
    pub(crate) fn evaluate(&self, variables: &dyn Variables) -> Result<serde_json::Value, Failure> {
        variables.begin_evaluation()?;
        let mut context = FUNCTIONS.new_inner_scope();
        let mut weight = convert::Weight::default();
        for (at, input) in self.inputs.iter().enumerate() {
            // What is missing is not bound, so that `has(a) && a.b` works; using it is an error.
            if let Some(value) = input.value(variables, &mut weight)? {
                context.add_variable_from_value(compile::variable(at), value);
            }
        }
        let steps = self.cost.steps(&weight).map_err(Failure::Limit)?;
        variables.spend((weight.bytes + STEP * steps) as usize)?;
        // The crate may panic.
        let value = catch_unwind(AssertUnwindSafe(|| Value::resolve(&self.tree, &context)))
            .map_err(|_| Failure::Failed("the expression could not be evaluated".into()))?
            .map_err(|error| Failure::Failed(self.explain(&error)))?;
        convert::to_json(&value).map_err(Failure::Failed)
    }

    /// The expression's value, which must be `true` or `false`.
    pub(crate) fn holds(&self, variables: &dyn Variables) -> Result<bool, Failure> {
        match self.evaluate(variables)? {
            serde_json::Value::Bool(value) => Ok(value),
            _ => Err(Failure::Failed("it must give true or false".into())),
        }
    }

    /// The error in words for the template's author, and without values: they may be a pod's secrets.
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
