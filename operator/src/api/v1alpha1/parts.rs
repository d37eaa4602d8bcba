//! The containers, and what is around the pods.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::resource::{Map, Resources};

/// The memcached behind.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Memcached {
    /// Image with a program memcached on its path, 1.6.27 or newer (1.6.38 and later are tested).
    #[schemars(length(min = 1, max = 500))]
    pub image: String,
    /// Worker threads (-t).
    #[schemars(range(min = 1, max = 64))]
    pub threads: i32,
    /// Client connections to each replica.
    #[schemars(range(min = 1, max = 1000000))]
    pub max_connections: i32,
    /// Size of the largest item (-I), as a quantity: 1Ki to 64Mi, and at most half of memory.
    #[schemars(length(min = 1, max = 20))]
    #[schemars(extend("x-kubernetes-validations" = [{"rule": "isQuantity(self) && quantity(self).compareTo(quantity('1Ki')) >= 0 && quantity(self).compareTo(quantity('64Mi')) <= 0", "message": "maxItemSize must be a quantity from 1Ki to 64Mi, such as 1Mi"}]))]
    pub max_item_size: String,
    /// More arguments. Allowed are -f (growth factor), -n (least item size), -M (errors instead of evictions), -R (requests per
    /// event), -v, -vv, -L (large pages), and -o with slab_reassign, slab_automove, hash_algorithm, lru_maintainer,
    /// hot_lru_pct, warm_lru_pct, hot_max_factor, warm_max_factor, temporary_ttl, idle_timeout and their no_ forms.
    #[schemars(length(max = 32), inner(length(min = 1, max = 200)))]
    #[schemars(extend("x-kubernetes-validations" = [{"rule": "self.all(a, a.matches('^(-(M|L|v|vv)|-[fnR][0-9.]{1,12}|-o((no_)?(slab_reassign|slab_automove|hash_algorithm|lru_maintainer|hot_lru_pct|warm_lru_pct|hot_max_factor|warm_max_factor|temporary_ttl|idle_timeout)(=[a-z0-9_.]{1,16})?,?){1,10})$'))", "message": "write each argument as one word, such as -f1.1 or -oslab_automove=1; allowed are -f -n -R with a number, -M -L -v -vv, and -o"}]))]
    pub extra_args: Vec<String>,
    /// Requests and limits. What is absent follows from memory.
    pub resources: Resources,
}

impl Default for Memcached {
    fn default() -> Self {
        Self {
            image: "docker.io/library/memcached:1.6.45".to_owned(),
            threads: 4,
            max_connections: 16384,
            max_item_size: "1Mi".to_owned(),
            extra_args: Vec::new(),
            resources: Resources::default(),
        }
    }
}

/// What stands in front of memcached and replicates.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Sidecar {
    /// Image; absent: the operator's own release.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 500))]
    pub image: Option<String>,
    /// Worker threads.
    #[schemars(range(min = 1, max = 23))]
    pub threads: i32,
    /// Microseconds that a worker looks for the next request or answer before it sleeps. Shortens the time of a request where
    /// cores are idle, and takes up to a core for each worker while requests come.
    #[schemars(range(min = 0, max = 1000))]
    pub busy_poll_microseconds: i32,
    /// Requests and limits. What is absent follows from memory, backlog, threads and maxConnections.
    pub resources: Resources,
    /// What is logged.
    pub log_level: SidecarLogLevel,
}

impl Default for Sidecar {
    fn default() -> Self {
        Self {
            image: None,
            threads: 2,
            busy_poll_microseconds: 0,
            resources: Resources::default(),
            log_level: SidecarLogLevel::Info,
        }
    }
}

/// The least severe lines that are logged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "the names say it")]
#[schemars(inline)]
pub enum SidecarLogLevel {
    Error,
    Warn,
    #[default]
    Info,
    Debug,
    Trace,
}

