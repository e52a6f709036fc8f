//! What Pillion wrote down on the pod about what it added: `pillion.dev/status` and `pillion.dev/outcome`.
//!
//! A status is a hint, never a proof: anybody can write one, and a pod can have lost what it speaks of. So each name that
//! it records is looked for in the pod.

use std::borrow::Cow;
use std::cell::Cell;
use std::collections::{BTreeMap, HashMap, HashSet};

use serde::{Deserialize, Serialize};

use crate::decision::{Outcome, Reason};
use crate::json::node::Change;
use crate::json::{By, Fragment, Node, View};
use crate::names::{OUTCOME, SAFE_TO_EVICT, STATUS};
use crate::rules::across::DEFAULTS;
use crate::schema::{ANY, Schema, Type};
use crate::template::{Parameters, Template};

/// The sum of all annotations. Source: apimachinery pkg/api/validation/objectmeta.go.
pub(super) const MAX_ANNOTATIONS: usize = 256 << 10;

/// The most templates that a pod may ask for. Each is looked up.
pub(super) const MAX_TEMPLATES: usize = 32;

/// The most that a status may record, and so that templates may add to a pod, all together: a pod of fifty containers with
/// a dozen templates has fewer entries.
pub(super) const MAX_ENTRIES: usize = 4096;

/// The same for values of the pod that were replaced.
const MAX_REPLACED: usize = (2 + DEFAULTS.len()) * MAX_TEMPLATES;

/// Everything recorded on one pod.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub(super) struct Status<'a> {
    /// Of the Pillion that wrote it.
    #[serde(default)]
    pub(super) version: Cow<'a, str>,
    #[serde(default)]
    pub(super) templates: Vec<Record<'a>>,
    /// Why templates were skipped in an earlier call.
    #[serde(skip)]
    failures: BTreeMap<String, Reason>,
}

/// What one template added.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub(super) struct Record<'a> {
    pub(super) name: Cow<'a, str>,
    /// Of the template; in a record without [`Record::parameters`], which Pillion 0.1.0 wrote, of template and parameters.
    #[serde(default)]
    pub(super) digest: Cow<'a, str>,
    /// The digest of the parameters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) parameters: Option<Cow<'a, str>>,
    /// The image of each container that was added, by the container's name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) images: BTreeMap<Cow<'a, str>, Cow<'a, str>>,
    /// Where: JSON pointers in which a list's item is named by its key, such as `/spec/volumes/app-logs`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) added: Vec<String>,
    /// What was there before, where one of the pod's own values was replaced.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) replaced: Vec<(String, Fragment)>,
    /// What an entry with `override: true` replaced. What was there is not kept: it may be a secret.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) overridden: Vec<String>,
    /// The pod's own containers, as far as the template has seen them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) app: Vec<Cow<'a, str>>,
}

/// About how many bytes of the status the image of a container takes.
pub(super) fn bytes_of_image(name: &str, image: &str) -> usize {
    name.len() + image.len() + 6
}

impl<'a> Record<'a> {
    /// About how many bytes of the status it takes beside its entries.
    pub(super) fn bytes_of_names(&self) -> usize {
        // What JSON needs for its members.
        const AROUND: usize = 128;
        let images = self.images.iter().map(|(name, image)| bytes_of_image(name, image));
        let names = self.app.iter().map(|name| name.len() + 3);
        AROUND + self.name.len() + images.chain(names).sum::<usize>()
    }

    /// Whether it is of this template with these parameters, which have this digest.
    pub(super) fn is_of(&self, template: &Template, parameters: &Parameters<'_>, digest: &str) -> bool {
        match &self.parameters {
            Some(known) => self.digest == template.digest && *known == digest,
            None => self.digest == template.digest_with(parameters),
        }
    }

    /// How it was written that a template was injected, if not as it would be now.
    pub(super) fn difference(&self, template: &Template, digest: &str) -> &'static str {
        let is_same = self.digest == template.digest;
        match &self.parameters {
            Some(_) if is_same => "with other parameters",
            Some(known) if *known == digest => "in another version",
            Some(_) => "in another version and with other parameters",
            None => "in another version or with other parameters",
        }
    }

    /// How much was added and changed.
    pub(super) fn entries(&self) -> usize {
        self.places().count()
    }

    /// Every place that it names.
    pub(super) fn places(&self) -> impl Iterator<Item = &String> {
        self.added.iter().chain(&self.overridden).chain(self.replaced.iter().map(|(place, _)| place))
    }
}

