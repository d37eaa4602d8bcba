//! The journal: the log, the table and the header under one lock. A write is in it before its client is answered and
//! before its stripe is released.

use std::collections::VecDeque;

use super::log::Log;
use super::record::{Expiry, Record};
use crate::clock::Version;
use crate::hash::KeyHasher;
use crate::state::header::{self, Field, Found, HeaderError};
use crate::state::table::{Entry, List, Table, Write};
use crate::state::{self, Storage};

/// How a journal is opened.
#[derive(Clone, Copy, Debug)]
pub struct JournalConfig {
    /// Slots of the table (`--state-entries`).
    pub entries: u32,
    /// Bytes of the log (`--backlog`).
    pub backlog: usize,
    /// Hash of pair and replica.
    pub owner: u64,
    /// Which boot of the host.
    pub host_boot: u64,
}

/// [`Field::Filling`]: the content is (or will be, by what is in the queue) as complete as the watermark says.
pub const FILLED: u64 = 0;
/// [`Field::Filling`]: the peer has to send everything, and has not begun.
pub const NEEDS_ALL: u64 = 1;
/// [`Field::Filling`]: it has begun, in the log that is being applied.
pub const BEGUN: u64 = 2;

/// So many tokens given away before their item's write was logged are remembered: a few writes are in flight at a time.
const EARLY: usize = 256;

/// See the module.
#[derive(Debug)]
pub struct Journal {
    storage: Box<dyn Storage>,
    /// What waits to be sent or confirmed.
    pub log: Log,
    /// What memcached alone does not tell.
    table: Table,
    /// Entries that fell out of the table since the start.
    pub overflowed: u64,
    encoded: Vec<u8>,
    /// Items whose win token a client got before the write itself was here: hash of the key, and version.
    early: VecDeque<(u64, Version)>,
}

impl Journal {
    /// Opens what an earlier process left in `storage`, or begins it.
    pub fn open(
        mut storage: Box<dyn Storage>,
        config: JournalConfig,
        hasher: KeyHasher,
    ) -> Result<(Self, Found), HeaderError> {
        let found = header::open(storage.as_mut(), config.entries, config.owner, config.host_boot)?;
        let (table, damaged) = Table::load(storage.as_mut(), config.entries, hasher);
        let log = Log::new(config.backlog);
        let mut journal = Self { storage, log, table, overflowed: 0, encoded: Vec::new(), early: VecDeque::new() };
        if found == Found::Nothing {
            journal.set(Field::Filling, NEEDS_ALL);
        }
        if damaged > 0 {
            journal.raise_floor(journal.version(Field::Ceiling));
        }
        Ok((journal, found))
    }

    /// The block of memory, for whoever opens the next journal on it.
    pub fn into_storage(self) -> Box<dyn Storage> {
        self.storage
    }

    /// A number of the header.
    pub fn number(&self, field: Field) -> u64 {
        header::get(self.storage.as_ref(), field)
    }
    /// A version of the header.
    pub fn version(&self, field: Field) -> Version {
        header::version(self.storage.as_ref(), field)
    }
    /// Changes a number of the header.
    pub fn set(&mut self, field: Field, value: u64) {
        header::set(self.storage.as_mut(), field, value);
    }

    /// Appends a write of ours (encoded as `bytes`) and notes it. Returns its number in the log.
    pub fn commit(&mut self, hash: u64, key: &[u8], write: Write, bytes: &[u8]) -> u64 {
        let seq = self.append(bytes);
        self.note(hash, key, write, List::Sent, seq);
        seq
    }

    /// Appends an encoded record about a key.
    pub fn commit_encoded(&mut self, hash: u64, bytes: &[u8]) -> u64 {
        match Record::decode(bytes) {
            Ok((record, _)) => match write_of(&record) {
                Some((key, write)) => {
                    let seq = self.commit(hash, key, write, bytes);
                    if let (Write::Set(item), false) = (write, self.early.is_empty()) {
                        self.won_early(hash, key, item);
                    }
                    seq
                }
                None => self.append(bytes),
            },
            // What this process encoded is a record.
            Err(_) => self.log.next(),
        }
    }

    /// A client got the win token of an item. `in_flight`: its write may not be here yet; then the record follows that once
    /// more, since before it the peer knows nothing of the item.
    pub fn commit_won(&mut self, hash: u64, key: &[u8], item: Version, in_flight: bool) {
        self.commit_record(hash, Record::Won { key, item });
        if in_flight {
            if self.early.len() == EARLY {
                self.early.pop_front();
            }
            self.early.push_back((hash, item));
        }
    }

    #[cold]
    fn won_early(&mut self, hash: u64, key: &[u8], item: Version) {
        if let Some(place) = self.early.iter().position(|early| *early == (hash, item)) {
            self.early.remove(place);
            self.commit_record(hash, Record::Won { key, item });
        }
    }

    /// Appends an encoded record that is about no key, or that must not be noted.
    pub fn append(&mut self, bytes: &[u8]) -> u64 {
        let base = self.log.base();
        let seq = self.log.append(bytes);
        if self.log.base() != base {
            self.table.unsend_below(self.log.base());
        }
        seq
    }

    /// Appends a record without a note in the table.
    pub fn append_record(&mut self, record: &Record<'_>) -> u64 {
        let mut bytes = std::mem::take(&mut self.encoded);
        bytes.clear();
        record.encode(&mut bytes);
        let seq = self.append(&bytes);
        bytes.clear();
        bytes.shrink_to(64 << 10);
        self.encoded = bytes;
        seq
    }

