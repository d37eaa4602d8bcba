//! What a dump has listed and nobody has fetched yet.
//!
//! memcached 1.6.38 does not wait for a client that takes no bytes of its dump for a second: when the dump ends meanwhile,
//! `END` overwrites the lines that were not sent (crawler.c, `lru_crawler_write`). Later releases wait, but the crawler is
//! held up, and with it the growth of the hash table. So a dump is read as fast as it comes, however slow the fetches are.
//! What does not fit is left to another dump: each takes the keys whose hashes are in one part of the range.

use std::collections::VecDeque;

use crate::clock::Version;
use crate::protocol::limits::MAX_KEY;

/// The most bytes of a list.
pub(crate) const LIMIT: usize = 16 << 20;
/// A full list is filled again when so many bytes are free: several times what the kernel keeps for the connection.
const ROOM: usize = 1 << 20;
/// How long a full list holds up the dump, in milliseconds: well below memcached's second.
const PATIENCE_MS: u64 = 300;
/// Bytes of a version.
const VERSION: usize = 8;

/// An item of the list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Listed {
    pub(super) key: Box<[u8]>,
    pub(super) version: Version,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Listing {
    /// Per item: one byte for the length of its key, version, key.
    bytes: VecDeque<u8>,
    items: u64,
    /// Hashes from here on are listed.
    from: u64,
    /// And up to here, this one left out; `None`: all that are greater.
    until: Option<u64>,
    /// Since when it is full, in milliseconds.
    full_ms: Option<u64>,
    whole: bool,
}

impl Listing {
    /// A dump begins: what is left of one that was cut comes again.
    pub(super) fn begin(&mut self) {
        self.bytes.clear();
        (self.items, self.full_ms, self.whole) = (0, None, false);
    }

    /// Whether lines of the dump can be taken.
    pub(super) fn has_room(&self) -> bool {
        self.full_ms.is_none()
    }

    /// Whether this dump lists keys of this hash.
    pub(super) fn covers(&self, hash: u64) -> bool {
        hash >= self.from && self.until.is_none_or(|until| hash < until)
    }

    /// Appends an item; keys are no longer than memcached's.
    pub(super) fn push(&mut self, key: &[u8], version: Version, now_ms: u64) {
        let Ok(len) = u8::try_from(key.len()) else { return };
        self.bytes.push_back(len);
        self.bytes.extend(version.raw().to_le_bytes());
        self.bytes.extend(key);
        self.items += 1;
        if self.bytes.len() + 1 + VERSION + MAX_KEY > LIMIT {
            self.full_ms.get_or_insert(now_ms);
        }
    }

    /// Takes the first item.
    pub(super) fn pop(&mut self) -> Option<Listed> {
        let len = usize::from(self.bytes.pop_front()?);
        let mut version = [0; VERSION];
        for byte in &mut version {
            *byte = self.bytes.pop_front()?;
        }
        let key = self.bytes.drain(..len).collect();
        self.items = self.items.saturating_sub(1);
        Some(Listed { key, version: Version::of_item(u64::from_le_bytes(version)) })
    }

    /// Makes room where the list has been full for too long: the upper half of the hashes is left to another dump. Returns
    /// how many items were dropped.
    pub(super) fn relieve(&mut self, now_ms: u64, hash: impl Fn(&[u8]) -> u64) -> u64 {
        let Some(since) = self.full_ms else { return 0 };
        if self.bytes.len() + ROOM <= LIMIT {
            self.full_ms = None;
            return 0;
        }
        let until = self.from + (self.until.unwrap_or(u64::MAX) - self.from) / 2;
        if now_ms.saturating_sub(since) < PATIENCE_MS || until == self.from {
            return 0;
        }
        self.until = Some(until);
        let before = self.items;
        for _ in 0..before {
            if let Some(listed) = self.pop()
                && self.covers(hash(&listed.key))
            {
                self.push(&listed.key, listed.version, now_ms);
            }
        }
        // While it was halved it looked full.
        self.full_ms = None;
        before - self.items
    }

    /// The dump was whole to its end.
    pub(super) fn end(&mut self) {
        (self.whole, self.full_ms) = (true, None);
    }

