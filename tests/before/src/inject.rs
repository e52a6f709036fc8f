//! From a review to a decision. Read on in this order: [`select`], [`render`], [`merge`] (into the draft), [`respond`].

mod merge;
mod outcome;
mod pod;
mod render;
mod respond;
mod room;
mod select;
mod status;

use std::borrow::Cow;
use std::cell::Cell;
use std::collections::HashSet;

use self::outcome::{Refusal, TemplateOutcome, advice, join, untouched};
use self::pod::{Activation, Budget, Container, Pod};
use self::render::Rendered;
use self::room::Room;
pub use self::select::{Selection, refuse_unread, select};
use self::status::{OUTCOME, Record, STATUS, Status};
use crate::admission::Review;
use crate::catalog::{Catalog, Namespace};
use crate::decision::{Decision, Outcome, Reason};
use crate::draft::{Node, pointer};
use crate::names::OnError;
use crate::rules::tree::Tree;
use crate::rules::violations_of_templates;
use crate::template::Template;

/// The unknown names of one review for which the nearest known one is looked for: that takes a comparison with each.
const MAX_HINTS: usize = 3;

/// Decides what happens to a pod. It knows no clock, no network and no state, and it has an answer to everything.
pub fn review(catalog: &Catalog, namespace: &Namespace, review: &Review<'_>) -> Decision {
    select(catalog, namespace, review).map_or_else(|decision| *decision, |selection| selection.respond(catalog))
}

impl Selection<'_> {
    /// Applies the templates, as far as they can be.
    pub fn respond(self, catalog: &Catalog) -> Decision {
        let Selection { namespace, pod, containers, names, subject, annotation_bytes } = self;
        let mut status = Status::parse(pod.annotation(STATUS).as_deref(), pod.annotation(OUTCOME).as_deref());
        if !select::required(namespace).is_empty() {
            // A container of the pod's own must not pass for a template's, and so escape what is required.
            status.keep_containers(|template, list, name| {
                let template = catalog.template(template, &namespace.name);
                let spec = template.and_then(|template| template.pod.spec.as_ref());
                spec.is_some_and(|spec| spec.may_name(list, name))
            });
        }
        let mut room = Room::beside(&status, annotation_bytes);
        let own = containers.iter().filter(|container| {
            status.is_empty() || status.added_by(&pointer(["spec", container.list, &container.name])).is_none()
        });
        let injection = Injection {
            catalog,
            namespace,
            pod: &pod,
            own: own.collect(),
            names: &names,
            status: &status,
            budget: Budget::default(),
            hints: Cell::new(MAX_HINTS),
        };
        let mut draft = pod.draft(&containers);
        let rendered: Vec<_> = names.iter().map(|name| injection.render(name, &mut draft)).collect();
        // The draft borrows from what was rendered, so it begins only now.
        let mut draft = draft;
        let mut outcomes = Vec::with_capacity(names.len());
        let mut warnings = Vec::new();
        for rendered in &rendered {
            outcomes.push(match rendered {
                Ok(rendered) => {
                    warnings.extend_from_slice(&rendered.warnings);
                    injection.merge(rendered, &mut draft, &outcomes, &mut room, &mut warnings)
                }
                Err(outcome) => outcome.clone(),
            });
        }
        let decision = Decision {
            warnings: advice(warnings),
            ..untouched(Outcome::Skipped, Reason::NoTemplatesRequested, subject)
        };
        respond::respond(&pod, &names, outcomes, &status, draft, decision)
    }
}

/// One pod, the templates that it asks for, and everything that its decision depends on.
struct Injection<'a> {
    catalog: &'a Catalog,
    namespace: &'a Namespace,
    pod: &'a Pod<'a>,
    /// The pod's containers without those that templates added.
    own: Vec<&'a Container<'a>>,
    names: &'a [String],
    status: &'a Status,
    budget: Budget,
    /// The nearest names that may still be looked for.
    hints: Cell<usize>,
}

