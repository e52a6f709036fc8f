//! The types of a pod, in which expressions can stand for values.

use std::collections::BTreeMap;

use pillion_engine::rules::outline::{Limit, POD_TYPES, limits};
use serde_json::{Map, Value, json};

use super::{HOLE, LABEL, nothing, object, set};

/// An expression that stands alone, for an object or a list.
const ONLY_A_HOLE: &str = r"^\$\{\{[\s\S]*\}\}$";
/// A key without an expression.
const KEY: &str = r"^(?!.*\$\{\{)";
/// The types in whose place no expression can stand: what is in them is judged when a template is loaded.
const WRITTEN_OUT: [&str; 2] = ["PodSpec", "Container"];
/// What scalars are called here.
const SCALARS: [&str; 5] = ["string", "boolean", "integer", "quantity", "integerOrString"];

/// The schemas of all types that are in the `metadata` and `spec` of a template's pod.
pub(super) fn definitions() -> Value {
    let types: BTreeMap<String, Value> = serde_json::from_str(POD_TYPES).expect("the engine's types are JSON");
    let mut definitions: Map<_, _> = SCALARS.iter().map(|name| ((*name).to_owned(), scalar(name))).collect();
    definitions.insert("metadata".to_owned(), metadata());
    let mut wanted = vec!["PodSpec".to_owned()];
    while let Some(name) = wanted.pop() {
        if !definitions.contains_key(&name) {
            let definition = definition(&name, &types[&name], &mut wanted);
            definitions.insert(name, definition);
        }
    }
    definitions.into()
}

/// A definition, or a place in one.
pub(super) fn reference(definition: &str) -> Value {
    json!({"$ref": format!("#/definitions/{definition}")})
}

/// The metadata of a template's pod, which has fewer fields than that of a pod.
fn metadata() -> Value {
    let map = |what: &str| {
        let mut map = map(reference("string"));
        let description = format!("The {what} that the pod gets beside its own.");
        // Those of Pillion itself are not for templates.
        let keys = json!({"pattern": format!(r"^(?!([^/]*\.)?pillion\.dev/){}", &KEY[1..])});
        set(&mut map, json!({"description": description, "propertyNames": keys}));
        (what.to_owned(), map)
    };
    object([map("labels"), map("annotations")].into_iter().collect())
}

fn scalar(name: &str) -> Value {
    const QUANTITY: &str = r"^[+-]?[0-9]*(\.[0-9]*)?([numkMGTPE]|[KMGTPE]i|[eE][+-]?[0-9]+)?$";
    let of_kind = |kind: &str, pattern: &str, what: &str| {
        let message = format!("must be {what}, or an expression ${{{{ … }}}} that gives it");
        json!({"type": [kind, "string", "null"], "pattern": pattern, "patternErrorMessage": message})
    };
    match name {
        "boolean" => of_kind("boolean", HOLE, "true or false"),
        "integer" => of_kind("integer", HOLE, "an integer"),
        "quantity" => of_kind("number", &format!("{QUANTITY}|{HOLE}"), "a quantity such as 500m or 64Mi"),
        "integerOrString" => json!({"type": ["integer", "string", "null"]}),
        _ => json!({"type": ["string", "null"]}),
    }
}

/// A text of a closed set of words, or one that an expression makes.
fn choice<'w>(words: impl IntoIterator<Item = &'w str>, other: &str) -> Value {
    let words: Vec<_> = words.into_iter().filter(|word| !word.is_empty()).collect();
    json!({"type": ["string", "null"], "anyOf": [{"enum": words}, {"pattern": other}]})
}

/// Lets a hole stand for an object or a list.
fn or_hole(schema: &mut Value, kind: &str, what: &str) {
    let message = format!("must be {what}, or an expression ${{{{ … }}}} alone that gives one");
    let types = [kind, "string", "null"];
    set(schema, json!({"type": types, "pattern": ONLY_A_HOLE, "patternErrorMessage": message}));
}

