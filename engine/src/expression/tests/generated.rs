//! Generated expressions on generated pods, put to us and to Kubernetes' own evaluator. What we accept gives the same value,
//! or fails in both.

#![expect(clippy::print_stdout, reason = "the figures are for whoever runs it")]

use std::collections::HashMap;
use std::env;

use serde_json::{Map, Value, json};

use super::Values;
use super::oracle::{Oracle, encode, same};
use super::writer::{PARAMETERS, Random, Writer, mutated, variables};
use crate::expression::{Expression, Failure, Scope, Type};

/// The part of the generated expressions that we accept, in a hundred. It may not fall: refusing everything is no way out.
const ACCEPTED: usize = 60;

/// The functions and macros that `docs/templates.md` names.
#[rustfmt::skip]
pub(super) const FUNCTIONS: &[&str] = &[
    "has", "all", "exists", "exists_one", "map", "filter", "optMap", "optFlatMap",
    "size", "contains", "startsWith", "endsWith", "indexOf", "lastIndexOf", "substring", "charAt", "trim", "lowerAscii",
    "upperAscii", "replace", "split", "join", "matches", "find", "findAll", "format", "strings.quote",
    "sum", "min", "max", "first", "last", "isSorted", "sort", "reverse", "slice", "flatten",
    "string", "int", "double", "bool", "dyn",
    "quantity", "isQuantity", "add", "sub", "sign", "compareTo", "isGreaterThan", "isLessThan", "isInteger", "asInteger",
    "asApproximateFloat",
    "duration", "getHours", "getMinutes", "getSeconds", "getMilliseconds",
    "hasValue", "value", "or", "orValue", "optional.of", "optional.none",
];

/// Those that the specification knows; the others are Kubernetes' own, or of a library without conformance cases.
#[rustfmt::skip]
pub(super) const SPECIFIED: &[&str] = &[
    "has", "all", "exists", "exists_one", "map", "filter", "optMap", "optFlatMap",
    "size", "contains", "startsWith", "endsWith", "indexOf", "lastIndexOf", "substring", "charAt", "trim", "lowerAscii",
    "upperAscii", "replace", "split", "join", "matches", "format", "strings.quote",
    "string", "int", "double", "bool", "dyn",
    "duration", "getHours", "getMinutes", "getSeconds",
    "hasValue", "value", "or", "orValue", "optional.of", "optional.none",
];

fn scope() -> Scope<'static> {
    let parameters = PARAMETERS.iter().map(|(name, kind)| {
        let of = match kind.trim_end_matches('?') {
            "integer" => Type::Int,
            "number" => Type::Double,
            "boolean" => Type::Bool,
            "list" => Type::list(Type::Dyn),
            "object" => Type::map(Type::Dyn),
            _ => Type::String,
        };
        (*name, if kind.ends_with('?') { of.nullable() } else { of })
    });
    Scope { parameters: parameters.collect(), container: true }
}

/// What the type checker of Kubernetes refuses and we accept on purpose: it takes a list that mixes `dyn` with other types for
/// one of two types.
fn is_ours(refusal: &str) -> bool {
    let errors: Vec<_> = refusal.lines().filter(|line| line.starts_with("ERROR")).collect();
    !errors.is_empty() && errors.iter().all(|line| line.contains("expected type") && line.contains("dyn"))
}

#[test]
fn what_we_accept_gives_what_kubernetes_gives() {
    let number = |name: &str, default| env::var(name).map_or(default, |text| text.parse().expect("a number"));
    let (seed, count) = (number("PILLION_SEED", 1), number("PILLION_EXPRESSIONS", 3000) as usize);
    let mut random = Random(seed);
    let parameters: Value =
        PARAMETERS.iter().map(|(name, kind)| ((*name).to_owned(), json!(kind))).collect::<Map<_, _>>().into();
    let mut questions = Vec::with_capacity(count);
    for _ in 0..count {
        let variables = variables(&mut random);
        let depth = 1 + random.below(4);
        let mut expression = Writer { random: &mut random, items: Vec::new() }.any(depth);
        if random.one_in(5) {
            expression = mutated(&expression, &mut random);
        }
        questions
            .push(json!({"expression": expression, "variables": variables, "params": parameters, "lenient": true}));
    }
    let Some(oracle) = Oracle::start() else { return };
    let scope = scope();
    let (mut accepted, mut values, mut limited, mut refused_by_both, mut different) = (0, 0, 0, 0, Vec::new());
    let mut used = HashMap::<&str, usize>::new();
    let mut only_ours = std::collections::BTreeMap::<String, (usize, String)>::new();
    oracle.ask(&questions, |at, theirs| {
        let (source, variables) =
            (questions[at]["expression"].as_str().expect("a text"), Values(questions[at]["variables"].clone()));
        let typed = theirs["typed"].as_str();
        match Expression::compile(source, &scope) {
            Err(error) => {
                refused_by_both += usize::from(typed.is_some());
                if typed.is_none() {
                    let kind = error.split_whitespace().take(5).collect::<Vec<_>>().join(" ");
                    let known = only_ours.entry(kind).or_insert((0, format!("{source}: {error}")));
                    known.0 += 1;
                }
            }
            Ok(expression) => {
                accepted += 1;
                let ours = expression.with_value(&variables, |value, _| Ok(encode(value)));
                values += usize::from(ours.is_ok());
                for name in FUNCTIONS.iter().filter(|name| ours.is_ok() && source.contains(&format!("{name}("))) {
                    *used.entry(name).or_default() += 1;
                }
                limited += usize::from(matches!(ours, Err(Failure::Limit(_))));
                // Our variables have types, so what Kubernetes gives with types counts.
                let counts = theirs.get("withTypes").unwrap_or(&theirs);
                let is_equal = match &ours {
                    Ok(value) => counts.get("value").is_some_and(|theirs| same(value, theirs)),
                    Err(Failure::Limit(_)) => true,
                    Err(error) => counts.get("error").is_some() || error.to_string().contains("more than 10^28"),
                };
                if typed.is_some_and(|refusal| !is_ours(refusal)) {
                    different.push(format!("{source}\n  accepted, and refused there: {}", typed.unwrap_or_default()));
                } else if !is_equal {
                    different.push(format!("{source}\n  ours: {ours:?}\n  theirs: {theirs}"));
                    if env::var_os("PILLION_SEED").is_some() {
                        println!("{}", questions[at]);
                    }
                }
            }
        }
    });
    println!(
        "{count} expressions: {accepted} accepted ({values} with a value, {limited} beyond a limit), {refused_by_both} refused by both, {} refused by us alone, {} different",
        count - accepted - refused_by_both,
        different.len()
    );
    if env::var_os("PILLION_SEED").is_some() {
        for (count, example) in only_ours.values() {
            println!("{count:6} {example}");
        }
    }
    let unused: Vec<_> = FUNCTIONS.iter().filter(|name| !used.contains_key(**name)).collect();
    assert!(unused.is_empty(), "no expression with a value has {unused:?}");
    assert!(
        different.is_empty(),
        "{} are different:\n{}",
        different.len(),
        different.iter().take(20).cloned().collect::<Vec<_>>().join("\n")
    );
    assert!(limited * 1000 <= count, "{limited} of {count} expressions are beyond a limit");
    assert!(accepted * 100 >= count * ACCEPTED, "of {count} expressions {accepted} are accepted");
}
