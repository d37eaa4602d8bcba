//! Replication lag, measured end to end: from the answer on one side to the sight on the other.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use hdrhistogram::Histogram;

use super::Plan;
use super::report::{Line, Report, Target, short};
use super::servers::{Compared as _, Kind, Servers};
use crate::client::Client;
use crate::load::{Operation, Workload};
use crate::process::Replica;

/// Time between two probes.
const INTERVAL: Duration = Duration::from_millis(5);
/// A probe that takes longer is an error.
const LOST: Duration = Duration::from_secs(60);

/// Sets a key on one side, and looks at it on the other until it is there.
fn probe(here: &mut Client, there: &mut Client, number: u64) -> Result<Duration> {
    let value = number.to_string();
    here.set("lag:probe", &value)?;
    let answered = Instant::now();
    while there.get("lag:probe")?.as_deref() != Some(value.as_str()) {
        ensure!(answered.elapsed() < LOST, "a write was not seen on the other side within {LOST:?}");
    }
    Ok(answered.elapsed())
}

/// Probes until told to stop.
fn probes(here: &Replica, there: &Replica, stop: &AtomicBool) -> Result<Histogram<u64>> {
    let mut histogram = crate::load::histogram()?;
    let (mut here, mut there) = (here.client()?, there.client()?);
    let mut number = 0;
    while !stop.load(Ordering::Relaxed) {
        number += 1;
        let lag = probe(&mut here, &mut there, number)?;
        histogram.saturating_record(u64::try_from(lag.as_nanos())?);
        std::thread::sleep(INTERVAL);
    }
    Ok(histogram)
}

fn number(report: &mut Report, what: &str, value: f64, unit: &'static str, target: Target) {
    let line =
        Line { what, direct: String::new(), ours: String::new(), values: &[value], unit, target, twemproxy: None };
    report.row(&line);
}

/// Lag at half of the highest load, and after a load of sets that leaves the peer no time.
pub(super) fn lag(plan: &Plan, servers: &Servers, report: &mut Report, highest: f64) -> Result<()> {
    if !plan.wants("replication lag") {
        return Ok(());
    }
    report.heading("replication");
    let (here, there) = (&servers.pair.a, &servers.pair.b);
    let stop = AtomicBool::new(false);
    let histogram = std::thread::scope(|scope| {
        let prober = scope.spawn(|| probes(here, there, &stop));
        let sample = servers.open(Kind::Ours, &Workload::usual(50, 1), highest / 2.0, plan.long);
        stop.store(true, Ordering::Relaxed);
        let histogram = prober.join().unwrap_or_else(|_| Err(anyhow::anyhow!("the prober panicked")));
        sample.and(histogram)
    })?;
    let percentile = |percentile: f64| histogram.value_at_quantile(percentile / 100.0) as f64 / 1e6;
    let what = format!("replication lag at half load, p99 of {}", histogram.len());
    number(report, &what, percentile(99.0), " ms", Target::AtMost(5.0));
    number(report, "  p50", percentile(50.0), " ms", Target::None);

    let sets = Workload { mix: vec![Operation::Set], ..Workload::usual(50, 32) };
    let sample = servers.closed(Kind::Ours, &sets, plan.long)?;
    let ended = Instant::now();
    let (mut client, mut other) = (here.client()?, there.client()?);
    let behind = probe(&mut client, &mut other, u64::MAX)?;
    let what = format!("after {} sets: time to catch up", short(sample.outcome.operations as f64));
    number(report, &what, behind.as_secs_f64() * 1000.0, " ms", Target::None);
    // The lag counts from a second after the end of the load.
    std::thread::sleep(Duration::from_secs(1).saturating_sub(ended.elapsed()));
    let lag = probe(&mut client, &mut other, u64::MAX - 1)?;
    let late = ended.elapsed().saturating_sub(Duration::from_secs(1));
    number(report, "  lag a second after", lag.max(late).as_secs_f64() * 1000.0, " ms", Target::AtMost(100.0));
    Ok(())
}
