//! How long a write on one replica takes until it is read on the other one, all the time: what a link that is lost costs.

use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};

use super::{address, told_to_stop};
use crate::client::Client;

/// Between two looks at the other replica, and between two writes.
const PAUSE: Duration = Duration::from_millis(5);
/// A write that takes longer ends the measurement: the link does not come back.
const PATIENCE: Duration = Duration::from_secs(60);

/// Where it is written and where it is read.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// Where it is written: HOST:PORT
    pub from: String,
    /// Where it is read: HOST:PORT
    pub to: String,
    /// The key
    #[arg(long, default_value = "lag")]
    pub key: String,
}

/// What was measured.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Report {
    /// values that were written to one and read from the other
    pub writes: u64,
    /// the longest time from the answer to the write until it was read, milliseconds
    pub longest_ms: u64,
    /// the median of that time, microseconds
    pub median_us: u64,
}

/// Runs until stdin has a line or ends; prints `started` after the first round.
pub fn run(options: &Options) -> Result<Report> {
    let stop = told_to_stop();
    let mut from = Client::connect(&address(&options.from)?)?;
    let mut to = Client::connect(&address(&options.to)?)?;
    let mut times = Vec::new();
    let mut number = 0_u64;
    while !stop.load(Ordering::Relaxed) {
        number += 1;
        let value = number.to_string();
        let answer = from.store("set", &options.key, 0, 0, value.as_bytes())?;
        ensure!(answer == "STORED", "set: {answer}");
        let start = Instant::now();
        while to.gets(&options.key)?.is_none_or(|found| found.data != value.as_bytes()) {
            ensure!(start.elapsed() < PATIENCE, "{value} has not arrived after {PATIENCE:?}");
            thread::sleep(PAUSE);
        }
        times.push(start.elapsed());
        if number == 1 {
            println!("started");
        }
        thread::sleep(PAUSE);
    }
    times.sort_unstable();
    let (longest, median) = times.last().zip(times.get(times.len() / 2)).context("nothing was measured")?;
    Ok(Report {
        writes: number,
        longest_ms: u64::try_from(longest.as_millis())?,
        median_us: u64::try_from(median.as_micros())?,
    })
}
