//! `pillion inject`: the webhook's engine on manifests, before they reach a cluster.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::str::FromStr;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use pillion_engine::admission::Review;
use pillion_engine::catalog::{Catalog, ImageMirror, Namespace};
use pillion_engine::decision::{Decision, Outcome, Reason, TemplateDecision};
use pillion_engine::template::{OnError, TemplateName};
use serde_json::Value;
use serde_json::value::to_raw_value;

use super::output::{print, report};
use crate::catalog::{Library, Source};
use crate::files::{self, SourceFile};
use crate::manifest::{self, PodSource};

/// Far more than any rendered chart.
const MANIFEST_BYTES: u64 = 64 * 1024 * 1024;

/// The annotation by which a pod asks for templates.
const TEMPLATES: &str = "pillion.dev/templates";

/// Flags of `pillion inject`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Manifest, folder of manifests, or - for standard input; can be given several times
    #[arg(short, long = "filename", value_name = "FILE", required = true)]
    filename: Vec<PathBuf>,

    /// Folder or file with templates, instead of the built-in ones; can be given several times
    #[arg(long, env = "PILLION_TEMPLATES", value_name = "DIR", value_delimiter = ',')]
    templates: Vec<PathBuf>,

    /// Registry that has copies of images, such as mirror.example.com/docker-hub: as for pillion serve
    #[arg(long, env = "PILLION_IMAGE_MIRRORS", value_name = "REGISTRY", value_delimiter = ',', value_parser = ImageMirror::from_str)]
    image_mirrors: Vec<ImageMirror>,

    /// A parameter for each pod that asks for the template; can be given several times
    #[arg(long, value_name = "TEMPLATE.PARAMETER=VALUE")]
    set: Vec<Setting>,
}

/// A parameter, as the pod's author would have annotated it.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Setting {
    template: TemplateName,
    parameter: String,
    value: String,
    /// Whether a pod asked for the template.
    used: bool,
}

impl FromStr for Setting {
    type Err = String;

    fn from_str(text: &str) -> Result<Setting, String> {
        let form = "write it as template.parameter=value, such as fluent-bit.logDir=/data/logs";
        let (key, value) = text.split_once('=').ok_or(form)?;
        let (template, parameter) = key.split_once('.').ok_or(form)?;
        if parameter.is_empty() {
            return Err(form.into());
        }
        let template = template.parse().map_err(|_| format!("{template:?} cannot be a template's name; {form}"))?;
        Ok(Setting { template, parameter: parameter.into(), value: value.into(), used: false })
    }
}

/// Injects into all that was named, or prints nothing.
pub(crate) fn run(args: Args) -> anyhow::Result<ExitCode> {
    let Args { filename, templates, image_mirrors, set } = args;
    let loaded = Library::default().load(&Source::of(templates, Source::Cookbook)?.read());
    let mut catalog = Catalog::new(OnError::Deny).with_image_mirrors(image_mirrors);
    loaded.insert_into(&mut catalog);
    for problem in &loaded.problems {
        report(format_args!("template refused: {problem}"));
    }

    let mut injection = Injection { catalog, set, advised: BTreeSet::new(), failed: false };
    let mut output = String::new();
    for file in inputs(&filename)? {
        let name = file.path.display();
        let text = file.text.map_err(anyhow::Error::msg).with_context(|| format!("cannot read {name}"))?;
        let mut lines = 0;
        for document in manifest::documents(&text) {
            let injected = injection.document(document, lines).with_context(|| name.to_string())?;
            append(&mut output, &injected);
            lines += document.matches('\n').count();
        }
    }
    print(output)?;
    for Setting { template, parameter, .. } in injection.set.iter().filter(|setting| !setting.used) {
        report(format_args!("warning: --set {template}.{parameter}: no pod asks for {template}"));
    }
    Ok(if injection.failed { ExitCode::from(1) } else { ExitCode::SUCCESS })
}

fn inputs(names: &[PathBuf]) -> anyhow::Result<Vec<SourceFile>> {
    let mut inputs = Vec::new();
    for name in names {
        let files = if name == Path::new("-") {
            let text = files::read_text(io::stdin().lock(), MANIFEST_BYTES).map_err(|error| error.to_string());
            vec![SourceFile { path: "standard input".into(), text: text.map(Arc::from) }]
        } else {
            files::read(std::slice::from_ref(name), MANIFEST_BYTES)
        };
        if files.is_empty() {
            bail!("{}: no .yaml, .yml or .json file in there", name.display());
        }
        inputs.extend(files);
    }
    Ok(inputs)
}

/// Appends a document to the output, with the marker between documents if neither has it.
fn append(output: &mut String, document: &str) {
    if !output.is_empty() && !document.is_empty() {
        if !output.ends_with('\n') {
            output.push('\n');
        }
        if !document.starts_with("---") {
            output.push_str("---\n");
        }
    }
    output.push_str(document);
}

/// The result of injecting into a pod.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Injected {
    Yes,
    No,
    Denied,
}

struct Injection {
    catalog: Catalog,
    set: Vec<Setting>,
    /// The templates whose warnings have been reported.
    advised: BTreeSet<(TemplateName, Option<String>)>,
    /// Whether a pod was refused, or a template failed.
    failed: bool,
}

impl Injection {
    /// Injects into a document that has `lines` before it.
    fn document(&mut self, document: &str, lines: usize) -> anyhow::Result<String> {
        let Some(mut object) = manifest::parse(document, lines)? else { return Ok(document.to_owned()) };
        let (mut changed, mut denied) = (false, false);
        manifest::each_pod(&mut object, &mut |source| {
            let injected = self.pod(source)?;
            changed |= injected == Injected::Yes;
            denied |= injected == Injected::Denied;
            anyhow::Ok(())
        })?;
        // A cluster would refuse it too, and it must not be created without its sidecars through a pipe.
        if denied {
            Ok(String::new())
        } else if changed {
            Ok(manifest::write(document, &object)?)
        } else {
            Ok(document.to_owned())
        }
    }