/// The Services that clients use.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Service {
    /// Of the Service of both replicas; those of one replica each are always of type ClusterIP.
    #[serde(rename = "type")]
    pub type_: ServiceType,
    /// Annotations of the Service of both replicas.
    #[schemars(extend("x-kubernetes-validations" = [{"rule": "self.all(k, k.size() <= 317 && self[k].size() <= 1024)", "message": "keys have at most 317 characters, values at most 1024"}]))]
    #[schemars(schema_with = "string_map")]
    pub annotations: Map,
    /// Whether clients prefer a replica that is near; absent: they do not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub traffic_distribution: Option<TrafficDistribution>,
    /// ClientIP: a client stays with one replica as long as it is ready, so that it reads its own writes. None: each connection may
    /// go to another one; replication takes a moment.
    pub session_affinity: SessionAffinity,
}

/// Type of a Service.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[expect(missing_docs, reason = "the names are those of Kubernetes")]
pub enum ServiceType {
    #[default]
    ClusterIP,
    NodePort,
    LoadBalancer,
}

impl ServiceType {
    /// As Kubernetes writes it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ClusterIP => "ClusterIP",
            Self::NodePort => "NodePort",
            Self::LoadBalancer => "LoadBalancer",
        }
    }
}

/// Whether clients prefer a replica that is near.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[expect(missing_docs, reason = "the names are those of Kubernetes")]
pub enum TrafficDistribution {
    PreferClose,
    PreferSameZone,
    PreferSameNode,
}

impl TrafficDistribution {
    /// As Kubernetes writes it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::PreferClose => "PreferClose",
            Self::PreferSameZone => "PreferSameZone",
            Self::PreferSameNode => "PreferSameNode",
        }
    }
}

/// Whether a client stays with one replica.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[expect(missing_docs, reason = "the names are those of Kubernetes")]
pub enum SessionAffinity {
    #[default]
    ClientIP,
    None,
}

/// Where the pods run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Scheduling {
    /// How far apart the two are. Zone: never in one zone. Node: never on one node, and in two zones where that can be. Preferred:
    /// on two nodes where that can be (a cluster of one node loses both at once).
    pub anti_affinity: AntiAffinity,
    /// Labels that nodes must have.
    #[schemars(schema_with = "string_map")]
    #[schemars(extend("x-kubernetes-validations" = [{"rule": "self.all(k, k.size() <= 317 && self[k].size() <= 63)", "message": "keys have at most 317 characters, values at most 63"}]))]
    pub node_selector: Map,
    /// Taints that are tolerated, beside those of nodes that are not ready or not reachable (30 seconds).
    #[schemars(length(max = 32))]
    pub tolerations: Vec<Toleration>,
    /// Name of a PriorityClass.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub priority_class_name: Option<String>,
    /// Name of a scheduler; absent: the default one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub scheduler_name: Option<String>,
}

/// How far apart the two replicas are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub enum AntiAffinity {
    /// Never in one zone.
    Zone,
    /// Never on one node.
    #[default]
    Node,
    /// On two nodes where that can be.
    Preferred,
}

/// A taint that is tolerated.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Toleration {
    /// Its key; absent with operator Exists: every taint.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 317))]
    pub key: Option<String>,
    /// Exists or Equal.
    pub operator: TolerationOperator,
    /// Its value, with operator Equal.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    pub value: Option<String>,
    /// Its effect; absent: every one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16))]
    #[schemars(extend("x-kubernetes-validations" = [{"rule": "self in ['NoSchedule', 'PreferNoSchedule', 'NoExecute']", "message": "effect must be NoSchedule, PreferNoSchedule or NoExecute"}]))]
    pub effect: Option<String>,
    /// For how long, with effect NoExecute.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 31536000))]
    pub toleration_seconds: Option<i64>,
}

/// How a toleration matches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[expect(missing_docs, reason = "the names are those of Kubernetes")]
pub enum TolerationOperator {
    Exists,
    #[default]
    Equal,
}

/// Who may connect.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct NetworkPolicy {
    /// Whether there is a NetworkPolicy: replication only between the two pods, control only from the operator, clients and monitoring
    /// as below.
    pub enabled: bool,
    /// Where clients may come from; empty: from everywhere.
    #[schemars(length(max = 32))]
    pub from: Vec<Peer>,
    /// Where metrics may be fetched from; empty: from everywhere.
    #[schemars(length(max = 32))]
    pub monitoring_from: Vec<Peer>,
}

