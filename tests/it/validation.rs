//! Generated pods, put to our rules and to a real API server: what one refuses the other refuses.
//!
//! `PILLION_PODS_SEED` is the first seed and `PILLION_PODS` how many pods are mutated; each number says all about its pods.

#![expect(clippy::print_stdout, reason = "the figures are for whoever runs it")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::{env, fs, thread};

use pillion_engine::admission::Review;
use pillion_engine::catalog::{Catalog, Namespace as PodNamespace};
use pillion_engine::decision::Reason;
use pillion_engine::load;
use pillion_engine::rules::{Description, Group, Violation, descriptions, violations};
use pillion_engine::template::OnError;
use serde_json::value::to_raw_value;
use serde_json::{Value, json};

use crate::golden::applied;
use crate::harness::cluster::Cluster;
use crate::harness::generated_pods::{Generator, unknown_fields, vanished, without};
use crate::harness::namespace::Namespace;
use crate::random_pods::setting;

/// How many mutations of a pod are judged.
const MUTATIONS: usize = 8;

/// What is wrong with a pod by our rules.
fn ours(pod: &Value) -> Vec<Violation> {
    violations(&to_raw_value(pod).expect("JSON"))
}

/// A pod that our rules accept.
fn grown(generator: &mut Generator) -> Value {
    let mut pod = generator.first(|pod| ours(pod).is_empty());
    for _ in 0..generator.below(60) {
        let grown = generator.grown(&pod);
        if ours(&grown).is_empty() {
            pod = grown;
        }
    }
    pod
}

/// A pod that our rules accept, and mutations of it. The first is the pod itself.
fn generated(seed: u64) -> Vec<Value> {
    let mut generator = Generator::new(seed);
    let pod = grown(&mut generator);
    let mutated: Vec<_> = (0..MUTATIONS).map(|_| generator.mutated(&pod)).collect();
    [pod].into_iter().chain(mutated).collect()
}

/// Takes out what this version of the API server does not know.
fn known_to(unknown: &BTreeSet<String>, pod: &Value) -> Value {
    let mut pod = pod.clone();
    without(&mut pod["spec"], &json!({"ref": "PodSpec"}), unknown);
    pod
}

/// The fields that this version of the API server does not know.
fn unknown() -> BTreeSet<String> {
    let cluster = Cluster::shared().expect("there is a control plane");
    let unknown = unknown_fields(&cluster.api.get("/openapi/v3/api/v1").json());
    assert!(unknown.len() < 20, "{unknown:?}");
    unknown
}

/// What the API server says of a pod.
struct Theirs {
    accepts: bool,
    message: String,
    vanished: Vec<String>,
}

fn theirs(here: &Namespace, pod: &Value) -> Theirs {
    let answer = here.create("v1", "pods?dryRun=All&fieldValidation=Strict", pod);
    assert!([201, 400, 403, 422].contains(&answer.status), "{}: {pod}", answer.text());
    let mut gone = Vec::new();
    let accepts = answer.status == 201;
    if accepts {
        vanished(&pod["spec"], &answer.json()["spec"], "spec", &mut gone);
    }
    let message =
        if accepts { String::new() } else { answer.json()["message"].as_str().unwrap_or_default().to_owned() };
    Theirs { accepts, message, vanished: gone }
}

