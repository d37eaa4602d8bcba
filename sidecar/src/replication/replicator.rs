//! The replicator: one party that talks to the peer and, on a connection of its own, to memcached.
//!
//! The shell feeds it bytes of three connections (memcached, a dump of memcached, the peer) and the time, and takes the
//! bytes it wants sent. Its parts are in the modules beside: `apply` (the peer's records), `resync` (what the peer lacks),
//! `flush` (flush_all and its sweep), `link` (the conversation with the peer).

use std::collections::VecDeque;
use std::sync::Arc;

use super::flush::Flush;
use super::inbox::Apply;
use super::link::Link;
use super::resync::{Fetch, Resync};
use crate::clock::{Now, Version};
use crate::dataplane::stripes::{Mode, Party, Stripe, Turn};
pub use crate::dataplane::worker::{Content, UpstreamError};
use crate::protocol::response::{self, Response};
use crate::rules::Rule;
use crate::shared::Shared;
use crate::state::header::Field;

/// What the replicator is told at its start.
#[derive(Clone, Debug)]
pub struct Config {
    /// Only replicas of one pair link; at most [`super::message::MAX_PAIR_ID`] bytes.
    pub pair_id: String,
    /// Random, not 0.
    pub boot: u64,
    /// After so many milliseconds without progress of the first sync the replica serves all the same; 0: at once.
    pub warmup_ms: u64,
    /// Bytes per second of a resync; `None`: as fast as it goes.
    pub resync_rate: Option<u64>,
    /// The most bytes waiting to be sent to the peer, but for one batch.
    pub link_output: usize,
}

/// A command of ours that memcached has not answered.
#[derive(Debug)]
pub(super) enum Op {
    /// `me` for the record with this ticket.
    Inspect(u64),
    /// `ms` for it.
    Store(u64),
    /// `md` for it.
    Delete(u64),
    /// `mg T` for it.
    Touch(u64),
    /// `mg v f t c` for it: its version is the item's.
    Compare(u64),
    /// `mg R` or `md I` for it, the last of them: it has its marks.
    Mark(u64),
    /// An item for the peer.
    Fetch(Fetch),
    /// `md I`: a read took a win token. The stripe is released after.
    GiveBack(Option<Stripe>),
    /// `flush_all`.
    FlushAll,
    /// `md C` of a sweep.
    Sweep,
    /// `lru_crawler enable`: whatever the answer.
    EnableCrawler,
    /// Something that another one follows up: whatever the answer.
    Ignored,
}

/// How often [`Field::Noted`] follows, in milliseconds.
const NOTED_EVERY_MS: u64 = 1000;

/// Numbers since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Records of the peer that changed something here.
    pub applied: u64,
    /// Records of the peer that were older than what is here, or than a later one that waited with them.
    pub superseded: u64,
    /// Records of the peer that memcached refused: the old value is deleted.
    pub refused: u64,
    /// Items of the peer that were refused since their delete may have been forgotten.
    pub denied: u64,
    /// Equal versions with different values.
    pub conflicts: u64,
    /// Entries about items that went with memcached's content.
    pub lost_pending: u64,
    /// Dumps of memcached whose end was missing: each was repeated.
    pub dumps_cut: u64,
    /// Resyncs sent, by kind: partial, incremental, full.
    pub resyncs: [u64; 3],
}

/// See the module.
#[derive(Debug)]
pub struct Replicator {
    pub(super) shared: Arc<Shared>,
    pub(super) party: Party,
    pub(super) config: Config,
    /// The clock when the process started.
    pub(super) started: Version,
    /// Items with versions between these may have been stored by an earlier process and not noted; until a resync has
    /// noted them.
    pub(super) unnoted: Option<(Version, Version)>,
    noted_ms: u64,
    pub(super) upstream: Vec<u8>,
    /// What is written to it until it is sent.
    turn: Turn,
    pub(super) ops: VecDeque<Op>,
    pub(super) connected: bool,
    pub(super) apply: Apply,
    pub(super) link: Link,
    pub(super) resync: Resync,
    pub(super) flush: Flush,
    /// See [`Counters`].
    pub counters: Counters,
    /// Whether the first sync of this content is complete.
    pub(super) synced: bool,
    /// Since when it has made no progress, in milliseconds of the monotonic clock.
    pub(super) progress_ms: u64,
    pub(super) serving: bool,
    cold: bool,
    /// There is no peer to wait for.
    alone: bool,
}

