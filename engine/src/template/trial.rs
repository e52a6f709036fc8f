//! A template tried at load: what it gives is checked as an API server would, and what should be better about it is said.

use std::collections::BTreeSet;

use serde_json::Value;

use super::reader::{Reader, member};
use super::{Parameter, Parameters, Template};
use crate::inject;
use crate::security::Assessment;
use crate::validation::{self, Report, Wrong};
use crate::yaml::{Node, Position};

impl Template {
    /// Whether somebody wrote down what the value of each parameter looks like: then a trial proves something.
    pub(super) fn has_samples(&self) -> bool {
        self.parameters.iter().all(Parameter::has_sample)
    }

    /// A value for each parameter: its default, else its example, else one that its rules allow.
    pub(super) fn samples(&self) -> Parameters {
        let sample = |parameter: &Parameter| (parameter.name.clone(), parameter.sample());
        Parameters(self.parameters.iter().map(sample).collect())
    }
}

/// Tries a template. `spec` is the one of its file, as it was compiled.
pub(super) fn run(reader: &mut Reader<'_>, spec: &Node, template: &mut Template) {
    let mut wrong = check_fixed(template);
    let samples = template.samples();
    let defaults = template.defaults.as_ref().map(|defaults| &defaults.parameters);
    let trials = [Some(&samples), defaults.filter(|defaults| defaults.0 != samples.0)];
    let mut tried = None;
    for parameters in trials.into_iter().flatten() {
        let Some(trial) = inject::trial(template, parameters) else { continue };
        if template.has_samples() {
            wrong.extend(trial.wrong);
        }
        tried = tried.or(Some(trial.spec));
    }
    let mut seen = BTreeSet::new();
    for problem in wrong.into_iter().filter(|problem| seen.insert(problem.to_string())) {
        let (position, path) = locate(spec, &problem.place);
        reader.problem(position, &path, problem.message);
    }
    if let Some(tried) = tried {
        let assessment = Assessment::of(&tried);
        template.pod_security = Some(assessment.level());
        let names = own_containers(spec);
        let mut advice = advise(&tried, &names);
        advice.extend(assessment.baseline.into_iter().map(|above| Wrong {
            message: format!("{}, which the baseline Pod Security level does not allow", above.message),
            ..above
        }));
        let file = reader.file();
        template.warnings = advice
            .into_iter()
            .map(|advice| {
                let (position, path) = locate(spec, &advice.place);
                super::Problem::new(file, position, &path, advice.message)
            })
            .collect();
    }
}

/// What does not vary is checked here, and at review no more.
fn check_fixed(template: &Template) -> Vec<Wrong> {
    let mut report = Report::default();
    let resolved = template.defaults.as_ref().and_then(|defaults| defaults.pod.as_ref());
    for spec in [Some(&template.pod), resolved].into_iter().flatten().filter_map(|part| part.spec.as_ref()) {
        for list in ["initContainers", "containers"] {
            for container in spec.fixed_items(list) {
                let step = format!("{list}[{}]", container["name"].as_str().unwrap_or_default());
                report.at(&step, |report| validation::container(report, &container, list == "initContainers"));
            }
        }
        for volume in spec.fixed_items("volumes") {
            let step = format!("volumes[{}]", volume["name"].as_str().unwrap_or_default());
            report.at(&step, |report| validation::volume(report, &volume));
        }
    }
    report.wrong
}

/// The names of the containers that the template brings.
fn own_containers(spec: &Node) -> BTreeSet<&str> {
    let lists = ["initContainers", "containers"].into_iter();
    let items = lists.filter_map(|list| spec.get("pod")?.get("spec")?.get(list)).flat_map(Node::items);
    items.filter_map(|container| container.get("name")?.as_str()).collect()
}

/// What should be better about the containers that a template brings.
fn advise(spec: &Value, own: &BTreeSet<&str>) -> Vec<Wrong> {
    let mut report = Report::default();
    for list in ["initContainers", "containers"] {
        for container in spec[list].as_array().into_iter().flatten() {
            let name = container["name"].as_str().unwrap_or_default();
            if own.contains(name) {
                report.at(&format!("{list}[{name}]"), |report| advise_container(report, container));
            }
        }
    }
    report.wrong
}

