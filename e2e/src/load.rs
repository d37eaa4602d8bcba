//! A load generator: one thread, epoll, requests made and answers counted without allocation, so that it takes more
//! than one memcached to keep it busy.
//!
//! - [`closed`]: each connection keeps a number of requests under way; measures throughput.
//! - [`open`]: requests are due at a constant rate whatever the server does, and latency counts from when a request
//!   was due; measures latency without the coordinated omission of closed loops.

mod connection;
mod request;
mod scanner;

pub mod closed;
pub mod open;

pub use request::{Operation, Workload};

use std::time::Duration;

use hdrhistogram::Histogram;

/// What came of a run.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// requests answered
    pub operations: u64,
    /// from the first request to the last answer that counts
    pub elapsed: Duration,
    /// answers that were an error
    pub errors: u64,
    /// gets without a value
    pub misses: u64,
    /// latency in nanoseconds; empty in a closed loop with more than one request under way
    pub latency: Histogram<u64>,
}

impl Outcome {
    /// Requests per second.
    pub fn rate(&self) -> f64 {
        self.operations as f64 / self.elapsed.as_secs_f64()
    }

    /// A latency percentile in microseconds.
    pub fn percentile(&self, percentile: f64) -> f64 {
        self.latency.value_at_quantile(percentile / 100.0) as f64 / 1000.0
    }
}

/// Nanoseconds with three digits, up to a minute; above, the bound is recorded.
pub(crate) fn histogram() -> anyhow::Result<Histogram<u64>> {
    Ok(Histogram::new_with_bounds(100, 60_000_000_000, 3)?)
}
