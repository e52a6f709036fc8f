//! What the Secret should hold, given what it holds: a pure function, so that tests can try every history.

use std::cmp::Reverse;
use std::fmt;

use k8s_openapi::jiff::Timestamp;

use super::authority::{Authority, Leaf, MakeError, Signer, later};
use super::config::Config;
use super::contents::{Credentials, SecretParts, SecretProblem};

/// More authorities than any rotation needs.
const MAX_AUTHORITIES: usize = 8;

/// What the plan is made from.
pub(super) struct PlanInputs<'a> {
    pub(super) now: Timestamp,
    /// What the Secret holds; `None` when there is none.
    pub(super) parts: Option<&'a SecretParts>,
    /// What it held when it was last complete.
    pub(super) last_good: Option<&'a Credentials>,
    /// The authority of the certificate that this replica serves.
    pub(super) served: Option<&'a Authority>,
    /// The authorities that each webhook trusts.
    pub(super) published: &'a [Vec<Authority>],
    /// Whether every API server has known an authority for long enough.
    pub(super) is_known: &'a dyn Fn(&Authority) -> bool,
}

/// What the Secret should hold. What is `None` is to be made.
pub(super) struct Plan {
    authorities: Vec<Authority>,
    signer: Option<Signer>,
    leaf: Option<Leaf>,
    /// How that differs from what the Secret holds. Empty when there is nothing to do.
    pub(super) changes: Vec<SecretChange>,
}

/// A difference between what the Secret holds and what it should hold.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum SecretChange {
    Created,
    Repaired(SecretProblem),
    NewAuthority(Why),
    AuthorityRemoved,
    NewCertificate(Why),
}

/// Why something new is to be made.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Why {
    Missing,
    EndsSoon,
    OtherNames,
    NewAuthorityIsKnown,
}

impl fmt::Display for SecretChange {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SecretChange::Created => formatter.write_str("the Secret was created"),
            SecretChange::Repaired(problem) => write!(formatter, "repaired: {problem}"),
            SecretChange::NewAuthority(why) => write!(formatter, "new authority, because {why}"),
            SecretChange::AuthorityRemoved => {
                formatter.write_str("an authority that has expired, or is one too many, was removed")
            }
            SecretChange::NewCertificate(why) => write!(formatter, "new serving certificate, because {why}"),
        }
    }
}

impl fmt::Display for Why {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Why::Missing => "there was none that could be used",
            Why::EndsSoon => "the one before ends soon",
            Why::OtherNames => "the one before was not for all names",
            Why::NewAuthorityIsKnown => "the new authority has been published for long enough",
        })
    }
}

/// Compares what the Secret holds with what it should hold.
///
/// A new authority is published while the certificate of the one before is still served; only when API servers have
/// known it for long enough, it signs. An old authority is trusted until it expires, and no certificate that it signed
/// expires later. The key of an authority is removed as soon as there is a newer one.
pub(super) fn plan(inputs: &PlanInputs<'_>, config: &Config) -> Plan {
    let &PlanInputs { now, last_good, served, published, is_known, .. } = inputs;
    let nothing = SecretParts::default();
    let mut changes: Vec<SecretChange> = match (inputs.parts, last_good) {
        (Some(parts), _) => parts.problems.iter().cloned().map(SecretChange::Repaired).collect(),
        (None, Some(_)) => vec![SecretChange::Repaired(SecretProblem::Deleted)],
        (None, None) => vec![SecretChange::Created],
    };
    let parts = inputs.parts.unwrap_or(&nothing);
    let is_damaged = !changes.is_empty();

    // What may have been trusted is kept: other replicas may serve certificates that this one does not know.
    let mut authorities = parts.authorities.clone();
    let mut admit = |authority: &Authority| {
        let is_new = !authorities.contains(authority);
        if is_new {
            authorities.push(authority.clone());
        }
        is_new
    };
    if is_damaged {
        for authority in last_good.iter().flat_map(|last_good| &last_good.authorities).chain(published.iter().flatten())
        {
            admit(authority);
        }
    }
    if let Some(served) = served.filter(|served| now < served.not_after)
        && admit(served)
        && !is_damaged
    {
        changes.push(SecretChange::Repaired(SecretProblem::ServedAuthorityMissing));
    }
    authorities.retain(|authority| now < authority.not_after);

    let signer_found = parts.signing_key.as_ref().and_then(|key| {
        let authority = authorities.iter().find(|authority| authority.has(key))?.clone();
        Some(Signer { authority, key: key.clone() })
    });
    let mut signer = signer_found
        .or_else(|| last_good.filter(|_| is_damaged).map(|last_good| last_good.signer.clone()))
        .filter(|signer| signer.authority.is_valid_at(now));
    let leaf_found = parts.leaf.as_ref().filter(|leaf| authorities.iter().any(|authority| authority.signed(leaf)));
    let last_good_leaf =
        last_good.map(|last_good| &last_good.leaf).filter(|leaf| is_damaged && leaf.check_validity(now).is_ok());
    let mut leaf = leaf_found.or(last_good_leaf).cloned();
    let issuer = leaf.as_ref().and_then(|leaf| authorities.iter().find(|authority| authority.signed(leaf))).cloned();

    // When a new authority may sign, after `propagation`, a certificate of this one would be cut short by its end.
    let authority_due = later(later(now, config.duration), config.propagation);
    if let Some(why) = match &signer {
        None => Some(Why::Missing),
        Some(signer) if signer.authority.not_after < authority_due => Some(Why::EndsSoon),
        Some(_) => None,
    } {
        signer = None;
        changes.push(SecretChange::NewAuthority(why));
    }

    let certificate_due = later(now, config.renew_before);
    if let Some(why) = match (&leaf, &signer) {
        (None, _) => Some(Why::Missing),
        (Some(_), None) => None,
        (Some(leaf), Some(signer)) if issuer.as_ref() == Some(&signer.authority) => {
            let would_expire_later = leaf.not_after() < signer.end(now, config.duration);
            if leaf.not_after() < certificate_due && would_expire_later {
                Some(Why::EndsSoon)
            } else if config.names.iter().any(|name| !leaf.is_for(name)) {
                Some(Why::OtherNames)
            } else {
                None
            }
        }
        (Some(_), Some(signer)) => is_known(&signer.authority).then_some(Why::NewAuthorityIsKnown),
    } {
        leaf = None;
        changes.push(SecretChange::NewCertificate(why));
    }

    let is_needed = |authority: &Authority| {
        let is_signer = signer.as_ref().is_some_and(|signer| signer.authority == *authority);
        is_signer || issuer.as_ref() == Some(authority) || served == Some(authority)
    };
    authorities.sort_by_key(|authority| Reverse((is_needed(authority), authority.not_before)));
    authorities.truncate(MAX_AUTHORITIES);
    if !parts.authorities.iter().all(|authority| authorities.contains(authority)) {
        changes.push(SecretChange::AuthorityRemoved);
    }
    Plan { authorities, signer, leaf, changes }
}

impl Plan {
    /// Makes what is missing.
    pub(super) fn carry_out(self, now: Timestamp, config: &Config) -> Result<Credentials, MakeError> {
        let Plan { mut authorities, signer, leaf, .. } = self;
        let signer = match signer {
            Some(signer) => signer,
            None => {
                let signer = Signer::make(now, config.ca_duration)?;
                authorities.insert(0, signer.authority.clone());
                signer
            }
        };
        let leaf = match leaf {
            Some(leaf) => leaf,
            None => signer.issue(&config.names, now, config.duration)?,
        };
        Ok(Credentials { authorities, signer, leaf })
    }
}
