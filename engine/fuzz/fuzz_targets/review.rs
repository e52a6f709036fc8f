//! Bytes as the body of a request.

#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use pillion_engine::admission::Review;
use pillion_engine::response;
use pillion_engine::catalog::{Catalog, Namespace};
use serde_json::Value;

static CATALOG: LazyLock<Catalog> = LazyLock::new(|| {
    let texts = [
        include_str!("../everything.yaml"),
        include_str!("../../../manifests/templates/envoy.yaml"),
        include_str!("../../../manifests/templates/fluent-bit.yaml"),
        include_str!("../../../manifests/templates/otel-collector.yaml"),
    ];
    let catalog = pillion_fuzz::catalog(texts.into_iter().flat_map(pillion_fuzz::accepted));
    assert_eq!(catalog.len(), 5, "all of them are accepted");
    catalog
});

fuzz_target!(|body: &[u8]| {
    let Ok(review) = Review::parse(body) else { return };
    let namespace = Namespace::named(review.namespace());
    let decision = pillion_engine::review(&CATALOG, &namespace, &review);
    let answer = response::response(&review, &decision);
    serde_json::from_slice::<Value>(&answer).expect("an answer is JSON");
    // Without what only a text can hold: a member that comes twice, and a number beyond all bounds.
    if let Ok(mut review) = serde_json::from_slice::<Value>(body) {
        pillion_fuzz::decide(&CATALOG, &review["request"]["object"].take());
    }
});
