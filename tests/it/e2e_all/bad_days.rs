//! What is lost on bad days, at 20 pods a second: 10 in a namespace whose pods start bare when nobody answers, 10 in one
//! whose pods wait. The table of `docs/monitoring.md` is made of it; `UPDATE_DOCS=1` writes it anew.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;
use std::process::Command;
use std::thread::{scope, sleep};
use std::time::{Duration, Instant};
use std::{env, fs};

use serde_json::{Value, json};

use crate::e2e::{all_ready, alone, helm, install, manifest, pillion, replicas};
use crate::harness::load::{Asked, Load, Outcome};
use crate::harness::metrics::Metrics;
use crate::harness::namespace::Calls;
use crate::harness::node::{Here, condition, node, own, until};
use crate::harness::pillion::pod;
use crate::harness::templates::namespaced;

struct Day {
    what: &'static str,
    /// Values of the chart besides its own.
    values: &'static [&'static str],
    strike: fn(),
    /// Whether nothing may be lost.
    harmless: bool,
    heals: &'static str,
    /// Besides those that the counters of the API server say.
    alert: &'static str,
}

const DAYS: &[Day] = &[
    Day {
        what: "Rolling restart",
        values: &[],
        strike: || {
            kubectl(&["rollout", "restart", "deployment/pillion"]);
            kubectl(&["rollout", "status", "deployment/pillion", "--timeout=2m"]);
        },
        harmless: true,
        heals: "nothing to heal",
        alert: "",
    },
    Day {
        what: "Each replica evicted, one after the other",
        values: &[],
        strike: || {
            for replica in replicas() {
                evict(name(&replica));
                all_ready();
            }
        },
        harmless: true,
        heals: "the Deployment",
        alert: "",
    },
    Day {
        what: "Each replica deleted, one after the other",
        values: &[],
        strike: || {
            for replica in replicas() {
                kubectl(&["delete", "pod", name(&replica)]);
                all_ready();
            }
        },
        harmless: true,
        heals: "the Deployment",
        alert: "",
    },
    Day {
        what: "The certificate renewed, three times",
        values: ROTATION,
        strike: || {
            for _ in 0..3 {
                renewal();
            }
        },
        harmless: true,
        heals: "nothing to heal",
        alert: "",
    },
    Day {
        what: "The leader killed while certificates are renewed",
        values: ROTATION,
        strike: || {
            renewal();
            kill(&leader());
            renewal();
            renewal();
        },
        harmless: false,
        heals: "the kubelet; another replica leads after 15 s at most",
        alert: "",
    },
    Day {
        what: "Each replica killed, one after the other",
        values: &[],
        strike: || {
            for replica in replicas() {
                kill(&replica);
                all_ready();
            }
        },
        harmless: false,
        heals: "the kubelet",
        alert: "",
    },
    Day {
        what: "All replicas killed",
        values: &[],
        strike: || {
            let before = replicas();
            run("pkill", &["-KILL", "-x", "pillion"]);
            before.iter().for_each(await_restart);
        },
        harmless: false,
        heals: "the kubelet",
        alert: "",
    },
    Day {
        what: "Each replica out of memory, one after the other",
        values: &["--set=resources.limits.memory=64Mi,resources.requests.memory=32Mi"],
        strike: || replicas().iter().for_each(exhaust),
        harmless: false,
        heals: "the kubelet; give it more memory",
        alert: "",
    },
    Day {
        what: "containerd ended on the node",
        values: &[],
        strike: || end_part("containerd"),
        harmless: true,
        heals: "systemd; pods run on",
        alert: "",
    },
    Day {
        what: "The kubelet ended on the node",
        values: &[],
        strike: || end_part("kubelet"),
        harmless: true,
        heals: "systemd; pods run on",
        alert: "",
    },
    Day {
        what: "The Secret with the certificate deleted",
        values: &[],
        strike: || {
            kubectl(&["delete", "secret", "pillion-certs"]);
            until("the Secret to be there again", || (node().api.get(SECRET).status == 200).then_some(()));
            sleep(Duration::from_secs(5));
        },
        harmless: true,
        heals: "the leader writes it back",
        alert: "PillionCertificatesReset, if it goes on",
    },
    Day {
        what: "The `caBundle` emptied",
        values: &[],
        strike: empty_bundles,
        harmless: false,
        heals: "any replica writes it back",
        alert: "PillionCertificatesReset, if it goes on",
    },
    Day {
        what: "The API server stopped for 30 s",
        values: &[],
        strike: || {
            run("pkill", &["-STOP", "-x", "kube-apiserver"]);
            sleep(Duration::from_secs(30));
            run("pkill", &["-CONT", "-x", "kube-apiserver"]);
        },
        harmless: true,
        heals: "replicas stay ready, and watch again by themselves",
        alert: "",
    },
];

