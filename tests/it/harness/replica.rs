//! One pod of the chart's Deployment, as a local process: its arguments, environment and mounted files are those that
//! Helm rendered. Only the ports are others.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::cluster::{Cluster, free_port};
use super::http::{self, Answer};
use super::metrics::Metrics;
use super::process::{Folder, Lines, Process};

pub(crate) struct Replica {
    /// What would be the pod's name.
    pub(crate) name: String,
    pub(crate) webhook: SocketAddr,
    pub(crate) admin: SocketAddr,
    /// The path that the kubelet would ask.
    probe: String,
    ready: AtomicBool,
    process: Mutex<Process>,
    log: Arc<Lines>,
    _folder: Folder,
}

impl Replica {
    /// Starts the container of a rendered Deployment, with `kubeconfig` for the way to the API server.
    #[track_caller]
    pub(crate) fn start(cluster: &Cluster, deployment: &Value, name: &str, kubeconfig: &str) -> Replica {
        let folder = Folder::new("pillion-replica-");
        let namespace = deployment["metadata"]["namespace"].as_str().expect("a Deployment has a namespace");
        let spec = &deployment["spec"]["template"]["spec"];
        let container = &spec["containers"][0];
        let mounts = mount(cluster, spec, namespace, &folder);
        // What is below a mount path is in the folder that stands for it.
        let here = |text: &str| {
            mounts.iter().fold(text.to_owned(), |text, (path, folder)| text.replace(path, &folder.to_string_lossy()))
        };
        let [webhook, admin] = [(); 2].map(|()| SocketAddr::from(([127, 0, 0, 1], free_port())));

        let mut environment = BTreeMap::from([
            ("KUBECONFIG", folder.write("kubeconfig.json", kubeconfig)),
            // A pod's hostname is its name.
            ("PILLION_IDENTITY", name.to_owned()),
        ]);
        for variable in list(&container["env"]) {
            let value = match variable["valueFrom"]["fieldRef"]["fieldPath"].as_str() {
                None => variable["value"].as_str().unwrap_or_default(),
                Some("metadata.name") => name,
                Some("metadata.namespace") => namespace,
                Some(field) => panic!("nobody has said yet what {field} is here"),
            };
            environment.insert(variable["name"].as_str().expect("a variable has a name"), here(value));
        }
        let mut command = vec!["-i".to_owned()];
        command.extend(environment.iter().map(|(name, value)| format!("{name}={value}")));
        command.push(env!("CARGO_BIN_EXE_pillion").to_owned());
        for argument in list(&container["args"]) {
            let argument = argument.as_str().expect("an argument is text");
            command.push(match argument.split_once('=') {
                Some(("--listen", _)) => format!("--listen={webhook}"),
                Some(("--admin-listen", _)) => format!("--admin-listen={admin}"),
                _ => here(argument),
            });
        }
        let process = Process::start(Path::new("/usr/bin/env"), command);
        Replica {
            name: name.to_owned(),
            webhook,
            admin,
            probe: container["readinessProbe"]["httpGet"]["path"]
                .as_str()
                .expect("a probe by HTTP")
                .replace("wait=4", ""),
            ready: AtomicBool::new(false),
            log: Arc::clone(process.stderr()),
            process: Mutex::new(process),
            _folder: folder,
        }
    }

    /// Asks as the kubelet would, but does not wait, and remembers the answer.
    pub(crate) fn probe(&self) -> bool {
        let answer = http::try_get(&format!("http://{}{}", self.admin, self.probe));
        let ready = answer.is_some_and(|answer| answer.status == 200);
        self.ready.store(ready, Ordering::Relaxed);
        ready
    }

    /// What the last probe said.
    pub(crate) fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Relaxed)
    }

    /// What the admin listener answers at `path`.
    #[track_caller]
    pub(crate) fn ask_admin(&self, path: &str) -> Answer {
        let url = format!("http://{}{path}", self.admin);
        http::try_get(&url).unwrap_or_else(|| panic!("{} does not answer {path}:\n{}", self.name, self.log.tail()))
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

    /// Whether it holds the Lease.
    pub(crate) fn leads(&self) -> bool {
        self.metric("pillion_leader", &[]) == 1.0
    }

    /// The log so far.
    pub(crate) fn log(&self) -> Vec<String> {
        self.log.all()
    }

    /// The first log line, there or to come, whose `field` has `value`.
    #[track_caller]
    pub(crate) fn logged(&self, field: &str, value: &str) -> Value {
        self.log.logged(field, value)
    }

    /// Panics, with the last of its log, when it has ended.
    #[track_caller]
    pub(crate) fn must_run(&self) {
        self.process().must_run();
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.process().has_ended()
    }

    pub(crate) fn signal(&self, signal: &str) {
        self.process().signal(signal);
    }

    /// Its exit code, once it has ended.
    #[track_caller]
    pub(crate) fn exit_code(&self) -> i32 {
        self.process().exit_code()
    }

    fn process(&self) -> MutexGuard<'_, Process> {
        self.process.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

/// Puts what the container mounts into folders, which come with the paths that they stand for.
fn mount(cluster: &Cluster, spec: &Value, namespace: &str, home: &Folder) -> Vec<(String, PathBuf)> {
    let mounts = list(&spec["containers"][0]["volumeMounts"]).enumerate();
    mounts
        .map(|(number, mount)| {
            let folder = home.path(&format!("mount-{number}"));
            fs::create_dir(&folder).expect("the folder is new");
            let volume = list(&spec["volumes"]).find(|volume| volume["name"] == mount["name"]).expect("a volume");
            let config_map = volume["configMap"]["name"].as_str().map(|name| ("configmaps", name));
            let secret = volume["secret"]["secretName"].as_str().map(|name| ("secrets", name));
            if let Some((resource, name)) = config_map.or(secret) {
                let object = cluster.api.get(&format!("/api/v1/namespaces/{namespace}/{resource}/{name}"));
                assert_eq!(object.status, 200, "{resource}/{name}: {}", object.text());
                for (file, text) in object.json()["data"].as_object().into_iter().flatten() {
                    let text = text.as_str().expect("data is text");
                    let decoded = || STANDARD.decode(text).expect("a Secret is base64");
                    let bytes = if resource == "secrets" { decoded() } else { text.into() };
                    fs::write(folder.join(file), bytes).expect("the folder is writable");
                }
            }
            (mount["mountPath"].as_str().expect("a mount has a path").to_owned(), folder)
        })
        .collect()
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}
