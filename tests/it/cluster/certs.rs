//! The certificates that Pillion makes for itself: replaced in time, and put right when somebody has touched them.

use std::collections::VecDeque;
use std::sync::RwLock;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread::{scope, sleep};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::*;
use crate::harness::authority::Authority;
use crate::harness::pillion::review_of;

const SECRET: &str = "/api/v1/namespaces/pillion/secrets/pillion-certs";
const CONFIGURATIONS: [&str; 2] = [
    "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/pillion",
    "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations/pillion",
];

/// Three replicas, each call to which counts, and a namespace whose pods ask for a template.
fn shop<'a>(cluster: &'a Cluster, certs: &Value) -> (Installed<'a>, Namespace) {
    let values = json!({
        "replicaCount": 3,
        "webhook": {"failurePolicy": "Fail"},
        "certs": {"auto": certs},
        "config": {"drainSeconds": 1}
    });
    let installed = Install::on(cluster).values(values).start();
    let here = cluster.namespace("shop", &OPTED_IN);
    cluster.apply(&cluster_wide("shipper", "1").to_string());
    eventually("the first pod", || sidecars(&here, "shipper"));
    (installed, here)
}

/// Creates pods until `meanwhile` is done; every one of them must be injected. While `meanwhile` holds the lock, none is
/// on its way.
fn under_load(here: &Namespace, meanwhile: impl FnOnce(&RwLock<()>)) -> u32 {
    let (over, created, gate) = (Over::default(), AtomicU32::new(0), RwLock::new(()));
    scope(|scope| {
        for worker in 0..2 {
            let (over, created, gate) = (&over.0, &created, &gate);
            scope.spawn(move || {
                for number in 0.. {
                    if over.load(Ordering::Relaxed) {
                        return;
                    }
                    let open = gate.read();
                    let made = here.create_pod(&pod(&format!("web-{worker}-{number}"), "shipper"));
                    drop(open);
                    assert_eq!(names(&made, "initContainers"), ["shipper"], "{made}");
                    created.fetch_add(1, Ordering::Relaxed);
                    sleep(Duration::from_millis(50));
                }
            });
        }
        let over = Ends(&over);
        meanwhile(&gate);
        drop(over);
    });
    created.into_inner()
}

#[derive(Default)]
struct Over(AtomicBool);

/// Ends the load, also when a check fails.
struct Ends<'a>(&'a Over);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.0.store(true, Ordering::Relaxed);
    }
}

/// Waits until the API server has `wanted` again at `path`: at most 30 seconds, which is what is promised.
#[track_caller]
fn heals(cluster: &Cluster, what: &str, path: &str, wanted: impl Fn(&Value) -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !wanted(&cluster.api.get(path).json()) {
        assert!(Instant::now() < deadline, "{what}: not healed");
        sleep(Duration::from_millis(50));
    }
}

fn repairs(installed: &Installed<'_>, what: &str) -> f64 {
    let label = format!("what=\"{what}\"");
    installed.replicas().iter().map(|it| it.metric("pillion_certificate_repairs_total", &[&label])).sum()
}

/// The `caBundle` of each webhook of a configuration.
fn bundles(configuration: &Value) -> Vec<&Value> {
    let webhooks = configuration["webhooks"].as_array().expect("a configuration has webhooks");
    webhooks.iter().map(|webhook| &webhook["clientConfig"]["caBundle"]).collect()
}

#[test]
fn a_bundle_that_somebody_resets_is_published_again() {
    let Some(cluster) = Cluster::own() else { return };
    let (installed, here) = shop(&cluster, &json!({}));
    let ours = json!(STANDARD.encode(installed.ca_bundle()));
    let foreign = json!(STANDARD.encode(Authority::new().pem()));
    for path in CONFIGURATIONS {
        let is_well = |configuration: &Value| bundles(configuration).iter().all(|bundle| **bundle == ours);
        heals(&cluster, path, path, is_well);
        for (what, bundle) in [("removed", Value::Null), ("emptied", json!("")), ("foreign", foreign.clone())] {
            let before = repairs(&installed, "ca_bundle");
            let mut configuration = cluster.api.get(path).json();
            for webhook in configuration["webhooks"].as_array_mut().expect("a configuration has webhooks") {
                webhook["clientConfig"]["caBundle"] = bundle.clone();
            }
            let updated = cluster.api.update(path, &configuration);
            assert_eq!(updated.status, 200, "{what}: {}", updated.text());
            heals(&cluster, what, path, is_well);
            eventually("the repair to be counted", || (repairs(&installed, "ca_bundle") > before).then_some(()));
        }
        // And a configuration that was gone for a while.
        assert_eq!(cluster.api.delete(path).status, 200);
        let rendered = installed.manifests.iter().find(|object| path.contains(&kind(object))).expect("it is rendered");
        cluster.apply(&rendered.to_string());
        heals(&cluster, "deleted", path, is_well);
    }
    eventually("a pod", || sidecars(&here, "shipper"));
}

