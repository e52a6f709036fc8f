//! Which templates a pod asks for, which of them it may have, and with which parameters.

use std::borrow::Cow;
use std::cell::Cell;
use std::sync::Arc;

use serde_json::Value;

use super::outcome::{Refusal, advice, denied, untouched};
use super::pod::{self, Container, Pod};
use super::status::{MAX_TEMPLATES, OUTCOME, STATUS};
use crate::admission::{Operation, Review};
use crate::catalog::{Catalog, Details, Found, Namespace};
use crate::decision::{Decision, Outcome, Reason, Subject};
use crate::names::MIRROR;
use crate::names::{OnError, TemplateName};
use crate::template::parameter::SettableBy;
use crate::template::{Parameter, Parameters, Template};
use crate::text::{did_you_mean, nearest, shown};

const INJECT: &str = "pillion.dev/inject";
const TEMPLATES: &str = "pillion.dev/templates";
const REQUIRED: &str = "pillion.dev/required-templates";
const OWN_KEYS: [&str; 5] = [INJECT, TEMPLATES, REQUIRED, OUTCOME, STATUS];
const PARAMETERS: &str = ".pillion.dev/";

/// The most wrong keys that are named. One is enough to see what is wrong.
const MAX_WRONG_KEYS: usize = 8;

/// The most containers of a pod that asks for templates: each template's `app` is rendered for each of them.
const MAX_CONTAINERS: usize = 256;

/// The values and expressions of all templates and their parameters, for each container again, that take no more than a
/// millisecond or two.
const MAX_QUICK_WEIGHT: usize = 10_000;
/// The bytes of a pod through whose items an expression goes quickly. Some take the square of their number.
const MAX_QUICK_LOOP: usize = 4096;
/// The bytes that expressions quickly read, if each reads all of the pod.
const MAX_QUICK_READING: usize = 2 << 20;

/// Refuses a pod that was not read, because its review has more than so many bytes. It may ask for templates, or its
/// namespace may require some, and it must not start without them unnoticed.
pub fn refuse_unread(review: &Review<'_>, max_bytes: usize) -> Decision {
    let subject = Subject { namespace: review.namespace().to_owned(), ..Subject::default() };
    if let Some(reason) = other_than_a_new_pod(review) {
        return untouched(Outcome::Skipped, reason, subject);
    }
    let message = format!(
        "the review of this pod has more than {max_bytes} bytes as JSON, which is all that this server takes \
         (--max-body-bytes); make the pod smaller"
    );
    let decision = untouched(Outcome::Denied, Reason::TooLarge, subject);
    denied(decision, &[Refusal::new(Reason::TooLarge, message)])
}

/// Why a review is about something else than a pod that is being created.
fn other_than_a_new_pod(review: &Review<'_>) -> Option<Reason> {
    let request = &review.request;
    let kind = &request.kind;
    let is_pod = kind.group.is_empty() && kind.version == "v1" && kind.kind == "Pod";
    if !review.is_v1() {
        Some(Reason::UnsupportedVersion)
    } else if !is_pod {
        Some(Reason::NotAPod)
    } else if request.sub_resource.as_deref().is_some_and(|name| !name.is_empty()) {
        Some(Reason::Subresource)
    } else if review.operation() != Operation::Create {
        Some(Reason::NotACreate)
    } else {
        None
    }
}

