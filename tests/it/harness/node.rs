//! A real cluster that runs pods: the one of `tests/cluster/`, in whose network the tests then run (`make e2e`), or the one
//! of the current kubeconfig (`USE_EXISTING_CLUSTER=true`). All goes through its API, so no test can tell them apart.

use std::env;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::LazyLock;
use std::thread::panicking;
use std::time::Duration;

use serde_json::Value;

use super::http::Answer;
use super::kubernetes::Kubernetes;
use super::namespace::Namespace;
use super::process::Process;
use super::tools::{self, Ran};
use super::within;

pub(crate) struct Node {
    pub(crate) api: Kubernetes,
    kubectl: PathBuf,
    _proxy: Process,
}

/// A namespace of its own for a test, which goes with it.
pub(crate) struct TestNamespace {
    pub(crate) api: Namespace,
}

/// A line that a container wrote.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    /// When, by the node's clock: of one width, so that an earlier one is less.
    pub(crate) at: String,
    pub(crate) text: String,
}

/// How long a pod may take to get where a test wants it. A CronJob takes a minute to begin.
const PATIENCE: Duration = Duration::from_secs(150);

pub(crate) fn node() -> &'static Node {
    static NODE: LazyLock<Node> = LazyLock::new(|| {
        let existing = env::var("USE_EXISTING_CLUSTER").is_ok_and(|value| value == "true");
        assert!(existing || is_test_node(), "these tests change a cluster: run them by make e2e");
        let kubectl = tools::control_plane().expect("kubectl is built").join("kubectl");
        let proxy = Process::start(&kubectl, ["proxy", "--port=0"]);
        let address = proxy.stdout().find("the address of kubectl proxy", |line| {
            line.strip_prefix("Starting to serve on ")?.parse::<SocketAddr>().ok()
        });
        Node { api: Kubernetes::behind_proxy(address), kubectl, _proxy: proxy }
    });
    &NODE
}

/// Whether this is the node of `tests/cluster/`, whose processes the tests may end.
pub(crate) fn is_test_node() -> bool {
    env::var_os("PILLION_NODE").is_some()
}

impl Node {
    #[track_caller]
    pub(crate) fn kubectl(&self, arguments: &[&str], stdin: &str) -> Ran {
        tools::run(&self.kubectl, arguments, stdin)
    }

    /// `kubectl apply` of some YAML or JSON, which must be taken.
    #[track_caller]
    pub(crate) fn apply(&self, manifests: &str) {
        self.kubectl(&["apply", "--server-side", "-f", "-"], manifests).succeeded();
    }

    /// Runs the real Helm, which must succeed.
    #[track_caller]
    pub(crate) fn helm(&self, arguments: &[&str]) -> String {
        tools::run(&tools::helm().expect("Helm is built"), arguments, "").succeeded()
    }

    /// A new namespace, whose pods are sent to Pillion.
    #[track_caller]
    pub(crate) fn namespace(&self, name: &str) -> TestNamespace {
        self.namespace_with(name, &[("pillion.dev/inject", "enabled")])
    }

    /// A new namespace.
    #[track_caller]
    pub(crate) fn namespace_with(&self, name: &str, labels: &[(&str, &str)]) -> TestNamespace {
        // The node may have run this test before.
        let name = format!("{name}-{}", std::process::id());
        TestNamespace { api: Namespace::create_on(&self.api, &name, labels) }
    }
}

impl TestNamespace {
    pub(crate) fn name(&self) -> &str {
        self.api.name()
    }

    /// Applies YAML or JSON in this namespace; it must be taken.
    #[track_caller]
    pub(crate) fn apply(&self, manifests: &str) {
        node().kubectl(&["apply", "--namespace", self.name(), "-f", "-"], manifests).succeeded();
    }

    #[track_caller]
    pub(crate) fn kubectl(&self, arguments: &[&str]) -> String {
        node().kubectl(&[&["--namespace", self.name()], arguments].concat(), "").succeeded()
    }

    /// Waits until `wanted` gives `Some` for a pod.
    #[track_caller]
    pub(crate) fn pod<T>(&self, name: &str, what: &str, wanted: impl Fn(&Value) -> Option<T>) -> T {
        until(&format!("pod {name} {what}"), || {
            let answer = self.api.get("v1", &format!("pods/{name}"));
            if answer.status == 200 { wanted(&answer.json()) } else { None }
        })
    }

    /// A pod, once it is Ready.
    #[track_caller]
    pub(crate) fn ready(&self, name: &str) -> Value {
        self.pod(name, "to be ready", |pod| (condition(pod, "Ready") == Some("True")).then(|| pod.clone()))
    }

    /// A pod, once all of it has ended.
    #[track_caller]
    pub(crate) fn ended(&self, name: &str) -> Value {
        self.pod(name, "to end", |pod| {
            ["Succeeded", "Failed"].contains(&pod["status"]["phase"].as_str()?).then(|| pod.clone())
        })
    }

    /// The name of the first pod with a label, once there is one.
    #[track_caller]
    pub(crate) fn pod_of(&self, label: &str) -> String {
        until(&format!("a pod with {label}"), || {
            let pods = self.api.get("v1", &format!("pods?labelSelector={label}")).json();
            Some(pods["items"][0]["metadata"]["name"].as_str()?.to_owned())
        })
    }

