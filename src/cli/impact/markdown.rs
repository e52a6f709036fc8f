//! The report as a comment on a pull request.
//!
//! What comes from templates and manifests stands in code spans, where nothing of it is markup.

use super::Impact;
use super::findings::{Class, Group, OfTemplate};
use super::format::{self, Detail, MOST_ALIKE, TOGETHER, asking, describe};
use super::text::{summary, when};

/// The most workloads that are named.
const MOST_NAMES: usize = 5;
/// A comment on GitHub can have 65,536 characters.
const LONGEST: usize = 60_000;
const TITLE: &str = "### What this change of templates means for workloads\n\n";
const HEAD: &str = "\n| | What | Workloads |\n|---|---|---|\n";

/// Writes the report.
pub(super) fn write(impact: &Impact) -> String {
    let [from, to] = impact.labels.each_ref().map(|label| code(label));
    let mut text = format!("{TITLE}{from} → {to}: **{}**\n", summary(impact));
    let mut omitted = 0;
    for template in &impact.templates {
        let section = match format::name(template) {
            Some(name) => {
                let status = format::status(template.status);
                format!("\n#### {}: {status}\n\n{}\n", code(&name), asking(&template.tally))
            }
            None => format!("\n#### {TOGETHER}\n"),
        };
        let mut rows = rows(impact, template).into_iter().peekable();
        if text.len() + section.len() > LONGEST {
            omitted += rows.len();
            continue;
        }
        text += &section;
        text += if rows.peek().is_some() { HEAD } else { "" };
        for row in rows {
            if text.len() + row.len() > LONGEST {
                omitted += 1;
            } else {
                text += &row;
            }
        }
    }
    write_problems(impact, &mut text);
    if omitted > 0 {
        text +=
            &format!("\nThis is not all: {omitted} more rows have no room in a comment; see `-o text` or `-o json`.\n");
    }
    text
}

fn write_problems(impact: &Impact, text: &mut String) {
    if impact.problems.is_empty() {
        return;
    }
    *text += "\n#### Templates that cannot be loaded\n\n";
    for problem in &impact.problems {
        let item = format!("- {}: {}\n", when(problem), code(&problem.message));
        if text.len() + item.len() > LONGEST {
            *text += "- …\n";
            return;
        }
        *text += &item;
    }
}

fn rows(impact: &Impact, template: &OfTemplate) -> Vec<String> {
    let mut rows = Vec::new();
    let mut last: &[usize] = &[];
    for cluster in template.clusters(MOST_ALIKE) {
        for group in &cluster.shown {
            rows.push(row(impact, group, last == group.workloads));
            last = &group.workloads;
        }
        rows.extend(format::more(&cluster.hidden).map(|more| format!("| | {} | |\n", code(&more))));
    }
    rows
}

fn row(impact: &Impact, group: &Group, is_same: bool) -> String {
    let entry = describe(&group.finding, group.container());
    let mut what = Vec::new();
    if !entry.about.is_empty() {
        what.push(code(&entry.about));
    }
    match &entry.detail {
        Detail::Message(words) | Detail::Value(words) => what.push(code(words)),
        Detail::Values(from, to) => what.push(format!("{} → {}", code(from), code(to))),
        Detail::Lines(lines) => what.extend(lines.iter().map(|line| code(line))),
    }
    let is_refused = group.finding.class() == Class::NewlyRefused;
    let kind = if is_refused { format!("❌ **{}**", entry.kind) } else { entry.kind.to_owned() };
    format!("| {kind} | {} | {} |\n", what.join("<br>"), names(impact, group, is_same))
}

/// The workloads that a finding is about.
fn names(impact: &Impact, group: &Group, is_same: bool) -> String {
    let number = group.workloads.len();
    if is_same && number > 1 {
        return format!("the same {number}");
    }
    let names = group.workloads.iter().take(MOST_NAMES).map(|at| code(&impact.workloads[*at].name));
    let names = names.collect::<Vec<_>>().join(", ");
    let more = number.checked_sub(MOST_NAMES).filter(|more| *more > 0);
    format!("{number}: {names}{}", more.map(|more| format!(" and {more} more")).unwrap_or_default())
}

/// A code span that is right in the cell of a table, too.
fn code(text: &str) -> String {
    let text: String = text.chars().map(|letter| if letter.is_control() { '␣' } else { letter }).collect();
    let longest = text.split(|letter| letter != '`').map(str::len).max().unwrap_or_default();
    let fence = "`".repeat(longest + 1);
    let is_padded = text.starts_with(['`', ' ']) || text.ends_with(['`', ' ']) || text.is_empty();
    let space = if is_padded { " " } else { "" };
    // Of all characters a table reads this one first, in code too.
    let text = text.replace('|', "\\|");
    format!("{fence}{space}{text}{space}{fence}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_a_code_span_ends_neither_it_nor_its_cell() {
        assert_eq!(code("a|b"), "`a\\|b`");
        assert_eq!(code("a`b"), "``a`b``");
        assert_eq!(code("`a``"), "``` `a`` ```");
        assert_eq!(code("a\nb"), "`a␣b`");
        assert_eq!(code(""), "`  `");
    }
}
