//! Merges what one template adds into the draft. Each rule is a row of the table in `docs/merge.md`; where pod and
//! template disagree and no row decides, that is a conflict.

mod containers;
mod contains;

use std::borrow::Cow;
use std::collections::HashMap;
use std::mem;

use serde_json::Value;

use self::contains::contains;
use super::outcome::{Few, Refusal, TemplateOutcome};
use super::render::Rendered;
use super::room::{MAX_ADDED, Room};
use super::status::{MAX_ANNOTATIONS, MAX_ENTRIES, Record, STATUS, Status, place_of};
use crate::decision::Reason;
use crate::draft::{Entry, Node, is_empty, pointer};
use crate::fragment::View;
use crate::rules::across::DEFAULT_GRACE_PERIOD;
use crate::schema::{Object, Schema, Type};
use crate::text::shown;

/// Objects that are merged field by field; every other object is one value.
const MERGED: &[&str] =
    &["PodSecurityContext", "SELinuxOptions", "WindowsSecurityContextOptions", "ResourceRequirements", "Lifecycle"];

/// Values that the API server fills in: a pod that has one of these has said nothing.
/// Source: kubernetes pkg/apis/core/v1/defaults.go.
const DEFAULTS: &[(&str, &str)] =
    &[("dnsPolicy", "ClusterFirst"), ("restartPolicy", "Always"), ("schedulerName", "default-scheduler")];

/// Merges one template into a draft.
struct Merge<'s> {
    rendered: &'s Rendered<'s>,
    /// What was recorded before: what this template brought then is no conflict now.
    earlier: &'s Status,
    /// The outcomes of the templates before this one.
    before: &'s [TemplateOutcome],
    record: &'s mut Record,
    room: &'s mut Room,
    /// Whether the values of the entry of `app` at hand replace the pod's.
    overrides: bool,
    path: Vec<String>,
    conflicts: Few,
    /// Where an existing value wins over another one of the template.
    existing: Few,
}

/// Merges what a template adds. The result names the places where the existing value wins. What was added is in the
/// record, and taken from the room. After a failure the draft cannot be used.
///
/// # Errors
///
/// When something conflicts, or when there is not enough room.
pub(super) fn merge<'a>(
    draft: &mut Node<'a>,
    rendered: &'a Rendered<'_>,
    earlier: &Status,
    before: &[TemplateOutcome],
    record: &mut Record,
    room: &mut Room,
) -> Result<Few, Refusal> {
    let mut merge = Merge {
        rendered,
        earlier,
        before,
        record,
        room,
        overrides: false,
        path: Vec::new(),
        conflicts: Few::default(),
        existing: Few::default(),
    };
    if let Some(view) = rendered.view(&rendered.pod.metadata) {
        merge.at(["metadata"], |merge| {
            if let Some(entry) = draft.member_or("metadata", Node::Object(Vec::new())) {
                merge.object(&mut entry.node, view, Schema::get().metadata);
            }
        });
    }
    if let Some(spec) = draft.member("spec") {
        merge.at(["spec"], |merge| {
            if let Some(view) = rendered.view(&rendered.pod.spec) {
                merge.spec(&mut spec.node, view);
            }
            for list in ["initContainers", "containers"] {
                merge.app(&mut spec.node, list, rendered);
            }
        });
    }
    if merge.room.is_exceeded {
        Err(Refusal::new(Reason::TooLarge, merge.too_large()))
    } else if !merge.conflicts.is_empty() {
        Err(Refusal::new(Reason::Conflict, merge.conflicts.join("; ")))
    } else {
        Ok(merge.existing)
    }
}

impl<'a> Merge<'_> {
    /// Goes on below the place at hand.
    fn at<T, const STEPS: usize>(&mut self, steps: [&str; STEPS], run: impl FnOnce(&mut Self) -> T) -> T {
        let length = self.path.len();
        self.path.extend(steps.map(str::to_owned));
        let result = run(self);
        self.path.truncate(length);
        result
    }