impl<'a> Status<'a> {
    /// A status that cannot be read records nothing.
    pub(super) fn parse(annotation: Option<&str>, outcome: Option<&str>) -> Status<'a> {
        let annotation = annotation.filter(|text| text.len() <= MAX_ANNOTATIONS);
        let mut status: Status<'_> = annotation.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
        let words = outcome.unwrap_or_default().split(',').take(MAX_TEMPLATES).filter_map(|word| word.split_once('='));
        let failures = words.filter_map(|(name, word)| {
            let reason = Reason::ALL.iter().find(|it| it.as_str() == word && it.outcomes().contains(&Outcome::Error));
            Some((name.to_owned(), *reason?))
        });
        status.failures = failures.collect();
        for record in &mut status.templates {
            record.added.retain(|added| can_be_added(added));
            record.replaced.retain(|(replaced, was)| can_be_replaced(replaced, was));
        }
        // We write one for each thing that a template added. Whoever writes more wants to keep us busy.
        let replaced: usize = status.templates.iter().map(|record| record.replaced.len()).sum();
        if status.entries() > MAX_ENTRIES || replaced > MAX_REPLACED { Status::default() } else { status }
    }

    /// About how many bytes it takes.
    pub(super) fn bytes(&self) -> usize {
        let places = self.templates.iter().flat_map(Record::places).map(|place| place.len() + 3);
        self.templates.iter().map(Record::bytes_of_names).sum::<usize>() + places.sum::<usize>()
    }

    /// How much is recorded.
    pub(super) fn entries(&self) -> usize {
        self.templates.iter().flat_map(Record::places).count()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.templates.is_empty()
    }

    /// Puts a record in place of the template's earlier one. What was missing and came back is recorded once.
    pub(super) fn put(&mut self, mut record: Record<'a>) {
        let known = self.templates.len();
        self.templates.retain(|known| known.name != record.name);
        if self.templates.len() < known {
            let mut seen = HashSet::new();
            record.added.retain(|added| seen.insert(added.clone()));
        }
        self.templates.push(record);
    }

    pub(super) fn record(&self, template: &str) -> Option<&Record<'a>> {
        self.templates.iter().find(|record| record.name == template)
    }

    /// Why an earlier call skipped a template.
    pub(super) fn failure(&self, template: &str) -> Option<Reason> {
        self.failures.get(template).copied().filter(|_| !self.is_empty())
    }

    /// Marks in the pod what earlier calls added and replaced, but for what is wrong, by the number of the record and the
    /// place. What is recorded as added and is not there comes back.
    pub(super) fn mark(&'a self, pod: &mut Node<'a>, is_wrong: impl Fn(usize, &str) -> bool) -> HashSet<&'a str> {
        let mut marks: Vec<Mark<'a>> = Vec::new();
        for (number, record) in self.templates.iter().enumerate() {
            let added = record.added.iter().map(|place| (place, None));
            let replaced = record.replaced.iter().map(|(place, was)| (place, Some(was)));
            marks.extend(added.chain(replaced).filter(|(place, _)| !is_wrong(number, place)).map(|(place, was)| {
                Mark { place, tokens: tokens(place), by: By::Earlier(number as u16), was, is_found: Cell::new(false) }
            }));
        }
        mark(pod, &Schema::get().pod, 0, &marks.iter().collect::<Vec<_>>());
        // Our own two annotations are additions, too.
        for key in [STATUS, OUTCOME] {
            let annotations = pod.member("metadata").and_then(|metadata| metadata.member("annotations"));
            annotations.and_then(|annotations| annotations.member(key)).into_iter().for_each(|it| it.by = By::Pillion);
        }
        marks.iter().filter(|mark| mark.was.is_none() && !mark.is_found.get()).map(|mark| mark.place).collect()
    }
}

/// What one entry of a record says of the pod.
struct Mark<'a> {
    place: &'a str,
    tokens: Vec<String>,
    by: By,
    /// What stood there before, if it was replaced.
    was: Option<&'a Fragment>,
    is_found: Cell<bool>,
}

