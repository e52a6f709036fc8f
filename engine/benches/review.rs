//! The engine alone: a captured review in, the answer's bytes out, for pods of three sizes and up to five templates, also
//! with a thousand others in force; and how long a thousand take to load.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use pillion_engine::admission::Review;
use pillion_engine::catalog::{Catalog, Namespace};
use pillion_engine::load;
use pillion_engine::response::response;
use pillion_engine::review;
use pillion_engine::template::OnError;

const REVIEWS: [(&str, &str); 3] = [
    ("small", include_str!("../../tests/fixtures/reviews/small.json")),
    ("typical", include_str!("../../tests/fixtures/reviews/typical.json")),
    ("large", include_str!("../../tests/fixtures/reviews/large.json")),
];
/// More than any platform has.
const MANY: usize = 1000;
const TEMPLATE: &str = include_str!("../../manifests/templates/fluent-bit.yaml");

fn benchmark(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("review");
    for (size, text) in REVIEWS {
        group.throughput(Throughput::Bytes(text.len() as u64));
        for (templates, in_force) in [(0, 0), (1, 1), (5, 5), (1, MANY)] {
            let catalog = catalog(in_force);
            let body = asking(text, templates);
            let answer = || {
                let review = Review::parse(black_box(body.as_bytes())).expect("a captured review");
                response(&review, &pillion_engine::review(&catalog, &Namespace::named("bench"), &review))
            };
            assert_injected(&body, &catalog, templates);
            group.bench_function(BenchmarkId::new(size, format!("{templates} of {in_force} templates")), |bencher| {
                bencher.iter(answer);
            });
        }
    }
    group.finish();
    let texts: Vec<_> = (0..MANY).map(text).collect();
    let mut group = criterion.benchmark_group("load");
    group.sample_size(10);
    group.bench_function(format!("{MANY} templates"), |bencher| bencher.iter(|| load(black_box(&texts))));
    group.finish();
}

/// So many templates that differ in name and in what they add.
fn catalog(templates: usize) -> Catalog {
    load(&(0..templates).map(text).collect::<Vec<_>>())
}

fn text(number: usize) -> String {
    TEMPLATE.replace("fluent-bit", &name(number)).replace("/var/log/app", &format!("/var/log/{number}"))
}

fn load(texts: &[String]) -> Catalog {
    let mut catalog = Catalog::new(OnError::Deny);
    for template in texts.iter().flat_map(|text| load::read(text, "bench.yaml")) {
        catalog.insert(template.unwrap_or_else(|refused| panic!("{}", refused.problems[0])).into());
    }
    catalog
}

fn name(number: usize) -> String {
    format!("shipper-{number}")
}

/// The review with a pod that asks for the templates.
fn asking(text: &str, templates: usize) -> String {
    let mut review: serde_json::Value = serde_json::from_str(text).expect("a captured review");
    let names: Vec<_> = (0..templates).map(name).collect();
    review["request"]["object"]["metadata"]["annotations"]["pillion.dev/templates"] = names.join(",").into();
    review.to_string()
}

fn assert_injected(body: &str, catalog: &Catalog, templates: usize) {
    let decision = review(catalog, &Namespace::named("bench"), &Review::parse(body.as_bytes()).expect("a review"));
    assert!(decision.allowed() && decision.patch.is_empty() == (templates == 0), "{:?}", decision.message);
}

criterion_group!(benches, benchmark);
criterion_main!(benches);
