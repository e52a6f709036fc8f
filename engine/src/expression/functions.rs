//! What operators and functions do, with their signatures as Kubernetes declares them.
//!
//! Kubernetes has more. What is here means the same there; `docs/templates.md` lists it, and a test keeps both together.

mod arguments;
pub(super) mod format;
mod lists;
mod numbers;
mod signature;
mod texts;

use std::cmp::Ordering;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::LazyLock;

use regex::Regex;

use self::arguments::OVERFLOW;
pub(super) use self::arguments::{Arguments, Fault, Returned};
use self::lists::{differ, extreme, flatten, is_sorted, place, position, size, slice, sort, sum};
use self::numbers::{
    compare, doubles, durations, integers, no_quantity, not_by_zero, quantities, to_bool, to_double, to_int, to_text,
    units,
};
use self::texts::{char_at, concatenate, find_all, index_of, join, last_index_of, quote, replace, split, substring};
use super::types::Type;
use super::value::Value;
use crate::quantity::{NoQuantity, Quantity, parse_nanoseconds};

/// One of the forms of a function. One whose parameter is `dyn` is for values of no known type alone: cel-go's `int()` makes a
/// number of a duration that it does not know to be one.
#[derive(Debug)]
pub(super) struct Overload {
    /// As Kubernetes' documentation writes it: `string.split(string, int) list(string)`.
    pub(super) signature: &'static str,
    /// Whether the first parameter stands in front of the name: `text.size()`.
    pub(super) is_member: bool,
    pub(super) parameters: Vec<Type>,
    pub(super) result: Type,
    /// The variables in these types: `A` is the first.
    pub(super) variables: usize,
    pub(super) run: Run,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Run {
    Plain(for<'a> fn(Arguments<'_, 'a>) -> Returned<'a>),
    /// With the regular expression that is written out as its second argument.
    Regex(for<'a> fn(&Regex, Arguments<'_, 'a>) -> Returned<'a>),
    /// It is a node of its own.
    Lazy,
}

use Run::{Lazy, Plain, Regex as WithRegex};

/// The most that a function takes.
pub(super) const MAX_PARAMETERS: usize = 4;

#[rustfmt::skip]
const TABLE: &[(&str, Run)] = &[
    // Operators, as CEL calls them.
    ("_==_(A, A) bool", Plain(|it| it.values[0].equals(&it.values[1], it.meter).map(Value::Bool))),
    ("_!=_(A, A) bool", Plain(differ)),
    ("_+_(int, int) int", Plain(|it| integers(it, i64::checked_add))),
    ("_+_(double, double) double", Plain(|it| doubles(it, |one, other| one + other))),
    ("_+_(string, string) string", Plain(concatenate)),
    ("_+_(list(A), list(A)) list(A)", Plain(|it| {
        it.meter.step(it.list(0)?.len() + it.list(1)?.len())?;
        Ok(Value::list([it.list(0)?, it.list(1)?].concat()))
    })),
    ("_+_(duration, duration) duration", Plain(|it| durations(it, i64::checked_add))),
    ("_-_(int, int) int", Plain(|it| integers(it, i64::checked_sub))),
    ("_-_(double, double) double", Plain(|it| doubles(it, |one, other| one - other))),
    ("_-_(duration, duration) duration", Plain(|it| durations(it, i64::checked_sub))),
    ("_*_(int, int) int", Plain(|it| integers(it, i64::checked_mul))),
    ("_*_(double, double) double", Plain(|it| doubles(it, |one, other| one * other))),
    ("_/_(int, int) int", Plain(|it| not_by_zero(it, i64::checked_div))),
    ("_/_(double, double) double", Plain(|it| doubles(it, |one, other| one / other))),
    ("_%_(int, int) int", Plain(|it| not_by_zero(it, i64::checked_rem))),
    ("-_(int) int", Plain(|it| it.int(0)?.checked_neg().map(Value::Int).ok_or(OVERFLOW))),
    ("-_(double) double", Plain(|it| Ok(Value::Double(-it.double(0)?)))),
    ("-_(dyn) dyn", Plain(|it| it.duration(0)?.checked_neg().map(Value::Duration).ok_or(OVERFLOW))),
    ("!_(bool) bool", Plain(|it| Ok(Value::Bool(!it.boolean(0)?)))),
    ("@in(A, list(A)) bool", Plain(|it| Ok(Value::Bool(position(it.list(1)?.iter(), &it.values[0], it.meter)?.is_some())))),
    ("@in(A, map(A, B)) bool", Plain(|it| Ok(Value::Bool(it.map(1)?.get(&it.values[0]).is_some())))),
    ("_<_(O, O) bool", Plain(|it| compare(it, Ordering::is_lt))),
    ("_<=_(O, O) bool", Plain(|it| compare(it, Ordering::is_le))),
    ("_>_(O, O) bool", Plain(|it| compare(it, Ordering::is_gt))),
    ("_>=_(O, O) bool", Plain(|it| compare(it, Ordering::is_ge))),
    // Texts.
    ("size(string) int", Plain(size)),
    ("size(list(A)) int", Plain(size)),
    ("size(map(A, B)) int", Plain(size)),
    ("string.size() int", Plain(size)),
    ("list(A).size() int", Plain(size)),
    ("map(A, B).size() int", Plain(size)),
    ("string.contains(string) bool", Plain(|it| Ok(Value::Bool(it.text(0)?.contains(it.text(1)?))))),
    ("string.startsWith(string) bool", Plain(|it| Ok(Value::Bool(it.text(0)?.starts_with(it.text(1)?))))),
    ("string.endsWith(string) bool", Plain(|it| Ok(Value::Bool(it.text(0)?.ends_with(it.text(1)?))))),
    ("string.matches(string) bool", WithRegex(|regex, it| Ok(Value::Bool(regex.is_match(it.text(0)?))))),
    ("matches(string, string) bool", WithRegex(|regex, it| Ok(Value::Bool(regex.is_match(it.text(0)?))))),
    ("string.find(string) string", WithRegex(|regex, it| {
        Ok(Value::text(regex.find(it.text(0)?).map_or(String::new(), |found| found.as_str().to_owned())))
    })),
    ("string.findAll(string) list(string)", WithRegex(|regex, it| find_all(regex, it, -1))),
    ("string.findAll(string, int) list(string)", WithRegex(|regex, it| find_all(regex, it, it.int(2)?))),
    ("string.indexOf(string) int", Plain(|it| index_of(it.text(0)?, it.text(1)?, 0))),
    ("string.indexOf(string, int) int", Plain(|it| index_of(it.text(0)?, it.text(1)?, it.int(2)?))),
    ("string.lastIndexOf(string) int", Plain(|it| last_index_of(it.text(0)?, it.text(1)?, None))),
    ("string.lastIndexOf(string, int) int", Plain(|it| last_index_of(it.text(0)?, it.text(1)?, Some(it.int(2)?)))),
    ("string.substring(int) string", Plain(|it| substring(it.text(0)?, it.int(1)?, None))),
    ("string.substring(int, int) string", Plain(|it| substring(it.text(0)?, it.int(1)?, Some(it.int(2)?)))),
    ("string.charAt(int) string", Plain(|it| char_at(it.text(0)?, it.int(1)?))),
    ("string.trim() string", Plain(|it| Ok(Value::text(it.text(0)?.trim().to_owned())))),
    ("string.lowerAscii() string", Plain(|it| Ok(Value::text(it.text(0)?.to_ascii_lowercase())))),
    ("string.upperAscii() string", Plain(|it| Ok(Value::text(it.text(0)?.to_ascii_uppercase())))),
    ("string.replace(string, string) string", Plain(|it| replace(it, -1))),
    ("string.replace(string, string, int) string", Plain(|it| replace(it, it.int(3)?))),
    ("string.split(string) list(string)", Plain(|it| split(it, -1))),
    ("string.split(string, int) list(string)", Plain(|it| split(it, it.int(2)?))),
    ("list(string).join() string", Plain(|it| join(it, ""))),
    ("list(string).join(string) string", Plain(|it| join(it, it.text(1)?))),
    ("strings.quote(string) string", Plain(|it| quote(it.text(0)?))),
    ("string.format(list(dyn)) string", Plain(|it| format::format(it.text(0)?, it.list(1)?, it.meter).map(Value::text))),
    // Lists.
    ("list(int).sum() int", Plain(|it| sum(it, Value::Int(0), |pair| integers(pair, i64::checked_add)))),
    ("list(double).sum() double", Plain(|it| {
        sum(it, Value::Double(0.0), |pair| doubles(pair, |one, other| one + other))
    })),
    ("list(duration).sum() duration", Plain(|it| {
        sum(it, Value::Duration(0), |pair| durations(pair, i64::checked_add))
    })),
    ("list(O).min() O", Plain(|it| extreme(it.list(0)?, Ordering::Greater))),
    ("list(O).max() O", Plain(|it| extreme(it.list(0)?, Ordering::Less))),
    ("list(O).isSorted() bool", Plain(|it| is_sorted(it.list(0)?))),
    ("list(O).sort() list(O)", Plain(|it| sort(it.list(0)?))),
    ("list(A).indexOf(A) int", Plain(|it| Ok(place(position(it.list(0)?.iter(), &it.values[1], it.meter)?)))),
    ("list(A).lastIndexOf(A) int", Plain(|it| {
        let items = it.list(0)?;
        Ok(place(position(items.iter().rev(), &it.values[1], it.meter)?.map(|at| items.len() - 1 - at)))
    })),
    ("list(A).reverse() list(A)", Plain(|it| Ok(Value::list(it.list(0)?.iter().rev().cloned().collect())))),
    ("list(A).slice(int, int) list(A)", Plain(|it| slice(it.list(0)?, it.int(1)?, it.int(2)?))),
    ("list(list(A)).flatten() list(A)", Plain(|it| flatten(it.list(0)?, 1, it.meter).map(Value::list))),
    ("list(dyn).flatten(int) list(dyn)", Plain(|it| flatten(it.list(0)?, it.int(1)?, it.meter).map(Value::list))),
    ("list(A).first() optional(A)", Plain(|it| Ok(Value::optional(it.list(0)?.first().cloned())))),
    ("list(A).last() optional(A)", Plain(|it| Ok(Value::optional(it.list(0)?.last().cloned())))),
    // Conversions.
    ("dyn(A) dyn", Plain(|it| Ok(it.values[0].clone()))),
    ("string(string) string", Plain(to_text)),
    ("string(bool) string", Plain(to_text)),
    ("string(int) string", Plain(to_text)),
    ("string(double) string", Plain(to_text)),
    ("string(duration) string", Plain(to_text)),
    ("int(int) int", Plain(to_int)),
    ("int(double) int", Plain(to_int)),
    ("int(string) int", Plain(to_int)),
    ("int(dyn) int", Plain(to_int)),
    ("double(double) double", Plain(to_double)),
    ("double(int) double", Plain(to_double)),
    ("double(string) double", Plain(to_double)),
    ("bool(bool) bool", Plain(to_bool)),
    ("bool(string) bool", Plain(to_bool)),
    // Durations.
    ("duration(duration) duration", Plain(|it| Ok(Value::Duration(it.duration(0)?)))),
    ("duration(string) duration", Plain(|it| {
        parse_nanoseconds(it.text(0)?).map(Value::Duration).ok_or(Fault::Failed("duration() got no duration such as 90s or 1h30m"))
    })),
    ("duration.getHours() int", Plain(|it| Ok(Value::Int(units(it.duration(0)?, 3_600_000_000_000) as i64)))),
    ("duration.getMinutes() int", Plain(|it| Ok(Value::Int(units(it.duration(0)?, 60_000_000_000) as i64)))),
    ("duration.getSeconds() int", Plain(|it| Ok(Value::Int(units(it.duration(0)?, 1_000_000_000) as i64)))),
    ("duration.getMilliseconds() int", Plain(|it| Ok(Value::Int(it.duration(0)? / 1_000_000)))),
    // Quantities.
    ("quantity(string) quantity", Plain(|it| {
        Quantity::parse(it.text(0)?).map(|quantity| Value::Quantity(Rc::new(quantity))).map_err(no_quantity)
    })),
    ("isQuantity(string) bool", Plain(|it| match Quantity::parse(it.text(0)?) {
        Err(error @ NoQuantity::TooLarge) => Err(no_quantity(error)),
        parsed => Ok(Value::Bool(parsed.is_ok())),
    })),
    ("quantity.add(quantity) quantity", Plain(|it| quantities(it.quantity(0)?.checked_add(it.quantity(1)?)))),
    ("quantity.add(int) quantity", Plain(|it| quantities(it.quantity(0)?.checked_add(&Quantity::from_integer(it.int(1)?))))),
    ("quantity.sub(quantity) quantity", Plain(|it| quantities(it.quantity(0)?.checked_sub(it.quantity(1)?)))),
    ("quantity.sub(int) quantity", Plain(|it| quantities(it.quantity(0)?.checked_sub(&Quantity::from_integer(it.int(1)?))))),
    ("sign(quantity) int", Plain(|it| Ok(Value::Int(it.quantity(0)?.sign())))),
    ("quantity.compareTo(quantity) int", Plain(|it| Ok(Value::Int(it.quantity(0)?.cmp(it.quantity(1)?) as i64)))),
    ("quantity.isGreaterThan(quantity) bool", Plain(|it| Ok(Value::Bool(it.quantity(0)?.cmp(it.quantity(1)?).is_gt())))),
    ("quantity.isLessThan(quantity) bool", Plain(|it| Ok(Value::Bool(it.quantity(0)?.cmp(it.quantity(1)?).is_lt())))),
    ("quantity.isInteger() bool", Plain(|it| Ok(Value::Bool(it.quantity(0)?.as_integer().is_some())))),
    ("quantity.asInteger() int", Plain(|it| {
        it.quantity(0)?.as_integer().map(Value::Int).ok_or(Fault::Failed("asInteger() got a quantity that is no whole number"))
    })),
    ("quantity.asApproximateFloat() double", Plain(|it| Ok(Value::Double(it.quantity(0)?.as_approximate_float())))),
    // Optional values.
    ("optional.of(A) optional(A)", Plain(|it| Ok(Value::some(it.values[0].clone())))),
    ("optional.none() optional(A)", Plain(|_| Ok(Value::Optional(None)))),
    ("optional(A).hasValue() bool", Plain(|it| Ok(Value::Bool(it.held(0)?.is_some())))),
    ("optional(A).value() A", Plain(|it| it.held(0)?.cloned().ok_or(Fault::Failed("value() got nothing; write orValue(…)")))),
    // Their argument is evaluated only when it is needed, like those of `&&` and `?:`.
    ("optional(A).or(optional(A)) optional(A)", Lazy),
    ("optional(A).orValue(A) A", Lazy),
];

static FUNCTIONS: LazyLock<HashMap<&'static str, Vec<Overload>>> = LazyLock::new(|| {
    let mut functions: HashMap<_, Vec<_>> = HashMap::new();
    for &(signature, run) in TABLE {
        let (name, overloads) = signature::parse(signature, run);
        functions.entry(name).or_default().extend(overloads);
    }
    functions
});

