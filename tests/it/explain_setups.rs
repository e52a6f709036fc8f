//! Broken set-ups, each with what `pillion explain` must find first and what it must offer: `tests/fixtures/explain/`. The
//! comments at the head of each file were written before anything was run.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

/// A file and the comments at its head.
struct Setup {
    file: String,
    text: String,
    head: BTreeMap<String, String>,
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/explain")
}

fn setups() -> Vec<Setup> {
    let entries = fs::read_dir(folder()).expect("the folder is there").flatten();
    let names = entries.map(|entry| entry.file_name().into_string().expect("names are text"));
    let mut names: Vec<_> = names.filter(|name| name != "templates.yaml").collect();
    names.sort();
    names.into_iter().map(Setup::read).collect()
}

impl Setup {
    fn read(file: String) -> Setup {
        let text = fs::read_to_string(folder().join(&file)).expect("the file is readable");
        let comments = text.lines().map_while(|line| line.strip_prefix("# "));
        let head = comments.filter_map(|comment| comment.split_once(':'));
        let head = head.map(|(word, rest)| (word.to_owned(), rest.trim().to_owned())).collect();
        Setup { file, text, head }
    }

    fn says(&self, word: &str) -> &str {
        self.head.get(word).map(String::as_str).unwrap_or_default()
    }

    fn exit_code(&self) -> i32 {
        self.head.get("Exit").map_or(1, |code| code.parse().expect("it is a number"))
    }

    fn explain(&self, text: &str, format: &str) -> (i32, String) {
        let scratch = tempfile::tempdir().expect("a temporary folder");
        fs::write(scratch.path().join(&self.file), text).expect("the folder is writable");
        fs::copy(folder().join("templates.yaml"), scratch.path().join("templates.yaml")).expect("it can be copied");
        // All of the cookbook takes long to load.
        let cookbook = Path::new(env!("CARGO_MANIFEST_DIR")).join("manifests/templates");
        let templates = ["envoy", "fluent-bit", "mtls", "shared-processes", "wait-for"];
        let templates = templates.iter().flat_map(|name| ["--templates".into(), cookbook.join(format!("{name}.yaml"))]);
        let ran = Command::new(env!("CARGO_BIN_EXE_pillion"))
            .args(["explain", "-f", &self.file, "--templates", "templates.yaml", "-o", format])
            .args(templates)
            .current_dir(scratch.path())
            .output()
            .expect("the program starts");
        (ran.status.code().expect("it ends by itself"), String::from_utf8(ran.stdout).expect("it writes text"))
    }
}

#[test]
fn the_first_step_that_does_not_pass_is_the_one_that_is_broken_and_its_fix_is_offered() {
    let setups = setups();
    assert!(setups.len() >= 60, "{}", setups.len());
    for setup in setups {
        let (code, said) = setup.explain(&setup.text, "json");
        let explained: Value = serde_json::from_str(&said).unwrap_or_else(|error| panic!("{}: {error}", setup.file));
        let steps = explained[0]["steps"].as_array().expect("a list of steps");
        let step = steps.iter().find(|step| step["passed"] == false).expect("a step did not pass");
        assert_eq!(step["step"], setup.says("Step"), "{}: {step:#}", setup.file);
        let why = step["why"].as_str().unwrap_or_default();
        assert!(why.contains(setup.says("Why")), "{}: {why}", setup.file);
        assert_eq!(step["fix"].as_str().unwrap_or_default(), setup.says("Fix"), "{}", setup.file);
        assert_eq!(code, setup.exit_code(), "{}", setup.file);
        let verdict = explained[0]["verdict"].as_str().expect("a verdict");
        assert!(verdict.starts_with("NOT INJECTED  "), "{}: {verdict}", setup.file);
        assert!(verdict.ends_with(setup.says("Verdict")), "{}: {verdict}", setup.file);
    }
}

