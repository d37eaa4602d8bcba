//! Random pipelines of packets: valid, odd and broken ones over a few keys.

use std::cell::Cell;

use anyhow::{Result, bail};
use e2e::binary::{Packet, opcode::*};
use e2e::memcached::Suite;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::{Config, TestError, TestRunner};

use super::compare::Complete;
use super::script::{Batch, End, Piece};
use crate::endpoints::Endpoints;
use crate::script::Cut;

const KEYS: [&str; 6] = ["@a", "@b", "@c", "@d", "@\u{1}", "@@@"];

fn key() -> impl Strategy<Value = &'static str> {
    select(&KEYS[..])
}

/// Over at once, or longer than the test.
fn exptime() -> impl Strategy<Value = u32> {
    prop_oneof![4 => Just(0), 2 => select(&[1000, 2_592_000, 2_592_001, 4_102_444_800, u32::MAX, 0x7fff_ffff][..])]
}

fn flags() -> impl Strategy<Value = u32> {
    select(&[0, 0, 5, u32::MAX][..])
}

/// Never empty or white space only: memcached reads on behind such a value when it is asked to increment it.
fn value() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        4 => "[0-9]{1,20}".prop_map(String::into_bytes),
        3 => "[a-z][a-z \r\n]{0,30}".prop_map(String::into_bytes),
        1 => Just(b"18446744073709551615".to_vec()),
        1 => proptest::collection::vec(1..255_u8, 1..5000).prop_map(|bytes| [b"v".to_vec(), bytes].concat()),
    ]
}

fn number() -> impl Strategy<Value = u64> {
    prop_oneof![select(&[0, 1, 7, 100, u64::MAX, 1 << 63][..]), any::<u64>()]
}

/// A packet, before its CAS.
fn packet() -> impl Strategy<Value = Packet> {
    let store = select(&[SET, SET, ADD, REPLACE, SETQ, ADDQ, REPLACEQ][..]);
    let join = select(&[APPEND, PREPEND, APPENDQ, PREPENDQ][..]);
    let read = select(&[GET, GETQ, GETK, GETKQ][..]);
    let touch = select(&[TOUCH, GAT, GATQ, GATK, GATKQ][..]);
    let count = select(&[INCREMENT, DECREMENT, INCREMENTQ, DECREMENTQ][..]);
    let rest = select(&[NOOP, VERSION, FLUSH, FLUSHQ, VERBOSITY, SASL_LIST, 0x30, 0xfe][..]);
    prop_oneof![
        20 => (store, key(), flags(), exptime(), value()).prop_map(|(o, k, f, e, v)| Packet::store(o, k, f, e, v)),
        8 => (join, key(), value()).prop_map(|(o, k, v)| Packet::new(o).key(k).value(v)),
        15 => (read, key()).prop_map(|(o, k)| Packet::new(o).key(k)),
        8 => (touch, key(), exptime()).prop_map(|(o, k, e)| Packet::new(o).key(k).words(&[e])),
        12 => (count, key(), number(), number(), exptime()).prop_map(|(o, k, d, i, e)| Packet::counter(o, k, d, i, e)),
        6 => (select(&[DELETE, DELETEQ][..]), key()).prop_map(|(o, k)| Packet::new(o).key(k)),
        3 => rest.prop_map(Packet::new),
    ]
}

fn piece() -> impl Strategy<Value = Piece> {
    let age = prop_oneof![10 => Just(None), 3 => (key(), 0..2_usize).prop_map(Some)];
    (packet(), age, any::<u16>()).prop_map(|(mut packet, token, noise)| {
        // What memcached does not look at.
        packet.data_type = noise as u8;
        packet.status = noise;
        match token {
            None => packet.into(),
            Some((key, age)) => Piece::Token(packet, key, age),
        }
    })
}

type History = (Vec<Batch>, u64);

fn history() -> impl Strategy<Value = History> {
    let batch = (0_usize..3, proptest::collection::vec(piece(), 1..12));
    let split = |batches: Vec<_>| batches.into_iter().flat_map(split).collect();
    (proptest::collection::vec(batch, 1..6).prop_map(split), any::<u64>())
}

/// A read whose answer has not been sent holds the item, and then memcached does not pad a shorter number with spaces.
/// Whether it has been sent is a matter of timing, so arithmetic behind a read waits for it.
fn split((connection, pieces): (usize, Vec<Piece>)) -> Vec<Batch> {
    let mut batches: Vec<Batch> = Vec::new();
    let mut read = true;
    for piece in pieces {
        let opcode = match &piece {
            Piece::Packet(packet) | Piece::Token(packet, ..) => packet.opcode,
            Piece::Raw(_) => NOOP,
        };
        let arithmetic = [INCREMENT, DECREMENT, INCREMENTQ, DECREMENTQ].contains(&opcode);
        match batches.last_mut().filter(|_| !(read && arithmetic)) {
            Some(batch) => batch.pieces.push(piece),
            None => {
                batches.push(Batch { connection, pieces: vec![piece], end: End::Noop });
                read = false;
            }
        }
        let stores = [SET, ADD, REPLACE, SETQ, ADDQ, REPLACEQ, DELETE, DELETEQ, NOOP];
        read |= !stores.contains(&opcode);
    }
    batches
}

