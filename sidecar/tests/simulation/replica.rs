//! One pod: a memcached and a sidecar, with the connections between them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use sidecar::clock::{Now, ReplicaId, Version};
use sidecar::dataplane::expect::SessionId;
use sidecar::dataplane::stripes::Party;
use sidecar::dataplane::values::Direct;
use sidecar::dataplane::worker::{Content, StatsText, Worker};
use sidecar::hash::KeyHasher;
use sidecar::protocol::{Dialect, Limits};
use sidecar::replication::journal::{Journal, JournalConfig, storage_size};
use sidecar::replication::replicator::{Config, Replicator};
use sidecar::replication::resync::DumpCommand;
use sidecar::rules::Rule;
use sidecar::shared::{Shared, Wake};
use sidecar::state::Storage;
use sidecar::state::header::{Field, Found, SIZE};

use crate::memcached::{self, ConnId, Memcached};
use crate::plan::Plan;

/// Largest item of the simulated memcached, in bytes.
pub(crate) const ITEM_SIZE_MAX: usize = 1024;

/// The parties that were woken.
#[derive(Debug, Default)]
pub(crate) struct Woken(Mutex<Vec<usize>>);

impl Woken {
    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<usize>> {
        self.0.lock().expect("one thread")
    }
    pub(crate) fn take(&self) -> Vec<usize> {
        let mut woken = std::mem::take(&mut *self.lock());
        woken.sort_unstable();
        woken.dedup();
        woken
    }
    pub(crate) fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }
}

struct SimWake(Arc<Woken>);

impl Wake for SimWake {
    fn wake(&self, party: Party) {
        self.0.lock().push(party.index());
    }
}

/// A byte pipe to memcached.
#[derive(Debug)]
pub(crate) struct Pipe {
    pub(crate) conn: ConnId,
    /// Came from memcached and is not consumed.
    pub(crate) received: Vec<u8>,
}

/// The running process of a sidecar.
pub(crate) struct Sidecar {
    pub(crate) shared: Arc<Shared>,
    pub(crate) workers: Vec<Worker>,
    pub(crate) pipes: Vec<Option<Pipe>>,
    pub(crate) replicator: Replicator,
    pub(crate) pipe: Option<Pipe>,
    pub(crate) dump: Option<Pipe>,
    pub(crate) woken: Arc<Woken>,
    /// From the peer, not consumed.
    pub(crate) link_in: Vec<u8>,
    /// What went to clients past their buffers, by worker.
    pub(crate) direct: Vec<Passed>,
}

/// Takes a part of what goes past a client's buffer.
#[derive(Debug, Default)]
pub(crate) struct Passed(HashMap<SessionId, Vec<u8>>);

impl Passed {
    pub(crate) fn take(&mut self, id: SessionId) -> Vec<u8> {
        self.0.remove(&id).unwrap_or_default()
    }
}

impl Direct for Passed {
    fn send(&mut self, id: SessionId, bytes: &[u8]) -> usize {
        let taken = bytes.len() * (bytes.len() % 4) / 3;
        self.0.entry(id).or_default().extend_from_slice(&bytes[..taken]);
        taken
    }
}

/// See the module.
pub(crate) struct Replica {
    pub(crate) id: u8,
    pub(crate) memcached: Memcached,
    pub(crate) sidecar: Option<Sidecar>,
    storage: Option<Box<dyn Storage>>,
    /// Wall clock less world time, microseconds.
    pub(crate) wall_offset_us: i64,
    /// Monotonic clock at the world's start, microseconds.
    mono_us: u64,
    /// memcached's wall second at the world's start.
    memcached_start: u64,
    boots: u64,
}

impl Replica {
    pub(crate) fn new(id: u8, plan: &Plan, rng: &mut fastrand::Rng) -> Self {
        let memcached_start = 1_700_000_000 + rng.u64(0..7200);
        let config = memcached::Config {
            item_size_max: ITEM_SIZE_MAX,
            slab_chunk_max: ITEM_SIZE_MAX / 2,
            start: memcached_start,
            overwrites: plan.overwrites,
            ..memcached::Config::default()
        };
        Self {
            id,
            memcached: Memcached::new(config),
            sidecar: None,
            storage: Some(Box::new(vec![0; storage_size(plan.entries)])),
            wall_offset_us: 1_700_000_000_000_000 + rng.i64(-3_000_000..3_000_000),
            mono_us: rng.u64(1_000_000..10_000_000_000),
            memcached_start,
            boots: 0,
        }
    }

