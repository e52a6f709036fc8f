//! JSON text that was gone through once: where each of its values stands.
//!
//! The scanner takes what serde_json takes, which a fuzzer holds it to, and is safe code. Text from anyone costs it time in
//! proportion to its length, [`MAX_DEPTH`] calls of stack, and 28 bytes for each value that is noted, of which there are no
//! more than [`MAX_VALUES`]. What is not noted costs a byte for each bracket that is open.

use std::borrow::Cow;

/// The most values of a text that are noted, objects and lists included: each takes up to some hundred bytes once a tree is
/// made of it, however short its text. The largest pods in use have some ten thousand.
pub(crate) const MAX_VALUES: usize = 1 << 17;

/// How deep values are noted. A pod has some twenty levels.
pub(crate) const MAX_DEPTH: usize = 128;

/// Members whose values stay one piece of text: nearly half of a pod, and nothing that anybody looks into.
const UNREAD: [&[u8]; 2] = [b"managedFields", b"oldObject"];

/// Where the values of a text stand: each object and list in front of what is in it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tape<'a> {
    text: &'a str,
    values: Vec<Span>,
    /// Up to where all values were noted but those that nobody reads.
    noted: u32,
}

/// One value, in bytes from the beginning of the text.
#[derive(Clone, Copy, Debug)]
struct Span {
    name: Name,
    begin: u32,
    end: u32,
    /// The index of the value behind it and all that is in it.
    next: u32,
    /// Whether it is a string with escapes.
    is_escaped: bool,
}

/// What stands between the quotes of a name; nothing for what has none.
#[derive(Clone, Copy, Debug, Default)]
struct Name {
    begin: u32,
    end: u32,
    is_escaped: bool,
}

/// A value of a text. Cheap to copy.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Text<'t> {
    tape: &'t Tape<'t>,
    at: usize,
}

impl<'a> Tape<'a> {
    /// Goes through a text; nothing if it is no JSON.
    pub(crate) fn scan(text: &'a str) -> Option<Tape<'a>> {
        let most = u32::try_from(text.len()).ok()?;
        // Of a pod, a value and its name take some forty bytes.
        let values = Vec::with_capacity((text.len() / 32 + 8).min(MAX_VALUES));
        let mut scanner = Scanner { text: text.as_bytes(), values, noted: most, open: Vec::with_capacity(32) };
        let end = scanner.value(scanner.skip_space(0), Name::default(), MAX_DEPTH)?;
        let end = scanner.skip_space(end);
        let Scanner { values, noted, .. } = scanner;
        (end == text.len()).then_some(Tape { text, values, noted })
    }

    /// The value that the text is.
    pub(crate) fn root(&self) -> Text<'_> {
        self.value(0)
    }

    /// The value of an index.
    pub(crate) fn value(&self, index: usize) -> Text<'_> {
        Text { tape: self, at: index }
    }

    /// The string at a place, for as long as the text lives and not only the tape.
    pub(crate) fn string(&self, at: Text<'_>) -> Option<Cow<'a, str>> {
        let span = &self.values[at.at];
        unquoted(&self.text[span.begin as usize..span.end as usize], span.is_escaped)
    }
}

impl<'t> Text<'t> {
    /// Which of the values of its tape it is.
    pub(crate) fn index(self) -> usize {
        self.at
    }

    fn span(self) -> &'t Span {
        &self.tape.values[self.at]
    }

    fn slice(self, begin: u32, end: u32) -> &'t str {
        &self.tape.text[begin as usize..end as usize]
    }

    /// Its JSON.
    pub(crate) fn json(self) -> &'t str {
        self.slice(self.span().begin, self.span().end)
    }

    /// The byte that says what it is.
    pub(super) fn first(self) -> u8 {
        self.tape.text.as_bytes()[self.span().begin as usize]
    }

    pub(crate) fn is_object(self) -> bool {
        self.first() == b'{'
    }

    pub(crate) fn is_list(self) -> bool {
        self.first() == b'['
    }

    /// Whether this is `null`, as Go writes what is not there.
    pub(crate) fn is_null(self) -> bool {
        self.first() == b'n'
    }

    /// Whether all that is in it was noted, but what nobody reads.
    pub(crate) fn is_whole(self) -> bool {
        self.span().end <= self.tape.noted
    }

    /// Its name in the object that it is a member of.
    pub(crate) fn name(self) -> Cow<'t, str> {
        match self.span().name {
            Name { begin, end, is_escaped: false } => Cow::Borrowed(self.slice(begin, end)),
            Name { begin, end, .. } => unquoted(self.slice(begin - 1, end + 1), true).unwrap_or_default(),
        }
    }

    /// Whether that is its name.
    pub(crate) fn is_called(self, name: &str) -> bool {
        let Name { begin, end, is_escaped } = self.span().name;
        let (begin, end) = (begin as usize, end as usize);
        if is_escaped {
            return self.name() == name;
        }
        end - begin == name.len() && &self.tape.text.as_bytes()[begin..end] == name.as_bytes()
    }

    /// The members of an object, or the items of a list, in the order of the text, repeated names included.
    pub(crate) fn parts(self) -> Parts<'t> {
        let next = self.span().next as usize;
        Parts { tape: self.tape, at: self.at + 1, end: next }
    }

    /// The same of an object alone.
    pub(crate) fn members(self) -> Parts<'t> {
        let parts = self.parts();
        if self.is_object() { parts } else { Parts { at: parts.end, ..parts } }
    }

    /// The same of a list alone.
    pub(crate) fn items(self) -> Parts<'t> {
        let parts = self.parts();
        if self.is_list() { parts } else { Parts { at: parts.end, ..parts } }
    }

    /// A member that is there and not `null`. Of two with one name, Go takes the last, and so does this.
    pub(crate) fn get(self, name: &str) -> Option<Text<'t>> {
        self.members().filter(|member| member.is_called(name)).last().filter(|member| !member.is_null())
    }

    /// A value by the names that lead to it.
    pub(crate) fn find(self, path: &[String]) -> Option<Text<'t>> {
        path.iter().try_fold(self, |value, name| value.get(name))
    }

    /// What a string stands for; nothing if it is no string.
    pub(crate) fn string(self) -> Option<Cow<'t, str>> {
        unquoted(self.json(), self.span().is_escaped)
    }

    /// What a member that is a string stands for.
    pub(crate) fn string_at(self, name: &str) -> Option<Cow<'t, str>> {
        self.get(name)?.string()
    }
}

