//! Whether a container or volume of the pod is what a template brings, or only has its name.

use std::borrow::Cow;

use super::contains::lacking;
use super::context::Context;
use crate::json::{Fragment, View};
use crate::schema::Schema;
use crate::template::Template;

/// Other webhooks may add to a container, but none of them changes these.
const PROGRAM: &[&str] = &["image", "command", "args", "restartPolicy"];

impl Context<'_> {
    /// The first field of what a container runs that is not a template's, for the container that this gives the pod under
    /// its name. What expressions make of the pod may have been something else in an earlier call.
    pub(super) fn other_program(
        &self,
        template: &Template,
        list: &str,
        existing: View<'_>,
        given: View<'_>,
    ) -> Option<&'static str> {
        let name = existing.text("name");
        let brought = template.pod.called(list, &name);
        let varies = |part: &Fragment| template.pod.varies_with_pod(part);
        // Where one has no other field that is the least.
        brought.map(|brought| self.other(template, existing, brought, given, varies)).min().flatten()
    }

    /// Whether a container may be one that a template brings under its name, as far as is written out there what that runs.
    pub(super) fn may_be_of(&self, template: &Template, list: &str, existing: View<'_>) -> bool {
        let name = existing.text("name");
        let mut brought = template.pod.called(list, &name);
        let varies = |part: &Fragment| !part.is_fixed;
        brought.any(|brought| self.other(template, existing, brought, View::fragment(brought), varies).is_none())
    }

    /// Whether a container runs and holds what a template gives under its name, as far as this does not vary with the pod:
    /// what the template added has changed the pod since.
    pub(super) fn is_copy_of_container(
        &self,
        template: &Template,
        list: &str,
        existing: View<'_>,
        given: View<'_>,
    ) -> bool {
        let name = existing.text("name");
        self.other_program(template, list, existing, given).is_none()
            && self.lacking(template, existing, given).all(|field| template.pod.may_vary(list, &name, &field))
    }

    /// The same of a volume.
    pub(super) fn is_copy_of_volume(&self, template: &Template, existing: View<'_>, given: View<'_>) -> bool {
        let name = existing.text("name");
        lacking(existing, given, Schema::get().volume).all(|field| template.pod.may_vary("volumes", &name, &field))
    }

    /// The fields of what a template gives that a container does not hold.
    pub(super) fn lacking<'v>(
        &self,
        template: &Template,
        existing: View<'v>,
        given: View<'v>,
    ) -> impl Iterator<Item = Cow<'v, str>> {
        lacking(existing, given, Schema::get().container).filter(move |field| match &**field {
            "image" => !self.may_have_image(template, &existing.text("image"), &given.text("image")),
            // `kubectl debug --copy-to` takes them out.
            field => !field.ends_with("Probe") || existing.get(field).is_some(),
        })
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
        let image = || existing.text("image");
        let is_other = |field: &str| match (field, brought.get(field)) {
            ("image", Some(part)) if varies(part) => {
                template.pod.start_of(part).is_some_and(|start| !self.may_start_with(template, &image(), start))
            }
            (_, Some(part)) if varies(part) => false,
            ("image", _) => !self.may_have_image(template, &image(), &given.text("image")),
            _ => existing.get(field).map(View::to_value) != given.get(field).map(View::to_value),
        };
        PROGRAM.iter().copied().find(|field| is_other(field))
    }
}
