//! A client's connection over TLS, used like a plain socket: what is there is read, what fits is written.

use std::io::{self, IoSlice, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use rustls::ServerConnection;
use tokio::io::Interest;
use tokio::net::TcpStream;

/// Bytes that are encrypted at once, and at most wait in encrypted form: one record.
const CHUNK: usize = 16 << 10;

/// See the module. Used by one thread at a time, so the lock is always free; it lets plain sockets, which share a type with
/// this one, be seen by several.
#[derive(Debug)]
pub struct TlsSocket {
    socket: TcpStream,
    session: Mutex<ServerConnection>,
    /// Bytes that are encrypted and not sent, and so were not reported as taken. Who offered them offers them again.
    owed: AtomicUsize,
    /// There may be plain text, or an end, of which the socket says nothing any more.
    buffered: AtomicBool,
}

/// The socket as rustls wants it.
struct Wire<'a> {
    fd: BorrowedFd<'a>,
    /// The last read took all there was.
    emptied: bool,
}

impl Read for Wire<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let len = rustix::io::read(self.fd, &mut *into)?;
        self.emptied = 0 < len && len < into.len();
        Ok(len)
    }
}

impl Write for Wire<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(rustix::io::write(self.fd, bytes)?)
    }

    fn write_vectored(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        Ok(rustix::io::writev(self.fd, pieces)?)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What came of a look at the socket.
enum Received {
    /// Something, and there may be more.
    Some,
    /// Nothing, or the last there is for now.
    Last,
}

impl TlsSocket {
    /// A connection whose handshake is done.
    #[must_use]
    pub fn new(socket: TcpStream, session: ServerConnection) -> Self {
        // The client may have sent more together with the end of the handshake.
        Self { socket, session: Mutex::new(session), owed: AtomicUsize::new(0), buffered: AtomicBool::new(true) }
    }

    fn session(&self) -> MutexGuard<'_, ServerConnection> {
        self.session.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ready when [`TlsSocket::try_read`] may find something.
    pub fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.buffered.load(Relaxed) { Poll::Ready(Ok(())) } else { self.socket.poll_read_ready(cx) }
    }

    /// Ready when [`TlsSocket::try_write`] may take something.
    pub fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.socket.poll_write_ready(cx)
    }

    /// Bytes of memory that wait to be sent.
    #[must_use]
    pub fn memory(&self) -> usize {
        self.owed.load(Relaxed)
    }

    /// Reads what is there: `None` is nothing yet, `Some(0)` the end.
    ///
    /// # Errors
    /// The connection is broken, or what came is no TLS.
    pub fn try_read(&self, into: &mut [u8]) -> io::Result<Option<usize>> {
        let mut session = self.session();
        self.buffered.store(false, Relaxed);
        let mut len = 0;
        let mut last = false;
        while let Some(room) = into.get_mut(len..).filter(|room| !room.is_empty()) {
            match session.reader().read(room) {
                Ok(0) => return Ok(self.ended(len)),
                Ok(more) => {
                    len += more;
                    continue;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                // A client that goes without a word of TLS has gone nonetheless.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(self.ended(len)),
                Err(error) => return Err(error),
            }
            if last {
                return Ok((len > 0).then_some(len));
            }
            last = matches!(self.receive(&mut session)?, Received::Last);
        }
        self.buffered.store(true, Relaxed);
        Ok(Some(len))
    }

    /// The end was found behind `len` bytes: it is told when they are taken.
    fn ended(&self, len: usize) -> Option<usize> {
        self.buffered.store(true, Relaxed);
        Some(len)
    }

    fn receive(&self, session: &mut ServerConnection) -> io::Result<Received> {
        let mut read = None;
        let mut wire = Wire { fd: self.socket.as_fd(), emptied: false };
        let tried = self.socket.try_io(Interest::READABLE, || {
            read = Some(session.read_tls(&mut wire)?);
            // Saying so now saves the call that would find it out.
            if wire.emptied { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(()) }
        });
        match (read, tried) {
            (None, Err(error)) if passing(&error) => return Ok(Received::Last),
            (None, Err(error)) => return Err(error),
            _ => {}
        }
        if let Err(error) = session.process_new_packets() {
            // The client is told what is wrong, if it listens.
            let _ = self.flush(session);
            return Err(io::Error::new(io::ErrorKind::InvalidData, error));
        }
        if session.wants_write() {
            self.flush(session)?;
        }
        Ok(if wire.emptied { Received::Last } else { Received::Some })
    }

    /// Writes as much as the socket takes; less than all means that it is full. What was not taken must be offered again,
    /// with or without more behind it.
    ///
    /// # Errors
    /// The connection is broken.
    pub fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        let mut session = self.session();
        let mut taken = 0;
        loop {
            if !self.flush(&mut session)? {
                return Ok(taken.min(bytes.len()));
            }
            taken += self.owed.swap(0, Relaxed);
            let rest = bytes.get(taken..).unwrap_or_default();
            if rest.is_empty() {
                return Ok(bytes.len());
            }
            let chunk = rest.get(..CHUNK).unwrap_or(rest);
            self.owed.store(session.writer().write(chunk)?, Relaxed);
        }
    }

    /// Sends what is encrypted; whether nothing is left.
    fn flush(&self, session: &mut ServerConnection) -> io::Result<bool> {
        while session.wants_write() {
            let mut wire = Wire { fd: self.socket.as_fd(), emptied: false };
            match self.socket.try_io(Interest::WRITABLE, || session.write_tls(&mut wire)) {
                Ok(_) => {}
                Err(error) if passing(&error) => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }
}

impl Drop for TlsSocket {
    fn drop(&mut self) {
        // So that the client can tell an end from a cut.
        let session = self.session.get_mut().unwrap_or_else(PoisonError::into_inner);
        session.send_close_notify();
        let mut wire = Wire { fd: self.socket.as_fd(), emptied: false };
        while session.wants_write() && matches!(session.write_tls(&mut wire), Ok(1..)) {}
    }
}

/// Not now, but the connection is all right.
fn passing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}

#[cfg(test)]
mod tests;
