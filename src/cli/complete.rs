//! Completion of `kubectl pillion …`: kubectl runs the `kubectl_complete-pillion` that it finds on the PATH with the words
//! so far, the last of which is not complete. The answer is that of a program made with cobra: a candidate a line, with a
//! tab and a description behind it, and then what the shell should do with them.

use std::ffi::OsString;

use clap_complete::engine::{CompletionCandidate, complete};

use super::output::print;
use crate::files;

// Of cobra's ShellCompDirective.
/// File names are candidates too.
const FILES: u8 = 0;
/// A space does not follow.
const NO_SPACE: u8 = 2;
/// File names are no candidates.
const NO_FILES: u8 = 4;

/// Prints what the last of the words can become.
pub(super) fn run(usage: &mut clap::Command, words: Vec<OsString>) -> anyhow::Result<()> {
    let is_flag = words.last().is_some_and(|word| word.as_encoded_bytes().starts_with(b"-"));
    let last = words.len();
    let words = [OsString::from("pillion")].into_iter().chain(words).collect();
    // Without a current folder it gives no file names, which are the shell's own work.
    let candidates = complete(usage, words, last, None).unwrap_or_default();
    let candidates = candidates.iter().filter(|candidate| !candidate.is_hide_set());
    let candidates: Vec<_> = candidates
        .map(|it| (it.get_value().to_string_lossy(), it.get_help().map(ToString::to_string).unwrap_or_default()))
        .filter(|(value, _)| is_flag || !value.starts_with('-'))
        .collect();
    let directive = match candidates[..] {
        [] => FILES,
        ref all if all.iter().all(|(value, _)| value.ends_with(['/', '='])) => NO_FILES | NO_SPACE,
        _ => NO_FILES,
    };
    let lines =
        candidates.iter().map(|(value, help)| format!("{value}\t{}\n", help.lines().next().unwrap_or_default()));
    print(format_args!("{}:{directive}\n", lines.collect::<String>()))
}

/// The names of the built-in templates.
pub(super) fn template_names() -> Vec<CompletionCandidate> {
    let files = files::cookbook().into_iter();
    files.filter_map(|file| Some(CompletionCandidate::new(file.path.file_stem()?))).collect()
}
