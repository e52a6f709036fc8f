//! One pod and the templates that it asks for, each rendered and then merged into the draft.

use std::borrow::Cow;
use std::cell::Cell;
use std::rc::Rc;

use super::merge::{Given, ToApp};
use super::outcome::Refusal;
use super::pod::{Budget, Container, Pod};
use super::room::Room;
use super::select;
use super::status::{OUTCOME, Record, STATUS, Status};
use crate::catalog::{Catalog, Namespace};
use crate::decision::Reason;
use crate::draft::pointer;
use crate::fragment::{Fragment, Values, View};
use crate::names::OnError;

use crate::template::{PodPart, Template};

/// The unknown names of one review for which the nearest known one is looked for: that takes a comparison with each.
const MAX_HINTS: usize = 3;

/// One pod and everything that its decision depends on.
pub(super) struct Pass<'a> {
    pub(super) catalog: &'a Catalog,
    pub(super) namespace: &'a Namespace,
    pub(super) pod: &'a Pod<'a>,
    pub(super) containers: &'a [Container<'a>],
    pub(super) status: Status,
    pub(super) budget: Budget,
    /// How much templates may still add.
    pub(super) room: Cell<Room>,
    /// The nearest names that may still be looked for.
    pub(super) hints: Cell<usize>,
}

/// What became of a template that was asked for.
#[derive(Clone)]
pub(super) enum Verdict {
    /// It is in the pod now, and this is what it added.
    Injected(Record),
    /// An earlier call injected it, and nothing is missing.
    Done,
    /// An earlier call injected it as it was then: since, the template or its parameters have changed.
    Stale,
    /// It adds nothing, for this reason.
    Skipped(Reason),
    /// It cannot be applied. The policy is the template's; there is none for a name that leads to no template.
    Failed(Refusal, Option<OnError>),
}

impl Verdict {
    pub(super) fn record(&self) -> Option<&Record> {
        match self {
            Verdict::Injected(record) => Some(record),
            Verdict::Done | Verdict::Stale | Verdict::Skipped(_) | Verdict::Failed(..) => None,
        }
    }
}

/// What one of the pod's own containers receives from an entry of `app`: the container, and the entry with its
/// holes' values.
pub(super) struct Received<'a> {
    pub(super) container: &'a Container<'a>,
    pub(super) fragment: &'a Fragment,
    /// The values that all containers share.
    pub(super) shared: Option<Rc<[(usize, Fragment)]>>,
    pub(super) own: Vec<(usize, Fragment)>,
    pub(super) overrides: bool,
}

impl Received<'_> {
    pub(super) fn given(&self) -> ToApp<'_> {
        ToApp {
            list: self.container.list,
            container: &self.container.name,
            view: View::new(
                self.fragment,
                Values { shared: self.shared.as_deref().unwrap_or_default(), own: &self.own },
            ),
            overrides: self.overrides,
        }
    }
}

/// A template that is ready to be merged.
pub(super) struct Prepared<'a> {
    pub(super) template: &'a Template,
    pub(super) digest: Cow<'a, str>,
    pub(super) pod: &'a PodPart,
    pub(super) values: Vec<(usize, Fragment)>,
    pub(super) app: Vec<Received<'a>>,
    /// Whether the namespace requires the template.
    pub(super) required: bool,
    pub(super) warnings: Vec<String>,
}

impl<'a> Prepared<'a> {
    /// What it gives to the pod.
    pub(super) fn given(&self) -> Given<'_> {
        let view = |fragment| View::new(fragment, Values::all(&self.values));
        Given {
            template: self.template,
            metadata: self.pod.metadata.as_ref().map(view),
            spec: self.pod.spec.as_ref().map(view),
            shares: self.pod.shares.as_ref().map(view),
            app: self.app.iter().map(Received::given).collect(),
            required: self.required,
        }
    }
}

pub(super) enum Preparation<'a> {
    Ready(Box<Prepared<'a>>),
    Settled(Verdict),
}

impl<'a> Pass<'a> {
    pub(super) fn new(
        catalog: &'a Catalog,
        namespace: &'a Namespace,
        pod: &'a Pod<'a>,
        containers: &'a [Container<'a>],
        annotation_bytes: usize,
    ) -> Pass<'a> {
        let mut status = Status::parse(pod.annotation(STATUS).as_deref(), pod.annotation(OUTCOME).as_deref());
        if !select::required(namespace).is_empty() {
            // A container of the pod's own must not pass for a template's, and so escape what is required.
            status.keep_containers(|template, list, name| {
                let template = catalog.template(template, &namespace.name);
                let spec = template.and_then(|template| template.pod.spec.as_ref());
                spec.is_some_and(|spec| spec.may_name(list, name))
            });
        }
        let room = Cell::new(Room::beside(&status, annotation_bytes));
        let (budget, hints) = (Budget::default(), Cell::new(MAX_HINTS));
        Pass { catalog, namespace, pod, containers, status, budget, room, hints }
    }

    /// The pod's containers without those that templates brought.
    pub(super) fn own_containers(&self) -> impl Iterator<Item = &'a Container<'a>> {
        let is_own = |container: &&Container<'a>| {
            let place = || pointer(["spec", container.list, &container.name]);
            self.status.is_empty() || self.status.added_by(&place()).is_none()
        };
        self.containers.iter().filter(is_own)
    }

    /// What becomes of a pod for which a template cannot be applied. Where the namespace requires it, a problem that the
    /// pod's author can make must not be a way to drop it.
    pub(super) fn policy(&self, template: &Template, required: bool) -> OnError {
        if required { OnError::Deny } else { template.on_error.unwrap_or(self.catalog.on_error) }
    }
}
