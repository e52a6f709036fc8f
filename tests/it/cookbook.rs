//! The cookbook: what can be said of all of its templates, and `docs/cookbook.md`, which is made of them.
//! `UPDATE_DOCS=1` writes it anew.

use std::fmt::Write as _;

use pillion_engine::admission::Review;
use pillion_engine::catalog::Namespace;
use pillion_engine::template::OnError;
use serde_json::value::to_raw_value;
use serde_json::{Value, json};

use crate::docs::assert_is_written;
use crate::golden::applied;
use crate::harness::cookbook::{Recipe, catalog, recipes};
use crate::harness::pod_security::{self, Level, restricted_container};
use crate::harness::proven::proofs;

/// The values of the label `pillion.dev/pattern`, in the order of the page.
const PATTERNS: &[(&str, &str)] = &[
    ("init-container", "Init containers"),
    ("log-collection", "Log collection"),
    ("telemetry", "Telemetry"),
    ("ambassador", "Ambassadors"),
    ("authentication", "Authentication"),
    ("gateway", "Gateways"),
    ("configuration", "Configuration"),
    ("source-and-results", "Sources and results"),
    ("adapter", "Adapters"),
    ("service-mesh", "Service mesh"),
    ("sharing", "Sharing"),
];

const HEAD: &str = "# The cookbook

Templates for what teams put beside their apps. They are in the program (`pillion serve --dev` and `pillion inject` use
them unless told otherwise) and in [manifests/templates](../manifests/templates): copy the ones that you want into your own
templates, and change what does not suit you.