    fn here(&self) -> String {
        pointer(self.path.iter().map(String::as_str))
    }

    fn name(&self) -> &str {
        self.rendered.template.name.as_str()
    }

    /// Whether this template added what is at a pointer in an earlier call.
    fn is_ours(&self, pointer: &str) -> bool {
        self.earlier.added_by(pointer) == Some(self.name())
    }

    /// Who has what is here: another template or the pod itself.
    fn owner(&self) -> Option<&str> {
        let here = self.here();
        let mut records = self.before.iter().filter_map(TemplateOutcome::record);
        let now = records.find(|record| record.added.contains(&here)).map(|record| record.name.as_str());
        now.or_else(|| self.earlier.added_by(&here))
    }

    fn too_large(&self) -> String {
        format!(
            "template \"{}\" adds too much to this pod: all templates together may add {MAX_ENTRIES} labels, containers, \
             variables, mounts and so on, and {MAX_ADDED} bytes, and what is noted of that in {STATUS} must fit into \
             {MAX_ANNOTATIONS} bytes of annotations; let its app entries name fewer containers, give its \
             parameters shorter values, or ask for fewer templates in pillion.dev/templates",
            self.name()
        )
    }

    fn added(&mut self, view: View<'a>) {
        let here = self.here();
        // What an earlier call added, and something took out since, is recorded once.
        if self.room.take_entry(&here, view.size(), self.is_ours(&here)) {
            self.record.added.push(here);
        }
    }

    /// Replaces one of the pod's own fields, and records what it was.
    fn replace_field(&mut self, existing: &mut Entry<'a>, view: View<'a>) {
        let here = self.here();
        if self.room.take_entry(&here, view.size(), false) {
            self.record.replaced.push((here, existing.node.to_value()));
            existing.replace(Node::View(view));
        }
    }

    /// Both the pod and the template have a value here: the existing one wins, unless the template overrides it. `keys` are
    /// those of a list's item.
    fn resolve(&mut self, existing: &mut Entry<'a>, view: View<'a>, kind: &'static Type, keys: &[String]) {
        if !self.overrides {
            return self.keep_existing(&existing.node, view, kind, keys);
        }
        let here = self.here();
        if self.room.take_entry(&here, view.size(), false) {
            // Recorded though it may be equal: once the API server has filled in defaults, it is not any more.
            self.record.overridden.push(here);
            if existing.node.to_value() != view.to_value() {
                existing.replace(Node::View(view));
            }
        }
    }

    /// Says where the existing value wins over another one. A probe, a port or a resource is given to whoever lacks it, so
    /// the pod's own is what everybody expects.
    fn keep_existing(&mut self, existing: &Node<'a>, view: View<'a>, kind: &'static Type, keys: &[String]) {
        const FOR_WHO_LACKS_IT: &[&str] = &["startupProbe", "livenessProbe", "readinessProbe", "ports", "resources"];
        let is_expected = match self.owner() {
            Some(owner) => owner == self.name(),
            None => self.path.iter().any(|step| FOR_WHO_LACKS_IT.contains(&step.as_str())),
        };
        // Comparing takes as long as adding.
        if is_expected || !self.room.take_value(view.size()) {
            return;
        }
        let (existing, mut wanted) = (existing.to_value(), view.to_value());
        // Keys can be the same and be written otherwise: `/data` and `/data/`.
        keys.iter().for_each(|key| wanted[key] = existing[key].clone());
        if !contains(&existing, &wanted, kind) {
            self.existing.push(|| place_of(self.path.iter().map(String::as_str)));
        }
    }

    /// The two sides of a conflict, and what a pod's author can do beside `fix`.
    fn conflict(&mut self, what: &str, difference: &str, fix: &str) {
        let mut conflicts = mem::take(&mut self.conflicts);
        conflicts.push(|| {
            let template = self.name();
            let other = match self.owner() {
                // The status names the template, but the pod's author wrote it.
                Some(other) if other == template => "from the pod itself".to_owned(),
                Some(other) => format!("from template \"{}\"", shown(other)),
                None if self.record.added.contains(&self.here()) => "once more from it".to_owned(),
                None => "from the pod itself".to_owned(),
            };
            let way_out = if self.rendered.required {
                "; the namespace requires the template"
            } else {
                ", or drop the template from pillion.dev/templates"
            };
            format!("{what} comes from template \"{template}\" and {other}{difference}; {fix}{way_out}")
        });
        self.conflicts = conflicts;
    }

