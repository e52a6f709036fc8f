//! `POST /validate`: refuses broken template resources before they are stored, with the code that reads template files.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use kube::core::DynamicObject;
use kube::core::admission::{AdmissionRequest, AdmissionResponse, AdmissionReview};
use pillion_engine::admission::MalformedReview;

use super::request::{Bodies, Refusal, guarded};
use crate::cluster::templates::{TemplateKind, TemplateResource, read};
use crate::metrics::{Metrics, ValidationResult};

/// The most problems or warnings that one answer names.
const MAX_NAMED: usize = 8;

/// What validation needs.
pub(super) struct Validate {
    /// Where it is counted.
    pub(super) metrics: Arc<Metrics>,
    /// What bounds the requests.
    pub(super) bodies: Bodies,
}

impl Validate {
    /// The routes of validation.
    pub(super) fn router(self) -> Router {
        Router::new().route("/validate", post(validate)).with_state(Arc::new(self))
    }
}

async fn validate(State(validate): State<Arc<Validate>>, request: Request) -> Response {
    match validate.answer(request).await {
        Ok(response) => {
            validate.metrics.validated(if response.allowed {
                ValidationResult::Accepted
            } else {
                ValidationResult::Refused
            });
            Json(response.into_review()).into_response()
        }
        Err(refusal) => {
            validate.metrics.validated(ValidationResult::Malformed);
            tracing::warn!(why = %refusal, "validation request refused");
            refusal.into_response()
        }
    }
}

impl Validate {
    async fn answer(&self, request: Request) -> Result<AdmissionResponse, Refusal> {
        let body = self.bodies.read(request).await?;
        if body.is_cut {
            return Err(Refusal::TooLarge(self.bodies.max));
        }
        // A template can take milliseconds to compile.
        guarded(true, || Ok(answer(parse(&body.bytes)?)))?
    }
}

fn parse(body: &[u8]) -> Result<AdmissionRequest<DynamicObject>, MalformedReview> {
    let review = serde_json::from_slice::<AdmissionReview<_>>(body).map_err(|_| MalformedReview::NotAReview)?;
    review.try_into().map_err(|_| MalformedReview::NotAReview)
}

fn answer(request: AdmissionRequest<DynamicObject>) -> AdmissionResponse {
    let mut response = AdmissionResponse::from(&request);
    let kind = TemplateKind::ALL.into_iter().find(|kind| kind.as_str() == request.kind.kind);
    let (Some(kind), Some(object)) = (kind, request.object) else { return response };
    // Finalizers and labels of a template that is broken already, such as one from an older version, can be changed.
    if request.old_object.is_some_and(|old| old.data["spec"] == object.data["spec"]) {
        return response;
    }
    let resource = TemplateResource::of(kind, object);
    let (name, namespace) = (resource.identity.name.clone(), resource.identity.namespace.clone());
    match read(&resource.identity, resource.document) {
        Ok(template) => {
            tracing::info!(kind = kind.as_str(), namespace, name, outcome = "accepted", "template validated");
            let warnings = named(template.warnings.iter().map(ToString::to_string).collect());
            response.warnings = (!warnings.is_empty()).then_some(warnings);
            response
        }
        Err(problems) => {
            let why = problems.first();
            tracing::info!(kind = kind.as_str(), namespace, name, outcome = "refused", why, "template validated");
            response.deny(named(problems).join("; "))
        }
    }
}

/// As many texts as an answer names, and how many more there are.
fn named(mut texts: Vec<String>) -> Vec<String> {
    let more = texts.len().saturating_sub(MAX_NAMED);
    texts.truncate(MAX_NAMED);
    if more > 0 {
        texts.push(format!("and {more} more"));
    }
    texts
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn good() -> Value {
        json!({"pod": {"metadata": {"labels": {"a": "b"}}}})
    }

    fn template(spec: Value) -> Value {
        json!({"apiVersion": "pillion.dev/v1alpha1", "kind": "InjectionTemplate",
               "metadata": {"name": "meter", "namespace": "shop"}, "spec": spec})
    }

    fn review(kind: &str, operation: &str, object: Value, old: Value) -> Vec<u8> {
        let review = json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {
            "uid": "1",
            "kind": {"group": "pillion.dev", "version": "v1alpha1", "kind": kind},
            "resource": {"group": "pillion.dev", "version": "v1alpha1", "resource": "injectiontemplates"},
            "namespace": "shop", "name": "meter", "operation": operation, "userInfo": {},
            "object": object, "oldObject": old,
        }});
        review.to_string().into_bytes()
    }

    /// Why a template is refused, or an empty text.
    fn refused(operation: &str, object: Value, old: Value) -> String {
        let response = answer(parse(&review("InjectionTemplate", operation, object, old)).unwrap());
        assert_eq!((response.uid.as_str(), response.allowed), ("1", response.result.message.is_empty()));
        response.result.message
    }

    #[test]
    fn a_template_that_can_be_used_may_be_stored() {
        assert_eq!(refused("CREATE", template(good()), Value::Null), "");
    }

    #[test]
    fn a_broken_template_is_refused_with_its_place_and_the_nearest_name() {
        let why = refused("CREATE", template(json!({"pood": {}})), Value::Null);
        assert!(
            why.starts_with(
                "InjectionTemplate shop/meter: spec.pood is not a field of a template's spec; did you mean pod?; "
            ),
            "{why}"
        );
    }

    #[test]
    fn a_refusal_names_so_many_problems_and_counts_the_others() {
        let spec: Value = (0..20).map(|number| (format!("x{number}"), json!(1))).collect();
        let why = refused("CREATE", template(spec), Value::Null);
        assert_eq!(why.matches("is not a field").count(), MAX_NAMED);
        assert!(why.ends_with("; and 13 more"), "{why}");
    }

    #[test]
    fn a_broken_template_can_be_changed_in_all_but_its_spec() {
        let broken = template(json!({"pood": {}}));
        let mut labelled = broken.clone();
        labelled["metadata"]["labels"] = json!({"a": "b"});
        assert_eq!(refused("UPDATE", labelled, broken.clone()), "");
        assert_eq!(refused("UPDATE", template(good()), broken.clone()), "");
        assert_ne!(refused("UPDATE", broken, template(good())), "");
    }

    #[test]
    fn deletions_and_other_kinds_are_allowed() {
        assert_eq!(refused("DELETE", Value::Null, template(json!({"pood": {}}))), "");
        let other = review("ConfigMap", "CREATE", template(json!({"pood": {}})), Value::Null);
        assert!(answer(parse(&other).unwrap()).allowed);
    }

    #[test]
    fn what_should_be_better_is_a_warning() {
        let spec =
            json!({"pod": {"spec": {"initContainers": [{"name": "a", "image": "a", "restartPolicy": "Always"}]}}});
        let review = review("InjectionTemplate", "CREATE", template(spec), Value::Null);
        let response = answer(parse(&review).unwrap());
        assert!(response.allowed);
        let warnings = response.warnings.unwrap();
        assert!(warnings.iter().any(|warning| warning.contains("image names no version")), "{warnings:?}");
    }

    #[test]
    fn what_is_no_review_says_so() {
        for body in ["", "{}", "[]", "{\"kind\": \"AdmissionReview\", \"apiVersion\": \"admission.k8s.io/v1\"}"] {
            assert!(parse(body.as_bytes()).is_err(), "{body}");
        }
    }
}