fn kind(object: &Value) -> String {
    format!("/{}s/", object["kind"].as_str().expect("an object has a kind").to_lowercase())
}

#[test]
fn what_somebody_does_to_the_secret_is_put_right_and_no_call_fails() {
    let Some(cluster) = Cluster::own() else { return };
    let (installed, here) = shop(&cluster, &json!({}));
    let before = cluster.api.get(SECRET).json();
    let calls = installed.calls();
    let strange = Authority::new();
    let identity = strange.issue();
    let text = |text: &str| json!(STANDARD.encode(text));
    let data = &before["data"];
    let damages = [
        ("a key of another", json!({"tls.key": text(&identity.key)})),
        ("a pair of another", json!({"tls.crt": text(&identity.certificate), "tls.key": text(&identity.key)})),
        ("garbage", json!({"tls.crt": text("-----BEGIN CERTIFICATE-----\ngarbage")})),
        ("no authority", json!({"ca.crt": null})),
        ("another authority", json!({"ca.crt": text(&strange.pem())})),
        ("a signing key of another", json!({"ca.key": text(&identity.key)})),
        ("swapped", json!({"ca.crt": data["tls.crt"], "tls.crt": data["ca.crt"]})),
        ("huge", json!({"ca.key": text(&"A".repeat(500_000))})),
        ("emptied", json!({"ca.crt": null, "ca.key": null, "tls.crt": "", "tls.key": ""})),
    ];

    let created = under_load(&here, |_| {
        for (what, damage) in &damages {
            let repaired = repairs(&installed, "secret");
            let damaged = cluster.api.merge(SECRET, &json!({"data": damage}));
            assert_eq!(damaged.status, 200, "{what}: {}", damaged.text());
            // Another authority in the bundle is trusted besides, because somebody may rely on it; nothing else is new.
            heals(&cluster, what, SECRET, |secret| is_healed(&secret["data"], data));
            eventually("the repair to be counted", || (repairs(&installed, "secret") > repaired).then_some(()));
        }
        assert_eq!(cluster.api.delete(SECRET).status, 200);
        heals(&cluster, "deleted", SECRET, |secret| is_healed(&secret["data"], data));
    });

    let now = installed.calls();
    assert_eq!((now.failed, now.failed_open, now.denied), (calls.failed, calls.failed_open, calls.denied));
    assert!(created > 20, "only {created} pods");
    // None of it was worth a new certificate.
    for replica in installed.replicas() {
        assert_eq!(replica.metric("pillion_certificate_reloads_total", &["result=\"success\""]), 1.0);
        let log = replica.log().join("\n");
        assert!(!log.contains("BEGIN") && !log.contains("PRIVATE"), "{log}");
    }
}

/// Whether all is as it was, but for authorities that came on top.
fn is_healed(now: &Value, before: &Value) -> bool {
    let decode = |value: &Value| STANDARD.decode(value.as_str().unwrap_or_default()).expect("a Secret is base64");
    let holds = |whole: &[u8], part: &[u8]| whole.windows(part.len()).any(|window| window == part);
    ["ca.key", "tls.crt", "tls.key"].iter().all(|key| now[key] == before[key])
        && holds(&decode(&now["ca.crt"]), &decode(&before["ca.crt"]))
}

#[test]
fn a_secret_that_nobody_remembers_is_made_anew() {
    let Some(cluster) = Cluster::own() else { return };
    let (installed, here) = shop(&cluster, &json!({}));
    let before = installed.ca_bundle();
    for replica in installed.replicas() {
        installed.stop(&replica);
    }
    assert_eq!(cluster.api.delete(SECRET).status, 200);
    installed.add();
    eventually("a pod", || sidecars(&here, "shipper"));
    let after = installed.ca_bundle();
    assert!(after.ends_with(&before), "who trusted the old authority still does");
    assert!(after.len() > before.len());
}