impl Replicator {
    /// A replicator that is connected to nobody.
    pub fn new(shared: Arc<Shared>, party: Party, config: Config, now: Now) -> Self {
        let started = shared.next_version(now);
        let noted = shared.journal().version(Field::Noted);
        let unnoted = (noted > Version::ZERO).then_some((noted, started));
        let sweep = shared.sweeping();
        Self {
            apply: Apply::new(),
            link: Link::new(),
            resync: Resync::default(),
            flush: Flush::new(sweep),
            shared,
            party,
            config,
            started,
            unnoted,
            noted_ms: now.mono_ms(),
            upstream: Vec::new(),
            turn: Turn::NONE.next(),
            ops: VecDeque::new(),
            connected: false,
            counters: Counters::default(),
            synced: false,
            progress_ms: now.mono_ms(),
            serving: false,
            cold: false,
            alone: false,
        }
    }

    /// Bytes for memcached; the shell takes them.
    pub fn upstream_output(&mut self) -> &mut Vec<u8> {
        if !self.upstream.is_empty() {
            self.turn = self.turn.next();
        }
        &mut self.upstream
    }

    /// memcached is there (again). Every worker must have given up its old connection before, and takes its new one after.
    pub fn memcached_connected(&mut self, content: Content, incarnation: u64, now: Now) {
        self.connected = true;
        if content == Content::New {
            let mut journal = self.shared.journal();
            let floor = journal.version(Field::Floor);
            let lost = journal.content_lost(incarnation);
            if self.shared.broken(Rule::EmptyClearsFloor) {
                journal.raise_floor(floor);
            }
            drop(journal);
            self.counters.lost_pending += lost as u64;
            self.shared.stripes.forget_writes();
            self.shared.end_sweep();
            self.flush.content_lost();
            self.synced = false;
            self.cold = false;
            self.progress_ms = now.mono_ms();
            self.link_content_lost(incarnation);
            // What the resync was about to read is gone.
            if let Some(plan) = self.resync_plan() {
                self.resync_start(plan, now);
            }
        }
        self.turn(now);
    }

    /// The connection to memcached is lost: what was not answered is done again when it is back.
    pub fn memcached_lost(&mut self) {
        self.connected = false;
        self.upstream.clear();
        let ops = std::mem::take(&mut self.ops);
        for op in ops {
            match op {
                Op::Inspect(ticket)
                | Op::Store(ticket)
                | Op::Delete(ticket)
                | Op::Touch(ticket)
                | Op::Compare(ticket)
                | Op::Mark(ticket) => {
                    self.apply_again(ticket);
                }
                Op::GiveBack(stripe) => stripe.into_iter().for_each(|stripe| self.release(stripe)),
                Op::Fetch(fetch) => self.fetch_again(fetch),
                Op::FlushAll => self.flush_again(),
                Op::Sweep | Op::EnableCrawler | Op::Ignored => {}
            }
        }
        self.sweep_lost();
        self.dump_failed();
    }

    /// Whether memcached is connected.
    pub fn is_connected(&self) -> bool {
        self.connected
    }

    /// Bytes from memcached: returns how many are done with.
    ///
    /// # Errors
    /// The connection is of no use any more: call [`Replicator::memcached_lost`].
    pub fn upstream_input(&mut self, bytes: &[u8], now: Now) -> Result<usize, UpstreamError> {
        let mut at = 0;
        while let Some((response, len)) = response::parse(bytes.get(at..).unwrap_or_default())? {
            at += len;
            self.answer(&response, now)?;
        }
        self.turn(now);
        Ok(at)
    }

