//! The checks of every request: it must be JSON, not too large and arrive in time. A panic ends only its own request.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use axum::body::HttpBody as _;
use axum::extract::Request;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use http_body_util::BodyExt as _;
use pillion_engine::admission::MalformedReview;
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
    #[error("too many large bodies are being read at the moment")]
    Busy,
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
            Refusal::Busy => StatusCode::SERVICE_UNAVAILABLE,
            Refusal::Panicked => StatusCode::INTERNAL_SERVER_ERROR,
        };
        (status, format!("{self}\n")).into_response()
    }
}

/// So much of each body is read whatever else is being read: there are at most as many as connections.
const SMALL: usize = 32 * 1024;
/// The bytes of all larger bodies that are held at a time.
const LARGER: usize = 32 * 1024 * 1024;
/// How long the rest of a larger body may take to arrive: nobody else can have its place meanwhile.
const REST: Duration = Duration::from_secs(2);
/// Of a review that is too large, so many times the limit are read before the answer, because a client that is still
/// writing may not see one. JSON of an API server can be six times as long as what it stands for.
const DRAINED: usize = 8;

/// What bounds the bodies of requests.
#[derive(Clone, Debug)]
pub(super) struct Bodies {
    /// The largest, in bytes.
    pub(super) max: usize,
    /// How long one may take to arrive.
    patience: Duration,
    /// Places for larger ones, each of the largest size.
    places: Arc<Semaphore>,
}

/// The body of a request.
pub(super) struct Body {
    pub(super) bytes: Vec<u8>,
    /// Whether this is a review without its object, because it is too large with it.
    pub(super) is_cut: bool,
    _place: Option<OwnedSemaphorePermit>,
}

impl Bodies {
    pub(super) fn new(max: usize, patience: Duration) -> Bodies {
        Bodies { max, patience, places: Arc::new(Semaphore::new((LARGER / max).max(1))) }
    }

    /// Reads the JSON of a request.
    pub(super) async fn read(&self, request: Request) -> Result<Body, Refusal> {
        if !is_json(request.headers()) {
            return Err(Refusal::ContentType);
        }
        let Bodies { max, patience, .. } = *self;
        let mut body = request.into_body();
        let announced = body.size_hint().exact().map_or(max, |bytes| usize::try_from(bytes).unwrap_or(max));
        let mut bytes = Vec::with_capacity(announced.min(SMALL));
        let is_small = timeout(patience, collect(&mut body, &mut bytes, SMALL.min(max)));
        if is_small.await.map_err(|_| Refusal::TooSlow(patience))?? {
            return Ok(Body { bytes, is_cut: false, _place: None });
        }
        let place = timeout(patience, Arc::clone(&self.places).acquire_owned());
        let place = place.await.map_err(|_| Refusal::Busy)?.expect("the semaphore is never closed");
        bytes.reserve_exact(announced.min(max).saturating_sub(bytes.len()));
        let rest = patience.min(REST);
        let is_whole = timeout(rest, collect(&mut body, &mut bytes, max));
        if is_whole.await.map_err(|_| Refusal::TooSlow(rest))?? {
            return Ok(Body { bytes, is_cut: false, _place: Some(place) });
        }
        let beginning = without_object(&bytes).ok_or(Refusal::TooLarge(max))?;
        drop((bytes, place));
        let is_drained = timeout(rest, drain(body, DRAINED.saturating_mul(max)));
        if !is_drained.await.map_err(|_| Refusal::TooSlow(rest))?? {
            return Err(Refusal::TooLarge(max));
        }
        Ok(Body { bytes: beginning, is_cut: true, _place: None })
    }
}

/// Reads until there are more than `max` bytes; true at the end of the body.
async fn collect(body: &mut axum::body::Body, bytes: &mut Vec<u8>, max: usize) -> Result<bool, Refusal> {
    while bytes.len() <= max {
        let Some(frame) = body.frame().await else { return Ok(true) };
        if let Ok(data) = frame.map_err(|_| Refusal::Interrupted)?.into_data() {
            bytes.extend_from_slice(&data);
        }
    }
    Ok(false)
}

/// Reads at most so many bytes more, and forgets them; true at the end of the body.
async fn drain(mut body: axum::body::Body, max: usize) -> Result<bool, Refusal> {
    let mut read = 0;
    while read <= max {
        let Some(frame) = body.frame().await else { return Ok(true) };
        read += frame.map_err(|_| Refusal::Interrupted)?.into_data().map_or(0, |data| data.len());
    }
    Ok(false)
}

/// A review whose end is missing, without its object: an API server writes everything that an answer needs before that.
fn without_object(beginning: &[u8]) -> Option<Vec<u8>> {
    // Inside of a string the quotes would be escaped.
    const OBJECT: &[u8] = br#""object":"#;
    let at = beginning[..beginning.len().min(SMALL)].windows(OBJECT.len()).position(|text| text == OBJECT)?;
    Some([&beginning[..at], OBJECT, b"null}}"].concat())
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
    use std::convert::Infallible;

    use axum::body::Bytes;
    use futures_util::{StreamExt as _, stream};
    use tokio::join;
    use tokio::time::Instant;

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

    #[tokio::test(start_paused = true)]
    async fn a_large_body_waits_for_a_place_and_a_small_one_does_not() {
        // So large that there is one place.
        let bodies = Bodies::new(LARGER, Duration::from_secs(10));
        let began = Instant::now();
        let read = async |body: axum::body::Body| {
            let request = Request::builder().header(CONTENT_TYPE, "application/json").body(body).unwrap();
            let read = bodies.read(request).await.map(|body| body.bytes.len());
            (read, began.elapsed())
        };
        let large = Bytes::from(vec![b' '; 2 * SMALL]);
        let never_ends = stream::iter([Ok::<_, Infallible>(large.clone())]).chain(stream::pending());

        let all = join!(read(axum::body::Body::from_stream(never_ends)), read(large.into()), read("{}".into()));

        let (slow, waits, small) = all;
        assert_eq!(slow, (Err(Refusal::TooSlow(REST)), REST));
        assert_eq!(waits, (Ok(2 * SMALL), REST));
        assert_eq!(small, (Ok(2), Duration::ZERO));
    }

    #[test]
    fn a_review_can_be_read_without_its_object() {
        let review =
            br#"{"apiVersion":"admission.k8s.io/v1","request":{"uid":"1","name":"\"object\":","object":{"spec":{"#;
        let beginning = without_object(review).unwrap();
        let review = pillion_engine::admission::Review::parse(&beginning).unwrap();
        assert_eq!(review.uid(), "1");
        assert_eq!(without_object(b"    "), None);
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
