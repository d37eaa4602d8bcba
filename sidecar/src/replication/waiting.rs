//! The peer's records that wait for a stripe which the workers have.
//!
//! Of a key that clients of both sides write all the time there are more than the stripe can be handed over for. So what is
//! known not to count any more does not wait: what is older than our own write of the key, and what a later record replaces.

use std::sync::Arc;

use super::inbox::{Progress, decode};
use super::journal::Journal;
use super::record::Record;
use super::replicator::Replicator;
use crate::clock::{Now, Version};
use crate::dataplane::stripes::Stripe;
use crate::rules::Rule;
use crate::state::table::Entry;

impl Replicator {
    /// A record whose stripe cannot be had now: it waits, or is done with.
    pub(super) fn wait(
        &mut self,
        (stripe, ticket): (Stripe, u64),
        record: Record<'_>,
        (hash, key): (u64, &[u8]),
    ) -> Progress {
        let known = self.known(&self.shared.journal(), (hash, key));
        if self.is_superseded(&record, known) {
            self.counters.superseded += 1;
            // Whoever tried to take it is waited for otherwise.
            self.relinquish(stripe);
            return Progress::Done;
        }
        if let Record::Set { version, bulk: false, .. } | Record::Delete { version, .. } = record {
            while let Some(earlier) = self.apply.last_blocked(stripe).filter(|earlier| *earlier < ticket) {
                let Some(incoming) = self.apply.incoming(earlier) else { break };
                let older = decode(&incoming.batch, incoming.offset, incoming.len)
                    .is_some_and(|older| older.key() == Some(key) && is_replaced(&older, version));
                if !older {
                    break;
                }
                incoming.state = Progress::Done;
                self.apply.unblock_last(stripe);
                self.counters.superseded += 1;
            }
        }
        self.apply.block(stripe, ticket);
        Progress::Waiting
    }

    /// What the table tells of a key.
    pub(super) fn known(&self, journal: &Journal, (hash, key): (u64, &[u8])) -> Option<Entry> {
        let broken =
            |entry: &Entry| self.shared.broken(if entry.deleted { Rule::TombstonesWin } else { Rule::PendingWins });
        journal.get(hash, key).filter(|entry| !broken(entry))
    }

    /// Whether a record is older than what is [`known`](Self::known) of its key, without asking memcached.
    pub(super) fn is_superseded(&self, record: &Record<'_>, known: Option<Entry>) -> bool {
        let flushed = |version| version <= self.shared.flush() && !self.shared.broken(Rule::FlushWins);
        match *record {
            Record::Set { version, .. } => {
                known.is_some_and(|e| (e.version, e.deleted) > (version, false)) || flushed(version)
            }
            Record::Delete { version, .. } => known.is_some_and(|e| e.version > version) || flushed(version),
            Record::Touch { item, version, .. } => {
                let newer = |e: Entry| {
                    let touched = e.touch.is_some_and(|(touch, _)| touch >= version);
                    let greater = touched && !self.shared.broken(Rule::GreaterTouchWins);
                    e.version > item || (e.version == item && (e.deleted || greater))
                };
                known.is_some_and(newer) || flushed(item)
            }
            Record::Won { item, .. } => known.is_some_and(|e| (e.version, e.deleted) > (item, false)) || flushed(item),
            Record::Have { .. } | Record::Flush { .. } | Record::FlushAt { .. } | Record::Mark(_) => false,
        }
    }

    /// Tries the records again that waited for a stripe.
    pub(super) fn apply_woken(&mut self, now: Now) {
        if !self.connected {
            for stripe in self.apply.blocked() {
                self.shared.relinquish(stripe, self.party);
            }
            self.flush.retry_applies = true;
            self.resync_woken();
            return;
        }
        let blocked = self.apply.blocked();
        for stripe in &blocked {
            while let Some(ticket) = self.apply.unblock(*stripe) {
                self.retry(ticket, now);
                if self.apply.first_blocked(*stripe) == Some(ticket) {
                    break;
                }
            }
        }
        self.resync_woken();
        for stripe in blocked {
            self.relinquish(stripe);
        }
    }

    fn retry(&mut self, ticket: u64, now: Now) {
        let Some(incoming) = self.apply.incoming(ticket).filter(|i| i.state == Progress::Waiting) else { return };
        let batch = Arc::clone(&incoming.batch);
        let (offset, len) = (incoming.offset, incoming.len);
        let Some(record) = decode(&batch, offset, len) else { return };
        let Some(key) = record.key() else { return };
        if self.flush.wants_all_stripes() {
            let stripe = self.shared.stripes.of(self.shared.hasher.hash(key));
            self.apply.block(stripe, ticket);
            self.flush.retry_applies = true;
            return;
        }
        let state = self.start(ticket, &batch, record, key, now);
        if let Some(incoming) = self.apply.incoming(ticket) {
            incoming.state = state;
        }
    }

    /// memcached's connection was lost with this record under way.
    pub(super) fn apply_again(&mut self, ticket: u64) {
        let Some(incoming) = self.apply.incoming(ticket) else { return };
        let Progress::Busy(stripe) = incoming.state else { return };
        incoming.state = Progress::Waiting;
        self.apply.busy -= 1;
        self.apply.block(stripe, ticket);
        self.release(stripe);
        self.shared.wake_replicator();
    }
}

/// Whether nothing is left of `record` behind one that says all of its key, of this version.
fn is_replaced(record: &Record<'_>, by: Version) -> bool {
    match *record {
        Record::Set { version, .. } | Record::Delete { version, .. } => version < by,
        Record::Touch { item, .. } | Record::Won { item, .. } => item < by,
        Record::Have { .. } | Record::Flush { .. } | Record::FlushAt { .. } | Record::Mark(_) => false,
    }
}

#[cfg(test)]
mod tests;
