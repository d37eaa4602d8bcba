//! The closed loop: as many requests as the server answers.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use super::connection::Connections;
use super::request::{Generator, Workload};
use super::scanner::Counts;
use super::{Outcome, histogram};

/// When a load ends.
#[derive(Clone, Copy, Debug)]
pub enum Until {
    /// so much time has passed
    Elapsed(Duration),
    /// so many requests have been answered
    Answered(u64),
}

/// No answer at all for so long is an error.
const STUCK: Duration = Duration::from_secs(20);

/// Runs the load. Latency is recorded if only one request at a time is under way.
pub fn run(address: SocketAddr, workload: &Workload, until: Until) -> Result<Outcome> {
    let mut connections = Connections::open(address, workload.connections)?;
    let mut generator = Generator::new(workload);
    let single = workload.connections == 1 && workload.pipeline == 1;
    let mut latency = histogram()?;
    let mut buffer = vec![0; 256 << 10];
    let mut ready = Vec::new();
    let mut counts = Counts::default();
    let limit = match until {
        Until::Elapsed(_) => u64::MAX,
        Until::Answered(count) => count,
    };
    let mut asked = 0;
    let start = Instant::now();
    let mut sent = start;
    for (number, _) in (0..workload.connections).enumerate() {
        if let Some(connection) = connections.all.get_mut(number) {
            for _ in 0..workload.pipeline {
                if asked < limit {
                    generator.request(&mut connection.out);
                    asked += 1;
                }
            }
        }
        connections.flush(number)?;
    }
    let mut last = start;
    loop {
        connections.wait(Duration::from_millis(100), &mut ready)?;
        let now = Instant::now();
        let before = counts.answers;
        for &number in &ready {
            let Some(connection) = connections.all.get_mut(number) else { continue };
            let already = counts.answers;
            connection.receive(&mut buffer, &mut counts)?;
            for _ in already..counts.answers {
                if asked < limit {
                    generator.request(&mut connection.out);
                    asked += 1;
                }
            }
            if single && counts.answers > already {
                latency.saturating_record(u64::try_from((now - sent).as_nanos())?);
                sent = Instant::now();
            }
            connections.flush(number)?;
        }
        if counts.answers > before {
            last = now;
        }
        ensure!(now - last < STUCK, "no answer for {STUCK:?} after {} of {asked}", counts.answers);
        let over = match until {
            Until::Elapsed(time) => now - start >= time,
            Until::Answered(count) => counts.answers >= count,
        };
        if over {
            let elapsed = now - start;
            return Ok(Outcome {
                operations: counts.answers,
                elapsed,
                errors: counts.errors,
                misses: counts.misses,
                latency,
            });
        }
    }
}

/// Sets every key of a workload once.
pub fn fill(address: SocketAddr, workload: &Workload) -> Result<Outcome> {
    let outcome = run(address, &workload.filling(), Until::Answered(u64::from(workload.keys)))?;
    ensure!(outcome.errors == 0, "{} errors while filling", outcome.errors);
    Ok(outcome)
}
