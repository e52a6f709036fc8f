//! The engine of `tests/before/` and the one of today decide the same on everything that is written down here or made up.
//!
//! Sentences may differ. `BEFORE_SEED` is where what is made up begins, and `BEFORE_TEMPLATES` and `BEFORE_PODS` are how many
//! templates, and pods with the cookbook, there are; with one of them the test says what it met.

mod changed;
mod engines;
mod kinds;
mod random;

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::io::{Write as _, stderr};
use std::path::Path;
use std::time::Instant;
use std::{env, fs};

use serde_json::value::RawValue;
use serde_json::{Value, json};

use self::engines::{Reviewed, new, old};
use self::kinds::kind;
use self::random::Random;
use crate::harness::cookbook;
use crate::harness::json::Json;

/// A piece of a sentence, of the old engine or the new one, of each difference that is meant.
const ACCEPTED: &[&str] = &[];

/// The most kinds of differences that are shown.
const MAX_SHOWN: usize = 50;

#[test]
fn every_golden_case_is_decided_as_before() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut comparison = Comparison::default();
    let cookbook = comparison.read_all(cookbook::recipes().iter().map(|recipe| recipe.text.as_str()));
    for case in fs::read_dir(root.join("tests/golden")).expect("the folder is there").flatten() {
        let read = |file: &str| fs::read_to_string(case.path().join(file)).ok();
        let parse = |text: String| serde_saphyr::from_str::<Value>(&text).expect("a case is YAML");
        let pod = Json::from(&read("pod.yaml").map(parse).expect("a case has a pod"));
        let namespace = read("namespace.yaml").map_or_else(|| json!("shop"), parse);
        let own = read("templates.yaml").map(|text| comparison.read(&text));
        for skips in [false, true] {
            let catalogs = Catalogs::of(own.as_ref().unwrap_or(&cookbook), skips);
            comparison.review_thrice(&catalogs, &namespace, &pod, &mut Random::from(0));
        }
    }
    comparison.end("golden cases");
}

#[test]
fn every_example_is_decided_as_before() {
    let mut comparison = Comparison::default();
    let cookbook = comparison.read_all(cookbook::recipes().iter().map(|recipe| recipe.text.as_str()));
    let catalogs = Catalogs::of(&cookbook, false);
    let mut random = Random::from(0);
    let mut pods: Vec<Json> = cookbook::examples().iter().map(|example| Json::from(&example.pod)).collect();
    // Each template with what a pod needs at least, which is often a refusal.
    pods.extend(cookbook::recipes().iter().map(|recipe| {
        Json::from(&json!({
            "metadata": {"name": "web", "annotations": {"pillion.dev/templates": recipe.name}},
            "spec": {"containers": [{"name": "app", "image": "app"}]},
        }))
    }));
    for pod in pods {
        comparison.review_thrice(&catalogs, &json!("shop"), &pod, &mut random);
    }
    comparison.end("cookbook and examples");
}

/// Templates as both engines read them, where both accept or both refuse.
type Pairs = Vec<(old::Loaded, new::Loaded)>;

/// The same templates in force in both engines.
struct Catalogs {
    old: pillion_engine_before::catalog::Catalog,
    new: pillion_engine::catalog::Catalog,
}

impl Catalogs {
    fn of(pairs: &Pairs, skips: bool) -> Catalogs {
        Catalogs {
            old: old::catalog(pairs.iter().map(|(old, _)| old), skips),
            new: new::catalog(pairs.iter().map(|(_, new)| new), skips),
        }
    }
}

/// A kind of difference.
struct Difference {
    count: usize,
    /// The smallest input that shows it.
    input: String,
    old: String,
    new: String,
}

/// What was compared, and how it differs.
struct Comparison {
    began: Instant,
    differences: BTreeMap<String, Difference>,
    meant: usize,
    accepted: usize,
    refused: usize,
    reviews: usize,
    /// How many reviews of the old engine came to what, and how many sentences of which kind it said.
    outcomes: BTreeMap<String, usize>,
    sentences: BTreeMap<String, usize>,
}

