//! What operators and functions do, with their signatures as Kubernetes declares them.
//!
//! Kubernetes has more. What is here means the same there; `docs/templates.md` lists it, and a test keeps both together.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::LazyLock;

use regex::Regex;

use super::numbers::{format_double, parse_double};
use super::types::Type;
use super::value::Value;
use crate::quantity::{NoQuantity, Quantity, parse_nanoseconds};

/// Why a function gave no value. It shows none: they may be a pod's secrets.
#[derive(Clone, Debug)]
pub(super) enum Fault {
    /// It does not take values of these types.
    Type,
    Failed(Cow<'static, str>),
}

type Outcome<'a> = Result<Value<'a>, Fault>;

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
    ("list(A).indexOf(A) int", Small, Plain(|it| Ok(at(position(list(it, 0)?.iter(), &it[1]))))),
    ("list(A).lastIndexOf(A) int", Small, Plain(|it| {
        let items = list(it, 0)?;
        Ok(at(position(items.iter().rev(), &it[1]).map(|at| items.len() - 1 - at)))
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

/// The types that have an order: `O` in a signature stands for each of them.
const ORDERED: [&str; 5] = ["bool", "int", "double", "string", "duration"];

static FUNCTIONS: LazyLock<HashMap<&'static str, Vec<Overload>>> = LazyLock::new(|| {
    let mut functions: HashMap<_, Vec<_>> = HashMap::new();
    for &(signature, size, run) in TABLE {
        let (name, overloads) = parse_signature(signature, size, run);
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

fn parse_signature(signature: &'static str, size: Size, run: Run) -> (&'static str, Vec<Overload>) {
    let bracket = argument_bracket(signature);
    let end = signature.rfind(") ").expect("a signature has a result") + 1;
    let (head, arguments, result) = (&signature[..bracket], &signature[bracket + 1..end - 1], &signature[end + 1..]);
    // A name such as `optional.of` has a dot, too; a receiver is a type.
    let (receiver, name) = match head.rsplit_once('.') {
        Some((receiver, name)) if receiver != "strings" && !(receiver == "optional") => (Some(receiver), name),
        _ => (None, head),
    };
    let words: Vec<&str> = receiver.into_iter().chain(split_arguments(arguments)).collect();
    let make = |ordered: &[&str]| {
        let mut ordered = ordered.iter().copied().cycle();
        let mut parse = |word: &str| parse_type(word, &mut ordered);
        let parameters: Vec<Type> = words.iter().map(|word| parse(word)).collect();
        let result = parse(result);
        Overload { signature, is_member: receiver.is_some(), parameters, result, variables: 2, size, run }
    };
    let holds_order = |word: &&str| word.contains('O');
    let overloads = if !words.iter().any(holds_order) {
        vec![make(&["dyn"])]
    } else {
        let mut all: Vec<_> = ORDERED.iter().map(|kind| make(&[kind])).collect();
        // Numbers are compared as numbers.
        if words.len() == 2 && receiver.is_none() {
            all.extend([make(&["int", "double"]), make(&["double", "int"])]);
        }
        all
    };
    (name, overloads)
}

/// Where the arguments begin: behind the name, and not in a receiver such as `list(A)`.
fn argument_bracket(signature: &str) -> usize {
    let mut depth = 0;
    let mut last = 0;
    for (at, letter) in signature.char_indices() {
        match letter {
            ' ' if depth == 0 => break,
            '(' => {
                if depth == 0 {
                    last = at;
                }
                depth += 1;
            }
            ')' => depth -= 1,
            _ => {}
        }
    }
    last
}

/// The words between commas that stand in no brackets.
fn split_arguments(text: &str) -> Vec<&str> {
    let (mut words, mut depth, mut begin) = (Vec::new(), 0, 0);
    for (at, letter) in text.char_indices() {
        match letter {
            '(' => depth += 1,
            ')' => depth -= 1,
            ',' if depth == 0 => {
                words.push(text[begin..at].trim());
                begin = at + 1;
            }
            _ => {}
        }
    }
    if !text.is_empty() {
        words.push(text[begin..].trim());
    }
    words
}

fn parse_type<'o>(word: &str, ordered: &mut impl Iterator<Item = &'o str>) -> Type {
    match word {
        "A" => Type::Variable(0),
        "B" => Type::Variable(1),
        "O" => parse_type(ordered.next().expect("the ordered types repeat"), &mut std::iter::empty()),
        "dyn" => Type::Dyn,
        "bool" => Type::Bool,
        "int" => Type::Int,
        "double" => Type::Double,
        "string" => Type::String,
        "duration" => Type::Duration,
        "quantity" => Type::Quantity,
        _ => {
            let (outer, inner) = word.split_once('(').expect("a type of the table");
            let mut inner = split_arguments(&inner[..inner.len() - 1]).into_iter().map(|word| Box::new(parse_type(word, ordered)));
            let mut next = || inner.next().expect("a type of the table has its parameters");
            match outer {
                "list" => Type::List(next()),
                "optional" => Type::Optional(next()),
                _ => Type::Map(next(), next()),
            }
        }
    }
}

fn failed(why: &'static str) -> Fault {
    Fault::Failed(why.into())
}

fn overflow() -> Fault {
    failed("the result does not fit into 64 bits")
}

fn no_quantity(error: NoQuantity) -> Fault {
    failed(match error {
        NoQuantity::Malformed => "quantity() got no quantity such as 500m or 64Mi",
        NoQuantity::TooLarge => "quantity() got more than 10^28 or more than 36 digits",
    })
}

fn text<'v>(of: &'v [Value<'_>], at: usize) -> Result<&'v str, Fault> {
    if let Value::String(text) = &of[at] { Ok(text) } else { Err(Fault::Type) }
}

fn list<'v, 'a>(of: &'v [Value<'a>], at: usize) -> Result<&'v [Value<'a>], Fault> {
    if let Value::List(items) = &of[at] { Ok(items) } else { Err(Fault::Type) }
}

fn map<'v, 'a>(of: &'v [Value<'a>], at: usize) -> Result<&'v super::value::Map<'a>, Fault> {
    if let Value::Map(map) = &of[at] { Ok(map) } else { Err(Fault::Type) }
}

fn int(of: &[Value<'_>], at: usize) -> Result<i64, Fault> {
    if let Value::Int(number) = of[at] { Ok(number) } else { Err(Fault::Type) }
}

fn double(of: &[Value<'_>], at: usize) -> Result<f64, Fault> {
    if let Value::Double(number) = of[at] { Ok(number) } else { Err(Fault::Type) }
}

fn boolean(of: &[Value<'_>], at: usize) -> Result<bool, Fault> {
    if let Value::Bool(value) = of[at] { Ok(value) } else { Err(Fault::Type) }
}

fn duration(of: &[Value<'_>], at: usize) -> Result<i64, Fault> {
    if let Value::Duration(nanoseconds) = of[at] { Ok(nanoseconds) } else { Err(Fault::Type) }
}

fn quantity(of: &[Value<'_>], at: usize) -> Result<Quantity, Fault> {
    if let Value::Quantity(quantity) = &of[at] { Ok(**quantity) } else { Err(Fault::Type) }
}

/// What an optional value holds.
fn held<'v, 'a>(of: &'v [Value<'a>], at: usize) -> Result<Option<&'v Value<'a>>, Fault> {
    if let Value::Optional(held) = &of[at] { Ok(held.as_deref()) } else { Err(Fault::Type) }
}

fn optional<'a>(value: Option<&Value<'a>>) -> Value<'a> {
    value.cloned().map_or(Value::Optional(None), Value::some)
}

/// A place in a list, or -1.
fn at<'a>(place: Option<usize>) -> Value<'a> {
    Value::Int(place.map_or(-1, |place| place as i64))
}

fn compare<'a>(of: &[Value<'a>], holds: fn(Ordering) -> bool) -> Outcome<'a> {
    match of[0].compare(&of[1]) {
        Some(order) => Ok(Value::Bool(holds(order))),
        None if matches!(of[0], Value::Double(_)) || matches!(of[1], Value::Double(_)) => {
            Err(failed("what is not a number cannot be compared"))
        }
        None => Err(Fault::Type),
    }
}

fn integers<'a>(of: &[Value<'a>], reckon: fn(i64, i64) -> Option<i64>) -> Outcome<'a> {
    reckon(int(of, 0)?, int(of, 1)?).map(Value::Int).ok_or_else(overflow)
}

