//! `make demo-local`: a pair as processes on this machine, shown step by step.
//!
//! Ctrl-C ends it at any time: the guardian of [`crate::process`] then kills the processes and removes the files.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use indicatif::{HumanCount, HumanDuration, ProgressBar, ProgressStyle};

use crate::client::Client;
use crate::memcached::{Suite, find};
use crate::process::{Pair, PairOptions, Replica, sidecar_executable};

/// Keys loaded in the last part.
const KEYS: usize = 100_000;
/// Commands sent at once when loading and checking.
const BATCH: usize = 500;
/// Time for anything to happen that is waited for by looking.
const PATIENCE: Duration = Duration::from_secs(60);

/// Runs the demonstration; an error if anything is not as promised.
pub fn run() -> Result<()> {
    let memcached = find(Suite::Any)?;
    println!("memcached {} ({})", memcached.version, memcached.path.display());
    println!("sidecar   {}", sidecar_executable()?.display());
    let started = Instant::now();
    let mut pair = Pair::start(&PairOptions::new("demo-local", &memcached).quiet())?;
    println!("node A    {}", pair.a.sidecar.address());
    println!("node B    {}", pair.b.sidecar.address());
    println!("logs      {}", pair.logs().display());
    println!("both ready and linked after {:.1} s\n", started.elapsed().as_secs_f64());
    let shown = steps(&mut pair).with_context(|| format!("logs: {}", pair.logs().display()));
    drop(pair);
    shown?;
    println!("\nAll as promised in {:.0} s. Nothing is left running.", started.elapsed().as_secs_f64());
    Ok(())
}

fn steps(pair: &mut Pair) -> Result<()> {
    set_here_get_there(pair)?;
    cas_token(pair)?;
    delete(pair)?;
    concurrent_writes(pair)?;
    load(pair)?;
    crash_and_return(pair)
}

/// Prints a command and its answer as on a terminal.
fn typed(node: &str, command: &str, answer: &str) {
    println!("   {node}> {command:<34} {answer}");
}

/// Waits until a replica holds `value`, and tells how long that took.
fn seen(replica: &Replica, key: &str, value: Option<&str>) -> Result<Duration> {
    let start = Instant::now();
    let mut client = replica.client()?;
    while client.get(key)?.as_deref() != value {
        ensure!(start.elapsed() < PATIENCE, "{key} did not become {value:?} on the other node");
    }
    Ok(start.elapsed())
}

fn set_here_get_there(pair: &Pair) -> Result<()> {
    println!("1. Set on one node, get on the other");
    for (from, to, names, key) in [(&pair.a, &pair.b, ["A", "B"], "foo"), (&pair.b, &pair.a, ["B", "A"], "bar")] {
        from.client()?.set(key, "hello")?;
        typed(names[0], &format!("set {key} 0 0 5 hello"), "STORED");
        let delay = seen(to, key, Some("hello"))?;
        typed(names[1], &format!("get {key}"), &format!("hello   ({:.1} ms later)", delay.as_secs_f64() * 1000.0));
    }
    Ok(())
}

fn cas_token(pair: &Pair) -> Result<()> {
    println!("2. A cas token of one node is valid on the other, once");
    let token = pair.a.client()?.gets("foo")?.context("foo is gone")?.cas;
    typed("A", "gets foo", &format!("hello, cas {token}"));
    for expected in ["STORED", "EXISTS"] {
        let answer = pair.b.client()?.cas("foo", "again", token)?;
        typed("B", &format!("cas foo .. {token} again"), &answer);
        ensure!(answer == expected, "cas: {answer} instead of {expected}");
    }
    seen(&pair.a, "foo", Some("again"))?;
    typed("A", "get foo", "again");
    Ok(())
}

fn delete(pair: &Pair) -> Result<()> {
    println!("3. Delete");
    let answer = pair.b.client()?.exchange("delete foo")?;
    ensure!(answer == "DELETED", "delete: {answer}");
    typed("B", "delete foo", &answer);
    seen(&pair.a, "foo", None)?;
    typed("A", "get foo", "END");
    Ok(())
}

fn concurrent_writes(pair: &Pair) -> Result<()> {
    const TURNS: usize = 10_000;
    println!("4. Both nodes write the same 100 keys at once");
    std::thread::scope(|scope| {
        let writers: Vec<_> = [(&pair.a, "A"), (&pair.b, "B")]
            .into_iter()
            .map(|(replica, name)| {
                scope.spawn(move || -> Result<()> {
                    let mut client = replica.client()?;
                    (0..TURNS)
                        .try_for_each(|turn| client.set(&format!("both:{}", turn % 100), &format!("{name}{turn}")))
                })
            })
            .collect();
        writers.into_iter().try_for_each(|writer| writer.join().unwrap_or_else(|_| anyhow::bail!("a writer panicked")))
    })?;
    pair.wait_equal()?;
    let superseded: i64 =
        [&pair.a, &pair.b].iter().map(|replica| replica.replication_stat("superseded")).sum::<Result<_>>()?;
    println!(
        "   {} writes, {superseded} of them overtaken by newer ones; now both hold the same",
        HumanCount(2 * TURNS as u64)
    );
    Ok(())
}

