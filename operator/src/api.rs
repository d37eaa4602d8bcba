//! The custom resource.

pub mod v1alpha1;

pub use v1alpha1::{ReplicatedMemcached, ReplicatedMemcachedSpec, ReplicatedMemcachedStatus};

/// API group; also the prefix of our annotations.
pub const GROUP: &str = "replicated-memcached.io";
