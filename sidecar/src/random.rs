//! I/O: random numbers of the system.

use std::hash::{BuildHasher, Hasher};
use std::io;

use rustix::rand::{GetRandomFlags, getrandom};

/// A random number that nobody can guess, not 0.
///
/// # Errors
/// The system has none.
pub fn secret() -> io::Result<u64> {
    loop {
        let mut bytes = [0; 8];
        if getrandom(&mut bytes, GetRandomFlags::empty())? == bytes.len() {
            let number = u64::from_ne_bytes(bytes);
            if number != 0 {
                return Ok(number);
            }
        }
    }
}

/// A number from 0 to `below` (at least 1) without it, for delays that must not be the same everywhere.
#[must_use]
pub fn jitter(below: u64) -> u64 {
    std::hash::RandomState::new().build_hasher().finish() % below.max(1)
}
