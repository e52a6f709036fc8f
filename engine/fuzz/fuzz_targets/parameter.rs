//! Text as the value of a parameter, of each type. The first byte says which.

#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use pillion_engine::catalog::Catalog;
use pillion_engine::decision::Outcome;

static CATALOG: LazyLock<Catalog> = LazyLock::new(|| {
    let catalog = pillion_fuzz::catalog(pillion_fuzz::accepted(include_str!("../parameters.yaml")));
    assert_eq!(catalog.len(), 1, "it is accepted");
    catalog
});

const PARAMETERS: [&str; 9] =
    ["text", "word", "integer", "number", "boolean", "quantity", "duration", "object", "list"];

fuzz_target!(|input: &str| {
    let Some(which) = input.chars().next() else { return };
    let text = &input[which.len_utf8()..];
    let parameter = PARAMETERS[which as usize % PARAMETERS.len()];
    let key = format!("typed.pillion.dev/{parameter}");
    let pod = pillion_fuzz::pod(&[("pillion.dev/templates", "typed"), (&key, text)]);
    let (decision, after) = pillion_fuzz::decide(&CATALOG, &pod);
    if decision.outcome == Outcome::Injected {
        let container = after["spec"]["initContainers"].as_array().and_then(|list| list.first()).expect("it is added");
        let value = |name: &str| {
            let mut env = container["env"].as_array().expect("a list").iter();
            env.find(|variable| variable["name"] == name).expect("it is there")["value"].as_str().expect("text")
        };
        // What is given as text comes out as that text, and as nothing else.
        if ["text", "word", "quantity", "duration"].contains(&parameter) {
            assert_eq!(value(&parameter.to_uppercase()), text);
        }
        assert_eq!(
            after["spec"]["containers"].as_array().map(Vec::len),
            pod["spec"]["containers"].as_array().map(Vec::len)
        );
    }
});