fn value(number: usize) -> String {
    format!("value {number:094}")
}

fn bar(length: usize, what: &'static str) -> Result<ProgressBar> {
    let bar = ProgressBar::new(length as u64).with_message(what);
    bar.set_style(
        ProgressStyle::with_template("   {msg:<22} [{bar:30}] {human_pos}/{human_len} {per_sec}")?
            .progress_chars("=> "),
    );
    Ok(bar)
}

fn load(pair: &Pair) -> Result<()> {
    println!("5. {} keys on node A", HumanCount(KEYS as u64));
    let start = Instant::now();
    let progress = bar(KEYS, "set on A")?;
    let mut client = pair.a.client()?;
    for batch in (0..KEYS).step_by(BATCH) {
        let commands: String =
            (batch..batch + BATCH).map(|number| format!("set key:{number} 0 0 100\r\n{}\r\n", value(number))).collect();
        client.send(commands.as_bytes())?;
        for _ in 0..BATCH {
            let answer = client.line()?;
            ensure!(answer == "STORED", "set: {answer}");
        }
        progress.inc(BATCH as u64);
    }
    progress.finish_and_clear();
    println!("   set on A               {}", HumanDuration(start.elapsed()));
    let last = format!("key:{}", KEYS - 1);
    let delay = seen(&pair.b, &last, Some(&value(KEYS - 1)))?;
    println!("   the last one on B      {:.0} ms after the last answer", delay.as_secs_f64() * 1000.0);
    pair.wait_equal()
}

/// Items in a replica's memcached; 0 while it is down.
fn items(replica: &Replica) -> u64 {
    let count = || -> Result<u64> {
        let lines = replica.private()?.lines_until("stats", "END")?;
        let line = lines.iter().find_map(|line| line.strip_prefix("STAT curr_items "));
        Ok(line.context("no curr_items")?.parse()?)
    };
    count().unwrap_or(0)
}

fn crash_and_return(pair: &mut Pair) -> Result<()> {
    println!("6. Node A crashes: kill -9 of its memcached and its sidecar");
    pair.a.kill();
    let answer = pair.b.client()?.gets("key:1")?.context("node B lost a key")?;
    typed("B", "get key:1", &format!("{} bytes, still served", answer.data.len()));
    pair.b.client()?.set("meanwhile", "written while A was down")?;
    typed("B", "set meanwhile ..", "STORED");

    println!("   both are started again, empty");
    let start = Instant::now();
    pair.a.memcached.start()?;
    pair.a.sidecar.start()?;
    let progress = bar(KEYS, "resync from B to A")?;
    while !pair.a.sidecar.is_ready() {
        progress.set_position(items(&pair.a).min(KEYS as u64));
        ensure!(start.elapsed() < PATIENCE, "not ready in time");
        std::thread::sleep(Duration::from_millis(20));
    }
    let ready = start.elapsed();
    progress.finish_and_clear();
    let back = items(&pair.a);
    println!("   /readyz says 200       after {:.1} s, {} items are there", ready.as_secs_f64(), HumanCount(back));
    check_all(&mut pair.a.client()?)?;
    println!("   every key checked      {} values as they were", HumanCount(KEYS as u64));
    let written = pair.a.client()?.get("meanwhile")?;
    typed("A", "get meanwhile", written.as_deref().context("a write made while A was down is missing")?);
    Ok(())
}

fn check_all(client: &mut Client) -> Result<()> {
    let progress = bar(KEYS, "get on A")?;
    for batch in (0..KEYS).step_by(BATCH) {
        let keys: String = (batch..batch + BATCH).map(|number| format!(" key:{number}")).collect();
        let expected: String =
            (batch..batch + BATCH).map(|number| format!("VALUE key:{number} 0 100\r\n{}\r\n", value(number))).collect();
        client.send(format!("get{keys}\r\n").as_bytes())?;
        let got = client.read_until(|input| input.ends_with(b"END\r\n").then_some(input.len()))?;
        ensure!(got == (expected + "END\r\n").as_bytes(), "a key of {batch}.. is missing or differs");
        progress.inc(BATCH as u64);
    }
    progress.finish_and_clear();
    Ok(())
}
