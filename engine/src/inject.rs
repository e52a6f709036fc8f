//! From a review to a decision. Read on in this order: [`select`], [`render`], [`merge`] (into the tree), [`respond`].

mod claims;
mod compare;
mod contains;
mod context;
mod copies;
mod merge;
mod outcome;
mod path;
mod pod;
mod render;
mod respond;
mod room;
mod runs_on;
mod select;
mod status;
mod token;
mod undo;

use std::borrow::Cow;
use std::cell::{Cell, OnceCell};
use std::collections::HashSet;
use std::mem;

use self::context::Context;
pub use self::merge::MERGE_RULES;
use self::merge::Merged;
use self::outcome::{Refusal, TemplateOutcome, advice, untouched};
use self::path::Path;
use self::pod::{Activation, Budget, Container, Pod};
use self::render::{Known, Rendered};
use self::room::Room;
use self::runs_on::RunsOn;
pub use self::select::{Selection, refuse_unread, select};
use self::status::{Record, Status};
pub use self::undo::{Recorded, Uninjected, uninject};
use crate::admission::Review;
use crate::catalog::{Catalog, Namespace};
use crate::decision::{Change, Decision, Outcome, PlaceDecision, Reason};
use crate::json::{By, Node};
use crate::names::{OUTCOME, OnError, STATUS};
use crate::rules::violations_of_templates;
use crate::template::{Parameters, Template};
use crate::text::join;

/// The unknown names of one review for which the nearest known one is looked for: that takes a comparison with each.
const MAX_HINTS: usize = 3;
/// The places of a wrong result that are named one by one.
const MAX_PLACES: usize = 8;

/// Decides what happens to a pod. It knows no clock, no network and no state, and it has an answer to everything.
pub fn review(catalog: &Catalog, namespace: &Namespace, review: &Review<'_>) -> Decision {
    select(catalog, namespace, review).map_or_else(|decision| *decision, |selection| selection.respond(catalog))
}

impl Selection<'_> {
    /// Applies the templates, as far as they can be.
    pub fn respond(self, catalog: &Catalog) -> Decision {
        self.apply(catalog, false)
    }

    /// The same, with the result at each place that a template speaks of, and the rule that decided it.
    pub fn explain(self, catalog: &Catalog) -> Decision {
        self.apply(catalog, true)
    }

    fn apply(self, catalog: &Catalog, explains: bool) -> Decision {
        let Selection { namespace, pod, tree, names, annotation_bytes, .. } = self;
        let [written, outcome] = [STATUS, OUTCOME].map(|key| pod.annotation(key));
        let is_first = written.is_none() && outcome.is_none();
        let mut status = Status::parse(written.as_deref(), outcome.as_deref());
        let is_believed = is_first || select::required(namespace).is_empty();
        if !is_believed {
            let mut seen = HashSet::new();
            status.templates.retain(|record| names.contains(&record.name) && seen.insert(record.name.clone()));
        }
        // What templates give stands here, and the tree borrows from it.
        let rendered: Vec<OnceCell<Rendered<'_>>> = names.iter().map(|_| OnceCell::new()).collect();
        // Most templates withhold the token, and then nobody needs to look for it.
        let mut templates = names.iter().filter_map(|name| catalog.template(name, &namespace.name));
        let wants_token = templates.any(|template| !template.withholds_token);
        let token = wants_token.then(|| token::mount_of_token(tree.view())).flatten();
        let mut tree = tree;
        let missing = if is_first { HashSet::new() } else { status.mark(&mut tree, |_, _| false) };
        let mut injection = Injection {
            catalog,
            namespace,
            pod: &pod,
            context: Context {
                names: &names,
                status: &status,
                missing,
                rendered: &rendered,
                image_mirrors: &catalog.image_mirrors,
                token: token.as_ref(),
                explains,
            },
            budget: Budget::default(),
            room: Room::beside(&status, annotation_bytes),
            hints: Cell::new(MAX_HINTS),
            warnings: select::stray_keys_of(namespace),
            records: Vec::new(),
            copied: Vec::new(),
            volumes: HashSet::new(),
        };
        // It is as if what this takes was never evaluated.
        let budget = mem::take(&mut injection.budget);
        if is_believed {
            injection.copied = injection.mark_copies(&mut tree);
        } else {
            injection.mark_what_is_claimed(&mut tree);
        }
        injection.budget = budget;
        let outcomes =
            rendered.iter().zip(0..).map(|(cell, number)| injection.apply(number, cell, &mut tree)).collect();
        let decision = Decision {
            warnings: advice(injection.warnings),
            ..untouched(Outcome::Skipped, Reason::NoTemplatesRequested)
        };
        respond::respond(&pod, &names, outcomes, &status, injection.records, tree, decision)
    }
}

