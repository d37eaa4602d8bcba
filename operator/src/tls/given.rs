//! PURE: certificates that are the user's own, checked before anything is done with them: what a sidecar or the operator would
//! refuse later, in some log, is told in a condition now.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::{ParsedCertificate, WebPkiClientVerifier};
use rustls::{Error, RootCertStore};
use sidecar::control::protocol::{OPERATOR_NAME, SIDECAR_NAME};

use super::issue::Certified;
use super::secrets::Data;

/// What is the matter with a Secret.
#[derive(Debug, thiserror::Error)]
pub enum Wrong {
    /// A key is missing.
    #[error("Secret {secret} has no {key}")]
    Missing {
        /// Its name.
        secret: String,
        /// What is missing.
        key: &'static str,
    },
    /// A certificate is of no use.
    #[error("{key} of Secret {secret}: {why}")]
    Unusable {
        /// Its name.
        secret: String,
        /// Which one.
        key: &'static str,
        /// Why.
        why: String,
    },
}

/// A Secret with its name.
#[derive(Clone, Copy)]
pub struct Named<'a> {
    /// The name.
    pub name: &'a str,
    /// The content.
    pub data: &'a Data,
}

impl Named<'_> {
    fn text(&self, key: &'static str) -> Result<String, Wrong> {
        let text = self.data.get(key).and_then(|bytes| String::from_utf8(bytes.0.clone()).ok());
        text.filter(|text| !text.is_empty()).ok_or_else(|| Wrong::Missing { secret: self.name.to_owned(), key })
    }

    fn unusable(&self, key: &'static str, why: impl ToString) -> Wrong {
        Wrong::Unusable { secret: self.name.to_owned(), key, why: why.to_string() }
    }
}

/// What of it the operator uses.
#[derive(Debug)]
pub struct Given {
    /// All CAs.
    pub authorities: String,
    /// The operator's leaf.
    pub operator: Certified,
    /// The sidecars' leaf, without its key.
    pub sidecar: String,
}

/// Reads and checks. `operator`: a Secret of its own for the operator, as cert-manager makes it.
///
/// # Errors
/// Something is missing or of no use.
pub fn read(replicas: Named<'_>, operator: Option<Named<'_>>, now: Timestamp) -> Result<Given, Wrong> {
    let authorities = replicas.text("ca.crt")?;
    let sidecar = replicas.text("tls.crt")?;
    replicas.text("tls.key")?;
    let (from, certificate_key, key_key) = match operator {
        Some(operator) => (operator, "tls.crt", "tls.key"),
        None => (replicas, "operator.crt", "operator.key"),
    };
    let operator = Certified { certificate: from.text(certificate_key)?, key: from.text(key_key)? };

    let roots = roots(&authorities).map_err(|why| replicas.unusable("ca.crt", why))?;
    let now = UnixTime::since_unix_epoch(Duration::from_secs(u64::try_from(now.as_second()).unwrap_or_default()));
    // Each sidecar dials and is dialled.
    serves(&roots, &sidecar, now)
        .and_then(|()| calls(&roots, &sidecar, None, now))
        .map_err(|why| replicas.unusable("tls.crt", why))?;
    calls(&roots, &operator.certificate, Some(OPERATOR_NAME), now)
        .map_err(|why| from.unusable(certificate_key, why))?;
    Ok(Given { authorities, operator, sidecar })
}

fn certificates(pem: &str) -> Result<Vec<CertificateDer<'static>>, Error> {
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    all.ok().filter(|all| !all.is_empty()).ok_or_else(|| Error::General("there is no certificate in it".to_owned()))
}

fn roots(pem: &str) -> Result<Arc<RootCertStore>, Error> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(pem)? {
        roots.add(certificate)?;
    }
    Ok(Arc::new(roots))
}

/// Whether the operator believes that this is a sidecar.
fn serves(roots: &Arc<RootCertStore>, pem: &str, now: UnixTime) -> Result<(), Error> {
    let all = certificates(pem)?;
    let Some((leaf, rest)) = all.split_first() else { return Ok(()) };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::clone(roots), provider);
    let verifier = verifier.build().map_err(|error| Error::General(error.to_string()))?;
    let name = ServerName::try_from(SIDECAR_NAME).map_err(|error| Error::General(error.to_string()))?;
    rustls::client::danger::ServerCertVerifier::verify_server_cert(&*verifier, leaf, rest, &name, &[], now).map(drop)
}

