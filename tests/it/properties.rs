//! What holds for every pod and any choice of the cookbook's templates. `PROPTEST_CASES` sets how many are made up for
//! each test; with it, the number of reviews per second is printed, too.

use std::cell::Cell;
use std::collections::{BTreeSet, HashMap};
use std::io::{Write, stderr};
use std::sync::LazyLock;
use std::time::Instant;
use std::{env, thread};

use pillion_engine::admission::Review;
use pillion_engine::catalog::{Catalog, Namespace};
use pillion_engine::decision::{Decision, Outcome};
use pillion_engine::response;
use pillion_engine::template::OnError;
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::{TestCaseError, TestRunner};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::harness::cookbook;
use crate::harness::json::Json;
use crate::harness::pods;

#[test]
fn whatever_the_pod_what_no_template_speaks_of_stays_and_a_second_pass_finds_nothing_to_do() {
    holds((pods::odd_pod(), policy()), |(pod, on_error)| adds_what_was_asked_for_once(&pod, on_error));
}

#[test]
fn pods_that_once_were_changed_twice() {
    let pod = |annotations: Value, spec: Value| json!({"metadata": {"name": "web", "annotations": annotations}, "spec": spec});
    let containers = json!([{"name": "app", "image": "app"}]);
    // What nothing can be added to was recorded as added.
    let mut pods = ["lifecycle", "resources", "env", "volumeMounts", "ports"]
        .map(|field| json!({"containers": [{"name": "app", "image": "app", field: true}]}))
        .map(|spec| pod(json!({"pillion.dev/templates": "unix-socket,envoy-gateway,cache"}), spec))
        .to_vec();
    // The pod's own container was taken for that of a template, which was skipped: it lacks a parameter.
    let asks = json!({"pillion.dev/templates": "cache,secret-tmpfs", "secret-tmpfs.pillion.dev/configMap": "web"});
    let own = json!([{"name": "cache", "image": "app"}]);
    pods.push(pod(asks, json!({"containers": containers, "initContainers": own})));
    // The first template was skipped for its image, and on the second call for a mount that came from the second one.
    let asks = json!({
        "pillion.dev/templates": "log-normalizer,vector",
        "log-normalizer.pillion.dev/image": "",
        "log-normalizer.pillion.dev/volume": "other"
    });
    pods.push(pod(asks, json!({"containers": containers})));
    for pod in pods {
        adds_what_was_asked_for_once(&Json::from(&pod), OnError::Skip).expect("it holds");
    }
}

/// The patch applies, touches nothing that no template speaks of, keeps the order, and leaves nothing to do.
fn adds_what_was_asked_for_once(pod: &Json, on_error: OnError) -> Result<(), TestCaseError> {
    let decision = decide(on_error, pod)?;
    let after = patched(pod, &decision)?;
    if !decision.allowed() {
        return Ok(());
    }
    Spoken::by(&decision).stays("", pod, &after).map_err(TestCaseError::fail)?;
    order_is_kept(pod, &after, &decision)?;
    nothing_is_left_to_do(on_error, &after)
}

#[test]
fn what_somebody_took_out_of_an_injected_pod_is_dealt_with_once() {
    let taken = proptest::collection::vec(any::<Index>(), 1..4);
    holds((pods::pod_with_choice(), taken, policy()), |(pod, taken, on_error)| {
        let pod = Json::from(&pod);
        let mut injected = patched(&pod, &decide(on_error, &pod)?)?;
        for place in taken {
            take_out(&mut injected, place);
        }
        let decision = decide(on_error, &injected)?;
        let after = patched(&injected, &decision)?;
        if decision.allowed() { nothing_is_left_to_do(on_error, &after) } else { Ok(()) }
    });
}

#[test]
fn any_json_has_an_answer() {
    holds(pods::json(), |json| decide(OnError::Deny, &json).map(drop));
}

#[test]
fn any_bytes_have_an_answer() {
    let bytes = prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..64).boxed(),
        damaged(include_bytes!("../fixtures/reviews/small.json")).boxed(),
    ];
    holds(bytes, |bytes| {
        if let Ok(review) = Review::parse(&bytes) {
            REVIEWS.set(REVIEWS.get() + 1);
            let decision = pillion_engine::review(&CATALOGS[0].0, &Namespace::named(review.namespace()), &review);
            let answer = response::response(&review, &decision);
            prop_assert!(serde_json::from_slice::<Value>(&answer).is_ok());
        }
        Ok(())
    });
}

