//! The report for people at a terminal.

use std::fmt::Write as _;

use super::Impact;
use super::findings::{Class, Group, OfTemplate};
use super::format::{self, Detail, MOST_ALIKE, TOGETHER, asking, classes, describe};
use super::sides::Problem;
use crate::cli::output::counted;

/// The most workloads that are named, and of those that are newly refused.
const MOST_NAMES: [usize; 2] = [3, 10];
/// The most problems with the templates.
const MOST_PROBLEMS: usize = 20;
/// The longest line on which values stand beside their place.
const WIDTH: usize = 120;

/// Writes the report.
pub(super) fn write(impact: &Impact) -> String {
    let [from, to] = &impact.labels;
    let mut text = format!("templates: {from} → {to}\n");
    for template in &impact.templates {
        text.push('\n');
        write_template(impact, template, &mut text);
    }
    if !impact.problems.is_empty() {
        text += "\ntemplates that cannot be loaded\n";
        for problem in impact.problems.iter().take(MOST_PROBLEMS) {
            line(&mut text, 1, &format!("{}: {}", when(problem), problem.message));
        }
        if let Some(more) = impact.problems.len().checked_sub(MOST_PROBLEMS).filter(|more| *more > 0) {
            line(&mut text, 1, &format!("and {more} more"));
        }
    }
    text.push('\n');
    line(&mut text, 0, &summary(impact));
    text
}

/// All workloads in one line.
pub(super) fn summary(impact: &Impact) -> String {
    let colon = if impact.tally.total() == 0 { "" } else { ": " };
    let mut text = format!("{}{colon}{}", counted(impact.tally.total(), "workload"), classes(&impact.tally));
    if impact.not_sent > 0 {
        // Writing to a string cannot fail.
        let _ = write!(text, "; and {} in namespaces that do not send their pods", impact.not_sent);
    }
    text
}

/// At which ends a problem is.
pub(super) fn when(problem: &Problem) -> &'static str {
    match problem.at {
        [true, true] => "as before",
        [true, false] => "before, no more",
        [false, _] => "new",
    }
}

/// Appends a line.
fn line(text: &mut String, depth: usize, words: &str) {
    // Writing to a string cannot fail.
    let _ = writeln!(text, "{:1$}{words}", "", depth * 2);
}

fn write_template(impact: &Impact, template: &OfTemplate, text: &mut String) {
    match format::name(template) {
        Some(name) => {
            line(text, 0, &format!("{name}: {}", format::status(template.status)));
            line(text, 1, &asking(&template.tally));
        }
        None => line(text, 0, TOGETHER),
    }
    let mut last: &[usize] = &[];
    for cluster in template.clusters(MOST_ALIKE) {
        for group in &cluster.shown {
            write_group(impact, group, last == group.workloads, text);
            last = &group.workloads;
        }
        if let Some(more) = format::more(&cluster.hidden) {
            line(text, 1, &more);
            last = &[];
        }
    }
}

fn write_group(impact: &Impact, group: &Group, is_same: bool, text: &mut String) {
    let entry = describe(&group.finding, group.container());
    let head = [entry.kind, &entry.about].join(if entry.about.is_empty() { "" } else { ": " });
    let beside = match &entry.detail {
        Detail::Value(value) => Some(value.clone()),
        Detail::Values(from, to) => Some(format!("{from} → {to}")),
        Detail::Message(_) | Detail::Lines(_) => None,
    };
    let one_line = beside.map(|values| format!("{head}: {values}"));
    match (one_line.filter(|line| line.chars().count() <= WIDTH), &entry.detail) {
        (Some(one_line), _) => line(text, 1, &one_line),
        (None, Detail::Values(from, to)) => {
            line(text, 1, &head);
            line(text, 3, &format!("- {from}"));
            line(text, 3, &format!("+ {to}"));
        }
        (None, detail) => {
            line(text, 1, &head);
            match detail {
                Detail::Message(words) | Detail::Value(words) => line(text, 3, words),
                Detail::Lines(lines) => lines.iter().for_each(|it| line(text, 3, it)),
                Detail::Values(..) => {}
            }
        }
    }
    line(text, 3, &names(impact, group, is_same));
}

/// The workloads that a finding is about.
fn names(impact: &Impact, group: &Group, is_same: bool) -> String {
    let number = group.workloads.len();
    if is_same && number > 1 {
        return format!("the same {number} workloads");
    }
    let most = MOST_NAMES[usize::from(group.finding.class() == Class::NewlyRefused)];
    let names: Vec<_> = group.workloads.iter().take(most).map(|at| impact.workloads[*at].name.as_str()).collect();
    let more = number - names.len();
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("{}: {}{more}", counted(number, "workload"), names.join(", "))
}