/// Marks what is below a value. Each list and object on the way is gone through once, however many places are in it.
fn mark<'a>(node: &mut Node<'a>, kind: &Type, depth: usize, marks: &[&Mark<'a>]) {
    let mut below: HashMap<&str, Vec<&Mark<'a>>> = HashMap::new();
    for mark in marks {
        match mark.tokens.get(depth) {
            Some(token) => below.entry(token).or_default().push(mark),
            None => mark.put_on(node),
        }
    }
    if below.is_empty() {
        return;
    }
    // A newer Kubernetes has fields that are not known here.
    let any = matches!(kind, Type::Object(_)).then_some(&ANY);
    let go_on = |token: &str, node: &mut Node<'a>| {
        if let (Some(marks), Some(kind)) = (below.get(token), kind.child(token).or(any)) {
            mark(node, kind, depth + 1, marks);
        }
    };
    match kind {
        Type::List { keys, .. } => {
            let items = node.items().into_iter().flatten();
            items.for_each(|item| go_on(&item.key(keys), item));
        }
        _ => {
            let members = node.members().into_iter().flatten();
            members.filter(|(_, node)| !node.is_null()).for_each(|(name, node)| go_on(name, node));
        }
    }
}

impl<'a> Mark<'a> {
    fn put_on(&self, node: &mut Node<'a>) {
        self.is_found.set(true);
        match self.was {
            None => node.by = self.by,
            // The first to replace something knows what the pod had.
            Some(was) if node.by == By::Pod => {
                node.change = Change::Replaced(Node::fragment(was, By::Pod).into());
                node.by = self.by;
            }
            Some(_) => {}
        }
    }
}

/// Whether a template can have replaced such a value there: some fields of the spec, where they had the API server's default,
/// and an annotation that grows.
fn can_be_replaced(pointer: &str, was: &Fragment) -> bool {
    let tokens = tokens(pointer);
    match tokens.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["metadata", "annotations", key] => *key == SAFE_TO_EVICT && View::fragment(was).string().is_some(),
        ["spec", "terminationGracePeriodSeconds"] => View::fragment(was).integer().is_some(),
        ["spec", field] => {
            let was = View::fragment(was).as_text();
            DEFAULTS.iter().any(|(name, default)| name == field && was.as_deref() == Some(*default))
        }
        _ => false,
    }
}

/// Whether a template can have added what is there: never a pod as a whole, nor all of its containers.
fn can_be_added(pointer: &str) -> bool {
    let tokens = tokens(pointer);
    match tokens.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["metadata", "labels" | "annotations", _] => true,
        ["spec", "containers" | "initContainers" | "volumes"] => false,
        ["spec", _, ..] => true,
        _ => false,
    }
}

