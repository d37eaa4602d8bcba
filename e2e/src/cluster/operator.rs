//! The operator as a user installs it: by its Helm chart.

use std::env;
use std::sync::LazyLock;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::ResourceExt;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams};
use serde_json::json;
use tokio::process::Command;
use tokio::sync::Mutex;

use super::{Cluster, LATER, wait_until};
use crate::paths;

/// The release's name, and by the chart's rules the Deployment's.
const RELEASE: &str = "replicated-memcached";

/// The namespace of the operator for the tests and the demonstration: two operators that look after the same namespaces
/// would not know of each other.
pub const OPERATOR: &str = "replicated-memcached";

/// What this process has installed, namespace and values: most tests want the same, and helm takes seconds each time.
static INSTALLED: Mutex<Option<(String, Vec<String>)>> = Mutex::const_new(None);

/// When this process first installed an operator.
static RUN: LazyLock<Duration> =
    LazyLock::new(|| SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default());

/// An operator in a namespace.
pub struct Operator {
    cluster: Cluster,
    /// where it runs
    pub namespace: String,
}

impl Operator {
    /// Installs the chart, or changes what is installed to these values, and waits until it runs. `values`: `name=value`.
    /// With E2E_OPERATOR, the namespace of an operator, that one is used as it is.
    pub async fn install(cluster: &Cluster, namespace: &str, values: &[&str]) -> Result<Self> {
        if let Some(namespace) = env::var_os("E2E_OPERATOR") {
            return Ok(Self::at(cluster, namespace.to_str().context("E2E_OPERATOR is not UTF-8")?));
        }
        let operator = Self::at(cluster, namespace);
        let mut installed = INSTALLED.lock().await;
        let wanted = (namespace.to_owned(), values.iter().map(ToString::to_string).collect());
        if installed.as_ref() == Some(&wanted) {
            return Ok(operator);
        }
        *installed = None;
        let chart = Self::chart()?;
        let mut arguments =
            vec!["upgrade", "--install", RELEASE, &chart, "--create-namespace", "--wait", "--take-ownership"];
        // without values, helm would keep those of the release before
        arguments.extend(["--timeout", "3m", "--reset-values"]);
        // an image that was built again has the same name: a pod of the one before would stay
        let run = format!("podAnnotations.run=at-{}", RUN.as_secs());
        arguments.extend(["--set", &run]);
        for value in values {
            arguments.extend(["--set", value]);
        }
        operator.helm(&arguments).await?;
        *installed = Some(wanted);
        Ok(operator)
    }

    /// An operator that is installed there already.
    pub fn at(cluster: &Cluster, namespace: &str) -> Self {
        Operator { cluster: cluster.clone(), namespace: namespace.to_owned() }
    }

    /// The chart in the checkout.
    pub fn chart() -> Result<String> {
        let chart = paths::checkout().join("charts/replicated-memcached");
        Ok(chart.to_str().context("a path that is not UTF-8")?.to_owned())
    }

    /// Runs helm in the operator's namespace; its output.
    pub async fn helm(&self, arguments: &[&str]) -> Result<String> {
        helm(&self.cluster, &[arguments, &["--namespace", &self.namespace]].concat()).await
    }

    /// Removes what the chart installed.
    pub async fn uninstall(&self) -> Result<()> {
        *INSTALLED.lock().await = None;
        self.helm(&["uninstall", RELEASE, "--wait"]).await.map(drop)
    }

    /// The Deployment.
    fn deployments(&self) -> Api<Deployment> {
        self.cluster.api(&self.namespace)
    }

    /// Changes the number of operators and waits until it is so.
    pub async fn scale(&self, replicas: i32) -> Result<()> {
        let patch = Patch::Merge(json!({"spec": {"replicas": replicas}}));
        self.deployments().patch(RELEASE, &PatchParams::default(), &patch).await?;
        wait_until(&format!("{replicas} operators"), LATER, async || {
            let pods = self.pods().await?;
            ensure!(pods.len() == usize::try_from(replicas)?, "{} pods", pods.len());
            let ready = self.ready().await?;
            ensure!(ready == replicas, "{ready} ready");
            Ok(())
        })
        .await
    }

    /// Its pods.
    pub async fn pods(&self) -> Result<Vec<Pod>> {
        let pods: Api<Pod> = self.cluster.api(&self.namespace);
        let selector = format!("app.kubernetes.io/instance={RELEASE}");
        Ok(pods.list(&ListParams::default().labels(&selector)).await.context("cannot list pods")?.items)
    }

    /// Has its one pod run on a node.
    pub async fn move_to(&self, node: &str) -> Result<()> {
        let nodes: Api<Node> = Api::all(self.cluster.client.clone());
        let others = nodes.list(&ListParams::default()).await?.into_iter().map(|other| other.name_any());
        let others: Vec<_> = others.filter(|other| other != node).collect();
        for other in &others {
            self.cluster.kubectl(&["cordon", other], "").await?;
        }
        let moved = async {
            self.kill().await?;
            wait_until(&format!("the operator to be on {node}"), LATER, async || {
                let pods = self.pods().await?;
                let place = |pod: &Pod| pod.spec.as_ref().and_then(|spec| spec.node_name.clone());
                let places: Vec<_> = pods.iter().filter_map(place).collect();
                ensure!(places == [node], "{places:?}");
                ensure!(self.ready().await? == 1, "not ready");
                Ok(())
            })
            .await
        };
        let moved = moved.await;
        for other in &others {
            self.cluster.uncordon(other).await?;
        }
        moved
    }

    async fn ready(&self) -> Result<i32> {
        let status = self.deployments().get(RELEASE).await?.status.unwrap_or_default();
        Ok(status.ready_replicas.unwrap_or_default())
    }

    /// Deletes its pods at once, as a crash would.
    pub async fn kill(&self) -> Result<()> {
        let pods: Api<Pod> = self.cluster.api(&self.namespace);
        for pod in self.pods().await? {
            pods.delete(&pod.name_any(), &DeleteParams::default().grace_period(0)).await?;
        }
        Ok(())
    }
}

/// Runs helm against the cluster; its standard output.
async fn helm(cluster: &Cluster, arguments: &[&str]) -> Result<String> {
    let mut command = Command::new("helm");
    command.args(arguments).env("KUBECONFIG", &cluster.kubeconfig).kill_on_drop(true);
    let output = command.output().await.context("cannot run helm")?;
    let complaint = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "helm {arguments:?}: {}", complaint.trim());
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
