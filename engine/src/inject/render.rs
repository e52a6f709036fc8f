//! What a template adds to one pod: its parts, with the values of their holes.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::collections::HashSet;
use std::rc::Rc;

use super::outcome::Refusal;
use super::pod::{Activation, Container};
use super::status::Record;
use crate::decision::Reason;
use crate::expression::{Failure, Variables as _};
use crate::json::fragment::{Numbers, Values};
use crate::json::{By, Fragment, Node};
use crate::template::part::{Hole, RenderError, fill};
use crate::template::{AppEntry, Parameters, PodPart, Template};
use crate::text::{excerpt, join, shown};

/// What a template adds to one pod.
pub(super) struct Rendered<'a> {
    pub(super) template: &'a Template,
    /// Of the parameters.
    pub(super) digest: Cow<'a, str>,
    /// What an earlier call recorded of the same template with the same parameters.
    pub(super) earlier: Option<&'a Record<'a>>,
    pub(super) pod: &'a PodPart,
    values: Values,
    /// The parameters that presets must not read.
    set: Numbers,
    pub(super) app: Vec<RenderedApp<'a>>,
    /// Whether the namespace requires the template.
    pub(super) required: bool,
    pub(super) warnings: Vec<String>,
    /// The value of the annotation that names volumes which may be lost, once it is known.
    pub(super) annotation: OnceCell<Fragment>,
}

/// What one of the pod's own containers gets from an entry of `app`.
pub(super) struct RenderedApp<'a> {
    pub(super) list: &'static str,
    /// The container's name.
    pub(super) name: Cow<'a, str>,
    fragment: &'a Fragment,
    /// The values of holes that all containers share.
    shared: Rc<Values>,
    own: Values,
    /// The parameters that presets must not read.
    set: Numbers,
    pub(super) overrides: bool,
}

