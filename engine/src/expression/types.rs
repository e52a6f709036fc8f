//! CEL's types, which of them fit together, and the names that an expression may use.
//!
//! Types fit together as in Kubernetes' own checker: what is not known until it runs is `dyn`, which fits everything.

use std::collections::BTreeMap;
use std::fmt;

use super::variables::Root;
use crate::schema::{self, Object, ScalarKind, Schema};
use crate::text::{article, did_you_mean, nearest};

/// The type of a value, as far as it is known when a template is loaded.
#[derive(Clone, Debug)]
pub(crate) enum Type {
    /// Anything.
    Dyn,
    Null,
    Bool,
    Int,
    Double,
    String,
    Duration,
    Quantity,
    /// A pod, a container, or another object with known fields.
    Object(&'static Object),
    List(Box<Type>),
    Map(Box<Type>, Box<Type>),
    Optional(Box<Type>),
    /// It or `null`: an optional parameter, or `a ? null : b`.
    Nullable(Box<Type>),
    /// A type that is still to be found; a letter in a signature.
    Variable(usize),
}

/// The names that an expression may use.
#[derive(Debug)]
pub(crate) struct Scope<'a> {
    /// The template's parameters.
    pub(crate) parameters: BTreeMap<&'a str, Type>,
    /// Whether `container` is there: inside `app`.
    pub(crate) container: bool,
}

impl Scope<'_> {
    /// The type of a variable, if it can be read as a whole.
    pub(super) fn whole(&self, root: Root) -> Result<Type, String> {
        match root {
            Root::Params => Err("name a parameter: params.NAME".into()),
            Root::NamespaceObject => Err("name a field: namespaceObject.metadata".into()),
            Root::Pod => Ok(Type::of(&Schema::get().pod)),
            Root::Container if !self.container => Err("container is only known inside app".into()),
            Root::Container => Ok(Type::of(Schema::get().spec.item("containers"))),
        }
    }

    /// The type of a member of a variable.
    pub(super) fn member(&self, root: Root, name: &str) -> Result<Type, String> {
        match root {
            Root::Params => self.parameters.get(name).cloned().ok_or_else(|| {
                let near = did_you_mean(nearest(name, self.parameters.keys().copied()));
                format!("parameter {name} is not declared{near}")
            }),
            Root::NamespaceObject => match name {
                "metadata" => Ok(Type::Object(Schema::get().metadata)),
                "apiVersion" | "kind" => Ok(Type::String),
                // Servers watch the metadata of namespaces alone.
                _ => Err("namespaceObject has metadata alone: its name, labels and annotations".into()),
            },
            Root::Pod | Root::Container => self.whole(root)?.member(name, root.as_str()),
        }
    }
}

impl Type {
    pub(crate) fn list(item: Type) -> Type {
        Type::List(Box::new(item))
    }

    pub(crate) fn map(value: Type) -> Type {
        Type::Map(Box::new(Type::String), Box::new(value))
    }

    pub(super) fn optional(of: Type) -> Type {
        Type::Optional(Box::new(of))
    }

    /// This type or `null`.
    pub(crate) fn nullable(self) -> Type {
        match self {
            Type::Dyn | Type::Null | Type::Nullable(_) => self,
            other => Type::Nullable(Box::new(other)),
        }
    }

    /// The type of what Kubernetes' schema describes.
    pub(super) fn of(published: &'static schema::Type) -> Type {
        match published {
            schema::Type::Object(object) => Type::Object(object),
            schema::Type::List { item, .. } => Type::list(Type::of(item)),
            schema::Type::Map(value) => Type::map(Type::of(value)),
            schema::Type::Scalar(scalar) => match scalar.kind {
                ScalarKind::String | ScalarKind::Quantity => Type::String,
                ScalarKind::Int32 | ScalarKind::Int64 => Type::Int,
                ScalarKind::Boolean => Type::Bool,
                ScalarKind::IntOrString | ScalarKind::Any => Type::Dyn,
            },
        }
    }

