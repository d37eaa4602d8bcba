//! TLS for clients, from files that may change at any time.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use clap::ValueEnum;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoClientAuth, NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{RootCertStore, ServerConfig};

use super::{TlsError, certificates, read_file};

/// What is asked of clients, like memcached's `ssl_verify_mode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Verify {
    /// No certificate (0 of memcached); a ca.crt is not read.
    #[default]
    Off,
    /// A client that shows one must show one of ca.crt's (1).
    Request,
    /// Every client must show one of ca.crt's (2).
    Require,
}

/// See the module.
#[derive(Debug)]
pub struct ClientTls {
    dir: PathBuf,
    verify: Verify,
    current: Mutex<Generation>,
}

/// One consistent set of files.
#[derive(Debug, Clone)]
struct Generation {
    files: Arc<Files>,
    config: Arc<ServerConfig>,
}

/// The bytes of the files, to see whether they changed.
#[derive(PartialEq, Eq)]
struct Files {
    chain: Vec<u8>,
    key: Vec<u8>,
    ca: Option<Vec<u8>>,
}

impl std::fmt::Debug for Files {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // never the key
        f.write_str("Files")
    }
}

impl ClientTls {
    /// Reads `tls.crt` and `tls.key` in `dir`, and `ca.crt` where certificates of clients are looked at.
    ///
    /// # Errors
    /// The first file that is wrong.
    pub fn load(dir: &Path, verify: Verify) -> Result<Self, TlsError> {
        let generation = Generation::new(Files::read(dir, verify)?, dir, verify)?;
        Ok(Self { dir: dir.to_owned(), verify, current: Mutex::new(generation) })
    }

    /// For the next client.
    #[must_use]
    pub fn server(&self) -> Arc<ServerConfig> {
        self.current().config
    }

    /// Where the files are.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Reads the files again; `true` if they had changed. Clients that connect from then on meet them.
    ///
    /// # Errors
    /// As [`ClientTls::load`]; the last good files stay in use.
    pub fn reload(&self) -> Result<bool, TlsError> {
        let files = Files::read(&self.dir, self.verify)?;
        if files == *self.current().files {
            return Ok(false);
        }
        let generation = Generation::new(files, &self.dir, self.verify)?;
        *self.current.lock().unwrap_or_else(PoisonError::into_inner) = generation;
        Ok(true)
    }

    fn current(&self) -> Generation {
        self.current.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Files {
    fn read(dir: &Path, verify: Verify) -> Result<Self, TlsError> {
        let read = |name| read_file(&dir.join(name));
        let ca = (verify != Verify::Off).then(|| read("ca.crt")).transpose()?;
        Ok(Self { chain: read("tls.crt")?, key: read("tls.key")?, ca })
    }
}

impl Generation {
    fn new(files: Files, dir: &Path, verify: Verify) -> Result<Self, TlsError> {
        let content = |name: &str, problem: String| TlsError::Content { path: dir.join(name), problem };
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier: Arc<dyn ClientCertVerifier> = match &files.ca {
            None => Arc::new(NoClientAuth),
            Some(ca) => {
                let mut roots = RootCertStore::empty();
                for certificate in certificates(dir, "ca.crt", ca)? {
                    let added = roots.add(certificate);
                    added.map_err(|error| content("ca.crt", format!("is not usable as a CA: {error}")))?;
                }
                let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
                let builder = if verify == Verify::Require { builder } else { builder.allow_unauthenticated() };
                builder.build().map_err(|error| content("ca.crt", format!("is not usable: {error}")))?
            }
        };
        let chain = certificates(dir, "tls.crt", &files.chain)?;
        let key = PrivateKeyDer::from_pem_slice(&files.key)
            .map_err(|error| content("tls.key", format!("has no PEM private key: {error}")))?;
        let mismatch = |cause| TlsError::Mismatch { path: dir.join("tls.key"), cause };
        // Clients are other people's programs: TLS 1.2 is what memcached asks for at least.
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(rustls::ALL_VERSIONS)
            .map_err(mismatch)?
            .with_client_cert_verifier(verifier)
            .with_single_cert(chain, key)
            .map_err(mismatch)?;
        // As memcached by default. Connections of caches last, and what is resumed has to be kept.
        config.send_tls13_tickets = 0;
        config.session_storage = Arc::new(NoServerSessionStorage {});
        Ok(Self { files: Arc::new(files), config: Arc::new(config) })
    }
}
