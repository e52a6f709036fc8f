//! A namespace on the real API server, for one test, with webhooks that see nothing but it.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::cluster::Cluster;
use super::eventually;
use super::http::Answer;
use super::kubernetes::Kubernetes;
use super::metrics::Metrics;

#[derive(Clone)]
pub(crate) struct Namespace {
    api: Kubernetes,
    name: String,
}

/// A webhook as the API server is told of it.
pub(crate) struct Webhook<'a> {
    /// A DNS label; webhooks are called in the order of these names.
    pub(crate) name: &'a str,
    pub(crate) url: &'a str,
    pub(crate) authority: &'a str,
    pub(crate) failure_policy: &'a str,
}

/// What the API server itself has counted of one webhook.
#[derive(Debug, PartialEq)]
pub(crate) struct Calls {
    /// The webhook answered, and let the pod pass.
    pub(crate) allowed: f64,
    /// The webhook refused the pod.
    pub(crate) denied: f64,
    /// The call went wrong, or its answer could not be used.
    pub(crate) failed: f64,
    /// The call went wrong and the pod was let through without it.
    pub(crate) failed_open: f64,
}

impl Namespace {
    /// A namespace that opted in; `None` when there is no control plane.
    #[track_caller]
    pub(crate) fn opted_in(name: &str) -> Option<Namespace> {
        Namespace::new(name, &[("pillion.dev/inject", "enabled")])
    }

    #[track_caller]
    pub(crate) fn new(name: &str, labels: &[(&str, &str)]) -> Option<Namespace> {
        Some(Cluster::shared()?.namespace(name, labels))
    }

