//! The table: what memcached alone does not tell of a key. An entry says that the newest write of the key was a Set, a
//! Delete or a Touch of some version, and stays until the other side can no longer send anything older.
//!
//! The entries lie in the state file, one slot each, so a killed sidecar forgets none; index and lists are rebuilt.
//! The bound is the number of slots. Where they are all taken, the oldest entry goes and the caller raises the floor.

use std::sync::atomic::{Ordering, compiler_fence};

use hashbrown::HashTable;

use super::header::Field;
use super::{Storage, header, read_u64, write_u64};
use crate::clock::Version;
use crate::hash::KeyHasher;
use crate::replication::record::{Expiry, MAX_KEY};

/// Bytes of a slot: `deleted:1|version:63, touch version, touch expiry, last delete, key_len: u8, value_pending: u8, key`.
pub const SLOT: usize = 288;
const TOUCH: usize = 8;
const TOUCH_EXPIRY: usize = 16;
const LAST_DELETE: usize = 24;
const KEY_LEN: usize = 32;
const VALUE_PENDING: usize = 33;
const KEY: usize = 34;
const DELETED: u64 = 1 << 63;
const NONE: u32 = u32::MAX;

/// Which queue an entry waits in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum List {
    /// Not in the log: a resync has to send it.
    Unsent,
    /// A resync is about to send it.
    Sending,
    /// In the log under its number, not yet confirmed.
    Sent,
    /// A delete of the peer, by the number in the peer's log.
    Remote,
}
const LISTS: usize = 4;

/// The newest write of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Write {
    /// The item was stored.
    Set(Version),
    /// The item was deleted.
    Delete(Version),
    /// The item of version `item` got a new end.
    Touch {
        /// Version of the item.
        item: Version,
        /// Version of the touch.
        version: Version,
        /// The new end, on our monotonic clock.
        expiry: Expiry,
    },
    /// The win token of the item of this version was given away: it has to be sent again with its marks.
    Won(Version),
}

/// An entry as read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The version of the item, or of its delete.
    pub version: Version,
    /// Whether it is a delete.
    pub deleted: bool,
    /// Whether the peer may lack the value (else only the touch).
    pub value_pending: bool,
    /// The last touch of that item.
    pub touch: Option<(Version, Expiry)>,
    /// Where it waits.
    pub list: List,
}

#[derive(Clone, Copy, Debug)]
struct Side {
    hash: u64,
    seq: u64,
    previous: u32,
    next: u32,
    list: List,
}

#[derive(Clone, Copy, Debug)]
struct Ends {
    first: u32,
    last: u32,
    len: u32,
}

/// See the module.
#[derive(Debug)]
pub struct Table {
    index: HashTable<u32>,
    sides: Vec<Side>,
    free: Vec<u32>,
    lists: [Ends; LISTS],
    deleted: u32,
    capacity: u32,
}

impl Table {
    /// Reads the entries of an earlier process; they are all unsent. Slots that make no sense are cleared and counted.
    pub fn load(storage: &mut dyn Storage, capacity: u32, hasher: KeyHasher) -> (Self, usize) {
        let ends = Ends { first: NONE, last: NONE, len: 0 };
        let mut table = Self {
            index: HashTable::new(),
            sides: Vec::new(),
            free: Vec::new(),
            lists: [ends; LISTS],
            deleted: 0,
            capacity,
        };
        let mut damaged = 0;
        let used = header::get(storage, Field::Used).min(u64::from(capacity)) as u32;
        for slot in 0..used {
            table.sides.push(Side { hash: 0, seq: 0, previous: NONE, next: NONE, list: List::Unsent });
            if head(storage, slot) == 0 {
                table.free.push(slot);
                continue;
            }
            let key = slot_key(storage.bytes(), slot);
            let hash = hasher.hash(key);
            if key.is_empty() || key.len() > MAX_KEY || table.find(storage, hash, key).is_some() {
                damaged += 1;
                set_head(storage, slot, 0);
                table.free.push(slot);
                continue;
            }
            table.deleted += u32::from(head(storage, slot) & DELETED != 0);
            table.side_mut(slot).hash = hash;
            table.link(slot, List::Unsent, 0);
            table.insert_index(hash, slot);
        }
        (table, damaged)
    }

