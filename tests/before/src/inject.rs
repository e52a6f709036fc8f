//! From a review to a decision. Read on in this order: [`decide`], [`render`], [`merge`] (into the [`draft`]), [`check`],
//! [`conclude`].

mod check;
mod conclude;
mod decide;
mod draft;
mod merge;
mod pod;
mod render;
mod room;
mod status;
mod trial;

use std::borrow::Cow;
use std::cell::Cell;
use std::collections::HashSet;
use std::rc::Rc;
use std::sync::Arc;

use self::conclude::{advice, denied};
use self::decide::Problem;
use self::draft::Node;
use self::merge::{Failure, Given, ToApp};
use self::pod::{Budget, Container, Pod};
use self::room::Room;
use self::status::{OUTCOME, Record, STATUS, Status};
pub(crate) use self::trial::trial;
use crate::admission::{Operation, Review};
use crate::catalog::{Catalog, Details, Found, Namespace};
use crate::decision::{Decision, Outcome, Patch, Reason, Subject};
use crate::template::fragment::{Fragment, Values, View};
use crate::template::{OnError, PodPart, Template, TemplateName};
use crate::validation::Wrong;

/// The most containers of a pod that asks for templates: each template's `app` is rendered for each of them.
const MAX_CONTAINERS: usize = 256;

/// The values and expressions of all templates and their parameters, for each container again, that take no more than a
/// millisecond or two.
const MAX_QUICK_WEIGHT: usize = 10_000;
/// The bytes of a pod through whose items an expression goes quickly. Some take the square of their number.
const MAX_QUICK_LOOP: usize = 4096;
/// The bytes that expressions quickly read, if each reads all of the pod.
const MAX_QUICK_READING: usize = 2 << 20;

/// The unknown names of one review for which the nearest known one is looked for: that takes a comparison with each.
const MAX_HINTS: usize = 3;

/// Decides what happens to a pod. It knows no clock, no network and no state, and it has an answer to everything.
pub fn review(catalog: &Catalog, namespace: &Namespace, review: &Review<'_>) -> Decision {
    select(catalog, namespace, review).map_or_else(|decision| *decision, |selection| selection.respond(catalog))
}

/// Refuses a pod that was not read, because its review has more than so many bytes. It may ask for templates, or its
/// namespace may require some, and it must not start without them unnoticed.
pub fn refuse_unread(review: &Review<'_>, max_bytes: usize) -> Decision {
    let subject = Subject { namespace: review.namespace().to_owned(), ..Subject::default() };
    if let Some(reason) = other_than_a_new_pod(review) {
        return untouched(Outcome::Skipped, reason, subject);
    }
    let message = format!(
        "the review of this pod has more than {max_bytes} bytes as JSON, which is all that this server takes \
         (--max-body-bytes); make the pod smaller"
    );
    let decision = untouched(Outcome::Denied, Reason::TooLarge, subject);
    denied(decision, &[Problem::new(Reason::TooLarge, message)])
}

/// Why a review is about something else than a pod that is being created.
fn other_than_a_new_pod(review: &Review<'_>) -> Option<Reason> {
    let request = &review.request;
    let kind = &request.kind;
    let is_pod = kind.group.is_empty() && kind.version == "v1" && kind.kind == "Pod";
    if !review.is_v1() {
        Some(Reason::UnsupportedVersion)
    } else if !is_pod {
        Some(Reason::NotAPod)
    } else if request.sub_resource.as_deref().is_some_and(|name| !name.is_empty()) {
        Some(Reason::Subresource)
    } else if review.operation() != Operation::Create {
        Some(Reason::NotACreate)
    } else {
        None
    }
}

