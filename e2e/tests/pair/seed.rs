//! The scenario that must always work, and a pair over TLS.

use anyhow::{Result, ensure};
use e2e::memcached::{Suite, find};
use e2e::process::{Pair, PairOptions};

use crate::{both_directions, options};

/// Set on the first node, get on the second; restart either one, and the data is back before it serves.
#[test]
fn seed_scenario() -> Result<()> {
    for suite in Suite::TESTED {
        let memcached = find(suite)?;
        let mut pair = Pair::start(&PairOptions::new(&format!("seed-{}", memcached.version), &memcached))?;
        both_directions(&pair, |from, to, key| {
            from.client()?.set(key, "value")?;
            to.wait_value(key, Some("value"))
        })?;
        for replica in [0, 1] {
            let restarted = if replica == 0 { &mut pair.a } else { &mut pair.b };
            restarted.kill();
            restarted.memcached.start()?;
            restarted.sidecar.start()?;
            restarted.wait_ready()?;
            let mut client = restarted.client()?;
            ensure!(client.get("forth")?.as_deref() == Some("value"), "not there when ready");
            ensure!(client.get("back")?.as_deref() == Some("value"), "not there when ready");
        }
        pair.wait_equal()?;
    }
    Ok(())
}

#[test]
fn a_cas_token_of_one_replica_is_valid_on_the_other() -> Result<()> {
    let pair = crate::pair("cas")?;
    both_directions(&pair, |from, to, key| {
        from.client()?.set(key, "one")?;
        to.wait_value(key, Some("one"))?;
        let mut there = to.client()?;
        let token = from.client()?.gets(key)?.map(|value| value.cas).unwrap_or_default();
        let other = there.gets(key)?.map(|value| value.cas).unwrap_or_default();
        ensure!(token == other && token != 0, "different tokens: {token} and {other}");
        let answer = there.cas(key, "two", token)?;
        ensure!(answer == "STORED", "the token was not accepted: {answer}");
        let answer = there.cas(key, "three", token)?;
        ensure!(answer == "EXISTS", "the token was accepted twice: {answer}");
        from.wait_value(key, Some("two"))
    })
}

#[test]
fn a_pair_over_tls() -> Result<()> {
    let mut pair = Pair::start(&options("tls")?.with_tls())?;
    both_directions(&pair, |from, to, key| {
        from.client()?.set(key, &"value".repeat(100_000))?;
        to.wait_value(key, Some(&"value".repeat(100_000)))
    })?;
    pair.b.kill();
    pair.b.memcached.start()?;
    pair.b.sidecar.start()?;
    pair.b.wait_ready()?;
    pair.wait_equal()
}

/// Both sides write the same keys at once, again and again: they end up with the same.
#[test]
fn concurrent_writes_converge() -> Result<()> {
    let pair = crate::pair("concurrent")?;
    std::thread::scope(|scope| {
        let writers: Vec<_> = pair
            .directions()
            .into_iter()
            .enumerate()
            .map(|(side, (here, _))| {
                scope.spawn(move || -> Result<()> {
                    let mut client = here.client()?;
                    for number in (0..6000).skip(side).step_by(2) {
                        let key = format!("key:{}", number / 2 % 10);
                        match number % 7 {
                            0 => client.exchange(&format!("delete {key}")).map(drop)?,
                            1 => client.store("append", &key, 0, 0, b"x").map(drop)?,
                            2 => client.store("add", &key, 3, 0, b"10").map(drop)?,
                            3 => client.exchange(&format!("incr {key} 1")).map(drop)?,
                            4 => client.exchange(&format!("touch {key} 1000")).map(drop)?,
                            // Odd numbers from one side, even ones from the other.
                            _ => client.set(&key, &number.to_string())?,
                        }
                    }
                    Ok(())
                })
            })
            .collect();
        writers.into_iter().try_for_each(|writer| writer.join().unwrap_or_else(|_| anyhow::bail!("a panic")))
    })?;
    pair.wait_equal()
}
