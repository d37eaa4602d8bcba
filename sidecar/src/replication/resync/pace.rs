//! PURE: how much of the time a resync takes while clients are served: it works in bursts and rests after each as long as
//! that took. memcached's threads and the cores are theirs in between; where nobody is served it does not rest.

use crate::clock::Now;

/// Items of a burst.
const BURST: usize = 512;
/// The longest rest, in microseconds.
const REST_MAX_US: u64 = 1000;

/// See the module.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Pace {
    burst: Option<Burst>,
    rest_until_us: u64,
    resting: bool,
}

#[derive(Clone, Copy, Debug)]
struct Burst {
    begun_us: u64,
    sent: usize,
}

impl Pace {
    /// To be called before fetches are sent: `under_way` are not answered, and clients are `served` or not.
    pub(super) fn turn(&mut self, now: Now, under_way: usize, served: bool) {
        if !served {
            *self = Self::default();
            return;
        }
        if let Some(burst) = self.burst.filter(|burst| burst.sent >= BURST && under_way == 0) {
            let rest_us = now.mono_us.saturating_sub(burst.begun_us).min(REST_MAX_US);
            (self.burst, self.rest_until_us) = (None, now.mono_us + rest_us);
        }
        self.resting = now.mono_us < self.rest_until_us;
        if !self.resting {
            self.burst.get_or_insert(Burst { begun_us: now.mono_us, sent: 0 });
        }
    }

    /// Whether one more may be sent.
    pub(super) fn allows(&self) -> bool {
        !self.resting && self.burst.is_none_or(|burst| burst.sent < BURST)
    }

    /// One was sent.
    pub(super) fn sent(&mut self) {
        if let Some(burst) = &mut self.burst {
            burst.sent += 1;
        }
    }

    /// When the rest is over, in microseconds of the monotonic clock.
    pub(super) fn rests_until_us(&self) -> Option<u64> {
        self.resting.then_some(self.rest_until_us)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(mono_us: u64) -> Now {
        Now { mono_us, wall_us: 0 }
    }

    fn burst(pace: &mut Pace) -> usize {
        let mut sent = 0;
        while pace.allows() && sent < 10 * BURST {
            pace.sent();
            sent += 1;
        }
        sent
    }

    #[test]
    fn it_rests_as_long_as_a_burst_took_while_clients_are_served() {
        let mut pace = Pace::default();
        pace.turn(at(1000), 0, true);
        assert_eq!(burst(&mut pace), BURST);
        pace.turn(at(1300), 1, true);
        assert_eq!((burst(&mut pace), pace.rests_until_us()), (0, None), "answers are still to come");
        pace.turn(at(1500), 0, true);
        assert_eq!((burst(&mut pace), pace.rests_until_us()), (0, Some(2000)));
        pace.turn(at(1999), 0, true);
        assert_eq!(burst(&mut pace), 0);
        pace.turn(at(2000), 0, true);
        assert_eq!((burst(&mut pace), pace.rests_until_us()), (BURST, None));
        pace.turn(at(1_000_000), 0, true);
        assert_eq!(pace.rests_until_us(), Some(1_000_000 + REST_MAX_US));
    }

    #[test]
    fn it_never_rests_where_nobody_is_served() {
        let mut pace = Pace::default();
        pace.turn(at(1), 0, false);
        assert_eq!(burst(&mut pace), 10 * BURST);
        // not from one moment to the next either
        pace.turn(at(2), 0, true);
        burst(&mut pace);
        pace.turn(at(3), 0, true);
        assert!(pace.rests_until_us().is_some());
        pace.turn(at(3), 0, false);
        assert_eq!((burst(&mut pace), pace.rests_until_us()), (10 * BURST, None));
    }
}
