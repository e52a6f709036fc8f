//! A template tried at load: what it gives is checked as an API server would, and what should be better about it is said.

use std::collections::BTreeSet;

use super::fragment::{Fragment, RenderError};
use super::reader::{Problem, Reader, member};
use super::{AppEntry, Parameter, Parameters, PodPart, Template};
use crate::inject;
use crate::schema::Schema;
use crate::security::Assessment;
use crate::validation::{self, Report, Wrong};
use crate::yaml::{Node, Value};

/// How many parameters that can be left out are tried alone.
const MAX_ALONE: usize = 8;

impl Template {
    /// What its parameters can be in a trial: all examples, and none as for a pod that sets nothing.
    fn sample_sets(&self) -> Vec<Parameters> {
        let sample = |parameter: &Parameter| (parameter.name.clone(), parameter.sample());
        let samples = Parameters(self.parameters.iter().map(sample).collect());
        let defaults = self.parameters_with(None);
        if samples.0 == defaults.0 { vec![samples] } else { vec![samples, defaults] }
    }

    /// Each of those that can be left out alone.
    fn single_sets(&self) -> Vec<Parameters> {
        let optional = self.parameters.iter().filter(|it| it.optional && it.default.is_none());
        optional.take(MAX_ALONE).map(|parameter| self.parameters_with(Some(&parameter.name))).collect()
    }

    /// All that must be given or have a default, and this one.
    fn parameters_with(&self, wanted: Option<&str>) -> Parameters {
        let is_left_out = |it: &Parameter| it.optional && it.default.is_none() && Some(it.name.as_str()) != wanted;
        let value = |it: &Parameter| if is_left_out(it) { serde_json::Value::Null } else { it.some_sample() };
        Parameters(self.parameters.iter().map(|it| (it.name.clone(), value(it))).collect())
    }

    /// Whether the guard lets it be applied with these parameters, or asks for more than them.
    fn may_apply(&self, parameters: &Parameters) -> bool {
        let guard = self.when.as_ref().filter(|when| when.reads_only_parameters());
        guard.is_none_or(|guard| guard.holds(parameters) != Ok(false))
    }

    fn names_without(&self, sample: fn(&Parameter) -> bool) -> Vec<String> {
        self.parameters.iter().filter(|it| !sample(it)).map(|it| it.name.clone()).collect()
    }
}

/// Tries a template. `spec` is the one of its file, as it was compiled.
pub(super) fn run(reader: &mut Reader<'_>, spec: &Node, template: &mut Template) {
    let mut sets = template.sample_sets();
    sets.retain(|parameters| template.may_apply(parameters));
    // Of these a trial cannot even tell whether they fit their place.
    let untyped = template.names_without(Parameter::shows_its_type);
    for parameters in &sets {
        render_holes(reader, template, &untyped, parameters);
    }
    if !reader.is_clean() {
        return;
    }
    // Of these nobody wrote down what a value looks like: no rule can be broken by them before a pod gives one.
    let unknown = template.names_without(Parameter::has_sample);
    let mut wrong = check_fixed(&template.pod);
    let entries = template.app.iter().enumerate();
    wrong.extend(entries.flat_map(|(at, entry)| check_fixed_app(&entry.container, at)));
    if let Some(defaults) = &mut template.defaults {
        // What was filled in beforehand is not checked again at review.
        defaults.pod.take_if(|part| !check_fixed(part).is_empty());
        for entry in &mut defaults.app {
            entry.take_if(|container| !check_fixed_app(container, 0).is_empty());
        }
    }
    sets.extend(template.single_sets().into_iter().filter(|parameters| template.may_apply(parameters)));
    let trials: Vec<_> = sets.iter().map(|parameters| inject::trial(template, parameters)).collect();
    // What is wrong with some values of optional parameters alone may be right for every pod.
    let (always, sometimes): (Vec<_>, Vec<_>) = trials
        .iter()
        .flat_map(|trial| trial.wrong.iter().cloned())
        .partition(|wrong| trials.iter().all(|trial| trial.wrong.contains(wrong)));
    wrong.extend(always);
    let mut seen = BTreeSet::new();
    for problem in wrong.into_iter().filter(|problem| seen.insert(problem.to_string())) {
        let found = locate(spec, &problem.place);
        if !mentions(found.node, &unknown) {
            reader.problem(found.node.position, &found.path, problem.message);
        }
    }
    let sometimes = sometimes.into_iter().filter(|it| seen.insert(it.to_string())).map(|wrong| Wrong {
        message: format!("{}, for some values of the optional parameters", wrong.message),
        ..wrong
    });
    let tried = trials.iter().find_map(|trial| trial.spec.as_ref());
    template.pod_security = tried.map(|tried| Assessment::of(tried).level());
    let advice = tried.map(|tried| advise(tried, &own_containers(spec))).unwrap_or_default();
    let warning = |advice: Wrong| {
        let found = locate(spec, &advice.place);
        Problem::new(reader.file(), found.node.position, &found.path, advice.message)
    };
    template.warnings = advice.into_iter().chain(sometimes).map(warning).collect();
}