    /// What the clocks of this pod show at a time of the world.
    pub(crate) fn now(&self, world_us: u64) -> Now {
        let wall_us = (world_us as i64 + self.wall_offset_us).max(1) as u64;
        Now { mono_us: self.mono_us + world_us, wall_us }
    }

    fn memcached_unix_ms(&self, world_us: u64) -> u64 {
        self.memcached_start * 1000 + world_us / 1000
    }

    /// Lets memcached's clock follow.
    pub(crate) fn follow(&mut self, world_us: u64) {
        let unix = self.memcached_unix_ms(world_us) / 1000;
        self.memcached.set_time(unix);
    }

    pub(crate) fn journal<T>(&self, read: impl FnOnce(&Journal) -> T) -> Option<T> {
        self.sidecar.as_ref().map(|sidecar| read(&sidecar.shared.journal()))
    }

    /// Starts the sidecar on what an earlier one left.
    pub(crate) fn start(&mut self, plan: &Plan, world_us: u64, rng: &mut fastrand::Rng) {
        let now = self.now(world_us);
        let mut storage = self.storage.take().expect("the earlier sidecar is stopped");
        let known = storage.bytes().iter().any(|byte| *byte != 0);
        if plan.rules.broken(Rule::StateSurvives) && known {
            storage.bytes_mut()[SIZE..].fill(0);
        }
        let hasher = KeyHasher::new(rng.u64(..));
        let owner = u64::from(self.id) + 1;
        let config = JournalConfig { entries: plan.entries, backlog: plan.backlog, owner, host_boot: 1 };
        let (mut journal, found) = Journal::open(storage, config, hasher).expect("our own state");
        if plan.rules.broken(Rule::ClockAboveCeiling) {
            journal.set(Field::Ceiling, 0);
        }
        let marker = self.memcached.restarts() + 1;
        let greatest = self.memcached.items().map(|item| item.cas).max();
        let content = match (found, greatest) {
            (Found::State, _) if journal.number(Field::MarkerLow) == marker => Content::Same,
            (Found::Nothing, Some(cas)) => {
                let version = Version::of_item(cas);
                journal.set(Field::Ceiling, version.raw());
                journal.raise_floor(version);
                journal.set(Field::Incarnation, rng.u64(1..));
                Content::Same
            }
            _ => Content::New,
        };
        journal.set(Field::MarkerLow, marker);
        let woken = Arc::new(Woken::default());
        let wake = Box::new(SimWake(Arc::clone(&woken)));
        let party = |number| Party::new(number).expect("few workers");
        let replica = ReplicaId::new(self.id).expect("0 or 1");
        let replicator = party(plan.workers);
        let shared = Arc::new(Shared::new(replica, journal, hasher, replicator, wake, plan.rules, plan.stripes));
        let memcached_ms = self.memcached_unix_ms(world_us) as i64;
        shared.set_memcached_clock(memcached_ms - now.mono_ms() as i64, memcached_ms.div_euclid(1000));
        self.boots += 1;
        let config = Config {
            pair_id: "pair".into(),
            boot: self.boots << 8 | u64::from(self.id) | 2,
            warmup_ms: 2_000,
            resync_rate: plan.resync_rate,
            link_output: plan.link_output,
        };
        let stats = StatsText(Arc::new(Vec::new));
        let workers = (0..plan.workers).map(|n| Worker::new(Arc::clone(&shared), party(n), stats.clone())).collect();
        let replicator = Replicator::new(Arc::clone(&shared), replicator, config, now);
        let pipes = (0..plan.workers).map(|_| None).collect();
        let direct = (0..plan.workers).map(|_| Passed::default()).collect();
        let (pipe, dump, link_in) = (None, None, Vec::new());
        self.sidecar = Some(Sidecar { shared, workers, pipes, replicator, pipe, dump, woken, link_in, direct });
        self.connect(content, world_us, rng);
    }

