//! Merges what one template gives into the draft. Each rule is a row of the table in `docs/merge.md`; where pod and
//! template disagree and no row decides, that is a conflict.

mod covers;

use std::collections::HashMap;

use serde_json::Value;

use self::covers::{covers, is_empty};
use super::room::{MAX_ADDED, Room};
use super::status::{MAX_ANNOTATIONS, MAX_ENTRIES, Record, STATUS, Status, place_of};
use crate::draft::{Change, Entry, Node, pointer};
use crate::fragment::View;
use crate::rules::across::DEFAULT_GRACE_PERIOD;
use crate::schema::{Object, Schema, Type};
use crate::template::token::NO_TOKEN;
use crate::template::{Placement, Template};
use crate::text::shown;

/// Objects that are merged field by field; every other object is one value.
const MERGED: &[&str] =
    &["PodSecurityContext", "SELinuxOptions", "WindowsSecurityContextOptions", "ResourceRequirements", "Lifecycle"];

/// What a container runs. Other webhooks may add to a container, but none of them changes these.
const PROGRAM: &[&str] = &["image", "command", "args", "restartPolicy"];

/// Values that the API server fills in: a pod that has one of these has said nothing.
/// Source: kubernetes pkg/apis/core/v1/defaults.go.
const DEFAULTS: &[(&str, &str)] =
    &[("dnsPolicy", "ClusterFirst"), ("restartPolicy", "Always"), ("schedulerName", "default-scheduler")];

/// Why a template could not be merged.
pub(super) enum Failure {
    /// Every conflict, in one sentence each.
    Conflicts(Few),
    /// It adds more than there is room for.
    TooLarge(String),
}

/// The first few of many sentences: nobody reads more.
#[derive(Debug, Default)]
pub(super) struct Few {
    sentences: Vec<String>,
    more: usize,
}

impl Few {
    const MOST: usize = 8;

    fn push(&mut self, sentence: impl FnOnce() -> String) {
        if self.sentences.len() < Few::MOST {
            self.sentences.push(sentence());
        } else {
            self.more += 1;
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.sentences.is_empty()
    }

    pub(super) fn join(&self, separator: &str) -> String {
        let mut text = self.sentences.join(separator);
        if self.more > 0 {
            text += &format!("{separator}and {} more", self.more);
        }
        text
    }
}

/// What a template gives to a pod: its fragments with their holes filled.
pub(super) struct Given<'a> {
    pub(super) template: &'a Template,
    pub(super) metadata: Option<View<'a>>,
    pub(super) spec: Option<View<'a>>,
    /// The names of volumes that may be there already.
    pub(super) shares: Option<View<'a>>,
    pub(super) app: Vec<ToApp<'a>>,
    /// Whether the namespace requires the template.
    pub(super) required: bool,
}

impl Given<'_> {
    /// Whether the conditions of all its parts left nothing to give.
    pub(super) fn is_nothing(&self) -> bool {
        self.metadata.is_none() && self.spec.is_none() && self.app.is_empty()
    }
}

/// What one of the pod's own containers receives.
pub(super) struct ToApp<'a> {
    /// `containers` or `initContainers`.
    pub(super) list: &'static str,
    pub(super) container: &'a str,
    pub(super) view: View<'a>,
    pub(super) overrides: bool,
}

/// Merges one template into a draft.
struct Merge<'s> {
    template: &'s Template,
    shares: Option<View<'s>>,
    /// What was recorded before: what this template brought then is not in its own way now.
    earlier: &'s Status,
    record: &'s mut Record,
    /// What the templates before this one added.
    before: &'s [&'s Record],
    /// Whether the namespace requires the template.
    required: bool,
    path: Vec<String>,
    room: Room,
    /// Whether the room was not enough. What the draft holds does not matter any more.
    is_full: bool,
    conflicts: Few,
    /// Where something else stays than the template gives.
    kept: Few,
}

/// Whether a container that a template brings is in the pod already.
#[derive(Clone, Copy, Eq, PartialEq)]
enum Presence {
    /// It is, and holds all that the template gives.
    There,
    New,
    /// Another one of that name is.
    InConflict,
}

