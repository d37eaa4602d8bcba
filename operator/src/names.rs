//! Names, labels and annotations of everything that belongs to a pair.

use std::collections::BTreeMap;

/// The field manager of everything that the operator writes.
pub const FIELD_MANAGER: &str = "replicated-memcached-operator";
/// Value of `app.kubernetes.io/managed-by`, by which the operator finds its pods.
pub const MANAGED_BY: &str = "replicated-memcached-operator";
/// Value of `app.kubernetes.io/name` of everything of a pair.
pub const APPLICATION: &str = "replicated-memcached";

/// Annotation of the resource: a new value starts a resync of both replicas.
pub const RESYNC: &str = "replicated-memcached.io/resync";
/// Annotation of the resource: a new value lets changes that wait reach the pods.
pub const UPDATE: &str = "replicated-memcached.io/update";
/// Annotation of every object that was applied: a hash of what the operator wanted of it.
pub const APPLIED: &str = "replicated-memcached.io/applied";
/// Annotation of the StatefulSet: the generation of the resource that its template is of.
pub const GENERATION: &str = "replicated-memcached.io/generation";
/// Annotation of the StatefulSet: a hash of its template.
pub const TEMPLATE: &str = "replicated-memcached.io/template";
/// Annotation of the pods: a hash of the certificates, so that kubelet fetches a changed Secret at once.
pub const CERTIFICATES: &str = "replicated-memcached.io/certificates";

/// Annotation of the pods: a hash of the versions of the Secrets that decide who may use the cache, for the same reason.
pub const ACCESS: &str = "replicated-memcached.io/access";

/// Port of the clients.
pub const CLIENT_PORT: u16 = 11211;
/// Port of the other sidecar.
pub const REPLICATION_PORT: u16 = 11212;
/// Port of the operator.
pub const CONTROL_PORT: u16 = 11213;
/// Port of metrics and probes.
pub const ADMIN_PORT: u16 = 8080;

/// The names of the children of one resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Names<'a> {
    /// Name of the resource; also of its StatefulSet, client Service, PodDisruptionBudget, NetworkPolicy, ServiceAccount.
    pub cr: &'a str,
}

impl Names<'_> {
    /// A pod, and the Service that leads to it alone.
    #[must_use]
    pub fn replica(self, index: usize) -> String {
        format!("{}-{index}", self.cr)
    }

    /// The headless Service by which the sidecars find each other.
    #[must_use]
    pub fn peers(self) -> String {
        format!("{}-peers", self.cr)
    }

    /// The Secret with the key of the CA; no pod mounts it.
    #[must_use]
    pub fn ca_secret(self) -> String {
        format!("{}-ca", self.cr)
    }

    /// The Secret that the pods mount.
    #[must_use]
    pub fn tls_secret(self) -> String {
        format!("{}-tls", self.cr)
    }

    /// What selects the pods.
    #[must_use]
    pub fn selector(self) -> BTreeMap<String, String> {
        let pairs = [("app.kubernetes.io/name", APPLICATION), ("app.kubernetes.io/instance", self.cr)];
        pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).into()
    }

    /// Labels of everything.
    #[must_use]
    pub fn labels(self) -> BTreeMap<String, String> {
        let mut labels = self.selector();
        labels.insert("app.kubernetes.io/component".to_owned(), "cache".to_owned());
        labels.insert("app.kubernetes.io/managed-by".to_owned(), MANAGED_BY.to_owned());
        labels
    }
}
