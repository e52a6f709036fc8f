//! Golden cases: each folder of a chapter of `tests/golden/` holds a pod, templates and perhaps a namespace, and beside them
//! what comes out. Where it has no file of its own the chapter's counts, or else that of all; where there are no templates,
//! the cookbook's. What comes out of each file of `examples/` with the cookbook is in `examples/injected/`.
//! `UPDATE_GOLDEN=1` writes all of that anew.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use pillion_engine::admission::Review;
use pillion_engine::catalog::{Catalog, Namespace};
use pillion_engine::decision::Decision;
use pillion_engine::load;
use pillion_engine::response;
use pillion_engine::template::OnError;
use serde::Serialize;
use serde_json::value::to_raw_value;
use serde_json::{Value, json};

use crate::harness::cookbook::{self, Example};

#[test]
fn every_case_comes_out_as_written() {
    let cases = Case::all();
    assert!(!cases.is_empty());
    let mut wrong = Vec::new();
    for case in cases {
        let result = serde_saphyr::to_string(&run(&case)).expect("a result is plain data");
        wrong.extend(compare(&case.folder.join("expected.yaml"), &result));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_example_comes_out_as_written() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let catalog = cookbook::catalog(OnError::Deny);
    let mut wrong = Vec::new();
    for Example { name, pod, .. } in cookbook::examples() {
        let raw = to_raw_value(pod).expect("JSON");
        let decision = pillion_engine::review(&catalog, &Namespace::named("shop"), &Review::of_pod("shop", &raw));
        assert_eq!(decision.outcome.as_str(), "injected", "{name}: {:?}", decision.message);
        assert_eq!(decision.warnings, [], "{name}");
        let result = serde_saphyr::to_string(&applied(pod, &decision)).expect("a pod is plain data");
        wrong.extend(compare(&root.join(format!("examples/injected/{name}.yaml")), &result));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_copy_of_an_injected_example_that_lost_our_annotations_is_left_as_it_is() {
    let catalog = cookbook::catalog(OnError::Deny);
    let review = |pod: &Value| {
        let raw = to_raw_value(pod).expect("JSON");
        pillion_engine::review(&catalog, &Namespace::named("shop"), &Review::of_pod("shop", &raw))
    };
    let without_ours = |mut pod: Value| {
        let annotations = pod["metadata"]["annotations"].as_object_mut().expect("it has annotations");
        annotations.retain(|key, _| key != "pillion.dev/status" && key != "pillion.dev/outcome");
        pod
    };
    for Example { name, pod, .. } in cookbook::examples() {
        let copy = without_ours(applied(pod, &review(pod)));
        let decision = review(&copy);
        assert_eq!(decision.outcome.as_str(), "skipped", "{name}: {:?}", decision.message);
        assert_eq!(decision.warnings, [], "{name}");
        assert_eq!(without_ours(applied(&copy, &decision)), copy, "{name}");
    }
}

/// How a result differs from the file that says what was expected.
fn compare(file: &Path, result: &str) -> Option<String> {
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::create_dir_all(file.parent().expect("a file is in a folder")).expect("the folder is writable");
        fs::write(file, result).expect("the file is writable");
    }
    let expected = fs::read_to_string(file).unwrap_or_default();
    (expected != result).then(|| {
        let diff = similar::TextDiff::from_lines(expected.as_str(), result).unified_diff().to_string();
        format!("{}\n{diff}", file.display())
    })
}

/// What comes out of a case.
#[derive(Serialize)]
struct Outcome {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    refused: Vec<String>,
    outcome: &'static str,
    reason: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    templates: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pod: Option<Value>,
}

/// The files of one case.
pub(crate) struct Case {
    pub(crate) folder: PathBuf,
}

impl Case {
    /// Every case, in order.
    pub(crate) fn all() -> Vec<Case> {
        let folders = |of: &Path| -> Vec<PathBuf> {
            let entries = fs::read_dir(of).expect("the folder is there").flatten().map(|entry| entry.path());
            entries.filter(|path| path.is_dir()).collect()
        };
        let chapters = folders(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden"));
        let mut all: Vec<_> = chapters.iter().flat_map(|chapter| folders(chapter)).collect();
        all.sort();
        all.into_iter().map(|folder| Case { folder }).collect()
    }

    /// A file of its own, or else of its chapter or of all.
    pub(crate) fn read(&self, file: &str) -> Option<String> {
        self.folder.ancestors().take(3).find_map(|folder| fs::read_to_string(folder.join(file)).ok())
    }

    /// The same, as data.
    pub(crate) fn parse(&self, file: &str) -> Option<Value> {
        let parsed = serde_saphyr::from_str(&self.read(file)?);
        Some(parsed.unwrap_or_else(|error| panic!("{}/{file}: {error}", self.folder.display())))
    }

    pub(crate) fn namespace(&self) -> Namespace {
        self.parse("namespace.yaml").map_or_else(|| Namespace::named("shop"), |object| Namespace::from_object(&object))
    }
}

fn run(case: &Case) -> Outcome {
    let folder = &case.folder;
    let (catalog, refused) = catalog(case);
    let (mut pod, namespace) = (case.parse("pod.yaml").expect("a case has a pod"), case.namespace());
    let has_digests = fill_in_digests(&mut pod, &catalog, &namespace);
    let decide = |pod: &Value| {
        let pod = to_raw_value(pod).expect("JSON");
        pillion_engine::review(&catalog, &namespace, &Review::of_pod("shop", &pod))
    };
    let decision = decide(&pod);
    let mut explained = explain(&catalog, &namespace, &pod);
    explained.templates.iter_mut().for_each(|template| template.places.clear());
    assert_eq!(explained, decision, "{}: who asks why gets the same", folder.display());
    let result = applied(&pod, &decision);
    if decision.allowed() {
        let again = decide(&result);
        assert!(again.patch.is_empty(), "{}: the second pass gives {}", folder.display(), again.patch.json);
        assert_eq!(decide(&pod), decision, "{}: the same review gives the same bytes", folder.display());
    }
    require(&catalog, &pod, folder);
    let warnings = response::warnings(&decision);
    Outcome {
        refused,
        outcome: decision.outcome.as_str(),
        reason: decision.reason.as_str(),
        message: decision.message,
        templates: decision
            .templates
            .iter()
            .map(|it| (it.name.to_string(), format!("{}: {}", it.outcome, it.reason)))
            .collect(),
        warnings,
        pod: (result != pod).then(|| readable(result, &pod, has_digests)),
    }
}

/// Nor does a second call change anything where the namespace requires what a pod asks for, and so believes no status.
fn require(catalog: &Catalog, pod: &Value, folder: &Path) {
    let required = pod.pointer("/metadata/annotations/pillion.dev~1templates").and_then(Value::as_str);
    let annotations = json!({"pillion.dev/required-templates": required.unwrap_or_default()});
    let namespace = Namespace::from_object(&json!({"metadata": {"name": "shop", "annotations": annotations}}));
    let decide = |pod: &Value| {
        let pod = to_raw_value(pod).expect("JSON");
        pillion_engine::review(catalog, &namespace, &Review::of_pod("shop", &pod))
    };
    let decision = decide(pod);
    if decision.allowed() {
        let again = decide(&applied(pod, &decision));
        assert!(again.patch.is_empty(), "{}: required, the second pass gives {}", folder.display(), again.patch.json);
    }
}

fn explain(catalog: &Catalog, namespace: &Namespace, pod: &Value) -> Decision {
    let pod = to_raw_value(pod).expect("JSON");
    let review = Review::of_pod("shop", &pod);
    let selection = pillion_engine::select(catalog, namespace, &review);
    selection.map_or_else(|decision| *decision, |selection| selection.explain(catalog))
}

const STATUS: &str = "/metadata/annotations/pillion.dev~1status";

/// Puts the digests that a status would have now in the place of `<digest>`. Whether there were any.
fn fill_in_digests(pod: &mut Value, catalog: &Catalog, namespace: &Namespace) -> bool {
    let written = pod.pointer(STATUS).and_then(Value::as_str).unwrap_or_default();
    if !written.contains("<digest>") {
        return false;
    }
    let mut status: Value = serde_json::from_str(written).expect("a status with digests is JSON");
    let mut bare = json!({
        "metadata": {"annotations": pod["metadata"]["annotations"], "labels": pod["metadata"]["labels"]},
        "spec": {"containers": [{"name": "any", "image": "any"}]},
    });
    let records = status["templates"].as_array().into_iter().flatten();
    let names: Vec<_> = records.filter_map(|record| record["name"].as_str()).collect();
    let annotations = bare["metadata"]["annotations"].as_object_mut().expect("it has a status");
    annotations.retain(|key, _| key != "pillion.dev/status" && key != "pillion.dev/outcome");
    annotations.insert("pillion.dev/templates".into(), names.join(",").into());
    let raw = to_raw_value(&bare).expect("JSON");
    let injected = applied(&bare, &pillion_engine::review(catalog, namespace, &Review::of_pod("shop", &raw)));
    let now = injected.pointer(STATUS).and_then(Value::as_str).unwrap_or(r#"{"templates": []}"#);
    let now: Value = serde_json::from_str(now).expect("a status is JSON");
    for record in status["templates"].as_array_mut().into_iter().flatten() {
        let of_template = now["templates"].as_array().into_iter().flatten().find(|it| it["name"] == record["name"]);
        for field in ["digest", "parameters"] {
            if record[field] == "<digest>" {
                record[field] = of_template.unwrap_or_else(|| panic!("{} is injected", record["name"]))[field].clone();
            }
        }
    }
    *pod.pointer_mut(STATUS).expect("it was there") = status.to_string().into();
    true
}

/// A pod with the status that was written on it as a tree. Digests say nothing to a reader.
fn readable(mut result: Value, pod: &Value, had_digests: bool) -> Value {
    let was_there = result.pointer(STATUS) == pod.pointer(STATUS);
    if let Some(status) = result.pointer_mut(STATUS).filter(|_| had_digests || !was_there) {
        *status = serde_json::from_str(status.as_str().expect("an annotation is text")).expect("a status is JSON");
        for record in status["templates"].as_array_mut().into_iter().flatten() {
            record["digest"] = "<digest>".into();
            if let Some(parameters) = record.get_mut("parameters") {
                *parameters = "<digest>".into();
            }
        }
    }
    result
}

/// The templates of a case, and what is wrong with those that are refused.
pub(crate) fn catalog(case: &Case) -> (Catalog, Vec<String>) {
    let files = match case.read("templates.yaml") {
        Some(text) => vec![("templates.yaml".to_owned(), text)],
        None => cookbook::recipes().iter().map(|recipe| (recipe.name.clone(), recipe.text.clone())).collect(),
    };
    let mut catalog = Catalog::new(OnError::Deny);
    let mut problems = Vec::new();
    for (file, text) in files {
        for template in load::read(&text, &file) {
            match template {
                Ok(template) => catalog.insert(template.into()),
                Err(refused) => {
                    problems.extend(refused.problems.iter().map(ToString::to_string));
                    if let Some(name) = refused.name {
                        catalog.refuse(name, refused.namespace.as_deref(), refused.problems[0].to_string());
                    }
                }
            }
        }
    }
    (catalog, problems)
}

/// The pod with the decision's patch applied.
pub(crate) fn applied(pod: &Value, decision: &Decision) -> Value {
    let mut pod = pod.clone();
    let patch: json_patch::Patch = serde_json::from_str(&decision.patch.json).expect("a JSON patch");
    json_patch::patch(&mut pod, &patch).expect("the patch applies");
    pod
}
