//! A real control plane: etcd, kube-apiserver and kube-controller-manager. One is shared by all tests that leave it as
//! it was; a test that breaks things has one of its own.

use std::collections::BTreeMap;
use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{LazyLock, Mutex, MutexGuard};

use rcgen::KeyPair;
use serde_json::{Value, json};

use super::authority::Authority;
use super::eventually;
use super::http;
use super::kubernetes::Kubernetes;
use super::metrics::Metrics;
use super::namespace::Namespace;
use super::process::{Folder, Process};
use super::tools::{self, Ran};

pub(crate) struct Cluster {
    /// The API server, asked by somebody who may do everything.
    pub(crate) api: Kubernetes,
    programs: PathBuf,
    etcd: u16,
    port: u16,
    collects_garbage: bool,
    // Ended before their folder goes.
    running: Mutex<BTreeMap<Component, Process>>,
    folder: Folder,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Component {
    Etcd,
    ApiServer,
    ControllerManager,
}

use Component::{ApiServer, ControllerManager, Etcd};

const TOKEN: &str = "the-admin-of-the-tests";

// Blocking, so what was answered is in the log.
const AUDIT: &str = r#"{"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "omitStages": ["RequestReceived"], "rules": [{"level": "Metadata"}]}"#;

const CONTROLLERS: &str = "serviceaccount-controller,root-ca-certificate-publisher-controller,namespace-controller,\
                           deployment-controller,replicaset-controller,job-controller,\
                           clusterrole-aggregation-controller,validatingadmissionpolicy-status-controller";

impl Cluster {
    /// The control plane of the tests that leave it as it was, started by the first that asks; `None` when this machine
    /// has no means to run one.
    pub(crate) fn shared() -> Option<&'static Cluster> {
        static SHARED: LazyLock<Option<Cluster>> = LazyLock::new(Cluster::own);
        SHARED.as_ref()
    }

    /// A control plane for one test.
    pub(crate) fn own() -> Option<Cluster> {
        Cluster::begin(false)
    }

    /// A control plane for one test that deletes what belonged to something that is gone.
    pub(crate) fn that_collects_garbage() -> Option<Cluster> {
        Cluster::begin(true)
    }

    fn begin(collects_garbage: bool) -> Option<Cluster> {
        let folder = Folder::new("pillion-cluster-");
        let authority = Authority::new();
        let identity = authority.issue();
        folder.write("ca.crt", &authority.pem());
        folder.write("apiserver.crt", &identity.certificate);
        folder.write("apiserver.key", &identity.key);
        folder.write("tokens.csv", &format!("{TOKEN},admin,admin,\"system:masters\"\n"));
        folder.write("audit.json", AUDIT);
        let accounts = KeyPair::generate().expect("a key can be made");
        folder.write("service-account.key", &accounts.serialize_pem());
        folder.write("service-account.pub", &accounts.public_key_pem());
        let port = free_port();
        let cluster = Cluster {
            api: Kubernetes::new(&format!("https://127.0.0.1:{port}"), &authority.pem(), TOKEN),
            programs: tools::control_plane()?,
            etcd: free_port(),
            port,
            collects_garbage,
            running: Mutex::default(),
            folder,
        };
        cluster.folder.write("admin.json", &cluster.kubeconfig(&cluster.server(), TOKEN, "default"));
        for component in [Etcd, ApiServer, ControllerManager] {
            cluster.start(component);
        }
        eventually("the controller manager to make a ServiceAccount", || {
            cluster.running().values_mut().for_each(Process::must_run);
            let account = cluster.api.get("/api/v1/namespaces/default/serviceaccounts/default");
            (account.status == 200).then_some(())
        });
        Some(cluster)
    }

    pub(crate) fn server(&self) -> String {
        format!("https://{}", self.address())
    }

