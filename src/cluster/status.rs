//! What a template resource says of itself: whether it is accepted, and if not, why.
//!
//! One replica writes, so that replicas that see a change at different times do not overwrite each other.

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures_util::FutureExt as _;
use k8s_openapi::jiff::Timestamp;
use kube::api::{Patch, PatchParams};
use kube::core::DynamicObject;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use kube::{Api, Client, Resource as _};
use serde_json::json;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

use super::lease::Leadership;
use super::templates::{Condition, Identity, TemplateStatus};
use super::watch::describe;

/// After this time it is tried again to write what could not be written.
const RETRY: Duration = Duration::from_secs(5);
/// After this time it is said again what somebody else has overwritten. Two servers that disagree, because they have other
/// flags or files, would else write without end.
const INSISTENCE: Duration = Duration::from_secs(60);
/// The type of the one condition.
const ACCEPTED: &str = "Accepted";
/// How long the API server may take for a status or an event.
const PATIENCE: Duration = Duration::from_secs(5);

/// Whether a template is in force as it stands in the resource.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Standing {
    /// It is.
    Accepted,
    /// It is broken; what was last good of it stays in force, if this process has seen that.
    InvalidTemplate,
    /// A cluster-wide template of the same name goes before it.
    Shadowed,
    /// A template file has the same name, and files go before resources.
    FileTakesPrecedence,
    /// The server heeds no namespaced templates.
    NamespacedTemplatesDisabled,
}

impl Standing {
    fn as_str(self) -> &'static str {
        match self {
            Standing::Accepted => "Accepted",
            Standing::InvalidTemplate => "InvalidTemplate",
            Standing::Shadowed => "Shadowed",
            Standing::FileTakesPrecedence => "FileTakesPrecedence",
            Standing::NamespacedTemplatesDisabled => "NamespacedTemplatesDisabled",
        }
    }
}

/// What is to be said of a resource, and what is said there now.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Report {
    pub(crate) identity: Identity,
    pub(crate) uid: String,
    pub(crate) generation: i64,
    /// The digest of the template in force, if there is one.
    pub(crate) digest: Option<String>,
    pub(crate) standing: Standing,
    pub(crate) message: String,
    pub(crate) written: Option<TemplateStatus>,
}

impl Report {
    /// The condition that stands there now.
    fn before(&self) -> Option<&Condition> {
        self.written.as_ref()?.conditions.as_ref()?.iter().find(|condition| condition.kind == ACCEPTED)
    }

    /// The status that should stand there, if it is another one.
    fn due(&self, now: Timestamp) -> Option<TemplateStatus> {
        // Seconds, as all of Kubernetes' own times.
        let now = now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        let status = if self.standing == Standing::Accepted { "True" } else { "False" };
        let since = self.before().filter(|before| before.status == status);
        let condition = Condition {
            kind: ACCEPTED.into(),
            status: status.into(),
            reason: self.standing.as_str().into(),
            message: self.message.clone(),
            observed_generation: Some(self.generation),
            last_transition_time: since.and_then(|before| before.last_transition_time.clone()).or(Some(now)),
        };
        let written = self.written.iter().flat_map(|written| written.conditions.iter().flatten());
        let of_others = written.filter(|condition| condition.kind != ACCEPTED).cloned();
        let due = TemplateStatus {
            observed_generation: Some(self.generation),
            digest: self.digest.clone(),
            conditions: Some([condition].into_iter().chain(of_others).collect()),
        };
        (self.written.as_ref() != Some(&due)).then_some(due)
    }

    /// Whether two reports differ in nothing but what was written.
    fn says_the_same_as(&self, other: &Report) -> bool {
        *self == Report { written: self.written.clone(), ..other.clone() }
    }

    /// The event that goes with a new status: when a template is no longer accepted, and when it is again.
    fn event(&self) -> Option<Event> {
        let before = self.before().map_or(Standing::Accepted.as_str(), |before| before.reason.as_str());
        let (now, accepted) = (self.standing.as_str(), self.standing == Standing::Accepted);
        (before != now || !accepted && self.before()?.message != self.message).then(|| Event {
            type_: if accepted { EventType::Normal } else { EventType::Warning },
            reason: now.into(),
            note: Some(shortened(&self.message)),
            action: "Load".into(),
            secondary: None,
        })
    }
}

/// As much of a text as an event can hold.
fn shortened(text: &str) -> String {
    const LONGEST: usize = 1024;
    let end = (0..=LONGEST.min(text.len())).rev().find(|&at| text.is_char_boundary(at));
    text[..end.unwrap_or_default()].to_owned()
}

