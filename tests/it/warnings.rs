//! What goes into an answer has bounds, whatever the pod holds, and is the same every time.

use std::collections::HashSet;
use std::sync::Arc;

use pillion_engine::admission::Review;
use pillion_engine::catalog::{Catalog, Namespace};
use pillion_engine::decision::{Decision, Outcome};
use pillion_engine::load::{self, Refused};
use pillion_engine::response;
use pillion_engine::template::{OnError, Template};
use serde_json::value::to_raw_value;
use serde_json::{Map, Value, json};

use crate::golden::Case;

type Loaded = Vec<Result<Arc<Template>, Refused>>;

fn loaded(yaml: &str) -> Loaded {
    load::read(yaml, "templates.yaml").into_iter().map(|template| template.map(Arc::new)).collect()
}

fn catalog<'a>(templates: impl IntoIterator<Item = &'a Result<Arc<Template>, Refused>>) -> Catalog {
    let mut catalog = Catalog::new(OnError::Skip);
    for template in templates {
        match template {
            Ok(template) => catalog.insert(template.clone()),
            Err(Refused { name, namespace, problems }) => {
                if let Some(name) = name {
                    catalog.refuse(name.clone(), namespace.as_deref(), problems[0].to_string());
                }
            }
        }
    }
    catalog
}

fn decide(catalog: &Catalog, pod: &Value) -> Decision {
    let pod = to_raw_value(pod).expect("JSON");
    pillion_engine::review(catalog, &Namespace::named("shop"), &Review::of_pod("shop", &pod))
}

fn template(name: &str, spec: &str) -> String {
    format!(
        "---\napiVersion: pillion.dev/v1alpha1\nkind: ClusterInjectionTemplate\nmetadata: {{name: {name}}}\nspec: {spec}\n"
    )
}

fn pod(annotations: Map<String, Value>) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web", "annotations": annotations},
        "spec": {"containers": [{"name": "web", "image": "web:1"}]},
    })
}

fn asking(templates: &str) -> Map<String, Value> {
    Map::from_iter([("pillion.dev/templates".to_owned(), templates.into())])
}

/// The API server cuts what is longer, and drops what cannot stand in a header.
/// Source: k8s.io/apiserver pkg/endpoints/filters/warning.go.
#[track_caller]
fn assert_can_be_shown(decision: &Decision) {
    let warnings = response::warnings(decision);
    assert!(!warnings.is_empty());
    for warning in &warnings {
        assert!((1..=120).contains(&warning.chars().count()), "{warning:?}");
        assert!(!warning.chars().any(char::is_control), "{warning:?}");
    }
    let all: usize = warnings.iter().map(|warning| warning.chars().count()).sum();
    assert!(all <= 4096, "{all} characters of warnings");
}

const LONG: &str = "aVeryLongNameOfAParameterThatGoesOnAndOnUntilItHasAllTheLettersX";

#[test]
fn templates_that_are_left_out_with_long_names_and_values_give_short_warnings() {
    let names: Vec<String> = (0..32).map(|at| format!("t{at:0>62}")).collect();
    let spec = "{parameters: [{name: port, type: integer, default: 1}], pod: {spec: {initContainers: [{name: a, image: \"a:1\"}]}}}";
    let catalog = catalog(&loaded(&names.iter().map(|name| template(name, spec)).collect::<String>()));
    let mut annotations = asking(&names.join(","));
    for name in &names {
        for (at, value) in ["x".repeat(1024), "é".repeat(500), "a b\n\u{202e}\u{0}".repeat(300)].iter().enumerate() {
            annotations.insert(format!("{name}.pillion.dev/{LONG}{at}"), value.as_str().into());
            annotations.insert(format!("{name}.pillion.dev/port"), value.as_str().into());
        }
    }
    let decision = decide(&catalog, &pod(annotations));
    assert!(decision.templates.iter().all(|template| template.outcome == Outcome::Error), "{:?}", decision.templates);
    assert_can_be_shown(&decision);
    assert!(decision.warnings[0].text.starts_with("skipped: template \"t0000"), "{}", decision.warnings[0].text);
}

#[test]
fn names_that_lead_nowhere_give_short_warnings() {
    let catalog = catalog(&loaded(&template("a", "{app: [{containers: [\"*\"], env: [{name: A, value: b}]}]}")));
    let names: Vec<String> = (0..32).map(|at| format!("{at}{}", "ü\u{7f}\n\"".repeat(1_000))).collect();
    assert_can_be_shown(&decide(&catalog, &pod(asking(&names.join(",")))));
}

