//! Expiry and clocks, and what each replica decides for itself.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use e2e::process::{Pair, Replica};
use e2e::wait::wait_for;

use crate::options;
use crate::rows::wait_ttl;

const DAY: i64 = 86_400;

fn ttls(from: &Replica, to: &Replica, key: &str) -> Result<()> {
    let mut client = from.client()?;
    let now = i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs())?;
    for (number, (exptime, wanted)) in
        [(0, -1), (100, 100), (30 * DAY, 30 * DAY), (now + 1000, 1000), (now + 40 * DAY, 40 * DAY)].iter().enumerate()
    {
        let key = format!("{key}:{number}");
        ensure!(client.store("set", &key, 0, *exptime, b"1")? == "STORED");
        wait_ttl(to, &key, *wanted).with_context(|| format!("set with exptime {exptime}"))?;
        for (command, wanted) in [("incr", *wanted), ("touch", 500)] {
            let argument = if command == "incr" { 1 } else { 500 };
            client.exchange(&format!("{command} {key} {argument}"))?;
            wait_ttl(to, &key, wanted).with_context(|| format!("{command} after exptime {exptime}"))?;
        }
        ensure!(client.exchange(&format!("touch {key} {exptime}"))? == "TOUCHED");
        wait_ttl(to, &key, *wanted).with_context(|| format!("touch with exptime {exptime}"))?;
    }
    // It does end, on both sides at the same time.
    let key = format!("{key}:short");
    ensure!(client.store("set", &key, 0, 3, b"1")? == "STORED");
    let stored = Instant::now();
    to.wait_value(&key, Some("1"))?;
    for replica in [to, from] {
        let mut reader = replica.client()?;
        wait_for("the end of the item", Duration::from_secs(10), || reader.get(&key).ok()?.is_none().then_some(()))?;
        let lived = stored.elapsed().as_secs_f64();
        ensure!((2.0..=4.5).contains(&lived), "it lived {lived} s instead of 3");
    }
    Ok(())
}

#[test]
fn ttls_are_within_a_second_whatever_the_clocks_say() -> Result<()> {
    for clocks in [[0, 0], [3600, 0], [0, -3600]] {
        let pair = Pair::start(&options(&format!("ttl{}{}", clocks[0], clocks[1]))?.clocks(clocks))?;
        crate::both_directions(&pair, ttls)?;
        pair.wait_equal()?;
    }
    Ok(())
}

/// What knew of the other write wins, whatever the clocks say.
#[test]
fn causality_beats_clocks() -> Result<()> {
    let pair = Pair::start(&options("causality")?.clocks([3600, 0]))?;
    for turn in 0..20 {
        crate::both_directions(&pair, |from, to, _| {
            let value = format!("{turn}");
            from.client()?.set("ping", &value)?;
            to.wait_value("ping", Some(&value))?;
            let answer = to.client()?.exchange("incr ping 1000")?;
            ensure!(answer == (turn + 1000).to_string(), "{answer}");
            from.wait_value("ping", Some(&answer))?;
            ensure!(to.client()?.exchange("delete ping")? == "DELETED");
            from.wait_value("ping", None)
        })?;
    }
    pair.wait_equal()
}

/// Each replica evicts for itself: one with little memory loses items, the other keeps them.
#[test]
fn evictions_do_not_replicate() -> Result<()> {
    let pair = Pair::start(&options("evictions")?.memcached([&["-m", "16"], &["-m", "256"]]))?;
    let value = "x".repeat(10_000);
    crate::both_directions(&pair, |from, _, key| {
        let mut client = from.client()?;
        (0..3000).try_for_each(|number| client.set(&format!("{key}:{number}"), &value))
    })?;
    let count = |replica: &Replica| Ok::<_, anyhow::Error>(e2e::contents::read(&mut replica.private()?)?.len());
    let mut last = 0;
    wait_for("all items on the larger replica", Duration::from_secs(30), || {
        last = count(&pair.b).ok()?;
        (last == 6000).then_some(())
    })
    .with_context(|| format!("{last} items"))?;
    let kept = count(&pair.a)?;
    ensure!(kept < 3000, "{kept} items in 16 MB: nothing was evicted");
    pair.wait_consistent()?;
    // What was evicted there is deleted here all the same.
    let contents = e2e::contents::read(&mut pair.a.private()?)?;
    let evicted = (0..3000).map(|number| format!("forth:{number}"));
    let evicted = evicted.into_iter().find(|key| !contents.contains_key(key.as_bytes())).context("none is missing")?;
    pair.a.client()?.exchange(&format!("delete {evicted}"))?;
    pair.b.wait_value(&evicted, None)
}

/// Two more promises in one: what expires on one side is not deleted on the other before its time, and a longer life
/// given by a touch on one side holds on both.
#[test]
fn the_later_touch_wins() -> Result<()> {
    let pair = crate::pair("touch")?;
    crate::both_directions(&pair, |from, to, key| {
        ensure!(from.client()?.store("set", key, 0, 2, b"v")? == "STORED");
        to.wait_value(key, Some("v"))?;
        ensure!(to.client()?.exchange(&format!("touch {key} 1000"))? == "TOUCHED");
        wait_ttl(from, key, 1000)?;
        wait_ttl(to, key, 1000)
    })?;
    pair.wait_equal()
}
