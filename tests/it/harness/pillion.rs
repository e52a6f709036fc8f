//! The program itself, serving on loopback ports of its own choice, as a cluster would run it: templates from a folder,
//! certificate and key from a folder laid out like a mounted Secret.

use std::ffi::OsString;
use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tempfile::TempDir;
use ureq::Agent;

use super::authority::{Authority, Identity};
use super::connection::Connection;
use super::cookbook;
use super::eventually;
use super::http::{self, Answer};
use super::metrics::Metrics;
use super::process::Process;

/// A template that needs nothing of the cookbook: a native sidecar, a shared volume, and an env of the app.
pub(crate) const LOG_SHIPPER: &str = include_str!("../../fixtures/templates/log-shipper.yaml");

pub(crate) struct Pillion {
    pub(crate) authority: Authority,
    pub(crate) webhook: SocketAddr,
    pub(crate) admin: SocketAddr,
    agent: Agent,
    folder: TempDir,
    process: Process,
}

/// What a `Pillion` starts with.
pub(crate) struct Setup {
    authority: Authority,
    folder: TempDir,
    flags: Vec<String>,
    environment: Vec<String>,
}

impl Setup {
    pub(crate) fn new() -> Setup {
        let folder = tempfile::Builder::new().prefix("pillion-it-").tempdir().expect("a temporary folder");
        fs::create_dir(folder.path().join("templates")).expect("the folder is new");
        fs::create_dir(folder.path().join("tls")).expect("the folder is new");
        let setup = Setup { authority: Authority::new(), folder, flags: Vec::new(), environment: Vec::new() };
        swap_secret(&setup.folder.path().join("tls"), &setup.authority.issue());
        setup
    }

    /// Every template of the cookbook.
    pub(crate) fn whole_cookbook(self) -> Setup {
        cookbook::recipes()
            .iter()
            .fold(self, |setup, recipe| setup.template(&format!("{}.yaml", recipe.name), &recipe.text))
    }

    /// A template of the cookbook.
    pub(crate) fn cookbook(self, name: &str) -> Setup {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("manifests/templates/{name}.yaml"));
        let text = fs::read_to_string(&file).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
        self.template(&format!("{name}.yaml"), &text)
    }

    pub(crate) fn template(self, file: &str, text: &str) -> Setup {
        fs::write(self.folder.path().join("templates").join(file), text).expect("the folder is writable");
        self
    }

    pub(crate) fn flags<const N: usize>(mut self, flags: [&str; N]) -> Setup {
        self.flags.extend(flags.map(str::to_owned));
        self
    }

    pub(crate) fn environment<const N: usize>(mut self, variables: [(&str, &str); N]) -> Setup {
        self.environment.extend(variables.map(|(name, value)| format!("{name}={value}")));
        self
    }

    /// Starts the server and waits until it is ready.
    #[track_caller]
    pub(crate) fn start(self) -> Pillion {
        let Setup { authority, folder, flags, environment } = self;
        let path = |name: &str| folder.path().join(name).into_os_string();
        let mut arguments: Vec<OsString> = environment.into_iter().map(Into::into).collect();
        arguments.extend([
            env!("CARGO_BIN_EXE_pillion").into(),
            "serve".into(),
            "--templates".into(),
            path("templates"),
        ]);
        arguments.extend(["--tls-cert".into(), path("tls/tls.crt"), "--tls-key".into(), path("tls/tls.key")]);
        let fixed = "--listen 127.0.0.1:0 --admin-listen 127.0.0.1:0 --log-format json --reload-interval 100ms";
        arguments.extend(fixed.split(' ').map(Into::into));
        if !flags.iter().any(|flag| flag == "--drain-seconds") {
            arguments.extend(["--drain-seconds".into(), "0".into()]);
        }
        arguments.extend(flags.into_iter().map(Into::into));

        let process = Process::start(Path::new("/usr/bin/env"), arguments);
        let webhook = process.stderr().address("webhook");
        let admin = process.stderr().address("admin");
        let agent = http::agent(&authority.pem());
        let pillion = Pillion { authority, webhook, admin, agent, folder, process };
        eventually("the server to be ready", || (pillion.readyz() == 200).then_some(()));
        pillion
    }
}

impl Pillion {
    /// A server with the one template [`LOG_SHIPPER`].
    #[track_caller]
    pub(crate) fn start() -> Pillion {
        Setup::new().template("log-shipper.yaml", LOG_SHIPPER).start()
    }

    pub(crate) fn url(&self) -> String {
        format!("https://{}/mutate", self.webhook)
    }

    /// A connection of one's own, by any version of TLS.
    #[track_caller]
    pub(crate) fn connect(&self) -> Connection {
        Connection::open(self.webhook, self.webhook.ip().into(), self.authority.roots(), rustls::ALL_VERSIONS)
            .expect("the server shakes hands")
    }

