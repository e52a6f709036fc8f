//! What every request has to put up with: it is JSON, not too large and there in time, and cannot hurt the others.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use axum::body::HttpBody as _;
use axum::extract::Request;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use http_body_util::BodyExt as _;
use pillion_engine::admission::{MalformedReview, Review};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
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

/// Bodies up to this size are taken whatever else is being read: there are at most as many as connections.
const SMALL: usize = 64 * 1024;
/// For all larger bodies at a time.
const MEMORY: usize = 32 * 1024 * 1024;
/// What one permit stands for.
const UNIT: usize = 1024;
/// Of a body that is too large, so many times its limit are read before the answer, because a client that is still writing
/// may not see one. JSON of an API server can be six times as long as what it stands for.
const DRAINED: usize = 8;

/// What bounds the bodies of requests.
#[derive(Clone, Debug)]
pub(super) struct Bodies {
    /// The largest, in bytes.
    pub(super) max: usize,
    /// How long one may take to arrive.
    patience: Duration,
    /// The memory for those that are not small.
    memory: Arc<Semaphore>,
}

/// The body of a request.
pub(super) struct Body {
    pub(super) bytes: Vec<u8>,
    /// Whether it is larger than is taken, and this is only its beginning.
    pub(super) is_cut: bool,
    _memory: Option<OwnedSemaphorePermit>,
}

impl Bodies {
    pub(super) fn new(max: usize, patience: Duration) -> Bodies {
        Bodies { max, patience, memory: Arc::new(Semaphore::new(MEMORY.max(max).div_ceil(UNIT))) }
    }

    /// Reads the JSON of a request.
    pub(super) async fn read(&self, request: Request) -> Result<Body, Refusal> {
        if !is_json(request.headers()) {
            return Err(Refusal::ContentType);
        }
        let read = timeout(self.patience, self.collect(request.into_body()));
        read.await.map_err(|_| Refusal::TooSlow(self.patience))?
    }

    async fn collect(&self, mut body: axum::body::Body) -> Result<Body, Refusal> {
        let announced = body.size_hint().exact().and_then(|bytes| usize::try_from(bytes).ok());
        let expected = announced.unwrap_or(self.max).min(self.max);
        let memory = if expected > SMALL {
            let permits = Arc::clone(&self.memory).acquire_many_owned(expected.div_ceil(UNIT) as u32);
            Some(permits.await.expect("the semaphore is never closed"))
        } else {
            None
        };
        let mut bytes = Vec::with_capacity(announced.map_or(0, |_| expected));
        let mut size = 0;
        while let Some(frame) = body.frame().await {
            let Ok(data) = frame.map_err(|_| Refusal::Interrupted)?.into_data() else { continue };
            let was_cut = size > self.max;
            size += data.len();
            if size <= self.max {
                bytes.extend_from_slice(&data);
                continue;
            }
            if !was_cut {
                bytes.extend_from_slice(&data[..data.len().min(SMALL)]);
                bytes.truncate(SMALL);
            }
            if size > DRAINED * self.max || !was_cut && Review::beginning(&bytes).is_none() {
                return Err(Refusal::TooLarge(self.max));
            }
        }
        Ok(Body { bytes, is_cut: size > self.max, _memory: memory })
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
