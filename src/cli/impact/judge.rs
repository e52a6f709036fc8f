//! What the change of templates means for one pod.

use std::collections::BTreeSet;

use pillion_engine::decision::{Decision, Outcome, Reason, TemplateDecision};
use pillion_engine::names::STATUS;
use pillion_engine::template::TemplateName;
use serde_json::Value;

use super::difference::{Difference, Found, Step, compare};
use super::findings::{Class, Finding, Outcomes};
use super::sides::{Key, Sides};
use crate::cli::evaluate::Evaluation;

/// A pod, and its results with old and new templates.
pub(super) struct Compared<'a> {
    pub(super) namespace: &'a str,
    /// As it is in the manifest.
    pub(super) pod: &'a Value,
    pub(super) evaluations: [Evaluation; 2],
    /// The annotations of its namespace.
    pub(super) of_namespace: &'a Value,
}

/// What is found about a pod.
pub(super) struct Judged {
    /// The templates that it asks for, with the result for each.
    pub(super) templates: Vec<(Key, Class)>,
    /// What is found, with the template that it is about, and the pod's own container.
    pub(super) findings: Vec<(Option<Key>, Finding, Option<String>)>,
    pub(super) class: Class,
}

/// Compares the two results.
pub(super) fn judge(compared: &Compared<'_>, sides: &Sides) -> Judged {
    let decisions = compared.evaluations.each_ref().map(|evaluation| &evaluation.decision);
    let mut names: Vec<&TemplateName> = Vec::new();
    for TemplateDecision { name, .. } in decisions.iter().flat_map(|decision| &decision.templates) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    let mut judge = Judge { compared, sides, names, findings: Vec::new() };
    judge.results(decisions);
    if decisions.iter().all(|decision| decision.allowed()) {
        judge.differences();
    }
    judge.warnings(decisions);
    judge.finish(decisions)
}

struct Judge<'j> {
    compared: &'j Compared<'j>,
    sides: &'j Sides,
    /// The templates that the pod asks for.
    names: Vec<&'j TemplateName>,
    findings: Vec<(Option<Key>, Finding, Option<String>)>,
}

/// Whether the pod has what the template gives, from wherever.
fn is_there(outcomes: &Outcomes) -> bool {
    matches!(outcomes.reason, Reason::Injected | Reason::AlreadyInjected | Reason::NothingToAdd)
}

fn of_template(decision: &Decision, name: &TemplateName) -> Option<Outcomes> {
    let found = decision.templates.iter().find(|template| template.name == *name)?;
    let TemplateDecision { outcome, reason, message, .. } = found;
    Some(Outcomes { outcome: *outcome, reason: *reason, message: message.clone() })
}

