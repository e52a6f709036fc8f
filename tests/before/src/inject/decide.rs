//! Which templates a pod gets, and with which parameters.

use std::borrow::Cow;
use std::cell::Cell;
use std::sync::Arc;

use serde_json::Value;

use super::pod::Pod;
use super::status::{OUTCOME, STATUS};
use crate::catalog::{Catalog, Found, Namespace};
use crate::decision::Reason;
use crate::template::check::MIRROR;
use crate::template::{Parameter, Parameters, SettableBy, Template, TemplateName};
use crate::{did_you_mean, nearest, shown};

const INJECT: &str = "pillion.dev/inject";
const TEMPLATES: &str = "pillion.dev/templates";
const REQUIRED: &str = "pillion.dev/required-templates";
const OWN_KEYS: [&str; 5] = [INJECT, TEMPLATES, REQUIRED, OUTCOME, STATUS];
const PARAMETERS: &str = ".pillion.dev/";

/// The most templates that a pod may ask for. Each is looked up.
pub(super) const MAX_TEMPLATES: usize = 32;
/// The most wrong keys that are named. One is enough to see what is wrong.
const MAX_WRONG_KEYS: usize = 8;

/// Why something cannot be done, in one sentence for the user.
#[derive(Clone, Debug)]
pub(super) struct Problem {
    pub(super) reason: Reason,
    pub(super) message: String,
}

impl Problem {
    pub(super) fn new(reason: Reason, message: String) -> Problem {
        Problem { reason, message }
    }

    /// The same, saying for which container of the pod.
    pub(super) fn of_container(self, name: &str) -> Problem {
        Problem { message: format!("{} (for container {})", self.message, shown(name)), ..self }
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
) -> Result<&'c Arc<Template>, Problem> {
    match catalog.find(name, &namespace.name) {
        Found::Template(template) => Ok(template),
        Found::Refused(why) => {
            let message = format!("template \"{name}\" was refused when it was loaded: {why}");
            Err(Problem::new(Reason::InvalidTemplate, message))
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
            Err(Problem::new(Reason::UnknownTemplate, message))
        }
    }
}

/// Whether a template lets this namespace use it.
pub(super) fn admits(template: &Template, namespace: &Namespace) -> Result<(), Problem> {
    let Some(selector) = &template.namespace_selector else { return Ok(()) };
    let (template, namespace_name) = (template.name(), &namespace.name);
    match namespace.known() {
        Some(known) if selector.matches(&known.labels) => Ok(()),
        Some(_) => {
            let message =
                format!("template \"{template}\" is not for namespace {namespace_name}; ask its owner to admit it");
            Err(Problem::new(Reason::TemplateNotAllowed, message))
        }
        None => {
            let message = format!(
                "template \"{template}\" chooses namespaces by labels, and this server does not know those of \
                 {namespace_name}; use a template without namespaceSelector"
            );
            Err(Problem::new(Reason::UnknownNamespace, message))
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
) -> Result<Cow<'t, Parameters>, Problem> {
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
            Err(Problem::new(first.reason, format!("template \"{}\": {}", template.name(), messages.join("; "))))
        }
    }
}

fn value(template: &Template, parameter: &Parameter, pod: &Pod<'_>, namespace: &Namespace) -> Result<Value, Problem> {
    let key = format!("{}{PARAMETERS}{}", template.name(), parameter.name);
    let by_pod = pod.annotation(&key);
    if by_pod.is_some() && parameter.settable_by != SettableBy::Pod {
        let who = match parameter.settable_by {
            SettableBy::Namespace => "only on its namespace",
            SettableBy::Pod | SettableBy::Nobody => "only in the template",
        };
        let message =
            format!("parameter {} cannot be set on a pod, {who}; remove the annotation {key}", parameter.name);
        return Err(Problem::new(Reason::ParameterNotSettable, message));
    }
    let by_namespace = namespace.annotation(&key);
    if by_namespace.is_some() && parameter.settable_by == SettableBy::Nobody {
        let message = format!("parameter {} cannot be set; remove the namespace's annotation {key}", parameter.name);
        return Err(Problem::new(Reason::ParameterNotSettable, message));
    }
    let whose = if by_pod.is_some() { "the annotation" } else { "the namespace's annotation" };
    match by_pod.or(by_namespace.map(Cow::Borrowed)) {
        Some(text) => parameter.read(&text).map_err(|rule| {
            let is = if parameter.sensitive { "breaks that rule".into() } else { format!("is \"{}\"", shown(&text)) };
            let message = format!("parameter {} {rule} but {whose} {key} {is}", parameter.name);
            Problem::new(Reason::InvalidParameter, message)
        }),
        None => match &parameter.default {
            Some(default) => Ok(default.clone()),
            None if parameter.optional => Ok(Value::Null),
            None => {
                let whom = if parameter.settable_by == SettableBy::Pod { "pod" } else { "namespace" };
                let message =
                    format!("parameter {} has no default; set the annotation {key} on the {whom}", parameter.name);
                Err(Problem::new(Reason::MissingParameter, message))
            }
        },
    }
}

fn unknown_parameters(template: &Template, pod: &Pod<'_>, namespace: &Namespace) -> Vec<Problem> {
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
            problems.push(Problem::new(Reason::UnknownParameter, message));
        }
    }
    problems
}

/// How long the parameters are that a pod or its namespace sets.
pub(super) fn parameter_bytes(pod: &Pod<'_>, namespace: &Namespace) -> usize {
    let by_pod = pod.annotations().filter(|(key, _)| key.contains(PARAMETERS)).map(|(_, value)| value.get().len());
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
