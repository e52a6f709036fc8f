//! Which certificates there are to be, and where they go.

use std::time::Duration;

use anyhow::Context as _;
use rustls::pki_types::ServerName;

/// The field manager of what is written, in `metadata.managedFields`.
pub(super) const MANAGER: &str = "pillion";
const MAX_CA_DURATION: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

/// Which certificates there are to be.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    /// Where the Secret is.
    pub(crate) namespace: String,
    /// The Secret's name.
    pub(crate) secret: String,
    /// The name of the mutating and of the validating configuration whose webhooks shall trust us.
    pub(crate) webhook_configuration: String,
    /// The DNS names and addresses by which API servers reach us.
    pub(crate) names: Vec<String>,
    /// How long a serving certificate is valid.
    pub(crate) duration: Duration,
    /// How long before its end it is renewed.
    pub(crate) renew_before: Duration,
    /// How long an authority is valid.
    pub(crate) ca_duration: Duration,
    /// How long every webhook must have trusted an authority before a certificate of it is served.
    pub(crate) propagation: Duration,
}

impl Config {
    /// Whether the names are names, and the times fit together.
    pub(super) fn validate(&self) -> anyhow::Result<()> {
        let Config { names, duration, renew_before, ca_duration, propagation, .. } = self;
        let ordered = propagation < renew_before && renew_before < duration && *duration <= *ca_duration / 2;
        anyhow::ensure!(
            ordered && *ca_duration <= MAX_CA_DURATION,
            "the times do not fit together: --certs-propagation ({propagation:?}) must be less than --certs-renew-before \
             ({renew_before:?}), that less than --certs-duration ({duration:?}), that at most half of --certs-ca-duration \
             ({ca_duration:?}), and that at most 100 years"
        );
        anyhow::ensure!(
            !names.is_empty(),
            "--certs-name is missing: give the names by which API servers reach the webhook"
        );
        for name in names {
            ServerName::try_from(name.as_str())
                .with_context(|| format!("--certs-name {name:?} is neither a DNS name nor an IP address"))?;
        }
        Ok(())
    }
}
