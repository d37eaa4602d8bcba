//! `e2e fuzz`: random histories to memcached and to a memcached behind the sidecar until a difference is found.

mod doubt;
mod lane;
mod shrink;

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail, ensure};

use super::corpus::{self, Entry};
use super::generate::Protocol;
pub use lane::{Difference, Lane, Outcome};
pub use shrink::{Finding, history_of, smallest};

use crate::memcached::{Suite, find};
use crate::process::sidecar_executable;

/// Time between two lines of progress.
const PROGRESS: Duration = Duration::from_secs(5);

/// A release of memcached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Release {
    /// Debian trixie's
    #[value(name = "1.6.38")]
    V1_6_38,
    /// Debian forky's
    #[value(name = "1.6.45")]
    V1_6_45,
}

impl Release {
    fn suite(self) -> Suite {
        match self {
            Release::V1_6_38 => Suite::Trixie,
            Release::V1_6_45 => Suite::Forky,
        }
    }
}

/// What to run. The numbers in the output are seeds: `--seed N --cases 1` runs the case of one again.
#[derive(clap::Args, Clone, Debug)]
pub struct Options {
    /// How long, in seconds
    #[arg(long, default_value_t = 60)]
    pub seconds: u64,
    /// What is spoken
    #[arg(long, value_enum, default_value = "all")]
    pub protocol: Protocol,
    /// The seed of the first case, each further case has the next one [default: from the clock]
    #[arg(long)]
    pub seed: Option<u64>,
    /// Stop after so many cases
    #[arg(long)]
    pub cases: Option<u64>,
    /// The release of memcached on both sides [default: both releases, side by side]
    #[arg(long, value_enum)]
    pub memcached: Vec<Release>,
    /// Run the cases in this file instead (or - for the standard input), as they are printed
    #[arg(long, value_name = "FILE")]
    pub replay: Option<PathBuf>,
}

/// What all threads have done so far.
#[derive(Default)]
struct Totals {
    cases: AtomicU64,
    requests: AtomicU64,
    /// memcached itself waited for more, or closed late
    unanswered: AtomicU64,
    /// see [`Lane::repeated`]
    repeated: AtomicU64,
    stop: AtomicBool,
}

/// Runs; true: no difference. Processes and files are gone when it returns, or when this process ends by whatever signal.
pub fn run(options: &Options) -> Result<bool> {
    println!("sidecar {}", sidecar_executable()?.display());
    let releases =
        if options.memcached.is_empty() { vec![Release::V1_6_38, Release::V1_6_45] } else { options.memcached.clone() };
    let suites: Vec<Suite> = releases.into_iter().map(Release::suite).collect();
    for &suite in &suites {
        let found = find(suite)?;
        println!("memcached {} {}", found.version, found.path.display());
    }
    match &options.replay {
        Some(path) => replay(path, &suites),
        None => search(options, &suites),
    }
}

fn replay(path: &Path, suites: &[Suite]) -> Result<bool> {
    let mut text = String::new();
    if path == Path::new("-") {
        std::io::stdin().read_to_string(&mut text)?;
    } else {
        text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    }
    let entries = corpus::parse(&text)?;
    ensure!(!entries.is_empty(), "no cases in {}", path.display());
    for &suite in suites {
        let mut lane = Lane::new("replay", suite)?;
        for (number, entry) in entries.iter().enumerate() {
            if let Some(finding) = corpus::run(&mut lane, entry)? {
                println!("\ncase {}: {finding}", number + 1);
                return Ok(false);
            }
        }
        println!("memcached {}: {} lines, no difference", lane.version(), entries.len());
    }
    Ok(true)
}

