//! Merges what one template gives into the pod. Each rule is a row of the table in `docs/merge.md`; where pod and
//! template disagree and no row decides, that is a conflict.

mod containers;
mod eviction;
mod lists;
mod table;

use std::borrow::Cow;
use std::collections::HashSet;

pub use self::table::MERGE_RULES;
use self::table::rule_at;
use super::contains::{contains, equals, lacking};
use super::context::Context;
use super::outcome::Refusal;
use super::path::{Path, place_of};
use super::render::Rendered;
use super::room::{MAX_ADDED, Room};
use super::status::{MAX_ANNOTATIONS, MAX_ENTRIES, Record, tokens};
use crate::decision::{Change, Effect, PlaceDecision, Reason};
use crate::json::node::Json;
use crate::json::{By, Fragment, Kind, Node, View};
use crate::names::STATUS;
use crate::rules::across::{DEFAULT_GRACE_PERIOD, DEFAULTS};
use crate::schema::{ANY, Object, Schema, Type};
use crate::text::{Few, shown};

/// Objects that are merged field by field; every other object is one value.
const MERGED: &[&str] =
    &["PodSecurityContext", "SELinuxOptions", "WindowsSecurityContextOptions", "ResourceRequirements", "Lifecycle"];

/// Merges one template into a pod.
struct Merge<'m, 'a> {
    rendered: &'a Rendered<'a>,
    by: By,
    context: &'m Context<'a>,
    record: &'m mut Record<'a>,
    room: &'m mut Room,
    /// Whether the values of the entry of `app` at hand replace the pod's.
    overrides: bool,
    /// What an earlier call recorded of that.
    overridden: HashSet<&'a str>,
    conflicts: Few,
    /// What of the pod they are about.
    changes: Vec<Change>,
    /// Where an existing value wins over another one of the template.
    existing: Few,
    /// Whether the pod has all of the template's containers; or its volumes, if it brings no containers.
    is_there: bool,
    warnings: Vec<String>,
    volumes: Vec<String>,
    /// Where a copy of an injected pod has what the template brings.
    copied: Vec<String>,
    /// The result at each place, if it is asked for.
    places: Option<Vec<PlaceDecision>>,
}

/// What came of a merge.
pub(super) struct Merged {
    /// The names of the volumes that the template gives.
    pub(super) volumes: Vec<String>,
    /// Where an existing value wins.
    pub(super) existing: Few,
    /// Whether the pod has all of the template's containers; or its volumes, if it brings no containers.
    pub(super) is_there: bool,
    pub(super) warnings: Vec<String>,
    /// Where a copy of an injected pod has what the template brings: recorded with what is added to it.
    pub(super) copied: Vec<String>,
    pub(super) places: Vec<PlaceDecision>,
}

/// The results at the places of a template that an earlier call injected.
pub(super) fn places_of(record: &Record<'_>) -> Vec<PlaceDecision> {
    let replaced = record.overridden.iter().chain(record.replaced.iter().map(|(pointer, _)| pointer));
    let all = record.added.iter().map(|it| (it, Effect::AlreadyThere)).chain(replaced.map(|it| (it, Effect::Replaced)));
    let places = all.map(|(pointer, effect)| {
        let tokens = tokens(pointer);
        let tokens: Vec<_> = tokens.iter().map(String::as_str).collect();
        PlaceDecision { place: place_of(&tokens), effect, rule: rule_at(&tokens) }
    });
    places.collect()
}

/// Merges what a template gives. What was added is in the record, and taken from the room; after a failure it is still in
/// the pod.
///
/// # Errors
///
/// When something conflicts, or when there is not enough room.
pub(super) fn merge<'a>(
    pod: &mut Node<'a>,
    rendered: &'a Rendered<'a>,
    by: By,
    context: &Context<'a>,
    record: &mut Record<'a>,
    room: &mut Room,
) -> Result<Merged, Refusal> {
    let overridden = context.status.record(rendered.template.name.as_str());
    let mut merge = Merge {
        rendered,
        by,
        context,
        record,
        room,
        overrides: false,
        overridden: overridden.into_iter().flat_map(|record| &record.overridden).map(String::as_str).collect(),
        conflicts: Few::default(),
        changes: Vec::new(),
        existing: Few::default(),
        is_there: false,
        warnings: Vec::new(),
        volumes: Vec::new(),
        copied: Vec::new(),
        places: context.explains.then(Vec::new),
    };
    if let Some(given) = rendered.metadata(by)
        && let Some(metadata) = pod.member_or("metadata", || Json::Object(Vec::new()), by)
    {
        merge.object(metadata, given, Schema::get().metadata, &Path::root("metadata"));
    }
    if let Some(spec) = pod.member("spec") {
        merge.spec(spec, &Path::root("spec"));
    }
    merge.safe_to_evict(pod);
    if merge.room.is_exceeded {
        Err(Refusal::new(Reason::TooLarge, merge.too_large()))
    } else if !merge.conflicts.is_empty() {
        Err(Refusal::new(Reason::Conflict, merge.conflicts.join("; ")).mended_by(merge.changes))
    } else {
        let Merge { volumes, existing, is_there, warnings, copied, places, .. } = merge;
        Ok(Merged { volumes, existing, is_there, warnings, copied, places: places.unwrap_or_default() })
    }
}

