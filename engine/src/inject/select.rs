//! Which templates a pod asks for, which of them it may have, and with which parameters.

use std::borrow::Cow;
use std::cell::Cell;
use std::sync::Arc;

use serde_json::Value;

use super::outcome::{Refusal, advice, untouched};
use super::pod::{self, Pod};
use super::status::MAX_TEMPLATES;
use crate::admission::{API_VERSION, Operation, Review};
use crate::catalog::{Catalog, Details, Namespace};
use crate::decision::{Change, Decision, Outcome, Reason, Target};
use crate::json::{Node, Text};
use crate::names::{
    FAILURE_POLICY, INJECT, MIRROR, OUTCOME, OnError, REQUIRED, STATUS, TEMPLATES, TemplateName, parameter_of,
};
use crate::template::parameter::SettableBy;
use crate::template::{Parameter, Parameters, Template};
use crate::text::{did_you_mean, nearest, shown};

const OWN_KEYS: [&str; 5] = [INJECT, TEMPLATES, REQUIRED, OUTCOME, STATUS];

/// The most wrong keys that are named. One is enough to see what is wrong.
const MAX_WRONG_KEYS: usize = 8;

/// The most containers of a pod that asks for templates: each template's `app` is rendered for each of them.
const MAX_CONTAINERS: usize = 256;

/// The values and expressions of all templates and parameters, times the containers, that take up to two milliseconds.
const MAX_QUICK_WEIGHT: usize = 10_000;
/// The bytes of a pod whose items an expression may go through quickly. Some take the square of their number.
const MAX_QUICK_LOOP: usize = 4096;
/// The bytes that expressions read quickly, if each reads all of the pod.
const MAX_QUICK_READING: usize = 2 << 20;

/// Refuses a pod whose review has more than `max_bytes`, so that it was not read. It may ask for templates, or its
/// namespace may require some, and it must not start without them unnoticed.
pub fn refuse_unread(review: &Review<'_>, max_bytes: usize) -> Decision {
    match other_than_a_new_pod(review) {
        Some(reason) => untouched(Outcome::Skipped, reason),
        None => too_large(format!(
            "the review of this pod has more than {max_bytes} bytes as JSON, which is all that this server takes \
                 (--max-body-bytes); make the pod smaller"
        )),
    }
}

fn too_large(message: String) -> Decision {
    Decision { message: Some(message), ..untouched(Outcome::Denied, Reason::TooLarge) }
}

/// Why a review is about something else than a pod that is being created.
fn other_than_a_new_pod(review: &Review<'_>) -> Option<Reason> {
    let request = &review.request;
    let kind = &request.kind;
    if review.api_version != API_VERSION {
        Some(Reason::UnsupportedVersion)
    } else if (&*kind.group, &*kind.version, &*kind.kind) != ("", "v1", "Pod") {
        Some(Reason::NotAPod)
    } else if !request.sub_resource.is_empty() {
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
    if let Some(reason) = other_than_a_new_pod(review) {
        return Err(untouched(Outcome::Skipped, reason).into());
    }
    let pod = match review.object().ok_or(Reason::MalformedReview).and_then(Pod::read) {
        Ok(pod) => pod,
        Err(Reason::TooLarge) => return Err(too_large(pod::too_many_values()).into()),
        Err(reason) => return Err(untouched(Outcome::Error, reason).into()),
    };
    if let Details::Unavailable(why) = &namespace.details {
        let outcome = if catalog.on_error == OnError::Deny { Outcome::Denied } else { Outcome::Error };
        let decision = untouched(outcome, Reason::UnknownNamespace);
        return Err(Decision { message: Some(why.clone()), warnings: advice(vec![why.clone()]), ..decision }.into());
    }
    let names = match requested(&pod, namespace) {
        Ok(names) => names,
        Err(Reason::TooLarge) => {
            let message = format!("the pod and its namespace ask for more than {MAX_TEMPLATES} templates");
            return Err(too_large(message).into());
        }
        Err(reason) => {
            let warnings = advice([stray_keys_of(namespace), stray_keys(&pod, &[])].concat());
            return Err(Decision { warnings, ..untouched(Outcome::Skipped, reason) }.into());
        }
    };
    let annotation_bytes = match pod.check_size() {
        Ok(annotation_bytes) => annotation_bytes,
        Err(message) => return Err(too_large(message).into()),
    };
    match pod.tree() {
        Some((_, containers)) if containers > MAX_CONTAINERS => {
            let message = format!("the pod has {containers} containers, and {MAX_CONTAINERS} are allowed");
            Err(too_large(message).into())
        }
        Some((tree, containers)) => Ok(Selection { namespace, pod, tree, containers, names, annotation_bytes }),
        None => Err(untouched(Outcome::Error, Reason::MalformedReview).into()),
    }
}

/// A pod and the names of the templates that it asks for.
pub struct Selection<'a> {
    pub(super) namespace: &'a Namespace,
    pub(super) pod: Pod<'a>,
    pub(super) tree: Node<'a>,
    /// How many it has.
    containers: usize,
    pub(super) names: Vec<Cow<'a, str>>,
    /// The bytes of the pod's annotations without ours.
    pub(super) annotation_bytes: usize,
}

