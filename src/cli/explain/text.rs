//! Explanations for people.

use std::fmt::Write as _;

use super::explanation::{Explanation, Mark, PlaceExplanation, Step};
use crate::cli::output::shown;

/// The column of what was found: behind the longest word for a step.
const WIDTH: usize = 13;
/// The widest place that others are aligned to.
const MAX_PLACE: usize = 60;

const GREEN: &str = "\x1b[32m";
const RED: &str = "\x1b[31m";
const YELLOW: &str = "\x1b[33m";
const BOLD: &str = "\x1b[1m";

/// Explanations, one below the other, each with its verdict as the last line.
pub(super) fn write(explanations: &[Explanation], is_colored: bool) -> String {
    let written = explanations.iter().map(|explanation| {
        let mut page = Page { text: String::new(), is_colored };
        page.explanation(explanation);
        page.text
    });
    written.collect::<Vec<_>>().join("\n")
}

struct Page {
    text: String,
    is_colored: bool,
}

impl Page {
    fn explanation(&mut self, explanation: &Explanation) {
        self.line(BOLD, &format!("{} {}", explanation.place, explanation.subject), "");
        let mut template = None;
        for step in &explanation.steps {
            if step.template != template && step.template.is_some() {
                self.line(BOLD, &format!("  template {}", step.template.as_deref().unwrap_or_default()), "");
            }
            template.clone_from(&step.template);
            let places = explanation.templates.iter().find(|it| Some(&it.name) == template.as_ref());
            let places = places.map_or(&[][..], |it| &it.places).iter().filter(|_| step.step == "places");
            self.step(step, &places.collect::<Vec<_>>());
        }
        for warning in &explanation.warnings {
            self.line(YELLOW, "  ! ", &in_lines(warning, 4));
        }
        let color = match explanation.outcome {
            _ if explanation.has_failed() => RED,
            "injected" => GREEN,
            _ => YELLOW,
        };
        self.line(color, &explanation.verdict, "");
    }

    fn step(&mut self, step: &Step, places: &[&PlaceExplanation]) {
        let (color, mark) = match step.mark {
            Mark::Passed => (GREEN, '✓'),
            Mark::Ended => (YELLOW, '–'),
            Mark::Failed => (RED, '✗'),
        };
        let indent = WIDTH + 4;
        let width = places.iter().map(|it| it.place.chars().count()).max().unwrap_or_default().min(MAX_PLACE);
        let places = places.iter().map(|place| place_line(place, width));
        let found = step.why.iter().map(|why| in_lines(why, indent)).chain(places).collect::<Vec<_>>();
        let found = found.join(&format!("\n{:indent$}", ""));
        let begin = format!("  {mark} {:WIDTH$}", step.step);
        self.line(color, if found.is_empty() { begin.trim_end() } else { &begin }, &found);
        if step.mark == Mark::Failed {
            let mut word = "fix: ";
            for fix in step.fix.command.iter().chain(step.fix.edits.first()) {
                self.line("", &format!("{:indent$}{word}", ""), fix);
                word = "or:  ";
            }
            for edit in step.fix.edits.iter().skip(1) {
                self.line("", &format!("{:indent$}     ", ""), edit);
            }
            if step.fix.has_examples {
                self.line("", &format!("{:indent$}     ", ""), "(put in your own values)");
            }
            if let Some(reason) = step.reason {
                self.line("", &format!("{:indent$}see: pillion explain --reason {reason}", ""), "");
            }
        }
    }

    /// A line that begins in a colour. What manifests hold must not steer the terminal.
    fn line(&mut self, color: &str, begin: &str, rest: &str) {
        let (color, end) = if self.is_colored && !color.is_empty() { (color, "\x1b[0m") } else { ("", "") };
        // Writing to a string cannot fail.
        let _ = writeln!(self.text, "{color}{}{end}{}", shown(begin), shown(rest));
    }
}

/// The clauses of a sentence, one a line.
fn in_lines(sentence: &str, indent: usize) -> String {
    sentence.replace('\n', " ").replace("; ", &format!(";\n{:indent$}", ""))
}

/// What happened at one place, and by which row of `docs/merge.md`.
fn place_line(PlaceExplanation { place, effect, of, part, rule }: &PlaceExplanation, width: usize) -> String {
    let (sign, note) = match *effect {
        "added" => ('+', String::new()),
        "already there" => ('=', "already there".to_owned()),
        "replaced" => ('~', format!("replaced, by the rule for {part}")),
        _ => {
            let whose =
                of.as_ref().map_or("the pod's own value".to_owned(), |name| format!("the value of template {name}"));
            ('-', format!("not applied: {whose} is kept, by the rule for {part}: {rule}"))
        }
    };
    format!("{sign} {place:width$}  {note}").trim_end().to_owned()
}