    #[track_caller]
    pub(crate) fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        http::send(&self.agent, method, &format!("https://{}{path}", self.webhook), headers, body)
    }

    #[track_caller]
    pub(crate) fn post(&self, body: impl AsRef<[u8]>) -> Answer {
        self.send("POST", "/mutate?timeout=5s", &[("content-type", "application/json")], body.as_ref())
    }

    /// The `response` to a review.
    #[track_caller]
    pub(crate) fn answer(&self, review: &Value) -> Value {
        let answer = self.post(review.to_string());
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.json()["response"].take()
    }

    #[track_caller]
    pub(crate) fn ask_admin(&self, path: &str) -> Answer {
        http::send(&self.agent, "GET", &format!("http://{}{path}", self.admin), &[], &[])
    }

    pub(crate) fn readyz(&self) -> u16 {
        self.ask_admin("/readyz").status
    }

    #[track_caller]
    pub(crate) fn metrics(&self) -> Metrics {
        Metrics::parse(&self.ask_admin("/metrics").text())
    }

    /// The sum of the series of `name` with `labels`.
    #[track_caller]
    pub(crate) fn metric(&self, name: &str, labels: &[&str]) -> f64 {
        self.metrics().sum(name, labels)
    }

    /// How many requests it has counted, good and bad.
    pub(crate) fn requests(&self) -> f64 {
        self.metric("pillion_admission_requests_total", &[])
    }

    /// The log so far, as text.
    pub(crate) fn log(&self) -> Vec<String> {
        self.process.stderr().all()
    }

    /// Reads nothing of its log meanwhile.
    pub(crate) fn with_log_unread<T>(&self, meanwhile: impl FnOnce() -> T) -> T {
        self.process.stderr().unread(meanwhile)
    }

    /// The first log line, there or to come, whose `field` has `value`.
    #[track_caller]
    pub(crate) fn logged(&self, field: &str, value: &str) -> Value {
        self.process.stderr().logged(field, value)
    }

    pub(crate) fn write_template(&self, file: &str, text: &str) {
        // Beside the folder first: a template must never be read half written.
        let draft = self.folder.path().join("draft");
        fs::write(&draft, text).expect("the folder is writable");
        fs::rename(draft, self.template_file(file)).expect("the folder is writable");
    }

    pub(crate) fn rename_template(&self, from: &str, to: &str) {
        fs::rename(self.template_file(from), self.template_file(to)).expect("the template is there");
    }

    pub(crate) fn remove_template(&self, file: &str) {
        fs::remove_file(self.template_file(file)).expect("the template is there");
    }

    fn template_file(&self, file: &str) -> PathBuf {
        self.folder.path().join("templates").join(file)
    }

    /// Puts another certificate and key in place, in one step, as the kubelet updates a mounted Secret.
    pub(crate) fn swap_certificate(&self, identity: &Identity) {
        swap_secret(&self.folder.path().join("tls"), identity);
    }

    pub(crate) fn signal(&mut self, signal: &str) {
        self.process.signal(signal);
    }

    pub(crate) fn exit_code(&mut self) -> i32 {
        self.process.exit_code()
    }

    pub(crate) fn stop(mut self) {
        self.signal("TERM");
        assert_eq!(self.exit_code(), 0, "a server that is told to stop ends well");
    }
}

fn swap_secret(folder: &Path, identity: &Identity) {
    let (data, draft) = (folder.join("..data"), folder.join("..data_tmp"));
    let before = fs::read_link(&data).ok();
    let version = tempfile::Builder::new().prefix("..").tempdir_in(folder).expect("the folder is writable").keep();
    fs::write(version.join("tls.crt"), &identity.certificate).expect("the folder is writable");
    fs::write(version.join("tls.key"), &identity.key).expect("the folder is writable");
    symlink(version.file_name().expect("a name"), &draft).expect("the folder is writable");
    fs::rename(draft, data).expect("the folder is writable");
    match before {
        Some(before) => fs::remove_dir_all(folder.join(before)).expect("the version before is there"),
        None => {
            for name in ["tls.crt", "tls.key"] {
                symlink(Path::new("..data").join(name), folder.join(name)).expect("the folder is new");
            }
        }
    }
}

/// A review of a pod's creation, as an API server would send it.
pub(crate) fn review_of(uid: &str, pod: &Value) -> Value {
    json!({
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "request": {
            "uid": uid,
            "kind": {"group": "", "version": "v1", "kind": "Pod"},
            "resource": {"group": "", "version": "v1", "resource": "pods"},
            "requestKind": {"group": "", "version": "v1", "kind": "Pod"},
            "requestResource": {"group": "", "version": "v1", "resource": "pods"},
            "name": pod["metadata"]["name"],
            "namespace": "shop",
            "operation": "CREATE",
            "userInfo": {"username": "admin"},
            "object": pod,
            "oldObject": null,
            "dryRun": false,
            "options": {"kind": "CreateOptions", "apiVersion": "meta.k8s.io/v1"}
        }
    })
}

/// The pod as the API server would have it after `response`: with the patch, if there is one, applied.
#[track_caller]
pub(crate) fn patched(pod: &Value, response: &Value) -> Value {
    assert_eq!(response["allowed"], true, "{response}");
    let mut pod = pod.clone();
    if let Some(patch) = response["patch"].as_str() {
        assert_eq!(response["patchType"], "JSONPatch");
        let patch = STANDARD.decode(patch).expect("a patch is base64");
        let patch: json_patch::Patch = serde_json::from_slice(&patch).expect("a patch is JSON");
        json_patch::patch(&mut pod, &patch).expect("a patch applies");
    }
    pod
}

/// The names of the containers in a list of a pod's spec.
pub(crate) fn names<'a>(pod: &'a Value, list: &str) -> Vec<&'a str> {
    let list = pod["spec"][list].as_array().into_iter().flatten();
    list.map(|item| item["name"].as_str().expect("all of them have names")).collect()
}

/// A pod that asks for `templates`, as small as a pod can be.
pub(crate) fn pod(name: &str, templates: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "annotations": {"pillion.dev/templates": templates}},
        "spec": {"containers": [{"name": "app", "image": "registry.example.com/app:1"}]}
    })
}
