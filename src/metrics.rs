//! What the server counts. Every label takes its values from a closed set.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use pillion_engine::admission::Operation;
use pillion_engine::catalog::Catalog;
use pillion_engine::decision::{Decision, Outcome, Reason};
use pillion_engine::template::TemplateName;
use prometheus::core::{Collector, Desc};
use prometheus::process_collector::ProcessCollector;
use prometheus::proto::{Counter, MetricFamily};
use prometheus::{
    Error, Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry, TextEncoder,
};
use rustix::time::{ClockId, clock_gettime};

use crate::telemetry;
use crate::version::{REVISION, VERSION};

/// From half a millisecond, which is long for a review, to five seconds, the timeout of our webhooks.
const DURATION_BUCKETS: [f64; 13] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0];

const OPERATIONS: usize = Operation::ALL.len();
const OUTCOMES: usize = Outcome::ALL.len();
const REASONS: usize = Reason::ALL.len();

/// All series of the process.
pub(crate) struct Metrics {
    registry: Registry,
    requests: IntCounterVec,
    /// Those of `requests` that were counted, by their labels: see [`Metrics::count`].
    counted: Box<[OnceLock<IntCounter>]>,
    injections: IntCounterVec,
    injectable: Mutex<BTreeSet<TemplateName>>,
    duration: Histogram,
    in_flight: IntGauge,
    events: IntCounterVec,
    loaded: IntGauge,
    refused: IntGauge,
    config_reloads: IntCounterVec,
    config_reload_success: IntGauge,
    certificate_expiration: IntGauge,
    certificate_reloads: IntCounterVec,
    authority_expiration: IntGaugeVec,
    certificate_repairs: IntCounterVec,
    certificate_untrusted: IntGaugeVec,
    leader: IntGauge,
    validations: IntCounterVec,
    watch_up: IntGaugeVec,
    watch_failures: IntCounterVec,
    lookups: IntCounterVec,
    namespaces: IntGauge,
}

/// The result of looking up what a review missed in the caches.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum LookupResult {
    /// It is there.
    Found,
    /// It does not exist.
    Absent,
    /// There was no answer, or none in time.
    Failed,
}

/// The result of a request to `/validate`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum ValidationResult {
    /// The template may be stored.
    Accepted,
    /// It is broken.
    Refused,
    /// The request could not be understood.
    Malformed,
}

impl Metrics {
    /// Registers every series.
    pub(crate) fn new() -> Result<Metrics, Error> {
        let registry = Registry::new();
        let build = register(
            &registry,
            IntGaugeVec::new(Opts::new("pillion_build_info", "What runs here; always 1."), &["version", "revision"])?,
        )?;
        build.with_label_values(&[VERSION, REVISION]).set(1);
        registry.register(Box::new(Process(ProcessCollector::for_self())))?;
        let dropped = IntCounter::new("pillion_log_lines_dropped_total", "Log lines that nobody took in time.")?;
        registry.register(Box::new(DroppedLines(dropped)))?;

        let metrics = Metrics {
            requests: register(
                &registry,
                counter(
                    "pillion_admission_requests_total",
                    "Requests to /mutate, by operation, result and reason.",
                    &["operation", "result", "reason"],
                )?,
            )?,
            injections: register(
                &registry,
                counter("pillion_injections_total", "Pods into which a template was injected.", &["template"])?,
            )?,
            counted: (0..OPERATIONS * OUTCOMES * REASONS).map(|_| OnceLock::new()).collect(),
            injectable: Mutex::default(),
            duration: register(
                &registry,
                Histogram::with_opts(
                    HistogramOpts::new(
                        "pillion_admission_duration_seconds",
                        "Time from the head of a request to its answer.",
                    )
                    .buckets(DURATION_BUCKETS.into()),
                )?,
            )?,
            events: register(
                &registry,
                counter("pillion_events_total", "Events on the owners of pods, by result.", &["result"])?,
            )?,
            in_flight: register(&registry, gauge("pillion_inflight_requests", "Requests to /mutate in progress.")?)?,
            loaded: register(&registry, gauge("pillion_templates_loaded", "Templates in force.")?)?,
            refused: register(
                &registry,
                gauge("pillion_templates_refused", "Template documents and files that are refused at present.")?,
            )?,
            config_reloads: register(
                &registry,
                counter("pillion_config_reloads_total", "Loads of changed template files.", &["result"])?,
            )?,
            config_reload_success: register(
                &registry,
                gauge(
                    "pillion_config_last_reload_success_timestamp_seconds",
                    "When the templates were last loaded without an error.",
                )?,
            )?,
            validations: register(
                &registry,
                counter("pillion_validation_requests_total", "Requests to /validate, by result.", &["result"])?,
            )?,
            watch_up: register(
                &registry,
                IntGaugeVec::new(
                    Opts::new(
                        "pillion_watch_up",
                        "Whether the watch of a resource of the cluster works (1) or not (0).",
                    ),
                    &["resource"],
                )?,
            )?,
            watch_failures: register(
                &registry,
                counter(
                    "pillion_watch_failures_total",
                    "Failures of watches, each of which is followed by a new list.",
                    &["resource"],
                )?,
            )?,
            lookups: register(
                &registry,
                counter(
                    "pillion_lookups_total",
                    "Lookups at the API server of what a review missed in the caches.",
                    &["resource", "result"],
                )?,
            )?,
            namespaces: register(&registry, gauge("pillion_watched_namespaces", "Namespaces in the cache.")?)?,
            certificate_expiration: register(
                &registry,
                gauge("pillion_certificate_expiration_timestamp_seconds", "When the serving certificate expires.")?,
            )?,
            certificate_reloads: register(
                &registry,
                counter("pillion_certificate_reloads_total", "Loads of changed certificates.", &["result"])?,
            )?,
            authority_expiration: register(
                &registry,
                // Without labels, so that there is no series where there is no such authority.
                IntGaugeVec::new(
                    Opts::new(
                        "pillion_certificate_authority_expiration_timestamp_seconds",
                        "When the authority that signs serving certificates expires, where Pillion keeps its own.",
                    ),
                    &[],
                )?,
            )?,
            certificate_repairs: register(
                &registry,
                counter(
                    "pillion_certificate_repairs_total",
                    "Repairs of what others had changed: the Secret, or the caBundle of a webhook.",
                    &["what"],
                )?,
            )?,
            certificate_untrusted: register(
                &registry,
                IntGaugeVec::new(
                    Opts::new(
                        "pillion_certificate_untrusted",
                        "Whether a webhook does not trust the serving certificate (1), where Pillion keeps its own.",
                    ),
                    &[],
                )?,
            )?,
            leader: register(&registry, gauge("pillion_leader", "Whether this replica holds the Lease.")?)?,
            registry,
        };
        for result in [EventResult::Sent, EventResult::Dropped, EventResult::Failed] {
            metrics.events_recorded(result, 0);
        }
        for result in ["success", "failure"] {
            metrics.config_reloads.with_label_values(&[result]);
            metrics.certificate_reloads.with_label_values(&[result]);
        }
        for what in ["secret", "ca_bundle"] {
            metrics.certificate_repairs.with_label_values(&[what]);
        }
        Ok(metrics)
    }

