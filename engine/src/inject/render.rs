//! What a template adds to one pod: its parts, with the values of their holes.

use std::borrow::Cow;
use std::collections::HashSet;
use std::rc::Rc;

use super::outcome::{Refusal, join};
use super::pod::{Activation, Own};
use super::status::Record;
use crate::decision::Reason;
use crate::expression::{Failure, Variables as _};
use crate::json::fragment::Values;
use crate::json::{By, Fragment, Node};
use crate::template::part::{Hole, RenderError, fill};
use crate::template::{AppEntry, Parameters, PodPart, Template};
use crate::text::{excerpt, shown};

static NO_VALUES: Values = Vec::new();

/// What a template adds to one pod.
pub(super) struct Rendered<'a> {
    pub(super) template: &'a Template,
    /// Of the parameters.
    pub(super) digest: Cow<'a, str>,
    /// What an earlier call recorded of the same template with the same parameters.
    pub(super) earlier: Option<&'a Record<'a>>,
    pub(super) pod: &'a PodPart,
    values: Values,
    /// The values of further holes.
    known: &'a Values,
    pub(super) app: Vec<RenderedApp<'a>>,
    /// Whether the namespace requires the template.
    pub(super) required: bool,
    pub(super) warnings: Vec<String>,
}

/// What one of the pod's own containers gets from an entry of `app`.
pub(super) struct RenderedApp<'a> {
    pub(super) list: &'static str,
    /// The container's name.
    pub(super) name: Cow<'a, str>,
    fragment: &'a Fragment,
    /// The values of holes that all containers share.
    shared: Option<Rc<Values>>,
    own: Values,
    /// The values of further holes.
    known: &'a Values,
    pub(super) overrides: bool,
}

