//! PURE: every object of a pair, as it is to be.
//!
//! Objects are written as JSON, which is what they look like in every manual of Kubernetes; a test reads each back through the
//! types of Kubernetes, so that no field is misspelt.

mod access;
mod monitoring;
mod network;
mod pods;
mod services;

use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{Secret, Service, ServiceAccount};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::core::{ApiResource, GroupVersionKind};
use ring::digest::{SHA256, digest};
use serde_json::{Value, json};

use crate::api::{GROUP, ReplicatedMemcachedSpec};
use crate::names::{APPLIED, GENERATION, Names, TEMPLATE, UPDATE};
use crate::sizes::Sizes;

/// What the operator itself brings in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Platform {
    /// The sidecar's image without its registry, where the resource names none.
    pub sidecar_image: String,
    /// Put before it, where the resource says nothing else.
    pub registry: Option<String>,
    /// Namespace of the operator's pods; `None` outside of a cluster.
    pub operator_namespace: Option<String>,
}

/// Everything that the objects depend on.
#[derive(Clone, Copy, Debug)]
pub struct Input<'a> {
    /// Name of the resource.
    pub name: &'a str,
    /// Its namespace.
    pub namespace: &'a str,
    /// Its UID: the pair's id, so that a resource that is created again never meets its old data.
    pub uid: &'a str,
    /// Its generation.
    pub generation: i64,
    /// The value of [`UPDATE`].
    pub update: Option<&'a str>,
    /// What the user wants.
    pub spec: &'a ReplicatedMemcachedSpec,
    /// The same in numbers.
    pub sizes: &'a Sizes,
    /// What the operator brings in.
    pub platform: &'a Platform,
    /// Pods that may be evicted at once.
    pub max_unavailable: u8,
}

/// Whose the objects are.
#[derive(Clone, Copy, Debug)]
pub struct Whose<'a> {
    /// Name of the resource.
    pub name: &'a str,
    /// Its namespace.
    pub namespace: &'a str,
    /// Its UID.
    pub uid: &'a str,
}

impl<'a> Input<'a> {
    /// Whose the objects are.
    #[must_use]
    pub fn whose(&self) -> Whose<'a> {
        Whose { name: self.name, namespace: self.namespace, uid: self.uid }
    }

    /// The names of the objects.
    #[must_use]
    pub fn names(&self) -> Names<'a> {
        Names { cr: self.name }
    }

    /// The sidecar's image.
    #[must_use]
    pub fn sidecar_image(&self) -> String {
        if let Some(image) = &self.spec.sidecar.image {
            return image.clone();
        }
        match self.spec.image.registry.as_ref().or(self.platform.registry.as_ref()) {
            Some(registry) => format!("{}/{}", registry.trim_end_matches('/'), self.platform.sidecar_image),
            None => self.platform.sidecar_image.clone(),
        }
    }
}

/// Kinds of objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[expect(missing_docs, reason = "the names are those of Kubernetes")]
pub enum Kind {
    ServiceAccount,
    Secret,
    Service,
    NetworkPolicy,
    PodDisruptionBudget,
    StatefulSet,
    PodMonitor,
    PrometheusRule,
}

impl Kind {
    /// As the API server knows it.
    #[must_use]
    pub fn api_resource(self) -> ApiResource {
        let monitoring = |kind, plural| {
            ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk("monitoring.coreos.com", "v1", kind), plural)
        };
        match self {
            Self::ServiceAccount => ApiResource::erase::<ServiceAccount>(&()),
            Self::Secret => ApiResource::erase::<Secret>(&()),
            Self::Service => ApiResource::erase::<Service>(&()),
            Self::NetworkPolicy => ApiResource::erase::<NetworkPolicy>(&()),
            Self::PodDisruptionBudget => ApiResource::erase::<PodDisruptionBudget>(&()),
            Self::StatefulSet => ApiResource::erase::<StatefulSet>(&()),
            Self::PodMonitor => monitoring("PodMonitor", "podmonitors"),
            Self::PrometheusRule => monitoring("PrometheusRule", "prometheusrules"),
        }
    }

    /// Whether clusters may not know it.
    #[must_use]
    pub fn is_optional(self) -> bool {
        matches!(self, Self::PodMonitor | Self::PrometheusRule)
    }
}

