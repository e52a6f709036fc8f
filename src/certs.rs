//! The certificate that the webhook serves: one slot, read at each handshake, replaced while connections live on.

pub(crate) mod auto;
pub(crate) mod dev;
pub(crate) mod files;

use std::sync::Arc;

use arc_swap::{ArcSwap, ArcSwapOption};
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use x509_parser::prelude::{ASN1Time, Validity, parse_x509_certificate};

use self::files::FilesError;

/// Why a certificate and a key cannot be served. None of the messages holds a part of a key.
#[derive(Debug, Eq, PartialEq, thiserror::Error)]
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
            .map_err(|error| PairError::Certificate(error.to_string()))?;
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|error| match error {
            rustls::pki_types::pem::Error::NoItemsFound => PairError::NoKey,
            error => PairError::Key(error.to_string()),
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
        let now = ASN1Time::now();
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

/// The pair in force.
#[derive(Debug)]
pub(crate) struct Serving {
    pair: ArcSwap<Pair>,
    refused: ArcSwapOption<FilesError>,
}

impl Serving {
    /// Serves `pair` until it is replaced.
    pub(crate) fn new(pair: Pair) -> Serving {
        Serving { pair: ArcSwap::from_pointee(pair), refused: ArcSwapOption::empty() }
    }

    /// The pair that the next handshake will use.
    pub(crate) fn pair(&self) -> Arc<Pair> {
        self.pair.load_full()
    }

    /// Why what is in the files now is not what is served, if so.
    pub(crate) fn refused(&self) -> Option<Arc<FilesError>> {
        self.refused.load_full()
    }
}

impl ResolvesServerCert for Serving {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.pair.load().certified))
    }
}
