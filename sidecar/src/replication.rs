//! Replication, without I/O: the log of writes, the link to the peer, how its writes are applied, and resync.

pub mod journal;
pub mod link;
pub mod log;
pub mod message;
pub mod record;
pub mod replicator;
pub mod resync;

mod apply;
mod flush;
pub(crate) mod inbox;
mod marks;
mod recency;
mod sending;
#[cfg(test)]
mod testing;
mod waiting;

/// What waits for memcached, in bytes, beside one item.
pub(crate) const UPSTREAM_OUTPUT: usize = apply::OUTPUT + resync::OUTPUT;
