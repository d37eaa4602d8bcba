//! The peer's records: each is applied if it is newer than everything known of its key here (last writer wins).
//!
//! Records wait in a queue in the order of the peer's log. Many are under way at once; marks and flushes wait until they
//! are first, so all before them is applied. What is done at the front of the queue is acknowledged.

use std::sync::Arc;

use super::inbox::{Batch, Progress, decode};
use super::marks::{self, Difference};
use super::record::{Expiry, Marks, Record};
use super::replicator::{Op, Replicator};
use crate::clock::{Now, Version};
use crate::dataplane::item::{expiry_of_ttl, item_of};
use crate::dataplane::stripes::Mode;
use crate::dataplane::worker::UpstreamError;
use crate::protocol::StoreMode;
use crate::protocol::encode::{self, Store};
use crate::protocol::response::{MetaCode, Response};
use crate::rules::Rule;
use crate::state::header::Field;
use crate::state::table::{List, Write};

/// The most records under way at once.
const WINDOW: usize = 2048;
/// The most bytes waiting to be sent to memcached.
pub(super) const OUTPUT: usize = 1 << 20;
impl Replicator {
    /// Starts what can be started and takes what is done off the front.
    pub(super) fn apply_turn(&mut self, now: Now) {
        self.apply_done();
        while self.apply.busy < WINDOW && self.upstream.len() < OUTPUT && !self.flush.wants_all_stripes() {
            let ticket = self.apply.first + self.apply.started as u64;
            let front = self.apply.started == 0;
            let Some(incoming) = self.apply.incoming(ticket) else { break };
            let batch = Arc::clone(&incoming.batch);
            let (offset, len) = (incoming.offset, incoming.len);
            // What cannot be decoded was checked when it came.
            let Some(record) = decode(&batch, offset, len) else { break };
            if matches!(record, Record::Set { bulk: true, .. }) {
                self.progress_ms = now.mono_ms();
            }
            let state = match (record, record.key()) {
                (_, Some(key)) => self.start(ticket, &batch, record, key, now),
                (_, None) if !front => break,
                (Record::Flush { version }, None) if !self.flush_remote(version, now) => break,
                (Record::FlushAt { version, due }, None) => {
                    let due = due.shifted(batch.clocks.0, batch.clocks.1);
                    self.shared.journal().set_flush_due(version, due);
                    Progress::Done
                }
                (Record::Mark(mark), None) => {
                    self.link_mark(mark, now);
                    Progress::Done
                }
                (_, None) => Progress::Done,
            };
            if let Some(incoming) = self.apply.incoming(ticket) {
                incoming.state = state;
            }
            self.apply.started += 1;
            self.apply_done();
        }
    }

    fn apply_done(&mut self) {
        let before = self.apply.applied;
        while self.apply.queue.front().is_some_and(|i| i.state == Progress::Done) {
            let Some(done) = self.apply.queue.pop_front() else { break };
            self.apply.first += 1;
            self.apply.started = self.apply.started.saturating_sub(1);
            self.apply.bytes -= done.len;
            self.apply.applied = (done.log, done.seq + 1);
        }
        if self.apply.applied == before {
            return;
        }
        let (log, next) = self.apply.applied;
        let mut journal = self.shared.journal();
        if journal.number(Field::PeerLog) != log {
            journal.set(Field::PeerNext, 0);
            journal.set(Field::PeerLog, log);
        }
        journal.set(Field::PeerNext, next);
    }