    /// The type with these in the place of the variables of a signature.
    pub(super) fn with_variables(&self, variables: &[Type]) -> Type {
        let boxed = |of: &Type| Box::new(of.with_variables(variables));
        match self {
            Type::Variable(at) => variables[*at].clone(),
            Type::List(item) => Type::List(boxed(item)),
            Type::Map(key, value) => Type::Map(boxed(key), boxed(value)),
            Type::Optional(of) => Type::Optional(boxed(of)),
            other => other.clone(),
        }
    }

    /// The type without `null`.
    pub(super) fn without_null(&self) -> &Type {
        if let Type::Nullable(of) = self { of } else { self }
    }

    /// The type of a member. `of` is the value's name in messages.
    pub(super) fn member(&self, name: &str, of: &str) -> Result<Type, String> {
        let near = match self {
            Type::Object(object) => match object.fields.get(name) {
                Some(field) => return Ok(Type::of(field)),
                None => object.nearest(name),
            },
            Type::Map(_, value) => return Ok((**value).clone()),
            Type::Dyn | Type::Variable(_) => return Ok(Type::Dyn),
            Type::Nullable(value) => return value.member(name, of),
            Type::Optional(value) => {
                let member = value.member(name, of)?;
                return Ok(if matches!(member, Type::Optional(_)) { member } else { Type::optional(member) });
            }
            _ => None,
        };
        let is =
            if let Type::Object(_) = self { String::new() } else { format!(", because it is {}", self.with_article()) };
        Err(format!("{of} has no field {name}{is}{}", did_you_mean(near.as_deref())))
    }

    /// Whether a value can stand inside a longer text.
    pub(crate) fn can_be_formatted(&self) -> bool {
        match self {
            Type::Nullable(of) | Type::Optional(of) => of.can_be_formatted(),
            Type::Dyn | Type::Variable(_) | Type::Bool | Type::Int | Type::Double | Type::String => true,
            _ => false,
        }
    }

    /// What it is called in messages, with an article.
    pub(crate) fn with_article(&self) -> String {
        match self {
            Type::Dyn => "a value".to_owned(),
            Type::Null => "null".to_owned(),
            Type::Object(object) => article(&object.name),
            other => article(&other.to_string()),
        }
    }

    /// Whether a value can be `true` or `false`.
    pub(crate) fn can_be_boolean(&self) -> bool {
        match self {
            Type::Dyn | Type::Bool | Type::Variable(_) => true,
            Type::Nullable(of) => of.can_be_boolean(),
            _ => false,
        }
    }

    /// Whether a value that a hole gives can stand where Kubernetes wants that type. `null` always can: it removes the field.
    pub(crate) fn fits(&self, place: &schema::Type) -> bool {
        use schema::Type as Place;
        match (self, place) {
            (Type::Dyn | Type::Null | Type::Variable(_), _) => true,
            (Type::Nullable(of) | Type::Optional(of), _) => of.fits(place),
            (Type::Object(object), Place::Object(wanted)) => object.number == wanted.number,
            (Type::Map(..), Place::Object(_)) => true,
            (Type::Map(_, value), Place::Map(wanted)) => value.fits(wanted),
            (Type::Object(_), Place::Map(_)) => true,
            (Type::List(item), Place::List { item: wanted, .. }) => item.fits(wanted),
            (_, Place::Scalar(scalar)) => match scalar.kind {
                ScalarKind::Any => true,
                // A number or boolean is formatted.
                ScalarKind::String => matches!(self, Type::String | Type::Int | Type::Double | Type::Bool),
                ScalarKind::Quantity | ScalarKind::IntOrString => {
                    matches!(self, Type::String | Type::Int | Type::Double)
                }
                // A double may be a whole number.
                ScalarKind::Int32 | ScalarKind::Int64 => matches!(self, Type::Int | Type::Double),
                ScalarKind::Boolean => matches!(self, Type::Bool),
            },
            _ => false,
        }
    }
}