fn not_by_zero<'a>(of: &[Value<'a>], reckon: fn(i64, i64) -> Option<i64>) -> Outcome<'a> {
    if int(of, 1)? == 0 { Err(failed("division by zero")) } else { integers(of, reckon) }
}

fn doubles<'a>(of: &[Value<'a>], reckon: fn(f64, f64) -> f64) -> Outcome<'a> {
    Ok(Value::Double(reckon(double(of, 0)?, double(of, 1)?)))
}

fn durations<'a>(of: &[Value<'a>], reckon: fn(i64, i64) -> Option<i64>) -> Outcome<'a> {
    reckon(duration(of, 0)?, duration(of, 1)?).map(Value::Duration).ok_or_else(overflow)
}

fn quantities<'a>(result: Option<Quantity>) -> Outcome<'a> {
    result.map(|quantity| Value::Quantity(Rc::new(quantity))).ok_or(failed("the quantity has too many digits"))
}

fn position<'v, 'a: 'v>(mut items: impl Iterator<Item = &'v Value<'a>>, wanted: &Value<'_>) -> Option<usize> {
    items.position(|item| item.equals(wanted) == Some(true))
}

fn size<'a>(of: &[Value<'a>]) -> Outcome<'a> {
    let size = match &of[0] {
        Value::String(text) => text.chars().count(),
        Value::List(items) => items.len(),
        Value::Map(map) => map.entries().len(),
        _ => return Err(Fault::Type),
    };
    Ok(Value::Int(size as i64))
}

