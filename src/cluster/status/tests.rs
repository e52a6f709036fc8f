use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Bytes, to_bytes};
use axum::extract::Request;
use axum::http::StatusCode;
use axum::response::IntoResponse as _;
use serde_json::Value;

use super::super::templates::TemplateKind;
use super::*;

const NOON: Timestamp = Timestamp::constant(1_795_262_400, 0);

fn desired(acceptance: Acceptance, message: &str) -> DesiredStatus {
    DesiredStatus {
        identity: Identity { kind: TemplateKind::ClusterWide, namespace: None, name: "meter".into() },
        uid: "1".into(),
        generation: 1,
        digest: Some("d1".into()),
        acceptance,
        message: message.into(),
        written: None,
    }
}

impl DesiredStatus {
    /// The same when it has been written at `time`.
    fn written_at(self, time: Timestamp) -> DesiredStatus {
        let written = self.due(time).or(self.written.clone());
        DesiredStatus { written, ..self }
    }

    /// What is desired next, when this has been written before.
    fn then(self, next: DesiredStatus) -> DesiredStatus {
        DesiredStatus { written: self.written_at(NOON).written, ..next }
    }

    fn since(&self, now: Timestamp) -> String {
        let due = self.due(now).unwrap();
        due.conditions.unwrap().remove(0).last_transition_time.unwrap()
    }
}

fn accepted() -> DesiredStatus {
    desired(Acceptance::Accepted, "in force")
}

fn broken(message: &str) -> DesiredStatus {
    desired(Acceptance::InvalidTemplate, message)
}

#[test]
fn conditions_of_others_are_kept() {
    let mut written = accepted().written_at(NOON).written.unwrap();
    let ours = written.conditions.as_ref().unwrap()[0].clone();
    let others = Condition { kind: "Reviewed".into(), ..ours };
    written.conditions.get_or_insert_default().push(others.clone());
    let desired = DesiredStatus { written: Some(written), ..broken("it is broken") };
    let due = desired.due(NOON).unwrap().conditions.unwrap();
    assert_eq!((due.len(), due[0].status.as_str(), &due[1]), (2, "False", &others));
}

#[test]
fn a_status_is_due_until_it_is_written() {
    assert!(accepted().due(NOON).is_some());
    let written = accepted().written_at(NOON);
    assert_eq!(written.due(NOON + Duration::from_secs(60)), None);
    assert!(DesiredStatus { generation: 2, ..written.clone() }.due(NOON).is_some());
    assert!(DesiredStatus { digest: None, ..written }.due(NOON).is_some());
}

#[test]
fn a_transition_is_a_change_between_true_and_false() {
    let later = NOON + Duration::from_secs(60);
    assert_eq!(accepted().since(later), "2026-11-21T12:01:00Z");
    let changed = DesiredStatus { generation: 2, ..accepted() };
    assert_eq!(accepted().then(changed).since(later), "2026-11-21T12:00:00Z");
    assert_eq!(accepted().then(broken("no pod")).since(later), "2026-11-21T12:01:00Z");
    assert_eq!(broken("no pod").then(desired(Acceptance::Shadowed, "")).since(later), "2026-11-21T12:00:00Z");
}

#[test]
fn there_is_an_event_when_a_template_is_no_longer_accepted_and_when_it_is_again() {
    let event = |desired: &DesiredStatus| desired.event().map(|it| (it.type_ == EventType::Normal, it.reason));
    assert_eq!(event(&accepted()), None);
    assert_eq!(event(&accepted().then(DesiredStatus { generation: 2, ..accepted() })), None);
    assert_eq!(event(&broken("no pod")), Some((false, "InvalidTemplate".into())));
    assert_eq!(event(&broken("no pod").then(broken("no pod"))), None);
    assert_eq!(event(&broken("no pod").then(broken("no name"))), Some((false, "InvalidTemplate".into())));
    assert_eq!(event(&broken("no pod").then(accepted())), Some((true, "Accepted".into())));
}

