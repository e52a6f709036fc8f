//! `pillion lint`: templates, checked as they are when they are loaded, and the level of Pod Security that each keeps.

use std::fmt::Write as _;
use std::ops;
use std::process::ExitCode;

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};
use pillion_engine::load::{self, Refused};
use pillion_engine::template::{Diagnostic, LevelBreach, PodSecurity, Template};
use pillion_engine::yaml::Position;
use serde_json::{Value, json};

use super::input::FileArgs;
use super::output::{counted, is_colored, print, report};
use super::progress::Progress;
use crate::files::SourceFile;

/// Flags of `pillion lint`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  pillion lint -f templates/
  pillion lint -f templates/ -o github")]
pub(crate) struct Args {
    #[command(flatten)]
    files: FileArgs,

    /// How to write what is found
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

#[derive(Clone, Copy, Debug, Default, clap::ValueEnum)]
enum Format {
    /// With the lines that it is about
    #[default]
    Text,
    /// An object: the findings, and the templates
    Json,
    /// Annotations of GitHub Actions
    Github,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Severity {
    Error,
    Warning,
}

/// Something that is wrong with a file, or that should be better.
struct Finding<'f> {
    file: &'f SourceFile,
    severity: Severity,
    position: Position,
    /// The field and what is wrong with it.
    sentence: String,
}

/// A template that was read.
struct Linted<'f> {
    file: &'f SourceFile,
    /// Its name, if that much could be read.
    name: Option<String>,
    /// The level of Pod Security that it keeps; nothing if it is refused.
    pod_security: Option<PodSecurity>,
}

/// Prints what is found. The exit code is 1 when a template is refused.
pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let files = args.files.read()?;
    let (mut findings, mut templates) = (Vec::new(), Vec::new());
    let progress = Progress::start("checking", "files");
    for file in &files {
        templates.extend(check(file, &mut findings));
        progress.add(1);
    }
    print(match args.output {
        Format::Text => {
            findings.iter().map(Finding::text).chain(templates.iter().filter_map(Linted::text)).collect::<String>()
        }
        Format::Json => {
            let findings: Value = findings.iter().map(Finding::json).collect();
            let templates: Value = templates.iter().map(Linted::json).collect();
            format!("{:#}\n", json!({"findings": findings, "templates": templates}))
        }
        Format::Github => findings.iter().map(Finding::github).collect(),
    })?;
    let errors = findings.iter().filter(|finding| finding.severity == Severity::Error).count();
    let warnings = findings.len() - errors;
    let counts = [(templates.len(), "template"), (errors, "error"), (warnings, "warning")];
    report(counts.map(|(number, thing)| counted(number, thing)).join(", "));
    Ok(ExitCode::from(u8::from(errors > 0)))
}

/// Checks the templates of a file.
fn check<'f>(file: &'f SourceFile, findings: &mut Vec<Finding<'f>>) -> Vec<Linted<'f>> {
    let text = match &file.text {
        Ok(text) => text,
        Err(why) => {
            let (severity, position) = (Severity::Error, Position::default());
            findings.push(Finding { file, severity, position, sentence: why.clone() });
            return Vec::new();
        }
    };
    let documents = load::read(text, &file.path.display().to_string());
    for document in &documents {
        let (severity, diagnostics) = match document {
            Ok(template) => (Severity::Warning, &template.warnings),
            Err(refused) => (Severity::Error, &refused.problems),
        };
        findings.extend(diagnostics.iter().map(|Diagnostic { position, path, message, .. }| {
            let space = if path.is_empty() { "" } else { " " };
            Finding { file, severity, position: *position, sentence: format!("{path}{space}{message}") }
        }));
    }
    let linted = |document: Result<Template, Refused>| match document {
        Ok(Template { name, pod_security, .. }) => {
            Linted { file, name: Some(name.to_string()), pod_security: Some(pod_security) }
        }
        Err(Refused { name, .. }) => Linted { file, name: name.map(|name| name.to_string()), pod_security: None },
    };
    documents.into_iter().map(linted).collect()
}

impl Severity {
    fn as_str(self) -> &'static str {
        match self {
            Severity::Error => "error",
            Severity::Warning => "warning",
        }
    }
}

impl Finding<'_> {
    fn text(&self) -> String {
        let Finding { file, severity, position, sentence } = self;
        let level = match severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        let path = file.path.display().to_string();
        let Some((line, span)) = file.text.as_ref().ok().and_then(|text| line_and_span(text, *position)) else {
            return format!("{}: {path}: {sentence}\n\n", severity.as_str());
        };
        let snippet = Snippet::source(line).path(path).line_start(position.line as usize);
        let snippet = snippet.annotation(AnnotationKind::Primary.span(span));
        let renderer = if is_colored() { Renderer::styled() } else { Renderer::plain() };
        renderer.render(&[level.primary_title(sentence.as_str()).element(snippet)]) + "\n\n"
    }

    fn json(&self) -> serde_json::Value {
        let Finding { file, severity, position: Position { line, column }, sentence } = self;
        json!({"file": file.path, "line": line, "column": column, "severity": severity.as_str(), "message": sentence})
    }

    /// See "Workflow commands" in the documentation of GitHub Actions.
    fn github(&self) -> String {
        let Finding { file, severity, position: Position { line, column }, sentence } = self;
        let escaped = |text: &str| text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A");
        let path = escaped(&file.path.display().to_string()).replace(':', "%3A").replace(',', "%2C");
        let mut place = format!("file={path}");
        if *line > 0 {
            // Writing to a string cannot fail.
            let _ = write!(place, ",line={line},col={column}");
        }
        format!("::{} {place}::{}\n", severity.as_str(), escaped(sentence))
    }
}

impl Linted<'_> {
    /// The level, and why it is not a stricter one; nothing of a template that is refused.
    fn text(&self) -> Option<String> {
        let (name, PodSecurity { level, breaches, unknown }) = (self.name.as_ref()?, self.pod_security.as_ref()?);
        let mut text = format!("{name}: Pod Security {level}\n");
        for LevelBreach { level, check, diagnostic } in breaches {
            text += &format!("  {diagnostic} ({level}: {check})\n");
        }
        for diagnostic in unknown {
            text += &format!("  not known: {diagnostic}\n");
        }
        Some(text)
    }

    fn json(&self) -> Value {
        let Linted { file, name, pod_security } = self;
        let place = |diagnostic: &Diagnostic| {
            let Diagnostic { position: Position { line, column }, path, message, .. } = diagnostic;
            json!({"line": line, "column": column, "message": format!("{path} {message}")})
        };
        let pod_security = pod_security.as_ref().map(|PodSecurity { level, breaches, unknown }| {
            let breaches = breaches.iter().map(|LevelBreach { level, check, diagnostic }| {
                let mut breach = place(diagnostic);
                breach["level"] = level.as_str().into();
                breach["check"] = (*check).into();
                breach
            });
            let (breaches, unknown): (Value, Value) = (breaches.collect(), unknown.iter().map(place).collect());
            json!({"level": level.as_str(), "breaches": breaches, "unknown": unknown})
        });
        json!({"file": file.path, "name": name, "podSecurity": pod_security})
    }
}

/// The line of a position, and where in it the word there stands.
fn line_and_span(text: &str, position: Position) -> Option<(&str, ops::Range<usize>)> {
    let line = text.lines().nth(position.line.checked_sub(1)? as usize)?;
    let begin = line.char_indices().nth(position.column.saturating_sub(1) as usize).map_or(line.len(), |(at, _)| at);
    let length = line[begin..].find(char::is_whitespace).unwrap_or(line.len() - begin);
    Some((line, begin..begin + length))
}
