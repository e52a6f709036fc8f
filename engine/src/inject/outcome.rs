//! What a pod can come out as before any template was merged, and sentences put together.

use crate::decision::{Decision, Outcome, Patch, Reason, Subject, Warning};
use crate::text::shown;

/// Why something cannot be done, in one sentence for the user.
#[derive(Clone, Debug)]
pub(super) struct Refusal {
    pub(super) reason: Reason,
    pub(super) message: String,
}

impl Refusal {
    pub(super) fn new(reason: Reason, message: String) -> Refusal {
        Refusal { reason, message }
    }

    /// The same, saying for which container of the pod.
    pub(super) fn of_container(self, name: &str) -> Refusal {
        Refusal { message: format!("{} (for container {})", self.message, shown(name)), ..self }
    }
}

/// A decision that adds nothing.
pub(super) fn untouched(outcome: Outcome, reason: Reason, subject: Subject) -> Decision {
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

/// The pod is refused, and gets nothing of what was ready for it.
pub(super) fn denied(mut decision: Decision, problems: &[Refusal]) -> Decision {
    let messages: Vec<_> = problems.iter().map(|problem| problem.message.as_str()).collect();
    decision.message = Some(join(&messages));
    decision.templates.retain(|template| template.outcome != Outcome::Injected);
    decision.outcome = Outcome::Denied;
    decision.reason = problems.first().map_or(Reason::InternalError, |problem| problem.reason);
    decision
}

/// Warnings that tell of no template that was left out.
pub(super) fn advice(texts: Vec<String>) -> Vec<Warning> {
    texts.into_iter().map(|text| Warning { text, skipped: None }).collect()
}

/// Several things that are wrong as one sentence; nobody reads more than a few.
pub(super) fn join<T: ToString>(wrong: &[T]) -> String {
    const MOST: usize = 8;
    let mut sentences: Vec<_> = wrong.iter().take(MOST).map(ToString::to_string).collect();
    if wrong.len() > MOST {
        sentences.push(format!("and {} more", wrong.len() - MOST));
    }
    sentences.join("; ")
}
