//! Test files: what is tested, and what is expected.

use std::path::{Component, Path, PathBuf};

use pillion_engine::decision::{Outcome, Reason};
use pillion_engine::template::{Diagnostic, Diagnostics, Fields};
use pillion_engine::yaml::{self, Node, Position};
use serde_json::{Map, Value};

use crate::files::{self, SourceFile};

/// What is said once for all tests of a file, and what one test says.
const FILE: &[&str] = &["templates", "namespace", "pod", "file", "tests"];
const TEST: &[&str] = &["name", "templates", "namespace", "pod", "file", "annotations", "expect"];
const NAMESPACE: &[&str] = &["name", "labels", "annotations"];
#[rustfmt::skip]
const EXPECT: &[&str] =
    &["outcome", "reason", "message", "templates", "injected", "containers", "initContainers", "golden"];

/// A test.
pub(super) struct Case {
    pub(super) name: String,
    /// The line on which it begins.
    pub(super) line: u64,
    /// Files and folders with the templates; none for those beside the file.
    pub(super) templates: Vec<PathBuf>,
    pub(super) namespace: NamespaceCase,
    pub(super) subject: Subject,
    /// Annotations that the pod has besides.
    pub(super) annotations: Map<String, Value>,
    pub(super) expect: Expect,
}

/// What a test says of the pod's namespace.
#[derive(Default)]
pub(super) struct NamespaceCase {
    pub(super) name: Option<String>,
    pub(super) labels: Map<String, Value>,
    pub(super) annotations: Map<String, Value>,
}

/// What is injected into.
pub(super) enum Subject {
    /// A pod, or an object with a pod template.
    Inline(Value),
    /// A manifest.
    File(PathBuf),
}

/// What is expected, as far as the test says it.
pub(super) struct Expect {
    pub(super) outcome: Option<Outcome>,
    pub(super) reason: Option<Reason>,
    /// What is in one of the messages.
    pub(super) message: Option<String>,
    /// The reason of templates, by their names.
    pub(super) templates: Vec<(String, Reason)>,
    /// The templates that are injected, in order.
    pub(super) injected: Option<Vec<String>>,
    pub(super) containers: Option<Vec<String>>,
    pub(super) init_containers: Option<Vec<String>>,
    pub(super) golden: Option<Golden>,
}

/// The whole result.
pub(super) enum Golden {
    Inline(Value),
    /// Below the folder of the test file.
    File(PathBuf),
}

/// Reads a test file, or tells all that is wrong with it.
pub(super) fn read(file: &SourceFile) -> Result<Vec<Case>, Vec<Diagnostic>> {
    let shown = file.path.display().to_string();
    let diagnostics = Diagnostics::new(&shown);
    let mut cases: Vec<Case> = Vec::new();
    match &file.text {
        Err(why) => diagnostics.add(Position::default(), "", why.as_str()),
        Ok(text) => {
            for document in yaml::read(text) {
                match document {
                    Ok(node) => read_document(&diagnostics, &node, &file.path, &mut cases),
                    Err(error) => diagnostics.add(error.position, "", error.message),
                }
            }
            if cases.is_empty() && diagnostics.is_clean() {
                diagnostics.add(Position { line: 1, column: 1 }, "", "there are no tests in it");
            }
        }
    }
    let problems = diagnostics.into_sorted();
    if problems.is_empty() { Ok(cases) } else { Err(problems) }
}

fn read_document(diagnostics: &Diagnostics<'_>, node: &Node, file: &Path, cases: &mut Vec<Case>) {
    let Some(all) = Fields::of(diagnostics, node, String::new(), "a test file", FILE) else { return };
    all.require("tests");
    for test in all.objects("tests", "a test", TEST) {
        let Some(case) = read_case(&all, &test, file) else { continue };
        if cases.iter().any(|other| other.name == case.name) {
            test.wrong_field("name", format!("is \"{}\" a second time", case.name));
        }
        cases.push(case);
    }
}

/// Reads a test. What it does not say itself is said for all.
fn read_case(all: &Fields<'_>, test: &Fields<'_>, file: &Path) -> Option<Case> {
    let of = |fields: &[&str]| if fields.iter().any(|field| test.get(field).is_some()) { test } else { all };
    let name = test.required_string("name");
    if name.is_some_and(|name| name.trim().is_empty() || name.contains(char::is_control)) {
        test.wrong_field("name", "must be a line of text");
    }
    let folder = file.parent().unwrap_or(Path::new(""));
    let annotations = texts(test, "annotations");
    let subject = read_subject(of(&["pod", "file"]), test, folder);
    let namespace = of(&["namespace"]).object("namespace", "a namespace", NAMESPACE);
    let expect = read_expect(test);
    Some(Case {
        name: name?.to_owned(),
        line: test.node.position.line,
        templates: of(&["templates"]).strings("templates").iter().map(|path| folder.join(path)).collect(),
        namespace: namespace.map(|fields| read_namespace(&fields)).unwrap_or_default(),
        subject: subject?,
        annotations,
        expect: expect?,
    })
}

