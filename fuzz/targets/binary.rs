//! Packets of a client. The first byte picks the dialect (even: legacy, odd: modern), whether flushes
//! are allowed, how far the client has come in saying who it is, and whether the session is patient;
//! the second one is the length of the pieces in which the rest arrives.
#![no_main]

#[path = "../../sidecar/tests/protocol_session/mod.rs"]
mod protocol_session;

use libfuzzer_sys::fuzz_target;
use protocol_session::{Patience, session, session_of};
use sidecar::protocol::binary::Sasl;
use sidecar::protocol::{Dialect, Limits, Parser};

fuzz_target!(|data: &[u8]| {
    let [pick, piece, input @ ..] = data else {
        return;
    };
    let input = [b"\x80".as_slice(), input].concat();
    let limits = Limits {
        // Small, so that too large values are in reach.
        item_size_max: 200,
        dialect: if pick % 2 == 0 {
            Dialect::Legacy
        } else {
            Dialect::Modern
        },
        flush_enabled: pick & 2 == 0,
    };
    let sasl = match pick >> 3 & 3 {
        0 => Sasl::Off,
        1 => Sasl::Locked,
        2 => Sasl::Begun,
        _ => Sasl::Granted,
    };
    let see = |pieces: &[usize], patience| {
        let mut parser = Parser::new();
        parser.set_sasl(sasl);
        session_of(parser, &input, pieces, patience, &limits)
    };
    let whole = see(&[input.len()], Patience::None);
    let patience = if pick & 4 == 0 {
        Patience::None
    } else {
        Patience::AsTold
    };
    assert_eq!(whole, see(&[usize::from(*piece), 7], patience));
    if sasl == Sasl::Off {
        assert_eq!(whole, session(&input, &[5], Patience::None, &limits));
    }
});
