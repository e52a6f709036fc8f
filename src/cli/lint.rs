//! `pillion lint`: templates, checked as they are when they are loaded.

use std::fmt::Write as _;
use std::ops;
use std::path::PathBuf;
use std::process::ExitCode;

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};
use pillion_engine::load;
use pillion_engine::template::Diagnostic;
use pillion_engine::yaml::Position;
use serde_json::json;

use super::input;
use super::output::{is_colored, print, report};
use crate::files::SourceFile;

/// Flags of `pillion lint`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// File or folder with templates, or - for standard input; can be given several times
    #[arg(short, long = "filename", value_name = "FILE", required = true)]
    filename: Vec<PathBuf>,

    /// How to write what is found
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

#[derive(Clone, Copy, Debug, Default, clap::ValueEnum)]
enum Format {
    /// With the lines that it is about
    #[default]
    Text,
    /// A list of objects
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

/// Prints what is found. The exit code is 1 when a template is refused.
pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let files = input::read(&args.filename);
    let (mut findings, mut templates) = (Vec::new(), 0);
    for file in &files {
        templates += check(file, &mut findings);
    }
    print(match args.output {
        Format::Text => findings.iter().map(|finding| finding.text()).collect(),
        Format::Json => format!("{:#}\n", findings.iter().map(Finding::json).collect::<serde_json::Value>()),
        Format::Github => findings.iter().map(Finding::github).collect::<String>(),
    })?;
    let errors = findings.iter().filter(|finding| finding.severity == Severity::Error).count();
    let warnings = findings.len() - errors;
    report(format_args!("{templates} templates, {errors} errors, {warnings} warnings"));
    Ok(ExitCode::from(u8::from(errors > 0)))
}

/// Checks the templates of a file, and gives their number.
fn check<'f>(file: &'f SourceFile, findings: &mut Vec<Finding<'f>>) -> usize {
    let text = match &file.text {
        Ok(text) => text,
        Err(why) => {
            let (severity, position) = (Severity::Error, Position::default());
            findings.push(Finding { file, severity, position, sentence: why.clone() });
            return 0;
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
    documents.len()
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

/// The line of a position, and where in it the word there stands.
fn line_and_span(text: &str, position: Position) -> Option<(&str, ops::Range<usize>)> {
    let line = text.lines().nth(position.line.checked_sub(1)? as usize)?;
    let begin = line.char_indices().nth(position.column.saturating_sub(1) as usize).map_or(line.len(), |(at, _)| at);
    let length = line[begin..].find(char::is_whitespace).unwrap_or(line.len() - begin);
    Some((line, begin..begin + length))
}
