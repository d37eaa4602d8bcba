//! Throw-away certificates for the link between sidecars.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose};

/// A certificate authority.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    /// A new one with a key of its own.
    pub fn new(name: &str) -> Result<Self> {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate()?).context("cannot sign")?;
        Ok(Authority { issuer })
    }

    /// Its own certificate as PEM.
    pub fn certificate(&self) -> String {
        self.issuer.pem()
    }

    /// A leaf certificate for both ends of a connection, and its key, as PEM.
    pub fn leaf(&self, name: &str) -> Result<(String, String)> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(vec![name.to_owned()])?;
        params.distinguished_name.push(DnType::CommonName, name);
        params.extended_key_usages =
            vec![rcgen::ExtendedKeyUsagePurpose::ServerAuth, rcgen::ExtendedKeyUsagePurpose::ClientAuth];
        let certificate = params.signed_by(&key, &self.issuer).context("cannot sign")?;
        Ok((certificate.pem(), key.serialize_pem()))
    }

    /// Writes `ca.crt`, `tls.crt` and `tls.key` as `--tls-dir` wants them.
    pub fn write_dir(&self, dir: &Path, name: &str) -> Result<()> {
        fs::create_dir_all(dir)?;
        let (certificate, key) = self.leaf(name)?;
        for (file, text) in [("ca.crt", self.certificate()), ("tls.crt", certificate), ("tls.key", key)] {
            // Written aside and renamed, since a sidecar may be reading.
            let aside = dir.join(format!(".{file}"));
            fs::write(&aside, text)?;
            fs::rename(&aside, dir.join(file))?;
        }
        Ok(())
    }
}