    /// The pod has something here that no API server would take, and nothing can be added to it.
    fn malformed(&mut self) {
        self.conflicts.push(|| {
            let place = place_of(self.path.iter().map(String::as_str));
            let template = &self.rendered.template.name;
            format!(
                "{place} of the pod is not what Kubernetes has there, and template \"{template}\" adds to it; correct \
                 the pod"
            )
        });
    }

    fn spec(&mut self, spec: &mut Node<'a>, view: View<'a>) {
        self.containers_and_volumes(spec, view);
        for (field, part) in view.members() {
            match field {
                "initContainers" | "containers" | "volumes" => {}
                "terminationGracePeriodSeconds" => self.grace_period(spec, part),
                field => self.field(spec, Schema::get().spec, field, part),
            }
        }
    }

    fn grace_period(&mut self, spec: &mut Node<'a>, view: View<'a>) {
        const FIELD: &str = "terminationGracePeriodSeconds";
        self.at([FIELD], |merge| {
            let wanted = view.value().and_then(Value::as_i64).unwrap_or_default();
            match spec.member(FIELD) {
                Some(entry) if entry.node.to_value().as_i64().unwrap_or(DEFAULT_GRACE_PERIOD) < wanted => {
                    merge.replace_field(entry, view);
                }
                // Omitted, it becomes 30: a smaller one would shorten it.
                None if wanted > DEFAULT_GRACE_PERIOD => {
                    spec.add(FIELD, Node::View(view));
                    merge.added(view);
                }
                _ => {}
            }
        });
    }

    /// Adds to the containers of one list what is meant for them.
    fn app(&mut self, spec: &mut Node<'a>, list: &str, rendered: &'a Rendered<'_>) {
        for part in rendered.app.iter().filter(|part| part.container.list == list) {
            let name = &*part.container.name;
            let items = spec.member(list).and_then(|entry| entry.node.items());
            let Some(entry) = items.into_iter().flatten().find(|entry| entry.is_named(name)) else { continue };
            self.overrides = part.overrides;
            self.at([list, name], |merge| merge.object(&mut entry.node, part.view(), Schema::get().container));
        }
    }

    fn object(&mut self, target: &mut Node<'a>, view: View<'a>, object: &'static Object) {
        for (field, part) in view.members() {
            if self.room.is_exceeded {
                return;
            }
            self.field(target, object, field, part);
        }
    }

    fn field(&mut self, target: &mut Node<'a>, object: &'static Object, field: &'a str, view: View<'a>) {
        if is_omitted(field, view) {
            return;
        }
        let kind = object.field(field);
        let merges = match kind {
            Type::Object(object) => MERGED.contains(&object.name.as_str()),
            Type::Map(_) => true,
            // A list inside of a single value, such as a probe's command, is one value itself.
            Type::List { .. } => matches!(object.name.as_str(), "PodSpec" | "Container" | "PodSecurityContext"),
            Type::Scalar(_) => false,
        };
        self.at([field], |merge| match target.member(field) {
            None => merge.new_field(target, field, kind, merges, view),
            Some(existing) if merges => merge.into(&mut existing.node, kind, view),
            Some(existing) if object.name == "PodSpec" && is_default(field, &existing.node) => {
                if existing.node.to_value() != view.to_value() {
                    merge.replace_field(existing, view);
                }
            }
            Some(existing) => merge.resolve(existing, view, kind, &[]),
        });
    }

