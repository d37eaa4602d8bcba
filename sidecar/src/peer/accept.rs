//! Connections that the other sidecar dialled: nobody gets a byte of ours before he has shown who he is.

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::spawn_local;
use tokio::time::timeout;

use super::transport::{self, PeerStream, Security};
use crate::logging::Repeats;
use crate::replication::message::{Frame, Hello, MAX_HELLO};
use crate::stats::{HandshakeRefusal, Stats};

/// Strangers that are listened to at once; further connections wait.
pub const HANDSHAKES_MAX: usize = 8;
/// A greeting must come within this after the handshake.
const GREETING: Duration = Duration::from_secs(5);
/// Pause after accept failed, so that the loop does not spin.
const PAUSE: Duration = Duration::from_millis(100);

/// A connection of somebody who has greeted.
#[derive(Debug)]
pub struct Greeted {
    /// The connection.
    pub stream: PeerStream,
    /// Where from.
    pub address: SocketAddr,
    /// The greeting.
    pub hello: Hello,
    /// All that was read: the greeting, and perhaps more.
    pub bytes: Vec<u8>,
}

/// Accepts for ever.
pub async fn accept(listener: TcpListener, security: Security, stats: Arc<Stats>, offers: mpsc::Sender<Greeted>) {
    let handshakes = Arc::new(Semaphore::new(HANDSHAKES_MAX));
    let problems = Rc::new(std::cell::RefCell::new(Repeats::default()));
    loop {
        let Ok(permit) = Arc::clone(&handshakes).acquire_owned().await else { return };
        let (stream, address) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                if problems.borrow_mut().is_news(&error.to_string()) {
                    tracing::warn!("the replication port cannot accept: {error}");
                }
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        let (security, stats, offers) = (security.clone(), Arc::clone(&stats), offers.clone());
        let problems = Rc::clone(&problems);
        spawn_local(async move {
            match greeted(&security, stream, address).await {
                Ok(greeted) => {
                    let _ = offers.send(greeted).await;
                }
                // It has found another connection in the meantime.
                Err(None) => {}
                Err(Some((reason, error))) => {
                    if let Some(counter) = stats.replication.handshakes_refused.get(reason as usize) {
                        counter.add_shared(1);
                    }
                    if problems.borrow_mut().is_news(&format!("{} {error}", address.ip())) {
                        tracing::warn!(%address, reason = reason.as_str(), "refused as a peer: {error}");
                    }
                }
            }
            drop(permit);
        });
    }
}

/// Why somebody is turned away; `None`: he went by himself.
type Refused = Option<(HandshakeRefusal, io::Error)>;

async fn greeted(security: &Security, stream: TcpStream, address: SocketAddr) -> Result<Greeted, Refused> {
    let refused = |error: io::Error| match error.kind() {
        io::ErrorKind::TimedOut | io::ErrorKind::UnexpectedEof => Some((HandshakeRefusal::Timeout, error)),
        _ => Some((HandshakeRefusal::Certificate, error)),
    };
    let mut stream = transport::accepted(security, stream).await.map_err(refused)?;
    let reading = timeout(GREETING, greeting(&mut stream));
    let (hello, bytes) =
        reading.await.unwrap_or_else(|_| Err(Some((HandshakeRefusal::Timeout, io::ErrorKind::TimedOut.into()))))?;
    Ok(Greeted { stream, address, hello, bytes })
}

async fn greeting(stream: &mut PeerStream) -> Result<(Hello, Vec<u8>), Refused> {
    let stranger = |text: String| Some((HandshakeRefusal::Protocol, io::Error::new(io::ErrorKind::InvalidData, text)));
    let mut bytes = Vec::new();
    loop {
        match Frame::decode(&bytes, MAX_HELLO) {
            Ok(Some((Frame::Hello(hello), _))) => return Ok((hello, bytes)),
            Ok(Some((Frame::Refused(_), _))) => return Err(None),
            Ok(Some(_)) => return Err(stranger("it does not begin with a greeting".to_owned())),
            Ok(None) => {}
            Err(error) => return Err(stranger(error.to_string())),
        }
        match stream.read_buf(&mut bytes).await {
            Ok(0) => return Err(Some((HandshakeRefusal::Timeout, io::ErrorKind::UnexpectedEof.into()))),
            Ok(_) => {}
            Err(error) => return Err(Some((HandshakeRefusal::Timeout, error))),
        }
    }
}