impl fmt::Display for Type {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Type::Dyn | Type::Variable(_) => formatter.write_str("dyn"),
            Type::Null => formatter.write_str("null"),
            Type::Bool => formatter.write_str("bool"),
            Type::Int => formatter.write_str("int"),
            Type::Double => formatter.write_str("double"),
            Type::String => formatter.write_str("string"),
            Type::Duration => formatter.write_str("duration"),
            Type::Quantity => formatter.write_str("quantity"),
            Type::Object(object) => formatter.write_str(&object.name),
            Type::List(item) => write!(formatter, "list({item})"),
            Type::Map(key, value) => write!(formatter, "map({key}, {value})"),
            Type::Optional(of) => write!(formatter, "optional({of})"),
            Type::Nullable(of) => write!(formatter, "{of} or null"),
        }
    }
}

/// The types that the variables of one expression stand for, as far as they are known.
#[derive(Default)]
pub(super) struct TypeVariables {
    known: Vec<Option<Type>>,
    /// What was changed since the last attempt began, to undo it.
    changes: Vec<(usize, Option<Type>)>,
}

impl TypeVariables {
    /// A variable that stands for no type yet.
    pub(super) fn fresh(&mut self) -> Type {
        self.known.push(None);
        Type::Variable(self.known.len() - 1)
    }

    fn set(&mut self, at: usize, kind: Option<Type>) {
        let before = std::mem::replace(&mut self.known[at], kind);
        self.changes.push((at, before));
    }

    /// Puts what was found in the place of variables.
    pub(super) fn resolve(&self, of: &Type) -> Type {
        let boxed = |of: &Type| Box::new(self.resolve(of));
        match of {
            Type::Variable(at) => self.known[*at].as_ref().map_or_else(|| of.clone(), |found| self.resolve(found)),
            Type::List(item) => Type::List(boxed(item)),
            Type::Map(key, value) => Type::Map(boxed(key), boxed(value)),
            Type::Optional(of) => Type::Optional(boxed(of)),
            Type::Nullable(of) => Type::Nullable(boxed(of)),
            other => other.clone(),
        }
    }

    /// Whether values of these types can be the arguments of such a function. If so, its variables are found.
    pub(super) fn takes(&mut self, parameters: &[Type], arguments: &[Type]) -> bool {
        self.changes.clear();
        let fits = parameters.len() == arguments.len()
            && arguments.iter().zip(parameters).all(|(argument, parameter)| self.fit(argument, parameter));
        if !fits {
            while let Some((at, before)) = self.changes.pop() {
                self.known[at] = before;
            }
        }
        fits
    }

    /// The type of a value that is one of two, if they fit together.
    pub(super) fn join(&mut self, one: &Type, other: &Type) -> Option<Type> {
        match (self.resolve(one), self.resolve(other)) {
            (Type::Null, Type::Null) => Some(Type::Null),
            (Type::Null, of) | (of, Type::Null) => Some(of.nullable()),
            (one, other) => {
                let nullable = matches!(one, Type::Nullable(_)) || matches!(other, Type::Nullable(_));
                let (one, other) = (one.without_null(), other.without_null());
                let joined = if self.takes(std::slice::from_ref(other), std::slice::from_ref(one)) {
                    self.general(one, other)
                } else {
                    self.join_within(one, other)?
                };
                Some(if nullable { joined.nullable() } else { joined })
            }
        }
    }

    /// The type of one of two objects whose values are of several types, or of one of two lists of these: a hole makes a part
    /// of a pod of them.
    fn join_within(&mut self, one: &Type, other: &Type) -> Option<Type> {
        match (one, other) {
            (Type::List(one), Type::List(other)) => self.join(one, other).map(Type::list),
            (Type::Map(key, value), Type::Map(other_key, other_value)) => {
                let key = self.join(key, other_key)?;
                let value = self.join(value, other_value).unwrap_or(Type::Dyn);
                Some(Type::Map(Box::new(key), Box::new(value)))
            }
            _ => None,
        }
    }

