//! What one replica remembers: of the Secret, of what it serves, and of whom the webhooks trust.

use std::collections::HashMap;
use std::mem;

use k8s_openapi::jiff::Timestamp;
use rustls::pki_types::CertificateDer;
use tokio::time::Instant;

use super::authority::{Authority, Leaf, MakeError};
use super::config::Config;
use super::contents::{Found, Kept};
use super::plan::{Change, Seen, plan};

#[derive(Default)]
pub(super) struct Memory {
    /// What the Secret held when it was last well.
    kept: Option<Kept>,
    /// What is served, and who signed it.
    served: Option<(Leaf, Authority)>,
    /// Since when every webhook has been seen to trust an authority.
    trusted_since: HashMap<CertificateDer<'static>, Instant>,
}

/// The time of a look.
#[derive(Clone, Copy)]
pub(super) struct At {
    /// As the API server has it, because API servers are the ones who check certificates.
    pub(super) wall: Timestamp,
    /// As this replica has it, for counting.
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

    /// What the Secret should hold, and in what that differs from what it holds.
    pub(super) fn plan(
        &self,
        at: At,
        found: Option<&Found>,
        webhooks: &[Vec<Authority>],
        config: &Config,
    ) -> Result<(Kept, Vec<Change>), MakeError> {
        let seen = Seen {
            now: at.wall,
            found,
            kept: self.kept.as_ref(),
            served: self.served.as_ref().map(|(_, issuer)| issuer),
            published: webhooks,
            is_known: &|authority| self.is_known(at, authority, config),
        };
        let mut plan = plan(&seen, config);
        let changes = mem::take(&mut plan.changes);
        Ok((plan.carry_out(at.wall, config)?, changes))
    }

    /// The certificate that is served, once there is one.
    pub(super) fn served(&self) -> Option<&Leaf> {
        self.served.as_ref().map(|(leaf, _)| leaf)
    }

    /// Remembers what the Secret holds. Gives the certificate to serve from now on, if that changes.
    pub(super) fn keep(&mut self, at: At, kept: &Kept, config: &Config) -> Option<&(Leaf, Authority)> {
        self.kept = Some(kept.clone());
        self.serve(at, &kept.leaf, &kept.authorities, config)
    }

    /// Remembers what the Secret holds, if that is well. Gives the certificate to serve from now on, if that changes.
    pub(super) fn heed(&mut self, at: At, found: &Found, config: &Config) -> Option<&(Leaf, Authority)> {
        if let Some(kept) = found.whole() {
            self.kept = Some(kept);
        }
        self.serve(at, found.leaf.as_ref()?, &found.authorities, config)
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
