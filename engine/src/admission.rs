//! AdmissionReview v1, as it goes over the wire.
//!
//! kube's own types parse the whole pod; this notes where everything is, and leaves it as text.

use std::borrow::Cow;
use std::fmt;

use serde_json::value::RawValue;

use crate::json::{Tape, Text};
use crate::names::OUTCOME;

/// The only version that is answered.
pub(crate) const API_VERSION: &str = "admission.k8s.io/v1";

/// What an API server asks about one object.
#[derive(Debug)]
pub struct Review<'a> {
    pub(crate) api_version: Cow<'a, str>,
    pub(crate) request: Request<'a>,
    tape: Tape<'a>,
    /// The number of the object on the tape, if there is one.
    object: Option<usize>,
}

/// The fields of a request that matter here, beside the object.
#[derive(Debug, Default)]
pub(crate) struct Request<'a> {
    uid: Cow<'a, str>,
    pub(crate) kind: Kind<'a>,
    pub(crate) sub_resource: Cow<'a, str>,
    namespace: Cow<'a, str>,
    operation: Operation,
    dry_run: bool,
}

#[derive(Debug, Default)]
pub(crate) struct Kind<'a> {
    pub(crate) group: Cow<'a, str>,
    pub(crate) version: Cow<'a, str>,
    pub(crate) kind: Cow<'a, str>,
}

/// What is being done to the object.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
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
    Other,
}

/// Which pod a review is about.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Subject<'a> {
    /// Its namespace.
    pub namespace: Cow<'a, str>,
    /// Its name, or the `generateName` that its name will begin with.
    pub name: Cow<'a, str>,
    /// The controller that made it.
    pub owner: Option<Owner<'a>>,
    /// Whether it has the annotation of an earlier call: it is the same pod again, or a copy of one.
    pub seen_before: bool,
}

/// The object that controls a pod, as the pod refers to it.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Owner<'a> {
    /// Its group and version, such as `apps/v1`.
    pub api_version: Cow<'a, str>,
    /// Its kind.
    pub kind: Cow<'a, str>,
    /// Its name; its namespace is the pod's.
    pub name: Cow<'a, str>,
    /// Its uid.
    pub uid: Cow<'a, str>,
}

impl Owner<'_> {
    /// The same for longer than the review.
    pub fn into_owned(self) -> Owner<'static> {
        let owned = |text: Cow<'_, str>| Cow::Owned(text.into_owned());
        Owner {
            api_version: owned(self.api_version),
            kind: owned(self.kind),
            name: owned(self.name),
            uid: owned(self.uid),
        }
    }
}

impl fmt::Display for Owner<'_> {
    /// Such as `ReplicaSet/web-7d9c6b8f5d`.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.kind, self.name)
    }
}

impl Operation {
    /// All of them.
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
        let text = simdutf8::basic::from_utf8(body).map_err(|_| MalformedReview::NotAReview)?;
        let tape = Tape::scan(text).ok_or(MalformedReview::NotAReview)?;
        let is_object = |value: &Text<'_>| value.is_object();
        let review = Some(tape.root()).filter(is_object).ok_or(MalformedReview::NotAReview)?;
        let request = review.get("request").ok_or(MalformedReview::NoRequest)?;
        let request = Some(request).filter(is_object).ok_or(MalformedReview::NotAReview)?;
        // What is not there is empty, and what is something else than a text makes it no review.
        let string = |of: Option<Text<'_>>, name: &str| match of.and_then(|of| of.get(name)) {
            Some(text) => tape.string(text).ok_or(MalformedReview::NotAReview),
            None => Ok(Cow::default()),
        };
        let (kind, operation) = (request.get("kind"), string(Some(request), "operation")?);
        let object = request.get("object").map(Text::index);
        let request = Request {
            uid: string(Some(request), "uid")?,
            kind: Kind {
                group: string(kind, "group")?,
                version: string(kind, "version")?,
                kind: string(kind, "kind")?,
            },
            sub_resource: string(Some(request), "subResource")?,
            namespace: string(Some(request), "namespace")?,
            operation: Operation::ALL.into_iter().find(|it| it.as_str() == operation).unwrap_or_default(),
            // Behind an object with too many values nothing is noted: better that nothing else is done than too much.
            dry_run: !request.is_whole() || request.get("dryRun").is_some_and(|it| it.json() == "true"),
        };
        if request.uid.is_empty() {
            return Err(MalformedReview::NoUid);
        }
        Ok(Review { api_version: string(Some(review), "apiVersion")?, request, tape, object })
    }

    /// The review that an API server would send for a new pod.
    pub fn of_pod(namespace: &'a str, pod: &'a RawValue) -> Review<'a> {
        let request = Request {
            uid: "none".into(),
            kind: Kind { version: "v1".into(), kind: "Pod".into(), ..Kind::default() },
            namespace: namespace.into(),
            operation: Operation::Create,
            ..Request::default()
        };
        let tape = Tape::scan(pod.get());
        let object = tape.as_ref().map(|tape| tape.root().index());
        Review { api_version: API_VERSION.into(), request, tape: tape.unwrap_or_default(), object }
    }

    /// What identifies this review.
    pub fn uid(&self) -> &str {
        &self.request.uid
    }

    /// The namespace of the object; empty for what has none.
    pub fn namespace(&self) -> &str {
        &self.request.namespace
    }

    /// The object.
    pub(crate) fn object(&self) -> Option<Text<'_>> {
        self.object.map(|index| self.tape.value(index))
    }

    /// Which pod it is about.
    pub fn subject(&self) -> Subject<'_> {
        let metadata = self.object().and_then(|object| object.get("metadata"));
        let text = |name: &str| metadata?.string_at(name).filter(|text| !text.is_empty());
        let mut owners = metadata.and_then(|it| it.get("ownerReferences")).into_iter().flat_map(Text::items);
        let controller = owners.find(|owner| owner.get("controller").is_some_and(|it| it.json() == "true"));
        Subject {
            // Kubernetes up to 1.23 left metadata.namespace empty.
            namespace: text("namespace").unwrap_or(Cow::Borrowed(self.namespace())),
            name: text("name").or_else(|| text("generateName")).unwrap_or_default(),
            owner: controller.map(|owner| {
                let text = |name: &str| owner.string_at(name).unwrap_or_default();
                Owner { api_version: text("apiVersion"), kind: text("kind"), name: text("name"), uid: text("uid") }
            }),
            seen_before: metadata.and_then(|it| it.get("annotations")?.get(OUTCOME)).is_some(),
        }
    }

    /// What is being done.
    pub fn operation(&self) -> Operation {
        self.request.operation
    }

    /// Whether nothing will be stored.
    pub fn dry_run(&self) -> bool {
        self.request.dry_run
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
    fn a_review_of_which_the_end_is_not_noted_counts_as_a_dry_run() {
        let items = "1,".repeat(crate::json::tape::MAX_VALUES);
        let is_dry = |object: &str, dry_run: bool| {
            let body = format!(r#"{{"request": {{"uid": "1", "object": {object}, "dryRun": {dry_run}}}}}"#);
            Review::parse(body.as_bytes()).expect("a review").dry_run()
        };
        assert!(is_dry("{}", true) && !is_dry("{}", false));
        assert!(is_dry(&format!("[{items}1]"), true));
    }

    #[test]
    fn an_unknown_operation_is_no_error() {
        let review = Review::parse(br#"{"request": {"uid": "1", "operation": "RENAME"}}"#).expect("a review");
        assert_eq!(review.operation(), Operation::Other);
    }
}