impl Judge<'_> {
    fn key(&self, name: &TemplateName) -> Key {
        self.sides.key(name, self.compared.namespace)
    }

    fn find(&mut self, key: Option<Key>, finding: Finding) {
        self.findings.push((key, finding, None));
    }

    /// The one template whose change must be the cause of what differs, if it is one.
    fn cause(&self) -> Option<Key> {
        let mut changed = self.names.iter().filter(|name| self.sides.is_changed(name, self.compared.namespace));
        let first = changed.next().filter(|_| changed.next().is_none());
        first.or(self.names.first().filter(|_| self.names.len() == 1)).map(|name| self.key(name))
    }

    /// What each template came to, and the pod as a whole.
    fn results(&mut self, decisions: [&Decision; 2]) {
        let is_refused = decisions.map(|decision| !decision.allowed());
        let mut is_told = false;
        for name in self.names.clone() {
            let [before, now] = decisions.map(|decision| of_template(decision, name));
            if let Some(finding) = self.result(name, is_refused, before, now) {
                is_told |= is_refused != [false, false];
                self.find(Some(self.key(name)), finding);
            }
        }
        // The templates together can be too much for a pod, and a workload can have what its pods may not.
        let whole = |decision: &Decision| {
            let Decision { outcome, reason, message, .. } = decision;
            Outcomes { outcome: *outcome, reason: *reason, message: message.clone() }
        };
        let [before, now] = decisions.map(whole);
        let finding = match is_refused {
            [false, true] => Finding::NewlyRefused { now },
            [true, false] => Finding::NoLongerRefused { before },
            [true, true] if !before.is_same(&now) => Finding::RefusedOtherwise { before, now },
            _ => return,
        };
        if !is_told {
            self.find(self.cause(), finding);
        }
    }

    fn result(
        &self,
        name: &TemplateName,
        is_refused: [bool; 2],
        before: Option<Outcomes>,
        now: Option<Outcomes>,
    ) -> Option<Finding> {
        let denies = |outcomes: &Outcomes| outcomes.outcome == Outcome::Denied;
        match is_refused {
            [false, true] => now.filter(denies).map(|now| Finding::NewlyRefused { now }),
            [true, false] => before.filter(denies).map(|before| Finding::NoLongerRefused { before }),
            [true, true] => {
                let [before, now] = [before, now].map(|outcomes| outcomes.filter(denies));
                match (before, now) {
                    (Some(before), Some(now)) => {
                        (!before.is_same(&now)).then_some(Finding::RefusedOtherwise { before, now })
                    }
                    (None, now) => now.map(|now| Finding::RefusesToo { now }),
                    (Some(before), None) => Some(Finding::RefusesNoMore { before }),
                }
            }
            [false, false] => {
                let (before, now) = (before?, now?);
                match [&before, &now].map(is_there) {
                    [true, true] => self.is_kept(name, &before, &now).then_some(Finding::Kept),
                    [true, false] => Some(Finding::NewlySkipped { now }),
                    [false, true] => Some(Finding::NewlyInjected { before }),
                    [false, false] => (!before.is_same(&now)).then_some(Finding::SkippedOtherwise { before, now }),
                }
            }
        }
    }

    /// Whether the pod carries another version of the template than the new one, and keeps it.
    fn is_kept(&self, name: &TemplateName, before: &Outcomes, now: &Outcomes) -> bool {
        let [old, new] = self.sides.digests(name, self.compared.namespace);
        let carried = records(self.compared.pod).into_iter().find(|record| record["name"] == name.as_str());
        let carries_other = || carried.is_some_and(|record| record["digest"].as_str() != new);
        [before, now].iter().all(|it| it.reason == Reason::AlreadyInjected) && old != new && carries_other()
    }

    /// What differs between the pods, but for what a template brings that comes or goes as a whole.
    fn differences(&mut self) {
        let Compared { pod, evaluations, of_namespace, .. } = self.compared;
        let pods = evaluations.each_ref().map(|evaluation| evaluation.pod.as_ref().unwrap_or(pod));
        let [old, new] = evaluations.each_ref().map(|evaluation| &evaluation.decision.patch.json);
        if old == new {
            return;
        }
        let names: Vec<_> = self.names.iter().map(|name| name.as_str()).collect();
        let mask = self.sides.secrets.mask(&names, &[&pod["metadata"]["annotations"], of_namespace]);
        let owners = Owners::of(pods);
        let comes_or_goes: BTreeSet<Key> = self
            .findings
            .iter()
            .filter(|(_, finding, _)| matches!(finding, Finding::NewlySkipped { .. } | Finding::NewlyInjected { .. }))
            .filter_map(|(key, ..)| key.clone())
            .collect();
        let cause = self.cause();
        for Found { mut difference, container } in compare(pod, pods) {
            let owner = owners.find(&difference, container.as_deref()).and_then(|name| self.named(name));
            let key = owner.filter(|_| !difference.is_order).or_else(|| cause.clone());
            if key.as_ref().is_some_and(|key| comes_or_goes.contains(key)) {
                continue;
            }
            mask.hide(&mut difference);
            self.findings.push((key, Finding::Differs(difference), container));
        }
    }

    fn named(&self, name: &str) -> Option<Key> {
        self.names.iter().find(|known| known.as_str() == name).map(|name| self.key(name))
    }

    /// What there is to know now and was not before. Of a manifest that was injected, warnings are about what it carries.
    fn warnings(&mut self, [before, now]: [&Decision; 2]) {
        if !now.allowed() || !before.allowed() || !records(self.compared.pod).is_empty() {
            return;
        }
        let known: BTreeSet<_> = before.warnings.iter().map(|warning| &warning.text).collect();
        // That a template was skipped is told as such.
        let new = now.warnings.iter().filter(|it| it.skipped.is_none() && !known.contains(&it.text));
        let cause = self.cause();
        for warning in new {
            let named: Vec<_> =
                self.names.iter().filter(|name| warning.text.contains(&format!("\"{name}\""))).collect();
            let key = if let [name] = named[..] { Some(self.key(name)) } else { cause.clone() };
            self.find(key, Finding::Warned(warning.text.clone()));
        }
    }

    fn finish(self, decisions: [&Decision; 2]) -> Judged {
        let [was_refused, is_refused] = decisions.map(|decision| !decision.allowed());
        let class_of = |key: &Key| {
            let own = self.findings.iter().filter(|(of, ..)| of.as_ref() == Some(key));
            let denies = |decision: &Decision| {
                let mut denying = decision.templates.iter().filter(|it| it.outcome == Outcome::Denied);
                denying.any(|template| self.key(&template.name) == *key)
            };
            let otherwise = match (was_refused, is_refused) {
                (true, true) if denies(decisions[1]) => Class::StillRefused,
                (_, true) => Class::RefusedForOthers,
                _ => Class::Unchanged,
            };
            own.map(|(_, finding, _)| finding.class()).fold(otherwise, Class::min)
        };
        let mut templates: Vec<(Key, Class)> = Vec::new();
        for key in self.names.iter().map(|name| self.key(name)) {
            if templates.iter().all(|(known, _)| *known != key) {
                let class = class_of(&key);
                templates.push((key, class));
            }
        }
        let otherwise = if was_refused && is_refused { Class::StillRefused } else { Class::Unchanged };
        let class = self.findings.iter().map(|(_, finding, _)| finding.class()).fold(otherwise, Class::min);
        Judged { templates, findings: self.findings, class }
    }
}

