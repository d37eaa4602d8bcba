//! How long a replica takes to become ready again, against the least that it must do.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use super::Plan;
use super::picture::{Chart, draw};
use super::report::{Line, Report, Target, median, short};
use super::servers::{Servers, tcp};
use crate::client::Client;
use crate::load::{Workload, closed, open};
use crate::process::{Memcached, Pair, Replica};
use crate::wait::wait_for;

/// Items changed before an incremental resync.
const CHANGED: u32 = 1000;
const PATIENCE: Duration = Duration::from_secs(120);
/// So long the latency of clients is measured at once: one point of the picture. What is compared is the median of many, so
/// that a moment in which the machine stood still does not count.
const WINDOW: Duration = Duration::from_millis(200);

/// Full and incremental resync of a pair of its own.
pub(super) fn all(plan: &Plan, servers: &Servers, report: &mut Report, highest: f64) -> Result<()> {
    if !plan.wants("resync") {
        return Ok(());
    }
    report.heading(&format!("resync of {} items of 100 bytes", plan.resync_items));
    let items = Workload { prefix: "sync", keys: plan.resync_items, ..Workload::usual(50, 1) };
    let arguments: Vec<&str> = servers.arguments.iter().map(String::as_str).collect();
    let mut pair = servers.another_pair("bench-resync", &["--backlog", "512m"])?;
    let address = tcp(&pair.b.sidecar.address())?;
    closed::fill(address, &items)?;
    wait_items(&pair, plan.resync_items)?;

    let dump = dump_time(&pair)?;
    let fill = fill_time(&servers.executable, &arguments, &items, &pair)?;
    let least = dump + fill;
    let quiet = full(&mut pair.a, plan.resync_items)?;
    row(report, "full, to ready", least, quiet, Target::AtMost(1.5));
    report.line(&format!("  (least: metadump {} s + load {} s)", short(dump.as_secs_f64()), short(fill.as_secs_f64())));

    // The same while the surviving side serves half of its highest load.
    let rate = highest / 2.0;
    let p99 = || Ok::<_, anyhow::Error>(open::run(address, &items, rate, WINDOW)?.percentile(99.0));
    let windows = (plan.long / 2).as_millis() / WINDOW.as_millis();
    let calm = median(&(0..windows).map(|_| p99()).collect::<Result<Vec<_>>>()?);
    let over = AtomicBool::new(false);
    let begun = Instant::now();
    let (busy, during) = std::thread::scope(|scope| {
        let client = scope.spawn(|| {
            let mut during = During::default();
            while !over.load(Ordering::Relaxed) {
                let p99 = p99()?;
                let at = begun.elapsed().as_secs_f64();
                during.p99.push((at, p99));
                let sent = pair.b.replication_stat("resync_items_done")?;
                during.items.push((at, sent as f64 / 1000.0));
            }
            Ok::<_, anyhow::Error>(during)
        });
        let busy = full(&mut pair.a, plan.resync_items);
        over.store(true, Ordering::Relaxed);
        let during = client.join().unwrap_or_else(|_| bail!("the load panicked"))?;
        Ok::<_, anyhow::Error>((busy?, during))
    })?;
    let p99_during = median(&during.p99.iter().map(|(_, p99)| *p99).collect::<Vec<_>>());
    row(report, "full, the other side serving half its load", least, busy, Target::AtMost(3.0));
    report.row(&Line {
        what: "  p99 of its clients meanwhile",
        direct: format!("{} us", short(calm)),
        ours: format!("{} us", short(p99_during)),
        values: &[p99_during / calm],
        unit: "",
        target: Target::AtMost(2.0),
        twemproxy: None,
    });

    let file = report.beside("resync.png");
    during.draw(&file)?;
    report.line(&format!("  (the same in time: {})", file.display()));

    let again = dump_time(&pair)?;
    let time = incremental(&mut pair)?;
    row(report, &format!("incremental, {CHANGED} changed, to ready"), again, time, Target::AtMost(1.5));
    Ok(())
}

/// What was seen while one side was filled again under load, by seconds since the beginning.
#[derive(Default)]
struct During {
    /// of the clients of the other side, microseconds
    p99: Vec<(f64, f64)>,
    /// that side has sent, thousands
    items: Vec<(f64, f64)>,
}

