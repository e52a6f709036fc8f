//! Pillion as the chart installs it: rendered by the real Helm, applied by the real kubectl, with the rights of the
//! chart's own ServiceAccount. What a cluster would add is played here: pods are processes ([`Replica`]), and a port on
//! loopback is the Service, which sends new connections to those that are ready and leaves the others alone. Unless a test
//! asks for the Service itself, the API server calls that port by URL.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::cluster::Cluster;
use super::eventually;
use super::forward::Forward;
use super::http;
use super::namespace::Calls;
use super::process::Folder;
use super::replica::Replica;
use super::tools;

/// Whom the API server counts calls of.
const WEBHOOK: &str = "pods.pillion.dev";

const CHART: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/charts/pillion");

/// How an installation is to be.
pub(crate) struct Install<'a> {
    cluster: &'a Cluster,
    release: &'a str,
    values: Value,
    chart: String,
    with_helm: bool,
    by_service: bool,
}

pub(crate) struct Installed<'a> {
    pub(crate) cluster: &'a Cluster,
    /// What Helm rendered, object by object.
    pub(crate) manifests: Vec<Value>,
    release: String,
    values: Value,
    chart: String,
    by_service: bool,
    pods: Arc<Pods>,
    kubeconfig: String,
    service: Forward,
    /// Between the replicas and the API server.
    link: Forward,
}

/// The replicas, and who of them had the last connection.
#[derive(Default)]
struct Pods {
    running: Mutex<Vec<Arc<Replica>>>,
    started: AtomicUsize,
    connections: AtomicUsize,
}

impl<'a> Install<'a> {
    pub(crate) fn on(cluster: &'a Cluster) -> Install<'a> {
        let chart = CHART.to_owned();
        Install { cluster, release: "pillion", values: json!({}), chart, with_helm: false, by_service: false }
    }

    /// Values for the chart, in addition to those of earlier calls.
    pub(crate) fn values(mut self, values: Value) -> Install<'a> {
        merge(&mut self.values, values);
        self
    }

    /// The release's name, and that of its namespace; `pillion` unless said.
    pub(crate) fn release(self, release: &'a str) -> Install<'a> {
        Install { release, ..self }
    }

    /// By `helm install` and not by `kubectl apply`.
    pub(crate) fn with_helm(self) -> Install<'a> {
        Install { with_helm: true, ..self }
    }

    /// By `helm install` of another chart than this repository's, to which it can be upgraded.
    pub(crate) fn with_helm_from(self, chart: &str) -> Install<'a> {
        Install { chart: chart.to_owned(), ..self.with_helm() }
    }

    /// The API server calls the Service, as the chart has it by default.
    pub(crate) fn by_service(self) -> Install<'a> {
        Install { by_service: true, ..self }
    }

    /// Installs, and waits until all replicas are ready.
    #[must_use = "the replicas end when it is dropped"]
    #[track_caller]
    pub(crate) fn start(self) -> Installed<'a> {
        let installed = self.apply();
        installed.begin_all().iter().for_each(|replica| installed.await_ready(replica));
        installed
    }

    /// Installs what Helm renders, and starts no replica yet.
    #[track_caller]
    pub(crate) fn apply(self) -> Installed<'a> {
        let Install { cluster, release, mut values, chart, with_helm, by_service } = self;
        let pods = Arc::new(Pods::default());
        let service = {
            let pods = Arc::clone(&pods);
            Forward::start(move || pods.next().map(|replica| replica.webhook))
        };
        let api_server = cluster.address();
        let link = Forward::start(move || Some(api_server));
        if !by_service {
            values["webhook"]["url"] = json!(format!("https://{}", service.address));
        }
        let mut installed = Installed {
            cluster,
            manifests: Vec::new(),
            release: release.to_owned(),
            values,
            chart,
            by_service,
            pods,
            kubeconfig: String::new(),
            service,
            link,
        };
        let rendered = installed.render(&json!({}));
        installed.manifests = serde_saphyr::from_multiple(&rendered).expect("what Helm renders is YAML");
        installed.manifests.retain(|object| !object.is_null());
        // As the chart's users are told to, and so that the level holds for our own pods too.
        let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": release, "labels": {
            "pod-security.kubernetes.io/enforce": "restricted"
        }}});
        cluster.apply(&namespace.to_string());
        if with_helm {
            installed.install(&[]);
        } else {
            cluster.apply(&rendered);
            installed.settle();
        }
        installed.pods.probe();
        installed
    }
}

