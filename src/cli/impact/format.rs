//! The words for what is found, as far as text and Markdown share them.

use serde_json::Value;
use similar::{ChangeTag, TextDiff};

use super::difference::{Difference, Part, Step, key_fields};
use super::findings::{Class, Finding, Group, OfTemplate, Outcomes, Tally};
use super::secrets::HIDDEN;
use super::sides::{Key, Status};
use crate::cli::output::counted;

/// The most findings about one thing, such as one field with many values.
pub(super) const MOST_ALIKE: usize = 5;
/// The longest excerpt of a value, in characters.
const LONGEST: usize = 120;
/// What an excerpt shows in front of where two values begin to differ.
const CONTEXT: usize = 24;
/// The most lines of a text that are shown as changed.
const MOST_LINES: usize = 8;

/// A finding in words.
pub(super) struct Entry {
    /// What kind of finding it is.
    pub(super) kind: &'static str,
    /// A place or a reason.
    pub(super) about: String,
    pub(super) detail: Detail,
}

/// What there is to see of a finding.
pub(super) enum Detail {
    /// A sentence.
    Message(String),
    /// What is there, or was there.
    Value(String),
    Values(String, String),
    /// Lines or items that went and came.
    Lines(Vec<String>),
}

/// What a template is called; `None` for several together.
pub(super) fn name(template: &OfTemplate) -> Option<String> {
    let (name, namespace) = template.key.as_ref()?;
    Some(namespace.as_ref().map_or(name.to_string(), |namespace| format!("{name} (of namespace {namespace})")))
}

/// The heading for several templates together.
pub(super) const TOGETHER: &str = "several templates together";

/// The words for what has happened to a template.
pub(super) fn status(status: Status) -> &'static str {
    match status {
        Status::Added => "added",
        Status::Removed => "removed",
        Status::Changed => "changed",
        Status::Unchanged => "unchanged",
        Status::Broken => "cannot be loaded any more",
        Status::Mended => "can be loaded again",
        Status::StillBroken => "cannot be loaded, as before",
        Status::Unknown => "there is no such template",
    }
}

/// The order of templates: first those because of which pods are refused, then those that changed.
pub(super) fn order(template: &OfTemplate) -> (bool, bool, bool, Option<Key>) {
    let refuses = template.groups.iter().any(|group| group.finding.class() == Class::NewlyRefused);
    (!refuses, template.key.is_none(), template.status == Status::Unchanged, template.key.clone())
}

/// The word for a class.
pub(super) fn class(class: Class) -> &'static str {
    match class {
        Class::NewlyRefused => "newly refused",
        Class::NoLongerRefused => "no longer refused",
        Class::NewlySkipped => "newly skipped",
        Class::NewlyInjected => "newly injected",
        Class::Changed => "changed",
        Class::Kept => "unchanged as they are injected already",
        Class::StillRefused => "refused as before",
        Class::RefusedForOthers => "refused because of another template",
        Class::Unchanged => "unchanged",
    }
}

/// How many workloads are of which class, as far as there are any.
pub(super) fn classes(tally: &Tally) -> String {
    let of_class = |one: Class| (tally.of(one) > 0).then(|| format!("{} {}", tally.of(one), class(one)));
    Class::ALL.into_iter().filter_map(of_class).collect::<Vec<_>>().join(", ")
}

/// How many workloads ask for a template, and what that comes to.
pub(super) fn asking(tally: &Tally) -> String {
    match tally.total() {
        0 => "no workload asks for it".into(),
        1 => format!("1 workload asks for it: {}", classes(tally)),
        number => format!("{number} workloads ask for it: {}", classes(tally)),
    }
}

/// What the findings are that are too many to be shown.
pub(super) fn more(hidden: &[&Group]) -> Option<String> {
    let first = hidden.first()?;
    let workloads: usize = hidden.iter().map(|group| group.workloads.len()).sum();
    let Entry { kind, about, .. } = describe(&first.finding, None);
    let about = if about.is_empty() { String::new() } else { format!(": {about}") };
    Some(format!("{kind}{about}: and {} more in {} (-o json has all)", hidden.len(), counted(workloads, "workload")))
}

/// A finding in words. `container` is that of the pod itself, if it is the same for all workloads.
pub(super) fn describe(finding: &Finding, container: Option<&str>) -> Entry {
    let entry = |kind, about: String, detail| Entry { kind, about, detail };
    let with_reason =
        |kind, outcomes: &Outcomes| entry(kind, outcomes.reason.to_string(), Detail::Message(sentence(outcomes)));
    match finding {
        Finding::NewlyRefused { now } => with_reason("newly refused", now),
        Finding::NoLongerRefused { before } => with_reason("no longer refused", before),
        Finding::NewlySkipped { now } => with_reason("newly skipped", now),
        Finding::NewlyInjected { before } => {
            entry("newly injected", String::new(), Detail::Message(format!("before: {}", short(before))))
        }
        Finding::RefusesToo { now } => with_reason("refused as before, and now because of this template", now),
        Finding::RefusesNoMore { before } => {
            with_reason("refused as before, and no more because of this template", before)
        }
        Finding::RefusedOtherwise { before, now } => {
            entry("refused as before, but now", now.reason.to_string(), Detail::Values(short(before), short(now)))
        }
        Finding::SkippedOtherwise { before, now } => {
            entry("skipped as before, but now", now.reason.to_string(), Detail::Values(short(before), short(now)))
        }
        Finding::Differs(difference) => differs(difference, container),
        Finding::Kept => {
            let message = "the manifest carries another version of the template, which its pods keep; inject its original \
                           again to take up the change";
            entry("injected already", String::new(), Detail::Message(message.into()))
        }
        Finding::Warned(text) => entry("new warning", String::new(), Detail::Message(text.clone())),
    }
}

