//! The pod under review, as far as somebody has asked.

use std::borrow::Cow;
use std::cell::Cell;
use std::iter;

use serde_json::Value;
use serde_json::value::{RawValue, to_raw_value};

use super::status::{MAX_ANNOTATIONS, OUTCOME, STATUS, Status};
use crate::admission::Review;
use crate::catalog::Namespace;
use crate::decision::{Owner, Reason, Subject};
use crate::draft::{Entry, Node, opened};
use crate::expression::{Failure, Root, STEP, Variables};
use crate::object::{self, MAX_VALUES, Object, Opened, are_bounded};
use crate::template::Parameters;

/// A pod whose outermost members were read.
pub(super) struct Pod<'a> {
    opened: &'a Opened<'a>,
    spec: &'a Object<'a>,
    labels: Object<'a>,
    annotations: Object<'a>,
}

/// A container, its name, and the list that it is in.
pub(super) struct Container<'a> {
    pub(super) list: &'static str,
    pub(super) name: Cow<'a, str>,
    members: Object<'a>,
}

impl<'a> Pod<'a> {
    /// Reads labels and annotations.
    ///
    /// # Errors
    ///
    /// With the reason, if it is not shaped like a pod or has more labels or annotations than are read.
    pub(super) fn read(opened: &'a Opened<'a>) -> Result<Pod<'a>, Reason> {
        let part = |name: &str| match opened.metadata.as_ref().and_then(|metadata| metadata.get(name)) {
            Some(raw) if are_bounded(iter::once(raw)) => Object::parse(raw).ok_or(Reason::MalformedReview),
            Some(_) => Err(Reason::TooLarge),
            None => Ok(Object::default()),
        };
        let spec = opened.spec.as_ref().ok_or(Reason::MalformedReview)?;
        Ok(Pod { labels: part("labels")?, annotations: part("annotations")?, spec, opened })
    }

    fn metadata_text(&self, name: &str) -> Option<Cow<'a, str>> {
        self.opened.metadata.as_ref()?.string(name).filter(|text| !text.is_empty())
    }

    /// The values of `metadata` and `spec`, and the other members.
    fn members(&self) -> impl Iterator<Item = &'a RawValue> + Clone {
        let Opened { metadata, rest, .. } = self.opened;
        metadata.iter().chain([self.spec]).flat_map(Object::values).chain(rest.iter().map(|(_, raw)| *raw))
    }

    /// About how many bytes its text has.
    pub(super) fn length(&self) -> usize {
        self.members().map(|raw| raw.get().len()).sum()
    }

    /// Checks that the pod is no larger than what is opened of one: what opening takes grows with the values it holds. Gives
    /// the bytes of its annotations without our own, which are written anew.
    ///
    /// # Errors
    ///
    /// With what is too large.
    pub(super) fn check_size(&self) -> Result<usize, String> {
        if !are_bounded(self.members()) {
            return Err(too_many_values());
        }
        let others = self.annotations().filter(|(key, _)| key != STATUS && key != OUTCOME);
        let bytes = others.map(|(key, value)| key.len() + object::string(value).map_or(0, |text| text.len())).sum();
        if bytes > MAX_ANNOTATIONS {
            return Err(format!(
                "metadata.annotations of the pod have more than {MAX_ANNOTATIONS} bytes, which is all that Kubernetes \
                 takes; shorten them"
            ));
        }
        Ok(bytes)
    }

    /// The containers of both lists; nothing if they are no containers.
    pub(super) fn containers(&self) -> Option<Vec<Container<'a>>> {
        let mut all = Vec::new();
        for list in ["initContainers", "containers"] {
            let Some(raw) = self.spec.get(list) else { continue };
            for members in object::objects(raw)? {
                all.push(Container { list, name: members.string("name")?, members });
            }
        }
        Some(all)
    }

    /// The pod as a draft to which nothing was added yet. What was opened for the review is not opened again.
    pub(super) fn draft(&self, containers: &[Container<'a>]) -> Node<'a> {
        let rest = self.opened.rest.iter().map(|(name, raw)| (name.clone(), Entry::kept(Node::Raw(raw))));
        let mut members: Vec<_> = rest.collect();
        let mut spec = opened(self.spec);
        for (name, entry) in &mut spec {
            // A list that is null is not there: Go writes an empty one so.
            let is_null = matches!(entry.node, Node::Raw(raw) if raw.get() == "null");
            if !is_null && (name == "containers" || name == "initContainers") {
                let list = containers.iter().filter(|container| container.list == *name);
                let items = list.map(|container| Entry::kept(Node::Object(opened(&container.members))));
                entry.node = Node::List(items.collect());
            }
        }
        if let Some(metadata) = &self.opened.metadata {
            members.push(("metadata".into(), Entry::kept(Node::Object(opened(metadata)))));
        }
        members.push(("spec".into(), Entry::kept(Node::Object(spec))));
        Node::Object(members)
    }

    /// How much text is read to find a value: of a member of `metadata` or `spec`, all of it.
    fn scanned(&self, path: &[String]) -> usize {
        let members = match path.first().map(String::as_str) {
            Some("metadata") => self.opened.metadata.as_ref(),
            Some("spec") => Some(self.spec),
            _ => None,
        };
        let member = members.zip(path.get(1)).and_then(|(members, name)| members.get(name));
        member.map_or(0, |raw| raw.get().len())
    }

    /// A value of the pod, by the names that lead to it.
    fn find(&self, path: &[String]) -> Option<Cow<'a, RawValue>> {
        let Some((first, rest)) = path.split_first() else {
            return Some(owned(&self.draft(&self.containers()?).to_value()));
        };
        let members = match first.as_str() {
            "metadata" => self.opened.metadata.as_ref()?,
            "spec" => self.spec,
            other => {
                let raw = self.opened.rest.iter().find(|(name, _)| name == other).map(|(_, raw)| *raw)?;
                return find(raw, rest).map(Cow::Borrowed);
            }
        };
        find_in(members, rest)
    }

    pub(super) fn label(&self, key: &str) -> Option<Cow<'a, str>> {
        self.labels.string(key)
    }

    pub(super) fn annotation(&self, key: &str) -> Option<Cow<'a, str>> {
        self.annotations.string(key)
    }

    /// Every annotation, its value as JSON.
    pub(super) fn annotations(&self) -> impl Iterator<Item = (Cow<'a, str>, &'a RawValue)> {
        self.annotations.members()
    }

    pub(super) fn annotation_keys(&self) -> impl Iterator<Item = &str> {
        self.annotations.names()
    }

    pub(super) fn uses_host_network(&self) -> bool {
        self.spec.get("hostNetwork").is_some_and(|value| value.get() == "true")
    }

    /// The operating system; Linux unless it says otherwise.
    pub(super) fn os(&self) -> Cow<'a, str> {
        self.spec.object("os").and_then(|os| os.string("name")).unwrap_or("linux".into())
    }

    pub(super) fn subject(&self, review: &Review<'_>) -> Subject {
        let text = |name: &str| self.metadata_text(name);
        let owners = self.opened.metadata.as_ref().and_then(|metadata| metadata.get("ownerReferences"));
        let owners = owners.and_then(object::list).unwrap_or_default();
        let controller = owners
            .into_iter()
            .filter_map(Object::parse)
            .find(|owner| owner.get("controller").is_some_and(|controller| controller.get() == "true"));
        Subject {
            // Kubernetes up to 1.23 left metadata.namespace empty.
            namespace: text("namespace").map_or_else(|| review.namespace().to_owned(), Cow::into_owned),
            name: text("name").or_else(|| text("generateName")).unwrap_or_default().into_owned(),
            owner: controller.map(|owner| {
                let text = |name: &str| owner.string(name).unwrap_or_default().into_owned();
                Owner { api_version: text("apiVersion"), kind: text("kind"), name: text("name"), uid: text("uid") }
            }),
            seen_before: self.annotation(OUTCOME).is_some(),
        }
    }
}

