//! What has an effect behind its answer.
//!
//! A change of a stale value is read back, which takes the win token, and the token is given back behind the answer. On
//! another connection a meta read could come in between, though it is sent when the answer is there: so the connection of
//! the change asks for something more first, which is answered when the token is back.

use super::super::history::Step;
use super::super::packets::{Batch, End, Piece};
use crate::binary::{Packet, opcode::*};

/// A read on the same connection, behind a step that may have changed a stale value.
pub(super) fn behind(step: &Step) -> Option<Step> {
    match step {
        Step::Lines { on, lines } => {
            let changes = ["incr", "decr", "append", "prepend", "touch", "ma", "ms", "md"];
            let mut starts = lines.split(|&byte| byte == b'\n').map(<[u8]>::trim_ascii_start);
            starts
                .any(|line| changes.iter().any(|verb| line.starts_with(verb.as_bytes())))
                .then(|| Step::Lines { on: *on, lines: b"get @none\r\n".to_vec() })
        }
        Step::Packets(batch) => {
            let changes = [INCREMENT, DECREMENT, INCREMENTQ, DECREMENTQ, APPEND, PREPEND, APPENDQ, PREPENDQ, TOUCH];
            let opcode = |piece: &Piece| match piece {
                Piece::Packet(packet) | Piece::Token(packet, ..) => Some(packet.opcode),
                Piece::Raw(_) => None,
            };
            let pieces = vec![Piece::from(Packet::new(GET).key("@none"))];
            let changed = batch.pieces.iter().filter_map(opcode).any(|opcode| changes.contains(&opcode));
            changed.then_some(Step::Packets(Batch { connection: batch.connection, pieces, end: End::Noop }))
        }
    }
}
