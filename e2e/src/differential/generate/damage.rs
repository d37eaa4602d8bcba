//! Valid requests with some of their bytes changed, removed or doubled.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

use super::super::history::{History, Server, Step};
use super::super::packets::{Batch, End, Piece, RAW_PREFIX};
use super::super::script::Cut;
use super::packet::{KEYS, packet};
use crate::binary::{Packet, opcode::*};

/// Where, how, and by what.
#[derive(Clone, Debug)]
enum Damage {
    Changed(Index, u8),
    Removed(Index),
    Doubled(Index),
    Added(Index, u8),
}

fn damage() -> impl Strategy<Value = Vec<Damage>> + Clone {
    let at = any::<Index>;
    let kind = prop_oneof![
        (at(), any::<u8>()).prop_map(|(at, byte)| Damage::Changed(at, byte)),
        at().prop_map(Damage::Removed),
        at().prop_map(Damage::Doubled),
        (at(), any::<u8>()).prop_map(|(at, byte)| Damage::Added(at, byte)),
    ];
    vec(kind, 1..4)
}

fn apply(damage: &[Damage], bytes: &mut Vec<u8>) {
    for damage in damage {
        if bytes.is_empty() {
            return;
        }
        match damage {
            Damage::Changed(at, byte) => {
                let at = at.index(bytes.len());
                bytes[at] = *byte;
            }
            Damage::Removed(at) => drop(bytes.remove(at.index(bytes.len()))),
            Damage::Doubled(at) => {
                let at = at.index(bytes.len());
                bytes.insert(at, bytes[at]);
            }
            Damage::Added(at, byte) => bytes.insert(at.index(bytes.len()), *byte),
        }
    }
}

/// Keys may come to be that other histories have too: each history begins with nothing in them.
fn empty() -> Step {
    Step::Lines { on: 9, lines: b"flush_all\r\n".to_vec() }
}

/// Lines, each command in a step and damaged with the others of its connection. A damaged length may be ten times the
/// right one, which the padding completes.
pub(super) fn lines(
    commands: BoxedStrategy<Vec<String>>,
    cut: impl Strategy<Value = Cut> + 'static,
    server: impl Strategy<Value = Server> + 'static,
) -> impl Strategy<Value = History> {
    let batches = vec((0_usize..3, commands, damage()), 1..4);
    (batches, cut, server).prop_map(|(batches, cut, server)| {
        let mut steps = vec![empty()];
        for (connection, commands, damage) in batches {
            let split = super::lines::split(connection, &commands);
            for mut step in split {
                if let Step::Lines { lines, .. } = &mut step {
                    apply(&damage, lines);
                    // That would be the other protocol, with other answers to wait for.
                    if lines.first() == Some(&0x80) {
                        lines.remove(0);
                    }
                }
                steps.push(step);
                // Whatever it was that became of it: see `settle`.
                steps.push(Step::Lines { on: connection, lines: b"get @none\r\n".to_vec() });
            }
        }
        steps.push(Step::Lines { on: 19, lines: b"get @a @b @c @d\r\nmg @a v f\r\nmg @b v f\r\n".to_vec() });
        History { cut, padding: 600, server, steps }
    })
}

/// Packets; the connection ends behind them.
pub(super) fn packets(
    cut: impl Strategy<Value = Cut> + 'static,
    server: impl Strategy<Value = Server> + 'static,
) -> impl Strategy<Value = History> {
    let bytes = (vec(packet(false), 1..8), damage()).prop_map(|(packets, damage)| {
        let noop = Packet::new(NOOP).bytes();
        let whole = |packet: Packet| {
            let mut packet = growing(packet);
            let parts: Vec<&[u8]> = packet.key.split(|&byte| byte == b'@').collect();
            packet.key = parts.join(RAW_PREFIX.as_slice());
            [packet.bytes(), noop.clone()].concat()
        };
        let mut bytes: Vec<u8> = packets.into_iter().flat_map(whole).collect();
        apply(&damage, &mut bytes);
        bytes
    });
    let bytes = bytes.prop_filter("that is known to differ", |bytes| !is_known(bytes));
    (bytes, cut, server).prop_map(|(bytes, cut, server)| {
        let look = KEYS.map(|key| Piece::from(Packet::new(GETK).key(key)));
        let steps = vec![
            empty(),
            Step::Packets(Batch { connection: 1, pieces: vec![Piece::Raw(bytes)], end: End::Finish }),
            Step::Packets(Batch { connection: 2, pieces: look.into(), end: End::Noop }),
        ];
        History { cut, padding: 0, server, steps }
    })
}

/// All packets are sent at once, so no number may become shorter: whether it is padded then depends on which answers have
/// been sent (see `lines`).
fn growing(mut packet: Packet) -> Packet {
    let opcode = match packet.opcode {
        INCREMENT | DECREMENT => Some(INCREMENT),
        INCREMENTQ | DECREMENTQ => Some(INCREMENTQ),
        _ => None,
    };
    if let Some(opcode) = opcode {
        let exptime = packet.extras.split_off(16);
        packet = Packet::counter(opcode, packet.key, 1, 7, 0);
        packet.extras.splice(16.., exptime);
    }
    if packet.value.iter().all(u8::is_ascii_digit) {
        // Too short to come to the end of 64 bits.
        packet.value.truncate(9);
    }
    packet
}

/// The longest key that 250 letters of base64 can name.
const MAX_BASE64_KEY: usize = 186;

/// Whether memcached finds a key in these bytes that no line can name, not even in base64, or the announcement of a value from 2 GiB
/// on, or of one with less than no bytes: 1.6.38 takes both for negative lengths, and its answer is an accident.
fn is_known(bytes: &[u8]) -> bool {
    let mut rest = bytes;
    while let Some((header, behind)) = rest.split_first_chunk::<24>() {
        let [0x80, opcode, key_0, key_1, extras, _, _, _, body_0, body_1, body_2, body_3, ..] = *header else {
            return false;
        };
        let (key, extras) = (usize::from(u16::from_be_bytes([key_0, key_1])), usize::from(extras));
        let body = u32::from_be_bytes([body_0, body_1, body_2, body_3]) as usize;
        let stores = matches!(opcode, 0x01..=0x03 | 0x0e | 0x0f | 0x11..=0x13 | 0x19 | 0x1a);
        if body >= 1 << 31 || stores && body < extras + key {
            return true;
        }
        let Some(name) = behind.get(extras..extras + key) else { return false };
        if name.len() > MAX_BASE64_KEY && name.iter().any(|byte| matches!(byte, 0 | b' ' | b'\n')) {
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