/// One pod, the templates that it asks for, and everything that its decision depends on.
struct Injection<'a> {
    catalog: &'a Catalog,
    namespace: &'a Namespace,
    pod: &'a Pod<'a>,
    context: Context<'a>,
    budget: Budget,
    room: Room,
    /// The nearest names that may still be looked for.
    hints: Cell<usize>,
    warnings: Vec<String>,
    /// What was injected.
    records: Vec<Record<'a>>,
    /// The numbers of the templates that the pod is a copy of.
    copied: Vec<u16>,
    /// The names of the volumes that the templates so far give.
    volumes: HashSet<String>,
}

impl<'a> Injection<'a> {
    /// Applies one template, or leaves the pod as it was.
    fn apply(
        &mut self,
        number: u16,
        cell: &'a OnceCell<Rendered<'a>>,
        tree: &mut Node<'a>,
    ) -> (TemplateOutcome, Vec<PlaceDecision>) {
        let name = &*self.context.names[usize::from(number)];
        match self.render(number, tree) {
            Ok(rendered) => self.merge(number, cell.get_or_init(|| rendered), tree),
            // What was added can be what the guard is about.
            Err(TemplateOutcome::Skipped(Reason::GuardFalse)) if self.is_copied(number) => {
                (TemplateOutcome::Skipped(Reason::AlreadyInjected), Vec::new())
            }
            Err(outcome) => {
                let record = self.context.status.record(name).filter(|_| outcome.is_done() && self.context.explains);
                (outcome, record.map(merge::places_of).unwrap_or_default())
            }
        }
    }