impl<'a> Merge<'_, 'a> {
    fn name(&self) -> &'a str {
        self.rendered.template.name.as_str()
    }

    /// Whether this template brought something in an earlier call.
    fn is_ours(&self, by: By) -> bool {
        matches!(by, By::Earlier(_) | By::Copy(_)) && self.context.name(by) == Some(self.name())
    }

    /// Notes that the template brought what is there already.
    fn note_there(&mut self, by: By, path: &Path<'_>) {
        if matches!(by, By::Copy(_)) {
            let here = path.pointer();
            if self.room.take_entry(&here, 0, false) {
                self.copied.push(here);
            }
        }
        self.note(path, || Effect::AlreadyThere);
    }

    /// The template that brought something, unless it is the one at hand.
    fn owner(&self, by: By) -> Option<&'a str> {
        if by == self.by { None } else { self.context.name(by) }
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

    /// Notes the result at a place, if that is asked for.
    fn note(&mut self, path: &Path<'_>, effect: impl FnOnce() -> Effect) {
        if let Some(places) = &mut self.places {
            places.push(PlaceDecision { place: path.place(), effect: effect(), rule: rule_at(&path.tokens()) });
        }
    }

    /// Records an addition.
    fn add(&mut self, given: Node<'a>, path: &Path<'_>) -> Node<'a> {
        let here = path.pointer();
        // What an earlier call added, and something took out since, is recorded once.
        if self.room.take_entry(&here, given.size(), self.context.is_missing(self.name(), &here)) {
            self.record.added.push(here);
        }
        self.note(path, || Effect::Added);
        given.added()
    }

    /// Replaces a single value of the pod, and records what it was.
    fn replace_field(&mut self, existing: &mut Node<'a>, given: Node<'a>, path: &Path<'_>) {
        let here = path.pointer();
        if self.room.take_entry(&here, given.size(), false) && self.room.take_note(existing.size()) {
            let before = existing.view().to_value();
            self.record.replaced.push((here, Fragment::filled(before, false)));
            existing.replace(given);
            self.note(path, || Effect::Replaced);
        }
    }

    /// Both the pod and the template have a value here: the existing one wins, unless the template overrides it. `keys` are
    /// those of a list's item.
    fn resolve(&mut self, existing: &mut Node<'a>, given: Node<'a>, kind: &Type, keys: &[String], path: &Path<'_>) {
        // What is required is not for others to replace.
        if self.overrides && (self.rendered.required || !self.context.is_of_required(existing.by)) {
            let here = path.pointer();
            let is_recorded = self.overridden.contains(&*here) || self.is_ours(existing.by);
            if self.room.take_entry(&here, given.size(), is_recorded) {
                let is_there = equals(existing.view(), given.view(), kind);
                if !is_recorded {
                    self.record.overridden.push(here);
                }
                self.note(path, || if is_there { Effect::AlreadyThere } else { Effect::Replaced });
                if !is_there {
                    existing.replace(given);
                }
            }
        } else {
            self.keep_existing(existing, given, kind, keys, path);
        }
    }

    /// Says where the existing value wins over another one. A probe, a port or a resource is given to whoever lacks it, so
    /// the pod's own is what everybody expects.
    fn keep_existing(&mut self, existing: &Node<'a>, given: Node<'a>, kind: &Type, keys: &[String], path: &Path<'_>) {
        const FOR_WHO_LACKS_IT: &[&str] = &["startupProbe", "livenessProbe", "readinessProbe", "ports", "resources"];
        let owner = self.owner(existing.by);
        let is_expected = match owner {
            Some(owner) => owner == self.name(),
            None => path.steps_back().any(|step| FOR_WHO_LACKS_IT.contains(&step)),
        };
        // Comparing takes as long as adding.
        if is_expected && self.places.is_none() || !self.room.take_value(given.size()) {
            return;
        }
        let is_there = match kind {
            // Keys can be the same and be written otherwise: `/data` and `/data/`.
            Type::Object(object) if !keys.is_empty() => {
                lacking(existing.view(), given.view(), object).all(|field| keys.iter().any(|key| *key == field))
            }
            _ => contains(existing.view(), given.view(), kind),
        };
        if !is_there && !is_expected {
            self.existing.push(|| path.place());
        }
        self.note_kept(path, owner, is_there);
    }

    /// Notes that the existing value was kept: the same as the template's, or another one.
    fn note_kept(&mut self, path: &Path<'_>, owner: Option<&str>, is_there: bool) {
        self.note(path, || match is_there {
            true => Effect::AlreadyThere,
            false => Effect::NotApplied { of: owner.map(str::to_owned) },
        });
    }

    /// The two sides of a conflict with what somebody brought, and what a pod's author can do beside `fix`.
    fn conflict(&mut self, with: By, path: Option<&Path<'_>>, what: &str, difference: &str, fix: &str) {
        let template = self.name();
        let other = match self.context.name(with) {
            // The status names the template, but the pod's author wrote it.
            Some(_) if with == self.by => "once more from it".to_owned(),
            Some(other) if other != template => format!("from template \"{}\"", shown(other)),
            _ => "from the pod itself".to_owned(),
        };
        let is_of_pod = self.context.name(with).is_none();
        let way_out = if self.rendered.required {
            "; the namespace requires the template"
        } else {
            ", or drop the template from pillion.dev/templates"
        };
        self.conflicts.push(|| {
            self.changes.extend(path.filter(|_| is_of_pod).map(|path| Change::Place(path.place())));
            format!("{what} comes from template \"{template}\" and {other}{difference}; {fix}{way_out}")
        });
    }

    /// The pod has something here that no API server would take, and nothing can be added to it.
    fn malformed(&mut self, path: &Path<'_>) {
        let template = self.name();
        self.conflicts.push(|| {
            let place = path.place();
            self.changes.push(Change::Place(place.clone()));
            format!(
                "{place} of the pod is not what Kubernetes has there, and template \"{template}\" adds to it; correct \
                 the pod"
            )
        });
    }

    fn spec(&mut self, spec: &mut Node<'a>, path: &Path<'_>) {
        let mut given = self.rendered.spec(self.by).map(Node::into_members).unwrap_or_default();
        let lists = ["initContainers", "containers", "volumes"].map(|list| {
            let at = given.iter().position(|(field, _)| field == list);
            at.map(|at| given.remove(at).1.into_items()).unwrap_or_default()
        });
        self.containers_and_volumes(spec, lists, path);
        for (field, given) in given {
            match &*field {
                "terminationGracePeriodSeconds" => self.grace_period(spec, given, path),
                _ => self.field(spec, Schema::get().spec, field, given, path),
            }
        }
        for list in ["initContainers", "containers"] {
            self.app(spec, list, path);
        }
    }

    fn grace_period(&mut self, spec: &mut Node<'a>, given: Node<'a>, path: &Path<'_>) {
        const FIELD: &str = "terminationGracePeriodSeconds";
        let path = &path.at(FIELD);
        let wanted = given.view().integer().unwrap_or_default();
        match spec.member(FIELD) {
            Some(existing) if existing.view().integer().unwrap_or(DEFAULT_GRACE_PERIOD) < wanted => {
                self.replace_field(existing, given, path);
            }
            // Omitted, it becomes 30: a smaller one would shorten it.
            None if wanted > DEFAULT_GRACE_PERIOD => {
                let added = self.add(given, path);
                spec.push(FIELD.into(), added);
            }
            existing => {
                let (owner, is_there) = match existing {
                    Some(existing) => (self.owner(existing.by), existing.view().integer() == Some(wanted)),
                    None => (None, wanted == DEFAULT_GRACE_PERIOD),
                };
                self.note_kept(path, owner, is_there);
            }
        }
    }

    /// Adds to the containers of one list what is meant for them.
    fn app(&mut self, spec: &mut Node<'a>, list: &'static str, path: &Path<'_>) {
        let path = &path.at(list);
        for part in self.rendered.app.iter().filter(|part| part.list == list) {
            if self.room.is_exceeded {
                return;
            }
            let Some(container) = spec.list(list).iter_mut().find(|item| item.is_named(&part.name)) else { continue };
            self.overrides = part.overrides;
            if let Some(given) = part.render(self.by) {
                self.object(container, given, Schema::get().container, &path.at(&part.name));
            }
        }
    }

    fn object(&mut self, target: &mut Node<'a>, given: Node<'a>, object: &'static Object, path: &Path<'_>) {
        for (field, given) in given.into_members() {
            if self.room.is_exceeded {
                return;
            }
            self.field(target, object, field, given, path);
        }
    }

    fn field(
        &mut self,
        target: &mut Node<'a>,
        object: &'static Object,
        field: Cow<'a, str>,
        given: Node<'a>,
        path: &Path<'_>,
    ) {
        if is_omitted(&field, given.view()) {
            return;
        }
        let kind = object.fields.get(&field).unwrap_or(&ANY);
        let merges = match kind {
            Type::Object(object) => MERGED.contains(&object.name.as_str()),
            Type::Map(_) => true,
            // A list inside of a single value, such as a probe's command, is one value itself.
            Type::List { .. } => matches!(object.name.as_str(), "PodSpec" | "Container" | "PodSecurityContext"),
            Type::Scalar(_) => false,
        };
        let path = &path.at(&field);
        match target.member(&field) {
            // An older API server has dropped a field that it does not know.
            None if std::ptr::eq(kind, &ANY) && self.context.is_missing(self.name(), &path.pointer()) => {
                self.record.added.push(path.pointer());
                self.note(path, || Effect::AlreadyThere);
            }
            None => self.new_field(target, field.clone(), kind, merges, given, path),
            Some(existing) if merges => self.into(existing, kind, given, path),
            Some(existing) if object.name == "PodSpec" && is_default(&field, existing.view()) => {
                if existing.view().to_value() == given.view().to_value() {
                    self.note(path, || Effect::AlreadyThere);
                } else {
                    self.replace_field(existing, given, path);
                }
            }
            Some(existing) => self.resolve(existing, given, kind, &[], path),
        }
    }

    /// Adds a field that an object lacks.
    fn new_field(
        &mut self,
        target: &mut Node<'a>,
        field: Cow<'a, str>,
        kind: &'static Type,
        merges: bool,
        given: Node<'a>,
        path: &Path<'_>,
    ) {
        let Some(members) = target.members() else { return self.malformed(path) };
        let empty = match kind {
            Type::Map(_) => Some(Json::Object(Vec::new())),
            Type::List { .. } if merges => Some(Json::List(Vec::new())),
            _ => None,
        };
        let node = match empty {
            None => self.add(given, path),
            Some(json) => {
                let mut made = Node::holder(json, self.by);
                self.into(&mut made, kind, given, path);
                made
            }
        };
        // An API server would omit what is empty, and the next call would add it again.
        if !node.is_empty() {
            members.push((field, node));
        }
    }

    fn into(&mut self, target: &mut Node<'a>, kind: &'static Type, given: Node<'a>, path: &Path<'_>) {
        match kind {
            Type::Object(object) => self.object(target, given, object, path),
            Type::Map(value) => self.map(target, value, given, path),
            Type::List { item, keys } => self.list(target, item, keys, given, path),
            Type::Scalar(_) => unreachable!("a scalar is not merged into"),
        }
    }

    fn map(&mut self, target: &mut Node<'a>, kind: &Type, given: Node<'a>, path: &Path<'_>) {
        if target.members().is_none() {
            return self.malformed(path);
        }
        for (key, given) in given.into_members() {
            let path = &path.at(&key);
            match target.member(&key) {
                Some(existing) => self.resolve(existing, given, kind, &[], path),
                None => {
                    let added = self.add(given, path);
                    target.push(key.clone(), added);
                }
            }
        }
    }
}

/// Whether the API server omits a field, because it says no more than nothing: the next call would add it once more.
fn is_omitted(field: &str, given: View<'_>) -> bool {
    match given.kind() {
        Kind::String(text) => text.is_empty(),
        Kind::Bool(false) => matches!(field, "hostPID" | "hostIPC" | "hostNetwork"),
        Kind::List => given.items().next().is_none(),
        // Of these an empty one means nothing; an emptyDir does.
        Kind::Object => {
            matches!(field, "lifecycle" | "resources") && given.members().all(|part| part.value.says_nothing())
        }
        _ => false,
    }
}

fn is_default(field: &str, value: View<'_>) -> bool {
    DEFAULTS.iter().any(|(name, default)| *name == field && value.as_text().as_deref() == Some(*default))
}
