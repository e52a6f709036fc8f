//! The CustomResourceDefinitions of the two kinds of templates, made from the types below into `charts/pillion/files/`.
//!
//! The types are only the schema and its documentation (`kubectl explain cit.spec`): the engine reads templates, from files
//! and custom resources alike. So the schema keeps unknown fields. If the API server removed a misspelt `matchLabels`, the
//! template would be open to every namespace; as it is, the webhook sees the field and names it.

#![allow(clippy::duplicated_attributes, reason = "each column has a type")]

use std::collections::BTreeMap;
use std::path::Path;
use std::{env, fs};

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResource;
use kube::core::CustomResourceExt as _;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::templates::{TemplateKind, TemplateStatus};

/// A pod with holes: what a template adds, to which containers, under which conditions.
#[derive(Clone, CustomResource, Debug, Deserialize, JsonSchema, Serialize)]
#[kube(
    group = "pillion.dev",
    version = "v1alpha1",
    kind = "ClusterInjectionTemplate",
    shortname = "cit",
    category = "pillion",
    status = "TemplateStatus",
    doc = "A sidecar template that pods in every namespace can ask for, by the annotation pillion.dev/templates.",
    printcolumn(json_path = ".status.conditions[?(@.type==\"Accepted\")].status", name = "Accepted", type_ = "string"),
    printcolumn(json_path = ".status.conditions[?(@.type==\"Accepted\")].reason", name = "Reason", type_ = "string"),
    printcolumn(json_path = ".status.digest", name = "Digest", type_ = "string"),
    printcolumn(
        json_path = ".status.conditions[?(@.type==\"Accepted\")].message",
        name = "Message",
        type_ = "string",
        priority = 1
    ),
    printcolumn(json_path = ".metadata.creationTimestamp", name = "Age", type_ = "date")
)]
#[schemars(extend("x-kubernetes-preserve-unknown-fields" = true))]
#[serde(rename_all = "camelCase")]
struct TemplateSpec {
    /// What the template is for, in a sentence.
    description: Option<String>,
    /// What pods and namespaces can choose: by the annotation <template>.pillion.dev/<parameter>.
    parameters: Option<Vec<Parameter>>,
    /// An expression (CEL, without ${{ }}) that must hold for the pod; otherwise it gets nothing.
    when: Option<String>,
    /// The namespaces that may use the template, by their labels; all of them when there is none.
    namespace_selector: Option<NamespaceSelector>,
    /// What happens to a pod when the template cannot be applied: it is refused, or created without the template.
    /// Default: what the server says.
    on_error: Option<OnError>,
    /// Where added init containers go: {position: BeforeInit} (default), {position: AfterInit}, {before: NAME} or
    /// {after: NAME}.
    placement: Option<Placement>,
    /// Whether the added containers get the pod's API token. Default: true, as Kubernetes does. Written, true says that
    /// they need it, and a pod that declines it is warned of.
    service_account_token: Option<bool>,
    /// Volumes that may be there already, from the pod or from another template.
    shares: Option<Vec<String>>,
    /// Which of the template's volumes may be lost with a node: they are added to the pod's annotation
    /// cluster-autoscaler.kubernetes.io/safe-to-evict-local-volumes.
    safe_to_evict_volumes: Option<Vec<String>>,
    /// The operating systems of pods that the template is for. Default: linux.
    os: Option<Vec<String>>,
    /// Whether the template is for pods on their node's network, too.
    host_network: Option<bool>,
    /// Registries that have copies of the template's images, such as mirror.example.com/docker-hub: where the namespace
    /// requires the template, its containers may have their images from there, too.
    image_mirrors: Option<Vec<String>>,
    /// Whether a namespace may have its own template of this name instead (of a ClusterInjectionTemplate).
    allow_shadowing: Option<bool>,
    /// A partial pod that is merged into the pod: metadata and spec, in Kubernetes' own fields. Values can be
    /// "${{ expression }}".
    #[schemars(schema_with = "any_object")]
    #[serde(default)]
    pod: Option<Value>,
    /// What the pod's own containers receive, entry by entry.
    app: Option<Vec<AppEntry>>,
}

/// A parameter.
#[derive(Clone, Debug, Deserialize, JsonSchema, Serialize)]
#[schemars(extend("x-kubernetes-preserve-unknown-fields" = true))]
#[serde(rename_all = "camelCase")]
struct Parameter {
    /// Its name, in lowerCamelCase.
    name: String,
    /// What it is for.
    description: Option<String>,
    /// What it is: string, integer, number, boolean, quantity, duration, object or list (these two in JSON).
    #[serde(rename = "type")]
    kind: Option<String>,
    /// Its value when nobody sets one.
    #[schemars(schema_with = "anything")]
    #[serde(default)]
    default: Option<Value>,
    /// A value to try the template with when there is no default.
    #[schemars(schema_with = "anything")]
    #[serde(default)]
    example: Option<Value>,
    /// Whether it may be omitted without a default; it is null then.
    optional: Option<bool>,
    /// A regular expression that it must match.
    pattern: Option<String>,
    /// The values that it may have.
    #[schemars(schema_with = "any_list")]
    #[serde(default, rename = "enum")]
    allowed: Option<Value>,
    /// Its least value: a number, a quantity or a duration.
    #[schemars(schema_with = "anything")]
    #[serde(default)]
    minimum: Option<Value>,
    /// Its greatest value: a number, a quantity or a duration.
    #[schemars(schema_with = "anything")]
    #[serde(default)]
    maximum: Option<Value>,
    /// The most characters that it may have.
    max_length: Option<i64>,
    /// Whether its value must never be shown.
    sensitive: Option<bool>,
    /// Who may set it: Pod (default), Namespace or Nobody.
    settable_by: Option<String>,
}

