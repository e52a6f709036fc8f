//! The values that an expression reads, each named by a root and a path.

use std::borrow::Cow;
use std::fmt;

use super::value::{self, Value, Weight};

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
    /// Whether its numbers are doubles, however they are written.
    pub(super) double: bool,
    /// Whether many pods do not have it: a key of labels, or the name.
    pub(super) is_key: bool,
}

/// What of a value is wanted.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Wanted {
    /// The value; an error when it is not there.
    Value,
    /// Whether it is there: `has(pod.spec.os)`. Everything above it must be.
    Presence,
    /// The value or nothing: `pod.spec.?os.?name`. The first `from` names must be there.
    Optional { from: usize },
}

/// What was found of an input.
pub(super) enum Text<'v> {
    /// It, or what must be there above it, is missing.
    Missing,
    Presence(bool),
    Json(Cow<'v, str>),
    Optional(Option<Cow<'v, str>>),
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
    /// Looks it up.
    pub(super) fn read<'v>(&self, variables: &'v dyn Variables) -> Result<Text<'v>, Failure> {
        let whole = self.path.len();
        let has = |length: usize| variables.has(self.root, &self.path[..length]);
        Ok(match self.wanted {
            Wanted::Value => variables.lookup(self.root, &self.path)?.map_or(Text::Missing, Text::Json),
            Wanted::Presence if has(whole - 1)? => Text::Presence(has(whole)?),
            Wanted::Optional { from } if has(from)? => {
                Text::Optional(if has(whole)? { variables.lookup(self.root, &self.path)? } else { None })
            }
            Wanted::Presence | Wanted::Optional { .. } => Text::Missing,
        })
    }

    /// The value of what was found; `None` if it is missing.
    pub(super) fn value<'v>(&self, found: &'v Text<'_>, weight: &mut Weight) -> Result<Option<Value<'v>>, Failure> {
        let mut read = |json: &'v str| match value::from_json(json, weight).map_err(Failure::Limit)? {
            Value::Int(number) if self.double => Ok(Value::Double(number as f64)),
            value => Ok(value),
        };
        Ok(Some(match found {
            Text::Missing => return Ok(None),
            Text::Presence(is_there) => Value::Bool(*is_there),
            Text::Json(json) => read(json)?,
            Text::Optional(None) => Value::Optional(None),
            Text::Optional(Some(json)) => Value::some(read(json)?),
        }))
    }

    /// Says that it is missing, and how to ask for it.
    pub(super) fn missing(&self) -> String {
        // What must be there above it may be what is missing.
        let name = self.to_string();
        match (self.root, self.path.iter().map(String::as_str).collect::<Vec<_>>().as_slice()) {
            (Root::Pod, ["metadata", "name"]) => format!(
                "{name} is not set: the pods of workloads have no name yet when they are injected; read generateName, or give the \
                 container a variable with valueFrom.fieldRef.fieldPath metadata.name"
            ),
            (Root::Pod, ["metadata", "uid"]) => format!(
                "{name} is not set: a pod has none yet when it is injected; give the container a variable with \
                 valueFrom.fieldRef.fieldPath metadata.uid"
            ),
            _ => format!("{name} is not set; ask with has() or use .?"),
        }
    }
}

impl fmt::Display for Input {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.root.as_str())?;
        self.path.iter().try_for_each(|name| formatter.write_str(&step(name)))
    }
}

/// A member's name as it is written behind what it is a member of.
pub(super) fn step(name: &str) -> String {
    let is_name = name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if is_name { format!(".{name}") } else { format!("['{}']", name.escape_debug()) }
}
