//! What is kept of a failed test: logs, events and resources, as files.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use k8s_openapi::api::core::v1::{Namespace, Pod};
use kube::ResourceExt;
use kube::api::{Api, DynamicObject, ListParams, LogParams};
use kube::core::{ApiResource, GroupVersionKind};

use super::Cluster;
use crate::paths;

/// The kinds that tell what happened: group, version, kind.
const KINDS: [(&str, &str, &str); 14] = [
    ("replicated-memcached.io", "v1alpha1", "ReplicatedMemcached"),
    ("", "v1", "Event"),
    ("", "v1", "Pod"),
    ("", "v1", "Service"),
    ("", "v1", "ServiceAccount"),
    ("", "v1", "Node"),
    ("apps", "v1", "Deployment"),
    ("apps", "v1", "StatefulSet"),
    ("apps", "v1", "ControllerRevision"),
    ("batch", "v1", "Job"),
    ("coordination.k8s.io", "v1", "Lease"),
    ("discovery.k8s.io", "v1", "EndpointSlice"),
    ("networking.k8s.io", "v1", "NetworkPolicy"),
    ("policy", "v1", "PodDisruptionBudget"),
];

/// Namespaces of Kubernetes itself: of no interest.
const NOT_OURS: [&str; 4] = ["kube-system", "kube-public", "kube-node-lease", "local-path-storage"];

/// Keeps what the cluster knows under `target/e2e/<name>`; returns the directory. A kind that cannot be read is left
/// out: this must not hide why the test failed.
pub(super) async fn everything(cluster: &Cluster, name: &str) -> Result<PathBuf> {
    let directory = paths::fresh_log_dir(name)?;
    for (group, version, kind) in KINDS {
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
        let api: Api<DynamicObject> = Api::all_with(cluster.client.clone(), &resource);
        let Ok(mut found) = api.list(&ListParams::default()).await else { continue };
        found.items.retain(|object| !NOT_OURS.contains(&object.namespace().unwrap_or_default().as_str()));
        for object in &mut found.items {
            object.managed_fields_mut().clear();
        }
        let path = directory.join(format!("{}.json", kind.to_lowercase()));
        fs::write(&path, serde_json::to_string_pretty(&found.items)?).context("cannot write")?;
    }
    let namespaces: Api<Namespace> = Api::all(cluster.client.clone());
    for namespace in namespaces.list(&ListParams::default()).await? {
        let namespace = namespace.name_any();
        if !NOT_OURS.contains(&namespace.as_str()) {
            logs(cluster, &namespace, &directory).await?;
        }
    }
    Ok(directory)
}

/// The logs of all containers of a namespace, also of those that were before.
async fn logs(cluster: &Cluster, namespace: &str, directory: &Path) -> Result<()> {
    let pods: Api<Pod> = cluster.api(namespace);
    for pod in pods.list(&ListParams::default()).await? {
        let name = pod.name_any();
        let spec = pod.spec.unwrap_or_default();
        let containers = spec.init_containers.unwrap_or_default().into_iter().chain(spec.containers);
        for container in containers.map(|container| container.name) {
            for previous in [false, true] {
                let params = LogParams { container: Some(container.clone()), previous, ..LogParams::default() };
                if let Ok(text) = pods.logs(&name, &params).await {
                    let before = if previous { "-before" } else { "" };
                    fs::write(directory.join(format!("{namespace}.{name}.{container}{before}.log")), text)?;
                }
            }
        }
    }
    Ok(())
}
