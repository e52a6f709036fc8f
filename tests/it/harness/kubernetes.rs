//! A client of the API server: JSON in, JSON out, and the warnings.

use std::net::SocketAddr;

use serde_json::Value;
use ureq::Agent;

use super::http::{self, Answer};

const JSON: &str = "application/json";

#[derive(Clone)]
pub(crate) struct Kubernetes {
    agent: Agent,
    server: String,
    /// Nothing where a proxy says who asks.
    bearer: Option<String>,
}

impl Kubernetes {
    pub(crate) fn new(server: &str, authority_pem: &str, token: &str) -> Kubernetes {
        let bearer = Some(format!("Bearer {token}"));
        Kubernetes { agent: http::agent(authority_pem), server: server.to_owned(), bearer }
    }

    /// The API server behind a `kubectl proxy`, which has the rights of its kubeconfig.
    pub(crate) fn behind_proxy(address: SocketAddr) -> Kubernetes {
        Kubernetes { agent: http::agent(""), server: format!("http://{address}"), bearer: None }
    }

    /// Any path, e.g. `/openapi/v3/api/v1`.
    #[track_caller]
    pub(crate) fn get(&self, path: &str) -> Answer {
        self.send("GET", path, JSON, &Value::Null)
    }

    /// As `get`, but `None` when the server does not take the connection.
    pub(crate) fn try_get(&self, path: &str) -> Option<Answer> {
        let mut request = self.agent.get(format!("{}{path}", self.server));
        if let Some(bearer) = &self.bearer {
            request = request.header("authorization", bearer);
        }
        http::read(request.call().ok()?).into()
    }

    /// Creates an object in the collection at `path`; `?dryRun=All` may be part of it.
    #[track_caller]
    pub(crate) fn create(&self, path: &str, object: &Value) -> Answer {
        self.send("POST", path, JSON, object)
    }

    /// Replaces the object at `path`.
    #[track_caller]
    pub(crate) fn update(&self, path: &str, object: &Value) -> Answer {
        self.send("PUT", path, JSON, object)
    }

    /// Changes some fields of the object at `path`; `null` removes one.
    #[track_caller]
    pub(crate) fn merge(&self, path: &str, fields: &Value) -> Answer {
        self.send("PATCH", path, "application/merge-patch+json", fields)
    }

    /// Applies a JSON Patch to the object at `path`.
    #[track_caller]
    pub(crate) fn patch(&self, path: &str, operations: &Value) -> Answer {
        self.send("PATCH", path, "application/json-patch+json", operations)
    }

    #[track_caller]
    pub(crate) fn delete(&self, path: &str) -> Answer {
        self.send("DELETE", path, JSON, &Value::Null)
    }

    #[track_caller]
    fn send(&self, method: &str, path: &str, content_type: &str, body: &Value) -> Answer {
        let mut headers = vec![("content-type", content_type)];
        headers.extend(self.bearer.as_deref().map(|bearer| ("authorization", bearer)));
        let body = if body.is_null() { String::new() } else { body.to_string() };
        http::send(&self.agent, method, &format!("{}{path}", self.server), &headers, body.as_bytes())
    }
}

impl Answer {
    /// The texts of the `Warning` headers.
    pub(crate) fn warnings(&self) -> Vec<String> {
        let headers = self.headers.get_all("warning").iter();
        headers
            .map(|header| {
                // RFC 7234: 299 - "text", with quotes and backslashes of the text escaped.
                let header = String::from_utf8_lossy(header.as_bytes());
                let text = header.strip_prefix("299 - \"").and_then(|text| text.strip_suffix('"'));
                let text = text.unwrap_or_else(|| panic!("not a warning: {header}"));
                text.replace("\\\"", "\"").replace("\\\\", "\\")
            })
            .collect()
    }
}