#[test]
fn people_read_the_same_and_nothing_passes_behind_what_failed() {
    for setup in setups() {
        let (code, said) = setup.explain(&setup.text, "text");
        assert_eq!(code, setup.exit_code(), "{}", setup.file);
        let mark = if code == 0 { '–' } else { '✗' };
        let begin = said.find(['✗', '–']).unwrap_or_else(|| panic!("{said}"));
        assert!(said[begin..].starts_with(&format!("{mark} {}", setup.says("Step"))), "{said}");
        assert!(!said[begin..].contains('✓'), "{said}");
        if code == 1 {
            let first = setup.says("Fix").split("; templates.yaml").next().expect("there is a first");
            assert!(said.contains(&format!("fix: {first}\n")), "{}: {said}", setup.file);
        }
        assert!(!said.contains('\x1b'), "there are no colours where no terminal is: {said}");
        let last = said.lines().last().expect("there are lines");
        assert!(last.starts_with("NOT INJECTED  ") && last.ends_with(setup.says("Verdict")), "{said}");
    }
}

#[test]
fn who_pastes_the_command_that_is_offered_has_an_injected_pod() {
    let mut pasted = 0;
    for setup in setups() {
        let fix = setup.says("Fix");
        // `NAME` is for the reader to fill in.
        if !(fix.starts_with("kubectl patch")
            || fix.starts_with("kubectl label")
            || fix.starts_with("kubectl annotate"))
            || fix.contains("\"NAME\"")
        {
            continue;
        }
        let mut objects: Vec<Value> = serde_saphyr::from_multiple(&setup.text).expect("it is YAML");
        if objects.iter().all(|object| object["kind"] != "Namespace") {
            let metadata = json!({"name": "shop", "labels": {"pillion.dev/inject": "enabled"}});
            objects.push(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}));
        }
        paste(fix, &mut objects);
        let text: Vec<_> = objects.iter().map(Value::to_string).collect();
        let (code, said) = setup.explain(&text.join("\n---\n"), "text");
        // What takes a parameter away asks for the default, which that of the namespace alone lacks.
        if setup.file == "parameter-of-the-namespace.yaml" {
            assert!(said.contains("kubectl annotate namespace shop owned.pillion.dev/team=VALUE"), "{said}");
        } else {
            assert!(code == 0 && said.lines().last().is_some_and(|line| line.starts_with("INJECTED")), "{fix}\n{said}");
        }
        pasted += 1;
    }
    assert!(pasted >= 30, "{pasted}");
}

/// Does what `kubectl patch`, `label` or `annotate` would do to these objects.
fn paste(command: &str, objects: &mut [Value]) {
    let (words, patch) = command.split_once(" -p ").unwrap_or((command, ""));
    let words: Vec<_> = words.split(' ').collect();
    let (verb, kind, name) = (words[1], words[2], words[3]);
    let is_meant = |object: &&mut Value| {
        let is_of_kind = object["kind"].as_str().is_some_and(|it| it.to_lowercase() == kind);
        is_of_kind && object["metadata"]["name"] == name
    };
    let object = objects.iter_mut().find(is_meant).unwrap_or_else(|| panic!("{command}"));
    if verb == "patch" {
        let patch = patch.strip_prefix('\'').and_then(|it| it.strip_suffix('\'')).expect("it is in quotes");
        return json_patch::merge(object, &serde_json::from_str(patch).expect("a patch is JSON"));
    }
    let map = if verb == "label" { "labels" } else { "annotations" };
    let has_overwrite = words.contains(&"--overwrite");
    for word in words[4..].iter().filter(|word| **word != "--overwrite") {
        match word.split_once('=') {
            Some((key, value)) => {
                let is_there = object["metadata"][map].get(key).is_some();
                assert!(has_overwrite || !is_there, "kubectl would refuse it: {command}");
                object["metadata"][map][key] = value.into();
            }
            None => {
                let members = object["metadata"][map].as_object_mut().expect("there are some");
                members.remove(word.strip_suffix('-').expect("it takes the key away")).expect("the key is there");
            }
        }
    }
}
