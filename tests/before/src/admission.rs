//! AdmissionReview v1, as it goes over the wire.
//!
//! kube's own types write a patch as a list of numbers and parse the whole pod; these keep the object raw and write the
//! patch in base64, as the API server's documentation has it.

use std::borrow::Cow;
use std::io::Write as _;

use base64::engine::general_purpose::STANDARD;
use base64::write::EncoderWriter;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::decision::{Decision, Outcome};
use crate::object::{Lenient, Opened};

const API_VERSION: &str = "admission.k8s.io/v1";

/// The longest warning that reaches a user in one piece.
/// Source: k8s.io/apiserver pkg/endpoints/filters/warning.go.
const MAX_WARNING: usize = 120;
/// The same for all warnings of one answer.
const MAX_WARNINGS: usize = 4096;

/// What an API server asks about one object.
#[derive(Debug)]
pub struct Review<'a> {
    api_version: Cow<'a, str>,
    pub(crate) request: Request<'a>,
}

#[derive(Debug, Deserialize)]
struct Envelope<'a> {
    #[serde(borrow, default, rename = "apiVersion")]
    api_version: Cow<'a, str>,
    #[serde(borrow)]
    request: Option<Request<'a>>,
}

/// The fields of a request that matter here.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Request<'a> {
    #[serde(borrow, default)]
    uid: Cow<'a, str>,
    #[serde(borrow, default)]
    pub(crate) kind: Kind<'a>,
    #[serde(borrow, default)]
    pub(crate) sub_resource: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    namespace: Option<Cow<'a, str>>,
    #[serde(default)]
    operation: Operation,
    /// The object, if it has the shape of one.
    #[serde(borrow, default)]
    pub(crate) object: Lenient<Opened<'a>>,
    #[serde(default)]
    dry_run: Option<bool>,
}

#[derive(Debug, Default, Deserialize)]
pub(crate) struct Kind<'a> {
    #[serde(borrow, default)]
    pub(crate) group: Cow<'a, str>,
    #[serde(borrow, default)]
    pub(crate) version: Cow<'a, str>,
    #[serde(borrow, default)]
    pub(crate) kind: Cow<'a, str>,
}

/// What is being done to the object.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, Hash, PartialEq)]
#[serde(rename_all = "UPPERCASE")]
pub enum Operation {
    /// It is made.
    Create,
    /// It is changed.
    Update,
    /// It is deleted.
    Delete,
    /// Somebody connects to it, as `kubectl exec` does.
    Connect,
    /// Something that no API server does today.
    #[default]
    #[serde(other)]
    Other,
}

impl Operation {
    /// Every operation.
    pub const ALL: [Operation; 5] =
        [Operation::Create, Operation::Update, Operation::Delete, Operation::Connect, Operation::Other];

    /// The word that Kubernetes uses.
    pub fn as_str(self) -> &'static str {
        match self {
            Operation::Create => "CREATE",
            Operation::Update => "UPDATE",
            Operation::Delete => "DELETE",
            Operation::Connect => "CONNECT",
            Operation::Other => "OTHER",
        }
    }
}

/// Why a body cannot be answered at all: there is no one to address the answer to.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum MalformedReview {
    /// The body is not JSON, or not of the right types.
    #[error("the body is not an AdmissionReview in JSON")]
    NotAReview,
    /// There is no request in it.
    #[error("the AdmissionReview has no request")]
    NoRequest,
    /// The request has no uid.
    #[error("the AdmissionReview's request has no uid")]
    NoUid,
}

impl<'a> Review<'a> {
    /// Reads a request's body.
    ///
    /// # Errors
    ///
    /// When it is no AdmissionReview with a request that has a uid.
    pub fn parse(body: &'a [u8]) -> Result<Review<'a>, MalformedReview> {
        let text = std::str::from_utf8(body).map_err(|_| MalformedReview::NotAReview)?;
        let envelope: Envelope<'a> = serde_json::from_str(text).map_err(|_| MalformedReview::NotAReview)?;
        let request = envelope.request.ok_or(MalformedReview::NoRequest)?;
        if request.uid.is_empty() {
            return Err(MalformedReview::NoUid);
        }
        Ok(Review { api_version: envelope.api_version, request })
    }

    /// The review that an API server would send for a new pod.
    pub fn of_pod(namespace: &'a str, pod: &'a RawValue) -> Review<'a> {
        let object = serde_json::from_str(pod.get()).unwrap_or_default();
        let kind = Kind { group: "".into(), version: "v1".into(), kind: "Pod".into() };
        let request = Request {
            uid: "none".into(),
            kind,
            namespace: Some(namespace.into()),
            operation: Operation::Create,
            object,
            ..Request::default()
        };
        Review { api_version: API_VERSION.into(), request }
    }

    /// What identifies this review.
    pub fn uid(&self) -> &str {
        &self.request.uid
    }

    /// The namespace of the object; empty for what has none.
    pub fn namespace(&self) -> &str {
        self.request.namespace.as_deref().unwrap_or_default()
    }

    /// What is being done.
    pub fn operation(&self) -> Operation {
        self.request.operation
    }

    /// Whether nothing will be stored.
    pub fn dry_run(&self) -> bool {
        self.request.dry_run.unwrap_or_default()
    }

    pub(crate) fn is_v1(&self) -> bool {
        self.api_version == API_VERSION
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Answer<'a> {
    api_version: &'a str,
    kind: &'static str,
    response: Response<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Response<'a> {
    uid: &'a str,
    allowed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<Status<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    patch_type: Option<&'static str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    audit_annotations: Option<AuditAnnotations>,
}

#[derive(Serialize)]
struct Status<'a> {
    code: u16,
    reason: &'static str,
    message: &'a str,
}