/// Which templates a pod asks for. [`Selection::respond`] goes on from there.
///
/// # Errors
///
/// With the decision, if no template is to be applied.
pub fn select<'a>(
    catalog: &Catalog,
    namespace: &'a Namespace,
    review: &'a Review<'a>,
) -> Result<Selection<'a>, Box<Decision>> {
    let nobody = Subject { namespace: review.namespace().to_owned(), ..Subject::default() };
    if let Some(reason) = other_than_a_new_pod(review) {
        return Err(Box::new(untouched(Outcome::Skipped, reason, nobody)));
    }
    let too_large = |message, subject| {
        let decision = untouched(Outcome::Denied, Reason::TooLarge, subject);
        Err(Box::new(denied(decision, &[Problem::new(Reason::TooLarge, message)])))
    };
    let pod = match review.request.object.0.as_ref().ok_or(Reason::MalformedReview).and_then(Pod::read) {
        Ok(pod) => pod,
        Err(Reason::TooLarge) => return too_large(pod::too_many_values(), nobody),
        Err(reason) => return Err(Box::new(untouched(Outcome::Error, reason, nobody))),
    };
    let subject = pod.subject(review);
    if let Details::Unavailable(why) = &namespace.details {
        let outcome = if catalog.on_error() == OnError::Deny { Outcome::Denied } else { Outcome::Error };
        let warnings = advice(vec![why.clone()]);
        let message = Some(why.clone());
        let decision = untouched(outcome, Reason::UnknownNamespace, subject);
        return Err(Box::new(Decision { message, warnings, ..decision }));
    }
    let names = match decide::requested(&pod, namespace) {
        Ok(names) => names,
        Err(Reason::TooLarge) => {
            let most = decide::MAX_TEMPLATES;
            return too_large(format!("the pod and its namespace ask for more than {most} templates"), subject);
        }
        Err(reason) => {
            let warnings = advice(decide::stray_keys(&pod, &[]));
            return Err(Box::new(Decision { warnings, ..untouched(Outcome::Skipped, reason, subject) }));
        }
    };
    let annotation_bytes = match pod.check_size() {
        Ok(annotation_bytes) => annotation_bytes,
        Err(message) => return too_large(message, subject),
    };
    match pod.containers() {
        Some(containers) if containers.len() > MAX_CONTAINERS => {
            let message = format!("the pod has {} containers, and {MAX_CONTAINERS} are allowed", containers.len());
            too_large(message, subject)
        }
        Some(containers) => Ok(Selection { namespace, pod, containers, names, subject, annotation_bytes }),
        None => Err(Box::new(untouched(Outcome::Error, Reason::MalformedReview, subject))),
    }
}

/// A pod and the names of the templates that it asks for.
pub struct Selection<'a> {
    namespace: &'a Namespace,
    pod: Pod<'a>,
    containers: Vec<Container<'a>>,
    names: Vec<String>,
    subject: Subject,
    /// What the pod's annotations take of what Kubernetes allows.
    annotation_bytes: usize,
}

impl Selection<'_> {
    /// The names that lead to no template.
    pub fn unknown(&self, catalog: &Catalog) -> Vec<TemplateName> {
        let is_unknown = |name: &&String| matches!(catalog.find(name, &self.namespace.name), Found::Unknown);
        self.names.iter().filter(is_unknown).filter_map(|name| decide::checked_name(name)).collect()
    }

    /// Whether it may take milliseconds and much memory to respond: because large templates or parameters meet many
    /// containers, or because expressions read much of the pod or go through its items.
    pub fn is_heavy(&self, catalog: &Catalog) -> bool {
        // A value takes some 30 bytes in a parameter, too.
        let mut weight = decide::parameter_bytes(&self.pod, self.namespace) / 32;
        let (mut reads, mut loops) = (0, false);
        for template in self.names.iter().filter_map(|name| catalog.template(name, &self.namespace.name)) {
            weight += template.weight;
            reads += template.reads;
            loops |= template.loops;
        }
        let (times, length) = (1 + self.containers.len(), self.pod.length());
        weight * times > MAX_QUICK_WEIGHT
            || loops && length > MAX_QUICK_LOOP
            || reads.saturating_mul(times).saturating_mul(length) > MAX_QUICK_READING
    }

    /// Applies the templates, as far as they can be.
    pub fn respond(self, catalog: &Catalog) -> Decision {
        let Selection { namespace, pod, containers, names, subject, annotation_bytes } = self;
        Pass::new(catalog, namespace, &pod, &containers, annotation_bytes).run(&names, subject)
    }
}