    fn answer(&mut self, response: &Response<'_>, now: Now) -> Result<(), UpstreamError> {
        let op = self.ops.pop_front().ok_or(UpstreamError::Unexpected)?;
        let done = match &op {
            Op::Inspect(ticket) => self.inspected(*ticket, response, now),
            Op::Store(ticket) => self.stored(*ticket, response, now),
            Op::Delete(ticket) => self.deleted(*ticket, response),
            Op::Touch(ticket) => self.touched(*ticket, response),
            Op::Compare(ticket) => self.compared(*ticket, response, now),
            Op::Mark(ticket) => self.marked(*ticket, response),
            Op::GiveBack(stripe) => {
                stripe.iter().for_each(|stripe| self.release(*stripe));
                Ok(())
            }
            Op::Fetch(fetch) => self.fetched(fetch, response, now),
            Op::FlushAll => self.flushed(response, now),
            Op::Sweep => self.swept_one(response),
            Op::EnableCrawler | Op::Ignored => Ok(()),
        };
        if done.is_err() {
            // The connection is given up; what this was for is done again, like all that is behind.
            self.ops.push_front(op);
        }
        done
    }

    /// Somebody released a stripe that was waited for, logged a write, or asked for a flush.
    pub fn woken(&mut self, now: Now) {
        self.apply_woken(now);
        self.turn(now);
    }

    /// Does what can be done. To be called after every input, and at least every 100 ms.
    pub fn turn(&mut self, now: Now) {
        if self.connected {
            self.flush_turn(now);
            if std::mem::take(&mut self.flush.retry_applies) {
                self.apply_woken(now);
            }
            self.apply_turn(now);
            self.resync_turn(now);
        }
        self.link_turn(now);
        self.life_turn(now);
        self.note_turn(now);
    }

    /// Tells a process after this one from where on it may find items that nothing tells of.
    fn note_turn(&mut self, now: Now) {
        if self.unnoted.is_none() && now.mono_ms().saturating_sub(self.noted_ms) >= NOTED_EVERY_MS {
            self.noted_ms = now.mono_ms();
            let watermark = self.shared.watermark(now);
            self.shared.journal().set(Field::Noted, watermark.raw());
        }
    }

    fn life_turn(&mut self, now: Now) {
        let waited = now.mono_ms().saturating_sub(self.progress_ms);
        let waiting = self.connected && !self.synced;
        // Once it serves, it goes on until the content is lost.
        self.cold = waiting && (self.cold || self.alone || waited >= self.config.warmup_ms);
        self.serving = self.connected && (self.synced || self.cold);
    }

    /// Whether clients may be served: memcached answers, and it holds what the peer holds, or waiting is over.
    pub fn is_ready(&self) -> bool {
        self.serving
    }

    /// Whether it serves without having been filled by the peer.
    pub fn is_cold(&self) -> bool {
        self.cold
    }

    /// Says whether there is a peer to wait for.
    pub fn set_alone(&mut self, alone: bool, now: Now) {
        self.alone = alone;
        self.turn(now);
    }

    /// Whether the first sync with the peer is complete.
    pub fn is_synced(&self) -> bool {
        self.synced
    }

    pub(super) fn take_stripe(&self, stripe: Stripe, mode: Mode) -> bool {
        self.shared.broken(Rule::StripesOrderWrites) || self.shared.stripes.acquire(stripe, self.party, mode, self.turn)
    }

    /// Gives up a place in the queue for a stripe, unless a part of the replicator still waits for it. Returns whether
    /// one does.
    pub(super) fn relinquish(&self, stripe: Stripe) -> bool {
        let waits = self.apply.waits_for(stripe) || self.fetch_waits_for(stripe) || self.flush.waits_for(stripe);
        if !waits {
            self.shared.relinquish(stripe, self.party);
        }
        waits
    }

    pub(super) fn release(&self, stripe: Stripe) {
        if !self.shared.broken(Rule::StripesOrderWrites) {
            self.shared.release(stripe);
        }
    }
}