/// A certificate every quarter of a minute, an authority every minute.
const ROTATION: &[&str] =
    &["--set=certs.auto.duration=50s,certs.auto.renewBefore=35s,certs.auto.caDuration=100s,certs.auto.propagation=8s"];

fn kubectl(arguments: &[&str]) {
    node().kubectl(&[&["--namespace=pillion"], arguments].concat(), "").succeeded();
}

/// Of the node's own processes, among which the tests run.
fn run(program: &str, arguments: &[&str]) {
    let status = Command::new(program).args(arguments).status().unwrap_or_else(|e| panic!("{program}: {e}"));
    assert!(status.success(), "{program} {arguments:?}: {status}");
}

fn name(pod: &Value) -> &str {
    pod["metadata"]["name"].as_str().expect("a pod has a name")
}

/// Kills a part of the node, which is started again, and lets it work for a while.
fn end_part(name: &str) {
    run("pkill", &["-KILL", "-x", name]);
    sleep(Duration::from_secs(10));
}

/// Waits until another certificate is in the Secret.
fn renewal() {
    let certificate = || node().api.get(SECRET).json()["data"]["tls.crt"].as_str().map(str::to_owned);
    let before = certificate();
    until("the certificate to be renewed", || {
        let now = certificate();
        (now.is_some() && now != before).then_some(())
    });
}

const SECRET: &str = "/api/v1/namespaces/pillion/secrets/pillion-certs";

/// By the Eviction API, which asks the budget.
fn evict(pod: &str) {
    let path = format!("/api/v1/namespaces/pillion/pods/{pod}/eviction");
    let eviction = json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod}});
    until("the budget to allow the eviction", || (node().api.create(&path, &eviction).status == 201).then_some(()));
}

fn leader() -> Value {
    let lease = node().api.get("/apis/coordination.k8s.io/v1/namespaces/pillion/leases/pillion").json();
    let holder = lease["spec"]["holderIdentity"].as_str().expect("somebody leads");
    let replicas = replicas();
    let leader = replicas.iter().find(|replica| holder.starts_with(name(replica)));
    leader.expect("a replica leads").clone()
}

/// The container of a replica, as the runtime calls it.
fn container_id(replica: &Value) -> &str {
    let id = replica["status"]["containerStatuses"][0]["containerID"].as_str().expect("it runs");
    id.rsplit('/').next().expect("an id")
}

/// Kills the process of a replica, without a warning, and waits for the next.
fn kill(replica: &Value) {
    let id = container_id(replica);
    let processes = fs::read_dir("/proc").expect("there are processes").flatten();
    let process = processes
        .map(|entry| entry.path())
        .find(|process| fs::read_to_string(process.join("cgroup")).is_ok_and(|groups| groups.contains(id)));
    let process = process.expect("the replica is a process of this node");
    run("kill", &["-KILL", &process.file_name().expect("a number").to_string_lossy()]);
    await_restart(replica);
}

/// Waits until the container of a replica is another.
fn await_restart(before: &Value) {
    let path = format!("/api/v1/namespaces/pillion/pods/{}", name(before));
    let restarts = |pod: &Value| pod["status"]["containerStatuses"][0]["restartCount"].as_u64();
    until("the replica to be started again", || {
        (restarts(&node().api.get(&path).json()) > restarts(before)).then_some(())
    });
}

/// Lowers what one replica may use to what it does use, and has it review large pods until it is killed for it.
fn exhaust(replica: &Value) {
    let id = container_id(replica);
    let found = Command::new("find").args(["/sys/fs/cgroup/memory", "-type", "d", "-name", id]).output().expect("find");
    let group = String::from_utf8(found.stdout).expect("a path").trim().to_owned();
    let limit = Path::new(&group).join("memory.limit_in_bytes");
    let used =
        fs::read_to_string(Path::new(&group).join("memory.usage_in_bytes")).expect("a group of control groups v1");
    let used: u64 = used.trim().parse().expect("a number");
    fs::write(&limit, (used + (64 << 10)).to_string()).expect("a limit may be lowered");
    let mut large = pod("large", "shipper");
    large["spec"]["containers"][0]["env"] = json!([{"name": "LARGE", "value": "x".repeat(1 << 20)}]);
    let here = node().namespace(&format!("large-{}", name(replica)));
    until("the replica to be killed for its memory", || {
        scope(|scope| {
            for _ in 0..16 {
                scope.spawn(|| here.namespace.create("v1", "pods?dryRun=All", &large));
            }
        });
        let now = node().api.get(&format!("/api/v1/namespaces/pillion/pods/{}", name(replica))).json();
        (now["status"]["containerStatuses"][0]["lastState"]["terminated"]["reason"] == "OOMKilled").then_some(())
    });
    all_ready();
}

