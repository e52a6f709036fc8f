//! What a pod may hold: types, required fields, enumerations and merge keys.
//!
//! `schema.json` is trimmed from the OpenAPI document of a real API server by `make schema`, and a test fails when it is
//! stale. Its references are resolved when it is first used.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde::Deserialize;

use crate::text::nearest;

/// The type of a field or of a list's item, as far as Kubernetes publishes it.
#[derive(Debug)]
pub(crate) enum Type {
    /// A value without members.
    Scalar(Scalar),
    /// An object of a named type.
    Object(&'static Object),
    /// A list and its merge keys, if Kubernetes publishes any.
    List { item: Box<Type>, keys: Vec<String> },
    /// An object whose keys the user chooses, such as labels.
    Map(Box<Type>),
}

/// A value without members.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Scalar {
    #[serde(rename = "type")]
    pub(crate) kind: ScalarKind,
    /// The values allowed; empty if all are.
    #[serde(rename = "enum", default)]
    pub(crate) allowed: Vec<String>,
    /// Whether messages must not repeat a value: people keep secrets there.
    #[serde(skip)]
    pub(crate) is_private: bool,
}

/// The type of a field that a newer Kubernetes has.
pub(crate) static ANY: Type = Type::Scalar(Scalar { kind: ScalarKind::Any, allowed: Vec::new(), is_private: false });

/// Where people keep secrets.
const PRIVATE: [(&str, &str); 5] = [
    ("EnvVar", "value"),
    ("Container", "args"),
    ("Container", "command"),
    ("ExecAction", "command"),
    ("HTTPHeader", "value"),
];

/// The kinds of scalars that a pod knows.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "camelCase")]
pub(crate) enum ScalarKind {
    String,
    Int32,
    Int64,
    Boolean,
    /// A quantity such as `500m` or `64Mi`; a plain number is one too.
    Quantity,
    /// A port's number or name, or the like.
    IntOrString,
    Any,
}

/// The fields of a named type.
#[derive(Debug)]
pub(crate) struct Object {
    /// What Kubernetes calls it: `Container`.
    pub(crate) name: String,
    pub(crate) fields: Fields,
    /// The fields that must be there.
    pub(crate) required: Vec<String>,
    /// Its place in [`Schema::objects`].
    pub(crate) number: usize,
}

/// Fields by their names.
#[derive(Debug)]
pub(crate) struct Fields {
    /// The shorter ones first.
    all: Vec<(String, Type)>,
    /// By the length of a name, the first that is as long: most names differ in length.
    begins: Vec<usize>,
}

impl Fields {
    pub(crate) fn get(&self, name: &str) -> Option<&Type> {
        self.find(name).map(|(_, kind)| kind)
    }

    /// A field, and its place among them.
    pub(crate) fn find(&self, name: &str) -> Option<(usize, &Type)> {
        let &[begin, end] = self.begins.get(name.len()..=name.len() + 1)? else { return None };
        let at = (begin..end).find(|at| self.all[*at].0 == name)?;
        Some((at, &self.all[at].1))
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.all.iter().map(|(name, _)| name.as_str())
    }
}

impl FromIterator<(String, Type)> for Fields {
    fn from_iter<I: IntoIterator<Item = (String, Type)>>(fields: I) -> Fields {
        let mut all: Vec<_> = fields.into_iter().collect();
        all.sort_by(|(one, _), (other, _)| (one.len(), one).cmp(&(other.len(), other)));
        let longest = all.last().map_or(0, |(name, _)| name.len());
        let begins = (0..longest + 2).map(|length| all.partition_point(|(name, _)| name.len() < length)).collect();
        Fields { all, begins }
    }
}

/// The named types that a pod is made of.
#[derive(Debug)]
pub(crate) struct Schema {
    pub(crate) pod: Type,
    pub(crate) metadata: &'static Object,
    pub(crate) spec: &'static Object,
    pub(crate) container: &'static Object,
    pub(crate) volume: &'static Object,
    /// All of them.
    pub(crate) objects: Vec<&'static Object>,
}

/// The types, as they are committed.
pub const PUBLISHED: &str = include_str!("schema.json");

static SCHEMA: LazyLock<Schema> = LazyLock::new(|| {
    let published = serde_json::from_str(PUBLISHED).expect("the committed schema is valid JSON");
    let mut linker = Linker { published, objects: Vec::new() };
    let pod = linker.object("Pod");
    let spec = pod.field("spec").object();
    Schema {
        pod: Type::Object(pod),
        metadata: pod.field("metadata").object(),
        spec,
        container: spec.item("containers").object(),
        volume: spec.item("volumes").object(),
        objects: linker.objects,
    }
});

impl Schema {
    pub(crate) fn get() -> &'static Schema {
        &SCHEMA
    }

    /// The type of a pod.
    pub(crate) fn pod(&self) -> &'static Object {
        self.pod.object()
    }
}