/// Says that a pod is too large.
pub(super) fn too_many_values() -> String {
    format!("the pod has more than {MAX_VALUES} fields and list items; make it smaller")
}

/// What the expressions of one template see.
pub(super) struct Seen<'a> {
    pub(super) pod: &'a Pod<'a>,
    /// What Pillion added before: expressions do not see it, so that a second call sees what the first saw.
    pub(super) status: &'a Status,
    pub(super) namespace: &'a Namespace,
    pub(super) parameters: &'a Parameters,
    pub(super) container: Option<&'a Container<'a>>,
    pub(super) budget: &'a Budget,
}

/// The evaluations of one review: the expressions of its templates, for each container again, and as often an entry of
/// `app` is filled in.
const MAX_EVALUATIONS: usize = 65_536;
/// What the expressions of one review may work on, in bytes of input and of results.
const MAX_WORK: usize = 16 << 20;

/// What the expressions of one review may still do.
pub(super) struct Budget {
    evaluations: Cell<usize>,
    /// Bytes of input and of results.
    work: Cell<usize>,
}

impl Default for Budget {
    fn default() -> Budget {
        Budget { evaluations: Cell::new(MAX_EVALUATIONS), work: Cell::new(MAX_WORK) }
    }
}

/// Takes so much from what is left. When that is not enough all of it stays: the templates behind may need less.
fn take(left: &Cell<usize>, amount: usize) -> Option<()> {
    left.get().checked_sub(amount).map(|rest| left.set(rest))
}

