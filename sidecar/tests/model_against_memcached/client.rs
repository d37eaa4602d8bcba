//! One connection to a real memcached.

use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use crate::real_memcached::Memcached;

/// Longer than a memcached thinks; what has not arrived by then is missing.
const PATIENCE: Duration = Duration::from_millis(150);

pub(crate) struct Client {
    stream: UnixStream,
}

impl Client {
    pub(crate) fn new(memcached: &Memcached) -> Self {
        let stream = memcached.connect().expect("memcached listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        Self { stream }
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) {
        // a refused connection shows in what is read
        let _ = self.stream.write_all(bytes);
    }

    /// Reads until so many bytes are there, the connection is closed, or nothing arrives for a while.
    pub(crate) fn receive(&mut self, len: usize) -> Vec<u8> {
        self.receive_until(|received| received.len() >= len)
    }

    /// As [`Self::receive`], up to any end.
    pub(crate) fn receive_until(&mut self, complete: impl Fn(&[u8]) -> bool) -> Vec<u8> {
        let mut received = Vec::new();
        let mut buffer = [0; 1 << 16];
        while !complete(&received) {
            match self.stream.read(&mut buffer) {
                Ok(0) => break,
                Ok(len) => received.extend_from_slice(&buffer[..len]),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
        received
    }

    /// What arrived beyond what was waited for.
    pub(crate) fn excess(&mut self) -> Vec<u8> {
        let mut excess = vec![0; 1 << 16];
        let _ = self.stream.set_nonblocking(true);
        let len = self.stream.read(&mut excess).unwrap_or(0);
        let _ = self.stream.set_nonblocking(false);
        excess.truncate(len);
        excess
    }

    /// Sends a command and reads up to the end of its answer.
    pub(crate) fn ask(&mut self, command: &[u8], end: &[u8]) -> Vec<u8> {
        self.send(command);
        self.receive_until(|received| received.ends_with(end))
    }
}
