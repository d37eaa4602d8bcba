//! Keys with a blank, a line feed or a NUL in them, which no line can name: clients of the binary protocol use them like any
//! others, on both sides, across a resync too.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use e2e::binary::{Packet, opcode::*};
use e2e::memcached::{Suite, find};
use e2e::process::{Pair, PairOptions, Replica};
use e2e::wait::wait_for;

const OK: u16 = 0;
const NOT_FOUND: u16 = 1;
/// What memcached's base64 names at the most.
const LONGEST: usize = 186;

/// Flags, value and CAS, with the key as it is echoed.
fn read(replica: &Replica, key: &str) -> Result<Option<(u32, String, u64)>> {
    let answer = replica.client()?.packet(&Packet::new(GETK).key(key))?;
    ensure!(answer.key == key.as_bytes(), "{key:?} is echoed as {:?}", answer.key);
    match answer.status {
        OK => Ok(Some((answer.flags()?, String::from_utf8_lossy(&answer.value).into_owned(), answer.cas))),
        NOT_FOUND => Ok(None),
        status => anyhow::bail!("{key:?}: status {status}"),
    }
}

/// Waits until a replica holds this flags and value, and the CAS, where one is given.
fn wait(replica: &Replica, key: &str, expected: Option<(u32, &str)>, cas: Option<u64>) -> Result<()> {
    wait_for(&format!("{key:?} to be {expected:?}"), Duration::from_secs(10), || {
        let seen = read(replica, key).ok()?;
        let shown = seen.as_ref().map(|(flags, value, _)| (*flags, value.as_str()));
        let same_cas = cas.is_none() || seen.as_ref().map(|(.., cas)| *cas) == cas;
        (shown == expected && same_cas).then_some(())
    })
}

/// The answer to a packet; it must be a success.
fn done(replica: &Replica, packet: &Packet) -> Result<u64> {
    let answer = replica.client()?.packet(packet)?;
    ensure!(answer.status == OK, "{packet:?}: {answer:?}");
    Ok(answer.cas)
}

fn all_commands(from: &Replica, to: &Replica, key: &str) -> Result<()> {
    let store = |opcode, value: &str| Packet::store(opcode, key, 5, 1000, value);
    let cas = done(from, &store(SET, "10"))?;
    wait(to, key, Some((5, "10")), Some(cas))?;
    let token = done(to, &store(SET, "11").cas(cas))?;
    wait(from, key, Some((5, "11")), Some(token))?;
    let cas = done(from, &Packet::counter(INCREMENT, key, 4, 0, 0))?;
    wait(to, key, Some((5, "15")), Some(cas))?;
    let cas = done(to, &Packet::counter(DECREMENT, key, 8, 0, 0).cas(cas))?;
    // memcached writes "7 " in place, but not while somebody reads the item, as the read-back of the 15 may still do.
    let seven = read(to, key)?.context("no counter")?.1;
    ensure!(seven.trim_end() == "7", "{seven:?}");
    wait(from, key, Some((5, &seven)), Some(cas))?;
    let cas = done(from, &Packet::new(APPEND).key(key).value("b"))?;
    wait(to, key, Some((5, &format!("{seven}b"))), Some(cas))?;
    done(to, &Packet::new(PREPEND).key(key).value("a"))?;
    wait(from, key, Some((5, &format!("a{seven}b"))), None)?;
    let cas = done(from, &store(REPLACE, "new"))?;
    wait(to, key, Some((5, "new")), Some(cas))?;
    done(from, &Packet::new(TOUCH).key(key).words(&[0]))?;
    done(to, &Packet::new(GATK).key(key).words(&[2_592_001]))?;
    wait(from, key, None, None)?;
    wait(to, key, None, None)?;
    done(to, &Packet::counter(INCREMENT, key, 4, 41, 0))?;
    wait(from, key, Some((0, "41")), None)?;
    done(from, &Packet::new(DELETE).key(key))?;
    wait(to, key, None, None)?;
    let cas = done(from, &store(ADD, "left"))?;
    wait(to, key, Some((5, "left")), Some(cas))
}

fn keys(direction: &str) -> Vec<String> {
    let mut keys: Vec<String> = ["a b", " ", "x\n", "\r\n", "get k\r\nflush_all\r\n", "nul\0", "é ü", "a  b "]
        .map(|odd| format!("{odd}{direction}"))
        .into();
    keys.push(format!(" {direction}{}", "k".repeat(LONGEST - 1 - direction.len())));
    keys
}

#[test]
fn each_command_and_a_resync() -> Result<()> {
    for suite in Suite::TESTED {
        let memcached = find(suite)?;
        let mut pair = Pair::start(&PairOptions::new(&format!("odd-keys-{}", memcached.version), &memcached))?;
        crate::both_directions(&pair, |from, to, direction| {
            let each = |key: &String| all_commands(from, to, key).with_context(|| format!("{key:?}, {direction}"));
            keys(direction).iter().try_for_each(each)
        })?;
        let mut all = [keys("forth"), keys("back")].concat();
        pair.wait_equal()?;
        pair.b.kill();
        pair.b.memcached.start()?;
        pair.b.sidecar.start()?;
        pair.wait_up()?;
        pair.b.wait_ready()?;
        for key in &all {
            let cas = read(&pair.a, key)?.map(|(.., cas)| cas);
            wait(&pair.b, key, Some((5, "left")), cas)?;
        }
        pair.wait_equal()?;
        // What one side flushes is gone on the other, and what comes after is not.
        let after = all.pop().context("a key")?;
        done(&pair.b, &Packet::new(FLUSH))?;
        done(&pair.b, &Packet::store(SET, &after, 1, 0, "after"))?;
        wait(&pair.a, &after, Some((1, "after")), None)?;
        for key in &all {
            wait(&pair.a, key, None, None)?;
            wait(&pair.b, key, None, None)?;
        }
        pair.wait_equal()?;
    }
    Ok(())
}

/// A stale mark is nothing to these clients: reading and touching takes no token from those who know of it.
#[test]
fn a_read_takes_no_win_token() -> Result<()> {
    let pair = crate::pair("odd-keys-stale")?;
    // "a b"
    let (key, name) = ("a b", "YSBi");
    let cas = done(&pair.a, &Packet::store(SET, key, 5, 0, "v"))?;
    wait(&pair.b, key, Some((5, "v")), Some(cas))?;
    let mut client = pair.a.client()?;
    ensure!(client.exchange(&format!("md {name} b I"))? == "HD");
    let stale = read(&pair.a, key)?.context("no item")?.2;
    done(&pair.a, &Packet::new(GAT).key(key).words(&[500]))?;
    done(&pair.a, &Packet::new(TOUCH).key(key).words(&[600]))?;
    wait(&pair.b, key, Some((5, "v")), Some(stale))?;
    done(&pair.b, &Packet::new(GATK).key(key).words(&[700]))?;
    // The touch of the other side takes the token on its way and gives it back: until then a read sees it as given away.
    wait_for("the token", Duration::from_secs(10), || {
        (client.exchange(&format!("mg {name} b")).ok()? == "HD X W").then_some(())
    })?;
    ensure!(client.exchange(&format!("mg {name} b"))? == "HD Z X");
    Ok(())
}
