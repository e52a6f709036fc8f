//! What is lost on bad days, at 20 pods a second: 10 in a namespace whose pods start bare when nobody answers, 10 in one
//! whose pods wait. The table of `docs/monitoring.md` is made of it; `UPDATE_DOCS=1` writes it anew.

use std::fmt::Write as _;
use std::io::Write as _;
use std::thread::sleep;
use std::time::{Duration, Instant};
use std::{env, fs};

use super::disruption::{
    assert_unchanged, await_renewal, await_restart, certificates_are_served, empty_bundles, end_part, evict, exhaust,
    force_delete, kill, leader, pod_starts, run,
};
use crate::e2e::{all_ready, exclusive_release, helm, install, kubectl, name, replicas};
use crate::harness::load::{Asked, Load, Outcome};
use crate::harness::metrics::Metrics;
use crate::harness::namespace::Calls;
use crate::harness::node::{TestNamespace, is_test_node, node, until};
use crate::harness::templates::{namespaced, sidecars};

struct Scenario {
    what: &'static str,
    /// Values of the chart besides its own.
    values: &'static [&'static str],
    disrupt: fn(),
    loses_nothing: bool,
    heals: &'static str,
    /// The alert that fires, besides those of [`LOST`].
    alert: &'static str,
}

/// The alerts that fire when pods were lost.
const LOST: &str = "PillionFailedOpen and PillionCallsFail, if pods were lost";

const SCENARIOS: &[Scenario] = &[
    Scenario {
        what: "Rolling restart",
        values: &[],
        disrupt: || {
            kubectl(&["rollout", "restart", "deployment/pillion"]);
            kubectl(&["rollout", "status", "deployment/pillion", "--timeout=2m"]);
        },
        loses_nothing: true,
        heals: "nothing to heal",
        alert: "",
    },
    Scenario {
        what: "Each replica evicted, one after the other",
        values: &[],
        disrupt: || {
            for replica in replicas() {
                evict(name(&replica));
                all_ready();
            }
        },
        loses_nothing: true,
        heals: "the Deployment",
        alert: "",
    },
    Scenario {
        what: "Each replica deleted, one after the other",
        values: &[],
        disrupt: || {
            for replica in replicas() {
                kubectl(&["delete", "pod", name(&replica)]);
                all_ready();
            }
        },
        loses_nothing: true,
        heals: "the Deployment",
        alert: "",
    },
    Scenario {
        what: "The certificate renewed, three times",
        values: ROTATION,
        disrupt: || {
            for _ in 0..3 {
                await_renewal("tls.crt");
                certificates_are_served();
            }
        },
        loses_nothing: true,
        heals: "nothing to heal",
        alert: "",
    },
    Scenario {
        what: "The leader killed, then deleted by force, each while a new CA is published",
        values: ROTATION,
        disrupt: || {
            for end in [kill, force_delete] {
                await_renewal("ca.crt");
                end(&leader());
                await_renewal("tls.crt");
                certificates_are_served();
            }
        },
        loses_nothing: false,
        heals: "the kubelet restarts the replica, which leads on; if its pod is gone, another leads within 20 s",
        alert: "",
    },
    Scenario {
        what: "Each replica killed, one after the other",
        values: &[],
        disrupt: || {
            for replica in replicas() {
                kill(&replica);
                all_ready();
            }
        },
        loses_nothing: false,
        heals: "the kubelet, at once after a first crash, later after its back-off",
        alert: "",
    },
    Scenario {
        what: "All replicas killed",
        values: &[],
        disrupt: || {
            let before = replicas();
            run("pkill", &["-KILL", "-x", "pillion"]);
            before.iter().for_each(await_restart);
        },
        loses_nothing: false,
        heals: "the kubelet, at once after a first crash, later after its back-off",
        alert: "",
    },
    Scenario {
        what: "Each replica out of memory, one after the other",
        values: &[],
        disrupt: || replicas().iter().for_each(exhaust),
        loses_nothing: false,
        heals: "the kubelet; raise `resources.limits.memory`",
        alert: "",
    },
    Scenario {
        what: "containerd ended on the node",
        values: &[],
        disrupt: || end_part("containerd"),
        loses_nothing: true,
        heals: "whatever restarts it; pods run on",
        alert: "",
    },
    Scenario {
        what: "The kubelet ended on the node",
        values: &[],
        disrupt: || end_part("kubelet"),
        loses_nothing: true,
        heals: "whatever restarts it; pods run on",
        alert: "",
    },
    Scenario {
        what: "The Secret with the certificate deleted",
        values: &[],
        disrupt: || {
            kubectl(&["delete", "secret", "pillion-certs"]);
            certificates_are_served();
        },
        loses_nothing: true,
        heals: "the leader writes it back",
        alert: "PillionCertificatesReset, if it goes on",
    },
    Scenario {
        what: "The `caBundle` emptied",
        values: &[],
        disrupt: empty_bundles,
        loses_nothing: false,
        heals: "any replica writes it back within 4 s",
        alert: "PillionCertificatesReset, if it goes on",
    },
    Scenario {
        what: "The API server stopped for 30 s",
        values: &[],
        disrupt: || {
            let before = replicas();
            run("pkill", &["-STOP", "-x", "kube-apiserver"]);
            sleep(Duration::from_secs(30));
            run("pkill", &["-CONT", "-x", "kube-apiserver"]);
            // After it the kubelet has reported the status it could not.
            pod_starts("after-kube-apiserver");
            assert_unchanged(&before);
        },
        loses_nothing: true,
        heals: "replicas stay ready, and watch again by themselves",
        alert: "",
    },
];