    /// Adds a field that an object lacks.
    fn new_field(&mut self, target: &mut Node<'a>, field: &'a str, kind: &'static Type, merges: bool, view: View<'a>) {
        let Some(members) = target.members() else { return self.malformed() };
        let mut node = match kind {
            Type::Map(_) => Node::Object(Vec::new()),
            Type::List { .. } if merges => Node::List(Vec::new()),
            _ => Node::View(view),
        };
        match node {
            Node::View(_) => self.added(view),
            _ => self.into(&mut node, kind, view),
        }
        // An API server would omit what is empty, and the next call would add it again.
        if !node.is_empty() {
            members.push((field.into(), Entry::added(node)));
        }
    }

    fn into(&mut self, target: &mut Node<'a>, kind: &'static Type, view: View<'a>) {
        match kind {
            Type::Object(object) => self.object(target, view, object),
            Type::Map(value) => self.map(target, value, view),
            Type::List { item, keys } => self.list(target, item, keys, view),
            Type::Scalar(_) => unreachable!("a scalar is not merged into"),
        }
    }

    fn map(&mut self, target: &mut Node<'a>, kind: &'static Type, view: View<'a>) {
        if target.members().is_none() {
            return self.malformed();
        }
        for (key, part) in view.members() {
            self.at([key], |merge| match target.member(key) {
                Some(existing) => merge.resolve(existing, part, kind, &[]),
                None => {
                    target.add(key, Node::View(part));
                    merge.added(part);
                }
            });
        }
    }

    fn list(&mut self, target: &mut Node<'a>, kind: &'static Type, keys: &'static [String], view: View<'a>) {
        let Some(items) = target.items() else { return self.malformed() };
        // Of two variables of one name Kubernetes takes the last.
        let mut known: HashMap<String, usize> =
            items.iter().enumerate().map(|(at, entry)| (entry.node.key(keys), at)).collect();
        for view in view.items() {
            if self.room.is_exceeded {
                return;
            }
            let node = Node::View(view);
            let key = node.key(keys);
            self.at([&*key], |merge| match known.get(&key) {
                None => {
                    merge.added(view);
                    items.push(Entry::added(node));
                }
                Some(&at) => {
                    let existing = &mut items[at];
                    if !merge.is_mount_of_another(&existing.node, &node, &key) {
                        merge.resolve(existing, view, kind, keys);
                    }
                }
            });
            known.entry(key).or_insert(items.len() - 1);
        }
    }

    /// Whether another volume is mounted at this path. That is a conflict.
    fn is_mount_of_another(&mut self, existing: &Node<'a>, wanted: &Node<'a>, path: &str) -> bool {
        let [.., container, list, _] = self.path.as_slice() else { return false };
        if !matches!(list.as_str(), "volumeMounts" | "volumeDevices") {
            return false;
        }
        let (existing, wanted) = (existing.text_of("name"), wanted.text_of("name"));
        if existing == wanted {
            return false;
        }
        let what = format!("the mount at {} in container {}", shown(path), shown(container));
        let volume = |name: Option<Cow<'_, str>>| shown(&name.unwrap_or_default());
        let difference = format!(", of the volumes {} and {}", volume(wanted), volume(existing));
        self.conflict(&what, &difference, "mount one elsewhere");
        true
    }
}

/// Whether the API server omits a field, because it says no more than nothing: the next call would add it once more.
fn is_omitted(field: &str, view: View<'_>) -> bool {
    match view.value() {
        Some(Value::String(text)) => text.is_empty(),
        Some(Value::Bool(false)) => matches!(field, "hostPID" | "hostIPC" | "hostNetwork"),
        Some(_) => false,
        None if view.is_list() => view.items().next().is_none(),
        // Of these an empty one means nothing; an emptyDir does.
        None => {
            matches!(field, "lifecycle" | "resources") && view.members().all(|(_, part)| is_empty(&part.to_value()))
        }
    }
}

fn is_default(field: &str, node: &Node<'_>) -> bool {
    let text = node.string();
    DEFAULTS.iter().any(|(name, default)| *name == field && text.as_deref() == Some(default))
        || field == "enableServiceLinks" && node.to_value() == true
}