    /// Connects everything that is not connected to memcached.
    fn connect(&mut self, content: Content, world_us: u64, rng: &mut fastrand::Rng) {
        let now = self.now(world_us);
        let limits = Limits { item_size_max: ITEM_SIZE_MAX as u64, dialect: Dialect::Modern, flush_enabled: true };
        let Some(sidecar) = &mut self.sidecar else { return };
        if sidecar.pipe.is_none() {
            sidecar.pipe = Some(Pipe { conn: self.memcached.connect(), received: Vec::new() });
            sidecar.replicator.memcached_connected(content, rng.u64(1..), now);
        }
        for (worker, pipe) in sidecar.workers.iter_mut().zip(&mut sidecar.pipes) {
            if pipe.is_none() {
                *pipe = Some(Pipe { conn: self.memcached.connect(), received: Vec::new() });
                worker.upstream_connected(limits, content, now);
            }
        }
    }

    /// The sidecar is killed; its state file stays.
    pub(crate) fn kill(&mut self) {
        let Some(sidecar) = self.sidecar.take() else { return };
        let pipes = sidecar.pipes.into_iter().flatten().chain(sidecar.pipe).chain(sidecar.dump);
        for pipe in pipes {
            // What memcached has received it may have read before it noticed.
            self.memcached.run(pipe.conn);
            self.memcached.disconnect(pipe.conn);
        }
        drop((sidecar.workers, sidecar.replicator));
        let shared = Arc::try_unwrap(sidecar.shared).expect("nobody else shares it");
        self.storage = Some(shared.into_journal().into_storage());
    }

    /// The state file is gone; the sidecar must be stopped.
    pub(crate) fn lose_state(&mut self, plan: &Plan) {
        self.storage = Some(Box::new(vec![0; storage_size(plan.entries)]));
    }

    /// memcached dies and comes back empty; the sidecar notices.
    pub(crate) fn restart_memcached(&mut self, world_us: u64, rng: &mut fastrand::Rng) {
        let unix = self.memcached_unix_ms(world_us) / 1000;
        self.memcached.restart(unix);
        let marker = self.memcached.restarts() + 1;
        let Some(sidecar) = &mut self.sidecar else { return };
        for (worker, pipe) in sidecar.workers.iter_mut().zip(&mut sidecar.pipes) {
            *pipe = None;
            worker.upstream_lost();
            // Clients are closed when the content is lost.
            for id in worker.session_ids() {
                worker.close(id);
            }
        }
        sidecar.pipe = None;
        sidecar.dump = None;
        sidecar.replicator.memcached_lost();
        sidecar.shared.journal().set(Field::MarkerLow, marker);
        self.connect(Content::New, world_us, rng);
    }

    /// One connection of the sidecar to memcached breaks while both live; `which` counts workers, then the replicator.
    pub(crate) fn lose_upstream(&mut self, which: usize, world_us: u64, rng: &mut fastrand::Rng) {
        let Some(sidecar) = &mut self.sidecar else { return };
        let pipe = match sidecar.pipes.get_mut(which) {
            Some(pipe) => pipe.take(),
            None => sidecar.pipe.take(),
        };
        if let Some(pipe) = pipe {
            // memcached executes some of what it has received, and no more than that.
            for _ in 0..rng.usize(0..4) {
                self.memcached.step(pipe.conn);
            }
            self.memcached.disconnect(pipe.conn);
        }
        match sidecar.workers.get_mut(which) {
            Some(worker) => worker.upstream_lost(),
            None => {
                sidecar.replicator.memcached_lost();
                if let Some(dump) = sidecar.dump.take() {
                    self.memcached.disconnect(dump.conn);
                }
            }
        }
        self.connect(Content::Same, world_us, rng);
    }

    /// Moves what the sidecar wants to send into memcached's connection of one party.
    pub(crate) fn send(&mut self, which: usize) {
        let Some(sidecar) = &mut self.sidecar else { return };
        let (pipe, output) = match sidecar.workers.get_mut(which) {
            Some(worker) => (sidecar.pipes.get(which).and_then(Option::as_ref), worker.upstream_output()),
            None => (sidecar.pipe.as_ref(), sidecar.replicator.upstream_output()),
        };
        if let Some(pipe) = pipe {
            self.memcached.input(pipe.conn, output);
            output.clear();
        }
    }

