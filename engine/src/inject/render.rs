//! The values of a template's holes for one pod.

use std::borrow::Cow;
use std::collections::HashSet;

use super::decide::{self, Problem};
use super::pod::{Container, Seen};
use super::{Pass, Prepared, Received, join};
use crate::decision::Reason;
use crate::template::expression::Failure;
use crate::template::fragment::{RenderError, fill};
use crate::template::{AppEntry, Parameters, Template};
use crate::{excerpt, shown};

impl<'a> Pass<'a> {
    /// The values of all holes; nothing if the template's guard does not hold.
    pub(super) fn render(
        &self,
        template: &'a Template,
        parameters: &Cow<'a, Parameters>,
        digest: Cow<'a, str>,
    ) -> Result<Option<Prepared<'a>>, Problem> {
        if let Some(when) = &template.when {
            let holds = when.holds(&self.seen(parameters));
            if !holds.map_err(|failure| expression_problem(template, "when", when.source(), failure))? {
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
    ) -> Result<Prepared<'a>, Problem> {
        let seen = self.seen(parameters);
        let defaults = template.defaults.as_ref().filter(|_| matches!(parameters, Cow::Borrowed(_)));
        let pod = defaults.and_then(|defaults| defaults.pod.as_ref()).unwrap_or(&template.pod);
        let render =
            |holes, seen: &Seen<'_>| fill(holes, seen, parameters).map_err(|errors| render_problem(template, errors));
        let values = render(&pod.holes, &seen)?;
        let earlier = self.status.record(template.name().as_str()).filter(|record| record.digest == digest);
        let seen_before: HashSet<&str> = earlier.iter().flat_map(|record| &record.app).map(String::as_str).collect();
        let holds = |at: usize, entry: &AppEntry, container: &Container<'_>, seen: &Seen<'_>| {
            let Some(when) = &entry.when else { return Ok(true) };
            let place = || format!("app[{at}].when of {}", shown(&container.name));
            when.holds(seen).map_err(|failure| expression_problem(template, &place(), when.source(), failure))
        };
        let mut app = Vec::new();
        let mut warnings = Vec::new();
        for (at, entry) in template.app.iter().enumerate() {
            let resolved = defaults.and_then(|defaults| defaults.app[at].as_ref());
            if !self.own_containers().any(|container| entry.names(container.list, &container.name)) {
                warnings.push(format!("template \"{}\": app[{at}] names no container of this pod", template.name()));
            }
            for container in self.own_containers() {
                // What was overridden once comes back with the API server's defaults in it, and would never look done.
                let is_done = entry.overrides && seen_before.contains(&*container.name);
                let seen = Seen { container: Some(container), ..seen };
                if is_done || !entry.names(container.list, &container.name) || !holds(at, entry, container, &seen)? {
                    continue;
                }
                let (fragment, values) = match resolved {
                    Some(fragment) => (fragment, Ok(Vec::new())),
                    None => (&entry.container, render(&entry.holes, &seen)),
                };
                let values = values.map_err(|problem| problem.of_container(&container.name))?;
                app.push(Received { container, fragment, values, overrides: entry.overrides });
            }
        }
        let required = decide::is_required(self.namespace, template.name().as_str());
        Ok(Prepared { template, digest, pod, values, app, required, warnings })
    }
}

fn expression_problem(template: &Template, place: &str, source: &str, failure: Failure) -> Problem {
    render_problem(template, vec![RenderError::Expression { place: place.into(), source: source.into(), failure }])
}

/// Why holes have no value, as one problem: the reason is that of the first.
fn render_problem(template: &Template, errors: Vec<RenderError>) -> Problem {
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
    Problem::new(reason, format!("template \"{}\": {}", template.name(), join(&sentences)))
}