impl Default for NetworkPolicy {
    fn default() -> Self {
        Self { enabled: true, from: Vec::new(), monitoring_from: Vec::new() }
    }
}

/// Pods or addresses that may connect.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(extend("x-kubernetes-validations" = [{"rule": "has(self.cidr) ? !has(self.podLabels) && !has(self.namespaceLabels) : has(self.podLabels) || has(self.namespaceLabels)", "message": "give podLabels, namespaceLabels or both, or else a cidr"}]))]
pub struct Peer {
    /// Labels of the pods; in the namespace of this resource, unless namespaceLabels are given.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "optional_string_map")]
    pub pod_labels: Option<Map>,
    /// Labels of the namespaces.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "optional_string_map")]
    pub namespace_labels: Option<Map>,
    /// A range of addresses, such as 10.0.0.0/8.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 49))]
    pub cidr: Option<String>,
}

/// What the Prometheus operator is told; its CRDs must be installed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Monitoring {
    /// A PodMonitor.
    pub pod_monitor: PodMonitor,
    /// A PrometheusRule with alerts on this pair.
    pub rules: Rules,
}

/// A PodMonitor.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct PodMonitor {
    /// Whether there is one.
    pub enabled: bool,
    /// Seconds between two scrapes.
    #[schemars(range(min = 1, max = 3600))]
    pub interval_seconds: i32,
    /// Labels of the PodMonitor, by which Prometheus finds it.
    #[schemars(schema_with = "string_map")]
    #[schemars(extend("x-kubernetes-validations" = [{"rule": "self.all(k, k.size() <= 317 && self[k].size() <= 63)", "message": "keys have at most 317 characters, values at most 63"}]))]
    pub labels: Map,
}

impl Default for PodMonitor {
    fn default() -> Self {
        Self { enabled: false, interval_seconds: 30, labels: Map::new() }
    }
}

/// A PrometheusRule.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Rules {
    /// Whether there is one.
    pub enabled: bool,
    /// Labels of the PrometheusRule, by which Prometheus finds it.
    #[schemars(schema_with = "string_map")]
    #[schemars(extend("x-kubernetes-validations" = [{"rule": "self.all(k, k.size() <= 317 && self[k].size() <= 63)", "message": "keys have at most 317 characters, values at most 63"}]))]
    pub labels: Map,
}

/// Where images come from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Image {
    /// Registry (and path) put before the sidecar's default image; absent: what the operator was told.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub registry: Option<String>,
    /// Names of Secrets in the namespace with credentials of registries.
    #[schemars(length(max = 16), inner(length(min = 1, max = 253)))]
    pub pull_secrets: Vec<String>,
}

/// Labels and annotations of the pods.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Metadata {
    /// Labels; those that the operator sets cannot be changed.
    #[schemars(schema_with = "string_map")]
    #[schemars(extend("x-kubernetes-validations" = [{"rule": "self.all(k, k.size() <= 317 && self[k].size() <= 63 && !k.startsWith('app.kubernetes.io/'))", "message": "keys have at most 317 characters, values at most 63; app.kubernetes.io/ labels are the operator's"}]))]
    pub labels: Map,
    /// Annotations.
    #[schemars(schema_with = "string_map")]
    #[schemars(extend("x-kubernetes-validations" = [{"rule": "self.all(k, k.size() <= 317 && self[k].size() <= 1024 && !k.startsWith('replicated-memcached.io/'))", "message": "keys have at most 317 characters, values at most 1024; replicated-memcached.io/ annotations are the operator's"}]))]
    pub annotations: Map,
}

/// A map of strings with bounds, without which rules over it would be too dear for the API server.
fn string_map(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({
        "type": "object",
        "maxProperties": 50,
        "additionalProperties": {"type": "string", "maxLength": 1024},
        "default": {},
    })
}

/// The same, without a default.
fn optional_string_map(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({
        "type": "object",
        "nullable": true,
        "maxProperties": 50,
        "additionalProperties": {"type": "string", "maxLength": 63},
    })
}
