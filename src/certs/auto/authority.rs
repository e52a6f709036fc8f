//! An authority, its key, and the certificates that it signs.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use pem::{EncodeConfig, LineEnding, Pem};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    PublicKeyData as _,
};
use rustls::RootCertStore;
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use x509_parser::prelude::{ASN1Time, X509Error, parse_x509_certificate};

use crate::certs::{Pair, PairError};

/// The clocks of API servers may differ by so much.
const SKEW: Duration = Duration::from_secs(10 * 60);
/// In DER. One of RSA with 4096 bits takes some 1,500 bytes.
const MAX_BYTES: usize = 8 * 1024;

/// The certificate of an authority.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Authority {
    pub(super) der: CertificateDer<'static>,
    pub(super) not_before: Timestamp,
    pub(super) not_after: Timestamp,
    /// The SubjectPublicKeyInfo, in DER.
    public_key: Vec<u8>,
}

/// An authority with its key.
#[derive(Clone)]
pub(super) struct Signer {
    pub(super) authority: Authority,
    pub(super) key: Arc<KeyPair>,
}

/// A serving certificate with its key, known to fit together, both also as they were written.
#[derive(Clone)]
pub(super) struct Leaf {
    pub(super) pair: Arc<Pair>,
    pub(super) certificate: Vec<u8>,
    pub(super) key: Vec<u8>,
}

/// Why a certificate or a key could not be made.
#[derive(Debug, thiserror::Error)]
pub(super) enum MakeError {
    #[error("cannot make a certificate: {0}")]
    Certificate(#[from] rcgen::Error),
    #[error("a certificate that was just made cannot be used: {0}")]
    Unusable(String),
}

impl Authority {
    /// Reads a certificate that may sign others. The error says why it may not.
    pub(super) fn parse(der: CertificateDer<'static>) -> Result<Authority, String> {
        if der.len() > MAX_BYTES {
            return Err(format!("a certificate of more than {MAX_BYTES} bytes"));
        }
        let (_, certificate) = parse_x509_certificate(&der).map_err(|error| error.to_string())?;
        if !certificate.is_ca() {
            return Err(format!("{} is not an authority", certificate.subject()));
        }
        // As clients will do with it.
        RootCertStore::empty().add(der.clone()).map_err(|error| error.to_string())?;
        let validity = certificate.validity();
        Ok(Authority {
            not_before: timestamp(validity.not_before)?,
            not_after: timestamp(validity.not_after)?,
            public_key: certificate.public_key().raw.to_vec(),
            der,
        })
    }

    pub(super) fn pem(&self) -> String {
        let lines = EncodeConfig::new().set_line_ending(LineEnding::LF);
        pem::encode_config(&Pem::new("CERTIFICATE", &*self.der), lines)
    }

    pub(super) fn is_valid_at(&self, now: Timestamp) -> bool {
        self.not_before <= now && now < self.not_after
    }

    pub(super) fn has(&self, key: &KeyPair) -> bool {
        self.public_key == key.subject_public_key_info()
    }

    /// Whether a client that trusts only this authority accepts the certificate, while that is valid.
    pub(super) fn signed(&self, leaf: &Leaf) -> bool {
        let mut roots = RootCertStore::empty();
        let certificate = &leaf.pair.certified.cert[0];
        let (Ok(()), Ok(certificate)) = (roots.add(self.der.clone()), ParsedCertificate::try_from(certificate)) else {
            return false;
        };
        let at = u64::try_from(leaf.pair.validity.not_before.timestamp()).unwrap_or_default();
        let at = UnixTime::since_unix_epoch(Duration::from_secs(at));
        let algorithms = ring::default_provider().signature_verification_algorithms.all;
        verify_server_cert_signed_by_trust_anchor(&certificate, &roots, &[], at, algorithms).is_ok()
    }
}

impl Signer {
    /// Makes a new authority.
    pub(super) fn make(now: Timestamp, duration: Duration) -> Result<Signer, MakeError> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::default();
        set_validity(&mut params, now, later(now, duration))?;
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        // Each has its own name, by which clients find the right one of several.
        let id: String = params.key_identifier(&key).iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        params.distinguished_name.push(DnType::CommonName, format!("pillion CA {id}"));
        let certificate = params.self_signed(&key)?;
        let authority = Authority::parse(certificate.der().clone()).map_err(MakeError::Unusable)?;
        Ok(Signer { authority, key: Arc::new(key) })
    }

    /// When a certificate that is issued now expires: not later than its authority.
    pub(super) fn end(&self, now: Timestamp, duration: Duration) -> Timestamp {
        later(now, duration).min(self.authority.not_after)
    }

    /// Issues a serving certificate.
    pub(super) fn issue(&self, names: &[String], now: Timestamp, duration: Duration) -> Result<Leaf, MakeError> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(names)?;
        set_validity(&mut params, now, self.end(now, duration))?;
        params.distinguished_name.push(DnType::CommonName, "pillion");
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let issuer = Issuer::from_ca_cert_der(&self.authority.der, &*self.key)?;
        let certificate = params.signed_by(&key, &issuer)?;
        Leaf::read(certificate.pem().into_bytes(), key.serialize_pem().into_bytes())
            .map_err(|error| MakeError::Unusable(error.to_string()))
    }
}

impl Leaf {
    /// Reads a certificate and its key, both in PEM.
    pub(super) fn read(certificate: Vec<u8>, key: Vec<u8>) -> Result<Leaf, PairError> {
        let pair = Arc::new(Pair::from_pem(&certificate, &key)?);
        Ok(Leaf { pair, certificate, key })
    }

    pub(super) fn not_after(&self) -> Timestamp {
        timestamp(self.pair.validity.not_after).unwrap_or(Timestamp::MIN)
    }

    pub(super) fn check_validity(&self, now: Timestamp) -> Result<(), PairError> {
        let now = ASN1Time::from_timestamp(now.as_second()).unwrap_or_else(|_| ASN1Time::now());
        self.pair.check_validity_at(now)
    }

    /// Whether it holds for a DNS name or an address.
    pub(super) fn is_for(&self, name: &str) -> bool {
        let certificate = ParsedCertificate::try_from(&self.pair.certified.cert[0]);
        let (Ok(certificate), Ok(name)) = (certificate, ServerName::try_from(name)) else { return false };
        verify_server_name(&certificate, &name).is_ok()
    }
}

/// A moment after another, or the last one there is.
pub(super) fn later(time: Timestamp, by: Duration) -> Timestamp {
    time.checked_add(by).unwrap_or(Timestamp::MAX)
}

fn set_validity(params: &mut CertificateParams, now: Timestamp, end: Timestamp) -> Result<(), MakeError> {
    let start = now.checked_sub(SKEW).unwrap_or(now);
    let date = |time: Timestamp| ASN1Time::from_timestamp(time.as_second()).map(|time| time.to_datetime());
    let unusable = |error: X509Error| MakeError::Unusable(error.to_string());
    params.not_before = date(start).map_err(unusable)?;
    params.not_after = date(end).map_err(unusable)?;
    Ok(())
}

fn timestamp(time: ASN1Time) -> Result<Timestamp, String> {
    Timestamp::from_second(time.timestamp()).map_err(|error| error.to_string())
}
