//! The certificate that the webhook serves: read at each handshake, and replaced without closing connections.

pub(crate) mod auto;
pub(crate) mod dev;
pub(crate) mod files;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use rustls::crypto::ring;
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio::time::Instant;
use x509_parser::prelude::{ASN1Time, Validity, parse_x509_certificate};

/// How long a replica is kept from becoming ready while the webhooks do not trust its certificate.
const TRUST_PATIENCE: Duration = Duration::from_secs(60);

/// Why a certificate and a key cannot be served. None of the messages holds a part of a key.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub(crate) enum PairError {
    #[error("the certificate file holds no certificate in PEM form")]
    NoCertificate,
    #[error("the certificate cannot be parsed: {0}")]
    Certificate(String),
    #[error("the key file holds no private key in PEM form")]
    NoKey,
    #[error("the key cannot be used: {0}")]
    Key(String),
    #[error("the key does not belong to the certificate; give the key that the certificate was made for")]
    Mismatch,
    #[error("the certificate expired on {0}; renew it")]
    Expired(ASN1Time),
    #[error("the certificate is not valid before {0}; check the clocks of this machine and of the issuer")]
    NotYetValid(ASN1Time),
}

/// A certificate chain with its key; the two are known to belong together.
#[derive(Debug)]
pub(crate) struct Pair {
    certified: Arc<CertifiedKey>,
    validity: Validity,
}

impl Pair {
    /// Reads a chain, leaf first, and its key, both in PEM.
    pub(crate) fn from_pem(certificate: &[u8], key: &[u8]) -> Result<Pair, PairError> {
        let chain = CertificateDer::pem_slice_iter(certificate)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| PairError::Certificate(describe(&error).to_owned()))?;
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|error| match error {
            pem::Error::NoItemsFound => PairError::NoKey,
            error => PairError::Key(describe(&error).to_owned()),
        })?;
        Pair::new(chain, key)
    }

    fn new(chain: Vec<CertificateDer<'static>>, key: PrivateKeyDer<'static>) -> Result<Pair, PairError> {
        let leaf = chain.first().ok_or(PairError::NoCertificate)?;
        let (_, parsed) = parse_x509_certificate(leaf).map_err(|error| PairError::Certificate(error.to_string()))?;
        let validity = parsed.validity().clone();
        let certified = CertifiedKey::from_der(chain, key, &ring::default_provider()).map_err(|error| match error {
            rustls::Error::InconsistentKeys(_) => PairError::Mismatch,
            error => PairError::Key(error.to_string()),
        })?;
        Ok(Pair { certified: Arc::new(certified), validity })
    }

    /// The end of validity, in seconds since 1970.
    pub(crate) fn not_after(&self) -> i64 {
        self.validity.not_after.timestamp()
    }

    /// Whether it is valid by our clock.
    pub(crate) fn check_validity(&self) -> Result<(), PairError> {
        self.check_validity_at(ASN1Time::now())
    }

    fn check_validity_at(&self, now: ASN1Time) -> Result<(), PairError> {
        let Validity { not_before, not_after } = self.validity;
        if now > not_after {
            Err(PairError::Expired(not_after))
        } else if now < not_before {
            Err(PairError::NotYetValid(not_before))
        } else {
            Ok(())
        }
    }
}

/// What is wrong with a PEM text, without quoting it: the text of the error holds a line, which may be one of a key.
fn describe(error: &pem::Error) -> &'static str {
    match error {
        pem::Error::MissingSectionEnd { .. } => "a section of the PEM text has no end",
        pem::Error::IllegalSectionStart { .. } => "a line that begins a section of the PEM text is malformed",
        pem::Error::NoItemsFound => "the PEM text holds nothing of the kind",
        _ => "a section of the PEM text cannot be decoded",
    }
}

/// The pair that is served, once there is one.
#[derive(Debug, Default)]
pub(crate) struct Serving {
    pair: ArcSwapOption<Pair>,
    refused: ArcSwapOption<String>,
    trust: Option<Trust>,
}

