//! Throughput, CPU time and latency under load, side by side.

use anyhow::Result;

use super::Plan;
use super::report::{Line, Report, Target, median, per_second, short};
use super::servers::{Compared, Kind, Running, Sample, Servers, tcp};
use crate::load::{Operation, Workload};

/// Samples of all rounds, by server.
struct Rounds {
    direct: Vec<Sample>,
    ours: Vec<Sample>,
    twemproxy: Vec<Sample>,
}

impl Rounds {
    /// The ratio of ours to memcached in each round.
    fn ratios(&self, of: impl Fn(&Sample) -> f64) -> Vec<f64> {
        self.ours.iter().zip(&self.direct).map(|(ours, direct)| of(ours) / of(direct)).collect()
    }

    fn report(
        &self,
        report: &mut Report,
        what: &str,
        of: impl Fn(&Sample) -> f64,
        show: impl Fn(f64) -> String,
        target: Target,
    ) {
        let middle = |samples: &[Sample]| median(&samples.iter().map(&of).collect::<Vec<_>>());
        let direct = middle(&self.direct);
        report.row(&Line {
            what,
            direct: show(direct),
            ours: show(middle(&self.ours)),
            values: &self.ratios(&of),
            unit: "",
            target,
            twemproxy: (!self.twemproxy.is_empty()).then(|| middle(&self.twemproxy) / direct),
        });
    }

    /// Where it can be seen.
    fn report_cpu(&self, report: &mut Report) {
        if self.direct.iter().chain(&self.ours).all(|sample| sample.cpu.is_some()) {
            let cpu = |sample: &Sample| sample.cpu.unwrap_or(f64::NAN);
            self.report(report, "  CPU per operation", cpu, microseconds, Target::AtMost(1.2));
        }
    }
}

fn rate(sample: &Sample) -> f64 {
    sample.outcome.rate()
}

fn microseconds(value: f64) -> String {
    format!("{} us", short(value))
}

/// Runs `one` on each server in turn, another one first each round.
fn alternate(plan: &Plan, servers: &dyn Compared, one: impl Fn(Kind) -> Result<Sample>) -> Result<Rounds> {
    let mut rounds = Rounds { direct: Vec::new(), ours: Vec::new(), twemproxy: Vec::new() };
    let mut kinds = servers.kinds();
    for _ in 0..plan.rounds {
        for &kind in &kinds {
            let sample = one(kind)?;
            match kind {
                Kind::Direct => rounds.direct.push(sample),
                Kind::Ours => rounds.ours.push(sample),
                Kind::Twemproxy => rounds.twemproxy.push(sample),
            }
        }
        kinds.rotate_left(1);
    }
    Ok(rounds)
}

fn fill(servers: &dyn Compared, workload: &Workload) -> Result<()> {
    servers.kinds().into_iter().try_for_each(|kind| servers.fill(kind, workload).map(drop))
}

/// All comparisons; returns the highest rate of ours with 50 connections.
pub(super) fn all(plan: &Plan, servers: &dyn Compared, report: &mut Report) -> Result<f64> {
    report.heading("closed loop, 1 load thread");
    let usual = Workload::usual(50, 1);
    fill(servers, &usual)?;
    let closed = |workload: &Workload| alternate(plan, servers, |kind| servers.closed(kind, workload, plan.run));

    let mut highest = servers.closed(Kind::Ours, &usual, plan.run)?.outcome.rate();
    if plan.wants("50 connections, 1:10 set:get") {
        let rounds = closed(&usual)?;
        rounds.report(report, "50 connections, 1:10 set:get", rate, per_second, Target::AtLeast(0.95));
        rounds.report_cpu(report);
        highest = median(&rounds.ours.iter().map(rate).collect::<Vec<_>>());
    }
    if plan.wants("50 connections, pipelines of 32") {
        let rounds = closed(&Workload::usual(50, 32))?;
        rounds.report(report, "50 connections, pipelines of 32", rate, per_second, Target::AtLeast(1.0));
        rounds.report_cpu(report);
    }
    one_connection(plan, servers, report, "one connection")?;
    sizes(plan, servers, report)?;
    if plan.wants("half of the highest load") {
        let rate = highest / 2.0;
        let rounds = alternate(plan, servers, |kind| servers.open(kind, &usual, rate, plan.run))?;
        report.heading("open loop");
        let what = format!("half of the highest load ({}), p50", per_second(rate));
        let percentile = |percentile: f64| move |sample: &Sample| sample.outcome.percentile(percentile);
        rounds.report(report, &what, percentile(50.0), microseconds, Target::None);
        rounds.report(report, "  p99", percentile(99.0), microseconds, Target::None);
    }
    Ok(highest)
}

