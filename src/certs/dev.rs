//! A certificate for one run on one machine: made at start, its keys never leave memory.

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};
use rustls::pki_types::PrivateKeyDer;

use super::Pair;

/// Makes an authority and a pair for this machine's loopback names; also gives the authority's certificate, in PEM.
pub(crate) fn make() -> anyhow::Result<(Pair, String)> {
    let authority_key = KeyPair::generate()?;
    let mut authority = CertificateParams::new([])?;
    authority.distinguished_name.push(DnType::CommonName, "pillion dev CA");
    authority.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    authority.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    let authority_certificate = authority.self_signed(&authority_key)?;
    let issuer = Issuer::new(authority, authority_key);

    let key = KeyPair::generate()?;
    let mut leaf = CertificateParams::new(["localhost", "127.0.0.1", "::1"].map(String::from))?;
    leaf.distinguished_name.push(DnType::CommonName, "pillion dev");
    leaf.use_authority_key_identifier_extension = true;
    leaf.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let certificate = leaf.signed_by(&key, &issuer)?;

    let pair = Pair::new(vec![certificate.der().clone()], PrivateKeyDer::Pkcs8(key.serialize_der().into()))?;
    Ok((pair, authority_certificate.pem()))
}
