//! Packets of the binary protocol, for tests: any bytes can be made, and what is received is taken as it came.

use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};

use crate::client::Client;
use crate::latin1;

/// Bytes of a header.
pub const HEADER: usize = 24;

/// Opcodes, by the names of memcached's own list.
#[allow(missing_docs, reason = "the names say it")]
pub mod opcode {
    pub const GET: u8 = 0x00;
    pub const SET: u8 = 0x01;
    pub const ADD: u8 = 0x02;
    pub const REPLACE: u8 = 0x03;
    pub const DELETE: u8 = 0x04;
    pub const INCREMENT: u8 = 0x05;
    pub const DECREMENT: u8 = 0x06;
    pub const QUIT: u8 = 0x07;
    pub const FLUSH: u8 = 0x08;
    pub const GETQ: u8 = 0x09;
    pub const NOOP: u8 = 0x0a;
    pub const VERSION: u8 = 0x0b;
    pub const GETK: u8 = 0x0c;
    pub const GETKQ: u8 = 0x0d;
    pub const APPEND: u8 = 0x0e;
    pub const PREPEND: u8 = 0x0f;
    pub const STAT: u8 = 0x10;
    pub const SETQ: u8 = 0x11;
    pub const ADDQ: u8 = 0x12;
    pub const REPLACEQ: u8 = 0x13;
    pub const DELETEQ: u8 = 0x14;
    pub const INCREMENTQ: u8 = 0x15;
    pub const DECREMENTQ: u8 = 0x16;
    pub const QUITQ: u8 = 0x17;
    pub const FLUSHQ: u8 = 0x18;
    pub const APPENDQ: u8 = 0x19;
    pub const PREPENDQ: u8 = 0x1a;
    pub const VERBOSITY: u8 = 0x1b;
    pub const TOUCH: u8 = 0x1c;
    pub const GAT: u8 = 0x1d;
    pub const GATQ: u8 = 0x1e;
    pub const SASL_LIST: u8 = 0x20;
    pub const SASL_AUTH: u8 = 0x21;
    pub const SASL_STEP: u8 = 0x22;
    pub const GATK: u8 = 0x23;
    pub const GATKQ: u8 = 0x24;
}

/// A request, or an answer.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Packet {
    /// 0x80 of a request, 0x81 of an answer
    #[serde(default = "request", skip_serializing_if = "is_request")]
    pub magic: u8,
    /// what is asked
    pub opcode: u8,
    /// what is added to the true length of the key in the header
    #[serde(default, skip_serializing_if = "is_default")]
    pub key_off: i32,
    /// the same for the extras
    #[serde(default, skip_serializing_if = "is_default")]
    pub extras_off: i32,
    /// the same for the body
    #[serde(default, skip_serializing_if = "is_default")]
    pub body_off: i64,
    /// byte 5
    #[serde(default, skip_serializing_if = "is_default")]
    pub data_type: u8,
    /// of an answer; a request may have anything here
    #[serde(default, skip_serializing_if = "is_default")]
    pub status: u16,
    /// comes back
    #[serde(default, skip_serializing_if = "is_default")]
    pub opaque: u32,
    /// 0: none
    #[serde(default, skip_serializing_if = "is_default")]
    pub cas: u64,
    /// flags, exptime, numbers
    #[serde(default, with = "latin1", skip_serializing_if = "is_default")]
    pub extras: Vec<u8>,
    /// the key
    #[serde(default, with = "latin1", skip_serializing_if = "is_default")]
    pub key: Vec<u8>,
    /// the value, or the text of an error
    #[serde(default, with = "latin1", skip_serializing_if = "is_default")]
    pub value: Vec<u8>,
}

/// The magic of a request.
fn request() -> u8 {
    0x80
}

fn is_request(magic: &u8) -> bool {
    *magic == request()
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

impl std::fmt::Debug for Packet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:02x}:{:02x}", self.magic, self.opcode)?;
        if self.status != 0 {
            write!(f, " status {:#x}", self.status)?;
        }
        if (self.key_off, self.extras_off, self.body_off) != (0, 0, 0) {
            write!(f, " lengths {:+}{:+}{:+}", self.key_off, self.extras_off, self.body_off)?;
        }
        write!(f, " #{} cas {}", self.opaque, self.cas)?;
        for (name, bytes) in [("extras", &self.extras), ("key", &self.key), ("value", &self.value)] {
            match bytes.len() {
                0 => {}
                1..=100 => write!(f, " {name} \"{}\"", bytes.escape_ascii())?,
                length => write!(f, " {name} of {length} bytes")?,
            }
        }
        Ok(())
    }
}

impl Packet {
    /// A request without anything.
    pub fn new(opcode: u8) -> Self {
        Packet {
            magic: request(),
            opcode,
            key_off: 0,
            extras_off: 0,
            body_off: 0,
            data_type: 0,
            status: 0,
            opaque: 0,
            cas: 0,
            extras: Vec::new(),
            key: Vec::new(),
            value: Vec::new(),
        }
    }

    /// With a key.
    pub fn key(mut self, key: impl AsRef<[u8]>) -> Self {
        self.key = key.as_ref().to_vec();
        self
    }

