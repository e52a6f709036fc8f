//! What a pod and each of its templates can come out as, and sentences put together.

use crate::decision::{Change, Decision, Outcome, Patch, Reason, Warning};
use crate::names::OnError;
use crate::text::join;

/// Why something cannot be done, in one sentence for the user.
#[derive(Clone, Debug)]
pub(super) struct Refusal {
    pub(super) reason: Reason,
    pub(super) message: String,
    /// What would have to change.
    pub(super) changes: Vec<Change>,
}

impl Refusal {
    pub(super) fn new(reason: Reason, message: String) -> Refusal {
        Refusal { reason, message, changes: Vec::new() }
    }

    /// The same with what would have to change.
    pub(super) fn mended_by(self, changes: Vec<Change>) -> Refusal {
        Refusal { changes, ..self }
    }
}

/// The result of a template that was asked for.
pub(super) enum TemplateOutcome {
    /// It is in the pod now.
    Injected,
    /// An earlier call injected it, and nothing is missing.
    AlreadyInjected,
    /// An earlier call injected it so, which is not how it would be injected now.
    Stale(&'static str),
    /// It adds nothing, for this reason.
    Skipped(Reason),
    /// It cannot be applied, and this is what happens to the pod.
    Failed(Refusal, OnError),
}

impl TemplateOutcome {
    /// Whether an earlier call injected it, and there is no more to do.
    pub(super) fn is_done(&self) -> bool {
        matches!(self, TemplateOutcome::AlreadyInjected | TemplateOutcome::Stale(_))
    }
}

/// A decision that adds nothing.
pub(super) fn untouched(outcome: Outcome, reason: Reason) -> Decision {
    let (templates, edits, warnings) = (Vec::new(), Vec::new(), Vec::new());
    Decision { outcome, reason, message: None, templates, edits, warnings, patch: Patch::empty() }
}

/// The pod is refused, and gets nothing of what was ready for it.
pub(super) fn denied(mut decision: Decision, problems: &[Refusal]) -> Decision {
    decision.message = Some(join(problems.iter().map(|problem| &problem.message)));
    decision.templates.retain(|template| template.outcome != Outcome::Injected);
    decision.outcome = Outcome::Denied;
    decision.reason = problems.first().map_or(Reason::InternalError, |problem| problem.reason);
    decision
}

/// Warnings that are not about a template that was skipped.
pub(super) fn advice(texts: Vec<String>) -> Vec<Warning> {
    texts.into_iter().map(|text| Warning { text, skipped: None }).collect()
}