/// The forms of a function or operator.
pub(super) fn overloads(name: &str) -> Option<&'static [Overload]> {
    FUNCTIONS.get(name).map(Vec::as_slice)
}

impl Overload {
    /// Whether it takes nothing but values of no known type.
    pub(super) fn is_for_dyn(&self) -> bool {
        matches!(self.parameters.as_slice(), [Type::Dyn])
    }

    /// Whether it takes such values. Of a list and a map the first item tells, as in Kubernetes.
    pub(super) fn takes(&self, arguments: &[Value<'_>]) -> bool {
        self.parameters.len() == arguments.len()
            && (self.parameters.iter().zip(arguments)).all(|(parameter, argument)| is_of(argument, parameter))
    }
}

fn is_of(value: &Value<'_>, wanted: &Type) -> bool {
    match (wanted, value) {
        (Type::Dyn | Type::Variable(_), _)
        | (Type::Bool, Value::Bool(_))
        | (Type::Int, Value::Int(_))
        | (Type::Double, Value::Double(_))
        | (Type::String, Value::String(_))
        | (Type::Duration, Value::Duration(_))
        | (Type::Quantity, Value::Quantity(_))
        | (Type::Optional(_), Value::Optional(_))
        | (Type::Map(..), Value::Map(_)) => true,
        // flatten() leaves items that are no lists.
        (Type::List(item), Value::List(items)) => {
            matches!(**item, Type::List(_)) || items.first().is_none_or(|first| is_of(first, item))
        }
        _ => false,
    }
}

/// The names of all functions and operators.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    FUNCTIONS.keys().copied()
}