    pub(super) fn start(&mut self, ticket: u64, batch: &Batch, record: Record<'_>, key: &[u8], now: Now) -> Progress {
        if !self.shared.accepts_key(key) {
            self.counters.refused += 1;
            return Progress::Done;
        }
        let hash = self.shared.hasher.hash(key);
        let stripe = self.shared.stripes.of(hash);
        // A touch must not overtake the item that it is for.
        if self.apply.first_blocked(stripe).is_some_and(|earlier| earlier < ticket) {
            return self.wait((stripe, ticket), record, (hash, key));
        }
        let blind = |newest: Version| match record {
            // The marks are for this item only: nothing may come between them and its value.
            Record::Set { marks, .. }
                if marks != Marks::NONE && marks != Marks::BINARY && !self.shared.broken(Rule::MarksAreExclusive) =>
            {
                false
            }
            Record::Set { version, .. } | Record::Delete { version, .. } => {
                version > newest || self.shared.broken(Rule::BlindOnlyAboveNewest)
            }
            _ => false,
        };
        let mode = if blind(self.shared.stripes.newest(stripe)) { Mode::Single } else { Mode::Exclusive };
        if !self.take_stripe(stripe, mode) {
            return self.wait((stripe, ticket), record, (hash, key));
        }
        let blind = mode == Mode::Single && blind(self.shared.stripes.newest(stripe));
        if mode == Mode::Single && !blind {
            // Somebody wrote between the look and the grasp: a conversation is needed after all.
            self.release(stripe);
            if !self.take_stripe(stripe, Mode::Exclusive) {
                return self.wait((stripe, ticket), record, (hash, key));
            }
        }
        if self.begin(ticket, batch, record, (hash, key), blind, now) {
            self.apply.busy += 1;
            return Progress::Busy(stripe);
        }
        self.release(stripe);
        Progress::Done
    }

    /// The stripe is held: compares with what is known without asking memcached. `false`: nothing more is to be done.
    fn begin(
        &mut self,
        ticket: u64,
        batch: &Batch,
        record: Record<'_>,
        (hash, key): (u64, &[u8]),
        blind: bool,
        now: Now,
    ) -> bool {
        let (known, floor) = {
            let journal = self.shared.journal();
            (self.known(&journal, (hash, key)), journal.version(Field::Floor))
        };
        if self.is_superseded(&record, known) {
            self.counters.superseded += 1;
            return false;
        }
        match record {
            Record::Set { version, expiry, bulk, .. } => {
                if self.local_expiry(batch, expiry).is_past(now.mono_ms()) {
                    return self.begin_delete(ticket, key, hash, version, blind);
                }
                if blind {
                    self.send_store(ticket, StoreMode::Set, None, now);
                } else if bulk && version > floor {
                    self.send_store(ticket, StoreMode::Add, None, now);
                } else {
                    self.send_inspect(ticket, key);
                }
            }
            Record::Delete { version, .. } => return self.begin_delete(ticket, key, hash, version, blind),
            Record::Touch { .. } | Record::Won { .. } => self.send_inspect(ticket, key),
            Record::Have { version, .. } => {
                if version > floor || known.is_some_and(|e| e.version >= version) {
                    return false;
                }
                self.send_inspect(ticket, key);
            }
            Record::Flush { .. } | Record::FlushAt { .. } | Record::Mark(_) => return false,
        }
        true
    }

    fn begin_delete(&mut self, ticket: u64, key: &[u8], hash: u64, version: Version, blind: bool) -> bool {
        if blind {
            self.send_delete(ticket, key, hash, version, None);
        } else {
            self.send_inspect(ticket, key);
        }
        true
    }

    fn send_inspect(&mut self, ticket: u64, key: &[u8]) {
        encode::inspect(&mut self.upstream, key);
        self.ops.push_back(Op::Inspect(ticket));
    }

    fn send_delete(&mut self, ticket: u64, key: &[u8], hash: u64, version: Version, compare: Option<u64>) {
        self.shared.stripes.wrote(self.shared.stripes.of(hash), version);
        encode::delete(&mut self.upstream, key, compare);
        self.ops.push_back(Op::Delete(ticket));
    }

    /// Sends the value of the Set with this ticket.
    fn send_store(&mut self, ticket: u64, mode: StoreMode, compare: Option<u64>, now: Now) {
        let Some(incoming) = self.apply.incoming(ticket) else { return };
        let batch = Arc::clone(&incoming.batch);
        let (offset, len) = (incoming.offset, incoming.len);
        if let Some(Record::Set { key, version, flags, expiry, marks, value, .. }) = decode(&batch, offset, len) {
            let exptime = marks::interim_exptime(marks, self.exptime(self.local_expiry(&batch, expiry), now));
            let binary = marks.has(Marks::BINARY) || encode::needs_base64(key);
            self.shared.stripes.wrote(self.shared.stripes.of(self.shared.hasher.hash(key)), version);
            let version = match self.shared.broken(Rule::StaleTravels) {
                true => version,
                false => marks::interim_version(marks, version),
            };
            let store = Store { mode, key, flags, exptime, version: version.raw(), compare, binary, value };
            encode::store(&mut self.upstream, &store);
            self.ops.push_back(Op::Store(ticket));
        }
    }