fn join(violations: &[Violation]) -> String {
    violations.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

/// What an API server refuses or not by its feature gates, and a newer one takes.
const GATED: &str = "restartPolicyRules are not allowed for init containers with restart policy Always";

/// Whether that is all that a message says.
fn is_gated(message: &str) -> bool {
    message.contains(GATED) && message.matches("spec.").count() == message.matches(GATED).count()
}

/// What feature gates drop, and so is judged by nobody.
const DROPPED: [&str; 4] = ["stopSignal", "schedulingGroup", "clusterTrustBundle", "podCertificate"];

/// Whether something vanished that a gate drops, and we refuse a pod for that alone.
fn is_of_what_vanished(ours: &[Violation], vanished: &[String]) -> bool {
    let is_dropped = |place: &str| DROPPED.iter().any(|field| place.contains(field));
    !vanished.is_empty()
        && vanished.iter().all(|path| is_dropped(path) || path.ends_with(".lifecycle"))
        && ours.iter().all(|violation| is_dropped(&violation.to_string()))
}

/// How often pods were judged alike, and where not.
#[derive(Default)]
struct Tally {
    both_accept: u64,
    both_refuse: u64,
    vanished: BTreeMap<String, u64>,
    differences: Vec<String>,
}

impl Tally {
    fn judge(&mut self, number: u64, pod: &Value, theirs: Theirs) {
        let ours = ours(pod);
        match (ours.is_empty(), theirs.accepts) {
            (true, true) => self.both_accept += 1,
            (false, false) => self.both_refuse += 1,
            (true, false) if is_gated(&theirs.message) => {}
            (false, true) if is_of_what_vanished(&ours, &theirs.vanished) => {
                for path in theirs.vanished {
                    *self.vanished.entry(path).or_default() += 1;
                }
            }
            (true, false) => self.differences.push(format!("missed by us in {number}: {} {pod}", theirs.message)),
            (false, true) => self.differences.push(format!("made up by us in {number}: {} {pod}", join(&ours))),
        }
    }
}

#[test]
fn what_our_rules_refuse_is_what_the_api_server_refuses() {
    let Some(here) = Namespace::new("validation", &[]) else { return };
    let unknown = unknown();
    let first: u64 = setting("PILLION_PODS_SEED", 20_261_130);
    let end = first + setting::<u64>("PILLION_PODS", 500);
    let next = AtomicU64::new(first);
    let tally = Mutex::new(Tally::default());
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= end {
                        return;
                    }
                    for pod in generated(number).iter().map(|pod| known_to(&unknown, pod)) {
                        let theirs = theirs(&here, &pod);
                        tally.lock().expect("no panic").judge(number, &pod, theirs);
                    }
                }
            });
        }
    });
    let Tally { both_accept, both_refuse, vanished, differences } = tally.into_inner().expect("no panic");
    let pods = (end - first) * (MUTATIONS as u64 + 1);
    assert!(both_accept > pods / 2 && both_refuse > pods / 5, "{both_accept} and {both_refuse} of {pods}");
    println!("{both_accept} accepted and {both_refuse} refused by both, vanished: {vanished:#?}");
    assert!(differences.is_empty(), "{} differences\n{}", differences.len(), differences.join("\n"));
}

const FOUND: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/broken-rules.json");

/// The places whose mutations may break a rule about parts together, or about what is below a part.
const PLACES: &[(&str, &[&str])] = &[
    ("must have a name that fits its iscsi", &["ISCSIVolumeSource.targetPortal"]),
    ("must have values that a label can have", &["NodeSelectorRequirement.values"]),
    ("must have operators with the values", &["NodeSelectorRequirement"]),
    ("must have searches of", &["PodDNSConfig.searches"]),
    ("no two containers", &["Container.name", "Volume.name"]),
    ("no probe and no hook", &["Container", "Container.restartPolicy"]),
    ("what a container mounts", &["VolumeMount.name", "VolumeDevice.name", "FileKeySelector.volumeName"]),
    ("no `sleep`", &["SleepAction.seconds", "PodSpec.terminationGracePeriodSeconds"]),
    ("no `RestartContainer`", &["PodSpec.restartPolicy", "ContainerResizePolicy.restartPolicy"]),
    ("`dnsPolicy: None`", &["PodSpec.dnsPolicy"]),
    ("`procMount: Unmasked`", &["SecurityContext.procMount"]),
    ("a pod with `hostPID`", &["PodSpec"]),
    ("on the node's network", &["ContainerPort.hostPort"]),
    ("`hostnameOverride`", &["PodSpec"]),
    ("no sysctl", &["Sysctl.name", "PodSpec"]),
    ("no `schedulingGates`", &["PodSpec"]),
    (
        "no key of `matchLabelKeys`",
        &["PodAffinityTerm.matchLabelKeys", "TopologySpreadConstraint.matchLabelKeys", "ObjectMeta.labels"],
    ),
    ("nothing that belongs", &["PodSpec"]),
    ("all containers are HostProcess", &["WindowsSecurityContextOptions"]),
    ("annotations of seccomp", &["ObjectMeta.annotations"]),
    (
        "a profile of seccomp",
        &[
            "ObjectMeta.annotations",
            "SeccompProfile",
            "AppArmorProfile",
            "PodSecurityContext.seccompProfile",
            "SecurityContext.seccompProfile",
            "SecurityContext.appArmorProfile",
        ],
    ),
    ("who requests a resource", &["ResourceRequirements.requests", "ResourceRequirements.limits"]),
    ("a claim that", &["ResourceRequirements", "ResourceClaim.name"]),
    ("no two regular containers", &["ContainerPort.hostPort"]),
    ("containers limit", &["ResourceRequirements.requests", "ResourceRequirements.limits", "PodSpec"]),
];