/// A certificate every quarter of a minute, an authority every minute.
const ROTATION: &[&str] =
    &["--set=certs.auto.duration=50s,certs.auto.renewBefore=35s,certs.auto.caDuration=100s,certs.auto.propagation=8s"];

/// What was lost of the pods of one namespace.
#[derive(Default)]
struct Losses {
    asked: usize,
    bare: usize,
    refused: usize,
    /// Answered after more than a second.
    late: usize,
    /// From the first pod that was lost to the last.
    gap: Duration,
}

impl Losses {
    fn of(asked: &[Asked]) -> Losses {
        let lost = asked.iter().filter(|asked| asked.outcome != Outcome::Injected);
        let moments: Vec<_> = lost.clone().map(|asked| asked.at + asked.took).collect();
        let gap = moments.iter().max().zip(moments.iter().min()).map(|(last, first)| *last - *first);
        Losses {
            asked: asked.len(),
            bare: lost.clone().filter(|asked| asked.outcome == Outcome::Bare).count(),
            refused: lost.filter(|asked| asked.outcome != Outcome::Bare).count(),
            late: asked.iter().filter(|asked| asked.took > Duration::from_secs(1)).count(),
            gap: gap.unwrap_or_default(),
        }
    }
}

/// What a scenario cost in the namespace whose pods start bare, and in that whose pods wait.
fn measure(scenario: &Scenario, namespaces: &[TestNamespace; 2]) -> [Losses; 2] {
    // Nothing of the scenario before is left, such as a certificate that lasts for a year, or a restart that waits.
    helm(&["uninstall", "pillion", "--ignore-not-found", "--wait"]);
    kubectl(&["delete", "secret", "pillion-certs", "--ignore-not-found"]);
    install(scenario.values);
    all_ready();
    change_template(namespaces, "1");
    let before = calls();
    let begun = Instant::now();
    // So many that they share the one connection of kubectl's proxy, which takes a hundred.
    let loads = namespaces.each_ref().map(|namespace| Load::begin(&namespace.api, 10, 45));
    until_injected(&loads, begun);
    (scenario.disrupt)();
    all_ready();
    until_injected(&loads, Instant::now());
    let losses = loads.map(|load| Losses::of(&load.end()));
    let after = calls();
    change_template(namespaces, "2");

    let [open, strict] = &losses;
    let what = scenario.what;
    assert_eq!((open.refused, strict.bare), (0, 0), "{what}: each namespace has its policy");
    // Pods that the API server counted, and nobody else asked for any.
    let lost = (after[0].failed_open - before[0].failed_open, after[1].failed - before[1].failed);
    assert_eq!((open.bare as f64, strict.refused as f64), lost, "{what}: as the API server has it");
    losses
}

/// Waits until ten pods in a row are injected in each namespace, of those asked for since a moment.
fn until_injected(loads: &[Load; 2], since: Instant) {
    for load in loads {
        until("pods to be injected", || {
            let asked = load.since(since);
            (asked.len() >= 20 && asked[asked.len() - 10..].iter().all(|outcome| *outcome == Outcome::Injected))
                .then_some(())
        });
    }
}

