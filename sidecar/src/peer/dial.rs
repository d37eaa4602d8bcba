//! Dials the peer while there is no link, for ever.

use std::cell::{Cell, RefCell};
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::time::{sleep, timeout};

use super::transport::{self, PeerStream, Security};
use crate::config::HostPort;
use crate::logging::Repeats;
use crate::random::jitter;

/// How long one address has to answer.
const CONNECT: Duration = Duration::from_secs(3);
/// How long the resolver may take.
const RESOLVE: Duration = Duration::from_secs(5);
/// The first pause after a failure; each further one doubles it.
const PAUSE_MIN_MS: u64 = 100;
/// The longest pause.
const PAUSE_MAX_MS: u64 = 5000;
/// The longest one while clients wait for the first sync.
const PAUSE_SYNCING_MAX_MS: u64 = 500;
/// The most addresses of one name that are tried.
const ADDRESSES_MAX: usize = 16;

/// Whether there is a link, shared by the tasks of the link thread.
#[derive(Debug, Default)]
pub struct Door {
    taken: Cell<bool>,
    freed: Notify,
    /// Clients wait for the first sync.
    pub syncing: Cell<bool>,
}

impl Door {
    /// There is a link, or one is being greeted on.
    pub fn take(&self) {
        self.taken.set(true);
    }

    /// There is none any more.
    pub fn free(&self) {
        self.taken.set(false);
        self.freed.notify_waiters();
    }

    /// Whether there is one.
    #[must_use]
    pub fn is_taken(&self) -> bool {
        self.taken.get()
    }

    async fn free_again(&self) {
        while self.taken.get() {
            self.freed.notified().await;
        }
    }
}

/// Whom to dial.
#[derive(Debug)]
pub struct Targets {
    /// As the user says it.
    name: Option<HostPort>,
    /// As the operator says it.
    told: RefCell<Vec<SocketAddr>>,
    changed: Notify,
}

impl Targets {
    /// Who the user says; nobody else yet.
    #[must_use]
    pub fn new(name: Option<HostPort>) -> Self {
        Self { name, told: RefCell::default(), changed: Notify::new() }
    }

    /// Takes these for the peer's addresses, and tries them at once.
    pub fn tell(&self, addresses: Vec<SocketAddr>) {
        if *self.told.borrow() != addresses {
            self.told.replace(addresses);
            self.changed.notify_one();
        }
    }

    /// Tries again at once.
    pub fn hurry(&self) {
        self.changed.notify_one();
    }

    /// Whether there is nobody to dial.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.name.is_none() && self.told.borrow().is_empty()
    }

    /// Every address, those that the operator told first. The resolver's failure counts only where it was needed.
    async fn addresses(&self) -> io::Result<Vec<SocketAddr>> {
        let mut all = self.told.borrow().clone();
        if let Some(name) = &self.name {
            match resolve(name).await {
                Ok(found) => {
                    for address in found {
                        if !all.contains(&address) {
                            all.push(address);
                        }
                    }
                }
                Err(error) if all.is_empty() => return Err(error),
                Err(_) => {}
            }
        }
        Ok(all)
    }
}

/// The addresses of a name, beginning at any of them.
async fn resolve(name: &HostPort) -> io::Result<Vec<SocketAddr>> {
    let lookup = tokio::net::lookup_host((name.host.as_str(), name.port));
    let found = timeout(RESOLVE, lookup).await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
    let mut addresses: Vec<SocketAddr> = found.take(ADDRESSES_MAX).collect();
    if addresses.is_empty() {
        return Err(io::Error::new(io::ErrorKind::NotFound, "the name has no address"));
    }
    let first = jitter(addresses.len() as u64) as usize;
    addresses.rotate_left(first);
    Ok(addresses)
}

/// A connection that this side dialled. The other end of `linked` is told when it became the link; it is dropped when it did
/// not.
#[derive(Debug)]
pub struct Dialled {
    /// The connection.
    pub stream: PeerStream,
    /// Where to.
    pub address: SocketAddr,
    /// Tells the dialling task.
    pub linked: oneshot::Sender<()>,
}

/// Dials whenever there is no link and somebody to dial.
pub async fn dial(targets: Rc<Targets>, security: Security, door: Rc<Door>, offers: mpsc::Sender<Dialled>) {
    let mut failures = 0u32;
    let mut problems = Repeats::default();
    loop {
        door.free_again().await;
        let reached = match targets.addresses().await {
            Ok(addresses) if addresses.is_empty() => {
                targets.changed.notified().await;
                continue;
            }
            Ok(addresses) => every_address(addresses, &security, &door, &offers).await,
            Err(error) => Err(error),
        };
        match reached {
            Ok(()) => failures = 0,
            Err(error) => {
                if problems.is_news(&error.to_string()) {
                    let name = targets.name.as_ref().map(HostPort::to_string);
                    tracing::warn!(name, "the peer cannot be reached: {error}");
                }
                failures = failures.saturating_add(1);
            }
        }
        let max = if door.syncing.get() { PAUSE_SYNCING_MAX_MS } else { PAUSE_MAX_MS };
        let pause = (PAUSE_MIN_MS << failures.min(6)).min(max);
        tokio::select! {
            () = sleep(Duration::from_millis(pause / 2 + jitter(pause / 2))) => {}
            () = targets.changed.notified() => failures = 0,
        }
    }
}

/// Tries one address after the other until there is a link. Not reaching a link on an address that answered is no error
/// here: the reason was logged where it was found.
async fn every_address(
    addresses: Vec<SocketAddr>,
    security: &Security,
    door: &Door,
    offers: &mpsc::Sender<Dialled>,
) -> io::Result<()> {
    let timed_out = || io::Error::from(io::ErrorKind::TimedOut);
    let mut failed = None;
    for address in addresses {
        if door.is_taken() {
            return Ok(());
        }
        let connecting = async {
            let stream = timeout(CONNECT, TcpStream::connect(address)).await.map_err(|_| timed_out())??;
            transport::dialled(security, stream).await
        };
        let stream = match connecting.await {
            Ok(stream) => stream,
            Err(error) => {
                failed = Some(error);
                continue;
            }
        };
        let (linked, outcome) = oneshot::channel();
        if offers.send(Dialled { stream, address, linked }).await.is_err() {
            return Ok(());
        }
        match outcome.await {
            Ok(()) => return Ok(()),
            Err(_) => failed = failed.or_else(|| Some(io::Error::other("no link with who answers there"))),
        }
    }
    // While this side dialled, the other one may have.
    failed.filter(|_| !door.is_taken()).map_or(Ok(()), Err)
}
