//! What a pod may hold: types, required fields, enumerations and merge keys.
//!
//! `schema.json` is trimmed from the OpenAPI document of a real API server by `make schema`, and a test fails when it is
//! stale. From it come the checks of a template, the type that each hole must yield, and the keys by which lists merge.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde::Deserialize;

/// The type of a field or of a list's item, as far as Kubernetes publishes it.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub enum Type {
    /// A value without members.
    Scalar(Scalar),
    /// An object of a named type.
    Ref {
        /// The name, a key of [`Schema`].
        #[serde(rename = "ref")]
        name: String,
    },
    /// A list.
    List {
        /// What it holds.
        #[serde(rename = "list")]
        item: Box<Type>,
        /// The fields that tell its items apart; empty where Kubernetes names none.
        #[serde(default)]
        keys: Vec<String>,
    },
    /// An object whose keys the user chooses, such as labels.
    Map {
        /// What each key holds.
        #[serde(rename = "map")]
        value: Box<Type>,
    },
}

/// A value without members.
#[derive(Debug, Deserialize)]
pub struct Scalar {
    /// What it is.
    #[serde(rename = "type")]
    pub kind: ScalarKind,
    /// The values allowed; empty where every value is.
    #[serde(rename = "enum", default)]
    pub allowed: Vec<String>,
}

/// The kinds of scalars that a pod knows.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "camelCase")]
pub enum ScalarKind {
    /// Text.
    String,
    /// A 32-bit integer.
    Int32,
    /// A 64-bit integer.
    Int64,
    /// `true` or `false`.
    Boolean,
    /// A quantity such as `500m` or `64Mi`; a plain number is one too.
    Quantity,
    /// A port's number or name, or the like.
    IntOrString,
    /// Anything at all.
    Any,
}

/// The fields of a named type.
#[derive(Debug, Deserialize)]
pub struct Object {
    /// Every field, by name.
    pub fields: BTreeMap<String, Type>,
    /// The fields that must be there.
    #[serde(default)]
    pub required: Vec<String>,
}

/// Every named type that a pod is made of.
#[derive(Debug, Deserialize)]
#[serde(transparent)]
pub struct Schema(BTreeMap<String, Object>);

static SCHEMA: LazyLock<Schema> =
    LazyLock::new(|| serde_json::from_str(include_str!("schema.json")).expect("the committed schema is valid JSON"));

impl Schema {
    /// The schema that this build was made with.
    pub fn get() -> &'static Schema {
        &SCHEMA
    }

    /// A named type, such as `Container`.
    ///
    /// # Panics
    ///
    /// When the schema has no such type: names come from the schema itself or are constants of ours.
    pub fn object(&self, name: &str) -> &Object {
        self.0.get(name).expect("every type that is named is part of the schema")
    }

    /// The type of a field, such as `spec` of `Pod`.
    ///
    /// # Panics
    ///
    /// As [`Schema::object`].
    pub fn field(&self, object: &str, field: &str) -> &Type {
        self.object(object).fields.get(field).expect("every field that is named is part of the schema")
    }
}

impl Schema {
    /// The type of the items of a field that is a list, such as `volumes` of `PodSpec`.
    pub(crate) fn item(&self, object: &str, field: &str) -> &Type {
        match self.field(object, field) {
            Type::List { item, .. } => item,
            _ => unreachable!("{field} is a list"),
        }
    }
}

impl Object {
    /// The field whose name is nearest to a name that is none, if one is near.
    pub fn nearest(&self, name: &str) -> Option<&str> {
        crate::nearest(name, self.fields.keys().map(String::as_str))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn merge_keys_are_those_that_kubernetes_publishes() {
        let keys = |object, field| match Schema::get().field(object, field) {
            Type::List { keys, .. } => keys.clone(),
            other => panic!("{field} is not a list but {other:?}"),
        };
        assert_eq!(keys("PodSpec", "initContainers"), ["name"]);
        assert_eq!(keys("Container", "ports"), ["containerPort", "protocol"]);
        assert_eq!(keys("Container", "volumeMounts"), ["mountPath"]);
        assert_eq!(keys("PodSpec", "tolerations"), Vec::<String>::new());
    }

    #[test]
    fn every_type_that_is_named_is_there() {
        fn visit(schema: &Schema, kind: &Type) {
            match kind {
                Type::Ref { name } => {
                    schema.object(name);
                }
                Type::List { item, .. } => visit(schema, item),
                Type::Map { value } => visit(schema, value),
                Type::Scalar(_) => {}
            }
        }
        let schema = Schema::get();
        schema.0.values().flat_map(|object| object.fields.values()).for_each(|kind| visit(schema, kind));
    }
}
