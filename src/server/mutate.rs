//! `POST /mutate`: answers a review, with one log line and its counters.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{Request, State};
use axum::http::header::{CONTENT_TYPE, HeaderValue};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use pillion_engine::admission::Review;
use pillion_engine::catalog::{Catalog, Namespace};
use pillion_engine::decision::{Decision, Outcome};
use pillion_engine::response;
use pillion_engine::template::TemplateName;
use tokio::sync::{Semaphore, SemaphorePermit};
use tracing::Instrument as _;

use super::request::{Bodies, Refusal, guarded};
use crate::catalog::{CatalogHandle, Snapshot};
use crate::cluster::Cluster;
use crate::cluster::events::{Events, MAX_NAME};
use crate::metrics::Metrics;
use crate::telemetry::{self, Templates};

/// From this size on a review may take milliseconds.
const LARGE: usize = 256 * 1024;
/// Reviews that are large, or heavy to respond to, and may go on at a time: each may use up to 64 MiB.
pub(super) const HEAVY_AT_A_TIME: usize = 2;

/// What a review needs.
pub(super) struct Mutate {
    /// The templates.
    pub(super) catalog: Arc<CatalogHandle>,
    /// The cluster, if it is watched.
    pub(super) cluster: Option<Arc<Cluster>>,
    /// Where warnings are recorded for events, if the cluster is watched.
    pub(super) events: Option<Events>,
    /// Where it is counted.
    pub(super) metrics: Arc<Metrics>,
    /// What bounds the requests.
    pub(super) bodies: Bodies,
    /// The turns of reviews that are large, or heavy to respond to.
    pub(super) heavy: Semaphore,
}

impl Mutate {
    /// The routes of mutation.
    pub(super) fn router(self) -> Router {
        Router::new().route("/mutate", post(mutate)).with_state(Arc::new(self))
    }
}

async fn mutate(State(mutate): State<Arc<Mutate>>, request: Request) -> Response {
    let begun = Instant::now();
    let _in_flight = mutate.metrics.in_flight();
    let span = telemetry::review_span(request.headers());
    match mutate.answer(request, begun).instrument(span.clone()).await {
        Ok(json) => ([(CONTENT_TYPE, HeaderValue::from_static("application/json"))], json).into_response(),
        Err(refusal) => {
            match refusal {
                Refusal::Panicked => mutate.metrics.panicked(),
                _ => mutate.metrics.malformed(),
            }
            telemetry::trace_refusal(&span, refusal);
            tracing::warn!(why = %refusal, "request refused");
            refusal.into_response()
        }
    }
}

impl Mutate {
    async fn answer(&self, request: Request, begun: Instant) -> Result<Vec<u8>, Refusal> {
        let deadline = deadline(request.uri().query(), begun);
        let body = self.bodies.read(request).await?;
        if body.is_cut {
            let review = Review::parse(&body.bytes)?;
            let (decision, json) = answered(&review, pillion_engine::refuse_unread(&review, self.bodies.max));
            self.report(&review, &decision, begun.elapsed());
            return Ok(json);
        }
        let is_large = body.bytes.len() > LARGE;
        // Taken before anything is opened, and kept to the end, lookups included.
        let mut turn = if is_large { self.turn().await } else { None };
        let review = guarded(is_large, || Review::parse(&body.bytes))??;
        let namespace = match &self.cluster {
            Some(cluster) => cluster.namespace(review.namespace(), deadline).await,
            None => Arc::new(Namespace::named(review.namespace())),
        };
        let snapshot = self.catalog.snapshot();
        let selected = guarded(is_large, || pillion_engine::select(&snapshot.catalog, &namespace, &review))?;
        let (decision, json) = match selected {
            Ok(selection) => {
                let missing = selection.unknown(&snapshot.catalog);
                let found = self.with_missing(&snapshot, missing, &review, deadline).await;
                let catalog = found.as_ref().unwrap_or(&snapshot.catalog);
                let is_heavy = is_large || selection.is_heavy(catalog);
                if is_heavy && turn.is_none() {
                    turn = self.turn().await;
                }
                guarded(is_heavy, || answered(&review, selection.respond(catalog)))?
            }
            Err(decision) => guarded(is_large, || answered(&review, *decision))?,
        };
        drop(turn);
        self.count_injections(&snapshot, &decision);
        self.report(&review, &decision, begun.elapsed());
        Ok(json)
    }

    /// Counts, logs and traces a decision, and records its warnings for events.
    fn report(&self, review: &Review<'_>, decision: &Decision, took: Duration) {
        self.metrics.answered(review.operation(), decision, took);
        log(review, decision, took);
        telemetry::trace_decision(review, decision);
        if let Some(events) = &self.events {
            events.record(review, decision);
        }
    }

    /// Waits until a large or heavy review may go on.
    async fn turn(&self) -> Option<SemaphorePermit<'_>> {
        // It is never closed.
        self.heavy.acquire().await.ok()
    }

    fn count_injections(&self, snapshot: &Snapshot, decision: &Decision) {
        // A pod that is refused gets nothing of any template.
        if !decision.allowed() {
            return;
        }
        for template in decision.templates.iter().filter(|template| template.outcome == Outcome::Injected) {
            match snapshot.injections.get(&template.name) {
                Some(counter) => counter.inc(),
                // It was looked up, and the watch will bring it.
                None => self.metrics.injected(&template.name),
            }
        }
    }

    /// The catalog with the templates that it lacks, if the API server has any of them.
    async fn with_missing(
        &self,
        snapshot: &Snapshot,
        missing: Vec<TemplateName>,
        review: &Review<'_>,
        deadline: tokio::time::Instant,
    ) -> Option<Catalog> {
        let cluster = self.cluster.as_ref().filter(|_| !missing.is_empty())?;
        let found = cluster.templates(snapshot.kinds, &missing, review.namespace(), deadline).await;
        (!found.is_empty()).then(|| snapshot.with(found))
    }
}

