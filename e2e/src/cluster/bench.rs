//! `make bench-kind`: what a pair costs in Kubernetes, beside a memcached in a pod of its own, seen by a client in a third.

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::{Namespace, Pod, Service};
use kube::api::{Api, DeleteParams};
use serde_json::json;
use tokio::process::Command;

use super::access::apply;
use super::{Application, Cluster, LATER, OPERATOR, Operator, Pair, wait_until};

/// Where it takes place.
const NAMESPACE: &str = "bench";

/// Installs the operator, makes what is compared, and prints the table; what was made is removed.
pub async fn run(quick: bool) -> Result<()> {
    let cluster = Cluster::connect().await?;
    Operator::install(&cluster, OPERATOR, &[]).await?;
    let namespaces = Api::<Namespace>::all(cluster.client.clone());
    let object = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}});
    apply(&namespaces, &object).await?;
    let measured = measure(&cluster, quick).await;
    namespaces.delete(NAMESPACE, &DeleteParams::default()).await?;
    wait_until("the namespace to be gone", LATER, async || {
        ensure!(namespaces.get_opt(NAMESPACE).await?.is_none(), "it is there");
        Ok(())
    })
    .await?;
    measured
}

async fn measure(cluster: &Cluster, quick: bool) -> Result<()> {
    let pair = Pair::apply_in(cluster, NAMESPACE, "cache", json!({"memory": "1Gi"})).await?;
    let application = Application::start_in(cluster, NAMESPACE, "application", "application").await?;
    pair.settle().await?;
    application.wait_reaches(&pair).await?;
    let direct = memcached(cluster, &pair).await?;
    application.wait_reaches_server(&direct).await?;
    let mut command = Command::new("kubectl");
    command.arg("--kubeconfig").arg(&cluster.kubeconfig);
    command.args(["--namespace", NAMESPACE, "exec", "application", "--", "/usr/local/bin/e2e", "bench"]);
    command.args(["--direct", &direct, "--ours", &pair.replica(0)]).args(quick.then_some("--quick"));
    let status = command.status().await.context("cannot run kubectl")?;
    ensure!(status.success(), "the load ended with {status}");
    Ok(())
}

/// A memcached alone, of the pair's image and with its settings, as far from the client as the replica it is compared with:
/// on that node, behind a Service. Its address.
async fn memcached(cluster: &Cluster, pair: &Pair) -> Result<String> {
    let pods: Api<Pod> = cluster.api(NAMESPACE);
    let of_pair = pair.get_pod(0).await?.spec.unwrap_or_default();
    let node = of_pair.node_name.context("the pair is on no node")?;
    // it starts before the sidecar and ends after it
    let mut containers = of_pair.init_containers.into_iter().flatten().chain(of_pair.containers);
    let image = containers.find(|container| container.name == "memcached");
    let image = image.and_then(|container| container.image).context("the pair has no memcached")?;
    let object = json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "memcached", "labels": {"app": "memcached"}},
        "spec": {
            "nodeName": node,
            "terminationGracePeriodSeconds": 0,
            "containers": [{"name": "memcached", "image": image, "args": ["-m", "1024"]}],
        },
    });
    apply(&pods, &object).await?;
    let service = json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "memcached"},
        "spec": {"selector": {"app": "memcached"}, "ports": [{"name": "tcp-memcached", "port": 11211}]},
    });
    apply(&cluster.api::<Service>(NAMESPACE), &service).await?;
    Ok(format!("memcached.{NAMESPACE}:11211"))
}