impl<'a> Injection<'a> {
    /// What a template adds, as far as that can be known without the other templates; its outcome if it is not to be
    /// merged.
    fn render(&self, name: &str, draft: &mut Node<'a>) -> Result<Rendered<'a>, TemplateOutcome> {
        let template = select::find(self.catalog, self.namespace, self.pod, name, &self.hints)
            .map_err(|problem| TemplateOutcome::Failed(problem, self.fallback_policy()))?;
        select::admits(template, self.namespace)
            .map_err(|problem| TemplateOutcome::Failed(problem, self.policy(template, false)))?;
        let required = select::is_required(self.namespace, name);
        let failed = |problem| TemplateOutcome::Failed(problem, self.policy(template, required));
        select::suits(template, self.pod).map_err(TemplateOutcome::Skipped)?;
        let parameters = select::parameters(template, self.pod, self.namespace).map_err(failed)?;
        let digest = match (&parameters, &template.defaults) {
            (Cow::Borrowed(_), Some(defaults)) => Cow::Borrowed(defaults.digest.as_str()),
            _ => Cow::Owned(template.digest_with(&parameters)),
        };
        // Of a required template a status proves nothing: whoever creates a pod can write one.
        if !required {
            if let Some(outcome) = self.outcome_of_earlier_call(template, &digest, draft) {
                return Err(outcome);
            }
            // What is done costs nothing in a second call, and would leave room for what had none in the first.
            if let Some(reason @ (Reason::TooLarge | Reason::ExpressionLimit)) = self.status.failure(name) {
                let message = format!(
                    "template \"{name}\" was skipped in an earlier call, as {OUTCOME} says; create the pod anew from its \
                     workload, or remove that annotation"
                );
                return Err(failed(Refusal::new(reason, message)));
            }
        }
        let activation = Activation {
            pod: self.pod,
            status: self.status,
            namespace: self.namespace,
            parameters: &parameters,
            container: None,
            budget: &self.budget,
        };
        let rendered = render::render(template, &parameters, digest, &self.own, &activation).map_err(failed)?;
        rendered.ok_or(TemplateOutcome::Skipped(Reason::GuardFalse))
    }

    /// The outcome of a template that an earlier call injected. Nothing is added to it once the template has changed.
    fn outcome_of_earlier_call(
        &self,
        template: &Template,
        digest: &str,
        draft: &mut Node<'a>,
    ) -> Option<TemplateOutcome> {
        let record = self.status.record(template.name.as_str())?;
        // What the template brings by itself must be there: a status can be written by anybody.
        let mut brought = Vec::new();
        for list in ["initContainers", "containers", "volumes"] {
            let names = template.pod.spec.iter().flat_map(|spec| spec.fixed_names(list));
            brought.extend(names.map(|name| pointer(["spec", list, name])));
        }
        if record.digest != digest {
            let is_there = if brought.is_empty() {
                !record.added.is_empty() && draft.holds(&record.added)
            } else {
                brought.iter().any(|pointer| record.added.contains(pointer) && draft.holds([pointer]))
            };
            return is_there.then_some(TemplateOutcome::Stale);
        }
        let seen: HashSet<&str> = record.app.iter().map(String::as_str).collect();
        let is_done = !record.added.is_empty()
            && draft.holds(brought.iter().chain(&record.added))
            && (template.app.is_empty() || self.own.iter().all(|container| seen.contains(&*container.name)));
        is_done.then_some(TemplateOutcome::AlreadyInjected)
    }

    /// Merges a template into the draft, or leaves the draft as it was. `before` are the outcomes of the templates before
    /// it.
    fn merge<'p>(
        &self,
        rendered: &'p Rendered<'a>,
        draft: &mut Node<'p>,
        before: &[TemplateOutcome],
        room: &mut Room,
        warnings: &mut Vec<String>,
    ) -> TemplateOutcome
    where
        'a: 'p,
    {
        let Rendered { template, required, .. } = *rendered;
        let name = template.name.as_str();
        let policy = self.policy(template, required);
        // What the templates behind this one added in an earlier call was not there when this one was merged.
        let later = &self.names[before.len() + 1..];
        // Nobody reads the draft after the last template has refused the pod.
        let unmerged = (policy == OnError::Skip || !later.is_empty()).then(|| draft.clone());
        let earlier = self.status.record(name).filter(|record| record.digest == rendered.digest);
        let mut record = earlier.cloned().unwrap_or_default();
        record.name = name.to_owned();
        record.digest = rendered.digest.clone().into_owned();
        record.app = if template.app.is_empty() {
            Vec::new()
        } else {
            self.own.iter().map(|container| container.name.clone().into_owned()).collect()
        };
        let mut left = *room;
        if earlier.is_none() {
            left.take_names_of(&record);
        }
        let merged = merge::merge(draft, rendered, self.status, before, &mut record, &mut left).and_then(|existing| {
            match violations_of_templates(Tree::merged(draft), &self.status.volumes_of(later)).as_slice() {
                [] => Ok(existing),
                wrong => Err(Refusal::new(Reason::InvalidResult, format!("template \"{name}\": {}", join(wrong)))),
            }
        });
        match merged {
            Ok(existing) if existing.is_empty() => {}
            Ok(existing) => {
                warnings.push(format!("template \"{name}\": the existing value wins at {}", existing.join(", ")));
            }
            Err(problem) => {
                if let Some(unmerged) = unmerged {
                    *draft = unmerged;
                }
                return TemplateOutcome::Failed(problem, policy);
            }
        }
        *room = left;
        match earlier {
            earlier if record.entries() > earlier.map_or(0, Record::entries) => {
                TemplateOutcome::Injected(Box::new(record))
            }
            Some(_) => TemplateOutcome::AlreadyInjected,
            None if rendered.is_empty() => TemplateOutcome::Skipped(Reason::GuardFalse),
            None => TemplateOutcome::Skipped(Reason::AlreadyInjected),
        }
    }

    /// What happens to a pod for which a template cannot be applied. Where the namespace requires it, a problem that the
    /// pod's author can make must not be a way to drop it.
    fn policy(&self, template: &Template, required: bool) -> OnError {
        if required { OnError::Deny } else { template.on_error.unwrap_or(self.catalog.on_error) }
    }

    /// The policy for a name that leads to no template: the server's, or `Deny` if a template that was chosen says so.
    fn fallback_policy(&self) -> OnError {
        let chosen = self.names.iter().filter_map(|name| self.catalog.template(name, &self.namespace.name));
        let mut policies = chosen.filter_map(|template| template.on_error);
        if policies.any(|policy| policy == OnError::Deny) { OnError::Deny } else { self.catalog.on_error }
    }
}

#[cfg(test)]
mod tests;
