//! The sidecar of a replicated pair of memcached.

pub mod admin;
pub mod clock;
pub mod config;
pub mod dataplane;
pub mod hash;
pub mod logging;
pub mod metrics;
pub mod protocol;
pub mod replication;
pub mod rules;
pub mod shared;
pub mod state;
pub mod stats;
pub mod tls;
