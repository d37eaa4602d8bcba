//! Clients that behave badly, and very many of them.

use std::io::Write;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use e2e::client::{Address, Client};
use e2e::process::{Pair, Process, Replica};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::{both_directions, options, pair};

/// A connection without a client around it.
pub(crate) fn tcp(replica: &Replica) -> Result<TcpStream> {
    match replica.sidecar.address() {
        Address::Tcp(address) => Ok(TcpStream::connect(address)?),
        Address::Unix(path) => bail!("a unix socket: {}", path.display()),
    }
}

fn resident(replica: &Replica) -> Result<u64> {
    replica.sidecar.process().map(Process::resident).context("the sidecar does not run")?
}

/// A client stops in the middle of a value: others are served as ever, and when it dies nothing was stored.
#[test]
fn a_client_that_stops_in_the_middle_of_a_value() -> Result<()> {
    let pair = pair("half-value")?;
    both_directions(&pair, |from, to, key| {
        let mut other = from.client()?;
        other.set(key, "old")?;
        let mut slow = tcp(from)?;
        slow.write_all(format!("set {key} 0 0 100000\r\nhalf").as_bytes())?;
        let mut slowest = Duration::ZERO;
        for _ in 0..2000 {
            let start = Instant::now();
            other.set("other", "value")?;
            ensure!(other.get(key)?.as_deref() == Some("old"), "half a value was stored");
            slowest = slowest.max(start.elapsed());
        }
        ensure!(slowest < Duration::from_millis(500), "another client waited {slowest:?}");
        drop(slow);
        other.set(&format!("{key}:after"), "1")?;
        to.wait_value(&format!("{key}:after"), Some("1"))?;
        to.wait_value(key, Some("old"))
    })?;
    pair.wait_equal()
}

/// A client asks for more and more without reading an answer: it is cut, and its answers do not pile up in memory.
#[test]
fn a_client_that_never_reads_is_cut() -> Result<()> {
    let pair = pair("never-reads")?;
    let mut other = pair.a.client()?;
    other.set("large", &"x".repeat(500_000))?;
    let mut greedy = tcp(&pair.a)?;
    greedy.set_write_timeout(Some(Duration::from_secs(60)))?;
    let requests = "get large\r\n".repeat(100);
    let mut sent = 0_u64;
    let error = loop {
        match greedy.write_all(requests.as_bytes()) {
            Ok(()) => sent += 100,
            Err(error) => break error,
        }
        ensure!(sent < 10_000_000, "{sent} requests taken without one answer read");
    };
    use std::io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset};
    ensure!(
        matches!(error.kind(), BrokenPipe | ConnectionReset | ConnectionAborted),
        "not cut but {error} after {sent} requests"
    );
    let resident = resident(&pair.a)?;
    ensure!(resident < 300 << 20, "{} MiB resident", resident >> 20);
    ensure!(other.get("large")?.map(|value| value.len()) == Some(500_000), "another client suffers");
    Ok(())
}

/// Our own limit of open files, as high as it goes.
fn raise_open_files() -> Result<u64> {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum })?;
    Ok(getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX))
}

#[test]
fn ten_thousand_idle_connections() -> Result<()> {
    const CONNECTIONS: usize = 10_000;
    let files = raise_open_files()?;
    ensure!(files > 10_500, "{files} open files allowed: raise the limit (ulimit -n)");
    let pair = pair("idle")?;
    let before = resident(&pair.a)?;
    let mut idle: Vec<Client> = (0..CONNECTIONS).map(|_| pair.a.client()).collect::<Result<_>>()?;
    for (number, client) in idle.iter_mut().enumerate() {
        client.set(&format!("key:{number}"), "value").with_context(|| format!("connection {number}"))?;
    }
    let each = resident(&pair.a)?.saturating_sub(before) / CONNECTIONS as u64;
    ensure!(each <= 8192, "{each} bytes for each connection");
    // They still work, and so does a new one.
    for (number, client) in idle.iter_mut().enumerate().step_by(100) {
        ensure!(client.get(&format!("key:{number}"))?.is_some(), "connection {number}");
    }
    pair.a.client()?.set("one", "more")?;
    drop(idle);
    pair.wait_equal()
}

/// At the bound a client gets memcached's own answer.
#[test]
fn too_many_connections() -> Result<()> {
    let pair = Pair::start(&options("too-many")?.sidecar(&["--max-connections", "20"]))?;
    let mut open: Vec<Client> = (0..20).map(|_| pair.a.client()).collect::<Result<_>>()?;
    for client in &mut open {
        ensure!(client.exchange("get nothing")? == "END");
    }
    let mut refused = pair.a.client()?;
    let answer = String::from_utf8(refused.read_to_end()?)?;
    ensure!(answer == "ERROR Too many open connections\r\n", "{answer:?}");
    open.pop();
    e2e::wait::wait_for("a free place", Duration::from_secs(10), || {
        pair.a.client().ok()?.exchange("get nothing").ok().filter(|answer| answer == "END")
    })?;
    Ok(())
}