/// Changes the template, and waits until every pod gets the change.
fn change_template(namespaces: &[TestNamespace; 2], version: &str) {
    for namespace in namespaces {
        let template = namespaced(namespace.name(), "shipper", version);
        let image = template["spec"]["pod"]["spec"]["initContainers"][0]["image"].as_str().expect("an image");
        namespace.apply(&template.to_string());
        let injected = || sidecars(&namespace.api, "shipper").is_some_and(|images| images == [image]);
        until("the template to be applied", || (0..20).all(|_| injected()).then_some(()));
    }
}

/// What the API server has counted of the webhook that fails open, and of that which does not.
fn calls() -> [Calls; 2] {
    let metrics = Metrics::parse(&node().api.get("/metrics").text());
    ["pods.pillion.dev", "strict-pods.pillion.dev"].map(|webhook| Calls::of(&metrics, webhook))
}

#[test]
#[ignore = "needs a node: make e2e-all"]
fn what_bad_days_cost() {
    let _release = exclusive_release();
    assert!(is_test_node(), "they end processes of the tests' node");
    let opted_in = ("pillion.dev/inject", "enabled");
    let namespaces = [
        node().namespace_with("open", &[opted_in]),
        node().namespace_with("strict", &[opted_in, ("pillion.dev/failure-policy", "fail")]),
    ];

    let mut table = HEAD.to_owned();
    let mut lossy = Vec::new();
    for scenario in SCENARIOS {
        let [open, strict] = measure(scenario, &namespaces);
        let row = row(scenario, &open, &strict);
        writeln!(std::io::stderr(), "{row}").expect("stderr is open");
        writeln!(table, "{row}").expect("a string takes all");
        if scenario.loses_nothing && open.bare + strict.refused > 0 {
            lossy.push(scenario.what);
        }
    }
    if env::var_os("UPDATE_DOCS").is_some() {
        let page = fs::read_to_string(PAGE).expect("the page is there");
        let [head, _, tail] = parts(&page);
        fs::write(PAGE, format!("{head}{BEGIN}{table}{END}{tail}")).expect("the page is writable");
    }
    assert!(lossy.is_empty(), "these lose pods, and should not: {lossy:?}");
}

fn row(scenario: &Scenario, open: &Losses, strict: &Losses) -> String {
    let must = if scenario.loses_nothing { " ✓" } else { "" };
    let gap = open.gap.max(strict.gap);
    let lasts = if gap.is_zero() { "–".to_owned() } else { format!("{:.1} s", gap.as_secs_f64()) };
    let lost = Some(LOST).filter(|_| !scenario.loses_nothing);
    let also = Some(scenario.alert).filter(|alert| !alert.is_empty());
    let alerts: Vec<_> = lost.into_iter().chain(also).collect();
    format!(
        "| {} | {} of {}{must} | {} of {}{must} | {} | {lasts} | {} | {} |",
        scenario.what,
        open.bare,
        open.asked,
        strict.refused,
        strict.asked,
        open.late + strict.late,
        scenario.heals,
        if alerts.is_empty() { "none".to_owned() } else { alerts.join("; ") },
    )
}

#[test]
fn the_page_has_a_row_for_each_bad_day() {
    let page = fs::read_to_string(PAGE).expect("the page is there");
    let [_, table, _] = parts(&page);
    let rows = table.strip_prefix(HEAD).expect("the table begins with its head").lines();
    let rows: Vec<_> = rows.map(|row| row.split(" | ").collect::<Vec<_>>()).collect();
    let rows: Vec<_> = rows.iter().map(|row| [row[0], row[5], row[6]]).collect();
    let none = Losses::default();
    let expected: Vec<_> = SCENARIOS.iter().map(|scenario| row(scenario, &none, &none)).collect();
    let expected: Vec<_> = expected.iter().map(|row| row.split(" | ").collect::<Vec<_>>()).collect();
    let expected: Vec<_> = expected.iter().map(|row| [row[0], row[5], row[6]]).collect();
    assert_eq!(rows, expected, "UPDATE_DOCS=1 make e2e-all writes the page");
}

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/monitoring.md");
const BEGIN: &str = "<!-- made by make e2e-all -->\n\n";
const END: &str = "\n<!-- until here -->";
const HEAD: &str =
    "| What | Bare | Refused where pods wait | Late | For | What heals it | Alert |\n|---|---|---|---|---|---|---|\n";

/// The page before its table, the table, and the page after it.
fn parts(page: &str) -> [&str; 3] {
    let (head, rest) = page.split_once(BEGIN).expect("the page says where the table begins");
    let (table, tail) = rest.split_once(END).expect("and where it ends");
    [head, table, tail]
}
