//! Which templates of the cookbook were seen to do what they promise on a node, and with which programs:
//! `tests/cluster/proven.yaml`.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::{env, fs};

use serde::Deserialize;
use serde_json::json;

/// What is known of a template.
#[derive(Deserialize)]
#[serde(untagged)]
pub(crate) enum Proof {
    Proven { program: String, version: String, package: String },
    Not { not: String },
}

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cluster/proven.yaml");

impl fmt::Display for Proof {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Proof::Proven { program, version, package } => {
                write!(formatter, "Proven on a node: with {program} {version}, from {package}.")
            }
            Proof::Not { not } => write!(formatter, "Not proven on a node: {not}"),
        }
    }
}

/// Every template that is spoken of, by name.
pub(crate) fn proofs() -> BTreeMap<String, Proof> {
    let text = fs::read_to_string(FILE).unwrap_or_else(|e| panic!("{FILE}: {e}"));
    serde_saphyr::from_str(&text).unwrap_or_else(|e| panic!("{FILE}: {e}"))
}

/// A test has seen a template do what it promises, and `tests/cluster/proven.yaml` says so; `UPDATE_DOCS=1` writes it.
#[track_caller]
pub(crate) fn proven(template: &str, program: &str, version: &str, package: &str) {
    static FILE_LOCK: Mutex<()> = Mutex::new(());
    // As in `redis_exporter, version v1.45.0 (branch: …)`.
    let mut numbers = version.split(|c: char| !c.is_ascii_digit() && c != '.').map(|number| number.trim_matches('.'));
    let version = numbers.find(|number| number.contains('.')).unwrap_or_else(|| panic!("no version: {version}"));
    // JSON is YAML, and quotes what looks like a number.
    let proof = json!({"program": program, "version": version, "package": package});
    let _lock = FILE_LOCK.lock().unwrap_or_else(PoisonError::into_inner);
    let text = fs::read_to_string(FILE).unwrap_or_else(|e| panic!("{FILE}: {e}"));
    let begin = format!("{template}: ");
    let before = text.lines().find(|line| line.starts_with(&begin)).unwrap_or_else(|| panic!("{FILE}: no {template}"));
    let now = format!("{begin}{proof}");
    if env::var_os("UPDATE_DOCS").is_some() {
        fs::write(FILE, text.replace(before, &now)).unwrap_or_else(|e| panic!("{FILE}: {e}"));
    } else {
        assert_eq!(now, before, "UPDATE_DOCS=1 make e2e-all writes {FILE}");
    }
}
