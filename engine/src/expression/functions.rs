//! What operators and functions do, with their signatures as Kubernetes declares them.
//!
//! Kubernetes has more. What is here means the same there; `docs/templates.md` lists it, and a test keeps both together.

mod arguments;
mod lists;
mod numbers;
mod signature;
mod texts;

use std::cmp::Ordering;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::LazyLock;

use regex::Regex;

pub(super) use self::arguments::Fault;
use self::arguments::{Outcome, boolean, double, duration, failed, held, int, list, map, overflow, quantity, text};
use self::lists::{extreme, flatten, is_sorted, optional, place, position, size, slice, sort, sum};
pub(super) use self::numbers::to_text;
use self::numbers::{
    compare, doubles, durations, integers, no_quantity, not_by_zero, quantities, to_bool, to_double, to_int, units,
};
use self::texts::{char_at, find_all, index_of, join, last_index_of, quote, replace, split, substring};
use super::types::Type;
use super::value::Value;
use crate::quantity::{NoQuantity, Quantity, parse_nanoseconds};

/// How large a result can be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Size {
    /// It does not depend on the arguments.
    Small,
    /// As large as they are together.
    Sum,
}

/// One of the forms of a function. One that takes `dyn` takes what is of no known type when it is loaded, and so more than the
/// others.
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
    pub(super) size: Size,
    pub(super) run: Run,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Run {
    Plain(for<'a> fn(&[Value<'a>]) -> Outcome<'a>),
    /// With the regular expression that is written out as its second argument.
    Regex(for<'a> fn(&Regex, &[Value<'a>]) -> Outcome<'a>),
    /// It is a node of its own.
    Lazy,
}

use Run::{Lazy, Plain, Regex as WithRegex};
use Size::{Small, Sum};

