//! What goes wrong on bad days, and what shows that it was put right.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::{fs, thread};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use serde_json::{Value, json};

use crate::e2e::cookbook::{address, start_upstream};
use crate::e2e::{all_ready, kubectl, name, replicas};
use crate::harness::connection::Connection;
use crate::harness::node::{node, until};
use crate::harness::pillion::{pod, review_of};

/// Runs a program among the node's processes; it must succeed.
pub(super) fn run(program: &str, arguments: &[&str]) {
    let status = Command::new(program).args(arguments).status().unwrap_or_else(|e| panic!("{program}: {e}"));
    assert!(status.success(), "{program} {arguments:?}: {status}");
}

/// Kills a part of the node, which is started again, and waits until it starts a pod.
pub(super) fn end_part(name: &str) {
    run("pkill", &["-KILL", "-x", name]);
    pod_starts(&format!("after-{name}"));
}

/// Waits until a pod starts, in a namespace of this name.
pub(super) fn pod_starts(namespace: &str) {
    start_upstream(&node().namespace_with(namespace, &[]));
}

/// Evicts a pod, once the PodDisruptionBudget allows it.
pub(super) fn evict(pod: &str) {
    let path = format!("/api/v1/namespaces/pillion/pods/{pod}/eviction");
    let eviction = json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod}});
    until("the budget to allow the eviction", || (node().api.create(&path, &eviction).status == 201).then_some(()));
}

pub(super) fn leader() -> Value {
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
pub(super) fn kill(replica: &Value) {
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
pub(super) fn await_restart(before: &Value) {
    let path = format!("/api/v1/namespaces/pillion/pods/{}", name(before));
    let restarts = |pod: &Value| pod["status"]["containerStatuses"][0]["restartCount"].as_u64();
    until("the replica to be started again", || {
        (restarts(&node().api.get(&path).json()) > restarts(before)).then_some(())
    });
}

pub(super) fn empty_bundles() {
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

/// A key of the Secret with the certificate, in PEM, once the Secret is there.
fn secret(key: &str) -> String {
    until("the Secret with the certificate", || {
        let secret = node().api.get("/api/v1/namespaces/pillion/secrets/pillion-certs");
        if secret.status == 200 { decoded(&secret.json()["data"][key]) } else { None }
    })
}

fn decoded(value: &Value) -> Option<String> {
    String::from_utf8(STANDARD.decode(value.as_str()?).ok()?).ok()
}

/// Waits until another certificate is in the Secret: `tls.crt`, or `ca.crt`.
pub(super) fn await_renewal(key: &str) {
    let before = secret(key);
    until(&format!("another {key}"), || (secret(key) != before).then_some(()));
}

/// Waits until every replica shows the certificate of the Secret, as the webhooks trust it.
pub(super) fn certificates_are_served() {
    all_ready();
    for replica in replicas() {
        until(&format!("{} to serve the certificate", name(&replica)), || {
            let leaf = CertificateDer::from_pem_slice(secret("tls.crt").as_bytes()).expect("a certificate");
            (connect(&replica).ok()?.leaf() == leaf).then_some(())
        });
    }
}

/// Connects to a replica as an API server does.
fn connect(replica: &Value) -> std::io::Result<Connection> {
    let path = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/pillion";
    let bundle = decoded(&node().api.get(path).json()["webhooks"][0]["clientConfig"]["caBundle"]).unwrap_or_default();
    let mut roots = RootCertStore::empty();
    for authority in CertificateDer::pem_slice_iter(bundle.as_bytes()) {
        roots.add(authority.expect("authorities in PEM")).expect("an authority");
    }
    let ports = replica["spec"]["containers"][0]["ports"].as_array().expect("a replica has ports");
    let port = ports.iter().find(|port| port["name"] == "webhook").expect("one is the webhook's");
    let webhook = format!("{}:{}", address(replica), port["containerPort"]).parse().expect("an address");
    let service = ServerName::try_from("pillion.pillion.svc").expect("a name");
    Connection::open(webhook, service, Arc::new(roots), rustls::ALL_VERSIONS)
}

/// Deletes a replica that is not given time to end.
pub(super) fn force_delete(replica: &Value) {
    kubectl(&["delete", "pod", name(replica), "--grace-period=0", "--force"]);
}

/// Each of these replicas is there, was not restarted, and was ready all the time.
pub(super) fn assert_unchanged(before: &[Value]) {
    let state = |replica: &Value| {
        let conditions = replica["status"]["conditions"].as_array().cloned().unwrap_or_default();
        let ready = conditions.into_iter().find(|condition| condition["type"] == "Ready");
        (name(replica).to_owned(), replica["status"]["containerStatuses"][0]["restartCount"].clone(), ready)
    };
    let [before, now] = [before, &replicas()].map(|replicas| replicas.iter().map(state).collect::<Vec<_>>());
    assert_eq!(now, before);
}

/// Lowers what a replica may use to what it does use, and has it review large pods until it is killed for it.
pub(super) fn exhaust(replica: &Value) {
    let group = memory_group(container_id(replica));
    let [used, limit] = if group.join("memory.max").exists() {
        ["memory.current", "memory.max"]
    } else {
        ["memory.usage_in_bytes", "memory.limit_in_bytes"]
    };
    let used = fs::read_to_string(group.join(used)).expect("a control group counts");
    let used: u64 = used.trim().parse().expect("a number");
    fs::write(group.join(limit), (used + (64 << 10)).to_string()).expect("a limit may be lowered");
    let mut large = pod("large", "shipper");
    large["spec"]["containers"][0]["env"] = json!([{"name": "LARGE", "value": "x".repeat(1 << 20)}]);
    let review = review_of("large", &large).to_string();
    until("the replica to be killed for its memory", || {
        thread::scope(|scope| {
            for _ in 0..16 {
                scope.spawn(|| connect(replica).and_then(|mut connection| connection.try_post(review.as_bytes())));
            }
        });
        let now = node().api.get(&format!("/api/v1/namespaces/pillion/pods/{}", name(replica))).json();
        (now["status"]["containerStatuses"][0]["lastState"]["terminated"]["reason"] == "OOMKilled").then_some(())
    });
    all_ready();
}

/// The control group that limits the memory of a container.
fn memory_group(id: &str) -> PathBuf {
    let root = if Path::new("/sys/fs/cgroup/memory").exists() { "/sys/fs/cgroup/memory" } else { "/sys/fs/cgroup" };
    let found = Command::new("find").args([root, "-type", "d", "-name", id]).output().expect("find");
    PathBuf::from(String::from_utf8(found.stdout).expect("a path").trim())
}
