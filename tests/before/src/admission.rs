//! AdmissionReview v1, as it goes over the wire.
//!
//! kube's own types parse the whole pod; these keep the object as text.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::json::text::{Lenient, Opened};

/// The only version that is answered.
pub(crate) const API_VERSION: &str = "admission.k8s.io/v1";

/// What an API server asks about one object.
#[derive(Debug)]
pub struct Review<'a> {
    pub(crate) api_version: Cow<'a, str>,
    pub(crate) request: Request<'a>,
}

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow, default, rename = "apiVersion")]
    api_version: Cow<'a, str>,
    #[serde(borrow)]
    request: Option<Request<'a>>,
}

/// The fields of a request that matter here.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Request<'a> {
    #[serde(borrow)]
    uid: Cow<'a, str>,
    #[serde(borrow)]
    pub(crate) kind: Kind<'a>,
    #[serde(borrow)]
    pub(crate) sub_resource: Option<Cow<'a, str>>,
    #[serde(borrow)]
    namespace: Option<Cow<'a, str>>,
    operation: Operation,
    #[serde(borrow)]
    pub(crate) object: Lenient<Opened<'a>>,
    dry_run: Option<bool>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Kind<'a> {
    #[serde(borrow)]
    pub(crate) group: Cow<'a, str>,
    #[serde(borrow)]
    pub(crate) version: Cow<'a, str>,
    #[serde(borrow)]
    pub(crate) kind: Cow<'a, str>,
}

/// What is being done to the object.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, Hash, PartialEq)]
#[serde(rename_all = "UPPERCASE")]
pub enum Operation {
    /// It is created.
    Create,
    /// It is updated.
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

/// Why a body gets no AdmissionReview in return.
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
        let request = Request {
            uid: "none".into(),
            kind: Kind { version: "v1".into(), kind: "Pod".into(), ..Kind::default() },
            namespace: Some(namespace.into()),
            operation: Operation::Create,
            object: serde_json::from_str(pod.get()).unwrap_or_default(),
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
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