impl Serving {
    /// No handshake succeeds until there is a pair. [`Serving::trust`] has to be kept current.
    pub(crate) fn empty() -> Serving {
        Serving { trust: Some(Trust::begin()), ..Serving::default() }
    }

    /// Serves `pair` until it is replaced.
    pub(crate) fn new(pair: Pair) -> Serving {
        Serving { pair: ArcSwapOption::from_pointee(pair), ..Serving::default() }
    }

    /// Serves `pair` from the next handshake on.
    pub(crate) fn serve(&self, pair: Pair) {
        self.pair.store(Some(Arc::new(pair)));
    }

    /// The pair that the next handshake will use.
    pub(crate) fn pair(&self) -> Option<Arc<Pair>> {
        self.pair.load_full()
    }

    /// Why the pair in the files is not the one that is served, if so.
    pub(crate) fn refused(&self) -> Option<Arc<String>> {
        self.refused.load_full()
    }

    /// Whether the webhooks trust the pair, where we write their `caBundle`.
    pub(crate) fn trust(&self) -> Option<&Trust> {
        self.trust.as_ref()
    }
}

/// Whether the webhooks trust the certificate that is served. A replica becomes ready when they do, or after a minute. Once
/// it has been ready, distrust does not make it unready: no replica would be left to answer.
#[derive(Debug)]
pub(crate) struct Trust {
    began: Instant,
    why_not: ArcSwapOption<String>,
    was_ready: AtomicBool,
}

impl Trust {
    fn begin() -> Trust {
        Trust {
            began: Instant::now(),
            why_not: ArcSwapOption::from_pointee("the webhook configurations have not been read yet".to_owned()),
            was_ready: AtomicBool::new(false),
        }
    }

    /// Notes why the webhooks do not trust the certificate, or that they do.
    pub(crate) fn note(&self, why_not: Option<String>) {
        self.why_not.store(why_not.map(Arc::new));
    }

    /// Why the webhooks do not trust the certificate, if so.
    pub(crate) fn why_not(&self) -> Option<Arc<String>> {
        self.why_not.load_full()
    }

    /// Fails as long as the replica should not be ready.
    pub(crate) fn check_readiness(&self) -> Result<(), String> {
        match self.why_not() {
            Some(why) if !self.was_ready.load(Ordering::Relaxed) && self.began.elapsed() < TRUST_PATIENCE => {
                Err(why.to_string())
            }
            _ => Ok(()),
        }
    }

    /// Notes that the replica is ready.
    pub(crate) fn note_ready(&self) {
        if !self.was_ready.swap(true, Ordering::Relaxed)
            && let Some(why) = self.why_not()
        {
            tracing::warn!(%why, "ready, but calls will fail: the webhooks do not trust the certificate");
        }
    }
}

impl ResolvesServerCert for Serving {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.pair.load().as_ref().map(|pair| Arc::clone(&pair.certified))
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn only_the_first_readiness_waits_for_trust_and_at_most_for_a_minute() {
        let trust = Trust::begin();
        assert_eq!(trust.check_readiness(), Err("the webhook configurations have not been read yet".into()));
        trust.note(Some("no caBundle".into()));
        advance(TRUST_PATIENCE - Duration::from_millis(1)).await;
        assert_eq!(trust.check_readiness(), Err("no caBundle".into()));
        advance(Duration::from_millis(1)).await;
        assert_eq!(trust.check_readiness(), Ok(()));
        assert_eq!(trust.why_not().as_deref().map(String::as_str), Some("no caBundle"));

        let trust = Trust::begin();
        trust.note(None);
        assert_eq!((trust.check_readiness(), trust.why_not()), (Ok(()), None));
        trust.note(Some("no caBundle".into()));
        assert_eq!(trust.check_readiness(), Err("no caBundle".into()));
        trust.note(None);
        trust.note_ready();
        trust.note(Some("no caBundle".into()));
        assert_eq!(trust.check_readiness(), Ok(()));
    }
}