/// Which templates a pod asks for. [`Selection::respond`] goes on from there.
///
/// # Errors
///
/// With the decision, if no template is to be applied.
pub fn select<'a>(
    catalog: &Catalog,
    namespace: &'a Namespace,
    review: &'a Review<'a>,
) -> Result<Selection<'a>, Box<Decision>> {
    let nobody = Subject { namespace: review.namespace().to_owned(), ..Subject::default() };
    if let Some(reason) = other_than_a_new_pod(review) {
        return Err(Box::new(untouched(Outcome::Skipped, reason, nobody)));
    }
    let too_large = |message, subject| {
        let decision = untouched(Outcome::Denied, Reason::TooLarge, subject);
        Err(Box::new(denied(decision, &[Refusal::new(Reason::TooLarge, message)])))
    };
    let pod = match review.request.object.0.as_ref().ok_or(Reason::MalformedReview).and_then(Pod::read) {
        Ok(pod) => pod,
        Err(Reason::TooLarge) => return too_large(pod::too_many_values(), nobody),
        Err(reason) => return Err(Box::new(untouched(Outcome::Error, reason, nobody))),
    };
    let subject = pod.subject(review);
    if let Details::Unavailable(why) = &namespace.details {
        let outcome = if catalog.on_error() == OnError::Deny { Outcome::Denied } else { Outcome::Error };
        let warnings = advice(vec![why.clone()]);
        let message = Some(why.clone());
        let decision = untouched(outcome, Reason::UnknownNamespace, subject);
        return Err(Box::new(Decision { message, warnings, ..decision }));
    }
    let names = match requested(&pod, namespace) {
        Ok(names) => names,
        Err(Reason::TooLarge) => {
            let most = MAX_TEMPLATES;
            return too_large(format!("the pod and its namespace ask for more than {most} templates"), subject);
        }
        Err(reason) => {
            let warnings = advice(stray_keys(&pod, &[]));
            return Err(Box::new(Decision { warnings, ..untouched(Outcome::Skipped, reason, subject) }));
        }
    };
    let annotation_bytes = match pod.check_size() {
        Ok(annotation_bytes) => annotation_bytes,
        Err(message) => return too_large(message, subject),
    };
    match pod.containers() {
        Some(containers) if containers.len() > MAX_CONTAINERS => {
            let message = format!("the pod has {} containers, and {MAX_CONTAINERS} are allowed", containers.len());
            too_large(message, subject)
        }
        Some(containers) => Ok(Selection { namespace, pod, containers, names, subject, annotation_bytes }),
        None => Err(Box::new(untouched(Outcome::Error, Reason::MalformedReview, subject))),
    }
}

/// A pod and the names of the templates that it asks for.
pub struct Selection<'a> {
    pub(super) namespace: &'a Namespace,
    pub(super) pod: Pod<'a>,
    pub(super) containers: Vec<Container<'a>>,
    pub(super) names: Vec<String>,
    pub(super) subject: Subject,
    /// What the pod's annotations take of what Kubernetes allows.
    pub(super) annotation_bytes: usize,
}

impl Selection<'_> {
    /// The names that lead to no template.
    pub fn unknown(&self, catalog: &Catalog) -> Vec<TemplateName> {
        let is_unknown = |name: &&String| matches!(catalog.find(name, &self.namespace.name), Found::Unknown);
        self.names.iter().filter(is_unknown).filter_map(|name| checked_name(name)).collect()
    }

    /// Whether it may take milliseconds and much memory to respond: because large templates or parameters meet many
    /// containers, or because expressions read much of the pod or go through its items.
    pub fn is_heavy(&self, catalog: &Catalog) -> bool {
        // A value takes some 30 bytes in a parameter, too.
        let mut weight = parameter_bytes(&self.pod, self.namespace) / 32;
        let (mut reads, mut loops) = (0, false);
        for template in self.names.iter().filter_map(|name| catalog.template(name, &self.namespace.name)) {
            weight += template.weight;
            reads += template.reads;
            loops |= template.loops;
        }
        let (times, length) = (1 + self.containers.len(), self.pod.length());
        weight * times > MAX_QUICK_WEIGHT
            || loops && length > MAX_QUICK_LOOP
            || reads.saturating_mul(times).saturating_mul(length) > MAX_QUICK_READING
    }
}

