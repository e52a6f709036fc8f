//! The values of a template's holes for one pod.

use std::borrow::Cow;
use std::collections::HashSet;
use std::rc::Rc;

use super::outcome::Refusal;
use super::outcome::join;
use super::pass::{Pass, Prepared, Received};
use super::pod::{Container, Seen};
use super::select;
use crate::decision::Reason;
use crate::expression::{Failure, Variables as _};
use crate::fragment::Fragment;
use crate::template::part::{Hole, RenderError, fill};
use crate::template::{AppEntry, Parameters, Template};
use crate::text::{excerpt, shown};

impl<'a> Pass<'a> {
    /// The values of all holes; nothing if the template's guard does not hold.
    pub(super) fn render(
        &self,
        template: &'a Template,
        parameters: &Cow<'a, Parameters>,
        digest: Cow<'a, str>,
    ) -> Result<Option<Prepared<'a>>, Refusal> {
        if let Some(when) = &template.when {
            let holds = when.holds(&self.seen(parameters));
            if !holds.map_err(|failure| expression_problem(template, "when", &when.source, failure))? {
                return Ok(None);
            }
        }
        self.render_parts(template, parameters, digest).map(Some)
    }

    /// What expressions see, outside of `app`.
    pub(super) fn seen<'s>(&'s self, parameters: &'s Parameters) -> Seen<'s> {
        Seen {
            pod: self.pod,
            status: &self.status,
            namespace: self.namespace,
            parameters,
            container: None,
            budget: &self.budget,
        }
    }

    /// The values of all holes, whether the template's guard holds or not.
    pub(super) fn render_parts(
        &self,
        template: &'a Template,
        parameters: &Cow<'a, Parameters>,
        digest: Cow<'a, str>,
    ) -> Result<Prepared<'a>, Refusal> {
        let seen = self.seen(parameters);
        let defaults = template.defaults.as_ref().filter(|_| matches!(parameters, Cow::Borrowed(_)));
        let pod = defaults.and_then(|defaults| defaults.pod.as_ref()).unwrap_or(&template.pod);
        let values =
            fill(&pod.holes, |_| true, &seen, parameters).map_err(|errors| render_problem(template, errors))?;
        let earlier = self.status.record(template.name.as_str()).filter(|record| record.digest == digest);
        let seen_before: HashSet<&str> = earlier.iter().flat_map(|record| &record.app).map(String::as_str).collect();
        let mut app = Vec::new();
        let mut warnings = Vec::new();
        for (at, entry) in template.app.iter().enumerate() {
            let resolved = defaults.and_then(|defaults| defaults.app[at].as_ref());
            let mut rendering = Rendering { template, at, entry, resolved, holds: None, shared: None };
            let mut named = self.own_containers().filter(|it| entry.names(it.list, &it.name)).peekable();
            if named.peek().is_none() {
                warnings.push(format!("template \"{}\": app[{at}] names no container of this pod", template.name));
            }
            // What was overridden once comes back with the API server's defaults in it, and would never look done.
            for container in named.filter(|it| !(entry.overrides && seen_before.contains(&*it.name))) {
                app.extend(rendering.of(container, &Seen { container: Some(container), ..seen })?);
            }
        }
        let required = select::is_required(self.namespace, template.name.as_str());
        Ok(Prepared { template, digest, pod, values, app, required, warnings })
    }
}

/// An entry of `app` that is filled in for one container after the other.
struct Rendering<'a> {
    template: &'a Template,
    /// Its place in `app`.
    at: usize,
    entry: &'a AppEntry,
    /// The entry without holes, if that was possible when the template was loaded.
    resolved: Option<&'a Fragment>,
    /// Whether the entry's condition held for the last container.
    holds: Option<bool>,
    /// The values of the holes that read nothing but parameters, once a container needed them.
    shared: Option<Rc<[(usize, Fragment)]>>,
}

impl<'a> Rendering<'a> {
    /// What a container receives; nothing if the entry's condition does not hold for it.
    fn of(&mut self, container: &'a Container<'a>, seen: &Seen<'_>) -> Result<Option<Received<'a>>, Refusal> {
        let Rendering { template, at, entry, resolved, .. } = *self;
        // An entry without an expression costs something, too.
        seen.begin_evaluation().map_err(|limit| {
            Refusal::new(Reason::ExpressionLimit, format!("template \"{}\": app[{at}]: {limit}", template.name))
        })?;
        if let Some(when) = &entry.when {
            let place = || format!("app[{at}].when of {}", shown(&container.name));
            let known = self.holds.filter(|_| when.reads_only_parameters()).map(Ok);
            let holds = known.unwrap_or_else(|| when.holds(seen));
            let holds = holds.map_err(|failure| expression_problem(template, &place(), &when.source, failure))?;
            self.holds = Some(holds);
            if !holds {
                return Ok(None);
            }
        }
        if let Some(fragment) = resolved {
            return Ok(Some(Received {
                container,
                fragment,
                shared: None,
                own: Vec::new(),
                overrides: entry.overrides,
            }));
        }
        let fill = |wanted: fn(&Hole) -> bool| {
            fill(&entry.holes, wanted, seen, seen.parameters)
                .map_err(|errors| render_problem(template, errors).of_container(&container.name))
        };
        if self.shared.is_none() {
            self.shared = Some(fill(Hole::reads_only_parameters)?.into());
        }
        let own = fill(|hole| !hole.reads_only_parameters())?;
        let fragment = &entry.container;
        Ok(Some(Received { container, fragment, shared: self.shared.clone(), own, overrides: entry.overrides }))
    }
}

fn expression_problem(template: &Template, place: &str, source: &str, failure: Failure) -> Refusal {
    render_problem(template, vec![RenderError::Expression { place: place.into(), source: source.into(), failure }])
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
    let sentences: Vec<_> = sentences.collect();
    Refusal::new(reason, format!("template \"{}\": {}", template.name, join(&sentences)))
}