/// Merges what a template gives. The result names the fields whose existing value is kept, and the room that is left. What
/// was added is in the record. After a failure the draft cannot be used.
///
/// # Errors
///
/// When something conflicts, or when there is not enough room.
pub(super) fn merge<'a>(
    draft: &mut Node<'a>,
    given: &Given<'a>,
    earlier: &Status,
    before: &[&Record],
    record: &mut Record,
    room: Room,
) -> Result<(Few, Room), Failure> {
    let mut merge = Merge {
        template: given.template,
        shares: given.shares,
        earlier,
        record,
        before,
        required: given.required,
        path: Vec::new(),
        room,
        is_full: false,
        conflicts: Few::default(),
        kept: Few::default(),
    };
    if let Some(view) = given.metadata {
        merge.at("metadata", |merge| {
            if let Some(entry) = draft.member_or("metadata", Node::Object(Vec::new())) {
                merge.object(&mut entry.node, view, Schema::get().metadata, false);
            }
        });
    }
    if let Some(spec) = draft.member("spec") {
        merge.at("spec", |merge| {
            if let Some(view) = given.spec {
                merge.spec(&mut spec.node, view);
            }
            for list in ["initContainers", "containers"] {
                merge.app(&mut spec.node, list, &given.app);
            }
        });
    }
    if merge.is_full {
        Err(Failure::TooLarge(merge.too_large()))
    } else if merge.conflicts.is_empty() {
        Ok((merge.kept, merge.room))
    } else {
        Err(Failure::Conflicts(merge.conflicts))
    }
}

impl<'a> Merge<'_> {
    fn at<T>(&mut self, token: &str, run: impl FnOnce(&mut Self) -> T) -> T {
        self.path.push(token.to_owned());
        let result = run(self);
        self.path.pop();
        result
    }

    fn here(&self) -> String {
        pointer(self.path.iter().map(String::as_str))
    }

    /// Goes on with what is left of the room; false if that is nothing.
    fn take(&mut self, left: Option<Room>) -> bool {
        match left.filter(|_| !self.is_full) {
            Some(left) => self.room = left,
            None => self.is_full = true,
        }
        !self.is_full
    }

    /// Where something is about to be recorded, if there is room for it.
    fn entry_for(&mut self, given: View<'_>) -> Option<String> {
        let here = self.here();
        self.take(self.room.without(&here, given.size())).then_some(here)
    }

    fn too_large(&self) -> String {
        format!(
            "template \"{}\" adds too much to this pod: all templates together may add {MAX_ENTRIES} labels, containers, \
             variables, mounts and so on, and {MAX_ADDED} bytes, and what is noted of that in {STATUS} must fit into \
             {MAX_ANNOTATIONS} bytes of annotations; let its app entries name fewer containers, give its \
             parameters shorter values, or ask for fewer templates in pillion.dev/templates",
            self.template.name
        )
    }

    fn added(&mut self, given: View<'a>) {
        let here = self.here();
        // What an earlier call added, and something took out since, is recorded once.
        let is_recorded = self.earlier.added_by(&here) == Some(self.template.name.as_str());
        let left = if is_recorded { Room::without_recorded } else { Room::without };
        if self.take(left(self.room, &here, given.size())) {
            self.record.added.push(here);
        }
    }

    fn replace(&mut self, known: &mut Entry<'a>, given: View<'a>) {
        if let Some(here) = self.entry_for(given) {
            self.record.replaced.push((here, known.node.to_value()));
            known.replace(Node::View(given));
        }
    }

    /// Puts the template's value in the place of the pod's, if they differ.
    fn overrule(&mut self, known: &mut Entry<'a>, given: View<'a>) {
        // Recorded though it may be equal: once the API server has filled in defaults, it is not any more.
        let entry = self.entry_for(given);
        self.record.overridden.extend(entry);
        if !self.is_full && known.node.to_value() != given.to_value() {
            known.replace(Node::View(given));
        }
    }

    /// Who has what is here: another template or the pod itself.
    fn owner(&self) -> Option<&str> {
        let here = self.here();
        let now = self.before.iter().find(|record| record.added.contains(&here)).map(|record| record.name.as_str());
        now.or_else(|| self.earlier.added_by(&here))
    }