impl Selection<'_> {
    /// The names of templates that the catalog does not know.
    pub fn unknown(&self, catalog: &Catalog) -> Vec<TemplateName> {
        let is_unknown = |name: &&Cow<'_, str>| catalog.find(name, &self.namespace.name).is_none();
        self.names.iter().filter(is_unknown).filter_map(|name| name.parse().ok()).collect()
    }

    /// Whether it may take milliseconds and much memory to respond: large templates or parameters for many containers, or
    /// expressions that read much of the pod or go through its items.
    pub fn is_heavy(&self, catalog: &Catalog) -> bool {
        // A value takes some 30 bytes in a parameter, too.
        let mut weight = parameter_bytes(&self.pod, self.namespace) / 32;
        let (mut reads, mut loops) = (0, false);
        for template in self.names.iter().filter_map(|name| catalog.template(name, &self.namespace.name)) {
            weight += template.weight;
            reads += template.reads;
            loops |= template.loops;
        }
        let (times, length) = (1 + self.containers, self.pod.length());
        weight * times > MAX_QUICK_WEIGHT
            || loops && length > MAX_QUICK_LOOP
            || reads.saturating_mul(times).saturating_mul(length) > MAX_QUICK_READING
    }
}

/// The templates that a pod asks for, or why it gets none.
fn requested<'a>(pod: &Pod<'a>, namespace: &'a Namespace) -> Result<Vec<Cow<'a, str>>, Reason> {
    if pod.annotation(MIRROR).is_some() {
        return Err(Reason::MirrorPod);
    }
    let opted_out =
        [pod.label(INJECT), pod.annotation(INJECT)].iter().flatten().any(|it| it == "disabled" || it == "false");
    let required = required(namespace);
    let by_namespace = namespace.annotation(TEMPLATES).unwrap_or_default();
    let by_pod = pod.annotation(TEMPLATES);
    // One `+` makes the whole list an addition, so that `+a,b` does not drop what the namespace gives.
    let is_addition = |list: &str| list.split(',').any(|name| name.trim().starts_with('+'));
    let (by_namespace, by_pod) = match by_pod {
        _ if opted_out => ("", Cow::Borrowed("")),
        Some(list) if !is_addition(&list) => ("", list),
        list => (by_namespace, list.unwrap_or_default()),
    };
    let by_namespace = [required, by_namespace].into_iter().flat_map(names_of).map(Cow::Borrowed);
    let by_pod: &mut dyn Iterator<Item = Cow<'a, str>> = match &by_pod {
        Cow::Borrowed(list) => &mut names_of(list).map(Cow::Borrowed),
        Cow::Owned(list) => &mut names_of(list).map(|name| Cow::Owned(name.to_owned())),
    };
    let mut names = Vec::new();
    for name in by_namespace.chain(by_pod) {
        if !name.is_empty() && names.len() <= MAX_TEMPLATES && !names.contains(&name) {
            names.push(name);
        }
    }
    match names.len() {
        0 if opted_out => Err(Reason::PodOptedOut),
        0 => Err(Reason::NoTemplatesRequested),
        1..=MAX_TEMPLATES => Ok(names),
        _ => Err(Reason::TooLarge),
    }
}

