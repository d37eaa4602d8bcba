//! Workers without sockets: a test is their clients and their memcached.

use std::sync::Arc;

use sidecar::clock::{Now, ReplicaId};
use sidecar::dataplane::expect::SessionId;
use sidecar::dataplane::stripes::{Party, STRIPES};
use sidecar::dataplane::values::Buffered;
use sidecar::dataplane::worker::{Content, StatsText, Worker};
use sidecar::hash::KeyHasher;
use sidecar::protocol::{Dialect, Limits};
use sidecar::replication::journal::{Journal, JournalConfig, storage_size};
use sidecar::rules::Rules;
use sidecar::shared::{Shared, Wake};

const ENTRIES: u32 = 64;
pub(crate) const LIMITS: Limits = Limits { item_size_max: 1 << 20, dialect: Dialect::Modern, flush_enabled: true };
pub(crate) const NOW: Now = Now { mono_us: 1_000_000, wall_us: 1_700_000_000_000_000 };

struct NobodyWaits;

impl Wake for NobodyWaits {
    fn wake(&self, _: Party) {}
}

/// Two workers of one sidecar, with a client each.
pub(crate) struct Rig {
    pub(crate) shared: Arc<Shared>,
    pub(crate) workers: [Worker; 2],
    pub(crate) clients: [SessionId; 2],
}

impl Rig {
    pub(crate) fn new() -> Self {
        let hasher = KeyHasher::new(1);
        let config = JournalConfig { entries: ENTRIES, backlog: 1 << 20, owner: 1, host_boot: 1 };
        let (journal, _) = Journal::open(Box::new(vec![0; storage_size(ENTRIES)]), config, hasher).expect("empty");
        let party = |number| Party::new(number).expect("few");
        let (replica, wake) = (ReplicaId::new(0).expect("0 or 1"), Box::new(NobodyWaits));
        let shared = Arc::new(Shared::new(replica, journal, hasher, party(2), wake, Rules::default(), STRIPES));
        let mut workers =
            [0, 1].map(|number| Worker::new(Arc::clone(&shared), party(number), StatsText(Arc::new(Vec::new))));
        let clients = workers.each_mut().map(|worker| {
            worker.upstream_connected(LIMITS, Content::Same, NOW);
            worker.open()
        });
        Self { shared, workers, clients }
    }

    /// A client's bytes: what goes to memcached.
    pub(crate) fn send(&mut self, which: usize, bytes: &[u8]) -> String {
        self.workers[which].client_input(self.clients[which], bytes, NOW);
        self.sent(which)
    }

    pub(crate) fn sent(&mut self, which: usize) -> String {
        String::from_utf8_lossy(&std::mem::take(self.workers[which].upstream_output())).into_owned()
    }

    pub(crate) fn answer(&mut self, bytes: &[u8]) -> bool {
        self.answer_to(0, bytes)
    }

    pub(crate) fn answer_to(&mut self, which: usize, bytes: &[u8]) -> bool {
        self.workers[which].upstream_input(bytes, NOW, &mut Buffered).is_ok()
    }
}