/// Fills each hole: one that can never fit is found now rather than by a pod.
fn render_holes(reader: &mut Reader<'_>, template: &Template, unknown: &[String], parameters: &Parameters) {
    let is_applied = |entry: &&AppEntry| {
        let guard = entry.when.as_ref();
        guard.is_none_or(|guard| guard.reads_only_parameters() && guard.holds(parameters) == Ok(true))
    };
    let of_app = template.app.iter().filter(is_applied).flat_map(|entry| &entry.holes);
    for hole in
        template.pod.holes.iter().chain(of_app).filter(|hole| !unknown.iter().any(|name| hole.reads_parameter(name)))
    {
        if let Err(error) = hole.fill(parameters, parameters) {
            let (place, message) = match error {
                RenderError::WrongType { place, message } => (place, message),
                RenderError::Expression { place, source, failure } if hole.reads_only_parameters() => {
                    (place, format!("has an expression, {source}, that fails: {failure}"))
                }
                // What an expression makes of a real pod cannot be told from a sample.
                RenderError::Expression { .. } => continue,
            };
            let is_whole = place.starts_with("spec.shares") || place.starts_with("spec.app[");
            let path = if is_whole { place } else { format!("spec.pod.{place}") };
            reader.problem(hole.position, &path, format!("filled with defaults and examples {message}"));
        }
    }
}

