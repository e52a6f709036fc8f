//! The pod under review, as far as somebody has asked.

use std::borrow::Cow;
use std::cell::Cell;
use std::iter;

use serde::Serialize;
use serde_json::Value;
use serde_json::value::{RawValue, to_raw_value};

use super::status::{MAX_ANNOTATIONS, OUTCOME, STATUS, Status};
use crate::admission::Review;
use crate::catalog::Namespace;
use crate::decision::{Owner, Reason, Subject};
use crate::draft::{Entry, Node, opened};
use crate::expression::{Failure, MAX_WORK, Root, STEP, Variables};
use crate::object::{self, MAX_VALUES, Object, Opened, are_bounded};
use crate::template::Parameters;

/// A pod whose outermost members were read.
pub(super) struct Pod<'a> {
    metadata: Option<&'a Object<'a>>,
    spec: &'a Object<'a>,
    /// The other members.
    rest: &'a [(Cow<'a, str>, &'a RawValue)],
    labels: Object<'a>,
    pub(super) annotations: Object<'a>,
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
        let Opened { metadata, spec, rest } = opened;
        let map = |name: &str| match metadata.as_ref().and_then(|metadata| metadata.get(name)) {
            Some(raw) if are_bounded(iter::once(raw)) => Object::parse(raw).ok_or(Reason::MalformedReview),
            Some(_) => Err(Reason::TooLarge),
            None => Ok(Object::default()),
        };
        Ok(Pod {
            metadata: metadata.as_ref(),
            spec: spec.as_ref().ok_or(Reason::MalformedReview)?,
            rest,
            labels: map("labels")?,
            annotations: map("annotations")?,
        })
    }

    /// The members of `metadata` and `spec`, and the other members.
    fn members(&self) -> impl Iterator<Item = &'a RawValue> + Clone {
        let opened = self.metadata.into_iter().chain([self.spec]);
        opened.flat_map(|object| &object.members).chain(self.rest).map(|(_, raw)| *raw)
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
        let others = self.annotations.members.iter().filter(|(key, _)| key != STATUS && key != OUTCOME);
        let bytes = others.map(|(key, value)| key.len() + object::string(value).map_or(0, |text| text.len())).sum();
        if bytes > MAX_ANNOTATIONS {
            return Err(format!(
                "metadata.annotations of the pod have more than {MAX_ANNOTATIONS} bytes, which is all that Kubernetes \
                 takes; shorten them"
            ));
        }
        Ok(bytes)
    }

    /// The containers of both lists; `None` if they are no containers.
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
        let mut spec = opened(self.spec);
        for (name, entry) in &mut spec {
            // A list that is null is not there: Go writes an empty one so.
            let is_null = matches!(entry.node, Node::Raw(raw) if raw.get() == "null");
            if !is_null && (name == "containers" || name == "initContainers") {
                let list = containers.iter().filter(|container| container.list == *name);
                let items = list.map(|container| Entry::existing(Node::Object(opened(&container.members))));
                entry.node = Node::List(items.collect());
            }
        }
        let rest = self.rest.iter().map(|(name, raw)| (name.clone(), Node::Raw(raw)));
        let metadata = self.metadata.map(|metadata| ("metadata".into(), Node::Object(opened(metadata))));
        let members = rest.chain(metadata).chain([("spec".into(), Node::Object(spec))]);
        Node::Object(members.map(|(name, node)| (name, Entry::existing(node))).collect())
    }

    /// The object whose members are read in place: `metadata` or `spec`.
    fn opened(&self, name: &str) -> Option<&'a Object<'a>> {
        match name {
            "metadata" => self.metadata,
            "spec" => Some(self.spec),
            _ => None,
        }
    }

    /// How much text is read to find a value: of a member of `metadata` or `spec`, all of it.
    fn scanned(&self, path: &[String]) -> usize {
        let [first, name, ..] = path else { return 0 };
        self.opened(first).and_then(|object| object.get(name)).map_or(0, |raw| raw.get().len())
    }

    /// A value of the pod, by the names that lead to it.
    fn find(&self, path: &[String]) -> Option<Cow<'a, RawValue>> {
        let Some((first, rest)) = path.split_first() else {
            return Some(owned(&self.draft(&self.containers()?)));
        };
        match self.opened(first) {
            Some(object) => find_in(object, rest),
            None => {
                let (_, raw) = self.rest.iter().find(|(name, _)| name == first)?;
                find(raw, rest).map(Cow::Borrowed)
            }
        }
    }

    pub(super) fn label(&self, key: &str) -> Option<Cow<'a, str>> {
        self.labels.string(key)
    }

    pub(super) fn annotation(&self, key: &str) -> Option<Cow<'a, str>> {
        self.annotations.string(key)
    }

    pub(super) fn annotation_keys(&self) -> impl Iterator<Item = &str> {
        self.annotations.members.iter().map(|(key, _)| key.as_ref())
    }

    pub(super) fn uses_host_network(&self) -> bool {
        self.spec.get("hostNetwork").is_some_and(|value| value.get() == "true")
    }

    /// The operating system; Linux unless it says otherwise.
    pub(super) fn os(&self) -> Cow<'a, str> {
        self.spec.object("os").and_then(|os| os.string("name")).unwrap_or("linux".into())
    }

    pub(super) fn subject(&self, review: &Review<'_>) -> Subject {
        let text = |name: &str| self.metadata?.string(name).filter(|text| !text.is_empty());
        let owners = self.metadata.and_then(|metadata| metadata.get("ownerReferences"));
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

/// What the expressions of one template can read; CEL's word for it.
#[derive(Clone, Copy)]
pub(super) struct Activation<'a> {
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

/// Takes an amount from what is left. Nothing is taken when that is not enough: later templates may need less.
fn take(left: &Cell<usize>, amount: usize) -> Option<()> {
    left.get().checked_sub(amount).map(|rest| left.set(rest))
}

impl Variables for Activation<'_> {
    fn has(&self, root: Root, path: &[String]) -> Result<bool, Failure> {
        if root == Root::Params {
            return Ok(self.parameters.has(path));
        }
        // Every pod has metadata and a spec, and they need not be put together to know it.
        let is_whole = root == Root::Pod && path.len() == 1 && (path[0] == "metadata" || path[0] == "spec");
        Ok(path.is_empty() || is_whole || self.lookup(root, path)?.is_some())
    }

    fn begin_evaluation(&self) -> Result<(), Failure> {
        take(&self.budget.evaluations, 1).ok_or_else(|| {
            Failure::Limit(format!(
                "the pod's templates evaluate more than {MAX_EVALUATIONS} expressions and app entries, each counted for \
                 every container"
            ))
        })
    }

    fn spend(&self, bytes: usize) -> Result<(), Failure> {
        take(&self.budget.work, bytes).ok_or_else(|| {
            Failure::Limit(format!(
                "the pod's templates work on more than {MAX_WORK} bytes altogether, where each step through a list counts \
                 as {STEP}"
            ))
        })
    }

    fn lookup(&self, root: Root, path: &[String]) -> Result<Option<Cow<'_, RawValue>>, Failure> {
        match root {
            Root::Params => Ok(self.parameters.lookup(path)),
            Root::NamespaceObject => match self.namespace.known() {
                Some(known) => Ok(find(&known.object, path).map(Cow::Borrowed)),
                None if path == ["metadata", "name"] => Ok(Some(owned(&self.namespace.name))),
                None => Err(Failure::UnknownNamespace),
            },
            Root::Container => {
                let Some(container) = self.container else { return Ok(None) };
                self.spend(path.first().and_then(|name| container.members.get(name)).map_or(0, |raw| raw.get().len()))?;
                let place = ["spec", container.list, &container.name];
                Ok(find_in(&container.members, path).and_then(|raw| self.without_added(&place, path, raw)))
            }
            Root::Pod => {
                self.spend(self.pod.scanned(path))?;
                let found = self.pod.find(path).and_then(|raw| self.without_added(&[], path, raw));
                // An API server omits empty maps; nobody should have to ask for each.
                let is_map =
                    path.len() == 2 && path[0] == "metadata" && (path[1] == "labels" || path[1] == "annotations");
                Ok(found.or_else(|| is_map.then(|| owned(&Value::Object(Default::default())))))
            }
        }
    }
}

impl<'a> Activation<'a> {
    /// A value without what earlier calls added; `place` and `path` lead to it from the pod's root.
    fn without_added(&self, place: &[&str], path: &[String], raw: Cow<'a, RawValue>) -> Option<Cow<'a, RawValue>> {
        if self.status.is_empty() {
            return Some(raw);
        }
        let place: Vec<&str> = place.iter().copied().chain(path.iter().map(String::as_str)).collect();
        self.status.without_added(&place, raw)
    }
}

fn find_in<'a>(members: &Object<'a>, path: &[String]) -> Option<Cow<'a, RawValue>> {
    match path.split_first() {
        None => Some(owned(&Node::Object(opened(members)))),
        Some((name, path)) => find(members.get(name)?, path).map(Cow::Borrowed),
    }
}

fn owned<'b>(value: &impl Serialize) -> Cow<'b, RawValue> {
    Cow::Owned(to_raw_value(value).expect("what came from JSON is JSON"))
}

fn find<'a>(raw: &'a RawValue, path: &[String]) -> Option<&'a RawValue> {
    path.iter().try_fold(raw, |raw, name| object::member(raw, name).filter(|value| value.get() != "null"))
}
