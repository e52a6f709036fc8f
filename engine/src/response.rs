//! The answer to a review, as an API server takes it. kube's own types write a patch as a list of numbers, not in base64.

use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::Simd;
use base64::engine::general_purpose::PAD;
use serde::Serialize;

use crate::admission::Review;
use crate::decision::{Decision, Outcome};
use crate::json::fragment::write_json;

/// The longest warning that the API server does not truncate, and the most that it takes of all together, in characters.
/// Source: k8s.io/apiserver pkg/endpoints/filters/warning.go.
const MAX_WARNING: usize = 120;
const MAX_WARNINGS: usize = 4096;

static BASE64: LazyLock<Simd> = LazyLock::new(|| Simd::standard(PAD));

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
    status: Option<Status>,
    #[serde(skip_serializing_if = "Option::is_none")]
    patch_type: Option<&'static str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    audit_annotations: Option<AuditAnnotations>,
}

#[derive(Serialize)]
struct Status {
    code: u16,
    reason: &'static str,
    message: String,
}

/// The API server puts the webhook's name before each key.
#[derive(Serialize)]
struct AuditAnnotations {
    outcome: &'static str,
    reason: &'static str,
}

/// The answer to a review, as JSON. It is addressed in the version in which the review came.
pub fn response(review: &Review<'_>, decision: &Decision) -> Vec<u8> {
    let response = Response {
        uid: review.uid(),
        allowed: decision.allowed(),
        status: (!decision.allowed()).then(|| Status { code: 403, reason: "Forbidden", message: refusal(decision) }),
        patch_type: (!decision.patch.is_empty()).then_some("JSONPatch"),
        warnings: warnings(decision),
        // An API server that calls again keeps those of the first call, and logs a warning for each that differs.
        audit_annotations: matches!(decision.outcome, Outcome::Injected | Outcome::Denied)
            .then(|| AuditAnnotations { outcome: decision.outcome.as_str(), reason: decision.reason.as_str() }),
    };
    let answer = Answer { api_version: &review.api_version, kind: "AdmissionReview", response };
    let patch = decision.patch.json.as_bytes();
    let encoded = base64::encoded_len(patch.len(), true).expect("a patch is not that long");
    let mut json = Vec::with_capacity(512 + encoded);
    write_json(&mut json, &answer);
    if !decision.patch.is_empty() {
        // By far the longest part, and base64 needs no escapes: it goes in behind the response's last field.
        json.truncate(json.len() - "}}".len());
        json.extend_from_slice(br#","patch":""#);
        let begin = json.len();
        json.resize(begin + encoded, 0);
        BASE64.encode_slice(patch, &mut json[begin..]).expect("there is room for it");
        json.extend_from_slice(br#""}}"#);
    }
    json
}

/// What who wants the pod reads, in `kubectl` or the events of a ReplicaSet: why it is refused, and where more is written.
fn refusal(Decision { message, reason, .. }: &Decision) -> String {
    format!("{} ({reason}: {})", message.as_deref().unwrap_or(reason.sentence()), reason.page())
}

/// A decision's warnings, broken between words into pieces that the API server does not truncate.
pub fn warnings(decision: &Decision) -> Vec<String> {
    let mut pieces = Vec::with_capacity(decision.warnings.len());
    for warning in &decision.warnings {
        let mut piece = String::new();
        for word in warning.text.split(' ') {
            // A word that is too long by itself is somebody's value.
            let word = word.char_indices().nth(MAX_WARNING).map_or(word, |(end, _)| &word[..end]);
            if !piece.is_empty() && piece.chars().count() + 1 + word.chars().count() > MAX_WARNING {
                pieces.push(std::mem::take(&mut piece));
            }
            if !piece.is_empty() {
                piece.push(' ');
            }
            piece.push_str(word);
        }
        pieces.push(piece);
    }
    let mut left = MAX_WARNINGS;
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
    use crate::decision::{Patch, Reason};

    #[test]
    fn a_patch_goes_out_in_base64() {
        let review =
            Review::parse(br#"{"apiVersion": "admission.k8s.io/v1", "request": {"uid": "1"}}"#).expect("a review");
        let decision = Decision {
            outcome: Outcome::Injected,
            reason: Reason::Injected,
            message: None,
            templates: Vec::new(),
            edits: Vec::new(),
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
    fn a_refusal_ends_in_its_code_and_the_page_of_it() {
        let decision = Decision {
            outcome: Outcome::Denied,
            reason: Reason::Conflict,
            message: Some("rename one".into()),
            templates: Vec::new(),
            edits: Vec::new(),
            warnings: Vec::new(),
            patch: Patch::empty(),
        };
        let page = "https://github.com/pillion-dev/pillion/blob/main/docs/reasons.md#conflict";
        assert_eq!(refusal(&decision), format!("rename one (conflict: {page})"));
        let without = Decision { message: None, ..decision };
        assert_eq!(refusal(&without), format!("{} (conflict: {page})", Reason::Conflict.sentence()));
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
                templates: Vec::new(),
                edits: Vec::new(),
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
