//! `pillion render`: what one template adds to a pod, as the template says it, with its holes filled in.
//!
//! The engine injects as always; what is shown is how the pod differs from before.

use std::path::PathBuf;
use std::process::ExitCode;
use std::str::FromStr as _;

use anyhow::{Context as _, bail, ensure};
use pillion_engine::catalog::Catalog;
use pillion_engine::decision::{Decision, Outcome, Reason};
use pillion_engine::names::{OUTCOME, STATUS, TEMPLATES, parameter_of};
use pillion_engine::template::TemplateName;
use serde_json::{Map, Value, json};

use super::engine::EngineArgs;
use super::evaluate::{Candidate, Evaluation, NotSent};
use super::fix::Edits;
use super::input;
use super::namespaces::{NamespaceArgs, Namespaces};
use super::output::{print, report};
use super::settings::{Setting, Settings};
use crate::files::SourceFile;
use crate::manifest::{self, Kept, Object, PodTemplate, each_object};

/// Flags of `pillion render`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  pillion render shared-processes
  pillion render envoy --set upstreamHost=orders.shop -f web.yaml")]
pub(crate) struct Args {
    /// The template
    #[arg(value_parser = TemplateName::from_str)]
    template: TemplateName,

    /// Manifest with a pod or workload, or - for standard input; without it, a pod with one container
    #[arg(short, long, value_name = "FILE")]
    filename: Vec<PathBuf>,

    /// A parameter of the template; can be given several times
    #[arg(long, value_name = "[TEMPLATE.]PARAMETER=VALUE")]
    set: Vec<String>,

    #[command(flatten)]
    namespaces: NamespaceArgs,

    #[command(flatten)]
    engine: EngineArgs,

    /// How to write the result
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, clap::ValueEnum)]
enum Format {
    /// A document for each pod
    #[default]
    Yaml,
    /// An object for each pod, one after the other
    Json,
}

/// What is rendered for when no pod is named.
const STAND_IN: &str =
    "{apiVersion: v1, kind: Pod, metadata: {name: app}, spec: {containers: [{name: app, image: app}]}}";

/// Renders a template for each pod that was named. The exit code is 1 when it is not injected into one of them.
pub(crate) fn run(args: Args) -> anyhow::Result<ExitCode> {
    let Args { template, filename, set, namespaces, engine, output } = args;
    let read =
        |text: &String| Setting::of(&template, text).map_err(anyhow::Error::msg).context(format!("--set {text}"));
    let settings = set.iter().map(read).collect::<Result<_, _>>()?;
    let settings = Settings::new(vec![template.clone()], settings);
    let catalog = engine.load()?;
    let files = if filename.is_empty() {
        report("into a pod with one container, app; --filename names one of yours");
        vec![SourceFile { path: PathBuf::new(), text: Ok(STAND_IN.into()) }]
    } else {
        input::read(&filename)
    };
    let mut namespaces = Namespaces::new(namespaces);
    files.iter().for_each(|file| input::find_namespaces(file, &mut namespaces));
    // This is about one template.
    namespaces.forget_templates();
    let mut rendering =
        Rendering { template, catalog, namespaces, settings, output, text: String::new(), pods: 0, failed: false };
    for file in &files {
        rendering.file(file)?;
    }
    ensure!(rendering.pods > 0, "there is no pod and no pod template in what --filename names");
    print(rendering.text)?;
    Ok(ExitCode::from(u8::from(rendering.failed)))
}

struct Rendering {
    template: TemplateName,
    catalog: Catalog,
    namespaces: Namespaces,
    settings: Settings,
    output: Format,
    text: String,
    /// How many pods there are.
    pods: usize,
    /// Whether the template was not injected into one of them.
    failed: bool,
}

impl Rendering {
    fn file(&mut self, file: &SourceFile) -> anyhow::Result<()> {
        for document in input::documents(file) {
            let Some(node) = document.map_err(anyhow::Error::msg)?.node else { continue };
            each_object(&mut node.to_json(), &node, &mut |object| {
                self.object(file, object)?;
                anyhow::Ok(Kept::Yes)
            })?;
        }
        Ok(())
    }

    fn object(&mut self, file: &SourceFile, mut object: Object<'_>) -> anyhow::Result<()> {
        let namespace = self.namespaces.name(object.namespace.as_deref()).to_owned();
        let is_stand_in = file.path.as_os_str().is_empty();
        let subject = (!is_stand_in).then(|| object.subject(&file.path, &namespace));
        let (group, kind) = (object.group.clone(), object.kind.clone());
        object.each_pod(&mut |template| {
            let subject = subject.as_ref().map(|subject| template.subject(subject));
            self.pod(subject.as_deref(), &namespace, (&group, &kind), template)
        })
    }