    /// All of it, in Prometheus' text format.
    pub(crate) fn text(&self) -> Result<String, Error> {
        TextEncoder::new().encode_to_string(&self.registry.gather())
    }

    /// Counts a request as in progress until the guard is dropped.
    pub(crate) fn in_flight(&self) -> InFlight<'_> {
        self.in_flight.inc();
        InFlight(&self.in_flight)
    }

    /// Counts an answered review.
    pub(crate) fn answered(&self, operation: Operation, decision: &Decision, took: Duration) {
        self.count(operation, decision.outcome, decision.reason);
        self.duration.observe(took.as_secs_f64());
    }

    /// Counts a request that could not be understood.
    pub(crate) fn malformed(&self) {
        self.count(Operation::Other, Outcome::Error, Reason::MalformedReview);
    }

    /// Counts a request whose answer failed for a bug of ours.
    pub(crate) fn panicked(&self) {
        self.count(Operation::Other, Outcome::Error, Reason::InternalError);
    }

    fn count(&self, operation: Operation, outcome: Outcome, reason: Reason) {
        let at = (operation as usize * OUTCOMES + outcome as usize) * REASONS + reason as usize;
        let counter = || self.requests.with_label_values(&[operation.as_str(), outcome.as_str(), reason.as_str()]);
        self.counted[at].get_or_init(counter).inc();
    }

    /// Notes which templates are in force, and gives each its counter. The series of a template that is gone is removed.
    pub(crate) fn templates_loaded(&self, catalog: &Catalog, refused: usize) -> BTreeMap<TemplateName, IntCounter> {
        self.loaded.set(catalog.len() as i64);
        self.refused.set(refused as i64);
        if refused == 0 {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            self.config_reload_success.set(now.as_secs() as i64);
        }
        let now: BTreeSet<TemplateName> = catalog.names().cloned().collect();
        let mut injectable = self.injectable.lock().unwrap_or_else(PoisonError::into_inner);
        for gone in injectable.difference(&now) {
            // An error would only say that there is no such series.
            let _ = self.injections.remove_label_values(&[gone.as_str()]);
        }
        injectable.clone_from(&now);
        now.into_iter()
            .map(|name| {
                let counter = self.injections.with_label_values(&[name.as_str()]);
                (name, counter)
            })
            .collect()
    }

    /// Counts an injection of a template that is not in force yet.
    pub(crate) fn injected(&self, template: &TemplateName) {
        self.injections.with_label_values(&[template.as_str()]).inc();
    }

    /// Counts a load of template files.
    pub(crate) fn config_reloaded(&self, success: bool) {
        self.config_reloads.with_label_values(&[result(success)]).inc();
    }

    /// Counts a load of a changed certificate.
    pub(crate) fn certificate_reloaded(&self, success: bool) {
        self.certificate_reloads.with_label_values(&[result(success)]).inc();
    }

    /// Counts a request to `/validate`.
    pub(crate) fn validated(&self, result: ValidationResult) {
        let result = match result {
            ValidationResult::Accepted => "accepted",
            ValidationResult::Refused => "refused",
            ValidationResult::Malformed => "malformed",
        };
        self.validations.with_label_values(&[result]).inc();
    }

    /// Notes whether the watch of a resource works.
    pub(crate) fn set_watch_up(&self, resource: &str, up: bool) {
        self.watch_up.with_label_values(&[resource]).set(up.into());
        self.watch_failures.with_label_values(&[resource]);
    }

    /// Counts a failure of a watch.
    pub(crate) fn watch_failed(&self, resource: &str) {
        self.watch_failures.with_label_values(&[resource]).inc();
    }

    /// Counts a lookup at the API server.
    pub(crate) fn looked_up(&self, resource: &str, result: LookupResult) {
        let result = match result {
            LookupResult::Found => "found",
            LookupResult::Absent => "absent",
            LookupResult::Failed => "failed",
        };
        self.lookups.with_label_values(&[resource, result]).inc();
    }

    /// Notes how many namespaces are known.
    pub(crate) fn namespaces_known(&self, number: usize) {
        self.namespaces.set(number as i64);
    }

    /// Counts events on the owners of pods.
    pub(crate) fn events_recorded(&self, result: EventResult, events: u64) {
        let result = match result {
            EventResult::Sent => "sent",
            EventResult::Dropped => "dropped",
            EventResult::Failed => "failed",
        };
        self.events.with_label_values(&[result]).inc_by(events);
    }

    /// Notes until when the certificate in force is valid.
    pub(crate) fn certificate_expires(&self, not_after: i64) {
        self.certificate_expiration.set(not_after);
    }

    /// Notes until when the authority that signs certificates is valid.
    pub(crate) fn authority_expires(&self, not_after: i64) {
        self.authority_expiration.with_label_values::<&str>(&[]).set(not_after);
    }

    /// Counts a repair of the Secret.
    pub(crate) fn secret_repaired(&self) {
        self.certificate_repairs.with_label_values(&["secret"]).inc();
    }

    /// Counts a repair of the caBundle of a webhook configuration.
    pub(crate) fn ca_bundle_repaired(&self) {
        self.certificate_repairs.with_label_values(&["ca_bundle"]).inc();
    }

    /// Notes whether a webhook does not trust the certificate in force.
    pub(crate) fn certificate_untrusted(&self, untrusted: bool) {
        self.certificate_untrusted.with_label_values::<&str>(&[]).set(untrusted.into());
    }

    /// Notes whether this replica leads.
    pub(crate) fn leads(&self, leads: bool) {
        self.leader.set(leads.into());
    }
}