/// Whether a sidecar lets it in, and where a name is needed, believes it.
fn calls(roots: &Arc<RootCertStore>, pem: &str, name: Option<&'static str>, now: UnixTime) -> Result<(), Error> {
    let all = certificates(pem)?;
    let Some((leaf, rest)) = all.split_first() else { return Ok(()) };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::clone(roots), provider);
    let verifier = verifier.build().map_err(|error| Error::General(error.to_string()))?;
    verifier.verify_client_cert(leaf, rest, now)?;
    let Some(name) = name else { return Ok(()) };
    let name = ServerName::try_from(name).map_err(|error| Error::General(error.to_string()))?;
    verify_server_name(&ParsedCertificate::try_from(leaf)?, &name)
}

#[cfg(test)]
mod tests {
    use k8s_openapi::ByteString;

    use super::super::LEAF_LIFE;
    use super::super::issue::{self, Purpose};
    use super::*;

    fn data(entries: &[(&str, &str)]) -> Data {
        entries.iter().map(|(key, text)| ((*key).to_owned(), ByteString(text.as_bytes().to_vec()))).collect()
    }

    fn wrong(replicas: &Data, operator: Option<&Data>, now: Timestamp) -> String {
        let named = |name, data| Named { name, data };
        read(named("web", replicas), operator.map(|data| named("op", data)), now).unwrap_err().to_string()
    }

    #[test]
    fn what_nobody_would_accept_is_told() {
        let now = Timestamp::now();
        let (ca, stranger) = (issue::authority("a", now).unwrap(), issue::authority("b", now).unwrap());
        let leaf = |ca, purpose| issue::leaf(ca, purpose, now).unwrap();
        let (sidecar, operator) = (leaf(&ca, Purpose::Sidecar), leaf(&ca, Purpose::Operator));
        let replicas = |leaf: &Certified| {
            data(&[("ca.crt", &ca.certificate), ("tls.crt", &leaf.certificate), ("tls.key", &leaf.key)])
        };
        let own = |leaf: &Certified| data(&[("tls.crt", &leaf.certificate), ("tls.key", &leaf.key)]);
        let good = replicas(&sidecar);

        // All in one Secret, or the operator's in one of its own.
        let mut all = good.clone();
        all.extend(data(&[("operator.crt", &operator.certificate), ("operator.key", &operator.key)]));
        let given = read(Named { name: "web", data: &all }, None, now).unwrap();
        assert_eq!((given.authorities, given.operator), (ca.certificate.clone(), operator.clone()));
        let own_operator = own(&operator);
        let named = Named { name: "op", data: &own_operator };
        assert!(read(Named { name: "web", data: &good }, Some(named), now).is_ok());

        assert_eq!(wrong(&good, None, now), "Secret web has no operator.crt");
        assert_eq!(wrong(&data(&[("ca.crt", "x")]), None, now), "Secret web has no tls.crt");
        assert_eq!(wrong(&good, Some(&Data::new()), now), "Secret op has no tls.crt");
        let mut no_ca = all.clone();
        no_ca.extend(data(&[("ca.crt", "nothing")]));
        assert!(wrong(&no_ca, None, now).starts_with("ca.crt of Secret web: "));
        let foreign = replicas(&leaf(&stranger, Purpose::Sidecar));
        assert!(wrong(&foreign, Some(&own_operator), now).starts_with("tls.crt of Secret web: "));
        let swapped = replicas(&operator);
        assert!(wrong(&swapped, Some(&own_operator), now).starts_with("tls.crt of Secret web: "));
        assert!(wrong(&good, Some(&own(&sidecar)), now).starts_with("tls.crt of Secret op: "));
        let later = now + LEAF_LIFE + jiff::SignedDuration::from_hours(24);
        assert!(wrong(&all, None, later).contains("xpired"), "{}", wrong(&all, None, later));
    }
}
