use super::*;
use crate::stats::{CommandLabel, Phase, ProtocolLabel};

fn scrape(stats: Stats) -> String {
    Metrics::new(Arc::new(stats)).text()
}

#[test]
fn the_names_of_the_contract_are_there() {
    let stats = Stats::new(2);
    stats.readiness.enter(Phase::Ready);
    stats.workers[0].count(ProtocolLabel::Classic, CommandLabel::Set);
    stats.workers[1].count(ProtocolLabel::Classic, CommandLabel::Set);
    stats.workers[1].count(ProtocolLabel::Binary, CommandLabel::Get);
    let replication = &stats.replication;
    replication.peer_connected.set(1);
    replication.backlog_bytes.set(77);
    replication.lag.observe(300, 3);
    replication.clock_skew_us.set(-1_500_000);
    replication.records_applied.add(5);
    replication.records_superseded.add(6);
    replication.tombstones.set(8);
    replication.resync_kind.set(3);
    replication.resync_items_done.set(9);
    replication.resync_items_total.set(10);
    replication.resync_bytes_done.set(11);
    replication.resync_bytes_total.set(12);
    stats.workers[0].logins_refused.set(3);
    stats.workers[1].tls_accepted.set(4);
    stats.files[0].bad.set(1);
    let text = scrape(stats);
    for line in [
        "rmc_ready 1",
        "rmc_state{state=\"ready\"} 1",
        "rmc_state{state=\"syncing\"} 0",
        "rmc_peer_connected 1",
        "rmc_replication_lag_seconds_count 3",
        "rmc_replication_lag_seconds_sum 0.0009",
        "rmc_replication_lag_seconds_bucket{le=\"0.00025\"} 0",
        "rmc_replication_lag_seconds_bucket{le=\"0.0005\"} 3",
        "rmc_replication_lag_seconds_bucket{le=\"+Inf\"} 3",
        "rmc_backlog_bytes 77",
        "rmc_resync_items_done 9",
        "rmc_resync_items_total 10",
        "rmc_resync_done_bytes 11",
        "rmc_resync_total_bytes 12",
        "rmc_resync{kind=\"full\"} 1",
        "rmc_records_applied_total 5",
        "rmc_records_superseded_total 6",
        "rmc_tombstones 8",
        "rmc_clock_skew_seconds -1.5",
        "rmc_commands_total{command=\"set\",protocol=\"classic\"} 2",
        "rmc_commands_total{command=\"get\",protocol=\"classic\"} 0",
        "rmc_commands_total{command=\"get\",protocol=\"binary\"} 1",
        "rmc_logins_total{result=\"refused\"} 3",
        "rmc_client_tls_handshakes_total{result=\"accepted\"} 4",
        "rmc_files_reloaded_total{flag=\"tls-dir\"} 0",
        "rmc_files_bad{flag=\"auth-file\"} 1",
        "rmc_handshakes_refused_total{reason=\"certificate\"} 0",
        concat!("rmc_build_info{version=\"", env!("CARGO_PKG_VERSION"), "\"} 1"),
    ] {
        assert!(text.lines().any(|l| l == line), "{line} is missing:\n{text}");
    }
    assert!(!text.contains("protocol=\"meta\""));
}

#[test]
fn the_text_is_well_formed_open_metrics() {
    let text = scrape(Stats::new(1));
    assert!(text.ends_with("# EOF\n"));
    let mut told = std::collections::HashSet::new();
    for line in text.lines().filter(|l| l.starts_with("# TYPE ")) {
        let name = line.split(' ').nth(2).unwrap();
        assert!(told.insert(name.to_owned()), "{name} twice");
        assert!(name.starts_with("rmc_") || name.starts_with("process_"), "{name}");
        assert!(text.contains(&format!("# HELP {name} ")), "{name} has no help");
    }
    for unit in ["seconds", "bytes"] {
        for line in text.lines().filter(|l| l.starts_with("# UNIT ") && l.ends_with(unit)) {
            let name = line.split(' ').nth(2).unwrap();
            assert!(name.ends_with(&format!("_{unit}")), "{name}");
        }
    }
}

#[test]
fn the_process_is_measured() {
    let text = scrape(Stats::new(1));
    let value = |name: &str| -> f64 {
        let line = text.lines().find(|l| l.split(' ').next() == Some(name));
        line.unwrap().split(' ').nth(1).unwrap().parse().unwrap()
    };
    assert!(value("process_resident_memory_bytes") > 100_000.0);
    assert!(value("process_cpu_seconds_total") >= 0.0);
    assert!(value("process_open_fds") >= 3.0);
}
