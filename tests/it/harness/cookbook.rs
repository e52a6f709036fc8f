//! The templates of `manifests/templates/`, as they are on disk, what they speak of, and the pods of `examples/`.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::{Arc, LazyLock};

use pillion_engine::catalog::Catalog;
use pillion_engine::load;
use pillion_engine::template::{OnError, Template};
use serde_json::Value;

/// One template.
#[derive(Debug)]
pub(crate) struct Recipe {
    pub(crate) name: String,
    /// The value of its label `pillion.dev/pattern`.
    pub(crate) pattern: String,
    pub(crate) text: String,
    pub(crate) spec: Value,
    pub(crate) template: Arc<Template>,
}

/// Every template of the cookbook, by name.
pub(crate) fn recipes() -> &'static [Recipe] {
    static RECIPES: LazyLock<Vec<Recipe>> = LazyLock::new(|| {
        let read = |(name, text): (String, String)| {
            let mut document: Value = serde_saphyr::from_str(&text).unwrap_or_else(|e| panic!("{name}: {e}"));
            assert_eq!(document["metadata"]["name"], name, "a file is named as its template");
            let mut templates = load::read(&text, &name);
            let template = templates.remove(0).unwrap_or_else(|refused| panic!("{name}: {:?}", refused.problems));
            let pattern = document["metadata"]["labels"]["pillion.dev/pattern"].as_str().unwrap_or_default().to_owned();
            Recipe { name, pattern, spec: document["spec"].take(), text, template: template.into() }
        };
        yaml_files("manifests/templates").into_iter().map(read).collect()
    });
    &RECIPES
}

pub(crate) fn recipe(name: &str) -> &'static Recipe {
    recipes().iter().find(|recipe| recipe.name == name).unwrap_or_else(|| panic!("no template {name} in the cookbook"))
}

/// A file of `examples/`: what a pod needs, and the pod.
pub(crate) struct Example {
    pub(crate) name: String,
    /// ConfigMaps, Secrets, accounts and their rights.
    pub(crate) needs: Vec<Value>,
    pub(crate) pod: Value,
}

/// Every example, by name.
pub(crate) fn examples() -> &'static [Example] {
    static EXAMPLES: LazyLock<Vec<Example>> = LazyLock::new(|| {
        let read = |(name, text): (String, String)| {
            let documents: Result<Vec<Value>, _> = serde_saphyr::from_multiple(&text);
            let mut documents = documents.unwrap_or_else(|e| panic!("{name}: {e}"));
            let pod = documents.pop().filter(|document| document["kind"] == "Pod");
            let pod = pod.unwrap_or_else(|| panic!("{name}: the last document is no Pod"));
            Example { name, needs: documents, pod }
        };
        yaml_files("examples").into_iter().map(read).collect()
    });
    &EXAMPLES
}

impl Example {
    pub(crate) fn templates(&self) -> Vec<&str> {
        let asked = self.pod["metadata"]["annotations"]["pillion.dev/templates"].as_str();
        asked.unwrap_or_else(|| panic!("{} asks for no templates", self.name)).split(',').collect()
    }
}

/// The YAML files of a folder of this repository, each with its name without the end, and its text.
fn yaml_files(folder: &str) -> Vec<(String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let files = fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display())).flatten();
    let files = files.map(|file| file.path()).filter(|path| path.extension().is_some_and(|end| end == "yaml"));
    let mut files: Vec<_> = files
        .map(|path| {
            let text = fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
            (path.file_stem().expect("a name").to_string_lossy().into_owned(), text)
        })
        .collect();
    files.sort();
    files
}

/// The whole cookbook in force.
#[track_caller]
pub(crate) fn catalog(on_error: OnError) -> Catalog {
    let mut catalog = Catalog::new(on_error);
    recipes().iter().for_each(|recipe| catalog.insert(Arc::clone(&recipe.template)));
    catalog
}

