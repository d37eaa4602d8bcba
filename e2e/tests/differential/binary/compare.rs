//! The comparison of packets.

use std::collections::HashMap;

use anyhow::{Context, Result, ensure};
use e2e::binary::{Packet, opcode};

use super::script::{self, Batch, Seen};
use crate::endpoints::Endpoints;
use crate::masks::{self, Compared};
use crate::script::Cut;

/// Whether all answers must be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Complete {
    Yes,
    /// Where memcached closes, the last of its answers may be missing: it drops those that it has not sent when it comes
    /// to a wrong magic or to the end of a value that never comes, and that depends on how the bytes arrive.
    UnlessClosed,
}

/// Which CAS of ours stands for which one of memcached.
#[derive(Default)]
struct Pairs {
    ours: HashMap<u64, u64>,
    reference: HashMap<u64, u64>,
}

impl Pairs {
    fn same(&mut self, expected: u64, seen: u64) -> bool {
        if expected == 0 || seen == 0 {
            return expected == seen;
        }
        *self.ours.entry(expected).or_insert(seen) == seen
            && *self.reference.entry(seen).or_insert(expected) == expected
    }
}

/// A packet as far as it is compared; the CAS apart.
fn compared(packet: &Packet) -> Option<(Packet, u64)> {
    let mut bare = packet.clone();
    bare.cas = 0;
    if packet.opcode == opcode::STAT && packet.status == 0 && !packet.key.is_empty() {
        match masks::stat(&packet.key) {
            Compared::Whole => {}
            Compared::Name => bare.value.clear(),
            Compared::Nothing => return None,
        }
    }
    Some((bare, packet.cas))
}

fn compare(expected: &[Seen], seen: &[Seen], complete: Complete) -> Result<(), String> {
    let mut pairs = Pairs::default();
    for (number, (expected, seen)) in expected.iter().zip(seen).enumerate() {
        let about =
            |what: String| format!("batch {}: {what}\n  memcached: {expected:?}\n  sidecar:   {seen:?}", number + 1);
        if expected.closed != seen.closed || complete == Complete::Yes && expected.tail != seen.tail {
            return Err(about("the end differs".to_owned()));
        }
        let list = |seen: &Seen| seen.packets.iter().filter_map(compared).collect::<Vec<_>>();
        let (wanted, got) = (list(expected), list(seen));
        let lengths_fit = match complete {
            Complete::UnlessClosed if expected.closed => wanted.len() <= got.len(),
            _ => wanted.len() == got.len(),
        };
        for (at, (wanted, got)) in wanted.iter().zip(&got).enumerate() {
            if wanted.0 != got.0 || !pairs.same(wanted.1, got.1) {
                return Err(about(format!("answer {}: {wanted:?} became {got:?}", at + 1)));
            }
        }
        if !lengths_fit {
            return Err(about(format!("{} answers became {}", wanted.len(), got.len())));
        }
    }
    Ok(())
}

impl Endpoints {
    /// What memcached itself answers to packets.
    pub(crate) fn binary_reference(&self, batches: &[Batch], prefix: &str, cut: Cut) -> Result<Vec<Seen>> {
        script::run(batches, prefix, self.reference.address(), cut).context("memcached itself")
    }

    /// Compares the sidecar's answers with these.
    pub(crate) fn compare_binary(
        &self,
        expected: &[Seen],
        batches: &[Batch],
        prefix: &str,
        cut: Cut,
        complete: Complete,
    ) -> Result<()> {
        let seen = script::run(batches, prefix, &self.ours(), cut);
        let seen = seen.with_context(|| format!("memcached answered {expected:?}"))?;
        let compared = compare(expected, &seen, complete).map_err(anyhow::Error::msg);
        ensure!(expected.len() == seen.len());
        compared.with_context(|| format!("{batches:#?}\nsent {cut:?}"))
    }
}

#[test]
fn packets_are_compared_whole_and_cas_numbers_as_a_pattern() {
    let seen = |packets: &[Packet]| {
        let packets = packets.iter().cloned().map(|packet| Packet { magic: 0x81, ..packet }).collect();
        vec![Seen { packets, tail: Vec::new(), closed: false }]
    };
    let get = |cas| Packet::new(opcode::GET).words(&[5]).value("v").cas(cas);
    let equal = |a: &[Packet], b: &[Packet]| compare(&seen(a), &seen(b), Complete::Yes).is_ok();
    assert!(equal(&[get(1), get(1)], &[get(7), get(7)]));
    assert!(!equal(&[get(1), get(1)], &[get(7), get(8)]));
    assert!(!equal(&[get(1), get(2)], &[get(7), get(7)]));
    assert!(!equal(&[get(0)], &[get(7)]));
    assert!(!equal(&[get(1)], &[get(7).words(&[6])]));
    assert!(!equal(&[get(1)], &[get(7).value("w")]));
    assert!(!equal(&[get(1)], &[]));
    assert!(!equal(&[get(1)], &[Packet { opaque: 9, ..get(7) }]));
    let stat = |name: &str, value: &str| Packet::new(opcode::STAT).key(name).value(value);
    assert!(equal(&[stat("pid", "5")], &[stat("pid", "6")]));
    assert!(!equal(&[stat("version", "5")], &[stat("version", "6")]));
}