#[test]
fn many_stray_keys_give_few_warnings() {
    let catalog = catalog(&loaded(&template("a", "{app: [{containers: [\"*\"], env: [{name: A, value: b}]}]}")));
    let mut annotations = asking("a");
    for at in 0..200 {
        annotations.insert(format!("b.pillion.dev/{LONG}\u{1b}[31m{at}"), "".into());
        annotations.insert(format!("pillion.dev/{}{at}", "х".repeat(300)), "".into());
    }
    annotations.insert("pillion.dev/inject".into(), "maybe\u{7}".repeat(1_000).into());
    let decision = decide(&catalog, &pod(annotations));
    assert_eq!(decision.outcome, Outcome::Injected);
    assert_can_be_shown(&decision);
    assert!(decision.warnings.len() < 20, "{:?}", decision.warnings);
}

#[test]
fn what_the_pod_holds_itself_gives_short_warnings() {
    let name = format!("data{}", "\n\u{202e}x".repeat(200));
    let spec = "{parameters: [{name: v, type: string, default: v}, {name: dir, type: string, default: /}], \
                pod: {spec: {volumes: [{name: \"${{ params.v }}\", emptyDir: {}}]}}, \
                app: [{containers: [\"*\"], volumeMounts: [{name: \"${{ params.v }}\", mountPath: \"${{ params.dir }}\"}]}, \
                      {containers: [nobody], env: [{name: A, value: b}]}]}";
    let catalog = catalog(&loaded(&template("a", spec)));
    let mut annotations = asking("a");
    annotations.insert("a.pillion.dev/v".into(), name.as_str().into());
    annotations.insert("a.pillion.dev/dir".into(), format!("/{name}").into());
    let mut pod = pod(annotations);
    pod["spec"]["volumes"] = json!([{"name": name, "emptyDir": {}}, {"name": "mine", "emptyDir": {}}]);
    pod["spec"]["containers"][0]["volumeMounts"] = json!([{"name": "mine", "mountPath": format!("/{name}")}]);
    assert_can_be_shown(&decide(&catalog, &pod));
}

#[test]
fn a_status_of_300_kb_is_answered_and_does_not_stay() {
    let catalog = catalog(&loaded(&template("a", "{pod: {spec: {initContainers: [{name: a, image: \"a:1\"}]}}}")));
    let entries: Vec<_> = (0..10_000).map(|at| format!("/spec/containers/web/env/{at}")).collect();
    for status in [
        json!({"templates": [{"name": "a", "added": entries}]}).to_string(),
        json!({"templates": [{"name": "a", "added": ["x".repeat(300_000)]}]}).to_string(),
        "[".repeat(300_000),
    ] {
        let mut annotations = asking("a");
        annotations.insert("pillion.dev/status".into(), status.into());
        let decision = decide(&catalog, &pod(annotations));
        assert_eq!(decision.outcome, Outcome::Injected, "{:?}", decision.message);
        assert!(decision.patch.json.contains("/spec/initContainers"), "{}", decision.patch.json);
        assert!(decision.patch.json.len() < 1_000, "{} bytes", decision.patch.json.len());
    }
}

#[test]
fn the_order_in_which_files_are_loaded_does_not_show() {
    let mut compared = 0;
    for case in Case::all() {
        let Some(templates) = case.read("templates.yaml") else { continue };
        let templates = loaded(&templates);
        // Of two documents of one name the order of the files decides.
        let names: HashSet<_> = templates.iter().map(name).collect();
        if names.len() < templates.len() {
            continue;
        }
        let pod = to_raw_value(&case.parse("pod.yaml").expect("a case has a pod")).expect("JSON");
        let review = Review::of_pod("shop", &pod);
        let answer = |catalog: &Catalog| {
            response::response(&review, &pillion_engine::review(catalog, &Namespace::named("shop"), &review))
        };
        let forwards = answer(&catalog(&templates));
        assert!(forwards == answer(&catalog(templates.iter().rev())), "{}", case.folder.display());
        compared += 1;
    }
    assert!(compared > 50, "{compared} cases were compared");
}

fn name(template: &Result<Arc<Template>, Refused>) -> Option<(String, Option<String>)> {
    match template {
        Ok(template) => Some((template.name.to_string(), template.namespace.clone())),
        Err(refused) => refused.name.as_ref().map(|name| (name.to_string(), None)),
    }
}