/// To compare with what serde_json finds.
#[cfg(any(fuzzing, test))]
impl Text<'_> {
    pub(crate) fn to_value(self) -> serde_json::Value {
        if self.parts().next().is_none() {
            serde_json::from_str(self.json()).unwrap_or_default()
        } else if self.is_object() {
            self.parts().map(|part| (part.name().into_owned(), part.to_value())).collect()
        } else {
            self.parts().map(Text::to_value).collect()
        }
    }
}

/// What a JSON string stands for; nothing if it is no string, or stands for nothing that UTF-8 knows.
fn unquoted(json: &str, is_escaped: bool) -> Option<Cow<'_, str>> {
    // Most strings have no escapes, and then their text is their value.
    match json.strip_prefix('"')?.strip_suffix('"')? {
        plain if !is_escaped => Some(Cow::Borrowed(plain)),
        _ => serde_json::from_str(json).ok().map(Cow::Owned),
    }
}

/// The parts of an object or list.
#[derive(Clone, Debug)]
pub(crate) struct Parts<'t> {
    tape: &'t Tape<'t>,
    at: usize,
    end: usize,
}

impl<'t> Iterator for Parts<'t> {
    type Item = Text<'t>;

    fn next(&mut self) -> Option<Text<'t>> {
        (self.at < self.end).then(|| {
            let part = Text { tape: self.tape, at: self.at };
            self.at = part.span().next as usize;
            part
        })
    }
}

/// Each function begins at a byte, and gives the one behind what it went over; nothing if that is no JSON.
struct Scanner<'a> {
    text: &'a [u8],
    values: Vec<Span>,
    noted: u32,
    /// Of a value that is not noted, the brackets that will end what is open.
    open: Vec<u8>,
}