impl<'a> Rendered<'a> {
    /// What it gives a pod's metadata.
    pub(super) fn metadata(&'a self, by: By) -> Option<Node<'a>> {
        Node::render(self.pod.metadata.as_ref()?, &[&self.values, self.known], by)
    }

    /// What it gives a pod's spec.
    pub(super) fn spec(&'a self, by: By) -> Option<Node<'a>> {
        Node::render(self.pod.spec.as_ref()?, &[&self.values, self.known], by)
    }

    /// Whether a volume may be there already.
    pub(super) fn shares(&self, volume: &str) -> bool {
        let names = self.pod.shares.iter().flat_map(Fragment::items);
        names
            .filter_map(|name| name.filled_by(&[&self.values, self.known])?.value()?.as_str())
            .any(|name| name == volume)
    }

    /// Whether the conditions of all its parts left nothing to add.
    pub(super) fn is_empty(&self) -> bool {
        self.pod.metadata.is_none() && self.pod.spec.is_none() && self.app.is_empty()
    }
}

impl<'a> RenderedApp<'a> {
    pub(super) fn render(&'a self, by: By) -> Option<Node<'a>> {
        let shared = self.shared.as_deref().unwrap_or(&NO_VALUES);
        Node::render(self.fragment, &[&self.own, shared, self.known], by)
    }
}

/// The values of all holes; `None` if the template's guard does not hold. `own` are the containers that no template
/// added, and `earlier` is what was recorded of the same template with the same parameters.
pub(super) fn render<'a>(
    template: &'a Template,
    parameters: &Parameters<'_>,
    digest: Cow<'a, str>,
    required: bool,
    own: &[Own<'_, 'a>],
    earlier: Option<&'a Record<'a>>,
    activation: &Activation<'_>,
) -> Result<Option<Rendered<'a>>, Refusal> {
    if let Some(when) = &template.when {
        let holds = when.holds(activation);
        if !holds.map_err(|failure| expression_problem(template, "when".into(), &when.source, failure))? {
            return Ok(None);
        }
    }
    let defaults = template.defaults.as_ref();
    let unset = defaults.filter(|_| parameters.set.is_empty());
    let pod = unset.and_then(|defaults| defaults.pod.as_ref()).unwrap_or(&template.pod);
    let known = defaults.map_or(&NO_VALUES, |defaults| &defaults.values);
    let values =
        fill(&pod.holes, known, |_| true, activation, parameters).map_err(|errors| render_problem(template, errors))?;
    let (app, warnings) = (Vec::new(), Vec::new());
    let mut rendered = Rendered { template, digest, earlier, pod, values, known, app, required, warnings };
    let seen_before: HashSet<&str> = earlier.iter().flat_map(|record| &record.app).map(Cow::as_ref).collect();
    for (at, entry) in template.app.iter().enumerate() {
        let mut named = own.iter().filter(|it| entry.names(it.list, &it.name)).peekable();
        if named.peek().is_none() {
            let warning = format!("template \"{}\": app[{at}] names no container of this pod", template.name);
            rendered.warnings.push(warning);
        }
        // What was overridden once comes back with the API server's defaults in it, and would never look done.
        let containers = named.filter(|it| !(entry.overrides && seen_before.contains(&*it.name)));
        let (resolved, known) = defaults.map_or((None, &NO_VALUES), |it| (it.app[at].0.as_ref(), &it.app[at].1));
        let resolved = resolved.filter(|_| !entry.holes.iter().any(|hole| hole.reads_one_of(parameters.set)));
        render_entry(&mut rendered, at, entry, resolved, known, containers, activation)?;
    }
    Ok(Some(rendered))
}

/// What an entry of `app` adds to each of these containers. `resolved` is the entry without holes, and `known` are the
/// values of holes, as far as that was possible when the template was loaded.
fn render_entry<'o, 'a: 'o>(
    rendered: &mut Rendered<'a>,
    at: usize,
    entry: &'a AppEntry,
    resolved: Option<&'a Fragment>,
    known: &'a Values,
    containers: impl Iterator<Item = &'o Own<'o, 'a>>,
    activation: &Activation<'_>,
) -> Result<(), Refusal> {
    let template = rendered.template;
    // What reads nothing but parameters is evaluated once.
    let (mut holds, mut shared) = (None, None);
    for container in containers {
        let activation = Activation { container: Some(container.node), ..*activation };
        // An entry without an expression costs something, too.
        activation.begin_evaluation().map_err(|limit| {
            Refusal::new(Reason::ExpressionLimit, format!("template \"{}\": app[{at}]: {limit}", template.name))
        })?;
        if let Some(when) = &entry.when {
            let result = match holds {
                Some(holds) if when.reads_only_parameters() => Ok(holds),
                _ => when.holds(&activation),
            };
            let result = result.map_err(|failure| {
                let place = format!("app[{at}].when of {}", shown(&container.name));
                expression_problem(template, place, &when.source, failure)
            })?;
            holds = Some(result);
            if !result {
                continue;
            }
        }
        let fill = |wanted: fn(&Hole) -> bool| {
            fill(&entry.holes, known, wanted, &activation, activation.parameters).map_err(|errors| {
                let Refusal { reason, message } = render_problem(template, errors);
                Refusal::new(reason, format!("{message} (for container {})", shown(&container.name)))
            })
        };
        let (fragment, own) = match resolved {
            Some(fragment) => (fragment, Vec::new()),
            None => {
                if shared.is_none() {
                    shared = Some(Rc::new(fill(Hole::reads_only_parameters)?));
                }
                (&entry.container, fill(|hole| !hole.reads_only_parameters())?)
            }
        };
        rendered.app.push(RenderedApp {
            list: container.list,
            name: container.name.clone(),
            fragment,
            shared: shared.clone(),
            own,
            known,
            overrides: entry.overrides,
        });
    }
    Ok(())
}

fn expression_problem(template: &Template, place: String, source: &str, failure: Failure) -> Refusal {
    render_problem(template, vec![RenderError::Expression { place, source: source.into(), failure }])
}

/// Why holes have no value, as one problem: the reason is that of the first.
fn render_problem(template: &Template, errors: Vec<RenderError>) -> Refusal {
    let reason = errors.first().map_or(Reason::InternalError, |error| match error {
        RenderError::Expression { failure: Failure::Failed(_), .. } => Reason::ExpressionFailed,
        RenderError::Expression { failure: Failure::Limit(_), .. } => Reason::ExpressionLimit,
        RenderError::Expression { failure: Failure::UnknownNamespace, .. } => Reason::UnknownNamespace,
        RenderError::WrongType { .. } => Reason::InvalidResult,
    });
    let sentences = errors.iter().map(|error| match error {
        RenderError::Expression { place, source, failure } => {
            format!("{place}: the expression {} failed: {failure}", excerpt(source))
        }
        RenderError::WrongType { place, message } => format!("{place} {message}"),
    });
    Refusal::new(reason, format!("template \"{}\": {}", template.name, join(sentences)))
}