/// What all keys hold in the end.
fn look() -> Batch {
    let pieces = KEYS.map(|key| Piece::from(Packet::new(GETK).key(key)));
    Batch { connection: 9, pieces: pieces.into(), end: End::Noop }
}

fn run(
    test: &str,
    suite: Suite,
    arguments: &[&str],
    complete: Complete,
    histories: impl Strategy<Value = History>,
) -> Result<()> {
    let endpoints = Endpoints::start(test, suite, &[&["-t", "1", "-o", "no_lru_maintainer"], arguments].concat())?;
    let number = Cell::new(0_u32);
    let wanted = std::env::var("PROPTEST_CASES").ok();
    let cases = wanted.and_then(|cases| cases.parse().ok()).unwrap_or(300);
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    let result = TestRunner::new(config).run(&histories, |(mut batches, seed)| {
        batches.push(look());
        number.set(number.get() + 1);
        let (prefix, cut) = (format!("h{}:", number.get()), Cut::Random(seed));
        let expected = endpoints.binary_reference(&batches, &prefix, cut);
        let expected = expected.map_err(|error| TestCaseError::reject(format!("{error:#}")))?;
        let compared = endpoints.compare_binary(&expected, &batches, &prefix, cut, complete);
        compared.map_err(|error| TestCaseError::fail(format!("{error:#}")))
    });
    match result {
        Ok(()) => Ok(()),
        Err(TestError::Fail(reason, (_, seed))) => bail!("seed {seed}: {reason}"),
        Err(error) => Err(error.into()),
    }
}

/// Packets of which some bytes are changed, removed or doubled; the connection ends behind them.
fn broken() -> impl Strategy<Value = History> {
    let index = any::<proptest::sample::Index>();
    let damage = proptest::collection::vec((index, 0_u8..3, any::<u8>()), 1..4);
    let packets = proptest::collection::vec(packet(), 1..8);
    let bytes = (packets, damage).prop_map(|(packets, damage)| {
        let noop = Packet::new(NOOP).bytes();
        let mut bytes: Vec<u8> = packets.iter().flat_map(|packet| [packet.bytes(), noop.clone()].concat()).collect();
        for (index, kind, byte) in damage {
            let at = index.index(bytes.len().max(1));
            let removed = if kind == 2 { at } else { at + 1 };
            let inserted = if kind == 1 { None } else { Some(byte) };
            bytes.splice(at..removed.min(bytes.len()), inserted).for_each(drop);
        }
        bytes
    });
    let bytes = bytes.prop_filter("such keys are refused, see table.rs", |bytes| !names_an_odd_key(bytes));
    (bytes, any::<u64>()).prop_map(|(bytes, seed)| {
        // The keys are not those of a prefix: each history begins with nothing in them.
        let clear = KEYS.map(|key| Piece::Raw(Packet::new(DELETEQ).key(key).bytes()));
        let clear = Batch { connection: 0, pieces: clear.into(), end: End::Noop };
        (vec![clear, Batch { connection: 1, pieces: vec![Piece::Raw(bytes)], end: End::Finish }], seed)
    })
}

/// Whether memcached finds a key in these bytes that no line of text can name.
fn names_an_odd_key(bytes: &[u8]) -> bool {
    let mut rest = bytes;
    while let Some((header, behind)) = rest.split_first_chunk::<24>() {
        let [0x80, opcode, key_0, key_1, extras, _, _, _, body_0, body_1, body_2, body_3, ..] = *header else {
            return false;
        };
        let (key, extras) = (usize::from(u16::from_be_bytes([key_0, key_1])), usize::from(extras));
        let body = u32::from_be_bytes([body_0, body_1, body_2, body_3]) as usize;
        let Some(name) = behind.get(extras..extras + key) else { return false };
        if name.iter().any(|byte| matches!(byte, 0 | b' ' | b'\n')) {
            return true;
        }
        // What it takes: the value too, where there can be one, and of what it does not know the body twice.
        let taken = match opcode {
            0x01..=0x03 | 0x0e | 0x0f | 0x11..=0x13 | 0x19 | 0x1a | 0x21 | 0x22 => body,
            0x1b | 0x1f | 0x25.. => extras + key + body,
            _ => extras + key,
        };
        rest = behind.get(taken..).unwrap_or_default();
    }
    false
}

#[test]
fn random_packets_on_1_6_38() -> Result<()> {
    run("binary-random", Suite::Trixie, &[], Complete::Yes, history())
}

#[test]
fn random_packets_on_1_6_45() -> Result<()> {
    run("binary-random", Suite::Forky, &[], Complete::Yes, history())
}

#[test]
fn random_packets_with_small_items() -> Result<()> {
    let small = ["-I", "4096", "-o", "slab_chunk_max=2"];
    Suite::TESTED.iter().try_for_each(|&suite| run("binary-small", suite, &small, Complete::Yes, history()))
}

#[test]
fn broken_packets() -> Result<()> {
    Suite::TESTED.iter().try_for_each(|&suite| run("binary-broken", suite, &[], Complete::UnlessClosed, broken()))
}