/// Where the character of that number begins, or the end of the text.
fn offset(text: &str, character: usize) -> Option<usize> {
    let mut places = text.char_indices().map(|(at, _)| at).chain([text.len()]);
    places.nth(character)
}

fn out_of_range() -> Fault {
    failed("an index is beyond the end of the text")
}

fn index_of<'a>(text: &str, wanted: &str, from: i64) -> Outcome<'a> {
    if wanted.is_empty() {
        return Ok(Value::Int(from));
    }
    let from = usize::try_from(from).map_err(|_| out_of_range())?;
    let Some(begin) = offset(text, from) else { return Ok(Value::Int(-1)) };
    Ok(at(text[begin..].find(wanted).map(|found| from + text[begin..begin + found].chars().count())))
}

fn last_index_of<'a>(text: &str, wanted: &str, from: Option<i64>) -> Outcome<'a> {
    let length = text.chars().count();
    let Some(from) = from else {
        let found = if wanted.is_empty() { Some(length) } else { text.rfind(wanted).map(|found| text[..found].chars().count()) };
        return Ok(at(found));
    };
    if wanted.is_empty() {
        return Ok(Value::Int(from));
    }
    let from = usize::try_from(from).map_err(|_| out_of_range())?;
    if from >= length {
        return Ok(Value::Int(-1));
    }
    // The last place where it can begin is `from`.
    let end = offset(text, from + wanted.chars().count()).unwrap_or(text.len());
    Ok(at(text[..end].rfind(wanted).map(|found| text[..found].chars().count())))
}

fn substring<'a>(text: &str, begin: i64, end: Option<i64>) -> Outcome<'a> {
    if end.is_some_and(|end| begin > end) {
        return Err(failed("a substring ends before it begins"));
    }
    let place = |at: i64| usize::try_from(at).ok().and_then(|at| offset(text, at)).ok_or_else(out_of_range);
    let end = end.map_or(Ok(text.len()), place)?;
    Ok(Value::text(text[place(begin)?..end].to_owned()))
}

