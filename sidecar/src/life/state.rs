//! Opens the state file, and decides what the content of memcached is worth to it.

use std::io;
use std::path::Path;

use anyhow::Context;

use crate::backend::connect::Marker;
use crate::backend::facts::Facts;
use crate::backend::scan::greatest_version;
use crate::clock::Now;
use crate::config::Config;
use crate::dataplane::worker::Content;
use crate::hash::KeyHasher;
use crate::random;
use crate::replication::journal::{Journal, JournalConfig, storage_size};
use crate::state::Storage;
use crate::state::header::{self, Field, Found};
use crate::state::map::StateMap;

/// Where the host says which boot this is.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// The memory that outlives this process, where there is a directory for it.
///
/// # Errors
/// It is in use, or there is no room.
pub(super) fn storage(config: &Config) -> anyhow::Result<Box<dyn Storage>> {
    let len = storage_size(config.state_entries);
    let map = match &config.state_dir {
        Some(dir) => StateMap::open(dir, len, |old, new| {
            // The header sees that the table has another size, and begins it anew.
            for (new, old) in new.iter_mut().zip(old).take(header::SIZE) {
                *new = *old;
            }
        })?,
        None => StateMap::anonymous(len)?,
    };
    Ok(Box::new(map))
}

/// Opens the journal in it.
///
/// # Errors
/// The state belongs to somebody else, or to another release.
pub(super) fn journal(
    storage: Box<dyn Storage>,
    config: &Config,
    hasher: KeyHasher,
) -> anyhow::Result<(Journal, Found)> {
    let settings = JournalConfig {
        entries: config.state_entries,
        backlog: config.backlog,
        owner: u64::from(crc32fast::hash(config.pair_id.as_bytes())) << 8 | u64::from(config.replica_id),
        host_boot: host_boot(Path::new(BOOT_ID)),
    };
    Journal::open(storage, settings, hasher).context("--state-dir")
}

/// Which boot of the host this is, as a number; 0 where the host does not say.
fn host_boot(path: &Path) -> u64 {
    let id = std::fs::read_to_string(path).unwrap_or_default();
    let digits: String = id.chars().filter(char::is_ascii_hexdigit).take(16).collect();
    u64::from_str_radix(&digits, 16).unwrap_or(0)
}

/// What the journal says of memcached's content when the program starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Known {
    /// All is known of it.
    Same,
    /// Nothing is there.
    Empty,
    /// Something is there, of which the journal knows nothing.
    Unknown,
}

fn known(found: Found, journal: &Journal, items: u64, marker: Marker) -> Known {
    let stored = Marker { high: journal.number(Field::MarkerHigh), low: journal.number(Field::MarkerLow) };
    if found == Found::State && journal.number(Field::Incarnation) != 0 && stored == marker {
        Known::Same
    } else if items == 0 {
        Known::Empty
    } else {
        Known::Unknown
    }
}

/// Decides what the replicator is told of the content: whether it is new, and its number. Where memcached holds items that
/// the journal knows nothing of, versions start above theirs, and what the peer deleted below has to be told by it.
///
/// # Errors
/// The items cannot be listed.
pub(super) async fn content(
    config: &Config,
    journal: &mut Journal,
    found: Found,
    (facts, marker): (&Facts, Marker),
    now: Now,
) -> io::Result<(Content, u64)> {
    match known(found, journal, facts.items, marker) {
        Known::Same => {
            tracing::info!(items = facts.items, "memcached holds what it held");
            Ok((Content::Same, journal.number(Field::Incarnation)))
        }
        Known::Empty => {
            tracing::info!("memcached is empty");
            Ok((Content::New, random::secret()?))
        }
        Known::Unknown => {
            let greatest = greatest_version(&config.memcached, now).await?;
            tracing::warn!(
                items = facts.items,
                "memcached holds items of which no state is kept: {greatest} is newest"
            );
            let incarnation = random::secret()?;
            journal.content_lost(incarnation);
            let ceiling = journal.version(Field::Ceiling).max(greatest);
            journal.set(Field::Ceiling, ceiling.raw());
            journal.raise_floor(greatest);
            mark(journal, marker);
            Ok((Content::Same, incarnation))
        }
    }
}

/// Notes which content the state belongs to.
pub(super) fn mark(journal: &mut Journal, marker: Marker) {
    journal.set(Field::MarkerHigh, marker.high);
    journal.set(Field::MarkerLow, marker.low);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(storage: Box<dyn Storage>) -> (Journal, Found) {
        let config = JournalConfig { entries: 1024, backlog: 1 << 20, owner: 1, host_boot: 1 };
        Journal::open(storage, config, KeyHasher::new(1)).unwrap()
    }

    #[test]
    fn only_the_marked_content_is_known() {
        let marker = Marker { high: 1, low: 2 };
        let (mut journal, found) = open(Box::new(vec![0; storage_size(1024)]));
        assert_eq!(known(found, &journal, 0, marker), Known::Empty);
        assert_eq!(known(found, &journal, 1, marker), Known::Unknown);
        journal.content_lost(7);
        mark(&mut journal, marker);
        let (journal, found) = open(journal.into_storage());
        assert_eq!(known(found, &journal, 5, marker), Known::Same);
        assert_eq!(known(found, &journal, 0, marker), Known::Same);
        assert_eq!(known(found, &journal, 5, Marker { low: 3, ..marker }), Known::Unknown);
        assert_eq!(known(found, &journal, 0, Marker { low: 3, ..marker }), Known::Empty);
    }

    #[test]
    fn the_boot_of_the_host_is_a_number() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("boot_id");
        std::fs::write(&path, "0123abcd-4567-89ef-0000-000000000000\n").unwrap();
        assert_eq!(host_boot(&path), 0x0123_abcd_4567_89ef);
        assert_eq!(host_boot(&dir.path().join("none")), 0);
    }
}
