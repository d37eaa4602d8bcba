//! The sidecar of a replicated pair of memcached.

pub mod protocol;
