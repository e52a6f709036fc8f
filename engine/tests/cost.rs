//! What a review costs: how often the engine allocates, exactly. Whoever makes that more or less says so here.

use std::hint::black_box;

use allocation_counter::measure;
use pillion_engine::admission::Review;
use pillion_engine::catalog::{Catalog, Namespace};
use pillion_engine::load;
use pillion_engine::response::response;
use pillion_engine::template::OnError;
use serde_json::Value;

const REVIEWS: [(&str, &str); 3] = [
    ("small", include_str!("../../tests/fixtures/reviews/small.json")),
    ("typical", include_str!("../../tests/fixtures/reviews/typical.json")),
    ("large", include_str!("../../tests/fixtures/reviews/large.json")),
];
const TEMPLATES: [usize; 3] = [0, 1, 5];
const TEMPLATE: &str = include_str!("../../manifests/templates/fluent-bit.yaml");

/// For each review, with so many templates.
#[rustfmt::skip]
const ALLOCATIONS: [[u64; 3]; 3] = [
    [6, 58, 232],
    [5, 63, 253],
    [5, 121, 488],
];
/// For the typical review of a pod that sets one parameter of its only template.
const WITH_A_PARAMETER: u64 = 79;

#[test]
fn a_review_allocates_as_often_as_it_is_written_here() {
    let mut catalog = Catalog::new(OnError::Deny);
    for number in 0..5 {
        let text = TEMPLATE.replace("fluent-bit", &name(number)).replace("/var/log/app", &format!("/var/log/{number}"));
        let template = load::read(&text, "cost.yaml").remove(0).expect("the template is right");
        catalog.insert(template.into());
    }
    let counted =
        REVIEWS.map(|(_, text)| TEMPLATES.map(|templates| count(&catalog, &asking(text, templates), templates)));
    assert_eq!(counted, ALLOCATIONS);
    let setting = r#""annotations":{"shipper-0.pillion.dev/files":"*.txt","#;
    let body = asking(REVIEWS[1].1, 1).replacen(r#""annotations":{"#, setting, 1);
    assert_eq!(count(&catalog, &body, 1), WITH_A_PARAMETER);
}

/// How often the engine allocates for a review, once it has seen one like it.
fn count(catalog: &Catalog, body: &str, templates: usize) -> u64 {
    let namespace = Namespace::named("bench");
    let answer = || {
        let review = Review::parse(black_box(body.as_bytes())).expect("a captured review");
        let decision = pillion_engine::review(catalog, &namespace, &review);
        let injected = decision.templates.len();
        (response(&review, &decision), injected)
    };
    for _ in 0..3 {
        assert_eq!(answer().1, templates);
    }
    measure(|| drop(answer())).count_total
}

fn name(number: usize) -> String {
    format!("shipper-{number}")
}

/// The review of a pod that asks for so many templates.
fn asking(text: &str, templates: usize) -> String {
    let mut review: Value = serde_json::from_str(text).expect("a captured review");
    let names: Vec<_> = (0..templates).map(name).collect();
    review["request"]["object"]["metadata"]["annotations"]["pillion.dev/templates"] = names.join(",").into();
    review.to_string()
}
