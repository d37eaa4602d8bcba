//! PURE: what the program counts, as plain atomics that the data plane can afford.
//!
//! Everything is read at any time by other threads, so a reader may see one counter a moment before another. The
//! numbers of one worker are written by that worker alone and lie in cache lines of their own.

mod cells;
mod labels;
mod readiness;

pub use cells::{Counter, Gauge, Histogram, LAG_BOUNDS_US, SignedGauge};
pub use labels::{CommandLabel, FilesLabel, HandshakeRefusal, ProtocolLabel, ResyncKind};
pub use readiness::{Phase, Readiness};

/// Everything that is counted; shared by all threads.
#[derive(Debug)]
pub struct Stats {
    /// Whether clients should come here.
    pub readiness: Readiness,
    /// One per worker.
    pub workers: Box<[WorkerStats]>,
    /// The link and the state tables.
    pub replication: ReplicationStats,
    /// The memcached behind.
    pub memcached: MemcachedStats,
    /// What all bounds add up to, in bytes ([`crate::limits`]).
    pub memory_bound: Gauge,
    /// Files that may change, by [`FilesLabel`].
    pub files: [FilesStats; FilesLabel::ALL.len()],
}

impl Stats {
    /// All zero, for `workers` workers.
    #[must_use]
    pub fn new(workers: usize) -> Self {
        Self {
            readiness: Readiness::default(),
            workers: (0..workers).map(|_| WorkerStats::default()).collect(),
            replication: ReplicationStats::default(),
            memcached: MemcachedStats::default(),
            memory_bound: Gauge::default(),
            files: Default::default(),
        }
    }

    /// Adds one number of all workers up.
    pub fn sum(&self, of: impl Fn(&WorkerStats) -> u64) -> u64 {
        self.workers.iter().map(of).fold(0, u64::wrapping_add)
    }
}

/// What one worker counts. Aligned to two cache lines, since processors fetch them in pairs.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct WorkerStats {
    /// Requests by protocol and command.
    pub commands: [[Counter; CommandLabel::ALL.len()]; ProtocolLabel::ALL.len()],
    /// Client connections that are open.
    pub connections: Gauge,
    /// Client connections ever accepted.
    pub connections_accepted: Counter,
    /// Client connections turned away at `--max-connections`.
    pub connections_refused: Counter,
    /// Client connections closed by us: a bound was reached, or memcached lost its content.
    pub connections_cut: Counter,
    /// Bytes from clients.
    pub client_bytes_received: Counter,
    /// Bytes to clients.
    pub client_bytes_sent: Counter,
    /// Bytes from memcached.
    pub upstream_bytes_received: Counter,
    /// Bytes to memcached.
    pub upstream_bytes_sent: Counter,
    /// Connections to memcached that are open.
    pub upstream_connections: Gauge,
    /// Connections to memcached that were lost.
    pub upstream_lost: Counter,
    /// Writes that waited for a stripe of another worker.
    pub stripe_waits: Counter,
    /// Values that memcached refused as too large or for want of memory.
    pub values_refused: Counter,
    /// Clients that said who they are and were let in.
    pub logins_accepted: Counter,
    /// Attempts of clients that were not.
    pub logins_refused: Counter,
    /// TLS handshakes with clients that were completed.
    pub tls_accepted: Counter,
    /// TLS handshakes with clients that failed, or took too long.
    pub tls_refused: Counter,
}

impl WorkerStats {
    /// Counts one request.
    pub fn count(&self, protocol: ProtocolLabel, command: CommandLabel) {
        self.commands[protocol as usize][command as usize].add(1);
    }
}

/// Files that are read again when they change.
#[derive(Debug, Default)]
pub struct FilesStats {
    /// Times that changed ones were taken over.
    pub reloaded: Counter,
    /// 1 while they cannot be used, and what they said before is.
    pub bad: Gauge,
}