/// Whether an expression somewhere below names one of these parameters.
fn mentions(node: &Node, parameters: &[String]) -> bool {
    match &node.value {
        Value::String(text) => parameters.iter().any(|name| text.contains(&format!("params.{name}"))),
        Value::List(items) => items.iter().any(|item| mentions(item, parameters)),
        Value::Object(members) => members.iter().any(|(_, node)| mentions(node, parameters)),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

/// What does not vary is checked here, and at review no more.
fn check_fixed(part: &PodPart) -> Vec<Wrong> {
    let mut report = Report::default();
    let Some(spec) = &part.spec else { return report.wrong };
    for list in ["initContainers", "containers"] {
        for container in spec.fixed_items(list) {
            let step = format!("{list}[{}]", container["name"].as_str().unwrap_or_default());
            report.at(&step, |report| {
                report.complete(&container, Schema::get().item("PodSpec", list));
                validation::container(report, &container, list == "initContainers");
            });
        }
    }
    for (name, value) in spec.fixed_members() {
        report.at(name, |report| {
            if !["initContainers", "containers", "volumes"].contains(&name) {
                report.complete(&value, Schema::get().field("PodSpec", name));
            }
            validation::pod_field(report, name, &value);
        });
    }
    for volume in spec.fixed_items("volumes") {
        let step = format!("volumes[{}]", volume["name"].as_str().unwrap_or_default());
        report.at(&step, |report| {
            report.complete(&volume, Schema::get().item("PodSpec", "volumes"));
            validation::volume(report, &volume);
        });
    }
    report.wrong
}

/// The same for an entry of `app`.
fn check_fixed_app(container: &Fragment, at: usize) -> Vec<Wrong> {
    type Check = fn(&mut Report, &serde_json::Value);
    const LISTS: [(&str, Check); 5] = [
        ("env", validation::env),
        ("envFrom", validation::env_from),
        ("ports", validation::port),
        ("volumeMounts", |report, mount| validation::mount(report, mount, "mountPath")),
        ("volumeDevices", |report, mount| validation::mount(report, mount, "devicePath")),
    ];
    let mut report = Report::default();
    for (list, check) in LISTS {
        for (index, item) in container.fixed_items(list).enumerate() {
            report.at(&format!("app[{at}].{list}[{index}]"), |report| {
                report.complete(&item, Schema::get().item("Container", list));
                check(report, &item);
            });
        }
    }
    for (field, probe) in container.fixed_members().filter(|(field, _)| field.ends_with("Probe")) {
        report.at(&format!("app[{at}].{field}"), |report| {
            report.complete(&probe, Schema::get().field("Container", field));
            validation::probe(report, &probe, field);
        });
    }
    report.wrong
}

/// The names of the containers that the template brings.
fn own_containers(spec: &Node) -> BTreeSet<&str> {
    let lists = ["initContainers", "containers"].into_iter();
    let items = lists.filter_map(|list| spec.get("pod")?.get("spec")?.get(list)).flat_map(Node::items);
    items.filter_map(|container| container.get("name")?.as_str()).collect()
}

/// What should be better about a pod with what a template gives.
fn advise(spec: &serde_json::Value, own: &BTreeSet<&str>) -> Vec<Wrong> {
    let mut report = Report::default();
    for list in ["initContainers", "containers"] {
        for container in spec[list].as_array().into_iter().flatten() {
            let name = container["name"].as_str().unwrap_or_default();
            if own.contains(name) {
                report.at(&format!("{list}[{name}]"), |report| advise_container(report, container));
            }
        }
    }
    let above = Assessment::of(spec).baseline.into_iter().map(|above| Wrong {
        message: format!("{}, which the baseline Pod Security level does not allow", above.message),
        ..above
    });
    report.wrong.into_iter().chain(above).collect()
}

fn advise_container(report: &mut Report, container: &serde_json::Value) {
    let requests = &container["resources"]["requests"];
    let limits = &container["resources"]["limits"];
    let missing: Vec<_> =
        ["cpu", "memory"].into_iter().filter(|name| requests[name].is_null() && limits[name].is_null()).collect();
    if !missing.is_empty() {
        let missing = missing.join(" and no ");
        report.wrong(format!("requests no {missing}, so autoscalers and the scheduler cannot reckon with it"));
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

/// A node of the template's file, and its path there.
struct Found<'n> {
    node: &'n Node,
    path: String,
    /// How many steps led there.
    depth: usize,
}

/// Where in the template's file something of the pod comes from: the deepest node on its way that was written.
fn locate<'n>(spec: &'n Node, place: &str) -> Found<'n> {
    let steps = steps(place.strip_prefix("spec.").unwrap_or(place));
    let first = steps.first().copied().unwrap_or_default();
    if first == "when" || first == "app" {
        return descend(spec, "spec".to_owned(), &steps);
    }
    let pod = spec.get("pod").map(|pod| (pod, "spec.pod"));
    let of_pod =
        if first == "metadata" { pod } else { pod.and_then(|(pod, _)| Some((pod.get("spec")?, "spec.pod.spec"))) };
    let of_pod = of_pod.map(|(node, path)| descend(node, path.to_owned(), &steps));
    // A container that the template does not bring is one of the pod's own.
    let needed = if matches!(first, "initContainers" | "containers") { 2 } else { 1 };
    if let Some(found) = of_pod.filter(|found| found.depth >= needed) {
        return found;
    }
    let entries = spec.get("app").map(Node::items).into_iter().flatten().enumerate();
    let field = steps.get(2..).unwrap_or_default();
    let found = entries.map(|(at, entry)| descend(entry, format!("spec.app[{at}]"), field));
    let found = found.filter(|found| found.depth > 0).max_by_key(|found| found.depth);
    found.unwrap_or(Found { node: spec, path: "spec".to_owned(), depth: 0 })
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

/// Follows the steps as far as they lead.
fn descend<'n>(start: &'n Node, path: String, steps: &[&str]) -> Found<'n> {
    let mut found = Found { node: start, path, depth: 0 };
    for step in steps {
        let items = found.node.items();
        if let Some(child) = found.node.get(step) {
            (found.node, found.path) = (child, member(&found.path, step));
        } else if let Some(at) = items.iter().position(|item| is_called(item, step)).or_else(|| step.parse().ok())
            && let Some(item) = items.get(at)
        {
            (found.node, found.path) = (item, format!("{}[{at}]", found.path));
        } else {
            break;
        }
        found.depth += 1;
    }
    found
}

