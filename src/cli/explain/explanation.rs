//! What is said of a pod: its steps, its templates and the verdict.

use pillion_engine::decision::{Effect, Outcome, PlaceDecision, Reason, TemplateDecision};
use serde::Serialize;

use crate::cli::fix::Fix;
use crate::cli::site::Site;

/// How a step ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Mark {
    Passed,
    /// The decision ends here, as somebody meant it to.
    Ended,
    Failed,
}

/// A step of the decision about a pod, or about one of its templates.
#[derive(Serialize)]
pub(super) struct Step {
    pub(super) step: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) template: Option<String>,
    #[serde(rename = "passed", serialize_with = "is_passed")]
    pub(super) mark: Mark,
    /// What was found.
    pub(super) why: Option<String>,
    #[serde(flatten)]
    pub(super) fix: Fix,
    /// The reason, if the engine has one for it.
    pub(super) reason: Option<&'static str>,
}

fn is_passed<S: serde::Serializer>(mark: &Mark, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_bool(*mark == Mark::Passed)
}

/// A template that was asked for.
#[derive(Serialize)]
pub(super) struct TemplateExplanation {
    pub(super) name: String,
    outcome: &'static str,
    reason: &'static str,
    message: Option<String>,
    pub(super) places: Vec<PlaceExplanation>,
}

/// What happened at one place, and by which row of `docs/merge.md`.
#[derive(Serialize)]
pub(super) struct PlaceExplanation {
    pub(super) place: String,
    pub(super) effect: &'static str,
    /// The template that brought the value that wins, if it is not the pod's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) of: Option<String>,
    pub(super) part: &'static str,
    pub(super) rule: &'static str,
}

/// What is said of one pod.
#[derive(Serialize)]
pub(super) struct Explanation {
    /// File and line of its object.
    pub(super) place: String,
    namespace: String,
    pub(super) subject: String,
    pub(super) steps: Vec<Step>,
    pub(super) templates: Vec<TemplateExplanation>,
    pub(super) warnings: Vec<String>,
    pub(super) outcome: &'static str,
    pub(super) reason: Option<&'static str>,
    pub(super) message: Option<String>,
    pub(super) verdict: String,
}

impl Explanation {
    pub(super) fn new(site: &Site<'_>, subject: &str, line: u64) -> Explanation {
        Explanation {
            place: format!("{}:{line}", site.file()),
            namespace: site.namespace().to_owned(),
            subject: subject.to_owned(),
            steps: Vec::new(),
            templates: Vec::new(),
            warnings: Vec::new(),
            outcome: Outcome::Skipped.as_str(),
            reason: None,
            message: None,
            verdict: String::new(),
        }
    }

    /// Whether a step failed.
    pub(super) fn has_failed(&self) -> bool {
        self.steps.iter().any(|step| step.mark == Mark::Failed)
    }

    /// Adds a step that is not of a template.
    pub(super) fn push(
        &mut self,
        step: &'static str,
        mark: Mark,
        reason: Option<Reason>,
        why: impl Into<Option<String>>,
        fix: Fix,
    ) {
        let reason = reason.map(Reason::as_str);
        self.steps.push(Step { step, template: None, mark, why: why.into(), fix, reason });
    }

    /// The same with its last line: the result for the pod, and `why` if it is not injected.
    pub(super) fn with_verdict(mut self, why: &str) -> Explanation {
        let subject = &self.subject;
        let (injected, others): (Vec<_>, Vec<_>) =
            self.templates.iter().partition(|template| template.outcome == Outcome::Injected.as_str());
        let names = injected.iter().map(|template| template.name.as_str()).collect::<Vec<_>>().join(", ");
        let missing = others.iter().filter(|template| template.outcome == Outcome::Error.as_str());
        let missing: Vec<_> = missing.map(|template| format!("{} ({})", template.name, template.reason)).collect();
        self.verdict = match (self.outcome, missing.is_empty()) {
            ("injected", true) => format!("INJECTED  {subject}  {names}"),
            ("injected", false) => format!("PARTLY INJECTED  {subject}  {names}; without {}", missing.join(", ")),
            _ => format!("NOT INJECTED  {subject}  {why}"),
        };
        self
    }
}

/// What is said of a template.
pub(super) fn explained(template: TemplateDecision, is_denied: bool) -> TemplateExplanation {
    let TemplateDecision { name, outcome, reason, message, places } = template;
    // Of a workload that is refused nothing is injected.
    let (outcome, reason) = match outcome {
        Outcome::Injected if is_denied => (Outcome::Denied, Reason::InvalidResult),
        _ => (outcome, reason),
    };
    TemplateExplanation {
        name: name.to_string(),
        outcome: outcome.as_str(),
        reason: reason.as_str(),
        message,
        places: places.into_iter().map(explained_place).collect(),
    }
}

fn explained_place(PlaceDecision { place, effect, rule }: PlaceDecision) -> PlaceExplanation {
    let (effect, of) = match effect {
        Effect::Added => ("added", None),
        Effect::AlreadyThere => ("already there", None),
        Effect::Replaced => ("replaced", None),
        Effect::NotApplied { of } => ("not applied", of),
    };
    PlaceExplanation { place, effect, of, part: rule.part, rule: rule.then }
}
