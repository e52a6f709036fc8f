//! What one replica remembers: the Secret, what it serves, and which authorities the webhooks trust.

use std::collections::HashMap;
use std::mem;

use k8s_openapi::jiff::Timestamp;
use rustls::pki_types::CertificateDer;
use tokio::time::Instant;

use super::authority::{Authority, Leaf, MakeError};
use super::config::Config;
use super::contents::{Credentials, SecretParts};
use super::plan::{PlanInputs, SecretChange, plan};

#[derive(Default)]
pub(super) struct Memory {
    /// What the Secret held when it was last complete.
    last_good: Option<Credentials>,
    /// What is served, and the authority that signed it.
    served: Option<(Leaf, Authority)>,
    /// Since when every webhook has trusted an authority.
    trusted_since: HashMap<CertificateDer<'static>, Instant>,
}

/// The time of a round.
#[derive(Clone, Copy)]
pub(super) struct At {
    /// By the clock of the API server, because API servers check the certificates.
    pub(super) wall: Timestamp,
    /// By the clock of this replica, to measure durations.
    pub(super) monotonic: Instant,
}

impl Memory {
    /// Notes which of `authorities` every one of `webhooks` trusts, and since when.
    pub(super) fn note_trusted(&mut self, at: At, authorities: &[Authority], webhooks: &[Vec<Authority>]) {
        let before = mem::take(&mut self.trusted_since);
        self.trusted_since = authorities
            .iter()
            .filter(|authority| webhooks.iter().all(|trusted| trusted.contains(authority)))
            .map(|authority| (authority.der.clone(), before.get(&authority.der).copied().unwrap_or(at.monotonic)))
            .collect();
    }

    /// Whether every webhook has trusted an authority for long enough.
    pub(super) fn is_known(&self, at: At, authority: &Authority, config: &Config) -> bool {
        let since = self.trusted_since.get(&authority.der);
        since.is_some_and(|since| at.monotonic.duration_since(*since) >= config.propagation)
    }

    /// What the Secret should hold, and how that differs from what it holds.
    pub(super) fn plan(
        &self,
        at: At,
        parts: Option<&SecretParts>,
        webhooks: &[Vec<Authority>],
        config: &Config,
    ) -> Result<(Credentials, Vec<SecretChange>), MakeError> {
        let inputs = PlanInputs {
            now: at.wall,
            parts,
            last_good: self.last_good.as_ref(),
            served: self.served.as_ref().map(|(_, issuer)| issuer),
            published: webhooks,
            is_known: &|authority| self.is_known(at, authority, config),
        };
        let mut plan = plan(&inputs, config);
        let changes = mem::take(&mut plan.changes);
        Ok((plan.carry_out(at.wall, config)?, changes))
    }

    /// The certificate that is served, once there is one.
    pub(super) fn served(&self) -> Option<&Leaf> {
        self.served.as_ref().map(|(leaf, _)| leaf)
    }

    /// Remembers what the Secret holds. Returns the certificate to serve from now on, if that changes.
    pub(super) fn adopt(&mut self, at: At, credentials: &Credentials, config: &Config) -> Option<&(Leaf, Authority)> {
        self.last_good = Some(credentials.clone());
        self.serve(at, &credentials.leaf, &credentials.authorities, config)
    }

    /// Remembers what the Secret holds, if it is complete. Returns the certificate to serve from now on, if that changes.
    pub(super) fn adopt_parts(&mut self, at: At, parts: &SecretParts, config: &Config) -> Option<&(Leaf, Authority)> {
        if let Some(credentials) = parts.complete() {
            self.last_good = Some(credentials);
        }
        self.serve(at, parts.leaf.as_ref()?, &parts.authorities, config)
    }

    fn serve(&mut self, at: At, leaf: &Leaf, authorities: &[Authority], config: &Config) -> Option<&(Leaf, Authority)> {
        let issuer = authorities.iter().find(|authority| authority.signed(leaf))?;
        if let Some((served, by)) = &self.served {
            let is_good = served.check_validity(at.wall).is_ok() && authorities.contains(by);
            let is_better = !is_good || by == issuer || self.is_known(at, issuer, config);
            if served.certificate == leaf.certificate || !is_better {
                return None;
            }
        }
        Some(self.served.insert((leaf.clone(), issuer.clone())))
    }
}
