//! The schema in the engine is what a real API server publishes. `make schema` (`UPDATE_SCHEMA=1`) writes it anew.

use std::collections::BTreeMap;
use std::{env, fs};

use serde_json::{Map, Value, json};

use crate::harness::cluster::Cluster;

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/engine/src/schema.json");

#[test]
fn the_schema_is_that_of_the_api_server() {
    let Some(cluster) = Cluster::shared() else { return };
    let published = cluster.api.get("/openapi/v3/api/v1").json();
    let trimmed = trim(published["components"]["schemas"].as_object().expect("OpenAPI has schemas"));
    let text = serde_json::to_string(&trimmed).expect("JSON");
    if env::var_os("UPDATE_SCHEMA").is_some() {
        fs::write(FILE, &text).expect("the file is writable");
    }
    assert!(
        fs::read_to_string(FILE).expect("the file is there").trim_end() == text,
        "engine/src/schema.json is stale: run make schema"
    );
}

/// Every type that a Pod is made of, in the form that `engine/src/schema.rs` reads.
fn trim(schemas: &Map<String, Value>) -> BTreeMap<String, Value> {
    let mut trimmed = BTreeMap::new();
    let mut wanted = vec!["io.k8s.api.core.v1.Pod".to_owned()];
    while let Some(name) = wanted.pop() {
        let short = short(&name);
        if trimmed.contains_key(short) {
            continue;
        }
        let schema = &schemas[&name];
        // What a template cannot hold, and an expression need not ask for.
        let left_out = |field: &str| short == "Pod" && ["apiVersion", "kind", "status"].contains(&field);
        let properties = schema["properties"].as_object().expect("an object has properties").iter();
        let fields: BTreeMap<_, _> = properties
            .filter(|(field, _)| !left_out(field))
            .map(|(field, schema)| (field, kind(schema, schemas, &mut wanted)))
            .collect();
        let mut object = json!({ "fields": fields });
        if let Some(required) = schema.get("required") {
            object["required"] = sorted(required);
        }
        trimmed.insert(short.to_owned(), object);
    }
    trimmed
}

fn kind(schema: &Value, schemas: &Map<String, Value>, wanted: &mut Vec<String>) -> Value {
    let reference = schema.get("$ref").or_else(|| schema.pointer("/allOf/0/$ref"));
    if let Some(reference) = reference {
        let name = reference.as_str().and_then(|path| path.rsplit('/').next()).expect("a reference names a schema");
        let target = &schemas[name];
        return match short(name) {
            "Quantity" => json!({"type": "quantity"}),
            "IntOrString" => json!({"type": "intOrString"}),
            _ if target["type"] != "object" => kind(target, schemas, wanted),
            _ if target.get("properties").is_none() => json!({"type": "any"}),
            short => {
                wanted.push(name.to_owned());
                json!({"ref": short})
            }
        };
    }
    match schema["type"].as_str() {
        Some("array") => {
            let mut list = Map::new();
            let patch_key = schema.get("x-kubernetes-patch-merge-key").map(|key| json!([key]));
            if let Some(keys) = schema.get("x-kubernetes-list-map-keys").cloned().or(patch_key) {
                list.insert("keys".into(), sorted(&keys));
            }
            list.insert("list".into(), kind(&schema["items"], schemas, wanted));
            list.into()
        }
        Some("object") => match schema.get("additionalProperties") {
            Some(value) => json!({"map": kind(value, schemas, wanted)}),
            None => json!({"type": "any"}),
        },
        other => {
            let mut scalar = Map::new();
            if let Some(allowed) = schema.get("enum") {
                scalar.insert("enum".into(), sorted(allowed));
            }
            let name = if other == Some("integer") {
                schema.get("format").unwrap_or(&schema["type"])
            } else {
                &schema["type"]
            };
            scalar.insert("type".into(), name.clone());
            scalar.into()
        }
    }
}

fn short(name: &str) -> &str {
    name.rsplit('.').next().unwrap_or(name)
}

fn sorted(list: &Value) -> Value {
    let mut items = list.as_array().expect("a list").clone();
    items.sort_by_key(ToString::to_string);
    items.into()
}
