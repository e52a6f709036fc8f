//! `pillion inject`: the webhook's engine on manifests, before they reach a cluster.
//!
//! `pillion uninject` goes over manifests in the same way, and writes them in the same formats.

mod format;

use std::collections::BTreeSet;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context as _;
use pillion_engine::catalog::Catalog;
use pillion_engine::decision::{Decision, Outcome, Reason, TemplateDecision};
use pillion_engine::template::TemplateName;
use pillion_engine::yaml::Node;

use self::format::Change;
pub(super) use self::format::Format;
use super::evaluate::{Candidate, Evaluation, NotSent};
use super::fix::Edits;
use super::input::{self, Common, Document, Inputs};
use super::namespaces::Namespaces;
use super::output::{print, report};
use super::progress::Progress;
use super::selector::LabelSelector;
use super::settings::Settings;
use super::site::Site;
use super::uninject::Uninjection;
use crate::files::SourceFile;
use crate::manifest::{self, Anew, Changed, Kept, Object, PodTemplate, each_object};

/// Flags of `pillion inject`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  pillion inject -f web.yaml | kubectl apply -f -
  helm template charts/web | pillion inject -f - -n shop --namespace-labels team=shop
  pillion inject -f manifests/ -l app=web --template envoy --set envoy.upstreamHost=orders.shop -o diff")]
pub(crate) struct Args {
    #[command(flatten)]
    common: Common,

    /// How to write the result
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

/// Injects into all that was named, and omits what a cluster would refuse. What cannot be read is reported, and the rest
/// written.
pub(crate) fn run(args: Args) -> anyhow::Result<ExitCode> {
    Ok(inject(args.common, args.output)?.exit_code())
}

/// Shows what would change. The exit code is 1 if anything does.
pub(crate) fn diff(common: Common) -> anyhow::Result<ExitCode> {
    let rewriting = inject(common, Format::Diff)?;
    Ok(match rewriting.exit_code() {
        ExitCode::SUCCESS if rewriting.is_changed => ExitCode::from(1),
        code => code,
    })
}

/// Injects into all that was named, and writes it.
fn inject(common: Common, format: Format) -> anyhow::Result<Rewriting> {
    let Inputs { files, catalog, namespaces, settings, selector } = common.load()?;
    let step = Step::Inject(Injection {
        catalog,
        settings,
        advised: BTreeSet::new(),
        explained: BTreeSet::new(),
        failed: false,
    });
    let rewriting = rewrite(&files, step, namespaces, selector, format)?;
    if let Step::Inject(Injection { catalog, settings, .. }) = &rewriting.step {
        settings.report_unused(catalog, rewriting.namespaces.name(None));
    }
    Ok(rewriting)
}

/// Takes a step with each pod of these files, and writes what comes of them.
pub(super) fn rewrite(
    files: &[SourceFile],
    step: Step,
    namespaces: Namespaces,
    selector: LabelSelector,
    format: Format,
) -> anyhow::Result<Rewriting> {
    let progress = Progress::start(
        match step {
            Step::Inject(_) => "injecting",
            Step::Uninject(_) => "uninjecting",
        },
        "objects",
    );
    let mut rewriting =
        Rewriting { step, namespaces, selector, progress, format, is_changed: false, unreadable: false };
    let mut output = String::new();
    for file in files {
        rewriting.file(file, &mut output)?;
    }
    print(output)?;
    rewriting.selector.report_unused();
    Ok(rewriting)
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

/// Reports what of a document was written anew; `lines` of its file come before it.
fn report_anew(file: &Path, lines: usize, anew: &[Anew]) {
    for Anew { line, path, why } in anew {
        let what = if path.is_empty() { "the document" } else { path };
        let line = lines + line + 1;
        report(format_args!("{}:{line}: note: {what} is written anew, without its comments, as {why}", file.display()));
    }
}

/// What comes of a pod; of an object with several, the last of these that one of them has.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Rewritten {
    /// It is left as it is.
    No,
    /// It changes.
    Yes,
    /// It is refused, and its object with it.
    Denied,
}

/// What is done with each pod.
pub(super) enum Step {
    Inject(Injection),
    Uninject(Uninjection),
}

/// Manifests on their way to standard output.
pub(super) struct Rewriting {
    step: Step,
    namespaces: Namespaces,
    selector: LabelSelector,
    progress: Progress,
    format: Format,
    /// Whether an object changes.
    is_changed: bool,
    /// Whether a file or a document could not be read.
    unreadable: bool,
}

impl Rewriting {
    /// 2 for what could not be read, or else 1 for what failed.
    pub(super) fn exit_code(&self) -> ExitCode {
        let failed = match &self.step {
            Step::Inject(injection) => injection.failed,
            Step::Uninject(uninjection) => uninjection.failed,
        };
        ExitCode::from(if self.unreadable { 2 } else { u8::from(failed) })
    }

