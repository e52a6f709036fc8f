//! `pillion explain`: each step of the decision about a pod, in order, up to the first that fails.

use std::fmt::Write as _;
use std::process::ExitCode;
use std::str::FromStr;

use pillion_engine::admission::Review;
use pillion_engine::catalog::{Catalog, Namespace};
use pillion_engine::decision::{Decision, Effect, Outcome, PlaceDecision, Reason, TemplateDecision};
use serde_json::Value;
use serde_json::value::to_raw_value;

use super::input::{self, Common, Document, Inputs};
use super::output::{as_word, print, report};
use super::progress::Progress;
use super::settings::TEMPLATES;
use crate::manifest::{Kept, Object, PodTemplate, each_object};

/// Flags of `pillion explain`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  pillion explain -f web.yaml
  kubectl get deployment web -o yaml | pillion explain -f -
  pillion explain --reason unknown_template")]
pub(crate) struct Args {
    #[command(flatten)]
    common: Common,

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
            format!("there is no such reason; they are {}", all.join(", "))
        })
    }
}

/// Explains all pods that were named. The exit code is 1 when one of them does not get all that it asks for.
pub(crate) fn run(args: Args) -> anyhow::Result<ExitCode> {
    if let Some(ReasonArg(reason)) = args.reason {
        print(format_args!("{reason}: {}\nWhat to do: {}\n", reason.sentence(), reason.fix()))?;
        return Ok(ExitCode::SUCCESS);
    }
    let Inputs { files, catalog, namespaces, mut settings, mut selector } = args.common.load()?;
    let (mut text, mut is_missing, mut is_unreadable) = (String::new(), false, false);
    let progress = Progress::start("explaining", "objects");
    for file in &files {
        for document in input::documents(file) {
            let node = match document {
                Ok(Document { node: Some(node), .. }) => node,
                Ok(Document { node: None, .. }) => continue,
                Err(why) => {
                    report(format_args!("error: {why}"));
                    is_unreadable = true;
                    continue;
                }
            };
            each_object(&mut node.to_json(), &node, &mut |mut object| {
                progress.add(1);
                if !selector.selects(object.value) {
                    return Ok(Kept::Yes);
                }
                let namespace = namespaces.name(object.namespace.as_deref()).to_owned();
                let subject = object.subject(&file.path, &namespace);
                let misplaced = misplaced(&object);
                object.each_pod(&mut |template| {
                    let mut pod = template.pod(&namespace);
                    settings.apply(&mut pod);
                    let mut steps = Steps { text: format!("{subject}\n"), depth: 1, has_failed: false };
                    match namespaces.find(&namespace) {
                        Ok(known) => {
                            steps.passed("the namespace sends its pods to Pillion");
                            steps.pod(&catalog, &known, &pod, misplaced.as_ref(), &template)?;
                        }
                        Err(why) => steps.failed("the namespace sends its pods to Pillion", &why, None),
                    }
                    is_missing |= steps.has_failed;
                    text += &steps.text;
                    anyhow::Ok(())
                })?;
                anyhow::Ok(Kept::Yes)
            })?;
        }
    }
    print(text)?;
    settings.report_unused(&catalog, namespaces.name(None));
    selector.report_unused();
    Ok(ExitCode::from(if is_unreadable { 2 } else { u8::from(is_missing) }))
}

/// What a workload asks for on itself, where nobody reads it.
struct Misplaced {
    kind: String,
    name: String,
    templates: String,
}

fn misplaced(object: &Object<'_>) -> Option<Misplaced> {
    let templates = object.value["metadata"]["annotations"][TEMPLATES].as_str().filter(|_| !object.is_core("Pod"))?;
    Some(Misplaced { kind: object.kind_in_lower_case(), name: object.name.clone(), templates: templates.to_owned() })
}

impl Misplaced {
    /// The command that puts the annotation where it counts; a merge patch reaches no item of a list.
    fn fix(&self, namespace: &str, template: &PodTemplate<'_>) -> String {
        if template.path.contains('[') {
            return format!("move it to the annotations in {}.metadata of the manifest", template.path);
        }
        let Misplaced { kind, name, templates } = self;
        let annotations = serde_json::json!({"metadata": {"annotations": {TEMPLATES: templates}}});
        let patch = template.path.rsplit('.').fold(annotations, |inner, field| serde_json::json!({field: inner}));
        let [kind, name, namespace] = [kind, name, namespace].map(as_word);
        let patch = patch.to_string().replace('\'', r"'\''");
        format!("kubectl patch {kind} {name} -n {namespace} --type=merge -p '{patch}'")
    }
}

