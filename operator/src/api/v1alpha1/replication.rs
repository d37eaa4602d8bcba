//! How the two replicas replicate, and how they begin.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How the two replicate.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Replication {
    /// Bytes of writes that each replica keeps for one that is slow or away, as a quantity: 1Mi to 8Gi. Beyond it the values are
    /// fetched again from memcached.
    #[schemars(length(min = 1, max = 20))]
    #[schemars(extend("x-kubernetes-validations" = [{"rule": "isQuantity(self) && quantity(self).compareTo(quantity('1Mi')) >= 0 && quantity(self).compareTo(quantity('8Gi')) <= 0", "message": "backlog must be a quantity from 1Mi to 8Gi, such as 64Mi"}]))]
    pub backlog: String,
    /// Certificates between the replicas and of the operator.
    pub tls: ReplicationTls,
}

impl Default for Replication {
    fn default() -> Self {
        Self { backlog: "64Mi".to_owned(), tls: ReplicationTls::default() }
    }
}

/// Certificates between the replicas and of the operator. Replication is always encrypted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(extend("x-kubernetes-validations" = [{"rule": "(has(self.mode) && self.mode == 'Secret') == has(self.secretRef)", "message": "give secretRef with mode Secret, and only then"}, {"rule": "!has(self.operatorSecretRef) || has(self.secretRef)", "message": "give operatorSecretRef beside secretRef only"}]))]
pub struct ReplicationTls {
    /// Managed: the operator makes a CA of this pair's own, and renews all certificates. Secret: they are in a Secret of yours.
    pub mode: TlsMode,
    /// Name of a Secret in the namespace with ca.crt, tls.crt and tls.key for the replicas: a leaf for server and client, with the
    /// DNS name sidecar.replicated-memcached.io. Host names are not checked.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub secret_ref: Option<String>,
    /// Name of a Secret in the namespace with tls.crt and tls.key for the operator: a leaf of the same CA for client, with the DNS
    /// name operator.replicated-memcached.io. Absent: operator.crt and operator.key of the Secret above.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub operator_secret_ref: Option<String>,
}

/// Where certificates come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub enum TlsMode {
    /// From the operator.
    #[default]
    Managed,
    /// From a Secret.
    Secret,
}

/// How a replica gets its first content.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Warmup {
    /// How long a replica waits for its first sync to make progress before it serves from what it has, such as 60s or 5m; 0s waits
    /// for nobody.
    #[schemars(length(min = 2, max = 16))]
    #[schemars(extend("x-kubernetes-validations" = [{"rule": "self.matches('^([0-9]{1,2}h)?([0-9]{1,4}m)?([0-9]{1,5}s)?$') && duration(self) <= duration('24h')", "message": "deadline must be a time from 0s to 24h, such as 60s or 5m"}]))]
    pub deadline: String,
    /// Most bytes per second that a replica sends to fill the other one, as a quantity of at least 64Ki; absent: no bound.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 20))]
    #[schemars(extend("x-kubernetes-validations" = [{"rule": "isQuantity(self) && quantity(self).compareTo(quantity('64Ki')) >= 0 && quantity(self).compareTo(quantity('1Ti')) <= 0", "message": "rateLimit must be a quantity of bytes per second from 64Ki to 1Ti, such as 50Mi"}]))]
    pub rate_limit: Option<String>,
}

impl Default for Warmup {
    fn default() -> Self {
        Self { deadline: "60s".to_owned(), rate_limit: None }
    }
}