    /// Rewrites the documents of a file.
    fn file(&mut self, file: &SourceFile, output: &mut String) -> anyhow::Result<()> {
        for document in input::documents(file) {
            match document {
                Ok(Document { text, node: None, .. }) if self.format == Format::Yaml => append(output, text),
                Ok(Document { node: None, .. }) => {}
                Ok(Document { text, lines, node: Some(node) }) => {
                    self.document(&file.path, (text, lines), &node, output)?;
                }
                Err(why) => {
                    report(format_args!("error: {why}"));
                    self.unreadable = true;
                }
            }
        }
        Ok(())
    }

    /// Rewrites a document; `lines` of its file come before it.
    fn document(
        &mut self,
        file: &Path,
        (document, lines): (&str, usize),
        node: &Node,
        output: &mut String,
    ) -> anyhow::Result<()> {
        let mut value = node.to_json();
        let mut is_changed = false;
        let kept = each_object(&mut value, node, &mut |object| {
            let rewritten = self.object(file, object, output)?;
            is_changed |= rewritten != Rewritten::No;
            anyhow::Ok(if rewritten == Rewritten::Denied { Kept::No } else { Kept::Yes })
        })?;
        // A cluster would refuse it too, and it must not be created without its sidecars through a pipe.
        match self.format {
            _ if kept == Kept::No => {}
            Format::Yaml if is_changed => {
                let Changed { text, anew } = manifest::change(document, &node.to_json(), &value)?;
                report_anew(file, lines, &anew);
                append(output, &text);
            }
            Format::Yaml => append(output, document),
            Format::Json => *output += &format!("{value:#}\n"),
            Format::Diff | Format::Patch | Format::Name => {}
        }
        Ok(())
    }

