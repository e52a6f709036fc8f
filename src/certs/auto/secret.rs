//! The Secret in the cluster, and the API server's clock.

use anyhow::Context as _;
use k8s_openapi::api::core::v1;
use k8s_openapi::jiff::Timestamp;
use k8s_openapi::jiff::fmt::rfc2822::DateTimeParser;
use kube::api::{GetParams, ObjectMeta, PostParams, Request};
use kube::client::Body;
use kube::core::Status;
use kube::{Api, Client, Resource as _};

use super::config::MANAGER;
use super::contents::Credentials;

pub(super) struct Secret {
    client: Client,
    api: Api<v1::Secret>,
    name: String,
}

impl Secret {
    pub(super) fn new(client: Client, namespace: &str, name: &str) -> Secret {
        Secret { api: Api::namespaced(client.clone(), namespace), client, name: name.to_owned() }
    }

    /// Reads the Secret; also gives the time by the clock of the API server.
    ///
    /// Not through [`Api`], which does not give the time, and would log a Secret that it cannot parse.
    pub(super) async fn read(&self) -> anyhow::Result<(Timestamp, Option<v1::Secret>)> {
        let request = Request::new(self.api.resource_url()).get(&self.name, &GetParams::default())?;
        let response = self.client.send(request.map(Body::from)).await?;
        let now = response.headers().get("date").and_then(|date| clock(date.as_bytes()));
        let now = now.unwrap_or_else(Timestamp::now);
        let status = response.status();
        let body = response.into_body().collect_bytes().await?;
        if status.is_success() {
            let secret = serde_json::from_slice(&body).ok().context("the API server's answer is not a Secret")?;
            return Ok((now, Some(secret)));
        }
        if status.as_u16() == 404 {
            return Ok((now, None));
        }
        let message = serde_json::from_slice::<Status>(&body).map(|status| status.message).unwrap_or_default();
        anyhow::bail!("the API server answered {status} {message}");
    }

    /// Writes `credentials` into the Secret that was read. Fails if somebody has written it since.
    pub(super) async fn write(&self, read: Option<v1::Secret>, credentials: &Credentials) -> kube::Result<()> {
        let mut secret = read.unwrap_or_else(|| v1::Secret {
            metadata: ObjectMeta { name: Some(self.name.clone()), ..ObjectMeta::default() },
            type_: Some("kubernetes.io/tls".to_owned()),
            ..v1::Secret::default()
        });
        credentials.write(secret.data.get_or_insert_default());
        let params = PostParams { field_manager: Some(MANAGER.to_owned()), ..PostParams::default() };
        if secret.meta().resource_version.is_some() {
            self.api.replace(&self.name, &params, &secret).await?;
        } else {
            self.api.create(&params, &secret).await?;
        }
        Ok(())
    }
}

/// The time in a `Date` header.
fn clock(date: &[u8]) -> Option<Timestamp> {
    DateTimeParser::new().parse_timestamp(date).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_of_the_api_server_is_in_the_head_of_its_answers() {
        let now = clock(b"Sat, 21 Nov 2026 17:16:28 GMT").unwrap();
        assert_eq!(now.to_string(), "2026-11-21T17:16:28Z");
        assert_eq!(clock(b"yesterday"), None);
    }
}
