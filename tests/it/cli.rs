//! The commands that ask nothing of a cluster, but for `pillion inject`, which has tests of its own.

use std::os::unix::fs::symlink;
use std::path::Path;

use serde_json::{Value, json};

use crate::harness::pillion::{pod, review_of};
use crate::harness::tools::{Ran, run};

const PILLION: &str = env!("CARGO_BIN_EXE_pillion");

fn pillion(arguments: &[&str], stdin: &str) -> Ran {
    run(Path::new(PILLION), arguments, stdin)
}

#[test]
fn a_stored_review_is_answered_as_the_webhook_would() {
    let review = |templates: &str| review_of("a1", &pod("web", templates)).to_string();
    let ran = pillion(&["review", "-f", "-"], &review("shared-processes"));
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let answer: Value = serde_json::from_str(&ran.stdout).expect("JSON");
    assert_eq!((&answer["response"]["uid"], &answer["response"]["allowed"]), (&json!("a1"), &json!(true)));
    assert!(answer["response"]["patch"].is_string(), "{answer}");
    assert_eq!(ran.stderr, "injected: injected\n");

    let ran = pillion(&["review", "-f", "-"], &review("shared-proceses"));
    assert_eq!(ran.code, 1);
    assert!(ran.stderr.starts_with("denied: unknown_template: "), "{}", ran.stderr);
    assert_eq!(serde_json::from_str::<Value>(&ran.stdout).expect("JSON")["response"]["allowed"], false);

    for (text, says) in [("{}", "has no request"), ("kind: AdmissionReview", "not an AdmissionReview in JSON")] {
        let ran = pillion(&["review", "-f", "-"], text);
        assert_eq!((ran.code, &*ran.stdout), (2, ""));
        assert!(ran.stderr.contains(says), "{}", ran.stderr);
    }
}

#[test]
fn the_version_comes_as_text_or_json() {
    let version = env!("CARGO_PKG_VERSION");
    assert!(pillion(&["version"], "").stdout.starts_with(&format!("pillion {version} (")));
    let json: Value = serde_json::from_str(&pillion(&["version", "-o", "json"], "").stdout).expect("JSON");
    assert_eq!(json["version"], version);
}

#[test]
fn completion_and_manual_are_printed() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let script = pillion(&["completion", shell], "").stdout;
        assert!(script.contains("pillion") && script.contains("inject"), "{shell}: {script}");
    }
    assert!(pillion(&["man"], "").stdout.starts_with(".ie"), "roff");
}

#[test]
fn as_a_plugin_of_kubectl_it_names_itself_so() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let plugin = folder.path().join("kubectl-pillion");
    symlink(PILLION, &plugin).expect("the folder is writable");
    let help = run(&plugin, ["inject", "--help"], "").stdout;
    assert!(help.contains("Usage: kubectl pillion inject"), "{help}");
    assert!(pillion(&["inject", "--help"], "").stdout.contains("Usage: pillion inject"));
}

#[test]
fn the_nearest_command_is_suggested() {
    let ran = pillion(&["injct"], "");
    assert_eq!(ran.code, 2);
    assert!(ran.stderr.contains("a similar subcommand exists: 'inject'"), "{}", ran.stderr);
}
