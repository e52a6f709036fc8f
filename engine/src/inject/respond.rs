//! From the verdicts to the decision: outcome, message, warnings, and what is written down on the pod.

use std::cell::LazyCell;

use super::outcome::Refusal;
use super::outcome::{advice, denied};
use super::pass::{Pass, Verdict};
use super::select;
use super::status::{MAX_ANNOTATIONS, OUTCOME, STATUS, Status};
use crate::decision::{Decision, Outcome, Reason, TemplateDecision, Warning};
use crate::draft::{Entry, Node};
use crate::names::{OnError, TemplateName};
use crate::rules::ports::port_clashes;
use crate::rules::tree::Tree;

impl Pass<'_> {
    /// Completes a decision about which the verdicts are known.
    pub(super) fn respond(
        &self,
        names: &[String],
        verdicts: Vec<Verdict>,
        mut draft: Node<'_>,
        mut decision: Decision,
    ) -> Decision {
        let mut words = Vec::with_capacity(names.len());
        let mut status = self.status.clone();
        let mut denials: Vec<Refusal> = Vec::new();
        let fallback = LazyCell::new(|| self.fallback_policy(names));
        for (name, verdict) in names.iter().zip(verdicts) {
            // What an earlier call injected keeps the word of that call.
            let is_done = matches!(verdict, Verdict::Done | Verdict::Stale);
            if matches!(verdict, Verdict::Stale) {
                let text =
                    "was injected in another version or with other parameters: create the pod anew from its workload";
                decision.warnings.push(Warning { text: format!("template \"{name}\" {text}"), skipped: None });
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
                            decision.warnings.push(Warning { text, skipped: Some(problem.reason) });
                            (Outcome::Error, problem.reason, message)
                        }
                    }
                }
            };
            // What is no name cannot stand among names.
            let Ok(name) = name.parse::<TemplateName>() else {
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
            decision.warnings.extend(advice(Tree::merged(&draft).get("spec").map(port_clashes).unwrap_or_default()));
        }
        decision.warnings.extend(advice(select::stray_keys(self.pod, names)));
        if !denials.is_empty() {
            return denied(decision, &denials);
        }
        annotate(&mut draft, words, &self.status, &mut status);
        if let Err(message) = check_annotations(&mut draft) {
            return denied(decision, &[Refusal::new(Reason::InvalidResult, message)]);
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
        if policies.any(|policy| policy == OnError::Deny) { OnError::Deny } else { self.catalog.on_error }
    }
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

/// The annotations of a finished draft.
fn check_annotations(draft: &mut Node<'_>) -> Result<(), String> {
    let annotations = draft.member("metadata").and_then(|metadata| metadata.node.member("annotations"));
    let Some(members) = annotations.and_then(|annotations| annotations.node.members()) else { return Ok(()) };
    if !members.iter().any(|(_, entry)| entry.is_ours()) {
        return Ok(());
    }
    let size_of = |with_ours: bool| -> usize {
        let counted = members.iter().filter(|(_, entry)| with_ours || !entry.is_ours());
        counted.map(|(key, entry)| key.len() + entry.node.string().map_or(0, |value| value.len())).sum()
    };
    // What is too much without the templates is the pod's own fault.
    let size = size_of(true);
    if size > MAX_ANNOTATIONS && size_of(false) <= MAX_ANNOTATIONS {
        return Err(format!("metadata.annotations would have {size} bytes, and {MAX_ANNOTATIONS} are allowed"));
    }
    Ok(())
}
