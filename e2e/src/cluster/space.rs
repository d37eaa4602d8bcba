//! A namespace per test.

use std::panic::AssertUnwindSafe;
use std::time::Instant;

use anyhow::{Context, Result, anyhow};
use futures::FutureExt;
use k8s_openapi::api::core::v1::{Namespace, Pod};
use kube::api::{Api, DeleteParams, ListParams};
use serde_json::json;
use tokio::sync::{OnceCell, RwLock};

use super::access::{Cluster, apply};
use super::faults::{Faults, Kind};
use super::{LATER, keep, wait_until};

/// The label of the namespaces of these tests, so that a later run finds what an earlier one left.
const LABEL: &str = "replicated-memcached.io/e2e";
/// The label that says which test.
const OF: &str = "replicated-memcached.io/e2e-test";

/// Tests that break nodes, or change the operator, are alone; the others wait together.
static TURN: RwLock<()> = RwLock::const_new(());
/// What an earlier run left is removed once, before the first test.
static TIDIED: OnceCell<()> = OnceCell::const_new();

/// Where one test takes place.
pub struct Space {
    /// the cluster
    pub cluster: Cluster,
    /// the test's name
    name: String,
    /// the namespace; its name says which test it is of
    pub namespace: String,
    /// what can be broken
    pub faults: Kind,
}

/// Runs a test that breaks nodes or changes the operator: while no other one runs. In a namespace of its own; whatever
/// comes of it, nodes are healed and the namespace is deleted, which takes its time while the next test begins; if it
/// fails, logs, events and resources are kept first and named.
pub async fn run_alone(name: &str, test: impl AsyncFnOnce(&Space) -> Result<()>) -> Result<()> {
    let _turn = TURN.write().await;
    run(name, test).await
}

/// Runs a test that does neither, beside others.
pub async fn run_beside(name: &str, test: impl AsyncFnOnce(&Space) -> Result<()>) -> Result<()> {
    let _turn = TURN.read().await;
    run(name, test).await
}

async fn run(name: &str, test: impl AsyncFnOnce(&Space) -> Result<()>) -> Result<()> {
    let start = Instant::now();
    let cluster = Cluster::connect().await?;
    let faults = Kind::new(cluster.clone());
    TIDIED
        .get_or_try_init(async || {
            faults.heal_all().await?;
            remove(&cluster, &format!("{LABEL}=true")).await
        })
        .await?;
    let space = Space { namespace: format!("e2e-{name}"), name: name.to_owned(), cluster, faults };
    space.create(&space.namespace).await?;
    eprintln!("{name}: begins");
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
    let removed = remove(&space.cluster, &format!("{LABEL}=true,{OF}={name}")).await;
    eprintln!(
        "{name}: {} after {:.0} s",
        if outcome.is_ok() { "done" } else { "failed" },
        start.elapsed().as_secs_f64()
    );
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
                "labels": {LABEL: "true", OF: self.name, "pod-security.kubernetes.io/enforce": "restricted"},
            },
        });
        let namespaces = Api::<Namespace>::all(self.cluster.client.clone());
        wait_until(&format!("an earlier {namespace} to be gone"), LATER, async || {
            anyhow::ensure!(namespaces.get_opt(namespace).await?.is_none(), "it is there");
            Ok(())
        })
        .await?;
        apply(&namespaces, &object).await.map(drop)
    }
}

/// Begins to delete the namespaces with these labels.
async fn remove(cluster: &Cluster, labels: &str) -> Result<()> {
    let namespaces: Api<Namespace> = Api::all(cluster.client.clone());
    let ours = ListParams::default().labels(labels);
    for namespace in namespaces.list(&ours).await.context("cannot list namespaces")? {
        let name = namespace.metadata.name.unwrap_or_default();
        // it may be on its way already
        let _ = namespaces.delete(&name, &DeleteParams::default()).await;
    }
    Ok(())
}
