//! Throughput and latency against the load offered, as a picture.

use anyhow::Result;

use super::Plan;
use super::picture::{Chart, Curve, draw};
use super::report::Report;
use super::servers::{Compared as _, Kind, Servers};
use crate::load::Workload;

/// What is offered, as shares of the highest load.
const SHARES: [f64; 7] = [0.1, 0.25, 0.4, 0.55, 0.7, 0.85, 1.0];

/// Offers more and more to each server in turn.
pub(super) fn all(plan: &Plan, servers: &Servers, report: &mut Report, highest: f64) -> Result<()> {
    if !plan.wants("load curve") {
        return Ok(());
    }
    let kinds = servers.kinds();
    let named = |what: &str| kinds.iter().map(|kind| (format!("{}{what}", kind.name()), Vec::new())).collect();
    let (mut throughput, mut middle, mut slow): (Vec<Curve>, Vec<Curve>, Vec<Curve>) =
        (named(""), named(", p50"), named(", p99"));
    for share in SHARES {
        for (number, kind) in kinds.iter().enumerate() {
            let offered = highest * share;
            let outcome = servers.open(*kind, &Workload::usual(50, 1), offered, plan.run)?.outcome;
            for (curves, y) in [
                (&mut throughput, outcome.rate() / 1000.0),
                (&mut middle, outcome.percentile(50.0) / 1000.0),
                (&mut slow, outcome.percentile(99.0) / 1000.0),
            ] {
                if let Some((_, points)) = curves.get_mut(number) {
                    points.push((offered / 1000.0, y));
                }
            }
        }
    }
    let x = "offered, thousands of requests per second";
    let charts = [
        Chart { title: "throughput, 50 connections, 1:10 set:get", x, y: "thousands per second", curves: throughput },
        Chart { title: "latency, median", x, y: "ms", curves: middle },
        Chart { title: "latency, 99th percentile", x, y: "ms", curves: slow },
    ];
    let file = report.beside("load.png");
    draw(&file, &charts)?;
    report.line(&format!("\nthroughput and latency against load: {}", file.display()));
    Ok(())
}

impl Kind {
    /// As the pictures and the table call it.
    fn name(self) -> &'static str {
        match self {
            Kind::Direct => "memcached",
            Kind::Ours => "ours",
            Kind::Twemproxy => "twemproxy",
        }
    }
}
