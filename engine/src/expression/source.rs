//! The text of an expression: its limits, because the crate's parser calls itself for each bracket and operator, and the
//! parser's messages.

use std::panic::catch_unwind;

use cel::Env;
use cel::common::ast::IdedExpr as Tree;

use crate::text::did_you_mean;

/// The longest source. The crate's parser needs stack in proportion to it.
const MAX_SOURCE: usize = 1024;
/// How deep brackets may nest. Each level takes the parser some twenty calls.
const MAX_BRACKETS: usize = 16;
/// How deep the tree may be. Each operator in a row is a level.
pub(super) const MAX_DEPTH: usize = 48;

/// What the compiler makes of calls with these names: they are no functions.
pub(super) const MACROS: &[&str] = &["has", "all", "exists", "exists_one", "map", "filter", "optMap", "optFlatMap"];

pub(super) fn parse(source: &str) -> Result<Tree, String> {
    if source.len() > MAX_SOURCE {
        return Err(format!("an expression may have {MAX_SOURCE} bytes, and this one has {}", source.len()));
    }
    if source.trim().is_empty() {
        return Err("it is empty".into());
    }
    if deepest_bracket(source) > MAX_BRACKETS {
        return Err(format!("brackets may nest {MAX_BRACKETS} deep"));
    }
    // Without macros: the compiler knows them.
    let parser = || Env::default().parser().max_recursion_depth(MAX_DEPTH as u16).parse(source);
    // It panics on some texts that it cannot read, such as a lone quote.
    match catch_unwind(parser) {
        Ok(Ok(tree)) => Ok(tree),
        Ok(Err(errors)) => Err(parse_error(&errors.to_string())),
        Err(_) => Err("syntax error".into()),
    }
}

/// How deep brackets nest; an unclosed one is left to the parser.
fn deepest_bracket(source: &str) -> usize {
    let (mut depth, mut deepest) = (0_usize, 0);
    for (_, character) in outside_strings(source) {
        match character {
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(depth);
    }
    deepest
}

/// Where a character of a source stands.
#[derive(Clone, Copy)]
enum Place {
    Outside,
    Comment,
    /// In a string that ends with these quotes. Behind a backslash they do not end it, unless it is raw.
    String {
        quotes: &'static str,
        is_raw: bool,
    },
    Escaped {
        quotes: &'static str,
    },
}

const QUOTES: [&str; 4] = [r#"""""#, "'''", "\"", "'"];

/// The characters of a source that are not in its strings and comments, and where they are.
pub(super) fn outside_strings(source: &str) -> impl Iterator<Item = (usize, char)> {
    let mut place = Place::Outside;
    // What is left of quotes of three characters.
    let mut rest_of_quotes = 0;
    source.char_indices().filter(move |&(at, character)| {
        if rest_of_quotes > 0 {
            rest_of_quotes -= 1;
            return false;
        }
        let rest = &source[at..];
        match place {
            Place::Outside if rest.starts_with("//") => place = Place::Comment,
            Place::Outside => {
                let Some(quotes) = QUOTES.into_iter().find(|quotes| rest.starts_with(quotes)) else { return true };
                rest_of_quotes = quotes.len() - 1;
                place = Place::String { quotes, is_raw: is_raw(&source[..at]) };
            }
            Place::Comment if character == '\n' => place = Place::Outside,
            Place::String { quotes, is_raw: false } if character == '\\' => place = Place::Escaped { quotes },
            Place::Escaped { quotes } => place = Place::String { quotes, is_raw: false },
            Place::String { quotes, .. } if rest.starts_with(quotes) => {
                rest_of_quotes = quotes.len() - 1;
                place = Place::Outside;
            }
            Place::Comment | Place::String { .. } => {}
        }
        false
    })
}

/// Whether the string behind this text is raw: `r'\d'`, `br"\d"`.
fn is_raw(before: &str) -> bool {
    let word = before.rsplit(|it: char| !it.is_ascii_alphanumeric() && it != '_').next().unwrap_or_default();
    matches!(word.to_ascii_lowercase().as_str(), "r" | "br" | "rb")
}

/// The first of the parser's messages, without the place in the source.
fn parse_error(message: &str) -> String {
    let first = message.lines().find(|line| line.starts_with("ERROR")).or(message.lines().next()).unwrap_or_default();
    let reason = first.rsplit_once("Syntax error: ").map_or(first, |(_, reason)| reason);
    if let Some((_, name)) = reason.split_once("reserved identifier: ") {
        let hint = if name == "namespace" { did_you_mean(Some("namespaceObject")) } else { String::new() };
        return format!("{name} is a reserved word of CEL and no variable{hint}");
    }
    // The crate's own words for what it could not make a tree of.
    if reason.contains("Recursion limit") {
        return format!("an expression may be {MAX_DEPTH} operators deep");
    }
    if reason.contains('`') && reason.ends_with('!') {
        return "syntax error".into();
    }
    if reason.contains("input '<EOF>'") {
        return "it ends too early".into();
    }
    if let Some(text) = reason.strip_prefix("token recognition error at: ") {
        return format!("syntax error at {text}");
    }
    format!("syntax error: {}", reason.split_once(" expecting ").map_or(reason, |(input, _)| input))
}
