//! A copy of an injected pod that lost Pillion's annotations. What it has of a template is found by comparison, and counts as
//! the template's: neither expressions nor `app` see it.

use super::Injection;
use super::compare::is_copy_of_volume;
use super::contains::{contains, equals};
use super::pod::LISTS;
use super::render::Rendered;
use super::select;
use super::token::is_no_token;
use crate::json::{By, Node};
use crate::names::NO_TOKEN;
use crate::schema::Schema;
use crate::template::Template;

impl<'a> Injection<'a> {
    /// Marks what the pod has of its templates, as far as nothing is recorded of it. Gives their numbers.
    pub(super) fn mark_copies(&self, tree: &mut Node<'a>) -> Vec<u16> {
        let (catalog, namespace) = (self.catalog, &self.namespace.name);
        let templates = self
            .context
            .names
            .iter()
            .zip(0..)
            .filter_map(|(name, number)| Some((number, catalog.template(name, namespace)?)));
        let copied: Vec<_> = templates.filter(|(_, template)| has_all_names_of(template, tree)).collect();
        // What one brought, the expressions of the others did not see either.
        for (number, template) in &copied {
            mark(tree, template, By::Pod, By::Copy(*number));
        }
        let (copied, others): (Vec<_>, Vec<_>) =
            copied.into_iter().partition(|(number, _)| self.has_all(*number, tree));
        for (number, template) in others {
            mark(tree, template, By::Copy(number), By::Pod);
        }
        copied.into_iter().map(|(number, _)| number).collect()
    }

    /// Whether the pod has what a template gives it: containers and volumes, and what its containers mount of these where a
    /// template brings volumes alone.
    fn has_all(&self, number: u16, tree: &Node<'a>) -> bool {
        let Some((rendered, _)) = self.render_regardless(&self.context.names[usize::from(number)], tree) else {
            return false;
        };
        let Some(given) = rendered.spec(By::Copy(number)) else { return false };
        let existing = |list: &str, name: &str| {
            tree.opened_list(list).iter().find(|item| item.is_named(name)).filter(|item| item.by == By::Copy(number))
        };
        let (context, template) = (&self.context, rendered.template);
        let requires = !select::required(self.namespace).is_empty();
        let kind = Schema::get().spec.item("volumes");
        let mut containers = LISTS.into_iter().flat_map(|list| given.view().list(list).map(move |it| (list, it)));
        let has_containers = containers.all(|(list, container)| {
            existing(list, &container.text("name"))
                .is_some_and(|it| context.is_copy_of_container(template, list, it.view(), container))
        });
        has_containers
            && given.view().list("volumes").all(|volume| {
                let name = volume.text("name");
                rendered.shares(&name)
                    || existing("volumes", &name).is_some_and(|it| match requires {
                        true => equals(it.view(), volume, kind),
                        false => is_copy_of_volume(template, it.view(), volume),
                    })
            })
            && (has_fixed(template, &LISTS) || has_mounts(&rendered, tree))
    }
}

/// Whether a template brings something in one of these lists whose name does not vary.
fn has_fixed(template: &Template, lists: &[&str]) -> bool {
    let spec = template.pod.spec.as_ref();
    lists.iter().any(|list| spec.is_some_and(|spec| spec.fixed_names(list).next().is_some()))
}

/// Whether the pod has containers of its own that are called as all of a template's, or volumes if it brings no containers.
fn has_all_names_of(template: &Template, tree: &mut Node<'_>) -> bool {
    let lists = if has_fixed(template, &LISTS) { &LISTS[..] } else { &["volumes"] };
    let (Some(pod), Some(spec)) = (tree.member("spec"), &template.pod.spec) else { return false };
    let mut has_all_of = |list: &str| {
        let items = pod.list(list);
        spec.fixed_names(list).all(|name| items.iter().any(|item| item.by == By::Pod && item.is_named(name)))
    };
    has_fixed(template, lists) && lists.iter().all(|list| has_all_of(list))
}

/// Whether a template mounts volumes into the pod's own containers, and these have all of the mounts.
fn has_mounts(rendered: &Rendered<'_>, tree: &Node<'_>) -> bool {
    let kind = Schema::get().container.field("volumeMounts");
    let mut has_some = false;
    let has_all = rendered.app.iter().all(|part| {
        let given = part.render(By::Pod);
        let Some(given) = given.as_ref().and_then(|given| given.view().get("volumeMounts")) else { return true };
        has_some = true;
        let container = tree.opened_list(part.list).iter().find(|item| item.is_named(&part.name));
        let existing = container.and_then(|container| container.view().get("volumeMounts"));
        existing.is_some_and(|existing| contains(existing, given, kind))
    });
    has_some && has_all
}

/// Passes containers and volumes that are called as a template's from one to another.
fn mark<'a>(tree: &mut Node<'a>, template: &Template, from: By, to: By) {
    let Some(pod) = tree.member("spec") else { return };
    let shares: Vec<_> =
        template.pod.shares.iter().flat_map(|shares| shares.items()).filter_map(|it| it.as_str()).collect();
    for list in ["initContainers", "containers", "volumes"] {
        let names = template.pod.spec.iter().flat_map(|spec| spec.fixed_names(list));
        let no_token = (list == "volumes" && template.withholds_token).then_some(NO_TOKEN);
        for name in names.chain(no_token).filter(|name| list != "volumes" || !shares.contains(name)) {
            let is_it = |item: &Node<'_>| item.is_named(name) && (name != NO_TOKEN || is_no_token(item.view()));
            let item = pod.list(list).iter_mut().find(|item| item.by == from && is_it(item));
            item.into_iter().for_each(|item| item.by = to);
        }
    }
}
