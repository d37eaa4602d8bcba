//! What the replicator knows, for metrics, `stats replication` and the log.

use std::sync::Arc;

use crate::clock::Now;
use crate::replication::record;
use crate::replication::replicator::Replicator;
use crate::replication::resync::ResyncStatus;
use crate::shared::Shared;
use crate::state::header::Field;
use crate::state::table::List;
use crate::stats::{ResyncKind, Stats};

/// Numbers are published at most so often, in milliseconds.
const EVERY_MS: u64 = 10;
/// A line on the progress of a resync comes so often, in milliseconds.
const PROGRESS_MS: u64 = 3000;

/// The resync to the peer that was last seen.
#[derive(Clone, Copy, Debug)]
struct Seen {
    number: u64,
    running: bool,
    begun_ms: u64,
    told_ms: u64,
    told_items: u64,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Publisher {
    stats: Arc<Stats>,
    published_ms: u64,
    linked: bool,
    /// When there was last a link, or when the first number was published.
    linked_ms: Option<u64>,
    resync: Option<Seen>,
    /// The content that clients were last let in to without a first sync.
    cold: Option<u64>,
}

impl Publisher {
    pub(super) fn new(stats: Arc<Stats>) -> Self {
        Self { stats, published_ms: 0, linked: false, linked_ms: None, resync: None, cold: None }
    }

    /// Publishes, unless that was done a moment ago; whether it did.
    pub(super) fn publish(&mut self, replicator: &Replicator, shared: &Shared, now: Now) -> bool {
        let linked = replicator.is_linked();
        let running = replicator.is_resyncing();
        let seen = self.resync.is_some_and(|seen| seen.running) == running && self.linked == linked;
        if seen && now.mono_ms().saturating_sub(self.published_ms) < EVERY_MS {
            return false;
        }
        self.published_ms = now.mono_ms();
        if linked || self.linked || self.linked_ms.is_none() {
            self.linked_ms = Some(now.mono_ms());
        }
        self.linked = linked;
        self.journal(replicator, shared, now);
        self.counters(replicator);
        self.progress(replicator, now);
        true
    }

    fn counters(&mut self, replicator: &Replicator) {
        let (stats, counters) = (&self.stats.replication, &replicator.counters);
        stats.records_applied.set(counters.applied);
        stats.records_superseded.set(counters.superseded);
        stats.records_refused.set(counters.refused);
        stats.conflicts.set(counters.conflicts);
        stats.deletes_forgotten.set(counters.lost_pending);
        stats.dumps_cut.set(counters.dumps_cut);
        for (counter, count) in stats.resyncs.iter().skip(1).zip(counters.resyncs) {
            counter.set(count);
        }
        stats.clock_skew_us.set(replicator.clock_skew_us());
        // Once for each content, however often the connection to memcached is lost.
        let incarnation = self.stats.memcached.incarnation.get();
        if replicator.is_cold() && self.cold != Some(incarnation) {
            self.cold = Some(incarnation);
            stats.cold_starts.add(1);
            tracing::warn!("cold start: clients are served though no peer has filled this replica");
        }
    }

    fn journal(&self, replicator: &Replicator, shared: &Shared, now: Now) {
        let stats = &self.stats.replication;
        let journal = shared.journal();
        let (log, table) = (&journal.log, journal.table());
        stats.backlog_items.set(log.len());
        stats.backlog_bytes.set(log.bytes() as u64);
        stats.backlog_limit_bytes.set(log.limit() as u64);
        stats.tombstones.set(table.deleted() as u64);
        let pending: usize = [List::Unsent, List::Sending, List::Sent].iter().map(|list| table.len_of(*list)).sum();
        stats.pending_keys.set(pending as u64);
        stats.floor_raised.set(journal.overflowed);
        stats.records_sent.set(log.next().saturating_sub(1));
        let incarnation = journal.number(Field::Incarnation);
        drop(journal);
        self.stats.memcached.incarnation.set(incarnation);
        stats.flush_sweeping.set(u64::from(shared.sweeping()));
        let measured = replicator.lag_us().unwrap_or(0);
        let away_us = now.mono_ms().saturating_sub(self.linked_ms.unwrap_or(now.mono_ms())) * 1000;
        stats.lag_us.set(if self.linked { measured } else { away_us });
    }