/// What the link to the other sidecar and the state tables count.
#[derive(Debug, Default)]
pub struct ReplicationStats {
    /// 1 while the link is up.
    pub peer_connected: Gauge,
    /// Links ever established.
    pub sessions: Counter,
    /// Strangers and wrong peers turned away, by reason.
    pub handshakes_refused: [Counter; HandshakeRefusal::ALL.len()],
    /// Bytes to the peer.
    pub bytes_sent: Counter,
    /// Bytes from the peer.
    pub bytes_received: Counter,
    /// From acknowledging a write to the client until the peer's memcached had it, microseconds.
    pub lag: Histogram,
    /// Age of the oldest write that the peer has not confirmed, microseconds.
    pub lag_us: Gauge,
    /// Records of the backlog.
    pub backlog_items: Gauge,
    /// Bytes of the backlog.
    pub backlog_bytes: Gauge,
    /// Bound of the backlog, bytes.
    pub backlog_limit_bytes: Gauge,
    /// Records whose value was dropped from the backlog; their keys stay pending.
    pub backlog_dropped: Counter,
    /// Records sent to the peer.
    pub records_sent: Counter,
    /// Records of the peer that our memcached took.
    pub records_applied: Counter,
    /// Records of the peer that were older than what was here.
    pub records_superseded: Counter,
    /// Records of the peer that our memcached refused; the key was deleted.
    pub records_refused: Counter,
    /// Records whose key both sides had written without knowing of each other.
    pub conflicts: Counter,
    /// Deletes that are remembered.
    pub tombstones: Gauge,
    /// Keys that the peer has not confirmed.
    pub pending_keys: Gauge,
    /// Entries that the tables can hold.
    pub state_entries: Gauge,
    /// Times the table was full and the floor rose.
    pub floor_raised: Counter,
    /// Deletes forgotten with a floor that was cleared.
    pub deletes_forgotten: Counter,
    /// Dumps of memcached whose end was missing.
    pub dumps_cut: Counter,
    /// 1 while items older than a flush are swept out.
    pub flush_sweeping: Gauge,
    /// Flushes done.
    pub flushes: Counter,
    /// The resync that runs: an index into [`ResyncKind::ALL`].
    pub resync_kind: Gauge,
    /// The resync that runs or ran last, likewise.
    pub last_resync_kind: Gauge,
    /// Resyncs begun, by kind.
    pub resyncs: [Counter; ResyncKind::ALL.len()],
    /// Items of the running or last resync that are done.
    pub resync_items_done: Gauge,
    /// Items that it has in all.
    pub resync_items_total: Gauge,
    /// Bytes of it that are done.
    pub resync_bytes_done: Gauge,
    /// Bytes it will have in all, as its items so far suggest.
    pub resync_bytes_total: Gauge,
    /// How long it took, or has taken so far, milliseconds.
    pub resync_duration_ms: Gauge,
    /// The peer's clock minus ours, microseconds.
    pub clock_skew_us: SignedGauge,
    /// Times the program became ready without a first sync.
    pub cold_starts: Counter,
}

/// What is known of the memcached behind.
#[derive(Debug, Default)]
pub struct MemcachedStats {
    /// 1 while it answers.
    pub up: Gauge,
    /// Times it lost its content.
    pub restarts: Counter,
    /// Items that it held a moment ago.
    pub items: Gauge,
    /// Bytes that they take.
    pub bytes: Gauge,
    /// Number of the present content.
    pub incarnation: Gauge,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workers_do_not_share_cache_lines() {
        assert_eq!(align_of::<WorkerStats>(), 128);
        let stats = Stats::new(3);
        stats.workers[0].count(ProtocolLabel::Classic, CommandLabel::Get);
        stats.workers[2].count(ProtocolLabel::Classic, CommandLabel::Get);
        let gets = |w: &WorkerStats| w.commands[ProtocolLabel::Classic as usize][CommandLabel::Get as usize].get();
        assert_eq!(stats.sum(gets), 2);
    }
}
