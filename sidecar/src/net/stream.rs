//! A connected socket, TCP, unix or TLS, used through a shared reference.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::task::{Context, Poll, ready};

use rustix::net::{RecvFlags, SendFlags, recv, send};
use tokio::io::Interest;
use tokio::net::{TcpStream, UnixStream};

use super::tls::TlsSocket;

/// See the module. At most one task waits for each direction.
#[derive(Debug)]
pub enum Stream {
    /// Over TCP.
    Tcp(TcpStream),
    /// Over a unix socket.
    Unix(UnixStream),
    /// Over TLS; clients only.
    Tls(Box<TlsSocket>),
}

/// A connected socket on its way from one thread's runtime to another's.
#[derive(Debug)]
pub enum Detached {
    /// Over TCP.
    Tcp(std::net::TcpStream),
    /// Over a unix socket.
    Unix(std::os::unix::net::UnixStream),
    /// Over TLS, after the handshake and before anything else.
    Tls(std::net::TcpStream, Box<rustls::ServerConnection>),
}

impl Detached {
    /// Takes the socket over into the runtime of this thread.
    ///
    /// # Errors
    /// It cannot be registered there.
    pub fn attach(self) -> io::Result<Stream> {
        Ok(match self {
            Self::Tcp(stream) => Stream::Tcp(TcpStream::from_std(stream)?),
            Self::Unix(stream) => Stream::Unix(UnixStream::from_std(stream)?),
            Self::Tls(stream, session) => Stream::Tls(Box::new(TlsSocket::new(TcpStream::from_std(stream)?, *session))),
        })
    }
}

impl Stream {
    /// Takes the socket out of the runtime of this thread.
    ///
    /// # Errors
    /// The runtime does not let it go.
    pub fn detach(self) -> io::Result<Detached> {
        Ok(match self {
            Self::Tcp(stream) => Detached::Tcp(stream.into_std()?),
            Self::Unix(stream) => Detached::Unix(stream.into_std()?),
            Self::Tls(_) => return Err(io::ErrorKind::Unsupported.into()),
        })
    }

    /// Ready when [`Stream::try_read`] may find something.
    pub fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(stream) => stream.poll_read_ready(cx),
            Self::Unix(stream) => stream.poll_read_ready(cx),
            Self::Tls(stream) => stream.poll_readable(cx),
        }
    }

    /// Ready when [`Stream::try_write`] may take something.
    pub fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(stream) => stream.poll_write_ready(cx),
            Self::Unix(stream) => stream.poll_write_ready(cx),
            Self::Tls(stream) => stream.poll_writable(cx),
        }
    }

    fn try_io(&self, interest: Interest, io: impl FnOnce(BorrowedFd<'_>) -> io::Result<()>) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.try_io(interest, || io(stream.as_fd())),
            Self::Unix(stream) => stream.try_io(interest, || io(stream.as_fd())),
            // it reads and writes for itself
            Self::Tls(_) => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    /// Bytes of memory, beside those of the system, that wait to be sent.
    #[must_use]
    pub fn memory(&self) -> usize {
        match self {
            Self::Tcp(_) | Self::Unix(_) => 0,
            Self::Tls(stream) => stream.memory(),
        }
    }

    /// Reads what is there: `None` is nothing yet, `Some(0)` the end.
    ///
    /// # Errors
    /// The connection is broken.
    pub fn try_read(&self, into: &mut [u8]) -> io::Result<Option<usize>> {
        if let Self::Tls(stream) = self {
            return stream.try_read(into);
        }
        let room = into.len();
        self.try_read_with(room, |fd| Ok(recv(fd, into, RecvFlags::empty())?.1))
    }

    /// Reads by `read`, which has so much room.
    fn try_read_with(
        &self,
        room: usize,
        read: impl FnOnce(BorrowedFd<'_>) -> rustix::io::Result<usize>,
    ) -> io::Result<Option<usize>> {
        let mut done = None;
        let tried = self.try_io(Interest::READABLE, |fd| {
            let len = read(fd)?;
            done = Some(len);
            // Less than there was room for: nothing is left, and saying so saves the call that would find that out.
            if len > 0 && len < room { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(()) }
        });
        match (done, tried) {
            (None, Err(error)) if !passing(&error) => Err(error),
            (done, _) => Ok(done),
        }
    }

    /// Reads what is there behind what `into` holds, within its capacity: `None` is nothing yet, `Some(0)` the end.
    ///
    /// # Errors
    /// The connection is broken, or of TLS, which has no bytes to read before they are decrypted.
    pub fn try_append(&self, into: &mut Vec<u8>) -> io::Result<Option<usize>> {
        let room = into.capacity() - into.len();
        self.try_read_with(room, |fd| {
            recv(fd, rustix::buffer::spare_capacity(into), RecvFlags::empty()).map(|(len, _)| len)
        })
    }

    /// Writes as much as the socket takes; less than all means that it is full, and the rest must be offered again.
    ///
    /// # Errors
    /// The connection is broken.
    pub fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        if let Self::Tls(stream) = self {
            return stream.try_write(bytes);
        }
        let mut written = None;
        let tried = self.try_io(Interest::WRITABLE, |fd| {
            let len = send(fd, bytes, SendFlags::NOSIGNAL)?;
            written = Some(len);
            if len < bytes.len() { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(()) }
        });
        match (written, tried) {
            (None, Err(error)) if !passing(&error) => Err(error),
            (written, _) => Ok(written.unwrap_or(0)),
        }
    }

    /// Reads what is there, or waits for it; 0 is the end.
    pub fn poll_read(&self, cx: &mut Context<'_>, into: &mut [u8]) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.poll_readable(cx))?;
            if let Some(len) = self.try_read(into)? {
                return Poll::Ready(Ok(len));
            }
        }
    }

    /// Reads what is there, or waits for it; 0 is the end.
    ///
    /// # Errors
    /// The connection is broken.
    pub async fn read(&self, into: &mut [u8]) -> io::Result<usize> {
        std::future::poll_fn(|cx| self.poll_read(cx, into)).await
    }

    /// Writes everything.
    ///
    /// # Errors
    /// The connection is broken.
    pub async fn write_all(&self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            std::future::poll_fn(|cx| self.poll_writable(cx)).await?;
            let written = self.try_write(bytes)?;
            bytes = bytes.get(written..).unwrap_or_default();
        }
        Ok(())
    }
}

/// Not now, but the connection is all right.
fn passing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn bytes_pass_and_fullness_and_the_end_are_told() {
        let (a, b) = UnixStream::pair().unwrap();
        let (a, b) = (Stream::Unix(a), Stream::Unix(b));
        a.write_all(b"hello").await.unwrap();
        let mut buffer = [0; 16];
        assert_eq!(b.read(&mut buffer).await.unwrap(), 5);
        assert_eq!(b.try_read(&mut buffer).unwrap(), None);
        let much = vec![7; 1 << 20];
        let written = a.try_write(&much).unwrap();
        assert!(written > 0 && written < much.len());
        assert_eq!(a.try_write(&much).unwrap(), 0);
        let mut read = 0;
        drop(a);
        let mut big = vec![0; 64 << 10];
        loop {
            match b.read(&mut big).await.unwrap() {
                0 => break,
                len => read += len,
            }
        }
        assert_eq!(read, written);
        assert!(b.try_write(b"x").is_err());
    }
}