fn untouched(outcome: Outcome, reason: Reason, subject: Subject) -> Decision {
    Decision {
        outcome,
        reason,
        message: None,
        subject,
        templates: Vec::new(),
        warnings: Vec::new(),
        patch: Patch::empty(),
    }
}

/// One pod and everything that its decision depends on.
struct Pass<'a> {
    catalog: &'a Catalog,
    namespace: &'a Namespace,
    pod: &'a Pod<'a>,
    containers: &'a [Container<'a>],
    status: Status,
    budget: Budget,
    /// How much templates may still add.
    room: Cell<Room>,
    /// The nearest names that may still be looked for.
    hints: Cell<usize>,
}

/// What became of a template that was asked for.
#[derive(Clone)]
enum Verdict {
    /// It is in the pod now, and this is what it added.
    Injected(Record),
    /// An earlier call injected it, and nothing is missing.
    Done,
    /// An earlier call injected it as it was then: since, the template or its parameters have changed.
    Stale,
    /// It adds nothing, for this reason.
    Skipped(Reason),
    /// It cannot be applied. The policy is the template's; there is none for a name that leads to no template.
    Failed(Problem, Option<OnError>),
}

impl Verdict {
    fn record(&self) -> Option<&Record> {
        match self {
            Verdict::Injected(record) => Some(record),
            Verdict::Done | Verdict::Stale | Verdict::Skipped(_) | Verdict::Failed(..) => None,
        }
    }
}

/// What one of the pod's own containers receives from an entry of `app`: the container, and the entry with its
/// holes' values.
struct Received<'a> {
    container: &'a Container<'a>,
    fragment: &'a Fragment,
    /// The values that all containers share.
    shared: Option<Rc<[(usize, Fragment)]>>,
    own: Vec<(usize, Fragment)>,
    overrides: bool,
}

impl Received<'_> {
    fn given(&self) -> ToApp<'_> {
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
struct Prepared<'a> {
    template: &'a Template,
    digest: Cow<'a, str>,
    pod: &'a PodPart,
    values: Vec<(usize, Fragment)>,
    app: Vec<Received<'a>>,
    /// Whether the namespace requires the template.
    required: bool,
    warnings: Vec<String>,
}

