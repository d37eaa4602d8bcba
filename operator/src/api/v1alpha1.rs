//! `replicated-memcached.io/v1alpha1`. Fields are only ever added.

mod access;
mod parts;
mod replication;
mod resource;
mod status;

pub use access::{Auth, ClientCertificates, ClientTls};
pub use parts::{
    AntiAffinity, Image, Memcached, Metadata, Monitoring, NetworkPolicy, Peer, PodMonitor, Rules, Scheduling, Service,
    ServiceType, SessionAffinity, Sidecar, SidecarLogLevel, Toleration, TolerationOperator, TrafficDistribution,
};
pub use replication::{Replication, ReplicationTls, TlsMode, Warmup};
pub use resource::{Amounts, ReplicatedMemcached, ReplicatedMemcachedSpec, Resources, UpdatePolicy};
pub use status::{
    Condition, ConditionStatus, ConditionType, Endpoints, Images, LastResync, ReplicaStatus, ReplicatedMemcachedStatus,
};
