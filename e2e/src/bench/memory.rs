//! Memory of idle connections, and the time from start to serving.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::Plan;
use super::report::{Line, Report, Target, median, per_second};
use super::servers::{Kind, Servers};
use crate::client::Client;
use crate::load::Workload;
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
    let sidecar = || servers.pair.a.sidecar.process().context("the sidecar is gone");
    let usual = Workload::usual(50, 1);
    let load = || Ok::<_, anyhow::Error>(servers.closed(Kind::Ours, &usual, plan.run)?.outcome.rate());
    load()?;

    let before = sidecar()?.resident()?;
    let mut clients: Vec<Client> =
        (0..plan.idle_connections).map(|_| servers.pair.a.client()).collect::<Result<_>>()?;
    for client in &mut clients {
        // Each has been used once: only then does it have what a connection has.
        client.exchange("get nothing")?;
    }
    let each = sidecar()?.resident()?.saturating_sub(before) as f64 / plan.idle_connections as f64;
    let (mut with, mut without) = (Vec::new(), Vec::new());
    for _ in 0..plan.rounds {
        with.push(load()?);
    }
    drop(clients);
    for _ in 0..plan.rounds {
        without.push(load()?);
    }
    let what = format!("each of {} idle connections", plan.idle_connections);
    number(report, &what, each / 1024.0, " KiB", Target::AtMost(4.0));
    let (with, without) = (median(&with), median(&without));
    report.row(&Line {
        what: "  load beside them, to load without them",
        direct: per_second(without),
        ours: per_second(with),
        values: &[with / without],
        unit: "",
        target: Target::AtLeast(0.95),
        twemproxy: None,
    });
    let resident = sidecar().and_then(Process::resident)? as f64 / f64::from(1 << 20);
    number(report, "  resident memory of the sidecar", resident, " MiB", Target::None);
    Ok(())
}

/// From the start of a sidecar to /readyz, alone, with an empty memcached that answers already.
pub(super) fn start(plan: &Plan, servers: &Servers, report: &mut Report) -> Result<()> {
    if !plan.wants("start to serving") {
        return Ok(());
    }
    let options = PairOptions::new("bench-start", &servers.executable).sidecar(&["--warmup-deadline", "0"]);
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