/// The templates that a pod asks for, or why it gets none.
pub(super) fn requested(pod: &Pod<'_>, namespace: &Namespace) -> Result<Vec<String>, Reason> {
    if pod.annotation(MIRROR).is_some() {
        return Err(Reason::MirrorPod);
    }
    let required = namespace.annotation(REQUIRED).unwrap_or_default();
    let disabled = |value: Option<Cow<'_, str>>| value.is_some_and(|value| value == "disabled" || value == "false");
    let opted_out = disabled(pod.label(INJECT)) || disabled(pod.annotation(INJECT));
    let by_namespace = namespace.annotation(TEMPLATES).unwrap_or_default();
    let by_pod = pod.annotation(TEMPLATES);
    let mut names: Vec<String> = Vec::new();
    let mut add = |name: &str| {
        if !name.is_empty() && names.len() <= MAX_TEMPLATES && !names.iter().any(|known| known == name) {
            names.push(name.to_owned());
        }
    };
    names_of(required).for_each(&mut add);
    if !opted_out {
        let asked = by_pod.as_deref().unwrap_or(by_namespace);
        // One `+` makes the whole list an addition, so that `+a,b` does not drop what the namespace gives.
        if by_pod.is_some() && list(asked).any(|name| name.starts_with('+')) {
            names_of(by_namespace).for_each(&mut add);
        }
        names_of(asked).for_each(&mut add);
    }
    match names.len() {
        0 if opted_out => Err(Reason::PodOptedOut),
        0 => Err(Reason::NoTemplatesRequested),
        1..=MAX_TEMPLATES => Ok(names),
        _ => Err(Reason::TooLarge),
    }
}

fn list(annotation: &str) -> impl Iterator<Item = &str> {
    annotation.split(',').map(str::trim)
}

/// The names in a list, whether or not they are said to be additions.
fn names_of(annotation: &str) -> impl Iterator<Item = &str> {
    list(annotation).map(|name| name.trim_start_matches('+').trim_start())
}

/// Whether the namespace requires any template.
pub(super) fn requires_templates(namespace: &Namespace) -> bool {
    namespace.annotation(REQUIRED).is_some_and(|names| !names.is_empty())
}

/// Whether the namespace requires a template: then no pod can drop it.
pub(super) fn is_required(namespace: &Namespace, name: &str) -> bool {
    names_of(namespace.annotation(REQUIRED).unwrap_or_default()).any(|required| required == name)
}

/// Who asks for a template.
fn asker(pod: &Pod<'_>, namespace: &Namespace, name: &str) -> String {
    let by_pod = pod.annotation(TEMPLATES).is_some_and(|it| names_of(&it).any(|it| it == name));
    match (is_required(namespace, name), by_pod) {
        (true, _) => format!("the namespace's {REQUIRED}"),
        (false, true) => TEMPLATES.to_owned(),
        (false, false) => format!("the namespace's {TEMPLATES}"),
    }
}

/// The template of a name. `hints` says for how many unknown names the nearest may still be looked for.
pub(super) fn find<'c>(
    catalog: &'c Catalog,
    namespace: &Namespace,
    pod: &Pod<'_>,
    name: &str,
    hints: &Cell<usize>,
) -> Result<&'c Arc<Template>, Refusal> {
    match catalog.find(name, &namespace.name) {
        Found::Template(template) => Ok(template),
        Found::Refused(why) => {
            let message = format!("template \"{name}\" was refused when it was loaded: {why}");
            Err(Refusal::new(Reason::InvalidTemplate, message))
        }
        Found::Unknown => {
            let left = hints.get();
            hints.set(left.saturating_sub(1));
            let near = if left > 0 { catalog.nearest(name, &namespace.name) } else { None };
            let hint = near
                .map(|near| format!("; did you mean {near}?"))
                .unwrap_or_else(|| "; correct the annotation, or add the template".into());
            let asker = asker(pod, namespace, name);
            let message = format!("{asker} asks for \"{}\", and there is no such template{hint}", shown(name));
            Err(Refusal::new(Reason::UnknownTemplate, message))
        }
    }
}

