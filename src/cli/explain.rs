//! `pillion explain`: each step of the decision about a pod, in order, up to the first that fails.

mod explanation;
mod mistakes;
mod steps;
mod templates;
mod text;

use std::process::ExitCode;
use std::str::FromStr;

use anyhow::ensure;
use pillion_engine::catalog::Catalog;
use pillion_engine::decision::Reason;
use pillion_engine::text::nearest;

use self::explanation::Explanation;
use self::steps::Seen;
use self::templates::TemplateFiles;
use super::input::{self, Common, Document, Inputs};
use super::namespaces::Namespaces;
use super::output::{Format, is_colored, print, report};
use super::progress::Progress;
use super::selector::LabelSelector;
use super::settings::Settings;
use super::site::Site;
use crate::files::SourceFile;
use crate::manifest::{FoundKey, Kept, Object, each_object, found_keys};

/// Flags of `pillion explain`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  pillion explain -f web.yaml
  kubectl get deployment web -o yaml | pillion explain -f -
  pillion explain --reason unknown_template

Exit codes:
  0  every pod is injected as asked, or left alone as somebody asked: it is opted out, its list of templates is empty, or
     the template's own condition (when) keeps it out
  1  a step failed (✗): a pod is not injected, or not with all that it asks for
  2  wrong usage, or input that cannot be read")]
pub(crate) struct Args {
    #[command(flatten)]
    common: Common,

    /// How to write it
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,

    /// Print what a reason means, such as unknown_template, and what to do
    #[arg(long, value_name = "REASON", value_parser = ReasonArg::from_str, conflicts_with = "filename")]
    reason: Option<ReasonArg>,
}

#[derive(Clone, Copy, Debug)]
struct ReasonArg(Reason);

impl FromStr for ReasonArg {
    type Err = String;

    fn from_str(text: &str) -> Result<ReasonArg, String> {
        let reason = Reason::ALL.iter().find(|reason| reason.as_str() == text);
        reason.map(|reason| ReasonArg(*reason)).ok_or_else(|| {
            let all: Vec<_> = Reason::ALL.iter().map(|reason| reason.as_str()).collect();
            match nearest(text, all.iter().copied()) {
                Some(near) => format!("there is no such reason; did you mean {near}?"),
                None => format!("there is no such reason; they are {}", all.join(", ")),
            }
        })
    }
}

/// Explains all pods that were named. The exit code is 1 when a step fails.
pub(crate) fn run(args: Args) -> anyhow::Result<ExitCode> {
    let Args { common, output, reason } = args;
    if let Some(ReasonArg(reason)) = reason {
        print(describe(reason, output))?;
        return Ok(ExitCode::SUCCESS);
    }
    let template_files = TemplateFiles::of(&common);
    let Inputs { files, catalog, namespaces, settings, selector } = common.load()?;
    let mut explainer = Explainer {
        catalog,
        namespaces,
        settings,
        selector,
        progress: Progress::start("explaining", "objects"),
        template_files,
        explanations: Vec::new(),
    };
    let mut is_unreadable = false;
    for file in &files {
        is_unreadable |= !explainer.file(file)?;
    }
    let Explainer { catalog, namespaces, settings, selector, progress, explanations, .. } = explainer;
    drop(progress);
    print(match output {
        Format::Text => text::write(&explanations, is_colored()),
        Format::Json => format!("{:#}\n", serde_json::to_value(&explanations)?),
    })?;
    settings.report_unused(&catalog, namespaces.name(None));
    selector.report_unused();
    ensure!(is_unreadable || !explanations.is_empty(), "there is no pod and no pod template in the input");
    let has_failed = explanations.iter().any(Explanation::has_failed);
    Ok(ExitCode::from(if is_unreadable { 2 } else { u8::from(has_failed) }))
}

fn describe(reason: Reason, output: Format) -> String {
    let (sentence, fix, page) = (reason.sentence(), reason.fix(), reason.page());
    match output {
        Format::Text => format!("{reason}: {sentence}\nWhat to do: {fix}\nMore: {page}\n"),
        Format::Json => {
            let json = serde_json::json!({"reason": reason.as_str(), "sentence": sentence, "fix": fix, "page": page});
            format!("{json:#}\n")
        }
    }
}

struct Explainer {
    catalog: Catalog,
    namespaces: Namespaces,
    settings: Settings,
    selector: LabelSelector,
    progress: Progress,
    template_files: TemplateFiles,
    explanations: Vec<Explanation>,
}

impl Explainer {
    /// Explains the pods of a file. Whether all of it could be read.
    fn file(&mut self, file: &SourceFile) -> anyhow::Result<bool> {
        let mut is_readable = true;
        for document in input::documents(file) {
            match document {
                Ok(Document { node: Some(node), .. }) => {
                    each_object(&mut node.to_json(), &node, &mut |object| {
                        self.object(file, object)?;
                        anyhow::Ok(Kept::Yes)
                    })?;
                }
                Ok(Document { node: None, .. }) => {}
                Err(why) => {
                    report(format_args!("error: {why}"));
                    is_readable = false;
                }
            }
        }
        Ok(is_readable)
    }

    fn object(&mut self, file: &SourceFile, mut object: Object<'_>) -> anyhow::Result<()> {
        self.progress.add(1);
        if !self.selector.selects(object.value) {
            return Ok(());
        }
        let namespace = self.namespaces.name(object.namespace.as_deref()).to_owned();
        let of_object = Site::of(&file.path, &object, &namespace);
        let (line, name) = (object.line, object.name_in(&namespace));
        let (group, kind) = (object.group.clone(), object.kind.clone());
        let stray = object.stray_keys();
        let keys = found_keys(object.node);
        let mut has_pods = false;
        object.each_pod(&mut |template| {
            has_pods = true;
            let site = of_object.template(&template);
            let is_of_this = |found: &&FoundKey| !found.is_of_pod || site.has(&found.map);
            let keys: Vec<_> = keys.iter().filter(is_of_this).cloned().collect();
            let seen = Seen {
                site: &site,
                subject: template.subject(&name),
                line,
                keys: &keys,
                catalog: &self.catalog,
                namespaces: &self.namespaces,
                template_files: &self.template_files,
            };
            let explanation = seen.explain(&template, &mut self.settings, (&group, &kind))?;
            self.explanations.push(explanation);
            anyhow::Ok(())
        })?;
        if !has_pods && !stray.is_empty() {
            self.explanations.push(steps::without_pods(&of_object, name, line, &keys));
        }
        Ok(())
    }
}
