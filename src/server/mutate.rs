//! `POST /mutate`: a review comes in, a decision goes out, with one log line and the counters that belong to it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::http::header::{CONTENT_TYPE, HeaderValue};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use pillion_engine::admission::{self, MalformedReview, Review};
use pillion_engine::catalog::Namespace;
use pillion_engine::decision::{Decision, Outcome};
use tokio::task::block_in_place;
use tokio::time::timeout;

use crate::live::{InForce, Live};
use crate::metrics::Metrics;

/// From this size on a review may take milliseconds, and the other requests of the same thread should not wait for it.
const LARGE: usize = 256 * 1024;

/// What a review needs.
pub(crate) struct Mutate {
    /// The templates.
    pub(crate) live: Arc<Live>,
    /// Where it is counted.
    pub(crate) metrics: Arc<Metrics>,
    /// The largest body, in bytes.
    pub(crate) max_body: usize,
    /// How long a body may take to arrive.
    pub(crate) patience: Duration,
}

impl Mutate {
    /// The routes of the webhook.
    pub(crate) fn router(self) -> Router {
        Router::new().route("/mutate", post(mutate)).with_state(Arc::new(self))
    }
}

/// Why a request got no AdmissionReview in return.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
enum Refusal {
    #[error("the content type must be application/json")]
    ContentType,
    #[error("the body is larger than {0} bytes")]
    TooLarge(usize),
    #[error("the body did not arrive within {0:?}")]
    TooSlow(Duration),
    #[error("the body did not arrive whole")]
    Interrupted,
    #[error("{0}")]
    Malformed(#[from] MalformedReview),
    #[error("this is a bug in pillion; its log says where")]
    Panicked,
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let status = match self {
            Refusal::ContentType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Refusal::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Refusal::TooSlow(_) => StatusCode::REQUEST_TIMEOUT,
            Refusal::Interrupted | Refusal::Malformed(_) => StatusCode::BAD_REQUEST,
            Refusal::Panicked => StatusCode::INTERNAL_SERVER_ERROR,
        };
        (status, format!("{self}\n")).into_response()
    }
}

async fn mutate(State(mutate): State<Arc<Mutate>>, request: Request) -> Response {
    let begun = Instant::now();
    let _in_flight = mutate.metrics.in_flight();
    match mutate.answer(request, begun).await {
        Ok(json) => ([(CONTENT_TYPE, HeaderValue::from_static("application/json"))], json).into_response(),
        Err(refusal) => {
            match refusal {
                Refusal::Panicked => mutate.metrics.panicked(),
                _ => mutate.metrics.malformed(),
            }
            tracing::warn!(why = %refusal, "request refused");
            refusal.into_response()
        }
    }
}

impl Mutate {
    async fn answer(&self, request: Request, begun: Instant) -> Result<Vec<u8>, Refusal> {
        if !is_json(request.headers()) {
            return Err(Refusal::ContentType);
        }
        let body = timeout(self.patience, self.read(request)).await.map_err(|_| Refusal::TooSlow(self.patience))??;
        // One pod that the engine cannot take must not take the connection's other requests with it.
        let review = || catch_unwind(AssertUnwindSafe(|| self.review(&body, begun)));
        let reviewed = if body.len() > LARGE { block_in_place(review) } else { review() };
        reviewed.unwrap_or(Err(Refusal::Panicked))
    }

    async fn read(&self, request: Request) -> Result<Bytes, Refusal> {
        let body = Limited::new(request.into_body(), self.max_body).collect().await;
        match body {
            Ok(body) => Ok(body.to_bytes()),
            Err(error) if error.is::<LengthLimitError>() => Err(Refusal::TooLarge(self.max_body)),
            Err(_) => Err(Refusal::Interrupted),
        }
    }

    fn review(&self, body: &[u8], begun: Instant) -> Result<Vec<u8>, Refusal> {
        let review = Review::parse(body)?;
        let in_force = self.live.in_force();
        let decision = pillion_engine::review(&in_force.catalog, &Namespace::named(review.namespace()), &review);
        let json = admission::response(&review, &decision);
        let took = begun.elapsed();
        self.metrics.answered(review.operation(), &decision, took);
        count_injections(&in_force, &decision);
        log(&review, &decision, took);
        Ok(json)
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let Some(value) = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()) else {
        return false;
    };
    let mut parts = value.split(';').map(str::trim);
    parts.next().is_some_and(|kind| kind.eq_ignore_ascii_case("application/json"))
        && parts.all(|part| part.eq_ignore_ascii_case("charset=utf-8"))
}

fn count_injections(in_force: &InForce, decision: &Decision) {
    // A pod that one template refuses gets nothing of the others.
    if !decision.allowed() {
        return;
    }
    for template in &decision.templates {
        if template.outcome == Outcome::Injected
            && let Some(counter) = in_force.injections.get(&template.name)
        {
            counter.inc();
        }
    }
}

fn log(review: &Review<'_>, decision: &Decision, took: Duration) {
    let templates: Vec<String> =
        decision.templates.iter().map(|template| format!("{}={}", template.name, template.reason)).collect();
    tracing::info!(
        uid = review.uid(),
        operation = review.operation().as_str(),
        namespace = decision.subject.namespace,
        name = decision.subject.name,
        owner = decision.subject.owner,
        templates = templates.join(","),
        outcome = decision.outcome.as_str(),
        reason = decision.reason.as_str(),
        why = decision.message,
        warnings = (!decision.warnings.is_empty()).then(|| decision.warnings.join(" ")),
        operations = decision.patch.operations,
        dry_run = review.dry_run(),
        duration = took.as_secs_f64(),
        "decided",
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_in_utf_8_is_the_only_content_type() {
        let takes = |value: &'static str| is_json(&HeaderMap::from_iter([(CONTENT_TYPE, value.parse().unwrap())]));
        assert!(takes("application/json"));
        assert!(takes("Application/JSON; charset=UTF-8"));
        assert!(!takes("application/json; charset=latin-1"));
        assert!(!takes("application/yaml"));
        assert!(!takes("text/plain"));
        assert!(!is_json(&HeaderMap::new()));
    }
}
