//! What is known of a value before there is one: its type, as far as the schema and the expression tell.

use std::collections::BTreeMap;

use super::source::{Invalid, invalid};
use super::variables::Root;
use crate::schema::{ScalarKind, Schema, Type};
use crate::text::{article, did_you_mean, nearest};

/// The names that an expression may use.
#[derive(Debug)]
pub struct Scope<'a> {
    /// The template's parameters and whether each is a list.
    pub parameters: BTreeMap<&'a str, bool>,
    /// Whether `container` is there: inside `app`.
    pub container: bool,
}

/// What is known of a value's type.
#[derive(Clone, Copy)]
pub(super) enum Shape {
    /// The type of a field of the pod.
    Known(&'static Type),
    /// A list of whatever it is.
    List,
    /// A number, a text or an object: neither a list nor `true` or `false`.
    Other,
    /// It may be anything.
    Unknown,
}

impl Scope<'_> {
    /// The shape of the value at a path.
    pub(super) fn shape(&self, root: Root, path: &[String]) -> Result<Shape, Invalid> {
        let kind = match root {
            Root::Params => {
                let Some((name, rest)) = path.split_first() else {
                    return invalid("name a parameter: params.NAME");
                };
                return match self.parameters.get(name.as_str()) {
                    Some(true) if rest.is_empty() => Ok(Shape::List),
                    Some(_) => Ok(Shape::Unknown),
                    None => {
                        let near = did_you_mean(nearest(name, self.parameters.keys().copied()));
                        invalid(format!("parameter {name} is not declared{near}"))
                    }
                };
            }
            // Servers watch the metadata of namespaces alone.
            Root::NamespaceObject => {
                return match path.first().map(String::as_str) {
                    None | Some("metadata" | "apiVersion" | "kind") => Ok(Shape::Unknown),
                    Some(_) => invalid("namespaceObject has metadata alone: its name, labels and annotations"),
                };
            }
            Root::Container if !self.container => return invalid("container is only known inside app"),
            Root::Container => Schema::get().spec.item("containers"),
            Root::Pod => &Schema::get().pod,
        };
        let (mut shape, mut so_far) = (Shape::Known(kind), root.as_str().to_owned());
        for name in path {
            shape = shape.member(name, &so_far)?;
            so_far = format!("{so_far}.{name}");
        }
        Ok(shape)
    }
}

impl Shape {
    /// The shape of a member. `of` is what has it, for the message when there is no such member.
    pub(super) fn member(self, name: &str, of: &str) -> Result<Shape, Invalid> {
        let near = match self {
            Shape::Known(Type::Object(object)) => match object.fields.get(name) {
                Some(kind) => return Ok(Shape::Known(kind)),
                None => object.nearest(name),
            },
            Shape::Known(Type::Map(value)) => return Ok(Shape::Known(value)),
            Shape::Known(_) | Shape::List => None,
            Shape::Other | Shape::Unknown => return Ok(Shape::Unknown),
        };
        invalid(format!("{of} has no field {name}{}", did_you_mean(near)))
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
            Shape::Known(Type::List { item, .. }) => Shape::Known(item),
            Shape::Known(Type::Map(value)) => Shape::Known(value),
            _ => Shape::Unknown,
        }
    }

    /// The shape of a value that is one of two.
    pub(super) fn or(self, other: Shape) -> Shape {
        match (self.is_list() && other.is_list(), self.can_be_boolean() || other.can_be_boolean()) {
            (true, _) => Shape::List,
            (false, true) => Shape::Unknown,
            (false, false) => Shape::Other,
        }
    }

    pub(super) fn is_list(self) -> bool {
        matches!(self, Shape::List | Shape::Known(Type::List { .. }))
    }

    /// Whether it can be `true` or `false`. What is not a plain type of JSON is taken to be.
    pub(super) fn can_be_boolean(self) -> bool {
        match self {
            Shape::Known(Type::Scalar(scalar)) => {
                matches!(scalar.kind, ScalarKind::Boolean | ScalarKind::IntOrString | ScalarKind::Any)
            }
            Shape::Known(_) | Shape::List | Shape::Other => false,
            Shape::Unknown => true,
        }
    }
}
