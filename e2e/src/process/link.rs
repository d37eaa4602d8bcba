//! A TCP proxy in user space that misbehaves on demand, so that a partition needs no root.

use std::io;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep, sleep_until};

use super::Port;

/// What happens to the bytes of one direction.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Flow {
    /// nothing gets through, and nothing tells so (the sender's buffers fill up)
    pub stalled: bool,
    /// each byte arrives this much later
    pub delay: Duration,
    /// at most so many bytes per second
    pub bytes_per_second: Option<u32>,
    /// the byte at this position of each connection gets its lowest bit flipped
    pub flipped: Option<u64>,
}

/// What a proxy does to the connections through it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Faults {
    /// connections are closed, new ones at once
    pub cut: bool,
    /// from the one who connected to the target
    pub forward: Flow,
    /// back from the target
    pub backward: Flow,
}

/// A proxy on a port of 127.0.0.1 with one target. Dropping it closes its connections.
#[derive(Debug)]
pub struct Proxy {
    port: Port,
    faults: watch::Sender<Faults>,
    stop: Option<mpsc::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Proxy {
    /// Starts it, without faults. The target need not listen yet.
    pub fn start(target: SocketAddr) -> Result<Self> {
        let port = Port::reserve()?;
        let listener = StdListener::bind(port.address()).context("cannot listen")?;
        listener.set_nonblocking(true)?;
        let (faults, observed) = watch::channel(Faults::default());
        let (stop, mut stopped) = mpsc::channel(1);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let thread = std::thread::Builder::new().name("fault proxy".into()).spawn(move || {
            runtime.block_on(async {
                let Ok(listener) = TcpListener::from_std(listener) else {
                    return;
                };
                tokio::select! {
                    _ = stopped.recv() => {}
                    () = accept(listener, target, observed) => {}
                }
            });
        })?;
        Ok(Proxy { port, faults, stop: Some(stop), thread: Some(thread) })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.port.address()
    }

    /// Changes what it does from now on, to open connections as well.
    pub fn set(&self, change: impl FnOnce(&mut Faults)) {
        self.faults.send_modify(change);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            // A panic in there has been printed already.
            let _ = thread.join();
        }
    }
}

async fn accept(listener: TcpListener, target: SocketAddr, faults: watch::Receiver<Faults>) {
    while let Ok((stream, _)) = listener.accept().await {
        if !faults.borrow().cut {
            let faults = faults.clone();
            // An error on either side ends both, which is all a proxy can do about it.
            tokio::spawn(async move {
                let _ = carry(stream, target, faults).await;
            });
        }
    }
}

/// One connection, until both directions have ended or the link is cut.
async fn carry(near: TcpStream, target: SocketAddr, mut faults: watch::Receiver<Faults>) -> io::Result<()> {
    let far = TcpStream::connect(target).await?;
    near.set_nodelay(true)?;
    far.set_nodelay(true)?;
    let (near_read, near_write) = near.into_split();
    let (far_read, far_write) = far.into_split();
    let forward = direction(near_read, far_write, faults.clone(), |faults| &faults.forward);
    let backward = direction(far_read, near_write, faults.clone(), |faults| &faults.backward);
    tokio::select! {
        _ = faults.wait_for(|faults| faults.cut) => Ok(()),
        ended = async { tokio::try_join!(forward, backward) } => ended.map(|_| ()),
    }
}

type Chunk = (Instant, Vec<u8>);