impl During {
    fn draw(self, file: &Path) -> Result<()> {
        let (x, of) = ("seconds", "the side that serves");
        let p99 = vec![("99th percentile".to_owned(), self.p99)];
        let items = vec![("items sent".to_owned(), self.items)];
        draw(
            file,
            &[
                Chart { title: &format!("latency of clients of {of}"), x, y: "microseconds", curves: p99 },
                Chart { title: &format!("resync by {of}"), x, y: "thousands of items", curves: items },
            ],
        )
    }
}

fn row(report: &mut Report, what: &str, least: Duration, took: Duration, target: Target) {
    report.row(&Line {
        what,
        direct: format!("{} s", short(least.as_secs_f64())),
        ours: format!("{} s", short(took.as_secs_f64())),
        values: &[took.as_secs_f64() / least.as_secs_f64()],
        unit: "",
        target,
        twemproxy: None,
    });
}

/// Items in a memcached, asked past the sidecar.
fn items(memcached: &Memcached) -> Option<u64> {
    let lines = memcached.client().ok()?.lines_until("stats", "END").ok()?;
    lines.iter().find_map(|line| line.strip_prefix("STAT curr_items ")?.parse().ok())
}

fn wait_items(pair: &Pair, count: u32) -> Result<()> {
    wait_for("all items on both sides", PATIENCE, || {
        let both = [&pair.a.memcached, &pair.b.memcached];
        both.iter().all(|memcached| items(memcached).is_some_and(|found| found >= u64::from(count))).then_some(())
    })
}

/// One `metadump hash` of the full side.
fn dump_time(pair: &Pair) -> Result<Duration> {
    let mut client: Client = pair.b.private()?.patience(PATIENCE);
    let begun = Instant::now();
    loop {
        let started = Instant::now();
        client.send(b"lru_crawler metadump hash\r\n")?;
        // while its hash table grows, or another dump runs, memcached refuses
        let refused =
            |input: &[u8]| (input.starts_with(b"ERROR") || input.starts_with(b"BUSY")) && input.ends_with(b"\n");
        let mut again = false;
        client.read_until(|input| {
            again = refused(input);
            (again || input.ends_with(b"END\r\n")).then_some(input.len())
        })?;
        if !again {
            return Ok(started.elapsed());
        }
        ensure!(begun.elapsed() < PATIENCE, "memcached does not dump");
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// The same items, loaded into an empty memcached by pipelined sets.
fn fill_time(
    executable: &crate::memcached::Executable,
    arguments: &[&str],
    items: &Workload,
    pair: &Pair,
) -> Result<Duration> {
    let empty = Memcached::on_tcp(executable, arguments, &pair.logs().join("empty.log"))?;
    Ok(closed::fill(tcp(empty.address())?, items)?.elapsed)
}

/// The first replica loses everything; from the start of its sidecar until it is ready.
fn full(replica: &mut Replica, count: u32) -> Result<Duration> {
    replica.kill();
    replica.memcached.start()?;
    let started = Instant::now();
    replica.sidecar.start()?;
    replica.sidecar.wait_ready(PATIENCE)?;
    let took = started.elapsed();
    let found = items(&replica.memcached).context("memcached does not answer")?;
    ensure!(found >= u64::from(count), "{found} of {count} items when ready");
    Ok(took)
}

/// The link is cut, a few items change, and the sidecar that knows of them is restarted, so that its backlog is gone;
/// until it is ready and the other side has all changes.
fn incremental(pair: &mut Pair) -> Result<Duration> {
    pair.wait_up()?;
    pair.link.cut();
    let mut client = pair.b.client()?;
    for number in 0..CHANGED {
        client.set(&format!("sync{number:08}"), "changed")?;
    }
    pair.b.sidecar.kill();
    pair.link.heal();
    let started = Instant::now();
    pair.b.sidecar.start()?;
    pair.b.sidecar.wait_ready(PATIENCE)?;
    let mut reader = pair.a.private()?;
    for number in 0..CHANGED {
        let key = format!("sync{number:08}");
        while reader.get(&key)?.as_deref() != Some("changed") {
            ensure!(started.elapsed() < PATIENCE, "{key} did not arrive");
        }
    }
    Ok(started.elapsed())
}
