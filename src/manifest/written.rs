//! Where in the text of a document each of its values stands.

use std::iter::Peekable;
use std::ops::Range;

use granit_parser::{Event, Parser, ScalarStyle, Span, StructureStyle};

/// A value as it was written.
pub(super) struct Written {
    /// Its first byte, behind anchor and tag; of block text, the first of its lines.
    pub(super) start: usize,
    /// The byte behind it, without the space and the comments that follow.
    pub(super) end: usize,
    pub(super) shape: Shape,
}

/// How a value was written.
pub(super) enum Shape {
    /// A mapping in block style, whose keys begin at a column.
    Mapping { column: usize, entries: Vec<Entry> },
    /// A sequence in block style, whose dashes are at a column.
    Sequence { column: usize, items: Vec<Item> },
    /// Text, a number or the like, between one byte and another.
    Scalar,
    /// A mapping or sequence in flow style: `{…}`, `[…]`.
    Flow,
    /// `*name`
    Alias,
}

/// An entry of a mapping.
pub(super) struct Entry {
    pub(super) name: String,
    /// Where the key stands, with its quotes.
    pub(super) key: Range<usize>,
    pub(super) value: Written,
}

/// An item of a sequence.
pub(super) struct Item {
    /// The byte of its dash.
    pub(super) dash: usize,
    pub(super) value: Written,
}

/// Finds the values of a document. `None` if it holds none, or is written in a way in which this cannot follow it: with
/// keys that are no texts.
pub(super) fn find(text: &str) -> Option<Written> {
    let is_comment = |event: &Result<(Event<'_>, Span), _>| matches!(event, Ok((Event::Comment(..), _)));
    let events = Parser::new_from_str(text).filter(|event| !is_comment(event));
    let mut parser = Finder { text, events: events.peekable() };
    loop {
        match parser.events.peek()?.as_ref().ok()?.0 {
            Event::StreamStart | Event::DocumentStart(..) => _ = parser.next()?,
            Event::DocumentEnd | Event::StreamEnd => return None,
            _ => return parser.value(0),
        }
    }
}

struct Finder<'t, E: Iterator> {
    text: &'t str,
    events: Peekable<E>,
}

impl<'t, P, X> Finder<'t, P>
where
    P: Iterator<Item = Result<(Event<'t>, Span), X>>,
{
    fn next(&mut self) -> Option<(Event<'t>, Span)> {
        self.events.next()?.ok()
    }

    /// The next value, in a mapping whose keys begin at `column`.
    fn value(&mut self, column: usize) -> Option<Written> {
        let (event, span) = self.next()?;
        let Range { start, end } = span.byte_range()?;
        Some(match event {
            Event::Scalar(value, style, ..) => {
                // Block text that keeps all lines behind it has these as a part of it.
                let is_block = matches!(style, ScalarStyle::Literal | ScalarStyle::Folded);
                let end = if is_block && !value.ends_with("\n\n") {
                    start + self.text[start..end].trim_end().len()
                } else if is_block {
                    self.text[..end].rfind('\n').map_or(end, |at| at + 1)
                } else {
                    end
                };
                Written { start, end, shape: Shape::Scalar }
            }
            Event::Alias(_) => Written { start, end, shape: Shape::Alias },
            Event::MappingStart(StructureStyle::Block, ..) => self.mapping(start, span.start.col())?,
            Event::SequenceStart(StructureStyle::Block, ..) => self.sequence(start, span.start.col(), column)?,
            Event::MappingStart(..) | Event::SequenceStart(..) => {
                Written { start, end: self.flow_end()?, shape: Shape::Flow }
            }
            _ => return None,
        })
    }

    fn mapping(&mut self, start: usize, column: usize) -> Option<Written> {
        let mut entries: Vec<Entry> = Vec::new();
        loop {
            let (name, key) = match self.next()? {
                (Event::Scalar(name, ..), span) => (name.into_owned(), span.byte_range()?),
                (Event::MappingEnd, _) => break,
                _ => return None,
            };
            let mut value = self.value(column)?;
            if value.start == value.end {
                // Nothing at all stands behind the colon.
                let colon = key.end + self.text[key.end..].find(':')? + 1;
                value = Written { start: colon, end: colon, ..value };
            }
            entries.push(Entry { name, key, value });
        }
        let end = entries.last()?.value.end;
        Some(Written { start, end, shape: Shape::Mapping { column, entries } })
    }

    /// A sequence that begins at `start`, in the column `begin`, in a mapping whose keys begin at `outer`.
    fn sequence(&mut self, start: usize, begin: usize, outer: usize) -> Option<Written> {
        // Of a sequence whose dashes are below the key, the parser gives the place behind the first dash.
        let line = line_start(self.text, start);
        let is_dash = |line: usize, column: usize| self.text.as_bytes().get(line + column) == Some(&b'-');
        let column = if begin > outer && is_dash(line, outer) { outer } else { begin };
        let mut items = Vec::new();
        while !matches!(self.events.peek()?.as_ref().ok()?.0, Event::SequenceEnd) {
            let value = self.value(column)?;
            let mut line = line_start(self.text, value.start);
            while self.text.as_bytes().get(line + column) != Some(&b'-') {
                line = line_start(self.text, line.checked_sub(1)?);
            }
            items.push(Item { dash: line + column, value });
        }
        self.next()?;
        let end = items.last()?.value.end;
        Some(Written { start, end, shape: Shape::Sequence { column, items } })
    }

    /// Skips what is in a flow collection, and gives the byte behind it.
    fn flow_end(&mut self) -> Option<usize> {
        let mut depth = 1;
        loop {
            let (event, span) = self.next()?;
            match event {
                Event::MappingStart(..) | Event::SequenceStart(..) => depth += 1,
                Event::MappingEnd | Event::SequenceEnd => depth -= 1,
                _ => {}
            }
            if depth == 0 {
                return Some(span.byte_range()?.end);
            }
        }
    }
}

/// The first byte of the line that a byte is in.
pub(super) fn line_start(text: &str, at: usize) -> usize {
    text[..at].rfind('\n').map_or(0, |newline| newline + 1)
}