impl Variables for Seen<'_> {
    fn has(&self, root: Root, path: &[String]) -> Result<bool, Failure> {
        if root == Root::Params {
            return self.parameters.has(root, path);
        }
        // Every pod has metadata and a spec, and they need not be put together to know it.
        let is_whole = root == Root::Pod && path.len() == 1 && (path[0] == "metadata" || path[0] == "spec");
        Ok(path.is_empty() || is_whole || self.lookup(root, path)?.is_some())
    }

    fn begin_evaluation(&self) -> Result<(), Failure> {
        take(&self.budget.evaluations, 1).ok_or_else(|| {
            let message = format!(
                "the pod's templates evaluate more than {MAX_EVALUATIONS} expressions and app entries, each counted for \
                 every container"
            );
            Failure::Limit(message)
        })
    }

    fn spend(&self, bytes: usize) -> Result<(), Failure> {
        take(&self.budget.work, bytes).ok_or_else(|| {
            Failure::Limit(format!(
                "the pod's templates work on more than {MAX_WORK} bytes altogether, where \
                                                   each step through a list counts as {STEP}"
            ))
        })
    }

    fn lookup(&self, root: Root, path: &[String]) -> Result<Option<Cow<'_, RawValue>>, Failure> {
        match root {
            Root::Params => self.parameters.lookup(root, path),
            Root::NamespaceObject => match self.namespace.known() {
                Some(known) => Ok(find(&known.object, path).map(Cow::Borrowed)),
                None if path == ["metadata", "name"] => Ok(Some(owned(&self.namespace.name.as_str().into()))),
                None => Err(Failure::UnknownNamespace),
            },
            Root::Container => {
                let Some(container) = self.container else { return Ok(None) };
                self.spend(path.first().and_then(|name| container.members.get(name)).map_or(0, |raw| raw.get().len()))?;
                let place = ["spec", container.list, &container.name];
                Ok(self.without_added(&place, path, find_in(&container.members, path)))
            }
            Root::Pod => {
                self.spend(self.pod.scanned(path))?;
                let found = self.without_added(&[], path, self.pod.find(path));
                // An API server leaves empty maps out; nobody should have to ask for each.
                let is_map =
                    path.len() == 2 && path[0] == "metadata" && (path[1] == "labels" || path[1] == "annotations");
                Ok(found.or_else(|| is_map.then(|| owned(&Value::Object(Default::default())))))
            }
        }
    }
}

impl<'a> Seen<'a> {
    fn without_added(
        &self,
        place: &[&str],
        path: &[String],
        raw: Option<Cow<'a, RawValue>>,
    ) -> Option<Cow<'a, RawValue>> {
        let raw = raw?;
        if self.status.is_empty() {
            return Some(raw);
        }
        let place: Vec<&str> = place.iter().copied().chain(path.iter().map(String::as_str)).collect();
        self.status.without_added(&place, raw)
    }
}

fn find_in<'a>(members: &Object<'a>, path: &[String]) -> Option<Cow<'a, RawValue>> {
    match path.split_first() {
        None => Some(owned(&Node::Object(opened(members)).to_value())),
        Some((name, path)) => find(members.get(name)?, path).map(Cow::Borrowed),
    }
}

fn owned<'b>(value: &Value) -> Cow<'b, RawValue> {
    Cow::Owned(to_raw_value(value).expect("a JSON value is JSON"))
}

fn find<'a>(raw: &'a RawValue, path: &[String]) -> Option<&'a RawValue> {
    path.iter().try_fold(raw, |raw, name| object::member(raw, name).filter(|value| value.get() != "null"))
}