impl Installed<'_> {
    /// What Helm makes of the chart, now with other values too.
    #[track_caller]
    pub(crate) fn render(&self, values: &Value) -> String {
        let mut all = self.values.clone();
        merge(&mut all, values.clone());
        let version = format!("--kube-version={}", self.cluster.version());
        self.run_helm(&["template", &self.release, CHART, "--no-hooks", &version], Some(&all))
    }

    /// Runs `helm install`, and starts no replica yet.
    #[track_caller]
    pub(crate) fn install(&mut self, flags: &[&str]) {
        self.helm(&[&["install"], flags].concat());
        self.settle();
    }

    /// What a network of pods and the kubelet would do for what was just installed.
    #[track_caller]
    fn settle(&mut self) {
        if self.by_service {
            let api = &self.cluster.api;
            let alias = json!({"spec": {"type": "ExternalName", "externalName": "127.0.0.1"}});
            let name = self.manifest("Service")["metadata"]["name"].as_str().expect("a name");
            let path = format!("/api/v1/namespaces/{}/services/{name}", self.release);
            let changed = api.merge(&path, &alias);
            assert_eq!(changed.status, 200, "{}", changed.text());
            self.set_clients("service/port", &json!(self.service.address.port()));
        }
        let api_server = format!("https://{}", self.link.address);
        self.kubeconfig = self.cluster.kubeconfig(&api_server, &self.token(), &self.release);
    }

    /// Where the API server has the mutating and the validating configuration.
    #[track_caller]
    pub(crate) fn configurations(&self) -> [String; 2] {
        ["MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"].map(|kind| {
            let name = self.manifest(kind)["metadata"]["name"].as_str().expect("a name");
            format!("/apis/admissionregistration.k8s.io/v1/{}s/{name}", kind.to_lowercase())
        })
    }

    /// Sets a field in the `clientConfig` of each webhook.
    #[track_caller]
    pub(crate) fn set_clients(&self, field: &str, value: &Value) {
        let api = &self.cluster.api;
        for path in self.configurations() {
            let webhooks = api.get(&path).json()["webhooks"].as_array().map_or(0, Vec::len);
            let change =
                |at| json!({"op": "add", "path": format!("/webhooks/{at}/clientConfig/{field}"), "value": value});
            let changed = api.patch(&path, &(0..webhooks).map(change).collect());
            assert_eq!(changed.status, 200, "{}", changed.text());
        }
    }

    /// Runs the real Helm on the release: `install`, `upgrade`, `rollback` or `uninstall`, and flags.
    #[track_caller]
    pub(crate) fn helm(&self, arguments: &[&str]) {
        let (command, flags) = arguments.split_first().expect("a command");
        let chart = match *command {
            "install" => &[&*self.chart][..],
            "upgrade" => &[CHART],
            _ => &[],
        };
        let arguments = [&[command, &*self.release], chart, flags].concat();
        self.run_helm(&arguments, (!chart.is_empty()).then_some(&self.values));
    }

    #[track_caller]
    fn run_helm(&self, arguments: &[&str], values: Option<&Value>) -> String {
        let folder = Folder::new("pillion-helm-");
        let mut arguments: Vec<_> = arguments.iter().map(|&argument| argument.to_owned()).collect();
        arguments.push(format!("--namespace={}", self.release));
        arguments.push(format!("--kubeconfig={}", self.cluster.admin()));
        arguments.extend(values.map(|values| format!("--values={}", folder.write("values.json", &values.to_string()))));
        let helm = tools::helm().expect("where there is a control plane there is Helm");
        tools::run(&helm, arguments, "").succeeded()
    }

    /// The rendered object of a kind, which has the release's name or one that begins with it.
    #[track_caller]
    pub(crate) fn manifest(&self, kind: &str) -> &Value {
        self.manifests.iter().find(|object| object["kind"] == kind).unwrap_or_else(|| panic!("no {kind} was rendered"))
    }

    fn deployment(&self) -> &Value {
        self.manifest("Deployment")
    }

    /// From now on what the API server says reaches the replicas so much later.
    pub(crate) fn slow_down(&self, delay: Duration) {
        self.link.slow_down(delay);
    }

    /// A token of the chart's ServiceAccount.
    #[track_caller]
    pub(crate) fn token(&self) -> String {
        let account = &self.deployment()["spec"]["template"]["spec"]["serviceAccountName"];
        let account = account.as_str().expect("the chart names a ServiceAccount");
        let path = format!("/api/v1/namespaces/{}/serviceaccounts/{account}/token", self.release);
        let request = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}});
        let made = self.cluster.api.create(&path, &request);
        assert_eq!(made.status, 201, "{}", made.text());
        made.json()["status"]["token"].as_str().expect("a token").to_owned()
    }

    pub(crate) fn replicas(&self) -> Vec<Arc<Replica>> {
        self.pods.running().clone()
    }

    /// Starts as many replicas as the Deployment asks for.
    #[track_caller]
    pub(crate) fn begin_all(&self) -> Vec<Arc<Replica>> {
        let replicas = &self.deployment()["spec"]["replicas"];
        let replicas = replicas.as_u64().expect("without an autoscaler it says how many");
        (0..replicas).map(|_| self.begin()).collect()
    }

    /// Starts one more replica, which may not be ready yet.
    #[track_caller]
    pub(crate) fn begin(&self) -> Arc<Replica> {
        let number = self.pods.started.fetch_add(1, Ordering::Relaxed);
        let name = format!("{}-{number}", self.release);
        let replica = Arc::new(Replica::start(self.cluster, self.deployment(), &name, &self.kubeconfig));
        self.pods.running().push(Arc::clone(&replica));
        replica
    }

    /// Starts one more replica, and waits until it is ready.
    #[track_caller]
    pub(crate) fn add(&self) -> Arc<Replica> {
        let replica = self.begin();
        self.await_ready(&replica);
        replica
    }

    #[track_caller]
    pub(crate) fn await_ready(&self, replica: &Replica) {
        eventually(&format!("{} to be ready", replica.name), || {
            replica.must_run();
            replica.is_ready().then_some(())
        });
    }

    /// Ends a replica as the kubelet does, and waits until it has drained.
    #[track_caller]
    pub(crate) fn stop(&self, replica: &Replica) {
        replica.signal("TERM");
        assert_eq!(replica.exit_code(), 0, "{} ends well:\n{}", replica.name, replica.log().join("\n"));
        self.pods.running().retain(|other| other.name != replica.name);
    }

    /// Ends a replica without a warning.
    #[track_caller]
    pub(crate) fn kill(&self, replica: &Replica) {
        replica.signal("KILL");
        replica.exit_code();
        self.pods.running().retain(|other| other.name != replica.name);
    }

    /// The replica that holds the Lease, as soon as there is one.
    #[track_caller]
    pub(crate) fn leader(&self) -> Arc<Replica> {
        eventually("a leader", || self.replicas().into_iter().find(|replica| replica.leads()))
    }

    /// The authorities that the API server is told to trust, once there are any.
    #[track_caller]
    pub(crate) fn ca_bundle(&self) -> String {
        let [path, _] = self.configurations();
        let bundle = eventually("the authorities to be published", || {
            let configuration = self.cluster.api.get(&path).json();
            Some(configuration["webhooks"][0]["clientConfig"]["caBundle"].as_str()?.to_owned())
        });
        String::from_utf8(STANDARD.decode(bundle).expect("a bundle is base64")).expect("a bundle is text")
    }

    /// The `response` of one replica to a review that no API server sent.
    #[track_caller]
    pub(crate) fn review(&self, replica: &Replica, authority: &str, review: &Value) -> Value {
        let url = format!("https://{}/mutate", replica.webhook);
        let json = [("content-type", "application/json")];
        let answer = http::send(&http::agent(authority), "POST", &url, &json, review.to_string().as_bytes());
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.json()["response"].take()
    }

    /// What the API server has counted of the webhook for pods.
    #[track_caller]
    pub(crate) fn calls(&self) -> Calls {
        Calls::of(&self.cluster.metrics(), WEBHOOK)
    }
}

