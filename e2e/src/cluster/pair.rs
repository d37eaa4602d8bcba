//! One `ReplicatedMemcached` and what belongs to it.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::{Event, Pod};
use kube::ResourceExt;
use kube::api::{Api, DeleteParams, DynamicObject, ListParams, Patch, PatchParams};
use serde_json::{Value, json};

use super::access::apply;
use super::{Cluster, LATER, Space, wait_until};

/// A pair in a namespace.
pub struct Pair {
    /// the resource's name
    pub name: String,
    /// its namespace
    pub namespace: String,
    cluster: Cluster,
    resources: Api<DynamicObject>,
    /// the pods of the namespace
    pub pods: Api<Pod>,
}

/// What tells two lives of a pod apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodFacts {
    /// changes with each pod of the name
    pub uid: String,
    /// how often its containers were started again
    pub restarts: i32,
    /// whether it is ready and not on its way out
    pub ready: bool,
    /// where it runs
    pub node: Option<String>,
}

impl PodFacts {
    pub(super) fn of(pod: &Pod) -> Self {
        let status = pod.status.clone().unwrap_or_default();
        let conditions = status.conditions.unwrap_or_default();
        let ready = conditions.iter().any(|condition| condition.type_ == "Ready" && condition.status == "True");
        let containers = status.init_container_statuses.into_iter().chain(status.container_statuses).flatten();
        PodFacts {
            uid: pod.uid().unwrap_or_default(),
            restarts: containers.map(|container| container.restart_count).sum(),
            ready: ready && pod.metadata.deletion_timestamp.is_none(),
            node: pod.spec.as_ref().and_then(|spec| spec.node_name.clone()),
        }
    }
}

impl Pair {
    /// Applies a resource with this spec; waits for nothing.
    pub async fn apply(space: &Space, name: &str, spec: Value) -> Result<Self> {
        Self::apply_in(&space.cluster, &space.namespace, name, spec).await
    }

    /// The same in another namespace.
    pub async fn apply_in(cluster: &Cluster, namespace: &str, name: &str, spec: Value) -> Result<Self> {
        let pair = Self::named(cluster, namespace, name);
        pair.change(spec).await?;
        Ok(pair)
    }

    /// A pair that is there already.
    pub fn named(cluster: &Cluster, namespace: &str, name: &str) -> Self {
        Pair {
            name: name.to_owned(),
            namespace: namespace.to_owned(),
            cluster: cluster.clone(),
            resources: cluster.dynamic(namespace, "replicated-memcached.io", "v1alpha1", "ReplicatedMemcached"),
            pods: cluster.api(namespace),
        }
    }

    /// Applies another spec.
    pub async fn change(&self, spec: Value) -> Result<()> {
        let object = json!({
            "apiVersion": "replicated-memcached.io/v1alpha1",
            "kind": "ReplicatedMemcached",
            "metadata": {"name": self.name},
            "spec": spec,
        });
        apply(&self.resources, &object).await.map(drop)
    }

    /// Sets an annotation of the resource.
    pub async fn annotate(&self, key: &str, value: &str) -> Result<()> {
        let patch = Patch::Merge(json!({"metadata": {"annotations": {key: value}}}));
        self.resources.patch(&self.name, &PatchParams::default(), &patch).await?;
        Ok(())
    }

    /// Deletes the resource.
    pub async fn delete(&self) -> Result<()> {
        self.resources.delete(&self.name, &DeleteParams::default()).await?;
        Ok(())
    }

    /// The resource as it is.
    pub async fn get(&self) -> Result<DynamicObject> {
        Ok(self.resources.get(&self.name).await?)
    }

    /// A condition's status and reason; both empty where it is not there.
    pub async fn condition(&self, kind: &str) -> Result<(String, String)> {
        let object = self.get().await?;
        let conditions =
            object.data.pointer("/status/conditions").and_then(Value::as_array).cloned().unwrap_or_default();
        let found = conditions.iter().find(|condition| condition["type"] == kind);
        let text = |field| found.and_then(|found| found[field].as_str()).unwrap_or_default().to_owned();
        Ok((text("status"), text("reason")))
    }

    /// Waits for a condition's status.
    pub async fn wait_for(&self, kind: &str, status: &str, deadline: Duration) -> Result<()> {
        wait_until(&format!("{} of {}/{} to be {status}", kind, self.namespace, self.name), deadline, async || {
            let seen = self.condition(kind).await?;
            ensure!(seen.0 == status, "{} {}", seen.0, seen.1);
            Ok(())
        })
        .await
    }

    /// Waits for a condition's status and reason.
    pub async fn wait_for_reason(&self, kind: &str, status: &str, reason: &str) -> Result<()> {
        let what = format!("{kind} of {}/{} to be {status}, {reason}", self.namespace, self.name);
        wait_until(&what, LATER, async || {
            let seen = self.condition(kind).await?;
            ensure!(seen == (status.to_owned(), reason.to_owned()), "{} {}", seen.0, seen.1);
            Ok(())
        })
        .await
    }

