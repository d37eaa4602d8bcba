//! What the operator says of a pair.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What the operator saw last.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ReplicatedMemcachedStatus {
    /// The generation of the spec that the rest is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Available (clients are served), Synced (both hold the same), Progressing (something is being changed), Degraded (somebody has to
    /// act).
    #[schemars(length(max = 8), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
    /// Replicas that serve clients, such as 2/2.
    #[schemars(length(max = 8))]
    pub ready: String,
    /// Age of the oldest write that the other replica has not confirmed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16))]
    pub lag: Option<String>,
    /// Items, of the replica that holds more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub items: Option<i64>,
    /// The two replicas.
    #[schemars(length(max = 2))]
    pub replicas: Vec<ReplicaStatus>,
    /// Where clients connect.
    pub endpoints: Endpoints,
    /// The images that the StatefulSet asks for.
    pub images: Images,
    /// The last value of the annotation replicated-memcached.io/resync that was followed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub resync_requested: Option<String>,
}

/// One aspect of the state.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    /// Which aspect.
    #[serde(rename = "type")]
    pub type_: ConditionType,
    /// Whether it is so.
    pub status: ConditionStatus,
    /// One word for programs.
    #[schemars(length(max = 64))]
    pub reason: String,
    /// A sentence for people.
    #[schemars(length(max = 1024))]
    pub message: String,
    /// Since when the status is what it is.
    pub last_transition_time: Time,
    /// The generation of the spec that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
}

/// Which aspect a condition is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize, Serialize, JsonSchema)]
pub enum ConditionType {
    /// At least one replica serves clients.
    Available,
    /// Both replicas hold the same, but for what is on its way.
    Synced,
    /// Something is being changed.
    Progressing,
    /// Somebody has to act.
    Degraded,
}

impl ConditionType {
    /// Its name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Available => "Available",
            Self::Synced => "Synced",
            Self::Progressing => "Progressing",
            Self::Degraded => "Degraded",
        }
    }
}

/// Whether a condition holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[expect(missing_docs, reason = "the names say it")]
pub enum ConditionStatus {
    True,
    False,
    Unknown,
}

/// One replica.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ReplicaStatus {
    /// Its pod.
    #[schemars(length(max = 63))]
    pub name: String,
    /// Where the pod is; empty while it is nowhere.
    #[schemars(length(max = 253))]
    pub node: String,
    /// What the sidecar says of itself (starting, syncing, ready, draining, fenced), or what is known of the pod (missing, pending,
    /// terminating, unreachable).
    #[schemars(length(max = 32))]
    pub phase: String,
    /// Whether it serves clients.
    pub ready: bool,
    /// Whether it has a link with the other one.
    pub peer_connected: bool,
    /// Age of its oldest write that the other one has not confirmed, in milliseconds; 0 below 100.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lag_milliseconds: Option<i64>,
    /// Items that it holds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub items: Option<i64>,
    /// Bytes that they take.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes: Option<i64>,
    /// The last time that it filled the other one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_resync: Option<LastResync>,
}

/// A replica filled the other one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct LastResync {
    /// partial, incremental or full.
    #[schemars(length(max = 16))]
    pub kind: String,
    /// Items sent.
    pub items: i64,
    /// How long it took.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duration_milliseconds: Option<i64>,
}

/// Where clients connect.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Endpoints {
    /// Both replicas.
    #[schemars(length(max = 160))]
    pub both: String,
    /// Each replica for itself.
    #[schemars(length(max = 2), inner(length(max = 160)))]
    pub replicas: Vec<String>,
}

/// The images that the StatefulSet asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Images {
    /// Of memcached.
    #[schemars(length(max = 500))]
    pub memcached: String,
    /// Of the sidecar.
    #[schemars(length(max = 800))]
    pub sidecar: String,
}
