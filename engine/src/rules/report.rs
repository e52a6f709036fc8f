//! What an API server would not accept, and where.

use std::fmt;

use crate::json::{Member, View};
use crate::text::{article, shown};
use crate::yaml::Position;

/// One thing that an API server would not accept.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Violation {
    /// Where it was written, if in a template.
    pub(crate) position: Position,
    /// Where, such as `initContainers[proxy].ports[0]`.
    pub(crate) place: String,
    /// A predicate: `must be between 1 and 65535`.
    pub(crate) message: String,
    /// The rule that it breaks, by its number; none if it is of the wrong type.
    pub(crate) rule: Option<usize>,
}

impl Violation {
    /// The rule that it breaks, by its place among [`super::descriptions`]; none if it is of the wrong type, or no field.
    pub fn rule(&self) -> Option<usize> {
        self.rule
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {}", self.place, self.message)
    }
}

/// The keys of lists by which people know their items.
const TELLING: [&str; 4] = ["name", "mountPath", "devicePath", "containerPort"];

/// Where a walk is. It becomes text only when something is wrong there.
#[derive(Clone, Copy)]
pub(crate) struct Place<'p> {
    above: Option<&'p Place<'p>>,
    step: Step<'p>,
}

#[derive(Clone, Copy)]
enum Step<'p> {
    Name(&'p str),
    Item(usize, View<'p>, &'p [String]),
}

impl<'p> Place<'p> {
    /// Where a walk begins: `spec.pod`, or nothing.
    pub(crate) fn root(path: &'p str) -> Place<'p> {
        Place { above: None, step: Step::Name(path) }
    }

    /// A field or a map's key.
    pub(crate) fn member(&'p self, name: &'p str) -> Place<'p> {
        Place { above: Some(self), step: Step::Name(name) }
    }

    /// A key of a map, which may be one that messages must not repeat.
    pub(crate) fn key(&'p self, member: &'p Member<'_>) -> Place<'p> {
        self.member(if member.is_private { "a key that is not shown" } else { &member.name })
    }

    /// A field of the same object.
    pub(crate) fn beside(&self, name: &'p str) -> Place<'p> {
        Place { above: self.above, step: Step::Name(name) }
    }

    /// A list's item: in a template by its number, as its author counts it; in a pod by its keys, which say more.
    pub(crate) fn item(&'p self, index: usize, item: View<'p>, keys: &'p [String]) -> Place<'p> {
        Place { above: Some(self), step: Step::Item(index, item, keys) }
    }

    /// The same, for an item without keys.
    pub(crate) fn index(&'p self, index: usize) -> Place<'p> {
        Place { above: Some(self), step: Step::Item(index, View::NOTHING, &[]) }
    }
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(above) = self.above {
            above.fmt(formatter)?;
        }
        let is_first = self.above.is_none_or(|above| above.above.is_none() && matches!(above.step, Step::Name("")));
        match self.step {
            Step::Item(index, item, keys) => match item.key(keys) {
                _ if keys.iter().any(|key| item.get(key).is_some_and(View::is_private)) => {
                    write!(formatter, "[{index}]")
                }
                key if key.is_empty() || item.is_written() || !keys.iter().any(|key| TELLING.contains(&&**key)) => {
                    write!(formatter, "[{index}]")
                }
                key => write!(formatter, "[{}]", shown(&key)),
            },
            Step::Name(name) if self.above.is_none() => formatter.write_str(name),
            // A label's key holds dots itself.
            Step::Name(name) if name.contains(['.', '/']) => write!(formatter, "[{}]", shown(name)),
            Step::Name(name) if is_first => formatter.write_str(&shown(name)),
            Step::Name(name) => write!(formatter, ".{}", shown(name)),
        }
    }
}

/// Collects what is wrong.
#[derive(Debug, Default)]
pub(crate) struct Report {
    violations: Vec<Violation>,
    /// Fields that may be of a newer Kubernetes.
    newer: Vec<Violation>,
    /// What an expression makes, and could not be judged; nothing if nobody asks.
    unknown: Option<Vec<Violation>>,
}

impl Report {
    /// Something is wrong with a value.
    pub(crate) fn add(&mut self, place: &Place<'_>, value: View<'_>, message: impl Into<String>) {
        self.add_at(place, value.position(), message);
    }

    pub(crate) fn add_at(&mut self, place: &Place<'_>, position: Position, message: impl Into<String>) {
        self.violations.push(Violation { position, place: place.to_string(), message: message.into(), rule: None });
    }

    /// How much is wrong so far.
    pub(crate) fn len(&self) -> usize {
        self.violations.len()
    }

    /// Says what rule is broken by all that was found since.
    pub(super) fn attribute(&mut self, since: usize, rule: impl FnOnce() -> usize) {
        if let found @ [_, ..] = &mut self.violations[since..] {
            let rule = rule();
            found.iter_mut().for_each(|violation| violation.rule = Some(rule));
        }
    }

    pub(crate) fn into_violations(self) -> Vec<Violation> {
        self.violations
    }

    /// A field of a type that is none that Pillion knows, nor near one.
    pub(super) fn note_newer(&mut self, place: &Place<'_>, position: Position, kind: &str) {
        let message = format!(
            "is no field of {} that Pillion knows: it is passed on, and an API server that does not know it either drops it",
            article(kind)
        );
        self.newer.push(Violation { position, place: place.to_string(), message, rule: None });
    }

    /// A report that tells what could not be judged.
    pub(crate) fn with_unknown() -> Report {
        Report { unknown: Some(Vec::new()), ..Report::default() }
    }

    /// An expression makes a value that would be judged.
    pub(super) fn note_unknown(&mut self, place: &Place<'_>, value: View<'_>) {
        if let Some(unknown) = &mut self.unknown {
            let message = "is an expression whose value only a pod shows".to_owned();
            unknown.push(Violation { position: value.position(), place: place.to_string(), message, rule: None });
        }
    }

    /// Takes what could not be judged.
    pub(crate) fn take_unknown(&mut self) -> Vec<Violation> {
        self.unknown.take().unwrap_or_default()
    }

    /// Takes the fields that may be of a newer Kubernetes.
    pub(crate) fn take_newer(&mut self) -> Vec<Violation> {
        std::mem::take(&mut self.newer)
    }
}
