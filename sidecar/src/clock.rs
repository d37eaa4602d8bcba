//! Versions: a hybrid logical clock (Kulkarni et al., 2014) in the 63 low bits of memcached's CAS number.
//!
//! ```text
//! bit 62          11 10      4 3        0
//!     microseconds   counter   replica id
//!     (Unix epoch)   (7 bits)  (4 bits)
//! ```
//! The time and counter together are the *ticks*; a later write of the same replica has greater ticks, and a version
//! received from the peer moves the clock, so that whatever was done knowing of it gets a greater version.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

const REPLICA_BITS: u32 = 4;
const COUNTER_BITS: u32 = 7;
/// How far ahead of the clock its persistent ceiling is set: one store into the state file for this many microseconds.
const CEILING_STEP: u64 = 100_000 << COUNTER_BITS;

/// The instant at which something happens, read once for each turn of a loop.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    /// Microseconds of a clock that never steps and runs on while a process is restarted (`CLOCK_MONOTONIC`).
    pub mono_us: u64,
    /// Microseconds since the Unix epoch, as far as this host knows.
    pub wall_us: u64,
}

impl Now {
    /// The monotonic clock in milliseconds, the unit of expiries.
    pub fn mono_ms(self) -> u64 {
        self.mono_us / 1000
    }
}

/// Which of the two replicas: 0 or 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReplicaId(u8);

impl ReplicaId {
    /// `None` for anything but 0 and 1.
    pub fn new(id: u8) -> Option<Self> {
        (id <= 1).then_some(Self(id))
    }
    /// 0 or 1.
    pub fn get(self) -> u8 {
        self.0
    }
}

/// The version of a write, below 2^63. Zero is older than every write.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Version(u64);

impl Version {
    /// Older than every write.
    pub const ZERO: Version = Version(0);
    /// No write is older. Below are the numbers that memcached itself gives to items, from 1 on.
    pub const LEAST: Version = Version(1 << 40);
    /// Newer than every write.
    pub const MAX: Version = Version((1 << 63) - 1);

    /// A version from its number; `None` from 2^63 on.
    pub fn from_raw(raw: u64) -> Option<Self> {
        (raw <= Self::MAX.0).then_some(Self(raw))
    }
    /// The version of an item by its CAS number. One that no sidecar wrote may have any number: above the range it counts as the greatest.
    pub fn of_item(cas: u64) -> Self {
        Self(cas.min(Self::MAX.0))
    }
    /// The number, as it stands in memcached's CAS.
    pub const fn raw(self) -> u64 {
        self.0
    }
    fn ticks(self) -> u64 {
        self.0 >> REPLICA_BITS
    }
    /// The low bits: which replica made it.
    pub fn replica(self) -> u8 {
        (self.0 & ((1 << REPLICA_BITS) - 1)) as u8
    }
    /// When it was made, in microseconds since the Unix epoch by its maker's clock.
    pub fn micros(self) -> u64 {
        self.ticks() >> COUNTER_BITS
    }
    /// A number just below, which no replica gives to anything: what has it is older than this version, and equal to none that was
    /// given to a write.
    pub fn not_yet(self) -> Self {
        Self((self.ticks() << REPLICA_BITS).saturating_sub(1))
    }
    /// The greatest version that is older than this one by its number.
    pub fn before(self) -> Self {
        Self(self.0.saturating_sub(1))
    }
}

impl fmt::Debug for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "v{}", self.0)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// The clock of one replica, shared by all its workers.
#[derive(Debug)]
pub struct Clock {
    last: AtomicU64,
    ceiling: AtomicU64,
    replica: ReplicaId,
}

impl Clock {
    /// A clock whose first version is greater than `ceiling`: the ceiling of the state file, or the greatest version found.
    pub fn new(replica: ReplicaId, ceiling: Version) -> Self {
        Self { last: AtomicU64::new(ceiling.ticks()), ceiling: AtomicU64::new(ceiling.ticks()), replica }
    }

    /// Issues the next version: greater than every version issued or observed before.
    pub fn tick(&self, now: Now) -> Version {
        let wall = now.wall_us << COUNTER_BITS;
        let previous = self.last.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |last| Some(wall.max(last + 1)));
        let (Ok(last) | Err(last)) = previous;
        self.with_ticks(wall.max(last + 1))
    }

    /// Takes note of a version that somebody else issued.
    pub fn observe(&self, version: Version) {
        self.last.fetch_max(version.ticks(), Ordering::SeqCst);
    }

    /// A bound that every version issued from now on is above.
    pub fn last(&self) -> Version {
        Version(self.last.load(Ordering::SeqCst) << REPLICA_BITS)
    }

    /// The new ceiling to persist before `version` may be used, where it is above the present one.
    pub fn ceiling_for(&self, version: Version) -> Option<Version> {
        (version.ticks() > self.ceiling.load(Ordering::Relaxed))
            .then(|| Version((version.ticks() + CEILING_STEP).min(Version::MAX.ticks()) << REPLICA_BITS))
    }

    /// Says that `ceiling` has been persisted.
    pub fn ceiling_persisted(&self, ceiling: Version) {
        self.ceiling.fetch_max(ceiling.ticks(), Ordering::Relaxed);
    }

    /// The replica whose versions this clock issues.
    pub fn replica(&self) -> ReplicaId {
        self.replica
    }

    fn with_ticks(&self, ticks: u64) -> Version {
        Version((ticks << REPLICA_BITS | u64::from(self.replica.0)).min(Version::MAX.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(wall_us: u64) -> Now {
        Now { mono_us: 0, wall_us }
    }

    #[test]
    fn versions_rise_whatever_the_wall_clock_does() {
        let clock = Clock::new(ReplicaId(1), Version::ZERO);
        let mut last = Version::ZERO;
        for wall in [1_000_000, 1_000_000, 5, 2_000_000, 0] {
            let version = clock.tick(at(wall));
            assert!(version > last, "{version} after {last}");
            assert_eq!(version.replica(), 1);
            last = version;
        }
    }

    #[test]
    fn an_observed_version_is_exceeded_by_the_next_tick() {
        let ahead = Clock::new(ReplicaId(0), Version::ZERO).tick(at(9_000_000_000));
        let clock = Clock::new(ReplicaId(1), Version::ZERO);
        clock.observe(ahead);
        assert!(clock.tick(at(1)) > ahead);
    }

    #[test]
    fn a_clock_starts_above_its_ceiling_and_asks_for_a_new_one() {
        let clock = Clock::new(ReplicaId(0), Version(77 << REPLICA_BITS | 15));
        let version = clock.tick(at(0));
        assert!(version.raw() > 77 << REPLICA_BITS | 15);
        let ceiling = clock.ceiling_for(version).expect("above the ceiling");
        clock.ceiling_persisted(ceiling);
        assert_eq!(clock.ceiling_for(clock.tick(at(0))), None);
    }
}
