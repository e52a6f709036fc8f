//! The programs of others that the tests run, built by Go from pinned modules: Kubernetes' own from `tests/controlplane/`,
//! the rest from `tests/tools/`.
//!
//! Without Go the tests that need them say so and pass, except where `CI=true`.

use std::env;
use std::ffi::OsStr;
use std::fs;
use std::io::{Write as _, stderr};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::LazyLock;

const CONTROL_PLANE: [&str; 5] = ["etcd", "kube-apiserver", "kube-controller-manager", "kubectl", "celoracle"];

/// What a program left behind.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ran {
    /// Its output; a panic with what it complained of when it failed.
    #[track_caller]
    pub(crate) fn succeeded(self) -> String {
        assert_eq!(self.code, 0, "{}{}", self.stderr, self.stdout);
        self.stdout
    }
}

/// Runs a program to its end, with `stdin` to read.
#[track_caller]
pub(crate) fn run<A: AsRef<OsStr>>(program: &Path, arguments: impl IntoIterator<Item = A>, stdin: &str) -> Ran {
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|e| panic!("{}: {e}", program.display()));
    let mut input = child.stdin.take().expect("stdin is piped");
    let output = std::thread::scope(|scope| {
        // It may end without having read all of it.
        scope.spawn(move || input.write_all(stdin.as_bytes()).ok());
        child.wait_with_output().expect("its output is text")
    });
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Ran {
        code: output.status.code().unwrap_or_else(|| panic!("{} was killed", program.display())),
        stdout: text(output.stdout),
        stderr: text(output.stderr),
    }
}

pub(crate) fn helm() -> Option<PathBuf> {
    tool("helm")
}

pub(crate) fn promtool() -> Option<PathBuf> {
    tool("promtool")
}

/// The version of Kubernetes under test: `PILLION_TEST_KUBERNETES`, or the newest of `tests/controlplane/`.
pub(crate) fn kubernetes_version() -> String {
    if let Ok(asked_for) = env::var("PILLION_TEST_KUBERNETES") {
        return asked_for;
    }
    let modules = fs::read_dir(source("controlplane")).expect("tests/controlplane is a folder");
    let versions = modules.filter_map(|entry| {
        let go_mod = fs::read_to_string(entry.ok()?.path().join("go.mod")).ok()?;
        let version = go_mod.split_whitespace().skip_while(|word| *word != "k8s.io/kubernetes").nth(1)?;
        Some(version.strip_prefix('v')?.to_owned())
    });
    let numbers = |version: &String| version.split('.').map(|part| part.parse().unwrap_or(0)).collect::<Vec<u32>>();
    versions.max_by_key(numbers).expect("tests/controlplane pins versions of Kubernetes")
}

/// The folder with the programs of a control plane: `KUBEBUILDER_ASSETS`, unless a version is asked for, or built by Go.
pub(crate) fn control_plane() -> Option<PathBuf> {
    static FOLDER: LazyLock<Option<PathBuf>> = LazyLock::new(|| {
        let assets = env::var_os("KUBEBUILDER_ASSETS").filter(|_| env::var_os("PILLION_TEST_KUBERNETES").is_none());
        // What setup-envtest brings has no controller manager, and then Go has to build all of them.
        let is_complete = |assets: &PathBuf| CONTROL_PLANE.iter().all(|program| assets.join(program).is_file());
        assets.map(PathBuf::from).filter(is_complete).or_else(|| {
            let version = kubernetes_version();
            build("controlplane", &[&version])?;
            Some(target().join("controlplane").join(version))
        })
    });
    FOLDER.clone()
}

fn tool(name: &str) -> Option<PathBuf> {
    static FOLDER: LazyLock<Option<PathBuf>> = LazyLock::new(|| {
        build("tools", &[])?;
        Some(target().join("tools/bin"))
    });
    FOLDER.as_ref().map(|folder| folder.join(name))
}

/// Runs a `build.sh`, which does nothing when all is built.
fn build(what: &str, arguments: &[&str]) -> Option<()> {
    let found_go = Command::new("go").arg("version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    if !found_go.is_ok_and(|status| status.success()) {
        let missing = format!("some tests were not run: there is no Go to build tests/{what} with");
        assert!(env::var_os("CI").is_none_or(|ci| ci != "true"), "{missing}");
        // Past the test runner, which shows the output of a test only when it fails.
        writeln!(stderr(), "{missing}").expect("stderr is open");
        return None;
    }
    let built = Command::new(source(what).join("build.sh")).arg(target()).args(arguments).status();
    let built = built.expect("build.sh starts");
    assert!(built.success(), "tests/{what}/build.sh failed: {built}");
    Some(())
}

fn source(what: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(what)
}

fn target() -> &'static Path {
    // The folder `tmp` of the target folder, wherever that is.
    Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("the target folder")
}
