//! From the outcomes of the templates to the decision: outcome, message, warnings, and what is recorded on the pod.

use std::borrow::Cow;

use super::outcome::{Refusal, TemplateOutcome, advice, denied};
use super::pod::Pod;
use super::select;
use super::status::{MAX_ANNOTATIONS, Record, Status};
use crate::decision::{Decision, Edit, Outcome, PlaceDecision, Reason, TemplateDecision, Warning};
use crate::json::fragment::write_json;
use crate::json::node::Json;
use crate::json::{By, Fragment, Node};
use crate::names::{OUTCOME, OnError, STATUS, TemplateName};
use crate::rules;
use crate::rules::qos::lost_guarantee;

/// Completes a decision.
pub(super) fn respond<'a>(
    pod: &Pod<'_>,
    names: &[Cow<'_, str>],
    outcomes: Vec<(TemplateOutcome, Vec<PlaceDecision>)>,
    earlier: &Status<'a>,
    records: Vec<Record<'a>>,
    tree: Node<'_>,
    mut decision: Decision,
) -> Decision {
    let mut words = String::with_capacity(32 * names.len());
    let mut status = earlier.clone();
    records.into_iter().for_each(|record| status.put(record));
    let mut denials = Vec::new();
    for (name, (outcome, places)) in names.iter().zip(outcomes) {
        let is_done = outcome.is_done();
        if let TemplateOutcome::Failed(refusal, _) = &outcome {
            let edit = |change: &_| Edit { template: name.to_string(), change: Clone::clone(change) };
            decision.edits.extend(refusal.changes.iter().map(edit));
        }
        let (outcome, reason, message) = take_note(outcome, name, &mut decision.warnings, &mut denials);
        // What is no name cannot stand among names.
        let Ok(name) = name.parse::<TemplateName>() else {
            (decision.outcome, decision.reason) = (outcome, reason);
            continue;
        };
        let word = match outcome {
            // What an earlier call injected keeps the word of that call.
            _ if is_done => Reason::Injected,
            // What was added since can give another reason to skip it, and would do so in every call.
            Outcome::Error => earlier.failure(name.as_str()).unwrap_or(reason),
            _ => reason,
        };
        let comma = if words.is_empty() { "" } else { "," };
        words.extend([comma, name.as_str(), "=", word.as_str()]);
        decision.templates.push(TemplateDecision { name, outcome, reason, message, places });
    }
    if let Some(spec) = tree.view().get("spec").filter(|_| denials.is_empty()) {
        decision.warnings.extend(advice(rules::warnings(spec)));
        decision.warnings.extend(advice(lost_guarantee(pod.view_of_spec(), spec).into_iter().collect()));
    }
    decision.warnings.extend(advice(select::stray_keys(pod, names)));
    if !denials.is_empty() {
        return denied(decision, &denials);
    }
    // The tree borrows them.
    let mut annotations = Vec::new();
    let mut annotate = |key, text: String| annotations.push((key, Fragment::filled(text.into(), false)));
    if !words.is_empty() {
        annotate(OUTCOME, words);
    }
    if decision.templates.iter().any(|template| template.outcome == Outcome::Injected) {
        status.version = Cow::Borrowed(env!("CARGO_PKG_VERSION"));
        // Most fit.
        let mut json = Vec::with_capacity(1024);
        write_json(&mut json, &status);
        annotate(STATUS, String::from_utf8(json).expect("JSON is UTF-8"));
    }
    let mut tree = tree;
    annotations.iter().for_each(|(key, text)| set_annotation(&mut tree, key, text));
    if let Err(message) = check_annotations(&mut tree) {
        return denied(decision, &[Refusal::new(Reason::InvalidResult, message)]);
    }
    let first = |wanted: Outcome| decision.templates.iter().find(|template| template.outcome == wanted);
    if let Some(template) = first(Outcome::Injected).or(first(Outcome::Error)).or(decision.templates.first()) {
        (decision.outcome, decision.reason) = (template.outcome, template.reason);
    }
    decision.message = first(Outcome::Error).and_then(|template| template.message.clone());
    decision.patch = tree.patch();
    decision
}

/// The outcome of a template, as it is shown; what follows from it is with the warnings and denials.
fn take_note(
    outcome: TemplateOutcome,
    template: &str,
    warnings: &mut Vec<Warning>,
    denials: &mut Vec<Refusal>,
) -> (Outcome, Reason, Option<String>) {
    match outcome {
        TemplateOutcome::Injected => (Outcome::Injected, Reason::Injected, None),
        TemplateOutcome::AlreadyInjected => (Outcome::Skipped, Reason::AlreadyInjected, None),
        TemplateOutcome::Stale(how) => {
            let text = format!("template \"{template}\" was injected {how}: create the pod anew from its workload");
            warnings.push(Warning { text, skipped: None });
            (Outcome::Skipped, Reason::AlreadyInjected, None)
        }
        TemplateOutcome::Skipped(reason) => (Outcome::Skipped, reason, None),
        TemplateOutcome::Failed(problem, OnError::Deny) => {
            denials.push(problem.clone());
            (Outcome::Denied, problem.reason, Some(problem.message))
        }
        TemplateOutcome::Failed(Refusal { reason, message, .. }, OnError::Skip) => {
            warnings.push(Warning { text: format!("skipped: {message}"), skipped: Some(reason) });
            (Outcome::Error, reason, Some(message))
        }
    }
}

fn set_annotation<'a>(tree: &mut Node<'a>, key: &'static str, text: &'a Fragment) {
    let empty = || Json::Object(Vec::new());
    let Some(metadata) = tree.member_or("metadata", empty, By::Pillion) else { return };
    let Some(annotations) = metadata.member_or("annotations", empty, By::Pillion) else { return };
    let node = Node::fragment(text, By::Pillion);
    match annotations.member(key) {
        Some(known) if known.view().string() == node.view().string() => {}
        Some(known) => known.replace(node),
        None => annotations.push(key.into(), node.added()),
    }
}

/// Whether the annotations are no larger than Kubernetes allows. What is too large without the templates is the pod's own
/// fault.
fn check_annotations(tree: &mut Node<'_>) -> Result<(), String> {
    let annotations = tree.member("metadata").and_then(|metadata| metadata.member("annotations"));
    let Some(members) = annotations.and_then(Node::members) else { return Ok(()) };
    // As JSON none is shorter.
    if members.iter().map(|(key, node)| key.len() + node.size()).sum::<usize>() <= MAX_ANNOTATIONS {
        return Ok(());
    }
    let (mut size, mut own_size) = (0, 0);
    for (key, node) in members {
        let bytes = key.len() + node.view().string().map_or(0, |value| value.len());
        size += bytes;
        if !node.is_new() {
            own_size += bytes;
        }
    }
    if size > MAX_ANNOTATIONS && own_size <= MAX_ANNOTATIONS {
        return Err(format!("metadata.annotations would have {size} bytes, and {MAX_ANNOTATIONS} are allowed"));
    }
    Ok(())
}
