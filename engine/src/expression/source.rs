//! The text of an expression: how long it may be, how deep its brackets may nest, and what the parser says about it.
//!
//! A text is measured before the crate parses it, because the parser calls itself for each bracket and operator.

use std::panic::catch_unwind;

use kube_cel::cel::parser::{Expression as Tree, Parser};

/// The longest source. The crate's parser needs stack in proportion to it.
const MAX_SOURCE: usize = 1024;
/// How deep brackets may nest. Each level takes the parser some twenty calls.
const MAX_BRACKETS: usize = 16;
/// How deep the tree may be: so many operators in a row, for example.
pub(super) const MAX_DEPTH: usize = 48;

/// Why an expression was refused.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{0}")]
pub struct Invalid(pub(super) String);

pub(super) fn invalid<T>(message: impl Into<String>) -> Result<T, Invalid> {
    Err(Invalid(message.into()))
}

pub(super) fn parse(source: &str) -> Result<Tree, Invalid> {
    if source.len() > MAX_SOURCE {
        return invalid(format!("an expression may have {MAX_SOURCE} bytes, and this one has {}", source.len()));
    }
    if source.trim().is_empty() {
        return invalid("it is empty");
    }
    if deepest_bracket(source) > MAX_BRACKETS {
        return invalid(format!("brackets may nest {MAX_BRACKETS} deep"));
    }
    // The parser panics on some texts that it cannot read, such as a lone quote.
    match catch_unwind(|| {
        Parser::new().enable_optional_syntax(true).max_recursion_depth(MAX_DEPTH as u16).parse(source)
    }) {
        Ok(Ok(tree)) => Ok(tree),
        Ok(Err(errors)) => invalid(parse_error(&errors.to_string())),
        Err(_) => invalid("syntax error"),
    }
}

/// How deep brackets nest; an unclosed one is left to the parser.
fn deepest_bracket(source: &str) -> usize {
    let depth = outside_strings(source).scan(0_usize, |depth, (_, character)| {
        match character {
            '(' | '[' | '{' => *depth += 1,
            ')' | ']' | '}' => *depth = depth.saturating_sub(1),
            _ => {}
        }
        Some(*depth)
    });
    depth.max().unwrap_or(0)
}

/// The characters of a source that are not in its strings, and where they are.
pub(super) fn outside_strings(source: &str) -> impl Iterator<Item = (usize, char)> {
    let mut quote = None;
    let mut characters = source.char_indices();
    std::iter::from_fn(move || {
        loop {
            let (at, character) = characters.next()?;
            match (quote, character) {
                (Some(_), '\\') => drop(characters.next()),
                (Some(open), _) if character == open => quote = None,
                (Some(_), _) => {}
                (None, '"' | '\'') => quote = Some(character),
                (None, _) => return Some((at, character)),
            }
        }
    })
}

/// The first of the parser's messages, without its drawing of the place: an expression is one line of a template.
fn parse_error(message: &str) -> String {
    let first = message.lines().find(|line| line.starts_with("ERROR")).or(message.lines().next()).unwrap_or_default();
    let reason = first.rsplit_once("Syntax error: ").map_or(first, |(_, reason)| reason);
    // The words of the parser's generator.
    if reason.contains("input '<EOF>'") {
        return "it ends too early".into();
    }
    if let Some(text) = reason.strip_prefix("token recognition error at: ") {
        return format!("syntax error at {text}");
    }
    format!("syntax error: {}", reason.split_once(" expecting ").map_or(reason, |(input, _)| input))
}
