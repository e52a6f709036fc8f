//! Whether a container or volume of the pod is what a template brings, or only has its name.

use std::borrow::Cow;

use super::contains::lacking;
use super::context::Context;
use crate::json::View;
use crate::schema::Schema;
use crate::template::Template;
use crate::text::stand_around;

/// Other webhooks may add to a container, but none of them changes these.
const PROGRAM: &[&str] = &["image", "command", "args", "restartPolicy"];

impl Context<'_> {
    /// The first field of what a container runs that is not as a template gives it under its name. What expressions make of
    /// the pod may have been something else in an earlier call: of that what is written out around them counts.
    pub(super) fn other_program(
        &self,
        template: &Template,
        list: &str,
        existing: View<'_>,
        given: View<'_>,
    ) -> Option<&'static str> {
        let (pod, name) = (&template.pod, existing.text("name"));
        let varying = |field: &str| {
            let mut parts = pod.called(list, &name).filter_map(move |brought| brought.get(field));
            parts.find(|part| pod.varies_with_pod(part))
        };
        let is_other = |field: &str| match (field, varying(field)) {
            ("image", part) => {
                let (image, asked) = (existing.text("image"), given.text("image"));
                let written = part.and_then(|part| pod.written(part));
                let is_made = written.and_then(|written| self.is_made_of(template, &image, &written));
                !is_made.unwrap_or_else(|| self.may_have_image(template, &image, &asked))
            }
            (_, Some(part)) if part.items().len() == given.list(field).count() => {
                let words = existing.list(field).zip(given.list(field)).zip(part.items());
                let mut words = words.map(|((existing, given), part)| {
                    match pod.written(part).filter(|_| pod.varies_with_pod(part)) {
                        Some(written) => existing.string().is_some_and(|it| is_made_of(&it, &written)),
                        None => existing.string() == given.string(),
                    }
                });
                existing.list(field).count() != part.items().len() || !words.all(|is_same| is_same)
            }
            // An API server omits empty lists.
            _ => {
                let of = |view: View<'_>| view.get(field).filter(|value| !value.is_empty()).map(View::to_value);
                of(existing) != of(given)
            }
        };
        PROGRAM.iter().copied().find(|field| is_other(field))
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
}

/// Whether a text is one with expressions between these.
fn is_made_of(text: &str, written: &[&str]) -> bool {
    match written {
        [first, middle @ .., last] => stand_around(text, first, middle.iter().copied(), last),
        _ => false,
    }
}

/// Whether a volume is as a template gives it, as far as this does not vary with the pod.
pub(super) fn is_copy_of_volume(template: &Template, existing: View<'_>, given: View<'_>) -> bool {
    let name = existing.text("name");
    let varies = |field: &str| existing.get(field).is_some() && template.pod.may_vary("volumes", &name, field);
    lacking(existing, given, Schema::get().volume).all(|field| varies(&field))
}