    /// Renders the template for one pod; `subject` is its place and name if it is from a file.
    fn pod(
        &mut self,
        subject: Option<&str>,
        namespace: &str,
        (group, kind): (&str, &str),
        mut template: PodTemplate<'_>,
    ) -> anyhow::Result<()> {
        self.pods += 1;
        let say = |text: &str| match subject {
            Some(subject) => report(format_args!("{subject}: {text}")),
            None => report(text),
        };
        let mut pod = template.pod(namespace);
        ask_for_nothing_else(&mut pod, &self.template);
        template.put_back(pod);
        let candidate = match Candidate::new(&template, namespace, &self.namespaces, &mut self.settings)? {
            Ok(candidate) => candidate,
            Err(why) => {
                say(&match why {
                    NotSent::Malformed(why) => why,
                    NotSent::ByNamespace(why) => why.to_string(),
                });
                self.failed = true;
                return Ok(());
            }
        };
        let Evaluation { decision, pod } = candidate.evaluate(&self.catalog, group, kind)?;
        let Decision { outcome, reason, message, warnings, .. } = &decision;
        if *reason == Reason::UnknownTemplate {
            bail!("there is no template {}{}", self.template, self.names(namespace));
        }
        warnings.iter().for_each(|warning| say(&format!("warning: {}", warning.text)));
        let Some(after) = pod.filter(|_| *outcome == Outcome::Injected) else {
            say(&format!("{outcome}: {reason}: {}", message.as_deref().unwrap_or(reason.sentence())));
            if let Some(flags) = Edits::of(&decision.edits, &decision.templates).flags() {
                say(&format!("use {flags}"));
            }
            self.failed = true;
            return Ok(());
        };
        let additions = additions(&candidate.pod, &after);
        match self.output {
            Format::Json => self.text += &format!("{additions:#}\n"),
            Format::Yaml => {
                if !self.text.is_empty() {
                    self.text += "---\n";
                }
                if let Some(subject) = subject {
                    self.text += &format!("# {subject}\n");
                }
                self.text += &manifest::write(&additions)?;
            }
        }
        Ok(())
    }

    /// The end of a message about a template that there is not.
    fn names(&self, namespace: &str) -> String {
        if let Some(near) = self.catalog.nearest(self.template.as_str(), namespace) {
            return format!("; did you mean {near}?");
        }
        let mut names: Vec<_> = self.catalog.names().map(TemplateName::as_str).collect();
        names.sort_unstable();
        if names.is_empty() { "; there is none at all".to_owned() } else { format!("; there are {}", names.join(", ")) }
    }
}

/// Takes from a pod what it asks for and says of other templates: nothing of that is rendered.
fn ask_for_nothing_else(pod: &mut Value, template: &TemplateName) {
    if let Some(annotations) = pod.pointer_mut("/metadata/annotations").and_then(Value::as_object_mut) {
        annotations
            .retain(|key, _| key != TEMPLATES && parameter_of(key).is_none_or(|(of, _)| of == template.as_str()));
    }
}

/// What was added to a pod, as a template says it: what its own containers got is `app`.
fn additions(before: &Value, after: &Value) -> Value {
    let mut after = after.clone();
    if let Some(Value::Object(annotations)) = after.pointer_mut("/metadata/annotations") {
        annotations.retain(|key, _| key != STATUS && key != OUTCOME);
    }
    // The list and the names of containers that got the same, and what that is.
    let mut app: Vec<(&str, Vec<&Value>, Map<String, Value>)> = Vec::new();
    for list in ["containers", "initContainers"] {
        let Some(Value::Array(containers)) = after["spec"].get_mut(list) else { continue };
        for own in before["spec"][list].as_array().into_iter().flatten() {
            let Some(at) = containers.iter().position(|it| it["name"] == own["name"]) else { continue };
            let Some(Value::Object(got)) = added(own, &containers.remove(at)) else { continue };
            match app.iter_mut().find(|(of, _, known)| *of == list && *known == got) {
                Some((_, names, _)) => names.push(&own["name"]),
                None => app.push((list, vec![&own["name"]], got)),
            }
        }
    }
    let app = app.into_iter().map(|(list, names, got)| {
        let names = [(list.to_owned(), json!(names))];
        names.into_iter().chain(got).collect::<Map<_, _>>()
    });
    let app: Vec<_> = app.collect();
    let mut additions = Map::new();
    additions.extend(added(before, &after).map(|pod| ("pod".to_owned(), pod)));
    additions.extend((!app.is_empty()).then(|| ("app".to_owned(), json!(app))));
    additions.into()
}

/// What a value has that it did not have before: members of objects, and items of lists as a whole.
fn added(before: &Value, after: &Value) -> Option<Value> {
    match (before, after) {
        _ if before == after => None,
        (Value::Object(before), Value::Object(after)) => {
            let members = after.iter().filter_map(|(name, value)| {
                let value = match before.get(name) {
                    Some(before) => added(before, value)?,
                    None => value.clone(),
                };
                Some((name.clone(), value))
            });
            let members: Map<_, _> = members.collect();
            (!members.is_empty()).then(|| members.into())
        }
        (Value::Array(before), Value::Array(after)) => {
            let mut left: Vec<_> = before.iter().collect();
            let items = after.iter().filter(|item| match left.iter().position(|it| it == item) {
                Some(at) => {
                    left.remove(at);
                    false
                }
                None => true,
            });
            let items: Vec<_> = items.cloned().collect();
            (!items.is_empty()).then(|| items.into())
        }
        _ => Some(after.clone()),
    }
}