    /// Lets memcached execute one command of a party's connection; 1 + workers is the dump.
    pub(crate) fn execute(&mut self, which: usize) -> bool {
        let Some(sidecar) = &self.sidecar else { return false };
        let pipe = if which < sidecar.pipes.len() {
            sidecar.pipes.get(which).and_then(Option::as_ref)
        } else if which == sidecar.pipes.len() {
            sidecar.pipe.as_ref()
        } else {
            sidecar.dump.as_ref()
        };
        pipe.is_some_and(|pipe| self.memcached.step(pipe.conn))
    }

    /// Gives what memcached answered to the party; `share` of 4 quarters of it, so that answers come in pieces.
    pub(crate) fn receive(&mut self, which: usize, share: usize, world_us: u64) -> Result<(), String> {
        let now = self.now(world_us);
        let Some(sidecar) = &mut self.sidecar else { return Ok(()) };
        let workers = sidecar.pipes.len();
        let pipe = if which < workers { &mut sidecar.pipes[which] } else { &mut sidecar.pipe };
        let Some(pipe) = pipe else { return Ok(()) };
        let Some(output) = self.memcached.output(pipe.conn) else { return Ok(()) };
        let len = (output.len() * share).div_ceil(4).min(output.len());
        pipe.received.extend(output.drain(..len));
        let consumed = match sidecar.workers.get_mut(which) {
            Some(worker) => {
                let consumed = worker.upstream_input(&pipe.received, now, &mut sidecar.direct[which]);
                worker.tell_replicator();
                consumed
            }
            None => sidecar.replicator.upstream_input(&pipe.received, now),
        };
        let consumed = consumed.map_err(|error| {
            format!("replica {}: party {which}: {error}: {:?}", self.id, String::from_utf8_lossy(&pipe.received))
        })?;
        pipe.received.drain(..consumed);
        Ok(())
    }

    /// The dump connection: opens, closes and reads it.
    pub(crate) fn dump(&mut self, world_us: u64) -> Result<(), String> {
        let now = self.now(world_us);
        let Some(sidecar) = &mut self.sidecar else { return Ok(()) };
        let command = sidecar.replicator.take_dump_command();
        if matches!(command, Some(DumpCommand::Start(_) | DumpCommand::Stop))
            && let Some(dump) = sidecar.dump.take()
        {
            self.memcached.disconnect(dump.conn);
        }
        match (command, &sidecar.dump) {
            (Some(DumpCommand::Start(bytes)), _) => {
                let conn = self.memcached.connect();
                self.memcached.input(conn, bytes);
                sidecar.dump = Some(Pipe { conn, received: Vec::new() });
            }
            (Some(DumpCommand::Ask(bytes)), Some(dump)) => self.memcached.input(dump.conn, bytes),
            (Some(DumpCommand::Ask(_) | DumpCommand::Stop) | None, _) => {}
        }
        let Some(dump) = &mut sidecar.dump else { return Ok(()) };
        let closed = self.memcached.is_closed(dump.conn);
        if let Some(output) = self.memcached.output(dump.conn) {
            dump.received.append(output);
        }
        let consumed = sidecar.replicator.dump_input(&dump.received, now);
        let consumed = consumed.map_err(|error| format!("replica {}: dump: {error}", self.id))?;
        dump.received.drain(..consumed);
        if closed {
            sidecar.dump = None;
            sidecar.replicator.dump_failed();
        }
        sidecar.replicator.turn(now);
        Ok(())
    }

    /// Wakes who was woken.
    pub(crate) fn wake(&mut self, world_us: u64) {
        let now = self.now(world_us);
        let Some(sidecar) = &mut self.sidecar else { return };
        for party in sidecar.woken.take() {
            match sidecar.workers.get_mut(party) {
                Some(worker) => worker.woken(now),
                None => sidecar.replicator.woken(now),
            }
        }
    }

    /// Whether clients are served.
    pub(crate) fn is_ready(&self) -> bool {
        self.sidecar.as_ref().is_some_and(|sidecar| sidecar.replicator.is_ready())
    }

    /// Opens a client connection on a worker.
    pub(crate) fn open(&mut self, worker: usize) -> Option<SessionId> {
        if !self.is_ready() {
            return None;
        }
        self.sidecar.as_mut().and_then(|sidecar| sidecar.workers.get_mut(worker)).map(Worker::open)
    }
}
