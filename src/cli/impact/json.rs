//! The report for programs: all of it, and no value is cut.

use serde_json::{Map, Value, json};

use super::Impact;
use super::difference::{Difference, Part};
use super::findings::{Class, Finding, Group, OfTemplate, Outcomes, Tally};
use super::sides::{Problem, Status};

/// What stands for a value of the pod itself.
const OWN: &str = "(the pod's own value)";

/// The report as one object.
pub(super) fn value(impact: &Impact) -> Value {
    let [from, to] = &impact.labels;
    let affected = impact.workloads.iter().filter(|workload| workload.class != Class::Unchanged);
    let affected = affected.map(|workload| {
        json!({"workload": workload.name, "file": workload.file, "line": workload.line, "result": word(workload.class)})
    });
    json!({
        "from": from,
        "to": to,
        "workloads": tally(&impact.tally),
        "notSent": impact.not_sent,
        "templates": impact.templates.iter().map(|template| of_template(impact, template)).collect::<Vec<_>>(),
        "problems": impact.problems.iter().map(problem).collect::<Vec<_>>(),
        "affected": affected.collect::<Vec<_>>(),
    })
}

fn tally(tally: &Tally) -> Value {
    let counts = Class::ALL.into_iter().map(|class| (word(class).to_owned(), tally.of(class).into()));
    std::iter::once(("total".to_owned(), tally.total().into())).chain(counts).collect::<Map<_, _>>().into()
}

fn word(class: Class) -> &'static str {
    match class {
        Class::NewlyRefused => "newlyRefused",
        Class::NoLongerRefused => "noLongerRefused",
        Class::NewlySkipped => "newlySkipped",
        Class::NewlyInjected => "newlyInjected",
        Class::Changed => "changed",
        Class::Kept => "injectedAlready",
        Class::StillRefused => "stillRefused",
        Class::RefusedForOthers => "refusedForOthers",
        Class::Unchanged => "unchanged",
    }
}

fn of_template(impact: &Impact, template: &OfTemplate) -> Value {
    let (name, namespace) =
        template.key.as_ref().map_or((None, None), |(name, of)| (Some(name.as_str()), of.as_deref()));
    let status = match template.status {
        Status::Added => "added",
        Status::Removed => "removed",
        Status::Changed => "changed",
        Status::Unchanged => "unchanged",
        Status::Broken => "broken",
        Status::Mended => "mended",
        Status::StillBroken => "stillBroken",
        Status::Unknown => "unknown",
    };
    let groups = template.clusters(usize::MAX).into_iter().flat_map(|cluster| cluster.shown);
    json!({
        "name": name,
        "namespace": namespace,
        "status": template.key.is_some().then_some(status),
        "workloads": tally(&template.tally),
        "findings": groups.map(|group| finding(impact, group)).collect::<Vec<_>>(),
    })
}

fn finding(impact: &Impact, group: &Group) -> Value {
    let mut value = match &group.finding {
        Finding::NewlyRefused { now } => json!({"kind": "newlyRefused", "now": outcomes(now)}),
        Finding::RefusedOtherwise { before, now } => {
            json!({"kind": "refusedOtherwise", "before": outcomes(before), "now": outcomes(now)})
        }
        Finding::RefusesToo { now } => json!({"kind": "refusesToo", "now": outcomes(now)}),
        Finding::RefusesNoMore { before } => json!({"kind": "refusesNoMore", "before": outcomes(before)}),
        Finding::NoLongerRefused { before } => json!({"kind": "noLongerRefused", "before": outcomes(before)}),
        Finding::NewlySkipped { now } => json!({"kind": "newlySkipped", "now": outcomes(now)}),
        Finding::NewlyInjected { before } => json!({"kind": "newlyInjected", "before": outcomes(before)}),
        Finding::SkippedOtherwise { before, now } => {
            json!({"kind": "skippedOtherwise", "before": outcomes(before), "now": outcomes(now)})
        }
        Finding::Differs(difference) => differs(difference, group),
        Finding::Kept => json!({"kind": "injectedAlready"}),
        Finding::Warned(text) => json!({"kind": "newWarning", "message": text}),
    };
    let names: Vec<_> = group.workloads.iter().map(|at| impact.workloads[*at].name.as_str()).collect();
    value["workloads"] = names.into();
    value
}

fn outcomes(Outcomes { outcome, reason, message }: &Outcomes) -> Value {
    let message = message.as_deref().unwrap_or(reason.sentence());
    json!({"outcome": outcome.as_str(), "reason": reason.as_str(), "message": message})
}

fn differs(difference: &Difference, group: &Group) -> Value {
    let kind = match &difference.parts {
        _ if difference.is_order => "reordered",
        [Part::Absent, _] => "added",
        [_, Part::Absent] => "removed",
        _ => "changed",
    };
    let mut value = json!({"kind": kind, "place": difference.place(group.container())});
    for (end, part) in ["from", "to"].into_iter().zip(&difference.parts) {
        match part {
            Part::Absent => {}
            Part::Own => value[end] = OWN.into(),
            Part::Value(it) => value[end] = it.clone(),
        }
    }
    if !group.containers.is_empty() {
        value["containers"] = group.containers.iter().map(String::as_str).collect();
    }
    value
}

fn problem(problem: &Problem) -> Value {
    let at = match problem.at {
        [true, true] => "both",
        [true, false] => "from",
        [false, _] => "to",
    };
    json!({"at": at, "message": problem.message})
}
