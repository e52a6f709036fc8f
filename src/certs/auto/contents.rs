//! What the Secret holds: of each part what can be used, and what is wrong with it.

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

/// The largest value that is looked at. Our own are some kilobytes.
const MAX_BYTES: usize = 128 * 1024;

/// The values of a Secret.
pub(super) type Data = BTreeMap<String, ByteString>;

/// What is wrong with the Secret. None of the messages holds a part of a key.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub(super) enum Problem {
    #[error("the Secret was deleted")]
    Deleted,
    #[error("{0} is larger than {MAX_BYTES} bytes")]
    TooLarge(&'static str),
    #[error("{AUTHORITIES} holds no authority")]
    NoAuthority,
    #[error("{AUTHORITIES} holds something else than authorities: {0}")]
    NotAnAuthority(String),
    #[error("{SIGNING_KEY} holds no private key in PEM form, or one of a kind that cannot be used")]
    SigningKey,
    #[error("{SIGNING_KEY} belongs to none of the authorities in {AUTHORITIES}")]
    StrangeSigningKey,
    #[error("{CERTIFICATE}, {KEY}: {0}")]
    Pair(PairError),
    #[error("{CERTIFICATE} is signed by none of the authorities in {AUTHORITIES}")]
    StrangeCertificate,
    #[error("{AUTHORITIES} lacks the authority of the certificate that is served")]
    ServedAuthorityMissing,
}

/// The parts of the Secret that can be used.
#[derive(Default)]
pub(super) struct Found {
    pub(super) authorities: Vec<Authority>,
    pub(super) signing_key: Option<Arc<KeyPair>>,
    /// Valid at present.
    pub(super) leaf: Option<Leaf>,
    pub(super) problems: Vec<Problem>,
}

/// All that the Secret should hold, with nothing missing, and all of it fitting together.
#[derive(Clone)]
pub(super) struct Kept {
    /// All that clients shall trust; those of `signer` and `leaf` are among them.
    pub(super) authorities: Vec<Authority>,
    pub(super) signer: Signer,
    pub(super) leaf: Leaf,
}

impl Found {
    pub(super) fn read(data: Option<&Data>, now: Timestamp) -> Found {
        let mut problems = Vec::new();
        let mut value = |key| match data.and_then(|data| data.get(key)) {
            Some(ByteString(value)) if value.len() > MAX_BYTES => {
                problems.push(Problem::TooLarge(key));
                Vec::new()
            }
            Some(ByteString(value)) => value.clone(),
            None => Vec::new(),
        };
        let [authorities, signing_key, certificate, key] = [AUTHORITIES, SIGNING_KEY, CERTIFICATE, KEY].map(&mut value);

        let (authorities, strange) = bundle(&authorities);
        problems.extend(strange.into_iter().map(Problem::NotAnAuthority));
        if authorities.is_empty() {
            problems.push(Problem::NoAuthority);
        }
        // Without the error's own words, which may quote the key.
        let signing_key = str::from_utf8(&signing_key).ok().and_then(|pem| KeyPair::from_pem(pem).ok()).map(Arc::new);
        if signing_key.is_none() {
            problems.push(Problem::SigningKey);
        }
        let leaf = Leaf::read(certificate, key)
            .and_then(|leaf| leaf.check_validity(now).map(|()| leaf))
            .map_err(|why| problems.push(Problem::Pair(why)))
            .ok();
        let mut found = Found { authorities, signing_key, leaf, problems };
        if found.signing_key.is_some() && found.signer().is_none() {
            found.problems.push(Problem::StrangeSigningKey);
        }
        if let Some(leaf) = &found.leaf
            && !found.authorities.iter().any(|authority| authority.signed(leaf))
        {
            found.problems.push(Problem::StrangeCertificate);
        }
        found
    }

    /// The authority that signs, with its key.
    pub(super) fn signer(&self) -> Option<Signer> {
        let key = self.signing_key.as_ref()?;
        let authority = self.authorities.iter().find(|authority| authority.has(key))?;
        Some(Signer { authority: authority.clone(), key: Arc::clone(key) })
    }

    /// All of it, if nothing is wrong.
    pub(super) fn whole(&self) -> Option<Kept> {
        let (signer, leaf) = (self.signer()?, self.leaf.clone()?);
        self.problems.is_empty().then(|| Kept { authorities: self.authorities.clone(), signer, leaf })
    }
}

impl Kept {
    /// The authorities as API servers are told of them.
    pub(super) fn bundle(&self) -> Vec<u8> {
        self.authorities.iter().map(Authority::pem).collect::<String>().into_bytes()
    }

    /// Puts everything into a Secret, and leaves alone what else is there.
    pub(super) fn write(&self, data: &mut Data) {
        let Kept { signer, leaf, .. } = self;
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
    let mut strange = Vec::new();
    if pem.len() > MAX_BYTES {
        return (authorities, vec![format!("more than {MAX_BYTES} bytes")]);
    }
    for certificate in CertificateDer::pem_slice_iter(pem) {
        match certificate.map_err(|error| describe(&error).to_owned()).and_then(Authority::parse) {
            Ok(authority) if authorities.contains(&authority) => {}
            Ok(authority) => authorities.push(authority),
            Err(why) => strange.push(why),
        }
    }
    (authorities, strange)
}
