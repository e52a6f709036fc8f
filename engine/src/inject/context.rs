//! What a merge depends on beside the pod and the template.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::collections::HashSet;

use super::render::Rendered;
use super::status::Status;
use crate::image::{ImageMirror, is_made_of, may_stand_for};
use crate::json::{By, Fragment, Node};
use crate::template::{Placement, Template};

/// The call at hand: who brought what the pod has, and what else is added.
pub(super) struct Context<'a> {
    /// The templates of this call, in order.
    pub(super) names: &'a [Cow<'a, str>],
    /// Those of earlier calls.
    pub(super) status: &'a Status<'a>,
    /// What these added, and is not there any more.
    pub(super) missing: HashSet<&'a str>,
    /// What the templates of this call give, as far as they were rendered.
    pub(super) rendered: &'a [OnceCell<Rendered<'a>>],
    /// Where containers may have the images of all templates from.
    pub(super) image_mirrors: &'a [ImageMirror],
    /// The mount that the API server would add to a new container.
    pub(super) token: Option<&'a Fragment>,
    /// Whether the result at each place is asked for.
    pub(super) explains: bool,
}

impl<'a> Context<'a> {
    /// The template that brought something.
    pub(super) fn name(&self, by: By) -> Option<&'a str> {
        match by {
            By::Pod | By::Pillion => None,
            By::Earlier(number) => Some(&self.status.templates[usize::from(number)].name),
            By::Now(number) | By::Copy(number) => Some(&self.names[usize::from(number)]),
        }
    }

    /// Whether a template that the namespace requires brought something.
    pub(super) fn is_of_required(&self, by: By) -> bool {
        let number = self.name(by).and_then(|name| self.names.iter().position(|it| it == name));
        let rendered = number.and_then(|number| self.rendered[number].get());
        rendered.is_some_and(|rendered| rendered.required)
    }

    /// Whether a template added something in an earlier call that is not there any more.
    pub(super) fn is_missing(&self, template: &str, pointer: &str) -> bool {
        self.missing.contains(pointer)
            && self.status.record(template).is_some_and(|record| record.added.iter().any(|added| added == pointer))
    }

    /// Whether a container may have an image where a template asks for another.
    pub(super) fn may_have_image(&self, template: &Template, image: &str, asked: &str) -> bool {
        may_stand_for(image, asked, template.image_mirrors.iter().chain(self.image_mirrors))
    }

    /// The same where a template says what is written out of the other; `None` where that does not tell its registry.
    pub(super) fn is_made_of(&self, template: &Template, image: &str, written: &[&str]) -> Option<bool> {
        is_made_of(image, written, template.image_mirrors.iter().chain(self.image_mirrors))
    }

    /// The names of volumes that templates behind one of this call brought in an earlier one, and that none up to it gives
    /// as well.
    pub(super) fn volumes_of_later(&self, number: u16, given: &HashSet<&str>, tree: &Node<'_>) -> HashSet<String> {
        let later = &self.names[usize::from(number) + 1..];
        let is_later = |node: &&Node<'_>| {
            matches!(node.by, By::Earlier(_) | By::Copy(_))
                && self.name(node.by).is_some_and(|name| later.iter().any(|it| it == name))
        };
        let volumes = tree.opened_list("volumes").iter().filter(is_later);
        let names = volumes.map(|node| node.view().text("name").into_owned());
        names.filter(|name| !given.contains(name.as_str())).collect()
    }

    /// Where a template of this call put its init containers.
    pub(super) fn placement(&self, by: By) -> Option<&'a Placement> {
        let By::Now(number) = by else { return None };
        self.rendered[usize::from(number)].get().map(|rendered| &rendered.template.placement)
    }
}
