//! Regular expressions, as Kubernetes reads them: in the syntax of Go's RE2.
//!
//! Rust's is almost the same. What means something else there is written as Rust means it, and what only one of them knows is
//! refused.

use std::sync::OnceLock;

use regex::{Regex, RegexBuilder};
use regex_syntax::ast::{
    self, AssertionKind, Ast, ClassPerl, ClassPerlKind, ClassSetItem, FlagsItemKind, GroupKind, HexLiteralKind,
    Literal, LiteralKind, RepetitionKind, RepetitionRange, Span,
};

/// What a compiled expression may take, in bytes.
const MAX_BYTES: usize = 64 << 10;
/// How often something can be repeated, in all.
const MAX_REPEAT: u32 = 1000;

/// An expression that is known to be one. It takes memory only once a text is compared with it: a namespace may have many
/// templates that no pod asks for.
#[derive(Debug)]
pub(crate) struct Pattern {
    source: String,
    compiled: OnceLock<Regex>,
}

impl Pattern {
    /// Checks an expression.
    ///
    /// # Errors
    ///
    /// With what is wrong with it, in one line.
    pub(crate) fn new(source: &str) -> Result<Pattern, String> {
        compile(source)?;
        Ok(Pattern { source: source.to_owned(), compiled: OnceLock::new() })
    }

    pub(crate) fn source(&self) -> &str {
        &self.source
    }

    /// Gives back the memory that its last use took.
    pub(crate) fn forget(&mut self) {
        self.compiled.take();
    }

    pub(crate) fn regex(&self) -> &Regex {
        self.compiled.get_or_init(|| compile(&self.source).expect("it was compiled before"))
    }
}

fn compile(pattern: &str) -> Result<Regex, String> {
    let tree = ast::parse::Parser::new().parse(pattern).map_err(|error| error.kind().to_string())?;
    let mut translation = Translation { pattern, replacements: Vec::new() };
    ast::visit(&tree, &mut translation)?;
    check_repeats(&tree)?;
    let mut text = pattern.to_owned();
    translation.replacements.sort_by_key(|(span, _)| std::cmp::Reverse(span.start.offset));
    for (span, replacement) in translation.replacements {
        text.replace_range(span.start.offset..span.end.offset, replacement);
    }
    let built = RegexBuilder::new(&text).size_limit(MAX_BYTES).dfa_size_limit(MAX_BYTES).build();
    built.map_err(|error| {
        let error = error.to_string();
        error.rsplit("error: ").next().unwrap_or(&error).trim().to_owned()
    })
}

struct Translation<'p> {
    pattern: &'p str,
    replacements: Vec<(Span, &'static str)>,
}

impl Translation<'_> {
    fn source(&self, span: &Span) -> &str {
        &self.pattern[span.start.offset..span.end.offset]
    }

    fn unknown(&self, span: &Span) -> String {
        format!("{} does not mean the same in Kubernetes", self.source(span))
    }

    /// `\d`, `\s` and `\w` are about ASCII alone.
    fn perl(&mut self, class: &ClassPerl, in_brackets: bool) {
        let replacement = match (&class.kind, class.negated, in_brackets) {
            (ClassPerlKind::Digit, false, false) => "[0-9]",
            (ClassPerlKind::Digit, false, true) => "0-9",
            (ClassPerlKind::Digit, true, _) => "[^0-9]",
            (ClassPerlKind::Space, false, false) => "[\\t\\n\\f\\r ]",
            (ClassPerlKind::Space, false, true) => "\\t\\n\\f\\r ",
            (ClassPerlKind::Space, true, _) => "[^\\t\\n\\f\\r ]",
            (ClassPerlKind::Word, false, false) => "[0-9A-Za-z_]",
            (ClassPerlKind::Word, false, true) => "0-9A-Za-z_",
            (ClassPerlKind::Word, true, _) => "[^0-9A-Za-z_]",
        };
        self.replacements.push((class.span, replacement));
    }

    fn literal(&self, literal: &Literal) -> Result<(), String> {
        match literal.kind {
            LiteralKind::HexFixed(HexLiteralKind::UnicodeShort | HexLiteralKind::UnicodeLong)
            | LiteralKind::HexBrace(HexLiteralKind::UnicodeShort | HexLiteralKind::UnicodeLong) => {
                Err(format!("{} is written \\x{{…}} in Kubernetes", self.source(&literal.span)))
            }
            _ => Ok(()),
        }
    }

    fn flags(&self, flags: &ast::Flags) -> Result<(), String> {
        let is_known = |item: &ast::FlagsItem| match item.kind {
            FlagsItemKind::Negation => true,
            FlagsItemKind::Flag(flag) => {
                !matches!(flag, ast::Flag::Unicode | ast::Flag::CRLF | ast::Flag::IgnoreWhitespace)
            }
        };
        match flags.items.iter().find(|item| !is_known(item)) {
            Some(item) => Err(format!("flag {} is not known in Kubernetes", self.source(&item.span))),
            None => Ok(()),
        }
    }
}

