//! The engine of `tests/before/` and the one of today decide the same on everything that is written down here or made up.
//!
//! `BEFORE_SEED` is where what is made up begins, and `BEFORE_TEMPLATES` and `BEFORE_PODS` are how many
//! templates, and pods with the cookbook, there are; with one of them the test says what it met.

mod changed;
mod engines;
mod holes;
mod kinds;
mod made_up;
mod random;
mod spoilt;

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::io::{Write as _, stderr};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::Instant;
use std::{env, fs};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proptest::strategy::{Strategy, ValueTree as _};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use self::engines::{Reviewed, new, old};
use self::kinds::kind;
use self::random::Random;
use self::spoilt::Spoiler;
use crate::golden::Case;
use crate::harness::cookbook;
use crate::harness::json::Json;
use crate::harness::pods;

/// A piece of a sentence, of the old engine or the new one, of each difference that is meant.
const ACCEPTED: &[&str] = &[];

/// The most kinds of differences that are shown.
const MAX_SHOWN: usize = 400;

#[test]
fn every_golden_case_is_decided_as_before() {
    let mut comparison = Comparison::default();
    let cookbook = comparison.read_all(cookbook::recipes().iter().map(|recipe| recipe.text.as_str()));
    for case in Case::all() {
        let pod = Json::from(&case.parse("pod.yaml").expect("a case has a pod"));
        let namespace = case.parse("namespace.yaml").unwrap_or_else(|| json!("shop"));
        let own = case.read("templates.yaml").map(|text| comparison.read(&text));
        comparison.context = case.folder.display().to_string();
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

#[test]
fn bodies_are_answered_as_before() {
    let mut comparison = Comparison::default();
    let cookbook = comparison.read_all(cookbook::recipes().iter().map(|recipe| recipe.text.as_str()));
    let catalogs = Catalogs::of(&cookbook, true);
    let mut random = Random::from(setting("BEFORE_SEED", 1));
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/reviews");
    for file in fs::read_dir(folder).expect("the folder is there").flatten() {
        let whole = fs::read(file.path()).expect("a readable file");
        comparison.answer(&catalogs, &whole);
        for _ in 0..300.min(6_000_000 / whole.len()) {
            let mut body = whole.clone();
            for _ in 0..random.below(4) {
                let at = random.below(body.len());
                body[at] = random.pick(b"\"{}[],:0a \\/\xff\n-");
            }
            if random.percent(20) {
                body.truncate(random.below(body.len()));
            }
            comparison.answer(&catalogs, &body);
        }
    }
    comparison.end("bodies");
}

#[test]
fn made_up_pods_get_of_the_cookbook_what_they_got_before() {
    let mut comparison = Comparison::default();
    let cookbook = comparison.read_all(cookbook::recipes().iter().map(|recipe| recipe.text.as_str()));
    let catalogs = [false, true].map(|skips| Catalogs::of(&cookbook, skips));
    let names: Vec<&str> = cookbook::recipes().iter().map(|recipe| recipe.name.as_str()).collect();
    let keys: Vec<String> = cookbook::recipes().iter().flat_map(|recipe| keys(&recipe.name, &recipe.spec)).collect();
    let seed = setting("BEFORE_SEED", 1);
    let mut runner = runner(seed);
    let (sound, odd) = (pods::pod_with_choice(), pods::odd_pod());
    for number in 0..setting("BEFORE_PODS", 1500) {
        let mut random = Random::from(seed ^ (number << 32));
        let pod = if number % 2 == 0 { Json::from(&made_up(&mut runner, &sound)) } else { made_up(&mut runner, &odd) };
        let pod = with_odd_parameters(pod, &keys, &mut random);
        let namespace = namespace(&mut random, &names, &keys);
        let catalogs = random.pick(&[&catalogs[0], &catalogs[1]]);
        comparison.review_thrice(catalogs, &namespace, &pod, &mut random);
    }
    comparison.end("pods with the cookbook");
}

#[test]
fn made_up_templates_are_read_and_applied_as_before() {
    /// The templates of one file, which are in force together.
    const TOGETHER: u64 = 6;
    let mut comparison = Comparison::default();
    let mut spoiler = Spoiler::new();
    let seed = setting("BEFORE_SEED", 1);
    let mut runner = runner(seed);
    let strategy = pods::pod_with_choice();
    let pods: Vec<Value> = (0..150).map(|_| made_up(&mut runner, &strategy)).collect();
    for number in 0..setting("BEFORE_TEMPLATES", 6000) / TOGETHER {
        let mut random = Random::from(seed ^ (number << 32));
        let templates: Vec<Value> = (0..TOGETHER)
            .map(|at| {
                let mut template = made_up::template(&mut random, &format!("t{at}"));
                if random.percent(55) {
                    spoiler.spoil(&mut random, &mut template);
                }
                template
            })
            .collect();
        // Each is a text of its own: one that cannot be parsed would hide those behind it.
        let texts: Vec<String> = templates.iter().map(|template| spoilt::write(&mut random, template)).collect();
        let pairs = comparison.read_all(texts.iter().map(String::as_str));
        let catalogs = Catalogs::of(&pairs, random.percent(50));
        let known: Vec<(&str, &Value)> = pairs
            .iter()
            .filter(|(old, _)| old.template.is_some() || random.percent(5))
            .filter_map(|(old, _)| old.name.as_deref())
            .filter_map(|name| Some((name, templates.iter().find(|it| it["metadata"]["name"] == name)?)))
            .collect();
        for (name, _) in &known {
            for _ in 0..3 {
                let mut asked = vec![*name];
                if random.percent(40) {
                    asked.push(random.pick(&known).0);
                }
                let chosen: Vec<_> = known.iter().filter(|(name, _)| asked.contains(name)).collect();
                let keys: Vec<_> = chosen.iter().flat_map(|(name, template)| keys(name, &template["spec"])).collect();
                let texts = asked.iter().filter_map(|name| texts.get(name[1..].parse::<usize>().ok()?));
                comparison.context = texts.cloned().collect::<Vec<_>>().join("\n---\n");
                let pod = asking(random.pick(&pods), &asked, &chosen, &mut random);
                let namespace = namespace(&mut random, &asked, &keys);
                comparison.review_thrice(&catalogs, &namespace, &Json::from(&pod), &mut random);
            }
        }
        comparison.context.clear();
    }
    comparison.end("made-up templates");
}

fn setting(variable: &str, otherwise: u64) -> u64 {
    env::var(variable).ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}

fn runner(seed: u64) -> TestRunner {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_be_bytes());
    TestRunner::new_with_rng(Config::default(), TestRng::from_seed(RngAlgorithm::ChaCha, &bytes))
}

fn made_up<S: Strategy>(runner: &mut TestRunner, strategy: &S) -> S::Value {
    strategy.new_tree(runner).expect("it can be made up").current()
}

/// The annotations of a template's parameters.
fn keys(name: &str, spec: &Value) -> Vec<String> {
    let parameters = spec["parameters"].as_array().into_iter().flatten();
    parameters.filter_map(|it| Some(format!("{name}.pillion.dev/{}", it["name"].as_str()?))).collect()
}

/// Texts for parameters of all types, right for some.
const TEXTS: &[&str] = &[
    "",
    " ",
    "1",
    "0",
    "-1",
    "8081",
    "70000",
    "1.5",
    "1e3",
    "true",
    "false",
    "yes",
    "null",
    "{}",
    "[]",
    "{\"a\": 1}",
    "[1, null]",
    "[\"a\", \"b\"]",
    "64Mi",
    "500m",
    "9Gi",
    "30s",
    "1h30m",
    "/data",
    "/data/logs",
    "../x",
    "web",
    "Bad Name",
    "a=b",
    "${{ params.a }}",
    "\u{202e}",
    "registry.example.com/other:2",
    "a",
    "b",
    "1s",
    "60s",
];

fn with_odd_parameters(mut pod: Json, keys: &[String], random: &mut Random) -> Json {
    for _ in 0..random.pick(&[0, 0, 1, 2]) {
        let (key, text) = (random.pick(keys), random.pick(TEXTS));
        pod.visit(&mut |value| {
            if let Json::Object(members) = value
                && let Some((_, Json::Object(annotations))) = members.iter_mut().find(|(name, _)| name == "annotations")
                && !annotations.iter().any(|(name, _)| *name == key)
            {
                annotations.push((key.clone(), Json::from(&text.into())));
            }
        });
    }
    pod
}

/// A pod that asks for templates, and sets some of their parameters.
fn asking(mut pod: Value, asked: &[&str], chosen: &[&(&str, &Value)], random: &mut Random) -> Value {
    let annotations = pod["metadata"]["annotations"].as_object_mut().expect("a map");
    annotations.retain(|key, _| !key.contains("pillion.dev/"));
    annotations.insert("pillion.dev/templates".into(), asked.join(",").into());
    for (name, template) in chosen {
        for parameter in template["spec"]["parameters"].as_array().into_iter().flatten() {
            let is_given = parameter["default"].is_null() && parameter["optional"] != true;
            if !random.percent(if is_given || parameter["name"] == "slip" { 90 } else { 15 }) {
                continue;
            }
            let written = [&parameter["example"], &parameter["default"], &parameter["enum"][0]];
            let written = written.into_iter().find(|value| !value.is_null()).filter(|_| random.percent(75));
            let by_kind = match parameter["type"].as_str().unwrap_or_default() {
                "integer" | "number" => r#"["1", "8081", "70000", "-1", "0"]"#,
                "boolean" => r#"["true", "true", "false"]"#,
                "list" => r#"["[]", "[\"a\"]", "[null]", "[{\"name\": \"A\", \"value\": \"b\"}]"]"#,
                "object" => r#"["{}", "{\"a\": \"b\"}", "{\"name\": \"a\"}"]"#,
                _ => r#"["web", "/data", "a b", "", "64Mi"]"#,
            };
            let value = match written {
                Some(Value::String(text)) => text.clone(),
                Some(value) => value.to_string(),
                None if random.percent(20) => random.pick(TEXTS).to_owned(),
                None => random.json(by_kind).as_str().unwrap_or_default().to_owned(),
            };
            annotations
                .insert(format!("{name}.pillion.dev/{}", parameter["name"].as_str().unwrap_or_default()), value.into());
        }
    }
    if chosen.iter().any(|(_, template)| template["spec"]["os"].to_string().contains("windows")) && random.percent(50) {
        pod["spec"]["os"] = json!({"name": "windows"});
    }
    match random.below(20) {
        0 => pod["spec"]["hostNetwork"] = true.into(),
        1 => pod["metadata"]["labels"] = json!({"pillion.dev/inject": "disabled", "app": "web"}),
        2 => pod["spec"]["os"] = json!({"name": random.pick(&["linux", "windows"])}),
        3 => pod["spec"]["resources"] = json!({"limits": {"cpu": "1", "memory": "64Mi"}}),
        4 => pod["spec"]["terminationGracePeriodSeconds"] = random.pick(&[1, 5, 600]).into(),
        // Nearly all that annotations may have.
        5 if random.percent(10) => {
            let large = "x".repeat(random.pick(&[250_000, 262_050]));
            pod["metadata"]["annotations"]["example.com/large"] = large.into();
        }
        _ => {}
    }
    pod
}

/// A namespace, perhaps one that requires or chooses templates, or sets parameters.
fn namespace(random: &mut Random, names: &[&str], keys: &[String]) -> Value {
    match random.below(10) {
        0..=2 => return "shop".into(),
        3 if random.percent(10) => return Value::Null,
        _ => {}
    }
    let name = random.pick(&["shop", "shop", "bank"]);
    let labels = random.json(r#"[{}, {"team": "payments"}, {"team": "a", "stage": "test"}]"#);
    let mut annotations = json!({});
    if random.percent(30) {
        annotations["pillion.dev/required-templates"] = random.pick(names).into();
    }
    if random.percent(30) {
        annotations["pillion.dev/templates"] = random.pick(names).into();
    }
    for _ in 0..random.pick(&[0, 0, 0, 1]) {
        if !keys.is_empty() {
            annotations[random.pick(keys)] = random.pick(TEXTS).into();
        }
    }
    json!({"metadata": {"name": name, "labels": labels, "annotations": annotations}})
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
#[derive(Clone)]
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
    /// The templates that a review is about, or where they are.
    context: String,
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
            context: String::new(),
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
        let old = old::read(text);
        let Some(new) = self.attempt(text, || new::read(text)) else { return Vec::new() };
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
            same("why a template is refused", &old.problems, &new.problems);
            same("what a template is warned of", &old.warnings, &new.warnings);
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
        let input = format!("pod: {text}\nnamespace: {namespace}\n{}", self.context);
        let old = old::review(&catalogs.old, namespace, raw);
        let new = self.attempt(&input, || new::review(&catalogs.new, namespace, raw))?;
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
                ("what is said", format!("{:?}", it.sentences)),
                ("the patch", it.patch.clone()),
            ]
        };
        for ((what, was), (_, is)) in parts(&old).into_iter().zip(parts(&new)) {
            if was != is && (what != "the patch" || without_digests(&was, &was) != without_digests(&is, &was)) {
                let (was, is) = if what == "the patch" { first_difference(&was, &is) } else { (was, is) };
                self.differs(what, &input, &[old.sentences, vec![was]].concat(), &[new.sentences, vec![is]].concat());
                return None;
            }
        }
        let after = |patch: &str| {
            let mut after = pod.clone();
            after.apply(&serde_json::from_str(patch).expect("a patch is JSON"));
            after
        };
        if old.patch != new.patch {
            // Each reads what it wrote itself.
            let again = |pod: Json, review: fn(&Catalogs, &Value, &RawValue) -> Reviewed| {
                let text = pod.to_string();
                let reviewed = review(catalogs, namespace, serde_json::from_str(&text).expect("a pod is JSON"));
                let patch = without_digests(&reviewed.patch, &reviewed.patch).to_string();
                format!("{:?}", parts(&Reviewed { patch, ..reviewed }))
            };
            let was = again(after(&old.patch), |it, namespace, pod| old::review(&it.old, namespace, pod));
            let is = again(after(&new.patch), |it, namespace, pod| new::review(&it.new, namespace, pod));
            if was != is {
                self.differs("a second call", &input, &[was], &[is]);
            }
        }
        old.allowed.then(|| after(&old.patch))
    }

    /// Answers the body of a request.
    fn answer(&mut self, catalogs: &Catalogs, body: &[u8]) {
        let old = old::answer(&catalogs.old, body).map(|answers| answers.map(with_patch));
        let input = String::from_utf8_lossy(body);
        let Some(new) = self.attempt(&input, || new::answer(&catalogs.new, body)) else { return };
        let new = new.map(|answers| answers.map(with_patch));
        self.reviews += 1;
        if old != new {
            let [old, new] = [old, new].map(|answer| vec![format!("{answer:?}")]);
            self.differs("what is answered", &input, &old, &new);
        }
    }

    /// What the new engine gives; if it panics, that is a difference like others.
    fn attempt<T>(&mut self, input: &str, call: impl FnOnce() -> T) -> Option<T> {
        match catch_unwind(AssertUnwindSafe(call)) {
            Ok(value) => Some(value),
            Err(panic) => {
                let text = panic.downcast_ref::<String>().map(String::as_str);
                let text = text.or(panic.downcast_ref::<&str>().copied()).unwrap_or_default();
                self.differs("the new engine panics", input, &[], &[text.to_owned()]);
                None
            }
        }
    }

    /// Notes a difference; the last of the sentences is the value itself.
    fn differs(&mut self, what: &str, input: &str, old: &[String], new: &[String]) {
        let alone = |these: &[String], others: &[String]| -> Vec<String> {
            these.iter().filter(|sentence| !others.contains(sentence)).cloned().collect()
        };
        let (old, new) = (alone(old, new), alone(new, old));
        if old.iter().chain(&new).any(|sentence| ACCEPTED.iter().any(|piece| sentence.contains(piece))) {
            self.meant += 1;
            return;
        }
        let first = |sentences: &[String]| sentences.first().map(|it| kind(it)).unwrap_or_default();
        let key = format!("{what}\n  old: {}\n  new: {}", first(&old), first(&new));
        let [old, new] = [old, new].map(|sentences| sentences.join("\n       "));
        let found = Difference { count: 0, input: input.to_owned(), old, new };
        let known = self.differences.entry(key).or_insert_with(|| found.clone());
        let count = known.count + 1;
        if input.len() < known.input.len() {
            *known = found;
        }
        known.count = count;
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

/// An answer with its patch to read.
fn with_patch(mut answer: Value) -> Value {
    if let Some(patch) = answer["response"]["patch"].as_str() {
        let patch = String::from_utf8(STANDARD.decode(patch).expect("a patch is in base64")).expect("JSON is UTF-8");
        answer["response"]["patch"] = without_digests(&patch, &patch);
    }
    answer
}

/// A patch with nothing in its status but what the old engine wrote there, too, and no digests. Where the old one wrote none,
/// it may be written in its new form.
fn without_digests(patch: &str, old: &str) -> Value {
    fn visit(value: &mut Value) {
        match value {
            Value::String(text) if text.starts_with(r#"{"version":"#) => {
                let mut status: Value = serde_json::from_str(text).unwrap_or_default();
                for record in status["templates"].as_array_mut().into_iter().flatten() {
                    let fields = record.as_object_mut().expect("a record is an object");
                    fields.retain(|field, _| !["digest", "parameters", "images"].contains(&field.as_str()));
                }
                *value = status;
            }
            Value::Array(items) => items.iter_mut().for_each(visit),
            Value::Object(members) => members.values_mut().for_each(visit),
            _ => {}
        }
    }
    const STATUS: &str = "/metadata/annotations/pillion.dev~1status";
    let mut patch: Value = serde_json::from_str(patch).expect("a patch is JSON");
    visit(&mut patch);
    let operations = patch.as_array_mut().expect("a patch is a list");
    operations.retain(|operation| operation["path"] != STATUS || old.contains(STATUS));
    patch
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
