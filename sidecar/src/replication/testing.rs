//! A replicator for tests.

use std::sync::Arc;

use super::journal::{Journal, JournalConfig, storage_size};
use super::replicator::{Config, Content, Replicator};
use crate::clock::{Now, ReplicaId};
use crate::dataplane::stripes::Party;
use crate::hash::KeyHasher;
use crate::protocol::{Dialect, Limits};
use crate::rules::Rules;
use crate::shared::{Shared, Wake};

struct NobodyWaits;

impl Wake for NobodyWaits {
    fn wake(&self, _: Party) {}
}

const ENTRIES: u32 = 64;

pub(super) fn now(seconds: u64) -> Now {
    Now { mono_us: seconds * 1_000_000, wall_us: 1_700_000_000_000_000 + seconds * 1_000_000 }
}

/// A replicator with an empty table, connected to memcached.
pub(super) fn replicator() -> Replicator {
    let hasher = KeyHasher::new(1);
    let config = JournalConfig { entries: ENTRIES, backlog: 1 << 20, owner: 1, host_boot: 1 };
    let (journal, _) = Journal::open(Box::new(vec![0; storage_size(ENTRIES)]), config, hasher).unwrap();
    let (replica, party) = (ReplicaId::new(0).unwrap(), Party::new(0).unwrap());
    let shared = Shared::new(replica, journal, hasher, party, Box::new(NobodyWaits), Rules::default(), 16);
    let config = Config { pair_id: "pair".to_owned(), boot: 1, warmup_ms: 0, resync_rate: None, link_output: 1 << 20 };
    let limits = Limits { item_size_max: 1 << 20, dialect: Dialect::Modern, flush_enabled: true };
    shared.set_limits(&limits);
    let mut replicator = Replicator::new(Arc::new(shared), party, config, now(1));
    replicator.memcached_connected(Content::Same, 1, now(1));
    replicator
}
