//! PURE: notices that this process did not run for a while: stopped, frozen, its node paused or asleep.
//!
//! While it stood still, its replica id may have been given to another process, so what it would answer then may be old.
//! Every instant that is read anyway is shown to it; it costs a few instructions.

use std::time::Duration;

use crate::clock::Now;

/// One that stood still for longer has to ask who it is before it goes on.
pub const LONGEST_US: u64 = 5_000_000;
/// When the wall clock has moved by so much against the monotonic one, the host may have been asleep.
const MOVED_US: u64 = 1_000_000;

/// See the module. Looks must come much more often than every [`LONGEST_US`].
///
/// The monotonic clock runs on while a process is stopped or its cgroup is frozen, but not while the host is suspended. Then
/// the wall clock moves against it; whether that was sleep, and not just somebody setting the clock, is asked only then.
#[derive(Clone, Copy, Debug)]
pub struct Standstill {
    mono_us: u64,
    /// The wall clock less the monotonic one.
    ahead_us: i64,
    asleep_us: u64,
}

impl Standstill {
    /// Begins to watch. `asleep_us`: how long the host has been suspended since it was started.
    #[must_use]
    pub fn new(now: Now, asleep_us: u64) -> Self {
        Self { mono_us: now.mono_us, ahead_us: ahead(now), asleep_us }
    }

    /// How long nothing ran before this look, where that is too long.
    pub fn look(&mut self, now: Now, asleep_us: impl FnOnce() -> u64) -> Option<Duration> {
        let mut stood_us = now.mono_us.saturating_sub(self.mono_us);
        self.mono_us = now.mono_us;
        if ahead(now).abs_diff(self.ahead_us) > MOVED_US {
            let asleep_us = asleep_us();
            stood_us = stood_us.saturating_add(asleep_us.saturating_sub(self.asleep_us));
            (self.ahead_us, self.asleep_us) = (ahead(now), asleep_us);
        }
        (stood_us > LONGEST_US).then(|| Duration::from_micros(stood_us))
    }
}

fn ahead(now: Now) -> i64 {
    (now.wall_us as i64).wrapping_sub(now.mono_us as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(mono_s: f64, wall_s: f64) -> Now {
        Now { mono_us: (mono_s * 1e6) as u64, wall_us: (wall_s * 1e6) as u64 }
    }

    fn never() -> u64 {
        panic!("nothing says that the host was asleep")
    }

    #[test]
    fn a_gap_between_two_looks_is_told_once() {
        let mut standstill = Standstill::new(at(100.0, 1000.0), 0);
        assert_eq!(standstill.look(at(101.0, 1001.0), never), None);
        assert_eq!(standstill.look(at(106.0, 1006.0), never), None, "just not too long");
        assert_eq!(standstill.look(at(111.5, 1011.5), never), Some(Duration::from_millis(5500)));
        assert_eq!(standstill.look(at(111.6, 1011.6), never), None);
    }

    #[test]
    fn a_suspended_host_counts_and_a_clock_that_is_set_does_not() {
        let mut standstill = Standstill::new(at(100.0, 1000.0), 7_000_000);
        // Set by an hour, forth and back.
        assert_eq!(standstill.look(at(101.0, 4601.0), || 7_000_000), None);
        assert_eq!(standstill.look(at(102.0, 1002.0), || 7_000_000), None);
        // Asleep for a minute.
        assert_eq!(standstill.look(at(102.5, 1062.5), || 67_000_000), Some(Duration::from_micros(60_500_000)));
        assert_eq!(standstill.look(at(103.5, 1063.5), never), None);
    }
}