    pub(super) fn exptime(&self, expiry: Expiry, now: Now) -> i32 {
        self.shared.exptime_of(expiry, now).min(i64::from(i32::MAX)) as i32
    }

    pub(super) fn local_expiry(&self, batch: &Batch, expiry: Expiry) -> Expiry {
        if self.shared.broken(Rule::RemainingLife) {
            return expiry;
        }
        expiry.shifted(batch.clocks.0, batch.clocks.1)
    }

    /// What is here, by `me`, for a record whose stripe is held alone.
    pub(super) fn inspected(&mut self, ticket: u64, response: &Response<'_>, now: Now) -> Result<(), UpstreamError> {
        let Response::Meta(meta) = response else { return Err(UpstreamError::Unexpected) };
        let seen = meta.inspected();
        let cas = seen.map(|(cas, _)| cas);
        if cas.is_none() && meta.code != MetaCode::Miss {
            return Err(UpstreamError::Unexpected);
        }
        let Some(incoming) = self.apply.incoming(ticket) else { return Ok(()) };
        let batch = Arc::clone(&incoming.batch);
        let (offset, len) = (incoming.offset, incoming.len);
        let Some(record) = decode(&batch, offset, len) else { return Ok(()) };
        let Some(key) = record.key() else { return Ok(()) };
        let hash = self.shared.hasher.hash(key);
        if let (Some(cas), true) = (cas, meta.code == MetaCode::Header && meta.flags.has(b'W')) {
            // A read of ours took the win token.
            encode::mark_stale(&mut self.upstream, key, cas);
            self.ops.push_back(Op::Ignored);
        }
        let here = cas.map(Version::of_item);
        let older_wins = self.shared.broken(Rule::LastWriterWins);
        match record {
            Record::Set { version, expiry, .. } => {
                let past = self.local_expiry(&batch, expiry).is_past(now.mono_ms());
                let floor = self.shared.journal().version(Field::Floor);
                match here {
                    None if version <= floor && !self.shared.broken(Rule::FloorRefuses) => {
                        self.deny(hash, key, version);
                        self.finish(ticket);
                    }
                    None if past => self.send_delete(ticket, key, hash, version, None),
                    None => self.send_store(ticket, StoreMode::Add, None, now),
                    Some(here) if here > version && !older_wins => self.supersede(ticket),
                    Some(here) if here == version => {
                        encode::read_back(&mut self.upstream, key);
                        self.ops.push_back(Op::Compare(ticket));
                    }
                    Some(_) if past => self.send_delete(ticket, key, hash, version, cas),
                    Some(_) => self.send_store(ticket, StoreMode::Set, cas, now),
                }
            }
            Record::Delete { version, .. } => match here {
                Some(here) if here > version && !older_wins => self.supersede(ticket),
                _ => self.send_delete(ticket, key, hash, version, cas),
            },
            Record::Touch { item, version, expiry, .. } => match here {
                Some(here) if here == item || self.shared.broken(Rule::TouchOnlyItsItem) => {
                    let expiry = self.local_expiry(&batch, expiry);
                    self.shared.journal().note_touch(hash, key, item, version, expiry);
                    let exptime = self.exptime(expiry, now);
                    encode::touch(&mut self.upstream, key, exptime, false);
                    self.ops.push_back(Op::Touch(ticket));
                }
                _ => self.supersede(ticket),
            },
            Record::Won { item, .. } => match here {
                Some(here) if here == item => {
                    self.send_take_token(key, seen.is_some_and(|(_, ttl)| ttl < 0));
                    self.ops.push_back(Op::Mark(ticket));
                }
                _ => self.supersede(ticket),
            },
            Record::Have { version, expiry, .. } => match here {
                None if !self.shared.broken(Rule::FloorRefuses) => {
                    self.deny(hash, key, version);
                    self.finish(ticket);
                }
                Some(here) if here == version => {
                    let ours = expiry_of_ttl(seen.map_or(-1, |(_, ttl)| ttl), now);
                    let theirs = self.local_expiry(&batch, expiry);
                    self.agree_on_end(ticket, (hash, key), version, (ours, theirs), Difference::default(), now);
                }
                _ => self.finish(ticket),
            },
            Record::Flush { .. } | Record::FlushAt { .. } | Record::Mark(_) => {}
        }
        Ok(())
    }