impl<'a> Rendered<'a> {
    /// What it gives a pod's metadata.
    pub(super) fn metadata(&'a self, by: By) -> Option<Node<'a>> {
        Node::render(self.pod.metadata.as_ref()?, &[&self.values], self.set, by)
    }

    /// What it gives a pod's spec.
    pub(super) fn spec(&'a self, by: By) -> Option<Node<'a>> {
        Node::render(self.pod.spec.as_ref()?, &[&self.values], self.set, by)
    }

    /// Whether a volume may be there already.
    pub(super) fn shares(&'a self, volume: &str) -> bool {
        self.names(self.pod.shares.as_ref()).any(|name| name == volume)
    }

    /// The names of those of its volumes that may be lost with a node.
    pub(super) fn safe_to_evict(&'a self) -> impl Iterator<Item = &'a str> {
        self.names(self.pod.safe_to_evict.as_ref())
    }

    fn names(&'a self, list: Option<&'a Fragment>) -> impl Iterator<Item = &'a str> {
        let names = list.into_iter().flat_map(Fragment::items);
        names.filter_map(|name| name.filled_by(&[&self.values], self.set)?.as_str())
    }

    /// Whether it may make wrong what was right without it: it replaces values, or puts all ports on the node's network.
    pub(super) fn changes_what_is_there(&self) -> bool {
        let is_on_host = self.pod.spec.as_ref().is_some_and(|spec| spec.get("hostNetwork").is_some());
        is_on_host || self.app.iter().any(|part| part.overrides)
    }

    /// Whether the conditions of all its parts left nothing to add.
    pub(super) fn is_empty(&self) -> bool {
        self.pod.metadata.is_none() && self.pod.spec.is_none() && self.app.is_empty()
    }
}

impl<'a> RenderedApp<'a> {
    pub(super) fn render(&'a self, by: By) -> Option<Node<'a>> {
        Node::render(self.fragment, &[&self.own, &self.shared], self.set, by)
    }
}

/// What is known of a template and the pod.
#[derive(Clone, Copy, Default)]
pub(super) struct Known<'a> {
    /// Whether the namespace requires it.
    pub(super) required: bool,
    /// Whether the pod is a copy of one that it was injected into.
    pub(super) is_copied: bool,
    /// What was recorded of the same template with the same parameters.
    pub(super) record: Option<&'a Record<'a>>,
}

/// Whether a pod is one for the template.
pub(super) fn guard_holds(template: &Template, activation: &Activation<'_>) -> Result<bool, Refusal> {
    let Some(when) = &template.when else { return Ok(true) };
    when.holds(activation).map_err(|failure| expression_problem(template, "when".into(), &when.source, failure))
}

/// The values of all holes. `own` are the containers that no template added.
pub(super) fn render<'a>(
    template: &'a Template,
    parameters: &Parameters<'_>,
    digest: Cow<'a, str>,
    known: Known<'a>,
    own: &[Container<'_, 'a>],
    activation: &Activation<'_>,
) -> Result<Rendered<'a>, Refusal> {
    let pod = &template.pod;
    let set = if pod.uses_presets { parameters.set } else { Numbers::ALL };
    let values = fill(&pod.holes, |hole| hole.is_open(set), activation, parameters)
        .map_err(|errors| render_problem(template, errors))?;
    let (app, warnings) = (Vec::new(), Vec::new());
    let annotation = OnceCell::new();
    let Known { required, is_copied, record: earlier } = known;
    let mut rendered = Rendered { template, digest, earlier, pod, values, set, app, required, warnings, annotation };
    let seen_before: HashSet<&str> = earlier.iter().flat_map(|record| &record.app).map(Cow::as_ref).collect();
    for (at, entry) in template.app.iter().enumerate() {
        let mut named = own.iter().filter(|it| entry.names(it.list, &it.name)).peekable();
        if named.peek().is_none() {
            let warning = format!("template \"{}\": app[{at}] names no container of this pod", template.name);
            rendered.warnings.push(warning);
        }
        // What was overridden once comes back with the API server's defaults in it, and would never look done. Of what is
        // required a status proves nothing, and of a copy nothing is recorded.
        let is_seen = |it: &Container<'_, '_>| entry.overrides && (is_copied || seen_before.contains(&*it.name));
        let containers = named.filter(|it| required || is_copied || !is_seen(it));
        render_entry(&mut rendered, at, entry, containers.map(|it| (it, is_seen(it))), activation)?;
    }
    Ok(rendered)
}

/// What an entry of `app` adds to each of these containers; with each stands whether it had that once.
fn render_entry<'o, 'a: 'o>(
    rendered: &mut Rendered<'a>,
    at: usize,
    entry: &'a AppEntry,
    containers: impl Iterator<Item = (&'o Container<'o, 'a>, bool)>,
    activation: &Activation<'_>,
) -> Result<(), Refusal> {
    let template = rendered.template;
    let set = if entry.uses_presets { activation.parameters.set } else { Numbers::ALL };
    // What reads nothing but parameters is evaluated once.
    let (mut holds, mut shared) = (None, None);
    for (container, is_seen) in containers {
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
        let fill = |is_shared: bool| {
            let is_left = |hole: &Hole| !is_seen || !hole.varies_with_pod();
            let is_wanted =
                |hole: &Hole| hole.is_open(set) && hole.reads_only_parameters() == is_shared && is_left(hole);
            fill(&entry.holes, is_wanted, &activation, activation.parameters).map_err(|errors| {
                let Refusal { reason, message, .. } = render_problem(template, errors);
                Refusal::new(reason, format!("{message} (for container {})", shown(&container.name)))
            })
        };
        let shared = match &shared {
            Some(shared) => Rc::clone(shared),
            None => Rc::clone(shared.insert(fill(true)?.into())),
        };
        let own = fill(false)?;
        rendered.app.push(RenderedApp {
            list: container.list,
            name: container.name.clone(),
            fragment: if is_seen { &entry.again } else { &entry.container },
            shared,
            own,
            set,
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
