//! kill -9 of each process, alone and together: nothing acknowledged is forgotten or undone.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use e2e::admin;
use e2e::process::{Pair, Replica};
use e2e::wait::wait_for;

use crate::load::Load;
use crate::{options, pair};

fn fill(replica: &Replica, keys: usize) -> Result<()> {
    let mut client = replica.client()?;
    for start in (0..keys).step_by(1000) {
        let mut bytes = String::new();
        for number in start..(start + 1000).min(keys) {
            bytes += &format!("set fill:{number} 0 0 6 noreply\r\n{:06}\r\n", number % 1_000_000);
        }
        client.send((bytes + "version\r\n").as_bytes())?;
        client.line()?;
    }
    Ok(())
}

fn count(replica: &Replica) -> Result<usize> {
    Ok(e2e::contents::read(&mut replica.private()?)?.len())
}

/// The sidecar alone is killed while the other side does not know yet what it has acknowledged.
#[test]
fn a_killed_sidecar_forgets_nothing() -> Result<()> {
    let mut pair = pair("kill-sidecar")?;
    let mut a = pair.a.client()?;
    for key in ["deleted", "changed", "touched", "kept"] {
        a.set(key, "1")?;
    }
    pair.wait_equal()?;
    pair.link.cut();
    pair.a.wait_linked(false)?;
    ensure!(a.exchange("delete deleted")? == "DELETED");
    a.set("changed", "2")?;
    a.set("new", "3")?;
    ensure!(a.exchange("touch touched 1000")? == "TOUCHED");
    ensure!(a.exchange("delete never-there")? == "NOT_FOUND");
    let mut b = pair.b.client()?;
    b.set("from-b", "4")?;
    b.set("deleted-later", "5")?;
    ensure!(b.exchange("delete deleted-later")? == "DELETED");
    pair.a.sidecar.kill();
    pair.a.sidecar.start()?;
    pair.link.heal();
    pair.wait_up()?;
    pair.wait_equal()?;
    for replica in [&pair.a, &pair.b] {
        for (key, value) in [("deleted", None), ("changed", Some("2")), ("new", Some("3")), ("from-b", Some("4"))] {
            replica.wait_value(key, value)?;
        }
        replica.wait_value("kept", Some("1"))?;
        crate::rows::wait_ttl(replica, "touched", 1000)?;
    }
    Ok(())
}

/// What the other side deleted, changed and flushed while this sidecar was dead is so here too when it serves again.
#[test]
fn a_sidecar_that_was_away_learns_of_deletes_and_flushes() -> Result<()> {
    let mut pair = pair("away")?;
    fill(&pair.a, 3000)?;
    pair.wait_equal()?;
    pair.a.sidecar.kill();
    let mut b = pair.b.client()?;
    ensure!(b.exchange("delete fill:1")? == "DELETED");
    b.set("fill:2", "changed")?;
    pair.a.sidecar.start()?;
    pair.a.wait_ready()?;
    let mut a = pair.a.client()?;
    ensure!(a.get("fill:1")?.is_none(), "deleted on the other side, and served here");
    ensure!(a.get("fill:2")?.as_deref() == Some("changed"), "changed on the other side, and the old value served");

    pair.wait_up()?;
    pair.a.sidecar.kill();
    ensure!(b.exchange("flush_all")? == "OK");
    b.set("after", "flush")?;
    pair.a.sidecar.start()?;
    pair.a.wait_ready()?;
    let mut a = pair.a.client()?;
    ensure!(a.get("fill:3")?.is_none(), "flushed on the other side, and served here");
    ensure!(a.get("after")?.as_deref() == Some("flush"));
    pair.wait_equal()
}

/// memcached alone is killed: clients are dropped, none is served until everything is back.
#[test]
fn a_killed_memcached_is_refilled_before_it_serves() -> Result<()> {
    let mut pair = pair("kill-memcached")?;
    fill(&pair.a, 50_000)?;
    pair.wait_equal()?;
    let mut open = pair.a.client()?;
    open.set("last", "word")?;
    pair.b.wait_value("last", Some("word"))?;
    pair.a.memcached.kill();
    ensure!(open.read_to_end()?.is_empty(), "an answer without memcached");
    wait_for("/readyz to fail", Duration::from_secs(10), || (!pair.a.sidecar.is_ready()).then_some(()))?;
    ensure!(pair.b.sidecar.is_ready(), "the other side must stay ready");
    pair.b.client()?.set("meanwhile", "here")?;
    pair.a.memcached.start()?;
    pair.a.wait_ready()?;
    let back = count(&pair.a)?;
    ensure!(back == 50_002, "{back} items when ready");
    pair.wait_equal()
}

#[test]
fn both_processes_of_a_replica_killed() -> Result<()> {
    let mut pair = pair("kill-both")?;
    fill(&pair.b, 50_000)?;
    pair.wait_equal()?;
    pair.a.kill();
    ensure!(pair.b.client()?.exchange("delete fill:7")? == "DELETED");
    pair.a.memcached.start()?;
    pair.a.sidecar.start()?;
    pair.a.wait_ready()?;
    let back = count(&pair.a)?;
    ensure!(back == 49_999, "{back} items when ready");
    pair.wait_equal()?;
    // keys and values of 6 bytes; the delete may have come with the resync, or before it
    let bytes: usize = (0..50_000).map(|number| format!("fill:{number}").len() + 6).sum();
    let metrics = pair.b.sidecar.metrics()?;
    let [done, total] = ["rmc_resync_done_bytes", "rmc_resync_total_bytes"].map(|name| admin::metric(&metrics, name));
    let deleted = "fill:7".len() + 6;
    let possible = [bytes - 6, bytes - deleted].map(|bytes| Some(bytes as f64));
    ensure!(done == total && possible.contains(&done), "{done:?} of {total:?}, not {possible:?}");
    Ok(())
}

