//! From a review to a decision. Read on in this order: [`decide`], [`merge`] (into the [`draft`]), [`check`].

mod check;
mod decide;
mod draft;
mod merge;
mod pod;
mod status;
mod trial;

use std::borrow::Cow;
use std::cell::{Cell, LazyCell};
use std::collections::HashSet;
use std::sync::Arc;

use self::decide::Problem;
use self::draft::{Entry, Node};
use self::merge::{Given, ToApp};
use self::pod::{Container, Pod, Seen};
use self::status::{OUTCOME, Record, STATUS, Status};
pub(crate) use self::trial::trial;
use crate::admission::{Operation, Review};
use crate::catalog::{Catalog, Namespace};
use crate::decision::{Decision, Outcome, Patch, Reason, Subject, TemplateDecision};
use crate::excerpt;
use crate::template::expression::Failure;
use crate::template::fragment::{Fragment, RenderError, View, fill};
use crate::template::{OnError, Parameters, PodPart, Template};
use crate::validation::Wrong;

/// The longest warning that reaches a user in one piece.
/// Source: k8s.io/apiserver pkg/endpoints/filters/warning.go.
const MAX_WARNING: usize = 120;
/// The same for all warnings of one answer.
const MAX_WARNINGS: usize = 4096;

/// The most containers of a pod that asks for templates: each template's `app` is rendered for each of them.
const MAX_CONTAINERS: usize = 256;

/// What the expressions of one review may work on, in bytes of input and of results.
const MAX_WORK: usize = 16 << 20;

/// Decides what becomes of a pod. It knows no clock, no network and no state, and it has an answer to everything.
pub fn review(catalog: &Catalog, namespace: &Namespace, review: &Review<'_>) -> Decision {
    let request = &review.request;
    let kind = &request.kind;
    let is_pod = kind.group.is_empty() && kind.version == "v1" && kind.kind == "Pod";
    let beside = if !review.is_v1() {
        Some(Reason::UnsupportedVersion)
    } else if !is_pod {
        Some(Reason::NotAPod)
    } else if request.sub_resource.as_deref().is_some_and(|name| !name.is_empty()) {
        Some(Reason::Subresource)
    } else if review.operation() != Operation::Create {
        Some(Reason::NotACreate)
    } else {
        None
    };
    let nobody = Subject { namespace: review.namespace().to_owned(), ..Subject::default() };
    if let Some(reason) = beside {
        return untouched(Outcome::Skipped, reason, nobody);
    }
    let Some(pod) = request.object.0.as_ref().and_then(Pod::read) else {
        return untouched(Outcome::Error, Reason::MalformedReview, nobody);
    };
    let subject = pod.subject(review);
    match decide::requested(&pod, namespace) {
        Ok(names) => match pod.containers() {
            Some(containers) if containers.len() > MAX_CONTAINERS => {
                let message = format!("the pod has {} containers, and {MAX_CONTAINERS} are allowed", containers.len());
                denied(
                    untouched(Outcome::Denied, Reason::TooLarge, subject),
                    &[Problem::new(Reason::TooLarge, message)],
                )
            }
            Some(containers) => Pass::new(catalog, namespace, &pod, &containers).run(&names, subject),
            None => untouched(Outcome::Error, Reason::MalformedReview, subject),
        },
        Err(Reason::TooLarge) => {
            let message = format!("the pod and its namespace ask for more than {} templates", decide::MAX_TEMPLATES);
            denied(untouched(Outcome::Denied, Reason::TooLarge, subject), &[Problem::new(Reason::TooLarge, message)])
        }
        Err(reason) => {
            let warnings = limited(decide::stray_keys(&pod, &[]));
            Decision { warnings, ..untouched(Outcome::Skipped, reason, subject) }
        }
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
    /// The bytes that expressions may still work on.
    budget: Cell<usize>,
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
    values: Vec<Fragment>,
    overrides: bool,
}

impl Received<'_> {
    fn given(&self) -> ToApp<'_> {
        ToApp {
            list: self.container.list,
            container: &self.container.name,
            view: View::new(self.fragment, &self.values),
            overrides: self.overrides,
        }
    }
}

/// A template that is ready to be merged.
struct Prepared<'a> {
    template: &'a Template,
    digest: Cow<'a, str>,
    pod: &'a PodPart,
    values: Vec<Fragment>,
    app: Vec<Received<'a>>,
    warnings: Vec<String>,
}