#[test]
fn no_call_fails_while_authorities_and_certificates_change_and_the_leader_is_killed() {
    let Some(cluster) = Cluster::own() else { return };
    // An authority every 40 seconds, and certificates in between. A leader that is killed is missed for 15 seconds.
    let times = json!({"duration": "50s", "renewBefore": "35s", "caDuration": "100s", "propagation": "8s"});
    let (installed, here) = shop(&cluster, &times);
    let calls = installed.calls();
    let first = installed.ca_bundle();

    let created = under_load(&here, |gate| {
        let over = Over::default();
        scope(|scope| {
            scope.spawn(|| handshake(&installed, gate, &over.0));
            let _over = Ends(&over);
            let leader = installed.leader();
            leader.logged("message", "new authority, because the one before ends soon");
            {
                // Calls that are on their way to a replica that is killed are lost, whatever its certificate.
                let _closed = gate.write();
                installed.kill(&leader);
            }
            let successor = installed.leader();
            assert_ne!(successor.name, leader.name);
            installed.add();
            // The rotation that the other began, and one from begin to end.
            eventually("the second new authority to sign", || {
                let log = successor.log().join("\n");
                let switches = log.matches("the new authority has been published for long enough").count();
                (switches == 2).then_some(())
            });
            successor.logged("message", "an authority that has expired, or is one too many, was removed");
        });
    });

    let now = installed.calls();
    assert_eq!((now.failed, now.failed_open, now.denied), (calls.failed, calls.failed_open, calls.denied));
    assert!(created > 100, "only {created} pods");
    let last = installed.ca_bundle();
    assert!(!last.contains(first.trim()), "the first authority has left");
    for replica in installed.replicas() {
        assert_eq!(replica.metric("pillion_certificate_repairs_total", &[]), 0.0, "{}", replica.log().join("\n"));
    }
}

/// How much later than others an API server learns of what is published: less than what is waited for.
const LATE: Duration = Duration::from_secs(5);

/// Shakes hands with every replica again and again, as an API server that has no connection yet and learns late of what
/// is published, until `over`.
fn handshake(installed: &Installed<'_>, gate: &RwLock<()>, over: &AtomicBool) {
    let asked = review_of("handshake", &pod("web", "shipper"));
    let mut published = VecDeque::new();
    let mut known = None;
    while !over.load(Ordering::Relaxed) {
        published.push_back((Instant::now(), installed.ca_bundle()));
        sleep(Duration::from_millis(500));
        while published.front().is_some_and(|(at, _): &(Instant, _)| at.elapsed() >= LATE) {
            known = published.pop_front();
        }
        let Some((at, known)) = &known else { continue };
        let _open = gate.read();
        for replica in installed.replicas().iter().filter(|replica| replica.is_ready()) {
            // On a busy machine this may come later than any API server is allowed to be.
            if at.elapsed() < LATE + Duration::from_secs(2) {
                assert_eq!(installed.review(replica, known, &asked)["allowed"], true);
            }
        }
    }
}

#[test]
fn a_leader_that_sleeps_is_replaced_and_does_not_lead_when_it_wakes() {
    let Some(cluster) = Cluster::own() else { return };
    let (installed, _) = shop(&cluster, &json!({}));
    let leader = installed.leader();
    leader.signal("STOP");
    let awake = || installed.replicas().into_iter().filter(|replica| replica.name != leader.name);
    let successor = eventually("another leader", || awake().find(|replica| replica.leads()));
    leader.signal("CONT");
    eventually("the old leader to notice", || (!leader.leads()).then_some(()));
    assert!(successor.leads());
    // Which writes, and the other does not.
    assert_eq!(cluster.api.delete(SECRET).status, 200);
    heals(&cluster, "deleted", SECRET, |secret| secret["data"].is_object());
    // It is counted once it is written.
    eventually("the repair to be counted", || {
        (successor.metric("pillion_certificate_repairs_total", &[]) == 1.0).then_some(())
    });
    assert_eq!(leader.metric("pillion_certificate_repairs_total", &[]), 0.0);
}

#[test]
fn a_leader_that_leaves_gives_its_lease_back() {
    let Some(cluster) = Cluster::own() else { return };
    let (installed, _) = shop(&cluster, &json!({}));
    let leader = installed.leader();
    installed.stop(&leader);
    let lease = cluster.api.get("/apis/coordination.k8s.io/v1/namespaces/pillion/leases/pillion").json();
    assert_ne!(lease["spec"]["holderIdentity"], json!(leader.name));
    assert_ne!(installed.leader().name, leader.name);
}