    /// Entries in all lists.
    pub fn len(&self) -> usize {
        self.index.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.index.is_empty()
    }

    /// Entries in one list.
    pub fn len_of(&self, list: List) -> usize {
        self.lists[list as usize].len as usize
    }

    /// Entries that are deletes.
    pub fn deleted(&self) -> usize {
        self.deleted as usize
    }

    /// What is known of a key.
    pub fn get(&self, storage: &dyn Storage, hash: u64, key: &[u8]) -> Option<Entry> {
        self.find(storage, hash, key).map(|slot| self.entry(storage, slot))
    }

    /// Notes a write, in `list` under `seq`; an older one than is known changes nothing. Returns the version of the entry
    /// that had to go for it, where the table was full.
    pub fn put(
        &mut self,
        storage: &mut dyn Storage,
        hash: u64,
        key: &[u8],
        write: Write,
        (list, seq): (List, u64),
    ) -> Option<Version> {
        let known = self.find(storage, hash, key);
        let (version, deleted) = match write {
            Write::Set(version) | Write::Won(version) => (version, false),
            Write::Delete(version) => (version, true),
            Write::Touch { item, .. } => (item, false),
        };
        let mut dropped = None;
        let mut place = (list, seq);
        let slot = match known {
            Some(slot) => {
                let entry = self.entry(storage, slot);
                // A delete wins over the item of the same version.
                if (entry.version, entry.deleted) > (version, deleted) {
                    return None;
                }
                // The record of a touch does not bring the value, which still has to be sent. An item newer than the
                // entry was written by a process that died before it could note it.
                let unsent = matches!(entry.list, List::Unsent | List::Sending) && entry.value_pending;
                match write {
                    Write::Touch { .. } | Write::Won(_) if entry.version < version => place = (List::Unsent, 0),
                    Write::Touch { .. } | Write::Won(_) if unsent => place = (entry.list, 0),
                    _ => {}
                }
                slot
            }
            None => {
                let (slot, went) = self.take_slot(storage);
                dropped = went;
                let Some(slot) = slot else { return Some(version) };
                write_key(storage.bytes_mut(), slot, key);
                write_u64(storage.bytes_mut(), offset(slot) + LAST_DELETE, 0);
                self.side_mut(slot).hash = hash;
                self.insert_index(hash, slot);
                slot
            }
        };
        let old = head(storage, slot);
        let base = offset(slot);
        let same_item = old == version.raw();
        let bytes = storage.bytes_mut();
        match write {
            Write::Set(_) | Write::Delete(_) => {
                write_u64(bytes, base + TOUCH, 0);
                set_byte(bytes, base + VALUE_PENDING, 1);
                if deleted {
                    write_u64(bytes, base + LAST_DELETE, version.raw());
                }
            }
            Write::Won(_) => {
                if !same_item {
                    write_u64(bytes, base + TOUCH, 0);
                }
                set_byte(bytes, base + VALUE_PENDING, 1);
            }
            Write::Touch { version, expiry, .. } => {
                if !same_item {
                    set_byte(bytes, base + VALUE_PENDING, u8::from(known.is_some()));
                }
                write_touch(bytes, slot, version, expiry);
            }
        }
        self.deleted -= u32::from(old & DELETED != 0);
        self.deleted += u32::from(deleted);
        set_head(storage, slot, version.raw() | if deleted { DELETED } else { 0 });
        if known.is_some() {
            self.unlink(slot);
        }
        self.link(slot, place.0, place.1);
        dropped
    }

    /// The item of an entry got a newer touch by the peer: the entry must not bring back an older one.
    pub fn update_touch(
        &mut self,
        storage: &mut dyn Storage,
        (hash, key): (u64, &[u8]),
        item: Version,
        version: Version,
        expiry: Expiry,
    ) {
        let Some(slot) = self.find(storage, hash, key) else { return };
        let entry = self.entry(storage, slot);
        let newer = entry.touch.is_some_and(|(touch, _)| touch < version);
        if entry.version == item && !entry.deleted && newer {
            write_touch(storage.bytes_mut(), slot, version, expiry);
        }
    }

