//! Memory of idle connections, and the time from start to serving.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::Plan;
use super::report::{Line, Report, Target, median, per_second};
use super::servers::{self, Servers};
use crate::client::Client;
use crate::load::{Workload, closed};
use crate::process::{Memcached, Pair, PairOptions, Process};

/// Connections that do nothing: what each costs, and what they cost the others.
pub(super) fn idle(plan: &Plan, servers: &Servers, report: &mut Report) -> Result<()> {
    if !plan.wants("idle") {
        return Ok(());
    }
    report.heading("memory and start");
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum })?;
    let wanted = plan.idle_connections as u64 + 200;
    ensure!(limit.maximum.is_none_or(|most| most >= wanted), "{wanted} open files are needed: raise ulimit -n");
    // A sidecar of its own: one that has been under load has memory left over, which would hide what is measured.
    let options = PairOptions::new("bench-idle", &servers.executable).quiet();
    let mut pair = Pair::start(&options)?;
    let before = resident(&pair)?;
    let mut clients: Vec<Client> = (0..plan.idle_connections).map(|_| pair.a.client()).collect::<Result<_>>()?;
    for client in &mut clients {
        // Each has been used once: only then does it have what a connection has.
        client.exchange("get nothing")?;
    }
    let each = resident(&pair)?.saturating_sub(before) as f64 / plan.idle_connections as f64;

    let usual = Workload::usual(50, 1);
    let address = servers::tcp(&pair.a.sidecar.address())?;
    closed::fill(address, &usual)?;
    let load = |clients: Vec<Client>| {
        let outcome = closed::run(address, &usual, closed::Until::Elapsed(plan.run))?;
        drop(clients);
        Ok::<_, anyhow::Error>(outcome.rate())
    };
    let (mut with, mut without) = (Vec::new(), Vec::new());
    for _ in 0..plan.rounds {
        with.push(load(clients)?);
        without.push(load(Vec::new())?);
        clients = (0..plan.idle_connections).map(|_| pair.a.client()).collect::<Result<_>>()?;
    }
    drop(clients);
    let loaded = resident(&pair)? as f64 / f64::from(1 << 20);
    pair.a.kill();
    let what = format!("each of {} idle connections", plan.idle_connections);
    number(report, &what, each / 1024.0, " KiB", Target::AtMost(4.0));
    let ratios: Vec<f64> = with.iter().zip(&without).map(|(with, without)| with / without).collect();
    report.row(&Line {
        what: "  load beside them, to load without them",
        direct: per_second(median(&without)),
        ours: per_second(median(&with)),
        values: &ratios,
        unit: "",
        target: Target::AtLeast(0.95),
        twemproxy: None,
    });
    number(report, "  resident memory of the sidecar after it", loaded, " MiB", Target::None);
    Ok(())
}

fn resident(pair: &Pair) -> Result<u64> {
    pair.a.sidecar.process().map(Process::resident).context("the sidecar is gone")?
}

/// From the start of a sidecar to /readyz, alone, with an empty memcached that answers already.
pub(super) fn start(plan: &Plan, servers: &Servers, report: &mut Report) -> Result<()> {
    if !plan.wants("start to serving") {
        return Ok(());
    }
    let options = PairOptions::new("bench-start", &servers.executable).quiet().sidecar(&["--warmup-deadline", "0"]);
    let mut pair = Pair::start_caches(&options)?;
    let mut times = Vec::new();
    for _ in 0..plan.rounds {
        let started = Instant::now();
        pair.a.sidecar.start()?;
        while !serves(&pair) {
            ensure!(started.elapsed() < Duration::from_secs(20), "it does not serve");
        }
        times.push(started.elapsed().as_secs_f64() * 1000.0);
        pair.a.sidecar.kill();
        Memcached::start(&mut pair.a.memcached)?;
        pair.a.forget_state()?;
    }
    report.row(&Line {
        what: "start to serving, empty, no peer",
        direct: String::new(),
        ours: String::new(),
        values: &times,
        unit: " ms",
        target: Target::AtMost(100.0),
        twemproxy: None,
    });
    Ok(())
}

fn serves(pair: &Pair) -> bool {
    pair.a.client().and_then(|mut client| client.exchange("get nothing")).is_ok_and(|answer| answer == "END")
}

fn number(report: &mut Report, what: &str, value: f64, unit: &'static str, target: Target) {
    let line =
        Line { what, direct: String::new(), ours: String::new(), values: &[value], unit, target, twemproxy: None };
    report.row(&line);
}
