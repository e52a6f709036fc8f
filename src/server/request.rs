//! What every request has to put up with: it is JSON, not too large and there in time, and cannot hurt the others.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::Request;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use pillion_engine::admission::MalformedReview;
use tokio::task::block_in_place;
use tokio::time::timeout;

/// Why a request got no AdmissionReview in return.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub(super) enum Refusal {
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

/// What bounds the bodies of requests.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bodies {
    /// The largest, in bytes.
    pub(super) max: usize,
    /// How long one may take to arrive.
    pub(super) patience: Duration,
}

impl Bodies {
    /// Reads the JSON of a request.
    pub(super) async fn read(&self, request: Request) -> Result<Bytes, Refusal> {
        if !is_json(request.headers()) {
            return Err(Refusal::ContentType);
        }
        let Bodies { max, patience } = *self;
        let body = Limited::new(request.into_body(), max).collect();
        match timeout(patience, body).await.map_err(|_| Refusal::TooSlow(patience))? {
            Ok(body) => Ok(body.to_bytes()),
            Err(error) if error.is::<LengthLimitError>() => Err(Refusal::TooLarge(max)),
            Err(_) => Err(Refusal::Interrupted),
        }
    }
}

/// Does the work that a request asks for. One that panics must not take the connection's other requests with it, and one
/// that takes milliseconds must not keep those of the same thread waiting.
pub(super) fn guarded<T>(is_long: bool, work: impl FnOnce() -> T) -> Result<T, Refusal> {
    let work = || catch_unwind(AssertUnwindSafe(work)).map_err(|_| Refusal::Panicked);
    if is_long { block_in_place(work) } else { work() }
}

fn is_json(headers: &HeaderMap) -> bool {
    let Some(value) = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()) else {
        return false;
    };
    let mut parts = value.split(';').map(str::trim);
    parts.next().is_some_and(|kind| kind.eq_ignore_ascii_case("application/json"))
        && parts.all(|part| part.eq_ignore_ascii_case("charset=utf-8"))
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

    #[tokio::test(flavor = "multi_thread")]
    async fn work_that_panics_ends_in_an_answer() {
        for is_long in [false, true] {
            assert_eq!(guarded(is_long, || panic!("no such pod")), Err::<(), _>(Refusal::Panicked));
            assert_eq!(guarded(is_long, || 1), Ok(1));
        }
        assert_eq!(Refusal::Panicked.into_response().status(), StatusCode::INTERNAL_SERVER_ERROR);
    }
}
