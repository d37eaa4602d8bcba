//! What goes to the peer: how it gets what it lacks after a connection is made, the log, marks, acknowledgements.

use super::journal::NEEDS_ALL;
use super::link::{HEARTBEAT_MS, SAMPLES};
use super::message::{BATCH, Frame, Hello};
use super::record::{Expiry, Mark, Record, ResyncKind};
use super::replicator::Replicator;
use super::resync::Plan;
use crate::clock::{Now, Version};
use crate::rules::Rule;
use crate::state::header::Field;
use crate::state::table::List;

/// The most resyncs whose end waits for its acknowledgement.
const UNCONFIRMED: usize = 16;
/// How many entries of the table are freed while the journal is locked.
const FREED_AT_ONCE: usize = 256;

impl Replicator {
    /// Decides how the peer gets what it lacks.
    pub(super) fn begin_sending(&mut self, hello: &Hello, now: Now) {
        let digest = (hello.floor > Version::ZERO).then_some(hello.floor);
        let wanted = hello.wanted;
        let owes_all = self.link.owes_all;
        let cursor = wanted.filter(|w| w.log == self.config.boot && !owes_all).and_then(|w| {
            let journal = self.shared.journal();
            journal.log.seek(w.next, record_len)
        });
        self.link.watermark = wanted.map_or(Version::ZERO, |w| w.watermark);
        self.link.watermarks.clear();
        if let Some(cursor) = cursor {
            self.link.acked = cursor.seq;
            self.link.cursor = Some(cursor);
            match self.resync_plan() {
                // It goes on: what it has queued is in the log.
                Some(plan) if digest.is_none() || plan.digest >= digest => {}
                Some(plan) => self.resync_start(Plan { digest, ..plan }, now),
                None => self.resync_start(Plan { kind: ResyncKind::Partial, newer_than: None, digest }, now),
            }
            return;
        }
        let newer_than = wanted.filter(|_| !owes_all).map_or(Version::ZERO, |w| w.watermark);
        let kind = if newer_than > Version::ZERO { ResyncKind::Incremental } else { ResyncKind::Full };
        self.log_anew();
        if wanted.is_some() {
            self.resync_start(Plan { kind, newer_than: Some(newer_than), digest }, now);
        } else {
            // It begins at the mark in the peer's log: first everything that the peer wrote before has to be here.
            self.resync_stop();
            self.link.filled = 0;
            self.link.owes_all = true;
        }
    }

    /// The log cannot go on: what is in it and what fell out of it is brought by a resync.
    fn log_anew(&mut self) {
        {
            let mut journal = self.shared.journal();
            journal.drop_log();
            let next = journal.log.next();
            self.link.cursor = journal.log.seek(next, record_len);
            self.link.acked = next;
            // What is about no key is in no table: it may have been in the log that was dropped.
            let (flush, (due, due_version)) = (self.shared.flush(), journal.flush_due());
            for (wanted, record) in [
                (flush > Version::ZERO, Record::Flush { version: flush }),
                (due != Expiry::Never, Record::FlushAt { version: due_version, due }),
            ] {
                if wanted {
                    journal.append_record(&record);
                }
            }
        }
        self.link.digest_asked = (Version::ZERO, 0);
        self.link.unconfirmed.clear();
        self.link.watermarks.clear();
        self.link.settling.clear();
        self.link.samples.clear();
        self.ask_for_all();
    }

    /// Asks the peer for everything, where it is needed: behind all that was written here before.
    pub(super) fn ask_for_all(&self) {
        let mut journal = self.shared.journal();
        if journal.number(Field::Filling) == NEEDS_ALL {
            let incarnation = journal.number(Field::Incarnation);
            journal.append_record(&Record::Mark(Mark::ContentLost(incarnation)));
        }
    }

    /// The log has dropped entries that the peer lacks.
    fn gap(&mut self, now: Now) {
        if self.shared.broken(Rule::GapResyncs) {
            let journal = self.shared.journal();
            let next = journal.log.next();
            self.link.cursor = journal.log.seek(next, record_len);
            return;
        }
        self.resync_overflowed();
        let watermark = self.link.watermark;
        let mut plan = Plan { kind: ResyncKind::Incremental, newer_than: Some(watermark), digest: None };
        // What earlier resyncs brought may have been dropped too.
        let unfinished = self.link.unconfirmed.iter().map(|(_, plan)| *plan).chain(self.resync_plan());
        for other in unfinished {
            if other.kind == ResyncKind::Full {
                plan.kind = ResyncKind::Full;
            }
            plan.newer_than = [plan.newer_than, other.newer_than].into_iter().flatten().min();
            plan.digest = plan.digest.max(other.digest);
        }
        self.log_anew();
        self.resync_start(plan, now);
    }

    pub(super) fn link_resync_ended(&mut self, end: u64, plan: Plan) {
        if self.link.unconfirmed.len() == UNCONFIRMED {
            // Rather bring too much than forget what was brought.
            self.link.unconfirmed.iter_mut().for_each(|(_, plan)| plan.newer_than = Some(Version::ZERO));
            self.link.unconfirmed.pop_front();
        }
        self.link.unconfirmed.push_back((end, plan));
    }

