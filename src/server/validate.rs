//! `POST /validate`: a template resource is refused before it is stored, by the code that reads template files.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use kube::core::DynamicObject;
use kube::core::admission::{AdmissionRequest, AdmissionResponse, AdmissionReview};
use tokio::task::block_in_place;

use super::request::{Bodies, Refusal};
use crate::cluster::templates::{Kind, Resource};
use crate::live;
use crate::metrics::{Metrics, Validated};

/// The most problems that one refusal names.
const MAX_PROBLEMS: usize = 8;

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
    let refused = |why: &dyn std::fmt::Display, response: Response| {
        validate.metrics.validated(Validated::Malformed);
        tracing::warn!(%why, "validation request refused");
        response
    };
    let body = match validate.bodies.read(request).await {
        Ok(body) => body,
        Err(refusal) => return refused(&refusal, refusal.into_response()),
    };
    let request: Result<AdmissionRequest<DynamicObject>, _> = serde_json::from_slice::<AdmissionReview<_>>(&body)
        .map_err(|_| ())
        .and_then(|it| it.try_into().map_err(|_| ()));
    let Ok(request) = request else {
        let refusal = Refusal::Malformed(pillion_engine::admission::MalformedReview::NotAReview);
        return refused(&refusal, (StatusCode::BAD_REQUEST, format!("{refusal}\n")).into_response());
    };
    // A template can take milliseconds to compile, and reviews should not wait for it.
    let response = block_in_place(|| answer(request));
    validate.metrics.validated(if response.allowed { Validated::Accepted } else { Validated::Refused });
    Json(response.into_review()).into_response()
}

fn answer(request: AdmissionRequest<DynamicObject>) -> AdmissionResponse {
    let mut response = AdmissionResponse::from(&request);
    let kind = Kind::ALL.into_iter().find(|kind| kind.as_str() == request.kind.kind);
    let (Some(kind), Some(object)) = (kind, request.object) else { return response };
    // Finalizers and labels of a template that is broken already, such as one from an older version, can be changed.
    if request.old_object.is_some_and(|old| old.data["spec"] == object.data["spec"]) {
        return response;
    }
    let resource = Resource::of(kind, object);
    let (name, namespace) = (resource.identity.name.clone(), resource.identity.namespace.clone());
    match live::read(&resource.identity, resource.document) {
        Ok(template) => {
            tracing::info!(kind = kind.as_str(), namespace, name, outcome = "accepted", "template validated");
            let warnings: Vec<String> = template.warnings().iter().map(ToString::to_string).collect();
            response.warnings = (!warnings.is_empty()).then_some(warnings);
            response
        }
        Err(mut problems) => {
            tracing::info!(
                kind = kind.as_str(),
                namespace,
                name,
                outcome = "refused",
                why = problems[0],
                "template validated"
            );
            let more = problems.len().saturating_sub(MAX_PROBLEMS);
            problems.truncate(MAX_PROBLEMS);
            if more > 0 {
                problems.push(format!("and {more} more"));
            }
            response.deny(problems.join("; "))
        }
    }
}
