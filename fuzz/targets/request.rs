//! Bytes of a client. The first byte picks the dialect (even: legacy, odd: modern), whether flushes
//! are allowed and the session is patient; the second one is the length of the pieces in which the
//! rest arrives.
#![no_main]

#[path = "../../sidecar/tests/protocol_session/mod.rs"]
mod protocol_session;

use libfuzzer_sys::fuzz_target;
use protocol_session::{Patience, session};
use sidecar::protocol::{Dialect, Limits};

fuzz_target!(|data: &[u8]| {
    let [pick, piece, input @ ..] = data else {
        return;
    };
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
    let whole = session(input, &[input.len()], Patience::None, &limits);
    // Longer lines are judged by how much of them has arrived, as by memcached itself.
    let longest = input.split(|byte| *byte == b'\n').map(<[u8]>::len).max();
    if longest.unwrap_or(0) < 2048 {
        let patience = if pick & 4 == 0 {
            Patience::None
        } else {
            Patience::AsTold
        };
        let pieces = [usize::from(*piece), 7];
        assert_eq!(whole, session(input, &pieces, patience, &limits));
    }
});
