//! From the verdicts to the decision: outcome, message, warnings, and what is written down on the pod.

use std::cell::LazyCell;

use super::decide::{self, Problem};
use super::draft::{Entry, Node};
use super::status::{OUTCOME, STATUS, Status};
use super::{Pass, Verdict, check, join};
use crate::decision::{Decision, Outcome, Reason, TemplateDecision, Warning};
use crate::template::OnError;

impl Pass<'_> {
    /// Completes a decision about which the verdicts are known.
    pub(super) fn conclude(
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
                decision.warnings.push(Warning { text: format!("template \"{name}\" {text}"), left_out: None });
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
                            let text = format!("left out: {}", problem.message);
                            decision.warnings.push(Warning { text, left_out: Some(problem.reason) });
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
                Outcome::Error => self.status.failure(name.as_str()).unwrap_or(reason).as_str(),
                _ => reason.as_str(),
            };
            words.push(format!("{name}={word}"));
            decision.templates.push(TemplateDecision { name, outcome, reason, message });
        }
        if denials.is_empty() {
            decision.warnings.extend(advice(check::clashes(&mut draft)));
        }
        decision.warnings.extend(advice(decide::stray_keys(self.pod, names)));
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

    /// The policy for a name that leads to no template: the server's, or `Deny` if a template that was chosen says so.
    fn fallback_policy(&self, names: &[String]) -> OnError {
        let chosen = names.iter().filter_map(|name| self.catalog.template(name, &self.namespace.name));
        let mut policies = chosen.filter_map(|template| template.on_error);
        if policies.any(|policy| policy == OnError::Deny) { OnError::Deny } else { self.catalog.on_error() }
    }
}

/// The pod is refused, and gets nothing of what was ready for it.
pub(super) fn denied(mut decision: Decision, problems: &[Problem]) -> Decision {
    let messages: Vec<_> = problems.iter().map(|problem| problem.message.as_str()).collect();
    decision.message = Some(join(&messages));
    decision.templates.retain(|template| template.outcome != Outcome::Injected);
    decision.outcome = Outcome::Denied;
    decision.reason = problems.first().map_or(Reason::InternalError, |problem| problem.reason);
    decision
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

/// Warnings that tell of no template that was left out.
pub(super) fn advice(texts: Vec<String>) -> Vec<Warning> {
    texts.into_iter().map(|text| Warning { text, left_out: None }).collect()
}