    /// Frees the entries at the head of a list whose number is below `seq`; at most `max`, so that a caller who holds a
    /// lock does not hold it long. Returns whether there are more.
    pub fn free_below(&mut self, storage: &mut dyn Storage, list: List, seq: u64, max: usize) -> bool {
        for _ in 0..max {
            let first = self.lists[list as usize].first;
            if first == NONE || self.side(first).seq >= seq {
                return false;
            }
            self.remove(storage, first);
        }
        true
    }

    /// The entries sent under numbers below `base` were dropped from the log before they were confirmed: a resync has to send them.
    pub fn unsend_below(&mut self, base: u64) {
        loop {
            let first = self.lists[List::Sent as usize].first;
            if first == NONE || self.side(first).seq >= base {
                return;
            }
            self.unlink(first);
            self.link(first, List::Unsent, 0);
        }
    }

    /// A resync that was under way is off: what it was about to send is unsent again.
    pub fn unsend_sending(&mut self) {
        loop {
            let first = self.lists[List::Sending as usize].first;
            if first == NONE {
                return;
            }
            self.unlink(first);
            self.link(first, List::Unsent, 0);
        }
    }

    /// Deletes learnt from a log of the peer that is no more.
    pub fn unsend_remote(&mut self) {
        loop {
            let first = self.lists[List::Remote as usize].first;
            if first == NONE {
                return;
            }
            self.unlink(first);
            self.link(first, List::Unsent, 0);
        }
    }

    /// Takes the first unsent entry for sending: its key is appended to `key`.
    pub fn next_unsent(&mut self, storage: &dyn Storage, key: &mut Vec<u8>) -> Option<(u64, Entry)> {
        let first = self.lists[List::Unsent as usize].first;
        if first == NONE {
            return None;
        }
        self.unlink(first);
        self.link(first, List::Sending, 0);
        key.extend_from_slice(slot_key(storage.bytes(), first));
        Some((self.side(first).hash, self.entry(storage, first)))
    }

    /// memcached lost its content: what was known of items is void, deletes stay, also those that a lost item came
    /// after. Returns how many items were not confirmed.
    pub fn content_lost(&mut self, storage: &mut dyn Storage) -> usize {
        let mut gone = 0;
        for slot in 0..self.sides.len() as u32 {
            let word = head(storage, slot);
            if word == 0 || word & DELETED != 0 {
                continue;
            }
            gone += 1;
            match read_u64(storage.bytes(), offset(slot) + LAST_DELETE) {
                0 => self.remove(storage, slot),
                delete => {
                    write_u64(storage.bytes_mut(), offset(slot) + TOUCH, 0);
                    set_head(storage, slot, delete | DELETED);
                    self.deleted += 1;
                }
            }
        }
        gone
    }

    fn entry(&self, storage: &dyn Storage, slot: u32) -> Entry {
        let base = offset(slot);
        let word = head(storage, slot);
        let touch = Version::of_item(read_u64(storage.bytes(), base + TOUCH));
        let expiry = Expiry::from_stored(read_u64(storage.bytes(), base + TOUCH_EXPIRY));
        Entry {
            version: Version::of_item(word & !DELETED),
            deleted: word & DELETED != 0,
            value_pending: storage.bytes().get(base + VALUE_PENDING).is_some_and(|b| *b != 0),
            touch: (touch != Version::ZERO).then_some((touch, expiry)),
            list: self.side(slot).list,
        }
    }

    fn find(&self, storage: &dyn Storage, hash: u64, key: &[u8]) -> Option<u32> {
        let bytes = storage.bytes();
        self.index.find(hash, |slot| self.side(*slot).hash == hash && slot_key(bytes, *slot) == key).copied()
    }

    fn insert_index(&mut self, hash: u64, slot: u32) {
        let sides = &self.sides;
        let hash_of = |slot: &u32| sides.get(*slot as usize).map_or(0, |s| s.hash);
        self.index.insert_unique(hash, slot, hash_of);
    }

