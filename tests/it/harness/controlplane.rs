//! A real control plane: etcd, kube-apiserver and kube-controller-manager, one for all tests.
//!
//! The binaries come from the folder `KUBEBUILDER_ASSETS`, or are built by Go from the modules pinned in
//! `tests/controlplane/`. With neither, the tests that need them say so and pass, except where `CI=true`.

use std::fs;
use std::io::{Write, stderr};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::LazyLock;

use rcgen::KeyPair;
use serde_json::json;

use super::authority::Authority;
use super::eventually;
use super::kubernetes::Kubernetes;
use super::process::Process;

pub(crate) struct ControlPlane {
    pub(crate) api: Kubernetes,
    // Held so that they live as long as the tests.
    _processes: [Process; 3],
}

const TOKEN: &str = "the-admin-of-the-tests";

impl ControlPlane {
    /// The control plane, started by the first test that asks; `None` when this machine has no means to run one.
    pub(crate) fn shared() -> Option<&'static ControlPlane> {
        static SHARED: LazyLock<Option<ControlPlane>> =
            LazyLock::new(|| binaries().map(|binaries| ControlPlane::start(&binaries)));
        SHARED.as_ref()
    }

    fn start(binaries: &Path) -> ControlPlane {
        let folder = tempfile::Builder::new().prefix("pillion-controlplane-").tempdir().expect("a folder").keep();
        let authority = Authority::new();
        let identity = authority.issue();
        let file = |name: &str, text: &str| {
            let file = folder.join(name);
            fs::write(&file, text).expect("the folder is writable");
            file.display().to_string()
        };
        let ca = file("ca.crt", &authority.pem());
        let certificate = file("apiserver.crt", &identity.certificate);
        let key = file("apiserver.key", &identity.key);
        let tokens = file("tokens.csv", &format!("{TOKEN},admin,admin,\"system:masters\"\n"));
        let accounts = KeyPair::generate().expect("a key can be made");
        let signing_key = file("service-account.key", &accounts.serialize_pem());
        let verifying_key = file("service-account.pub", &accounts.public_key_pem());
        let [etcd_port, port] = free_ports();
        let (etcd_url, server) = (format!("http://127.0.0.1:{etcd_port}"), format!("https://127.0.0.1:{port}"));
        let start = |program: &str, flags: &[String]| Process::start(&binaries.join(program), flags);

        let etcd = Process::start_and_remove(
            &folder,
            &binaries.join("etcd"),
            [
                format!("--data-dir={}", folder.join("etcd").display()),
                format!("--listen-client-urls={etcd_url}"),
                format!("--advertise-client-urls={etcd_url}"),
                "--listen-peer-urls=http://127.0.0.1:0".into(),
                "--unsafe-no-fsync".into(),
            ],
        );
        let apiserver = start(
            "kube-apiserver",
            &[
                format!("--etcd-servers={etcd_url}"),
                format!("--secure-port={port}"),
                format!("--tls-cert-file={certificate}"),
                format!("--tls-private-key-file={key}"),
                format!("--token-auth-file={tokens}"),
                format!("--service-account-key-file={verifying_key}"),
                format!("--service-account-signing-key-file={signing_key}"),
                "--service-account-issuer=https://kubernetes.default.svc".into(),
                "--bind-address=127.0.0.1".into(),
                "--service-cluster-ip-range=10.0.0.0/24".into(),
                "--authorization-mode=RBAC".into(),
                "--allow-privileged=true".into(),
                "--endpoint-reconciler-type=none".into(),
            ],
        );
        let mut processes = [etcd, apiserver];
        let api = Kubernetes::new(&server, &authority.pem(), TOKEN);
        eventually("the API server to be ready", || {
            processes.iter_mut().for_each(Process::must_run);
            api.try_get("/readyz").filter(|answer| answer.status == 200)
        });

        let kubeconfig = json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "tests", "cluster": {"server": server, "certificate-authority": ca}}],
            "users": [{"name": "admin", "user": {"token": TOKEN}}],
            "contexts": [{"name": "tests", "context": {"cluster": "tests", "user": "admin"}}],
            "current-context": "tests"
        });
        let controllers = "--controllers=serviceaccount-controller,root-ca-certificate-publisher-controller,\
                           namespace-controller,deployment-controller,replicaset-controller,job-controller";
        let manager = start(
            "kube-controller-manager",
            &[
                format!("--kubeconfig={}", file("kubeconfig.json", &kubeconfig.to_string())),
                format!("--service-account-private-key-file={signing_key}"),
                format!("--root-ca-file={ca}"),
                "--use-service-account-credentials=true".into(),
                "--leader-elect=false".into(),
                "--secure-port=0".into(),
                controllers.into(),
            ],
        );
        let [etcd, apiserver] = processes;
        let mut processes = [etcd, apiserver, manager];
        eventually("the controller manager to make a ServiceAccount", || {
            processes.iter_mut().for_each(Process::must_run);
            let account = api.get("/api/v1/namespaces/default/serviceaccounts/default");
            (account.status == 200).then_some(())
        });
        ControlPlane { api, _processes: processes }
    }
}

const PROGRAMS: [&str; 3] = ["etcd", "kube-apiserver", "kube-controller-manager"];

/// The folder of the binaries, built if need be.
fn binaries() -> Option<PathBuf> {
    let assets = std::env::var_os("KUBEBUILDER_ASSETS").map(PathBuf::from);
    let holds = |assets: &PathBuf, program: &str| assets.join(program).is_file();
    let is_complete = |assets: &PathBuf| PROGRAMS.iter().all(|program| holds(assets, program));
    // What setup-envtest brings has no controller manager, and then Go has to build all three.
    if let Some(assets) = assets.filter(is_complete) {
        return Some(assets);
    }
    let found_go = Command::new("go").arg("version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    if !found_go.is_ok_and(|status| status.success()) {
        let missing = "the tests against a real API server were not run: KUBEBUILDER_ASSETS is no folder with etcd, \
                       kube-apiserver and kube-controller-manager, and there is no Go to build them with";
        assert!(std::env::var_os("CI").is_none_or(|ci| ci != "true"), "{missing}");
        // Past the test runner, which shows the output of a test only when it fails.
        writeln!(stderr(), "{missing}").expect("stderr is open");
        return None;
    }
    let module = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/controlplane");
    let go_mod = fs::read_to_string(module.join("go.mod")).expect("tests/controlplane/go.mod is readable");
    let version = go_mod.split_whitespace().skip_while(|word| *word != "k8s.io/kubernetes").nth(1);
    let version = version.and_then(|version| version.strip_prefix('v')).expect("go.mod pins k8s.io/kubernetes");
    // CARGO_TARGET_TMPDIR is the folder `tmp` of the target folder, wherever that is.
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("the target folder");
    let folder = target.join("controlplane").join(version);
    let built = Command::new(module.join("build.sh")).arg(&folder).status().expect("build.sh starts");
    assert!(built.success(), "tests/controlplane/build.sh {} failed: {built}", folder.display());
    Some(folder)
}

/// Ports that were free a moment ago: kube-apiserver and etcd cannot say which port they chose.
fn free_ports<const N: usize>() -> [u16; N] {
    let listeners = [(); N].map(|()| TcpListener::bind("127.0.0.1:0").expect("loopback has free ports"));
    listeners.map(|listener| listener.local_addr().expect("a bound listener has an address").port())
}
