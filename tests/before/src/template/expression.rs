//! Expressions: Kubernetes' dialect of CEL, in a subset whose cost is known before it runs.
//!
//! This module is the only one that knows the CEL crate, because that crate trusts its input: it has no hook to count
//! steps, and a short text can make it abort the process. So a text is checked before it is parsed ([`check`]: length
//! and nesting), and the parsed tree before it is accepted: variables, functions from a closed list, how much a result
//! can outgrow its input, and that inside a comprehension what comes from outside is only compared. What is left costs
//! time and memory in proportion to the values it names, and these are weighed before each evaluation.
//!
//! Each value that an expression names by a path, such as `pod.spec.containers`, becomes a variable of its own, so that
//! only these are ever converted ([`convert`]).

mod check;
mod convert;
mod path;

use std::borrow::Cow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::LazyLock;

use kube_cel::KubeCelExt;
use kube_cel::cel::parser::Expression as Tree;
use kube_cel::cel::{Context, ExecutionError, Value};
use serde_json::value::RawValue;

pub use check::{Invalid, Scope};

/// The text of one evaluation's input, all values together.
const MAX_INPUT: u64 = 1 << 20;
/// The values in it: each takes some hundred bytes, however short its text.
const MAX_INPUT_VALUES: u64 = 1 << 16;
/// What an evaluation may build: its input times what the expression can make of it.
const MAX_GROWN: u64 = 4 << 20;
/// Steps of comprehensions in one evaluation. One takes about a quarter of a microsecond.
const MAX_STEPS: u64 = 1 << 20;
/// As many bytes of what one review may work on does a step count for: all its evaluations together take half a second.
pub(crate) const STEP: u64 = 8;

/// The variables that an expression may name.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Root {
    /// The template's parameters.
    Params,
    /// The pod, without what Pillion added.
    Pod,
    /// The namespace, as in Kubernetes' own policies.
    NamespaceObject,
    /// The container at hand, inside `app`.
    Container,
}

/// Gives an expression the values that it names.
pub trait Variables {
    /// The value at a path, as JSON; `None` when it is not there.
    ///
    /// # Errors
    ///
    /// When the root itself cannot be had, such as a namespace that nobody has told us of.
    fn lookup(&self, root: Root, path: &[String]) -> Result<Option<Cow<'_, RawValue>>, Failure>;

    /// Whether there is a value at a path.
    ///
    /// # Errors
    ///
    /// As [`Variables::lookup`].
    fn has(&self, root: Root, path: &[String]) -> Result<bool, Failure> {
        Ok(path.is_empty() || self.lookup(root, path)?.is_some())
    }

    /// Takes one evaluation from what one review may do.
    ///
    /// # Errors
    ///
    /// When nothing is left.
    fn begin_evaluation(&self) -> Result<(), Failure> {
        Ok(())
    }

    /// Takes so many bytes, of input or of a result, from what one review may work on. What is small for one container
    /// is not for ten thousand.
    ///
    /// # Errors
    ///
    /// When nothing is left.
    fn spend(&self, bytes: usize) -> Result<(), Failure>;
}

/// An expression that was accepted.
#[derive(Debug)]
pub struct Expression {
    source: String,
    tree: Tree,
    inputs: Vec<Input>,
    cost: Cost,
}

/// A value that the expression names, and the variable that stands for it in the tree.
#[derive(Debug, PartialEq)]
struct Input {
    variable: String,
    root: Root,
    path: Vec<String>,
    wanted: Wanted,
}

/// What of a value is wanted.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Wanted {
    /// The value; an error when it is not there.
    Value,
    /// Whether it is there: `has(pod.spec.os)`. Everything above it must be.
    Presence,
    /// What a comprehension goes through: the items of a list, or the keys of an object in their order. The crate would
    /// take the keys in an order that changes from run to run.
    Items,
    /// The value or nothing: `pod.spec.?os.?name`. The first `from` names must be there.
    Optional { from: usize },
}

/// What an evaluation can cost, as a multiple of its input.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Cost {
    /// How many times its input a result can become.
    growth: u64,
    /// Steps for each item of the input; zero when nothing is iterated.
    steps: u64,
    /// Whether a list is built item by item, which takes the crate the square of its length.
    gathers: bool,
    /// The items and members of all lists and objects that are written out, and the one-item lists that `map` and `filter`
    /// stand for: so much can be in what is gathered of an item.
    built: u64,
    /// Whether each character of a string can become an item.
    splits: bool,
}