/// Copies one direction. Reading and writing are two tasks with a short queue between them, so that a delay is not a
/// limit of throughput.
async fn direction(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    faults: watch::Receiver<Faults>,
    flow: fn(&Faults) -> &Flow,
) -> io::Result<()> {
    let (sender, mut receiver) = mpsc::channel::<Chunk>(64);
    let mut reading = faults.clone();
    let read = async move {
        let mut position = 0;
        let mut chunk = vec![0; 65536];
        loop {
            unstalled(&mut reading, flow).await;
            let count = from.read(&mut chunk).await?;
            let Some(bytes) = chunk.get(..count).filter(|bytes| !bytes.is_empty()) else {
                return Ok(());
            };
            let mut bytes = bytes.to_vec();
            let (delay, flipped) = {
                let faults = reading.borrow();
                (flow(&faults).delay, flow(&faults).flipped)
            };
            let offset = flipped.and_then(|at| usize::try_from(at.checked_sub(position)?).ok());
            if let Some(byte) = offset.and_then(|offset| bytes.get_mut(offset)) {
                *byte ^= 1;
            }
            position += bytes.len() as u64;
            if sender.send((Instant::now() + delay, bytes)).await.is_err() {
                return Ok(());
            }
        }
    };
    let mut writing = faults;
    let write = async move {
        while let Some((due, bytes)) = receiver.recv().await {
            sleep_until(due).await;
            unstalled(&mut writing, flow).await;
            let rate = flow(&writing.borrow()).bytes_per_second;
            if let Some(rate) = rate {
                sleep(Duration::from_secs_f64(bytes.len() as f64 / f64::from(rate.max(1)))).await;
            }
            to.write_all(&bytes).await?;
        }
        to.shutdown().await
    };
    tokio::try_join!(read, write).map(|_: ((), ())| ())
}

async fn unstalled(faults: &mut watch::Receiver<Faults>, flow: fn(&Faults) -> &Flow) {
    // Ends with an error only when the proxy is being dropped.
    let _ = faults.wait_for(|faults| !flow(faults).stalled).await;
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpStream;

    use super::*;
    use crate::client::{Address, Client};

    /// A server that sends back what it gets.
    fn echo() -> SocketAddr {
        let listener = StdListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                std::thread::spawn(move || {
                    let mut chunk = [0; 4096];
                    while let Ok(count @ 1..) = stream.read(&mut chunk) {
                        stream.write_all(&chunk[..count]).unwrap();
                    }
                });
            }
        });
        address
    }

    fn through(proxy: &Proxy) -> Client {
        Client::connect(&Address::Tcp(proxy.address())).unwrap().patience(Duration::from_secs(5))
    }

    #[test]
    fn it_carries_bytes_and_half_closing() {
        let proxy = Proxy::start(echo()).unwrap();
        let mut client = through(&proxy);
        client.send(b"hello\n").unwrap();
        client.finish_sending();
        assert_eq!(client.read_to_end().unwrap(), b"hello\n");
    }

    #[test]
    fn it_flips_delays_stalls_and_cuts() {
        let proxy = Proxy::start(echo()).unwrap();
        proxy.set(|faults| faults.backward.flipped = Some(2));
        assert_eq!(through(&proxy).exchange("hello").unwrap(), "hemlo\r".trim_end());

        proxy.set(|faults| faults.backward = Flow { delay: Duration::from_millis(200), ..Flow::default() });
        let start = std::time::Instant::now();
        assert_eq!(through(&proxy).exchange("hello").unwrap(), "hello");
        assert!(start.elapsed() >= Duration::from_millis(200));

        proxy.set(|faults| faults.backward = Flow { stalled: true, ..Flow::default() });
        let mut client = through(&proxy).patience(Duration::from_millis(100));
        assert!(client.exchange("hello").is_err());
        proxy.set(|faults| *faults = Faults::default());
        assert_eq!(client.patience(Duration::from_secs(5)).line().unwrap(), "hello");

        let mut open = through(&proxy);
        assert_eq!(open.exchange("hello").unwrap(), "hello");
        proxy.set(|faults| faults.cut = true);
        assert_eq!(open.read_to_end().unwrap(), b"");
        let mut refused = TcpStream::connect(proxy.address()).unwrap();
        assert_eq!(refused.read(&mut [0; 1]).unwrap_or(0), 0);
    }
}