/// A decision, and the answer to the review.
fn answered(review: &Review<'_>, decision: Decision) -> (Decision, Vec<u8>) {
    let json = response::response(review, &decision);
    (decision, json)
}

/// Until when a review may wait for the API server: half of the time that the latter gives it, at most a few seconds. The
/// API server sends that time, in whole seconds, in the query: `timeout=5s`.
fn deadline(query: Option<&str>, begun: Instant) -> tokio::time::Instant {
    const MOST: Duration = Duration::from_secs(2);
    let given = query.and_then(|query| query.split('&').find_map(|pair| pair.strip_prefix("timeout=")));
    let seconds = given.and_then(|given| given.strip_suffix('s')?.parse().ok());
    let patience = seconds.map_or(MOST, |seconds| Duration::from_secs(seconds).min(2 * MOST) / 2);
    (begun + patience).into()
}

/// As much of a name as may be one: names are judged after us, and until then may be as long as a review.
fn cut(name: &str) -> &str {
    name.char_indices().nth(MAX_NAME).map_or(name, |(end, _)| &name[..end])
}

fn log(review: &Review<'_>, decision: &Decision, took: Duration) {
    let subject = review.subject();
    tracing::info!(
        uid = review.uid(),
        operation = review.operation().as_str(),
        namespace = cut(&subject.namespace),
        name = cut(&subject.name),
        // As text: what is only displayed is not escaped, and somebody else wrote it.
        owner = subject.owner.as_ref().map(|owner| format!("{}/{}", cut(&owner.kind), cut(&owner.name))),
        templates = %Templates(&decision.templates),
        outcome = decision.outcome.as_str(),
        reason = decision.reason.as_str(),
        why = decision.message,
        warnings = (!decision.warnings.is_empty()).then(|| response::warnings(decision).join(" ")),
        operations = decision.patch.operations,
        dry_run = review.dry_run(),
        duration = took.as_secs_f64(),
        "decided",
    );
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io;

    use allocation_counter::measure;
    use axum::body::Body;
    use tokio::runtime::Builder;

    use super::*;
    use crate::catalog::{Reloader, Source};

    /// How often a review allocates from its head to its answer, with 0, 1 and 5 templates, its log line included. The
    /// engine's part of it stands in `engine/tests/cost.rs`.
    const ALLOCATIONS: [u64; 3] = [20, 78, 290];

    #[test]
    fn a_review_allocates_as_often_as_it_is_written_here() {
        let folder = tempfile::tempdir().unwrap();
        let template = fs::read_to_string("manifests/templates/fluent-bit.yaml").unwrap();
        let name = |number| format!("shipper-{number}");
        for number in 0..5 {
            let text = template.replace("fluent-bit", &name(number));
            let text = text.replace("/var/log/app", &format!("/var/log/{number}"));
            fs::write(folder.path().join(format!("{number}.yaml")), text).unwrap();
        }
        let metrics = Arc::new(Metrics::new().unwrap());
        let source = Source::of(vec![folder.path().into()], Source::Nowhere).unwrap();
        let mutate = Mutate {
            catalog: Reloader::start(source, Default::default(), false, Arc::clone(&metrics)).catalog(),
            cluster: None,
            events: None,
            metrics,
            bodies: Bodies::new(1 << 20, Duration::from_secs(10)),
            heavy: Semaphore::new(HEAVY_AT_A_TIME),
        };
        let mutate = Arc::new(mutate);
        let review = fs::read_to_string("tests/fixtures/reviews/typical.json").unwrap();
        let (_guard, _lines) = telemetry::log_to(io::sink());
        let runtime = Builder::new_current_thread().enable_time().build().unwrap();
        let counted = [0, 1, 5].map(|templates| {
            let names: Vec<_> = (0..templates).map(name).collect();
            let mut review: serde_json::Value = serde_json::from_str(&review).unwrap();
            review["request"]["object"]["metadata"]["annotations"]["pillion.dev/templates"] = names.join(",").into();
            let answer = |body: Body| {
                let request = Request::post("/mutate?timeout=5s").header(CONTENT_TYPE, "application/json");
                let request = request.body(body).unwrap();
                measure(|| drop(runtime.block_on(super::mutate(State(Arc::clone(&mutate)), request)))).count_total
            };
            let body = review.to_string();
            (0..3).for_each(|_| _ = answer(body.clone().into()));
            answer(body.into())
        });
        assert_eq!(counted, ALLOCATIONS);
    }

    #[test]
    fn a_review_waits_for_half_of_the_time_that_it_has_at_most() {
        let begun = Instant::now();
        let patience = |query| deadline(query, begun).into_std().duration_since(begun).as_secs_f64();
        assert_eq!(patience(None), 2.0);
        assert_eq!(patience(Some("timeout=1s")), 0.5);
        assert_eq!(patience(Some("a=b&timeout=3s")), 1.5);
        for query in ["timeout=5s", "timeout=18446744073709551615s", "timeout=x", "timeout="] {
            assert_eq!(patience(Some(query)), 2.0, "{query}");
        }
    }
}
