//! Who may use the cache.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Users and passwords of clients.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Auth {
    /// Name of a Secret in the namespace. Its key users has a line user:password for each, in the format of memcached -Y: clients of
    /// the text protocol begin with memcached's set of "user password", those of the binary protocol with SASL PLAIN. A changed Secret
    /// is taken over without a restart, and who is in stays in. Absent: nobody is asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub secret_ref: Option<String>,
}

/// TLS with clients.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(extend("x-kubernetes-validations" = [{"rule": "has(self.secretRef) || !has(self.clientCertificates) || self.clientCertificates == 'Ignored'", "message": "clientCertificates need a secretRef"}]))]
pub struct ClientTls {
    /// Name of a Secret of type kubernetes.io/tls in the namespace, with tls.crt and tls.key: all clients then speak TLS 1.2 or 1.3. A
    /// changed Secret is taken over without a restart. Absent: clients speak plain TCP.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub secret_ref: Option<String>,
    /// What is asked of clients. Ignored: no certificate. Optional: one that is shown must be signed by ca.crt of the Secret. Required:
    /// every client must show one.
    pub client_certificates: ClientCertificates,
}

/// What is asked of clients that speak TLS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub enum ClientCertificates {
    /// Nothing.
    #[default]
    Ignored,
    /// One that is shown must be good.
    Optional,
    /// Every client must show a good one.
    Required,
}