#[rustfmt::skip]
const TABLE: &[(&str, Size, Run)] = &[
    // Operators, as CEL calls them.
    ("_==_(A, A) bool", Small, Plain(|it| it[0].equals(&it[1]).map(Value::Bool).ok_or(Fault::Type))),
    ("_!=_(A, A) bool", Small, Plain(|it| Ok(Value::Bool(it[0].equals(&it[1]) != Some(true))))),
    ("_+_(int, int) int", Small, Plain(|it| integers(it, i64::checked_add))),
    ("_+_(double, double) double", Small, Plain(|it| doubles(it, |one, other| one + other))),
    ("_+_(string, string) string", Sum, Plain(|it| Ok(Value::text(text(it, 0)?.to_owned() + text(it, 1)?)))),
    ("_+_(list(A), list(A)) list(A)", Sum, Plain(|it| Ok(Value::list([list(it, 0)?, list(it, 1)?].concat())))),
    ("_+_(duration, duration) duration", Small, Plain(|it| durations(it, i64::checked_add))),
    ("_-_(int, int) int", Small, Plain(|it| integers(it, i64::checked_sub))),
    ("_-_(double, double) double", Small, Plain(|it| doubles(it, |one, other| one - other))),
    ("_-_(duration, duration) duration", Small, Plain(|it| durations(it, i64::checked_sub))),
    ("_*_(int, int) int", Small, Plain(|it| integers(it, i64::checked_mul))),
    ("_*_(double, double) double", Small, Plain(|it| doubles(it, |one, other| one * other))),
    ("_/_(int, int) int", Small, Plain(|it| not_by_zero(it, i64::checked_div))),
    ("_/_(double, double) double", Small, Plain(|it| doubles(it, |one, other| one / other))),
    ("_%_(int, int) int", Small, Plain(|it| not_by_zero(it, i64::checked_rem))),
    ("-_(int) int", Small, Plain(|it| int(it, 0)?.checked_neg().map(Value::Int).ok_or_else(overflow))),
    ("-_(double) double", Small, Plain(|it| Ok(Value::Double(-double(it, 0)?)))),
    ("!_(bool) bool", Small, Plain(|it| Ok(Value::Bool(!boolean(it, 0)?)))),
    ("@in(A, list(A)) bool", Small, Plain(|it| Ok(Value::Bool(position(list(it, 1)?.iter(), &it[0]).is_some())))),
    ("@in(A, map(A, B)) bool", Small, Plain(|it| Ok(Value::Bool(map(it, 1)?.get(&it[0]).is_some())))),
    ("_<_(O, O) bool", Small, Plain(|it| compare(it, Ordering::is_lt))),
    ("_<=_(O, O) bool", Small, Plain(|it| compare(it, Ordering::is_le))),
    ("_>_(O, O) bool", Small, Plain(|it| compare(it, Ordering::is_gt))),
    ("_>=_(O, O) bool", Small, Plain(|it| compare(it, Ordering::is_ge))),
    // Texts.
    ("size(string) int", Small, Plain(size)),
    ("size(list(A)) int", Small, Plain(size)),
    ("size(map(A, B)) int", Small, Plain(size)),
    ("string.size() int", Small, Plain(size)),
    ("list(A).size() int", Small, Plain(size)),
    ("map(A, B).size() int", Small, Plain(size)),
    ("string.contains(string) bool", Small, Plain(|it| Ok(Value::Bool(text(it, 0)?.contains(text(it, 1)?))))),
    ("string.startsWith(string) bool", Small, Plain(|it| Ok(Value::Bool(text(it, 0)?.starts_with(text(it, 1)?))))),
    ("string.endsWith(string) bool", Small, Plain(|it| Ok(Value::Bool(text(it, 0)?.ends_with(text(it, 1)?))))),
    ("string.matches(string) bool", Small, WithRegex(|regex, it| Ok(Value::Bool(regex.is_match(text(it, 0)?))))),
    ("matches(string, string) bool", Small, WithRegex(|regex, it| Ok(Value::Bool(regex.is_match(text(it, 0)?))))),
    ("string.find(string) string", Sum, WithRegex(|regex, it| {
        Ok(Value::text(regex.find(text(it, 0)?).map_or(String::new(), |found| found.as_str().to_owned())))
    })),
    ("string.findAll(string) list(string)", Sum, WithRegex(|regex, it| find_all(regex, it, -1))),
    ("string.findAll(string, int) list(string)", Sum, WithRegex(|regex, it| find_all(regex, it, int(it, 2)?))),
    ("string.indexOf(string) int", Small, Plain(|it| index_of(text(it, 0)?, text(it, 1)?, 0))),
    ("string.indexOf(string, int) int", Small, Plain(|it| index_of(text(it, 0)?, text(it, 1)?, int(it, 2)?))),
    ("string.lastIndexOf(string) int", Small, Plain(|it| last_index_of(text(it, 0)?, text(it, 1)?, None))),
    ("string.lastIndexOf(string, int) int", Small, Plain(|it| last_index_of(text(it, 0)?, text(it, 1)?, Some(int(it, 2)?)))),
    ("string.substring(int) string", Sum, Plain(|it| substring(text(it, 0)?, int(it, 1)?, None))),
    ("string.substring(int, int) string", Sum, Plain(|it| substring(text(it, 0)?, int(it, 1)?, Some(int(it, 2)?)))),
    ("string.charAt(int) string", Sum, Plain(|it| char_at(text(it, 0)?, int(it, 1)?))),
    ("string.trim() string", Sum, Plain(|it| Ok(Value::text(text(it, 0)?.trim().to_owned())))),
    ("string.lowerAscii() string", Sum, Plain(|it| Ok(Value::text(text(it, 0)?.to_ascii_lowercase())))),
    ("string.upperAscii() string", Sum, Plain(|it| Ok(Value::text(text(it, 0)?.to_ascii_uppercase())))),
    ("string.replace(string, string) string", Sum, Plain(|it| replace(it, -1))),
    ("string.replace(string, string, int) string", Sum, Plain(|it| replace(it, int(it, 3)?))),
    ("string.split(string) list(string)", Sum, Plain(|it| split(text(it, 0)?, text(it, 1)?, -1))),
    ("string.split(string, int) list(string)", Sum, Plain(|it| split(text(it, 0)?, text(it, 1)?, int(it, 2)?))),
    ("list(string).join() string", Sum, Plain(|it| join(list(it, 0)?, ""))),
    ("list(string).join(string) string", Sum, Plain(|it| join(list(it, 0)?, text(it, 1)?))),
    ("strings.quote(string) string", Sum, Plain(|it| quote(text(it, 0)?))),
    ("string.format(list(dyn)) string", Sum, Plain(|it| super::format::format(text(it, 0)?, list(it, 1)?).map(Value::text))),
    // Lists.
    ("list(int).sum() int", Small, Plain(|it| sum(list(it, 0)?, Value::Int(0), |pair| integers(pair, i64::checked_add)))),
    ("list(double).sum() double", Small, Plain(|it| {
        sum(list(it, 0)?, Value::Double(0.0), |pair| doubles(pair, |one, other| one + other))
    })),
    ("list(duration).sum() duration", Small, Plain(|it| {
        sum(list(it, 0)?, Value::Duration(0), |pair| durations(pair, i64::checked_add))
    })),
    ("list(O).min() O", Sum, Plain(|it| extreme(list(it, 0)?, Ordering::Greater))),
    ("list(O).max() O", Sum, Plain(|it| extreme(list(it, 0)?, Ordering::Less))),
    ("list(O).isSorted() bool", Small, Plain(|it| is_sorted(list(it, 0)?))),
    ("list(O).sort() list(O)", Sum, Plain(|it| sort(list(it, 0)?))),
    ("list(A).indexOf(A) int", Small, Plain(|it| Ok(place(position(list(it, 0)?.iter(), &it[1]))))),
    ("list(A).lastIndexOf(A) int", Small, Plain(|it| {
        let items = list(it, 0)?;
        Ok(place(position(items.iter().rev(), &it[1]).map(|at| items.len() - 1 - at)))
    })),
    ("list(A).reverse() list(A)", Sum, Plain(|it| Ok(Value::list(list(it, 0)?.iter().rev().cloned().collect())))),
    ("list(A).slice(int, int) list(A)", Sum, Plain(|it| slice(list(it, 0)?, int(it, 1)?, int(it, 2)?))),
    ("list(list(A)).flatten() list(A)", Sum, Plain(|it| flatten(list(it, 0)?, 1).map(Value::list))),
    ("list(dyn).flatten(int) list(dyn)", Sum, Plain(|it| flatten(list(it, 0)?, int(it, 1)?).map(Value::list))),
    ("list(A).first() optional(A)", Sum, Plain(|it| Ok(optional(list(it, 0)?.first())))),
    ("list(A).last() optional(A)", Sum, Plain(|it| Ok(optional(list(it, 0)?.last())))),
    // Conversions.
    ("dyn(A) dyn", Sum, Plain(|it| Ok(it[0].clone()))),
    ("string(string) string", Sum, Plain(to_text)),
    ("string(bool) string", Small, Plain(to_text)),
    ("string(int) string", Small, Plain(to_text)),
    ("string(double) string", Small, Plain(to_text)),
    ("string(duration) string", Small, Plain(to_text)),
    ("int(int) int", Small, Plain(to_int)),
    ("int(double) int", Small, Plain(to_int)),
    ("int(string) int", Small, Plain(to_int)),
    ("int(dyn) int", Small, Plain(to_int)),
    ("double(double) double", Small, Plain(to_double)),
    ("double(int) double", Small, Plain(to_double)),
    ("double(string) double", Small, Plain(to_double)),
    ("bool(bool) bool", Small, Plain(to_bool)),
    ("bool(string) bool", Small, Plain(to_bool)),
    // Durations.
    ("duration(duration) duration", Small, Plain(|it| Ok(Value::Duration(duration(it, 0)?)))),
    ("duration(string) duration", Small, Plain(|it| {
        parse_nanoseconds(text(it, 0)?).map(Value::Duration).ok_or(failed("duration() got no duration such as 90s or 1h30m"))
    })),
    ("duration.getHours() int", Small, Plain(|it| Ok(Value::Int(units(duration(it, 0)?, 3_600_000_000_000) as i64)))),
    ("duration.getMinutes() int", Small, Plain(|it| Ok(Value::Int(units(duration(it, 0)?, 60_000_000_000) as i64)))),
    ("duration.getSeconds() int", Small, Plain(|it| Ok(Value::Int(units(duration(it, 0)?, 1_000_000_000) as i64)))),
    ("duration.getMilliseconds() int", Small, Plain(|it| Ok(Value::Int(duration(it, 0)? / 1_000_000)))),
    // Quantities.
    ("quantity(string) quantity", Small, Plain(|it| {
        Quantity::parse(text(it, 0)?).map(|quantity| Value::Quantity(Rc::new(quantity))).map_err(no_quantity)
    })),
    ("isQuantity(string) bool", Small, Plain(|it| match Quantity::parse(text(it, 0)?) {
        Err(error @ NoQuantity::TooLarge) => Err(no_quantity(error)),
        parsed => Ok(Value::Bool(parsed.is_ok())),
    })),
    ("quantity.add(quantity) quantity", Small, Plain(|it| quantities(quantity(it, 0)?.add(&quantity(it, 1)?)))),
    ("quantity.add(int) quantity", Small, Plain(|it| quantities(quantity(it, 0)?.add(&Quantity::from_integer(int(it, 1)?))))),
    ("quantity.sub(quantity) quantity", Small, Plain(|it| quantities(quantity(it, 0)?.sub(&quantity(it, 1)?)))),
    ("quantity.sub(int) quantity", Small, Plain(|it| quantities(quantity(it, 0)?.sub(&Quantity::from_integer(int(it, 1)?))))),
    ("sign(quantity) int", Small, Plain(|it| Ok(Value::Int(quantity(it, 0)?.sign())))),
    ("quantity.compareTo(quantity) int", Small, Plain(|it| Ok(Value::Int(quantity(it, 0)?.cmp(&quantity(it, 1)?) as i64)))),
    ("quantity.isGreaterThan(quantity) bool", Small, Plain(|it| Ok(Value::Bool(quantity(it, 0)?.cmp(&quantity(it, 1)?).is_gt())))),
    ("quantity.isLessThan(quantity) bool", Small, Plain(|it| Ok(Value::Bool(quantity(it, 0)?.cmp(&quantity(it, 1)?).is_lt())))),
    ("quantity.isInteger() bool", Small, Plain(|it| Ok(Value::Bool(quantity(it, 0)?.as_integer().is_some())))),
    ("quantity.asInteger() int", Small, Plain(|it| {
        quantity(it, 0)?.as_integer().map(Value::Int).ok_or(failed("asInteger() got a quantity that is no whole number"))
    })),
    ("quantity.asApproximateFloat() double", Small, Plain(|it| Ok(Value::Double(quantity(it, 0)?.as_approximate_float())))),
    // Optional values.
    ("optional.of(A) optional(A)", Sum, Plain(|it| Ok(Value::some(it[0].clone())))),
    ("optional.none() optional(A)", Small, Plain(|_| Ok(Value::Optional(None)))),
    ("optional(A).hasValue() bool", Small, Plain(|it| Ok(Value::Bool(held(it, 0)?.is_some())))),
    ("optional(A).value() A", Sum, Plain(|it| held(it, 0)?.cloned().ok_or(failed("value() got nothing; write orValue(…)")))),
    // Their argument is evaluated only when it is needed, like those of `&&` and `?:`.
    ("optional(A).or(optional(A)) optional(A)", Sum, Lazy),
    ("optional(A).orValue(A) A", Sum, Lazy),
];

static FUNCTIONS: LazyLock<HashMap<&'static str, Vec<Overload>>> = LazyLock::new(|| {
    let mut functions: HashMap<_, Vec<_>> = HashMap::new();
    for &(signature, size, run) in TABLE {
        let (name, overloads) = signature::parse(signature, size, run);
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