fn empty_bundles() {
    for kind in ["mutating", "validating"] {
        let path = format!("/apis/admissionregistration.k8s.io/v1/{kind}webhookconfigurations/pillion");
        let mut configuration = node().api.get(&path).json();
        for webhook in configuration["webhooks"].as_array_mut().expect("it has webhooks") {
            webhook["clientConfig"]["caBundle"] = json!("");
        }
        let emptied = node().api.update(&path, &configuration);
        assert_eq!(emptied.status, 200, "{}", emptied.text());
    }
}

/// What was lost on one day.
#[derive(Default)]
struct Lost {
    asked: usize,
    bare: usize,
    refused: usize,
    /// Answered after more than a second.
    late: usize,
    /// From the first pod that was lost to the last.
    gap: Duration,
}

impl Lost {
    fn of(asked: &[Asked]) -> Lost {
        let lost = asked.iter().filter(|asked| asked.outcome != Outcome::Injected);
        let moments: Vec<_> = lost.clone().map(|asked| asked.at + asked.took).collect();
        let gap = moments.iter().max().zip(moments.iter().min()).map(|(last, first)| *last - *first);
        Lost {
            asked: asked.len(),
            bare: lost.clone().filter(|asked| asked.outcome == Outcome::Bare).count(),
            refused: lost.filter(|asked| asked.outcome != Outcome::Bare).count(),
            late: asked.iter().filter(|asked| asked.took > Duration::from_secs(1)).count(),
            gap: gap.unwrap_or_default(),
        }
    }
}

/// Lets a day happen under load, and gives what was lost in the namespace whose pods start bare, and in that whose wait.
fn live_through(day: &Day, shops: &[Here; 2]) -> [Lost; 2] {
    if !day.values.is_empty() {
        // A certificate that is there would last for its own year.
        helm(&["uninstall", "pillion", "--wait"]);
        kubectl(&["delete", "secret", "pillion-certs", "--ignore-not-found"]);
    }
    install(day.values);
    all_ready();
    // As many as half a minute without an answer takes.
    let loads = shops.each_ref().map(|here| Load::begin(&here.namespace, 10, 350));
    sleep(Duration::from_secs(1));
    (day.strike)();
    all_ready();
    let healed = Instant::now();
    for load in &loads {
        until("pods to be injected again", || {
            let asked = load.since(healed);
            (asked.len() >= 20 && asked[asked.len() - 10..].iter().all(|outcome| *outcome == Outcome::Injected))
                .then_some(())
        });
    }
    loads.map(|load| Lost::of(&load.end()))
}

/// The alerts that fire for calls that failed since `before`.
fn alerts(day: &Day, before: &[Calls; 2]) -> String {
    let now = both_calls();
    let grew = |count: fn(&Calls) -> f64| now.iter().zip(before).any(|(now, before)| count(now) > count(before));
    let failed_open = grew(|calls| calls.failed_open).then_some("PillionFailedOpen");
    let failed = grew(|calls| calls.failed).then_some("PillionCallsFail");
    let also = Some(day.alert).filter(|alert| !alert.is_empty());
    let all: Vec<_> = [failed_open, failed, also].into_iter().flatten().collect();
    if all.is_empty() { "none".to_owned() } else { all.join(", ") }
}

fn both_calls() -> [Calls; 2] {
    let metrics = Metrics::parse(&node().api.get("/metrics").text());
    ["pods.pillion.dev", "strict-pods.pillion.dev"].map(|webhook| Calls::of(&metrics, webhook))
}