    /// Appends a record about a key, given as such.
    pub fn commit_record(&mut self, hash: u64, record: Record<'_>) -> u64 {
        let mut bytes = std::mem::take(&mut self.encoded);
        bytes.clear();
        record.encode(&mut bytes);
        let seq = match write_of(&record) {
            Some((key, write)) => self.commit(hash, key, write, &bytes),
            None => self.append(&bytes),
        };
        bytes.clear();
        bytes.shrink_to(64 << 10);
        self.encoded = bytes;
        seq
    }

    /// Notes a write without a record.
    pub fn note(&mut self, hash: u64, key: &[u8], write: Write, list: List, seq: u64) {
        if let Some(dropped) = self.table.put(self.storage.as_mut(), hash, key, write, (list, seq)) {
            self.overflowed += 1;
            self.raise_floor(dropped);
        }
    }

    /// Notes a touch by the peer where an older one is known.
    pub fn note_touch(&mut self, hash: u64, key: &[u8], item: Version, version: Version, expiry: Expiry) {
        self.table.update_touch(self.storage.as_mut(), (hash, key), item, version, expiry);
    }

    /// What is known of a key.
    pub fn get(&self, hash: u64, key: &[u8]) -> Option<Entry> {
        self.table.get(self.storage.as_ref(), hash, key)
    }

    /// The table, for its counts.
    pub fn table(&self) -> &Table {
        &self.table
    }

    /// Changes a version of the header, unless it is greater already.
    pub fn raise(&mut self, field: Field, version: Version) {
        if version > self.version(field) {
            self.set(field, version.raw());
        }
    }

    /// Deletes up to `version` may be forgotten.
    pub fn raise_floor(&mut self, version: Version) {
        self.raise(Field::Floor, version);
    }

    /// Frees confirmed entries below `seq`, at most `max`; returns whether there are more.
    pub fn free_below(&mut self, list: List, seq: u64, max: usize) -> bool {
        self.table.free_below(self.storage.as_mut(), list, seq, max)
    }

    /// Nothing of the log can be sent any more: a resync has to bring its keys.
    pub fn drop_log(&mut self) {
        self.log.clear();
        self.table.unsend_below(self.log.next());
        self.table.unsend_sending();
    }

    /// A resync that was under way is off: what it was about to send is unsent again.
    pub fn unsend_sending(&mut self) {
        self.table.unsend_sending();
    }

    /// Deletes that came by a log of the peer that is no more have to be told again.
    pub fn unsend_remote(&mut self) {
        self.table.unsend_remote();
    }

    /// Takes the first unsent entry for sending; its key is appended to `key`.
    pub fn next_unsent(&mut self, key: &mut Vec<u8>) -> Option<(u64, Entry)> {
        self.table.next_unsent(self.storage.as_ref(), key)
    }

    /// memcached has lost its content: a new incarnation begins. Deletes are kept; what was known of items goes, the
    /// floor too (an empty replica must not win over a full one), and the peer has to send everything.
    pub fn content_lost(&mut self, incarnation: u64) -> usize {
        self.set(Field::Incarnation, incarnation);
        self.set(Field::Filling, NEEDS_ALL);
        self.set(Field::PeerLog, 0);
        self.set(Field::PeerWatermark, 0);
        self.set(Field::Floor, 0);
        let flush = self.number(Field::Flush);
        self.set(Field::Swept, flush);
        self.table.content_lost(self.storage.as_mut())
    }

    /// The deadline of a delayed flush and the version of its command.
    pub fn flush_due(&self) -> (Expiry, Version) {
        (Expiry::from_stored(self.number(Field::FlushDue)), self.version(Field::FlushDueVersion))
    }

    /// Takes a delayed flush, or its withdrawal, unless a newer command is known. Returns whether it was taken.
    pub fn set_flush_due(&mut self, version: Version, due: Expiry) -> bool {
        if version <= self.version(Field::FlushDueVersion) {
            return false;
        }
        self.set(Field::FlushDue, 0);
        self.set(Field::FlushDueVersion, version.raw());
        self.set(Field::FlushDue, due.stored());
        true
    }
}

/// What a record says of its key, for the table.
fn write_of<'a>(record: &Record<'a>) -> Option<(&'a [u8], Write)> {
    match *record {
        Record::Set { key, version, .. } => Some((key, Write::Set(version))),
        Record::Delete { key, version } => Some((key, Write::Delete(version))),
        Record::Touch { key, item, version, expiry } => Some((key, Write::Touch { item, version, expiry })),
        Record::Won { key, item } => Some((key, Write::Won(item))),
        Record::Have { .. } | Record::Flush { .. } | Record::FlushAt { .. } | Record::Mark(_) => None,
    }
}

/// The size of the storage for a table of `entries`.
pub fn storage_size(entries: u32) -> usize {
    state::size(entries)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_raised_version_never_goes_back() {
        let config = JournalConfig { entries: 8, backlog: 1 << 10, owner: 1, host_boot: 1 };
        let (mut journal, _) =
            Journal::open(Box::new(vec![0; storage_size(8)]), config, KeyHasher::new(1)).expect("empty");
        // Two threads that raise the ceiling may come in the wrong order.
        for (raised, kept) in [(5, 5), (9, 9), (7, 9)] {
            journal.raise(Field::Ceiling, Version::of_item(raised << 12));
            assert_eq!(journal.version(Field::Ceiling), Version::of_item(kept << 12));
        }
    }
}
