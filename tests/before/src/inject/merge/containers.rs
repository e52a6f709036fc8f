//! Containers and volumes. A template brings each of them whole, and no two have one name: what is there already under that
//! name must be the same, or it is a conflict.

use serde_json::Value;

use super::Merge;
use super::contains::contains;
use crate::draft::{Change, Entry, Node, pointer};
use crate::fragment::View;
use crate::inject::render::Rendered;
use crate::inject::status::Status;
use crate::schema::Schema;
use crate::template::Placement;
use crate::template::token::NO_TOKEN;
use crate::text::shown;

/// What a container runs. Other webhooks may add to a container, but none of them changes these.
const PROGRAM: &[&str] = &["image", "command", "args", "restartPolicy"];

/// Whether a container that a template brings is in the pod already.
#[derive(Clone, Copy, Eq, PartialEq)]
enum Presence {
    /// It is, and holds all that the template says.
    There,
    New,
    /// Another one of that name is.
    InConflict,
}

impl<'a> Merge<'_> {
    /// Adds those that the pod does not have.
    pub(super) fn containers_and_volumes(&mut self, spec: &mut Node<'a>, view: View<'a>) {
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
            let existing = items[at].node.to_value();
            return self.at([other, name], |merge| merge.existing_container(&existing, view, other == list));
        }
        let placement = &self.rendered.template.placement;
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
        self.at([list, name], |merge| merge.added(view));
        Presence::New
    }

    /// Compares a container of the pod with the template's of the same name.
    fn existing_container(&mut self, existing: &Value, view: View<'a>, in_same_list: bool) -> Presence {
        let (is_ours, required) = (self.is_ours(&self.here()), self.rendered.required);
        if is_ours && !required {
            return Presence::There;
        }
        let mut wanted = view.to_value();
        if let Some(wanted) = wanted.as_object_mut() {
            // `kubectl debug --copy-to` takes them out.
            wanted.retain(|field, _| !field.ends_with("Probe") || existing.get(field).is_some());
            if let (Some(image), Some(pulled)) = (wanted.get_mut("image"), existing.get("image"))
                && is_same_image(image, pulled)
            {
                *image = pulled.clone();
            }
        }
        let (name, list) = (name_of(view), self.path.get(1).map(String::as_str).unwrap_or_default());
        let pod = &self.rendered.template.pod;
        let program = PROGRAM.iter().copied().find(|field| {
            required && existing.get(field) != wanted.get(field) && !pod.varies_with_pod(list, name, field)
        });
        let is_known =
            is_ours || self.owner().is_none() && contains(existing, &wanted, Schema::get().spec.item("containers"));
        if in_same_list && is_known && program.is_none() {
            return Presence::There;
        }
        let differing = program.or_else(|| {
            wanted.as_object()?.keys().map(String::as_str).find(|field| {
                let kind = Schema::get().container.field(field);
                !existing.get(*field).is_some_and(|existing| contains(existing, &wanted[*field], kind))
            })
        });
        let difference = match differing {
            Some(field) if in_same_list => format!(", which differ in {field}"),
            _ => String::new(),
        };
        self.conflict(&format!("container \"{}\"", shown(name)), &difference, "rename one");
        Presence::InConflict
    }

    fn volume(&mut self, spec: &mut Node<'a>, view: View<'a>, is_copy: bool, has_conflict: bool) {
        let name = name_of(view);
        let Some(items) = spec.member_or("volumes", Node::List(Vec::new())).and_then(|entry| entry.node.items()) else {
            return;
        };
        let existing = items.iter().find(|entry| entry.is_named(name)).map(|entry| entry.node.to_value());
        if existing.is_none() {
            items.push(Entry::added(Node::View(view)));
        }
        self.at(["volumes", name], |merge| {
            let Some(existing) = existing else { return merge.added(view) };
            let Rendered { pod, required, .. } = *merge.rendered;
            let shares = merge.rendered.view(&pod.shares);
            let is_shared = shares.into_iter().flat_map(View::items).any(|shared| shared.as_str() == Some(name));
            let is_same = || contains(&existing, &view.to_value(), Schema::get().spec.item("volumes"));
            let is_copied = is_copy || has_conflict && name.starts_with(NO_TOKEN);
            if !is_shared && !(merge.is_ours(&merge.here()) && (!required || is_same())) && !(is_copied && is_same()) {
                let fix = "rename one, or list it in the template's shares";
                merge.conflict(&format!("volume \"{}\"", shown(name)), "", fix);
            }
        });
    }
}

/// Whether one image is the other: pulled from a mirror perhaps, or pinned by another webhook.
fn is_same_image(asked: &Value, pulled: &Value) -> bool {
    let (Some(asked), Some(pulled)) = (asked.as_str(), pulled.as_str()) else { return false };
    let pulled = if asked.contains('@') { pulled } else { pulled.split('@').next().unwrap_or_default() };
    asked.rsplit('/').next() == pulled.rsplit('/').next()
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
