//! What the Secret holds: the parts that can be used, and what is wrong with the others.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::ByteString;
use k8s_openapi::jiff::Timestamp;
use rcgen::KeyPair;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

use super::authority::{Authority, Leaf, Signer};
use crate::certs::{PairError, describe};

const AUTHORITIES: &str = "ca.crt";
const SIGNING_KEY: &str = "ca.key";
const CERTIFICATE: &str = "tls.crt";
const KEY: &str = "tls.key";

/// The largest value that is read. Our own are some kilobytes.
const MAX_BYTES: usize = 128 * 1024;

/// The values of a Secret.
pub(super) type Data = BTreeMap<String, ByteString>;

/// What is wrong with the Secret. None of the messages holds a part of a key.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub(super) enum SecretProblem {
    #[error("the Secret was deleted")]
    Deleted,
    #[error("{0} is larger than {MAX_BYTES} bytes")]
    TooLarge(&'static str),
    #[error("{AUTHORITIES} holds no authority")]
    NoAuthority,
    #[error("{AUTHORITIES} holds something other than authorities: {0}")]
    NotAnAuthority(String),
    #[error("{SIGNING_KEY} holds no private key in PEM form, or one of a kind that cannot be used")]
    SigningKey,
    #[error("{SIGNING_KEY} belongs to none of the authorities in {AUTHORITIES}")]
    ForeignSigningKey,
    #[error("{CERTIFICATE}, {KEY}: {0}")]
    Pair(PairError),
    #[error("{CERTIFICATE} is signed by none of the authorities in {AUTHORITIES}")]
    ForeignCertificate,
    #[error("{AUTHORITIES} lacks the authority of the certificate that is served")]
    ServedAuthorityMissing,
}

/// The parts of the Secret that can be used.
#[derive(Default)]
pub(super) struct SecretParts {
    pub(super) authorities: Vec<Authority>,
    pub(super) signing_key: Option<Arc<KeyPair>>,
    /// Valid at present.
    pub(super) leaf: Option<Leaf>,
    pub(super) problems: Vec<SecretProblem>,
}

/// All that the Secret should hold: nothing is missing, and all of it fits together.
#[derive(Clone)]
pub(super) struct Credentials {
    /// All that clients are to trust; those of `signer` and `leaf` are among them.
    pub(super) authorities: Vec<Authority>,
    pub(super) signer: Signer,
    pub(super) leaf: Leaf,
}

impl SecretParts {
    pub(super) fn read(data: Option<&Data>, now: Timestamp) -> SecretParts {
        let mut problems = Vec::new();
        let mut value = |key| match data.and_then(|data| data.get(key)) {
            Some(ByteString(value)) if value.len() > MAX_BYTES => {
                problems.push(SecretProblem::TooLarge(key));
                Vec::new()
            }
            Some(ByteString(value)) => value.clone(),
            None => Vec::new(),
        };
        let [authorities, signing_key, certificate, key] = [AUTHORITIES, SIGNING_KEY, CERTIFICATE, KEY].map(&mut value);

        let (authorities, foreign) = bundle(&authorities);
        problems.extend(foreign.into_iter().map(SecretProblem::NotAnAuthority));
        if authorities.is_empty() {
            problems.push(SecretProblem::NoAuthority);
        }
        // Without the text of the error, which may quote the key.
        let signing_key = str::from_utf8(&signing_key).ok().and_then(|pem| KeyPair::from_pem(pem).ok()).map(Arc::new);
        if signing_key.is_none() {
            problems.push(SecretProblem::SigningKey);
        }
        let leaf = Leaf::read(certificate, key)
            .and_then(|leaf| leaf.check_validity(now).map(|()| leaf))
            .map_err(|why| problems.push(SecretProblem::Pair(why)))
            .ok();
        let mut parts = SecretParts { authorities, signing_key, leaf, problems };
        if parts.signing_key.is_some() && parts.signer().is_none() {
            parts.problems.push(SecretProblem::ForeignSigningKey);
        }
        if let Some(leaf) = &parts.leaf
            && !parts.authorities.iter().any(|authority| authority.signed(leaf))
        {
            parts.problems.push(SecretProblem::ForeignCertificate);
        }
        parts
    }

    /// The authority that signs, with its key.
    pub(super) fn signer(&self) -> Option<Signer> {
        let key = self.signing_key.as_ref()?;
        let authority = self.authorities.iter().find(|authority| authority.has(key))?;
        Some(Signer { authority: authority.clone(), key: Arc::clone(key) })
    }

    /// All of them, if nothing is wrong.
    pub(super) fn complete(&self) -> Option<Credentials> {
        let (signer, leaf) = (self.signer()?, self.leaf.clone()?);
        self.problems.is_empty().then(|| Credentials { authorities: self.authorities.clone(), signer, leaf })
    }
}

impl Credentials {
    /// The authorities as a `caBundle` has them.
    pub(super) fn bundle(&self) -> Vec<u8> {
        self.authorities.iter().map(Authority::pem).collect::<String>().into_bytes()
    }

    /// Writes all of it into the data of a Secret, and keeps what else is there.
    pub(super) fn write(&self, data: &mut Data) {
        let Credentials { signer, leaf, .. } = self;
        let values = [
            (AUTHORITIES, self.bundle()),
            (SIGNING_KEY, signer.key.serialize_pem().into_bytes()),
            (CERTIFICATE, leaf.certificate.clone()),
            (KEY, leaf.key.clone()),
        ];
        data.extend(values.map(|(key, value)| (key.to_owned(), ByteString(value))));
    }
}

/// The authorities of a bundle in PEM, each once, and what else it holds.
pub(super) fn bundle(pem: &[u8]) -> (Vec<Authority>, Vec<String>) {
    let mut authorities = Vec::new();
    let mut foreign = Vec::new();
    if pem.len() > MAX_BYTES {
        return (authorities, vec![format!("more than {MAX_BYTES} bytes")]);
    }
    for certificate in CertificateDer::pem_slice_iter(pem) {
        match certificate.map_err(|error| describe(&error).to_owned()).and_then(Authority::parse) {
            Ok(authority) if authorities.contains(&authority) => {}
            Ok(authority) => authorities.push(authority),
            Err(why) => foreign.push(why),
        }
    }
    (authorities, foreign)
}