/// The names in a list, without the `+` of additions.
fn names_of(list: &str) -> impl Iterator<Item = &str> {
    list.split(',').map(|name| name.trim().trim_start_matches('+').trim_start())
}

/// The list of the templates that the namespace requires: no pod can drop them.
pub(super) fn required(namespace: &Namespace) -> &str {
    namespace.annotation(REQUIRED).unwrap_or_default()
}

pub(super) fn is_required(namespace: &Namespace, name: &str) -> bool {
    names_of(required(namespace)).any(|required| required == name)
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
        Some(Ok(template)) => Ok(template),
        Some(Err(why)) => {
            let message = format!("template \"{name}\" was refused when it was loaded: {why}");
            Err(Refusal::new(Reason::InvalidTemplate, message))
        }
        None => {
            let (target, whose, key) = if is_required(namespace, name) {
                (Target::Namespace, "the namespace's ", REQUIRED)
            } else if pod.annotation(TEMPLATES).is_some_and(|list| names_of(&list).any(|it| it == name)) {
                (Target::Pod, "", TEMPLATES)
            } else {
                (Target::Namespace, "the namespace's ", TEMPLATES)
            };
            let words: Vec<_> = name.split([' ', '\t', '\n', ';', '|']).filter(|word| !word.is_empty()).collect();
            let near = if hints.get() > 0 { catalog.nearest(name, &namespace.name) } else { None };
            let (hint, instead) = match near {
                _ if words.len() > 1 => ("; separate names by commas".into(), Some(words.join(","))),
                None => ("; correct the annotation, or add the template".into(), None),
                near => (did_you_mean(near), near.map(str::to_owned)),
            };
            let instead = instead.filter(|_| hints.get() > 0);
            hints.set(hints.get().saturating_sub(1));
            let message = format!("{whose}{key} asks for \"{}\", and there is no such template{hint}", shown(name));
            let change = instead.map(|instead| Change::Rename(target, key, instead));
            Err(Refusal::new(Reason::UnknownTemplate, message).mended_by(change.into_iter().collect()))
        }
    }
}

/// Whether a template admits this namespace.
pub(super) fn admits(template: &Template, namespace: &Namespace) -> Result<(), Refusal> {
    let Some(selector) = &template.namespace_selector else { return Ok(()) };
    let (name, namespace_name) = (&template.name, &namespace.name);
    let Some(known) = namespace.known() else {
        let message = format!(
            "template \"{name}\" chooses namespaces by labels, and this server does not know those of {namespace_name}; \
             use a template without namespaceSelector"
        );
        return Err(Refusal::new(Reason::UnknownNamespace, message));
    };
    let Some(unmet) = selector.unmet(&known.labels) else { return Ok(()) };
    let message = format!(
        "template \"{name}\" is not for namespace {namespace_name}, which does not match {unmet}; ask its owner to admit it"
    );
    let label = unmet.label().map(|(key, value)| Change::NamespaceLabel(key.into(), value.into()));
    Err(Refusal::new(Reason::TemplateNotAllowed, message).mended_by(label.into_iter().collect()))
}

/// An annotation that sets a parameter of a template.
struct Setting<'s> {
    is_of_pod: bool,
    key: Cow<'s, str>,
    text: Cow<'s, str>,
}

impl Setting<'_> {
    fn parameter(&self) -> &str {
        parameter_of(&self.key).map_or("", |(_, parameter)| parameter)
    }

    fn target(&self) -> Target {
        if self.is_of_pod { Target::Pod } else { Target::Namespace }
    }

    fn removed(&self) -> Change {
        Change::Remove(self.target(), self.key.clone().into_owned())
    }
}

