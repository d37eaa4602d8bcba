//! Opening a connection to memcached, to the same content as before or none.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use thiserror::Error;
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;

use super::facts::{self, Facts, FactsError};
use crate::config::Upstream;
use crate::net::stream::Stream;

/// How long a connection may take to be made.
const CONNECT: Duration = Duration::from_secs(3);
/// How long an answer to a question of ours may take.
const ANSWER: Duration = Duration::from_secs(10);
/// The most bytes of an answer to a question of ours.
const ANSWER_MAX: usize = 256 << 10;

/// memcached cannot be used, now or at all.
#[derive(Debug, Error)]
pub enum BackendError {
    /// It does not answer.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// It answers, but this program cannot work with it.
    #[error("{0}")]
    Facts(#[from] FactsError),
    /// It is not the one that was there before.
    #[error("memcached was restarted")]
    Changed,
    /// It is another one, which this process cannot go on with.
    #[error("{0}")]
    Replaced(&'static str),
}

impl BackendError {
    /// Whether trying again is of no use.
    #[must_use]
    pub fn is_final(&self) -> bool {
        match self {
            Self::Io(_) | Self::Changed => false,
            Self::Facts(error) => error.is_final(),
            Self::Replaced(_) => true,
        }
    }
}

/// What tells one content of memcached from another: the socket's inode and change time, or process and start time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Marker {
    /// First half.
    pub high: u64,
    /// Second half.
    pub low: u64,
}

/// Opens a connection without asking anything.
///
/// # Errors
/// Nobody answers there.
pub async fn connect(at: &Upstream) -> io::Result<Stream> {
    let connecting = async {
        match at {
            Upstream::Unix(path) => UnixStream::connect(path).await.map(Stream::Unix),
            Upstream::Tcp(host) => {
                let stream = TcpStream::connect((host.host.as_str(), host.port)).await?;
                stream.set_nodelay(true)?;
                Ok(Stream::Tcp(stream))
            }
        }
    };
    timeout(CONNECT, connecting).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

/// Opens a connection and learns all about the memcached at its other end.
///
/// # Errors
/// Nobody answers there, or somebody that this program cannot work with.
pub async fn open(at: &Upstream) -> Result<(Stream, Facts, Marker), BackendError> {
    let before = socket_marker(at)?;
    let stream = connect(at).await?;
    let facts = facts::of(&ask(&stream, facts::QUESTIONS, facts::is_complete).await?)?;
    let marker = marker(at, before, &facts)?;
    Ok((stream, facts, marker))
}

/// Opens a connection to the content that `expected` stands for.
///
/// # Errors
/// Nobody answers there, or memcached has been restarted.
pub async fn reopen(at: &Upstream, expected: Marker) -> Result<Stream, BackendError> {
    let (stream, _, marker) = open(at).await?;
    if marker == expected { Ok(stream) } else { Err(BackendError::Changed) }
}

/// Sends `question` and returns the answer, as soon as it `is_complete`.
///
/// # Errors
/// The connection breaks, or the answer takes too long or does not end.
pub async fn ask(stream: &Stream, question: &[u8], is_complete: impl Fn(&[u8]) -> bool) -> io::Result<Vec<u8>> {
    let conversation = async {
        stream.write_all(question).await?;
        let mut answer = Vec::new();
        while !is_complete(&answer) {
            let old = answer.len();
            if old >= ANSWER_MAX {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "an answer of memcached does not end"));
            }
            answer.resize(old + (16 << 10), 0);
            let len = stream.read(answer.get_mut(old..).unwrap_or_default()).await?;
            answer.truncate(old + len);
            if len == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(answer)
    };
    timeout(ANSWER, conversation).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

fn socket_marker(at: &Upstream) -> io::Result<Option<Marker>> {
    match at {
        Upstream::Unix(path) => marker_of(path).map(Some),
        Upstream::Tcp(_) => Ok(None),
    }
}

/// A re-created socket may get the inode of the old one, but not its change time.
fn marker_of(path: &Path) -> io::Result<Marker> {
    let found = std::fs::metadata(path)?;
    let changed_ns = found.ctime().wrapping_mul(1_000_000_000).wrapping_add(found.ctime_nsec());
    Ok(Marker { high: found.ino(), low: changed_ns as u64 })
}

/// The socket's file must have been the same before and after the connection was made; then it led there.
fn marker(at: &Upstream, before: Option<Marker>, facts: &Facts) -> Result<Marker, BackendError> {
    match before {
        None => Ok(Marker { high: facts.pid, low: facts.started }),
        Some(before) if socket_marker(at)? == Some(before) => Ok(before),
        Some(_) => Err(BackendError::Changed),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::net::UnixListener;
    use std::time::Instant;

    use super::*;

    #[test]
    fn edge_36_the_same_inode_with_another_change_time_is_another_socket() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("socket");
        let _listener = UnixListener::bind(&path).expect("a socket");
        let before = marker_of(&path).expect("there");
        assert_eq!(marker_of(&path).expect("there"), before);
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            // The clock of change times may stand still for some milliseconds.
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o700)).expect("ours");
            let after = marker_of(&path).expect("there");
            assert_eq!(after.high, before.high, "the same inode");
            if after != before {
                return;
            }
            assert!(Instant::now() < deadline, "the change time stays {before:?}");
        }
    }
}