/// An empty replica never wins over a full one, also when its state file tells of deletes.
#[test]
fn an_empty_replica_never_wins() -> Result<()> {
    let mut pair = pair("empty")?;
    fill(&pair.b, 1000)?;
    pair.wait_equal()?;
    for _ in 0..3 {
        pair.link.cut();
        pair.a.kill();
        pair.a.memcached.start()?;
        pair.a.sidecar.start()?;
        pair.link.heal();
        pair.wait_up()?;
    }
    pair.wait_equal()?;
    let left = count(&pair.b)?;
    ensure!(left == 1000, "{left} items left on the full side");
    Ok(())
}

/// The state file is lost while memcached keeps its items: versions go on above the greatest one there.
#[test]
fn a_lost_state_file_does_not_turn_back_the_clock() -> Result<()> {
    let mut pair = Pair::start(&options("lost-state")?.clocks([3600, 0]))?;
    pair.a.client()?.set("key", "by a fast clock")?;
    pair.wait_equal()?;
    pair.a.sidecar.kill();
    pair.a.forget_state()?;
    pair.a.set_clock(0);
    pair.a.sidecar.start()?;
    pair.wait_up()?;
    pair.a.client()?.set("key", "by a true clock")?;
    pair.b.wait_value("key", Some("by a true clock"))?;
    pair.a.wait_value("key", Some("by a true clock"))?;
    pair.wait_equal()
}

/// One side is killed again and again under load; clients of the other side notice nothing.
#[test]
fn the_surviving_side_sees_no_error() -> Result<()> {
    let mut pair = pair("survivor")?;
    let load = Load::start(&pair.a.sidecar.address(), 4, 3000)?;
    for turn in 0..6 {
        match turn % 3 {
            0 => pair.b.sidecar.kill(),
            1 => pair.b.memcached.kill(),
            _ => pair.b.kill(),
        }
        let before = load.done();
        wait_for("the load to go on", Duration::from_secs(20), || (load.done() > before + 2000).then_some(()))?;
        if pair.b.memcached.process().is_none() {
            pair.b.memcached.start()?;
        }
        if pair.b.sidecar.process().is_none() {
            pair.b.sidecar.start()?;
        }
        pair.b.wait_ready().with_context(|| format!("turn {turn}"))?;
    }
    let done = load.finish()?;
    ensure!(done > 10_000, "only {done} commands");
    pair.wait_equal()
}

/// A resync that a rate limit makes long brings what was used last first.
#[test]
fn a_limited_resync_begins_with_what_was_used_last() -> Result<()> {
    const ITEMS: usize = 1000;
    let options = crate::options("recent-first")?.sidecar(&["--resync-rate", "150k", "--warmup-deadline", "600"]);
    let mut pair = Pair::start(&options)?;
    let value = "x".repeat(1000);
    let mut client = pair.a.client()?;
    for number in 0..ITEMS {
        client.set(&format!("old:{number}"), &value)?;
    }
    // memcached notes the second of the last use.
    std::thread::sleep(Duration::from_secs(5));
    for number in 0..ITEMS {
        client.set(&format!("new:{number}"), &value)?;
    }
    pair.wait_equal()?;
    pair.b.kill();
    pair.b.forget_state()?;
    pair.b.memcached.start()?;
    pair.b.sidecar.start()?;
    let held = |pair: &Pair, group: &str| -> Result<usize> {
        let mut private = pair.b.private()?;
        let mut held = 0;
        for number in 0..ITEMS {
            held += usize::from(private.get(&format!("{group}:{number}"))?.is_some());
        }
        Ok(held)
    };
    let old = wait_for("all items that were used last", Duration::from_secs(60), || {
        let (new, old) = (held(&pair, "new").ok()?, held(&pair, "old").ok()?);
        (new == ITEMS).then_some(old)
    })?;
    ensure!(old < ITEMS / 2, "{old} of {ITEMS} older items came before the last of the younger ones");
    pair.b.wait_ready()?;
    pair.wait_equal()
}

/// memcached 1.6.38 overwrites the end of a dump whose reader is slow. A resync with a rate limit reads faster than it
/// fetches, so nothing is missing.
#[test]
fn a_limited_resync_brings_the_end_of_the_dump() -> Result<()> {
    // more than a sidecar and a socket hold of the dump, by less than memcached lists while nobody reads
    const ITEMS: usize = 1300;
    let options = crate::options("dump-end")?.sidecar(&["--resync-rate", "100k", "--warmup-deadline", "600"]);
    let mut pair = Pair::start(&options)?;
    let mut client = pair.a.client()?;
    let value = "x".repeat(1000);
    for number in 0..ITEMS {
        client.set(&format!("key:{number:06}"), &value)?;
    }
    pair.wait_equal()?;
    pair.b.kill();
    pair.b.forget_state()?;
    pair.b.memcached.start()?;
    pair.b.sidecar.start()?;
    pair.b.wait_ready()?;
    pair.wait_equal()
}