/// What the status on a pod says of each template.
fn records(pod: &Value) -> Vec<Value> {
    let status = pod["metadata"]["annotations"][STATUS].as_str();
    let status: Option<Value> = status.and_then(|text| serde_json::from_str(text).ok());
    match status.map(|mut status| status["templates"].take()) {
        Some(Value::Array(records)) => records,
        _ => Vec::new(),
    }
}

/// Which template brought what, as the status on the results says.
struct Owners(Vec<(Vec<String>, String)>);

impl Owners {
    /// Of what both have, the new one tells.
    fn of([old, new]: [&Value; 2]) -> Owners {
        let mut owners = Vec::new();
        for record in records(new).iter().chain(&records(old)) {
            let Some(name) = record["name"].as_str() else { continue };
            let lists = ["added", "overridden", "replaced"].map(|list| record[list].as_array());
            for entry in lists.into_iter().flatten().flatten() {
                // Of what was replaced there is also what was there before.
                let Some(pointer) = entry.as_str().or(entry[0].as_str()) else { continue };
                // As in RFC 6901.
                let tokens = pointer.split('/').skip(1).map(|token| token.replace("~1", "/").replace("~0", "~"));
                owners.push((tokens.collect(), name.to_owned()));
            }
        }
        Owners(owners)
    }

    /// The template that brought what differs.
    fn find(&self, difference: &Difference, container: Option<&str>) -> Option<&str> {
        let tokens: Vec<&str> = difference
            .steps
            .iter()
            .filter_map(|step| match step {
                Step::Field(name) => Some(name.as_str()),
                Step::Item(key) => Some(key.as_str()).filter(|key| !key.is_empty()),
                Step::OwnContainer => container,
            })
            .collect();
        let common = |owned: &[String]| owned.iter().zip(&tokens).take_while(|(one, other)| one == other).count();
        let is_of = |(owned, _): &&(Vec<String>, String)| common(owned) == owned.len().min(tokens.len());
        self.0.iter().find(is_of).map(|(_, name)| name.as_str())
    }
}
