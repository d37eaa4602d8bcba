//! A client of memcached that sends any bytes and reads with a deadline.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

/// How long an answer may take unless [`Client::patience`] says otherwise.
const PATIENCE: Duration = Duration::from_secs(10);

/// Where something listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// host and port
    Tcp(SocketAddr),
    /// path of a socket
    Unix(PathBuf),
}

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Self {
        Address::Tcp(address)
    }
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Address::Tcp(address) => write!(f, "{address}"),
            Address::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

#[derive(Debug)]
enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

/// One `VALUE` of a `gets`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Value {
    /// the client's flags
    pub flags: u32,
    /// the cas number
    pub cas: u64,
    /// the bytes
    pub data: Vec<u8>,
}

impl Value {
    /// The bytes as text, for messages and comparisons.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.data).into_owned()
    }
}

/// What a read came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Arrival {
    Bytes,
    Closed,
}

/// A connection.
#[derive(Debug)]
pub struct Client {
    stream: Stream,
    /// received and not handed out yet
    input: Vec<u8>,
    closed: bool,
    patience: Duration,
}

impl Client {
    /// Connects.
    pub fn connect(address: &Address) -> Result<Self> {
        Self::connect_within(address, PATIENCE)
    }

    /// Connects, or gives up after so long.
    pub fn connect_within(address: &Address, patience: Duration) -> Result<Self> {
        let stream = match address {
            Address::Tcp(address) => {
                let stream = TcpStream::connect_timeout(address, patience);
                let stream = stream.with_context(|| format!("cannot connect to {address}"))?;
                stream.set_nodelay(true)?;
                Stream::Tcp(stream)
            }
            Address::Unix(path) => {
                let stream = UnixStream::connect(path);
                Stream::Unix(stream.with_context(|| format!("cannot connect to {}", path.display()))?)
            }
        };
        Ok(Client { stream, input: Vec::new(), closed: false, patience: PATIENCE })
    }