fn char_at<'a>(text: &str, at: i64) -> Outcome<'a> {
    let begin = usize::try_from(at).ok().and_then(|at| offset(text, at)).ok_or_else(out_of_range)?;
    Ok(Value::text(text[begin..].chars().next().map_or(String::new(), String::from)))
}

fn replace<'a>(of: &[Value<'a>], limit: i64) -> Outcome<'a> {
    let (text, from, to) = (text(of, 0)?, text(of, 1)?, text(of, 2)?);
    Ok(Value::text(match usize::try_from(limit) {
        Ok(limit) => text.replacen(from, to, limit),
        Err(_) => text.replace(from, to),
    }))
}

fn split<'a>(text: &str, separator: &str, limit: i64) -> Outcome<'a> {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let item = |text: &str| Value::text(text.to_owned());
    if limit == 0 {
        return Ok(Value::list(Vec::new()));
    }
    // Kubernetes splits by nothing into characters; Rust adds an empty text at both ends.
    if separator.is_empty() {
        let Some(last) = offset(text, limit - 1).filter(|at| *at < text.len()) else {
            return Ok(Value::list(text.chars().map(|letter| Value::text(letter.to_string())).collect()));
        };
        let letters = text[..last].chars().map(|letter| Value::text(letter.to_string()));
        return Ok(Value::list(letters.chain([item(&text[last..])]).collect()));
    }
    Ok(Value::list(text.splitn(limit, separator).map(item).collect()))
}

fn join<'a>(items: &[Value<'a>], separator: &str) -> Outcome<'a> {
    let texts = items.iter().map(|item| if let Value::String(text) = item { Ok(&**text) } else { Err(Fault::Type) });
    Ok(Value::text(texts.collect::<Result<Vec<_>, _>>()?.join(separator)))
}

fn quote<'a>(text: &str) -> Outcome<'a> {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for letter in text.chars() {
        let escaped = match letter {
            '\u{7}' => "\\a",
            '\u{8}' => "\\b",
            '\u{c}' => "\\f",
            '\n' => "\\n",
            '\r' => "\\r",
            '\t' => "\\t",
            '\u{b}' => "\\v",
            '\\' => "\\\\",
            '"' => "\\\"",
            other => {
                quoted.push(other);
                continue;
            }
        };
        quoted.push_str(escaped);
    }
    quoted.push('"');
    Ok(Value::text(quoted))
}

fn find_all<'a>(regex: &Regex, of: &[Value<'a>], limit: i64) -> Outcome<'a> {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let found = regex.find_iter(text(of, 0)?).take(limit);
    Ok(Value::list(found.map(|found| Value::text(found.as_str().to_owned())).collect()))
}

fn sum<'a>(items: &[Value<'a>], zero: Value<'a>, add: fn(&[Value<'a>]) -> Outcome<'a>) -> Outcome<'a> {
    items.iter().try_fold(zero, |sum, item| add(&[sum, item.clone()]))
}

/// Whether values of its type have an order.
fn is_ordered(value: &Value<'_>) -> bool {
    matches!(value, Value::Bool(_) | Value::Int(_) | Value::Double(_) | Value::String(_) | Value::Duration(_))
}

/// The largest item if `wanted` is `Less`, else the smallest. What cannot be compared with it is passed over, as in Kubernetes.
fn extreme<'a>(items: &[Value<'a>], wanted: Ordering) -> Outcome<'a> {
    let (mut best, rest) = items.split_first().ok_or(failed("min() and max() got an empty list"))?;
    for item in rest {
        if !is_ordered(item) {
            return Err(Fault::Type);
        }
        if best.compare(item) == Some(wanted) {
            best = item;
        }
    }
    Ok(best.clone())
}