    /// A free slot; where there is none, the one of the oldest entry, whose version is returned too.
    fn take_slot(&mut self, storage: &mut dyn Storage) -> (Option<u32>, Option<Version>) {
        let mut dropped = None;
        if self.free.is_empty() && self.sides.len() >= self.capacity as usize {
            // What a resync is sending goes last: it is about to be confirmed.
            let oldest = [List::Unsent, List::Remote, List::Sent, List::Sending]
                .into_iter()
                .map(|list| self.lists[list as usize].first)
                .find(|first| *first != NONE);
            if let Some(slot) = oldest {
                let entry = self.entry(storage, slot);
                let touch = entry.touch.map_or(Version::ZERO, |(version, _)| version);
                dropped = Some(entry.version.max(touch));
                self.remove(storage, slot);
            }
        }
        if let Some(slot) = self.free.pop() {
            return (Some(slot), dropped);
        }
        if self.sides.len() >= self.capacity as usize {
            return (None, dropped);
        }
        let slot = self.sides.len() as u32;
        self.sides.push(Side { hash: 0, seq: 0, previous: NONE, next: NONE, list: List::Unsent });
        if let Some(bytes) = storage.bytes_mut().get_mut(offset(slot)..offset(slot + 1)) {
            bytes.fill(0);
        }
        compiler_fence(Ordering::SeqCst);
        header::set(storage, Field::Used, u64::from(slot) + 1);
        (Some(slot), dropped)
    }

    fn remove(&mut self, storage: &mut dyn Storage, slot: u32) {
        self.deleted -= u32::from(head(storage, slot) & DELETED != 0);
        set_head(storage, slot, 0);
        let hash = self.side(slot).hash;
        if let Ok(found) = self.index.find_entry(hash, |s| *s == slot) {
            found.remove();
        }
        self.unlink(slot);
        self.free.push(slot);
    }

    fn side(&self, slot: u32) -> &Side {
        &self.sides[slot as usize]
    }
    fn side_mut(&mut self, slot: u32) -> &mut Side {
        &mut self.sides[slot as usize]
    }

    fn link(&mut self, slot: u32, list: List, seq: u64) {
        let ends = &mut self.lists[list as usize];
        let last = std::mem::replace(&mut ends.last, slot);
        ends.len += 1;
        if last == NONE {
            ends.first = slot;
        } else {
            self.side_mut(last).next = slot;
        }
        let side = self.side_mut(slot);
        (side.list, side.seq, side.previous, side.next) = (list, seq, last, NONE);
    }

    fn unlink(&mut self, slot: u32) {
        let Side { previous, next, list, .. } = *self.side(slot);
        let ends = &mut self.lists[list as usize];
        ends.len -= 1;
        if previous == NONE {
            ends.first = next;
        }
        if next == NONE {
            ends.last = previous;
        }
        if previous != NONE {
            self.side_mut(previous).next = next;
        }
        if next != NONE {
            self.side_mut(next).previous = previous;
        }
    }
}

fn offset(slot: u32) -> usize {
    header::SIZE + slot as usize * SLOT
}

fn head(storage: &dyn Storage, slot: u32) -> u64 {
    read_u64(storage.bytes(), offset(slot))
}

/// Makes a slot valid or free; everything else of it is written before.
fn set_head(storage: &mut dyn Storage, slot: u32, head: u64) {
    compiler_fence(Ordering::SeqCst);
    write_u64(storage.bytes_mut(), offset(slot), head);
    compiler_fence(Ordering::SeqCst);
}

/// The version is valid only with its expiry, so it is written last.
fn write_touch(bytes: &mut [u8], slot: u32, version: Version, expiry: Expiry) {
    let base = offset(slot);
    write_u64(bytes, base + TOUCH, 0);
    compiler_fence(Ordering::SeqCst);
    write_u64(bytes, base + TOUCH_EXPIRY, expiry.stored());
    compiler_fence(Ordering::SeqCst);
    write_u64(bytes, base + TOUCH, version.raw());
}

fn slot_key(bytes: &[u8], slot: u32) -> &[u8] {
    let base = offset(slot);
    let len = bytes.get(base + KEY_LEN).copied().unwrap_or(0);
    bytes.get(base + KEY..base + KEY + usize::from(len)).unwrap_or_default()
}

fn write_key(bytes: &mut [u8], slot: u32, key: &[u8]) {
    let base = offset(slot);
    set_byte(bytes, base + KEY_LEN, key.len() as u8);
    if let Some(field) = bytes.get_mut(base + KEY..base + KEY + key.len()) {
        field.copy_from_slice(key);
    }
}

fn set_byte(bytes: &mut [u8], at: usize, value: u8) {
    if let Some(byte) = bytes.get_mut(at) {
        *byte = value;
    }
}
