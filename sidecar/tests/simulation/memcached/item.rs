//! Items and memcached's notion of time.

use super::{ItemView, slabs};

/// Relative expiry times reach up to here; above they are unix seconds.
const MAX_RELATIVE: i64 = 60 * 60 * 24 * 30;
/// memcached's own seconds start here, so that zero can mean "never".
const FIRST_SECOND: u64 = 62;

/// memcached counts seconds from a moment shortly before its start.
pub(super) struct Clock {
    /// Unix time of second zero.
    epoch: u64,
    /// The running second.
    pub(super) now: u32,
}

impl Clock {
    pub(super) fn new(start: u64) -> Self {
        Self { epoch: start - FIRST_SECOND, now: FIRST_SECOND as u32 }
    }

    pub(super) fn set(&mut self, unix: u64) {
        let now = unix.saturating_sub(self.epoch) as u32;
        self.now = self.now.max(now);
    }

    pub(super) fn unix(&self) -> u64 {
        self.to_unix(self.now)
    }

    pub(super) fn to_unix(&self, second: u32) -> u64 {
        self.epoch + u64::from(second)
    }

    /// Seconds since the start, as `stats` counts them.
    pub(super) fn uptime(&self) -> u32 {
        self.now - 60
    }

    /// The second for an expiry argument; zero: never.
    pub(super) fn deadline(&self, exptime: i32) -> u32 {
        match i64::from(exptime) {
            0 => 0,
            // the past is one second after second zero
            ..0 => 1,
            relative @ 1..=MAX_RELATIVE => (relative as u32).wrapping_add(self.now),
            absolute => u32::try_from(absolute - self.epoch as i64).map_or(1, |second| second.max(1)),
        }
    }
}

/// One stored (or half uploaded) item.
#[derive(Debug, Clone)]
pub(super) struct Item {
    pub(super) key: Box<[u8]>,
    /// Without the line end that memcached keeps behind it.
    pub(super) value: Vec<u8>,
    pub(super) flags: u32,
    /// Before it is stored: the CAS that the command wants to meet.
    pub(super) cas: u64,
    /// Second of expiry; zero: never.
    pub(super) exptime: u32,
    /// Second of the last access that memcached noted.
    pub(super) time: u32,
    /// Has been read.
    pub(super) fetched: bool,
    /// Has been read twice.
    pub(super) active: bool,
    pub(super) stale: bool,
    pub(super) token_sent: bool,
    /// The key was given in base64 and is answered so.
    pub(super) key_binary: bool,
    pub(super) class: u8,
    pub(super) chunked: bool,
    /// Position in the LRU: items that were linked later have greater ones. Identifies the item for references.
    pub(super) id: u64,
    /// References held by answers that have not been sent.
    pub(super) references: u32,
}

impl Item {
    /// Total size in bytes, as memcached reports it.
    pub(super) fn total_size(&self) -> usize {
        slabs::total_size(self.key.len(), self.flags, self.value.len())
    }

    pub(super) fn view(&self, clock: &Clock) -> ItemView<'_> {
        ItemView {
            key: &self.key,
            value: &self.value,
            flags: self.flags,
            cas: self.cas,
            expires: (self.exptime != 0).then(|| clock.to_unix(self.exptime)),
            stale: self.stale,
            token_sent: self.token_sent,
        }
    }
}