    /// Whether the dump was whole, so that none is needed now.
    pub(super) fn is_whole(&self) -> bool {
        self.whole
    }

    /// Whether all that a whole dump listed is taken.
    pub(super) fn is_done(&self) -> bool {
        self.whole && self.bytes.is_empty()
    }

    /// Goes on to the hashes that were left out; `false`: there are none, and the next dump lists from the first one.
    pub(super) fn advance(&mut self) -> bool {
        self.whole = false;
        let left_out = self.until.take();
        self.from = left_out.unwrap_or(0);
        left_out.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Spreads the keys of these tests over all hashes.
    fn hash(key: &[u8]) -> u64 {
        key.iter()
            .fold(7, |hash: u64, byte| (hash.rotate_left(9) ^ u64::from(*byte)).wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    fn version(number: u64) -> Version {
        Version::of_item(number)
    }

    #[test]
    fn what_was_pushed_comes_back_in_order() {
        let mut listing = Listing::default();
        listing.push(b"a", version(4096), 0);
        listing.push(&[7; MAX_KEY], version(u64::MAX), 0);
        assert!(!listing.is_done());
        listing.end();
        let first = Listed { key: b"a"[..].into(), version: version(4096) };
        let second = Listed { key: [7; MAX_KEY][..].into(), version: version(u64::MAX) };
        assert_eq!((listing.pop(), listing.pop(), listing.pop()), (Some(first), Some(second), None));
        assert!(listing.is_done() && !listing.advance());
    }

    #[test]
    fn a_full_list_waits_a_moment_for_room() {
        let mut listing = Listing::default();
        let mut number = 0_u64;
        while listing.has_room() {
            number += 1;
            listing.push(&number.to_le_bytes(), version(number), 1000);
        }
        assert!(listing.bytes.len() <= LIMIT && listing.bytes.capacity() <= LIMIT);
        assert_eq!(listing.relieve(1000 + PATIENCE_MS - 1, hash), 0);
        assert!(!listing.has_room());
        let mut few = 0;
        while few * 17 < ROOM {
            few += usize::from(listing.pop().is_some());
        }
        assert_eq!(listing.relieve(1000 + PATIENCE_MS, hash), 0, "there is room");
        assert!(listing.has_room());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(12))]

        /// Whatever is fetched meanwhile, and wherever a dump is cut: every key is taken at last, and no dump is held up.
        #[test]
        fn dumps_of_more_than_fits_bring_every_key(
            extra in 1_u64..2_000_000,
            fetched_each in 0..4_u64,
            cut in prop::option::of(0..500_000_u64),
        ) {
            let keys = (LIMIT / 17) as u64 + extra;
            let mut taken = vec![false; keys as usize];
            let mut listing = Listing::default();
            let (mut now_ms, mut cut, mut dumps) = (0, cut, 0);
            let mut take = |listing: &mut Listing| {
                let Some(listed) = listing.pop() else { return false };
                let number = <[u8; 8]>::try_from(&listed.key[..]).map(u64::from_le_bytes).expect("eight bytes");
                taken[number as usize] = true;
                true
            };
            loop {
                listing.begin();
                dumps += 1;
                let mut held_up_ms = 0;
                for number in 0..keys {
                    while !listing.has_room() {
                        (now_ms, held_up_ms) = (now_ms + 100, held_up_ms + 100);
                        prop_assert!(held_up_ms <= 1000, "memcached would not wait");
                        listing.relieve(now_ms, hash);
                    }
                    held_up_ms = 0;
                    let key = number.to_le_bytes();
                    if listing.covers(hash(&key)) {
                        listing.push(&key, version(number), now_ms);
                    }
                    if number % 5 < fetched_each {
                        take(&mut listing);
                    }
                    if cut.take_if(|at| *at == number).is_some() {
                        listing.begin();
                        break;
                    }
                    if number + 1 == keys {
                        listing.end();
                    }
                }
                if !listing.is_whole() {
                    continue;
                }
                while take(&mut listing) {}
                prop_assert!(listing.is_done());
                if !listing.advance() {
                    break;
                }
            }
            prop_assert!(dumps < 20, "{dumps} dumps");
            prop_assert!(taken.iter().all(|taken| *taken));
        }
    }
}
