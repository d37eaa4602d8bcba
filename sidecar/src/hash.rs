//! The hash of keys, for stripes and tables.

use std::hash::{BuildHasher, Hasher};

use foldhash::fast::FixedState;

/// A keyed hash: with a secret seed, clients cannot choose keys that collide.
#[derive(Clone, Copy, Debug)]
pub struct KeyHasher {
    seed: u64,
}

impl KeyHasher {
    /// A hash function for each seed.
    pub fn new(seed: u64) -> Self {
        Self { seed }
    }

    /// The hash of a key.
    pub fn hash(self, key: &[u8]) -> u64 {
        let mut hasher = FixedState::with_seed(self.seed).build_hasher();
        hasher.write(key);
        hasher.finish()
    }
}
