//! What a rule about a single part of a pod can say.

use std::borrow::Cow;
use std::collections::BTreeSet;

use super::report::{Place, Report};
use crate::json::{Kind, View};
use crate::schema::{Object, Schema, Type};
use crate::text::{did_you_mean, nearest};

/// A rule about fields, or about objects as a whole.
pub(crate) struct Row {
    /// What Kubernetes calls the objects' types.
    pub(crate) of: &'static [&'static str],
    /// The fields; empty for an object as a whole.
    pub(crate) fields: &'static [&'static str],
    pub(crate) must: Must,
    /// What the API server calls a check of Pod Security; empty for any other rule.
    pub(crate) check: &'static str,
}

impl Row {
    /// What it is about: `ConfigMapEnvSource.name, SecretEnvSource.name`.
    pub(crate) fn of(&self) -> String {
        let place = |of: &str, field: &str| if field.is_empty() { of.to_owned() } else { format!("{of}.{field}") };
        let places = self.of.iter().flat_map(|of| self.fields.iter().map(move |field| place(of, field)));
        places.collect::<Vec<_>>().join(", ")
    }
}

pub(crate) const fn row(of: &'static [&'static str], fields: &'static [&'static str], must: Must) -> Row {
    check("", of, fields, must)
}

pub(crate) const fn check(
    check: &'static str,
    of: &'static [&'static str],
    fields: &'static [&'static str],
    must: Must,
) -> Row {
    Row { of, fields, must, check }
}