fn map(value: Value) -> Value {
    let mut map = json!({"additionalProperties": value, "propertyNames": {"pattern": KEY}});
    or_hole(&mut map, "object", "an object");
    map
}

fn definition(name: &str, published: &Value, wanted: &mut Vec<String>) -> Value {
    let limits = limits(name);
    let mut properties = Map::new();
    for (field, kind) in published["fields"].as_object().into_iter().flatten() {
        let of_field = limits.iter().filter(|(of, _)| of == field).map(|(_, limit)| limit);
        let forbidden = of_field.clone().find_map(|it| if let Limit::Forbidden(why) = it { Some(why) } else { None });
        let schema = match forbidden {
            Some(why) => nothing(why),
            None => of_field.fold(of_type(kind, wanted), limited),
        };
        properties.insert(field.clone(), schema);
    }
    let mut definition = object(properties);
    set(&mut definition, json!({"title": name}));
    if !WRITTEN_OUT.contains(&name) {
        or_hole(&mut definition, "object", "an object");
    }
    let is_required = |limit: &Limit| matches!(limit, Limit::Required | Limit::Filled);
    let required: Vec<_> = limits.iter().filter(|(_, limit)| is_required(limit)).map(|(field, _)| *field).collect();
    // That of a template is only a part of one.
    if !required.is_empty() && name != "PodSpec" {
        set(&mut definition, json!({"required": required}));
    }
    definition
}

/// The schema of a type as [`POD_TYPES`] has it.
fn of_type(kind: &Value, wanted: &mut Vec<String>) -> Value {
    if let Some(name) = kind["ref"].as_str() {
        wanted.push(name.to_owned());
        return reference(name);
    }
    if let Some(item) = kind.get("list") {
        let mut list = json!({"type": ["array", "null"], "items": of_type(item, wanted)});
        if !item["ref"].as_str().is_some_and(|name| WRITTEN_OUT.contains(&name)) {
            or_hole(&mut list, "array", "a list");
        }
        return list;
    }
    if let Some(value) = kind.get("map") {
        return map(of_type(value, wanted));
    }
    if let Some(words) = kind["enum"].as_array() {
        // For nothing the API server fills in its default.
        return choice(words.iter().filter_map(Value::as_str), &format!("^$|{HOLE}"));
    }
    match kind["type"].as_str() {
        Some("int32" | "int64") => reference("integer"),
        Some("intOrString") => reference("integerOrString"),
        Some(name) if SCALARS.contains(&name) => reference(name),
        _ => json!({}),
    }
}

/// A schema with what a rule asks beside it.
fn limited(schema: Value, limit: &Limit) -> Value {
    // What stands beside a reference does not count.
    let referred = schema["$ref"].as_str().and_then(|it| it.strip_prefix("#/definitions/")).unwrap_or_default();
    let mut inlined = if SCALARS.contains(&referred) { scalar(referred) } else { schema.clone() };
    let is_list = inlined.get("items").is_some();
    match limit {
        Limit::Filled if is_list => set(&mut inlined, json!({"minItems": 1})),
        Limit::Filled if referred == "string" => set(&mut inlined, json!({"minLength": 1})),
        Limit::OneOf(words) if is_list => set(&mut inlined, json!({"items": of_words(words)})),
        Limit::OneOf(words) => return of_words(words),
        Limit::Label(must) => {
            set(&mut inlined, json!({"pattern": format!("^{LABEL}$|{HOLE}"), "patternErrorMessage": must}));
        }
        // An editor may take `0644` for a number of ten digits.
        Limit::Within(0, 0o777) => set(&mut inlined, json!({"minimum": 0})),
        Limit::Within(low, i64::MAX) => set(&mut inlined, json!({"minimum": low})),
        Limit::Within(low, high) => set(&mut inlined, json!({"minimum": low, "maximum": high})),
        _ => return schema,
    }
    inlined
}

fn of_words(words: &[&str]) -> Value {
    let other = if words.contains(&"") { format!("^$|{HOLE}") } else { HOLE.to_owned() };
    choice(words.iter().copied(), &other)
}
