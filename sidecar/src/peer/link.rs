//! The connection to the peer in use.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::sync::oneshot;
use tokio::task::spawn_local;
use tokio::time::timeout;

use super::accept::Greeted;
use super::choose::{self, Current, Known, Process};
use super::dial::{Dialled, Door};
use super::transport::PeerStream;
use crate::clock::{Now, ReplicaId};
use crate::logging::Repeats;
use crate::net::buffer::{ReadBuffer, Sent};
use crate::replication::link::LinkError;
use crate::replication::message::{Frame, Hello, MAX_FRAME, MAX_HELLO, Refusal};
use crate::replication::replicator::Replicator;
use crate::stats::{HandshakeRefusal, Stats};

/// Bytes read from the peer at once; more only while a frame is longer.
pub(super) const READ: usize = 256 << 10;
/// Capacity that the output keeps.
pub(super) const OUTPUT_KEEP: usize = 2 << 20;
/// With this much sent at once there may be more in the log.
const MUCH: usize = 256 << 10;
/// Reads before others have their turn.
const READS: usize = 8;
/// How long the last words to a connection may take.
const LAST_WORDS: Duration = Duration::from_secs(1);

#[derive(Debug)]
struct Link {
    stream: PeerStream,
    address: SocketAddr,
    dialled_by: ReplicaId,
    input: ReadBuffer,
    sent: Sent,
    /// Bytes of the input could not be taken yet.
    stalled: bool,
    /// What is sent has to leave the layer of TLS too.
    unflushed: bool,
    heard_ms: u64,
    process: Option<Process>,
    /// The greeting is over, and the log said so.
    up: bool,
    /// Tells the dialling task.
    linked: Option<oneshot::Sender<()>>,
}

/// The link in use, or none, and what was learnt of the other replica.
#[derive(Debug)]
pub(super) struct Links {
    own: ReplicaId,
    pair_id: String,
    door: Rc<Door>,
    stats: Arc<Stats>,
    link: Option<Link>,
    known: Known,
    fenced: bool,
    problems: Repeats,
}

/// Why a link ends.
enum End {
    /// The pure code says so.
    Error(LinkError),
    /// The socket says so.
    Io(io::Error),
    /// Another connection takes its place.
    Replaced,
    /// This process stood still.
    StoodStill,
    /// Another process has our replica id.
    Fenced,
}

impl Links {
    pub(super) fn new(own: ReplicaId, pair_id: String, door: Rc<Door>, stats: Arc<Stats>) -> Self {
        let problems = Repeats::default();
        Self { own, pair_id, door, stats, link: None, known: Known::default(), fenced: false, problems }
    }

    /// Whether a newer process has our replica id, which is for ever.
    pub(super) fn is_fenced(&self) -> bool {
        self.fenced
    }

    /// Whether there ever was a link.
    pub(super) fn had_any(&self) -> bool {
        self.known.is_any()
    }

    /// Another process has our replica id: there is no link any more.
    pub(super) fn fence(&mut self, replicator: &mut Replicator) {
        self.fenced = true;
        self.end(replicator, End::Fenced, None);
        self.door.take();
    }

    /// What the link says may be old: it is made anew.
    pub(super) fn renew(&mut self, replicator: &mut Replicator) {
        self.end(replicator, End::StoodStill, None);
    }

    /// Says whether clients wait for the first sync.
    pub(super) fn set_syncing(&self, syncing: bool) {
        self.door.syncing.set(syncing);
    }

    /// A connection that this side dialled: used where there is none.
    pub(super) fn dialled(&mut self, replicator: &mut Replicator, dialled: Dialled, now: Now) {
        if self.link.is_some() || self.fenced {
            return;
        }
        let Dialled { stream, address, linked } = dialled;
        self.take(replicator, stream, address, (self.own, Some(linked)), &[], now);
    }

    /// A connection that the other side dialled and has greeted on.
    pub(super) fn greeted(&mut self, replicator: &mut Replicator, greeted: Greeted, now: Now) {
        if self.fenced {
            return;
        }
        let Greeted { stream, address, hello, bytes } = greeted;
        let current = self.link.as_ref().map(|link| Current {
            dialled_by: link.dialled_by,
            process: link.process,
            silent_ms: now.mono_ms().saturating_sub(link.heard_ms),
        });
        match choose::choose(self.own, &self.pair_id, current.as_ref(), &self.known, &hello, now) {
            Ok(()) => {
                self.end(replicator, End::Replaced, Some(&hello));
                self.take(replicator, stream, address, (hello.replica, None), &bytes, now);
                self.read_on(replicator, now);
            }
            Err(refusal) => {
                self.count(refusal);
                if refusal != Refusal::Duplicate && self.problems.is_news(&format!("{} {refusal}", address.ip())) {
                    tracing::warn!(%address, "refused as a peer: {refusal}");
                }
                last_words(stream, frame(refusal));
            }
        }
    }

