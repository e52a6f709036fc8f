//! Words for messages: the nearest known name, and what others wrote, short enough to be shown.

use std::borrow::Cow;

/// The known name that is most like an unknown one, if it is near enough to be meant.
pub fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    // Nobody mistypes something as long as that, and comparing takes the product of both lengths.
    const LONGEST: usize = 128;
    let length = name.chars().count();
    let distance = |candidate: &str| {
        if candidate.eq_ignore_ascii_case(name) {
            return Some(0);
        }
        let other = candidate.chars().count();
        let (shorter, difference) = (length.min(other), length.abs_diff(other));
        // The beginning or end of a word, or a word with something behind it: `int` for `integer`, `QUIT` for `SIGQUIT`.
        let is_beginning = candidate.starts_with(name) || name.starts_with(candidate);
        if shorter >= 3 && (is_beginning || candidate.ends_with(name) && difference <= 3) {
            return Some(difference);
        }
        // No name is nearer than the difference of the lengths.
        let near = 1 + shorter / 4;
        if difference > near { None } else { Some(strsim::osa_distance(name, candidate)).filter(|it| *it <= near) }
    };
    known
        .filter(|candidate| name.len().max(candidate.len()) <= LONGEST)
        .filter_map(|candidate| Some((distance(candidate)?, candidate)))
        .min()
        .map(|(_, candidate)| candidate)
}

/// The end of a message about a wrong name.
pub(crate) fn did_you_mean(near: Option<&str>) -> String {
    near.map(|name| format!("; did you mean {name}?")).unwrap_or_default()
}

/// What somebody else wrote, short enough for a message and without control characters.
pub(crate) fn shown(text: &str) -> Cow<'_, str> {
    const LONGEST: usize = 64;
    let is_plain = |byte: &u8| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\'' | b'\\') || *byte == b' ';
    if text.len() <= LONGEST && text.as_bytes().iter().all(is_plain) {
        return Cow::Borrowed(text);
    }
    let mut shown: String = text.chars().take(LONGEST).flat_map(char::escape_debug).collect();
    if text.chars().count() > LONGEST {
        shown.push('…');
    }
    shown.into()
}

/// Whether these stand in a text, in this order.
pub(crate) fn stand_in<'p>(text: &str, parts: impl IntoIterator<Item = &'p str>) -> bool {
    let mut rest = text;
    parts.into_iter().all(|part| rest.split_once(part).map(|(_, behind)| rest = behind).is_some())
}

/// The same, with the first at the beginning of the text and the last at its end.
pub(crate) fn stand_around<'p>(text: &str, first: &str, middle: impl IntoIterator<Item = &'p str>, last: &str) -> bool {
    let inner = text.strip_prefix(first).and_then(|rest| rest.strip_suffix(last));
    inner.is_some_and(|inner| stand_in(inner, middle))
}

/// The beginning of an expression, in one line.
pub(crate) fn excerpt(source: &str) -> String {
    const LONGEST: usize = 160;
    let source = one_line(source);
    match source.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &source[..end]),
        None => source,
    }
}

/// A message of several lines as one.
pub(crate) fn one_line(message: &str) -> String {
    message.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// `a Container`, `an EnvVar`.
pub(crate) fn article(name: &str) -> String {
    let article = if name.starts_with(['A', 'E', 'I', 'O', 'U', 'a', 'e', 'i', 'o']) { "an" } else { "a" };
    format!("{article} {name}")
}

/// The first few of many sentences: nobody reads more.
#[derive(Debug, Default)]
pub(crate) struct Few {
    sentences: Vec<String>,
    more: usize,
}

impl Few {
    const MOST: usize = 8;

    pub(crate) fn push(&mut self, sentence: impl FnOnce() -> String) {
        if self.sentences.len() < Few::MOST {
            self.sentences.push(sentence());
        } else {
            self.more += 1;
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.sentences.is_empty()
    }

    /// The sentences, the last of which counts the others.
    pub(crate) fn into_sentences(mut self) -> Vec<String> {
        if let Some(last) = self.sentences.last_mut().filter(|_| self.more > 0) {
            *last += &format!("; and {} more like this", self.more);
        }
        self.sentences
    }

    pub(crate) fn join(self, separator: &str) -> String {
        let mut text = self.sentences.join(separator);
        if self.more > 0 {
            text += &format!("{separator}and {} more", self.more);
        }
        text
    }
}

impl<S: Into<String>> FromIterator<S> for Few {
    fn from_iter<I: IntoIterator<Item = S>>(sentences: I) -> Few {
        let mut all = sentences.into_iter();
        let sentences = all.by_ref().take(Few::MOST).map(Into::into).collect();
        Few { sentences, more: all.count() }
    }
}

/// Several problems as one sentence.
pub(crate) fn join(problems: impl IntoIterator<Item: ToString>) -> String {
    problems.into_iter().map(|problem| problem.to_string()).collect::<Few>().join("; ")
}