    /// The peer holds an item that may have been deleted here: both sides drop it.
    fn deny(&mut self, hash: u64, key: &[u8], version: Version) {
        self.counters.denied += 1;
        self.shared.journal().commit_record(hash, Record::Delete { key, version });
        self.shared.stripes.wrote(self.shared.stripes.of(hash), version);
    }

    pub(super) fn supersede(&mut self, ticket: u64) {
        self.counters.superseded += 1;
        self.finish(ticket);
    }

    /// The record is done with.
    pub(super) fn finish(&mut self, ticket: u64) {
        let Some(incoming) = self.apply.incoming(ticket) else { return };
        if let Progress::Busy(stripe) = std::mem::replace(&mut incoming.state, Progress::Done) {
            self.apply.busy -= 1;
            self.release(stripe);
        }
    }

    pub(super) fn stored(&mut self, ticket: u64, response: &Response<'_>, now: Now) -> Result<(), UpstreamError> {
        match response {
            Response::Meta(meta) => match meta.code {
                MetaCode::Header => {
                    self.counters.applied += 1;
                    if !self.send_marks(ticket, now) {
                        self.finish(ticket);
                    }
                }
                // It came, went or changed in between: look again.
                MetaCode::NotStored | MetaCode::Exists | MetaCode::NotFound => self.inspect_again(ticket),
                _ => return Err(UpstreamError::Unexpected),
            },
            // Too large or out of memory: `ms` has dropped the old value, and a miss is always an answer.
            Response::Error { .. } => {
                self.counters.refused += 1;
                self.finish(ticket);
            }
            _ => return Err(UpstreamError::Unexpected),
        }
        Ok(())
    }

    /// An add or compare failed. The stripe may be held for single commands only: then it is taken anew, alone.
    fn inspect_again(&mut self, ticket: u64) {
        let Some(incoming) = self.apply.incoming(ticket) else { return };
        let batch = Arc::clone(&incoming.batch);
        let (offset, len) = (incoming.offset, incoming.len);
        if let Some(key) = decode(&batch, offset, len).and_then(|r| r.key()) {
            self.send_inspect(ticket, key);
        }
    }

    pub(super) fn deleted(&mut self, ticket: u64, response: &Response<'_>) -> Result<(), UpstreamError> {
        match response {
            Response::Meta(meta) if meta.code == MetaCode::Exists => self.inspect_again(ticket),
            Response::Meta(_) => {
                self.counters.applied += 1;
                self.remember_delete(ticket);
                self.finish(ticket);
            }
            _ => return Err(UpstreamError::Unexpected),
        }
        Ok(())
    }

    /// memcached does not hold the item any more. Not before that: a tombstone tells the peer that nothing is to be done here.
    fn remember_delete(&mut self, ticket: u64) {
        let peer = self.link.peer.as_ref().map_or(0, |peer| peer.boot);
        let Some(incoming) = self.apply.incoming(ticket) else { return };
        // A log that is no more says nothing about when its deletes are settled: they are told back.
        let (list, seq) = match incoming.log == peer {
            true => (List::Remote, incoming.seq),
            false => (List::Unsent, 0),
        };
        let batch = Arc::clone(&incoming.batch);
        let (offset, len) = (incoming.offset, incoming.len);
        if let Some(Record::Delete { key, version } | Record::Set { key, version, .. }) = decode(&batch, offset, len)
            && !self.shared.broken(Rule::RemoteDeleteIsRemembered)
        {
            let hash = self.shared.hasher.hash(key);
            self.shared.journal().note(hash, key, Write::Delete(version), list, seq);
        }
    }