/// A label selector.
#[derive(Clone, Debug, Deserialize, JsonSchema, Serialize)]
#[schemars(extend("x-kubernetes-preserve-unknown-fields" = true))]
#[serde(rename_all = "camelCase")]
struct NamespaceSelector {
    /// Labels that the namespace must have.
    match_labels: Option<BTreeMap<String, String>>,
    /// Requirements that the namespace's labels must meet.
    match_expressions: Option<Vec<Requirement>>,
}

/// A requirement of a label selector.
#[derive(Clone, Debug, Deserialize, JsonSchema, Serialize)]
#[schemars(extend("x-kubernetes-preserve-unknown-fields" = true))]
struct Requirement {
    /// The label's key.
    key: String,
    /// In, NotIn, Exists or DoesNotExist.
    operator: String,
    /// The values, for In and NotIn.
    values: Option<Vec<String>>,
}

/// What happens to a pod when a template cannot be applied.
#[derive(Clone, Debug, Deserialize, JsonSchema, Serialize)]
enum OnError {
    Deny,
    Skip,
}

/// Where added init containers go.
#[derive(Clone, Debug, Deserialize, JsonSchema, Serialize)]
#[schemars(extend("x-kubernetes-preserve-unknown-fields" = true))]
struct Placement {
    /// BeforeInit or AfterInit: before or behind the pod's own init containers.
    position: Option<String>,
    /// Before the container of this name, if it is there.
    before: Option<String>,
    /// Behind the container of this name, if it is there.
    after: Option<String>,
}

/// What some of the pod's own containers receive: env, envFrom, volumeMounts, volumeDevices, ports, probes, lifecycle and
/// resources, in Kubernetes' own fields.
#[derive(Clone, Debug, Deserialize, JsonSchema, Serialize)]
#[schemars(extend("x-kubernetes-preserve-unknown-fields" = true))]
#[serde(rename_all = "camelCase")]
struct AppEntry {
    /// The names of containers, or globs: ["*"] for all of them.
    containers: Option<Vec<String>>,
    /// The names of init containers, or globs.
    init_containers: Option<Vec<String>>,
    /// An expression (CEL, without ${{ }}) that must hold for the container.
    when: Option<String>,
    /// Whether the template's values win over the container's.
    #[serde(rename = "override")]
    overrides: Option<bool>,
}

fn anything(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"x-kubernetes-preserve-unknown-fields": true})
}

fn any_object(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "object", "x-kubernetes-preserve-unknown-fields": true})
}

fn any_list(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "array", "items": {"x-kubernetes-preserve-unknown-fields": true}})
}

/// The definition of the templates of one kind: the schema is the same.
fn definition(kind: TemplateKind) -> CustomResourceDefinition {
    let mut definition = ClusterInjectionTemplate::crd();
    if kind == TemplateKind::Namespaced {
        let resource = kind.resource();
        definition.metadata.name = Some(format!("{}.{}", resource.plural, resource.group));
        definition.spec.scope = "Namespaced".into();
        let names = &mut definition.spec.names;
        names.kind.clone_from(&resource.kind);
        names.plural.clone_from(&resource.plural);
        names.singular = Some(resource.kind.to_lowercase());
        names.short_names = Some(vec!["ijt".into()]);
        let schema = &mut definition.spec.versions[0].schema;
        let schema = schema.as_mut().and_then(|schema| schema.open_api_v3_schema.as_mut()).unwrap();
        schema.title = Some(resource.kind);
        schema.description = Some(
            "A sidecar template that pods in its own namespace can ask for, by the annotation pillion.dev/templates."
                .into(),
        );
    }
    definition
}

#[test]
fn the_chart_holds_the_definitions_made_from_these_types() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("charts/pillion/files/crds.yaml");
    let mut text = String::new();
    for kind in TemplateKind::ALL {
        // A key that holds null would be a difference to what the API server stores.
        let definition: Value = serde_json::to_value(definition(kind)).unwrap();
        let definition = without_nulls(definition);
        text += &format!("---\n{}", serde_saphyr::to_string(&definition).unwrap());
    }
    if env::var_os("UPDATE_CRDS").is_some() {
        fs::write(&file, &text).unwrap();
    }
    assert!(fs::read_to_string(&file).unwrap() == text, "charts/pillion/files/crds.yaml is stale: run `make crds`");
}

fn without_nulls(value: Value) -> Value {
    match value {
        Value::Object(members) => {
            members.into_iter().filter(|(_, it)| !it.is_null()).map(|(key, it)| (key, without_nulls(it))).collect()
        }
        Value::Array(items) => items.into_iter().map(without_nulls).collect(),
        other => other,
    }
}

#[test]
fn the_schema_is_structural_and_keeps_unknown_fields_below_spec() {
    for kind in TemplateKind::ALL {
        let definition = serde_json::to_value(definition(kind)).unwrap();
        let spec = &definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"];
        let mut pending = vec![("spec".to_owned(), spec)];
        while let Some((path, schema)) = pending.pop() {
            let keeps = schema["x-kubernetes-preserve-unknown-fields"] == json!(true);
            assert!(schema.get("type").is_some() || keeps, "{path} has no type");
            let is_map = schema.get("additionalProperties").is_some();
            assert!(schema["type"] != "object" || keeps || is_map, "{path} does not keep unknown fields");
            for (name, property) in schema["properties"].as_object().into_iter().flatten() {
                pending.push((format!("{path}.{name}"), property));
            }
            pending.extend(schema.get("items").map(|items| (format!("{path}[]"), items)));
        }
    }
}