fn is_sorted<'a>(items: &[Value<'a>]) -> Outcome<'a> {
    for pair in items.windows(2) {
        if !is_ordered(&pair[1]) {
            return Err(Fault::Type);
        }
        if pair[0].compare(&pair[1]) == Some(Ordering::Greater) {
            return Ok(Value::Bool(false));
        }
    }
    Ok(Value::Bool(true))
}

fn sort<'a>(items: &[Value<'a>]) -> Outcome<'a> {
    let alike = |one: &Value<'_>, other: &Value<'_>| std::mem::discriminant(one) == std::mem::discriminant(other);
    if items.windows(2).any(|pair| !alike(&pair[0], &pair[1])) {
        return Err(failed("sort() got values of different types"));
    }
    let mut sorted = items.to_vec();
    sorted.sort_by(|one, other| one.compare(other).unwrap_or(Ordering::Equal));
    Ok(Value::list(sorted))
}

fn slice<'a>(items: &[Value<'a>], begin: i64, end: i64) -> Outcome<'a> {
    let range = usize::try_from(begin).ok().zip(usize::try_from(end).ok());
    let slice = range.and_then(|(begin, end)| items.get(begin..end));
    slice.map(|items| Value::list(items.to_vec())).ok_or(failed("slice() is beyond the end of the list"))
}

fn flatten<'a>(items: &[Value<'a>], depth: i64) -> Result<Vec<Value<'a>>, Fault> {
    if depth < 0 {
        return Err(failed("flatten() got a negative depth"));
    }
    let mut flat = Vec::with_capacity(items.len());
    for item in items {
        match item {
            Value::List(inner) if depth > 0 => flat.extend(flatten(inner, depth - 1)?),
            other => flat.push(other.clone()),
        }
    }
    Ok(flat)
}

/// A duration in units of so many nanoseconds, rounded as Go rounds it.
fn units(nanoseconds: i64, unit: i64) -> f64 {
    (nanoseconds / unit) as f64 + (nanoseconds % unit) as f64 / unit as f64
}

/// A value as `string()` writes it.
pub(super) fn to_text<'a>(of: &[Value<'a>]) -> Outcome<'a> {
    Ok(match &of[0] {
        Value::String(_) => of[0].clone(),
        Value::Bool(value) => Value::text(value.to_string()),
        Value::Int(number) => Value::text(number.to_string()),
        Value::Double(number) => Value::text(format_double(*number)),
        Value::Duration(nanoseconds) => Value::text(format!("{}s", units(*nanoseconds, 1_000_000_000))),
        _ => return Err(Fault::Type),
    })
}

fn to_int<'a>(of: &[Value<'a>]) -> Outcome<'a> {
    // As Kubernetes, which takes the double next to 2^63 for too large.
    const BEYOND: f64 = i64::MAX as f64;
    match &of[0] {
        Value::Int(number) | Value::Duration(number) => Ok(Value::Int(*number)),
        Value::Double(number) if *number > -BEYOND && *number < BEYOND => Ok(Value::Int(*number as i64)),
        Value::Double(_) => Err(overflow()),
        Value::String(text) => text.parse().map(Value::Int).map_err(|_| failed("int() got a text that is no integer")),
        _ => Err(Fault::Type),
    }
}

fn to_double<'a>(of: &[Value<'a>]) -> Outcome<'a> {
    match &of[0] {
        Value::Double(number) => Ok(Value::Double(*number)),
        Value::Int(number) => Ok(Value::Double(*number as f64)),
        Value::String(text) => parse_double(text).map(Value::Double).ok_or(failed("double() got a text that is no number")),
        _ => Err(Fault::Type),
    }
}

fn to_bool<'a>(of: &[Value<'a>]) -> Outcome<'a> {
    match &of[0] {
        Value::Bool(value) => Ok(Value::Bool(*value)),
        Value::String(text) => match &**text {
            "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(Value::Bool(true)),
            "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(Value::Bool(false)),
            _ => Err(failed("bool() got a text that is neither true nor false")),
        },
        _ => Err(Fault::Type),
    }
}
