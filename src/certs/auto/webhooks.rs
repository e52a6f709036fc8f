//! The webhook configurations, as far as they say whom to trust.
//!
//! Only `caBundle` is written, as a JSON patch: of the entries of `webhooks` nothing becomes ours, so that the chart can
//! be applied again without a conflict, and take out an entry.

use json_patch::Patch as JsonPatch;
use k8s_openapi::ByteString;
use k8s_openapi::api::admissionregistration::v1::{MutatingWebhookConfiguration, ValidatingWebhookConfiguration};
use kube::api::{ApiResource, DynamicObject, Patch, PatchParams};
use kube::{Api, Client, ResourceExt as _};
use serde_json::{Value, json};

use super::authority::Authority;
use super::contents;

/// The configurations of one name.
pub(super) struct Webhooks {
    apis: [(&'static str, Api<DynamicObject>); 2],
    name: String,
}

/// A configuration as it was read.
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

    /// Those that are there.
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
    /// The `caBundle` of each webhook, in base64.
    fn bundles(&self) -> impl Iterator<Item = Option<&str>> {
        let webhooks = self.object.data["webhooks"].as_array().map(Vec::as_slice).unwrap_or_default();
        webhooks.iter().map(|webhook| webhook["clientConfig"]["caBundle"].as_str())
    }

    /// Whom each webhook trusts.
    pub(super) fn authorities(&self) -> Vec<Vec<Authority>> {
        self.bundles()
            .map(|bundle| {
                let bundle: Option<ByteString> = bundle.and_then(|base64| serde_json::from_value(base64.into()).ok());
                bundle.map(|ByteString(pem)| contents::bundle(&pem).0).unwrap_or_default()
            })
            .collect()
    }

    /// Lets each webhook trust `bundle`, unless somebody has written the configuration since it was read; false when
    /// all did before.
    pub(super) async fn publish(&self, bundle: &[u8]) -> kube::Result<bool> {
        let base64 = json!(ByteString(bundle.to_vec()));
        let mut operations = vec![json!({
            "op": "test", "path": "/metadata/resourceVersion", "value": self.object.resource_version()
        })];
        for (index, published) in self.bundles().enumerate() {
            if published != base64.as_str() {
                let path = format!("/webhooks/{index}/clientConfig/caBundle");
                operations.push(json!({"op": "add", "path": path, "value": base64}));
            }
        }
        if operations.len() == 1 {
            return Ok(false);
        }
        let patch: JsonPatch =
            serde_json::from_value(Value::Array(operations)).expect("tests and additions are a JSON patch");
        let params = PatchParams { field_manager: Some(super::MANAGER.to_owned()), ..PatchParams::default() };
        self.api.patch(&self.object.name_any(), &params, &Patch::<DynamicObject>::Json(patch)).await?;
        Ok(true)
    }
}
