//! What a container runs: what a template brings is told by it from what only has its name.

use super::context::Context;
use crate::json::{Fragment, View};
use crate::template::Template;

/// Other webhooks may add to a container, but none of them changes these.
const PROGRAM: &[&str] = &["image", "command", "args", "restartPolicy"];

/// The fields of what a container runs that are not as a template gives them.
pub(super) fn other_program(
    existing: View<'_>,
    given: View<'_>,
    may_have: impl Fn(&str, &str) -> bool,
) -> impl Iterator<Item = &'static str> {
    PROGRAM.iter().copied().filter(move |field| is_other(field, existing, given, &may_have))
}

fn is_other(field: &str, existing: View<'_>, given: View<'_>, may_have: impl Fn(&str, &str) -> bool) -> bool {
    match field {
        "image" => !may_have(&existing.text("image"), &given.text("image")),
        field => existing.get(field).map(View::to_value) != given.get(field).map(View::to_value),
    }
}

impl Context<'_> {
    /// The first field of what a container runs that is not a template's, for the container that this gives the pod under
    /// its name. What expressions make of the pod may have been something else in an earlier call.
    pub(super) fn other_than_given(
        &self,
        template: &Template,
        list: &str,
        existing: View<'_>,
        given: View<'_>,
    ) -> Option<&'static str> {
        let varies = |part: &Fragment| template.pod.varies_with_pod(part);
        let name = existing.text("name");
        let brought = template.pod.containers_called(list, &name);
        // Where one has no other field that is the least.
        brought.map(|brought| self.other(template, existing, brought, given, varies)).min().flatten()
    }

    /// Whether a container may be one that a template brings under its name, as far as is written out there what that runs.
    pub(super) fn may_be_of(&self, template: &Template, list: &str, existing: View<'_>) -> bool {
        let varies = |part: &Fragment| !part.is_fixed;
        let name = existing.text("name");
        let mut brought = template.pod.containers_called(list, &name);
        brought.any(|brought| self.other(template, existing, brought, View::fragment(brought), varies).is_none())
    }

    /// The first field that differs. Of an image that varies what it starts with is known.
    fn other(
        &self,
        template: &Template,
        existing: View<'_>,
        brought: &Fragment,
        given: View<'_>,
        varies: impl Fn(&Fragment) -> bool,
    ) -> Option<&'static str> {
        let may_have = |image: &str, asked: &str| self.may_have_image(template, image, asked);
        let is_other = |field: &str| match brought.get(field) {
            Some(part) if varies(part) => {
                let start = template.pod.start_of(part).filter(|_| field == "image");
                start.is_some_and(|start| !self.may_start_with(template, &existing.text("image"), start))
            }
            _ => is_other(field, existing, given, may_have),
        };
        PROGRAM.iter().copied().find(|field| is_other(field))
    }
}