    /// What a template gives this pod; its outcome if it is not to be merged.
    fn render(&self, number: u16, tree: &Node<'a>) -> Result<Rendered<'a>, TemplateOutcome> {
        let name = &*self.context.names[usize::from(number)];
        let template = select::find(self.catalog, self.namespace, self.pod, name, &self.hints)
            .map_err(|problem| TemplateOutcome::Failed(problem, self.fallback_policy()))?;
        select::admits(template, self.namespace)
            .map_err(|problem| TemplateOutcome::Failed(problem, self.policy(template, false)))?;
        let required = select::is_required(self.namespace, name);
        let failed = |problem| TemplateOutcome::Failed(problem, self.policy(template, required));
        RunsOn::of_author(tree).suits(template, required)?;
        let parameters = select::parameters(template, self.pod, self.namespace).map_err(failed)?;
        let digest = match &template.default_digest {
            Some(digest) if parameters.set.is_empty() => Cow::Borrowed(digest.as_str()),
            _ => Cow::Owned(parameters.digest()),
        };
        let own: Vec<_> = pod::own_containers(tree).collect();
        let record = self.context.status.record(name);
        let earlier = record.filter(|record| record.is_of(template, &parameters, &digest));
        // Of a required template a status proves nothing: whoever creates a pod can write one.
        if !required {
            let outcome =
                record.and_then(|record| self.outcome_of_earlier_call(template, &digest, record, earlier, &own, tree));
            if let Some(outcome) = outcome {
                return Err(outcome);
            }
            if let Some(reason) = self.context.status.failure(name).filter(|reason| self.is_final(*reason, name)) {
                let message = format!(
                    "template \"{name}\" was skipped in an earlier call, as {OUTCOME} says; create the pod anew from its \
                     workload, or remove that annotation"
                );
                return Err(failed(Refusal::new(reason, message)));
            }
        }
        let activation = self.activation(&parameters, tree);
        if !render::guard_holds(template, &activation).map_err(failed)? {
            return Err(TemplateOutcome::Skipped(Reason::GuardFalse));
        }
        let knows = Known { required, is_copied: self.is_copied(number), record: earlier };
        render::render(template, &parameters, digest, knows, &own, &activation).map_err(failed)
    }

    /// What a template that the pod asks for gives it, whatever its guard and an earlier call say; and whether the pod is one
    /// for it.
    fn render_regardless(&self, name: &str, tree: &Node<'a>) -> Option<(Rendered<'a>, bool)> {
        let template = self.catalog.template(name, &self.namespace.name)?;
        select::admits(template, self.namespace).ok()?;
        let parameters = select::parameters(template, self.pod, self.namespace).ok()?;
        let own: Vec<_> = pod::own_containers(tree).collect();
        let activation = self.activation(&parameters, tree);
        let guard_holds = RunsOn::of_author(tree).suits(template, false).is_ok()
            && render::guard_holds(template, &activation).unwrap_or_default();
        let rendered = render::render(template, &parameters, Cow::default(), Known::default(), &own, &activation);
        Some((rendered.ok()?, guard_holds))
    }

    fn activation<'t>(&'t self, parameters: &'t Parameters<'t>, tree: &'t Node<'a>) -> Activation<'t> {
        Activation { pod: tree, namespace: self.namespace, parameters, container: None, budget: &self.budget }
    }

    /// Whether the pod is a copy of one that a template was injected into.
    fn is_copied(&self, number: u16) -> bool {
        self.copied.contains(&number)
    }

    /// Whether what an earlier call skipped for a reason is not to be tried again: by now there is something that was not
    /// there when it was decided.
    fn is_final(&self, reason: Reason, name: &str) -> bool {
        match reason {
            // What is done costs nothing in a second call, and would leave room for what had none in the first.
            Reason::TooLarge | Reason::ExpressionLimit => true,
            // What templates behind it added may be what it lacked.
            Reason::Conflict | Reason::InvalidResult => {
                let mut later = self.context.names.iter().skip_while(|it| **it != name).skip(1);
                later.any(|later| self.context.status.record(later).is_some())
            }
            _ => false,
        }
    }

    /// The outcome of a template of which an earlier call left a record; `earlier` is that if it is of the same template and
    /// parameters. Nothing is added once one of them has changed.
    fn outcome_of_earlier_call(
        &self,
        template: &Template,
        digest: &str,
        record: &Record<'_>,
        earlier: Option<&Record<'_>>,
        own: &[Container<'_, 'a>],
        tree: &Node<'a>,
    ) -> Option<TemplateOutcome> {
        let is_there = |pointer: &String| !self.context.missing.contains(&**pointer);
        // What the template brings by itself must be there: a status can be written by anybody.
        let mut brought = Vec::new();
        for list in ["initContainers", "containers", "volumes"] {
            let names = template.pod.spec.iter().flat_map(|spec| spec.fixed_names(list));
            brought.extend(names.map(|name| (list, name, Path::root("spec").at(list).at(name).pointer())));
        }
        if earlier.is_none() {
            let is_there = if brought.is_empty() {
                !record.added.is_empty() && record.added.iter().all(is_there)
            } else {
                brought.iter().any(|(.., pointer)| record.added.contains(pointer) && is_there(pointer))
            };
            return is_there.then(|| TemplateOutcome::Stale(record.difference(template, digest)));
        }
        let seen: HashSet<&str> = record.app.iter().map(Cow::as_ref).collect();
        let came_with_pod = |list: &str, name: &str| {
            let mut items = tree.view().get("spec").into_iter().flat_map(|spec| spec.list(list));
            items.any(|item| !item.is_new() && item.get("name").is_some_and(|it| it.is_text(name)))
        };
        let is_done = !record.added.is_empty()
            && record.added.iter().all(is_there)
            && brought.iter().all(|(list, name, pointer)| record.added.contains(pointer) || came_with_pod(list, name))
            && (template.app.is_empty() || own.iter().all(|container| seen.contains(&*container.name)));
        is_done.then_some(TemplateOutcome::AlreadyInjected)
    }

    /// Merges a template into the pod, or leaves the pod as it was.
    fn merge(
        &mut self,
        number: u16,
        rendered: &'a Rendered<'a>,
        tree: &mut Node<'a>,
    ) -> (TemplateOutcome, Vec<PlaceDecision>) {
        let Rendered { template, required, .. } = *rendered;
        let name = template.name.as_str();
        self.warnings.extend_from_slice(&rendered.warnings);
        let earlier = rendered.earlier;
        // What another version of it added, and is still there, stays its own: the next call must not see it as the pod's.
        let mut record = self.context.status.record(name).cloned().unwrap_or_default();
        record.added.retain(|added| earlier.is_some() || !self.context.missing.contains(&**added));
        let known = record.entries();
        record.name = Cow::Borrowed(name);
        record.digest = Cow::Borrowed(&template.digest);
        record.parameters = Some(Cow::Borrowed(&rendered.digest));
        record.app = if template.app.is_empty() {
            Vec::new()
        } else {
            pod::own_containers(tree).map(|container| container.name).collect()
        };
        let mut left = self.room;
        if earlier.is_none() {
            left.take_names_of(&record);
        }
        let by = By::Now(number);
        let is_own = |by: By| self.context.name(by) == Some(name);
        let merged = RunsOn::of(tree).without(tree, is_own).fits(template).and_then(|()| {
            let ran_on = RunsOn::of(tree);
            let merged = merge::merge(tree, rendered, by, &self.context, &mut record, &mut left)?;
            if RunsOn::of(tree) != ran_on {
                self.judge_where_it_runs(template, tree)?;
            }
            // What the templates behind this one added in an earlier call was not there when this one was merged.
            let given = self.volumes.iter().chain(&merged.volumes).map(String::as_str).collect();
            let later = self.context.volumes_of_later(number, &given, tree);
            // What templates before it brought was judged by then.
            let since = if rendered.changes_what_is_there() { 0 } else { number };
            match violations_of_templates(tree.view_since(since), &later).as_slice() {
                [] => Ok(merged),
                wrong => {
                    let places = wrong.iter().take(MAX_PLACES).map(|it| Change::Place(it.place.clone())).collect();
                    let message = format!("template \"{name}\": {}", join(wrong));
                    Err(Refusal::new(Reason::InvalidResult, message).mended_by(places))
                }
            }
        });
        let Merged { is_there, existing, warnings, volumes, copied, places } = match merged {
            Ok(merged) => merged,
            Err(problem) => {
                tree.undo(by);
                return (TemplateOutcome::Failed(problem, self.policy(template, required)), Vec::new());
            }
        };
        if !existing.is_empty() {
            let places = existing.join(", ");
            self.warnings.push(format!("template \"{name}\": the existing value wins at {places}"));
        }
        self.warnings.extend(warnings);
        self.room = left;
        self.volumes.extend(volumes);
        let outcome = match earlier {
            _ if record.entries() > known => {
                record.added.extend(copied);
                self.records.push(record);
                TemplateOutcome::Injected
            }
            Some(_) => TemplateOutcome::AlreadyInjected,
            None if rendered.is_empty() => TemplateOutcome::Skipped(Reason::GuardFalse),
            None if is_there => TemplateOutcome::Skipped(Reason::AlreadyInjected),
            None => TemplateOutcome::Skipped(Reason::NothingToAdd),
        };
        (outcome, places)
    }

    /// Whether the templates before this one are for where it has put the pod.
    fn judge_where_it_runs(&self, template: &Template, tree: &Node<'a>) -> Result<(), Refusal> {
        let runs_on = RunsOn::of(tree);
        let recorded = self.records.iter().chain(&self.context.status.templates).map(|record| &*record.name);
        let copied = self.copied.iter().map(|number| &*self.context.names[usize::from(*number)]);
        let others = recorded.chain(copied).filter(|name| *name != template.name.as_str());
        let mut others = others.filter_map(|name| self.catalog.template(name, &self.namespace.name));
        others.try_for_each(|template| runs_on.fits(template))
    }

    /// What happens to a pod for which a template cannot be applied. Where the namespace requires it, a problem that the
    /// pod's author can make must not be a way to drop it.
    fn policy(&self, template: &Template, required: bool) -> OnError {
        if required { OnError::Deny } else { template.on_error.unwrap_or(self.catalog.on_error) }
    }

    /// The policy for a name that leads to no template: the server's, or `Deny` if a template that was chosen says so.
    fn fallback_policy(&self) -> OnError {
        let chosen = self.context.names.iter().filter_map(|name| self.catalog.template(name, &self.namespace.name));
        let mut policies = chosen.filter_map(|template| template.on_error);
        if policies.any(|policy| policy == OnError::Deny) { OnError::Deny } else { self.catalog.on_error }
    }
}

#[cfg(test)]
mod tests;