impl<'a> Prepared<'a> {
    /// What it gives to the pod.
    fn given(&self) -> Given<'_> {
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

enum Preparation<'a> {
    Ready(Box<Prepared<'a>>),
    Settled(Verdict),
}

impl<'a> Pass<'a> {
    fn new(
        catalog: &'a Catalog,
        namespace: &'a Namespace,
        pod: &'a Pod<'a>,
        containers: &'a [Container<'a>],
        annotation_bytes: usize,
    ) -> Pass<'a> {
        let mut status = Status::parse(pod.annotation(STATUS).as_deref(), pod.annotation(OUTCOME).as_deref());
        if decide::requires_templates(namespace) {
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

    fn run(&self, names: &[String], subject: Subject) -> Decision {
        let mut opened = self.pod.draft(self.containers);
        let prepared: Vec<Preparation<'_>> = names.iter().map(|name| self.prepare(name, &mut opened)).collect();
        // The draft borrows from what was prepared, so it begins only now.
        let mut draft = opened;
        let mut verdicts: Vec<Verdict> = Vec::with_capacity(names.len());
        let mut warnings = Vec::new();
        for preparation in &prepared {
            verdicts.push(match preparation {
                Preparation::Ready(prepared) => {
                    warnings.extend_from_slice(&prepared.warnings);
                    self.merge(prepared, &mut draft, &verdicts, &names[verdicts.len() + 1..], &mut warnings)
                }
                Preparation::Settled(verdict) => verdict.clone(),
            });
        }
        let decision = Decision {
            warnings: advice(warnings),
            ..untouched(Outcome::Skipped, Reason::NoTemplatesRequested, subject)
        };
        self.conclude(names, verdicts, draft, decision)
    }

    /// Everything that can be known of a template without the others.
    fn prepare(&self, name: &str, draft: &mut Node<'a>) -> Preparation<'a> {
        let failed = |problem, policy| Preparation::Settled(Verdict::Failed(problem, policy));
        let template: &'a Arc<Template> = match decide::find(self.catalog, self.namespace, self.pod, name, &self.hints)
        {
            Ok(template) => template,
            Err(problem) => return failed(problem, None),
        };
        if let Err(problem) = decide::admits(template, self.namespace) {
            return failed(problem, Some(self.policy(template, false)));
        }
        let required = decide::is_required(self.namespace, name);
        let policy = Some(self.policy(template, required));
        if let Err(reason) = decide::suits(template, self.pod) {
            return Preparation::Settled(Verdict::Skipped(reason));
        }
        let parameters = match decide::parameters(template, self.pod, self.namespace) {
            Ok(parameters) => parameters,
            Err(problem) => return failed(problem, policy),
        };
        let digest = match (&parameters, &template.defaults) {
            (Cow::Borrowed(_), Some(defaults)) => Cow::Borrowed(defaults.digest.as_str()),
            _ => Cow::Owned(template.digest_with(&parameters)),
        };
        // Of a required template a status proves nothing: whoever creates a pod can write one.
        if !required && let Some(verdict) = self.earlier(template, &digest, draft) {
            return Preparation::Settled(verdict);
        }
        // What is done costs nothing in a second call, and would leave room for what had none in the first.
        if !required && let Some(reason @ (Reason::TooLarge | Reason::ExpressionLimit)) = self.status.failure(name) {
            let message = format!(
                "template \"{name}\" was skipped in an earlier call, as {OUTCOME} says; create the pod anew from its \
                 workload, or remove that annotation"
            );
            return failed(Problem::new(reason, message), policy);
        }
        match self.render(template, &parameters, digest) {
            Ok(Some(prepared)) => Preparation::Ready(Box::new(prepared)),
            Ok(None) => Preparation::Settled(Verdict::Skipped(Reason::GuardFalse)),
            Err(problem) => failed(problem, policy),
        }
    }

    /// What an earlier call left, if there is nothing to do. Nothing is topped up from a template that has changed since.
    fn earlier(&self, template: &Template, digest: &str, draft: &mut Node<'a>) -> Option<Verdict> {
        let record = self.status.record(template.name().as_str())?;
        // What the template brings by itself must be there: a status can be written by anybody.
        let own = template.pod.spec.iter().flat_map(|spec| {
            ["initContainers", "containers", "volumes"]
                .into_iter()
                .flat_map(|list| spec.fixed_names(list).map(move |name| status::pointer(["spec", list, name])))
        });
        let own: Vec<String> = own.collect();
        if record.digest != digest {
            let is_there = if own.is_empty() {
                !record.added.is_empty() && draft.holds(&record.added)
            } else {
                own.iter().any(|pointer| record.added.contains(pointer) && draft.holds([pointer]))
            };
            return is_there.then_some(Verdict::Stale);
        }
        let has_seen_all = || {
            let seen: HashSet<&str> = record.app.iter().map(String::as_str).collect();
            self.own_containers().all(|container| seen.contains(&*container.name))
        };
        let is_done = !record.added.is_empty()
            && draft.holds(own.iter().chain(&record.added))
            && (template.app.is_empty() || has_seen_all());
        is_done.then_some(Verdict::Done)
    }

    /// The pod's containers without those that templates brought.
    fn own_containers(&self) -> impl Iterator<Item = &'a Container<'a>> {
        let is_own = |container: &&Container<'a>| {
            let pointer = || status::pointer(["spec", container.list, &container.name]);
            self.status.is_empty() || self.status.added_by(&pointer()).is_none()
        };
        self.containers.iter().filter(is_own)
    }

    /// Merges into the draft, or leaves the draft as it was. `later` are the templates behind this one: what they added in
    /// an earlier call was not there when this one was merged.
    fn merge<'p>(
        &self,
        prepared: &'p Prepared<'a>,
        draft: &mut Node<'p>,
        verdicts: &[Verdict],
        later: &[String],
        warnings: &mut Vec<String>,
    ) -> Verdict
    where
        'a: 'p,
    {
        let template = prepared.template;
        let given = prepared.given();
        let name = template.name().as_str();
        let earlier = self.status.record(name).filter(|record| record.digest == prepared.digest);
        let mut record = earlier.cloned().unwrap_or_default();
        record.name = name.to_owned();
        record.digest = prepared.digest.clone().into_owned();
        record.app = if template.app.is_empty() {
            Vec::new()
        } else {
            self.own_containers().map(|container| container.name.clone().into_owned()).collect()
        };
        let policy = self.policy(template, prepared.required);
        // Whatever is left of the draft when the last template refuses the pod, nobody looks at it.
        let before = (policy == OnError::Skip || !later.is_empty()).then(|| draft.clone());
        let recorded = record.entries();
        let others: Vec<&Record> = verdicts.iter().filter_map(Verdict::record).collect();
        let invalid = |wrong: &[Wrong]| match wrong {
            [] => Ok(()),
            wrong => Err(Problem::new(Reason::InvalidResult, format!("template \"{name}\": {}", join(wrong)))),
        };
        let room = if earlier.is_some() { self.room.get() } else { self.room.get().without_names_of(&record) };
        let merged = merge::merge(draft, &given, &self.status, &others, &mut record, room)
            .map_err(|failure| match failure {
                Failure::Conflicts(conflicts) => Problem::new(Reason::Conflict, conflicts.join("; ")),
                Failure::TooLarge(message) => Problem::new(Reason::TooLarge, message),
            })
            .and_then(|merged| invalid(&check::check(draft, &self.status.volumes_of(later))).map(|()| merged));
        match merged {
            Ok((kept, room)) => {
                self.room.set(room);
                if !kept.is_empty() {
                    warnings.push(format!("template \"{name}\" gives way to what is there: {}", kept.join(", ")));
                }
            }
            Err(problem) => {
                if let Some(before) = before {
                    *draft = before;
                }
                return Verdict::Failed(problem, Some(policy));
            }
        }
        match (record.entries() > recorded, earlier) {
            (true, _) => Verdict::Injected(record.without_repetitions()),
            (false, Some(_)) => Verdict::Done,
            (false, None) if given.is_nothing() => Verdict::Skipped(Reason::GuardFalse),
            (false, None) => Verdict::Skipped(Reason::AlreadyInjected),
        }
    }

    /// What becomes of a pod for which a template cannot be applied. Where the namespace requires it, a problem that the
    /// pod's author can make must not be a way to drop it.
    fn policy(&self, template: &Template, required: bool) -> OnError {
        if required { OnError::Deny } else { template.on_error.unwrap_or(self.catalog.on_error()) }
    }
}

/// Several things that are wrong as one sentence; nobody reads more than a few.
fn join<T: ToString>(wrong: &[T]) -> String {
    const MOST: usize = 8;
    let mut sentences: Vec<_> = wrong.iter().take(MOST).map(ToString::to_string).collect();
    if wrong.len() > MOST {
        sentences.push(format!("and {} more", wrong.len() - MOST));
    }
    sentences.join("; ")
}

#[cfg(test)]
mod tests;
