//! A scalar's text: what stands there as it is, and the sources of its expressions.

use std::borrow::Cow;

use super::source::outside_strings;

/// A piece of a scalar.
#[derive(Debug, PartialEq)]
pub(crate) enum Piece {
    Text(String),
    Hole(String),
}

/// Mistaken ways to write a hole.
const SLIPS: &[&str] = &["${ params.", "${params.", "{{ params.", "{{params.", "$(params."];

/// Splits a scalar into text and the sources of its expressions.
pub(crate) fn split(text: &str) -> Result<Vec<Piece>, String> {
    let mut pieces = Vec::new();
    let mut literal = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("${{") {
        let (before, source) = (&rest[..at], &rest[at + 3..]);
        literal.push_str(before);
        if before.ends_with('$') {
            literal.push_str("{{");
            rest = source;
            continue;
        }
        refuse_slips(before)?;
        let end = end_of_hole(source).ok_or(
            "has a ${{ that no }} closes: write texts inside of it with the other kind of quotes, and $${{ for a literal \
             ${{",
        )?;
        if !literal.is_empty() {
            pieces.push(Piece::Text(std::mem::take(&mut literal)));
        }
        pieces.push(Piece::Hole(source[..end].trim().to_owned()));
        rest = &source[end + 2..];
    }
    literal.push_str(rest);
    refuse_slips(rest)?;
    if !literal.is_empty() || pieces.is_empty() {
        pieces.push(Piece::Text(literal));
    }
    Ok(pieces)
}

/// A text without holes, in which `$${{` means `${{`; nothing if it has one.
pub(crate) fn plain(text: &str) -> Option<Cow<'_, str>> {
    if !text.contains("${{") {
        return Some(Cow::Borrowed(text));
    }
    match <[Piece; 1]>::try_from(split(text).ok()?) {
        Ok([Piece::Text(text)]) => Some(Cow::Owned(text)),
        _ => None,
    }
}

fn refuse_slips(text: &str) -> Result<(), String> {
    match SLIPS.iter().find(|slip| text.contains(*slip)) {
        Some(slip) => Err(format!("holds {slip}, and a hole is written ${{{{ params.NAME }}}}")),
        None => Ok(()),
    }
}

/// The first `}}` outside of strings with no brace of the expression's own left open.
fn end_of_hole(source: &str) -> Option<usize> {
    let mut open = 0_usize;
    for (at, character) in outside_strings(source) {
        match character {
            '{' => open += 1,
            '}' if open > 0 => open -= 1,
            '}' => return source[at..].starts_with("}}").then_some(at),
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pieces(text: &str) -> Vec<Piece> {
        split(text).expect(text)
    }

    #[test]
    fn a_hole_ends_where_its_expression_ends() {
        assert_eq!(pieces("plain"), [Piece::Text("plain".into())]);
        assert_eq!(pieces("${{ params.a }}"), [Piece::Hole("params.a".into())]);
        assert_eq!(
            pieces("a${{ {'b': {'c': 1}} }}d"),
            [Piece::Text("a".into()), Piece::Hole("{'b': {'c': 1}}".into()), Piece::Text("d".into())]
        );
        assert_eq!(pieces(r#"${{ 'a}}\'b' + "}}" }}"#), [Piece::Hole(r#"'a}}\'b' + "}}""#.into())]);
        assert_eq!(pieces("${VAR} $(VAR) $${{ x }}"), [Piece::Text("${VAR} $(VAR) ${{ x }}".into())]);
        for string in [r"r'\'", r"'''}}'''", r#""""a"}}""""#, "// it's }}\n1", r"'\\'", r"br'\'"] {
            let text = format!("${{{{ {string} }}}}b");
            assert_eq!(pieces(&text), [Piece::Hole(string.into()), Piece::Text("b".into())]);
        }
        assert!(split("${{ params.a }").is_err());
        assert!(split("a ${{ 'b }}").is_err());
    }
}