/// Whether a template lets this namespace use it.
pub(super) fn admits(template: &Template, namespace: &Namespace) -> Result<(), Refusal> {
    let Some(selector) = &template.namespace_selector else { return Ok(()) };
    let (template, namespace_name) = (template.name(), &namespace.name);
    match namespace.known() {
        Some(known) if selector.matches(&known.labels) => Ok(()),
        Some(_) => {
            let message =
                format!("template \"{template}\" is not for namespace {namespace_name}; ask its owner to admit it");
            Err(Refusal::new(Reason::TemplateNotAllowed, message))
        }
        None => {
            let message = format!(
                "template \"{template}\" chooses namespaces by labels, and this server does not know those of \
                 {namespace_name}; use a template without namespaceSelector"
            );
            Err(Refusal::new(Reason::UnknownNamespace, message))
        }
    }
}

/// Whether a template is for pods like this one.
pub(super) fn suits(template: &Template, pod: &Pod<'_>) -> Result<(), Reason> {
    if !template.os.iter().any(|os| *os == pod.os()) {
        return Err(Reason::UnsupportedOs);
    }
    if pod.uses_host_network() && !template.host_network {
        return Err(Reason::HostNetwork);
    }
    Ok(())
}

/// The values of a template's parameters: the pod's annotation, else the namespace's, else the default. Borrowed when
/// nobody has set one.
///
/// # Errors
///
/// With the first reason, and everything that is wrong.
pub(super) fn parameters<'t>(
    template: &'t Template,
    pod: &Pod<'_>,
    namespace: &Namespace,
) -> Result<Cow<'t, Parameters>, Refusal> {
    let is_own = |key: &str| {
        let parameter = key.strip_prefix(template.name().as_str());
        parameter.is_some_and(|rest| rest.starts_with(PARAMETERS))
    };
    if let Some(defaults) = &template.defaults
        && !pod.annotation_keys().any(is_own)
        && !namespace.annotation_keys().any(is_own)
    {
        return Ok(Cow::Borrowed(&defaults.parameters));
    }
    let mut problems = unknown_parameters(template, pod, namespace);
    let mut values = Vec::with_capacity(template.parameters.len());
    for parameter in &template.parameters {
        match value(template, parameter, pod, namespace) {
            Ok(value) => values.push((parameter.name.clone(), value)),
            Err(problem) => problems.push(problem),
        }
    }
    match problems.first() {
        None => Ok(Cow::Owned(Parameters(values))),
        Some(first) => {
            let messages: Vec<_> = problems.iter().map(|problem| problem.message.as_str()).collect();
            Err(Refusal::new(first.reason, format!("template \"{}\": {}", template.name(), messages.join("; "))))
        }
    }
}

fn value(template: &Template, parameter: &Parameter, pod: &Pod<'_>, namespace: &Namespace) -> Result<Value, Refusal> {
    let key = format!("{}{PARAMETERS}{}", template.name(), parameter.name);
    let by_pod = pod.annotation(&key);
    if by_pod.is_some() && parameter.settable_by != SettableBy::Pod {
        let who = match parameter.settable_by {
            SettableBy::Namespace => "only on its namespace",
            SettableBy::Pod | SettableBy::Nobody => "only in the template",
        };
        let message =
            format!("parameter {} cannot be set on a pod, {who}; remove the annotation {key}", parameter.name);
        return Err(Refusal::new(Reason::ParameterNotSettable, message));
    }
    let by_namespace = namespace.annotation(&key);
    if by_namespace.is_some() && parameter.settable_by == SettableBy::Nobody {
        let message = format!("parameter {} cannot be set; remove the namespace's annotation {key}", parameter.name);
        return Err(Refusal::new(Reason::ParameterNotSettable, message));
    }
    let whose = if by_pod.is_some() { "the annotation" } else { "the namespace's annotation" };
    match by_pod.or(by_namespace.map(Cow::Borrowed)) {
        Some(text) => parameter.read(&text).map_err(|rule| {
            let is = if parameter.sensitive { "breaks that rule".into() } else { format!("is \"{}\"", shown(&text)) };
            let message = format!("parameter {} {rule} but {whose} {key} {is}", parameter.name);
            Refusal::new(Reason::InvalidParameter, message)
        }),
        None => match &parameter.default {
            Some(default) => Ok(default.clone()),
            None if parameter.optional => Ok(Value::Null),
            None => {
                let whom = if parameter.settable_by == SettableBy::Pod { "pod" } else { "namespace" };
                let message =
                    format!("parameter {} has no default; set the annotation {key} on the {whom}", parameter.name);
                Err(Refusal::new(Reason::MissingParameter, message))
            }
        },
    }
}

