//! Templates around their pods: the schema of the custom resources, which has all descriptions, and beside it what that
//! leaves to the engine, because the engine says it better than an API server.

use pillion_engine::template::{TemplateName, fields};
use pillion_engine::yaml;
use serde_json::{Map, Value, json};

use super::pod::reference;
use super::{LABEL, nothing, object, set};

/// The definitions of the two kinds, which differ in what they are called alone.
const RESOURCES: &str = include_str!("../../../charts/pillion/files/crds.yaml");

/// The schema of a template of either kind, but for the types of its pod.
pub(super) fn template() -> Value {
    let resources = yaml::read(RESOURCES).into_iter();
    let resources: Vec<_> =
        resources.map(|it| it.expect("the definitions are YAML").to_json()["spec"].take()).collect();
    let (group, version) = (&resources[0]["group"], &resources[0]["versions"][0]);
    let kinds: Vec<_> = resources.iter().map(|it| &it["names"]["kind"]).collect();
    let is_namespaced = resources.iter().find(|it| it["scope"] == "Namespaced").map(|it| &it["names"]["kind"]);
    let api_version = [group, &version["name"]].map(|it| it.as_str().unwrap_or_default()).join("/");
    let of_resource = &version["schema"]["openAPIV3Schema"]["properties"];
    json!({
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "Pillion template",
        "type": "object",
        "properties": {
            "apiVersion": {"const": api_version, "description": "The version of the format."},
            "kind": {
                "enum": kinds,
                "description": "ClusterInjectionTemplate: for all namespaces. InjectionTemplate: for metadata.namespace alone.",
            },
            "metadata": metadata(),
            "spec": spec(&of_resource["spec"]),
            "status": {"description": of_resource["status"]["description"], "doNotSuggest": true},
        },
        "required": ["apiVersion", "kind", "metadata", "spec"],
        "additionalProperties": false,
        "if": {"properties": {"kind": {"const": is_namespaced}}, "required": ["kind"]},
        "then": {"properties": {"metadata": {"required": ["namespace"]}}},
    })
}

/// The fields of an object of the format.
fn fields_of(object: &str) -> impl Iterator<Item = &'static str> {
    fields().into_iter().filter(move |(of, _)| *of == object).flat_map(|(_, fields)| fields)
}

/// What must be of a text that is a name.
fn label() -> Value {
    let message = "".parse::<TemplateName>().expect_err("a name is not empty");
    json!({"pattern": format!("^{LABEL}$"), "patternErrorMessage": message})
}

fn metadata() -> Value {
    let strings = |what: &str| {
        let description = format!("The {what} of the template itself; pods do not get them.");
        json!({"type": ["object", "null"], "description": description, "additionalProperties": {"type": "string"}})
    };
    let fields = fields_of("metadata").map(|field| (field.to_owned(), json!({"doNotSuggest": true})));
    let mut metadata = object(fields.collect());
    let description = "The template's own name, labels and annotations.";
    set(&mut metadata, json!({"type": "object", "required": ["name"], "description": description}));
    let described = json!({
        "name": {"type": "string", "description": "The name by which pods ask for it: a DNS label."},
        "namespace": {"type": ["string", "null"], "description": "The one namespace of an InjectionTemplate."},
        "labels": strings("labels"),
        "annotations": strings("annotations"),
    });
    set(&mut metadata["properties"], described);
    set(&mut metadata["properties"]["name"], label());
    metadata
}

fn spec(of_resource: &Value) -> Value {
    let mut spec = own(of_resource);
    for (place, more) in beside(of_resource) {
        let schema = spec.pointer_mut(place).unwrap_or_else(|| unreachable!("the resources have {place}"));
        set(schema, more);
    }
    spec
}

/// A schema of the custom resources as one of JSON, with no other fields than it names.
fn own(schema: &Value) -> Value {
    let mut members = Map::new();
    for (key, value) in schema.as_object().into_iter().flatten() {
        let value = match key.as_str() {
            "nullable" | "format" => continue,
            key if key.starts_with("x-kubernetes-") => continue,
            "type" if schema["nullable"] == true => json!([value, "null"]),
            "description" => value.as_str().unwrap_or_default().replace('\n', " ").into(),
            "properties" => {
                value.as_object().into_iter().flatten().map(|(name, schema)| (name.clone(), own(schema))).collect()
            }
            "items" | "additionalProperties" => own(value),
            _ => value.clone(),
        };
        members.insert(key.clone(), value);
    }
    if members.contains_key("properties") {
        members.insert("additionalProperties".to_owned(), false.into());
    }
    members.into()
}

