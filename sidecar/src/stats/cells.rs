//! Counters, gauges and a histogram made of relaxed atomics.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};

/// A number that only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds `n`. For a counter that one thread writes: two at once lose counts, but no bus lock is taken.
    pub fn add(&self, n: u64) {
        self.0.store(self.0.load(Relaxed).wrapping_add(n), Relaxed);
    }

    /// Adds `n`, from any thread.
    pub fn add_shared(&self, n: u64) {
        self.0.fetch_add(n, Relaxed);
    }

    /// Takes over what somebody else has counted.
    pub fn set(&self, n: u64) {
        self.0.store(n, Relaxed);
    }

    /// The number now.
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// A number that is set.
#[derive(Debug, Default)]
pub struct Gauge(AtomicU64);

impl Gauge {
    /// Sets it.
    pub fn set(&self, n: u64) {
        self.0.store(n, Relaxed);
    }

    /// Adds `n`, from any thread.
    pub fn add(&self, n: u64) {
        self.0.fetch_add(n, Relaxed);
    }

    /// Takes `n` away, from any thread.
    pub fn sub(&self, n: u64) {
        self.0.fetch_sub(n, Relaxed);
    }

    /// The number now.
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// A number that is set and may be below zero.
#[derive(Debug, Default)]
pub struct SignedGauge(AtomicI64);

impl SignedGauge {
    /// Sets it.
    pub fn set(&self, n: i64) {
        self.0.store(n, Relaxed);
    }

    /// The number now.
    pub fn get(&self) -> i64 {
        self.0.load(Relaxed)
    }
}

/// Upper bounds of the buckets of [`Histogram`], microseconds; one more bucket takes the rest.
pub const LAG_BOUNDS_US: [u64; 18] = [
    100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000,
    5_000_000, 10_000_000, 30_000_000, 60_000_000,
];

/// Durations by bucket.
#[derive(Debug, Default)]
pub struct Histogram {
    /// Counts of each bucket alone, not cumulated.
    buckets: [AtomicU64; LAG_BOUNDS_US.len() + 1],
    sum_us: AtomicU64,
}

impl Histogram {
    /// Counts `times` durations of `us` microseconds.
    pub fn observe(&self, us: u64, times: u64) {
        let bucket = LAG_BOUNDS_US.partition_point(|bound| *bound < us);
        if let Some(bucket) = self.buckets.get(bucket) {
            bucket.fetch_add(times, Relaxed);
        }
        self.sum_us.fetch_add(us.saturating_mul(times), Relaxed);
    }

    /// The sum of all durations in microseconds, and the count of each bucket.
    pub fn read(&self) -> (u64, [u64; LAG_BOUNDS_US.len() + 1]) {
        let mut counts = [0; LAG_BOUNDS_US.len() + 1];
        for (count, bucket) in counts.iter_mut().zip(&self.buckets) {
            *count = bucket.load(Relaxed);
        }
        (self.sum_us.load(Relaxed), counts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_belongs_to_its_bucket() {
        let lag = Histogram::default();
        lag.observe(0, 1);
        lag.observe(100, 1);
        lag.observe(101, 2);
        lag.observe(u64::MAX / 2, 1);
        let (_, counts) = lag.read();
        assert_eq!((counts[0], counts[1], counts[LAG_BOUNDS_US.len()]), (2, 2, 1));
        assert_eq!(counts.iter().sum::<u64>(), 5);
    }

    #[test]
    fn cells_hold_what_was_put_in() {
        let (counter, gauge, signed) = (Counter::default(), Gauge::default(), SignedGauge::default());
        counter.add(2);
        counter.add_shared(3);
        gauge.set(10);
        gauge.add(5);
        gauge.sub(1);
        signed.set(-7);
        assert_eq!((counter.get(), gauge.get(), signed.get()), (5, 14, -7));
    }
}
