//! What becomes of the pod of a test.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::slice;

use anyhow::{Context as _, bail, ensure};
use pillion_engine::catalog::Catalog;
use pillion_engine::decision::{Decision, Outcome, Reason};
use pillion_engine::names::{INJECT, STATUS};
use pillion_engine::template::OnError;
use pillion_engine::yaml::Node;
use serde_json::{Map, Value, json};

use super::cases::{Case, Expect, NamespaceCase, Subject};
use crate::catalog::Library;
use crate::cli::evaluate::{Candidate, Evaluation, NotSent};
use crate::cli::input;
use crate::cli::namespaces::Namespaces;
use crate::cli::output::report;
use crate::cli::settings::Settings;
use crate::files::{self, SourceFile, TEMPLATES};
use crate::manifest::{Kept, PodTemplate, each_object};

/// The catalogs that tests have asked for so far, by the files and folders that they are from.
#[derive(Default)]
pub(super) struct Catalogs(BTreeMap<Vec<PathBuf>, Catalog>);

impl Catalogs {
    /// The templates of a test.
    pub(super) fn of(&mut self, test_file: &Path, case: &Case) -> anyhow::Result<&Catalog> {
        let beside = || vec![test_file.parent().map(Path::to_owned).unwrap_or_default()];
        let roots = if case.templates.is_empty() { beside() } else { case.templates.clone() };
        if !self.0.contains_key(&roots) {
            let catalog = load(&roots, !case.templates.is_empty())?;
            self.0.insert(roots.clone(), catalog);
        }
        Ok(&self.0[&roots])
    }
}

/// Reads templates. In a folder there may be manifests and golden files too.
fn load(roots: &[PathBuf], is_named: bool) -> anyhow::Result<Catalog> {
    let mut files = Vec::new();
    for root in roots {
        let root = if root.as_os_str().is_empty() { Path::new(".") } else { root };
        let is_folder = root.metadata().with_context(|| format!("templates: {}", root.display()))?.is_dir();
        let read = files::read(&[root.to_owned()], TEMPLATES);
        let is_meant = |file: &SourceFile| {
            let is_template = file.text.as_ref().map_or(true, |text| text.contains("pillion.dev/v1"));
            !is_folder || is_template && (is_named || file.path.parent() == Some(root))
        };
        files.extend(read.into_iter().filter(is_meant));
    }
    let shown = || roots.iter().map(|root| root.display().to_string()).collect::<Vec<_>>().join(", ");
    ensure!(
        !files.is_empty(),
        "there is no template in {}; say where they are with templates: [FILE or FOLDER]",
        shown()
    );
    let loaded = Library::default().load(&files);
    for problem in &loaded.problems {
        report(format_args!("template refused: {problem}"));
    }
    let mut catalog = Catalog::new(OnError::Deny);
    loaded.insert_into(&mut catalog);
    Ok(catalog)
}

/// The result for the pod of a test.
#[derive(Default)]
pub(super) struct Observed {
    /// The decision, if the pod is sent to the webhook.
    decision: Option<Decision>,
    /// Why it is not.
    why_not_sent: Option<String>,
    /// The pod, unless it is refused.
    pod: Option<Value>,
    /// The object with the pod, unless it is refused.
    pub(super) object: Option<Value>,
}

/// Injects into the pod of a test.
pub(super) fn run(case: &Case, catalog: &Catalog) -> anyhow::Result<Observed> {
    let documents = documents(&case.subject)?;
    let (name, object) = namespace(case, &documents)?;
    let namespaces = Namespaces::of(&name, object);
    let mut observed = Observed::default();
    for (mut value, node) in documents {
        each_object(&mut value, &node, &mut |mut object| {
            let (group, kind, mut has_pod) = (object.group.clone(), object.kind.clone(), false);
            object.each_pod(&mut |mut template| {
                has_pod = true;
                let mut pod = template.pod(&name);
                extend(&mut pod, "annotations", &case.annotations)?;
                template.put_back(pod);
                observed.pod(&mut template, &namespaces, (&name, &group, &kind), catalog)
            })?;
            if has_pod && observed.pod.is_some() {
                observed.object = Some(object.value.clone());
            }
            anyhow::Ok(Kept::Yes)
        })?;
    }
    Ok(observed)
}

