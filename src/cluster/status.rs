//! The status of template resources: whether each is accepted, and if not, why.
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

/// After this time what could not be written is tried again.
const RETRY: Duration = Duration::from_secs(5);
/// After this time a status that somebody else has overwritten is written again. Not sooner, because two servers that
/// disagree, having other flags or files, would write without end.
const REWRITE: Duration = Duration::from_secs(60);
/// The type of the one condition.
const ACCEPTED: &str = "Accepted";
/// How long the API server may take for a status or an event.
const PATIENCE: Duration = Duration::from_secs(5);

/// Whether a template is in force as the resource has it now: the reason of the condition.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Acceptance {
    /// It is.
    Accepted,
    /// It is broken. Its last known good version is kept, if this process has seen one.
    InvalidTemplate,
    /// A cluster-wide template of the same name takes precedence.
    Shadowed,
    /// A template file has the same name, and files take precedence over resources.
    FileTakesPrecedence,
    /// The server does not use namespaced templates.
    NamespacedTemplatesDisabled,
}

impl Acceptance {
    fn as_str(self) -> &'static str {
        match self {
            Acceptance::Accepted => "Accepted",
            Acceptance::InvalidTemplate => "InvalidTemplate",
            Acceptance::Shadowed => "Shadowed",
            Acceptance::FileTakesPrecedence => "FileTakesPrecedence",
            Acceptance::NamespacedTemplatesDisabled => "NamespacedTemplatesDisabled",
        }
    }
}

/// What the status of a resource should say, and the status that it has now.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct DesiredStatus {
    pub(crate) identity: Identity,
    pub(crate) uid: String,
    pub(crate) generation: i64,
    /// The digest of the template in force, if there is one.
    pub(crate) digest: Option<String>,
    pub(crate) acceptance: Acceptance,
    pub(crate) message: String,
    /// The status that the resource has now.
    pub(crate) written: Option<TemplateStatus>,
}

impl DesiredStatus {
    /// The condition that the resource has now.
    fn before(&self) -> Option<&Condition> {
        self.written.as_ref()?.conditions.as_ref()?.iter().find(|condition| condition.kind == ACCEPTED)
    }

    /// The status to write, if the resource does not have it yet.
    fn due(&self, now: Timestamp) -> Option<TemplateStatus> {
        // Seconds, as all of Kubernetes' own times.
        let now = now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        let status = if self.acceptance == Acceptance::Accepted { "True" } else { "False" };
        let since = self.before().filter(|before| before.status == status);
        let condition = Condition {
            kind: ACCEPTED.into(),
            status: status.into(),
            reason: self.acceptance.as_str().into(),
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

    /// Whether both are the same but for the status that the resource has.
    fn equals_but_for_written(&self, other: &DesiredStatus) -> bool {
        *self == DesiredStatus { written: self.written.clone(), ..other.clone() }
    }

    /// The event that goes with a new status: when a template is no longer accepted, and when it is again.
    fn event(&self) -> Option<Event> {
        let before = self.before().map_or(Acceptance::Accepted.as_str(), |before| before.reason.as_str());
        let (now, accepted) = (self.acceptance.as_str(), self.acceptance == Acceptance::Accepted);
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

/// Writes each status that is due, whenever one changes or this replica begins to lead.
pub(crate) async fn write(
    client: Client,
    identity: String,
    mut leadership: Leadership,
    mut statuses: watch::Receiver<Vec<DesiredStatus>>,
) {
    let mut writer = Writer::new(client, identity);
    let mut last_failure = None;
    loop {
        let current = statuses.borrow_and_update().clone();
        let round = AssertUnwindSafe(writer.round(&current, || leadership.is_leader())).catch_unwind().await;
        let failure = round.unwrap_or_else(|_| Some("this is a bug in pillion; its log says where".into()));
        if failure.is_some() && failure != last_failure {
            tracing::warn!(why = failure, "cannot write the status of every template; trying again");
        }
        last_failure = failure;
        let pause = if last_failure.is_some() { RETRY } else { REWRITE };
        tokio::select! {
            changed = statuses.changed() => if changed.is_err() { return },
            () = leadership.changed() => {}
            () = sleep(pause) => {}
        }
    }
}

struct Writer {
    client: Client,
    recorder: Recorder,
    /// What was written last and when. It may have been overwritten since, or the watch may not have brought it yet.
    written: HashMap<Identity, (DesiredStatus, Instant)>,
}

impl Writer {
    fn new(client: Client, identity: String) -> Writer {
        let reporter = Reporter { controller: "pillion.dev/templates".into(), instance: Some(identity) };
        Writer { recorder: Recorder::new(client.clone(), reporter), client, written: HashMap::new() }
    }

    /// Writes each status that is due for as long as this replica leads, and returns the first failure.
    async fn round(&mut self, statuses: &[DesiredStatus], leads: impl Fn() -> bool) -> Option<String> {
        let mut failure = None;
        let mut before = std::mem::take(&mut self.written);
        for status in statuses {
            let last = before.remove(&status.identity);
            let written = match (status.due(Timestamp::now()), last) {
                (None, last) => last,
                _ if !leads() => None,
                (Some(_), Some((last, at))) if last.equals_but_for_written(status) && at.elapsed() < REWRITE => {
                    Some((last, at))
                }
                (Some(due), _) => match self.write(status, &due).await {
                    Ok(()) => Some((status.clone(), Instant::now())),
                    Err(error) => {
                        failure.get_or_insert_with(|| format!("{}: {}", status.identity, describe(&error)));
                        // An API server that does not answer would delay the others by as long.
                        if !matches!(error, kube::Error::Api(_)) {
                            break;
                        }
                        None
                    }
                },
            };
            self.written.extend(written.map(|written| (status.identity.clone(), written)));
        }
        failure
    }

    async fn write(&self, status: &DesiredStatus, due: &TemplateStatus) -> kube::Result<()> {
        let Identity { kind, namespace, name } = &status.identity;
        let api: Api<DynamicObject> = match namespace {
            Some(namespace) => Api::namespaced_with(self.client.clone(), namespace, &kind.resource()),
            None => Api::all_with(self.client.clone(), &kind.resource()),
        };
        // With the uid, so that a later resource of the same name does not get it.
        let patch = json!({"metadata": {"uid": status.uid}, "status": due});
        let parameters = PatchParams { field_manager: Some("pillion".into()), ..PatchParams::default() };
        match in_time(api.patch_status(name, &parameters, &Patch::Merge(&patch))).await {
            Ok(_) => {
                self.send_event(status).await;
                Ok(())
            }
            // It was deleted, or deleted and created again; the watch will say so.
            Err(kube::Error::Api(error)) if matches!(error.code, 404 | 409 | 422) => Ok(()),
            Err(error) => Err(error),
        }
    }

    async fn send_event(&self, status: &DesiredStatus) {
        let Some(event) = status.event() else { return };
        let Identity { kind, namespace, name } = &status.identity;
        let resource = kind.resource();
        let mut object = DynamicObject::new(name, &resource);
        object.metadata.uid = Some(status.uid.clone());
        object.metadata.namespace.clone_from(namespace);
        if let Err(error) = in_time(self.recorder.publish(&event, &object.object_ref(&resource))).await {
            tracing::warn!(template = %status.identity, why = describe(&error), "event not written");
        }
    }
}

async fn in_time<T>(request: impl Future<Output = kube::Result<T>>) -> kube::Result<T> {
    timeout(PATIENCE, request).await.unwrap_or_else(|late| Err(kube::Error::Service(late.into())))
}

#[cfg(test)]
mod tests;