    /// With a value.
    pub fn value(mut self, value: impl AsRef<[u8]>) -> Self {
        self.value = value.as_ref().to_vec();
        self
    }

    /// With extras, each word of four bytes.
    pub fn words(mut self, words: &[u32]) -> Self {
        self.extras = words.iter().flat_map(|word| word.to_be_bytes()).collect();
        self
    }

    /// With a CAS.
    pub fn cas(mut self, cas: u64) -> Self {
        self.cas = cas;
        self
    }

    /// A set, add or replace.
    pub fn store(opcode: u8, key: impl AsRef<[u8]>, flags: u32, exptime: u32, value: impl AsRef<[u8]>) -> Self {
        Self::new(opcode).key(key).words(&[flags, exptime]).value(value)
    }

    /// An increment or decrement; `exptime` of `u32::MAX` creates nothing.
    pub fn counter(opcode: u8, key: impl AsRef<[u8]>, delta: u64, initial: u64, exptime: u32) -> Self {
        let halves = |number: u64| [(number >> 32) as u32, number as u32];
        let ([a, b], [c, d]) = (halves(delta), halves(initial));
        Self::new(opcode).key(key).words(&[a, b, c, d, exptime])
    }

    /// The bytes.
    pub fn bytes(&self) -> Vec<u8> {
        let body = self.extras.len() + self.key.len() + self.value.len();
        let mut bytes = vec![self.magic, self.opcode];
        bytes.extend_from_slice(&((self.key.len() as i32 + self.key_off) as u16).to_be_bytes());
        bytes.push((self.extras.len() as i32 + self.extras_off) as u8);
        bytes.push(self.data_type);
        bytes.extend_from_slice(&self.status.to_be_bytes());
        bytes.extend_from_slice(&((body as i64 + self.body_off) as u32).to_be_bytes());
        bytes.extend_from_slice(&self.opaque.to_be_bytes());
        bytes.extend_from_slice(&self.cas.to_be_bytes());
        [bytes.as_slice(), &self.extras, &self.key, &self.value].concat()
    }

    /// The answer at the start of `bytes`, and its length; none if it is not complete.
    pub fn parse(bytes: &[u8]) -> Result<Option<(Self, usize)>> {
        let Some((header, rest)) = bytes.split_first_chunk::<HEADER>() else { return Ok(None) };
        let number = |range: std::ops::Range<usize>| {
            header.get(range).unwrap_or_default().iter().fold(0_u64, |sum, byte| sum << 8 | u64::from(*byte))
        };
        let (key, extras, body) = (number(2..4) as usize, number(4..5) as usize, number(8..12) as usize);
        ensure!(key + extras <= body, "lengths of {:?}", header.escape_ascii().to_string());
        let Some(rest) = rest.get(..body) else { return Ok(None) };
        let (extras, rest) = rest.split_at(extras);
        let (key, value) = rest.split_at(key);
        let packet = Packet {
            magic: header[0],
            opcode: header[1],
            data_type: header[5],
            status: number(6..8) as u16,
            opaque: number(12..16) as u32,
            cas: number(16..24),
            extras: extras.to_vec(),
            key: key.to_vec(),
            value: value.to_vec(),
            ..Packet::new(0)
        };
        Ok(Some((packet, HEADER + body)))
    }

    /// The eight bytes of a counter.
    pub fn number(&self) -> Result<u64> {
        let bytes = self.value.as_slice().try_into();
        Ok(u64::from_be_bytes(bytes.with_context(|| format!("no number: {self:?}"))?))
    }

    /// The flags before a value.
    pub fn flags(&self) -> Result<u32> {
        let bytes = self.extras.as_slice().try_into();
        Ok(u32::from_be_bytes(bytes.with_context(|| format!("no flags: {self:?}"))?))
    }
}

impl Client {
    /// Sends a request and returns its answer, which it must have.
    pub fn packet(&mut self, request: &Packet) -> Result<Packet> {
        self.send(&request.bytes())?;
        self.next_packet()?.with_context(|| format!("connection closed instead of an answer to {request:?}"))
    }

    /// The next answer; none: the other side has closed the connection.
    pub fn next_packet(&mut self) -> Result<Option<Packet>> {
        let whole = |input: &[u8]| match Packet::parse(input) {
            Ok(parsed) => parsed.map(|(_, length)| length),
            Err(_) => Some(input.len()),
        };
        match self.read_or_closed(whole)? {
            (bytes, false) => match Packet::parse(&bytes)? {
                Some((packet, _)) => Ok(Some(packet)),
                None => bail!("no packet: {}", bytes.escape_ascii()),
            },
            (bytes, true) if bytes.is_empty() => Ok(None),
            (bytes, true) => bail!("closed within a packet: {}", bytes.escape_ascii()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() -> Result<()> {
        let mut packet = Packet::store(opcode::SET, "key", 7, 60, "value").cas(5);
        packet.opaque = 0xdead_beef;
        packet.status = 3;
        let bytes = packet.bytes();
        assert_eq!(Packet::parse(&bytes)?, Some((packet, bytes.len())));
        for cut in 0..bytes.len() {
            assert_eq!(Packet::parse(&bytes[..cut])?, None);
        }
        Ok(())
    }
}