impl Observed {
    /// Injects into the pod that is made of a pod template.
    fn pod(
        &mut self,
        template: &mut PodTemplate<'_>,
        namespaces: &Namespaces,
        (namespace, group, kind): (&str, &str, &str),
        catalog: &Catalog,
    ) -> anyhow::Result<()> {
        let settings = &mut Settings::new(Vec::new(), Vec::new());
        match Candidate::new(template, namespace, namespaces, settings)? {
            Ok(candidate) => {
                let Evaluation { decision, pod } = candidate.evaluate(catalog, group, kind)?;
                self.pod = decision.allowed().then(|| pod.unwrap_or(candidate.pod));
                self.decision = Some(decision);
            }
            Err(NotSent::Malformed(why)) => bail!("{why}"),
            Err(NotSent::ByNamespace(why)) => {
                self.pod = Some(template.pod(namespace));
                self.why_not_sent = Some(why.to_string());
            }
        }
        if let Some(mut pod) = self.pod.clone() {
            if let Some(Value::Object(annotations)) = pod.pointer_mut("/metadata/annotations") {
                annotations.shift_remove(STATUS);
            }
            template.put_back(pod);
        }
        Ok(())
    }

    /// Outcome and reason of the pod, if it is sent to the webhook.
    pub(super) fn decided(&self) -> Option<(Outcome, Reason)> {
        self.decision.as_ref().map(|decision| (decision.outcome, decision.reason))
    }

    /// All that was said, of the pod first.
    pub(super) fn messages(&self) -> impl Iterator<Item = &str> {
        let of_templates = self.decision.iter().flat_map(|decision| &decision.templates).map(|it| &it.message);
        let of_pod = self.decision.iter().map(|decision| &decision.message);
        of_pod.chain(of_templates).chain([&self.why_not_sent]).flatten().map(String::as_str)
    }

    fn injected(&self) -> Vec<&str> {
        let decision = self.decision.iter().filter(|decision| decision.allowed());
        let templates = decision.flat_map(|decision| &decision.templates);
        templates.filter(|it| it.outcome == Outcome::Injected).map(|it| it.name.as_str()).collect()
    }

    fn reason_of(&self, template: &str) -> Option<&'static str> {
        let mut templates = self.decision.iter().flat_map(|decision| &decision.templates);
        templates.find(|it| it.name.as_str() == template).map(|it| it.reason.as_str())
    }

    /// The names of the pod's containers, if there is a pod.
    fn names(&self, list: &str) -> Option<Vec<&str>> {
        let containers = self.pod.as_ref()?["spec"][list].as_array().into_iter().flatten();
        Some(containers.map(|container| container["name"].as_str().unwrap_or_default()).collect())
    }
}

impl Expect {
    /// What is not as expected, the golden file aside.
    pub(super) fn failures(&self, observed: &Observed) -> Vec<String> {
        let mut failures = Vec::new();
        let mut compare = |what: &str, expected: Option<String>, got: String| {
            if let Some(expected) = expected.filter(|expected| *expected != got) {
                failures.push(format!("{what}: expected {expected}, got {got}"));
            }
        };
        let (outcome, reason) = observed.decided().unzip();
        let word = |got: Option<&'static str>| got.unwrap_or("none").to_owned();
        compare("outcome", self.outcome.map(|it| it.to_string()), word(outcome.map(Outcome::as_str)));
        compare("reason", self.reason.map(|it| it.to_string()), word(reason.map(Reason::as_str)));
        for (name, reason) in &self.templates {
            compare(&format!("templates.{name}"), Some(reason.to_string()), word(observed.reason_of(name)));
        }
        compare("injected", self.injected.as_deref().map(shown), shown(&observed.injected()));
        for (list, expected) in [("containers", &self.containers), ("initContainers", &self.init_containers)] {
            let got = observed.names(list).map_or("no pod".to_owned(), |names| shown(&names));
            compare(list, expected.as_deref().map(shown), got);
        }
        if let Some(text) = self.message.as_ref().filter(|text| !observed.messages().any(|it| it.contains(&***text))) {
            let got = observed.messages().next().map_or("none".to_owned(), |message| format!("{message:?}"));
            failures.push(format!("message: expected one with {text:?}, got {got}"));
        }
        failures
    }
}

