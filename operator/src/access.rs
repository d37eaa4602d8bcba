//! PURE: the Secrets that decide who may use the cache, looked at before anything is done with them: what a sidecar would refuse
//! later, in some log, is told in a condition now.

use k8s_openapi::api::core::v1::Secret;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use sidecar::auth::Users;

use crate::api::ReplicatedMemcachedSpec;
use crate::api::v1alpha1::ClientCertificates;
use crate::status::Problem;

/// A Secret that the resource names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted<'a> {
    /// `auth.secretRef`
    Users(&'a str),
    /// `clientTls.secretRef`, and whether ca.crt is looked at.
    Certificates(&'a str, bool),
}

impl<'a> Wanted<'a> {
    /// All that `spec` names.
    #[must_use]
    pub fn of(spec: &'a ReplicatedMemcachedSpec) -> Vec<Self> {
        let with_ca = spec.client_tls.client_certificates != ClientCertificates::Ignored;
        let users = spec.auth.secret_ref.as_deref().map(Self::Users);
        let certificates = spec.client_tls.secret_ref.as_deref().map(|name| Self::Certificates(name, with_ca));
        users.into_iter().chain(certificates).collect()
    }

    /// The name of the Secret.
    #[must_use]
    pub fn name(self) -> &'a str {
        match self {
            Self::Users(name) | Self::Certificates(name, _) => name,
        }
    }

    fn field(self) -> &'static str {
        match self {
            Self::Users(_) => "auth.secretRef",
            Self::Certificates(..) => "clientTls.secretRef",
        }
    }

    fn keys(self) -> &'static [&'static str] {
        match self {
            Self::Users(_) => &["users"],
            Self::Certificates(_, false) => &["tls.crt", "tls.key"],
            Self::Certificates(_, true) => &["tls.crt", "tls.key", "ca.crt"],
        }
    }

    /// What is wrong with what was found. No secret is in the text.
    ///
    /// # Errors
    /// It is not there, lacks a key, or what is in one is of no use.
    pub fn check(self, found: Option<&Secret>) -> Result<(), Problem> {
        let (missing, invalid) = match self {
            Self::Users(_) => ("AuthSecretMissing", "AuthSecretInvalid"),
            Self::Certificates(..) => ("ClientTlsSecretMissing", "ClientTlsSecretInvalid"),
        };
        let name = self.name();
        let Some(found) = found else {
            let (field, keys) = (self.field(), self.keys().join(", "));
            let message = format!("there is no Secret {name}, which {field} names; make it, with {keys}");
            return Err(Problem { reason: missing, message });
        };
        let data = |key: &str| found.data.as_ref().and_then(|data| data.get(key)).map(|bytes| bytes.0.as_slice());
        if let Some(key) = self.keys().iter().find(|key| data(key).is_none_or(<[u8]>::is_empty)) {
            let message = format!("Secret {name}, which {} names, has no key {key}", self.field());
            return Err(Problem { reason: missing, message });
        }
        let bytes = |key| data(key).unwrap_or_default();
        let wrong = match self {
            Self::Users(_) => Users::parse(bytes("users")).err().map(|error| format!("users of Secret {name} {error}")),
            Self::Certificates(_, with_ca) => certificates(bytes("tls.crt"), bytes("tls.key"))
                .and_then(|()| if with_ca { authorities(bytes("ca.crt")) } else { Ok(()) })
                .err()
                .map(|(key, why)| format!("{key} of Secret {name} {why}")),
        };
        match wrong {
            Some(message) => Err(Problem { reason: invalid, message }),
            None => Ok(()),
        }
    }
}