/// What must be. Of a list each item must, unless the rule is about the list.
pub(crate) enum Must {
    /// A text of a kind, and the sentence that says so.
    Be(fn(&str) -> bool, &'static str),
    /// The same, and it must be there and not be empty.
    BeNamed(fn(&str) -> bool, &'static str),
    /// There, and not empty.
    BeFilled,
    BeOneOf(&'static [&'static str]),
    /// A number between these two.
    BeWithin(i64, i64),
    /// A number or an amount.
    NotBeNegative,
    NotBeTrue,
    /// Not an empty text, where none is filled in for it.
    NotBeEmpty,
    /// Never there, and the sentence that says why.
    NotBeSet(&'static str),
    /// A list with no two items that have the same values in these fields.
    DifferIn(&'static [&'static str]),
    HaveAtMost(usize),
    /// An object with exactly one of these members.
    HaveOneOf(&'static [&'static str]),
    /// An object with at most one of these members.
    HaveAtMostOneOf(&'static [&'static str]),
    NotHaveBoth(&'static str, &'static str),
    /// An object whose members fit together, and what that means.
    Fit(fn(View<'_>) -> Broken, &'static str),
    /// Whatever a function asks for, and what that is.
    Pass(fn(&mut Report, View<'_>, &Place<'_>), &'static str),
}

/// The member of an object that does not fit to the others, and a predicate that says why; an empty name for the object.
pub(super) type Broken = Option<(&'static str, Cow<'static, str>)>;

/// Fields that the OpenAPI document requires and the API server does not: it takes nothing, or zero, for them.
const NOT_REQUIRED: &[(&str, &str)] = &[
    ("HTTPHeader", "value"),
    ("ISCSIVolumeSource", "lun"),
    ("PreferredSchedulingTerm", "preference"),
    ("ScaleIOVolumeSource", "secretRef"),
    ("SleepAction", "seconds"),
    ("Sysctl", "value"),
];

/// The rows of a table by the types that they are about.
pub(crate) struct Rules(Vec<RulesOf>);

/// The rows for one type.
pub(crate) struct RulesOf {
    /// Those for an object as a whole.
    pub(crate) whole: Vec<&'static Row>,
    /// Those for each field, in the order of the schema.
    pub(crate) fields: Vec<Vec<&'static Row>>,
    /// The fields that must be there and hold something, each with its row.
    pub(crate) filled: Vec<(&'static str, &'static Row)>,
    /// The other fields that must be there.
    pub(crate) required: Vec<&'static str>,
}

impl Rules {
    /// Finds the type of each row once.
    pub(crate) fn link(tables: &[&'static [Row]]) -> Rules {
        Rules(Schema::get().objects.iter().map(|object| RulesOf::link(object, tables)).collect())
    }

    pub(crate) fn of(&self, object: &Object) -> &RulesOf {
        &self.0[object.number]
    }

    /// Whether a row is about an object of this type, or about something in it.
    pub(crate) fn concern(&self, kind: &Type) -> bool {
        match kind {
            Type::Scalar(_) => false,
            Type::List { item: kind, .. } | Type::Map(kind) => self.concern(kind),
            Type::Object(object) => {
                let RulesOf { whole, fields, .. } = self.of(object);
                !whole.is_empty()
                    || fields.iter().any(|rows| !rows.is_empty())
                    || object.fields.names().any(|field| self.concern(object.field(field)))
            }
        }
    }
}

impl RulesOf {
    fn link(object: &'static Object, tables: &[&'static [Row]]) -> RulesOf {
        let rows: Vec<_> = tables.iter().copied().flatten().filter(|row| row.of.contains(&&*object.name)).collect();
        let of = |field| rows.iter().copied().filter(|row| row.fields.contains(&field)).collect();
        let filled = rows.iter().filter(|row| matches!(row.must, Must::BeFilled | Must::BeNamed(..)));
        let filled: Vec<_> = filled.flat_map(|row| row.fields.iter().map(move |field| (*field, *row))).collect();
        let is_asked = |field: &&str| {
            !filled.iter().any(|(filled, _)| filled == field) && !NOT_REQUIRED.contains(&(&*object.name, field))
        };
        let required = object.required.iter().map(String::as_str).filter(is_asked).collect();
        RulesOf { whole: of(""), fields: object.fields.names().map(of).collect(), filled, required }
    }
}

impl Must {
    /// Judges what is new in a value.
    pub(crate) fn judge(&self, report: &mut Report, value: View<'_>, place: &Place<'_>) {
        match self {
            // Whatever an expression may give, it must not be there.
            Must::NotBeSet(message) if value.is_new() => report.add(place, value, *message),
            _ if value.is_unknown() => report.note_unknown(place, value),
            Must::Pass(function, _) => function(report, value, place),
            Must::DifferIn(fields) => differ(report, value, place, fields),
            // What an expression gives is judged once it is known.
            Must::Fit(..) if value.is_written() && value.holds_unknown() => {}
            _ if !matches!(value.kind(), Kind::List) && (!value.is_new() || value.is_fixed()) => {}
            Must::Fit(why_broken, _) => {
                if let Some((field, message)) = why_broken(value) {
                    let at = value.get(field).unwrap_or(value);
                    if field.is_empty() {
                        report.add(place, at, message);
                    } else {
                        report.add(&place.member(field), at, message);
                    }
                }
            }
            Must::Be(..) | Must::BeOneOf(_) | Must::BeWithin(..) | Must::NotBeEmpty
                if matches!(value.kind(), Kind::List) =>
            {
                for (at, item) in value.items().enumerate() {
                    self.judge(report, item, &place.index(at));
                }
            }
            _ => {
                if let Some(message) = self.why_broken_by(value).filter(|_| value.is_new() && !value.is_fixed()) {
                    report.add(place, value, message);
                }
            }
        }
    }

    /// Why a value does not hold what it must.
    fn why_broken_by(&self, value: View<'_>) -> Option<String> {
        let is_broken = match (self, value.kind()) {
            (Must::Be(is_right, _), Kind::String(text)) => !is_right(&text),
            // That it is empty is said elsewhere.
            (Must::BeNamed(is_right, _), Kind::String(text)) => !text.is_empty() && !is_right(&text),
            (Must::BeOneOf(words), Kind::String(text)) if !words.contains(&&*text) => {
                return Some(format!("{}{}{}", self.sentence(), but_is(value), hint(value, words.iter().copied())));
            }
            (Must::BeWithin(low, high), Kind::Number(number)) => {
                number.as_i64().is_some_and(|number| !(*low..=*high).contains(&number))
            }
            (Must::NotBeNegative, _) => value.quantity().is_some_and(|amount| amount.sign() < 0),
            (Must::NotBeEmpty, Kind::String(text)) => text.is_empty(),
            (Must::NotBeTrue, Kind::Bool(value)) => value,
            (Must::HaveAtMost(most), Kind::List) => value.items().filter(|item| !item.is_null()).count() > *most,
            (Must::HaveOneOf(names), _) => return one_of(value, names),
            (Must::HaveAtMostOneOf(names), _) if !names.iter().any(|name| value.get(name).is_some()) => false,
            (Must::HaveAtMostOneOf(names), _) => return one_of(value, names),
            (Must::NotHaveBoth(one, other), _) => [one, other]
                .into_iter()
                .all(|name| value.get(name).is_some_and(|it| !it.is_unknown() && !it.is_empty())),
            _ => false,
        };
        is_broken.then(|| {
            let sentence = self.sentence();
            if matches!(self, Must::NotBeTrue | Must::NotBeEmpty) {
                return sentence;
            }
            match but_is(value).strip_prefix(", not ") {
                Some(value) if sentence.starts_with("must not") => format!("{sentence}, and is {value}"),
                _ => sentence + &but_is(value),
            }
        })
    }

    /// What must be, in words.
    pub(crate) fn sentence(&self) -> String {
        match self {
            Must::Be(_, sentence)
            | Must::BeNamed(_, sentence)
            | Must::NotBeSet(sentence)
            | Must::Fit(_, sentence)
            | Must::Pass(_, sentence) => (*sentence).to_owned(),
            Must::NotBeEmpty => "must not be empty".to_owned(),
            Must::BeFilled => "must be there, and not be empty".to_owned(),
            Must::BeOneOf(words) => {
                let words: Vec<_> = words.iter().copied().filter(|word| !word.is_empty()).collect();
                format!("must be one of {}", words.join(", "))
            }
            Must::BeWithin(0, 0o777) => "must be between 0 and 0777".to_owned(),
            Must::BeWithin(0, 0) => "must be 0".to_owned(),
            Must::BeWithin(low, i64::MAX) => format!("must be at least {low}"),
            Must::BeWithin(low, high) => format!("must be between {low} and {high}"),
            Must::NotBeNegative => "must not be negative".to_owned(),
            Must::NotBeTrue => "must not be true".to_owned(),
            Must::DifferIn(fields) => format!("must have no {} twice", fields.join(" with the same ")),
            Must::HaveAtMost(most) => format!("must have at most {most} items"),
            Must::HaveOneOf(names) => format!("must have one of {}", names.join(", ")),
            Must::HaveAtMostOneOf(names) => format!("must have at most one of {}", names.join(", ")),
            Must::NotHaveBoth(one, other) => format!("must not have both {one} and {other}"),
        }
    }
}

/// The end of a message about a wrong scalar: what it is.
pub(super) fn but_is(value: View<'_>) -> String {
    if value.is_private() || value.as_text().is_none() { String::new() } else { format!(", not {value}") }
}

/// The known word that is nearest to a wrong one.
pub(super) fn hint<'w>(value: View<'_>, known: impl Iterator<Item = &'w str>) -> String {
    let text = value.string().filter(|_| !value.is_private());
    text.map(|text| did_you_mean(nearest(&text, known))).unwrap_or_default()
}

