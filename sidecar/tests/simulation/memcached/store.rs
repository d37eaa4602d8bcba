//! The hash table, expiry, flushes, evictions, and the rules of storing.

use super::{
    Config, ItemView,
    item::{Clock, Item},
    numbers,
    slabs::{self, SlabClasses},
};

/// Enough for the few hundred items of a simulated history; a dump lists one bucket per step.
const BUCKETS: usize = 256;

/// Where an item is; good until the next change of the table.
#[derive(Debug, Clone, Copy)]
pub(super) struct Slot {
    bucket: usize,
    index: usize,
}

/// A reference to an item by an answer that has not been sent.
pub(super) struct Reference {
    bucket: usize,
    id: u64,
}

/// How a storage command treats an existing item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    Set,
    Add,
    Replace,
    Cas,
    Append { vivify: bool },
    Prepend { vivify: bool },
}

/// Outcome of a storage command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Stored {
        cas: u64,
        /// Total length after append and prepend.
        joined: Option<usize>,
    },
    NotStored,
    Exists,
    NotFound,
}

/// Why there is no room for an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AllocError {
    TooLarge,
    OutOfMemory,
}

/// The item that an increment hands back.
pub(super) struct Counted {
    pub(super) value: u64,
    pub(super) cas: u64,
    pub(super) exptime: u32,
    /// None: the item was replaced, and changes to what was handed back are lost.
    pub(super) slot: Option<Slot>,
}

/// Why an increment was refused.
pub(super) enum CountError {
    NotFound,
    CasMismatch,
    NonNumeric,
    OutOfMemory,
}

pub(super) struct Store {
    buckets: Vec<Vec<Item>>,
    pub(super) count: usize,
    pub(super) total: u64,
    max_items: usize,
    next_id: u64,
    classes: SlabClasses,
    pub(super) clock: Clock,
    /// Items not accessed since are dead once this second is reached.
    oldest_live: u32,
    pub(super) last_cas: u64,
    pub(super) out_of_memory: bool,
    pub(super) increments_replace: bool,
    /// Keys that the next flush skips.
    pub(super) locked: Vec<Box<[u8]>>,
}

impl Store {
    pub(super) fn new(config: &Config) -> Self {
        Self {
            buckets: (0..BUCKETS).map(|_| Vec::new()).collect(),
            count: 0,
            total: 0,
            max_items: config.max_items,
            next_id: 1,
            classes: SlabClasses::new(config),
            clock: Clock::new(config.start),
            oldest_live: 0,
            last_cas: 1,
            out_of_memory: false,
            increments_replace: false,
            locked: Vec::new(),
        }
    }

    /// The next value of memcached's own CAS counter.
    pub(super) fn next_cas(&mut self) -> u64 {
        self.last_cas += 1;
        self.last_cas
    }

    fn is_flushed(&self, item: &Item) -> bool {
        item.time <= self.oldest_live && self.oldest_live <= self.clock.now
    }

    fn is_readable(&self, item: &Item) -> bool {
        !self.is_flushed(item) && (item.exptime == 0 || item.exptime > self.clock.now)
    }

    /// What a dump lists; an item that expires in this very second is still there.
    pub(super) fn is_dumped(&self, item: &Item) -> bool {
        !self.is_flushed(item) && (item.exptime == 0 || item.exptime >= self.clock.now)
    }

    /// The items of one bucket; none behind the last.
    pub(super) fn bucket(&self, index: usize) -> Option<&[Item]> {
        self.buckets.get(index).map(Vec::as_slice)
    }

    fn locate(&self, key: &[u8]) -> Option<Slot> {
        let bucket = bucket_of(key);
        let index = self.buckets[bucket].iter().position(|item| *item.key == *key)?;
        Some(Slot { bucket, index })
    }

    /// The item if it is alive; a dead one is unlinked.
    pub(super) fn find(&mut self, key: &[u8]) -> Option<Slot> {
        let slot = self.locate(key)?;
        if self.is_readable(self.item(slot)) {
            return Some(slot);
        }
        self.unlink(slot);
        None
    }

    pub(super) fn item(&self, slot: Slot) -> &Item {
        &self.buckets[slot.bucket][slot.index]
    }

    pub(super) fn item_mut(&mut self, slot: Slot) -> &mut Item {
        &mut self.buckets[slot.bucket][slot.index]
    }