    /// Injects into one pod, and reports.
    fn pod(&mut self, mut source: PodSource<'_>) -> anyhow::Result<Injected> {
        let mut pod = source.pod();
        let subject = format!("{} {:?}", source.kind, source.name);
        if let Err(wrong) = check_strings(&pod) {
            report(format_args!("{subject}: {wrong}\n{subject}: omitted from the output"));
            self.failed = true;
            return Ok(Injected::Denied);
        }
        self.annotate(&mut pod);
        let raw = to_raw_value(&pod)?;
        let review = Review::of_pod(&source.namespace, &raw);
        let decision = pillion_engine::review(&self.catalog, &Namespace::named(review.namespace()), &review);
        self.report_decision(&subject, &decision);
        if let Some(key) = &source.misplaced {
            let kind = &source.kind;
            report(format_args!(
                "{subject}: warning: {key} is on the {kind}; only the annotations of the pod template are read"
            ));
        }
        self.report_warnings(review.namespace(), &decision);
        if !decision.allowed() {
            report(format_args!("{subject}: omitted from the output"));
            return Ok(Injected::Denied);
        }
        if decision.patch.is_empty() {
            return Ok(Injected::No);
        }
        let patch: json_patch::Patch = serde_json::from_str(&decision.patch.json)?;
        json_patch::patch(&mut pod, &patch).with_context(|| format!("{subject}: the patch does not apply"))?;
        source.put_back(pod);
        Ok(Injected::Yes)
    }

    /// Reports the warnings of the templates that a pod asks for, once each.
    fn report_warnings(&mut self, namespace: &str, decision: &Decision) {
        for TemplateDecision { name, .. } in &decision.templates {
            let Some(template) = self.catalog.template(name.as_str(), namespace) else { continue };
            if self.advised.insert((name.clone(), template.namespace.clone())) {
                for warning in &template.warnings {
                    report(format_args!("warning: {warning}"));
                }
            }
        }
    }

    /// Gives the pod the parameters that were set on the command line, for the templates that it asks for.
    fn annotate(&mut self, pod: &mut Value) {
        let annotations = pod.pointer_mut("/metadata/annotations").and_then(Value::as_object_mut);
        let Some(annotations) = annotations else { return };
        let asked: Vec<String> = annotations
            .get(TEMPLATES)
            .and_then(Value::as_str)
            .map(|names| names.split(',').map(|name| name.trim().trim_start_matches('+').to_owned()).collect())
            .unwrap_or_default();
        for Setting { template, parameter, value, used } in &mut self.set {
            if asked.iter().any(|name| name == template.as_str()) {
                *used = true;
                annotations.insert(format!("{template}.pillion.dev/{parameter}"), value.as_str().into());
            }
        }
    }

    /// Reports how the review of a pod ended.
    fn report_decision(&mut self, subject: &str, decision: &Decision) {
        let Decision { outcome, reason, message, templates, warnings, .. } = decision;
        let say = |text: &str| report(format_args!("{subject}: {text}"));
        let sentence = |outcome: Outcome, reason: Reason, message: &Option<String>| match message {
            Some(message) => format!("{outcome}: {reason}: {message}"),
            None => format!("{outcome}: {reason}"),
        };

        let (injected, others): (Vec<_>, Vec<_>) =
            templates.iter().partition(|template| template.outcome == Outcome::Injected);
        if injected.is_empty() || !decision.allowed() {
            say(&sentence(*outcome, *reason, message));
        } else {
            let names: Vec<&str> = injected.iter().map(|template| template.name.as_str()).collect();
            say(&format!("injected {}", names.join(", ")));
        }
        for TemplateDecision { name, outcome, reason, message, .. } in others {
            // Otherwise it has been reported already.
            if *reason != decision.reason && decision.allowed() {
                say(&format!("{name}: {}", sentence(*outcome, *reason, message)));
            }
        }
        for warning in warnings {
            say(&format!("warning: {}", warning.text));
        }

        let failed = |outcome| matches!(outcome, Outcome::Denied | Outcome::Error);
        if failed(*outcome) || templates.iter().any(|template| failed(template.outcome)) {
            self.failed = true;
        }
    }
}

/// Labels and annotations must be strings. An API server would refuse the pod, and `inject: false` must not be ignored.
fn check_strings(pod: &Value) -> Result<(), String> {
    for map in ["labels", "annotations"] {
        let members = pod.pointer(&format!("/metadata/{map}")).and_then(Value::as_object);
        if let Some((key, value)) = members.into_iter().flatten().find(|(_, value)| !value.is_string()) {
            return Err(format!("metadata.{map}[{key}] must be a string; quote {value}"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_names_template_and_parameter() {
        let setting: Setting = "fluent-bit.logDir=/a=b.c".parse().unwrap();
        assert_eq!(
            (setting.template.as_str(), &*setting.parameter, &*setting.value),
            ("fluent-bit", "logDir", "/a=b.c")
        );
        for wrong in ["fluent-bit", "fluent-bit.logDir", "logDir=1", "fluent-bit.=1", "Fluent.x=1"] {
            assert!(wrong.parse::<Setting>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn documents_are_kept_apart() {
        let mut output = String::new();
        for document in ["a: 1\n", "---\nb: 2", "{\"c\": 3}\n", "{\"d\": 4}\n"] {
            append(&mut output, document);
        }
        assert_eq!(output, "a: 1\n---\nb: 2\n---\n{\"c\": 3}\n---\n{\"d\": 4}\n");
    }
}