impl<'a> Prepared<'a> {
    /// What it gives to the pod.
    fn given(&self, required: bool) -> Given<'_> {
        let view = |fragment| View::new(fragment, &self.values);
        Given {
            template: self.template,
            metadata: self.pod.metadata.as_ref().map(view),
            spec: self.pod.spec.as_ref().map(view),
            shares: self.pod.shares.as_ref().map(view),
            app: self.app.iter().map(Received::given).collect(),
            required,
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
    ) -> Pass<'a> {
        let status = Status::parse(pod.annotation(STATUS).as_deref(), pod.annotation(OUTCOME).as_deref());
        Pass { catalog, namespace, pod, containers, status, budget: Cell::new(MAX_WORK) }
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
        let decision = Decision { warnings, ..untouched(Outcome::Skipped, Reason::NoTemplatesRequested, subject) };
        self.conclude(names, verdicts, draft, decision)
    }

    /// Everything that can be known of a template without the others.
    fn prepare(&self, name: &str, draft: &mut Node<'a>) -> Preparation<'a> {
        let failed = |problem, policy| Preparation::Settled(Verdict::Failed(problem, policy));
        let template: &'a Arc<Template> = match decide::find(self.catalog, self.namespace, self.pod, name) {
            Ok(template) => template,
            Err(problem) => return failed(problem, None),
        };
        let policy = Some(self.policy(template));
        if let Err(problem) = decide::admits(template, self.namespace) {
            return failed(problem, policy);
        }
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
        if let Some(verdict) = self.earlier(template, &digest, draft) {
            return Preparation::Settled(verdict);
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

    /// The values of all holes; nothing if the template's guard does not hold.
    fn render(
        &self,
        template: &'a Template,
        parameters: &Cow<'a, Parameters>,
        digest: Cow<'a, str>,
    ) -> Result<Option<Prepared<'a>>, Problem> {
        if let Some(when) = &template.when {
            let holds = when.holds(&self.seen(parameters));
            if !holds.map_err(|failure| expression_problem(template, "when", when.source(), failure))? {
                return Ok(None);
            }
        }
        self.render_parts(template, parameters, digest).map(Some)
    }

    /// What expressions see, outside of `app`.
    fn seen<'s>(&'s self, parameters: &'s Parameters) -> Seen<'s> {
        Seen {
            pod: self.pod,
            status: &self.status,
            namespace: self.namespace,
            parameters,
            container: None,
            budget: &self.budget,
        }
    }

    /// The values of all holes, whether the template's guard holds or not.
    fn render_parts(
        &self,
        template: &'a Template,
        parameters: &Cow<'a, Parameters>,
        digest: Cow<'a, str>,
    ) -> Result<Prepared<'a>, Problem> {
        let seen = self.seen(parameters);
        let defaults = template.defaults.as_ref().filter(|_| matches!(parameters, Cow::Borrowed(_)));
        let pod = defaults.and_then(|defaults| defaults.pod.as_ref()).unwrap_or(&template.pod);
        let render =
            |holes, seen: &Seen<'_>| fill(holes, seen, parameters).map_err(|errors| render_problem(template, errors));
        let values = render(&pod.holes, &seen)?;
        let earlier = self.status.record(template.name().as_str()).filter(|record| record.digest == digest);
        let seen_before: HashSet<&str> = earlier.iter().flat_map(|record| &record.app).map(String::as_str).collect();
        let mut app = Vec::new();
        let mut warnings = Vec::new();
        for (at, entry) in template.app.iter().enumerate() {
            let resolved = defaults.and_then(|defaults| defaults.app[at].as_ref());
            if !self.own_containers().any(|container| entry.names(container.list, &container.name)) {
                warnings.push(format!("template \"{}\": app[{at}] names no container of this pod", template.name()));
            }
            for container in self.own_containers() {
                // What was overridden once comes back with the API server's defaults in it, and would never look done.
                let is_done = entry.overrides && seen_before.contains(&*container.name);
                if is_done || !entry.names(container.list, &container.name) {
                    continue;
                }
                let seen = Seen { container: Some(container), ..seen };
                if let Some(when) = &entry.when
                    && !when.holds(&seen).map_err(|failure| {
                        expression_problem(
                            template,
                            &format!("app[{at}].when of {}", container.name),
                            when.source(),
                            failure,
                        )
                    })?
                {
                    continue;
                }
                let (fragment, values) = match resolved {
                    Some(fragment) => (fragment, Vec::new()),
                    None => {
                        let values =
                            render(&entry.holes, &seen).map_err(|problem| problem.of_container(&container.name));
                        (&entry.container, values?)
                    }
                };
                app.push(Received { container, fragment, values, overrides: entry.overrides });
            }
        }
        Ok(Prepared { template, digest, pod, values, app, warnings })
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
        let given = prepared.given(decide::is_required(self.namespace, template.name().as_str()));
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
        let before = draft.clone();
        let recorded = record.entries();
        let others: Vec<&Record> = verdicts.iter().filter_map(Verdict::record).collect();
        let invalid = |wrong: &[Wrong]| match wrong {
            [] => Ok(()),
            wrong => Err(Problem::new(Reason::InvalidResult, format!("template \"{name}\": {}", join(wrong)))),
        };
        let merged = merge::merge(draft, &given, &self.status, &others, &mut record)
            .map_err(|conflicts| Problem::new(Reason::Conflict, join(&conflicts)))
            .and_then(|kept| invalid(&check::check(draft, &self.status.volumes_of(later))).map(|()| kept));
        match merged {
            Ok(kept) if kept.is_empty() => {}
            Ok(kept) => warnings.push(format!("template \"{name}\" gives way to what is there: {}", kept.join(", "))),
            Err(problem) => {
                *draft = before;
                return Verdict::Failed(problem, Some(self.policy(template)));
            }
        }
        match (record.entries() > recorded, earlier) {
            (true, _) => Verdict::Injected(record.without_repetitions()),
            (false, Some(_)) => Verdict::Done,
            (false, None) if given.is_nothing() => Verdict::Skipped(Reason::GuardFalse),
            (false, None) => Verdict::Skipped(Reason::AlreadyInjected),
        }
    }

    /// Completes a decision about which the verdicts are known.
    fn conclude(
        &self,
        names: &[String],
        verdicts: Vec<Verdict>,
        mut draft: Node<'_>,
        mut decision: Decision,
    ) -> Decision {
        let mut words = Vec::with_capacity(names.len());
        let mut status = self.status.clone();
        let mut denials: Vec<Problem> = Vec::new();
        let fallback = LazyCell::new(|| self.fallback_policy(names));
        for (name, verdict) in names.iter().zip(verdicts) {
            // What an earlier call injected keeps the word of that call.
            let is_done = matches!(verdict, Verdict::Done | Verdict::Stale);
            if matches!(verdict, Verdict::Stale) {
                let text =
                    "was injected in another version or with other parameters: create the pod anew from its workload";
                decision.warnings.push(format!("template \"{name}\" {text}"));
            }
            let (outcome, reason, message) = match verdict {
                Verdict::Injected(record) => {
                    status.put(record);
                    (Outcome::Injected, Reason::Injected, None)
                }
                Verdict::Done | Verdict::Stale => (Outcome::Skipped, Reason::AlreadyInjected, None),
                Verdict::Skipped(reason) => (Outcome::Skipped, reason, None),
                Verdict::Failed(problem, policy) => {
                    let message = Some(problem.message.clone());
                    match policy.unwrap_or_else(|| *fallback) {
                        OnError::Deny => {
                            denials.push(problem.clone());
                            (Outcome::Denied, problem.reason, message)
                        }
                        OnError::Skip => {
                            decision.warnings.push(format!("left out: {}", problem.message));
                            (Outcome::Error, problem.reason, message)
                        }
                    }
                }
            };
            // What is no name cannot stand among names.
            let Some(name) = decide::checked_name(name) else {
                (decision.outcome, decision.reason) = (outcome, reason);
                continue;
            };
            let word = match outcome {
                _ if is_done => Reason::Injected.as_str(),
                // What was added since can give another reason to leave it out, and would do so in every call.
                Outcome::Error => self.status.failure(name.as_str()).unwrap_or(reason.as_str()),
                _ => reason.as_str(),
            };
            words.push(format!("{name}={word}"));
            decision.templates.push(TemplateDecision { name, outcome, reason, message });
        }
        decision.warnings.extend(check::clashes(&mut draft));
        decision.warnings.extend(decide::stray_keys(self.pod, names));
        decision.warnings = limited(std::mem::take(&mut decision.warnings));
        if !denials.is_empty() {
            return denied(decision, &denials);
        }
        annotate(&mut draft, words, &self.status, &mut status);
        if let Err(message) = check::check_annotations(&mut draft) {
            return denied(decision, &[Problem::new(Reason::InvalidResult, message)]);
        }
        let of = |wanted: Outcome| decision.templates.iter().find(|template| template.outcome == wanted);
        if let Some(template) = of(Outcome::Injected).or(of(Outcome::Error)).or(decision.templates.first()) {
            (decision.outcome, decision.reason) = (template.outcome, template.reason);
        }
        decision.message = of(Outcome::Error).and_then(|template| template.message.clone());
        decision.patch = draft.patch();
        decision
    }

    fn policy(&self, template: &Template) -> OnError {
        template.on_error.unwrap_or(self.catalog.on_error())
    }

    /// The policy for a name that leads to no template: the server's, or `Deny` if a template that was chosen says so.
    fn fallback_policy(&self, names: &[String]) -> OnError {
        let chosen = names.iter().filter_map(|name| self.catalog.template(name, &self.namespace.name));
        let mut policies = chosen.filter_map(|template| template.on_error);
        if policies.any(|policy| policy == OnError::Deny) { OnError::Deny } else { self.catalog.on_error() }
    }
}