/// Of these members exactly one must be there.
pub(crate) fn one_of(value: View<'_>, names: &[&str]) -> Option<String> {
    let there = names.iter().copied().filter(|name| value.get(name).is_some());
    // What an expression may leave out does not count against the others.
    let (unknown, known): (Vec<_>, Vec<_>) = there.partition(|name| value.is_unknown_at(name));
    match known.as_slice() {
        [_] => None,
        [] if !unknown.is_empty() || holds_newer(value) => None,
        [] if names.len() <= 6 => Some(format!("must have one of {}", names.join(", "))),
        [] => Some(format!("must have one of {} and the like", names[..4].join(", "))),
        _ => Some(format!("has {}, and only one of them may be there", known.join(" and "))),
    }
}

/// Whether a template's object has a member whose name no type of a pod knows: it may be the one of a newer Kubernetes.
fn holds_newer(value: View<'_>) -> bool {
    let is_known = |name: &str| Schema::get().objects.iter().any(|object| object.fields.get(name).is_some());
    value.is_written() && value.members().any(|member| !is_known(&member.name))
}

/// Items of a list must differ in fields. The pod's own come first, so that what stands twice is the template's.
fn differ(report: &mut Report, list: View<'_>, place: &Place<'_>, fields: &'static [&'static str]) {
    let mut items: Vec<_> = list.items().enumerate().collect();
    items.sort_by_key(|(_, item)| item.is_new());
    let mut seen = BTreeSet::new();
    for (at, item) in items {
        let texts: Option<Vec<_>> = fields.iter().map(|field| item.get(field)?.string()).collect();
        let Some(texts) = texts.filter(|texts| texts.iter().all(|text| !text.is_empty())) else { continue };
        if !seen.insert(texts) && item.is_new() {
            let words = fields.iter().filter_map(|field| Some(item.get(field)?.shown())).collect::<Vec<_>>();
            let words = words.join(" and ");
            let value = item.get(fields[0]).unwrap_or(item);
            report.add(&place.index(at).member(fields[0]), value, format!("is {words} a second time"));
        }
    }
}
