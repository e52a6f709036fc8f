//! The `caBundle`s of the webhook configurations.
//!
//! Only `caBundle` is written, as a JSON patch. So no entry of `webhooks` becomes ours in `managedFields`, and the chart can
//! be applied again without a conflict, also to remove an entry.
//!
//! The `caBundle` of a webhook that is called by URL is written by the leader only: what serves that URL may not be a
//! replica, and without a `caBundle` the API server trusts the authorities of its system.

use json_patch::Patch as JsonPatch;
use k8s_openapi::ByteString;
use k8s_openapi::api::admissionregistration::v1::{MutatingWebhookConfiguration, ValidatingWebhookConfiguration};
use kube::api::{ApiResource, DynamicObject, Patch, PatchParams};
use kube::{Api, Client, ResourceExt as _};
use serde_json::{Value, json};

use super::authority::{Authority, Leaf};
use super::config::MANAGER;
use super::contents;

/// The configurations of one name.
pub(super) struct Webhooks {
    apis: [(&'static str, Api<DynamicObject>); 2],
    name: String,
}

/// The webhooks whose `caBundle` is to be written.
#[derive(Clone, Copy)]
pub(super) enum Target {
    /// Each of them.
    All,
    /// Those without a `caBundle`, which is how they are installed: every call to them fails.
    Empty,
}

/// A configuration as it was read, or written since.
pub(super) struct Configuration {
    pub(super) resource: &'static str,
    api: Api<DynamicObject>,
    object: DynamicObject,
}

impl Webhooks {
    pub(super) fn new(client: &Client, name: &str) -> Webhooks {
        let api = |resource| Api::all_with(client.clone(), &resource);
        Webhooks {
            apis: [
                ("mutatingwebhookconfigurations", api(ApiResource::erase::<MutatingWebhookConfiguration>(&()))),
                ("validatingwebhookconfigurations", api(ApiResource::erase::<ValidatingWebhookConfiguration>(&()))),
            ],
            name: name.to_owned(),
        }
    }

    /// Reads those that exist.
    pub(super) async fn read(&self) -> kube::Result<Vec<Configuration>> {
        let mut configurations = Vec::new();
        for (resource, api) in &self.apis {
            if let Some(object) = api.get_opt(&self.name).await? {
                configurations.push(Configuration { resource, api: api.clone(), object });
            }
        }
        Ok(configurations)
    }
}

impl Configuration {
    /// The `clientConfig` of each webhook.
    fn clients(&self) -> impl Iterator<Item = &Value> {
        let webhooks = self.object.data["webhooks"].as_array().map(Vec::as_slice).unwrap_or_default();
        webhooks.iter().map(|webhook| &webhook["clientConfig"])
    }

    /// The authorities that each webhook trusts.
    pub(super) fn authorities(&self) -> Vec<Vec<Authority>> {
        self.clients().map(authorities).collect()
    }

    /// Whether each webhook trusts an authority that signed the certificate.
    pub(super) fn trusts(&self, leaf: &Leaf) -> bool {
        let mut called = self.clients().filter(|client| is_service(client));
        called.all(|client| authorities(client).iter().any(|authority| authority.signed(leaf)))
    }

    /// Whether `bundle` is the `caBundle` of each webhook.
    pub(super) fn holds(&self, bundle: &[u8]) -> bool {
        let base64 = json!(ByteString(bundle.to_vec()));
        self.clients().all(|client| client["caBundle"] == base64)
    }

    /// Makes `bundle` the `caBundle` of each webhook that `target` selects; false when there was nothing to do.
    pub(super) async fn publish(&mut self, bundle: &[u8], target: Target) -> kube::Result<bool> {
        match self.try_publish(bundle, target).await {
            // The API server answers 422 when a `test` fails.
            Err(kube::Error::Api(status)) if [409, 422].contains(&status.code) => {
                self.object = self.api.get(&self.object.name_any()).await?;
                self.try_publish(bundle, target).await
            }
            result => result,
        }
    }

    /// As [`Configuration::publish`], unless somebody has written the configuration since it was read.
    async fn try_publish(&mut self, bundle: &[u8], target: Target) -> kube::Result<bool> {
        let base64 = json!(ByteString(bundle.to_vec()));
        let mut operations = vec![json!({
            "op": "test", "path": "/metadata/resourceVersion", "value": self.object.resource_version()
        })];
        for (index, client) in self.clients().enumerate() {
            let is_selected = match target {
                Target::All => client["caBundle"] != base64,
                Target::Empty => is_service(client) && client["caBundle"].as_str().is_none_or(str::is_empty),
            };
            if is_selected {
                let path = format!("/webhooks/{index}/clientConfig/caBundle");
                operations.push(json!({"op": "add", "path": path, "value": base64}));
            }
        }
        if operations.len() == 1 {
            return Ok(false);
        }
        let patch: JsonPatch =
            serde_json::from_value(Value::Array(operations)).expect("tests and additions are a JSON patch");
        let params = PatchParams { field_manager: Some(MANAGER.to_owned()), ..PatchParams::default() };
        self.object = self.api.patch(&self.object.name_any(), &params, &Patch::<DynamicObject>::Json(patch)).await?;
        Ok(true)
    }
}

/// The authorities in a `clientConfig`.
fn authorities(client: &Value) -> Vec<Authority> {
    let bundle: Option<ByteString> = serde_json::from_value(client["caBundle"].clone()).ok();
    bundle.map(|ByteString(pem)| contents::bundle(&pem).0).unwrap_or_default()
}

/// Whether API servers call a Service, and not a URL.
fn is_service(client: &Value) -> bool {
    client["service"].is_object()
}
