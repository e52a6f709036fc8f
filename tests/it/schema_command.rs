//! `pillion schema`, opened with a validator: it takes what the engine takes, and what it refuses the engine refuses too.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use jsonschema::Validator;
use pillion_engine::load::{self, Refused};
use pillion_engine::template::{Template, fields};
use pillion_engine::yaml::{self, Node};
use serde_json::{Value, json};

use crate::harness::cookbook;
use crate::harness::tools::run;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

static SCHEMA: LazyLock<Value> = LazyLock::new(|| {
    let printed = run(Path::new(env!("CARGO_BIN_EXE_pillion")), ["schema"], "").succeeded();
    serde_json::from_str(&printed).expect("JSON")
});

static VALIDATOR: LazyLock<Validator> =
    LazyLock::new(|| jsonschema::draft7::new(&SCHEMA).unwrap_or_else(|error| panic!("{error}")));

/// What the schema says against a template, one place and sentence a line.
fn said(template: &Value) -> Vec<String> {
    VALIDATOR.iter_errors(template).map(|error| format!("{} {error}", error.instance_path())).collect()
}

fn engine(template: &Value) -> Result<Template, Refused> {
    load::parse(&Node::from(template.clone()), "test.yaml")
}

/// What the engine says against a template.
fn problems(refused: &Refused) -> String {
    refused.problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

/// Whether the engine passes on a field that it does not know, which the schema refuses: it is most likely misspelt.
fn has_newer_field(template: &Template) -> bool {
    template.warnings.iter().any(|warning| warning.message.starts_with("is no field of"))
}

/// Whether the template's own labels and annotations are what an API server takes; the engine does not read them.
fn has_texts_in_metadata(template: &Value) -> bool {
    let maps = ["labels", "annotations"].into_iter().map(|map| &template["metadata"][map]);
    maps.into_iter().all(|map| map.is_null() || map.as_object().is_some_and(|map| map.values().all(Value::is_string)))
}

/// Fails if the schema refuses what the engine takes. Tells whether the schema refuses it.
#[track_caller]
fn is_refused(template: &Value) -> bool {
    let said = said(template);
    if let Some(first) = said.first()
        && let Ok(accepted) = engine(template)
    {
        let is_listed = has_newer_field(&accepted) || !has_texts_in_metadata(template);
        assert!(is_listed, "the engine takes what the schema refuses: {first}\n{template:#}");
    }
    !said.is_empty()
}

fn files(folder: &str, end: &str) -> Vec<PathBuf> {
    let mut pending = vec![Path::new(ROOT).join(folder)];
    let mut files = Vec::new();
    while let Some(path) = pending.pop() {
        if path.is_dir() {
            pending.extend(fs::read_dir(&path).expect("a folder").map(|entry| entry.expect("an entry").path()));
        } else if path.extension().is_some_and(|it| it == end) {
            files.push(path);
        }
    }
    files.sort();
    files
}

/// The templates of a text in YAML.
fn templates_of(text: &str) -> Vec<Value> {
    let documents = yaml::read(text).into_iter().flatten().map(|node| node.to_json());
    documents.filter(|it| it["kind"].as_str().is_some_and(|kind| kind.ends_with("InjectionTemplate"))).collect()
}

/// The blocks of YAML in a page.
fn blocks(page: &str) -> Vec<&str> {
    let blocks = page.split("```yaml\n").skip(1).filter_map(|rest| rest.split_once("\n```"));
    blocks.map(|(block, _)| block).collect()
}

#[test]
fn it_is_a_schema_of_draft_07() {
    assert_eq!(SCHEMA["$schema"], "http://json-schema.org/draft-07/schema#");
    let said = jsonschema::draft7::meta::validate(&SCHEMA).map_err(|error| error.to_string());
    assert_eq!(said, Ok(()));
}

#[test]
fn what_the_engine_accepts_of_the_cookbook_the_pages_and_the_tests_is_valid() {
    let mut templates = Vec::new();
    for folder in ["manifests/templates", "tests/golden", "tests/fixtures", "examples"] {
        let texts = files(folder, "yaml").into_iter().map(|path| fs::read_to_string(path).expect("text"));
        templates.extend(texts.flat_map(|text| templates_of(&text)));
    }
    let from_files = templates.len();
    for page in files("docs", "md").into_iter().chain([Path::new(ROOT).join("README.md")]) {
        let page = fs::read_to_string(page).expect("text");
        templates.extend(blocks(&page).into_iter().flat_map(templates_of));
    }
    assert!(from_files > 300 && templates.len() - from_files >= 2, "{from_files} of {}", templates.len());
    let (mut accepted, mut refused) = (0, 0);
    for template in &templates {
        match engine(template) {
            Ok(_) => accepted += 1,
            Err(_) => refused += 1,
        }
        is_refused(template);
    }
    assert!(accepted > 300 && refused > 20, "{accepted} accepted, {refused} refused");
}

/// A template with something of each kind, as its page shows it.
fn whole() -> Value {
    let page = fs::read_to_string(Path::new(ROOT).join("docs/templates.md")).expect("text");
    let mut template = templates_of(blocks(&page)[0]).remove(0);
    let spec = &mut template["spec"];
    spec["namespaceSelector"] =
        json!({"matchLabels": {"team": "a"}, "matchExpressions": [{"key": "a", "operator": "Exists"}]});
    spec["os"] = json!(["linux"]);
    spec["onError"] = json!("Skip");
    template
}

/// The template with another value at a place, as `Value::pointer_mut` has it, or with nothing there.
fn changed(mut template: Value, place: &str, value: &Option<Value>) -> Value {
    let (above, name) = place.rsplit_once('/').expect("a place");
    let above = template.pointer_mut(above).unwrap_or_else(|| panic!("there is no {place}"));
    match (above, value) {
        (Value::Object(members), Some(value)) => drop(members.insert(name.to_owned(), value.clone())),
        (Value::Object(members), None) => drop(members.remove(name).unwrap_or_else(|| panic!("there is no {place}"))),
        (Value::Array(items), Some(value)) => items[name.parse::<usize>().expect("a number")] = value.clone(),
        (above, _) => panic!("{above} holds no {name}"),
    }
    template
}

#[test]
fn wrong_templates_are_refused_by_the_schema_and_by_the_engine() {
    const SIDE: &str = "/spec/pod/spec/initContainers/0";
    assert_eq!(said(&whole()), [""; 0]);
    assert!(engine(&whole()).is_ok());
    let of_sidecar = |place: &str, value: Value| (format!("{SIDE}/{place}"), Some(value));
    let of_spec = |place: &str, value: Value| (format!("/spec/{place}"), Some(value));
    let wrong = [
        // Of the template itself.
        ("/apiVersion".to_owned(), Some(json!("pillion.dev/v1"))),
        ("/kind".to_owned(), Some(json!("Template"))),
        ("/kind".to_owned(), Some(json!("InjectionTemplate"))),
        ("/spec".to_owned(), None),
        ("/metadata/name".to_owned(), None),
        ("/metadata/name".to_owned(), Some(json!("The_Proxy"))),
        ("/metadata/anotations".to_owned(), Some(json!({}))),
        of_spec("descripton", json!("x")),
        of_spec("description", json!(1)),
        of_spec("when", json!("${{ params.port > 1 }}")),
        of_spec("onError", json!("deny")),
        of_spec("os", json!(["macos"])),
        of_spec("os", json!("linux")),
        of_spec("hostNetwork", json!("true")),
        of_spec("placement", json!({"position": "First"})),
        of_spec("placement", json!({"before": "a", "after": "b"})),
        of_spec("placement", json!({"behind": "a"})),
        of_spec("shares", json!("sockets")),
        of_spec("namespaceSelector", json!({"matchLabel": {"team": "a"}})),
        of_spec("namespaceSelector", json!({"matchLabels": {"team": 1}})),
        of_spec("namespaceSelector", json!({"matchExpressions": [{"key": "a", "operator": "Has"}]})),
        of_spec("namespaceSelector", json!({"matchExpressions": [{"key": "a", "operator": "In"}]})),
        // Of parameters.
        of_spec("parameters/0/nmae", json!("x")),
        of_spec("parameters/0/name", json!("log-dir")),
        of_spec("parameters/0/type", json!("int")),
        ("/spec/parameters/0/type".to_owned(), None),
        of_spec("parameters/0/default", json!("8081")),
        of_spec("parameters/0/pattern", json!("^/")),
        of_spec("parameters/0/settableBy", json!("Pods")),
        of_spec("parameters/0/enum", json!([])),
        of_spec("parameters/3/maximum", json!([])),
        // Of the pod.
        of_spec("pod", json!({"initContainers": []})),
        of_spec("pod/metadata", json!({"name": "web"})),
        of_spec("pod/metadata", json!({"labels": {"app": 1}})),
        of_spec("pod/metadata", json!({"annotations": {"pillion.dev/inject": "disabled"}})),
        of_spec("pod/metadata", json!({"annotations": {"${{ params.memory }}": "x"}})),
        of_spec("pod/spec", json!("${{ params.upstreams }}")),
        of_spec("pod/spec/nodeName", json!("node-1")),
        of_spec("pod/spec/priorityClassName", json!("high")),
        of_spec("pod/spec/serviceAccountName", json!("${{ params.memory }}")),
        of_spec("pod/spec/ephemeralContainers", json!([])),
        of_spec("pod/spec/hostname", json!(5)),
        of_spec("pod/spec/terminationGracePeriodSeconds", json!("30")),
        of_spec("pod/spec/initContainers", json!("${{ params.upstreams }}")),
        of_spec("pod/spec/initContainers", json!(["${{ params.upstreams }}"])),
        (format!("{SIDE}/image"), None),
        (format!("{SIDE}/name"), None),
        of_sidecar("name", json!("The Proxy")),
        of_sidecar("imgae", json!("proxy:1")),
        of_sidecar("image", json!("")),
        of_sidecar("args", json!("--listen")),
        of_sidecar("args", json!("a ${{ params.upstreams }}")),
        of_sidecar("args/0", json!(8081)),
        of_sidecar("tty", json!("yes")),
        of_sidecar("imagePullPolicy", json!("always")),
        of_sidecar("restartPolicy", json!("always")),
        of_sidecar("env", json!([{"value": "x"}])),
        of_sidecar("env", json!([{"name": "A", "valueFrom": {"secretKeyRef": {"name": "a"}}}])),
        of_sidecar("ports/0/containerPort", json!("8081")),
        of_sidecar("ports/0/containerPort", json!(80810)),
        of_sidecar("ports/0/protocol", json!("tcp")),
        of_sidecar("startupProbe/periodSeconds", json!(-1)),
        of_sidecar("startupProbe/exec", json!({"command": []})),
        of_sidecar("resources/limits/memory", json!("64MB")),
        of_sidecar("resources/limits", json!({"${{ params.memory }}": 1})),
        of_sidecar("securityContext", json!({"runAsUser": "root"})),
        of_sidecar("volumeMounts/0/mountPath", json!(true)),
        of_spec("pod/spec/volumes/0/emptyDir", json!("")),
        of_spec("pod/spec/volumes/0/emptyDir", json!({"sizeLimit": "1 Gi"})),
        // Of what the app gets.
        ("/spec/app/0/containers".to_owned(), None),
        of_spec("app/0/containers", json!("*")),
        of_spec("app/0/containers", json!(["Web?"])),
        of_spec("app/0/image", json!("app:1")),
        of_spec("app/0/securityContext", json!({})),
        of_spec("app/0/env/0", json!({"nmae": "A"})),
        of_spec("app/0/override", json!("yes")),
        of_spec("app/1/readinessProbe", json!([])),
    ];
    assert!(wrong.len() >= 25);
    for (place, value) in wrong {
        let template = changed(whole(), &place, &value);
        assert!(!said(&template).is_empty(), "the schema takes {place} {value:?}");
        assert!(engine(&template).is_err(), "the engine takes {place} {value:?}");
    }
}

/// The places of all values in a template.
fn places(value: &Value, place: String, all: &mut Vec<String>) {
    let step = |name: &str| format!("{place}/{}", name.replace('~', "~0").replace('/', "~1"));
    match value {
        Value::Object(members) => members.iter().for_each(|(name, value)| places(value, step(name), all)),
        Value::Array(items) => items.iter().enumerate().for_each(|(at, it)| places(it, step(&at.to_string()), all)),
        _ => {}
    }
    all.push(place);
}

#[test]
fn whatever_else_stands_at_a_place_the_schema_refuses_no_more_than_the_engine() {
    let templates = ["fluent-bit", "git-sync"].map(|name| cookbook::recipe(name).text.as_str());
    let templates = templates.into_iter().flat_map(templates_of).chain([whole()]);
    let others = [
        Value::Null,
        json!(""),
        json!("a-1"),
        json!(7),
        json!(-1.5),
        json!(true),
        json!([]),
        json!({}),
        json!(["a"]),
        json!({"name": "a"}),
        json!("${{ 1 }}"),
        json!("a ${{ 'b' }}"),
        json!("$${{"),
    ];
    let (mut tried, mut refused) = (0, 0);
    for template in templates {
        let mut all = Vec::new();
        places(&template, String::new(), &mut all);
        for (at, place) in all.iter().enumerate() {
            // Each value stands at some place of each kind; all of them at all places would take minutes.
            for other in others.iter().skip(at % 4).step_by(4) {
                let mut template = template.clone();
                *template.pointer_mut(place).expect("it is there") = other.clone();
                tried += 1;
                refused += usize::from(is_refused(&template));
            }
        }
    }
    assert!(tried > 1000 && refused > tried / 4, "{refused} of {tried}");
}

#[test]
fn the_schema_has_the_fields_that_the_engine_knows_and_no_others() {
    for (object, fields) in fields() {
        let steps = object.split('.').filter(|step| !step.is_empty());
        let schema = steps.fold(&*SCHEMA, |schema, step| match step.strip_suffix("[]") {
            Some(list) => &schema["properties"][list]["items"],
            None => &schema["properties"][step],
        });
        let known: BTreeSet<_> = schema["properties"].as_object().expect(object).keys().map(String::as_str).collect();
        assert_eq!(known, BTreeSet::from_iter(fields), "{object}");
        assert_eq!(schema["additionalProperties"], false, "{object}");
    }
}

#[test]
fn the_words_of_the_schema_are_those_of_the_engine() {
    for place in [
        "/kind",
        "/spec/onError",
        "/spec/placement/position",
        "/spec/parameters/0/type",
        "/spec/parameters/0/settableBy",
        "/spec/namespaceSelector/matchExpressions/0/operator",
    ] {
        let mut template = whole();
        template["spec"]["placement"] = json!({});
        let refused = engine(&changed(template, place, &Some(json!("?")))).expect_err(place);
        let problems = problems(&refused);
        let (_, words) = problems.split_once("must be one of ").unwrap_or_else(|| panic!("{place}: {problems}"));
        let words: BTreeSet<_> = words.lines().next().expect("a line").split(", ").collect();
        let steps = place.split('/').skip(1);
        let schema = steps.fold(&*SCHEMA, |schema, step| match step {
            "0" => &schema["items"],
            step => &schema["properties"][step],
        });
        let known = schema["enum"].as_array().expect(place).iter().filter_map(Value::as_str);
        assert_eq!(BTreeSet::from_iter(known), words, "{place}");
    }
}

#[test]
fn an_editor_can_show_what_every_field_of_a_template_is_for() {
    for (object, place) in [
        ("spec", "/properties/spec"),
        ("parameter", "/properties/spec/properties/parameters/items"),
        ("metadata", "/properties/metadata"),
        ("the pod's metadata", "/definitions/metadata"),
    ] {
        let properties = SCHEMA.pointer(place).and_then(|it| it["properties"].as_object()).expect(object);
        for (field, schema) in properties {
            let is_for_servers = schema["doNotSuggest"] == true;
            assert!(
                is_for_servers || field == "spec" || schema["description"].is_string(),
                "{object} {field}: {schema}"
            );
        }
    }
    let why = &SCHEMA["definitions"]["PodSpec"]["properties"]["nodeName"]["errorMessage"];
    assert!(why.as_str().is_some_and(|why| why.starts_with("must not be set in a template")), "{why}");
}