fn read_subject(fields: &Fields<'_>, test: &Fields<'_>, folder: &Path) -> Option<Subject> {
    match (fields.get("pod"), fields.get("file")) {
        (Some(_), Some(_)) => {
            fields.wrong_field("file", "stands beside pod; a test is about one of them");
            None
        }
        (Some(pod), None) if pod.members().is_empty() => {
            fields.wrong_field("pod", "must be an object: a pod, or something with a pod template");
            None
        }
        (Some(pod), None) => Some(Subject::Inline(pod.to_json())),
        (None, Some(_)) => Some(Subject::File(folder.join(fields.string("file")?))),
        (None, None) => {
            test.wrong("lacks pod, or file with the path of a manifest");
            None
        }
    }
}

fn read_namespace(fields: &Fields<'_>) -> NamespaceCase {
    NamespaceCase {
        name: fields.string("name").map(str::to_owned),
        labels: texts(fields, "labels"),
        annotations: texts(fields, "annotations"),
    }
}

fn read_expect(test: &Fields<'_>) -> Option<Expect> {
    let expect = match test.require("expect") {
        Some(_) => test.object("expect", "what is expected", EXPECT)?,
        None => return None,
    };
    let strings = |name: &str| expect.get(name).map(|_| expect.strings(name));
    let message = expect.string("message").map(str::to_owned);
    if message.as_ref().is_some_and(String::is_empty) {
        expect.wrong_field("message", "is empty, which stands in every message");
    }
    let read = Expect {
        outcome: expect.choice("outcome", &Outcome::ALL.map(|outcome| (outcome.as_str(), outcome))),
        reason: expect.choice("reason", &reasons()),
        message,
        templates: read_reasons(&expect).unwrap_or_default(),
        injected: strings("injected"),
        containers: strings("containers"),
        init_containers: strings("initContainers"),
        golden: read_golden(&expect),
    };
    if EXPECT.iter().all(|field| expect.get(field).is_none()) {
        expect.wrong(format!("expects nothing, so the test cannot fail; say one of {}", EXPECT.join(", ")));
    }
    Some(read)
}

fn reasons() -> Vec<(&'static str, Reason)> {
    Reason::ALL.iter().map(|reason| (reason.as_str(), *reason)).collect()
}

/// The reasons of templates, as `pillion.dev/outcome` has them.
fn read_reasons(expect: &Fields<'_>) -> Option<Vec<(String, Reason)>> {
    let names: Vec<_> = expect.get("templates")?.members().iter().map(|(key, _)| key.name.as_str()).collect();
    let fields = expect.object("templates", "reasons by template", &names)?;
    if names.is_empty() {
        fields.wrong("names no template");
    }
    let reasons = reasons();
    let read = names.iter().filter_map(|name| {
        fields.require(name);
        Some(((*name).to_owned(), fields.choice(name, &reasons)?))
    });
    Some(read.collect())
}

fn read_golden(expect: &Fields<'_>) -> Option<Golden> {
    let golden = expect.get("golden")?;
    let Some(path) = golden.as_str() else {
        if golden.members().is_empty() {
            expect.wrong_field("golden", "must be the path of a file, or the whole object");
        }
        return Some(Golden::Inline(golden.to_json()));
    };
    let path = Path::new(path);
    let is_below = path.components().all(|part| matches!(part, Component::Normal(_)));
    if !is_below || path.as_os_str().is_empty() {
        expect.wrong_field("golden", "must be a path below the folder of the test file");
    } else if files::is_test(path) {
        expect.wrong_field("golden", "is called as a test file; call it otherwise");
    }
    Some(Golden::File(path.to_owned()))
}

/// Labels or annotations.
fn texts(fields: &Fields<'_>, name: &str) -> Map<String, Value> {
    let Some(node) = fields.get(name) else { return Map::new() };
    let keys: Vec<_> = node.members().iter().map(|(key, _)| key.name.as_str()).collect();
    let Some(texts) = fields.object(name, name, &keys) else { return Map::new() };
    keys.iter().filter_map(|key| Some(((*key).to_owned(), texts.required_string(key)?.into()))).collect()
}
