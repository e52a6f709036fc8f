//! `pillion test`: pods and the results that are expected, as people write them down for their own templates.

mod cases;
mod golden;
mod trial;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, ensure};
use pillion_engine::decision::{Outcome, Reason};
use serde_json::{Value, json};

use self::cases::{Case, Golden};
use self::trial::Catalogs;
use super::output::{Format, counted, is_colored, print, report};
use crate::files::{self, SourceFile};

/// Flags of `pillion test`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  pillion test templates/
  pillion test templates/ --update && git diff")]
pub(crate) struct Args {
    /// Folder with files called *_test.yaml, folders in it included, or one such file
    #[arg(required = true, value_name = "DIR")]
    dirs: Vec<PathBuf>,

    /// Write the golden files anew, where all else is as expected; read the difference before it is committed
    #[arg(long)]
    update: bool,

    /// How to write the results
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

/// Runs all tests. The exit code is 1 when one fails, 2 when one cannot be run.
pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let mut run = Run {
        update: args.update,
        catalogs: Catalogs::default(),
        written: BTreeSet::new(),
        results: Vec::new(),
        errors: 0,
    };
    for root in &args.dirs {
        let real_root = root.canonicalize().with_context(|| root.display().to_string())?;
        let real_root = if real_root.is_dir() { &*real_root } else { real_root.parent().unwrap_or(&real_root) };
        let files = files::read_tests(root);
        ensure!(!files.is_empty(), "{}: no file called *_test.yaml in there", root.display());
        files.iter().for_each(|file| run.file(file, real_root));
    }
    let Run { written, results, errors, .. } = run;
    print(match args.output {
        Format::Text => results.iter().map(|result| result.text(is_colored())).collect(),
        Format::Json => format!("{:#}\n", results.iter().map(TestResult::json).collect::<Value>()),
    })?;
    let failed = results.iter().filter(|result| !result.failures.is_empty()).count();
    let mut summary = format!("{}, {failed} failed", counted(results.len(), "test"));
    if errors > 0 {
        summary += &format!(", {}", counted(errors, "error"));
    }
    if !written.is_empty() {
        summary += &format!(", {} written", counted(written.len(), "golden file"));
    }
    report(summary);
    Ok(ExitCode::from(if errors > 0 { 2 } else { u8::from(failed > 0) }))
}

struct Run {
    update: bool,
    catalogs: Catalogs,
    /// The golden files that were written.
    written: BTreeSet<PathBuf>,
    results: Vec<TestResult>,
    /// How many files and tests are wrong themselves.
    errors: usize,
}

/// The result of a test.
struct TestResult {
    file: PathBuf,
    line: u64,
    name: String,
    /// What is not as expected.
    failures: Vec<String>,
    /// Outcome and reason of the pod, if it is sent to the webhook.
    decided: Option<(Outcome, Reason)>,
    /// What was said of it.
    message: Option<String>,
    /// The golden file that was written.
    written: Option<String>,
}

impl Run {
    /// Runs the tests of a file; `root` is the real folder below which all golden files must be.
    fn file(&mut self, file: &SourceFile, root: &Path) {
        let cases = match cases::read(file) {
            Ok(cases) => cases,
            Err(problems) => {
                problems.iter().for_each(|problem| report(format_args!("error: {problem}")));
                self.errors += problems.len();
                return;
            }
        };
        for case in cases {
            match self.case(file, root, &case) {
                Ok(result) => self.results.push(result),
                Err(error) => {
                    let Case { name, line, .. } = case;
                    report(format_args!("error: {}:{line}: test \"{name}\": {error:#}", file.path.display()));
                    self.errors += 1;
                }
            }
        }
    }

    fn case(&mut self, file: &SourceFile, root: &Path, case: &Case) -> anyhow::Result<TestResult> {
        let observed = trial::run(case, self.catalogs.of(&file.path, case)?)?;
        let mut failures = case.expect.failures(&observed);
        let mut written = None;
        match (&case.expect.golden, &observed.object) {
            (None, _) => {}
            (Some(_), None) => failures.push("golden: there is no result to compare".to_owned()),
            (Some(Golden::Inline(expected)), Some(result)) => {
                failures.extend(golden::difference("golden", expected, result)?);
            }
            (Some(Golden::File(path)), Some(result)) => {
                let shown = path.display().to_string();
                let path = golden::real_path(&file.path, path, root)?;
                let expected = golden::read(&path)?;
                let difference = match &expected {
                    Some(expected) => golden::difference(&shown, expected, result)?,
                    None => Some(format!("{shown} is not there; write it with --update")),
                };
                match difference {
                    Some(_) if self.update && failures.is_empty() && self.written.insert(path.clone()) => {
                        golden::write(&path, result)?;
                        written = Some(shown);
                    }
                    difference => failures.extend(difference),
                }
            }
        }
        let Case { name, line, .. } = case;
        let (decided, message) = (observed.decided(), observed.messages().next().map(str::to_owned));
        Ok(TestResult { file: file.path.clone(), line: *line, name: name.clone(), failures, decided, message, written })
    }
}

impl TestResult {
    fn text(&self, is_colored: bool) -> String {
        let TestResult { file, line, name, failures, decided, message, written } = self;
        let paint = |text: &str, color: u8| match is_colored {
            true => format!("\u{1b}[{color}m{text}\u{1b}[0m"),
            false => text.to_owned(),
        };
        let word = if failures.is_empty() { paint("ok", 32) + "  " } else { paint("FAIL", 31) };
        let mut text = format!("{word}  {}:{line}: {name}\n", file.display());
        let mut line = |line: &str| text.extend(["      ", line, "\n"]);
        if let Some(path) = written {
            line(&format!("written: {path}"));
        }
        if !failures.is_empty() {
            let decided = decided.map(|(outcome, reason)| match outcome {
                Outcome::Injected => outcome.to_string(),
                _ => format!("{outcome}: {reason}"),
            });
            let result: Vec<_> = decided.into_iter().chain(message.clone()).collect();
            line(&format!("result: {}", result.join(": ")));
        }
        for failure in failures.iter().flat_map(|failure| failure.lines()) {
            line(&match failure.as_bytes().first() {
                Some(b'-') => paint(failure, 31),
                Some(b'+') => paint(failure, 32),
                _ => failure.to_owned(),
            });
        }
        text
    }

    fn json(&self) -> Value {
        let TestResult { file, line, name, failures, decided, message, written } = self;
        json!({
            "file": file,
            "line": line,
            "name": name,
            "ok": failures.is_empty(),
            "failures": failures,
            "outcome": decided.map(|(outcome, _)| outcome.as_str()),
            "reason": decided.map(|(_, reason)| reason.as_str()),
            "message": message,
            "written": written,
        })
    }
}
