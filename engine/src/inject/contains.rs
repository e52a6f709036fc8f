//! Whether the pod has what a template adds, after an API server has seen it: it has filled in defaults by then, rewritten
//! quantities (`0.5` is `500m`) and omitted empty values.

use std::borrow::Cow;
use std::collections::HashMap;

use crate::json::{Kind, Member, View};
use crate::schema::{Object, Scalar, ScalarKind, Type};

/// What the API server fills in, by type and field. Source: kubernetes pkg/apis/core/v1/defaults.go.
const FILLED_IN: &[(&str, &str, &[&str])] = &[
    ("AzureDiskVolumeSource", "cachingMode", &["ReadWrite"]),
    ("AzureDiskVolumeSource", "fsType", &["ext4"]),
    ("AzureDiskVolumeSource", "kind", &["Shared"]),
    ("AzureDiskVolumeSource", "readOnly", &["false"]),
    ("ConfigMapVolumeSource", "defaultMode", &["420"]),
    ("Container", "imagePullPolicy", &["Always", "IfNotPresent"]),
    ("Container", "terminationMessagePath", &["/dev/termination-log"]),
    ("Container", "terminationMessagePolicy", &["File"]),
    ("ContainerPort", "protocol", &["TCP"]),
    ("DownwardAPIVolumeSource", "defaultMode", &["420"]),
    ("HTTPGetAction", "path", &["/"]),
    ("HTTPGetAction", "scheme", &["HTTP"]),
    ("ISCSIVolumeSource", "iscsiInterface", &["default"]),
    ("ImageVolumeSource", "pullPolicy", &["Always", "IfNotPresent"]),
    ("ObjectFieldSelector", "apiVersion", &["v1"]),
    ("PersistentVolumeClaimSpec", "volumeMode", &["Filesystem"]),
    ("Probe", "failureThreshold", &["3"]),
    ("Probe", "periodSeconds", &["10"]),
    ("Probe", "successThreshold", &["1"]),
    ("Probe", "timeoutSeconds", &["1"]),
    ("ProjectedVolumeSource", "defaultMode", &["420"]),
    ("RBDVolumeSource", "keyring", &["/etc/ceph/keyring"]),
    ("RBDVolumeSource", "pool", &["rbd"]),
    ("RBDVolumeSource", "user", &["admin"]),
    ("ResourceFieldSelector", "divisor", &["0"]),
    ("ScaleIOVolumeSource", "fsType", &["xfs"]),
    ("ScaleIOVolumeSource", "storageMode", &["ThinProvisioned"]),
    ("SecretVolumeSource", "defaultMode", &["420"]),
    ("ServiceAccountTokenProjection", "expirationSeconds", &["3600"]),
];

/// Whether two values say the same.
pub(super) fn equals(existing: View<'_>, wanted: View<'_>, kind: &Type) -> bool {
    contains(existing, wanted, kind) && contains(wanted, existing, kind)
}

/// Whether an existing value holds all of a wanted one.
pub(super) fn contains(existing: View<'_>, wanted: View<'_>, kind: &Type) -> bool {
    match (kind, existing.kind(), wanted.kind()) {
        (Type::Scalar(Scalar { kind: ScalarKind::Quantity, .. }), ..) => {
            wanted.quantity().zip(existing.quantity()).is_some_and(|(wanted, existing)| wanted.cmp(&existing).is_eq())
        }
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
    let there = move |field: &str| existing.get(field).filter(|value| !matches!(value.kind(), Kind::Null));
    let is_lacking = move |field: &str, part: View<'_>| match (there(field), object.fields.get(field)) {
        (existing, Some(Type::Map(kind))) if object.name == "ResourceRequirements" && field == "requests" => {
            // The API server takes a limit for the request that is not there.
            let limits = wanted.get("limits");
            let holds = |it: &Member<'_>, map: Option<View<'_>>| {
                map.and_then(|map| map.get(&it.name)).is_some_and(|value| contains(value, it.value, kind))
            };
            !part.members().all(|it| holds(&it, existing) || holds(&it, limits))
        }
        (Some(existing), Some(kind)) => {
            !(contains(existing, part, kind) || is_zero(object, field, part) && is_filled_in(object, field, existing))
        }
        // What a newer Kubernetes knows, an older API server has dropped.
        (_, None) => false,
        // An emptyDir says something by being there, where anything else is.
        _ if field == "emptyDir" => !part.says_nothing() || existing.members().count() > 1,
        _ => !(part.says_nothing() || is_zero(object, field, part) || is_filled_in(object, field, part)),
    };
    wanted
        .members()
        .filter(move |it| !matches!(it.value.kind(), Kind::Null) && is_lacking(&it.name, it.value))
        .map(|it| it.name)
}

fn is_filled_in(object: &Object, field: &str, value: View<'_>) -> bool {
    let mut of_field = FILLED_IN.iter().filter(|(of, name, _)| *of == object.name && *name == field);
    of_field.any(|(.., values)| value.as_text().is_some_and(|text| values.contains(&&*text)))
}

/// Whether a value means to the API server that none was written.
fn is_zero(object: &Object, field: &str, value: View<'_>) -> bool {
    let is_zero = match &*object.name {
        "Probe" => field != "terminationGracePeriodSeconds" && value.integer() == Some(0),
        "ContainerPort" => field == "hostPort" && value.integer() == Some(0),
        "AWSElasticBlockStoreVolumeSource" | "GCEPersistentDiskVolumeSource" => {
            field == "partition" && value.integer() == Some(0)
        }
        _ => false,
    };
    is_zero || value.is_text("")
}
