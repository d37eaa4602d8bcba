//! Sizes of items and their slab classes.

use super::Config;

/// Fixed part of an item; then CAS, key with a zero byte, client flags unless they are zero, value and line end.
const HEADER: usize = 48;
const CAS: usize = 8;
const CLIENT_FLAGS: usize = 4;
const LINE_END: usize = 2;
/// `-n`: room for a small key and value in the smallest class.
const SMALLEST_CHUNK: u32 = 48;
const GROWTH: f64 = 1.25;
const MAX_CLASSES: usize = 63;

/// Total size of an item in bytes.
pub(super) fn total_size(key_len: usize, flags: u32, value_len: usize) -> usize {
    let flags_size = if flags == 0 { 0 } else { CLIENT_FLAGS };
    HEADER + CAS + key_len + 1 + flags_size + value_len + LINE_END
}

/// The table of classes that a memcached has built at its start.
pub(super) struct SlabClasses {
    item_size_max: usize,
    chunk_max: usize,
    /// Chunk size per class; index 0 is class 1.
    sizes: Vec<usize>,
}

impl SlabClasses {
    pub(super) fn new(config: &Config) -> Self {
        let mut sizes = Vec::new();
        let mut size = HEADER as u32 + SMALLEST_CHUNK;
        while sizes.len() + 1 < MAX_CLASSES && f64::from(size) < config.slab_chunk_max as f64 / GROWTH {
            size = size.next_multiple_of(8);
            sizes.push(size as usize);
            size = (f64::from(size) * GROWTH) as u32;
        }
        sizes.push(config.slab_chunk_max);
        Self { item_size_max: config.item_size_max, chunk_max: config.slab_chunk_max, sizes }
    }

    /// The class for a total size; none when it is above the item limit.
    pub(super) fn class_of(&self, total: usize) -> Option<u8> {
        if total > self.item_size_max {
            return None;
        }
        let index = self.sizes.partition_point(|&size| size < total);
        Some(index.min(self.sizes.len() - 1) as u8 + 1)
    }

    /// True for items that are kept in several chunks.
    pub(super) fn is_chunked(&self, total: usize) -> bool {
        total > self.chunk_max
    }
}
