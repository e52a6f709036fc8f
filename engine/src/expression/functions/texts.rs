//! Functions of texts. They count characters, as Kubernetes does.

use regex::Regex;

use super::arguments::{Fault, Outcome, failed, text};
use super::lists::place;
use crate::expression::value::Value;

/// Where the character of that number begins, or the end of the text.
pub(super) fn offset(text: &str, character: usize) -> Option<usize> {
    let mut places = text.char_indices().map(|(at, _)| at).chain([text.len()]);
    places.nth(character)
}

pub(super) fn out_of_range() -> Fault {
    failed("an index is beyond the end of the text")
}

pub(super) fn index_of<'a>(text: &str, wanted: &str, from: i64) -> Outcome<'a> {
    if wanted.is_empty() {
        return Ok(Value::Int(from));
    }
    let from = usize::try_from(from).map_err(|_| out_of_range())?;
    let Some(begin) = offset(text, from) else { return Ok(Value::Int(-1)) };
    Ok(place(text[begin..].find(wanted).map(|found| from + text[begin..begin + found].chars().count())))
}

pub(super) fn last_index_of<'a>(text: &str, wanted: &str, from: Option<i64>) -> Outcome<'a> {
    let length = text.chars().count();
    let Some(from) = from else {
        let found = if wanted.is_empty() {
            Some(length)
        } else {
            text.rfind(wanted).map(|found| text[..found].chars().count())
        };
        return Ok(place(found));
    };
    if wanted.is_empty() {
        return Ok(Value::Int(from));
    }
    let from = usize::try_from(from).map_err(|_| out_of_range())?;
    if from >= length {
        return Ok(Value::Int(-1));
    }
    // The last place where it can begin is `from`.
    let end = offset(text, from + wanted.chars().count()).unwrap_or(text.len());
    Ok(place(text[..end].rfind(wanted).map(|found| text[..found].chars().count())))
}

pub(super) fn substring<'a>(text: &str, begin: i64, end: Option<i64>) -> Outcome<'a> {
    if end.is_some_and(|end| begin > end) {
        return Err(failed("a substring ends before it begins"));
    }
    let place = |at: i64| usize::try_from(at).ok().and_then(|at| offset(text, at)).ok_or_else(out_of_range);
    let end = end.map_or(Ok(text.len()), place)?;
    Ok(Value::text(text[place(begin)?..end].to_owned()))
}

pub(super) fn char_at<'a>(text: &str, at: i64) -> Outcome<'a> {
    let begin = usize::try_from(at).ok().and_then(|at| offset(text, at)).ok_or_else(out_of_range)?;
    Ok(Value::text(text[begin..].chars().next().map_or(String::new(), String::from)))
}

pub(super) fn replace<'a>(of: &[Value<'a>], limit: i64) -> Outcome<'a> {
    let (text, from, to) = (text(of, 0)?, text(of, 1)?, text(of, 2)?);
    Ok(Value::text(match usize::try_from(limit) {
        Ok(limit) => text.replacen(from, to, limit),
        Err(_) => text.replace(from, to),
    }))
}

pub(super) fn split<'a>(text: &str, separator: &str, limit: i64) -> Outcome<'a> {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let item = |text: &str| Value::text(text.to_owned());
    if limit == 0 {
        return Ok(Value::list(Vec::new()));
    }
    // Kubernetes splits by nothing into characters; Rust adds an empty text at both ends.
    if separator.is_empty() {
        let Some(last) = offset(text, limit - 1).filter(|at| *at < text.len()) else {
            return Ok(Value::list(text.chars().map(|letter| Value::text(letter.to_string())).collect()));
        };
        let letters = text[..last].chars().map(|letter| Value::text(letter.to_string()));
        return Ok(Value::list(letters.chain([item(&text[last..])]).collect()));
    }
    Ok(Value::list(text.splitn(limit, separator).map(item).collect()))
}

pub(super) fn join<'a>(items: &[Value<'a>], separator: &str) -> Outcome<'a> {
    let texts = items.iter().map(|item| if let Value::String(text) = item { Ok(&**text) } else { Err(Fault::Type) });
    Ok(Value::text(texts.collect::<Result<Vec<_>, _>>()?.join(separator)))
}

pub(super) fn quote<'a>(text: &str) -> Outcome<'a> {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for letter in text.chars() {
        let escaped = match letter {
            '\u{7}' => "\\a",
            '\u{8}' => "\\b",
            '\u{c}' => "\\f",
            '\n' => "\\n",
            '\r' => "\\r",
            '\t' => "\\t",
            '\u{b}' => "\\v",
            '\\' => "\\\\",
            '"' => "\\\"",
            other => {
                quoted.push(other);
                continue;
            }
        };
        quoted.push_str(escaped);
    }
    quoted.push('"');
    Ok(Value::text(quoted))
}

pub(super) fn find_all<'a>(regex: &Regex, of: &[Value<'a>], limit: i64) -> Outcome<'a> {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let found = regex.find_iter(text(of, 0)?).take(limit);
    Ok(Value::list(found.map(|found| Value::text(found.as_str().to_owned())).collect()))
}