impl Default for Comparison {
    fn default() -> Comparison {
        Comparison {
            began: Instant::now(),
            differences: BTreeMap::new(),
            meant: 0,
            accepted: 0,
            refused: 0,
            reviews: 0,
            outcomes: BTreeMap::new(),
            sentences: BTreeMap::new(),
        }
    }
}

impl Comparison {
    /// Reads every document of a file with both engines.
    fn read(&mut self, text: &str) -> Pairs {
        let (old, new) = (old::read(text), new::read(text));
        if old.len() != new.len() {
            let counts = [old.len(), new.len()].map(|count| vec![format!("{count} documents")]);
            self.differs("the number of documents", text, &counts[0], &counts[1]);
            return Vec::new();
        }
        let mut pairs: Pairs = old.into_iter().zip(new).collect();
        pairs.retain(|(old, new)| {
            let said = [&old.problems, &old.warnings].map(Vec::clone).concat();
            let says = [&new.problems, &new.warnings].map(Vec::clone).concat();
            said.iter().for_each(|sentence| *self.sentences.entry(kind(sentence)).or_default() += 1);
            let is_accepted = [old.template.is_some(), new.template.is_some()];
            *if is_accepted[0] { &mut self.accepted } else { &mut self.refused } += 1;
            let mut same = |what: &str, old: &dyn Debug, new: &dyn Debug| {
                let [old, new] = [old, new].map(|value| format!("{value:?}"));
                let is_same = old == new;
                if !is_same {
                    self.differs(what, text, &[&said[..], &[old]].concat(), &[&says[..], &[new]].concat());
                }
                is_same
            };
            if !same("whether a template is accepted", &is_accepted[0], &is_accepted[1]) {
                return false;
            }
            if !is_accepted[0] {
                same("whether a refusal says why", &!old.problems.is_empty(), &!new.problems.is_empty());
            }
            same("the number of warnings", &old.warnings.len(), &new.warnings.len());
            same("the Pod Security level", &old.pod_security, &new.pod_security);
            same("the description", &old.description, &new.description);
            same("the name", &(&old.name, &old.namespace), &(&new.name, &new.namespace))
        });
        pairs
    }