/// A review in which some bytes were changed, and perhaps the end is missing.
fn damaged(review: &'static [u8]) -> impl Strategy<Value = Vec<u8>> {
    let changes = proptest::collection::vec((any::<Index>(), any::<u8>()), 0..4);
    (changes, any::<Index>(), prop::bool::weighted(0.2)).prop_map(|(changes, end, is_cut)| {
        let mut review = review.to_vec();
        for (place, byte) in changes {
            let at = place.index(review.len());
            review[at] = byte;
        }
        review.truncate(if is_cut { end.index(review.len()) } else { review.len() });
        review
    })
}

fn policy() -> impl Strategy<Value = OnError> {
    prop_oneof![2 => Just(OnError::Skip), 1 => Just(OnError::Deny)]
}

thread_local! {
    /// What the test of this thread has asked the engine so far.
    static REVIEWS: Cell<u32> = const { Cell::new(0) };
}

/// Runs a property on many inputs. The smallest that breaks it is printed; its seed would be of no use, since what is made
/// up follows the cookbook.
#[track_caller]
fn holds<S: Strategy>(inputs: S, property: impl Fn(S::Value) -> Result<(), TestCaseError>) {
    let config = ProptestConfig { failure_persistence: None, ..ProptestConfig::default() };
    let cases = config.cases;
    let began = Instant::now();
    if let Err(error) = TestRunner::new(config).run(&inputs, property) {
        panic!("{error}");
    }
    if env::var_os("PROPTEST_CASES").is_some() {
        let (reviews, seconds) = (REVIEWS.get(), began.elapsed().as_secs_f64());
        let thread = thread::current();
        let test = thread.name().unwrap_or_default();
        // Past the test runner, which shows the output of a test only when it fails.
        writeln!(
            stderr(),
            "{test}: {cases} cases, {reviews} reviews in {seconds:.1} s, {:.0}/s",
            f64::from(reviews) / seconds
        )
        .expect("stderr is open");
    }
}

/// The cookbook in force twice for each policy: what differs between two catalogs must not show.
static CATALOGS: LazyLock<[(Catalog, Catalog); 2]> = LazyLock::new(|| {
    [OnError::Deny, OnError::Skip].map(|on_error| (cookbook::catalog(on_error), cookbook::catalog(on_error)))
});

/// What is decided on a pod, every time that it is asked.
fn decide(on_error: OnError, pod: &Json) -> Result<Decision, TestCaseError> {
    let text = pod.to_string();
    let raw: &RawValue = serde_json::from_str(&text).expect("JSON");
    let review = Review::of_pod("shop", raw);
    let (first, second) = &CATALOGS[usize::from(on_error == OnError::Skip)];
    let decide = |catalog| {
        REVIEWS.set(REVIEWS.get() + 1);
        pillion_engine::review(catalog, &Namespace::named("shop"), &review)
    };
    let decision = decide(first);
    let again = response::response(&review, &decide(second));
    prop_assert!(response::response(&review, &decision) == again, "{}", String::from_utf8_lossy(&again));
    let warnings = response::warnings(&decision);
    prop_assert!(warnings.iter().all(|warning| warning.chars().count() <= 120), "{warnings:?}");
    prop_assert!(warnings.iter().map(String::len).sum::<usize>() <= 4096, "{warnings:?}");
    prop_assert!(decision.allowed() || decision.patch.is_empty(), "refused and changed: {}", decision.patch.json);
    Ok(decision)
}

/// The pod with the patch applied, and every scalar that the patch does not touch in its own writing.
fn patched(pod: &Json, decision: &Decision) -> Result<Json, TestCaseError> {
    let patch: Value = serde_json::from_str(&decision.patch.json).expect("a patch is JSON");
    let mut after = pod.clone();
    after.apply(&patch);
    let value = |json: &Json| serde_json::from_str::<Value>(&json.to_string()).expect("JSON");
    let mut judged = value(pod);
    let patch: json_patch::Patch = serde_json::from_value(patch).expect("a JSON patch");
    let applied = json_patch::patch(&mut judged, &patch);
    prop_assert!(applied.is_ok(), "the patch does not apply: {applied:?} {}", decision.patch.json);
    prop_assert_eq!(value(&after), judged);
    Ok(after)
}

