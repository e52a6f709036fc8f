//! A blocking HTTP client that trusts one authority and takes every status as an answer.

use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use serde_json::Value;
use ureq::Agent;
use ureq::tls::{Certificate, RootCerts, TlsConfig};

use super::PATIENCE;

/// What a server answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: ureq::http::HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|e| panic!("{e} in the answer {}: {}", self.status, self.text()))
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
}

/// A client that trusts all authorities of a bundle.
pub(crate) fn agent(authorities_pem: &str) -> Agent {
    let roots = CertificateDer::pem_slice_iter(authorities_pem.as_bytes());
    let roots = roots.map(|root| Certificate::from_der(&root.expect("authorities in PEM")).to_owned());
    let tls = TlsConfig::builder()
        .root_certs(RootCerts::from(roots.collect::<Vec<_>>()))
        .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .build();
    Agent::config_builder()
        .tls_config(tls)
        .http_status_as_error(false)
        .timeout_global(Some(PATIENCE))
        .build()
        .new_agent()
}

/// Sends a request. `headers` are name and value; `body`, when there is one, goes with any method.
#[track_caller]
pub(crate) fn send(agent: &Agent, method: &str, url: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
    let mut request = ureq::http::Request::builder().method(method).uri(url);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(body).expect("a request");
    let request = agent.configure_request(request).allow_non_standard_methods(true).build();
    read(agent.run(request).unwrap_or_else(|e| panic!("{method} {url}: {e}")))
}

/// What a server says that is reached without TLS; `None` when nobody is there.
pub(crate) fn try_get(url: &str) -> Option<Answer> {
    let config = Agent::config_builder().http_status_as_error(false).timeout_global(Some(Duration::from_secs(1)));
    Some(read(config.build().new_agent().get(url).call().ok()?))
}

/// The whole of a response.
#[track_caller]
pub(crate) fn read(response: ureq::http::Response<ureq::Body>) -> Answer {
    let (parts, mut body) = response.into_parts();
    let body = body.with_config().limit(64 << 20).read_to_vec().expect("the body arrives");
    Answer { status: parts.status.as_u16(), headers: parts.headers, body }
}
