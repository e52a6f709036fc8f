//! From a review to a decision. Read on in this order: [`select`], [`render`], [`merge`] (into the draft), [`respond`].

mod merge;
mod outcome;
mod pass;
mod pod;
mod render;
mod respond;
mod room;
mod select;
mod status;

use std::borrow::Cow;
use std::collections::HashSet;
use std::sync::Arc;

use self::merge::Failure;
use self::outcome::{Refusal, advice, join, untouched};
use self::pass::{Pass, Preparation, Prepared, Verdict};
pub use self::select::{Selection, refuse_unread, select};
use self::status::{OUTCOME, Record};
use crate::admission::Review;
use crate::catalog::{Catalog, Namespace};
use crate::decision::{Decision, Outcome, Reason, Subject};
use crate::draft::{Node, pointer};
use crate::names::OnError;
use crate::rules::tree::Tree;
use crate::rules::{Violation, violations_of_templates};
use crate::template::Template;

/// Decides what happens to a pod. It knows no clock, no network and no state, and it has an answer to everything.
pub fn review(catalog: &Catalog, namespace: &Namespace, review: &Review<'_>) -> Decision {
    select(catalog, namespace, review).map_or_else(|decision| *decision, |selection| selection.respond(catalog))
}

impl Selection<'_> {
    /// Applies the templates, as far as they can be.
    pub fn respond(self, catalog: &Catalog) -> Decision {
        let Selection { namespace, pod, containers, names, subject, annotation_bytes } = self;
        Pass::new(catalog, namespace, &pod, &containers, annotation_bytes).run(&names, subject)
    }
}

impl<'a> Pass<'a> {
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
        self.respond(names, verdicts, draft, decision)
    }

    /// Everything that can be known of a template without the others.
    fn prepare(&self, name: &str, draft: &mut Node<'a>) -> Preparation<'a> {
        let failed = |problem, policy| Preparation::Settled(Verdict::Failed(problem, policy));
        let template: &'a Arc<Template> = match select::find(self.catalog, self.namespace, self.pod, name, &self.hints)
        {
            Ok(template) => template,
            Err(problem) => return failed(problem, None),
        };
        if let Err(problem) = select::admits(template, self.namespace) {
            return failed(problem, Some(self.policy(template, false)));
        }
        let required = select::is_required(self.namespace, name);
        let policy = Some(self.policy(template, required));
        if let Err(reason) = select::suits(template, self.pod) {
            return Preparation::Settled(Verdict::Skipped(reason));
        }
        let parameters = match select::parameters(template, self.pod, self.namespace) {
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
            return failed(Refusal::new(reason, message), policy);
        }
        match self.render(template, &parameters, digest) {
            Ok(Some(prepared)) => Preparation::Ready(Box::new(prepared)),
            Ok(None) => Preparation::Settled(Verdict::Skipped(Reason::GuardFalse)),
            Err(problem) => failed(problem, policy),
        }
    }

    /// What an earlier call left, if there is nothing to do. Nothing is topped up from a template that has changed since.
    fn earlier(&self, template: &Template, digest: &str, draft: &mut Node<'a>) -> Option<Verdict> {
        let record = self.status.record(template.name.as_str())?;
        // What the template brings by itself must be there: a status can be written by anybody.
        let own = template.pod.spec.iter().flat_map(|spec| {
            ["initContainers", "containers", "volumes"]
                .into_iter()
                .flat_map(|list| spec.fixed_names(list).map(move |name| pointer(["spec", list, name])))
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
        let name = template.name.as_str();
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
        let invalid = |wrong: &[Violation]| match wrong {
            [] => Ok(()),
            wrong => Err(Refusal::new(Reason::InvalidResult, format!("template \"{name}\": {}", join(wrong)))),
        };
        let room = if earlier.is_some() { self.room.get() } else { self.room.get().without_names_of(&record) };
        let merged = merge::merge(draft, &given, &self.status, &others, &mut record, room)
            .map_err(|failure| match failure {
                Failure::Conflicts(conflicts) => Refusal::new(Reason::Conflict, conflicts.join("; ")),
                Failure::TooLarge(message) => Refusal::new(Reason::TooLarge, message),
            })
            .and_then(|merged| {
                invalid(&violations_of_templates(Tree::merged(draft), &self.status.volumes_of(later))).map(|()| merged)
            });
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
}

#[cfg(test)]
mod tests;