/// The steps that one template goes through, in the order of the engine, and the reasons by which it can fail at each.
const TEMPLATE_STEPS: &[(&str, &[Reason])] = &[
    ("there is such a template", &[Reason::UnknownTemplate, Reason::InvalidTemplate]),
    ("the template admits the namespace", &[Reason::TemplateNotAllowed, Reason::UnknownNamespace]),
    ("it is for the network and the operating system of the pod", &[Reason::HostNetwork, Reason::UnsupportedOs]),
    (
        "its parameters are right",
        &[Reason::MissingParameter, Reason::InvalidParameter, Reason::UnknownParameter, Reason::ParameterNotSettable],
    ),
    ("its condition (when) holds", &[Reason::GuardFalse]),
    ("its expressions have values", &[Reason::ExpressionFailed, Reason::ExpressionLimit]),
    ("its parts go into the pod", &[Reason::Conflict, Reason::TooLarge]),
    ("the API server would take the result", &[Reason::InvalidResult]),
];

/// The steps of the decision about one pod, as text.
struct Steps {
    text: String,
    /// How far lines are indented, in steps of two.
    depth: usize,
    has_failed: bool,
}

impl Steps {
    fn line(&mut self, line: &str) {
        let depth = self.depth * 2;
        // Writing to a string cannot fail.
        let _ = writeln!(self.text, "{:depth$}{line}", "");
    }

    fn passed(&mut self, step: &str) {
        self.line(&format!("✓ {step}"));
    }

    fn failed(&mut self, step: &str, why: &str, fix: Option<&str>) {
        self.has_failed = true;
        self.line(&format!("✗ {step}"));
        self.line(&format!("    {why}"));
        if let Some(fix) = fix {
            self.line(&format!("    fix: {fix}"));
        }
    }

    /// The steps from the pod's own wishes to the result.
    fn pod(
        &mut self,
        catalog: &Catalog,
        namespace: &Namespace,
        pod: &Value,
        misplaced: Option<&Misplaced>,
        template: &PodTemplate<'_>,
    ) -> anyhow::Result<()> {
        if let Err(why) = input::check_shape(pod) {
            self.failed("the pod has the shape of one", &why, None);
            return Ok(());
        }
        let raw = to_raw_value(pod)?;
        let review = Review::of_pod(&namespace.name, &raw);
        let decision = match pillion_engine::select(catalog, namespace, &review) {
            Ok(selection) => selection.explain(catalog),
            Err(decision) => *decision,
        };
        let Decision { outcome, reason, message, templates, warnings, .. } = &decision;
        if templates.is_empty() {
            let fix = misplaced.filter(|_| *reason == Reason::NoTemplatesRequested);
            let why = match fix {
                Some(Misplaced { kind, .. }) => {
                    format!("{TEMPLATES} is on the {kind}, where the webhook does not see it")
                }
                None => message.clone().unwrap_or_else(|| reason.sentence().to_owned()),
            };
            let fix = fix.map_or_else(|| reason.fix().to_owned(), |it| it.fix(&namespace.name, template));
            self.failed("the pod asks for templates", &why, Some(&fix));
        } else {
            self.passed("the pod asks for templates");
            templates.iter().for_each(|template| self.template(template));
        }
        for warning in warnings {
            self.line(&format!("! {}", warning.text));
        }
        let injected = templates.iter().filter(|template| template.outcome == Outcome::Injected && decision.allowed());
        let injected: Vec<_> = injected.map(|template| template.name.as_str()).collect();
        self.line(&match injected[..] {
            [] => format!("{outcome}: {reason}"),
            _ => format!("injected: {}", injected.join(", ")),
        });
        Ok(())
    }

    fn template(&mut self, template: &TemplateDecision) {
        let TemplateDecision { name, reason, message, places, .. } = template;
        self.line(&format!("template {name}"));
        self.depth += 1;
        self.template_steps(*reason, message.as_deref(), places);
        self.depth -= 1;
    }

    fn template_steps(&mut self, reason: Reason, message: Option<&str>, places: &[PlaceDecision]) {
        for (step, reasons) in TEMPLATE_STEPS {
            if reasons.contains(&reason) {
                return self.failed(step, message.unwrap_or(reason.sentence()), Some(reason.fix()));
            }
            self.passed(step);
            if reasons.contains(&Reason::Conflict) {
                places.iter().for_each(|place| self.line(&format!("    {}", place_line(place))));
            }
        }
        if reason != Reason::Injected {
            self.line(&format!("{reason}: {}", reason.sentence()));
        }
    }
}

/// What happened at one place, and by which row of `docs/merge.md`.
fn place_line(PlaceDecision { place, effect, rule }: &PlaceDecision) -> String {
    match effect {
        Effect::Added => format!("+ {place}"),
        Effect::AlreadyThere => format!("= {place}: already there"),
        Effect::Replaced => format!("~ {place}: replaced, by the rule for {}", rule.part),
        Effect::NotApplied { of } => {
            let whose =
                of.as_ref().map_or("the pod's own value".to_owned(), |name| format!("the value of template {name}"));
            format!("- {place}: {whose} wins; {}: {}", rule.part, rule.then)
        }
    }
}
