//! The answer to `stats replication`.

use std::fmt::Write;

use crate::stats::{ResyncKind, Stats};

/// `STAT name value` lines and `END`.
pub(super) fn replication(stats: &Stats, replica_id: u8) -> Vec<u8> {
    let link = &stats.replication;
    let kind = usize::try_from(link.last_resync_kind.get()).unwrap_or_default();
    let kind = ResyncKind::ALL.get(kind).copied().unwrap_or(ResyncKind::None);
    let mut text = String::with_capacity(1024);
    let mut line = |name: &str, value: &dyn std::fmt::Display| {
        // A String takes everything.
        let _ = write!(text, "STAT {name} {value}\r\n");
    };
    line("state", &stats.readiness.phase().state());
    line("replica_id", &replica_id);
    line("peer_connected", &link.peer_connected.get());
    line("lag_us", &link.lag_us.get());
    line("backlog_items", &link.backlog_items.get());
    line("backlog_bytes", &link.backlog_bytes.get());
    line("pending_keys", &link.pending_keys.get());
    line("tombstones", &link.tombstones.get());
    line("applied", &link.records_applied.get());
    line("superseded", &link.records_superseded.get());
    line("refused", &link.records_refused.get());
    line("conflicts", &link.conflicts.get());
    line("resync_kind", &kind.as_str());
    line("resync_running", &u64::from(link.resync_kind.get() != 0));
    line("resync_items_done", &link.resync_items_done.get());
    line("resync_items_total", &link.resync_items_total.get());
    line("clock_skew_us", &link.clock_skew_us.get());
    line("cold_starts", &link.cold_starts.get());
    line("incarnation", &stats.memcached.incarnation.get());
    text.push_str("END\r\n");
    text.into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_promised_name_is_there_once() {
        let text = String::from_utf8(replication(&Stats::new(1), 1)).unwrap();
        for name in [
            "state",
            "replica_id",
            "peer_connected",
            "lag_us",
            "backlog_items",
            "backlog_bytes",
            "pending_keys",
            "tombstones",
            "applied",
            "superseded",
            "resync_kind",
            "resync_items_done",
            "resync_items_total",
            "clock_skew_us",
            "incarnation",
        ] {
            assert_eq!(text.matches(&format!("STAT {name} ")).count(), 1, "{name}");
        }
        assert!(text.ends_with("\r\nEND\r\n"));
    }
}