impl ast::Visitor for &mut Translation<'_> {
    type Output = ();
    type Err = String;

    fn finish(self) -> Result<(), String> {
        Ok(())
    }

    fn visit_pre(&mut self, tree: &Ast) -> Result<(), String> {
        match tree {
            // A dash or a bracket at the beginning can begin a range there.
            Ast::ClassBracketed(class) => {
                let source = self.source(&class.span);
                let inner = source[1..].trim_start_matches('^');
                if inner.starts_with("--") || inner.starts_with("]-") {
                    return Err(format!("{source} does not mean the same in Kubernetes; write \\- or \\]"));
                }
            }
            Ast::ClassPerl(class) => self.perl(class, false),
            Ast::Literal(literal) => self.literal(literal)?,
            Ast::Flags(set) => self.flags(&set.flags)?,
            Ast::Group(group) => match &group.kind {
                GroupKind::NonCapturing(flags) => self.flags(flags)?,
                GroupKind::CaptureName { name, .. }
                    if !name.name.bytes().all(|it| it.is_ascii_alphanumeric() || it == b'_') =>
                {
                    return Err(self.unknown(&name.span));
                }
                _ => {}
            },
            Ast::Assertion(assertion) => match assertion.kind {
                AssertionKind::WordBoundary => self.replacements.push((assertion.span, "(?-u:\\b)")),
                AssertionKind::StartLine
                | AssertionKind::EndLine
                | AssertionKind::StartText
                | AssertionKind::EndText => {}
                _ => return Err(format!("{} cannot be used here", self.source(&assertion.span))),
            },
            Ast::Repetition(repetition) => {
                let operator = self.source(&repetition.op.span);
                // `{,2}` and `{ 2 }` are texts there.
                let is_range = matches!(repetition.op.kind, RepetitionKind::Range(_));
                if is_range && (operator.contains("{,") || operator.contains(' ')) {
                    return Err(self.unknown(&repetition.op.span));
                }
                if let Ast::Repetition(_) = *repetition.ast {
                    return Err(format!("{} repeats what is repeated already", self.source(&repetition.span)));
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn visit_class_set_item_pre(&mut self, item: &ClassSetItem) -> Result<(), String> {
        match item {
            ClassSetItem::Perl(class) => self.perl(class, true),
            ClassSetItem::Literal(literal) => self.literal(literal)?,
            ClassSetItem::Range(range) => {
                self.literal(&range.start)?;
                self.literal(&range.end)?;
            }
            ClassSetItem::Bracketed(class) => {
                return Err(format!(
                    "{} does not mean the same in Kubernetes; write \\[ for a bracket",
                    self.source(&class.span)
                ));
            }
            _ => {}
        }
        Ok(())
    }

    fn visit_class_set_binary_op_pre(&mut self, operator: &ast::ClassSetBinaryOp) -> Result<(), String> {
        Err(self.unknown(&operator.span))
    }
}

/// Go counts how often something is repeated, through all that is around it.
fn check_repeats(tree: &Ast) -> Result<(), String> {
    fn most(tree: &Ast) -> u32 {
        let inner = |all: &[Ast]| all.iter().map(most).max().unwrap_or(1);
        match tree {
            Ast::Repetition(repetition) => {
                let times = match &repetition.op.kind {
                    RepetitionKind::Range(RepetitionRange::Exactly(times) | RepetitionRange::AtLeast(times)) => *times,
                    RepetitionKind::Range(RepetitionRange::Bounded(_, times)) => *times,
                    _ => 1,
                };
                most(&repetition.ast).saturating_mul(times.max(1))
            }
            Ast::Group(group) => most(&group.ast),
            Ast::Alternation(alternation) => inner(&alternation.asts),
            Ast::Concat(concat) => inner(&concat.asts),
            _ => 1,
        }
    }
    if most(tree) > MAX_REPEAT { Err(format!("something is repeated more than {MAX_REPEAT} times")) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::compile;

    fn matches(pattern: &str, text: &str) -> bool {
        compile(pattern).expect(pattern).is_match(text)
    }

    #[test]
    fn classes_are_about_ascii() {
        assert!(
            matches(r"^\w+$", "a_1")
                && !matches(r"\w", "é")
                && matches(r"^[\w.-]+$", "a.b-c")
                && !matches(r"[\d]", "٣")
        );
        assert!(
            matches(r"^\W$", "é")
                && matches(r"^[\D]$", "٣")
                && matches(r"\bweb\b", "éweb-1")
                && !matches(r"\s", "\u{a0}\u{b}")
        );
    }

    #[test]
    fn what_go_reads_otherwise_is_refused() {
        for pattern in [
            "[a[b]]",
            "[a&&b]",
            "[a--b]",
            "(?x)a",
            "(?-u)a",
            r"\u0041",
            r"\<a",
            r"\b{start}",
            r"a\B",
            "a{1001}",
            "(a{100}){11}",
            "a**",
            "a{2}{3}",
            "a{,2}",
            "(a",
            r"\1",
        ] {
            assert!(compile(pattern).is_err(), "{pattern}");
        }
    }
}
