//! The floor that the server is measured against: the same listener, TLS and router, which read the body and answer
//! `POST /mutate?BYTES` with so many bytes that were there before. It takes `ADDRESS CERTIFICATE KEY`.

use std::env;
use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::http::Uri;
use axum::http::header::CONTENT_TYPE;
use axum::routing::post;
use rustls::crypto::ring::sign::any_supported_type;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use tokio::sync::watch;

#[path = "../src/server/listener.rs"]
#[expect(dead_code, reason = "the floor never drains")]
mod listener;

use listener::{Limits, Listener, Phase};

const ANSWER: &str =
    r#"{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","response":{"uid":"0","allowed":true}}"#;

#[tokio::main]
async fn main() {
    let [address, certificate, key] =
        env::args().skip(1).collect::<Vec<_>>().try_into().expect("ADDRESS CERTIFICATE KEY");
    let chain: Vec<_> = CertificateDer::pem_file_iter(certificate).expect("a certificate").flatten().collect();
    let key = any_supported_type(&PrivateKeyDer::from_pem_file(key).expect("a key")).expect("a key that ring can use");
    let resolver = SingleCertAndKey::from(CertifiedKey::new(chain, key));
    let tls = listener::tls(Arc::new(resolver)).expect("TLS can be set up");
    let listener = Listener::bind(address.parse().expect("an address"), Some(tls), Limits::DEFAULT)
        .await
        .expect("the address is free");
    let answer = Bytes::from(format!("{ANSWER}{}", " ".repeat(1 << 20)));
    let app = Router::new().route(
        "/mutate",
        post(async move |uri: Uri, _: Bytes| {
            let bytes: usize = uri.query().and_then(|query| query.parse().ok()).expect("/mutate?BYTES");
            ([(CONTENT_TYPE, "application/json")], answer.slice(..bytes))
        }),
    );
    let (_serving, phase) = watch::channel(Phase::Serving);
    listener.serve(app, phase).await;
}
