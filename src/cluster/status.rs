//! What a template resource says of itself: whether it is accepted, and if not, why.
//!
//! One replica writes, so that replicas that see a change at different times do not overwrite each other.

use k8s_openapi::jiff::Timestamp;
use kube::api::{Patch, PatchParams};
use kube::core::{DynamicObject, ObjectMeta};
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use kube::{Api, Client, Resource as _};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::sync::watch;

use super::lease::Leadership;
use super::templates::Identity;
use super::watch::describe;

/// The type of the one condition.
const ACCEPTED: &str = "Accepted";

/// The status of a template.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub(crate) struct TemplateStatus {
    /// The generation that this is about.
    pub(crate) observed_generation: Option<i64>,
    /// What changes whenever the template in force does; pods that were injected carry it, joined with their parameters.
    pub(crate) digest: Option<String>,
    /// One condition, Accepted: whether the template is in force as it stands here.
    #[cfg_attr(test, schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"])))]
    pub(crate) conditions: Option<Vec<Condition>>,
}

/// A condition, as Kubernetes' conventions have it.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub(crate) struct Condition {
    /// What is said.
    #[serde(rename = "type")]
    pub(crate) kind: String,
    /// True or False.
    pub(crate) status: String,
    /// Accepted, InvalidTemplate, Shadowed, FileTakesPrecedence or NamespacedTemplatesDisabled.
    pub(crate) reason: String,
    /// What is wrong first, where and what to do, for people.
    pub(crate) message: String,
    /// The generation that this is about.
    pub(crate) observed_generation: Option<i64>,
    /// When status last changed.
    pub(crate) last_transition_time: Option<String>,
}

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
        let now = format!("{:.0}", now.strftime("%Y-%m-%dT%H:%M:%SZ"));
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
        let due = TemplateStatus {
            observed_generation: Some(self.generation),
            digest: self.digest.clone(),
            conditions: Some(vec![condition]),
        };
        (self.written.as_ref() != Some(&due)).then_some(due)
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
    let reporter = Reporter { controller: "pillion.dev/templates".into(), instance: Some(identity) };
    let recorder = Recorder::new(client.clone(), reporter);
    loop {
        let current = reports.borrow_and_update().clone();
        let mut all_written = true;
        if leadership.is_leader() {
            for report in &current {
                all_written &= write_one(&client, &recorder, report).await;
            }
        }
        tokio::select! {
            changed = reports.changed() => if changed.is_err() { return },
            () = leadership.changed() => {}
            () = tokio::time::sleep(std::time::Duration::from_secs(5)), if !all_written => {}
        }
    }
}

/// Whether nothing is left to be written.
async fn write_one(client: &Client, recorder: &Recorder, report: &Report) -> bool {
    let Some(due) = report.due(Timestamp::now()) else { return true };
    let Identity { kind, namespace, name } = &report.identity;
    let api: Api<DynamicObject> = match namespace {
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, &kind.resource()),
        None => Api::all_with(client.clone(), &kind.resource()),
    };
    // With the uid, so that nothing is said of a later resource of the same name.
    let patch = json!({"metadata": {"uid": report.uid}, "status": due});
    match api.patch_status(name, &PatchParams::default(), &Patch::Merge(&patch)).await {
        Ok(_) => {
            if let Some(event) = report.event() {
                let mut object = DynamicObject::new(name, &kind.resource());
                object.metadata =
                    ObjectMeta { uid: Some(report.uid.clone()), namespace: namespace.clone(), ..object.metadata };
                let reference = object.object_ref(&kind.resource());
                if let Err(error) = recorder.publish(&event, &reference).await {
                    tracing::warn!(template = %report.identity, why = describe(&error), "event not written");
                }
            }
            true
        }
        // It is gone, or is another one by now; the watch will say so.
        Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409 | 422) => true,
        Err(error) => {
            tracing::warn!(template = %report.identity, why = describe(&error), "status not written; it will be tried again");
            false
        }
    }
}
