//! The peer's records that wait to be applied, in the order of its log, and what is known of their progress.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use super::record::Record;
use crate::dataplane::stripes::Stripe;

/// The most bytes of records held; above it no more are taken from the peer.
pub(crate) const QUEUE_BYTES: usize = 8 << 20;
/// What a record in the queue takes beside its bytes.
pub(crate) const RECORD: usize = size_of::<Incoming>();
/// The most records held.
pub(crate) const QUEUE_RECORDS: usize = 1 << 16;

/// The records of one frame.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) bytes: Vec<u8>,
    /// The sender's monotonic clock when it was sent, and ours at that instant (milliseconds).
    pub(super) clocks: (u64, u64),
}

#[derive(Debug)]
pub(super) struct Incoming {
    pub(super) batch: Arc<Batch>,
    pub(super) offset: usize,
    pub(super) len: usize,
    /// Its number in the log of the peer, and which log.
    pub(super) seq: u64,
    pub(super) log: u64,
    pub(super) state: Progress,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    Queued,
    Waiting,
    Busy(Stripe),
    Done,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Apply {
    pub(super) queue: VecDeque<Incoming>,
    /// The ticket of the first in the queue; tickets count up for ever.
    pub(super) first: u64,
    /// How many at the front are started.
    pub(super) started: usize,
    pub(super) busy: usize,
    pub(super) bytes: usize,
    /// Tickets that wait for a stripe, in order.
    blocked: BTreeMap<Stripe, VecDeque<u64>>,
    /// Which log of the peer, and its entry behind the last one in the queue.
    pub(super) received: (u64, u64),
    /// The next entry to apply, in which log of the peer; everything before is applied.
    pub(super) applied: (u64, u64),
}

impl Apply {
    pub(super) fn new() -> Self {
        Self {
            queue: VecDeque::new(),
            first: 0,
            started: 0,
            busy: 0,
            bytes: 0,
            blocked: BTreeMap::new(),
            received: (0, 0),
            applied: (0, 0),
        }
    }

    pub(super) fn is_full(&self) -> bool {
        self.bytes > QUEUE_BYTES || self.queue.len() > QUEUE_RECORDS
    }

    /// Where the log of the peer goes on: behind what is in the queue.
    pub(super) fn next(&self) -> Option<(u64, u64)> {
        (!self.queue.is_empty()).then_some(self.received)
    }

    pub(super) fn push(&mut self, batch: &Arc<Batch>, offset: usize, len: usize, (log, seq): (u64, u64)) {
        self.bytes += len;
        self.received = (log, seq + 1);
        let state = Progress::Queued;
        self.queue.push_back(Incoming { batch: Arc::clone(batch), offset, len, seq, log, state });
    }

    pub(super) fn waits_for(&self, stripe: Stripe) -> bool {
        self.blocked.contains_key(&stripe)
    }

    /// Stripes that are waited for.
    pub(super) fn blocked(&self) -> Vec<Stripe> {
        self.blocked.keys().copied().collect()
    }

    /// A record waits for its stripe; those of one stripe are tried in the order of the peer's log.
    pub(super) fn block(&mut self, stripe: Stripe, ticket: u64) {
        let queue = self.blocked.entry(stripe).or_default();
        let place = queue.partition_point(|earlier| *earlier < ticket);
        if queue.get(place) != Some(&ticket) {
            queue.insert(place, ticket);
        }
    }

    /// The first record that waits for this stripe.
    pub(super) fn first_blocked(&self, stripe: Stripe) -> Option<u64> {
        self.blocked.get(&stripe)?.front().copied()
    }

    /// The last record that waits for this stripe.
    pub(super) fn last_blocked(&self, stripe: Stripe) -> Option<u64> {
        self.blocked.get(&stripe)?.back().copied()
    }

    /// The last record that waits for this stripe waits no more.
    pub(super) fn unblock_last(&mut self, stripe: Stripe) {
        if let Some(queue) = self.blocked.get_mut(&stripe) {
            queue.pop_back();
            if queue.is_empty() {
                self.blocked.remove(&stripe);
            }
        }
    }

    /// Takes the first record that waits for this stripe.
    pub(super) fn unblock(&mut self, stripe: Stripe) -> Option<u64> {
        let queue = self.blocked.get_mut(&stripe)?;
        let first = queue.pop_front();
        if queue.is_empty() {
            self.blocked.remove(&stripe);
        }
        first
    }

    pub(super) fn incoming(&mut self, ticket: u64) -> Option<&mut Incoming> {
        let index = usize::try_from(ticket.checked_sub(self.first)?).ok()?;
        self.queue.get_mut(index)
    }
}

pub(super) fn decode(batch: &Batch, offset: usize, len: usize) -> Option<Record<'_>> {
    let bytes = batch.bytes.get(offset..offset + len)?;
    Record::decode(bytes).ok().map(|(record, _)| record)
}