/// The values of a template's parameters: the pod's annotation, else the namespace's, else the default. A refusal has the
/// first reason, and names everything that is wrong.
pub(super) fn parameters<'t>(
    template: &'t Template,
    pod: &Pod<'_>,
    namespace: &Namespace,
) -> Result<Parameters<'t>, Refusal> {
    let is_ours = |key: &str| parameter_of(key).is_some_and(|(of, _)| of == template.name.as_str());
    let of_pod = pod.annotations().map(|it| (it, it.name())).filter(|(_, key)| is_ours(key));
    let of_pod = of_pod.filter_map(|(it, key)| Some(Setting { is_of_pod: true, key, text: it.string()? }));
    let of_namespace = namespace.annotations().filter(|(key, _)| is_ours(key));
    let of_namespace = of_namespace.map(|(key, text)| Setting { is_of_pod: false, key: key.into(), text: text.into() });
    let settings: Vec<_> = of_pod.chain(of_namespace).collect();
    let mut refusals = Vec::new();
    let is_unknown = |it: &&Setting<'_>| !template.parameters.iter().any(|known| known.name == it.parameter());
    for setting in settings.iter().filter(is_unknown).take(MAX_WRONG_KEYS) {
        let name = setting.parameter();
        let known = template.parameters.iter().map(|parameter| parameter.name.as_str());
        let near = nearest(name, known.clone());
        let hint = match near {
            None if known.len() > 0 => format!("; it has {}", known.take(24).collect::<Vec<_>>().join(", ")),
            near => did_you_mean(near),
        };
        let whose = if setting.is_of_pod { "annotation" } else { "the namespace's annotation" };
        let message = format!("there is no parameter {} ({whose} {}){hint}", shown(name), shown(&setting.key));
        let mut changes = vec![setting.removed()];
        let is_open = |meant: &&Parameter| !meant.sensitive && settings.iter().all(|it| it.parameter() != meant.name);
        if let Some(meant) = template.parameters.iter().filter(is_open).find(|meant| Some(&*meant.name) == near) {
            let key = format!("{}.pillion.dev/{}", template.name, meant.name);
            changes.push(Change::Set(setting.target(), key, setting.text.clone().into_owned()));
        }
        refusals.push(Refusal::new(Reason::UnknownParameter, message).mended_by(changes));
    }
    let mut parameters = Parameters::with_capacity(template.parameters.len());
    let mut missing = Vec::new();
    for parameter in &template.parameters {
        let is_of = |it: &&Setting<'_>| it.parameter() == parameter.name;
        let [by_pod, by_namespace] =
            [true, false].map(|of_pod| settings.iter().filter(|it| it.is_of_pod == of_pod).rfind(is_of));
        match value(parameter, by_pod, by_namespace) {
            Ok(Some(value)) => parameters.push(&parameter.name, value, by_pod.or(by_namespace).is_some()),
            Ok(None) => missing.push(parameter),
            Err(refusal) => refusals.push(refusal),
        }
    }
    let (of_pod, of_namespace): (Vec<_>, Vec<_>) =
        missing.into_iter().partition(|it| it.settable_by == SettableBy::Pod);
    refusals.extend(lacks(template, &of_pod, Target::Pod));
    refusals.extend(lacks(template, &of_namespace, Target::Namespace));
    let Some(first) = refusals.first() else { return Ok(parameters) };
    let messages: Vec<_> = refusals.iter().map(|refusal| refusal.message.as_str()).collect();
    let problem = Refusal::new(first.reason, format!("template \"{}\": {}", template.name, messages.join("; ")));
    Err(problem.mended_by(refusals.into_iter().flat_map(|refusal| refusal.changes).collect()))
}

/// Says that nobody sets these parameters, which have no default.
fn lacks(template: &Template, missing: &[&Parameter], target: Target) -> Option<Refusal> {
    missing.first()?;
    let names = missing.iter().map(|parameter| &*parameter.name).collect::<Vec<_>>().join(", ");
    let key = |parameter: &&Parameter| format!("{}.pillion.dev/{}", template.name, parameter.name);
    let keys = missing.iter().map(key).collect::<Vec<_>>().join(", ");
    let (s, have) = if missing.len() == 1 { ("", "has") } else { ("s", "have") };
    let whom = if target == Target::Pod { "pod (of a workload: on its pod template)" } else { "namespace" };
    let message = format!("parameter{s} {names} {have} no default; set the annotation{s} {keys} on the {whom}");
    let changes = missing.iter().map(|it| Change::SetLike(target, key(it), it.written_example())).collect();
    Some(Refusal::new(Reason::MissingParameter, message).mended_by(changes))
}