    pub(super) fn touched(&mut self, ticket: u64, response: &Response<'_>) -> Result<(), UpstreamError> {
        let Response::Meta(meta) = response else { return Err(UpstreamError::Unexpected) };
        self.counters.applied += 1;
        if let Some(cas) = meta.flags.cas().filter(|_| meta.flags.has(b'W'))
            && self.give_back(ticket, cas)
        {
            return Ok(());
        }
        self.finish(ticket);
        Ok(())
    }

    /// Doing what a record says took the win token of the item with this CAS. Its stripe is held on.
    fn give_back(&mut self, ticket: u64, cas: u64) -> bool {
        let Some(incoming) = self.apply.incoming(ticket) else { return false };
        let batch = Arc::clone(&incoming.batch);
        let (offset, len) = (incoming.offset, incoming.len);
        let key = decode(&batch, offset, len).and_then(|record| record.key());
        let Some(key) = key.filter(|_| !self.shared.broken(Rule::TokenGivenBack)) else { return false };
        encode::mark_stale(&mut self.upstream, key, cas);
        self.ops.push_back(Op::Mark(ticket));
        true
    }

    /// The item has the version of the record: normally it is the same one. Values that differ are decided by the greater
    /// hash, ends by the later, unless a touch is under way that decides it.
    pub(super) fn compared(&mut self, ticket: u64, response: &Response<'_>, now: Now) -> Result<(), UpstreamError> {
        let item = item_of(response)?;
        let Some(incoming) = self.apply.incoming(ticket) else { return Ok(()) };
        let batch = Arc::clone(&incoming.batch);
        let (offset, len) = (incoming.offset, incoming.len);
        let Some(Record::Set { key, expiry, value, flags, marks, version, .. }) = decode(&batch, offset, len) else {
            return Ok(());
        };
        let Some(item) = item.filter(|i| i.version == version) else {
            if let Some(other) = item {
                self.send_difference(ticket, key, other.version, Difference::of(&other, Marks::NONE), false);
            }
            self.inspect_again(ticket);
            return Ok(());
        };
        let hash = self.shared.hasher.hash(key);
        let rank = |flags: u32, value: &[u8]| (crc32fast::hash(value), value.len(), flags);
        if (flags, value) != (item.flags, item.value) {
            self.counters.conflicts += 1;
            if rank(flags, value) > rank(item.flags, item.value) {
                self.send_store(ticket, StoreMode::Set, Some(version.raw()), now);
                return Ok(());
            }
        }
        if item.marks.has(Marks::WON) && !marks.has(Marks::WON) {
            self.shared.journal().commit_record(hash, Record::Won { key, item: version });
        }
        let difference = Difference::of(&item, marks);
        let theirs = self.local_expiry(&batch, expiry);
        self.agree_on_end(ticket, (hash, key), version, (item.expiry(now), theirs), difference, now);
        Ok(())
    }

    /// Both sides hold the item. Where its ends differ and no touch is known that decides, the later one is right.
    fn agree_on_end(
        &mut self,
        ticket: u64,
        (hash, key): (u64, &[u8]),
        version: Version,
        (ours, theirs): (Expiry, Expiry),
        difference: Difference,
        now: Now,
    ) {
        let touch_known = self.shared.journal().get(hash, key).is_some_and(|e| e.touch.is_some());
        let theirs_is_later = theirs.is_clearly_later_than(ours);
        if !touch_known && (theirs_is_later || ours.is_clearly_later_than(theirs)) {
            // Told with a version of its own, also where it is theirs: a touch that is forgotten here may be known there, or
            // on its way. Noted like any touch, since an older one may be on its way here.
            if !theirs_is_later || !self.shared.broken(Rule::AgreedEndIsTold) {
                let expiry = if theirs_is_later { theirs } else { ours };
                let touch = self.shared.next_version(now);
                let record = Record::Touch { key, item: version, version: touch, expiry };
                self.shared.journal().commit_record(hash, record);
            }
            if theirs_is_later {
                let exptime = self.exptime(theirs, now);
                self.send_difference(ticket, key, version, difference, false);
                encode::touch(&mut self.upstream, key, exptime, false);
                self.ops.push_back(Op::Touch(ticket));
                return;
            }
        }
        if difference.is_none() {
            self.supersede(ticket);
        } else {
            self.send_difference(ticket, key, version, difference, true);
        }
    }
}
