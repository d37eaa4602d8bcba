//! One worker with one client, and answers as memcached would give them: the whole way of a request but for the sockets.
//! Also measured by `benches/pure.rs`.

use std::hint::black_box;
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
use sidecar::state::table::List;

/// Keys that are asked for in turn.
const KEYS: usize = 1000;
const ENTRIES: u32 = 8192;
/// The peer confirms after so many writes.
const CONFIRMED_AFTER: usize = 256;

struct NobodyWaits;

impl Wake for NobodyWaits {
    fn wake(&self, _: Party) {}
}

/// See the module.
pub(crate) struct Rig {
    shared: Arc<Shared>,
    worker: Worker,
    client: SessionId,
    touched: Vec<SessionId>,
    gets: Vec<Exchange>,
    sets: Vec<Exchange>,
    turn: usize,
}

/// What a client sends, what memcached answers, what the client gets.
struct Exchange {
    request: Vec<u8>,
    answer: Vec<u8>,
    reply: Vec<u8>,
}

impl Rig {
    /// Nothing is stored yet.
    pub(crate) fn new() -> Self {
        let hasher = KeyHasher::new(1);
        let config = JournalConfig { entries: ENTRIES, backlog: 1 << 20, owner: 1, host_boot: 1 };
        let (journal, _) = Journal::open(Box::new(vec![0; storage_size(ENTRIES)]), config, hasher).expect("empty");
        let party = |number| Party::new(number).expect("few");
        let replica = ReplicaId::new(0).expect("0 or 1");
        let wake = Box::new(NobodyWaits);
        let shared = Shared::new(replica, journal, hasher, party(1), wake, Rules::default(), STRIPES);
        let shared = Arc::new(shared);
        let mut worker = Worker::new(Arc::clone(&shared), party(0), StatsText(Arc::new(Vec::new)));
        let limits = Limits { item_size_max: 1 << 20, dialect: Dialect::Modern, flush_enabled: true };
        worker.upstream_connected(limits, Content::Same, now(0));
        let client = worker.open();
        let value = "v".repeat(100);
        let keys: Vec<String> = (0..KEYS).map(|number| format!("key:{number:012}")).collect();
        let get = |key: &String| {
            let hit = format!("VALUE {key} 0 100\r\n{value}\r\nEND\r\n").into_bytes();
            Exchange { request: format!("get {key}\r\n").into_bytes(), answer: hit.clone(), reply: hit }
        };
        let set = |key: &String| Exchange {
            request: format!("set {key} 0 0 100\r\n{value}\r\n").into_bytes(),
            answer: b"HD\r\n".to_vec(),
            reply: b"STORED\r\n".to_vec(),
        };
        let (gets, sets) = (keys.iter().map(get).collect(), keys.iter().map(set).collect());
        Self { shared, worker, client, touched: Vec::new(), gets, sets, turn: 0 }
    }

    /// So many gets of 100 bytes.
    pub(crate) fn gets(&mut self, count: usize) {
        for _ in 0..count {
            self.turn += 1;
            exchange(&mut self.worker, self.client, &mut self.touched, &self.gets[self.turn % KEYS], now(self.turn));
        }
    }

    /// So many sets of 100 bytes, which are logged, and confirmed by the peer from time to time.
    pub(crate) fn sets(&mut self, count: usize) {
        for _ in 0..count {
            self.turn += 1;
            exchange(&mut self.worker, self.client, &mut self.touched, &self.sets[self.turn % KEYS], now(self.turn));
            if self.turn.is_multiple_of(CONFIRMED_AFTER) {
                let mut journal = self.shared.journal();
                let next = journal.log.next();
                journal.log.trim(next);
                journal.free_below(List::Sent, next, usize::MAX);
            }
        }
    }
}

fn now(turn: usize) -> Now {
    let us = turn as u64 * 10;
    Now { mono_us: 1_000_000 + us, wall_us: 1_700_000_000_000_000 + us }
}

fn exchange(worker: &mut Worker, client: SessionId, touched: &mut Vec<SessionId>, exchange: &Exchange, now: Now) {
    worker.client_input(client, black_box(&exchange.request), now);
    assert!(!worker.upstream_output().is_empty(), "nothing for memcached");
    worker.upstream_output().clear();
    let consumed = worker.upstream_input(&exchange.answer, now, &mut Buffered).expect("a good answer");
    assert_eq!(consumed, exchange.answer.len());
    worker.swap_touched(touched);
    touched.clear();
    let output = worker.session(client).expect("open").output();
    assert!(*output == exchange.reply, "{:?}", String::from_utf8_lossy(output));
    output.clear();
    worker.output_taken(client, now);
}