Each says whether it was proven on a node: a test saw it do its work in a pod, with the program that is named, in an image
made for the test. The default image was not run, and may have another version of it. Each also says which level of the
[Pod Security Standards](https://kubernetes.io/docs/concepts/security/pod-security-standards/)
a pod passes with it that passed *restricted* without. `cpuRequest`, `cpuLimit`, `memoryRequest` and `memoryLimit` mean the
same everywhere: what its containers reserve and may use. What that means for autoscaling, Guaranteed pods, quotas and Jobs
is in [workloads.md](workloads.md).

Pods choose freely among the parameters. Where a namespace requires one of them to protect its pods, such as a gateway, copy
it and give the parameters that matter `settableBy: Namespace` or `Nobody`. Servers listen on IPv4.

";

impl Recipe {
    fn parameters(&self) -> impl Iterator<Item = &Value> {
        self.spec["parameters"].as_array().into_iter().flatten()
    }

    /// A pod with what the template gives. Without, the pod passes the *restricted* level of Pod Security, and has no
    /// more than the template needs: the examples of parameters without a default, and the volume that one called
    /// `volume` names.
    #[track_caller]
    pub(crate) fn injected_pod(&self) -> Value {
        let mut pod = json!({
            "metadata": {"name": "web", "labels": {"app": "web"}, "annotations": {"pillion.dev/templates": self.name}},
            "spec": {"containers": [restricted_container("app")], "volumes": []},
        });
        for parameter in self.parameters().filter(|it| it["default"].is_null() && !it["example"].is_null()) {
            let (name, example) = (parameter["name"].as_str().expect("a name"), &parameter["example"]);
            let value = example.as_str().map_or_else(|| example.to_string(), str::to_owned);
            if name == "volume" {
                pod["spec"]["volumes"] = json!([{"name": value, "emptyDir": {}}]);
            }
            pod["metadata"]["annotations"][format!("{}.pillion.dev/{name}", self.name)] = value.into();
        }
        let raw = to_raw_value(&pod).expect("JSON");
        let decision =
            pillion_engine::review(&catalog(OnError::Deny), &Namespace::named("shop"), &Review::of_pod("shop", &raw));
        assert_eq!(decision.outcome.as_str(), "injected", "{}: {:?}", self.name, decision.message);
        applied(&pod, &decision)
    }
}

#[test]
fn every_template_of_the_cookbook_is_told_of_in_full() {
    for recipe in recipes() {
        let name = &recipe.name;
        assert!(PATTERNS.iter().any(|(pattern, _)| *pattern == recipe.pattern), "{name}: {}", recipe.pattern);
        assert!(!recipe.template.description.is_empty(), "{name}");
        for parameter in recipe.parameters() {
            assert!(parameter["description"].is_string(), "{name}: {} has no description", parameter["name"]);
        }
    }
}

#[test]
fn a_template_of_the_cookbook_passes_restricted_or_says_why_not() {
    for recipe in recipes() {
        let (name, pod) = (&recipe.name, recipe.injected_pod());
        let why = pod_security::violations(Level::Restricted, &pod);
        // What a template brings is what a pod gets.
        assert_eq!(recipe.template.pod_security.level, pod_security::level(&pod), "{name}: {why:?}");
        let says_why = recipe.template.description.contains("Not restricted: ");
        assert_eq!(!why.is_empty(), says_why, "{name}: {why:?}");
        // Whatever it warns of beside that would be a fault of ours.
        let warnings = recipe.template.warnings.iter().map(ToString::to_string);
        let (levels, others): (Vec<_>, Vec<_>) = warnings.partition(|warning| warning.contains("Pod Security"));
        assert_eq!(others, [""; 0], "{name}");
        let why = pod_security::violations(Level::Baseline, &pod);
        assert_eq!(!why.is_empty(), !levels.is_empty(), "{name}: {why:?}, and {levels:?}");
    }
}

#[test]
fn the_readme_names_every_template_of_the_cookbook() {
    let readme = include_str!("../../README.md");
    assert!(readme.contains(&format!("has {} templates", recipes().len())));
    let missing: Vec<_> =
        recipes().iter().map(|it| &it.name).filter(|it| !readme.contains(&format!("`{it}`"))).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn the_page_about_the_cookbook_is_made_of_its_templates() {
    let mut page = HEAD.to_owned();
    let of = |pattern: &'static str| recipes().iter().filter(move |recipe| recipe.pattern == pattern);
    for (pattern, title) in PATTERNS {
        let links: Vec<_> = of(pattern).map(|recipe| format!("[{0}](#{0})", recipe.name)).collect();
        writeln!(page, "- {title}: {}", links.join(", ")).expect("a string takes it");
    }
    for (pattern, title) in PATTERNS {
        write!(page, "\n## {title}\n").expect("a string takes it");
        of(pattern).for_each(|recipe| describe(&mut page, recipe));
    }
    assert_is_written("docs/cookbook.md", &page);
}

fn describe(page: &mut String, recipe: &Recipe) {
    let (name, level) = (&recipe.name, recipe.template.pod_security.level);
    write!(
        page,
        "\n### {name}\n\n{}\n\n{}\n\nPod Security: *{level}*. [Template](../manifests/templates/{name}.yaml), \
         [example](../examples/{name}.yaml), [what comes out](../examples/injected/{name}.yaml).\n\n\
         | Parameter | Type | Default | Meaning |\n|---|---|---|---|\n",
        recipe.template.description,
        proofs().remove(name).unwrap_or_else(|| panic!("tests/cluster/proven.yaml does not speak of {name}")),
    )
    .expect("a string takes it");
    for parameter in recipe.parameters() {
        let text = |field: &str| parameter[field].as_str().unwrap_or_default().replace('\n', " ");
        let default = match (&parameter["default"], &parameter["optional"]) {
            (Value::Null, Value::Bool(true)) => "none".to_owned(),
            (Value::Null, _) => "must be set".to_owned(),
            (Value::String(text), _) => format!("`{text}`"),
            (value, _) => format!("`{value}`"),
        };
        let default = default.replace('|', "\\|");
        let allowed = parameter["enum"].as_array().map(|values| {
            let values: Vec<_> =
                values.iter().map(|it| it.as_str().map_or_else(|| it.to_string(), str::to_owned)).collect();
            format!(" One of {}.", values.join(", "))
        });
        let bound = |field: &str| parameter[field].as_str().map_or_else(|| parameter[field].to_string(), str::to_owned);
        let bounds = match (&parameter["minimum"], &parameter["maximum"]) {
            (Value::Null, Value::Null) => String::new(),
            (_, Value::Null) => format!(" At least {}.", bound("minimum")),
            (Value::Null, _) => format!(" At most {}.", bound("maximum")),
            _ => format!(" {} to {}.", bound("minimum"), bound("maximum")),
        };
        let meaning =
            format!("{}{bounds}{}", text("description").replace('|', "\\|").trim(), allowed.unwrap_or_default());
        let (name, kind) = (text("name"), text("type"));
        writeln!(page, "| `{name}` | {kind} | {default} | {meaning} |").expect("a string takes it");
    }
}