fn advise_container(report: &mut Report, container: &Value) {
    let requests = &container["resources"]["requests"];
    let limits = &container["resources"]["limits"];
    let missing: Vec<_> =
        ["cpu", "memory"].into_iter().filter(|name| requests[name].is_null() && limits[name].is_null()).collect();
    if !missing.is_empty() {
        let missing = missing.join(" and ");
        report.wrong(format!("requests no {missing}, so an autoscaler and the scheduler cannot reckon with it"));
    }
    let image = container["image"].as_str().unwrap_or_default();
    let tag = image.rsplit('/').next().unwrap_or_default().split_once(':').map(|(_, tag)| tag);
    if !image.contains('@') && tag.is_none_or(|tag| tag == "latest") {
        report.at(".image", |report| report.wrong("names no version, so what runs can change from pod to pod"));
    }
    let is_sidecar = container["restartPolicy"] == "Always";
    if is_sidecar && container["startupProbe"].is_null() && container["readinessProbe"].is_null() {
        report.wrong(
            "has neither startupProbe nor readinessProbe, so what starts after it does not wait until it is ready",
        );
    }
}

/// Where in the template's file something of the pod comes from: the deepest node on its way that was written.
fn locate(spec: &Node, place: &str) -> (Position, String) {
    let steps = steps(place);
    let of_pod = spec.get("pod").and_then(|pod| {
        let (start, path) = match steps.first() {
            Some(&"metadata") => (pod, "spec.pod".to_owned()),
            _ => (pod.get("spec")?, "spec.pod.spec".to_owned()),
        };
        start.get(steps.first()?)?;
        let found = descend(start, path, &steps);
        // A container that the template does not bring is one of the pod's own.
        let is_own = steps.get(1).is_none_or(|name| !is_list(steps[0]) || found.2 >= 2 || name.is_empty());
        is_own.then_some((found.0, found.1))
    });
    let of_app = || {
        let entries = spec.get("app").map(Node::items).into_iter().flatten().enumerate();
        let found =
            entries.map(|(at, entry)| descend(entry, format!("spec.app[{at}]"), steps.get(2..).unwrap_or_default()));
        found
            .max_by_key(|(_, _, depth)| *depth)
            .filter(|(_, _, depth)| *depth > 0)
            .map(|(position, path, _)| (position, path))
    };
    of_pod.or_else(of_app).unwrap_or((spec.position, "spec".to_owned()))
}

fn is_list(field: &str) -> bool {
    matches!(field, "initContainers" | "containers" | "volumes")
}

/// `initContainers[proxy].ports[0]` in its parts. What stands in brackets can hold dots.
fn steps(place: &str) -> Vec<&str> {
    let mut steps = Vec::new();
    for part in place.split('[') {
        let (inside, outside) = part.split_once(']').unwrap_or(("", part));
        steps.push(inside);
        steps.extend(outside.split('.'));
    }
    steps.retain(|step| !step.is_empty());
    steps
}

/// Follows the steps as far as they lead, and tells how far.
fn descend(start: &Node, path: String, steps: &[&str]) -> (Position, String, usize) {
    let (mut node, mut path) = (start, path);
    for (depth, step) in steps.iter().enumerate() {
        if let Some(child) = node.get(step) {
            (node, path) = (child, member(&path, step));
        } else if let Some(at) =
            node.items().iter().position(|item| is_called(item, step)).or_else(|| step.parse().ok())
            && let Some(item) = node.items().get(at)
        {
            (node, path) = (item, format!("{path}[{at}]"));
        } else {
            return (node.position, path, depth);
        }
    }
    (node.position, path, steps.len())
}

/// Whether an item of a list has this key.
fn is_called(item: &Node, key: &str) -> bool {
    let port = key.split('/').next();
    ["name", "mountPath", "devicePath"].iter().any(|field| item.get(field).and_then(Node::as_str) == Some(key))
        || item.get("containerPort").is_some_and(|number| Some(number.to_json().to_string().as_str()) == port)
}