/// The value of a parameter; nothing if somebody must give one, and nobody does.
fn value<'t>(
    parameter: &'t Parameter,
    by_pod: Option<&Setting<'_>>,
    by_namespace: Option<&Setting<'_>>,
) -> Result<Option<Cow<'t, Value>>, Refusal> {
    let Parameter { name, settable_by, .. } = parameter;
    let refused = |reason, message, change| {
        Err(Refusal::new(reason, format!("parameter {name} {message}")).mended_by(vec![change]))
    };
    let (setting, whose) = match (by_pod, by_namespace) {
        (Some(setting), _) if *settable_by == SettableBy::Pod => (setting, "the annotation"),
        (Some(setting), _) => {
            let key = &setting.key;
            let who = if *settable_by == SettableBy::Namespace { "on its namespace" } else { "in the template" };
            let message = format!("cannot be set on a pod, only {who}; remove the annotation {key}");
            return refused(Reason::ParameterNotSettable, message, setting.removed());
        }
        (None, Some(setting)) if *settable_by == SettableBy::Nobody => {
            let message = format!("cannot be set; remove the namespace's annotation {}", setting.key);
            return refused(Reason::ParameterNotSettable, message, setting.removed());
        }
        (None, Some(setting)) => (setting, "the namespace's annotation"),
        (None, None) => return Ok(parameter.fallback()),
    };
    let Setting { key, text, .. } = setting;
    parameter.read(text).map(|value| Some(Cow::Owned(value))).or_else(|rule| {
        let is = if parameter.sensitive { "breaks that rule".into() } else { format!("is \"{}\"", shown(text)) };
        let change = Change::SetLike(setting.target(), key.clone().into_owned(), parameter.written_example());
        refused(Reason::InvalidParameter, format!("{rule} but {whose} {key} {is}"), change)
    })
}

/// The bytes of the parameters that a pod and its namespace set.
fn parameter_bytes(pod: &Pod<'_>, namespace: &Namespace) -> usize {
    let by_pod = pod.annotations().filter(|it| parameter_of(&it.name()).is_some()).map(|it| it.json().len());
    let by_namespace = namespace.annotations().filter(|(key, _)| parameter_of(key).is_some()).map(|(_, it)| it.len());
    by_pod.sum::<usize>() + by_namespace.sum::<usize>()
}

/// Warnings about Pillion's keys on a namespace that have no effect: probably mistakes.
pub(super) fn stray_keys_of(namespace: &Namespace) -> Vec<String> {
    let mut warnings = Vec::new();
    if let Some(value) = namespace.label(FAILURE_POLICY).filter(|value| *value != "fail") {
        warnings.push(format!(
            "the namespace's label {FAILURE_POLICY} is \"{}\", which means nothing; for its pods to wait, say fail",
            shown(value)
        ));
    }
    if namespace.annotation(FAILURE_POLICY).is_some() {
        warnings.push(format!("{FAILURE_POLICY} is an annotation of the namespace; it counts as a label alone"));
    }
    warnings
}

/// The same on a pod. `chosen` are its templates.
pub(super) fn stray_keys(pod: &Pod<'_>, chosen: &[Cow<'_, str>]) -> Vec<String> {
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
    let stray = pod.annotations().map(Text::name).filter_map(|key| match parameter_of(&key) {
        Some((name, _)) => chosen.iter().all(|chosen| chosen != name).then(|| {
            let hint = did_you_mean(nearest(name, chosen.iter().map(Cow::as_ref)));
            format!("annotation {} is for a template that was not asked for{hint}", shown(&key))
        }),
        None => (key.starts_with("pillion.dev/") && !OWN_KEYS.contains(&&*key)).then(|| {
            let hint = did_you_mean(nearest(&key, OWN_KEYS.into_iter()));
            format!("annotation {} means nothing to Pillion{hint}", shown(&key))
        }),
    });
    warnings.extend(stray.take(MAX_WRONG_KEYS - warnings.len()));
    warnings
}