fn unknown_parameters(template: &Template, pod: &Pod<'_>, namespace: &Namespace) -> Vec<Refusal> {
    let mut problems = Vec::new();
    let by_pod = pod.annotation_keys().map(|key| ("annotation", key));
    let by_namespace = namespace.annotation_keys().map(|key| ("the namespace's annotation", key));
    for (whose, key) in by_pod.chain(by_namespace) {
        let Some((name, parameter)) = key.split_once(PARAMETERS) else { continue };
        if problems.len() == MAX_WRONG_KEYS {
            break;
        }
        if name == template.name().as_str() && template.parameter(parameter).is_none() {
            let near = nearest(parameter, template.parameters.iter().map(|parameter| parameter.name.as_str()));
            let hint = did_you_mean(near);
            let message = format!("there is no parameter {} ({whose} {}){hint}", shown(parameter), shown(key));
            problems.push(Refusal::new(Reason::UnknownParameter, message));
        }
    }
    problems
}

/// How long the parameters are that a pod or its namespace sets.
pub(super) fn parameter_bytes(pod: &Pod<'_>, namespace: &Namespace) -> usize {
    let by_pod =
        pod.annotations.members.iter().filter(|(key, _)| key.contains(PARAMETERS)).map(|(_, value)| value.get().len());
    let by_namespace = namespace.annotation_keys().filter(|key| key.contains(PARAMETERS));
    let by_namespace = by_namespace.filter_map(|key| namespace.annotation(key)).map(str::len);
    by_pod.sum::<usize>() + by_namespace.sum::<usize>()
}

/// Keys of ours that concern nothing that was chosen: a slip of the pen, most likely.
pub(super) fn stray_keys(pod: &Pod<'_>, chosen: &[String]) -> Vec<String> {
    let mut warnings = Vec::new();
    for value in [pod.label(INJECT), pod.annotation(INJECT)].into_iter().flatten() {
        if !["enabled", "true", "disabled", "false"].contains(&&*value) {
            warnings.push(format!("{INJECT} is \"{}\", which means nothing; to opt out, say disabled", shown(&value)));
        }
    }
    if pod.label(TEMPLATES).is_some() {
        warnings.push(format!("{TEMPLATES} is a label of this pod; it counts as an annotation alone"));
    }
    if pod.annotation(REQUIRED).is_some() {
        warnings.push(format!("{REQUIRED} is an annotation of this pod; it counts on a namespace alone"));
    }
    for key in pod.annotation_keys() {
        if warnings.len() == MAX_WRONG_KEYS {
            break;
        }
        if let Some((name, _)) = key.split_once(PARAMETERS) {
            if !chosen.iter().any(|chosen| chosen == name) {
                let near = nearest(name, chosen.iter().map(String::as_str));
                let hint = did_you_mean(near);
                warnings.push(format!("annotation {} is for a template that was not asked for{hint}", shown(key)));
            }
        } else if key.starts_with("pillion.dev/") && !OWN_KEYS.contains(&key) {
            let hint = did_you_mean(nearest(key, OWN_KEYS.into_iter()));
            warnings.push(format!("annotation {} means nothing to Pillion{hint}", shown(key)));
        }
    }
    warnings
}

/// A name that can stand in messages, log lines and metrics.
pub(super) fn checked_name(name: &str) -> Option<TemplateName> {
    name.parse().ok()
}
