//! The certificate that the webhook serves: one slot, read at each handshake, replaced while connections live on.

pub(crate) mod auto;
pub(crate) mod dev;
pub(crate) mod files;

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use rustls::crypto::ring;
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use x509_parser::prelude::{ASN1Time, Validity, parse_x509_certificate};

use self::files::FilesError;

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

/// A certificate chain with its key, known to fit together.
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

    /// Whether a client with our clock would take it.
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

/// What is wrong with a PEM text, without quoting it: the error's own words hold a line, which may be one of a key.
fn describe(error: &pem::Error) -> &'static str {
    match error {
        pem::Error::MissingSectionEnd { .. } => "a section of the PEM text has no end",
        pem::Error::IllegalSectionStart { .. } => "a line that begins a section of the PEM text is malformed",
        pem::Error::NoItemsFound => "the PEM text holds nothing of the kind",
        _ => "a section of the PEM text cannot be decoded",
    }
}

/// The pair in force, once there is one.
#[derive(Debug, Default)]
pub(crate) struct Serving {
    pair: ArcSwapOption<Pair>,
    refused: ArcSwapOption<FilesError>,
}

impl Serving {
    /// Serves nothing, so that no handshake succeeds, until there is a pair.
    pub(crate) fn empty() -> Serving {
        Serving::default()
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

    /// Why what is in the files now is not what is served, if so.
    pub(crate) fn refused(&self) -> Option<Arc<FilesError>> {
        self.refused.load_full()
    }
}

impl ResolvesServerCert for Serving {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.pair.load().as_ref().map(|pair| Arc::clone(&pair.certified))
    }
}
