//! What is made of the chart, and what the chart holds copies of. `make manifests` (`UPDATE_MANIFESTS=1`) writes all of
//! it anew.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;
use std::{env, fs};

use serde_json::{Value, json};

use super::{CHART, Chart, objects, of_kind};
use crate::harness::cookbook::recipes;

/// What only a release of Helm needs.
const OF_HELM: [&str; 4] = ["# Source:", "app.kubernetes.io/managed-by:", "helm.sh/chart:", "helm.sh/resource-policy:"];

const NAMESPACE: &str = "\
# Pillion, without Helm: kubectl apply --server-side -f manifests/install.yaml
# Made of charts/pillion by `make manifests`.
apiVersion: v1
kind: Namespace
metadata:
  name: pillion
  labels:
    pod-security.kubernetes.io/enforce: restricted
";

/// Compares a file with what is committed, or writes it.
#[track_caller]
fn assert_is_generated(file: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    if env::var_os("UPDATE_MANIFESTS").is_some() {
        fs::write(&path, text).expect("the file is writable");
    }
    assert!(fs::read_to_string(&path).unwrap_or_default() == text, "{file} is stale: run make manifests");
}

/// What Helm renders, for people who have no Helm.
fn manifest(chart: &Chart, arguments: &[&str]) -> String {
    let rendered = chart.template(&[&["--skip-tests"], arguments].concat()).succeeded();
    let mut text = String::new();
    for line in rendered.lines().filter(|line| !OF_HELM.iter().any(|it| line.trim_start().starts_with(it))) {
        // Nothing is left of these annotations.
        if line == "  labels:" && text.ends_with("  annotations:\n") {
            text.truncate(text.len() - "  annotations:\n".len());
        }
        writeln!(text, "{}", line.trim_end()).expect("a string takes it");
    }
    text
}

#[test]
fn the_manifests_are_made_of_the_chart() {
    let Some(chart) = Chart::open() else { return };
    let definitions = manifest(&chart, &["--show-only=templates/crds.yaml"]);
    assert_is_generated("manifests/crds.yaml", &definitions);
    let final_check = [
        "--set=finalCheck.enabled=true,misplaced.enabled=true",
        "--show-only=templates/final-check.yaml",
        "--show-only=templates/misplaced.yaml",
    ];
    assert_is_generated("manifests/final-check.yaml", &manifest(&chart, &final_check));
    let install = format!("{NAMESPACE}{}", manifest(&chart, &[]));
    assert_is_generated("manifests/install.yaml", &install);

    // What was taken out of them is nothing that counts.
    let (manifests, rendered) = (objects(&install), chart.render(&["--skip-tests"]));
    assert_eq!(manifests.len(), rendered.len() + 1, "and the namespace");
    assert_eq!(of_kind(&manifests, "CustomResourceDefinition").len(), 2);
    for (manifest, rendered) in manifests[1..].iter().zip(&rendered) {
        for field in ["apiVersion", "kind", "spec", "webhooks", "rules", "subjects"] {
            assert_eq!(manifest[field], rendered[field], "{}", manifest["metadata"]);
        }
    }
}

#[test]
fn the_chart_has_the_cookbook_and_the_licence_of_this_repository() {
    for recipe in recipes() {
        assert_is_generated(&format!("charts/pillion/files/cookbook/{}.yaml", recipe.name), &recipe.text);
    }
    let copies = fs::read_dir(format!("{CHART}/files/cookbook")).expect("the folder is there").count();
    assert_eq!(copies, recipes().len(), "charts/pillion/files/cookbook has a file that the cookbook lacks");
    assert_is_generated("charts/pillion/LICENSE", include_str!("../../../LICENSE"));
}

#[test]
fn the_chart_is_of_the_version_of_the_program() {
    let chart: Value = read("Chart.yaml");
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!((&chart["version"], &chart["appVersion"]), (&json!(version), &json!(version)));
    let images = chart["annotations"]["artifacthub.io/images"].as_str().expect("it names its images");
    let image = &values()["image"];
    let name = [&image["registry"], &image["repository"]].map(|it| it.as_str().expect("text")).join("/");
    assert!(images.contains(&format!("image: {name}:{version}\n")), "{images}");
}

fn read(file: &str) -> Value {
    let text = fs::read_to_string(format!("{CHART}/{file}")).unwrap_or_else(|e| panic!("{file}: {e}"));
    serde_saphyr::from_str(&text).unwrap_or_else(|e| panic!("{file}: {e}"))
}

fn values() -> Value {
    read("values.yaml")
}

/// A value that is told of in `values.yaml`, by `# --` above it.
struct Told {
    path: Vec<String>,
    description: String,
}

