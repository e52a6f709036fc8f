//! The values that an expression reads: it names them by a root and a path, and whoever evaluates it gives them.

use std::borrow::Cow;
use std::fmt;

use kube_cel::cel::Value;
use serde_json::value::RawValue;

use super::convert::{self, Weight};

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

    /// Whether there is a value at a path. It fails as [`Variables::lookup`] does.
    fn has(&self, root: Root, path: &[String]) -> Result<bool, Failure> {
        Ok(path.is_empty() || self.lookup(root, path)?.is_some())
    }

    /// Takes one evaluation from what one review may do, and fails when nothing is left.
    fn begin_evaluation(&self) -> Result<(), Failure> {
        Ok(())
    }

    /// Takes so many bytes, of input or of a result, from what one review may work on, and fails when nothing is left.
    /// What is small for one container is not for ten thousand.
    fn spend(&self, bytes: usize) -> Result<(), Failure>;
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

/// A value that an expression names.
#[derive(Debug, PartialEq)]
pub(super) struct Input {
    pub(super) root: Root,
    pub(super) path: Vec<String>,
    pub(super) wanted: Wanted,
}

/// What of a value is wanted.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Wanted {
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

impl Root {
    pub(super) const ALL: [Root; 4] = [Root::Params, Root::Pod, Root::NamespaceObject, Root::Container];

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Root::Params => "params",
            Root::Pod => "pod",
            Root::NamespaceObject => "namespaceObject",
            Root::Container => "container",
        }
    }
}

impl Input {
    /// The value that stands for this input; `None` when it, or what must be there above it, is missing.
    pub(super) fn value(&self, variables: &dyn Variables, weight: &mut Weight) -> Result<Option<Value>, Failure> {
        let has = |length: usize| variables.has(self.root, &self.path[..length]);
        let whole = self.path.len();
        let mut value = || -> Result<Option<Value>, Failure> {
            let json = variables.lookup(self.root, &self.path)?;
            json.map(|json| convert::from_json(&json, weight)).transpose().map_err(Failure::Limit)
        };
        Ok(match self.wanted {
            Wanted::Value => value()?,
            Wanted::Items => value()?.map(convert::items),
            Wanted::Presence if has(whole - 1)? => Some(Value::Bool(has(whole)?)),
            Wanted::Optional { from } if has(from)? => {
                Some(convert::optional(if has(whole)? { value()? } else { None }))
            }
            Wanted::Presence | Wanted::Optional { .. } => None,
        })
    }
}

impl fmt::Display for Input {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.root.as_str())?;
        self.path.iter().try_for_each(|name| write!(formatter, ".{name}"))
    }
}