/// Whether an item of a list has this key.
fn is_called(item: &Node, key: &str) -> bool {
    let port = key.split('/').next();
    ["name", "mountPath", "devicePath"].iter().any(|field| item.get(field).and_then(Node::as_str) == Some(key))
        || item.get("containerPort").is_some_and(|number| Some(number.to_json().to_string().as_str()) == port)
}

#[cfg(test)]
mod tests {
    use crate::template::read;

    /// The warnings and the Pod Security level of a template with this spec.
    fn tried(spec: &str) -> (Vec<String>, String) {
        let head = "apiVersion: pillion.dev/v1alpha1\nkind: ClusterInjectionTemplate\nmetadata: {name: a}\nspec:\n";
        let text = spec.lines().fold(head.to_owned(), |text, line| format!("{text}  {line}\n"));
        let template = read(&text, "a.yaml").remove(0).unwrap_or_else(|refused| panic!("{:?}", refused.problems));
        let warnings = template.warnings().iter().map(ToString::to_string).collect();
        (warnings, template.pod_security().map(|level| level.to_string()).unwrap_or_default())
    }

    const GOOD: &str = r#"
pod:
  spec:
    initContainers:
      - name: a
        image: a:1
        restartPolicy: Always
        startupProbe: {tcpSocket: {port: 80}}
        resources: {requests: {cpu: 10m, memory: 16Mi}}
        securityContext:
          runAsNonRoot: true
          allowPrivilegeEscalation: false
          capabilities: {drop: [ALL]}
          seccompProfile: {type: RuntimeDefault}
"#;

    #[test]
    fn a_good_template_is_warned_of_nothing_and_passes_restricted() {
        assert_eq!(tried(GOOD), (Vec::new(), "restricted".into()));
    }

    #[test]
    fn what_should_be_better_is_said_with_its_place() {
        for (good, better, warning) in [
            (
                "{cpu: 10m, memory: 16Mi}",
                "{cpu: 10m}",
                "a.yaml:9:11: spec.pod.spec.initContainers[0] requests no memory, so autoscalers and the scheduler cannot \
                 reckon with it",
            ),
            (
                "a:1",
                "registry:5000/a",
                "a.yaml:10:18: spec.pod.spec.initContainers[0].image names no version, so what runs can change from pod to \
                 pod",
            ),
            (
                "startupProbe",
                "livenessProbe",
                "a.yaml:9:11: spec.pod.spec.initContainers[0] has neither startupProbe nor readinessProbe, so what starts \
                 after it does not wait until it is ready",
            ),
            (
                "{drop: [ALL]}",
                "{drop: [ALL], add: [NET_ADMIN]}",
                "a.yaml:17:46: spec.pod.spec.initContainers[0].securityContext.capabilities.add holds \"NET_ADMIN\", which the \
                 baseline Pod Security level does not allow",
            ),
        ] {
            assert_eq!(tried(&GOOD.replace(good, better)).0, [warning]);
        }
    }

    #[test]
    fn a_template_can_keep_a_pod_from_a_level() {
        assert_eq!(tried(&GOOD.replace("runAsNonRoot: true", "runAsUser: 0")).1, "baseline");
        assert_eq!(tried(&format!("{GOOD}    securityContext: {{runAsUser: 0}}")).1, "baseline");
        assert_eq!(tried(&format!("{GOOD}    hostPID: true")).1, "privileged");
        assert_eq!(tried("app: [{containers: [web], ports: [{containerPort: 80, hostPort: 80}]}]").1, "privileged");
    }

    #[test]
    fn what_is_wrong_only_with_some_optional_parameters_is_a_warning() {
        let spec = r#"
parameters:
  - {name: map, type: string, optional: true, example: m}
  - {name: secret, type: string, optional: true, example: s}
pod:
  spec:
    volumes:
      - name: conf
        configMap: "${{ params.map == null ? null : {'name': params.map} }}"
        secret: "${{ params.secret == null ? null : {'secretName': params.secret} }}"
"#;
        let warning = "a.yaml:12:11: spec.pod.spec.volumes[0] has configMap and secret, and only one of them may be there, \
                       for some values of the optional parameters";
        assert_eq!(tried(spec).0, [warning]);
    }
}