fn told() -> Vec<Told> {
    let text = fs::read_to_string(format!("{CHART}/values.yaml")).expect("the file is there");
    let (mut told, mut description, mut path) = (Vec::new(), None::<String>, Vec::<(usize, String)>::new());
    for line in text.lines() {
        let content = line.trim_start();
        let indent = line.len() - content.len();
        if let Some(begin) = content.strip_prefix("# -- ") {
            description = Some(begin.to_owned());
        } else if let Some(more) = content.strip_prefix("# ") {
            if let Some(description) = &mut description {
                write!(description, " {more}").expect("a string takes it");
            }
        } else if let Some((key, _)) = content.split_once(':').filter(|_| !content.starts_with("- ")) {
            path.retain(|(outer, _)| *outer < indent);
            path.push((indent, key.to_owned()));
            if let Some(description) = description.take() {
                told.push(Told { path: path.iter().map(|(_, key)| key.clone()).collect(), description });
            }
        }
    }
    told
}

#[test]
fn every_value_is_told_of() {
    fn leaves(value: &Value, path: &[String], found: &mut Vec<Vec<String>>) {
        match value.as_object().filter(|members| !members.is_empty()) {
            None => found.push(path.to_vec()),
            Some(members) => {
                for (key, value) in members {
                    leaves(value, &[path, std::slice::from_ref(key)].concat(), found);
                }
            }
        }
    }
    let (mut all, told) = (Vec::new(), told());
    leaves(&values(), &[], &mut all);
    for leaf in all {
        assert!(told.iter().any(|told| leaf.starts_with(&told.path)), "{} has no comment `# --`", leaf.join("."));
    }
}

#[test]
fn the_readme_of_the_chart_lists_its_values() {
    const MARK: &str = "<!-- What follows is made of values.yaml by `make manifests`. -->\n";
    let values = values();
    let mut table = String::from("\n| Value | Default | |\n|---|---|---|\n");
    for Told { path, description } in told() {
        let default = path.iter().fold(&values, |value, key| &value[key]).to_string();
        let default = if default.len() > 60 { "see values.yaml".to_owned() } else { format!("`{default}`") };
        writeln!(table, "| `{}` | {default} | {} |", path.join("."), description.replace('|', "\\|"))
            .expect("a string");
    }
    let readme = fs::read_to_string(format!("{CHART}/README.md")).expect("there is one");
    let (text, _) = readme.split_once(MARK).expect("it has the mark");
    assert_is_generated("charts/pillion/README.md", &format!("{text}{MARK}{table}"));
}

/// Objects of Kubernetes' own whose fields the API server checks, or which have none.
const OPEN: [&str; 16] = [
    "affinity",
    "extraEnv[].valueFrom",
    "extraObjects[]",
    "extraVolumeMounts[]",
    "extraVolumes[]",
    "global",
    "livenessProbe",
    "metrics.podMonitor.relabelings[]",
    "metrics.serviceMonitor.relabelings[]",
    "podSecurityContext",
    "readinessProbe",
    "resources.claims[]",
    "securityContext",
    "startupProbe",
    "templates",
    "templates.*",
];

#[test]
fn the_schema_knows_the_values_and_nothing_else() {
    let text = fs::read_to_string(format!("{CHART}/values.schema.json")).expect("there is one");
    let schema: Value = serde_json::from_str(&text).expect("it is JSON");
    let (mut open, mut known) = (BTreeSet::new(), BTreeSet::new());
    let mut pending = vec![(String::new(), &schema)];
    while let Some((path, part)) = pending.pop() {
        let name = part["$ref"].as_str().map(|reference| reference.trim_start_matches("#/definitions/"));
        let part = name.map_or(part, |name| &schema["definitions"][name]);
        let below = |key: &str| if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
        let is_object = part["type"] == "object" || part["type"][0] == "object";
        let is_closed = part["additionalProperties"] == false || part["additionalProperties"]["type"] == "string";
        let is_quantities = part["additionalProperties"]["type"] == json!(["string", "number"]);
        if is_object && !is_closed && !is_quantities {
            open.insert(path.clone());
        }
        for (key, property) in part["properties"].as_object().into_iter().flatten() {
            pending.push((below(key), property));
        }
        pending.extend(part.get("items").map(|items| (format!("{path}[]"), items)));
        pending.extend(part.get("additionalProperties").filter(|it| it.is_object()).map(|it| (below("*"), it)));
        known.insert(path);
    }
    assert_eq!(open, OPEN.map(String::from).into());

    // The other way round, Helm itself refuses what is in values.yaml and not in the schema.
    let values = values();
    let has = |path: &str| path.split('.').try_fold(&values, |value, key| value.get(key)).is_some();
    let told: Vec<_> = told().iter().map(|told| told.path.join(".")).collect();
    let is_inside = |path: &str| told.iter().any(|told| path.starts_with(&format!("{told}.")));
    for path in known.iter().filter(|path| !path.is_empty() && !path.contains(['[', '*'])) {
        assert!(path == "enabled" || has(path) || is_inside(path), "{path} is in no values.yaml");
    }
}
