use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Bytes, to_bytes};
use axum::extract::Request;
use axum::http::StatusCode;
use axum::response::IntoResponse as _;
use serde_json::Value;

use super::super::templates::Kind;
use super::*;

const NOON: Timestamp = Timestamp::constant(1_795_262_400, 0);

fn report(standing: Standing, message: &str) -> Report {
    Report {
        identity: Identity { kind: Kind::ClusterWide, namespace: None, name: "meter".into() },
        uid: "1".into(),
        generation: 1,
        digest: Some("d1".into()),
        standing,
        message: message.into(),
        written: None,
    }
}

impl Report {
    /// The same report when its status has been written at `time`.
    fn written_at(self, time: Timestamp) -> Report {
        let written = self.due(time).or(self.written.clone());
        Report { written, ..self }
    }

    /// What is to be said next of what was said before.
    fn then(self, next: Report) -> Report {
        Report { written: self.written_at(NOON).written, ..next }
    }

    fn since(&self, now: Timestamp) -> String {
        let due = self.due(now).unwrap();
        due.conditions.unwrap().remove(0).last_transition_time.unwrap()
    }
}

fn accepted() -> Report {
    report(Standing::Accepted, "in force")
}

fn broken(message: &str) -> Report {
    report(Standing::InvalidTemplate, message)
}

#[test]
fn what_others_say_in_the_status_stays() {
    let mut written = accepted().written_at(NOON).written.unwrap();
    let ours = written.conditions.as_ref().unwrap()[0].clone();
    let others = Condition { kind: "Reviewed".into(), ..ours };
    written.conditions.get_or_insert_default().push(others.clone());
    let report = Report { written: Some(written), ..broken("it is broken") };
    let due = report.due(NOON).unwrap().conditions.unwrap();
    assert_eq!((due.len(), due[0].status.as_str(), &due[1]), (2, "False", &others));
}

#[test]
fn a_status_is_due_until_it_is_written() {
    assert!(accepted().due(NOON).is_some());
    let written = accepted().written_at(NOON);
    assert_eq!(written.due(NOON + Duration::from_secs(60)), None);
    assert!(Report { generation: 2, ..written.clone() }.due(NOON).is_some());
    assert!(Report { digest: None, ..written }.due(NOON).is_some());
}

#[test]
fn a_transition_is_a_change_between_true_and_false() {
    let later = NOON + Duration::from_secs(60);
    assert_eq!(accepted().since(later), "2026-11-21T12:01:00Z");
    let changed = Report { generation: 2, ..accepted() };
    assert_eq!(accepted().then(changed).since(later), "2026-11-21T12:00:00Z");
    assert_eq!(accepted().then(broken("no pod")).since(later), "2026-11-21T12:01:00Z");
    assert_eq!(broken("no pod").then(report(Standing::Shadowed, "")).since(later), "2026-11-21T12:00:00Z");
}

#[test]
fn an_event_tells_of_what_is_not_accepted_any_more_and_of_what_is_again() {
    let told = |report: &Report| report.event().map(|event| (event.type_ == EventType::Normal, event.reason));
    assert_eq!(told(&accepted()), None);
    assert_eq!(told(&accepted().then(Report { generation: 2, ..accepted() })), None);
    assert_eq!(told(&broken("no pod")), Some((false, "InvalidTemplate".into())));
    assert_eq!(told(&broken("no pod").then(broken("no pod"))), None);
    assert_eq!(told(&broken("no pod").then(broken("no name"))), Some((false, "InvalidTemplate".into())));
    assert_eq!(told(&broken("no pod").then(accepted())), Some((true, "Accepted".into())));
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
    async fn round(&mut self, report: &Report, leads: bool) -> (Vec<Value>, Option<String>) {
        let reports = [report.clone(), Report { identity: other(), ..report.clone() }];
        let failure = self.writer.round(&reports, || leads).await;
        let asked = std::mem::take(&mut *self.asked.lock().unwrap());
        (asked.into_iter().filter(|(path, _)| path.ends_with("/meter/status")).map(|(_, body)| body).collect(), failure)
    }
}

fn other() -> Identity {
    Identity { kind: Kind::Namespaced, namespace: Some("shop".into()), name: "other".into() }
}

#[tokio::test(start_paused = true)]
async fn what_was_said_is_not_said_again_while_it_has_not_come_back() {
    let mut server = ApiServer::new();
    let (written, failure) = server.round(&accepted(), true).await;
    assert_eq!((written.len(), failure), (1, None));
    assert_eq!(written[0]["metadata"]["uid"], "1");
    assert_eq!(written[0]["status"]["conditions"][0]["status"], "True");
    assert_eq!(server.round(&accepted(), true).await.0, [Value::Null; 0]);
    assert_eq!(server.round(&broken("no pod"), true).await.0.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_others_overwrite_is_said_again_but_not_at_once() {
    let mut server = ApiServer::new();
    server.round(&accepted(), true).await;
    let overwritten = broken("says another").then(accepted());
    assert_eq!(server.round(&overwritten, true).await.0.len(), 0);
    tokio::time::advance(INSISTENCE).await;
    assert_eq!(server.round(&overwritten, true).await.0.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn only_a_leader_writes_and_a_new_one_looks_afresh() {
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
