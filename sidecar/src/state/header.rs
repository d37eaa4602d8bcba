//! The header: numbers at fixed places, each 8 bytes, little-endian, each valid whenever the process is killed.

use thiserror::Error;

use super::{Storage, read_u64, write_u64};
use crate::clock::Version;

/// Bytes before the table.
pub const SIZE: usize = 4096;
const MAGIC: u64 = u64::from_le_bytes(*b"rmcstate");
const FORMAT: u64 = 1;

/// The numbers of the header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Field {
    /// [`MAGIC`].
    Magic,
    /// Version of this layout.
    Format,
    /// Slots in the table.
    Entries,
    /// Hash of the pair's name and the replica id: a file of another replica is refused.
    Owner,
    /// Which boot of the host: monotonic instants of another one mean nothing.
    HostBoot,
    /// Versions above this have not been issued.
    Ceiling,
    /// The greatest version that fell out of the table: deletes up to it may be forgotten.
    Floor,
    /// The greatest flush.
    Flush,
    /// The greatest flush whose sweep is complete.
    Swept,
    /// When a delayed flush falls due (monotonic milliseconds; 0: none).
    FlushDue,
    /// The version of the command that asked for it.
    FlushDueVersion,
    /// Which log of the peer was being applied; 0: none.
    PeerLog,
    /// The next entry of that log to apply.
    PeerNext,
    /// Every write of the peer up to this version has been applied.
    PeerWatermark,
    /// Whether the peer has sent everything since the content was new: see `replication::journal`.
    Filling,
    /// Random number of this content of memcached.
    Incarnation,
    /// What tells this content from another: first half.
    MarkerHigh,
    /// Second half.
    MarkerLow,
    /// Slots of the table from this one on hold nothing, whatever their bytes are: they are never read, so that they take
    /// no memory.
    Used,
    /// Every write of ours up to this version is noted, or was confirmed: above it, a process that was killed may have
    /// stored items that nothing tells of.
    Noted,
}

impl Field {
    fn offset(self) -> usize {
        self as usize * 8
    }
}

/// A state file that cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum HeaderError {
    /// Written by another release.
    #[error("the state file has format {0}, this release reads format {FORMAT}")]
    Format(u64),
    /// Not ours.
    #[error("the state file belongs to another pair or replica")]
    Owner,
    /// The block is smaller than the table it announces.
    #[error("the state file is cut short: {0} bytes")]
    Short(usize),
}

/// What was found in the block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// Nothing: it starts anew.
    Nothing,
    /// The state of an earlier process.
    State,
}

/// Opens the block: checks it, or begins it. `entries` may differ from the file's; a table of another size starts empty
/// with the floor at the ceiling.
pub fn open(storage: &mut dyn Storage, entries: u32, owner: u64, host_boot: u64) -> Result<Found, HeaderError> {
    if storage.bytes().len() < super::size(entries) {
        return Err(HeaderError::Short(storage.bytes().len()));
    }
    if get(storage, Field::Magic) != MAGIC {
        if let Some(header) = storage.bytes_mut().get_mut(..SIZE) {
            header.fill(0);
        }
        set(storage, Field::Format, FORMAT);
        set(storage, Field::Entries, u64::from(entries));
        set(storage, Field::Owner, owner);
        set(storage, Field::HostBoot, host_boot);
        set(storage, Field::Magic, MAGIC);
        return Ok(Found::Nothing);
    }
    if get(storage, Field::Format) != FORMAT {
        return Err(HeaderError::Format(get(storage, Field::Format)));
    }
    if get(storage, Field::Owner) != owner {
        return Err(HeaderError::Owner);
    }
    if get(storage, Field::Entries) != u64::from(entries) {
        set(storage, Field::Used, 0);
        let ceiling = get(storage, Field::Ceiling);
        set(storage, Field::Floor, ceiling);
        set(storage, Field::Entries, u64::from(entries));
    }
    if get(storage, Field::HostBoot) != host_boot {
        set(storage, Field::FlushDue, 0);
        set(storage, Field::HostBoot, host_boot);
    }
    Ok(Found::State)
}

/// A number of the header.
pub fn get(storage: &dyn Storage, field: Field) -> u64 {
    read_u64(storage.bytes(), field.offset())
}

/// A number of the header that is a version.
pub fn version(storage: &dyn Storage, field: Field) -> Version {
    Version::of_item(get(storage, field))
}

/// Changes a number.
pub fn set(storage: &mut dyn Storage, field: Field, value: u64) {
    write_u64(storage.bytes_mut(), field.offset(), value);
    // A kill between two stores must find them done in the order of the program.
    std::sync::atomic::compiler_fence(std::sync::atomic::Ordering::SeqCst);
}
