//! I/O: the operator's side of the control port.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde::Serialize;
use sidecar::control::protocol::{
    BODY_MAX, CLUSTER, Cluster, FENCE, Fence, PEER, Peer, RESYNC, SIDECAR_NAME, STATUS, Status,
};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::names::CONTROL_PORT;
use crate::tls::issue::Certified;

/// A request takes no longer, from the first packet to the answer.
const TIMEOUT: Duration = Duration::from_secs(2);

/// Why a sidecar cannot be spoken to.
#[derive(Debug, thiserror::Error)]
pub enum SidecarError {
    /// Of the certificates.
    #[error("certificates: {0}")]
    Certificates(String),
    /// It does not answer in time.
    #[error("no answer in {} s", TIMEOUT.as_secs())]
    Timeout,
    /// Of the network, or it is not who it should be.
    #[error("{0}")]
    Io(#[from] std::io::Error),
    /// Of HTTP.
    #[error("{0}")]
    Http(#[from] hyper::Error),
    /// What it says is not understood.
    #[error("its answer is not understood: {0}")]
    Answer(String),
    /// It does not do what it is asked.
    #[error("refused with {code}: {text}")]
    Refused {
        /// The HTTP code.
        code: u16,
        /// What it says.
        text: String,
    },
}

/// Speaks to the sidecars of one pair.
#[derive(Clone)]
pub struct Sidecars {
    tls: TlsConnector,
}

impl std::fmt::Debug for Sidecars {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // never the key
        f.write_str("Sidecars")
    }
}

impl Sidecars {
    /// With a leaf of the operator, for sidecars with leaves of these CAs.
    ///
    /// # Errors
    /// The certificates are not of use.
    pub fn new(authorities: &str, leaf: &Certified) -> Result<Self, SidecarError> {
        let wrong = |error: &dyn std::fmt::Display| SidecarError::Certificates(error.to_string());
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(authorities.as_bytes()) {
            roots.add(certificate.map_err(|error| wrong(&error))?).map_err(|error| wrong(&error))?;
        }
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(leaf.certificate.as_bytes()).collect();
        let key = PrivateKeyDer::from_pem_slice(leaf.key.as_bytes()).map_err(|error| wrong(&error))?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(|error| wrong(&error))?
            .with_root_certificates(roots)
            .with_client_auth_cert(chain.map_err(|error| wrong(&error))?, key)
            .map_err(|error| wrong(&error))?;
        Ok(Self { tls: TlsConnector::from(Arc::new(config)) })
    }

    /// What the sidecar at the first of these addresses that answers says of itself.
    ///
    /// # Errors
    /// None answers.
    pub async fn status(&self, addresses: &[IpAddr]) -> Result<Status, SidecarError> {
        let answer = self.send(addresses, Method::GET, STATUS, None::<&()>).await?;
        serde_json::from_slice(&answer).map_err(|error| SidecarError::Answer(error.to_string()))
    }

    /// Says who the peer is.
    ///
    /// # Errors
    /// It does not answer, or refuses.
    pub async fn tell(&self, addresses: &[IpAddr], peer: &Peer) -> Result<(), SidecarError> {
        self.send(addresses, Method::PUT, PEER, Some(peer)).await.map(drop)
    }

    /// Says where clients reach the pair.
    ///
    /// # Errors
    /// It does not answer, or refuses.
    pub async fn announce(&self, addresses: &[IpAddr], cluster: &Cluster) -> Result<(), SidecarError> {
        self.send(addresses, Method::PUT, CLUSTER, Some(cluster)).await.map(drop)
    }

    /// Has it bring its peer everything once more.
    ///
    /// # Errors
    /// It does not answer, or has no link.
    pub async fn resync(&self, addresses: &[IpAddr]) -> Result<(), SidecarError> {
        self.send(addresses, Method::POST, RESYNC, None::<&()>).await.map(drop)
    }

    /// Has it serve nobody any more.
    ///
    /// # Errors
    /// It does not answer, or is another process.
    pub async fn fence(&self, addresses: &[IpAddr], fence: Fence) -> Result<(), SidecarError> {
        self.send(addresses, Method::POST, FENCE, Some(&fence)).await.map(drop)
    }

    async fn send(
        &self,
        addresses: &[IpAddr],
        method: Method,
        path: &str,
        body: Option<&impl Serialize>,
    ) -> Result<Bytes, SidecarError> {
        let body = match body {
            Some(body) => serde_json::to_vec(body).map_err(|error| SidecarError::Answer(error.to_string()))?,
            None => Vec::new(),
        };
        let mut failed = SidecarError::Timeout;
        for address in addresses {
            let at = SocketAddr::new(*address, CONTROL_PORT);
            let exchange = self.exchange(at, method.clone(), path, body.clone());
            match timeout(TIMEOUT, exchange).await {
                Ok(Ok(answer)) => return Ok(answer),
                Ok(Err(refused @ SidecarError::Refused { .. })) => return Err(refused),
                Ok(Err(error)) => failed = error,
                Err(_) => failed = SidecarError::Timeout,
            }
        }
        Err(failed)
    }

    async fn exchange(&self, at: SocketAddr, method: Method, path: &str, body: Vec<u8>) -> Result<Bytes, SidecarError> {
        let stream = TcpStream::connect(at).await?;
        stream.set_nodelay(true)?;
        let name = ServerName::try_from(SIDECAR_NAME).map_err(|error| SidecarError::Certificates(error.to_string()))?;
        let stream = self.tls.connect(name, stream).await?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        // It ends with the request: `sender` is dropped.
        tokio::spawn(connection);
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", SIDECAR_NAME)
            .header("content-type", "application/json")
            .body(Full::new(Bytes::from(body)))
            .map_err(|error| SidecarError::Answer(error.to_string()))?;
        let response = sender.send_request(request).await?;
        let code = response.status();
        let answer = Limited::new(response.into_body(), BODY_MAX)
            .collect()
            .await
            .map_err(|error| SidecarError::Answer(error.to_string()))?
            .to_bytes();
        if code.is_success() {
            return Ok(answer);
        }
        let text = String::from_utf8_lossy(&answer).chars().take(200).collect();
        Err(SidecarError::Refused { code: code.as_u16(), text })
    }
}