impl Pods {
    fn running(&self) -> MutexGuard<'_, Vec<Arc<Replica>>> {
        self.running.lock().expect("no test panics while it holds the replicas")
    }

    /// Who gets the next connection.
    fn next(&self) -> Option<Arc<Replica>> {
        let mut ready = self.running().clone();
        ready.retain(|replica| replica.is_ready());
        let turn = self.connections.fetch_add(1, Ordering::Relaxed);
        (!ready.is_empty()).then(|| ready.swap_remove(turn % ready.len()))
    }

    /// Asks each replica whether it is ready, until there is nobody left who wants to know.
    fn probe(self: &Arc<Pods>) {
        let pods = Arc::downgrade(self);
        std::thread::spawn(move || {
            while let Some(pods) = pods.upgrade() {
                let running = pods.running().clone();
                drop(pods);
                running.iter().for_each(|replica| {
                    replica.probe();
                });
                std::thread::sleep(Duration::from_millis(100));
            }
        });
    }
}

/// Puts `more` into `values`, as Helm does with several files of values.
fn merge(values: &mut Value, more: Value) {
    match (values, more) {
        (Value::Object(values), Value::Object(more)) => {
            for (key, value) in more {
                merge(values.entry(key).or_insert(Value::Null), value);
            }
        }
        (values, more) => *values = more,
    }
}
