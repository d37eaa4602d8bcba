//! What a restarted sidecar must not have forgotten: a header of numbers and a table of keys, in one block of memory
//! that is a mapped file where there is a state directory. The layout is pure; the mapping is I/O.

pub mod header;
pub mod map;
pub mod table;

use std::fmt;

/// A block of memory that outlives the process where the caller can provide that.
pub trait Storage: Send {
    /// The bytes, always the same number.
    fn bytes(&self) -> &[u8];
    /// The bytes, to be changed in place.
    fn bytes_mut(&mut self) -> &mut [u8];
}

impl Storage for Vec<u8> {
    fn bytes(&self) -> &[u8] {
        self
    }
    fn bytes_mut(&mut self) -> &mut [u8] {
        self
    }
}

impl fmt::Debug for dyn Storage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Storage({} bytes)", self.bytes().len())
    }
}

/// The size in bytes of the block for a table of `entries` keys.
pub fn size(entries: u32) -> usize {
    header::SIZE + entries as usize * table::SLOT
}

fn read_u64(bytes: &[u8], at: usize) -> u64 {
    let field = bytes.get(at..at + 8).and_then(|b| b.try_into().ok());
    field.map_or(0, u64::from_le_bytes)
}

fn write_u64(bytes: &mut [u8], at: usize, value: u64) {
    if let Some(field) = bytes.get_mut(at..at + 8) {
        field.copy_from_slice(&value.to_le_bytes());
    }
}