/// A rule of Kubernetes.
struct Rule {
    number: usize,
    /// In words.
    words: String,
    /// Where a pod can break it.
    places: Vec<String>,
}

fn rules() -> impl Iterator<Item = Rule> {
    descriptions().into_iter().enumerate().filter_map(|(number, Description { group, of, must })| {
        let places = match (PLACES.iter().find(|(rule, _)| must.starts_with(rule)), group) {
            (_, Group::Template | Group::Baseline | Group::Restricted) => return None,
            (Some((_, places)), _) => places.iter().map(|place| (*place).to_owned()).collect(),
            (None, Group::Parts) => of.split(", ").map(str::to_owned).collect(),
            (None, Group::Across) => panic!("no places are known for {must:?}"),
        };
        Some(Rule { number, words: format!("{of} {must}").trim().to_owned(), places })
    })
}

/// The rule that a pod breaks, if it is just one and nothing else is wrong.
fn broken(pod: &Value) -> Option<usize> {
    let violations = ours(pod);
    let first = violations.first()?.rule()?;
    violations.iter().all(|violation| violation.rule() == Some(first)).then_some(first)
}

impl Rule {
    /// Whether a change there may break it.
    fn may_break_at(&self, place: &str) -> bool {
        let is_at = |wanted: &String| {
            let object = wanted.split('.').next().unwrap_or_default();
            wanted == place || object == place || object == wanted && place.split('.').next() == Some(object)
        };
        self.places.iter().any(is_at)
    }

    /// A mutation of a right pod that breaks this rule and no other, if the generator comes upon one.
    fn broken_by(&self, mut generator: Generator, pod: &Value) -> Option<Value> {
        (0..100).find_map(|_| {
            let mutated = generator.mutated_at(pod, |place| self.may_break_at(place))?;
            (broken(&mutated) == Some(self.number)).then_some(mutated)
        })
    }
}

/// A right pod, and the generator that made it.
fn right(seed: u64) -> (Generator, Value) {
    let mut generator = Generator::new(seed);
    let pod = grown(&mut generator);
    (generator, pod)
}

/// Looks for a seed whose pod can be mutated so that just this rule is broken, for each rule for which the known one is of
/// no use any more.
fn look_for(known: BTreeMap<String, u64>) -> BTreeMap<String, u64> {
    let mut rules: Vec<_> = rules().collect();
    let mut found = BTreeMap::new();
    rules.retain(|rule| {
        let seed = known.get(&rule.words).copied().filter(|seed| {
            let (generator, pod) = right(*seed);
            rule.broken_by(generator, &pod).is_some()
        });
        found.extend(seed.map(|seed| (rule.words.clone(), seed)));
        seed.is_none()
    });
    for seed in 0..setting("PILLION_PODS", 2_000) {
        if rules.is_empty() {
            break;
        }
        let (generator, pod) = right(seed);
        rules.retain(|rule| {
            let is_found = rule.broken_by(generator.clone(), &pod).is_some();
            if is_found {
                found.insert(rule.words.clone(), seed);
            }
            !is_found
        });
    }
    found
}

