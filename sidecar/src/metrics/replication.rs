//! Metrics of the link, the log, the state tables and the resync.

use std::fmt;

use super::table::{Table, Unit};
use crate::stats::{HandshakeRefusal, ReplicationStats, ResyncKind};

pub(super) fn link(table: &mut Table<'_>, stats: &ReplicationStats) -> fmt::Result {
    table.gauge(
        "peer_connected",
        "1 while the link to the other sidecar is up",
        Unit::None,
        stats.peer_connected.get(),
    )?;
    let reasons = HandshakeRefusal::ALL.into_iter().zip(&stats.handshakes_refused);
    table.counters(
        "handshakes_refused",
        "Would-be peers turned away",
        reasons.map(|(reason, count)| ([("reason", reason.as_str())], count.get())),
    )?;
    for (name, help, unit, value) in [
        ("link_sessions", "Links established", Unit::None, stats.sessions.get()),
        ("link_received", "Bytes from the peer", Unit::Bytes, stats.bytes_received.get()),
        ("link_sent", "Bytes to the peer", Unit::Bytes, stats.bytes_sent.get()),
    ] {
        table.counter(name, help, unit, value)?;
    }
    table.seconds("clock_skew", "The peer's clock minus ours", stats.clock_skew_us.get() as f64 / 1e6)
}

pub(super) fn log(table: &mut Table<'_>, stats: &ReplicationStats) -> fmt::Result {
    table.histogram(
        "replication_lag",
        "From the answer to the client until the peer's memcached had the write",
        &stats.lag,
    )?;
    table.seconds(
        "replication_oldest_unconfirmed",
        "Age of the oldest write that the peer has not confirmed",
        stats.lag_us.get() as f64 / 1e6,
    )?;
    for (name, help, unit, value) in [
        ("backlog_items", "Records in the backlog", Unit::None, stats.backlog_items.get()),
        ("backlog", "Bytes in the backlog", Unit::Bytes, stats.backlog_bytes.get()),
        ("backlog_limit", "Bound of the backlog", Unit::Bytes, stats.backlog_limit_bytes.get()),
    ] {
        table.gauge(name, help, unit, value)?;
    }
    for (name, help, value) in [
        (
            "backlog_dropped",
            "Records whose value was dropped from the full backlog; their keys stay pending",
            stats.backlog_dropped.get(),
        ),
        ("records_sent", "Records sent to the peer", stats.records_sent.get()),
        ("records_applied", "Records of the peer that memcached took", stats.records_applied.get()),
        (
            "records_superseded",
            "Records of the peer that were older than what was here or came with them",
            stats.records_superseded.get(),
        ),
        (
            "records_refused",
            "Records of the peer that memcached refused; the key was deleted",
            stats.records_refused.get(),
        ),
        (
            "conflicts",
            "Records for a key that both sides had written without knowing of each other",
            stats.conflicts.get(),
        ),
    ] {
        table.counter(name, help, Unit::None, value)?;
    }
    Ok(())
}

pub(super) fn state(table: &mut Table<'_>, stats: &ReplicationStats) -> fmt::Result {
    for (name, help, value) in [
        ("tombstones", "Deletes that are remembered", stats.tombstones.get()),
        ("pending_keys", "Keys that the peer has not confirmed", stats.pending_keys.get()),
        ("state_entries_limit", "Bound of the state tables", stats.state_entries.get()),
        ("flush_sweeping", "1 while items older than a flush are swept out", stats.flush_sweeping.get()),
    ] {
        table.gauge(name, help, Unit::None, value)?;
    }
    for (name, help, value) in [
        ("floor_raised", "Times the full state table forgot a key", stats.floor_raised.get()),
        ("deletes_forgotten", "Deletes forgotten because the cache lost its content", stats.deletes_forgotten.get()),
        ("dumps_cut", "Dumps of memcached that lacked their end and were repeated", stats.dumps_cut.get()),
        ("flushes", "Flushes done", stats.flushes.get()),
    ] {
        table.counter(name, help, Unit::None, value)?;
    }
    Ok(())
}

pub(super) fn resync(table: &mut Table<'_>, stats: &ReplicationStats) -> fmt::Result {
    let running = usize::try_from(stats.resync_kind.get()).unwrap_or_default();
    let running = ResyncKind::ALL.get(running).copied().unwrap_or(ResyncKind::None);
    table.one_of(
        "resync",
        "1 for the kind of resync that runs",
        "kind",
        ResyncKind::ALL.map(ResyncKind::as_str),
        running.as_str(),
    )?;
    let kinds = ResyncKind::ALL.into_iter().zip(&stats.resyncs).skip(1);
    table.counters("resyncs", "Resyncs begun", kinds.map(|(kind, count)| ([("kind", kind.as_str())], count.get())))?;
    for (name, help, unit, value) in [
        (
            "resync_items_done",
            "Items of the running or last resync that are done",
            Unit::None,
            stats.resync_items_done.get(),
        ),
        (
            "resync_items_total",
            "Items of the running or last resync in all",
            Unit::None,
            stats.resync_items_total.get(),
        ),
        (
            "resync_done",
            "Bytes of the running or last resync that are done",
            Unit::Bytes,
            stats.resync_bytes_done.get(),
        ),
        (
            "resync_total",
            "Bytes of the running or last resync in all, as its items so far suggest",
            Unit::Bytes,
            stats.resync_bytes_total.get(),
        ),
    ] {
        table.gauge(name, help, unit, value)?;
    }
    Ok(())
}