    /// The same with another deadline for each answer.
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Sends all the bytes. A peer that has closed is no error here: reading will tell.
    pub fn send(&mut self, bytes: &[u8]) -> Result<()> {
        let (write, timeout): (&mut dyn Write, io::Result<()>) = match &mut self.stream {
            Stream::Tcp(stream) => {
                let set = stream.set_write_timeout(Some(self.patience));
                (stream, set)
            }
            Stream::Unix(stream) => {
                let set = stream.set_write_timeout(Some(self.patience));
                (stream, set)
            }
        };
        timeout?;
        match write.write_all(bytes) {
            Err(error) if matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset) => Ok(()),
            other => other.with_context(|| format!("cannot send {} bytes", bytes.len())),
        }
    }

    /// Whether the other side has closed it, as far as was read.
    pub fn is_closed(&self) -> bool {
        self.closed
    }

    /// Says that nothing more will be sent; answers can still be read.
    pub fn finish_sending(&mut self) {
        // Fails only when the other side is gone, which reading will tell.
        let _ = match &self.stream {
            Stream::Tcp(stream) => stream.shutdown(Shutdown::Write),
            Stream::Unix(stream) => stream.shutdown(Shutdown::Write),
        };
    }

    /// Waits for bytes until `end`. A reset counts as closed: which of the two a client sees depends on whether the
    /// server had unread bytes, and that on timing.
    fn receive(&mut self, end: Instant) -> Result<Arrival> {
        if self.closed {
            return Ok(Arrival::Closed);
        }
        let left = end.saturating_duration_since(Instant::now());
        ensure!(!left.is_zero(), "no answer in time");
        let mut chunk = [0; 65536];
        let received = match &mut self.stream {
            Stream::Tcp(stream) => stream.set_read_timeout(Some(left)).and_then(|()| stream.read(&mut chunk)),
            Stream::Unix(stream) => stream.set_read_timeout(Some(left)).and_then(|()| stream.read(&mut chunk)),
        };
        match received {
            Ok(0) => self.closed = true,
            Ok(count) => {
                self.input.extend_from_slice(&chunk[..count]);
                return Ok(Arrival::Bytes);
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                bail!("no answer in time")
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => return Ok(Arrival::Bytes),
            Err(error) if matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe) => {
                self.closed = true;
            }
            Err(error) => return Err(error).context("cannot receive"),
        }
        Ok(Arrival::Closed)
    }

    /// Reads until `complete`, given all bytes so far, says how many of them belong to the answer, or until the other
    /// side closes. Returns the bytes and whether it closed.
    pub fn read_or_closed(&mut self, mut complete: impl FnMut(&[u8]) -> Option<usize>) -> Result<(Vec<u8>, bool)> {
        let end = Instant::now() + self.patience;
        loop {
            if let Some(length) = complete(&self.input) {
                let rest = self.input.split_off(length.min(self.input.len()));
                return Ok((std::mem::replace(&mut self.input, rest), false));
            }
            let arrival = self.receive(end);
            let arrival = arrival.with_context(|| format!("received so far: {:?}", Excerpt(&self.input)))?;
            if arrival == Arrival::Closed {
                return Ok((std::mem::take(&mut self.input), true));
            }
        }
    }

    /// Like [`Self::read_or_closed`], where closing is an error.
    pub fn read_until(&mut self, complete: impl FnMut(&[u8]) -> Option<usize>) -> Result<Vec<u8>> {
        match self.read_or_closed(complete)? {
            (bytes, false) => Ok(bytes),
            (bytes, true) => bail!("connection closed after {:?}", Excerpt(&bytes)),
        }
    }

    /// Reads exactly `count` bytes.
    pub fn read_exact(&mut self, count: usize) -> Result<Vec<u8>> {
        self.read_until(|input| (input.len() >= count).then_some(count))
    }

    /// Reads all there is until the other side closes.
    pub fn read_to_end(&mut self) -> Result<Vec<u8>> {
        Ok(self.read_or_closed(|_| None)?.0)
    }

    /// Reads one line, without its `\r\n`.
    pub fn line(&mut self) -> Result<String> {
        let line = self.read_until(|input| input.iter().position(|&byte| byte == b'\n').map(|at| at + 1))?;
        Ok(String::from_utf8_lossy(&line).trim_end_matches(['\r', '\n']).to_owned())
    }

    /// Sends one command (its `\r\n` is added) and returns the first line of the answer.
    pub fn exchange(&mut self, command: &str) -> Result<String> {
        self.send(format!("{command}\r\n").as_bytes())?;
        self.line()
    }

    /// Sends a command and returns the lines of the answer before `END` (or whatever `last` is).
    pub fn lines_until(&mut self, command: &str, last: &str) -> Result<Vec<String>> {
        self.send(format!("{command}\r\n").as_bytes())?;
        let mut lines = Vec::new();
        loop {
            let line = self.line()?;
            if line == last {
                return Ok(lines);
            }
            let failed = ["ERROR", "CLIENT_ERROR", "SERVER_ERROR", "BUSY"].iter().any(|word| line.starts_with(word));
            ensure!(!failed, "{command}: {line}");
            lines.push(line);
        }
    }

    /// `set`; an error unless STORED.
    pub fn set(&mut self, key: &str, value: &str) -> Result<()> {
        let answer = self.store("set", key, 0, 0, value.as_bytes())?;
        ensure!(answer == "STORED", "set {key}: {answer}");
        Ok(())
    }

    /// Any storage command without a cas number; returns the answer.
    pub fn store(&mut self, command: &str, key: &str, flags: u32, exptime: i64, value: &[u8]) -> Result<String> {
        let mut bytes = format!("{command} {key} {flags} {exptime} {}\r\n", value.len()).into_bytes();
        bytes.extend_from_slice(value);
        bytes.extend_from_slice(b"\r\n");
        self.send(&bytes)?;
        self.line()
    }

    /// `cas`; returns the answer.
    pub fn cas(&mut self, key: &str, value: &str, cas: u64) -> Result<String> {
        self.exchange(&format!("cas {key} 0 0 {} {cas}\r\n{value}", value.len()))
    }

    /// `gets` of one key.
    pub fn gets(&mut self, key: &str) -> Result<Option<Value>> {
        self.send(format!("gets {key}\r\n").as_bytes())?;
        let Some(value) = self.value(key)? else {
            return Ok(None);
        };
        let end = self.line()?;
        ensure!(end == "END", "gets {key}: {end:?} instead of END");
        Ok(Some(value))
    }

    /// The value of a key as text.
    pub fn get(&mut self, key: &str) -> Result<Option<String>> {
        Ok(self.gets(key)?.map(|value| value.text()))
    }

    /// Reads one `VALUE` of a `gets`, or its `END` (None).
    fn value(&mut self, key: &str) -> Result<Option<Value>> {
        let header = self.line()?;
        if header == "END" {
            return Ok(None);
        }
        let mut words = header.split(' ');
        ensure!(words.next() == Some("VALUE") && words.next() == Some(key), "gets {key}: {header:?}");
        let mut number = || -> Result<u64> { Ok(words.next().context("too few words")?.parse()?) };
        let (flags, length, cas) = (number()?, number()?, number()?);
        let length = usize::try_from(length)?;
        let mut data = self.read_exact(length + 2)?;
        ensure!(data.ends_with(b"\r\n"), "gets {key}: the value does not end with a line end");
        data.truncate(length);
        Ok(Some(Value { flags: u32::try_from(flags)?, cas, data }))
    }
}

/// Bytes for a message: escaped, and shortened in the middle.
pub struct Excerpt<'a>(
    /// the bytes
    pub &'a [u8],
);

impl std::fmt::Debug for Excerpt<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        const SHOWN: usize = 200;
        match (self.0.get(..SHOWN), self.0.get(self.0.len().saturating_sub(SHOWN)..)) {
            (Some(head), Some(tail)) if self.0.len() > 2 * SHOWN => {
                let left_out = self.0.len() - 2 * SHOWN;
                write!(f, "\"{}\" ({left_out} more) \"{}\"", head.escape_ascii(), tail.escape_ascii())
            }
            _ => write!(f, "\"{}\"", self.0.escape_ascii()),
        }
    }
}
