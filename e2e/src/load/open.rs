//! The open loop: requests are due at a constant rate, and a slow answer holds up none of them.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use super::connection::Connections;
use super::request::{Generator, Workload};
use super::scanner::Counts;
use super::{Outcome, histogram};

/// Answers may come so long after the last request.
const GRACE: Duration = Duration::from_secs(10);

/// Sends `rate` requests per second, spread over the connections in turn, for `time`. Latency counts from the moment at
/// which a request was due, so the time it had to wait behind slow ones is in it.
pub fn run(address: SocketAddr, workload: &Workload, rate: f64, time: Duration) -> Result<Outcome> {
    ensure!(rate >= 1.0, "a rate of {rate} per second");
    // Wake up in time: the kernel otherwise rounds by 50 microseconds.
    let _ = rustix::thread::set_current_timer_slack(std::num::NonZeroU64::new(1));
    let mut connections = Connections::open(address, workload.connections)?;
    let mut generator = Generator::new(workload);
    let mut due: Vec<VecDeque<Instant>> = vec![VecDeque::new(); workload.connections];
    let mut latency = histogram()?;
    let mut buffer = vec![0; 256 << 10];
    let (mut ready, mut touched) = (Vec::new(), Vec::new());
    let mut counts = Counts::default();
    let total = (rate * time.as_secs_f64()) as u64;
    let start = Instant::now();
    let due_at = |number: u64| start + Duration::from_secs_f64(number as f64 / rate);
    let mut asked = 0;
    while counts.answers < total {
        let now = Instant::now();
        touched.clear();
        while asked < total && due_at(asked) <= now {
            let number = usize::try_from(asked)? % workload.connections;
            if let (Some(connection), Some(waiting)) = (connections.all.get_mut(number), due.get_mut(number)) {
                generator.request(&mut connection.out);
                waiting.push_back(due_at(asked));
                touched.push(number);
            }
            asked += 1;
        }
        for &number in &touched {
            connections.flush(number)?;
        }
        let pause = if asked < total { due_at(asked).saturating_duration_since(Instant::now()) } else { GRACE };
        connections.wait(pause, &mut ready)?;
        for &number in &ready {
            let (Some(connection), Some(waiting)) = (connections.all.get_mut(number), due.get_mut(number)) else {
                continue;
            };
            let before = counts.answers;
            connection.receive(&mut buffer, &mut counts)?;
            let now = Instant::now();
            for _ in before..counts.answers {
                let Some(due) = waiting.pop_front() else { break };
                latency.saturating_record(u64::try_from(now.saturating_duration_since(due).as_nanos())?);
            }
        }
        ensure!(start.elapsed() < time + GRACE, "{} of {total} answers, {GRACE:?} after the end", counts.answers);
    }
    Ok(Outcome {
        operations: counts.answers,
        elapsed: start.elapsed(),
        errors: counts.errors,
        misses: counts.misses,
        latency,
    })
}
