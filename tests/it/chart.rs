//! The chart: what the real Helm makes of it, and what a real API server says to that.

mod generated;
mod rendered;
mod taken;

use std::fs;
use std::path::PathBuf;

use serde_json::Value;

use crate::harness::tools::{self, Ran};

const CHART: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/charts/pillion");

/// The chart, and a Helm to render it.
struct Chart {
    helm: PathBuf,
}

/// One of the chart's `ci/*-values.yaml`.
struct Values {
    name: String,
    file: String,
}

impl Chart {
    /// `None` where there is no Helm.
    fn open() -> Option<Chart> {
        Some(Chart { helm: tools::helm()? })
    }

    fn helm(&self, arguments: &[&str]) -> Ran {
        tools::run(&self.helm, arguments, "")
    }

    /// `helm template` as release `pillion` in a namespace of that name.
    fn template(&self, arguments: &[&str]) -> Ran {
        self.template_as("pillion", arguments)
    }

    /// `helm template` as another release, in a namespace of its name.
    fn template_as(&self, release: &str, arguments: &[&str]) -> Ran {
        let version = format!("--kube-version={}", tools::kubernetes_version());
        let namespace = format!("--namespace={release}");
        self.helm(&[&["template", release, CHART, &namespace, &version], arguments].concat())
    }

    /// The objects that Helm renders, the hooks among them.
    #[track_caller]
    fn render(&self, arguments: &[&str]) -> Vec<Value> {
        objects(&self.template(arguments).succeeded())
    }

    /// What Helm says when it refuses.
    #[track_caller]
    fn refusal(&self, arguments: &[&str]) -> String {
        let ran = self.template(arguments);
        assert_ne!(ran.code, 0, "{arguments:?} is refused");
        ran.stderr
    }
}

#[track_caller]
fn objects(rendered: &str) -> Vec<Value> {
    let mut objects: Vec<Value> = serde_saphyr::from_multiple(rendered).expect("what Helm renders is YAML");
    objects.retain(|object| !object.is_null());
    objects
}

/// All of `ci/*-values.yaml`.
fn ci() -> Vec<Values> {
    let files = fs::read_dir(format!("{CHART}/ci")).expect("the chart has values for CI").flatten();
    let mut all: Vec<_> = files
        .map(|file| {
            let name = file.file_name().into_string().expect("a file's name is text");
            let name = name.strip_suffix("-values.yaml").unwrap_or_else(|| panic!("ci/{name}")).to_owned();
            Values { name, file: format!("--values={}", file.path().display()) }
        })
        .collect();
    all.sort_by(|a, b| a.name.cmp(&b.name));
    all
}

fn of_kind<'a>(objects: &'a [Value], kind: &str) -> Vec<&'a Value> {
    objects.iter().filter(|object| object["kind"] == kind).collect()
}

#[track_caller]
fn only<'a>(objects: &'a [Value], kind: &str) -> &'a Value {
    let found = of_kind(objects, kind);
    assert_eq!(found.len(), 1, "one {kind}");
    found[0]
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// The arguments of the server.
fn arguments(objects: &[Value]) -> Vec<&str> {
    let container = &only(objects, "Deployment")["spec"]["template"]["spec"]["containers"][0];
    list(&container["args"]).iter().map(|it| it.as_str().expect("an argument is text")).collect()
}