/// The steps of a JSON pointer. Source: RFC 6901.
pub(super) fn tokens(pointer: &str) -> Vec<String> {
    pointer.split('/').skip(1).map(|token| token.replace("~1", "/").replace("~0", "~")).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::json::Tape;
    use crate::json::node::Json;

    const POD: &str = r#"{
        "metadata": {
            "labels": {"a": "1", "own": "1", "a": "2", "null": null},
            "annotations": {"a/b~c": "1", "a~1b": "1", "pillion.dev/outcome": "", "pillion.dev/status": "", "own": "1"}
        },
        "spec": {
            "hostname": "web", "dnsPolicy": "None", "priority": 1,
            "containers": [{
                "name": "web", "image": "web:1", "env": [{"name": "A"}, {"name": "OWN"}, {"name": "A"}],
                "ports": [{"containerPort": 80}, {"containerPort": 80, "protocol": "UDP"}]
            }]
        }
    }"#;

    fn pod() -> Node<'static> {
        let tape = Tape::scan(POD).expect("JSON");
        Node::text(Box::leak(Box::new(tape)).root())
    }

    fn status(templates: &Value) -> Status<'static> {
        Status::parse(Some(&json!({"templates": templates}).to_string()), None)
    }

    /// What records name below a place: the number of the record, and where it is.
    fn marked(node: &Node<'_>, place: &str) -> Vec<String> {
        let mut all = Vec::new();
        if let By::Earlier(number) = node.by {
            all.push(format!("{number} {place}"));
        }
        match &node.json {
            Json::Object(members) => {
                for (name, node) in members {
                    all.extend(marked(node, &format!("{place}/{name}")));
                }
            }
            Json::List(items) => {
                for (at, node) in items.iter().enumerate() {
                    all.extend(marked(node, &format!("{place}/{at}")));
                }
            }
            Json::Text(_) | Json::Fragment(_) => {}
        }
        all
    }

    fn found(node: &Node<'_>, field: &str) -> Option<String> {
        Some(node.find(&["spec".to_owned(), field.to_owned()])?.into_owned())
    }

    #[test]
    fn what_a_status_names_is_marked_duplicates_too() {
        let mut pod = pod();
        let status = status(&json!([
            {"name": "a", "added": ["/metadata/labels/a", "/metadata/annotations/a~1b~0c", "/metadata/annotations/a~01b"]},
            {"name": "b", "added": ["/spec/containers/web/env/A", "/spec/containers/web/ports/80~1TCP"]},
        ]));
        assert!(status.mark(&mut pod, |_, _| false).is_empty());
        let expected = [
            "0 /metadata/labels/a",
            "0 /metadata/labels/a",
            "0 /metadata/annotations/a/b~c",
            "0 /metadata/annotations/a~1b",
            "1 /spec/containers/0/env/0",
            "1 /spec/containers/0/env/2",
            "1 /spec/containers/0/ports/0",
        ];
        assert_eq!(marked(&pod, ""), expected);
        assert!(pod.patch().is_empty());
    }

    #[test]
    fn pillions_own_annotations_are_marked_whatever_the_status_says() {
        let (mut pod, status) = (pod(), Status::default());
        status.mark(&mut pod, |_, _| false);
        let annotations = pod.find(&["metadata".to_owned(), "annotations".to_owned()]).expect("annotations");
        assert_eq!(&*annotations, r#"{"a/b~c":"1","a~1b":"1","own":"1"}"#);
    }

    #[test]
    fn what_is_missing_comes_back_and_nothing_is_marked_on_the_way() {
        let missing = [
            "/metadata/labels/gone",
            "/metadata/labels/null",
            "/metadata/annotations/a~0b~1c",
            "/spec/volumes/gone",
            "/spec/initContainers/gone/env/A",
            "/spec/containers/web/env/GONE",
            "/spec/containers/web/ports/80",
            "/spec/containers/0/env/A",
            // Through scalars, through what Kubernetes does not know, and through what looks like a way.
            "/spec/hostname/web",
            "/spec/containers/web/image/web:1",
            "/spec/unknown/field",
            "/spec/containers/web/env/A/name/A",
            "/spec/containers/../containers/web",
            "/spec//",
            "/spec/containers/",
        ];
        let mut pod = pod();
        let status = status(&json!([{"name": "a", "added": missing}]));
        assert_eq!(status.mark(&mut pod, |_, _| false), HashSet::from(missing));
        assert_eq!(marked(&pod, ""), [""; 0]);
    }

    #[test]
    fn what_no_template_can_have_added_is_not_marked() {
        let places = [
            "",
            "/",
            "//",
            "~",
            "web",
            "/metadata",
            "/metadata/labels",
            "/metadata/name",
            "/spec",
            "/spec/containers",
            "/status/x",
        ];
        let mut pod = pod();
        let status = status(&json!([{"name": "a", "added": places, "replaced": places.map(|place| (place, "x"))}]));
        assert!(status.mark(&mut pod, |_, _| false).is_empty());
        assert_eq!(marked(&pod, ""), [""; 0]);
    }

    #[test]
    fn of_a_replaced_field_the_former_value_is_known_from_who_replaced_it_first() {
        let mut pod = pod();
        let status = status(&json!([
            {"name": "a", "replaced": [["/spec/dnsPolicy", "ClusterFirst"]]},
            {"name": "b", "added": ["/spec/hostname"], "replaced": [["/spec/dnsPolicy", "Default"], ["/spec/hostname", "own"]]},
        ]));
        assert!(status.mark(&mut pod, |_, _| false).is_empty());
        assert_eq!(found(&pod, "dnsPolicy").as_deref(), Some(r#""ClusterFirst""#));
        assert_eq!(found(&pod, "hostname"), None, "it was added and then replaced");
        assert!(pod.patch().is_empty());
    }

    #[test]
    fn a_forged_replacement_is_of_a_field_that_templates_replace_and_changes_nothing() {
        let mut pod = pod();
        let status = status(&json!([{"name": "a", "replaced": [
            ["/spec/containers/web/image", "x"], ["/metadata/labels/own", "x"], ["/spec/gone", "x"], ["/spec/priority", 1],
            ["/spec/schedulerName", "x"], ["/spec/dnsPolicy", {"x": []}],
        ]}]));
        assert!(status.mark(&mut pod, |_, _| false).is_empty(), "what was replaced and is gone does not come back");
        assert_eq!(marked(&pod, ""), [""; 0]);
        assert_eq!(found(&pod, "dnsPolicy").as_deref(), Some(r#""None""#), "it is no default that stood there");
        assert!(pod.patch().is_empty());
    }
}
