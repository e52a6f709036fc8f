//! The classic mistakes that a manifest shows, and the webhook cannot: a key on the wrong object, or one that is misspelt.

use pillion_engine::catalog::Catalog;
use pillion_engine::names::{INJECT, REQUIRED, TEMPLATES};

use crate::cli::fix::Edits;
use crate::cli::site::Site;
use crate::manifest::{FoundKey, Meant};

/// A mistake, and what would put it right.
pub(super) struct Mistake {
    pub(super) why: String,
    pub(super) edits: Edits,
}

/// What is wrong with a key that is meant to be an annotation of the pod.
fn wrong_place(found: &FoundKey, site: &Site<'_>) -> String {
    let FoundKey { key, map, .. } = found;
    let noun = site.noun();
    let is_of_this_pod = found.is_of_pod && [site.path_of("labels"), site.path_of("annotations")].contains(map);
    match (is_of_this_pod, found.is_exact(), found.is_label()) {
        (true, true, true) => format!("{key} is a label of the {noun}, and counts as an annotation alone"),
        (true, _, is_label) => {
            let what = if is_label { "label" } else { "annotation" };
            format!("the {what} {key} of the {noun} means nothing to Pillion")
        }
        (false, ..) if map == "metadata.annotations" || map == "metadata.labels" => {
            let what = if map.ends_with("labels") { "a label" } else { "an annotation" };
            format!("{key} is {what} of the {}, where the webhook does not see it", site.kind())
        }
        (false, ..) => format!("{key} is in {map}, where the webhook does not see it"),
    }
}

/// Whether a key does what it says: it is an annotation of this pod, or the label to opt out.
fn counts(found: &FoundKey, site: &Site<'_>) -> bool {
    let is_opt_out = found.key == INJECT && found.map == site.path_of("labels");
    found.is_exact() && (is_opt_out || found.map == site.path_of("annotations"))
}

/// The edits that move what a key says to where it counts. What is misspelt on the pod goes.
fn moved(found: &FoundKey, site: &Site<'_>, key: &str) -> Edits {
    let mut edits = Edits::default();
    if found.key != key && found.map == site.path_of("annotations") {
        edits.annotations.push((found.key.clone(), None));
    }
    edits.annotations.push((key.to_owned(), Some(found.value.clone())));
    edits
}

/// The label that belongs on the namespace, elsewhere.
pub(super) fn label_elsewhere(keys: &[FoundKey], site: &Site<'_>) -> Option<String> {
    let asks = |it: &&FoundKey| it.key == INJECT && (it.value == "enabled" || it.value == "true");
    let found = keys.iter().find(asks)?;
    let what = if found.is_label() { "a label" } else { "an annotation" };
    let of = if found.is_of_pod { site.noun() } else { site.kind() };
    Some(format!("{INJECT} is {what} of the {of}; the API server looks at the label of the namespace"))
}

/// Why a pod asks for no template.
pub(super) fn asks_for_none(
    keys: &[FoundKey],
    of_namespace: &[FoundKey],
    namespace: &str,
    site: &Site<'_>,
    catalog: &Catalog,
) -> Option<Mistake> {
    let is_list = |it: &&FoundKey| [Meant::Key(TEMPLATES), Meant::Key(REQUIRED)].contains(&it.meant);
    let of_pod = keys.iter().filter(is_list).filter(|it| !counts(it, site) || it.key == REQUIRED);
    // Nearest first: a key on the pod itself before one elsewhere, the right key before one like it.
    if let Some(found) = of_pod.min_by_key(|it| (!it.is_of_pod, !it.is_exact())) {
        let why = match found.key.as_str() {
            REQUIRED if found.is_of_pod => format!("{REQUIRED} counts on a namespace alone"),
            _ => wrong_place(found, site),
        };
        return Some(Mistake { why, edits: moved(found, site, TEMPLATES) });
    }
    of_the_namespace(of_namespace, namespace).or_else(|| inject_as_request(keys, site, catalog))
}

fn of_the_namespace(keys: &[FoundKey], namespace: &str) -> Option<Mistake> {
    let found = keys.iter().find(|it| {
        let is_list = [Meant::Key(TEMPLATES), Meant::Key(REQUIRED)].contains(&it.meant);
        is_list && (it.is_label() || !it.is_exact())
    })?;
    let FoundKey { key, value, .. } = found;
    let (why, is_removed) = match (found.is_exact(), found.is_label()) {
        (true, _) => (format!("{key} is a label of namespace {namespace}, and counts as an annotation alone"), false),
        (false, is_label) => {
            let what = if is_label { "label" } else { "annotation" };
            (format!("the {what} {key} of namespace {namespace} means nothing to Pillion"), !is_label)
        }
    };
    let mut edits = Edits::default();
    edits.namespace_annotations.push((found.key_meant()?, Some(value.clone())));
    if is_removed {
        edits.namespace_annotations.push((key.clone(), None));
    }
    Some(Mistake { why, edits })
}

/// A pod that says `inject: enabled`, or names its template there.
fn inject_as_request(keys: &[FoundKey], site: &Site<'_>, catalog: &Catalog) -> Option<Mistake> {
    let found = keys.iter().find(|it| it.meant == Meant::Key(INJECT))?;
    let is_template = |name: &str| catalog.names().any(|known| known.as_str() == name);
    let is_named = found.value.split(',').all(|name| is_template(name.trim()));
    let names = if is_named { found.value.as_str() } else { "NAME" };
    let edits = Edits::annotate(TEMPLATES, names, !is_named);
    let on = if found.is_of_pod { site.noun() } else { site.kind() };
    let why = format!("{} on a {on} names no template; {TEMPLATES} does", found.key);
    Some(Mistake { why, edits })
}

/// Where a parameter of a template is set that does not arrive: under the wrong key, or in the wrong place.
pub(super) fn parameter_elsewhere(keys: &[FoundKey], key: &str, site: &Site<'_>) -> Option<Mistake> {
    let found = keys.iter().find(|it| it.key_meant().as_deref() == Some(key) && !counts(it, site))?;
    Some(Mistake { why: wrong_place(found, site), edits: moved(found, site, key) })
}

/// The keys that have no effect where they are, as warnings. What the engine sees it warns of itself.
pub(super) fn warnings(keys: &[FoundKey], site: &Site<'_>) -> Vec<String> {
    let is_seen_by_engine = |it: &FoundKey| it.is_of_pod && it.is_ours && (!it.is_label() || it.key == TEMPLATES);
    let has_no_effect = |it: &&FoundKey| it.meant != Meant::Nothing && !counts(it, site) && !is_seen_by_engine(it);
    keys.iter().filter(has_no_effect).map(|found| wrong_place(found, site)).collect()
}