fn search(options: &Options, suites: &[Suite]) -> Result<bool> {
    let clock = || SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |time| time.as_secs() % 1_000_000 * 1000);
    let first = options.seed.unwrap_or_else(clock);
    println!("{:?} protocol, seeds from {first}", options.protocol);
    let (start, totals) = (Instant::now(), Totals::default());
    let end = start + Duration::from_secs(options.seconds);
    let (sender, finished) = mpsc::channel();
    let mut findings = Vec::new();
    let mut failure = None;
    std::thread::scope(|scope| {
        for &suite in suites {
            let (sender, totals) = (sender.clone(), &totals);
            scope.spawn(move || {
                // Nobody listens any more only after a failure of this very program.
                let _ = sender.send(work(options, suite, first, end, totals));
            });
        }
        let mut running = suites.len();
        while running > 0 {
            match finished.recv_timeout(PROGRESS) {
                Ok(outcome) => {
                    running -= 1;
                    match outcome {
                        Ok(finding) => findings.extend(finding),
                        Err(error) => {
                            totals.stop.store(true, Ordering::Relaxed);
                            failure = Some(error);
                        }
                    }
                }
                Err(_) => println!("{}", progress(&totals, start, first, suites.len())),
            }
        }
    });
    println!("{}", progress(&totals, start, first, suites.len()));
    for finding in &findings {
        println!("\n{finding}");
    }
    match failure {
        Some(error) => Err(error),
        None => Ok(findings.is_empty()),
    }
}

fn progress(totals: &Totals, start: Instant, first: u64, lanes: usize) -> String {
    let (cases, seconds) = (totals.cases.load(Ordering::Relaxed), start.elapsed().as_secs_f64());
    format!(
        "{seconds:6.0} s {cases:8} pipelines ({:.0}/s) {:9} requests, seeds to about {}, {} that memcached did not end, {} repeated",
        cases as f64 / seconds.max(0.001),
        totals.requests.load(Ordering::Relaxed),
        first + cases / lanes as u64,
        totals.unanswered.load(Ordering::Relaxed),
        totals.repeated.load(Ordering::Relaxed),
    )
}

/// One release: all cases one after the other.
fn work(options: &Options, suite: Suite, first: u64, end: Instant, totals: &Totals) -> Result<Option<Finding>> {
    let mut lane = Lane::new("fuzz", suite)?;
    let cases = options.cases.unwrap_or(u64::MAX);
    let mut seed = first;
    while Instant::now() < end && seed - first < cases && !totals.stop.load(Ordering::Relaxed) {
        let history = history_of(options.protocol, seed)?;
        let before = lane.repeated();
        let outcome = lane.check(&history)?;
        totals.repeated.fetch_add(lane.repeated() - before, Ordering::Relaxed);
        match outcome {
            Outcome::Same => {}
            Outcome::Unanswered(_) => {
                totals.unanswered.fetch_add(1, Ordering::Relaxed);
            }
            Outcome::Differs(difference) => {
                totals.stop.store(true, Ordering::Relaxed);
                println!("memcached {}: seed {seed} differs, looking for the smallest such case", lane.version());
                return Ok(Some(smallest(&mut lane, options.protocol, seed, difference.reason)?));
            }
        }
        totals.cases.fetch_add(1, Ordering::Relaxed);
        totals.requests.fetch_add(history.requests() as u64, Ordering::Relaxed);
        seed += 1;
    }
    if seed == first && end <= Instant::now() {
        bail!("no time for one case");
    }
    Ok(None)
}

/// Runs the cases of an entry of the corpus; `None`: no difference.
pub(super) fn run_entry(lane: &mut Lane, entry: &Entry) -> Result<Option<Finding>> {
    match entry {
        Entry::Seeds { protocol, seed, cases } => {
            for seed in *seed..seed.saturating_add(*cases) {
                let history = history_of(*protocol, seed)?;
                if let Outcome::Differs(difference) = lane.check(&history)? {
                    return smallest(lane, *protocol, seed, difference.reason).map(Some);
                }
            }
            Ok(None)
        }
        Entry::Case(history) => match lane.check(history)? {
            Outcome::Same => Ok(None),
            Outcome::Unanswered(error) => Err(error.context(format!("memcached itself: {history}"))),
            Outcome::Differs(difference) => Ok(Some(Finding::new(lane, None, history.clone(), difference.reason))),
        },
    }
}
