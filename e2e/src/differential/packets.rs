//! What is sent in packets, and what comes back.

use std::collections::HashMap;
use std::fmt;
use std::time::Duration;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::script::Cut;
use super::tokens::Tokens;
use crate::binary::{Packet, opcode};
use crate::client::{Address, Client, Excerpt};
use crate::latin1;

/// Marks the end of the answers to a batch.
const SENTINEL: u32 = 0xffff_fffe;

/// A part of what is sent.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Piece {
    /// `@` in its key stands for the prefix
    Packet(Packet),
    /// With the CAS last seen for a key, or the one seen so many before that.
    Token(Packet, String, usize),
    /// [`RAW_PREFIX`] in it stands for the prefix
    Raw(#[serde(with = "latin1")] Vec<u8>),
}

/// As long as the prefixes of [`super::history`], so that lengths in raw bytes stay right.
pub const RAW_PREFIX: &[u8; 9] = b"h0000000:";

impl From<Packet> for Piece {
    fn from(packet: Packet) -> Self {
        Piece::Packet(packet)
    }
}

impl fmt::Debug for Piece {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Piece::Packet(packet) => write!(f, "{packet:?}"),
            Piece::Token(packet, key, age) => write!(f, "{packet:?} with cas {age} of {key}"),
            Piece::Raw(bytes) => write!(f, "{:?}", Excerpt(bytes)),
        }
    }
}

/// What ends a batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum End {
    /// A noop, whose answer ends the answers
    #[default]
    Noop,
    /// The client says that it will send no more, and reads to the end
    Finish,
}

/// One write on one connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Batch {
    /// opened when first used
    #[serde(rename = "on")]
    pub connection: usize,
    /// sent together
    pub pieces: Vec<Piece>,
    /// how the end of the answers is known
    #[serde(default)]
    pub end: End,
}

/// The answers to a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// in their order
    pub packets: Vec<Packet>,
    /// what is left behind the last whole packet
    pub tail: Vec<u8>,
    /// the other side closed the connection
    pub closed: bool,
}

/// Plays all batches against one address. `@` in keys stands for `prefix`.
pub fn run(batches: &[Batch], prefix: &str, address: &Address, cut: Cut) -> Result<Vec<Seen>> {
    let mut session = Session::new(address, prefix, Duration::from_secs(5));
    let step = |(number, batch)| session.play(batch, cut).with_context(|| format!("batch {}: {batch:?}", number + 1));
    batches.iter().enumerate().map(step).collect()
}

/// A client with its connections.
pub(super) struct Session<'a> {
    address: &'a Address,
    prefix: &'a str,
    patience: Duration,
    clients: HashMap<usize, Client>,
    pub(super) tokens: Tokens,
    /// the key of each opaque
    keys: HashMap<u32, Vec<u8>>,
}

impl<'a> Session<'a> {
    pub(super) fn new(address: &'a Address, prefix: &'a str, patience: Duration) -> Self {
        Session { address, prefix, patience, clients: HashMap::new(), tokens: Tokens::default(), keys: HashMap::new() }
    }

    pub(super) fn play(&mut self, batch: &Batch, cut: Cut) -> Result<Seen> {
        let mut bytes = Vec::new();
        for piece in &batch.pieces {
            bytes.extend(self.bytes(piece));
        }
        if batch.end == End::Noop {
            let mut noop = Packet::new(opcode::NOOP);
            noop.opaque = SENTINEL;
            bytes.extend(noop.bytes());
        }
        let client = match self.clients.entry(batch.connection) {
            std::collections::hash_map::Entry::Occupied(entry) => entry.into_mut(),
            std::collections::hash_map::Entry::Vacant(entry) => {
                entry.insert(Client::connect(self.address)?.patience(self.patience))
            }
        };
        cut.pieces(&bytes).into_iter().try_for_each(|piece| client.send(piece))?;
        let (received, closed) = match batch.end {
            End::Noop => client.read_or_closed(ended)?,
            End::Finish => {
                client.finish_sending();
                (client.read_to_end()?, true)
            }
        };
        if closed {
            self.clients.remove(&batch.connection);
        }
        let (packets, rest) = split(&received);
        for packet in packets.iter().filter(|packet| packet.status == 0 && packet.cas != 0) {
            if let Some(key) = self.keys.get(&packet.opaque) {
                self.tokens.learn(key, packet.cas.to_string().as_bytes());
            }
        }
        Ok(Seen { packets, tail: rest.to_vec(), closed })
    }

    fn bytes(&mut self, piece: &Piece) -> Vec<u8> {
        let (packet, token) = match piece {
            Piece::Raw(bytes) => return self.raw(bytes),
            Piece::Packet(packet) => (packet, None),
            Piece::Token(packet, key, age) => (packet, Some((key, age))),
        };
        let mut packet = packet.clone();
        packet.key = self.key(&packet.key);
        if let Some((key, age)) = token {
            let token = self.tokens.get(&self.key(key.as_bytes()), *age);
            let number = token.and_then(|token| std::str::from_utf8(token).ok()?.parse().ok());
            packet.cas = number.unwrap_or(u64::MAX - 1);
        }
        if packet.opaque == 0 {
            packet.opaque = 1 + self.keys.len() as u32;
        }
        self.keys.insert(packet.opaque, packet.key.clone());
        packet.bytes()
    }

    fn raw(&self, bytes: &[u8]) -> Vec<u8> {
        let (mut filled, mut rest) = (Vec::with_capacity(bytes.len()), bytes);
        while let Some((first, tail)) = rest.split_first() {
            if let Some(tail) = rest.strip_prefix(RAW_PREFIX) {
                filled.extend_from_slice(self.prefix.as_bytes());
                rest = tail;
            } else {
                filled.push(*first);
                rest = tail;
            }
        }
        filled
    }

    fn key(&self, key: &[u8]) -> Vec<u8> {
        let parts: Vec<&[u8]> = key.split(|&byte| byte == b'@').collect();
        parts.join(self.prefix.as_bytes())
    }
}

/// Whole packets, and what is left.
fn split(bytes: &[u8]) -> (Vec<Packet>, &[u8]) {
    let (mut packets, mut rest) = (Vec::new(), bytes);
    while let Ok(Some((packet, length))) = Packet::parse(rest) {
        packets.push(packet);
        rest = rest.get(length..).unwrap_or_default();
    }
    (packets, rest)
}

/// Where the answer to the sentinel ends.
fn ended(bytes: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        let (packet, length) = Packet::parse(bytes.get(at..)?).ok()??;
        at += length;
        if packet.opaque == SENTINEL {
            return Some(at);
        }
    }
}
