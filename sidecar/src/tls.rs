//! Mutual TLS between the sidecars, and TLS with clients ([`ClientTls`]), from files that may change at any time.
//!
//! Kubernetes swaps a mounted Secret by a symbolic link, so a reader can see files of two generations. They are read
//! as a whole and taken over only if they fit together; until then the last good ones stay, and connections that are
//! up never notice.

mod clients;
mod verify;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use crate::control::protocol::Certificates;
use verify::SignedByCa;

pub use clients::{ClientTls, Verify};

/// Largest file that is read, bytes; a bundle of certificates has a few thousand.
const FILE_MAX: u64 = 1 << 20;

/// TLS as it is configured now, for both roles.
#[derive(Debug)]
pub struct Tls {
    dir: PathBuf,
    current: Mutex<Generation>,
}

/// One consistent set of files.
#[derive(Debug, Clone)]
struct Generation {
    files: Arc<Files>,
    client: Arc<ClientConfig>,
    server: Arc<ServerConfig>,
}

/// The bytes of the files, to see whether they changed.
#[derive(PartialEq, Eq)]
struct Files {
    ca: Vec<u8>,
    chain: Vec<u8>,
    key: Vec<u8>,
}

impl std::fmt::Debug for Files {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // never the key
        f.write_str("Files")
    }
}

/// What is wrong with the files of `--tls-dir` or `--client-tls-dir`. Each text is whole: a cause is not given as a source besides.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("cannot read {}: {cause}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        cause: std::io::Error,
    },
    /// A file is not what it should be.
    #[error("{} {problem}", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// The certificate and the key are not of one pair.
    #[error("{} is not the key of tls.crt: {cause}", path.display())]
    Mismatch {
        /// The key's file.
        path: PathBuf,
        /// What rustls says.
        cause: rustls::Error,
    },
}

impl Tls {
    /// Reads `ca.crt`, `tls.crt` and `tls.key` in `dir`.
    ///
    /// # Errors
    /// The first file that is wrong. A certificate that is expired, or not signed by `ca.crt`, is only logged: clients
    /// are served without a peer, too.
    pub fn load(dir: &Path) -> Result<Self, TlsError> {
        let generation = Generation::new(Files::read(dir)?, dir)?;
        Ok(Self { dir: dir.to_owned(), current: Mutex::new(generation) })
    }

    /// For a connection that this side dials. Use it with [`peer_name`].
    ///
    /// In TLS 1.3 the dialling side is done before the other one has looked at its certificate: only bytes from the
    /// other side prove that it was accepted.
    #[must_use]
    pub fn client(&self) -> Arc<ClientConfig> {
        self.current().client
    }

    /// For a connection that the other side dialled.
    #[must_use]
    pub fn server(&self) -> Arc<ServerConfig> {
        self.current().server
    }

    /// Reads the files again; `true` if they had changed. New connections then use them.
    ///
    /// # Errors
    /// As [`Tls::load`]; the last good files stay in use.
    pub fn reload(&self) -> Result<bool, TlsError> {
        let files = Files::read(&self.dir)?;
        if files == *self.current().files {
            return Ok(false);
        }
        let generation = Generation::new(files, &self.dir)?;
        *self.current.lock().unwrap_or_else(PoisonError::into_inner) = generation;
        Ok(true)
    }

    /// Where the files are.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// SHA-256 of the certificates in use.
    #[must_use]
    pub fn fingerprints(&self) -> Certificates {
        let files = self.current().files;
        Certificates { authorities: fingerprint(&files.ca), leaf: fingerprint(&files.chain) }
    }

    fn current(&self) -> Generation {
        self.current.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// SHA-256 of a file, in hexadecimal digits, as the control port tells it.
#[must_use]
pub fn fingerprint(file: &[u8]) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, file);
    digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What the dialling side calls the other one. Names are neither sent nor checked: the CA is the pair's own.
#[must_use]
pub fn peer_name() -> ServerName<'static> {
    ServerName::IpAddress(std::net::Ipv4Addr::UNSPECIFIED.into())
}

impl Files {
    fn read(dir: &Path) -> Result<Self, TlsError> {
        let read = |name| read_file(&dir.join(name));
        Ok(Self { ca: read("ca.crt")?, chain: read("tls.crt")?, key: read("tls.key")? })
    }
}

impl Generation {
    fn new(files: Files, dir: &Path) -> Result<Self, TlsError> {
        let content = |name: &str, problem: String| TlsError::Content { path: dir.join(name), problem };
        let mismatch = |cause| TlsError::Mismatch { path: dir.join("tls.key"), cause };
        let mut roots = RootCertStore::empty();
        for certificate in certificates(dir, "ca.crt", &files.ca)? {
            roots.add(certificate).map_err(|error| content("ca.crt", format!("is not usable as a CA: {error}")))?;
        }
        let chain = certificates(dir, "tls.crt", &files.chain)?;
        let key = PrivateKeyDer::from_pem_slice(&files.key)
            .map_err(|error| content("tls.key", format!("has no PEM private key: {error}")))?;

        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier =
            SignedByCa::new(roots, &provider).map_err(|error| content("ca.crt", format!("is not usable: {error}")))?;
        if let Some((leaf, intermediates)) = chain.split_first()
            && let Err(error) = verifier.check(leaf, intermediates, UnixTime::now())
        {
            let path = dir.join("tls.crt");
            tracing::warn!("the peer will refuse {}: {error}", path.display());
        }
        let verifier = Arc::new(verifier);
        Ok(Self {
            client: Arc::new(client_config(&provider, &verifier, &chain, &key).map_err(mismatch)?),
            server: Arc::new(server_config(&provider, verifier, chain, key).map_err(mismatch)?),
            files: Arc::new(files),
        })
    }
}

/// Both ends are ours, so there is no older TLS to speak. Nothing is resumed: a certificate is looked at each time.
fn client_config(
    provider: &Arc<CryptoProvider>,
    verifier: &Arc<SignedByCa>,
    chain: &[CertificateDer<'static>],
    key: &PrivateKeyDer<'static>,
) -> Result<ClientConfig, rustls::Error> {
    let mut config = ClientConfig::builder_with_provider(Arc::clone(provider))
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(Arc::clone(verifier) as _)
        .with_client_auth_cert(chain.to_vec(), key.clone_key())?;
    config.enable_sni = false;
    config.resumption = rustls::client::Resumption::disabled();
    Ok(config)
}

fn server_config(
    provider: &Arc<CryptoProvider>,
    verifier: Arc<SignedByCa>,
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<ServerConfig, rustls::Error> {
    let mut config = ServerConfig::builder_with_provider(Arc::clone(provider))
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain, key)?;
    config.send_tls13_tickets = 0;
    config.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
    Ok(config)
}

fn certificates(dir: &Path, name: &str, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let content = |problem: String| TlsError::Content { path: dir.join(name), problem };
    let read: Result<Vec<CertificateDer<'static>>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match read {
        Ok(found) if !found.is_empty() => Ok(found),
        Ok(_) => Err(content("has no PEM certificate".to_owned())),
        Err(error) => Err(content(format!("is not valid PEM: {error}"))),
    }
}

fn read_file(path: &Path) -> Result<Vec<u8>, TlsError> {
    let failed = |cause| TlsError::Read { path: path.to_owned(), cause };
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(failed)?;
    // one byte more than allowed tells that there is more
    file.take(FILE_MAX + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > FILE_MAX {
        return Err(TlsError::Content { path: path.to_owned(), problem: format!("is larger than {FILE_MAX} bytes") });
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests;