/// Why an evaluation gave no value.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Failure {
    /// It went wrong, for the reason given.
    #[error("{0}")]
    Failed(String),
    /// It would have cost too much, for the reason given.
    #[error("{0}")]
    Limit(String),
    /// It names the namespace, of which nobody has told us.
    #[error("the namespace's labels and annotations are not known to this server")]
    UnknownNamespace,
}

static FUNCTIONS: LazyLock<Context<'static>> = LazyLock::new(|| Context::default().with_all());

impl Expression {
    /// Checks a text and keeps it as a tree.
    ///
    /// # Errors
    ///
    /// With what is wrong, in words for the template's author.
    pub fn compile(source: &str, scope: &Scope<'_>) -> Result<Expression, Invalid> {
        let (tree, inputs, cost) = check::check(source, scope)?;
        Ok(Expression { source: source.trim().to_owned(), tree, inputs, cost })
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
        for input in &self.inputs {
            // What is missing is not bound, so that `has(a) && a.b` works; using it is reported below.
            if let Some(value) = input.value(variables, &mut weight)? {
                context.add_variable_from_value(input.variable.as_str(), value);
            }
        }
        let steps = self.cost.steps(&weight)?;
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
                match self.inputs.iter().find(|input| input.variable == **name) {
                    Some(input) => format!("{input} is not set; ask with has() or use .?"),
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

impl Input {
    fn value(&self, variables: &dyn Variables, weight: &mut convert::Weight) -> Result<Option<Value>, Failure> {
        let has = |path: &[String]| variables.has(self.root, path);
        let mut value = || -> Result<Option<Value>, Failure> {
            let json = variables.lookup(self.root, &self.path)?;
            json.map(|json| convert::from_json(&json, weight)).transpose()
        };
        match self.wanted {
            Wanted::Presence if has(&self.path[..self.path.len() - 1])? => Ok(Some(Value::Bool(has(&self.path)?))),
            Wanted::Optional { from } if has(&self.path[..from])? => {
                let there = if has(&self.path)? { value()? } else { None };
                Ok(Some(convert::optional(there)))
            }
            Wanted::Presence | Wanted::Optional { .. } => Ok(None),
            Wanted::Value => value(),
            Wanted::Items => Ok(value()?.map(convert::items)),
        }
    }
}

impl std::fmt::Display for Input {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(self.root.as_str())?;
        self.path.iter().try_for_each(|name| write!(formatter, ".{name}"))
    }
}

impl Root {
    const ALL: [Root; 4] = [Root::Params, Root::Pod, Root::NamespaceObject, Root::Container];

    fn as_str(self) -> &'static str {
        match self {
            Root::Params => "params",
            Root::Pod => "pod",
            Root::NamespaceObject => "namespaceObject",
            Root::Container => "container",
        }
    }
}

impl Cost {
    /// The steps that an evaluation takes at the most.
    fn steps(&self, weight: &convert::Weight) -> Result<u64, Failure> {
        let items = if self.splits { weight.bytes } else { weight.items };
        let steps = items.saturating_mul(self.steps);
        let bytes = weight.bytes;
        if bytes > MAX_INPUT {
            return Err(Failure::Limit(format!("it works on {bytes} bytes, and {MAX_INPUT} are allowed")));
        }
        let grown = bytes.saturating_mul(self.growth);
        if grown > MAX_GROWN {
            let message = format!("it could make {grown} bytes of {bytes}, and {MAX_GROWN} are allowed");
            return Err(Failure::Limit(message));
        }
        // For each item all that was gathered before is copied, with what was built into it: that takes half as long.
        let copied = items.saturating_mul(items).saturating_mul(self.built.div_ceil(2)) / 4;
        let gathered = if self.gathers { copied } else { 0 };
        let steps = steps.saturating_add(gathered);
        if steps > MAX_STEPS {
            return Err(Failure::Limit(format!("it goes through {items} items, which is too many")));
        }
        Ok(steps)
    }
}

#[cfg(test)]
mod tests;
