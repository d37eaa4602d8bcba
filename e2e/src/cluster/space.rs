//! A namespace per test.

use std::panic::AssertUnwindSafe;

use anyhow::{Context, Result, anyhow};
use futures::FutureExt;
use k8s_openapi::api::core::v1::{Namespace, Pod};
use kube::api::{Api, DeleteParams, ListParams};
use serde_json::json;
use tokio::sync::Mutex;

use super::access::{Cluster, apply};
use super::faults::{Faults, Kind};
use super::{LATER, keep, wait_until};

/// The label of the namespaces of these tests, so that a later run finds what an earlier one left.
const LABEL: &str = "replicated-memcached.io/e2e";

/// Tests break nodes and count writes: one at a time.
static ONE_AT_A_TIME: Mutex<()> = Mutex::const_new(());

/// Where one test takes place.
pub struct Space {
    /// the cluster
    pub cluster: Cluster,
    /// the namespace; its name says which test it is of
    pub namespace: String,
    /// what can be broken
    pub faults: Kind,
}

/// Runs a test in a namespace of its own. Whatever comes of it, nodes are healed and the namespace is removed; if it
/// fails, logs, events and resources are kept first and named.
pub async fn run(name: &str, test: impl AsyncFnOnce(&Space) -> Result<()>) -> Result<()> {
    let _turn = ONE_AT_A_TIME.lock().await;
    let cluster = Cluster::connect().await?;
    let faults = Kind::new(cluster.clone());
    faults.heal().await?;
    remove_leftovers(&cluster).await?;
    let space = Space { namespace: format!("e2e-{name}"), cluster, faults };
    space.create(&space.namespace).await?;
    // a failed assertion is a panic
    let outcome = AssertUnwindSafe(test(&space)).catch_unwind().await;
    let outcome = outcome.unwrap_or_else(|panic| Err(anyhow!("{}", message(&*panic))));
    if outcome.is_err() {
        match keep::everything(&space.cluster, name).await {
            Ok(directory) => eprintln!("logs, events and resources are kept in {}", directory.display()),
            Err(error) => eprintln!("logs, events and resources could not be kept: {error:#}"),
        }
    }
    let healed = space.faults.heal().await;
    let removed = remove_leftovers(&space.cluster).await;
    outcome.and(healed).and(removed)
}

fn message(panic: &(dyn std::any::Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("panicked")
}

impl Space {
    /// The node a pod runs on.
    pub async fn node_of(&self, pod: &str) -> Result<String> {
        let pods: Api<Pod> = self.cluster.api(&self.namespace);
        pods.get(pod).await?.spec.and_then(|spec| spec.node_name).with_context(|| format!("{pod} has no node"))
    }

    /// Another namespace of the same test, where pods must keep to the restricted profile like in the first.
    pub async fn create(&self, namespace: &str) -> Result<()> {
        let object = json!({
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {
                "name": namespace,
                "labels": {LABEL: "true", "pod-security.kubernetes.io/enforce": "restricted"},
            },
        });
        apply(&Api::<Namespace>::all(self.cluster.client.clone()), &object).await.map(drop)
    }
}

async fn remove_leftovers(cluster: &Cluster) -> Result<()> {
    let namespaces: Api<Namespace> = Api::all(cluster.client.clone());
    let ours = ListParams::default().labels(LABEL);
    for namespace in namespaces.list(&ours).await.context("cannot list namespaces")? {
        let name = namespace.metadata.name.unwrap_or_default();
        // it may be on its way already
        let _ = namespaces.delete(&name, &DeleteParams::default()).await;
    }
    wait_until("the namespaces of tests to be gone", LATER, async || {
        let left = namespaces.list(&ours).await?.items;
        anyhow::ensure!(left.is_empty(), "{} left", left.len());
        Ok(())
    })
    .await
}
