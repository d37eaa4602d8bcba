//! Whether clients should come here, and why not.

use std::sync::atomic::{AtomicU8, Ordering};

/// Where the program is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Phase {
    /// memcached has not answered yet.
    Starting,
    /// memcached answers; the first sync with the peer is not complete.
    Syncing,
    /// Clients are served.
    Ready,
    /// Clients are still served; SIGTERM came.
    Draining,
    /// memcached does not answer any more.
    MemcachedDown,
    /// A newer incarnation of this replica has taken its place.
    Fenced,
    /// This process stood still, so another one may have taken its place.
    Asking,
    /// No client is served any more; the log goes to the peer, then the program ends.
    Stopping,
}

const ALL: [Phase; 8] = [
    Phase::Starting,
    Phase::Syncing,
    Phase::Ready,
    Phase::Draining,
    Phase::MemcachedDown,
    Phase::Fenced,
    Phase::Asking,
    Phase::Stopping,
];

impl Phase {
    /// Clients should come.
    #[must_use]
    pub fn is_ready(self) -> bool {
        matches!(self, Self::Ready | Self::Draining)
    }

    /// `state` of `stats replication`.
    #[must_use]
    pub fn state(self) -> &'static str {
        match self {
            Self::Starting | Self::MemcachedDown => "starting",
            Self::Syncing | Self::Asking => "syncing",
            Self::Ready => "ready",
            Self::Draining | Self::Stopping => "draining",
            Self::Fenced => "fenced",
        }
    }

    /// One sentence for /readyz.
    #[must_use]
    pub fn reason(self) -> &'static str {
        match self {
            Self::Starting => "starting: memcached has not answered yet",
            Self::Syncing => "syncing: the first sync with the peer is not complete",
            Self::Ready => "ready",
            Self::Draining => "ready: draining, clients are still served",
            Self::MemcachedDown => "memcached does not answer",
            Self::Fenced => "fenced: a newer incarnation of this replica is connected to the peer",
            Self::Asking => "this process stood still: asking the peer whether another one has taken its place",
            Self::Stopping => "stopping: no clients are served any more",
        }
    }
}

/// The phase, shared by all threads.
#[derive(Debug, Default)]
pub struct Readiness(AtomicU8);

impl Readiness {
    /// The phase now.
    pub fn phase(&self) -> Phase {
        let number = usize::from(self.0.load(Ordering::Acquire));
        ALL.get(number).copied().unwrap_or(Phase::Starting)
    }

    /// Enters a phase. Whoever reads it sees everything that was written before.
    pub fn enter(&self, phase: Phase) {
        self.0.store(phase as u8, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phases_are_kept_and_told() {
        let readiness = Readiness::default();
        assert_eq!(readiness.phase(), Phase::Starting);
        for phase in ALL {
            readiness.enter(phase);
            assert_eq!(readiness.phase(), phase);
            assert!(!phase.reason().is_empty() && !phase.state().is_empty());
        }
        let ready: Vec<_> = ALL.into_iter().filter(|phase| phase.is_ready()).collect();
        assert_eq!(ready, [Phase::Ready, Phase::Draining]);
    }
}
