//! The types of values, as far as the schema and the expression tell.

use std::collections::BTreeMap;

use super::variables::Root;
use crate::schema::{Scalar, ScalarKind, Schema, Type};
use crate::text::{article, did_you_mean, nearest};

/// The names that an expression may use.
#[derive(Debug)]
pub(crate) struct Scope<'a> {
    /// The template's parameters and whether each is a list.
    pub(crate) parameters: BTreeMap<&'a str, bool>,
    /// Whether `container` is there: inside `app`.
    pub(crate) container: bool,
}

/// What is known of a value's type.
#[derive(Clone, Copy, Debug)]
pub(super) enum Shape {
    /// The type of a field of the pod.
    Known(&'static Type),
    /// A list of anything.
    List,
    /// A number, a string or an object.
    Other,
    /// Anything.
    Unknown,
}

impl Scope<'_> {
    /// The shape of the value at a path.
    pub(super) fn shape(&self, root: Root, path: &[String]) -> Result<Shape, String> {
        let mut shape = match (root, path) {
            (Root::Params, []) => return Err("name a parameter: params.NAME".into()),
            (Root::Params, [name, rest @ ..]) => {
                let Some(is_list) = self.parameters.get(name.as_str()) else {
                    let near = did_you_mean(nearest(name, self.parameters.keys().copied()));
                    return Err(format!("parameter {name} is not declared{near}"));
                };
                return Ok(if *is_list && rest.is_empty() { Shape::List } else { Shape::Unknown });
            }
            // Servers watch the metadata of namespaces alone.
            (Root::NamespaceObject, [name, ..]) if !["metadata", "apiVersion", "kind"].contains(&name.as_str()) => {
                return Err("namespaceObject has metadata alone: its name, labels and annotations".into());
            }
            (Root::NamespaceObject, _) => return Ok(Shape::Unknown),
            (Root::Container, _) if !self.container => return Err("container is only known inside app".into()),
            (Root::Container, _) => Shape::Known(Schema::get().spec.item("containers")),
            (Root::Pod, _) => Shape::Known(&Schema::get().pod),
        };
        let mut so_far = root.as_str().to_owned();
        for name in path {
            shape = shape.member(name, &so_far)?;
            so_far = format!("{so_far}.{name}");
        }
        Ok(shape)
    }
}

impl Shape {
    /// The shape of a member. `of` is the value's name in messages.
    pub(super) fn member(self, name: &str, of: &str) -> Result<Shape, String> {
        let near = match self {
            Shape::Known(Type::Object(object)) => match object.fields.get(name) {
                Some(kind) => return Ok(Shape::Known(kind)),
                None => object.nearest(name),
            },
            Shape::Known(Type::Map(value)) => return Ok(Shape::Known(value)),
            Shape::Known(_) | Shape::List => None,
            Shape::Other | Shape::Unknown => return Ok(Shape::Unknown),
        };
        Err(format!("{of} has no field {name}{}", did_you_mean(near)))
    }

    /// What it is called in messages.
    pub(super) fn name(self) -> String {
        match self {
            Shape::Known(Type::Object(object)) => article(&object.name),
            _ if self.is_list() => "a list".to_owned(),
            _ => "a value".to_owned(),
        }
    }

    /// The shape of a list's items, or of an object's values.
    pub(super) fn item(self) -> Shape {
        match self {
            Shape::Known(Type::List { item, .. } | Type::Map(item)) => Shape::Known(item),
            _ => Shape::Unknown,
        }
    }

    /// The shape of a value that is one of two.
    pub(super) fn or(self, other: Shape) -> Shape {
        if self.is_list() && other.is_list() {
            Shape::List
        } else if self.can_be_boolean() || other.can_be_boolean() {
            Shape::Unknown
        } else {
            Shape::Other
        }
    }

    pub(super) fn is_list(self) -> bool {
        matches!(self, Shape::List | Shape::Known(Type::List { .. }))
    }

    /// Whether it can be `true` or `false`. What is not a plain type of JSON is taken to be.
    pub(super) fn can_be_boolean(self) -> bool {
        use ScalarKind::{Any, Boolean, IntOrString};
        matches!(self, Shape::Unknown | Shape::Known(Type::Scalar(Scalar { kind: Boolean | IntOrString | Any, .. })))
    }
}
