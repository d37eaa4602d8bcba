//! `ReplicatedMemcached` itself.

use std::collections::BTreeMap;

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::access::{Auth, ClientTls};
use super::parts::{Image, Memcached, Metadata, Monitoring, NetworkPolicy, Scheduling, Service, Sidecar};
use super::replication::{Replication, Warmup};
use super::status::ReplicatedMemcachedStatus;

/// A pair of memcached that replicate each other.
#[derive(CustomResource, JsonSchema, Clone, Debug, PartialEq, Deserialize, Serialize)]
#[kube(
    group = "replicated-memcached.io",
    version = "v1alpha1",
    kind = "ReplicatedMemcached",
    plural = "replicatedmemcacheds",
    shortname = "rmc",
    category = "all",
    namespaced,
    derive = "PartialEq",
    status = "ReplicatedMemcachedStatus",
    doc = "A pair of memcached that replicate each other: what is written to one can be read from the other, and a restarted one is refilled.",
    validation = Rule::new("self.metadata.name.size() <= 40").message("the name is too long: use at most 40 characters"),
    validation = Rule::new("self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')").message("the name must begin with a letter, and have only lower-case letters, digits and dashes (no dots)"),
    validation = Rule::new("!self.metadata.name.matches('-(0|1|peers)$')").message("the name must not end in -0, -1 or -peers: the Services of another pair could have that name"),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.ready"),
    printcolumn(name = "Synced", type_ = "string", json_path = ".status.conditions[?(@.type==\"Synced\")].status"),
    printcolumn(name = "Lag", type_ = "string", json_path = ".status.lag"),
    printcolumn(name = "Items", type_ = "integer", json_path = ".status.items"),
    printcolumn(name = "Memory", type_ = "string", json_path = ".spec.memory"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase", default)]
pub struct ReplicatedMemcachedSpec {
    /// How much each of the two memcached may hold, as a quantity: 64Mi to 1Ti. The sizes of the containers follow from it.
    #[schemars(length(min = 1, max = 20))]
    #[schemars(extend("x-kubernetes-validations" = [{"rule": "isQuantity(self) && quantity(self).compareTo(quantity('64Mi')) >= 0 && quantity(self).compareTo(quantity('1Ti')) <= 0", "message": "memory must be a quantity from 64Mi to 1Ti, such as 2Gi"}]))]
    pub memory: String,

    /// The memcached behind.
    pub memcached: Memcached,

    /// What stands in front of it and replicates.
    pub sidecar: Sidecar,

    /// How the two replicate.
    pub replication: Replication,

    /// How a replica gets its first content.
    pub warmup: Warmup,

    /// The Services that clients use.
    pub service: Service,

    /// Where the pods run.
    pub scheduling: Scheduling,

    /// Who may connect.
    pub network_policy: NetworkPolicy,

    /// Users and passwords of clients.
    pub auth: Auth,

    /// TLS with clients.
    pub client_tls: ClientTls,

    /// What the Prometheus operator is told.
    pub monitoring: Monitoring,

    /// When changes reach the pods. Automatic: a change of this resource rolls at once. OnDemand: it waits. What a new release of
    /// the operator changes waits in either case: for the next change of this resource (Automatic), or for a new value of the
    /// annotation replicated-memcached.io/update.
    pub update_policy: UpdatePolicy,

    /// Where images come from.
    pub image: Image,

    /// Labels and annotations of the pods.
    pub pod: Metadata,

    /// The operator leaves everything as it is, but still tells the replicas of each other and renews certificates.
    pub paused: bool,
}

impl Default for ReplicatedMemcachedSpec {
    fn default() -> Self {
        Self {
            memory: "1Gi".to_owned(),
            memcached: Memcached::default(),
            sidecar: Sidecar::default(),
            replication: Replication::default(),
            warmup: Warmup::default(),
            service: Service::default(),
            scheduling: Scheduling::default(),
            network_policy: NetworkPolicy::default(),
            auth: Auth::default(),
            client_tls: ClientTls::default(),
            monitoring: Monitoring::default(),
            update_policy: UpdatePolicy::default(),
            image: Image::default(),
            pod: Metadata::default(),
            paused: false,
        }
    }
}

/// When changes reach the pods.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub enum UpdatePolicy {
    /// At once, one pod after the other.
    #[default]
    Automatic,
    /// When the annotation replicated-memcached.io/update gets a new value.
    OnDemand,
}

/// Requests and limits of a container. What is absent follows from `memory`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Resources {
    /// What the scheduler sets aside.
    pub requests: Amounts,
    /// What the container may use at most. Without a limit of cpu here there is none.
    pub limits: Amounts,
}

/// Amounts of what a container uses.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Amounts {
    /// Cores, such as 500m.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 20))]
    #[schemars(extend("x-kubernetes-validations" = [{"rule": "isQuantity(self) && quantity(self).isGreaterThan(quantity('0'))", "message": "cpu must be a quantity, such as 500m or 2"}]))]
    pub cpu: Option<String>,
    /// Bytes, such as 2Gi.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 20))]
    #[schemars(extend("x-kubernetes-validations" = [{"rule": "isQuantity(self) && quantity(self).compareTo(quantity('16Mi')) >= 0", "message": "memory must be a quantity of at least 16Mi, such as 2Gi"}]))]
    pub memory: Option<String>,
}

/// Labels or annotations.
pub(super) type Map = BTreeMap<String, String>;
