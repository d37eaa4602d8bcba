//! Bounds of what clients may cost, over all workers.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use crate::signal::Signals;

/// All buffers of all clients together, in bytes. Above it the client that costs most and has moved least is cut.
pub const CLIENTS_MEMORY_MAX: usize = 256 << 20;
/// Answers that one client has not taken, in bytes, beside one of the greatest size. Above it that client is cut.
pub const CLIENT_OUTPUT_MAX: usize = 64 << 20;
/// A client that has taken nothing of what waits for it for so long is cut.
pub const CLIENT_STALL_MAX: Duration = Duration::from_secs(60);
/// Connections to memcached for single commands and streams of clients, all workers together. Further commands wait,
/// further streams are refused.
pub const PRIVATE_MAX: usize = 64;
/// Streams among them.
pub const STREAMS_MAX: usize = 48;

/// What all clients of the process cost.
#[derive(Debug)]
pub struct Budget {
    memory: AtomicUsize,
    /// The most that one client of each worker costs.
    worst: Box<[AtomicUsize]>,
    /// Wakes a worker that has to cut its worst client.
    pressure: Signals,
    connections: AtomicUsize,
    max_connections: usize,
    streams: AtomicUsize,
    private: tokio::sync::Semaphore,
}

impl Budget {
    /// Nothing is used yet.
    #[must_use]
    pub fn new(workers: usize, max_connections: usize) -> Self {
        Self {
            memory: AtomicUsize::new(0),
            worst: std::iter::repeat_with(AtomicUsize::default).take(workers).collect(),
            pressure: Signals::new(workers),
            connections: AtomicUsize::new(0),
            max_connections,
            streams: AtomicUsize::new(0),
            private: tokio::sync::Semaphore::new(PRIVATE_MAX),
        }
    }

    /// A client of `worker` whose buffers took `before` bytes now takes `after`.
    pub fn account(&self, worker: usize, before: usize, after: usize) {
        if after > before {
            self.memory.fetch_add(after - before, Relaxed);
            if let Some(worst) = self.worst.get(worker).filter(|worst| worst.load(Relaxed) < after) {
                worst.store(after, Relaxed);
            }
        } else {
            self.memory.fetch_sub(before - after, Relaxed);
        }
    }

    /// Whether clients take more than they may.
    #[must_use]
    pub fn is_exceeded(&self) -> bool {
        self.memory.load(Relaxed) > CLIENTS_MEMORY_MAX
    }

    /// Bytes that all clients take.
    #[must_use]
    pub fn memory(&self) -> usize {
        self.memory.load(Relaxed)
    }

    /// Says what the worst client of `worker` takes now.
    pub fn set_worst(&self, worker: usize, bytes: usize) {
        if let Some(worst) = self.worst.get(worker) {
            worst.store(bytes, Relaxed);
        }
    }

    /// Wakes the worker whose client takes most.
    pub fn relieve(&self) {
        let worst = self.worst.iter().enumerate().max_by_key(|(_, bytes)| bytes.load(Relaxed));
        if let Some(signal) = worst.and_then(|(worker, _)| self.pressure.of(worker)) {
            signal.raise();
        }
    }

    /// Waits until `worker` has to cut its worst client.
    pub async fn pressed(&self, worker: usize) {
        match self.pressure.of(worker) {
            Some(signal) => signal.raised().await,
            None => std::future::pending().await,
        }
    }

    /// Counts one more client connection; `false` at `--max-connections`.
    pub fn connect(&self) -> bool {
        let free = self.connections.fetch_add(1, Relaxed) < self.max_connections;
        if !free {
            self.disconnect();
        }
        free
    }

    /// One client connection less.
    pub fn disconnect(&self) {
        self.connections.fetch_sub(1, Relaxed);
    }

    /// Counts one more stream until the value is dropped; `None` at the bound.
    #[must_use]
    pub fn stream(&self) -> Option<StreamPermit<'_>> {
        let permit = StreamPermit(&self.streams);
        (self.streams.fetch_add(1, Relaxed) < STREAMS_MAX).then_some(permit)
    }

    /// Waits for one of the private connections; it is given back when the value is dropped.
    pub async fn private(&self) -> Option<tokio::sync::SemaphorePermit<'_>> {
        self.private.acquire().await.ok()
    }
}

/// One stream of a client.
#[derive(Debug)]
pub struct StreamPermit<'b>(&'b AtomicUsize);

impl Drop for StreamPermit<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_worker_with_the_worst_client_is_pressed() {
        let budget = Budget::new(2, 10);
        budget.account(0, 0, 1000);
        budget.account(1, 0, CLIENTS_MEMORY_MAX);
        assert!(budget.is_exceeded());
        budget.relieve();
        budget.pressed(1).await;
        budget.account(1, CLIENTS_MEMORY_MAX, 0);
        budget.set_worst(1, 0);
        assert!(!budget.is_exceeded());
        budget.relieve();
        budget.pressed(0).await;
    }

    #[test]
    fn connections_and_streams_are_counted() {
        let budget = Budget::new(1, 2);
        assert!(budget.connect() && budget.connect() && !budget.connect());
        budget.disconnect();
        assert!(budget.connect());
        let all: Vec<_> = (0..STREAMS_MAX).map(|_| budget.stream().unwrap()).collect();
        assert!(budget.stream().is_none());
        drop(all);
        assert!(budget.stream().is_some());
    }
}