/// The names that the cookbook uses, for pods that are to get in its way.
pub(crate) struct Words {
    pub(crate) containers: Vec<String>,
    pub(crate) volumes: Vec<String>,
    pub(crate) mount_paths: Vec<String>,
    pub(crate) env: Vec<String>,
    pub(crate) ports: Vec<u64>,
}

pub(crate) fn words() -> &'static Words {
    static WORDS: LazyLock<Words> = LazyLock::new(|| {
        let mut words = Words {
            containers: Vec::new(),
            volumes: Vec::new(),
            mount_paths: Vec::new(),
            env: Vec::new(),
            ports: Vec::new(),
        };
        for Recipe { spec, .. } in recipes() {
            let pod = &spec["pod"]["spec"];
            for list in ["initContainers", "containers"] {
                words.containers.extend(texts(&pod[list], "name", spec));
                for container in pod[list].as_array().into_iter().flatten() {
                    words.take_from(container, spec);
                }
            }
            words.volumes.extend(texts(&pod["volumes"], "name", spec));
            spec["app"].as_array().into_iter().flatten().for_each(|entry| words.take_from(entry, spec));
        }
        words
    });
    &WORDS
}

impl Words {
    fn take_from(&mut self, container: &Value, spec: &Value) {
        self.mount_paths.extend(texts(&container["volumeMounts"], "mountPath", spec));
        // Some are volumes that the pod is to have.
        self.volumes.extend(texts(&container["volumeMounts"], "name", spec));
        self.env.extend(texts(&container["env"], "name", spec));
        let ports = texts(&container["ports"], "containerPort", spec);
        self.ports.extend(ports.iter().filter_map(|port| port.parse::<u64>().ok()));
    }
}

/// What the items of a list say for `field`; a hole that is a parameter says its default.
fn texts(list: &Value, field: &str, spec: &Value) -> Vec<String> {
    let text = |item: &Value| {
        let written = &item[field];
        let parameter = written.as_str().and_then(|text| text.strip_prefix("${{ params.")?.strip_suffix(" }}"));
        let declared = spec["parameters"].as_array().into_iter().flatten();
        let value = match parameter {
            Some(name) => &declared.clone().find(|parameter| parameter["name"] == name)?["default"],
            None => written,
        };
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        (!text.contains("${{") && !value.is_null()).then_some(text)
    };
    list.as_array().into_iter().flatten().filter_map(text).collect()
}

/// The annotation to which names of volumes are added that may be lost with a node.
pub(crate) const SAFE_TO_EVICT: &str = "cluster-autoscaler.kubernetes.io/safe-to-evict-local-volumes";

/// The places of a pod that a template speaks of, each as names with dots between and without the numbers of items.
/// Where these may be replaced, because an entry of `app` overrides, they come in the second set.
pub(crate) fn places(recipe: &Recipe) -> (BTreeSet<String>, BTreeSet<String>) {
    let spec = &recipe.spec;
    let names = |object: &Value| -> Vec<String> {
        object.as_object().into_iter().flatten().map(|(name, _)| name.clone()).collect()
    };
    let (mut spoken, mut overridden) = (BTreeSet::new(), BTreeSet::new());
    for part in ["labels", "annotations"] {
        let keys = names(&spec["pod"]["metadata"][part]);
        spoken.extend(keys.into_iter().map(|key| format!("metadata.{part}.{key}")));
    }
    spoken.extend(names(&spec["pod"]["spec"]).into_iter().map(|field| format!("spec.{field}")));
    if spec["serviceAccountToken"] == false {
        spoken.insert("spec.volumes".into());
    }
    if !spec["safeToEvictVolumes"].is_null() {
        spoken.insert(format!("metadata.annotations.{SAFE_TO_EVICT}"));
    }
    for entry in spec["app"].as_array().into_iter().flatten() {
        for list in ["containers", "initContainers"].into_iter().filter(|list| !entry[*list].is_null()) {
            let fields = names(entry).into_iter().map(|field| format!("spec.{list}.{field}"));
            if entry["override"] == true {
                overridden.extend(fields.clone());
            }
            spoken.extend(fields);
        }
    }
    (spoken, overridden)
}