    /// The pod of a Job, once the Job is `Complete`, or `Failed`.
    #[track_caller]
    pub(crate) fn job(&self, name: &str, ends: &str) -> String {
        until(&format!("Job {name} to be {ends}"), || {
            let job = self.api.get("batch/v1", &format!("jobs/{name}")).json();
            (condition(&job, ends) == Some("True")).then_some(())
        });
        self.pod_of(&format!("job-name={name}"))
    }

    /// What a container has written so far.
    #[track_caller]
    pub(crate) fn log(&self, pod: &str, container: &str) -> Vec<Line> {
        let path = format!("pods/{pod}/log?container={container}&timestamps=true");
        let answer = self.api.get("v1", &path);
        // It may not have begun.
        if answer.status == 200 { answer.text().lines().filter_map(Line::read).collect() } else { Vec::new() }
    }

    /// When a container wrote a line that holds `text`, as soon as it has.
    #[track_caller]
    pub(crate) fn logged(&self, pod: &str, container: &str, text: &str) -> String {
        until(&format!("{container} of {pod} to say {text:?}"), || {
            let log = self.log(pod, container);
            log.into_iter().find(|line| line.text.contains(text)).map(|line| line.at)
        })
    }

    /// Reads on what a container writes, also while its pod is deleted.
    #[track_caller]
    pub(crate) fn follow(&self, pod: &str, container: &str) -> Process {
        let arguments = ["logs", "--follow", "--timestamps", "--namespace", self.name(), pod, "--container", container];
        Process::start(&node().kubectl, arguments)
    }

    /// What a script prints that a shell runs in a container.
    #[track_caller]
    pub(crate) fn exec(&self, pod: &str, container: &str, script: &str) -> String {
        self.kubectl(&["exec", pod, "--container", container, "--", "sh", "-c", script])
    }

    /// What a port of a pod answers, asked through the API server.
    pub(crate) fn fetch(&self, pod: &str, port: u16, path: &str) -> Answer {
        self.api.get("v1", &format!("pods/{pod}:{port}/proxy{path}"))
    }

    /// Deletes a pod, does what is to be done while it ends, and gives it as it was when its last container had ended.
    #[track_caller]
    pub(crate) fn delete(&self, pod: &str, meanwhile: impl FnOnce()) -> Value {
        let selector = format!("--field-selector=metadata.name={pod}");
        let output = "--output=jsonpath={$}{\"\\n\"}";
        let watched = ["get", "pods", &selector, "--watch", output, "--namespace", self.name()];
        let watch = Process::start(&node().kubectl, watched);
        // It watches.
        watch.stdout().find("the pod", |_| Some(()));
        self.kubectl(&["delete", "pod", pod, "--wait=false"]);
        meanwhile();
        watch.stdout().find(&format!("{pod} to end"), |line| {
            let pod: Value = serde_json::from_str(line).ok()?;
            let all_ended = containers(&pod).all(|status| status["state"]["terminated"].is_object());
            all_ended.then_some(pod)
        })
    }

    /// What happened to an object: each event's reason and message.
    pub(crate) fn events(&self, of: &str) -> Vec<String> {
        let events = self.api.get("v1", &format!("events?fieldSelector=involvedObject.name={of}")).json();
        let events = events["items"].as_array().into_iter().flatten();
        events.map(|event| format!("{}: {}", text(&event["reason"]), text(&event["message"]))).collect()
    }
}

impl Drop for TestNamespace {
    fn drop(&mut self) {
        if panicking() {
            let all = ["--namespace", self.name(), "get", "pods,events", "--output=wide"];
            let Ran { stdout, stderr, .. } = node().kubectl(&all, "");
            writeln!(std::io::stderr(), "{} was:\n{stdout}{stderr}", self.name()).ok();
        }
        node().kubectl(&["delete", "namespace", self.name(), "--wait=false"], "");
    }
}

impl Line {
    fn read(line: &str) -> Option<Line> {
        let (at, text) = line.split_once(' ')?;
        Some(Line { at: at.to_owned(), text: text.to_owned() })
    }
}

/// When a followed container wrote a line that holds `text`, as soon as it has.
#[track_caller]
pub(crate) fn followed(process: &Process, text: &str) -> String {
    process.stdout().find(text, |line| Line::read(line).filter(|line| line.text.contains(text)).map(|line| line.at))
}

/// As `eventually`, for what pods do.
#[track_caller]
pub(crate) fn until<T>(what: &str, probe: impl FnMut() -> Option<T>) -> T {
    within(PATIENCE, what, probe)
}

/// The status of a condition.
pub(crate) fn condition<'a>(object: &'a Value, kind: &str) -> Option<&'a str> {
    let conditions = object["status"]["conditions"].as_array()?;
    conditions.iter().find(|condition| condition["type"] == kind)?["status"].as_str()
}

/// The status of a container of a pod, of whichever kind it is; `null` while the kubelet has said nothing of it.
pub(crate) fn container<'a>(pod: &'a Value, name: &str) -> &'a Value {
    containers(pod).find(|status| status["name"] == name).unwrap_or(&Value::Null)
}

/// The status of each container of a pod.
pub(crate) fn containers(pod: &Value) -> impl Iterator<Item = &Value> {
    let lists = ["initContainerStatuses", "containerStatuses"].map(|list| pod["status"][list].as_array());
    lists.into_iter().flatten().flatten()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
