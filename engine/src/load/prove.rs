//! The rules, over a template as it was written and over what its parameters make of it.

use std::collections::{BTreeSet, HashMap};

use super::fill::{Source, sample_sets, single_sets};
use super::{advise, levels};
use crate::expression::Expression;
use crate::json::fragment::Numbers;
use crate::json::view::as_key;
use crate::json::{Fragment, Tape, View};
use crate::rules::Violation;
use crate::rules::across;
use crate::rules::parts::Parts;
use crate::rules::report::{Place, Report};
use crate::rules::table::OF_TEMPLATES;
use crate::rules::walk::Walk;
use crate::schema::Schema;
use crate::template::diagnostics::Diagnostics;
use crate::template::parse::Parsed;
use crate::template::{Parameters, Template, WithoutPod};
use crate::yaml::Node;

/// Proves as much of a template as can be proven without a pod. What is wrong with it goes to the diagnostics.
pub(super) fn prove(diagnostics: &Diagnostics<'_>, parsed: Parsed) -> Template {
    let Parsed { mut template, spec, app } = parsed;
    let part = |name: &str| spec.get(name).cloned().unwrap_or_default();
    let source = Source { pod: part("pod"), shares: part("shares"), app: app.into_iter().enumerate().collect() };
    let mut report = Report::default();
    judge_own_names(&mut report, &spec);
    add(diagnostics, judge(report, &source));
    if !diagnostics.is_clean() {
        return template;
    }
    let mut filled = Vec::new();
    for set in sample_sets(&template) {
        filled.push((source.filled(diagnostics, &template, &set), set));
    }
    if !diagnostics.is_clean() {
        return template;
    }
    for set in single_sets(&template) {
        // What a made-up value does not fit says nothing of a template.
        let unfit = Diagnostics::new(diagnostics.file);
        let source = source.filled(&unfit, &template, &set);
        filled.extend(unfit.is_clean().then_some((source, set)));
    }
    let judge_filled = |(filled, set): &(Source, Parameters<'_>)| -> BTreeSet<Violation> {
        let mut report = Report::default();
        judge_conditions(&mut report, &template, &spec, set);
        judge_app(&mut report, &template, &filled.app);
        judge(report, filled).into_iter().collect()
    };
    let found: Vec<_> = filled.iter().map(judge_filled).collect();
    // What is wrong with some values of optional parameters alone may be right for every pod.
    let (always, sometimes): (BTreeSet<_>, BTreeSet<_>) =
        found.iter().flatten().partition(|violation| found.iter().all(|it| it.contains(*violation)));
    add(diagnostics, always.into_iter().cloned());
    let mut judged: Vec<_> = filled.iter().map(|(filled, _)| levels::judge(filled, &template.os)).collect();
    let advice = filled.first().map(|(filled, _)| advise::advise(filled, &judged[0])).unwrap_or_default();
    // A condition that holds for none of these leaves the template as it was written.
    if judged.is_empty() {
        judged.push(levels::judge(&source, &template.os));
    }
    let defaults = template.default_parameters();
    let of_defaults = filled.iter().position(|(_, set)| Some(set) == defaults.as_ref());
    let are_right = of_defaults.is_some_and(|at| found[at].is_empty());
    drop((filled, defaults));
    template.pod.uses_presets = are_right;
    for entry in &mut template.app {
        let preset = entry.container.preset(Numbers::default()).map(|preset| preset.given.as_ref());
        let given = if entry.container.is_fixed { Some(Some(&entry.container)) } else { preset };
        entry.uses_presets = given.is_some_and(|given| given.is_none_or(is_right_for_a_container));
    }
    let sometimes = sometimes.into_iter().cloned().map(|violation| Violation {
        message: format!("{}, for some values of the optional parameters", violation.message),
        ..violation
    });
    let warnings = advice.into_iter().chain(sometimes).chain(advise::advise_keys(&template, &spec));
    template.pod_security = levels::of_all(diagnostics, judged);
    template.warnings = warnings.map(|it| diagnostics.diagnostic(it.position, it.place, it.message)).collect();
    template
}

fn add(diagnostics: &Diagnostics<'_>, violations: impl IntoIterator<Item = Violation>) {
    for Violation { position, place, message, .. } in violations {
        diagnostics.add(position, place, message);
    }
}

