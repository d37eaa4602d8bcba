//! Taking client connections.

use std::io;
use std::rc::Rc;
use std::time::Duration;

use tokio::net::{TcpListener, UnixListener};
use tokio::task::{JoinHandle, spawn_local};

use super::worker::Serving;
use crate::net::listen::Listener;
use crate::net::stream::Stream;

/// What memcached answers at its own bound.
const TOO_MANY: &[u8] = b"ERROR Too many open connections\r\n";
/// Pause after accept failed, e.g. for want of file descriptors, so that the loop does not spin.
const PAUSE: Duration = Duration::from_millis(100);
/// One line in the log for so many failures in a row.
const FAILURES_PER_LINE: u32 = 100;

enum Accepting {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Accepting {
    fn new(listener: Listener) -> io::Result<Self> {
        Ok(match listener {
            Listener::Tcp(listener) => Self::Tcp(TcpListener::from_std(listener)?),
            Listener::Unix(listener) => Self::Unix(UnixListener::from_std(listener)?),
        })
    }

    async fn accept(&self) -> io::Result<Stream> {
        match self {
            Self::Tcp(listener) => {
                let (stream, _) = listener.accept().await?;
                stream.set_nodelay(true)?;
                Ok(Stream::Tcp(stream))
            }
            Self::Unix(listener) => Ok(Stream::Unix(listener.accept().await?.0)),
        }
    }
}

/// The listeners of a worker.
#[derive(Debug, Default)]
pub struct Listening {
    tasks: Vec<(JoinHandle<()>, Rc<tokio::sync::Notify>)>,
}

impl Listening {
    /// Begins to accept.
    pub fn start(&mut self, serving: &Rc<Serving>, listeners: Vec<Listener>) {
        for listener in listeners {
            let stop = Rc::new(tokio::sync::Notify::new());
            match Accepting::new(listener) {
                Ok(listener) => {
                    let task = spawn_local(accept(Rc::clone(serving), listener, Rc::clone(&stop)));
                    self.tasks.push((task, stop));
                }
                Err(error) => tracing::error!("cannot accept clients: {error}"),
            }
        }
    }

    /// Closes the listeners. `gently`: who has connected already is accepted before.
    pub async fn stop(&mut self, gently: bool) {
        for (task, stop) in self.tasks.drain(..) {
            if gently {
                stop.notify_one();
            } else {
                task.abort();
            }
            let _ = task.await;
        }
    }
}

async fn accept(serving: Rc<Serving>, listener: Accepting, stop: Rc<tokio::sync::Notify>) {
    let mut failures = 0u32;
    let mut stopping = false;
    loop {
        let accepted = tokio::select! {
            biased;
            accepted = listener.accept() => accepted,
            () = stop.notified(), if !stopping => {
                stopping = true;
                continue;
            }
            () = std::future::ready(()), if stopping => return,
        };
        match accepted {
            Ok(stream) => {
                failures = 0;
                if serving.budget.connect() {
                    match (&stream, &serving.tls) {
                        (Stream::Tcp(_), Some(tls)) => tls.begin(&serving, stream).await,
                        _ => serving.open(stream),
                    }
                } else {
                    if let Some(stats) = serving.stats() {
                        stats.connections_refused.add(1);
                    }
                    let _ = stream.try_write(TOO_MANY);
                }
            }
            // The client was faster to leave than we to greet.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(error) => {
                if failures.is_multiple_of(FAILURES_PER_LINE) {
                    tracing::warn!("a client cannot be accepted: {error}");
                }
                failures = failures.wrapping_add(1);
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}