/// Takes a member or an item out, whichever `place` leads to.
fn take_out(pod: &mut Json, place: Index) {
    let mut count = 0;
    pod.visit(&mut |value| count += value.members().len() + value.items().len());
    let mut left = place.index(count);
    let mut is_done = false;
    pod.visit(&mut |value| {
        let parts = value.members().len() + value.items().len();
        match value {
            _ if is_done => {}
            Json::Object(members) if left < parts => drop(members.remove(left)),
            Json::List(items) if left < parts => drop(items.remove(left)),
            _ => {
                left -= parts;
                return;
            }
        }
        is_done = true;
    });
}

fn nothing_is_left_to_do(on_error: OnError, after: &Json) -> Result<(), TestCaseError> {
    let second = decide(on_error, after)?;
    prop_assert!(second.allowed(), "the second pass refuses: {:?}\n{after}", second.message);
    prop_assert!(second.patch.is_empty(), "the second pass gives {}\n{after}", second.patch.json);
    Ok(())
}

/// The order of the templates is the order of the annotation, in what is written down and in what was added.
fn order_is_kept(before: &Json, after: &Json, decision: &Decision) -> Result<(), TestCaseError> {
    let annotation = |pod: &Json, key: &str| pod.get("metadata")?.get("annotations")?.get(key)?.string();
    let asked = annotation(before, "pillion.dev/templates").unwrap_or_default();
    let mut asked: Vec<&str> = asked.split(',').map(|name| name.trim().trim_start_matches('+')).collect();
    let known: Vec<&str> = decision.templates.iter().map(|it| it.name.as_str()).collect();
    asked.retain(|name| known.contains(name));
    prop_assert_eq!(&known, &asked);
    if known.is_empty() {
        return Ok(());
    }
    let outcome = annotation(after, "pillion.dev/outcome").unwrap_or_default();
    let words: Vec<&str> = outcome.split(',').filter_map(|word| Some(word.split_once('=')?.0)).collect();
    prop_assert_eq!(&words, &asked);

    let init_containers = |pod: &Json| -> Vec<String> {
        let list = pod.get("spec").and_then(|spec| spec.get("initContainers")).map_or(&[][..], Json::items);
        list.iter().filter_map(|container| container.get("name")?.string()).collect()
    };
    let (before, after) = (init_containers(before), init_containers(after));
    let injected = decision.templates.iter().filter(|it| it.outcome == Outcome::Injected);
    let mut last: HashMap<String, usize> = HashMap::new();
    for recipe in injected.map(|it| cookbook::recipe(it.name.as_str())) {
        for container in recipe.spec["pod"]["spec"]["initContainers"].as_array().into_iter().flatten() {
            let name = container["name"].as_str().expect("a container has a name");
            let Some(at) = after.iter().position(|it| it == name).filter(|_| !before.iter().any(|it| it == name))
            else {
                continue;
            };
            let placement = recipe.spec["placement"].to_string();
            if let Some(earlier) = last.insert(placement, at) {
                prop_assert!(earlier < at, "{name} comes too early: {after:?}");
            }
        }
    }
    Ok(())
}

/// The places of a pod that the chosen templates speak of, without the numbers of items: `spec.containers.env`.
struct Spoken {
    places: BTreeSet<String>,
    overridden: BTreeSet<String>,
}

impl Spoken {
    fn by(decision: &Decision) -> Spoken {
        let mut spoken = Spoken { places: BTreeSet::new(), overridden: BTreeSet::new() };
        spoken.places.extend(["outcome", "status"].map(|key| format!("metadata.annotations.pillion.dev/{key}")));
        for template in decision.templates.iter().filter(|it| it.outcome == Outcome::Injected) {
            let (places, overridden) = cookbook::places(cookbook::recipe(template.name.as_str()));
            spoken.places.extend(places);
            spoken.overridden.extend(overridden);
        }
        spoken
    }