/// An object that is to be.
#[derive(Clone, Debug, PartialEq)]
pub struct Child {
    /// Its kind.
    pub kind: Kind,
    /// Its name.
    pub name: String,
    /// All of it.
    pub object: Value,
}

/// An object that may be there from before and is not to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Orphan {
    /// Its kind.
    pub kind: Kind,
    /// Its name.
    pub name: String,
}

/// What is to be and what is not.
#[derive(Clone, Debug, PartialEq)]
pub struct Children {
    /// In the order in which they are applied; without Secrets.
    pub wanted: Vec<Child>,
    /// The StatefulSet, which has rules of its own.
    pub stateful_set: Child,
    /// To be removed where they are ours.
    pub unwanted: Vec<Orphan>,
}

/// Builds everything but the Secrets.
#[must_use]
pub fn children(input: &Input<'_>) -> Children {
    let mut wanted = vec![service_account(input)];
    wanted.extend(services::services(input));
    wanted.push(budget(input));
    let mut unwanted = Vec::new();
    let optional = [
        (Kind::NetworkPolicy, network::policy(input)),
        (Kind::PodMonitor, monitoring::pod_monitor(input)),
        (Kind::PrometheusRule, monitoring::rules(input)),
    ];
    for (kind, child) in optional {
        match child {
            Some(child) => wanted.push(child),
            None => unwanted.push(Orphan { kind, name: input.name.to_owned() }),
        }
    }
    Children { wanted, stateful_set: pods::stateful_set(input), unwanted }
}

/// A Secret with these texts. Whoever prints it prints keys.
#[must_use]
pub fn secret(whose: Whose<'_>, name: String, data: BTreeMap<String, ByteString>) -> Child {
    owned(whose, Kind::Secret, name, json!({"type": "Opaque", "data": data}))
}

/// A hash of a part of an object, short enough for people to compare.
#[must_use]
pub fn fingerprint(value: &Value) -> String {
    // Keys of serde_json's maps are sorted, so equal values have equal texts.
    hex(&value.to_string())
}

/// The first half of a SHA-256, in hexadecimal digits.
#[must_use]
pub fn hex(text: &str) -> String {
    digest(&SHA256, text.as_bytes()).as_ref().iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

/// Adds to `body` what every object has, and to the StatefulSet what tells of which resource it is.
fn child(input: &Input<'_>, kind: Kind, name: String, mut body: Value) -> Child {
    if kind == Kind::StatefulSet {
        body["metadata"]["annotations"][TEMPLATE] = json!(fingerprint(&body["spec"]["template"]));
        body["metadata"]["annotations"][GENERATION] = json!(input.generation.to_string());
        if let Some(update) = input.update {
            body["metadata"]["annotations"][UPDATE] = json!(update);
        }
    }
    owned(input.whose(), kind, name, body)
}

/// Adds to `body` what every object has.
fn owned(whose: Whose<'_>, kind: Kind, name: String, mut body: Value) -> Child {
    let resource = kind.api_resource();
    let owner = OwnerReference {
        api_version: format!("{GROUP}/v1alpha1"),
        kind: "ReplicatedMemcached".to_owned(),
        name: whose.name.to_owned(),
        uid: whose.uid.to_owned(),
        controller: Some(true),
        block_owner_deletion: Some(true),
    };
    body["apiVersion"] = json!(resource.api_version);
    body["kind"] = json!(resource.kind);
    body["metadata"]["name"] = json!(name);
    body["metadata"]["namespace"] = json!(whose.namespace);
    body["metadata"]["ownerReferences"] = json!([owner]);
    for (key, value) in (Names { cr: whose.name }).labels() {
        body["metadata"]["labels"][key] = json!(value);
    }
    body["metadata"]["annotations"][APPLIED] = json!(fingerprint(&body));
    Child { kind, name, object: body }
}

fn service_account(input: &Input<'_>) -> Child {
    child(input, Kind::ServiceAccount, input.name.to_owned(), json!({"automountServiceAccountToken": false}))
}

fn budget(input: &Input<'_>) -> Child {
    let spec = json!({
        "maxUnavailable": input.max_unavailable,
        "selector": {"matchLabels": input.names().selector()},
        // A replica that serves nobody must not keep its node from being drained.
        "unhealthyPodEvictionPolicy": "AlwaysAllow",
    });
    child(input, Kind::PodDisruptionBudget, input.name.to_owned(), json!({"spec": spec}))
}

#[cfg(test)]
mod tests;
