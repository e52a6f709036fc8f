//! What the rules ask of single fields of a template's pod, as far as a schema for editors can say it.

use super::row::Must;
use super::table::OF_TEMPLATES;
use crate::names::DNS_LABEL;
use crate::schema::Schema;

/// The types that a pod is made of, as JSON: of each its fields, which are of a scalar type, refer to another type, or are
/// lists or maps, and the fields that Kubernetes' OpenAPI document requires.
pub use crate::schema::PUBLISHED as POD_TYPES;

/// What must be of a field.
#[derive(Clone, Copy, Debug)]
pub enum Limit {
    /// There.
    Required,
    /// There, and not empty.
    Filled,
    /// Not there, and why.
    Forbidden(&'static str),
    /// A DNS label, which is what the sentence says.
    Label(&'static str),
    /// Between these two.
    Within(i64, i64),
    /// One of these; of a list, each item.
    OneOf(&'static [&'static str]),
}

/// What must be of the fields of a type.
pub fn limits(of: &str) -> Vec<(&'static str, Limit)> {
    let Some(object) = Schema::get().objects.iter().find(|object| object.name == of) else { return Vec::new() };
    let rules = OF_TEMPLATES.of(object);
    let required = rules.required.iter().map(|field| (*field, Limit::Required));
    let filled = rules.filled.iter().map(|(field, _)| (*field, Limit::Filled));
    let of_fields = object.fields.names().zip(&rules.fields).flat_map(|(field, rows)| {
        rows.iter().filter_map(move |row| {
            let limit = match row.must {
                Must::NotBeSet(why) => Limit::Forbidden(why),
                Must::Be(_, DNS_LABEL) | Must::BeNamed(_, DNS_LABEL) => Limit::Label(DNS_LABEL),
                Must::BeWithin(low, high) => Limit::Within(low, high),
                Must::NotBeNegative => Limit::Within(0, i64::MAX),
                Must::BeOneOf(words) => Limit::OneOf(words),
                _ => return None,
            };
            Some((field, limit))
        })
    });
    required.chain(filled).chain(of_fields).collect()
}