    /// Whether something can be new at a place: it, something around it, or something in it was spoken of.
    fn can_be_new(&self, place: &str) -> bool {
        let within = |inner: &str, outer: &str| inner.strip_prefix(outer).is_some_and(|rest| rest.starts_with('.'));
        self.places.iter().any(|spoken| spoken == place || within(place, spoken) || within(spoken, place))
    }

    fn can_be_replaced(&self, place: &str) -> bool {
        let annotations = "metadata.annotations.pillion.dev/";
        self.overridden.iter().any(|field| place.starts_with(field.as_str()))
            || place.starts_with(annotations)
            || (REPLACED.contains(&place) && self.can_be_new(place))
    }

    /// Whether `before` is still there in `after`, with nothing beside it that no template speaks of.
    fn stays(&self, place: &str, before: &Json, after: &Json) -> Result<(), String> {
        if before == after || self.can_be_replaced(place) {
            return Ok(());
        }
        match (before, after) {
            _ if place.strip_prefix("metadata.annotations.") == Some(cookbook::SAFE_TO_EVICT) => {
                let [old, new] = [before, after].map(|it| it.string().unwrap_or_default());
                let stays = new.strip_prefix(&old).is_some_and(|rest| old.is_empty() || rest.starts_with(','));
                if stays && self.can_be_new(place) { Ok(()) } else { Err(format!("{place} was {old} and is {new}")) }
            }
            (Json::Object(old), Json::Object(new)) if is_merged(place) => {
                let names =
                    |members: &[(String, Json)]| members.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
                if !is_part(&names(old), &names(new)) {
                    return Err(format!("{place} has lost members, or their order: {before} is {after}"));
                }
                new.iter().try_for_each(|(name, new)| {
                    let inner = format!("{place}{}{name}", if place.is_empty() { "" } else { "." });
                    match before.get(name).filter(|old| !old.is_null()) {
                        Some(old) => self.stays(&inner, old, new),
                        None if new.is_null() || self.can_be_new(&inner) => Ok(()),
                        None => Err(format!("{inner} is new: {new}")),
                    }
                })
            }
            (Json::List(old), Json::List(new)) if place == "spec.containers" || place == "spec.initContainers" => {
                let mut rest = new.iter();
                for old in old {
                    let Some(found) = rest.by_ref().find(|new| new.get("name") == old.get("name")) else {
                        return Err(format!("{place} has lost {old}, or its order"));
                    };
                    self.stays(place, old, found)?;
                }
                self.can_grow(place, old, new)
            }
            (Json::List(old), Json::List(new)) => {
                if !is_part(old, new) {
                    return Err(format!("{place} has lost items, or their order: {before} is {after}"));
                }
                self.can_grow(place, old, new)
            }
            _ => Err(format!("{place} was {before} and is {after}")),
        }
    }

    fn can_grow(&self, place: &str, old: &[Json], new: &[Json]) -> Result<(), String> {
        let is_list_of_its_own = place.matches('.').count() <= 2;
        let grows = new.len() > old.len();
        if grows && !(is_list_of_its_own && self.can_be_new(place)) {
            return Err(format!("{place} has grown: {new:?}"));
        }
        Ok(())
    }
}

/// Whether all of `part` is in `whole`, in its order.
fn is_part<T: PartialEq>(part: &[T], whole: &[T]) -> bool {
    let mut whole = whole.iter();
    part.iter().all(|wanted| whole.any(|found| found == wanted))
}

/// Objects that are merged field by field; every other one is one value.
fn is_merged(place: &str) -> bool {
    const IN_POD: [&str; 9] = [
        "",
        "metadata",
        "metadata.labels",
        "metadata.annotations",
        "spec",
        "spec.containers",
        "spec.initContainers",
        "spec.nodeSelector",
        "spec.securityContext",
    ];
    const IN_CONTAINER: [&str; 4] = ["resources", "resources.limits", "resources.requests", "lifecycle"];
    let in_container = ["spec.containers.", "spec.initContainers."].iter().find_map(|list| place.strip_prefix(list));
    IN_POD.contains(&place) || in_container.is_some_and(|place| IN_CONTAINER.contains(&place))
}

/// Fields whose value a template may replace, each by a rule of its own.
const REPLACED: [&str; 4] =
    ["spec.terminationGracePeriodSeconds", "spec.dnsPolicy", "spec.restartPolicy", "spec.schedulerName"];
