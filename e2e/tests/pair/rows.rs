//! What replicates: each kind of command, in both directions, with both versions of memcached.

use anyhow::{Result, ensure};
use e2e::client::Client;
use e2e::memcached::{Suite, find};
use e2e::process::{Pair, PairOptions, Replica};

/// A command (with `K` for the key) on a key that holds `10` with flags 5 on both sides, what it answers, and what both
/// sides hold then: flags and value, or nothing.
struct Row {
    command: &'static str,
    answer: &'static str,
    leaves: Option<(u32, &'static str)>,
}

const fn row(command: &'static str, answer: &'static str, leaves: Option<(u32, &'static str)>) -> Row {
    Row { command, answer, leaves }
}

const ROWS: &[Row] = &[
    row("set K 7 0 3\r\nnew", "STORED", Some((7, "new"))),
    row("set K 4294967295 0 0\r\n", "STORED", Some((4_294_967_295, ""))),
    row("add K 7 0 3\r\nnew", "NOT_STORED", Some((5, "10"))),
    row("replace K 7 0 3\r\nnew", "STORED", Some((7, "new"))),
    row("append K 7 0 3\r\nnew", "STORED", Some((5, "10new"))),
    row("prepend K 7 0 3\r\nnew", "STORED", Some((5, "new10"))),
    row("cas K 7 0 3 TOKEN\r\nnew", "STORED", Some((7, "new"))),
    row("cas K 7 0 3 1\r\nnew", "EXISTS", Some((5, "10"))),
    row("incr K 7", "17", Some((5, "17"))),
    row("incr K 90", "100", Some((5, "100"))),
    row("decr K 1", "9", Some((5, "9 "))),
    row("decr K 100", "0", Some((5, "0 "))),
    row("incr K x", "CLIENT_ERROR invalid numeric delta argument", Some((5, "10"))),
    row("touch K 100", "TOUCHED", Some((5, "10"))),
    row("delete K", "DELETED", None),
    row("delete K 0", "DELETED", None),
    row("set K 7 -1 3\r\nnew", "STORED", None),
    row("touch K -1", "TOUCHED", None),
    row("append K 7 0 1048576\r\nLARGE", "SERVER_ERROR object too large for cache", Some((5, "10"))),
    row("set K 7 0 1048576\r\nLARGE", "SERVER_ERROR object too large for cache", None),
];

fn fill_in(row: &Row, key: &str, token: u64) -> String {
    let command = row.command.replace("LARGE", &"x".repeat(1_048_576)).replace("TOKEN", &token.to_string());
    command.replacen('K', key, 1)
}

/// Puts the key on both sides and returns its cas number.
fn prepare(from: &Replica, to: &Replica, client: &mut Client, key: &str) -> Result<u64> {
    let answer = client.store("set", key, 5, 0, b"10")?;
    ensure!(answer == "STORED", "{answer}");
    to.wait_value(key, Some("10"))?;
    Ok(from.client()?.gets(key)?.map(|value| value.cas).unwrap_or_default())
}

fn leaves(replica: &Replica, key: &str, expected: Option<(u32, &str)>) -> Result<()> {
    replica.wait_value(key, expected.map(|(_, value)| value))?;
    let seen = replica.client()?.gets(key)?;
    let flags = seen.map(|value| value.flags);
    ensure!(flags == expected.map(|(flags, _)| flags), "flags {flags:?}");
    Ok(())
}

fn each_row(from: &Replica, to: &Replica, direction: &str) -> Result<()> {
    let mut client = from.client()?;
    for (number, row) in ROWS.iter().enumerate() {
        let about = |error: anyhow::Error| error.context(format!("{direction}: {}", row.command));
        let key = format!("{direction}:{number}");
        let token = prepare(from, to, &mut client, &key).map_err(about)?;
        let answer = client.exchange(&fill_in(row, &key, token)).map_err(about)?;
        ensure!(answer == row.answer, "{direction}: {}: {answer}", row.command);
        leaves(from, &key, row.leaves).map_err(about)?;
        leaves(to, &key, row.leaves).map_err(about)?;

        // The same with noreply, where the line is one that noreply silences.
        let key = format!("{direction}:{number}:noreply");
        let token = prepare(from, to, &mut client, &key).map_err(about)?;
        let command = fill_in(row, &key, token);
        let (line, data) = command.split_once("\r\n").unwrap_or((&command, ""));
        let data = if command.contains("\r\n") { format!("{data}\r\n") } else { String::new() };
        client.send(format!("{line} noreply\r\n{data}version\r\n").as_bytes())?;
        let answer = client.line().map_err(about)?;
        ensure!(answer.starts_with("VERSION "), "{direction}: {} noreply: {answer}", row.command);
        leaves(from, &key, row.leaves).map_err(about)?;
        leaves(to, &key, row.leaves).map_err(about)?;
    }
    Ok(())
}

#[test]
fn each_command_in_both_directions() -> Result<()> {
    for suite in Suite::TESTED {
        let memcached = find(suite)?;
        let pair = Pair::start(&PairOptions::new(&format!("rows-{}", memcached.version), &memcached))?;
        crate::both_directions(&pair, each_row)?;
        pair.wait_equal()?;
    }
    Ok(())
}

#[test]
fn gat_replicates_as_a_touch() -> Result<()> {
    let pair = crate::pair("gat")?;
    crate::both_directions(&pair, |from, to, key| {
        let mut client = from.client()?;
        prepare(from, to, &mut client, key)?;
        ensure!(client.exchange(&format!("gat 500 {key}"))?.starts_with("VALUE"));
        wait_ttl(to, key, 500)?;
        client.read_until(|input| input.ends_with(b"END\r\n").then_some(input.len()))?;
        ensure!(client.exchange(&format!("gats 0 {key}"))?.starts_with("VALUE"));
        wait_ttl(to, key, -1)?;
        client.read_until(|input| input.ends_with(b"END\r\n").then_some(input.len()))?;
        ensure!(client.exchange(&format!("gat -1 {key}"))?.starts_with("VALUE"));
        to.wait_value(key, None)
    })?;
    pair.wait_equal()
}

/// Waits until an item has this life left, give or take a second; -1: for ever.
pub(crate) fn wait_ttl(replica: &Replica, key: &str, wanted: i64) -> Result<()> {
    e2e::wait::wait_until(&format!("{key} to have a TTL of {wanted}"), std::time::Duration::from_secs(10), || {
        let seen = replica.ttl(key).map_err(|error| format!("{error:#}"))?;
        let fits = match seen {
            Some(seen) if wanted < 0 || seen < 0 => seen == wanted,
            Some(seen) => seen.abs_diff(wanted) <= 1,
            None => false,
        };
        if fits { Ok(()) } else { Err(format!("{seen:?}")) }
    })
}

/// The other side may hold what was evicted here.
#[test]
fn a_delete_of_what_is_missing_here_replicates() -> Result<()> {
    let pair = crate::pair("delete-missing")?;
    crate::both_directions(&pair, |from, to, key| {
        let mut client = from.client()?;
        prepare(from, to, &mut client, key)?;
        ensure!(from.private()?.exchange(&format!("delete {key}"))? == "DELETED");
        ensure!(client.exchange(&format!("delete {key}"))? == "NOT_FOUND");
        to.wait_value(key, None)
    })?;
    pair.wait_equal()
}

/// A set that fails for want of memory has dropped the old value, here and there.
#[test]
fn a_set_without_memory_replicates_as_a_delete() -> Result<()> {
    let options = crate::options("no-memory")?.memcached([&["-M", "-m", "8"], &["-M", "-m", "64"]]);
    let pair = Pair::start(&options)?;
    let mut client = pair.a.client()?;
    let value = "x".repeat(10_000);
    let full =
        (0..2000).find_map(|number| match client.store("set", &format!("key:{number}"), 0, 0, value.as_bytes()) {
            Ok(answer) if answer == "STORED" => None,
            other => Some(other),
        });
    let answer = full.unwrap_or_else(|| Ok("never full".to_owned()))?;
    ensure!(answer == "SERVER_ERROR out of memory storing object", "{answer}");
    pair.b.wait_value("key:1", Some(&value))?;
    let answer = client.store("set", "key:1", 0, 0, value.as_bytes())?;
    ensure!(answer == "SERVER_ERROR out of memory storing object", "{answer}");
    pair.a.wait_value("key:1", None)?;
    pair.b.wait_value("key:1", None)?;
    pair.wait_equal()
}

#[test]
fn flush_all_replicates() -> Result<()> {
    let pair = crate::pair("flush")?;
    crate::both_directions(&pair, |from, to, key| {
        let mut client = from.client()?;
        for number in 0..2000 {
            client.set(&format!("{key}:{number}"), "old")?;
        }
        pair.wait_equal()?;
        ensure!(client.exchange("flush_all")? == "OK");
        client.set(&format!("{key}:7"), "new")?;
        ensure!(client.get(&format!("{key}:8"))?.is_none(), "a flushed item was read right after the flush");
        to.wait_value(&format!("{key}:7"), Some("new"))?;
        to.wait_value(&format!("{key}:8"), None)?;
        pair.wait_equal()?;
        let left = e2e::contents::read(&mut to.private()?)?.len();
        ensure!(left == 1, "{left} items left");
        client.exchange(&format!("delete {key}:7")).map(drop)
    })
}

#[test]
fn a_delayed_flush_replicates() -> Result<()> {
    let pair = crate::pair("flush-delayed")?;
    crate::both_directions(&pair, |from, to, key| {
        let mut client = from.client()?;
        client.set(key, "before")?;
        ensure!(client.exchange("flush_all 2")? == "OK");
        client.set(&format!("{key}:between"), "too")?;
        to.wait_value(&format!("{key}:between"), Some("too"))?;
        to.wait_value(key, None)?;
        to.wait_value(&format!("{key}:between"), None)?;
        // Each side has the deadline by itself, and either may be the first.
        from.wait_value(key, None)?;
        client.set(key, "after")?;
        to.wait_value(key, Some("after"))
    })?;
    pair.wait_equal()
}

/// Keys and values of any bytes arrive as they were.
#[test]
fn odd_keys_and_values_arrive() -> Result<()> {
    let pair = crate::pair("odd-bytes")?;
    crate::both_directions(&pair, |from, to, key| {
        let mut client = from.client()?;
        let mut keys = Vec::new();
        for byte in 1..=255_u8 {
            if matches!(byte, b' ' | b'\r' | b'\n') {
                continue;
            }
            let odd = [key.as_bytes(), &[byte], b"x"].concat();
            let data: Vec<u8> = (0..=255).cycle().take(300).collect();
            let line = [b"set ", odd.as_slice(), b" 1 0 300\r\n", &data, b"\r\n"].concat();
            client.send(&line)?;
            ensure!(client.line()? == "STORED", "key byte {byte}");
            keys.push(odd);
        }
        let long = format!("{key}{}", "k".repeat(250 - key.len()));
        client.set(&long, "long")?;
        to.wait_value(&long, Some("long"))
    })?;
    pair.wait_equal()
}
