//! The comparison of packets.

use anyhow::{Context, Result, ensure};

use super::compare::CasPairs;
use super::endpoints::Endpoints;
use super::masks::{self, Compared};
use super::packets::{self, Batch, Seen};
use super::script::Cut;
use crate::binary::{Packet, opcode};

/// Whether all answers must be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Complete {
    /// all of them
    Yes,
    /// Where memcached closes, the last of its answers may be missing: it drops those that it has not sent when it comes
    /// to a wrong magic or to the end of a value that never comes, and that depends on how the bytes arrive.
    UnlessClosed,
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
    let mut pairs = CasPairs::default();
    for (number, (expected, seen)) in expected.iter().zip(seen).enumerate() {
        compare_answers(&mut pairs, expected, seen, complete)
            .map_err(|error| format!("batch {}: {error}", number + 1))?;
    }
    Ok(())
}

/// Compares the answers to one batch; the error shows the first difference.
pub(super) fn compare_answers(
    pairs: &mut CasPairs,
    expected: &Seen,
    seen: &Seen,
    complete: Complete,
) -> Result<(), String> {
    let about = |what: String| format!("{what}\n  memcached: {expected:?}\n  sidecar:   {seen:?}");
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
        if wanted.0 != got.0 || !pairs.same_numbers(wanted.1, got.1) {
            return Err(about(format!("answer {}: {wanted:?} became {got:?}", at + 1)));
        }
    }
    if !lengths_fit {
        return Err(about(format!("{} answers became {}", wanted.len(), got.len())));
    }
    Ok(())
}

impl Endpoints {
    /// What memcached itself answers to packets.
    pub fn binary_reference(&self, batches: &[Batch], prefix: &str, cut: Cut) -> Result<Vec<Seen>> {
        packets::run(batches, prefix, self.reference.address(), cut).context("memcached itself")
    }

    /// Compares the sidecar's answers with these.
    pub fn compare_binary(
        &self,
        expected: &[Seen],
        batches: &[Batch],
        prefix: &str,
        cut: Cut,
        complete: Complete,
    ) -> Result<()> {
        let seen = packets::run(batches, prefix, &self.ours(), cut);
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