impl Scanner<'_> {
    fn byte(&self, at: usize) -> Option<u8> {
        self.text.get(at).copied()
    }

    fn skip_space(&self, mut at: usize) -> usize {
        // API servers write none.
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.byte(at) {
            at += 1;
        }
        at
    }

    /// Notes a value, and its parts if they nest no deeper than this.
    fn value(&mut self, begin: usize, name: Name, depth: usize) -> Option<usize> {
        let index = self.values.len();
        if index == MAX_VALUES {
            self.noted = self.noted.min(begin as u32);
            return self.skip(begin);
        }
        self.values.push(Span { name, begin: begin as u32, end: 0, next: 0, is_escaped: false });
        let mut is_escaped = false;
        let end = match self.byte(begin)? {
            b'"' => {
                let end;
                (end, is_escaped) = self.string(begin)?;
                end
            }
            b'{' | b'[' if UNREAD.contains(&&self.text[name.begin as usize..name.end as usize]) => self.skip(begin)?,
            b'{' | b'[' if depth == 0 => {
                self.noted = self.noted.min(begin as u32);
                self.skip(begin)?
            }
            b'{' => self.object(begin, depth - 1)?,
            b'[' => self.list(begin, depth - 1)?,
            _ => self.scalar(begin)?,
        };
        let next = self.values.len() as u32;
        let span = &mut self.values[index];
        (span.end, span.next, span.is_escaped) = (end as u32, next, is_escaped);
        Some(end)
    }

    fn object(&mut self, begin: usize, depth: usize) -> Option<usize> {
        let mut at = self.skip_space(begin + 1);
        if self.byte(at)? == b'}' {
            return Some(at + 1);
        }
        loop {
            let (name, value) = self.name(at)?;
            at = self.value(value, name, depth)?;
            at = self.skip_space(at);
            match self.byte(at)? {
                b',' => at = self.skip_space(at + 1),
                b'}' => return Some(at + 1),
                _ => return None,
            }
        }
    }

    fn list(&mut self, begin: usize, depth: usize) -> Option<usize> {
        let mut at = self.skip_space(begin + 1);
        if self.byte(at)? == b']' {
            return Some(at + 1);
        }
        loop {
            at = self.value(at, Name::default(), depth)?;
            at = self.skip_space(at);
            match self.byte(at)? {
                b',' => at = self.skip_space(at + 1),
                b']' => return Some(at + 1),
                _ => return None,
            }
        }
    }

    /// Goes over the name of a member, up to its value.
    #[inline(always)]
    fn name(&self, begin: usize) -> Option<(Name, usize)> {
        if self.byte(begin)? != b'"' {
            return None;
        }
        let (end, is_escaped) = self.string(begin)?;
        let name = Name { begin: begin as u32 + 1, end: end as u32 - 1, is_escaped };
        let colon = self.skip_space(end);
        (self.byte(colon)? == b':').then(|| (name, self.skip_space(colon + 1)))
    }

    /// Goes over a value without noting it, however deep it is.
    fn skip(&mut self, mut at: usize) -> Option<usize> {
        loop {
            at = match self.byte(at)? {
                bracket @ (b'{' | b'[') => {
                    let end = if bracket == b'{' { b'}' } else { b']' };
                    at = self.skip_space(at + 1);
                    if self.byte(at)? != end {
                        self.open.push(end);
                        at = if end == b'}' { self.name(at)?.1 } else { at };
                        continue;
                    }
                    at + 1
                }
                b'"' => self.string(at)?.0,
                _ => self.scalar(at)?,
            };
            // Behind a value.
            loop {
                let Some(&end) = self.open.last() else { return Some(at) };
                at = self.skip_space(at);
                match self.byte(at)? {
                    b',' => {
                        at = self.skip_space(at + 1);
                        at = if end == b'}' { self.name(at)?.1 } else { at };
                        break;
                    }
                    byte if byte == end => {
                        self.open.pop();
                        at += 1;
                    }
                    _ => return None,
                }
            }
        }
    }

    fn scalar(&self, at: usize) -> Option<usize> {
        match self.byte(at)? {
            b't' => self.word(at, b"true"),
            b'f' => self.word(at, b"false"),
            b'n' => self.word(at, b"null"),
            _ => self.number(at),
        }
    }

    fn word(&self, at: usize, word: &[u8]) -> Option<usize> {
        self.text[at..].starts_with(word).then_some(at + word.len())
    }

    /// Source: RFC 8259, section 6.
    fn number(&self, mut at: usize) -> Option<usize> {
        if self.byte(at)? == b'-' {
            at += 1;
        }
        at = if self.byte(at)? == b'0' { at + 1 } else { self.digits(at)? };
        if self.byte(at) == Some(b'.') {
            at = self.digits(at + 1)?;
        }
        if let Some(b'e' | b'E') = self.byte(at) {
            at += 1;
            if let Some(b'+' | b'-') = self.byte(at) {
                at += 1;
            }
            at = self.digits(at)?;
        }
        Some(at)
    }

    fn digits(&self, at: usize) -> Option<usize> {
        let digits = self.text[at..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        (digits > 0).then_some(at + digits)
    }

    /// Goes over a string, from its quote on, and tells whether it has escapes. Source: RFC 8259, section 7.
    #[inline(always)]
    fn string(&self, at: usize) -> Option<(usize, bool)> {
        let (mut at, mut is_escaped) = (at + 1, false);
        loop {
            at = self.plain(at);
            match self.byte(at)? {
                b'"' => return Some((at + 1, is_escaped)),
                b'\\' => (at, is_escaped) = (self.escape(at)?, true),
                0..0x20 => return None,
                _ => at += 1,
            }
        }
    }

    /// Goes over eight bytes at a time, up to one that may be special.
    fn plain(&self, mut at: usize) -> usize {
        const ONES: u64 = u64::from_le_bytes([1; 8]);
        // The high bit of each byte that is less than `limit`; above the first of them there may be wrong ones.
        let below = |bytes: u64, limit: u64| bytes.wrapping_sub(ONES * limit) & !bytes & (ONES << 7);
        while let Some(bytes) = self.text[at..].first_chunk() {
            let bytes = u64::from_le_bytes(*bytes);
            let is_byte = |byte: u8| below(bytes ^ (ONES * u64::from(byte)), 1);
            let special = is_byte(b'"') | is_byte(b'\\') | below(bytes, 0x20);
            if special != 0 {
                return at + special.trailing_zeros() as usize / 8;
            }
            at += 8;
        }
        at
    }

    fn escape(&self, at: usize) -> Option<usize> {
        let escape = &self.text[at + 1..];
        match escape.first()? {
            b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => Some(at + 2),
            b'u' if escape.get(1..5)?.iter().all(u8::is_ascii_hexdigit) => Some(at + 6),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests;
