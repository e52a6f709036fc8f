//! The steps of a decision, in the order of the engine, and what to do about the one that fails.

use pillion_engine::catalog::Catalog;
use pillion_engine::decision::{Change, Decision, Edit, Outcome, Reason, TemplateDecision};
use pillion_engine::names::{INJECT, REQUIRED, TEMPLATES};
use serde_json::Value;

use super::explanation::{Explanation, Mark, Step, explained};
use super::mistakes::{self, Mistake};
use super::templates::{TemplateFiles, TemplatePlace};
use crate::cli::evaluate::{Candidate, Evaluation, NotSent};
use crate::cli::fix::{Edits, Fix};
use crate::cli::namespaces::Namespaces;
use crate::cli::output::{as_word, quoted};
use crate::cli::settings::Settings;
use crate::cli::site::Site;
use crate::manifest::{FoundKey, PodTemplate};

/// The words for the steps.
const OPTED_IN: &str = "opted in";
const ASKED_FOR: &str = "asked for";
const FOUND: &str = "found";
const PLACES: &str = "places";
const RULES: &str = "rules";
const WORKLOAD: &str = "workload";

/// The steps that one template goes through, and the reasons by which it can fail at each.
const TEMPLATE_STEPS: &[(&str, &[Reason])] = &[
    (FOUND, &[Reason::UnknownTemplate, Reason::InvalidTemplate]),
    ("admitted", &[Reason::TemplateNotAllowed, Reason::UnknownNamespace]),
    ("runs on", &[Reason::HostNetwork, Reason::UnsupportedOs]),
    (
        "parameters",
        &[Reason::MissingParameter, Reason::InvalidParameter, Reason::UnknownParameter, Reason::ParameterNotSettable],
    ),
    ("guard", &[Reason::GuardFalse]),
    ("expressions", &[Reason::ExpressionFailed, Reason::ExpressionLimit]),
    (PLACES, &[Reason::Conflict, Reason::TooLarge, Reason::AlreadyInjected, Reason::NothingToAdd]),
    (RULES, &[Reason::InvalidResult]),
];

/// Reasons by which nothing is injected as somebody meant it so.
const AS_MEANT: [Reason; 3] = [Reason::GuardFalse, Reason::AlreadyInjected, Reason::NothingToAdd];

/// What is said of an object that asks for injection and has no pod template.
pub(super) fn without_pods(site: &Site<'_>, subject: String, line: u64, keys: &[FoundKey]) -> Explanation {
    let mut explanation = Explanation::new(site, &subject, line);
    // Labels and annotations elsewhere than on the object itself: an operator copies them to its pods.
    let is_of_pods = |found: &FoundKey| !found.map.starts_with("metadata.");
    if keys.iter().any(is_of_pods) {
        let why = "no pod template was found; what makes pods of this object may give them what it asks for, and they are \
                   injected in the cluster";
        explanation.push(ASKED_FOR, Mark::Ended, None, why.to_owned(), Fix::default());
    } else {
        let found = keys.iter().find(|found| found.is_ours);
        let (line, key) = found.map_or((line, TEMPLATES), |found| (found.line, &found.key));
        let fix = format!(
            "{}:{line}: move {key} to where the {} takes the annotations of its pods, or name the templates on the namespace",
            site.file(),
            site.kind()
        );
        explanation.push(ASKED_FOR, Mark::Failed, None, "no pod template was found".to_owned(), Fix::edit(fix));
    }
    explanation.with_verdict("no pod template was found")
}

/// A pod of a manifest with all that is known around it.
pub(super) struct Seen<'a> {
    pub(super) site: &'a Site<'a>,
    /// Its name in reports.
    pub(super) subject: String,
    /// The line of its object.
    pub(super) line: u64,
    /// The keys of its object.
    pub(super) keys: &'a [FoundKey],
    pub(super) catalog: &'a Catalog,
    pub(super) namespaces: &'a Namespaces,
    pub(super) template_files: &'a TemplateFiles,
}

