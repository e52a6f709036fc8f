//! What the Secret should hold, seen from what it holds: a pure function, so that every way there can be walked in a test.

use std::cmp::Reverse;
use std::fmt;

use k8s_openapi::jiff::Timestamp;

use super::authority::{Authority, Leaf, MakeError, Signer, later};
use super::config::Config;
use super::contents::{Found, Kept, Problem};

/// More authorities than any rotation needs.
const MAX_AUTHORITIES: usize = 8;

/// What the leader knows.
pub(super) struct Seen<'a> {
    pub(super) now: Timestamp,
    /// What the Secret holds; `None` when there is none.
    pub(super) found: Option<&'a Found>,
    /// What it held when it was last well.
    pub(super) kept: Option<&'a Kept>,
    /// The authority of the certificate that this replica serves.
    pub(super) served: Option<&'a Authority>,
    /// Whom each webhook trusts.
    pub(super) published: &'a [Vec<Authority>],
    /// Whether every API server has known an authority for long enough.
    pub(super) is_known: &'a dyn Fn(&Authority) -> bool,
}

/// What the Secret should hold. Of what is missing, something new is to be made.
pub(super) struct Plan {
    authorities: Vec<Authority>,
    signer: Option<Signer>,
    leaf: Option<Leaf>,
    /// In what it differs from what the Secret holds: when in nothing, there is nothing to do.
    pub(super) changes: Vec<Change>,
}

/// A difference between what the Secret holds and what it should hold.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Change {
    Created,
    Repaired(Problem),
    NewAuthority(Why),
    AuthorityLeft,
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

impl fmt::Display for Change {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Change::Created => formatter.write_str("the Secret was created"),
            Change::Repaired(problem) => write!(formatter, "repaired: {problem}"),
            Change::NewAuthority(why) => write!(formatter, "new authority, because {why}"),
            Change::AuthorityLeft => {
                formatter.write_str("an authority that has expired or is one too many was dropped")
            }
            Change::NewCertificate(why) => write!(formatter, "new serving certificate, because {why}"),
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

/// Compares what is with what should be.
///
/// A new authority is published while the certificate of the one before is still served; only when API servers have
/// known it for long enough, it signs. An old authority is trusted until it expires, and no certificate that it signed
/// lives longer. The key of an authority is dropped as soon as there is a newer one.
pub(super) fn plan(seen: &Seen<'_>, config: &Config) -> Plan {
    let &Seen { now, kept, served, published, is_known, .. } = seen;
    let nothing = Found::default();
    let mut changes: Vec<Change> = match (seen.found, kept) {
        (Some(found), _) => found.problems.iter().cloned().map(Change::Repaired).collect(),
        (None, Some(_)) => vec![Change::Repaired(Problem::Deleted)],
        (None, None) => vec![Change::Created],
    };
    let found = seen.found.unwrap_or(&nothing);
    let is_damaged = !changes.is_empty();

    // Whoever may have been trusted stays so: other replicas may serve what this one does not know of.
    let mut authorities = found.authorities.clone();
    let mut admit = |authority: &Authority| {
        let is_new = !authorities.contains(authority);
        if is_new {
            authorities.push(authority.clone());
        }
        is_new
    };
    if is_damaged {
        for authority in kept.iter().flat_map(|kept| &kept.authorities).chain(published.iter().flatten()) {
            admit(authority);
        }
    }
    if let Some(served) = served.filter(|served| now < served.not_after)
        && admit(served)
        && !is_damaged
    {
        changes.push(Change::Repaired(Problem::ServedAuthorityMissing));
    }
    authorities.retain(|authority| now < authority.not_after);

    let found_signer = found.signing_key.as_ref().and_then(|key| {
        let authority = authorities.iter().find(|authority| authority.has(key))?.clone();
        Some(Signer { authority, key: key.clone() })
    });
    let mut signer = found_signer
        .or_else(|| kept.filter(|_| is_damaged).map(|kept| kept.signer.clone()))
        .filter(|signer| signer.authority.is_valid_at(now));
    let found_leaf = found.leaf.as_ref().filter(|leaf| authorities.iter().any(|authority| authority.signed(leaf)));
    let kept_leaf = kept.map(|kept| &kept.leaf).filter(|leaf| is_damaged && leaf.check_validity(now).is_ok());
    let mut leaf = found_leaf.or(kept_leaf).cloned();
    let issuer = leaf.as_ref().and_then(|leaf| authorities.iter().find(|authority| authority.signed(leaf))).cloned();

    // A certificate of full length would not fit any more, and the wait comes on top.
    let authority_due = later(later(now, config.duration), config.propagation);
    if let Some(why) = match &signer {
        None => Some(Why::Missing),
        Some(signer) if signer.authority.not_after < authority_due => Some(Why::EndsSoon),
        Some(_) => None,
    } {
        signer = None;
        changes.push(Change::NewAuthority(why));
    }

    let certificate_due = later(now, config.renew_before);
    if let Some(why) = match (&leaf, &signer) {
        (None, _) => Some(Why::Missing),
        (Some(_), None) => None,
        (Some(leaf), Some(signer)) if issuer.as_ref() == Some(&signer.authority) => {
            let would_live_longer = leaf.not_after() < signer.end(now, config.duration);
            if leaf.not_after() < certificate_due && would_live_longer {
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
        changes.push(Change::NewCertificate(why));
    }

    let is_needed = |authority: &Authority| {
        let is_signer = signer.as_ref().is_some_and(|signer| signer.authority == *authority);
        is_signer || issuer.as_ref() == Some(authority) || served == Some(authority)
    };
    authorities.sort_by_key(|authority| Reverse((is_needed(authority), authority.not_before)));
    authorities.truncate(MAX_AUTHORITIES);
    if !found.authorities.iter().all(|authority| authorities.contains(authority)) {
        changes.push(Change::AuthorityLeft);
    }
    Plan { authorities, signer, leaf, changes }
}

impl Plan {
    /// Makes what is missing.
    pub(super) fn carry_out(self, now: Timestamp, config: &Config) -> Result<Kept, MakeError> {
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
        Ok(Kept { authorities, signer, leaf })
    }
}
