//! Start and end of a sidecar.

use std::time::Duration;

use anyhow::{Result, ensure};
use e2e::admin;
use e2e::process::Pair;
use e2e::wait::wait_for;
use rustix::process::Signal;

use crate::load::Load;
use crate::options;

/// SIGTERM: ready and serving for the drain delay, then an end with code 0, and the peer has everything.
#[test]
fn a_drain_loses_nothing() -> Result<()> {
    let mut pair = Pair::start(&options("drain")?.sidecar(&["--drain-delay", "2"]))?;
    let mut client = pair.a.client()?;
    for number in 0..1000 {
        client.set(&format!("before:{number}"), "value")?;
    }
    pair.a.sidecar.signal(Signal::TERM)?;
    for number in 0..200 {
        client.set(&format!("during:{number}"), "value")?;
    }
    ensure!(pair.a.sidecar.is_ready(), "not ready during the drain delay");
    pair.a.client()?.set("new-client", "too")?;
    let status = pair.a.sidecar.wait_exit(Duration::from_secs(30))?;
    ensure!(status.code() == Some(0), "exit: {status}");
    ensure!(client.read_to_end()?.is_empty());
    let contents = e2e::contents::read(&mut pair.b.private()?)?.len();
    ensure!(contents == 1201, "{contents} items on the other side");
    Ok(())
}

/// A rolling restart of both sides under load on the other one: no error there, everything kept.
#[test]
fn a_rolling_restart() -> Result<()> {
    let mut pair = Pair::start(&options("rolling")?.sidecar(&["--drain-delay", "0"]))?;
    for turn in 0..2 {
        let (restarted, other) = if turn == 0 { (&mut pair.a, &pair.b) } else { (&mut pair.b, &pair.a) };
        let load = Load::start(&other.sidecar.address(), 2, 500)?;
        let status = restarted.sidecar.terminate(Duration::from_secs(30))?;
        ensure!(status.code() == Some(0), "exit: {status}");
        restarted.memcached.start()?;
        restarted.sidecar.start()?;
        restarted.wait_ready()?;
        load.finish()?;
        pair.wait_up()?;
        pair.wait_equal()?;
    }
    Ok(())
}

/// Without a peer and with a deadline, the client port is not bound before the deadline; /livez is fine all along.
#[test]
fn nobody_is_served_before_the_first_ready() -> Result<()> {
    let mut pair = Pair::start_caches(&options("warm-up")?.sidecar(&["--warmup-deadline", "3"]))?;
    pair.a.sidecar.start()?;
    wait_for("/livez", Duration::from_secs(10), || pair.a.sidecar.livez().ok().filter(|status| *status == 200))?;
    ensure!(!pair.a.sidecar.is_ready(), "ready without having waited for the other one");
    ensure!(pair.a.client().is_err(), "the client port is bound before the first ready");
    pair.a.wait_ready()?;
    ensure!(pair.a.client()?.exchange("get nothing")? == "END");
    Ok(())
}

#[test]
fn two_empty_replicas_do_not_wait_for_each_other() -> Result<()> {
    let mut pair = Pair::start_caches(&options("both-empty")?.sidecar(&["--warmup-deadline", "3600"]))?;
    pair.a.sidecar.start()?;
    pair.b.sidecar.start()?;
    pair.wait_up()
}

/// memcached comes later than the sidecar.
#[test]
fn a_sidecar_waits_for_its_memcached() -> Result<()> {
    let mut pair = Pair::start_caches(&options("late-memcached")?.sidecar(&["--warmup-deadline", "0"]))?;
    pair.a.memcached.kill();
    pair.a.sidecar.start()?;
    wait_for("/livez", Duration::from_secs(10), || pair.a.sidecar.livez().ok().filter(|status| *status == 200))?;
    ensure!(!pair.a.sidecar.is_ready(), "ready without memcached");
    pair.a.memcached.start()?;
    pair.a.wait_ready()?;
    pair.a.client()?.set("key", "value")
}

#[test]
fn statistics_and_metrics_have_the_documented_names() -> Result<()> {
    let pair = crate::pair("names")?;
    pair.a.client()?.set("key", "value")?;
    pair.b.wait_value("key", Some("value"))?;
    let stats = pair.a.replication_stats()?;
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
        ensure!(stats.contains_key(name), "no {name} in stats replication: {stats:?}");
    }
    let text = pair.b.sidecar.metrics()?;
    for name in [
        "rmc_ready",
        "rmc_peer_connected",
        "rmc_replication_lag_seconds_count",
        "rmc_backlog_bytes",
        "rmc_resync_items_done",
        "rmc_resync_items_total",
        "rmc_records_applied_total",
        "rmc_records_superseded_total",
        "rmc_tombstones",
        "rmc_clock_skew_seconds",
    ] {
        ensure!(admin::metric(&text, name).is_some(), "no {name} in /metrics");
    }
    ensure!(admin::metric_sum(&text, "rmc_commands_total") >= 1.0, "no rmc_commands_total");
    ensure!(text.trim_end().ends_with("# EOF"), "not OpenMetrics");
    Ok(())
}
