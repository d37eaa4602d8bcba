//! Values that are long, just fit, or do not fit.

use anyhow::{Context, Result};
use e2e::binary::{Packet, opcode::*};
use e2e::memcached::Suite;

use super::table::{Case, run};
use crate::endpoints::Endpoints;
use crate::packet_compare::Complete;
use crate::packets::{Batch, End, Piece};
use crate::script::Cut;

/// The largest value that memcached takes with `-I`: the item has a header of 48 bytes, 8 for the CAS, the key with its
/// NUL, 4 for flags if they are not 0, and the value with its line end.
fn largest(limit: usize, key: &str, flags: u32) -> usize {
    limit - 48 - 8 - key.len() - 1 - 2 - if flags == 0 { 0 } else { 4 }
}

fn value(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at % 251) as u8).collect()
}

/// Keys without a prefix, since their length counts.
fn cases(limit: usize) -> Vec<Case> {
    let mut cases = Vec::new();
    for opcode in [SET, ADD, REPLACE, APPEND, PREPEND, SETQ, ADDQ, REPLACEQ, APPENDQ, PREPENDQ] {
        for (flags, cas) in [(0, 0), (7, 0), (0, 5)] {
            let key = format!("large:{opcode}:{flags}:{cas}");
            let old = Packet::store(SETQ, &key, flags, 0, "old");
            let joins = [APPEND, PREPEND, APPENDQ, PREPENDQ].contains(&opcode);
            let most = largest(limit, &key, if joins { 0 } else { flags });
            let mut batches = Vec::new();
            for length in [most, most + 1, limit, 3 * limit, most - 3] {
                let mut store = Packet::store(opcode, &key, flags, 0, value(length)).cas(cas);
                if joins {
                    store.extras.clear();
                }
                let reads = [Packet::new(GETK).key(&key), Packet::new(DELETEQ).key(&key), store.clone()];
                let pieces = [old.clone(), store].into_iter().chain(reads).map(Piece::from);
                batches.push(Batch { connection: 0, pieces: pieces.collect(), end: End::Noop });
                let get = Piece::from(Packet::new(GET).key(&key));
                batches.push(Batch { connection: 1, pieces: vec![get], end: End::Noop });
            }
            cases.push(Case { name: format!("{opcode:#x} of {key}"), batches, complete: Complete::Yes });
        }
    }
    // Values that come in pieces, with short ones between them.
    let mut pieces = Vec::new();
    for length in [0, 1, 16 << 10, (16 << 10) - 1, 100_000.min(limit / 2), 0, limit / 3, 2] {
        let key = format!("long:{length}");
        let set = Packet::store(SETQ, &key, 3, 0, value(length));
        let reads = [GET, GETK, GETKQ, GETQ].map(|opcode| Packet::new(opcode).key(&key));
        let touches = [GAT, GATK, GATKQ].map(|opcode| Packet::new(opcode).key(&key).words(&[1000]));
        pieces.extend([set].into_iter().chain(reads).chain(touches).map(Piece::from));
    }
    let batches = vec![Batch { connection: 0, pieces, end: End::Noop }];
    cases.push(Case { name: "long values".to_owned(), batches, complete: Complete::Yes });
    cases
}

#[test]
fn large_values_in_packets() -> Result<()> {
    Suite::TESTED.iter().try_for_each(|&suite| {
        let endpoints = Endpoints::start("binary-sizes", suite, &[])?;
        run(&endpoints, &cases(1 << 20), &[Cut::Whole, Cut::Random(7)]).with_context(|| format!("{suite:?}"))?;
        let small = ["-I", "4096", "-o", "slab_chunk_max=2"];
        let endpoints = Endpoints::start("binary-sizes-small", suite, &small)?;
        run(&endpoints, &cases(4096), &Cut::ALL).with_context(|| format!("{suite:?}, small"))
    })
}
