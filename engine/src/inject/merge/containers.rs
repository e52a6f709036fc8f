//! Containers and volumes. A template brings each of them whole, and no two have one name: what is there already under that
//! name must be the same, or it is a conflict.

use super::Merge;
use crate::inject::compare::is_copy_of_volume;
use crate::inject::contains::equals;
use crate::inject::path::Path;
use crate::inject::status::bytes_of_image;
use crate::inject::token::{self, NO_TOKEN_VOLUME};
use crate::json::{By, Node, View};
use crate::names::{NO_TOKEN, TOKEN_PATH};
use crate::schema::Schema;
use crate::template::Placement;
use crate::text::shown;

/// Whether a container that a template brings is in the pod already.
#[derive(Clone, Copy, Eq, PartialEq)]
enum Presence {
    /// It is, and holds all that the template says.
    There,
    New,
    /// Another one of that name is.
    InConflict,
}

impl<'a> Merge<'_, 'a> {
    /// Adds those that the pod does not have.
    pub(super) fn containers_and_volumes(
        &mut self,
        spec: &mut Node<'a>,
        [init_containers, containers, volumes]: [Vec<Node<'a>>; 3],
        path: &Path<'_>,
    ) {
        if self.is_repeated("container", init_containers.iter().chain(&containers))
            || self.is_repeated("volume", volumes.iter())
        {
            return;
        }
        let mut misplaced = self.misplaced(spec);
        let mut found = Vec::new();
        for (list, given) in [("initContainers", init_containers), ("containers", containers)] {
            // A template's own containers keep their order, those that are there already included.
            let mut behind = 0;
            for container in given {
                found.push(self.container(spec, list, container, &mut behind, path));
            }
            if list == "initContainers" && found.contains(&Presence::New) {
                self.warnings.extend(misplaced.take());
            }
        }
        // A copy of an injected pod that lost its annotations has our volumes as well as our containers. Where a container
        // of it was changed that is the conflict, and no volume that nobody ever wrote.
        self.is_there = if found.is_empty() {
            volumes.iter().filter_map(Node::name).any(|name| self.is_copied(spec, &name))
        } else {
            found.iter().all(|presence| *presence == Presence::There)
        };
        // Then nothing that a status says of the required template holds.
        if self.rendered.required && found.contains(&Presence::InConflict) {
            return;
        }
        for volume in volumes {
            self.volume(spec, volume, path);
        }
        let (template, has_new) = (self.rendered.template, found.contains(&Presence::New));
        if template.withholds_token && !found.is_empty() {
            self.volume_without_token(spec, has_new, path);
        }
        if template.needs_token && has_new && token::is_declined(spec.view()) {
            self.warnings.push(format!(
                "template \"{}\" needs the API token, and a pod with automountServiceAccountToken: false has none",
                template.name
            ));
        }
    }

    /// Whether a volume was known as one of the template's.
    fn is_copied(&self, spec: &mut Node<'a>, volume: &str) -> bool {
        let existing = spec.list("volumes").iter().find(|it| it.is_named(volume));
        existing.is_some_and(|it| matches!(it.by, By::Copy(_)) && self.is_ours(it.by))
    }

    /// Whether a parameter makes two of a template's containers or volumes one. That is a conflict.
    fn is_repeated<'n>(&mut self, what: &str, given: impl Iterator<Item = &'n Node<'a>> + Clone) -> bool
    where
        'a: 'n,
    {
        let names = given.filter_map(Node::name);
        let mut repeated = names.clone().enumerate().filter(|(at, name)| names.clone().take(*at).any(|it| it == *name));
        let Some((_, name)) = repeated.next() else { return false };
        self.conflict(self.by, None, &format!("{what} \"{}\"", shown(&name)), "", "rename one");
        true
    }

    /// Why the template's init containers cannot have the place that it gives them.
    fn misplaced(&self, spec: &mut Node<'a>) -> Option<String> {
        let template = self.rendered.template;
        let (Placement::Before(beside) | Placement::After(beside)) = &template.placement else { return None };
        let mut is_in = |list: &str| spec.list(list).iter().any(|item| item.is_named(beside));
        let why = match (is_in("initContainers"), is_in("containers")) {
            (true, _) => return None,
            (_, true) => "a regular container; these start after all init containers",
            _ => "and there is no such init container, or only one of a later template",
        };
        Some(format!("template \"{}\": its placement names {beside}, {why}; BeforeInit is used", template.name))
    }

    /// Adds what covers the token to a pod that has a new container, or that lost it. A pod that was injected by an older
    /// version may do without.
    fn volume_without_token(&mut self, spec: &mut Node<'a>, has_new: bool, path: &Path<'_>) {
        let is_lost = || self.context.is_missing(self.name(), &path.at("volumes").at(NO_TOKEN).pointer());
        if has_new || is_lost() || spec.list("volumes").iter().any(|volume| volume.is_named(NO_TOKEN)) {
            self.volume(spec, Node::fragment(&NO_TOKEN_VOLUME, self.by), path);
        }
    }

    /// Adds a container at or behind a place, if the pod has none of its name.
    fn container(
        &mut self,
        spec: &mut Node<'a>,
        list: &'static str,
        given: Node<'a>,
        behind: &mut usize,
        path: &Path<'_>,
    ) -> Presence {
        let name = given.name().unwrap_or_default();
        for other in ["initContainers", "containers"] {
            let items = spec.list(other);
            let Some(at) = items.iter().position(|item| item.is_named(&name)) else { continue };
            if other == list {
                *behind = at + 1;
            }
            return self.existing_container(&items[at], given.view(), other == list, &path.at(other).at(&name));
        }
        let Some(items) = spec.items_or(list, self.by) else { return Presence::New };
        let at = if list == "containers" { items.len() } else { self.place(items).max(*behind) };
        let image = given.string_at("image").unwrap_or_default();
        let path = path.at(list);
        let path = &path.at(&name);
        let mut added = self.add(given, path);
        self.mount_token(&mut added, path);
        items.insert(at, added);
        *behind = at + 1;
        if !image.is_empty() && self.room.take_note(bytes_of_image(&name, &image)) {
            self.record.images.insert(name, image);
        }
        Presence::New
    }

    /// Adds to a new container the mount of the token, unless something is there.
    fn mount_token(&mut self, container: &mut Node<'a>, path: &Path<'_>) {
        let Some(mount) = self.context.token.filter(|_| !self.rendered.template.withholds_token) else { return };
        if container.view().list("volumeMounts").any(|it| it.text("mountPath") == TOKEN_PATH) {
            return;
        }
        if let Some(mounts) = container.items_or("volumeMounts", self.by) {
            mounts.push(self.add(Node::fragment(mount, self.by), &path.at("volumeMounts").at(TOKEN_PATH)));
        }
    }

    /// Compares a container of the pod with the template's of the same name.
    fn existing_container(
        &mut self,
        existing: &Node<'a>,
        given: View<'_>,
        in_same_list: bool,
        path: &Path<'_>,
    ) -> Presence {
        let (is_ours, required) = (self.is_ours(existing.by), self.rendered.required);
        if is_ours && !required {
            self.note_there(existing.by, path);
            return Presence::There;
        }
        let (name, by, existing) = (given.text("name"), existing.by, existing.view());
        let (template, list) = (self.rendered.template, path.tokens()[1]);
        let program = required.then(|| self.context.other_program(template, list, existing, given)).flatten();
        let lacking = self.context.lacking(template, existing, given).next();
        let is_known = is_ours || self.owner(by).is_none() && lacking.is_none();
        if in_same_list && is_known && program.is_none() {
            self.note_there(by, path);
            return Presence::There;
        }
        let (difference, fix) = match program.or(lacking.as_deref()) {
            Some("image") if in_same_list && self.owner(by).is_none_or(|owner| owner == self.name()) => {
                let fix =
                    "rename one, or, where that is a copy in a mirror, name the mirror in the template's imageMirrors";
                (format!(" with the image {}", shown(&existing.text("image"))), fix)
            }
            Some(field) if in_same_list => (format!(", which differ in {field}"), "rename one"),
            _ => (String::new(), "rename one"),
        };
        self.conflict(by, Some(path), &format!("container \"{}\"", shown(&name)), &difference, fix);
        Presence::InConflict
    }

    fn volume(&mut self, spec: &mut Node<'a>, given: Node<'a>, path: &Path<'_>) {
        let name = given.name().unwrap_or_default();
        let path = path.at("volumes");
        let path = &path.at(&name);
        if !self.context.status.is_empty() {
            self.volumes.push(name.clone().into_owned());
        }
        let Some(items) = spec.items_or("volumes", self.by) else { return };
        let Some(existing) = items.iter().find(|item| item.is_named(&name)) else {
            items.push(self.add(given, path));
            return;
        };
        let kind = Schema::get().spec.item("volumes");
        if self.rendered.shares(&name) {
            let owner = self.owner(existing.by);
            // Comparing takes as long as adding.
            if !self.room.take_value(given.size()) {
                return;
            }
            let is_there = owner == Some(self.name()) || equals(existing.view(), given.view(), kind);
            if !is_there {
                self.existing.push(|| path.place());
            }
            return self.note_kept(path, owner, is_there);
        }
        let is_same = || match &*name {
            NO_TOKEN => token::is_no_token(existing.view()),
            _ if self.rendered.required => equals(existing.view(), given.view(), kind),
            _ => is_copy_of_volume(self.rendered.template, existing.view(), given.view()),
        };
        let is_ours = self.is_ours(existing.by) && (!self.rendered.required || is_same());
        let is_copied = || (self.is_there || name == NO_TOKEN) && is_same();
        if is_ours || is_copied() {
            return self.note_there(existing.by, path);
        }
        let fix = if name == NO_TOKEN { "rename the pod's" } else { "rename one, or list it in the template's shares" };
        self.conflict(existing.by, Some(path), &format!("volume \"{}\"", shown(&name)), "", fix);
    }

    /// Where among the init containers a new one goes: behind what earlier templates put into the same place.
    fn place(&self, items: &[Node<'_>]) -> usize {
        let placed = |by: By| self.context.placement(by);
        let is_in_front = |item: &Node<'_>| match item.by {
            By::Earlier(_) | By::Copy(_) => true,
            by => placed(by).is_some_and(|placement| *placement != Placement::AfterInit),
        };
        let behind_ours = || items.iter().take_while(|item| is_in_front(item)).count();
        let find = |wanted: &str| items.iter().position(|item| item.is_named(wanted));
        match &self.rendered.template.placement {
            Placement::AfterInit => items.len(),
            Placement::BeforeInit => behind_ours(),
            Placement::Before(name) => find(name).unwrap_or_else(behind_ours),
            Placement::After(name) => match find(name) {
                Some(at) => {
                    let is_attached = |item: &&Node<'_>| matches!(placed(item.by), Some(Placement::After(_)));
                    at + 1 + items[at + 1..].iter().take_while(is_attached).count()
                }
                None => behind_ours(),
            },
        }
    }
}
