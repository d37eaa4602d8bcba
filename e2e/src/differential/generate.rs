//! Random histories: valid, odd and broken requests over a few keys that all protocols share, cut into random pieces.
//!
//! What is known to differ is not made: each such place says why.

mod damage;
mod lines;
mod meta;
mod packet;
mod settle;
mod text;
mod words;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::history::{History, Server, Step};
use super::packets::{Batch, End, Piece};
use super::script::Cut;
use crate::binary::{Packet, opcode::*};

/// What is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// the classic commands
    Text,
    /// the meta commands
    Meta,
    /// packets
    Binary,
    /// all three, each history in one of them or in several
    All,
}

/// Longest values: so many lines of 62 bytes, which is more than fits into the small items.
const LINES: usize = 150;

/// Histories of a protocol, a fifth of them damaged.
pub fn histories(protocol: Protocol) -> BoxedStrategy<History> {
    match protocol {
        Protocol::Text | Protocol::Meta | Protocol::Binary => {
            prop_oneof![4 => valid(protocol), 1 => damaged(protocol)].boxed()
        }
        Protocol::All => prop_oneof![
            2 => histories(Protocol::Text),
            4 => histories(Protocol::Meta),
            2 => histories(Protocol::Binary),
            4 => valid(Protocol::All),
        ]
        .boxed(),
    }
}

/// Histories of whole requests, not all of which make sense.
pub fn valid(protocol: Protocol) -> BoxedStrategy<History> {
    match protocol {
        Protocol::Text => valid_with(protocol, false),
        Protocol::Binary => valid_with(protocol, false),
        // Of cas numbers of a client's own the order is not kept, so nothing may depend on it: see `meta`.
        Protocol::Meta | Protocol::All => prop_oneof![valid_with(protocol, false), valid_with(protocol, true)].boxed(),
    }
}

fn valid_with(protocol: Protocol, own: bool) -> BoxedStrategy<History> {
    let text = || lines::batch(text::command(LINES).boxed());
    let meta = || lines::batch(meta::command(LINES, own).boxed());
    let packets = |visible| packet::batch(visible);
    let batch = match protocol {
        Protocol::Text => text().boxed(),
        Protocol::Meta => prop_oneof![9 => meta(), 1 => lines::long_key()].boxed(),
        Protocol::Binary => packets(false).boxed(),
        Protocol::All => prop_oneof![8 => text(), 10 => meta(), 10 => packets(true), 1 => lines::long_key()].boxed(),
    };
    (vec(batch, 1..7), cut(), server())
        .prop_map(move |(batches, cut, server)| {
            let stale = matches!(protocol, Protocol::Meta | Protocol::All);
            let mut steps = Vec::new();
            for (number, mut step) in batches.into_iter().flatten().enumerate() {
                // A connection of its own, where a step asked for one.
                if let Step::Lines { on, .. } = &mut step
                    && *on == lines::OF_ITS_OWN
                {
                    *on = 100 + number;
                }
                let settled = if stale { settle::behind(&step) } else { None };
                steps.push(step);
                steps.extend(settled);
            }
            steps.extend(look(protocol));
            History { cut, padding: 3, server, steps }
        })
        .boxed()
}

/// Histories of which some bytes are changed, removed or doubled.
pub fn damaged(protocol: Protocol) -> BoxedStrategy<History> {
    match protocol {
        Protocol::Text => damage::lines(vec(text::plain(), 1..10).boxed(), cut(), server()).boxed(),
        Protocol::Meta => damage::lines(vec(meta::plain(), 1..10).boxed(), cut(), server()).boxed(),
        Protocol::Binary => damage::packets(cut(), server()).boxed(),
        Protocol::All => [Protocol::Text, Protocol::Meta, Protocol::Binary]
            .map(damaged)
            .into_iter()
            .reduce(|a, b| prop_oneof![a, b].boxed())
            .unwrap_or_else(|| damaged(Protocol::Text)),
    }
}

fn cut() -> impl Strategy<Value = Cut> + Clone {
    prop_oneof![2 => Just(Cut::Whole), 1 => Just(Cut::Bytes), 5 => any::<u32>().prop_map(|seed| Cut::Random(seed.into()))]
}

fn server() -> impl Strategy<Value = Server> + Clone {
    prop_oneof![3 => Just(Server::Usual), 1 => Just(Server::Small)]
}

/// What all keys hold in the end.
fn look(protocol: Protocol) -> Vec<Step> {
    let mut steps = Vec::new();
    if protocol != Protocol::Binary {
        let mut lines = b"gets @a @b @c @d @v @w @\x01\r\n".to_vec();
        for key in ["@a", "@b", "@c", "@d", "@v", "@w", "@\u{1}", "<b64:@\u{ff}> b"] {
            lines.extend(format!("mg {key} k v f s t c\r\nme {key}\r\n").as_bytes());
        }
        steps.push(Step::Lines { on: 9, lines });
    }
    if matches!(protocol, Protocol::Binary | Protocol::All) {
        let pieces = packet::KEYS.map(|key| Piece::from(Packet::new(GETK).key(key)));
        steps.push(Step::Packets(Batch { connection: 9, pieces: pieces.into(), end: End::Noop }));
    }
    steps
}

/// A key from these, for requests of any protocol.
fn one_of(keys: &'static [&'static str]) -> impl Strategy<Value = &'static str> + Clone {
    select(keys)
}