    fn fit(&mut self, one: &Type, other: &Type) -> bool {
        match (one, other) {
            (Type::Variable(one), Type::Variable(other)) if one == other => true,
            // `null` is a value wherever no certain type is asked for.
            (Type::Null, &Type::Variable(at)) | (&Type::Variable(at), Type::Null) => {
                let nullable = self.known[at].clone().map(Type::nullable);
                self.set(at, nullable);
                true
            }
            (_, &Type::Variable(at)) => self.fit_variable(one, at),
            (&Type::Variable(at), _) => self.fit_variable(other, at),
            (Type::Dyn, _) | (_, Type::Dyn) => true,
            (Type::Nullable(_), Type::Null) | (Type::Null, Type::Nullable(_)) => true,
            (Type::Nullable(one), other) | (other, Type::Nullable(one)) => self.fit(one, other.without_null()),
            (Type::Null, Type::Optional(_) | Type::Duration | Type::Quantity | Type::Object(_) | Type::Null)
            | (Type::Optional(_) | Type::Duration | Type::Quantity | Type::Object(_), Type::Null) => true,
            (Type::List(one), Type::List(other)) | (Type::Optional(one), Type::Optional(other)) => self.fit(one, other),
            (Type::Map(key, value), Type::Map(other_key, other_value)) => {
                self.fit(key, other_key) && self.fit(value, other_value)
            }
            (Type::Object(one), Type::Object(other)) => one.number == other.number,
            (Type::Bool, Type::Bool)
            | (Type::Int, Type::Int)
            | (Type::Double, Type::Double)
            | (Type::String, Type::String)
            | (Type::Duration, Type::Duration)
            | (Type::Quantity, Type::Quantity) => true,
            _ => false,
        }
    }

    fn fit_variable(&mut self, of: &Type, at: usize) -> bool {
        match self.known[at].clone() {
            Some(found) => {
                let fits = self.fit(of, &found);
                if fits {
                    let general = self.general(of, &found);
                    if !self.occurs(at, &general) {
                        self.set(at, Some(general));
                    }
                }
                fits
            }
            None if self.occurs(at, of) => false,
            None => {
                self.set(at, Some(of.clone()));
                true
            }
        }
    }

    /// Whether a variable is a part of a type.
    fn occurs(&self, at: usize, within: &Type) -> bool {
        match within {
            Type::Variable(other) => {
                *other == at || self.known[*other].as_ref().is_some_and(|found| self.occurs(at, found))
            }
            Type::List(of) | Type::Optional(of) | Type::Nullable(of) => self.occurs(at, of),
            Type::Map(key, value) => self.occurs(at, key) || self.occurs(at, value),
            _ => false,
        }
    }

    /// Of two types that fit together, the one that is less specific.
    fn general(&self, one: &Type, other: &Type) -> Type {
        if self.is_less_specific(one, other) { one.clone() } else { other.clone() }
    }

    fn is_less_specific(&self, one: &Type, other: &Type) -> bool {
        match (one, other) {
            (Type::Dyn | Type::Variable(_), _) => true,
            (_, Type::Dyn | Type::Variable(_)) => false,
            (Type::Nullable(_), _) => true,
            (Type::List(one), Type::List(other)) | (Type::Optional(one), Type::Optional(other)) => {
                self.is_less_specific(one, other)
            }
            (Type::Map(key, value), Type::Map(other_key, other_value)) => {
                self.is_less_specific(key, other_key) && self.is_less_specific(value, other_value)
            }
            _ => std::mem::discriminant(one) == std::mem::discriminant(other),
        }
    }
}