    /// Waits until both replicas are ready and the status, for the present spec, says Available and Synced.
    pub async fn settle(&self) -> Result<()> {
        wait_until(&format!("{}/{} to be whole", self.namespace, self.name), LATER, async || {
            let object = self.get().await?;
            let observed = object.data.pointer("/status/observedGeneration").and_then(Value::as_i64);
            ensure!(observed == object.metadata.generation, "the operator has not seen the resource");
            for kind in ["Available", "Synced"] {
                let seen = self.condition(kind).await?;
                ensure!(seen.0 == "True", "{kind} is {} {}", seen.0, seen.1);
            }
            for index in 0..2 {
                let facts = self.facts(index).await?;
                ensure!(facts.ready, "{} is not ready", self.pod(index));
            }
            Ok(())
        })
        .await
    }

    /// The name of a replica's pod and of its Service.
    pub fn pod(&self, index: usize) -> String {
        format!("{}-{index}", self.name)
    }

    /// Where clients reach either replica.
    pub fn server(&self) -> String {
        format!("{}.{}:11211", self.name, self.namespace)
    }

    /// Where clients reach one replica.
    pub fn replica(&self, index: usize) -> String {
        format!("{}.{}:11211", self.pod(index), self.namespace)
    }

    /// A replica's pod.
    pub async fn get_pod(&self, index: usize) -> Result<Pod> {
        Ok(self.pods.get(&self.pod(index)).await?)
    }

    /// Where clients reach the present pod of a replica, and no other.
    pub async fn address(&self, index: usize) -> Result<String> {
        let ip = self.get_pod(index).await?.status.and_then(|status| status.pod_ip);
        Ok(format!("{}:11211", ip.with_context(|| format!("{} has no address", self.pod(index)))?))
    }

    /// The image that a replica's sidecar runs.
    pub async fn sidecar_image(&self, index: usize) -> Result<String> {
        let spec = self.get_pod(index).await?.spec.context("a pod without a spec")?;
        let sidecar = spec.containers.into_iter().find(|container| container.name == "sidecar");
        sidecar.and_then(|sidecar| sidecar.image).with_context(|| format!("{} has no sidecar", self.pod(index)))
    }

    /// A metric of a replica without labels.
    pub async fn metric(&self, index: usize, name: &str) -> Result<f64> {
        let path = format!("/api/v1/namespaces/{}/pods/{}:8080/proxy/metrics", self.namespace, self.pod(index));
        let text = self.cluster.kubectl(&["get", "--raw", &path], "").await?;
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.with_context(|| format!("{} has no metric {name}", self.pod(index)))?.parse().context("a metric")
    }

    /// What tells two lives of a replica's pod apart.
    pub async fn facts(&self, index: usize) -> Result<PodFacts> {
        Ok(PodFacts::of(&self.get_pod(index).await?))
    }

    /// The same of both.
    pub async fn both_facts(&self) -> Result<[PodFacts; 2]> {
        Ok([self.facts(0).await?, self.facts(1).await?])
    }

    /// Deletes a replica's pod and waits until another one is ready.
    pub async fn replace(&self, index: usize) -> Result<()> {
        let before = self.facts(index).await?;
        self.pods.delete(&self.pod(index), &DeleteParams::default()).await?;
        self.wait_replaced(index, &before).await
    }

    /// Waits until a replica is ready in another pod.
    pub async fn wait_another(&self, index: usize, before: &PodFacts) -> Result<()> {
        wait_until(&format!("another {}", self.pod(index)), LATER, async || {
            let now = self.facts(index).await?;
            ensure!(now.uid != before.uid && now.ready, "{now:?}");
            Ok(())
        })
        .await
    }

    /// Waits until both are.
    pub async fn wait_rolled(&self, before: &[PodFacts; 2]) -> Result<()> {
        for (index, before) in before.iter().enumerate() {
            self.wait_another(index, before).await?;
        }
        Ok(())
    }

    /// Waits until a replica is ready in another pod, or in the same one with containers started again.
    pub async fn wait_replaced(&self, index: usize, before: &PodFacts) -> Result<()> {
        wait_until(&format!("a new {}", self.pod(index)), LATER, async || {
            let now = self.facts(index).await?;
            let another = now.uid != before.uid || now.restarts > before.restarts;
            ensure!(another && now.ready, "{now:?}");
            Ok(())
        })
        .await
    }

    /// The events about the resource, oldest first: reason and message.
    pub async fn events(&self) -> Result<Vec<(String, String)>> {
        let events: Api<Event> = self.cluster.api(&self.namespace);
        let about = format!("involvedObject.kind=ReplicatedMemcached,involvedObject.name={}", self.name);
        let mut found = events.list(&ListParams::default().fields(&about)).await.context("cannot list events")?.items;
        found.sort_by_key(|event| event.metadata.resource_version.as_deref().and_then(|text| text.parse::<u64>().ok()));
        Ok(found
            .into_iter()
            .map(|event| (event.reason.unwrap_or_default(), event.message.unwrap_or_default()))
            .collect())
    }
}
