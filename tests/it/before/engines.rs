//! The two engines, each behind the same few functions. Where one has an item in another place, its own `use` says so.

use std::fmt::Debug;

/// What reading one document came to.
#[derive(Debug)]
pub(super) struct Loaded<T> {
    /// Its name and namespace, as far as they could be read.
    pub(super) name: Option<String>,
    pub(super) namespace: Option<String>,
    /// Nothing if it was refused.
    pub(super) template: Option<T>,
    pub(super) description: String,
    pub(super) warnings: Vec<String>,
    pub(super) problems: Vec<String>,
}

/// What a review came to.
#[derive(Debug)]
pub(super) struct Reviewed {
    pub(super) allowed: bool,
    pub(super) outcome: &'static str,
    pub(super) reason: &'static str,
    /// Name, outcome and reason.
    pub(super) templates: Vec<(String, &'static str, &'static str)>,
    /// What the pod is called and who owns it.
    pub(super) subject: String,
    pub(super) patch: String,
    /// The names that lead to no template; nothing if the review came to an end before.
    pub(super) unknown: Option<Vec<String>>,
    /// Everything that is told to people.
    pub(super) sentences: Vec<String>,
}

macro_rules! engine {
    () => {
        pub(in super::super) type Loaded = super::Loaded<Arc<Template>>;

        pub(in super::super) fn read(text: &str) -> Vec<Loaded> {
            let read = read_all(text, "a.yaml").into_iter();
            read.map(|result| match result {
                Ok(template) => Loaded {
                    name: Some(template.name.to_string()),
                    namespace: template.namespace.as_ref().map(ToString::to_string),
                    description: template.description.to_string(),
                    warnings: template.warnings.iter().map(ToString::to_string).collect(),
                    problems: Vec::new(),
                    template: Some(template.into()),
                },
                Err(refused) => Loaded {
                    name: refused.name.map(|name| name.to_string()),
                    namespace: refused.namespace,
                    template: None,
                    description: String::new(),
                    warnings: Vec::new(),
                    problems: refused.problems.iter().map(ToString::to_string).collect(),
                },
            })
            .collect()
        }

        /// A catalog of these; `skips` says what happens where there is no template to ask.
        pub(in super::super) fn catalog<'l>(loaded: impl IntoIterator<Item = &'l Loaded>, skips: bool) -> Catalog {
            let mut catalog = Catalog::new(if skips { OnError::Skip } else { OnError::Deny });
            for it in loaded {
                match (&it.template, &it.name) {
                    (Some(template), _) => catalog.insert(Arc::clone(template)),
                    (None, Some(name)) => {
                        let name = name.parse().expect("it was a name before");
                        catalog.refuse(name, it.namespace.as_deref(), "it is broken".into());
                    }
                    (None, None) => {}
                }
            }
            catalog
        }

        /// Reviews a pod in a namespace, of which only the name is known if it is a string.
        pub(in super::super) fn review(catalog: &Catalog, namespace: &Value, pod: &RawValue) -> Reviewed {
            let namespace = match namespace {
                Value::String(name) => Namespace::named(name),
                Value::Null => Namespace::unavailable("shop", "nobody knows it".into()),
                object => Namespace::from_object(object),
            };
            let name = namespace.name.clone();
            let review = Review::of_pod(&name, pod);
            let selected = select(catalog, &namespace, &review).ok();
            let unknown = selected.map(|it| it.unknown(catalog).iter().map(ToString::to_string).collect());
            let decision = decide(catalog, &namespace, &review);
            let of_templates = decision.templates.iter().filter_map(|it| it.message.clone());
            let warnings = decision.warnings.iter().map(|warning| warning.text.clone());
            Reviewed {
                allowed: decision.allowed(),
                outcome: decision.outcome.as_str(),
                reason: decision.reason.as_str(),
                templates: decision
                    .templates
                    .iter()
                    .map(|it| (it.name.to_string(), it.outcome.as_str(), it.reason.as_str()))
                    .collect(),
                subject: format!("{:?}", decision.subject),
                unknown,
                sentences: decision.message.iter().cloned().chain(of_templates).chain(warnings).collect(),
                patch: decision.patch.json,
            }
        }

        /// What is answered to a body, and to one that is too large to be read; why not, if nothing is.
        pub(in super::super) fn answer(catalog: &Catalog, body: &[u8]) -> Result<[Value; 2], String> {
            let review = Review::parse(body).map_err(|error| error.to_string())?;
            let decision = decide(catalog, &Namespace::named(review.namespace()), &review);
            Ok([decision, refuse_unread(&review, 1)]
                .map(|decision| serde_json::from_slice(&response(&review, &decision)).expect("an answer is JSON")))
        }
    };
}

pub(super) mod old {
    use std::sync::Arc;

    use pillion_engine_before::admission::Review;
    use pillion_engine_before::catalog::{Catalog, Namespace};
    use pillion_engine_before::load::read as read_all;
    use pillion_engine_before::response::response;
    use pillion_engine_before::template::{OnError, Template};
    use pillion_engine_before::{refuse_unread, review as decide, select};
    use serde_json::Value;
    use serde_json::value::RawValue;

    use super::Reviewed;

    engine!();
}

pub(super) mod new {
    use std::sync::Arc;

    use pillion_engine::admission::Review;
    use pillion_engine::catalog::{Catalog, Namespace};
    use pillion_engine::load::read as read_all;
    use pillion_engine::response::response;
    use pillion_engine::template::{OnError, Template};
    use pillion_engine::{refuse_unread, review as decide, select};
    use serde_json::Value;
    use serde_json::value::RawValue;

    use super::Reviewed;

    engine!();
}