/// The pod is refused, and gets nothing of what was ready for it.
fn denied(mut decision: Decision, problems: &[Problem]) -> Decision {
    let messages: Vec<_> = problems.iter().map(|problem| problem.message.as_str()).collect();
    decision.message = Some(join(&messages));
    decision.templates.retain(|template| template.outcome != Outcome::Injected);
    decision.outcome = Outcome::Denied;
    decision.reason = problems.first().map_or(Reason::InternalError, |problem| problem.reason);
    decision
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

fn expression_problem(template: &Template, place: &str, source: &str, failure: Failure) -> Problem {
    render_problem(template, vec![RenderError::Expression { place: place.into(), source: source.into(), failure }])
}

/// Why holes have no value, as one problem: the reason is that of the first.
fn render_problem(template: &Template, errors: Vec<RenderError>) -> Problem {
    let reason = errors.first().map_or(Reason::InternalError, |error| match error {
        RenderError::Expression { failure: Failure::Failed(_), .. } => Reason::ExpressionFailed,
        RenderError::Expression { failure: Failure::Limit(_), .. } => Reason::ExpressionLimit,
        RenderError::Expression { failure: Failure::UnknownNamespace, .. } => Reason::UnknownNamespace,
        RenderError::WrongType { .. } => Reason::InvalidResult,
    });
    let sentences = errors.iter().map(|error| match error {
        RenderError::Expression { place, source, failure } => {
            format!("{place}: the expression {} failed: {failure}", excerpt(source))
        }
        RenderError::WrongType { place, message } => format!("{place} {message}"),
    });
    let sentences: Vec<_> = sentences.collect();
    Problem::new(reason, format!("template \"{}\": {}", template.name(), join(&sentences)))
}

/// Writes down what was done: a word for each template, and what was added where.
fn annotate(draft: &mut Node<'_>, words: Vec<String>, before: &Status, status: &mut Status) {
    if words.is_empty() {
        return;
    }
    set_annotation(draft, OUTCOME, words.join(","));
    if status != before {
        status.version = env!("CARGO_PKG_VERSION").to_owned();
        set_annotation(draft, STATUS, serde_json::to_string(status).expect("a status is plain data"));
    }
}

fn set_annotation(draft: &mut Node<'_>, key: &str, value: String) {
    let empty = || Node::Object(Vec::new());
    let metadata = draft.member_or("metadata", empty());
    let annotations = metadata.and_then(|metadata| metadata.node.member_or("annotations", empty()));
    let Some(annotations) = annotations else { return };
    match annotations.node.member(key) {
        Some(entry) if entry.node.string().is_some_and(|known| known == value) => {}
        Some(entry) => entry.replace(Node::Value(value.into())),
        None => {
            if let Some(members) = annotations.node.members() {
                members.push((key.to_owned().into(), Entry::added(Node::Value(value.into()))));
            }
        }
    }
}

/// Warnings in pieces that the API server shows as they are, broken between words.
fn limited(warnings: Vec<String>) -> Vec<String> {
    let mut left = MAX_WARNINGS;
    let mut pieces = Vec::with_capacity(warnings.len());
    for warning in warnings {
        let mut piece = String::new();
        for word in warning.split(' ') {
            // A word that is too long by itself is somebody's value.
            let word: String = word.chars().take(MAX_WARNING).collect();
            if !piece.is_empty() && piece.chars().count() + 1 + word.chars().count() > MAX_WARNING {
                pieces.push(std::mem::take(&mut piece));
            }
            if !piece.is_empty() {
                piece.push(' ');
            }
            piece.push_str(&word);
        }
        pieces.push(piece);
    }
    pieces.retain(|piece| {
        left = left.saturating_sub(piece.chars().count());
        left > 0
    });
    pieces
}

#[cfg(test)]
mod tests;