#[test]
fn a_pod_that_breaks_just_one_rule_is_refused_and_one_that_keeps_it_is_not() {
    let mut seeds = serde_json::from_str(&fs::read_to_string(FOUND).expect("the file is there")).expect("JSON");
    if env::var_os("UPDATE_RULES").is_some() {
        seeds = look_for(seeds);
        fs::write(FOUND, serde_json::to_string_pretty(&seeds).expect("JSON") + "\n").expect("the file is writable");
    }
    let Some(here) = Namespace::new("broken-rules", &[]) else { return };
    let unknown = unknown();
    let mut wrong = Vec::new();
    for rule in rules() {
        let found = seeds.get(&rule.words).and_then(|seed| {
            let (generator, pod) = right(*seed);
            Some((rule.broken_by(generator, &pod)?, pod))
        });
        let Some((breaks, keeps)) = found else {
            wrong.push(format!("{}: no pod is known that breaks it alone; UPDATE_RULES=1 looks for one", rule.words));
            continue;
        };
        let [keeps, breaks] = [keeps, breaks].map(|pod| known_to(&unknown, &pod));
        if broken(&breaks) != Some(rule.number) {
            assert!(!unknown.is_empty(), "{}: a pod of known fields breaks another rule", rule.words);
            continue;
        }
        let (kept, refused) = (theirs(&here, &keeps), theirs(&here, &breaks));
        if !kept.accepts {
            wrong.push(format!("{}: the pod that keeps it is refused: {}: {keeps}", rule.words, kept.message));
        }
        if refused.accepts && !is_of_what_vanished(&ours(&breaks), &refused.vanished) {
            wrong.push(format!("{}: the pod that breaks it is accepted: {breaks}", rule.words));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What a pod and a template that gives most of another pod come to.
enum Brought {
    /// The template is refused when it is loaded, or the pod because of it, and why.
    Refused(String),
    Injected(Value),
    /// The pod asks for more than Pillion does.
    TooLarge,
}

/// What Pillion refuses in a template, and no API server does.
const DELIBERATE: &str = "the container has no port of that name";

/// What a template may not give, or what decides by itself whether it is applied.
const OF_THE_POD: [&str; 3] = ["automountServiceAccountToken", "nodeName", "os"];

/// Has a template bring all that a generated pod has beside this one container.
fn brought(app: &Value, pod: &Value) -> Brought {
    let mut bare =
        json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web"}, "spec": {"containers": [app]}});
    bare["metadata"]["annotations"] = json!({"pillion.dev/templates": "a"});
    let metadata = json!({"labels": pod["metadata"]["labels"], "annotations": pod["metadata"]["annotations"]});
    let part = json!({"metadata": metadata, "spec": pod["spec"]});
    let template = json!({
        "apiVersion": "pillion.dev/v1alpha1",
        "kind": "ClusterInjectionTemplate",
        "metadata": {"name": "a"},
        "spec": {"pod": part, "hostNetwork": pod["spec"]["hostNetwork"] == true},
    });
    let mut catalog = Catalog::new(OnError::Deny);
    match load::read(&template.to_string(), "a.json").remove(0) {
        Ok(template) => catalog.insert(template.into()),
        Err(refused) => return Brought::Refused(format!("{:?}", refused.problems)),
    }
    let raw = to_raw_value(&bare).expect("JSON");
    let decision = pillion_engine::review(&catalog, &PodNamespace::named("shop"), &Review::of_pod("shop", &raw));
    match decision.reason {
        Reason::Injected | Reason::NothingToAdd => Brought::Injected(applied(&bare, &decision)),
        Reason::TooLarge => Brought::TooLarge,
        _ => Brought::Refused(decision.message.unwrap_or_default()),
    }
}

#[test]
fn a_template_is_refused_for_what_its_pod_would_be_refused_for() {
    let app = json!({"name": "app", "image": "app:1"});
    let (mut wrong, mut injected) = (Vec::new(), 0);
    let first: u64 = setting("PILLION_PODS_SEED", 20_261_130);
    for seed in first..first + setting::<u64>("PILLION_PODS", 200) {
        for mut pod in generated(seed) {
            let Some(spec) = pod["spec"].as_object_mut() else { continue };
            OF_THE_POD.iter().for_each(|field| drop(spec.shift_remove(*field)));
            let brought = brought(&app, &pod);
            if let Some(containers) = pod["spec"]["containers"].as_array_mut() {
                containers.push(app.clone());
            }
            let ours = ours(&pod);
            match brought {
                Brought::Injected(pod) if !self::ours(&pod).is_empty() => {
                    wrong.push(format!("{seed} is injected, and wrong: {}", join(&self::ours(&pod))));
                }
                Brought::Refused(why) if ours.is_empty() && !why.contains(DELIBERATE) => {
                    wrong.push(format!("{seed} is right, and refused: {why}"));
                }
                Brought::Injected(_) => injected += 1,
                Brought::Refused(_) | Brought::TooLarge => {}
            }
        }
    }
    assert!(wrong.is_empty(), "{} templates\n{}", wrong.len(), wrong.join("\n"));
    assert!(injected > 500, "only {injected} of 1,800 templates were injected");
}