    pub(crate) fn address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.port))
    }

    /// The version of the API server, like `v1.36.3`.
    #[track_caller]
    pub(crate) fn version(&self) -> String {
        self.api.get("/version").json()["gitVersion"].as_str().expect("a version").to_owned()
    }

    /// The file of a client that may do everything.
    pub(crate) fn admin(&self) -> String {
        self.folder.path("admin.json").display().to_string()
    }

    /// The file of a client that has `token`, and reaches the API server at `server`.
    pub(crate) fn kubeconfig(&self, server: &str, token: &str, namespace: &str) -> String {
        let cluster = json!({"server": server, "certificate-authority": self.folder.path("ca.crt")});
        let context = json!({"cluster": "tests", "user": "tests", "namespace": namespace});
        json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "tests", "cluster": cluster}],
            "users": [{"name": "tests", "user": {"token": token}}],
            "contexts": [{"name": "tests", "context": context}],
            "current-context": "tests"
        })
        .to_string()
    }

    /// Starts what does not run, at the address that it had before, and waits until it answers.
    #[track_caller]
    pub(crate) fn start(&self, component: Component) {
        let program = match component {
            Etcd => "etcd",
            ApiServer => "kube-apiserver",
            ControllerManager => "kube-controller-manager",
        };
        let process = Process::start(&self.programs.join(program), self.flags(component));
        let before = self.running().insert(component, process);
        assert!(before.is_none(), "{component:?} runs already");
        eventually(&format!("{component:?} to be ready"), || {
            self.running().values_mut().for_each(Process::must_run);
            let ready = match component {
                Etcd => http::try_get(&format!("http://127.0.0.1:{}/health", self.etcd)),
                ApiServer => self.api.try_get("/readyz"),
                ControllerManager => return Some(()),
            };
            ready.filter(|answer| answer.status == 200).map(|_| ())
        });
    }

    /// Ends it at once: an API server that is asked to end waits for its watches.
    #[track_caller]
    pub(crate) fn stop(&self, component: Component) {
        let mut process = self.running().remove(&component).expect("it runs");
        process.signal("KILL");
        process.exit_code();
    }

    fn running(&self) -> MutexGuard<'_, BTreeMap<Component, Process>> {
        self.running.lock().expect("no test panics while it holds the processes")
    }

    fn flags(&self, component: Component) -> Vec<String> {
        let etcd = format!("http://127.0.0.1:{}", self.etcd);
        let file = |name: &str| self.folder.path(name).display().to_string();
        match component {
            Etcd => vec![
                format!("--data-dir={}", file("etcd")),
                format!("--listen-client-urls={etcd}"),
                format!("--advertise-client-urls={etcd}"),
                "--listen-peer-urls=http://127.0.0.1:0".into(),
                "--unsafe-no-fsync".into(),
            ],
            ApiServer => vec![
                format!("--etcd-servers={etcd}"),
                format!("--secure-port={}", self.port),
                format!("--tls-cert-file={}", file("apiserver.crt")),
                format!("--tls-private-key-file={}", file("apiserver.key")),
                format!("--token-auth-file={}", file("tokens.csv")),
                format!("--service-account-key-file={}", file("service-account.pub")),
                format!("--service-account-signing-key-file={}", file("service-account.key")),
                "--service-account-issuer=https://kubernetes.default.svc".into(),
                "--bind-address=127.0.0.1".into(),
                "--service-cluster-ip-range=10.0.0.0/24".into(),
                "--authorization-mode=RBAC".into(),
                // As on OpenShift.
                "--enable-admission-plugins=OwnerReferencesPermissionEnforcement".into(),
                "--allow-privileged=true".into(),
                "--endpoint-reconciler-type=none".into(),
                format!("--audit-policy-file={}", file("audit.json")),
                format!("--audit-log-path={}", file("audit.log")),
            ],
            ControllerManager => vec![
                format!("--kubeconfig={}", file("admin.json")),
                format!("--service-account-private-key-file={}", file("service-account.key")),
                format!("--root-ca-file={}", file("ca.crt")),
                "--use-service-account-credentials=true".into(),
                "--leader-elect=false".into(),
                "--secure-port=0".into(),
                format!(
                    "--controllers={CONTROLLERS}{}",
                    if self.collects_garbage { ",garbage-collector-controller" } else { "" }
                ),
            ],
        }
    }

    /// Runs the real kubectl, which may do everything.
    #[track_caller]
    pub(crate) fn kubectl(&self, arguments: &[&str], stdin: &str) -> Ran {
        let kubeconfig = format!("--kubeconfig={}", self.admin());
        let cache = format!("--cache-dir={}", self.folder.path("kubectl").display());
        let fixed = [kubeconfig.as_str(), cache.as_str(), "--request-timeout=60s"];
        tools::run(&self.programs.join("kubectl"), arguments.iter().copied().chain(fixed), stdin)
    }

    /// `kubectl apply --server-side` of some YAML or JSON, which must be taken.
    #[track_caller]
    pub(crate) fn apply(&self, manifests: &str) {
        self.kubectl(&["apply", "--server-side", "-f", "-"], manifests).succeeded();
    }

    /// A new namespace, with the ServiceAccount that its pods need.
    #[track_caller]
    pub(crate) fn namespace(&self, name: &str, labels: &[(&str, &str)]) -> Namespace {
        Namespace::create_on(&self.api, name, labels)
    }

    /// What the API server counts.
    #[track_caller]
    pub(crate) fn metrics(&self) -> Metrics {
        Metrics::parse(&self.api.get("/metrics").text())
    }

    /// Every request that the API server has answered so far, as it wrote it down: who, what, which object, which answer.
    pub(crate) fn audit(&self) -> Vec<Value> {
        self.audit_from(0)
    }

    /// As `audit`, from a length on that it had.
    pub(crate) fn audit_from(&self, length: usize) -> Vec<Value> {
        let log = self.audit_log();
        // The last line may be half written.
        log[length..].lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    pub(crate) fn audit_length(&self) -> usize {
        self.audit_log().rfind('\n').map_or(0, |end| end + 1)
    }

    fn audit_log(&self) -> String {
        fs::read_to_string(self.folder.path("audit.log")).expect("the API server writes it")
    }
}

/// A port that is free, and that no outgoing connection can be given while its owner restarts: one below the range that
/// systems take those from.
pub(crate) fn free_port() -> u16 {
    static NEXT: LazyLock<AtomicU16> = LazyLock::new(|| AtomicU16::new((std::process::id() * 61 % 10_000) as u16));
    loop {
        let port = 20_000 + NEXT.fetch_add(1, Ordering::Relaxed) % 10_000;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}