    /// A new namespace, with the ServiceAccount that its pods need.
    #[track_caller]
    pub(crate) fn create_on(api: &Kubernetes, name: &str, labels: &[(&str, &str)]) -> Namespace {
        let labels: Value = labels.iter().map(|(key, value)| ((*key).to_owned(), json!(value))).collect();
        let namespace = json!({"metadata": {"name": name, "labels": labels}});
        let created = api.create("/api/v1/namespaces", &namespace);
        assert_eq!(created.status, 201, "{}", created.text());
        // The API server refuses pods until the controller manager has made this.
        let account = format!("/api/v1/namespaces/{name}/serviceaccounts/default");
        eventually("the default ServiceAccount", || (api.get(&account).status == 200).then_some(()));
        Namespace::of(api, name)
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// A namespace that is there.
    pub(crate) fn of(api: &Kubernetes, name: &str) -> Namespace {
        Namespace { api: api.clone(), name: name.to_owned() }
    }

    /// Makes a ReplicaSet that makes no pods itself, and gives the reference to it that its pods would have.
    #[track_caller]
    pub(crate) fn owner(&self, name: &str) -> Value {
        let labels = json!({"owner": name});
        let template =
            json!({"metadata": {"labels": labels}, "spec": {"containers": [{"name": "app", "image": "app"}]}});
        let spec = json!({"replicas": 0, "selector": {"matchLabels": labels}, "template": template});
        let made = self.create("apps/v1", "replicasets", &json!({"metadata": {"name": name}, "spec": spec}));
        assert_eq!(made.status, 201, "{}", made.text());
        let uid = made.json()["metadata"]["uid"].take();
        json!({"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": name, "uid": uid, "controller": true})
    }

    /// Tells the API server of webhooks, to be called in this order, and waits until it applies them.
    #[track_caller]
    pub(crate) fn call(&self, webhooks: &[Webhook<'_>]) {
        for (position, webhook) in webhooks.iter().enumerate() {
            let bundle = STANDARD.encode(webhook.authority);
            // Configurations are called in the order of their names.
            self.configure(&format!("{}-{position}", self.name), |configured| {
                configured["name"] = json!(self.full_name(webhook.name));
                configured["clientConfig"] = json!({"url": webhook.url, "caBundle": bundle});
                configured["failurePolicy"] = json!(webhook.failure_policy);
            });
        }
        // The API server takes up a new configuration a moment after it was created, and does not say when. Nobody
        // listens at the address of this last one, so it is applied, and those before it, once ConfigMaps are refused.
        self.configure(&format!("{}-canary", self.name), |configured| {
            configured["name"] = json!(self.full_name("canary"));
            configured["clientConfig"] = json!({"url": "https://127.0.0.1:1/"});
            configured["failurePolicy"] = json!("Fail");
            configured["rules"][0]["resources"] = json!(["configmaps"]);
            configured["namespaceSelector"]["matchExpressions"] = json!([]);
        });
        let probe = json!({"metadata": {"name": "probe"}});
        eventually("the API server to apply the webhooks", || {
            (self.create("v1", "configmaps?dryRun=All", &probe).status == 500).then_some(())
        });
    }

    /// Creates a configuration like the one of `manifests/install.yaml`, but for this namespace alone.
    #[track_caller]
    fn configure(&self, name: &str, change: impl FnOnce(&mut Value)) {
        let manifest = include_str!("../../../manifests/install.yaml");
        let objects: Vec<Value> = serde_saphyr::from_multiple(manifest).expect("manifests/install.yaml is YAML");
        let mut objects = objects.into_iter();
        let mut configuration = objects.find(|object| object["kind"] == "MutatingWebhookConfiguration").expect("one");
        configuration["metadata"]["name"] = json!(name);
        configuration["webhooks"].as_array_mut().expect("it has webhooks").truncate(1);
        let webhook = &mut configuration["webhooks"][0];
        change(webhook);
        let here = json!({"kubernetes.io/metadata.name": self.name});
        webhook["namespaceSelector"]["matchLabels"] = here;
        let path = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations";
        let created = self.api.create(path, &configuration);
        assert_eq!(created.status, 201, "{}", created.text());
    }

    fn full_name(&self, webhook: &str) -> String {
        format!("{webhook}.{}.pillion.test", self.name)
    }

    /// Creates an object here, of a group and version like `apps/v1`. The core group's is `v1`.
    #[track_caller]
    pub(crate) fn create(&self, version: &str, resource: &str, object: &Value) -> Answer {
        self.api.create(&self.path(version, resource), object)
    }

    #[track_caller]
    pub(crate) fn get(&self, version: &str, resource: &str) -> Answer {
        self.api.get(&self.path(version, resource))
    }

    /// Merges fields into an object here.
    #[track_caller]
    pub(crate) fn merge(&self, version: &str, resource: &str, fields: &Value) -> Answer {
        self.api.merge(&self.path(version, resource), fields)
    }

    fn path(&self, version: &str, resource: &str) -> String {
        let root = if version == "v1" { "api" } else { "apis" };
        format!("/{root}/{version}/namespaces/{}/{resource}", self.name)
    }

    /// Creates a pod that must be taken, and gives it as it was stored.
    #[track_caller]
    pub(crate) fn create_pod(&self, pod: &Value) -> Value {
        let created = self.create("v1", "pods", pod);
        assert_eq!(created.status, 201, "{}", created.text());
        created.json()
    }

    /// Has the API server fill in limits of each container that has none, also of one that a webhook added.
    #[track_caller]
    pub(crate) fn limit_containers(&self) {
        let limits = json!({
            "metadata": {"name": "defaults"},
            "spec": {"limits": [{"type": "Container", "default": {"cpu": "1"}, "defaultRequest": {"cpu": "1m"}}]}
        });
        let created = self.create("v1", "limitranges", &limits);
        assert_eq!(created.status, 201, "{}", created.text());
    }

    /// The first pod with a label, as soon as a controller has made it.
    #[track_caller]
    pub(crate) fn pod_labelled(&self, label: &str) -> Value {
        eventually("the controllers to make a pod", || {
            let mut pods = self.get("v1", &format!("pods?labelSelector={label}")).json();
            pods["items"].get_mut(0).map(Value::take)
        })
    }

    /// What the API server has counted of a webhook of this namespace.
    #[track_caller]
    pub(crate) fn calls(&self, webhook: &str) -> Calls {
        Calls::of(&Metrics::parse(&self.api.get("/metrics").text()), &self.full_name(webhook))
    }
}

impl Calls {
    /// What the metrics of the API server say of a webhook.
    pub(crate) fn of(metrics: &Metrics, webhook: &str) -> Calls {
        let name = format!("name=\"{webhook}\"");
        let rejections = |error_type: &str| {
            let error_type = format!("error_type=\"{error_type}\"");
            metrics.sum("apiserver_admission_webhook_rejection_count", &[&name, &error_type])
        };
        Calls {
            allowed: metrics
                .sum("apiserver_admission_webhook_request_total", &[&name, "code=\"200\"", "rejected=\"false\""]),
            denied: rejections("no_error"),
            failed: rejections("calling_webhook_error") + rejections("apiserver_internal_error"),
            failed_open: metrics.sum("apiserver_admission_webhook_fail_open_count", &[&name]),
        }
    }
}
