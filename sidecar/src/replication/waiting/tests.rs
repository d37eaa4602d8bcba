//! Records of keys that somebody else is writing.

use std::sync::Arc;

use super::*;
use crate::dataplane::stripes::{Mode, Party, Turn};
use crate::replication::inbox::Batch;
use crate::replication::record::{Expiry, Marks};
use crate::replication::testing::{now, replicator};

/// A log of the peer.
const LOG: u64 = 7;

fn set(key: &'static [u8], version: Version) -> Record<'static> {
    Record::Set { key, version, flags: 0, expiry: Expiry::Never, bulk: false, marks: Marks::NONE, value: b"v" }
}

fn delete(key: &'static [u8], version: Version) -> Record<'static> {
    Record::Delete { key, version }
}

fn touch(key: &'static [u8], item: Version, version: Version) -> Record<'static> {
    Record::Touch { key, item, version, expiry: Expiry::Never }
}

/// A replicator, and `k` is being written by somebody else.
struct Rig {
    replicator: Replicator,
    stripe: Stripe,
}

impl Rig {
    fn new() -> Self {
        let mut replicator = replicator();
        let stripe = replicator.shared.stripes.of(replicator.shared.hasher.hash(b"k"));
        let other = Party::new(1).unwrap();
        assert!(replicator.shared.stripes.acquire(stripe, other, Mode::Exclusive, Turn::NONE));
        replicator.upstream_output().clear();
        Self { replicator, stripe }
    }

    fn versions<const N: usize>(&self) -> [Version; N] {
        std::array::from_fn(|_| self.replicator.shared.next_version(now(2)))
    }

    /// Records come from the peer: how many of them are not done with after that.
    fn come(&mut self, records: &[Record<'_>]) -> usize {
        let mut bytes = Vec::new();
        let ends: Vec<(usize, usize)> = records
            .iter()
            .map(|record| {
                let start = bytes.len();
                record.encode(&mut bytes);
                (start, bytes.len() - start)
            })
            .collect();
        let batch = Arc::new(Batch { bytes, clocks: (0, 0) });
        for (seq, (offset, len)) in ends.into_iter().enumerate() {
            self.replicator.apply.push(&batch, offset, len, (LOG, seq as u64));
        }
        self.replicator.turn(now(3));
        self.replicator.apply.queue.iter().filter(|incoming| incoming.state != Progress::Done).count()
    }

    /// The commands for memcached.
    fn sent(&mut self) -> Vec<String> {
        let sent = String::from_utf8(std::mem::take(self.replicator.upstream_output())).unwrap();
        sent.lines().filter(|line| line.starts_with('m')).map(str::to_owned).collect()
    }

    /// The other one is done with `k`: what is sent then.
    fn free(&mut self) -> Vec<String> {
        // It is handed to the replicator, if that waits.
        let _ = self.replicator.shared.stripes.release(self.stripe);
        self.replicator.woken(now(3));
        self.sent()
    }
}

#[test]
fn a_later_record_of_the_key_replaces_those_that_wait() {
    for later in [set, delete] {
        let mut rig = Rig::new();
        let [v1, v2, v3, v4, v5] = rig.versions();
        // Other keys wait for nobody.
        let left =
            rig.come(&[set(b"k", v1), touch(b"k", v1, v2), set(b"other", v3), delete(b"k", v4), later(b"k", v5)]);
        let sent = rig.sent();
        assert!(sent.len() == 1 && sent[0].starts_with("ms other "), "{sent:?}");
        assert_eq!((left, rig.replicator.counters.superseded), (2, 3));
        let sent = rig.free();
        let expected = if later(b"k", v5) == set(b"k", v5) { format!("E{}", v5.raw()) } else { "md k".to_owned() };
        assert!(sent.len() == 1 && sent[0].contains(&expected), "{sent:?}");
    }
}

#[test]
fn what_says_not_all_of_its_key_replaces_nothing() {
    let mut rig = Rig::new();
    let [v1, v2, v3] = rig.versions();
    let bulk = |version| match set(b"k", version) {
        Record::Set { key, version, flags, expiry, marks, value, .. } => {
            Record::Set { key, version, flags, expiry, bulk: true, marks, value }
        }
        other => other,
    };
    assert_eq!(rig.come(&[set(b"k", v1), touch(b"k", v1, v2), Record::Won { key: b"k", item: v1 }, bulk(v3)]), 4);
    // A newer one does not give way to an older one, which an older log may bring, nor to one that may be another.
    let mut rig = Rig::new();
    assert_eq!(rig.come(&[set(b"k", v2), set(b"k", v1), touch(b"k", v2, v3), set(b"k", v2), set(b"k", v2)]), 5);
    // Another key may have the same stripe.
    let mut rig = Rig::new();
    let same = |key: &&[u8]| rig.replicator.shared.stripes.of(rig.replicator.shared.hasher.hash(key)) == rig.stripe;
    const KEYS: [&[u8]; 26] = [
        b"a", b"b", b"c", b"d", b"e", b"f", b"g", b"h", b"i", b"j", b"aa", b"ab", b"ac", b"ad", b"ae", b"af", b"ag",
        b"ah", b"ai", b"aj", b"ak", b"al", b"am", b"an", b"ao", b"ap",
    ];
    let other = KEYS.into_iter().find(same).expect("one in 16 has it");
    assert_eq!(rig.come(&[set(other, v1), set(b"k", v2)]), 2);
}

#[test]
fn what_is_older_than_our_own_write_does_not_wait() {
    let mut rig = Rig::new();
    let [v1, v2, own, v4] = rig.versions();
    let hash = rig.replicator.shared.hasher.hash(b"k");
    rig.replicator.shared.journal().commit_record(hash, set(b"k", own));
    assert_eq!(rig.come(&[set(b"k", v1), delete(b"k", v2), touch(b"k", v1, v4)]), 0);
    assert_eq!((rig.replicator.apply.applied, rig.replicator.counters.superseded), ((LOG, 3), 3));
    assert_eq!(rig.replicator.shared.stripes.release(rig.stripe), None, "nobody waits for it any more");

    let mut rig = Rig::new();
    rig.replicator.shared.journal().commit_record(hash, set(b"k", own));
    assert_eq!(rig.come(&[set(b"k", v4), set(b"k", v1)]), 1);
    let sent = rig.free();
    assert!(sent.len() == 1 && sent[0].contains(&format!("E{}", v4.raw())), "the newer one goes on: {sent:?}");
}

/// In one turn all records of a key go, though a worker waits for it.
#[test]
fn a_stripe_is_kept_for_a_turn() {
    let mut rig = Rig::new();
    rig.free();
    let [v1, v2, v3] = rig.versions();
    assert_eq!(rig.come(&[set(b"k", v1)]), 1);
    let worker = Party::new(1).unwrap();
    assert!(!rig.replicator.shared.stripes.acquire(rig.stripe, worker, Mode::Single, Turn::NONE), "waits");
    rig.come(&[set(b"k", v2)]);
    assert_eq!(rig.sent().len(), 2);
    rig.come(&[set(b"k", v3)]);
    assert_eq!(rig.sent(), [""; 0], "the worker is next");
}