/// The result of recording an event on the owner of pods.
#[derive(Clone, Copy, Debug)]
pub(crate) enum EventResult {
    /// It was written.
    Sent,
    /// There was no room for it, or there were too many about its owner.
    Dropped,
    /// It could not be written.
    Failed,
}

/// A request in progress.
pub(crate) struct InFlight<'a>(&'a IntGauge);

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// The log lines that were dropped, as their writer counts them.
struct DroppedLines(IntCounter);

impl Collector for DroppedLines {
    fn desc(&self) -> Vec<&Desc> {
        self.0.desc()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let mut counter = Counter::default();
        counter.set_value(telemetry::dropped_lines() as f64);
        let mut families = self.0.collect();
        families.iter_mut().flat_map(MetricFamily::mut_metric).for_each(|metric| metric.set_counter(counter.clone()));
        families
    }
}

/// The series of any process. The crate's own collector counts CPU time in whole seconds, and a review takes microseconds.
struct Process(ProcessCollector);

impl Collector for Process {
    fn desc(&self) -> Vec<&Desc> {
        self.0.desc()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let cpu = clock_gettime(ClockId::ProcessCPUTime);
        let mut counter = Counter::default();
        counter.set_value(cpu.tv_sec as f64 + cpu.tv_nsec as f64 / 1e9);
        let mut families = self.0.collect();
        let family = families.iter_mut().find(|family| family.name() == "process_cpu_seconds_total");
        for metric in family.into_iter().flat_map(MetricFamily::mut_metric) {
            metric.set_counter(counter.clone());
        }
        families
    }
}

fn result(success: bool) -> &'static str {
    if success { "success" } else { "failure" }
}

fn counter(name: &str, help: &str, labels: &[&str]) -> Result<IntCounterVec, Error> {
    IntCounterVec::new(Opts::new(name, help), labels)
}

fn gauge(name: &str, help: &str) -> Result<IntGauge, Error> {
    IntGauge::new(name, help)
}

fn register<C: Collector + Clone + 'static>(registry: &Registry, collector: C) -> Result<C, Error> {
    registry.register(Box::new(collector.clone()))?;
    Ok(collector)
}
