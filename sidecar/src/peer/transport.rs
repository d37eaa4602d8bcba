//! The bytes between the sidecars: plain TCP or mutual TLS.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::{TlsAcceptor, TlsConnector, TlsStream};

use crate::tls::{Tls, peer_name};

/// A TLS handshake takes no longer.
pub const HANDSHAKE: Duration = Duration::from_secs(5);

/// A connection with somebody who has the right certificate, where that is asked for.
#[derive(Debug)]
pub enum PeerStream {
    /// `--insecure-replication`.
    Plain(TcpStream),
    /// Mutual TLS.
    Tls(Box<TlsStream<TcpStream>>),
}

/// How connections are secured; `None` is plain TCP.
pub type Security = Option<Arc<Tls>>;

/// Secures a connection that this side dialled.
///
/// # Errors
/// The other side has no certificate of ours, or takes too long.
pub async fn dialled(security: &Security, stream: TcpStream) -> io::Result<PeerStream> {
    stream.set_nodelay(true)?;
    let Some(tls) = security else { return Ok(PeerStream::Plain(stream)) };
    let handshake = TlsConnector::from(tls.client()).connect(peer_name(), stream);
    let stream = timeout(HANDSHAKE, handshake).await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
    Ok(PeerStream::Tls(Box::new(TlsStream::Client(stream))))
}

/// Secures a connection that the other side dialled.
///
/// # Errors
/// The other side has no certificate of ours, or takes too long.
pub async fn accepted(security: &Security, stream: TcpStream) -> io::Result<PeerStream> {
    stream.set_nodelay(true)?;
    let Some(tls) = security else { return Ok(PeerStream::Plain(stream)) };
    let handshake = TlsAcceptor::from(tls.server()).accept(stream);
    let stream = timeout(HANDSHAKE, handshake).await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
    Ok(PeerStream::Tls(Box::new(TlsStream::Server(stream))))
}

impl AsyncRead for PeerStream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for PeerStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