fn sentence(outcomes: &Outcomes) -> String {
    outcomes.message.clone().unwrap_or_else(|| outcomes.reason.sentence().to_owned())
}

fn short(outcomes: &Outcomes) -> String {
    let Outcomes { outcome, reason, message } = outcomes;
    let message = message.as_ref().map(|it| format!(": {it}")).unwrap_or_default();
    format!("{outcome}: {reason}{message}")
}

fn differs(difference: &Difference, container: Option<&str>) -> Entry {
    let Difference { steps, parts, is_order } = difference;
    let about = difference.place(container);
    if *is_order {
        let [from, to] = parts.each_ref().map(|part| list_of(part).unwrap_or_default().join(", "));
        return Entry { kind: "in another order", about, detail: Detail::Values(from, to) };
    }
    let list = match steps.get(steps.len().wrapping_sub(2)) {
        Some(Step::Field(name)) => name,
        _ => "",
    };
    let (kind, detail) = match parts {
        [Part::Absent, new] => ("added", Detail::Value(brief(new, list))),
        [old, Part::Absent] => ("removed", Detail::Value(brief(old, list))),
        [old, new] => ("changed", values(old, new)),
    };
    Entry { kind, about, detail }
}

/// What is added or removed, without what its place tells already.
fn brief(part: &Part, list: &str) -> String {
    let Part::Value(Value::Object(members)) = part else { return excerpt(&shown(part), 0) };
    let mut members = members.clone();
    members.retain(|name, _| !key_fields(list).contains(&name.as_str()));
    match members.get("value").filter(|_| members.len() == 1) {
        Some(value) => excerpt(&text_of(value), 0),
        None => excerpt(&Value::from(members).to_string(), 0),
    }
}

fn values(old: &Part, new: &Part) -> Detail {
    if let (Some(before), Some(after)) = (list_of(old), list_of(new)) {
        return Detail::Lines(changed_lines(&before, &after));
    }
    let [mut from, mut to] = [shown(old), shown(new)];
    if from == to
        && from != HIDDEN
        && let (Part::Value(old), Part::Value(new)) = (old, new)
    {
        // They differ by type.
        [from, to] = [old.to_string(), new.to_string()];
    }
    let common = from.chars().zip(to.chars()).take_while(|(one, other)| one == other).count();
    Detail::Values(excerpt(&from, common), excerpt(&to, common))
}

fn shown(part: &Part) -> String {
    match part {
        Part::Absent => "nothing".into(),
        Part::Own => "the pod's own value".into(),
        Part::Value(value) => text_of(value),
    }
}

/// A value as people write it, as far as that is clear on one line.
fn text_of(value: &Value) -> String {
    match value {
        Value::String(text) if !text.is_empty() && !text.contains(char::is_control) && text.trim() == text => {
            text.clone()
        }
        other => other.to_string(),
    }
}

/// The lines of a text, or the items of a list.
fn list_of(part: &Part) -> Option<Vec<String>> {
    match part {
        Part::Value(Value::String(text)) if text.trim_end().contains('\n') => {
            Some(text.lines().map(str::to_owned).collect())
        }
        Part::Value(Value::Array(items)) => Some(items.iter().map(text_of).collect()),
        _ => None,
    }
}

fn changed_lines(before: &[String], after: &[String]) -> Vec<String> {
    let [before, after] = [before, after].map(|lines| lines.iter().map(String::as_str).collect::<Vec<_>>());
    let diff = TextDiff::from_slices(&before, &after);
    let sign = |tag| match tag {
        ChangeTag::Delete => Some('-'),
        ChangeTag::Insert => Some('+'),
        ChangeTag::Equal => None,
    };
    let changes = diff.iter_all_changes();
    let mut lines: Vec<_> =
        changes.filter_map(|change| Some(format!("{} {}", sign(change.tag())?, excerpt(change.value(), 0)))).collect();
    if let Some(more) = lines.len().checked_sub(MOST_LINES).filter(|more| *more > 0) {
        lines.truncate(MOST_LINES);
        lines.push(format!("… and {}", counted(more, "more line")));
    }
    lines
}

/// What is short enough to be shown, with what is at a place in it.
fn excerpt(text: &str, place: usize) -> String {
    let length = text.chars().count();
    if length <= LONGEST {
        return text.to_owned();
    }
    let begin = place.saturating_sub(CONTEXT).min(length - LONGEST);
    let middle: String = text.chars().skip(begin).take(LONGEST).collect();
    let [before, behind] = [begin > 0, begin + LONGEST < length].map(|is_cut| if is_cut { "…" } else { "" });
    format!("{before}{middle}{behind}")
}
