//! What is sent in packets, and what comes back.

use std::collections::HashMap;
use std::fmt;
use std::time::Duration;

use anyhow::{Context, Result};
use e2e::binary::{Packet, opcode};
use e2e::client::{Address, Client, Excerpt};

use crate::script::Cut;

/// Marks the end of the answers to a batch.
const SENTINEL: u32 = 0xffff_fffe;

/// A part of what is sent.
#[derive(Clone)]
pub(crate) enum Piece {
    Packet(Packet),
    /// With the CAS last seen for a key, or the one seen so many before that.
    Token(Packet, &'static str, usize),
    Raw(Vec<u8>),
}

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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// A noop, whose answer ends the answers
    Noop,
    /// The client says that it will send no more, and reads to the end
    Finish,
}

/// One write on one connection.
#[derive(Clone, Debug)]
pub(crate) struct Batch {
    pub(crate) connection: usize,
    pub(crate) pieces: Vec<Piece>,
    pub(crate) end: End,
}

/// The answers to a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) packets: Vec<Packet>,
    /// what is left behind the last whole packet
    pub(crate) tail: Vec<u8>,
    pub(crate) closed: bool,
}

/// Plays all batches against one address. `@` in keys stands for `prefix`.
pub(crate) fn run(batches: &[Batch], prefix: &str, address: &Address, cut: Cut) -> Result<Vec<Seen>> {
    let mut session =
        Session { address, prefix, clients: HashMap::new(), tokens: HashMap::new(), keys: HashMap::new() };
    let step = |(number, batch)| session.play(batch, cut).with_context(|| format!("batch {}: {batch:?}", number + 1));
    batches.iter().enumerate().map(step).collect()
}

struct Session<'a> {
    address: &'a Address,
    prefix: &'a str,
    clients: HashMap<usize, Client>,
    /// CAS numbers seen for each key, the newest last
    tokens: HashMap<Vec<u8>, Vec<u64>>,
    /// the key of each opaque
    keys: HashMap<u32, Vec<u8>>,
}

impl Session<'_> {
    fn play(&mut self, batch: &Batch, cut: Cut) -> Result<Seen> {
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
                entry.insert(Client::connect(self.address)?.patience(Duration::from_secs(5)))
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
                let tokens = self.tokens.entry(key.clone()).or_default();
                if tokens.last() != Some(&packet.cas) {
                    tokens.push(packet.cas);
                }
            }
        }
        Ok(Seen { packets, tail: rest.to_vec(), closed })
    }

    fn bytes(&mut self, piece: &Piece) -> Vec<u8> {
        let (packet, token) = match piece {
            Piece::Raw(bytes) => return bytes.clone(),
            Piece::Packet(packet) => (packet, None),
            Piece::Token(packet, key, age) => (packet, Some((key, age))),
        };
        let mut packet = packet.clone();
        packet.key = self.key(&packet.key);
        if let Some((key, age)) = token {
            let tokens = self.tokens.get(&self.key(key.as_bytes()));
            packet.cas = tokens.and_then(|tokens| tokens.iter().rev().nth(*age)).copied().unwrap_or(u64::MAX - 1);
        }
        if packet.opaque == 0 {
            packet.opaque = 1 + self.keys.len() as u32;
        }
        self.keys.insert(packet.opaque, packet.key.clone());
        packet.bytes()
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
