//! A scalar's text: what stands there as it is, and the sources of its expressions.

/// A piece of a scalar.
#[derive(Debug, PartialEq)]
pub(super) enum Piece {
    Text(String),
    Hole(String),
}

const UNCLOSED: &str = "has a ${{ that no }} closes: write texts inside of it with the other kind of quotes, and $${{ for \
                        a literal ${{";

/// What people write who mean a hole.
const SLIPS: &[&str] = &["${ params.", "${params.", "{{ params.", "{{params.", "$(params."];

/// Splits a scalar into text and the sources of its expressions.
pub(super) fn split(text: &str) -> Result<Vec<Piece>, String> {
    let mut pieces = Vec::new();
    let mut literal = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("${{") {
        if rest[..at].ends_with('$') {
            literal.push_str(&rest[..at]);
            literal.push_str("{{");
            rest = &rest[at + 3..];
            continue;
        }
        literal.push_str(&rest[..at]);
        check_slips(&rest[..at])?;
        let source = &rest[at + 3..];
        let end = end_of_hole(source).ok_or(UNCLOSED)?;
        if !literal.is_empty() {
            pieces.push(Piece::Text(std::mem::take(&mut literal)));
        }
        pieces.push(Piece::Hole(source[..end].trim().to_owned()));
        rest = &source[end + 2..];
    }
    literal.push_str(rest);
    check_slips(rest)?;
    if !literal.is_empty() || pieces.is_empty() {
        pieces.push(Piece::Text(literal));
    }
    Ok(pieces)
}

fn check_slips(text: &str) -> Result<(), String> {
    match SLIPS.iter().find(|slip| text.contains(*slip)) {
        Some(slip) => Err(format!("holds {slip}, and a hole is written ${{{{ params.NAME }}}}")),
        None => Ok(()),
    }
}

/// The first `}}` outside of strings with no brace of the expression's own left open.
fn end_of_hole(source: &str) -> Option<usize> {
    let mut open = 0_usize;
    let mut quote = None;
    let mut characters = source.char_indices();
    while let Some((at, character)) = characters.next() {
        match (quote, character) {
            (Some(_), '\\') => drop(characters.next()),
            (Some(mark), _) if character == mark => quote = None,
            (Some(_), _) => {}
            (None, '"' | '\'') => quote = Some(character),
            (None, '{') => open += 1,
            (None, '}') if open > 0 => open -= 1,
            (None, '}') => return source[at..].starts_with("}}").then_some(at),
            (None, _) => {}
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
        assert!(split("${{ params.a }").is_err());
        assert!(split("a ${{ 'b }}").is_err());
    }
}