    fn progress(&mut self, replicator: &Replicator, now: Now) {
        let stats = &self.stats.replication;
        let (running, status) = (replicator.is_resyncing(), replicator.resync_status());
        let kind = status.map_or(ResyncKind::None, |status| label(status.kind));
        stats.resync_kind.set(if running { kind as u64 } else { 0 });
        stats.last_resync_kind.set(kind as u64);
        let Some(status) = status else { return };
        let known = if running { self.expected(status) } else { status.items_total };
        stats.resync_items_done.set(status.items_done);
        stats.resync_items_total.set(known);
        let bytes = Bytes::of(status, known);
        stats.resync_bytes_done.set(bytes.done);
        stats.resync_bytes_total.set(bytes.total);
        let number: u64 = replicator.counters.resyncs.iter().sum();
        let before = self.resync.filter(|seen| seen.number == number);
        let mut seen = before.unwrap_or(Seen {
            number,
            running,
            begun_ms: now.mono_ms(),
            told_ms: now.mono_ms(),
            told_items: status.items_done,
        });
        if running || seen.running {
            self.stats.replication.resync_duration_ms.set(now.mono_ms().saturating_sub(seen.begun_ms));
        }
        let name = status.kind.name();
        if running && now.mono_ms().saturating_sub(seen.told_ms) >= PROGRESS_MS {
            let passed_ms = now.mono_ms() - seen.told_ms;
            let rate = status.items_done.saturating_sub(seen.told_items).saturating_mul(1000) / passed_ms.max(1);
            let left = known.saturating_sub(status.items_done);
            let eta_s = left.checked_div(rate);
            let eta = eta_s.map_or_else(|| "unknown".to_owned(), |s| format!("{s} s"));
            let (done, total) = (status.items_done, known);
            tracing::info!(
                "resync of the peer ({name}): {done} of about {total} items, {bytes}, {rate}/s, time left {eta}"
            );
            (seen.told_ms, seen.told_items) = (now.mono_ms(), status.items_done);
        }
        let worth_a_line = status.items_done > 0 || status.kind != record::ResyncKind::Partial;
        if !running && (seen.running || before.is_none()) && worth_a_line {
            let seconds = now.mono_ms().saturating_sub(seen.begun_ms) as f64 / 1000.0;
            let items = status.items_done;
            tracing::info!("resync of the peer ({name}) is complete: {items} items, {bytes}, in {seconds:.1} s");
        }
        seen.running = running;
        self.resync = Some(seen);
    }

    /// Items of a resync that is under way: of a full one, all that memcached holds.
    fn expected(&self, status: ResyncStatus) -> u64 {
        match status.kind {
            record::ResyncKind::Full => status.items_total.max(self.stats.memcached.items.get()),
            record::ResyncKind::Partial | record::ResyncKind::Incremental => status.items_total,
        }
    }
}

/// Keys and values of a resync.
#[derive(Clone, Copy, Debug)]
struct Bytes {
    done: u64,
    /// If what comes is like what has been.
    total: u64,
}

impl Bytes {
    fn of(status: ResyncStatus, items: u64) -> Self {
        let done = status.bytes_done;
        let total = u128::from(done) * u128::from(items) / u128::from(status.items_done.max(1));
        Self { done, total: u64::try_from(total).unwrap_or(u64::MAX).max(done) }
    }
}

impl std::fmt::Display for Bytes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
        match (self.done, self.total) {
            (done, total) if done < total => write!(f, "{:.1} of about {:.1} MiB", mib(done), mib(total)),
            (done, _) => write!(f, "{:.1} MiB", mib(done)),
        }
    }
}

fn label(kind: record::ResyncKind) -> ResyncKind {
    match kind {
        record::ResyncKind::Partial => ResyncKind::Partial,
        record::ResyncKind::Incremental => ResyncKind::Incremental,
        record::ResyncKind::Full => ResyncKind::Full,
    }
}