impl Seen<'_> {
    /// Explains the decision about it.
    pub(super) fn explain(
        &self,
        template: &PodTemplate<'_>,
        settings: &mut Settings,
        (group, kind): (&str, &str),
    ) -> anyhow::Result<Explanation> {
        let namespace = self.site.namespace();
        let mut explanation = Explanation::new(self.site, &self.subject, self.line);
        let candidate = match Candidate::new(template, namespace, self.namespaces, settings)? {
            Ok(candidate) => candidate,
            Err(NotSent::ByNamespace(not)) => {
                let label = mistakes::label_elsewhere(self.keys, self.site);
                let why = [not.why].into_iter().chain(label).collect::<Vec<_>>().join("; ");
                let mut fix = not.fix;
                if fix.is_empty() {
                    fix = Fix::edit(self.site.other_namespace());
                }
                explanation.push(OPTED_IN, Mark::Failed, None, why, fix);
                return Ok(explanation.with_verdict(&format!("namespace {namespace} is not opted in")));
            }
            Err(NotSent::Malformed(why)) => {
                let fix = self.site.written_as_text().map(Fix::edit).unwrap_or_default();
                explanation.push(ASKED_FOR, Mark::Failed, None, why, fix);
                return Ok(explanation.with_verdict("the API server would refuse it"));
            }
        };
        explanation.push(OPTED_IN, Mark::Passed, None, self.opted_in(), Fix::default());
        let Evaluation { decision, .. } = candidate.explain(self.catalog, group, kind)?;
        Ok(self.decided(explanation, decision, &candidate.pod))
    }

    fn opted_in(&self) -> String {
        let namespace = self.site.namespace();
        if self.namespaces.object(namespace).is_some() {
            format!("namespace {namespace} has the label {INJECT}")
        } else if self.namespaces.has_labels() {
            format!("namespace {namespace}, as --namespace-labels describes it")
        } else {
            format!("namespace {namespace} is not in the input, and is taken to have the label {INJECT}")
        }
    }

    /// The steps from the pod's own wishes to the result.
    fn decided(&self, mut explanation: Explanation, decision: Decision, pod: &Value) -> Explanation {
        let Decision { outcome, reason, message, templates, edits, warnings, .. } = decision;
        let is_denied = outcome == Outcome::Denied;
        // Names that no template can have stand in no list of templates.
        let is_nameless = |edit: &&Edit| templates.iter().all(|template| template.name.as_str() != edit.template);
        let nameless: Vec<_> = edits.iter().filter(is_nameless).collect();
        let has_nameless = !nameless.is_empty() || templates.is_empty() && reason == Reason::UnknownTemplate;
        if templates.is_empty() && !has_nameless {
            self.asked_for_nothing(&mut explanation, reason, message.as_deref(), pod);
        } else {
            explanation.push(ASKED_FOR, Mark::Passed, None, self.asked_for(pod), Fix::default());
        }
        if has_nameless {
            let fix = Edits::of(nameless, &[]).fix(self.site, self.namespaces);
            let fix = if fix.is_empty() { self.correct_the_name("it") } else { fix };
            explanation.push(FOUND, Mark::Failed, Some(Reason::UnknownTemplate), message.clone(), fix);
        }
        for template in &templates {
            // Of names in one list all are corrected: two commands would undo each other.
            let is_rename =
                |edit: &Edit| matches!(edit.change, Change::Rename(..)) && template.reason == Reason::UnknownTemplate;
            let is_of_this = |edit: &&Edit| edit.template == template.name.as_str() || is_rename(edit);
            let edits = edits.iter().filter(is_of_this);
            self.template(&mut explanation, template, Edits::of(edits, &templates));
        }
        let is_by_workload = is_denied && templates.iter().any(|template| template.outcome == Outcome::Injected);
        if is_by_workload {
            let command = self.site.file_flag().map(|file| format!("kubectl apply -f {file}"));
            let edits = vec![format!("{}: correct {TEMPLATES}", self.site.position(&list_of_pod()))];
            let fix = Fix { command, edits, has_examples: false };
            explanation.push(WORKLOAD, Mark::Failed, Some(reason), message.clone(), fix);
        } else if is_denied && !explanation.has_failed() {
            let fix = Fix::edit(format!("{}: {}", self.site.position(""), reason.fix()));
            explanation.push(RULES, Mark::Failed, Some(reason), message.clone(), fix);
        }
        explanation.warnings = warnings.into_iter().map(|warning| warning.text).collect();
        explanation.warnings.retain(|warning| !warning.starts_with("skipped: "));
        if !templates.is_empty() {
            let is_told = |text: &str| {
                explanation.steps.iter().any(|step| step.why.as_ref().is_some_and(|why| why.contains(text)))
            };
            let more = mistakes::warnings(self.keys, self.site);
            explanation.warnings.extend(more.into_iter().filter(|text| !is_told(text)));
        }
        explanation.templates = templates.into_iter().map(|template| explained(template, is_denied)).collect();
        (explanation.outcome, explanation.reason) = (outcome.as_str(), Some(reason.as_str()));
        explanation.message = message;
        explanation.with_verdict(&format!("{outcome}: {reason}"))
    }

    /// Who names which templates.
    fn asked_for(&self, pod: &Value) -> String {
        let namespace = self.namespaces.object(self.site.namespace());
        let of = |object: Option<&Value>, key: &str, who: &str| {
            let list = object?["metadata"]["annotations"][key].as_str().filter(|list| !list.is_empty())?;
            Some(format!("{list}{who}"))
        };
        let lists = [
            of(namespace, REQUIRED, ", which the namespace requires"),
            of(Some(pod), TEMPLATES, ""),
            of(
                namespace.filter(|_| asks_for(pod).is_none_or(|list| list.contains('+'))),
                TEMPLATES,
                " of the namespace",
            ),
        ];
        lists.into_iter().flatten().collect::<Vec<_>>().join("; ")
    }

    /// No template is applied, and this is why.
    fn asked_for_nothing(&self, explanation: &mut Explanation, reason: Reason, message: Option<&str>, pod: &Value) {
        let is_asking = asks_for(pod).is_some_and(|list| !list.trim().is_empty());
        let metadata = &pod["metadata"];
        let (mark, why, fix) = match reason {
            Reason::PodOptedOut => {
                let mut edits = Edits::default();
                for (list, map) in [(&mut edits.annotations, "annotations"), (&mut edits.labels, "labels")] {
                    if metadata[map].get(INJECT).is_some() {
                        list.push((INJECT.to_owned(), None));
                    }
                }
                let mark = if is_asking { Mark::Failed } else { Mark::Ended };
                let why = format!("the {} says {INJECT}: disabled", self.site.noun());
                (mark, why, edits.fix(self.site, self.namespaces))
            }
            Reason::NoTemplatesRequested if asks_for(pod).is_some() => {
                (Mark::Ended, format!("the list is empty: {TEMPLATES} of the {}", self.site.noun()), Fix::default())
            }
            Reason::NoTemplatesRequested => {
                let namespace = self.site.namespace();
                let of_namespace = self.namespaces.found_keys(namespace);
                let mistake = mistakes::asks_for_none(self.keys, &of_namespace, namespace, self.site, self.catalog);
                let Mistake { why, edits } = mistake.unwrap_or_else(|| Mistake {
                    why: "neither the pod nor its namespace names a template".to_owned(),
                    edits: Edits::annotate(TEMPLATES, "NAME", true),
                });
                (Mark::Failed, why, edits.fix(self.site, self.namespaces))
            }
            Reason::MalformedReview => {
                let fix = format!("{}: correct the {}", self.site.position(""), self.site.noun());
                (Mark::Failed, "metadata or spec is not what Kubernetes has there".to_owned(), Fix::edit(fix))
            }
            _ => {
                let why = message.unwrap_or(reason.sentence()).to_owned();
                (Mark::Failed, why, Fix::edit(format!("{}: {}", self.site.position(""), reason.fix())))
            }
        };
        let fix = if mark == Mark::Failed { fix } else { Fix::default() };
        explanation.push(ASKED_FOR, mark, Some(reason), why, fix);
    }

    /// The steps of one template, up to the one at which it ends.
    fn template(&self, explanation: &mut Explanation, template: &TemplateDecision, edits: Edits) {
        let TemplateDecision { name, reason, message, .. } = template;
        for (step, reasons) in TEMPLATE_STEPS {
            let is_last = reasons.contains(reason);
            let is_as_meant = AS_MEANT.contains(reason);
            let (mark, why, fix) = match is_last {
                false => (Mark::Passed, None, Fix::default()),
                true if is_as_meant => (Mark::Ended, Some(self.why_ended(template)), Fix::default()),
                true => {
                    let (more, fix) = self.mend(template, edits.clone());
                    let why = message.clone().unwrap_or_else(|| reason.sentence().to_owned());
                    (Mark::Failed, Some([vec![why], more].concat().join("; ")), fix)
                }
            };
            let (template, reason) = (Some(name.to_string()), is_last.then(|| reason.as_str()));
            explanation.steps.push(Step { step, template, mark, why, fix, reason });
            if is_last {
                return;
            }
        }
    }

    /// Why a template adds nothing, as somebody meant it to.
    fn why_ended(&self, template: &TemplateDecision) -> String {
        let guard = self.catalog.template(template.name.as_str(), self.site.namespace()).and_then(|it| it.guard());
        match (template.reason, guard) {
            (Reason::GuardFalse, Some(guard)) => format!("when: {guard} does not hold, or that of each app entry"),
            (Reason::GuardFalse, None) => "the condition (when) of each app entry does not hold".to_owned(),
            (reason, _) => reason.sentence().to_owned(),
        }
    }

    /// What to do about a template that could not be applied, and what else the manifest shows.
    fn mend(&self, template: &TemplateDecision, mut edits: Edits) -> (Vec<String>, Fix) {
        let TemplateDecision { name, reason, .. } = template;
        let name = name.as_str();
        let mut more = Vec::new();
        edits.places.extend(places_of(*reason));
        if *reason == Reason::MissingParameter {
            more = self.use_what_is_elsewhere(&mut edits);
        }
        let fix = edits.fix(self.site, self.namespaces);
        if !fix.is_empty() {
            return (more, fix);
        }
        let places = self.template_files.find(name);
        if let (Reason::UnknownTemplate, Some(place)) = (reason, places.first()) {
            let TemplatePlace { namespace, file, namespace_line, .. } = place;
            let theirs = namespace.as_deref().unwrap_or_default();
            more.push(format!("the InjectionTemplate {name:?} is for the pods of namespace {theirs}"));
            let ours = self.site.namespace();
            let edit =
                format!("{file}:{namespace_line}: write namespace: {ours}, or make it a ClusterInjectionTemplate");
            return (more, Fix::edit(edit));
        }
        (more, self.mend_otherwise(name, *reason, places.first()))
    }

    /// What to do where nothing in the pod or its namespace is to change, as far as the engine knows.
    fn mend_otherwise(&self, name: &str, reason: Reason, place: Option<&TemplatePlace>) -> Fix {
        let site = self.site;
        let of_template = |found: &&FoundKey| found.is_of_pod && found.key.starts_with(&format!("{name}."));
        let parameter = self.keys.iter().find(of_template).filter(|_| reason == Reason::InvalidResult);
        let parameter = parameter.map(|found| format!("{}:{}: correct {}", site.file(), found.line, found.key));
        let template = place.map(|place| format!("{}:{}: correct the template {name}", place.file, place.line));
        match (reason, place, site.file_flag()) {
            (Reason::UnknownTemplate, ..) => self.correct_the_name(name),
            (Reason::InvalidTemplate, Some(place), _) => {
                Fix::command(format!("pillion lint -f {}", quoted(&place.file)))
            }
            (Reason::UnknownNamespace, _, Some(file)) => {
                let namespace = as_word(site.namespace());
                Fix::command(format!("kubectl get namespace {namespace} -o yaml | pillion explain -f {file} -f -"))
            }
            (Reason::UnknownNamespace, _, None) => {
                Fix::edit("add the Namespace to the input, or say --namespace-labels KEY=VALUE".to_owned())
            }
            (Reason::InvalidResult | Reason::ExpressionFailed | Reason::ExpressionLimit, ..)
                if parameter.is_some() || template.is_some() =>
            {
                Fix { edits: parameter.into_iter().chain(template).collect(), ..Fix::default() }
            }
            _ => Fix::edit(format!("{}: {}", site.position(&list_of_pod()), reason.fix())),
        }
    }

    /// Takes values that the manifest has elsewhere in place of examples, and says where they are.
    fn use_what_is_elsewhere(&self, edits: &mut Edits) -> Vec<String> {
        let (mut more, mut settings) = (Vec::new(), Vec::new());
        let mut has_examples = false;
        for (key, value) in std::mem::take(&mut edits.annotations) {
            match mistakes::parameter_elsewhere(self.keys, &key, self.site) {
                Some(Mistake { why, edits }) => {
                    more.push(why);
                    settings.extend(edits.annotations);
                }
                None => {
                    has_examples = edits.has_examples;
                    settings.push((key, value));
                }
            }
        }
        edits.has_examples = has_examples || !edits.namespace_annotations.is_empty();
        edits.annotations = settings;
        more
    }

    /// What to do about a name that is like no template's.
    fn correct_the_name(&self, name: &str) -> Fix {
        let namespace = self.site.namespace();
        let has = |list: Option<String>| list.is_some_and(|list| name == "it" || list.contains(name));
        let place = if has(self.site.annotation(TEMPLATES)) {
            Some((self.site.position(&list_of_pod()), TEMPLATES))
        } else {
            let keys = [REQUIRED, TEMPLATES].into_iter();
            let mut keys = keys.filter(|key| has(self.namespaces.annotation(namespace, key)));
            keys.find_map(|key| Some((self.namespaces.position(namespace, key)?, key)))
        };
        let correct = match place {
            Some((position, key)) => format!("{position}: correct {} in {key}", as_word(name)),
            None => format!("correct {} in --template", as_word(name)),
        };
        Fix::edit(format!("{correct}; pillion templates list shows those that there are"))
    }
}

/// The place of the annotation by which the pod asks for templates.
fn list_of_pod() -> String {
    format!("metadata.annotations[{TEMPLATES}]")
}

/// The pod's own list of templates.
fn asks_for(pod: &Value) -> Option<&str> {
    pod["metadata"]["annotations"][TEMPLATES].as_str()
}

/// Where a pod says that it runs where a template is not for.
fn places_of(reason: Reason) -> Vec<(&'static str, String)> {
    match reason {
        Reason::HostNetwork => vec![("remove", "hostNetwork".to_owned())],
        Reason::UnsupportedOs => {
            ["os", "nodeSelector[kubernetes.io/os]"].map(|place| ("correct", place.to_owned())).to_vec()
        }
        _ => Vec::new(),
    }
}