impl Type {
    /// The type of a field, of a map's values, or of a list's items.
    pub(crate) fn child(&self, name: &str) -> Option<&Type> {
        match self {
            Type::Object(object) => object.fields.get(name),
            Type::Map(value) => Some(value),
            Type::List { item, .. } => Some(item),
            Type::Scalar(_) => None,
        }
    }

    /// The fields that tell the items of a list apart; none if it is no list.
    pub(crate) fn keys(&self) -> &[String] {
        if let Type::List { keys, .. } = self { keys } else { &[] }
    }

    fn mark_private(&mut self) {
        match self {
            Type::Scalar(scalar) => scalar.is_private = true,
            Type::List { item: kind, .. } | Type::Map(kind) => kind.mark_private(),
            Type::Object(_) => {}
        }
    }

    /// Whether secrets can be in it.
    pub(crate) fn holds_private(&self) -> bool {
        match self {
            Type::Scalar(scalar) => scalar.is_private,
            Type::List { item: kind, .. } | Type::Map(kind) => kind.holds_private(),
            Type::Object(object) => object.fields.all.iter().any(|(_, kind)| kind.holds_private()),
        }
    }

    /// Panics if it is no object: callers name constants.
    pub(crate) fn object(&self) -> &'static Object {
        match self {
            Type::Object(object) => object,
            other => unreachable!("{other:?} is an object"),
        }
    }
}

impl Object {
    /// The type of a field. It panics if there is none: names come from the schema itself or are constants.
    pub(crate) fn field(&self, name: &str) -> &Type {
        self.fields.get(name).expect("every field that is named is part of the schema")
    }

    /// The type of the items of a field that is a list. It panics as [`Object::field`] does.
    pub(crate) fn item(&self, name: &str) -> &Type {
        match self.field(name) {
            Type::List { item, .. } => item,
            other => unreachable!("{other:?} is a list"),
        }
    }

    /// The fields that tell the items of a list apart. It panics as [`Object::field`] does.
    pub(crate) fn keys(&self, name: &str) -> &[String] {
        self.field(name).keys()
    }

    /// The field whose name is nearest to a wrong one, if one is near; or the one of that name a level down:
    /// `resources.limits`.
    pub(crate) fn nearest(&self, name: &str) -> Option<Cow<'_, str>> {
        let is_in = |kind: &Type| matches!(kind, Type::Object(object) if object.fields.get(name).is_some());
        let below = || self.fields.all.iter().find(|(_, kind)| is_in(kind)).map(|(field, _)| format!("{field}.{name}"));
        nearest(name, self.fields.names()).map(Cow::Borrowed).or_else(|| below().map(Cow::Owned))
    }
}

/// A type as `schema.json` has it, where objects are named.
#[derive(Deserialize)]
#[serde(untagged)]
enum Published {
    Scalar(Scalar),
    Ref {
        #[serde(rename = "ref")]
        name: String,
    },
    List {
        list: Box<Published>,
        #[serde(default)]
        keys: Vec<String>,
    },
    Map {
        map: Box<Published>,
    },
}

#[derive(Deserialize)]
struct PublishedObject {
    fields: BTreeMap<String, Published>,
    #[serde(default)]
    required: Vec<String>,
}

/// Resolves names. No type holds itself, so each is complete before another refers to it.
struct Linker {
    published: BTreeMap<String, PublishedObject>,
    objects: Vec<&'static Object>,
}

impl Linker {
    fn object(&mut self, name: &str) -> &'static Object {
        if let Some(object) = self.objects.iter().find(|object| object.name == name) {
            return object;
        }
        let PublishedObject { fields, required } = self.published.remove(name).expect("every named type is published");
        let field = |(field, kind): (String, _)| {
            let mut kind = self.resolve(kind);
            if PRIVATE.contains(&(name, &*field)) {
                kind.mark_private();
            }
            (field, kind)
        };
        let fields = fields.into_iter().map(field).collect();
        let object = Object { name: name.to_owned(), fields, required, number: self.objects.len() };
        self.objects.push(Box::leak(Box::new(object)));
        self.objects[self.objects.len() - 1]
    }

    fn resolve(&mut self, kind: Published) -> Type {
        match kind {
            Published::Scalar(scalar) => Type::Scalar(scalar),
            Published::Ref { name } => Type::Object(self.object(&name)),
            Published::List { list, keys } => Type::List { item: Box::new(self.resolve(*list)), keys },
            Published::Map { map } => Type::Map(Box::new(self.resolve(*map))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn merge_keys_are_those_that_kubernetes_publishes() {
        let keys = |object: &'static Object, field| match object.field(field) {
            Type::List { keys, .. } => keys.clone(),
            other => panic!("{field} is not a list but {other:?}"),
        };
        let Schema { spec, container, .. } = *Schema::get();
        assert_eq!(keys(spec, "initContainers"), ["name"]);
        assert_eq!(keys(container, "ports"), ["containerPort", "protocol"]);
        assert_eq!(keys(container, "volumeMounts"), ["mountPath"]);
        assert_eq!(keys(spec, "tolerations"), Vec::<String>::new());
    }
}
