//! The pod under review, as far as somebody has asked.

use std::borrow::Cow;
use std::cell::Cell;

use serde_json::Value;

use super::status::MAX_ANNOTATIONS;
use crate::catalog::Namespace;
use crate::decision::Reason;
use crate::expression::{Failure, MAX_WORK, Root, Variables};
use crate::json::tape::{MAX_DEPTH, MAX_VALUES};
use crate::json::{By, Node, Tape, Text, View};
use crate::names::{OUTCOME, STATUS};
use crate::template::Parameters;

/// What has the shape of a pod.
#[derive(Clone, Copy)]
pub(super) struct Pod<'a> {
    pod: Text<'a>,
    spec: Option<Text<'a>>,
    labels: Option<Text<'a>>,
    annotations: Option<Text<'a>>,
}

/// A container, its name, and the list that it is in.
pub(super) struct Container<'n, 'a> {
    pub(super) list: &'static str,
    pub(super) name: Cow<'a, str>,
    pub(super) node: &'n Node<'a>,
}

impl<'a> Pod<'a> {
    /// Finds what every decision needs.
    ///
    /// # Errors
    ///
    /// With the reason, if it is not shaped like a pod or has more labels or annotations than are read.
    pub(super) fn read(pod: Text<'a>) -> Result<Pod<'a>, Reason> {
        let object = |of: Option<Text<'a>>, name: &str| match of.and_then(|of| of.get(name)) {
            Some(value) if !value.is_object() => Err(Reason::MalformedReview),
            value => Ok(value),
        };
        let (metadata, spec) = (object(Some(pod), "metadata")?, object(Some(pod), "spec")?);
        if !metadata.map_or(pod.is_whole(), Text::is_whole) {
            return Err(Reason::TooLarge);
        }
        if spec.is_none() && pod.is_whole() {
            return Err(Reason::MalformedReview);
        }
        let (labels, annotations) = (object(metadata, "labels")?, object(metadata, "annotations")?);
        Ok(Pod { pod, spec, labels, annotations })
    }

    /// About how many bytes its text has.
    pub(super) fn length(&self) -> usize {
        self.pod.json().len()
    }

    /// Checks that the pod is no larger than what is opened of one: what opening takes grows with the values it holds. Gives
    /// the bytes of its annotations without our own, which are written anew.
    ///
    /// # Errors
    ///
    /// With what is too large.
    pub(super) fn check_size(&self) -> Result<usize, String> {
        if !self.pod.is_whole() {
            return Err(too_many_values());
        }
        let others = self.annotations().filter(|it| !it.is_called(STATUS) && !it.is_called(OUTCOME));
        let bytes = others.map(|it| it.name().len() + it.string().map_or(0, |text| text.len())).sum();
        if bytes > MAX_ANNOTATIONS {
            return Err(format!(
                "metadata.annotations of the pod have more than {MAX_ANNOTATIONS} bytes, which is all that Kubernetes \
                 takes; shorten them"
            ));
        }
        Ok(bytes)
    }

    /// The pod as a tree, and how many containers it has; `None` if they are no containers.
    pub(super) fn tree(&self) -> Option<(Node<'a>, usize)> {
        let mut tree = Node::text(self.pod);
        let spec = tree.member("spec")?;
        let mut count = 0;
        for list in LISTS {
            let Some(list) = spec.member(list) else { continue };
            let items = list.items()?;
            count += items.len();
            items.iter().all(|item| item.name().is_some()).then_some(())?;
        }
        Some((tree, count))
    }

    pub(super) fn label(&self, key: &str) -> Option<Cow<'a, str>> {
        self.labels?.string_at(key)
    }

    pub(super) fn annotation(&self, key: &str) -> Option<Cow<'a, str>> {
        self.annotations?.string_at(key)
    }

    pub(super) fn annotations(&self) -> impl Iterator<Item = Text<'a>> + use<'a> {
        self.annotations.into_iter().flat_map(Text::members)
    }

    /// The spec as it came.
    pub(super) fn view_of_spec(&self) -> View<'a> {
        self.spec.map_or(View::NOTHING, View::whole)
    }
}

/// The lists of containers that templates add to.
pub(super) const LISTS: [&str; 2] = ["initContainers", "containers"];

/// The containers of a pod, in the order of their lists.
pub(super) fn containers<'n, 'a>(tree: &'n Node<'a>) -> impl Iterator<Item = Container<'n, 'a>> {
    LISTS.into_iter().flat_map(move |list| {
        tree.opened_list(list).iter().filter_map(move |node| Some(Container { list, name: node.name()?, node }))
    })
}

/// Those that no template added.
pub(super) fn own_containers<'n, 'a>(tree: &'n Node<'a>) -> impl Iterator<Item = Container<'n, 'a>> {
    containers(tree).filter(|container| container.node.by == By::Pod)
}

/// Says that a pod is too large.
pub(super) fn too_many_values() -> String {
    format!(
        "the pod has more than {MAX_VALUES} fields and list items, or more than {MAX_DEPTH} levels; make it smaller"
    )
}

/// What the expressions of one template can read; CEL's word for it.
#[derive(Clone, Copy)]
pub(super) struct Activation<'a> {
    /// Expressions do not see what templates added, so that a second call sees what the first saw.
    pub(super) pod: &'a Node<'a>,
    pub(super) namespace: &'a Namespace,
    pub(super) parameters: &'a Parameters<'a>,
    pub(super) container: Option<&'a Node<'a>>,
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
                "the pod's templates work on more than {MAX_WORK} bytes altogether, where each step of an expression counts as \
                 one"
            ))
        })
    }

    fn lookup(&self, root: Root, path: &[String]) -> Result<Option<Cow<'_, str>>, Failure> {
        match root {
            Root::Params => Ok(self.parameters.lookup(path)),
            Root::NamespaceObject => match self.namespace.known() {
                Some(known) => Ok(Tape::scan(&known.object)
                    .and_then(|tape| tape.root().find(path).map(|value| Cow::Owned(value.json().to_owned())))),
                None if path == ["metadata", "name"] => {
                    Ok(Some(Cow::Owned(Value::from(&*self.namespace.name).to_string())))
                }
                None => Err(Failure::UnknownNamespace),
            },
            Root::Container => {
                let Some(container) = self.container else { return Ok(None) };
                self.spend(path.first().map_or(0, |name| container.scanned(name)))?;
                Ok(container.find(path))
            }
            Root::Pod => {
                let scanned = match path {
                    [first, name, ..] => self.pod.child(first).map_or(0, |object| object.scanned(name)),
                    _ => 0,
                };
                self.spend(scanned)?;
                // An API server omits empty maps; nobody should have to ask for each.
                let is_map =
                    path.len() == 2 && path[0] == "metadata" && (path[1] == "labels" || path[1] == "annotations");
                let found = self.pod.find(path);
                Ok(found.or_else(|| is_map.then_some(Cow::Borrowed("{}"))))
            }
        }
    }
}
