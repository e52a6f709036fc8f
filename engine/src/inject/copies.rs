//! A copy of an injected pod that lost Pillion's annotations. What it has of a template is found by comparison, and counts as
//! the template's: neither expressions nor `app` see it.

use std::mem;

use super::Injection;
use super::merge::{is_copy_of_container, is_copy_of_volume};
use crate::json::{By, Node};
use crate::names::NO_TOKEN;
use crate::template::Template;

impl<'a> Injection<'a> {
    /// Marks what the pod has of its templates, as far as nothing is recorded of it.
    pub(super) fn mark_copies(&mut self, tree: &mut Node<'a>) {
        let (catalog, namespace) = (self.catalog, &self.namespace.name);
        let templates = self
            .context
            .names
            .iter()
            .zip(0..)
            .filter_map(|(name, number)| Some((number, catalog.template(name, namespace)?)));
        let copied: Vec<_> = templates.filter(|(_, template)| has_containers_of(template, tree)).collect();
        if copied.is_empty() {
            return;
        }
        // What one brought, the expressions of the others did not see either.
        for (number, template) in &copied {
            mark(tree, template, By::Pod, By::Copy(*number));
        }
        // It is as if this was never evaluated.
        let budget = mem::take(&mut self.budget);
        let others: Vec<_> = copied.into_iter().filter(|(number, _)| !self.is_copied(*number, tree)).collect();
        self.budget = budget;
        for (number, template) in others {
            mark(tree, template, By::Copy(number), By::Pod);
        }
    }

    /// Whether the pod has what a template gives it, containers and volumes.
    fn is_copied(&self, number: u16, tree: &Node<'a>) -> bool {
        let rendered = match self.render(&self.context.names[usize::from(number)], tree) {
            Ok(rendered) => rendered,
            // An earlier call compared them.
            Err(outcome) => return outcome.is_done(),
        };
        let Some(given) = rendered.spec(By::Copy(number)) else { return false };
        let existing = |list: &str, name: &str| {
            tree.opened_list(list).iter().find(|item| item.is_named(name)).filter(|item| item.by == By::Copy(number))
        };
        let may_have = |image: &str, asked: &str| self.context.may_have_image(rendered.template, image, asked);
        let has_containers = ["initContainers", "containers"].into_iter().all(|list| {
            given.view().list(list).all(|container| {
                existing(list, &container.text("name"))
                    .is_some_and(|it| is_copy_of_container(it.view(), container, may_have))
            })
        });
        has_containers
            && given.view().list("volumes").all(|volume| {
                let name = volume.text("name");
                rendered.shares(&name)
                    || existing("volumes", &name).is_some_and(|it| is_copy_of_volume(it.view(), volume))
            })
    }
}

/// Whether the pod has containers of its own that are called as all of a template's.
fn has_containers_of(template: &Template, tree: &Node<'_>) -> bool {
    let mut names = ["initContainers", "containers"]
        .into_iter()
        .flat_map(|list| {
            template.pod.spec.iter().flat_map(move |spec| spec.fixed_names(list)).map(move |name| (list, name))
        })
        .peekable();
    let mut is_there = |(list, name): (&str, &str)| {
        tree.opened_list(list).iter().any(|item| item.by == By::Pod && item.is_named(name))
    };
    names.peek().is_some() && names.all(&mut is_there)
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
            let item = pod.list(list).iter_mut().find(|item| item.by == from && item.is_named(name));
            item.into_iter().for_each(|item| item.by = to);
        }
    }
}