    fn count(&self, refusal: Refusal) {
        let reason = match refusal {
            Refusal::Protocol => HandshakeRefusal::Protocol,
            Refusal::Pair => HandshakeRefusal::Pair,
            Refusal::SameReplica => HandshakeRefusal::Replica,
            Refusal::Fenced => HandshakeRefusal::Fenced,
            // That is no fault of anybody.
            Refusal::Duplicate => return,
        };
        if let Some(counter) = self.stats.replication.handshakes_refused.get(reason as usize) {
            counter.add_shared(1);
        }
    }

    fn take(
        &mut self,
        replicator: &mut Replicator,
        stream: PeerStream,
        address: SocketAddr,
        (dialled_by, linked): (ReplicaId, Option<oneshot::Sender<()>>),
        bytes: &[u8],
        now: Now,
    ) {
        let mut input = ReadBuffer::new(READ, MAX_FRAME + 8);
        input.preload(bytes);
        self.link = Some(Link {
            stream,
            address,
            dialled_by,
            input,
            sent: Sent::default(),
            stalled: false,
            unflushed: false,
            heard_ms: now.mono_ms(),
            process: None,
            up: false,
            linked,
        });
        self.door.take();
        replicator.link_opened(now);
    }

    /// Closes the link. `successor`: who takes its place.
    fn end(&mut self, replicator: &mut Replicator, end: End, successor: Option<&Hello>) {
        let Some(link) = self.link.take() else { return };
        let Link { stream, address, sent, process, up, .. } = link;
        let mut words = sent.rest(replicator.link_output()).to_vec();
        let mut news = || self.problems.is_news(&format!("{} {end}", address.ip()));
        match &end {
            End::Error(LinkError::Refused(refusal)) => {
                if news() {
                    tracing::warn!(%address, "refused as a peer: {refusal}");
                }
            }
            End::Error(LinkError::RefusedByPeer(Refusal::SameReplica)) if !up => {
                tracing::debug!(%address, "that is this sidecar itself, or one with the same replica id");
            }
            End::Error(LinkError::RefusedByPeer(Refusal::Duplicate)) => {}
            End::Error(LinkError::RefusedByPeer(refusal)) => {
                if news() {
                    tracing::warn!(%address, "refused by the peer: {refusal}");
                }
            }
            End::Replaced => {
                let older = successor.zip(process).is_some_and(|(hello, process)| hello.boot != process.boot);
                words = frame(if older { Refusal::Fenced } else { Refusal::Duplicate });
            }
            _ if up => tracing::warn!(%address, "link lost: {end}"),
            _ => {
                if news() {
                    tracing::warn!(%address, "no link: {end}");
                }
            }
        }
        match end {
            End::Error(LinkError::Refused(refusal)) => self.count(refusal),
            End::Error(LinkError::RefusedByPeer(Refusal::Fenced)) => self.fenced = true,
            _ => {}
        }
        replicator.link_closed();
        self.stats.replication.peer_connected.set(0);
        // One that is fenced has nobody to dial.
        if !self.fenced {
            self.door.free();
        }
        match end {
            End::Io(_) | End::StoodStill => {}
            _ => last_words(stream, words),
        }
    }

    /// What the replicator says of the link without having been given bytes.
    pub(super) fn look_after(&mut self, replicator: &mut Replicator, _now: Now) {
        if let Some(error) = replicator.link_failed() {
            self.end(replicator, End::Error(error), None);
        }
    }

    /// Sends to the peer; whether much was sent.
    pub(super) fn poll_write(&mut self, replicator: &mut Replicator, cx: &mut Context<'_>, now: Now) -> bool {
        let Some(link) = &mut self.link else { return false };
        match write(link, replicator.link_output(), cx) {
            Ok(0) => false,
            Ok(len) => {
                self.stats.replication.bytes_sent.add(len as u64);
                if len >= MUCH {
                    replicator.turn(now);
                }
                len >= MUCH
            }
            Err(error) => {
                self.end(replicator, End::Io(error), None);
                true
            }
        }
    }

