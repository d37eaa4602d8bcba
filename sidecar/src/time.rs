//! I/O: the clocks of this host, read in this one place.

use rustix::time::{ClockId, clock_gettime};

use crate::clock::Now;

/// Reads the clocks. `CLOCK_MONOTONIC` is one for the whole host, so instants survive a restart of the process.
#[derive(Clone, Copy, Debug, Default)]
pub struct HostClock {
    offset_us: i64,
}

impl HostClock {
    /// A clock whose wall time is `offset_seconds` off (`--clock-offset-seconds`).
    #[must_use]
    pub fn new(offset_seconds: i64) -> Self {
        Self { offset_us: offset_seconds.saturating_mul(1_000_000) }
    }

    /// How long this host has been suspended since it was started, in microseconds.
    #[must_use]
    pub fn asleep_us(&self) -> u64 {
        read_us(ClockId::Boottime).saturating_sub(read_us(ClockId::Monotonic)).max(0) as u64
    }

    /// The instant now.
    #[must_use]
    pub fn now(&self) -> Now {
        let wall_us = read_us(ClockId::Realtime).saturating_add(self.offset_us);
        Now { mono_us: read_us(ClockId::Monotonic).max(0) as u64, wall_us: wall_us.max(0) as u64 }
    }
}

fn read_us(clock: ClockId) -> i64 {
    let time = clock_gettime(clock);
    time.tv_sec.saturating_mul(1_000_000).saturating_add(time.tv_nsec / 1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_offset_moves_the_wall_clock_alone() {
        let (here, ahead) = (HostClock::new(0).now(), HostClock::new(3600).now());
        assert!(ahead.wall_us - here.wall_us >= 3_600_000_000 - 1_000_000);
        assert!(ahead.mono_us - here.mono_us < 1_000_000);
    }
}