/// Everything that is wrong with a template by itself.
fn judge(mut report: Report, source: &Source) -> Vec<Violation> {
    let (pod, root) = (View::written(&source.pod), Place::root("spec.pod"));
    let parts = Parts::of(pod, View::written(&source.shares), None);
    let mut walk = Walk::new(&OF_TEMPLATES, &mut report);
    walk.partial_pod(pod, &root);
    walk.value(View::written(&source.shares), crate::template::parse::names_type(), &Place::root("spec.shares"));
    for (at, entry) in &source.app {
        walk.fields(View::written(entry), Schema::get().container, &Place::root("spec.app").index(*at));
    }
    across::judge(&mut report, &parts, &root);
    for (at, entry) in &source.app {
        across::judge_mounts(&mut report, View::written(entry), &Place::root("spec.app").index(*at), &parts);
    }
    report.into_violations()
}

/// Whether what an entry of `app` gives is right by itself, whatever its condition is.
fn is_right_for_a_container(fragment: &Fragment) -> bool {
    let json = fragment.to_json();
    let Some(tape) = Tape::scan(&json) else { return false };
    let mut report = Report::default();
    Walk::new(&OF_TEMPLATES, &mut report).fields(View::whole(tape.root()), Schema::get().container, &Place::root(""));
    report.into_violations().is_empty()
}

/// Conditions must give true or false.
fn judge_conditions(report: &mut Report, template: &Template, spec: &Node, set: &Parameters<'_>) {
    let variables = WithoutPod::new(set);
    let app = spec.get("app").map(Node::items).unwrap_or_default();
    let of_app = template.app.iter().zip(app).enumerate();
    let of_app = of_app.map(|(at, (entry, node))| (Some(at), entry.when.as_ref(), node.get("when")));
    for (at, when, node) in of_app.chain([(None, template.when.as_ref(), spec.get("when"))]) {
        let (Some(when), Some(node)) = (when, node) else { continue };
        let Some(message) = why_no_condition(when, template, &variables) else { continue };
        let (root, app) = (Place::root("spec"), Place::root("spec.app"));
        let entry = at.map(|at| app.index(at));
        report.add(&entry.unwrap_or(root).member("when"), View::written(node), message);
    }
}

fn why_no_condition(when: &Expression, template: &Template, variables: &WithoutPod<'_>) -> Option<String> {
    if !when.kind.can_be_boolean() {
        return Some(format!("must give true or false, not {}", when.kind.with_article()));
    }
    let is_unknown = template.parameters.iter().any(|it| !it.has_sample() && when.reads_parameter(&it.name));
    if !when.reads_only_parameters() || is_unknown {
        return None;
    }
    when.holds(variables).err().map(|failure| format!("fails with defaults and examples: {failure}"))
}

/// What the template's own containers get stands in them.
fn judge_own_names(report: &mut Report, spec: &Node) {
    let pod_spec = spec.get("pod").and_then(|pod| pod.get("spec"));
    let containers = ["initContainers", "containers"].into_iter().filter_map(|list| pod_spec?.get(list));
    let own: BTreeSet<_> = containers.flat_map(Node::items).filter_map(|it| it.get("name")?.as_str()).collect();
    for (at, entry) in spec.get("app").map(Node::items).unwrap_or_default().iter().enumerate() {
        let names = ["containers", "initContainers"].into_iter().filter_map(|list| entry.get(list));
        for name in names.flat_map(Node::items).filter(|name| name.as_str().is_some_and(|it| own.contains(it))) {
            let message = "names a container that the template brings itself: write it into that container";
            report.add(&Place::root("spec.app").index(at), View::written(name), message);
        }
    }
}

/// Entries of `app` must not give one container two mounts at one path, or two ports of one name.
fn judge_app(report: &mut Report, template: &Template, app: &[(usize, Node)]) {
    const KEYS: [(&str, &str, &str); 3] = [
        ("volumeMounts", "mountPath", "name"),
        ("volumeDevices", "devicePath", "name"),
        ("ports", "name", "containerPort"),
    ];
    for (list, name) in template.sample_containers() {
        let mut taken = HashMap::new();
        for (at, entry) in app.iter().filter(|(at, _)| template.app[*at].names(list, &name)) {
            for (list, key, other) in KEYS {
                for (index, item) in View::written(entry).list(list).enumerate() {
                    let value = as_key(key, &item.text(key)).to_owned();
                    let Some(what) = item.get(other).filter(|it| !value.is_empty() && !it.is_unknown()) else {
                        continue;
                    };
                    let (known, first) = taken.entry((list, value)).or_insert((what, *at));
                    if known.as_text() != what.as_text() {
                        let value = item.get(key).map(View::shown).unwrap_or_default();
                        let message = if list == "ports" {
                            format!("names port {what} {value}, and spec.app[{first}] names port {known} so")
                        } else {
                            format!("mounts {what} at {value}, and spec.app[{first}] mounts {known} there")
                        };
                        let (root, entry) = (Place::root("spec.app"), *at);
                        report.add(&root.index(entry).member(list).index(index), item, message);
                    }
                }
            }
        }
    }
}