fn shown<S: AsRef<str>>(names: &[S]) -> String {
    format!("[{}]", names.iter().map(AsRef::as_ref).collect::<Vec<_>>().join(", "))
}

/// The objects that a test is about, with their places.
fn documents(subject: &Subject) -> anyhow::Result<Vec<(Value, Node)>> {
    match subject {
        Subject::Inline(object) => {
            let mut object = object.clone();
            if let Value::Object(members) = &mut object
                && !members.contains_key("kind")
            {
                members.shift_insert(0, "apiVersion".into(), "v1".into());
                members.shift_insert(1, "kind".into(), "Pod".into());
            }
            Ok(vec![(object, Node::default())])
        }
        Subject::File(path) => {
            ensure!(path.is_file(), "file: there is no file {}", path.display());
            let files = files::read(slice::from_ref(path), TEMPLATES);
            let documents = files.iter().flat_map(input::documents);
            let nodes = documents.filter_map(|document| document.map(|document| document.node).transpose());
            nodes.map(|node| node.map(|node| (node.to_json(), node)).map_err(anyhow::Error::msg)).collect()
        }
    }
}

/// The name of the namespace of a test's pod, and the Namespace: that of the manifest, if it has it, with what the test says
/// besides.
fn namespace(case: &Case, documents: &[(Value, Node)]) -> anyhow::Result<(String, Value)> {
    let (mut known, mut of_pods) = (Vec::new(), Vec::new());
    for (value, node) in documents {
        each_object(&mut value.clone(), node, &mut |mut object| {
            if object.is_core("Namespace") {
                known.push((object.name.clone(), object.value.clone()));
            }
            let namespace = object.namespace.clone();
            object.each_pod(&mut |_| {
                of_pods.push(namespace.clone());
                anyhow::Ok(())
            })?;
            anyhow::Ok(Kept::Yes)
        })?;
    }
    ensure!(of_pods.len() == 1, "a test is about one pod or pod template, and here are {}", of_pods.len());
    let NamespaceCase { name, labels, annotations } = &case.namespace;
    let name = match (name, of_pods.remove(0)) {
        (Some(said), Some(of_pod)) if *said != of_pod => bail!("namespace.name is {said}, and the pod is in {of_pod}"),
        (said, of_pod) => of_pod.or(said.clone()).unwrap_or("default".to_owned()),
    };
    let known = known.into_iter().find(|(of, _)| *of == name);
    let mut object =
        known.map_or_else(|| json!({"metadata": {"name": name, "labels": {INJECT: "enabled"}}}), |it| it.1);
    extend(&mut object, "labels", labels)?;
    extend(&mut object, "annotations", annotations)?;
    Ok((name, object))
}

/// Adds labels or annotations to an object.
fn extend(object: &mut Value, field: &str, texts: &Map<String, Value>) -> anyhow::Result<()> {
    if !texts.is_empty() {
        let metadata =
            object.get_mut("metadata").and_then(Value::as_object_mut).context("metadata must be an object")?;
        let all = metadata.entry(field).or_insert_with(|| Map::new().into());
        all.as_object_mut().with_context(|| format!("metadata.{field} must be an object"))?.extend(texts.clone());
    }
    Ok(())
}
