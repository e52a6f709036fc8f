//! What the commands print.

use std::borrow::Cow;
use std::env;
use std::fmt::Display;
use std::io::{self, IsTerminal as _, Write as _};

use super::progress;

/// `-o` of commands that write for people, or for programs.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, clap::ValueEnum)]
pub(super) enum Format {
    /// For people
    #[default]
    Text,
    /// For programs
    Json,
}

/// Whether standard output shows colours: only on a terminal, and not where NO_COLOR asks for none.
pub(super) fn is_colored() -> bool {
    io::stdout().is_terminal() && env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// Writes a text to standard output. Who reads it may have had enough.
pub(super) fn print(text: impl Display) -> anyhow::Result<()> {
    let _no_progress = progress::erase();
    let mut out = io::stdout().lock();
    match write!(out, "{text}").and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => Ok(written?),
    }
}

/// A number of things: `1 template`, `2 templates`.
pub(super) fn counted(number: usize, thing: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {thing}{plural}")
}

/// Writes a line to standard error.
pub(super) fn report(line: impl Display) {
    let _no_progress = progress::erase();
    // When standard error is closed, there is nowhere to report that.
    let _ = writeln!(io::stderr(), "{}", shown(&line.to_string()));
}

/// A text with manifests' own words in it: these must not steer a terminal.
pub(super) fn shown(text: &str) -> Cow<'_, str> {
    let is_hidden = |letter: char| {
        letter.is_control() && letter != '\n' && letter != '\t'
            || matches!(letter, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    if !text.contains(is_hidden) {
        return text.into();
    }
    let escaped =
        text.chars().map(|letter| if is_hidden(letter) { letter.escape_unicode().to_string() } else { letter.into() });
    escaped.collect::<String>().into()
}

/// A text as one word of a shell, whatever it holds.
pub(super) fn quoted(text: &str) -> String {
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "-_./:=,@+".contains(letter);
    if !text.is_empty() && text.chars().all(is_plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

/// A name from a manifest in a command that is offered: a shell must take it as one word, whatever it holds.
pub(super) fn as_word(name: &str) -> String {
    name.replace(|letter: char| !letter.is_ascii_alphanumeric() && !"-.".contains(letter), "?")
}