    /// Takes what the peer sent; whether it was anything.
    pub(super) fn poll_read(&mut self, replicator: &mut Replicator, cx: &mut Context<'_>, now: Now) -> bool {
        let mut progress = false;
        for _ in 0..READS {
            let Some(link) = &mut self.link else { break };
            if !replicator.link_wants_input() {
                break;
            }
            if !std::mem::take(&mut link.stalled) {
                match read(link, cx) {
                    Poll::Pending => break,
                    Poll::Ready(Ok(0)) => {
                        self.end(replicator, End::Io(io::Error::other("closed by the peer")), None);
                        return true;
                    }
                    Poll::Ready(Ok(len)) => {
                        link.heard_ms = now.mono_ms();
                        self.stats.replication.bytes_received.add(len as u64);
                    }
                    Poll::Ready(Err(error)) => {
                        self.end(replicator, End::Io(error), None);
                        return true;
                    }
                }
            }
            progress = true;
            self.read_on(replicator, now);
        }
        progress
    }

    /// Gives the replicator what was read.
    fn read_on(&mut self, replicator: &mut Replicator, now: Now) {
        let Some(link) = &mut self.link else { return };
        if link.process.is_none()
            && let Ok(Some((Frame::Hello(hello), _))) = Frame::decode(link.input.filled(), MAX_HELLO)
        {
            let process = Process::new(&hello, now);
            link.process = Some(process);
            if self.known.is_replaced(process) {
                Frame::Refused(Refusal::Fenced).encode(replicator.link_output());
                return self.end(replicator, End::Error(LinkError::Refused(Refusal::Fenced)), None);
            }
        }
        match replicator.link_input(link.input.filled(), now) {
            Ok(consumed) => link.input.consume(consumed),
            Err(error) => return self.end(replicator, End::Error(error), None),
        }
        link.stalled = !replicator.link_wants_input() && !link.input.filled().is_empty();
        if !link.up && replicator.is_linked() {
            link.up = true;
            if let Some(process) = link.process {
                self.known.linked(process);
            }
            self.problems.clear();
            if let Some(linked) = link.linked.take() {
                let _ = linked.send(());
            }
            let stats = &self.stats.replication;
            stats.sessions.add(1);
            stats.peer_connected.set(1);
            tracing::info!(address = %link.address, dialled_by = link.dialled_by.get(), "linked with the peer");
        }
    }
}

impl std::fmt::Display for End {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            End::Error(error) => error.fmt(f),
            End::Io(error) => error.fmt(f),
            End::Replaced => f.write_str("replaced"),
            End::StoodStill => f.write_str("this process stood still"),
            End::Fenced => f.write_str("another process has this replica id"),
        }
    }
}

fn frame(refusal: Refusal) -> Vec<u8> {
    let mut bytes = Vec::new();
    Frame::Refused(refusal).encode(&mut bytes);
    bytes
}

/// Sends the last bytes and closes; nobody waits for that.
fn last_words(mut stream: PeerStream, words: Vec<u8>) {
    spawn_local(async move {
        let saying = async {
            stream.write_all(&words).await?;
            stream.shutdown().await
        };
        let _ = timeout(LAST_WORDS, saying).await;
    });
}

fn write(link: &mut Link, output: &mut Vec<u8>, cx: &mut Context<'_>) -> io::Result<usize> {
    let mut written = 0;
    while link.sent.left(output) > 0 {
        match Pin::new(&mut link.stream).poll_write(cx, link.sent.rest(output)) {
            Poll::Ready(Ok(0)) => return Err(io::ErrorKind::WriteZero.into()),
            Poll::Ready(Ok(len)) => {
                link.sent.advance(output, len, OUTPUT_KEEP);
                link.unflushed = true;
                written += len;
            }
            Poll::Ready(Err(error)) => return Err(error),
            Poll::Pending => return Ok(written),
        }
    }
    if link.unflushed {
        match Pin::new(&mut link.stream).poll_flush(cx) {
            Poll::Ready(flushed) => {
                flushed?;
                link.unflushed = false;
            }
            Poll::Pending => {}
        }
    }
    Ok(written)
}

fn read(link: &mut Link, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
    let space = link.input.space();
    if space.is_empty() {
        return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, "a frame is too long")));
    }
    let mut buf = ReadBuf::new(space);
    match Pin::new(&mut link.stream).poll_read(cx, &mut buf) {
        Poll::Ready(Ok(())) => {
            let len = buf.filled().len();
            link.input.filled_by(len);
            Poll::Ready(Ok(len))
        }
        Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
        Poll::Pending => Poll::Pending,
    }
}
