//! TLS handshakes with clients, on a thread of their own: they cost a millisecond of arithmetic each with an RSA key, and the
//! clients that are connected must not wait for those that connect.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::task::spawn_local;
use tokio::time::sleep;
use tokio_rustls::TlsAcceptor;

use super::worker::Serving;
use crate::net::stream::{Detached, Stream};
use crate::tls::ClientTls;

/// Handshakes under way at once, all workers together. At the bound no more clients are accepted until one is done or given
/// up; they wait in the backlog of the socket.
pub const HANDSHAKES_MAX: usize = 256;
/// How long one may take.
const DEADLINE: Duration = Duration::from_secs(10);
/// How long one may take while more than half of the places are taken: who is silent must not keep others out.
const DEADLINE_PRESSED: Duration = Duration::from_secs(1);

/// A client that has connected.
#[derive(Debug)]
struct Job {
    socket: std::net::TcpStream,
    _place: OwnedSemaphorePermit,
    /// Answered when it is through.
    done: oneshot::Sender<Detached>,
}

/// The way to the thread, for a worker.
#[derive(Clone, Debug)]
pub struct Handshakes {
    jobs: mpsc::UnboundedSender<Job>,
    places: Arc<Semaphore>,
}

/// What the thread works with.
#[derive(Debug)]
pub struct Work {
    jobs: mpsc::UnboundedReceiver<Job>,
    places: Arc<Semaphore>,
    tls: Arc<ClientTls>,
}

/// Both ends.
#[must_use]
pub fn handshakes(tls: Arc<ClientTls>) -> (Handshakes, Work) {
    let (sender, jobs) = mpsc::unbounded_channel();
    let places = Arc::new(Semaphore::new(HANDSHAKES_MAX));
    (Handshakes { jobs: sender, places: Arc::clone(&places) }, Work { jobs, places, tls })
}

/// The thread: for as long as there is a worker.
pub async fn run(mut work: Work) {
    while let Some(Job { socket, _place, done }) = work.jobs.recv().await {
        let (acceptor, places) = (TlsAcceptor::from(work.tls.server()), Arc::clone(&work.places));
        spawn_local(async move {
            tokio::select! {
                accepted = accept(acceptor, socket) => match accepted {
                    Ok(stream) => {
                        let _ = done.send(stream);
                    }
                    Err(error) => tracing::debug!("TLS with a client: {error}"),
                },
                () = too_long(&places) => tracing::debug!("TLS with a client took too long"),
            }
            drop(_place);
        });
    }
}

async fn accept(acceptor: TlsAcceptor, socket: std::net::TcpStream) -> std::io::Result<Detached> {
    let stream = acceptor.accept(TcpStream::from_std(socket)?).await?;
    let (socket, session) = stream.into_inner();
    Ok(Detached::Tls(socket.into_std()?, Box::new(session)))
}

/// Until a handshake is to be given up.
async fn too_long(places: &Semaphore) {
    let mut waited = Duration::ZERO;
    while waited < DEADLINE && (waited.is_zero() || places.available_permits() > HANDSHAKES_MAX / 2) {
        sleep(DEADLINE_PRESSED).await;
        waited += DEADLINE_PRESSED;
    }
}

impl Handshakes {
    /// Waits for a place, and then shakes hands beside everything else. The client, which is counted as connected already,
    /// is served when that is done.
    pub async fn begin(&self, serving: &Rc<Serving>, stream: Stream) {
        let place = Arc::clone(&self.places).acquire_owned().await;
        let (Ok(place), Ok(Detached::Tcp(socket))) = (place, stream.detach()) else {
            return serving.budget.disconnect();
        };
        let (done, answer) = oneshot::channel();
        let _ = self.jobs.send(Job { socket, _place: place, done });
        let (serving, epoch) = (Rc::clone(serving), serving.epoch.get());
        spawn_local(async move {
            let stream = answer.await.ok().and_then(|stream| stream.attach().ok());
            if let Some(stats) = serving.stats() {
                let counter = if stream.is_some() { &stats.tls_accepted } else { &stats.tls_refused };
                counter.add(1);
            }
            match stream.filter(|_| serving.epoch.get() == epoch) {
                Some(stream) => serving.open(stream),
                None => serving.budget.disconnect(),
            }
        });
    }
}