#[test]
#[ignore = "needs a node: make e2e-all"]
fn what_bad_days_cost() {
    let _alone = alone();
    assert!(own(), "they end processes of the tests' node");
    install(&[]);
    let opted_in = ("pillion.dev/inject", "enabled");
    let shops = [
        node().labelled("open", &[opted_in]),
        node().labelled("strict", &[opted_in, ("pillion.dev/failure-policy", "fail")]),
    ];
    for here in &shops {
        here.apply(&namespaced(&here.name, "shipper", "1").to_string());
    }

    let mut table = String::from(
        "| What | Bare | Refused where pods wait | Late | For | What heals it | Alert |\n|---|---|---|---|---|---|---|\n",
    );
    let mut harm = Vec::new();
    for day in DAYS {
        let before = both_calls();
        let [open, strict] = live_through(day, &shops);
        let row = format!(
            "| {} | {} of {} | {} of {} | {} | {:.1} s | {} | {} |",
            day.what,
            open.bare,
            open.asked,
            strict.refused,
            strict.asked,
            open.late + strict.late,
            open.gap.max(strict.gap).as_secs_f64(),
            day.heals,
            alerts(day, &before),
        );
        writeln!(std::io::stderr(), "{row}").expect("stderr is open");
        writeln!(table, "{row}").expect("a string takes all");
        assert_eq!((open.refused, strict.bare), (0, 0), "{}: each namespace has its policy", day.what);
        if day.harmless && open.bare + strict.refused > 0 {
            harm.push(day.what);
        }
    }
    update_page(&table);
    assert!(harm.is_empty(), "these lose pods, and should not: {harm:?}");
}

/// Puts the table into `docs/monitoring.md`, if `UPDATE_DOCS` says so.
fn update_page(table: &str) {
    if env::var_os("UPDATE_DOCS").is_none() {
        return;
    }
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/monitoring.md");
    let page = fs::read_to_string(file).expect("the page is there");
    let (head, rest) = page.split_once(BEGIN).expect("the page says where the table begins");
    let (_, tail) = rest.split_once(END).expect("and where it ends");
    fs::write(file, format!("{head}{BEGIN}{table}{END}{tail}")).expect("the page is writable");
}

const BEGIN: &str = "<!-- made by make e2e-all -->\n\n";
const END: &str = "\n<!-- until here -->";

/// The newest pod of the Deployment.
fn newest(here: &Here) -> Value {
    let pods = here.namespace.get("v1", "pods?labelSelector=app=web").json();
    let mut pods = pods["items"].as_array().cloned().unwrap_or_default();
    pods.sort_by_key(|pod| pod["metadata"]["creationTimestamp"].as_str().map(str::to_owned));
    pods.pop().expect("the Deployment has a pod")
}

#[test]
#[ignore = "needs a node: make e2e-all"]
fn a_sidecar_that_does_not_come_up_holds_up_the_rollout_and_old_pods_go_on() {
    let _pillion = pillion();
    let here = node().namespace("stuck");
    here.apply(&manifest("stuck"));
    let old = here.pod_of("app=web");
    here.ready(&old);

    // Templates, and what shows that their sidecar does not come up.
    type Shows = fn(&Here, &Value) -> bool;
    let stuck: [(&str, Shows); 3] = [
        ("never-ready", |_, pod| {
            let [side, app] = [&pod["status"]["initContainerStatuses"][0], &pod["status"]["containerStatuses"][0]];
            side["state"]["running"].is_object() && side["ready"] == false && app["ready"] == true
        }),
        ("no-image", |_, pod| {
            let waiting = &pod["status"]["initContainerStatuses"][0]["state"]["waiting"]["reason"];
            waiting == "ErrImagePull" || waiting == "ImagePullBackOff"
        }),
        ("no-config-map", |here, pod| {
            let missing = "configmap \"settings\" not found";
            here.events(name(pod)).iter().any(|event| event.starts_with("FailedMount") && event.contains(missing))
        }),
    ];
    for (template, shows) in stuck {
        let asks = json!({"spec": {"template": {"metadata": {"annotations": {"pillion.dev/templates": template}}}}});
        let changed = here.namespace.merge("apps/v1", "deployments/web", &asks);
        assert_eq!(changed.status, 200, "{}", changed.text());
        until(&format!("{template} to show"), || shows(&here, &newest(&here)).then_some(()));
        let before = here.namespace.get("v1", &format!("pods/{old}")).json();
        assert_eq!(condition(&before, "Ready"), Some("True"), "the old pod goes on");
    }
    // The last of them heals by itself.
    let settings = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings"}});
    here.apply(&settings.to_string());
    here.kubectl(&["rollout", "status", "deployment/web", "--timeout=3m"]);
}
