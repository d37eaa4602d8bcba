//! Makes keys and certificates.

use jiff::Timestamp;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use sidecar::control::protocol::{OPERATOR_NAME, SIDECAR_NAME};

use super::{AUTHORITY_LIFE, BACKDATED, LEAF_LIFE, Validity};

/// A certificate and its key, as PEM.
#[derive(Clone, PartialEq, Eq)]
pub struct Certified {
    /// The certificate.
    pub certificate: String,
    /// Its key.
    pub key: String,
}

impl std::fmt::Debug for Certified {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // never the key
        f.write_str("Certified")
    }
}

/// A certificate that cannot be made or read.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// By rcgen.
    #[error("a certificate cannot be made: {0}")]
    Make(#[from] rcgen::Error),
    /// What is in a Secret is none.
    #[error("not a certificate: {0}")]
    Read(String),
}

/// What a leaf is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Replication, and to be called by the operator.
    Sidecar,
    /// To call sidecars.
    Operator,
}

/// A CA for one pair.
///
/// # Errors
/// There is no randomness.
pub fn authority(pair: &str, now: Timestamp) -> Result<Certified, CertificateError> {
    let key = KeyPair::generate()?;
    let mut params = params(format!("replicated-memcached {pair}"), now, AUTHORITY_LIFE)?;
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let certificate = params.self_signed(&key)?;
    Ok(Certified { certificate: certificate.pem(), key: key.serialize_pem() })
}

/// A leaf, signed by this CA.
///
/// # Errors
/// The CA is none, or there is no randomness.
pub fn leaf(authority: &Certified, purpose: Purpose, now: Timestamp) -> Result<Certified, CertificateError> {
    let issuer = Issuer::from_ca_cert_pem(&authority.certificate, KeyPair::from_pem(&authority.key)?)?;
    let (name, usages) = match purpose {
        Purpose::Sidecar => {
            (SIDECAR_NAME, vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth])
        }
        Purpose::Operator => (OPERATOR_NAME, vec![ExtendedKeyUsagePurpose::ClientAuth]),
    };
    let key = KeyPair::generate()?;
    let mut params = params(name.to_owned(), now, LEAF_LIFE)?;
    params.subject_alt_names = CertificateParams::new([name.to_owned()])?.subject_alt_names;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = usages;
    params.use_authority_key_identifier_extension = true;
    let certificate = params.signed_by(&key, &issuer)?;
    Ok(Certified { certificate: certificate.pem(), key: key.serialize_pem() })
}

fn params(name: String, now: Timestamp, life: jiff::SignedDuration) -> Result<CertificateParams, CertificateError> {
    let time = |at: Timestamp| {
        time::OffsetDateTime::from_unix_timestamp(at.as_second())
            .map_err(|error| CertificateError::Read(error.to_string()))
    };
    let mut params = CertificateParams::default();
    let mut subject = DistinguishedName::new();
    subject.push(DnType::CommonName, name);
    params.distinguished_name = subject;
    params.not_before = time(now - BACKDATED)?;
    params.not_after = time(now + life)?;
    Ok(params)
}

/// When the first certificate of a PEM file is good.
///
/// # Errors
/// It is none.
pub fn validity(pem: &str) -> Result<Validity, CertificateError> {
    let read = |error: &dyn std::fmt::Display| CertificateError::Read(error.to_string());
    let der = CertificateDer::from_pem_slice(pem.as_bytes()).map_err(|error| read(&error))?;
    let (_, certificate) = x509_parser::parse_x509_certificate(&der).map_err(|error| read(&error))?;
    let validity = certificate.validity();
    let time = |at: x509_parser::time::ASN1Time| Timestamp::from_second(at.timestamp()).map_err(|error| read(&error));
    Ok(Validity { from: time(validity.not_before)?, until: time(validity.not_after)? })
}

/// Whether this CA signed the first certificate of a PEM file.
#[must_use]
pub fn is_signed_by(leaf: &str, authority: &str) -> bool {
    let der = |pem: &str| CertificateDer::from_pem_slice(pem.as_bytes()).ok();
    let (Some(leaf), Some(authority)) = (der(leaf), der(authority)) else { return false };
    let (Ok((_, leaf)), Ok((_, authority))) =
        (x509_parser::parse_x509_certificate(&leaf), x509_parser::parse_x509_certificate(&authority))
    else {
        return false;
    };
    leaf.verify_signature(Some(authority.public_key())).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_leaf_is_of_its_authority_and_good_for_a_while() {
        let now = Timestamp::from_second(1_800_000_000).unwrap();
        let (one, other) = (authority("a", now).unwrap(), authority("a", now).unwrap());
        let leaf = leaf(&one, Purpose::Sidecar, now).unwrap();
        assert!(is_signed_by(&leaf.certificate, &one.certificate));
        assert!(!is_signed_by(&leaf.certificate, &other.certificate));
        let validity = validity(&leaf.certificate).unwrap();
        assert_eq!((validity.from, validity.until), (now - BACKDATED, now + LEAF_LIFE));
        assert!(super::validity("nonsense").is_err());
        assert_eq!(format!("{leaf:?}"), "Certified");
    }
}
