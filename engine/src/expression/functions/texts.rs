//! Functions of texts. They count characters, as Kubernetes does.

use regex::Regex;

use super::arguments::{Arguments, Fault, Returned};
use super::lists::place;
use crate::expression::value::Value;

/// Where the character of that number begins, or the end of the text.
pub(super) fn offset(text: &str, character: usize) -> Option<usize> {
    let mut places = text.char_indices().map(|(at, _)| at).chain([text.len()]);
    places.nth(character)
}

pub(super) fn out_of_range() -> Fault {
    Fault::Failed("an index is beyond the end of the text")
}

pub(super) fn index_of<'a>(text: &str, wanted: &str, from: i64) -> Returned<'a> {
    if wanted.is_empty() {
        return Ok(Value::Int(from));
    }
    let from = usize::try_from(from).map_err(|_| out_of_range())?;
    let Some(begin) = offset(text, from) else { return Ok(Value::Int(-1)) };
    Ok(place(text[begin..].find(wanted).map(|found| from + text[begin..begin + found].chars().count())))
}

pub(super) fn last_index_of<'a>(text: &str, wanted: &str, from: Option<i64>) -> Returned<'a> {
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

pub(super) fn substring<'a>(text: &str, begin: i64, end: Option<i64>) -> Returned<'a> {
    if end.is_some_and(|end| begin > end) {
        return Err(Fault::Failed("a substring ends before it begins"));
    }
    let place = |at: i64| usize::try_from(at).ok().and_then(|at| offset(text, at)).ok_or_else(out_of_range);
    let end = end.map_or(Ok(text.len()), place)?;
    Ok(Value::text(text[place(begin)?..end].to_owned()))
}

pub(super) fn char_at<'a>(text: &str, at: i64) -> Returned<'a> {
    let begin = usize::try_from(at).ok().and_then(|at| offset(text, at)).ok_or_else(out_of_range)?;
    Ok(Value::text(text[begin..].chars().next().map_or(String::new(), String::from)))
}

/// One text behind the other.
pub(super) fn concatenate<'a>(of: Arguments<'_, 'a>) -> Returned<'a> {
    let (one, other) = (of.text(0)?, of.text(1)?);
    of.meter.has_room(one.len() + other.len())?;
    Ok(Value::text(one.to_owned() + other))
}

pub(super) fn replace<'a>(of: Arguments<'_, 'a>, limit: i64) -> Returned<'a> {
    let (text, from, to) = (of.text(0)?, of.text(1)?, of.text(2)?);
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let replaced = text.matches(from).take(limit).count();
    of.meter.has_room(text.len().saturating_add(replaced.saturating_mul(to.len())))?;
    Ok(Value::text(text.replacen(from, to, limit)))
}

pub(super) fn split<'a>(of: Arguments<'_, 'a>, limit: i64) -> Returned<'a> {
    let (text, separator) = (of.text(0)?, of.text(1)?);
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let item = |text: &str| Value::text(text.to_owned());
    if limit == 0 {
        return Ok(Value::list(Vec::new()));
    }
    of.meter.has_room_for_items(text.matches(separator).take(limit).count())?;
    // Kubernetes splits by nothing into characters; Rust adds an empty text at both ends.
    if separator.is_empty() {
        let last = offset(text, limit - 1).unwrap_or(text.len());
        let letters = text[..last].chars().map(|letter| Value::text(letter.to_string()));
        let rest = (last < text.len()).then(|| item(&text[last..]));
        return Ok(Value::list(letters.chain(rest).collect()));
    }
    Ok(Value::list(text.splitn(limit, separator).map(item).collect()))
}

pub(super) fn join<'a>(of: Arguments<'_, 'a>, separator: &str) -> Returned<'a> {
    let texts =
        of.list(0)?.iter().map(|item| if let Value::String(text) = item { Ok(&**text) } else { Err(Fault::Type) });
    let texts = texts.collect::<Result<Vec<&str>, _>>()?;
    let length = texts.iter().map(|text| text.len() + separator.len()).sum();
    of.meter.has_room(length)?;
    Ok(Value::text(texts.join(separator)))
}

/// How a character is written in quotes, if it cannot stand there itself.
pub(super) fn escaped(letter: char) -> Option<&'static str> {
    Some(match letter {
        '\u{7}' => "\\a",
        '\u{8}' => "\\b",
        '\u{c}' => "\\f",
        '\n' => "\\n",
        '\r' => "\\r",
        '\t' => "\\t",
        '\u{b}' => "\\v",
        '\\' => "\\\\",
        '"' => "\\\"",
        _ => return None,
    })
}

pub(super) fn quote<'a>(text: &str) -> Returned<'a> {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for letter in text.chars() {
        match escaped(letter) {
            Some(escaped) => quoted.push_str(escaped),
            None => quoted.push(letter),
        }
    }
    quoted.push('"');
    Ok(Value::text(quoted))
}

/// Looking for all takes the square of the text's length at the worst.
pub(super) fn find_all<'a>(regex: &Regex, of: Arguments<'_, 'a>, limit: i64) -> Returned<'a> {
    let text = of.text(0)?;
    of.meter.step(text.len().saturating_mul(text.len()) / 64)?;
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    Ok(Value::list(regex.find_iter(text).take(limit).map(|found| Value::text(found.as_str().to_owned())).collect()))
}
