//! `flush_all`, ours and the peer's.
//!
//! memcached's own flush works by seconds and small CAS numbers and so misses items that carry versions. A flush takes
//! all stripes, gets its version, lets memcached flush what it can, and then a sweep deletes what is left by version.
//! Until the sweep ends the workers hide what is flushed.

use super::record::{Expiry, Record};
use super::replicator::{Op, Replicator};
use crate::clock::{Now, Version};
use crate::dataplane::stripes::{Mode, Stripe};
use crate::dataplane::worker::UpstreamError;
use crate::protocol::dump::DumpItem;
use crate::protocol::encode;
use crate::protocol::response::Response;
use crate::rules::Rule;
use crate::shared::FlushRequest;
use crate::state::header::Field;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Idle,
    /// Stripes below this number are held.
    Taking(Goal, usize),
    /// memcached was told.
    Told,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Goal {
    /// Of clients, or one that fell due: its version is taken when all stripes are held.
    Local,
    /// The peer's.
    Remote(Version),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sweep {
    Done,
    /// The dump is wanted.
    Wanted,
    /// The dump runs.
    Listing,
    /// All is listed; deletes are under way.
    Deleting,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Flush {
    step: Step,
    /// Clients who wait for one that is not begun.
    requests: Vec<FlushRequest>,
    /// Clients who wait for this one.
    answering: Vec<FlushRequest>,
    /// The peer's that is not begun.
    remote: Option<Version>,
    /// A delayed flush fell due.
    due: bool,
    sweep: Sweep,
    sweeping: Version,
    deletes: usize,
    pub(super) retry_applies: bool,
}

impl Flush {
    /// `sweep`: an earlier process did not finish one.
    pub(super) fn new(sweep: bool) -> Self {
        Self {
            step: Step::Idle,
            requests: Vec::new(),
            answering: Vec::new(),
            remote: None,
            due: false,
            sweep: if sweep { Sweep::Wanted } else { Sweep::Done },
            sweeping: Version::ZERO,
            deletes: 0,
            retry_applies: false,
        }
    }

    /// Nobody else of this party may take stripes now.
    pub(super) fn wants_all_stripes(&self) -> bool {
        self.step != Step::Idle
    }

    pub(super) fn waits_for(&self, stripe: Stripe) -> bool {
        matches!(self.step, Step::Taking(_, next) if next == usize::from(stripe))
    }

    /// memcached is empty: nothing is left to sweep.
    pub(super) fn content_lost(&mut self) {
        self.sweep = Sweep::Done;
        self.deletes = 0;
    }
}

impl Replicator {
    pub(super) fn flush_turn(&mut self, now: Now) {
        if self.flush.step == Step::Idle {
            self.take_requests(now);
            let local = !self.flush.requests.is_empty() || self.flush.due;
            let goal = if local { Some(Goal::Local) } else { self.remote_flush().map(Goal::Remote) };
            let Some(goal) = goal else { return };
            self.flush.step = Step::Taking(goal, 0);
        }
        if let Step::Taking(goal, from) = self.flush.step {
            for stripe in from..self.shared.stripes.all().end {
                if !self.take_stripe(stripe as Stripe, Mode::Exclusive) {
                    self.flush.step = Step::Taking(goal, stripe);
                    return;
                }
            }
            self.flush_now(goal, now);
        }
    }

    /// The peer's flush, unless one of ours that came before it in the queue is newer: what is known never goes back.
    fn remote_flush(&mut self) -> Option<Version> {
        let known = self.shared.flush();
        self.flush.remote.take().filter(|version| *version > known || self.shared.broken(Rule::FlushOnlyRises))
    }

    /// Clients' requests: those for later are noted and answered, those for now are collected.
    fn take_requests(&mut self, now: Now) {
        for request in self.shared.take_flush_requests() {
            match request.due {
                Expiry::Never => self.flush.requests.push(request),
                Expiry::At(_) => {
                    let version = self.shared.next_version(now);
                    let mut journal = self.shared.journal();
                    journal.set_flush_due(version, request.due);
                    journal.append_record(&Record::FlushAt { version, due: request.due });
                    drop(journal);
                    self.shared.flush_done(request);
                }
            }
        }
        let due = self.shared.journal().flush_due().0;
        self.flush.due = due.is_past(now.mono_ms());
    }

    /// All stripes are held: nobody else is writing.
    fn flush_now(&mut self, goal: Goal, now: Now) {
        let version = match goal {
            Goal::Local => self.shared.next_version(now),
            Goal::Remote(version) => version,
        };
        let newer_written = self.shared.stripes.newest_of_all() > version;
        {
            let mut journal = self.shared.journal();
            journal.set(Field::Flush, version.raw());
            journal.set_flush_due(version, Expiry::Never);
            if goal == Goal::Local {
                self.flush.answering = std::mem::take(&mut self.flush.requests);
                journal.append_record(&Record::Flush { version });
            }
        }
        self.shared.begin_sweep(version);
        self.flush.sweeping = version;
        self.flush.sweep = Sweep::Wanted;
        if newer_written && !self.shared.broken(Rule::ReceiverFlushSparesNewer) {
            self.flush_told();
        } else {
            self.upstream.extend_from_slice(encode::FLUSH_ALL);
            self.ops.push_back(Op::FlushAll);
            self.flush.step = Step::Told;
        }
    }

    /// A flush of the peer has come to the front of its queue. `false`: it is not done yet.
    pub(super) fn flush_remote(&mut self, version: Version, now: Now) -> bool {
        if version <= self.shared.flush() {
            return true;
        }
        self.flush_wanted(version);
        if self.flush.step == Step::Idle {
            self.flush_turn(now);
        }
        version <= self.shared.flush() && self.flush.step == Step::Idle
    }

    /// The peer's greeting tells of a flush that was not heard of.
    pub(super) fn flush_wanted(&mut self, version: Version) {
        self.flush.remote = self.flush.remote.max(Some(version));
    }

    pub(super) fn flushed(&mut self, response: &Response<'_>, _now: Now) -> Result<(), UpstreamError> {
        match response {
            Response::Line(b"OK") => {
                self.flush_told();
                Ok(())
            }
            // Switched off (-F): the sweep does it all.
            Response::Error { .. } => {
                self.flush_told();
                Ok(())
            }
            _ => Err(UpstreamError::Unexpected),
        }
    }

    fn flush_told(&mut self) {
        self.flush.step = Step::Idle;
        for stripe in self.shared.stripes.all() {
            self.release(stripe as Stripe);
        }
        for request in std::mem::take(&mut self.flush.answering) {
            self.shared.flush_done(request);
        }
        self.flush.retry_applies = true;
        self.shared.wake_replicator();
    }

    /// The connection was lost while memcached was told: the sweep does it all.
    pub(super) fn flush_again(&mut self) {
        self.flush_told();
    }

    /// Gets the dump for a sweep that is wanted, and ends one that is done.
    pub(super) fn sweep_turn(&mut self) {
        match self.flush.sweep {
            Sweep::Wanted if self.shared.broken(Rule::FlushSweeps) => self.swept(),
            Sweep::Wanted => {
                if self.dump_for_sweep() {
                    self.flush.sweep = Sweep::Listing;
                    self.flush.sweeping = self.shared.flush();
                }
            }
            Sweep::Deleting if self.flush.deletes == 0 => self.swept(),
            Sweep::Done | Sweep::Listing | Sweep::Deleting => {}
        }
    }

    fn swept(&mut self) {
        self.flush.sweep = Sweep::Done;
        let swept = self.flush.sweeping.raw();
        self.shared.journal().set(Field::Swept, swept);
        self.shared.end_sweep();
    }

    /// The dump has to be repeated.
    pub(super) fn sweep_again(&mut self) {
        self.flush.sweep = Sweep::Wanted;
    }

    /// One item of the dump.
    pub(super) fn sweep_one(&mut self, item: &DumpItem<'_>) {
        if Version::of_item(item.cas) > self.flush.sweeping {
            return;
        }
        let mut key = Vec::with_capacity(crate::protocol::limits::MAX_KEY);
        item.key.decode_into(&mut key);
        if !self.shared.accepts_key(&key) {
            return;
        }
        encode::delete(&mut self.upstream, &key, Some(item.cas));
        self.flush.deletes += 1;
        self.ops.push_back(Op::Sweep);
    }

    pub(super) fn swept_one(&mut self, response: &Response<'_>) -> Result<(), UpstreamError> {
        self.flush.deletes = self.flush.deletes.saturating_sub(1);
        match response {
            Response::Meta(_) => Ok(()),
            _ => Err(UpstreamError::Unexpected),
        }
    }

    pub(super) fn sweep_listed(&mut self) {
        // A flush that came while the dump ran needs a dump of its own.
        let overtaken = self.flush.sweep == Sweep::Wanted || self.shared.flush() > self.flush.sweeping;
        self.flush.sweep = if overtaken { Sweep::Wanted } else { Sweep::Deleting };
    }

    /// memcached's connection was lost: deletes of the sweep may not have been done.
    pub(super) fn sweep_lost(&mut self) {
        self.flush.deletes = 0;
        if self.flush.sweep != Sweep::Done {
            self.flush.sweep = Sweep::Wanted;
        }
    }
}
