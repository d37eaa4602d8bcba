//! `make bench`: what the pair costs, as ratios to memcached itself in the same run.
//!
//! Every comparison alternates between the servers, several rounds, and the ratio is taken within each round: a machine
//! that gets slower or faster meanwhile does not change it.

mod compare;
mod curve;
mod memory;
mod picture;
mod replication;
mod report;
mod resync;
mod servers;

use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use report::Report;
use servers::{Running, Servers};

/// What to measure, and how long.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// Fewer and shorter rounds, fewer items: under two minutes, wider spread. Also by QUICK=1 in the environment
    #[arg(long)]
    pub quick: bool,
    /// Only the lines whose name contains this
    #[arg(long)]
    pub only: Option<String>,
    /// Alternating rounds of each comparison
    #[arg(long)]
    pub rounds: Option<usize>,
    /// Worker threads of each sidecar and of each memcached
    #[arg(long, default_value_t = 2)]
    pub threads: usize,
    /// A memcached that runs already, to be compared with --ours in place of servers of its own: HOST:PORT
    #[arg(long, value_name = "HOST:PORT", requires = "ours")]
    pub direct: Option<String>,
    /// A replica of a pair that runs already
    #[arg(long, value_name = "HOST:PORT", requires = "direct")]
    pub ours: Option<String>,
    /// End with exit code 1 if a target is missed
    #[arg(long)]
    pub strict: bool,
}

impl Options {
    fn quick(&self) -> bool {
        is_quick(self.quick)
    }
}

/// Whether to be quick: as the flag says, or QUICK in the environment.
#[must_use]
pub fn is_quick(flag: bool) -> bool {
    flag || std::env::var("QUICK").is_ok_and(|value| !value.is_empty() && value != "0")
}

/// The sizes that follow from the options.
#[derive(Clone, Debug)]
struct Plan {
    rounds: usize,
    /// of one run in a round
    run: Duration,
    /// of measurements that have only one run
    long: Duration,
    resync_items: u32,
    idle_connections: usize,
    only: Option<String>,
}

impl Plan {
    fn new(options: &Options) -> Self {
        let quick = options.quick();
        Plan {
            rounds: options.rounds.unwrap_or(if quick { 3 } else { 5 }).max(1),
            run: Duration::from_millis(if quick { 500 } else { 2000 }),
            long: Duration::from_secs(if quick { 3 } else { 10 }),
            resync_items: if quick { 300_000 } else { 1_000_000 },
            idle_connections: if quick { 2000 } else { 10_000 },
            only: options.only.clone(),
        }
    }

    fn wants(&self, line: &str) -> bool {
        self.only.as_deref().is_none_or(|only| line.contains(only))
    }
}

/// Runs all of it and prints the table; true if every target was met.
pub fn run(options: &Options) -> Result<bool> {
    let plan = Plan::new(options);
    let started = Instant::now();
    if let (Some(direct), Some(ours)) = (&options.direct, &options.ours) {
        let mut report = Report::printed(options);
        report.line(&format!("memcached at {direct}, a replica of a pair at {ours}"));
        compare::all(&plan, &Running::find(direct, ours)?, &mut report)?;
        return report.finish();
    }
    let mut report = Report::new(options)?;
    let mut servers = Servers::start(options.threads)?;
    report.line(&servers.describe());
    let measured = measure(&plan, &mut servers, &mut report);
    measured.with_context(|| format!("logs: {}", servers.pair.logs().display()))?;
    report.line(&format!("\ntook {:.0} s", started.elapsed().as_secs_f64()));
    report.finish()
}

fn measure(plan: &Plan, servers: &mut Servers, report: &mut Report) -> Result<()> {
    let highest = compare::all(plan, servers, report)?;
    compare::busy(plan, servers, report)?;
    curve::all(plan, servers, report, highest)?;
    replication::lag(plan, servers, report, highest)?;
    memory::idle(plan, servers, report)?;
    memory::start(plan, servers, report)?;
    resync::all(plan, servers, report, highest)
}