    /// The two sides of a conflict, and what a pod's author can do beside `fix`.
    fn conflict(&mut self, what: &str, difference: &str, fix: &str) {
        let mut conflicts = std::mem::take(&mut self.conflicts);
        conflicts.push(|| {
            let template = &self.template.name;
            let other = match self.owner() {
                // The status names the template, but the pod's author wrote it.
                Some(other) if other == template.as_str() => "from the pod itself".to_owned(),
                Some(other) => format!("from template \"{}\"", shown(other)),
                None if self.record.added.contains(&self.here()) => "once more from it".to_owned(),
                None => "from the pod itself".to_owned(),
            };
            let way_out = if self.required {
                format!("{fix}; the namespace requires the template")
            } else {
                format!("{fix}, or drop the template from pillion.dev/templates")
            };
            format!("{what} comes from template \"{template}\" and {other}{difference}; {way_out}")
        });
        self.conflicts = conflicts;
    }

    /// The pod has something here that no API server would take, and nothing can be added to it.
    fn misshapen(&mut self) {
        let (path, template) = (&self.path, &self.template.name);
        self.conflicts.push(|| {
            let place = place_of(path.iter().map(String::as_str));
            format!(
                "{place} of the pod is not what Kubernetes has there, and template \"{template}\" adds to it; correct \
                 the pod"
            )
        });
    }

    /// Says that what the pod or another template has stays, if that differs from what this template gives. A probe, a port
    /// or a resource is given to whoever lacks it, so the pod's own is what everybody expects.
    fn stays(&mut self, given: View<'a>, values: impl FnOnce() -> (Value, Value), kind: &'static Type) {
        const FOR_WHO_LACKS_IT: &[&str] = &["startupProbe", "livenessProbe", "readinessProbe", "ports", "resources"];
        let is_expected = self.path.iter().any(|step| FOR_WHO_LACKS_IT.contains(&step.as_str()));
        let owner = self.owner();
        if owner == Some(self.template.name.as_str()) || is_expected && owner.is_none() {
            return;
        }
        // Comparing takes as long as adding.
        if !self.take(self.room.without_value(given.size())) {
            return;
        }
        let (there, given) = values();
        if !covers(&there, &given, kind) {
            let path = &self.path;
            self.kept.push(|| place_of(path.iter().map(String::as_str)));
        }
    }

    /// Whether this template brought what is here in an earlier call.
    fn is_ours(&self) -> bool {
        self.earlier.added_by(&self.here()) == Some(self.template.name.as_str())
    }

    fn spec(&mut self, spec: &mut Node<'a>, view: View<'a>) {
        let mut found = Vec::new();
        for list in ["initContainers", "containers"] {
            // A template's own containers keep their order, those that are there already included.
            let mut behind = 0;
            for container in view.get(list).into_iter().flat_map(View::items) {
                found.push(self.container(spec, list, container, &mut behind));
            }
        }
        // A copy of an injected pod that lost its annotations has our volumes as well as our containers. Where a container
        // of it was changed that is the conflict, and no volume that nobody ever wrote.
        let is_copy = !found.is_empty() && found.iter().all(|presence| *presence == Presence::There);
        for volume in view.get("volumes").into_iter().flat_map(View::items) {
            self.volume(spec, volume, is_copy, found.contains(&Presence::InConflict));
        }
        for (field, part) in view.members() {
            match field {
                "initContainers" | "containers" | "volumes" => {}
                "terminationGracePeriodSeconds" => self.grace_period(spec, part),
                field => self.field(spec, Schema::get().spec, field, part, false),
            }
        }
    }

