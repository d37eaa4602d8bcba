//! The link: cut, one-sided, slow, and away for longer than the backlog.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use e2e::process::{Flow, Pair};
use e2e::wait::wait_for;

use crate::load::Load;
use crate::{options, pair};

/// The link is cut every second for some seconds, with clients writing on both sides all the time.
#[test]
fn a_link_cut_every_second_under_load() -> Result<()> {
    let pair = pair("cut")?;
    let loads = [Load::start(&pair.a.sidecar.address(), 3, 2000)?, Load::start(&pair.b.sidecar.address(), 3, 2000)?];
    for _ in 0..6 {
        pair.link.cut();
        pair.a.wait_linked(false)?;
        let before = loads[0].done();
        wait_for("the load to go on", Duration::from_secs(20), || (loads[0].done() > before + 500).then_some(()))?;
        pair.link.heal();
        pair.a.wait_linked(true)?;
        pair.b.wait_linked(true)?;
    }
    for load in loads {
        let done = load.finish()?;
        ensure!(done > 3000, "only {done} commands");
    }
    pair.wait_equal()
}

/// More is written while the peer is away than the backlog holds; deletes and counters among it.
#[test]
fn absent_for_longer_than_the_backlog() -> Result<()> {
    // the least for items of a mebibyte
    let pair = Pair::start(&options("overflow")?.sidecar(&["--backlog", "8m"]))?;
    for (from, _) in pair.directions() {
        let mut client = from.client()?;
        (0..500).try_for_each(|number| client.set(&format!("shared:{number}"), "old"))?;
    }
    pair.wait_equal()?;
    pair.link.cut();
    pair.a.wait_linked(false)?;
    pair.b.wait_linked(false)?;
    let value = "x".repeat(1000);
    crate::both_directions(&pair, |from, _, key| {
        let mut client = from.client()?;
        for number in 0..12_000 {
            client.set(&format!("{key}:{number}"), &value)?;
        }
        for number in 0..200 {
            let odd = u32::from(key == "forth");
            client.exchange(&format!("delete shared:{}", 2 * number + odd))?;
            client.exchange(&format!("incr {key}:count 1"))?;
            client.store("add", &format!("{key}:count"), 0, 0, b"1")?;
        }
        let backlog = from.replication_stat("backlog_bytes")?;
        ensure!((7 << 20..=8 << 20).contains(&backlog), "a backlog of {backlog} bytes");
        let stats = from.replication_stats()?;
        ensure!(stats.get("pending_keys").is_some_and(|pending| pending != "0"), "nothing pending: {stats:?}");
        Ok(())
    })?;
    pair.link.heal();
    pair.a.wait_linked(true)?;
    pair.wait_equal()?;
    pair.a.wait_value("shared:0", None)?;
    pair.a.wait_value("shared:1", None)?;
    pair.a.wait_value("forth:count", Some("200"))?;
    pair.b.wait_value("forth:count", Some("200"))
}

/// Bytes of one direction are lost without a word: both sides notice, and recover when it is over.
#[test]
fn a_one_sided_partition() -> Result<()> {
    let pair = pair("one-sided")?;
    for broken in [0, 1] {
        let stalled = |direction: usize| Flow { stalled: broken == direction, ..Flow::default() };
        pair.link.flows(stalled(0), stalled(1));
        for (number, (from, _)) in pair.directions().into_iter().enumerate() {
            from.client()?.set(&format!("side:{broken}:{number}"), "value")?;
        }
        pair.a.wait_linked(false)?;
        pair.b.wait_linked(false)?;
        pair.link.heal();
        pair.wait_equal()?;
        pair.b.wait_value(&format!("side:{broken}:0"), Some("value"))?;
        pair.a.wait_value(&format!("side:{broken}:1"), Some("value"))?;
    }
    Ok(())
}

/// A slow link delays the other side, not the clients.
#[test]
fn a_slow_link_slows_no_client() -> Result<()> {
    let pair = Pair::start(&options("slow-link")?.sidecar(&["--backlog", "1m"]))?;
    let slow = Flow { delay: Duration::from_millis(300), bytes_per_second: Some(200_000), ..Flow::default() };
    pair.link.flows(slow.clone(), slow);
    write_quickly(&pair)?;
    pair.link.heal();
    pair.wait_equal()
}

/// A peer that never reads fills its socket buffers and our backlog, and that is all.
#[test]
fn a_peer_that_never_reads_slows_no_client() -> Result<()> {
    let pair = Pair::start(&options("stopped-peer")?.sidecar(&["--backlog", "1m"]))?;
    pair.b.sidecar.signal(rustix::process::Signal::STOP)?;
    let written = write_quickly(&pair);
    pair.b.sidecar.signal(rustix::process::Signal::CONT)?;
    written?;
    let resident = pair.a.sidecar.process().map_or(Ok(0), e2e::process::Process::resident)?;
    ensure!(resident < 200 << 20, "{} MiB resident", resident >> 20);
    pair.wait_equal()
}

/// Twenty megabytes on the first replica, each write answered at once.
fn write_quickly(pair: &Pair) -> Result<()> {
    let mut client = pair.a.client()?;
    let value = "x".repeat(2000);
    let mut slowest = Duration::ZERO;
    for number in 0..10_000 {
        let start = Instant::now();
        client.set(&format!("key:{number}"), &value)?;
        slowest = slowest.max(start.elapsed());
    }
    ensure!(slowest < Duration::from_secs(1), "a write took {slowest:?}");
    Ok(())
}