#[test]
fn an_event_holds_as_much_of_a_message_as_it_can() {
    let message = "é".repeat(600);
    let note = broken(&message).event().unwrap().note.unwrap();
    assert_eq!(note, "é".repeat(512));
}

/// An API server that writes down what it is asked to write, and answers all of it in the same way.
struct ApiServer {
    answer: Arc<Mutex<StatusCode>>,
    asked: Arc<Mutex<Vec<(String, Value)>>>,
    writer: Writer,
}

impl ApiServer {
    fn new() -> ApiServer {
        let asked: Arc<Mutex<Vec<_>>> = Arc::default();
        let answer = Arc::new(Mutex::new(StatusCode::OK));
        let (log, code) = (Arc::clone(&asked), Arc::clone(&answer));
        let app = Router::new().fallback(async move |request: Request| {
            let path = request.uri().path().to_owned();
            let body: Bytes = to_bytes(request.into_body(), usize::MAX).await.unwrap();
            log.lock().unwrap().push((path, serde_json::from_slice(&body).unwrap()));
            (*code.lock().unwrap(), body).into_response()
        });
        let client = Client::new(app, "default");
        ApiServer { answer, asked, writer: Writer::new(client, "me".into()) }
    }

    /// What was written in a round, and what went wrong.
    async fn round(&mut self, desired: &DesiredStatus, leads: bool) -> (Vec<Value>, Option<String>) {
        let statuses = [desired.clone(), DesiredStatus { identity: other(), ..desired.clone() }];
        let failure = self.writer.round(&statuses, || leads).await;
        let asked = std::mem::take(&mut *self.asked.lock().unwrap());
        (asked.into_iter().filter(|(path, _)| path.ends_with("/meter/status")).map(|(_, body)| body).collect(), failure)
    }
}

fn other() -> Identity {
    Identity { kind: TemplateKind::Namespaced, namespace: Some("shop".into()), name: "other".into() }
}

#[tokio::test(start_paused = true)]
async fn a_status_is_not_written_again_while_the_watch_has_not_brought_it() {
    let mut server = ApiServer::new();
    let (written, failure) = server.round(&accepted(), true).await;
    assert_eq!((written.len(), failure), (1, None));
    assert_eq!(written[0]["metadata"]["uid"], "1");
    assert_eq!(written[0]["status"]["conditions"][0]["status"], "True");
    assert_eq!(server.round(&accepted(), true).await.0, [Value::Null; 0]);
    assert_eq!(server.round(&broken("no pod"), true).await.0.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_status_that_others_overwrite_is_written_again_but_not_at_once() {
    let mut server = ApiServer::new();
    server.round(&accepted(), true).await;
    let overwritten = broken("says another").then(accepted());
    assert_eq!(server.round(&overwritten, true).await.0.len(), 0);
    tokio::time::advance(REWRITE).await;
    assert_eq!(server.round(&overwritten, true).await.0.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn only_a_leader_writes_and_a_new_one_does_not_rely_on_what_it_wrote_before() {
    let mut server = ApiServer::new();
    assert_eq!(server.round(&accepted(), false).await.0.len(), 0);
    assert_eq!(server.round(&accepted(), true).await.0.len(), 1);
    server.round(&accepted(), false).await;
    assert_eq!(server.round(&accepted(), true).await.0.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_could_not_be_written_is_tried_again_and_what_is_gone_is_not() {
    let mut server = ApiServer::new();
    for (code, fails) in [(StatusCode::FORBIDDEN, true), (StatusCode::NOT_FOUND, false)] {
        *server.answer.lock().unwrap() = code;
        let (written, failure) = server.round(&accepted(), true).await;
        assert_eq!((written.len(), failure.is_some()), (1, fails), "{code}");
    }
    assert_eq!(server.round(&accepted(), true).await.0.len(), 0);
}