    /// Takes the step with the pods of an object, and reports.
    fn object(&mut self, file: &Path, mut object: Object<'_>, output: &mut String) -> anyhow::Result<Rewritten> {
        self.progress.add(1);
        if !self.selector.selects(object.value) {
            return Ok(Rewritten::No);
        }
        let namespace = self.namespaces.name(object.namespace.as_deref()).to_owned();
        let subject = object.subject(file, &namespace);
        let site = Site::of(file, &object, &namespace);
        let stray = object.stray_keys();
        let (group, name_of_kind) = (object.group.clone(), object.kind.clone());
        let (name, before) = (format::name(&object), object.value.clone());
        let mut all = Rewritten::No;
        let mut has_pods = false;
        object.each_pod(&mut |template| {
            has_pods = true;
            let subject = template.subject(&subject);
            all = all.max(match &mut self.step {
                Step::Inject(injection) => {
                    injection.pod(&subject, &site, (&group, &name_of_kind), template, &self.namespaces)?
                }
                Step::Uninject(uninjection) => uninjection.pod(&subject, &namespace, template)?,
            });
            anyhow::Ok(())
        })?;
        for (key, place) in stray.into_iter().filter(|_| matches!(self.step, Step::Inject(_))) {
            let advice = if has_pods {
                "only those of the pod template are read; move it there"
            } else {
                "no pod template was found to inject into; pods that are made of it are injected in the cluster"
            };
            report(format_args!("{subject}: warning: {key} is among {place}; {advice}"));
        }
        match all {
            Rewritten::Yes => {
                self.is_changed = true;
                let change = Change { name, subject: &subject, before: &before, after: object.value };
                self.format.write_change(&change, output)?;
            }
            Rewritten::Denied => report(format_args!("{subject}: omitted from the output")),
            Rewritten::No => {}
        }
        Ok(all)
    }
}

/// Injecting, as far as all pods have it in common.
pub(super) struct Injection {
    catalog: Catalog,
    settings: Settings,
    /// The templates whose warnings have been reported.
    advised: BTreeSet<(TemplateName, Option<String>)>,
    /// The reasons of which it was said where they are explained.
    explained: BTreeSet<Reason>,
    /// Whether a pod was refused, or a template failed.
    failed: bool,
}

impl Injection {
    /// Injects into one pod, and reports.
    fn pod(
        &mut self,
        subject: &str,
        site: &Site<'_>,
        (group, kind): (&str, &str),
        mut template: PodTemplate<'_>,
        namespaces: &Namespaces,
    ) -> anyhow::Result<Rewritten> {
        let namespace = site.namespace();
        let candidate = match Candidate::new(&template, namespace, namespaces, &mut self.settings)? {
            Ok(candidate) => candidate,
            Err(NotSent::Malformed(why)) => {
                report(format_args!("{subject}: {why}"));
                self.failed = true;
                return Ok(Rewritten::Denied);
            }
            Err(NotSent::ByNamespace(why)) => {
                report(format_args!("{subject}: {why}"));
                return Ok(Rewritten::No);
            }
        };
        let evaluated = candidate.evaluate(&self.catalog, group, kind);
        let Evaluation { decision, pod } = evaluated.with_context(|| format!("{subject}: the patch does not apply"))?;
        self.report_decision(subject, &decision);
        self.report_fixes(&site.template(&template), &decision, namespaces);
        self.report_warnings(namespace, &decision);
        if !decision.allowed() {
            return Ok(Rewritten::Denied);
        }
        let Some(pod) = pod else { return Ok(Rewritten::No) };
        if candidate.pod["spec"].get("imagePullSecrets").is_none() && pod["spec"].get("imagePullSecrets").is_some() {
            report(format_args!(
                "{subject}: warning: a pod that has imagePullSecrets is not given those of its ServiceAccount; if that has \
                 some, add them to the manifest, or let the webhook inject"
            ));
        }
        template.put_back(pod);
        Ok(Rewritten::Yes)
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

    /// Reports where what is wrong is to be put right, and where more is written about it: once for each reason.
    fn report_fixes(&mut self, site: &Site<'_>, decision: &Decision, namespaces: &Namespaces) {
        let edits = Edits::of(&decision.edits, &decision.templates);
        for edit in edits.fix(site, namespaces).edits {
            report(format_args!("    {edit}"));
        }
        if let Some(flags) = edits.flags() {
            report(format_args!("    or {flags}"));
        }
        let failed = decision.templates.iter().map(|template| (template.outcome, template.reason));
        for (outcome, reason) in [(decision.outcome, decision.reason)].into_iter().chain(failed) {
            if matches!(outcome, Outcome::Denied | Outcome::Error) && self.explained.insert(reason) {
                report(format_args!("    {reason}: pillion explain --reason {reason}, or {}", reason.page()));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_are_kept_apart() {
        let mut output = String::new();
        for document in ["a: 1\n", "---\nb: 2", "{\"c\": 3}\n", "{\"d\": 4}\n"] {
            append(&mut output, document);
        }
        assert_eq!(output, "a: 1\n---\nb: 2\n---\n{\"c\": 3}\n---\n{\"d\": 4}\n");
    }
}
