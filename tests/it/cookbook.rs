//! The cookbook: what can be said of all of its templates, and `docs/cookbook.md`, which is made of them.
//! `UPDATE_DOCS=1` writes it anew.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use pillion_engine::security::PodSecurity;
use pillion_engine::template::{self, Template};
use serde_json::Value;

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

Each says which level of the [Pod Security Standards](https://kubernetes.io/docs/concepts/security/pod-security-standards/)
a pod passes with it that passed *restricted* without. `cpuRequest`, `cpuLimit`, `memoryRequest` and `memoryLimit` mean the
same everywhere: what its containers reserve and may use.

";

/// A template's file, read twice: as data and as a template.
struct Recipe {
    path: PathBuf,
    file: Value,
    template: Template,
}

impl Recipe {
    fn name(&self) -> &str {
        self.template.name().as_str()
    }

    fn pattern(&self) -> &str {
        self.file["metadata"]["labels"]["pillion.dev/pattern"].as_str().unwrap_or_default()
    }

    fn parameters(&self) -> impl Iterator<Item = &Value> {
        self.file["spec"]["parameters"].as_array().into_iter().flatten()
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn recipes() -> Vec<Recipe> {
    let files = fs::read_dir(root().join("manifests/templates")).expect("the folder is there").flatten();
    let mut paths: Vec<_> = files.map(|file| file.path()).collect();
    paths.sort();
    let read = |path: PathBuf| {
        let text = fs::read_to_string(&path).expect("a readable file");
        let file = serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let name = path.file_name().expect("a file has a name").to_string_lossy().into_owned();
        let mut templates = template::read(&text, &name);
        let template = templates.remove(0).unwrap_or_else(|refused| panic!("{:?}", refused.problems));
        Recipe { path, file, template }
    };
    paths.into_iter().map(read).collect()
}

#[test]
fn every_template_of_the_cookbook_is_told_of_in_full() {
    for recipe in recipes() {
        let name = recipe.name();
        assert_eq!(recipe.path.file_stem().and_then(|stem| stem.to_str()), Some(name), "the file is called as it is");
        assert!(PATTERNS.iter().any(|(pattern, _)| *pattern == recipe.pattern()), "{name}: {}", recipe.pattern());
        assert!(!recipe.template.description().is_empty(), "{name}");
        assert!(root().join("examples").join(format!("{name}.yaml")).exists(), "{name} has no example");
        for parameter in recipe.parameters() {
            assert!(parameter["description"].is_string(), "{name}: {} has no description", parameter["name"]);
        }
    }
}

#[test]
fn a_template_of_the_cookbook_passes_restricted_or_says_why_not() {
    for recipe in recipes() {
        let level = recipe.template.pod_security().expect("every recipe can be tried");
        let says_why = recipe.template.description().contains("Not restricted: ");
        assert_eq!(level < PodSecurity::Restricted, says_why, "{} passes {level}", recipe.name());
        // What it warns of beside that would be a fault of ours.
        let warnings: Vec<_> = recipe.template.warnings().iter().map(ToString::to_string).collect();
        let others: Vec<_> = warnings.iter().filter(|it| !it.contains("Pod Security")).collect();
        assert_eq!(others, [""; 0]);
    }
}

#[test]
fn the_page_about_the_cookbook_is_made_of_its_templates() {
    let recipes = recipes();
    let mut page = HEAD.to_owned();
    for (pattern, title) in PATTERNS {
        let _ = writeln!(page, "- {title}: {}", links(recipes.iter().filter(|recipe| recipe.pattern() == *pattern)));
    }
    for (pattern, title) in PATTERNS {
        let _ = write!(page, "\n## {title}\n");
        for recipe in recipes.iter().filter(|recipe| recipe.pattern() == *pattern) {
            describe(&mut page, recipe);
        }
    }
    let path = root().join("docs/cookbook.md");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(&path, &page).expect("the file is writable");
    }
    assert!(fs::read_to_string(&path).unwrap_or_default() == page, "docs/cookbook.md is stale: make docs");
}

fn links<'a>(recipes: impl Iterator<Item = &'a Recipe>) -> String {
    recipes.map(|recipe| format!("[{0}](#{0})", recipe.name())).collect::<Vec<_>>().join(", ")
}

fn describe(page: &mut String, recipe: &Recipe) {
    let name = recipe.name();
    let level = recipe.template.pod_security().expect("every recipe can be tried");
    let _ = write!(
        page,
        "\n### {name}\n\n{}\n\nPod Security: *{level}*. [Template](../manifests/templates/{name}.yaml), \
         [example](../examples/{name}.yaml), [what comes out](../examples/injected/{name}.yaml).\n\n\
         | Parameter | Type | Default | Meaning |\n|---|---|---|---|\n",
        recipe.template.description(),
    );
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
        let meaning = format!("{}{}", text("description").replace('|', "\\|").trim(), allowed.unwrap_or_default());
        let _ = writeln!(page, "| `{}` | {} | {default} | {meaning} |", text("name"), text("type"));
    }
}
