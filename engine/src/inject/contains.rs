//! Whether the pod has what a template adds, after an API server has seen it.

use std::borrow::Cow;
use std::collections::HashMap;

use crate::json::{Kind, View};
use crate::quantity::Quantity;
use crate::schema::{Object, Scalar, ScalarKind, Type};

/// Whether an existing value holds all of a wanted one. The API server has filled in defaults by then, rewritten
/// quantities (`0.5` is `500m`) and omitted empty values.
pub(super) fn contains(existing: View<'_>, wanted: View<'_>, kind: &Type) -> bool {
    match (kind, existing.kind(), wanted.kind()) {
        (Type::Scalar(Scalar { kind: ScalarKind::Quantity, .. }), Kind::String(existing), _) => wanted
            .quantity()
            .zip(Quantity::parse(&existing).ok())
            .is_some_and(|(wanted, existing)| wanted.cmp(&existing).is_eq()),
        (Type::Object(object), Kind::Object, Kind::Object) => lacking(existing, wanted, object).next().is_none(),
        (Type::Map(kind), Kind::Object, Kind::Object) => wanted
            .members()
            .all(|wanted| existing.get(&wanted.name).is_some_and(|existing| contains(existing, wanted.value, kind))),
        (Type::List { item, keys }, Kind::List, Kind::List) if keys.is_empty() => {
            existing.items().count() == wanted.items().count()
                && existing.items().zip(wanted.items()).all(|(existing, wanted)| contains(existing, wanted, item))
        }
        (Type::List { item, keys }, Kind::List, Kind::List) => {
            let existing = by_key(existing, keys);
            by_key(wanted, keys)
                .iter()
                .all(|(key, wanted)| existing.get(key).is_some_and(|it| contains(*it, *wanted, item)))
        }
        (_, Kind::String(existing), Kind::String(wanted)) => existing == wanted,
        _ => existing.to_value() == wanted.to_value(),
    }
}

/// The items of a list by their keys. Of variables with one name Kubernetes takes the last, so they are counted from there.
fn by_key<'v>(list: View<'v>, keys: &[String]) -> HashMap<(Cow<'v, str>, usize), View<'v>> {
    let mut times: HashMap<_, usize> = HashMap::new();
    let items: Vec<_> = list.items().map(|item| (item.key(keys), item)).collect();
    let counted = items.into_iter().rev().map(|(key, item)| {
        let behind = times.entry(key.clone()).or_default();
        *behind += 1;
        ((key, *behind), item)
    });
    counted.collect()
}

/// The fields of a wanted object that an existing one does not hold.
pub(super) fn lacking<'v>(
    existing: View<'v>,
    wanted: View<'v>,
    object: &'v Object,
) -> impl Iterator<Item = Cow<'v, str>> {
    let is_lacking = move |field: &str, wanted: View<'_>| match (existing.get(field), object.fields.get(field)) {
        (Some(existing), Some(kind)) => !contains(existing, wanted, kind),
        // What a newer Kubernetes knows, an older API server has dropped.
        (_, None) => false,
        // An emptyDir says something by being there.
        _ => field == "emptyDir" || !wanted.says_nothing(),
    };
    wanted.members().filter(move |it| is_lacking(&it.name, it.value)).map(|it| it.name)
}