/// The API server puts the webhook's name before each key.
#[derive(Serialize)]
struct AuditAnnotations {
    outcome: &'static str,
    reason: &'static str,
}

/// The answer to a review, as JSON. It is addressed in the version in which the review came.
pub fn response(review: &Review<'_>, decision: &Decision) -> Vec<u8> {
    let status = (!decision.allowed()).then(|| Status {
        code: 403,
        reason: "Forbidden",
        message: decision.message.as_deref().unwrap_or(decision.reason.sentence()),
    });
    let response = Response {
        uid: review.uid(),
        allowed: decision.allowed(),
        status,
        patch_type: (!decision.patch.is_empty()).then_some("JSONPatch"),
        warnings: warnings(decision),
        // An API server that calls again keeps those of the first call, and logs a warning for each that differs.
        audit_annotations: matches!(decision.outcome, Outcome::Injected | Outcome::Denied)
            .then(|| AuditAnnotations { outcome: decision.outcome.as_str(), reason: decision.reason.as_str() }),
    };
    let answer = Answer { api_version: &review.api_version, kind: "AdmissionReview", response };
    let mut json = Vec::with_capacity(512 + decision.patch.json.len() * 3 / 2);
    serde_json::to_writer(&mut json, &answer).expect("strings and booleans are always JSON");
    if !decision.patch.is_empty() {
        // By far the longest part, and base64 needs no escapes: it goes in behind the response's last field.
        json.truncate(json.len() - "}}".len());
        json.extend_from_slice(br#","patch":""#);
        let mut patch = EncoderWriter::new(&mut json, &STANDARD);
        let written = patch.write_all(decision.patch.json.as_bytes()).and_then(|()| patch.finish().map(drop));
        written.expect("a byte vector takes everything");
        drop(patch);
        json.extend_from_slice(br#""}}"#);
    }
    json
}

/// A decision's warnings in pieces that the API server shows as they are, broken between words.
pub fn warnings(decision: &Decision) -> Vec<String> {
    let mut left = MAX_WARNINGS;
    let mut pieces = Vec::with_capacity(decision.warnings.len());
    for warning in &decision.warnings {
        let mut piece = String::new();
        for word in warning.text.split(' ') {
            // A word that is too long by itself is somebody's value.
            let word: String = word.chars().take(MAX_WARNING).collect();
            if !piece.is_empty() && piece.chars().count() + 1 + word.chars().count() > MAX_WARNING {
                pieces.push(std::mem::take(&mut piece));
            }
            if !piece.is_empty() {
                piece.push(' ');
            }
            piece.push_str(&word);
        }
        pieces.push(piece);
    }
    pieces.retain(|piece| {
        left = left.saturating_sub(piece.chars().count());
        left > 0
    });
    pieces
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::decision::{Patch, Reason, Subject};

    #[test]
    fn what_cannot_be_answered_says_which_part_is_missing() {
        let malformed = |body: &str| Review::parse(body.as_bytes()).map(|_| ()).expect_err(body);
        assert_eq!(malformed("nonsense"), MalformedReview::NotAReview);
        assert_eq!(malformed("{}"), MalformedReview::NoRequest);
        assert_eq!(malformed(r#"{"request": {}}"#), MalformedReview::NoUid);
        assert_eq!(malformed(r#"{"request": {"uid": 1}}"#), MalformedReview::NotAReview);
    }

    #[test]
    fn an_unknown_operation_is_no_error() {
        let review = Review::parse(br#"{"request": {"uid": "1", "operation": "RENAME"}}"#).expect("a review");
        assert_eq!(review.operation(), Operation::Other);
    }

    #[test]
    fn a_patch_goes_out_in_base64() {
        let review =
            Review::parse(br#"{"apiVersion": "admission.k8s.io/v1", "request": {"uid": "1"}}"#).expect("a review");
        let decision = Decision {
            outcome: Outcome::Injected,
            reason: Reason::Injected,
            message: None,
            subject: Subject::default(),
            templates: Vec::new(),
            warnings: Vec::new(),
            patch: Patch { operations: 1, json: "[{}]".into() },
        };
        let answer: serde_json::Value = serde_json::from_slice(&response(&review, &decision)).expect("JSON");
        assert_eq!(answer["response"]["uid"], "1");
        assert_eq!(answer["response"]["patchType"], "JSONPatch");
        assert_eq!(answer["response"]["patch"], "W3t9XQ==");
        assert!(answer["response"].get("status").is_none());
        assert_eq!(answer["response"]["auditAnnotations"], json!({"outcome": "injected", "reason": "injected"}));
    }

    #[test]
    fn only_what_adds_something_or_refuses_the_pod_is_in_the_audit_log() {
        let review = br#"{"apiVersion": "admission.k8s.io/v1", "request": {"uid": "1"}}"#;
        let review = Review::parse(review).expect("a review");
        let audited = |outcome, reason| {
            let decision = Decision {
                outcome,
                reason,
                message: None,
                subject: Subject::default(),
                templates: Vec::new(),
                warnings: Vec::new(),
                patch: Patch::empty(),
            };
            let answer: Value = serde_json::from_slice(&response(&review, &decision)).expect("JSON");
            answer["response"].get("auditAnnotations").cloned()
        };
        assert_eq!(audited(Outcome::Skipped, Reason::AlreadyInjected), None);
        assert_eq!(audited(Outcome::Skipped, Reason::GuardFalse), None);
        assert_eq!(audited(Outcome::Error, Reason::Conflict), None);
        let refused = Some(json!({"outcome": "denied", "reason": "conflict"}));
        assert_eq!(audited(Outcome::Denied, Reason::Conflict), refused);
    }
}
