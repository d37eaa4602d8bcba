//! What the containers of a pod need, from what the user says.

use sidecar::limits;
use sidecar::replication::journal::storage_size;
use sidecar::serve::budget::{CLIENTS_MEMORY_MAX, PRIVATE_MAX};

use crate::api::ReplicatedMemcachedSpec;
use crate::quantity::{self, Malformed};

/// One mebibyte.
const MIB: u64 = 1 << 20;
/// The state tables have one entry for so many bytes of cache: more keys than one in eight at 512 bytes each are deleted or
/// unconfirmed only while the peer is long away, and then the floor takes over.
const BYTES_PER_STATE_ENTRY: u64 = 4096;
/// Bounds of the number of entries.
const STATE_ENTRIES: (u64, u64) = (65_536, 16_777_216);

/// What the user says, as numbers, and what follows from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// `-m` of memcached, in bytes.
    pub cache: u64,
    /// `-I` of memcached, in bytes.
    pub max_item: u64,
    /// `--backlog`.
    pub backlog: u64,
    /// `--state-entries`.
    pub state_entries: u32,
    /// `--resync-rate`.
    pub resync_rate: Option<u64>,
    /// `--warmup-deadline`.
    pub warmup_seconds: u64,
    /// `-c` of memcached: connections of the sidecar.
    pub upstream_connections: u64,
    /// The memory volume with memcached's socket and the state file.
    pub volume: u64,
    /// Memory that the container memcached may use.
    pub memcached_memory: u64,
    /// Memory that the container sidecar may use.
    pub sidecar_memory: u64,
    /// Memory that is set aside for the container sidecar.
    pub sidecar_memory_request: u64,
}

/// A combination of sizes that cannot be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SizeError {
    /// A text is no amount.
    #[error("{field}: {source}")]
    Malformed {
        /// Of the spec.
        field: &'static str,
        /// What is wrong.
        source: Malformed,
    },
    /// memcached would not start.
    #[error("memcached.maxItemSize {item} is more than half of memory {memory}: memcached would not start")]
    ItemTooLarge {
        /// `maxItemSize`.
        item: String,
        /// `memory`.
        memory: String,
    },
}

impl Sizes {
    /// Reads the spec.
    ///
    /// # Errors
    /// See [`SizeError`]; what the schema has checked is checked again, since resources may be older than the schema.
    pub fn new(spec: &ReplicatedMemcachedSpec) -> Result<Self, SizeError> {
        let bytes = |field, text: &str| quantity::bytes(text).map_err(|source| SizeError::Malformed { field, source });
        let cache = bytes("memory", &spec.memory)?;
        let max_item = bytes("memcached.maxItemSize", &spec.memcached.max_item_size)?;
        if max_item > cache / 2 {
            let (item, memory) = (spec.memcached.max_item_size.clone(), spec.memory.clone());
            return Err(SizeError::ItemTooLarge { item, memory });
        }
        let backlog = bytes("replication.backlog", &spec.replication.backlog)?;
        let resync_rate = spec.warmup.rate_limit.as_deref().map(|rate| bytes("warmup.rateLimit", rate)).transpose()?;
        let warmup_seconds = quantity::seconds(&spec.warmup.deadline)
            .map_err(|source| SizeError::Malformed { field: "warmup.deadline", source })?;

        let (least, most) = STATE_ENTRIES;
        let state_entries = u32::try_from((cache / BYTES_PER_STATE_ENTRY).clamp(least, most)).unwrap_or(u32::MAX);
        let state_file = storage_size(state_entries) as u64;
        let threads = u64::try_from(spec.sidecar.threads).unwrap_or(1);
        let memcached_threads = u64::try_from(spec.memcached.threads).unwrap_or(1);

        // Items of 96 bytes (key, value and header) need 16 bytes of hash table each while it grows; large items less.
        let memcached_memory = cache + cache / 6 + 64 * MIB + memcached_threads * 4 * MIB + 2 * max_item;
        // What it may take at the worst, without what clients take at the worst: few pairs ever see those.
        let count = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
        let sidecar_memory = limits::worst_case(limits::Sizes {
            threads: count(threads),
            max_connections: usize::try_from(spec.memcached.max_connections).unwrap_or(0),
            backlog: count(backlog),
            state_entries,
            item_size_max: count(max_item),
            client_tls: spec.client_tls.secret_ref.is_some(),
        }) as u64;
        let sidecar_memory_request = sidecar_memory.saturating_sub(CLIENTS_MEMORY_MAX as u64).max(sidecar_memory / 2);
        Ok(Self {
            cache,
            max_item,
            backlog,
            state_entries,
            resync_rate,
            warmup_seconds,
            upstream_connections: 1024.max(PRIVATE_MAX as u64 + threads * 4 + 64),
            volume: whole(state_file + 4 * MIB),
            memcached_memory: whole(memcached_memory),
            sidecar_memory: whole(sidecar_memory),
            sidecar_memory_request: whole(sidecar_memory_request),
        })
    }
}

/// Rounded up to a mebibyte, which people can read.
fn whole(bytes: u64) -> u64 {
    bytes.div_ceil(MIB) * MIB
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn containers_hold_what_is_in_them() {
        for memory in ["64Mi", "1Gi", "100Gi", "1Ti"] {
            let spec = ReplicatedMemcachedSpec { memory: memory.to_owned(), ..Default::default() };
            let sizes = Sizes::new(&spec).unwrap();
            assert!(sizes.memcached_memory > sizes.cache + sizes.cache / 8);
            assert!(sizes.sidecar_memory > sizes.backlog + CLIENTS_MEMORY_MAX as u64 + sizes.volume);
            assert!(sizes.sidecar_memory >= sizes.sidecar_memory_request);
            assert!(sizes.volume as usize > storage_size(sizes.state_entries));
        }
        let sizes = Sizes::new(&ReplicatedMemcachedSpec::default()).unwrap();
        assert_eq!(sizes.state_entries, 262_144, "what --state-entries has where nobody says");
    }

    #[test]
    fn what_cannot_be_is_said() {
        let mut spec = ReplicatedMemcachedSpec { memory: "100Mi".to_owned(), ..Default::default() };
        spec.memcached.max_item_size = "64Mi".to_owned();
        let error = Sizes::new(&spec).unwrap_err().to_string();
        assert!(error.contains("maxItemSize 64Mi") && error.contains("100Mi"), "{error}");
        spec.memory = "much".to_owned();
        let error = Sizes::new(&spec).unwrap_err().to_string();
        assert!(error.contains("memory") && error.contains("much"), "{error}");
    }
}