    fn read_all<'t>(&mut self, texts: impl Iterator<Item = &'t str>) -> Pairs {
        texts.flat_map(|text| self.read(text)).collect()
    }

    /// Reviews a pod, the pod that comes out, and that pod as others have changed it.
    fn review_thrice(&mut self, catalogs: &Catalogs, namespace: &Value, pod: &Json, random: &mut Random) {
        let Some(after) = self.review(catalogs, namespace, pod) else { return };
        self.review(catalogs, namespace, &after);
        let changed = changed::by_others(&after, random);
        if let Some(after) = self.review(catalogs, namespace, &changed) {
            self.review(catalogs, namespace, &after);
        }
    }

    /// The pod that comes out of a review, if both engines agree on it and let it pass.
    fn review(&mut self, catalogs: &Catalogs, namespace: &Value, pod: &Json) -> Option<Json> {
        let text = pod.to_string();
        let raw: &RawValue = serde_json::from_str(&text).expect("a pod is JSON");
        let (old, new) = (old::review(&catalogs.old, namespace, raw), new::review(&catalogs.new, namespace, raw));
        self.reviews += 1;
        *self.outcomes.entry(format!("{}: {}", old.outcome, old.reason)).or_default() += 1;
        old.sentences.iter().for_each(|sentence| *self.sentences.entry(kind(sentence)).or_default() += 1);
        let parts = |it: &Reviewed| {
            [
                ("whether a pod may pass", it.allowed.to_string()),
                ("what a review comes to", format!("{}: {}", it.outcome, it.reason)),
                ("what a template comes to", format!("{:?}", it.templates)),
                ("which names are unknown", format!("{:?}", it.unknown)),
                ("which pod it is", it.subject.clone()),
                ("the patch", it.patch.clone()),
            ]
        };
        for ((what, was), (_, is)) in parts(&old).into_iter().zip(parts(&new)) {
            if was != is {
                let (was, is) = if what == "the patch" { first_difference(&was, &is) } else { (was, is) };
                let input = format!("pod: {text}\nnamespace: {namespace}");
                self.differs(what, &input, &[old.sentences, vec![was]].concat(), &[new.sentences, vec![is]].concat());
                return None;
            }
        }
        let patch = serde_json::from_str(&old.patch).expect("a patch is JSON");
        let mut after = pod.clone();
        after.apply(&patch);
        old.allowed.then_some(after)
    }

    /// Notes a difference; the last of the sentences is the value itself.
    fn differs(&mut self, what: &str, input: &str, old: &[String], new: &[String]) {
        if old.iter().chain(new).any(|sentence| ACCEPTED.iter().any(|piece| sentence.contains(piece))) {
            self.meant += 1;
            return;
        }
        let first = |sentences: &[String]| sentences.first().map(|it| kind(it)).unwrap_or_default();
        let key = format!("{what}\n  old: {}\n  new: {}", first(old), first(new));
        let known = self.differences.entry(key).or_insert_with(|| Difference {
            count: 0,
            input: input.to_owned(),
            old: old.join("\n       "),
            new: new.join("\n       "),
        });
        known.count += 1;
        if input.len() < known.input.len() {
            *known = Difference {
                input: input.to_owned(),
                old: old.join("\n       "),
                new: new.join("\n       "),
                ..*known
            };
        }
    }

    /// Fails if there was any difference that is not meant.
    #[track_caller]
    fn end(self, what: &str) {
        let Comparison { accepted, refused, reviews, meant, .. } = self;
        let count = format!(
            "{what}: {accepted} templates accepted and {refused} refused, {reviews} reviews in {:.1} s; {meant} \
             differences are meant",
            self.began.elapsed().as_secs_f64()
        );
        if env::var_os("BEFORE_SEED").is_some() {
            let lines = |counts: &BTreeMap<String, usize>| -> String {
                counts.iter().map(|(what, count)| format!("{count:7} {what}\n")).collect()
            };
            let met = format!("{count}\n{}{}", lines(&self.outcomes), lines(&self.sentences));
            // Past the test runner, which shows the output of a test only when it fails.
            stderr().write_all(met.as_bytes()).expect("stderr is open");
        }
        let kinds = self.differences.len();
        let mut shown: Vec<_> = self.differences.into_iter().collect();
        shown.sort_by_key(|(_, difference)| std::cmp::Reverse(difference.count));
        let shown = shown.into_iter().take(MAX_SHOWN).map(|(key, Difference { count, input, old, new })| {
            format!("{count} times: {key}\n  such as\n  old: {old}\n  new: {new}\n{input}\n")
        });
        assert!(kinds == 0, "{count}\n{kinds} kinds of differences\n\n{}", shown.collect::<Vec<_>>().join("\n"));
    }
}

/// The first operations of two patches that differ.
fn first_difference(old: &str, new: &str) -> (String, String) {
    let operations = |patch: &str| -> Vec<Value> { serde_json::from_str(patch).unwrap_or_default() };
    let (old_operations, new_operations) = (operations(old), operations(new));
    let at = old_operations.iter().zip(&new_operations).take_while(|(old, new)| old == new).count();
    let shown = |operations: &[Value]| operations.get(at).map_or_else(|| "nothing".into(), Value::to_string);
    match (shown(&old_operations), shown(&new_operations)) {
        // They differ in how they are written.
        (one, other) if one == other => (old.into(), new.into()),
        shown => shown,
    }
}