/// What the engine asks beside that, by place in the schema of `spec`.
#[rustfmt::skip]
fn beside(of_resource: &Value) -> Vec<(&'static str, Value)> {
    let condition = json!({
        "pattern": r"^(?!\s*\$\{\{)",
        "patternErrorMessage": "is an expression itself: leave ${{ and }} out",
    });
    let one_of = |fields: &[&str]| -> Value {
        fields.iter().map(|field| json!({"required": [field], "properties": {*field: {"type": "string"}}})).collect()
    };
    let any_of = |fields: [&str; 2]| -> Value { fields.iter().map(|field| json!({"required": [field]})).collect() };
    let of_pod = json!({"metadata": reference("metadata"), "spec": reference("PodSpec")});
    let of_entry = &of_resource["properties"]["app"]["items"]["properties"];
    let of_app = fields_of("spec.app[]").filter(|field| of_entry.get(field).is_none());
    let of_app = of_app.map(|field| (field.to_owned(), reference(&format!("Container/properties/{field}"))));
    let glob = json!({
        "pattern": "^[-a-z0-9*]*$",
        "patternErrorMessage": "must be the name of a container, in which * stands for any text",
    });
    vec![
        ("", json!({"type": "object", "anyOf": any_of(["pod", "app"])})),
        ("/properties/when", condition.clone()),
        ("/properties/os/items", json!({"enum": ["linux", "windows"]})),
        ("/properties/shares/items", json!({"type": ["string", "null"]})),
        ("/properties/placement", json!({"oneOf": one_of(&["position", "before", "after"])})),
        ("/properties/placement/properties/position", json!({"enum": ["BeforeInit", "AfterInit", null]})),
        ("/properties/placement/properties/before", label()),
        ("/properties/placement/properties/after", label()),
        ("/properties/namespaceSelector/properties/matchExpressions/items", requirement()),
        ("/properties/namespaceSelector/properties/matchExpressions/items/properties/operator", json!({"enum": ["In", "NotIn", "Exists", "DoesNotExist"]})),
        ("/properties/pod", json!({"type": ["object", "null"], "properties": of_pod, "additionalProperties": false})),
        ("/properties/app/items", json!({"anyOf": any_of(["containers", "initContainers"])})),
        ("/properties/app/items/properties", of_app.collect()),
        ("/properties/app/items/properties/when", condition),
        ("/properties/app/items/properties/containers/items", glob.clone()),
        ("/properties/app/items/properties/initContainers/items", glob),
        ("/properties/parameters/items", parameter()),
        ("/properties/parameters/items/properties/name", json!({"pattern": "^[a-z][a-zA-Z0-9]{0,62}$", "patternErrorMessage": "must be lowerCamelCase letters and digits, such as logDir"})),
        ("/properties/parameters/items/properties/type", json!({"type": "string", "enum": TYPES.map(|(name, _, _)| name)})),
        ("/properties/parameters/items/properties/enum", json!({"type": ["array", "null"], "minItems": 1})),
        ("/properties/parameters/items/properties/maxLength", json!({"minimum": 0})),
        ("/properties/parameters/items/properties/settableBy", json!({"enum": ["Pod", "Namespace", "Nobody", null]})),
    ]
}

/// The types of parameters: what a value of each is in JSON, and what its least and greatest are, if it can have these.
const TYPES: [(&str, &[&str], &[&str]); 8] = [
    ("string", &["string"], &[]),
    ("integer", &["integer"], &["number"]),
    ("number", &["number"], &["number"]),
    ("boolean", &["boolean"], &[]),
    ("quantity", &["string", "number"], &["string", "number"]),
    ("duration", &["string", "number"], &["string", "number"]),
    ("object", &["object"], &[]),
    ("list", &["array"], &[]),
];

/// What a parameter may have beside its type.
fn parameter() -> Value {
    let of_type = TYPES.iter().map(|(name, value, bound)| {
        let or_null = |types: &[&str]| json!({"type": ([types, &["null"]].concat())});
        let bound = if bound.is_empty() {
            nothing("only applies to numbers, quantities and durations")
        } else {
            or_null(bound)
        };
        let mut fields = json!({
            "default": or_null(value),
            "example": or_null(value),
            "enum": {"items": {"type": value}},
            "minimum": bound,
            "maximum": bound,
        });
        if *name != "string" {
            let only_strings = nothing("only applies to strings");
            set(&mut fields, json!({"pattern": only_strings, "maxLength": only_strings}));
        }
        json!({"if": {"properties": {"type": {"const": name}}, "required": ["type"]}, "then": {"properties": fields}})
    });
    json!({"required": ["name", "type"], "allOf": of_type.collect::<Value>()})
}

/// What an item of a selector's `matchExpressions` may have beside its operator.
fn requirement() -> Value {
    let compares = json!({"properties": {"operator": {"enum": ["In", "NotIn"]}}});
    json!({
        "if": compares,
        "then": {"required": ["values"], "properties": {"values": {"minItems": 1}}},
        "else": {"properties": {"values": {"maxItems": 0}}},
    })
}