    pub(super) fn acked(&mut self, next: u64, position: u64, now: Now) {
        let link = &mut self.link;
        link.acked = link.acked.max(next);
        self.shared.journal().log.trim(next);
        while let Some((_, version)) = link.watermarks.front().copied().filter(|(seq, _)| *seq < next) {
            link.watermark = link.watermark.max(version);
            link.watermarks.pop_front();
        }
        while link.unconfirmed.front().is_some_and(|(end, _)| *end < next) {
            link.unconfirmed.pop_front();
        }
        while let Some((_, logged_us)) = link.samples.front().copied().filter(|(seq, _)| *seq <= next) {
            let lag = now.mono_us.saturating_sub(logged_us);
            link.lag_us = Some(lag);
            if link.lags.len() < SAMPLES {
                link.lags.push(lag);
            }
            link.samples.pop_front();
        }
        if link.settling.len() >= SAMPLES {
            // Newer pairs say more: an older one only frees earlier.
            link.settling.pop_back();
        }
        link.settling.push_back((next, position));
    }

    pub(super) fn marks(&mut self, now: Now) {
        let due = now.mono_ms().saturating_sub(self.link.beat_ms) >= HEARTBEAT_MS;
        if due && self.link.output.len() < self.config.link_output {
            self.link.beat_ms = now.mono_ms();
            let clock = self.shared.next_version(now);
            let trim = self.link.acked;
            let (wall_us, mono_ms) = (now.wall_us, now.mono_ms());
            Frame::Heartbeat { clock, wall_us, mono_ms, trim }.encode(&mut self.link.output);
            let unsent = self.shared.journal().table().len_of(List::Unsent) > 0;
            if self.resync_plan().is_none() {
                if unsent {
                    self.resync_start(Plan { kind: ResyncKind::Partial, newer_than: None, digest: None }, now);
                } else {
                    // Asked for before the place is taken, so that every write up to it is before the place.
                    let watermark = self.shared.watermark(now);
                    let seq = self.shared.journal().append_record(&Record::Mark(Mark::Watermark(watermark)));
                    self.link.watermarks.push_back((seq, watermark));
                }
            }
        }
        let mut journal = self.shared.journal();
        let floor = journal.version(Field::Floor);
        // An entry that had to go may be the touch of an item below the floor.
        let asked = (floor, journal.overflowed);
        if due && floor > Version::ZERO && asked != self.link.digest_asked {
            self.link.digest_asked = asked;
            journal.append_record(&Record::Mark(Mark::DigestWanted(floor)));
        }
    }

    pub(super) fn send_log(&mut self, now: Now) {
        let Some(mut cursor) = self.link.cursor else { return };
        let next = self.shared.journal().log.next();
        if next > self.link.sampled && self.link.samples.len() < SAMPLES {
            self.link.sampled = next;
            self.link.samples.push_back((next, now.mono_us));
        }
        let mut gap = false;
        while self.link.output.len() < self.config.link_output {
            // Locked anew for each frame: the workers have their turn in between.
            let journal = self.shared.journal();
            let first = cursor.seq;
            match journal.log.read(&mut cursor, BATCH, record_len) {
                Ok(Some((records, count))) => {
                    let count = count.min(u64::from(u32::MAX)) as u32;
                    let (now_ms, trim) = (now.mono_ms(), self.link.acked);
                    Frame::Batch { first, count, now_ms, trim, records }.encode(&mut self.link.output);
                }
                Ok(None) => break,
                Err(_) => {
                    gap = true;
                    break;
                }
            }
        }
        self.link.cursor = Some(cursor);
        if gap {
            self.gap(now);
        }
    }

    pub(super) fn send_ack(&mut self) {
        let early = self.shared.broken(Rule::AckMeansApplied);
        let (log, next) = if early { self.apply.received } else { self.apply.applied };
        let ours = self.link.peer.as_ref().is_some_and(|peer| peer.boot == log);
        if !ours || self.link.acknowledged == (log, next) {
            return;
        }
        self.link.acknowledged = (log, next);
        let position = self.shared.journal().log.next();
        Frame::Ack { next, position }.encode(&mut self.link.output);
    }

    /// Frees entries of the table that are settled.
    pub(super) fn free(&mut self) {
        let (log, applied) = self.apply.applied;
        let same_log = self.link.peer.as_ref().is_some_and(|peer| peer.boot == log);
        let applied = if same_log { applied } else { 1 };
        let in_order = !self.shared.broken(Rule::FreeInStreamOrder);
        while let Some((next, position)) = self.link.settling.front().copied() {
            if in_order && position > applied {
                break;
            }
            self.link.settled = self.link.settled.max(next);
            self.link.freeing = true;
            self.link.settling.pop_front();
        }
        if !self.link.freeing {
            return;
        }
        let mut more = true;
        while more {
            let mut journal = self.shared.journal();
            let sent = journal.free_below(List::Sent, self.link.settled, FREED_AT_ONCE);
            let remote = journal.free_below(List::Remote, self.link.trimmed, FREED_AT_ONCE);
            more = sent || remote;
        }
        self.link.freeing = false;
    }
}

/// The length of the record at the start of `bytes`.
fn record_len(bytes: &[u8]) -> Option<usize> {
    Record::decode(bytes).ok().map(|(_, len)| len)
}