    pub(super) fn peek(&self, key: &[u8]) -> Option<ItemView<'_>> {
        let item = self.item(self.locate(key)?);
        self.is_readable(item).then(|| item.view(&self.clock))
    }

    pub(super) fn live_items(&self) -> impl Iterator<Item = ItemView<'_>> {
        self.buckets.iter().flatten().filter(|item| self.is_readable(item)).map(|item| item.view(&self.clock))
    }

    /// Notes a read.
    pub(super) fn bump(&mut self, slot: Slot) {
        let now = self.clock.now;
        let item = self.item_mut(slot);
        if item.fetched && !item.active {
            item.active = true;
            item.time = now;
        }
        item.fetched = true;
    }

    /// Takes a reference for an answer that shows the item.
    pub(super) fn reference(&mut self, slot: Slot) -> Reference {
        let item = self.item_mut(slot);
        item.references += 1;
        Reference { bucket: slot.bucket, id: item.id }
    }

    /// Gives a reference back; the item may be gone.
    pub(super) fn release(&mut self, reference: &Reference) {
        let bucket = &mut self.buckets[reference.bucket];
        if let Some(item) = bucket.iter_mut().find(|item| item.id == reference.id) {
            item.references -= 1;
        }
    }

    /// Room for an item, not linked yet.
    pub(super) fn allocate(&self, key: &[u8], flags: u32, exptime: u32, value_len: usize) -> Result<Item, AllocError> {
        let total = slabs::total_size(key.len(), flags, value_len);
        let class = self.classes.class_of(total).ok_or(AllocError::TooLarge)?;
        if self.out_of_memory {
            return Err(AllocError::OutOfMemory);
        }
        Ok(Item {
            key: key.into(),
            value: Vec::new(),
            flags,
            cas: 0,
            exptime,
            time: 0,
            fetched: false,
            active: false,
            stale: false,
            token_sent: false,
            key_binary: false,
            class,
            chunked: self.classes.is_chunked(total),
            id: 0,
            references: 0,
        })
    }

    /// Puts an item into the table; its key must not be there.
    pub(super) fn link(&mut self, mut item: Item, cas: u64) -> Slot {
        if self.count >= self.max_items {
            self.evict_oldest();
        }
        item.time = self.clock.now;
        item.cas = cas;
        item.id = self.next_id;
        self.next_id += 1;
        self.count += 1;
        self.total += 1;
        let bucket = bucket_of(&item.key);
        self.buckets[bucket].push(item);
        Slot { bucket, index: self.buckets[bucket].len() - 1 }
    }

    pub(super) fn unlink(&mut self, slot: Slot) -> Item {
        self.count -= 1;
        self.buckets[slot.bucket].swap_remove(slot.index)
    }

    fn replace(&mut self, slot: Slot, item: Item, cas: u64) -> Slot {
        self.unlink(slot);
        self.link(item, cas)
    }

    pub(super) fn evict(&mut self, key: &[u8]) -> bool {
        self.locate(key).map(|slot| self.unlink(slot)).is_some()
    }

    /// Least recently linked first; an item that was read twice gets a second chance.
    fn evict_oldest(&mut self) {
        loop {
            let oldest =
                self.buckets.iter_mut().flatten().filter(|item| item.references == 0).min_by_key(|item| item.id);
            match oldest {
                None => return,
                Some(item) if item.active => {
                    item.active = false;
                    item.id = self.next_id;
                    self.next_id += 1;
                }
                Some(item) => {
                    let key = item.key.clone();
                    self.evict(&key);
                    return;
                }
            }
        }
    }

    /// `flush_all`. The deadline replaces an earlier one.
    pub(super) fn flush_all(&mut self, exptime: i32) {
        self.oldest_live = if exptime > 0 { self.clock.deadline(exptime).wrapping_sub(1) } else { self.clock.now - 1 };
        let locked = std::mem::take(&mut self.locked);
        if self.oldest_live == 0 {
            return;
        }
        let mut items: Vec<_> = self
            .buckets
            .iter()
            .flatten()
            .filter(|item| !locked.contains(&item.key))
            .map(|item| (item.class, std::cmp::Reverse(item.id), item.time, item.key.clone()))
            .collect();
        items.sort_unstable();
        // every class from its newest item to the first that was not accessed lately
        let mut finished = 0;
        for (class, _, time, key) in items {
            if class == finished {
                continue;
            }
            if time >= self.oldest_live {
                self.evict(&key);
            } else {
                finished = class;
            }
        }
    }

    /// Stores an item; `item.cas` is the CAS that must be met (zero: none), `cas` the new one.
    pub(super) fn store(&mut self, mut item: Item, mode: Mode, cas: u64, allow_stale: bool) -> Verdict {
        let Some(slot) = self.find(&item.key) else {
            return match mode {
                Mode::Set | Mode::Add | Mode::Append { vivify: true } | Mode::Prepend { vivify: true } => {
                    self.link(item, cas);
                    Verdict::Stored { cas, joined: None }
                }
                Mode::Cas => Verdict::NotFound,
                Mode::Replace | Mode::Append { .. } | Mode::Prepend { .. } => Verdict::NotStored,
            };
        };
        let now = self.clock.now;
        let old = self.item_mut(slot);
        let unconditional = item.cas == 0;
        let matches = item.cas == old.cas;
        let mut joined = None;
        match mode {
            Mode::Set | Mode::Replace => {}
            Mode::Add => {
                old.time = now;
                return Verdict::NotStored;
            }
            Mode::Cas if unconditional => return Verdict::Exists,
            Mode::Cas if matches => {}
            Mode::Cas if allow_stale && item.cas < old.cas => {
                item.exptime = old.exptime;
                item.stale = true;
                item.token_sent = old.token_sent;
            }
            Mode::Cas => return Verdict::Exists,
            Mode::Append { .. } | Mode::Prepend { .. } => {
                if !unconditional && !matches {
                    return Verdict::Exists;
                }
                let (flags, exptime) = (old.flags, old.exptime);
                let old = self.item(slot);
                let len = old.value.len() + item.value.len();
                let Ok(mut both) = self.allocate(&old.key, flags, exptime, len) else {
                    return Verdict::NotStored;
                };
                both.value = match mode {
                    Mode::Append { .. } => [&*old.value, &*item.value].concat(),
                    _ => [&*item.value, &*old.value].concat(),
                };
                item = both;
                joined = Some(len);
            }
        }
        self.replace(slot, item, cas);
        Verdict::Stored { cas, joined }
    }

    /// Increments or decrements a number; `wanted_cas` zero: unconditionally.
    pub(super) fn count(
        &mut self,
        key: &[u8],
        increment: bool,
        delta: u64,
        wanted_cas: u64,
    ) -> Result<Counted, CountError> {
        let slot = self.find(key).ok_or(CountError::NotFound)?;
        let item = self.item(slot);
        if item.value.is_empty() || item.chunked {
            return Err(CountError::NonNumeric);
        }
        if wanted_cas != 0 && item.cas != wanted_cas {
            return Err(CountError::CasMismatch);
        }
        let old = numbers::strtoull(&item.value).ok_or(CountError::NonNumeric)?;
        let value = if increment {
            old.wrapping_add(delta)
        } else {
            // the comparison is between unsigned numbers
            old.saturating_sub(delta)
        };
        let mut digits = itoa::Buffer::new();
        let digits = digits.format(value).as_bytes();
        let exptime = item.exptime;
        let referenced = item.references > 0 || self.increments_replace;
        if digits.len() <= item.value.len() && !referenced {
            let cas = self.next_cas();
            let now = self.clock.now;
            let item = self.item_mut(slot);
            item.cas = cas;
            item.time = now;
            let (head, tail) = item.value.split_at_mut(digits.len());
            head.copy_from_slice(digits);
            tail.fill(b' ');
            return Ok(Counted { value, cas, exptime, slot: Some(slot) });
        }
        let mut longer = self.allocate(key, item.flags, exptime, digits.len()).map_err(|_| CountError::OutOfMemory)?;
        longer.value = digits.to_vec();
        let cas = self.next_cas();
        self.replace(slot, longer, cas);
        Ok(Counted { value, cas, exptime, slot: None })
    }
}

fn bucket_of(key: &[u8]) -> usize {
    let hash =
        key.iter().fold(0xcbf2_9ce4_8422_2325u64, |hash, &b| (hash ^ u64::from(b)).wrapping_mul(0x0000_0100_0000_01b3));
    (hash ^ hash >> 32) as usize % BUCKETS
}
