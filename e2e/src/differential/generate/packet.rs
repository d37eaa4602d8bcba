//! Packets of all opcodes.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::super::history::Step;
use super::super::packets::{Batch, End, Piece};
use crate::binary::{Packet, opcode::*};

/// Two of them can be named in a line in base64 only.
pub(super) const KEYS: [&str; 10] = ["@a", "@b", "@c", "@d", "@\u{1}", "@a@a", "@ @", "@\n\0", "@v", "@w"];

fn key() -> impl Strategy<Value = &'static str> + Clone {
    select(&KEYS[..])
}

/// Keys whose value is never empty: see `words`.
fn filled_key() -> impl Strategy<Value = &'static str> + Clone {
    select(&KEYS[..8])
}

/// Over at once, or longer than the test. An expiry from 2038 on lasts for ever here, which is `visible` where meta
/// commands show it.
fn exptime(visible: bool) -> impl Strategy<Value = u32> + Clone {
    let late: &[u32] =
        if visible { &[1000, 2_592_000, 2_592_001] } else { &[1000, 2_592_001, 4_102_444_800, u32::MAX] };
    let late = late.to_vec();
    prop_oneof![4 => Just(0), 2 => select(late)]
}

fn flags() -> impl Strategy<Value = u32> + Clone {
    select(&[0, 0, 5, u32::MAX][..])
}

/// Never empty or white space only: see `words`.
fn value() -> impl Strategy<Value = Vec<u8>> + Clone {
    prop_oneof![
        4 => "[0-9]{1,20}".prop_map(String::into_bytes),
        3 => "[a-z][a-z \r\n]{0,30}".prop_map(String::into_bytes),
        1 => Just(b"18446744073709551615".to_vec()),
        1 => vec(1..255_u8, 1..5000).prop_map(|bytes| [b"v".to_vec(), bytes].concat()),
    ]
}

fn number() -> impl Strategy<Value = u64> + Clone {
    prop_oneof![4 => select(&[0, 1, 7, 100, u64::MAX, 1 << 63][..]), 1 => any::<u64>()]
}

/// A packet, before its CAS.
pub(super) fn packet(visible: bool) -> impl Strategy<Value = Packet> + Clone {
    let store = select(&[SET, SET, ADD, REPLACE, SETQ, ADDQ, REPLACEQ][..]);
    let join = select(&[APPEND, PREPEND, APPENDQ, PREPENDQ][..]);
    let read = select(&[GET, GETQ, GETK, GETKQ][..]);
    let touch = select(&[TOUCH, GAT, GATQ, GATK, GATKQ][..]);
    let count = select(&[INCREMENT, DECREMENT, INCREMENTQ, DECREMENTQ][..]);
    let rest = select(&[NOOP, VERSION, FLUSH, FLUSHQ, VERBOSITY, SASL_LIST, 0x30, 0xfe][..]);
    let exptime = || exptime(visible);
    prop_oneof![
        20 => (store, key(), flags(), exptime(), value()).prop_map(|(o, k, f, e, v)| Packet::store(o, k, f, e, v)),
        8 => (join, key(), value()).prop_map(|(o, k, v)| Packet::new(o).key(k).value(v)),
        15 => (read, key()).prop_map(|(o, k)| Packet::new(o).key(k)),
        8 => (touch, key(), exptime()).prop_map(|(o, k, e)| Packet::new(o).key(k).words(&[e])),
        12 => (count, filled_key(), number(), number(), exptime()).prop_map(|(o, k, d, i, e)| Packet::counter(o, k, d, i, e)),
        6 => (select(&[DELETE, DELETEQ][..]), key()).prop_map(|(o, k)| Packet::new(o).key(k)),
        3 => rest.prop_map(Packet::new),
    ]
}

/// A packet with a CAS, and noise in what memcached does not look at.
fn piece(visible: bool) -> impl Strategy<Value = Piece> {
    let age = prop_oneof![10 => Just(None), 3 => (key(), 0..2_usize).prop_map(Some)];
    let noise = prop_oneof![3 => Just(0), 1 => any::<u16>()];
    (packet(visible), age, noise).prop_map(|(mut packet, token, noise)| {
        packet.data_type = noise as u8;
        packet.status = noise;
        match token {
            None => packet.into(),
            Some((key, age)) => Piece::Token(packet, key.to_owned(), age),
        }
    })
}

/// Some packets on a connection.
pub(super) fn batch(visible: bool) -> impl Strategy<Value = Vec<Step>> {
    (0_usize..3, vec(piece(visible), 1..12)).prop_map(|(on, pieces)| split(on, pieces))
}

/// Arithmetic behind a read waits for it: see `lines`.
fn split(connection: usize, pieces: Vec<Piece>) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let mut read = true;
    for piece in pieces {
        let opcode = match &piece {
            Piece::Packet(packet) | Piece::Token(packet, ..) => packet.opcode,
            Piece::Raw(_) => NOOP,
        };
        let arithmetic = [INCREMENT, DECREMENT, INCREMENTQ, DECREMENTQ].contains(&opcode);
        match steps.last_mut() {
            Some(Step::Packets(batch)) if !(read && arithmetic) => batch.pieces.push(piece),
            _ => {
                steps.push(Step::Packets(Batch { connection, pieces: vec![piece], end: End::Noop }));
                read = false;
            }
        }
        let stores = [SET, ADD, REPLACE, SETQ, ADDQ, REPLACEQ, DELETE, DELETEQ, NOOP];
        read |= !stores.contains(&opcode);
    }
    steps
}
