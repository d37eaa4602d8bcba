//! A queue of bytes that stay contiguous.

/// Bytes are pushed behind and taken from the front.
#[derive(Debug, Default)]
pub struct ByteQueue {
    bytes: Vec<u8>,
    start: usize,
}

/// Below this many bytes memory is kept for the next burst.
const KEEP: usize = 256 << 10;

impl ByteQueue {
    /// The buffer to append to.
    pub fn tail(&mut self) -> &mut Vec<u8> {
        if self.start > KEEP.max(self.bytes.len() / 2) {
            self.bytes.drain(..self.start);
            self.start = 0;
        }
        &mut self.bytes
    }

    /// The bytes held.
    pub fn as_slice(&self) -> &[u8] {
        self.bytes.get(self.start..).unwrap_or_default()
    }

    /// The first `len` bytes.
    pub fn front(&self, len: usize) -> &[u8] {
        self.as_slice().get(..len).unwrap_or_default()
    }

    /// The last `len` bytes.
    pub fn back(&self, len: usize) -> &[u8] {
        self.len().checked_sub(len).and_then(|start| self.as_slice().get(start..)).unwrap_or_default()
    }

    /// Drops the last `len` bytes.
    pub fn take_back(&mut self, len: usize) {
        self.bytes.truncate(self.bytes.len() - len.min(self.len()));
    }

    /// Drops the first `len` bytes.
    pub fn consume(&mut self, len: usize) {
        self.start = (self.start + len).min(self.bytes.len());
        if self.start == self.bytes.len() {
            self.bytes.clear();
            self.start = 0;
            self.bytes.shrink_to(KEEP);
        }
    }

    /// How many bytes are held.
    pub fn len(&self) -> usize {
        self.bytes.len() - self.start
    }

    /// Whether none is held.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of memory taken.
    pub fn capacity(&self) -> usize {
        self.bytes.capacity()
    }
}