/// The key that is wrong, and why.
type Wrong = (&'static str, String);

fn pem(key: &'static str, text: &[u8]) -> Result<Vec<CertificateDer<'static>>, Wrong> {
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text).collect();
    match all {
        Ok(all) if !all.is_empty() => Ok(all),
        Ok(_) => Err((key, "has no PEM certificate".to_owned())),
        Err(error) => Err((key, format!("is not valid PEM: {error}"))),
    }
}

fn certificates(chain: &[u8], key: &[u8]) -> Result<(), Wrong> {
    let chain = pem("tls.crt", chain)?;
    let key = PrivateKeyDer::from_pem_slice(key).map_err(|error| ("tls.key", format!("has no PEM key: {error}")))?;
    let provider = rustls::crypto::ring::default_provider();
    rustls::sign::CertifiedKey::from_der(chain, key, &provider)
        .and_then(|pair| pair.keys_match())
        .map_err(|error| ("tls.key", format!("is not the key of tls.crt: {error}")))
}

fn authorities(text: &[u8]) -> Result<(), Wrong> {
    let mut roots = rustls::RootCertStore::empty();
    for certificate in pem("ca.crt", text)? {
        roots.add(certificate).map_err(|error| ("ca.crt", format!("is not usable as a CA: {error}")))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use k8s_openapi::ByteString;

    use super::*;
    use crate::tls::issue::{self, Purpose};

    fn secret(entries: &[(&str, &str)]) -> Secret {
        let data =
            entries.iter().map(|(key, text)| ((*key).to_owned(), ByteString(text.as_bytes().to_vec()))).collect();
        Secret { data: Some(data), ..Secret::default() }
    }

    fn wrong(wanted: Wanted<'_>, found: Option<&Secret>) -> (&'static str, String) {
        let problem = wanted.check(found).unwrap_err();
        assert!(problem.keeps_pods_waiting());
        (problem.reason, problem.message)
    }

    #[test]
    fn what_is_missing_or_of_no_use_is_named() {
        let users = Wanted::Users("web-users");
        assert_eq!(users.check(Some(&secret(&[("users", "web:secret\n")]))), Ok(()));
        let (reason, message) = wrong(users, None);
        assert_eq!(reason, "AuthSecretMissing");
        assert_eq!(message, "there is no Secret web-users, which auth.secretRef names; make it, with users");
        let (reason, message) = wrong(users, Some(&secret(&[("password", "web:secret")])));
        assert_eq!(
            (reason, message.as_str()),
            ("AuthSecretMissing", "Secret web-users, which auth.secretRef names, has no key users")
        );
        let (reason, message) = wrong(users, Some(&secret(&[("users", "web:secret\nnobody")])));
        assert_eq!(reason, "AuthSecretInvalid");
        assert!(
            message.contains("users of Secret web-users line 2 has no colon") && !message.contains("nobody"),
            "{message}"
        );

        let now = Timestamp::now();
        let ca = issue::authority("a", now).unwrap();
        let (leaf, other) =
            (issue::leaf(&ca, Purpose::Sidecar, now).unwrap(), issue::leaf(&ca, Purpose::Sidecar, now).unwrap());
        let good = secret(&[("tls.crt", &leaf.certificate), ("tls.key", &leaf.key)]);
        let (plain, with_ca) = (Wanted::Certificates("web-tls", false), Wanted::Certificates("web-tls", true));
        assert_eq!(plain.check(Some(&good)), Ok(()));
        assert_eq!(wrong(with_ca, Some(&good)).1, "Secret web-tls, which clientTls.secretRef names, has no key ca.crt");
        let all = [("tls.crt", leaf.certificate.as_str()), ("tls.key", &leaf.key), ("ca.crt", &ca.certificate)];
        assert_eq!(with_ca.check(Some(&secret(&all))), Ok(()));
        for (entries, says) in [
            (
                [("tls.crt", leaf.certificate.as_str()), ("tls.key", &other.key)],
                "tls.key of Secret web-tls is not the key",
            ),
            ([("tls.crt", "nothing"), ("tls.key", &leaf.key)], "tls.crt of Secret web-tls has no PEM"),
            ([("tls.crt", &leaf.certificate), ("tls.key", "nothing")], "tls.key of Secret web-tls has no PEM"),
        ] {
            let (reason, message) = wrong(plain, Some(&secret(&entries)));
            assert!(reason == "ClientTlsSecretInvalid" && message.starts_with(says), "{message}");
        }
        assert_eq!(wrong(plain, None).0, "ClientTlsSecretMissing");
    }

    #[test]
    fn only_what_is_named_is_wanted() {
        let mut spec = ReplicatedMemcachedSpec::default();
        assert_eq!(Wanted::of(&spec), []);
        spec.auth.secret_ref = Some("u".to_owned());
        spec.client_tls.secret_ref = Some("c".to_owned());
        assert_eq!(Wanted::of(&spec), [Wanted::Users("u"), Wanted::Certificates("c", false)]);
        spec.client_tls.client_certificates = ClientCertificates::Required;
        assert_eq!(Wanted::of(&spec)[1], Wanted::Certificates("c", true));
    }
}