    /// Adds a container at or behind a place, if the pod has none of its name.
    fn container(&mut self, spec: &mut Node<'a>, list: &'static str, view: View<'a>, behind: &mut usize) -> Presence {
        let name = name_of(view);
        for other in ["initContainers", "containers", "ephemeralContainers"] {
            let Some(items) = spec.member(other).and_then(|entry| entry.node.items()) else { continue };
            let Some(at) = items.iter().position(|entry| entry.is_named(name)) else { continue };
            if other == list {
                *behind = at + 1;
            }
            let there = items[at].node.to_value();
            return self
                .at(other, |merge| merge.at(name, |merge| merge.container_is_there(&there, view, other == list)));
        }
        let placement = &self.template.placement;
        let Some(items) = spec.member_or(list, Node::List(Vec::new())).and_then(|entry| entry.node.items()) else {
            return Presence::New;
        };
        let at = if list == "containers" { items.len() } else { place(items, placement, self.earlier).max(*behind) };
        let change = match placement {
            Placement::AfterInit => Change::Appended,
            Placement::After(_) => Change::Attached,
            Placement::BeforeInit | Placement::Before(_) => Change::Added,
        };
        items.insert(at, Entry { node: Node::View(view), change });
        *behind = at + 1;
        self.at(list, |merge| merge.at(name, |merge| merge.added(view)));
        Presence::New
    }

    /// Compares a container of the pod with the template's of the same name.
    fn container_is_there(&mut self, there: &Value, view: View<'a>, in_same_list: bool) -> Presence {
        let is_ours = self.is_ours();
        if is_ours && !self.required {
            return Presence::There;
        }
        let kind = Schema::get().spec.item("containers");
        let mut asked = view.to_value();
        if let Some(asked) = asked.as_object_mut() {
            // `kubectl debug --copy-to` takes them out.
            asked.retain(|field, _| !field.ends_with("Probe") || there.get(field).is_some());
            if let (Some(image), Some(pulled)) = (asked.get_mut("image"), there.get("image"))
                && is_same_image(image, pulled)
            {
                *image = pulled.clone();
            }
        }
        let is_known = is_ours || self.owner().is_none() && covers(there, &asked, kind);
        let name = name_of(view);
        let list = self.path.get(1).map(String::as_str).unwrap_or_default();
        let varies = |field: &str| self.template.pod.varies_with_pod(list, name, field);
        let differs = |field: &&&str| there.get(**field) != asked.get(**field) && !varies(field);
        let program = PROGRAM.iter().filter(|_| self.required).find(differs);
        if in_same_list && is_known && program.is_none() {
            return Presence::There;
        }
        let differs = asked.as_object().into_iter().flatten().find(|(field, asked)| {
            let kind = Schema::get().container.field(field);
            !there.get(*field).is_some_and(|there| covers(there, asked, kind))
        });
        let differs = match (in_same_list, program.copied().or(differs.map(|(field, _)| field.as_str()))) {
            (true, Some(field)) => format!(", which differ in {field}"),
            _ => String::new(),
        };
        self.conflict(&format!("container \"{}\"", shown(name)), &differs, "rename one");
        Presence::InConflict
    }

    fn volume(&mut self, spec: &mut Node<'a>, view: View<'a>, is_copy: bool, has_conflict: bool) {
        let name = name_of(view);
        let shared = self.shares.into_iter().flat_map(View::items).any(|shared| shared.as_str() == Some(name));
        let kind = Schema::get().spec.item("volumes");
        let Some(items) = spec.member_or("volumes", Node::List(Vec::new())).and_then(|entry| entry.node.items()) else {
            return;
        };
        let known = items.iter().find(|entry| entry.is_named(name)).map(|entry| entry.node.to_value());
        let is_new = known.is_none();
        if is_new {
            items.push(Entry::added(Node::View(view)));
        }
        self.at("volumes", |merge| {
            merge.at(name, |merge| match known {
                None => merge.added(view),
                Some(known) => {
                    let is_copied = is_copy || has_conflict && name.starts_with(NO_TOKEN);
                    let same = || is_copied && covers(&known, &view.to_value(), kind);
                    let is_ours = || merge.is_ours() && (!merge.required || covers(&known, &view.to_value(), kind));
                    if !(shared || is_ours() || same()) {
                        let fix = "rename one, or list it in the template's shares";
                        merge.conflict(&format!("volume \"{}\"", shown(name)), "", fix);
                    }
                }
            });
        });
    }

