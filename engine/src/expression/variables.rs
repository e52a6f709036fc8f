//! The values that an expression reads, each named by a root and a path.

use std::borrow::Cow;
use std::fmt;

use kube_cel::cel::Value;

use super::convert::{self, Weight};

/// The variables that an expression may name.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Root {
    Params,
    /// The pod, without what Pillion added.
    Pod,
    /// The pod's namespace, called so in Kubernetes' own policies.
    NamespaceObject,
    /// The container at hand, inside `app`.
    Container,
}

/// Gives an expression the values that it names.
pub(crate) trait Variables {
    /// The value at a path, as JSON; `None` if it is not there.
    fn lookup(&self, root: Root, path: &[String]) -> Result<Option<Cow<'_, str>>, Failure>;

    /// Whether there is a value at a path.
    fn has(&self, root: Root, path: &[String]) -> Result<bool, Failure> {
        Ok(path.is_empty() || self.lookup(root, path)?.is_some())
    }

    /// Counts an evaluation, and fails when one review may do no more.
    fn begin_evaluation(&self) -> Result<(), Failure> {
        Ok(())
    }

    /// Counts bytes of input or of a result, and fails when one review may work on no more.
    fn spend(&self, bytes: usize) -> Result<(), Failure>;
}

/// Why an evaluation gave no value.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub(crate) enum Failure {
    #[error("{0}")]
    Failed(String),
    /// It would cost too much.
    #[error("{0}")]
    Limit(String),
    #[error("the namespace's labels and annotations are not known to this server")]
    UnknownNamespace,
}

/// A value that an expression reads.
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
    /// What a comprehension goes through: a list's items or an object's keys, sorted, as the crate's order is random.
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
    /// The value of its variable; `None` if it, or what must be there above it, is missing.
    pub(super) fn value(&self, variables: &dyn Variables, weight: &mut Weight) -> Result<Option<Value>, Failure> {
        let whole = self.path.len();
        let has = |length: usize| variables.has(self.root, &self.path[..length]);
        let mut value = || match variables.lookup(self.root, &self.path)? {
            Some(json) => convert::from_json(&json, weight).map(Some).map_err(Failure::Limit),
            None => Ok(None),
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