/// One request at a time: what counts is how long each takes.
pub(super) fn one_connection(plan: &Plan, servers: &dyn Compared, report: &mut Report, what: &str) -> Result<()> {
    if plan.wants(what) {
        let workload = Workload::usual(1, 1);
        let rounds = alternate(plan, servers, |kind| servers.closed(kind, &workload, plan.run))?;
        let percentile = |percentile: f64| move |sample: &Sample| sample.outcome.percentile(percentile);
        rounds.report(report, &format!("{what}, p50"), percentile(50.0), microseconds, Target::AtMost(1.2));
        rounds.report(report, "  p99", percentile(99.0), microseconds, Target::AtMost(1.2));
    }
    Ok(())
}

/// The same with a pair whose workers do not sleep at once.
pub(super) fn busy(plan: &Plan, servers: &Servers, report: &mut Report) -> Result<()> {
    let what = "one connection, --busy-poll 50";
    if !plan.wants(what) {
        return Ok(());
    }
    let pair = servers.another_pair("bench-busy", &["--busy-poll", "50"])?;
    let both = Running { direct: servers.address(Kind::Direct)?, ours: tcp(&pair.a.sidecar.address())? };
    fill(&both, &Workload::usual(50, 1))?;
    one_connection(plan, &both, report, what)
}

/// Other commands and other sizes.
fn sizes(plan: &Plan, servers: &dyn Compared, report: &mut Report) -> Result<()> {
    let only = |operation: Operation| Workload { mix: vec![operation], ..Workload::usual(50, 32) };
    let mixed = |prefix, keys, value| Workload { prefix, keys, value, ..Workload::usual(50, 1) };
    let lines = [
        ("multi-get of 100 keys", Workload { pipeline: 1, ..only(Operation::Get(100)) }, 0.9),
        ("values of 10 KiB", mixed("ten", 10_000, 10 << 10), 0.9),
        ("values of 900 KiB", mixed("big", 100, 900 << 10), 0.9),
        ("append only, pipelines of 32", Workload { prefix: "app", ..only(Operation::Append) }, 0.5),
        ("incr only, pipelines of 32", Workload { prefix: "incr", ..only(Operation::Incr) }, 0.5),
        ("incr of one key, pipelines of 32", Workload { prefix: "incr", keys: 1, ..only(Operation::Incr) }, 0.5),
        ("sets of one key, pipelines of 32", Workload { keys: 1, ..only(Operation::Set) }, 0.5),
        ("incr of one key", Workload { prefix: "incr", keys: 1, pipeline: 1, ..only(Operation::Incr) }, 0.5),
    ];
    for (what, workload, target) in lines.into_iter().filter(|(what, ..)| plan.wants(what)) {
        fill(servers, &workload)?;
        let rounds = alternate(plan, servers, |kind| servers.closed(kind, &workload, plan.run))?;
        rounds.report(report, what, rate, per_second, Target::AtLeast(target));
    }
    let what = "sets only, pipelines of 32";
    if plan.wants(what) {
        let rounds = alternate(plan, servers, |kind| servers.closed(kind, &only(Operation::Set), plan.run))?;
        rounds.report(report, what, rate, per_second, Target::AtLeast(0.5));
    }
    Ok(())
}