/// Writes what is due, whenever there is something new to say or this replica has become the one that writes.
pub(crate) async fn write(
    client: Client,
    identity: String,
    mut leadership: Leadership,
    mut reports: watch::Receiver<Vec<Report>>,
) {
    let mut writer = Writer::new(client, identity);
    let mut complaint = None;
    loop {
        let current = reports.borrow_and_update().clone();
        let round = AssertUnwindSafe(writer.round(&current, || leadership.is_leader())).catch_unwind().await;
        let failure = round.unwrap_or_else(|_| Some("this is a bug in pillion; its log says where".into()));
        if failure.is_some() && failure != complaint {
            tracing::warn!(why = failure, "not every status of a template is written; it will be tried again");
        }
        complaint = failure;
        let pause = if complaint.is_some() { RETRY } else { INSISTENCE };
        tokio::select! {
            changed = reports.changed() => if changed.is_err() { return },
            () = leadership.changed() => {}
            () = sleep(pause) => {}
        }
    }
}

struct Writer {
    client: Client,
    recorder: Recorder,
    /// What was said last and when, which may not be there any more, or not have come back yet.
    said: HashMap<Identity, (Report, Instant)>,
}

impl Writer {
    fn new(client: Client, identity: String) -> Writer {
        let reporter = Reporter { controller: "pillion.dev/templates".into(), instance: Some(identity) };
        Writer { recorder: Recorder::new(client.clone(), reporter), client, said: HashMap::new() }
    }

    /// Writes what is due for as long as this replica leads, and says what went wrong first.
    async fn round(&mut self, reports: &[Report], leads: impl Fn() -> bool) -> Option<String> {
        let mut failure = None;
        let mut before = std::mem::take(&mut self.said);
        for report in reports {
            let last = before.remove(&report.identity);
            let said = match (report.due(Timestamp::now()), last) {
                (None, last) => last,
                _ if !leads() => None,
                (Some(_), Some((last, at))) if last.says_the_same_as(report) && at.elapsed() < INSISTENCE => {
                    Some((last, at))
                }
                (Some(due), _) => match self.write(report, &due).await {
                    Ok(()) => Some((report.clone(), Instant::now())),
                    Err(error) => {
                        failure.get_or_insert_with(|| format!("{}: {}", report.identity, describe(&error)));
                        // Who does not answer about one would keep the others waiting, too.
                        if !matches!(error, kube::Error::Api(_)) {
                            break;
                        }
                        None
                    }
                },
            };
            self.said.extend(said.map(|said| (report.identity.clone(), said)));
        }
        failure
    }

    async fn write(&self, report: &Report, due: &TemplateStatus) -> kube::Result<()> {
        let Identity { kind, namespace, name } = &report.identity;
        let api: Api<DynamicObject> = match namespace {
            Some(namespace) => Api::namespaced_with(self.client.clone(), namespace, &kind.resource()),
            None => Api::all_with(self.client.clone(), &kind.resource()),
        };
        // With the uid, so that nothing is said of a later resource of the same name.
        let patch = json!({"metadata": {"uid": report.uid}, "status": due});
        let parameters = PatchParams { field_manager: Some("pillion".into()), ..PatchParams::default() };
        match in_time(api.patch_status(name, &parameters, &Patch::Merge(&patch))).await {
            Ok(_) => {
                self.tell(report).await;
                Ok(())
            }
            // It is gone, or is another one by now; the watch will say so.
            Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409 | 422) => Ok(()),
            Err(error) => Err(error),
        }
    }

    async fn tell(&self, report: &Report) {
        let Some(event) = report.event() else { return };
        let Identity { kind, namespace, name } = &report.identity;
        let resource = kind.resource();
        let mut object = DynamicObject::new(name, &resource);
        object.metadata.uid = Some(report.uid.clone());
        object.metadata.namespace.clone_from(namespace);
        if let Err(error) = in_time(self.recorder.publish(&event, &object.object_ref(&resource))).await {
            tracing::warn!(template = %report.identity, why = describe(&error), "event not written");
        }
    }
}

async fn in_time<T>(question: impl Future<Output = kube::Result<T>>) -> kube::Result<T> {
    timeout(PATIENCE, question).await.unwrap_or_else(|late| Err(kube::Error::Service(late.into())))
}

#[cfg(test)]
mod tests;
