//! What the fuzz targets share: what must hold of every decision.

use pillion_engine::admission::Review;
use pillion_engine::catalog::{Catalog, Namespace};
use pillion_engine::decision::Decision;
use pillion_engine::load;
use pillion_engine::response;
use pillion_engine::template::{OnError, Template};
use serde_json::Value;
use serde_json::value::to_raw_value;

/// The typical pod of the tests, as an API server sent it.
const REVIEW: &str = include_str!("../../../tests/fixtures/reviews/typical.json");

/// The templates of a text that are accepted.
pub fn accepted(text: &str) -> Vec<Template> {
    load::read(text, "fuzz.yaml").into_iter().flatten().collect()
}

/// A catalog of these templates, which are skipped for pods that they do not fit.
pub fn catalog(templates: impl IntoIterator<Item = Template>) -> Catalog {
    let mut catalog = Catalog::new(OnError::Skip);
    templates.into_iter().for_each(|template| catalog.insert(template.into()));
    catalog
}

/// The typical pod with these annotations.
pub fn pod(annotations: &[(&str, &str)]) -> Value {
    let mut review: Value = serde_json::from_str(REVIEW).expect("the fixture is JSON");
    let mut pod = review["request"]["object"].take();
    pod["metadata"]["annotations"] =
        annotations.iter().map(|&(key, value)| (key.to_owned(), Value::from(value))).collect();
    pod
}

/// Decides on a pod. Whatever comes out, the patch applies, and a second pass finds nothing to do.
pub fn decide(catalog: &Catalog, pod: &Value) -> (Decision, Value) {
    let (decision, answer) = once(catalog, pod);
    assert_eq!(once(catalog, pod).1, answer, "the same review gives the same bytes");
    let mut after = pod.clone();
    let patch: json_patch::Patch = serde_json::from_str(&decision.patch.json).expect("a patch is JSON");
    json_patch::patch(&mut after, &patch).expect("the patch applies");
    if decision.allowed() {
        let (second, _) = once(catalog, &after);
        assert!(second.allowed(), "the second pass refuses: {:?}", second.message);
        assert!(second.patch.is_empty(), "the second pass gives {}", second.patch.json);
    } else {
        assert!(decision.patch.is_empty(), "a refused pod gets nothing: {}", decision.patch.json);
    }
    (decision, after)
}

fn once(catalog: &Catalog, pod: &Value) -> (Decision, Vec<u8>) {
    let pod = to_raw_value(pod).expect("a value is JSON");
    let review = Review::of_pod("shop", &pod);
    let decision = pillion_engine::review(catalog, &Namespace::named("shop"), &review);
    let answer = response::response(&review, &decision);
    (decision, answer)
}
