//! The conformance cases of CEL: what we accept gives what the specification says, or what Kubernetes says where it differs.

#![expect(clippy::print_stdout, reason = "the figures are for whoever runs it")]

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;

use serde_json::Value;

use super::generated::SPECIFIED;
use super::oracle::{encode, same};
use crate::expression::{Expression, Failure, Root, Scope, Type, Variables};

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fixtures/cel-spec/simple.jsonl");

/// The cases that we accept. They may not become fewer: refusing everything is no way out.
const EQUAL: usize = 810;

/// The bindings of a case. They are parameters here, because an expression reads nothing else that is not a pod's.
struct Bindings(BTreeMap<String, String>);

impl Variables for Bindings {
    fn lookup(&self, _: Root, path: &[String]) -> Result<Option<Cow<'_, str>>, Failure> {
        Ok(self.0.get(&path[0]).map(|json| Cow::Borrowed(json.as_str())))
    }

    fn spend(&self, _: usize) -> Result<(), Failure> {
        Ok(())
    }
}

/// The JSON that a bound value comes from, if JSON can tell it.
fn plain(value: &Value) -> Option<Value> {
    match value {
        Value::Array(items) => items.iter().map(plain).collect::<Option<Vec<_>>>().map(Value::from),
        Value::Object(object) => {
            let entries = object.get("map")?.as_array()?;
            let members = entries.iter().map(|entry| Some((entry[0].as_str()?.to_owned(), plain(&entry[1])?)));
            members.collect::<Option<serde_json::Map<_, _>>>().map(Value::from)
        }
        scalar => Some(scalar.clone()),
    }
}

/// The source with `params.` in front of the names of variables, which stand for themselves in the cases.
fn with_parameters(source: &str, names: &BTreeMap<String, String>) -> String {
    names.keys().fold(source.to_owned(), |source, name| {
        let is_part = |letter: char| letter.is_alphanumeric() || letter == '_';
        let mut text = String::new();
        let mut rest = source.as_str();
        while let Some(at) = rest.find(name.as_str()) {
            let (before, behind) = (&rest[..at], &rest[at + name.len()..]);
            let begins = !before.ends_with(|it| is_part(it) || it == '.' || it == '\'' || it == '"');
            let stands_alone = begins && !behind.starts_with(is_part);
            write!(text, "{before}{}{name}", if stands_alone { "params." } else { "" })
                .expect("a string takes everything");
            rest = behind;
        }
        text + rest
    })
}

/// What Kubernetes refuses and we accept, with the meaning that the specification gives it: `null` beside another type, and
/// an object whose values are of several types. A hole makes parts of a pod of both.
fn is_accepted_on_purpose(theirs: &Value) -> bool {
    let refusal = theirs["compile"].as_str().unwrap_or_default();
    let (line, found) = (refusal.lines().nth(1).unwrap_or_default(), refusal.lines().next().unwrap_or_default());
    found.contains("expected type") && (found.ends_with("but found 'null'") || line.contains("{"))
}

#[test]
fn the_conformance_cases_give_what_kubernetes_says() {
    let cases = fs::read_to_string(FILE).expect("the cases are there");
    let (mut equal, mut refused, mut different) = (0, BTreeMap::<String, usize>::new(), Vec::new());
    let mut used = BTreeSet::<&str>::new();
    let mut accepted = BTreeMap::<String, usize>::new();
    for line in cases.lines() {
        let case: Value = serde_json::from_str(line).expect("a case is JSON");
        let source = case["expression"].as_str().expect("a case has an expression");
        let bindings = case["bindings"].as_object().into_iter().flatten();
        let Some(bindings) = bindings
            .map(|(name, value)| plain(value).map(|value| (name.clone(), value.to_string())))
            .collect::<Option<BTreeMap<_, _>>>()
        else {
            *refused.entry("a variable that JSON cannot tell".into()).or_default() += 1;
            continue;
        };
        let parameters = bindings.keys().map(|name| (name.as_str(), Type::Dyn)).collect();
        let source = with_parameters(source, &bindings);
        let expected = case.get("kubernetes").filter(|theirs| !is_accepted_on_purpose(theirs)).unwrap_or(&case);
        match Expression::compile(&source, &Scope { parameters, container: false }) {
            Err(error) => {
                let kind = error.split_whitespace().take(4).collect::<Vec<_>>().join(" ");
                *refused.entry(kind).or_default() += 1;
            }
            Ok(expression) => {
                *accepted.entry(case["file"].as_str().unwrap_or_default().to_owned()).or_default() += 1;
                let ours = expression.with_value(&Bindings(bindings), |value, _| Ok(encode(value)));
                let is_equal = match &ours {
                    Ok(value) => expected.get("value").is_some_and(|theirs| same(value, theirs)),
                    Err(error) => matches!(error, Failure::Failed(_)) && expected.get("error").is_some(),
                };
                if is_equal {
                    let names = SPECIFIED.iter().filter(|name| ours.is_ok() && source.contains(&format!("{name}(")));
                    used.extend(names);
                    equal += 1;
                } else {
                    different.push(format!("{source}\n  ours: {ours:?}\n  theirs: {expected}"));
                }
            }
        }
    }
    let all: usize = refused.values().sum();
    println!("{equal} equal, {all} refused when loaded, {} different\naccepted: {accepted:?}", different.len());
    for (reason, count) in &refused {
        println!("  {count:4} {reason}");
    }
    assert!(equal >= EQUAL, "{equal} cases are accepted and equal, and there were {EQUAL}");
    let unused: Vec<_> = SPECIFIED.iter().filter(|name| !used.contains(**name)).collect();
    assert!(unused.is_empty(), "no accepted case has {unused:?}");
    assert!(different.is_empty(), "{} are different:\n{}", different.len(), different.join("\n"));
}