    fn grace_period(&mut self, spec: &mut Node<'a>, view: View<'a>) {
        self.at("terminationGracePeriodSeconds", |merge| {
            let wanted = view.value().and_then(Value::as_i64).unwrap_or_default();
            match spec.member("terminationGracePeriodSeconds") {
                Some(entry) if entry.node.to_value().as_i64().unwrap_or(DEFAULT_GRACE_PERIOD) < wanted => {
                    merge.replace(entry, view);
                }
                // Left out, it becomes 30: a smaller one would shorten it.
                None if wanted > DEFAULT_GRACE_PERIOD => {
                    if let Some(members) = spec.members() {
                        members.push(("terminationGracePeriodSeconds".into(), Entry::added(Node::View(view))));
                    }
                    merge.added(view);
                }
                _ => {}
            }
        });
    }

    /// Gives the containers of one list what is meant for them.
    fn app(&mut self, spec: &mut Node<'a>, list: &'static str, given: &[ToApp<'a>]) {
        for to_app in given.iter().filter(|to_app| to_app.list == list) {
            let items = spec.member(list).and_then(|entry| entry.node.items());
            let found = items.into_iter().flatten().find(|entry| entry.is_named(to_app.container));
            let Some(Entry { node: container, .. }) = found else { continue };
            self.at(list, |merge| {
                merge.at(to_app.container, |merge| {
                    merge.object(container, to_app.view, Schema::get().container, to_app.overrides)
                });
            });
        }
    }

    fn object(&mut self, target: &mut Node<'a>, view: View<'a>, object: &'static Object, overrides: bool) {
        for (field, part) in view.members() {
            if self.is_full {
                return;
            }
            self.field(target, object, field, part, overrides);
        }
    }

    fn field(
        &mut self,
        target: &mut Node<'a>,
        object: &'static Object,
        field: &'a str,
        view: View<'a>,
        overrides: bool,
    ) {
        if is_dropped(field, view) {
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
        self.at(field, |merge| {
            let Some(entry) = target.member(field) else {
                return merge.new_field(target, field, kind, merges, view, overrides);
            };
            if merges {
                merge.into(&mut entry.node, kind, view, overrides);
            } else if overrides {
                merge.overrule(entry, view);
            } else if object.name == "PodSpec" && is_default(field, &entry.node) {
                if entry.node.to_value() != view.to_value() {
                    merge.replace(entry, view);
                }
            } else {
                merge.stays(view, || (entry.node.to_value(), view.to_value()), kind);
            }
        });
    }

    /// Adds a field that an object lacks.
    fn new_field(
        &mut self,
        target: &mut Node<'a>,
        field: &'a str,
        kind: &'static Type,
        merges: bool,
        view: View<'a>,
        overrides: bool,
    ) {
        let Some(members) = target.members() else { return self.misshapen() };
        let mut entry = Entry::added(match kind {
            Type::Map(_) => Node::Object(Vec::new()),
            Type::List { .. } if merges => Node::List(Vec::new()),
            _ => Node::View(view),
        });
        if matches!(entry.node, Node::View(_)) {
            self.added(view);
        } else {
            self.into(&mut entry.node, kind, view, overrides);
        }
        // An API server would drop what is empty, and the next call would bring it again.
        if !entry.node.is_empty() {
            members.retain(|(name, _)| name != field);
            members.push((field.into(), entry));
        }
    }

    fn into(&mut self, target: &mut Node<'a>, kind: &'static Type, view: View<'a>, overrides: bool) {
        match kind {
            Type::Object(object) => self.object(target, view, object, overrides),
            Type::Map(value) => self.map(target, value, view, overrides),
            Type::List { item, keys } => self.list(target, item, keys, view, overrides),
            Type::Scalar(_) => unreachable!("a scalar is not merged into"),
        }
    }

    fn map(&mut self, target: &mut Node<'a>, kind: &'static Type, view: View<'a>, overrides: bool) {
        if target.members().is_none() {
            return self.misshapen();
        }
        for (key, part) in view.members() {
            self.at(key, |merge| match target.member(key) {
                Some(known) if overrides => merge.overrule(known, part),
                Some(known) => merge.stays(part, || (known.node.to_value(), part.to_value()), kind),
                None => {
                    if let Some(members) = target.members() {
                        members.push((key.into(), Entry::added(Node::View(part))));
                        merge.added(part);
                    }
                }
            });
        }
    }

    fn list(
        &mut self,
        target: &mut Node<'a>,
        kind: &'static Type,
        keys: &'static [String],
        view: View<'a>,
        overrides: bool,
    ) {
        let Some(items) = target.items() else { return self.misshapen() };
        // Of two variables of one name Kubernetes takes the last.
        let mut known: HashMap<String, usize> =
            items.iter().enumerate().map(|(at, entry)| (entry.node.key(keys), at)).collect();
        for view in view.items() {
            if self.is_full {
                return;
            }
            let node = Node::View(view);
            let key = node.key(keys);
            let place = known.get(&key).copied();
            self.at(&key, |merge| match place {
                None => {
                    merge.added(view);
                    items.push(Entry::added(node));
                }
                Some(at) => {
                    let known = &mut items[at];
                    if merge.mounts_another(&known.node, &node) {
                        let volume = |node: &Node<'_>| shown(&node.text_of("name").unwrap_or_default());
                        let container = merge.path.iter().rev().nth(2).map(String::as_str).unwrap_or_default();
                        let (given, known) = (volume(&node), volume(&known.node));
                        merge.conflict(
                            &format!("the mount at {} in container {}", shown(&key), shown(container)),
                            &format!(", of the volumes {given} and {known}"),
                            "mount one elsewhere",
                        );
                    } else if overrides {
                        merge.overrule(known, view);
                    } else {
                        let values = || {
                            // Keys can be the same and be written otherwise: `/data` and `/data/`.
                            let (there, mut given) = (known.node.to_value(), node.to_value());
                            keys.iter().for_each(|key| given[key] = there[key].clone());
                            (there, given)
                        };
                        merge.stays(view, values, kind);
                    }
                }
            });
            known.entry(key).or_insert(items.len() - 1);
        }
    }

    /// Two volumes cannot be mounted at one path.
    fn mounts_another(&self, known: &Node<'a>, given: &Node<'a>) -> bool {
        let list = self.path.iter().rev().nth(1).map(String::as_str);
        matches!(list, Some("volumeMounts" | "volumeDevices")) && known.text_of("name") != given.text_of("name")
    }
}

/// Whether one image is the other: pulled from a mirror perhaps, or pinned by another webhook.
fn is_same_image(asked: &Value, pulled: &Value) -> bool {
    let (Some(asked), Some(pulled)) = (asked.as_str(), pulled.as_str()) else { return false };
    let last = |image: &'_ str| image.rsplit('/').next().unwrap_or_default().to_owned();
    let pulled = if asked.contains('@') { pulled } else { pulled.split('@').next().unwrap_or_default() };
    last(asked) == last(pulled)
}

fn name_of(view: View<'_>) -> &str {
    view.get("name").and_then(View::as_str).unwrap_or_default()
}

/// Where among the init containers a new one goes: behind what earlier templates put into the same place.
fn place(items: &[Entry<'_>], placement: &Placement, earlier: &Status) -> usize {
    let is_ours = |entry: &Entry<'_>| {
        let recorded = |name: &str| earlier.added_by(&pointer(["spec", "initContainers", name])).is_some();
        matches!(entry.change, Change::Added | Change::Attached)
            || !earlier.is_empty() && entry.node.text_of("name").is_some_and(|name| recorded(&name))
    };
    let behind_ours = || items.iter().take_while(|entry| is_ours(entry)).count();
    let find = |wanted: &str| items.iter().position(|entry| entry.is_named(wanted));
    match placement {
        Placement::AfterInit => items.len(),
        Placement::BeforeInit => behind_ours(),
        Placement::Before(name) => find(name).unwrap_or_else(behind_ours),
        Placement::After(name) => match find(name) {
            Some(at) => {
                let attached = items[at + 1..].iter().take_while(|entry| entry.change == Change::Attached);
                at + 1 + attached.count()
            }
            None => behind_ours(),
        },
    }
}

/// What the API server leaves out of what it hands on, because it says no more than nothing: the next call would give it
/// once more.
fn is_dropped(field: &str, view: View<'_>) -> bool {
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
    let by_text =
        DEFAULTS.iter().any(|(name, default)| *name == field && node.string().is_some_and(|is| is == *default));
    by_text || field == "enableServiceLinks" && node.to_value() == true
}
