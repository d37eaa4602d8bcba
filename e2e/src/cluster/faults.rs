//! What goes wrong in a cluster: nodes that stop, hang or lose the network, processes that die.

use std::collections::BTreeSet;
use std::env;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::ResourceExt;
use kube::api::{Api, ListParams};
use tokio::process::Command;
use tokio::time::timeout;

use super::{Cluster, LATER, wait_until};

/// The label of the node that runs no pods of ours, and has none of our images.
const CONTROL_PLANE: &str = "node-role.kubernetes.io/control-plane";
/// The daemon that `make cluster` starts where there is none.
const OUR_DOCKER: &str = "/run/replicated-memcached/docker.sock";
/// For commands that take no more than a moment.
const COMMAND: Duration = Duration::from_secs(60);

/// What a test can break. Everything is mended by [`Faults::heal`].
#[allow(async_fn_in_trait, reason = "used by these tests only, never as a trait object")]
pub trait Faults {
    /// Powers a node off.
    async fn stop(&self, node: &str) -> Result<()>;
    /// Powers it on again.
    async fn start(&self, node: &str) -> Result<()>;
    /// Stops all processes of a node where they are: a machine that hangs.
    async fn pause(&self, node: &str) -> Result<()>;
    /// Lets them go on.
    async fn resume(&self, node: &str) -> Result<()>;
    /// Cuts a node off: no packet comes in or goes out.
    async fn cut(&self, node: &str) -> Result<()>;
    /// Connects it again.
    async fn reconnect(&self, node: &str) -> Result<()>;
    /// Sends SIGKILL to the first process of a container.
    async fn kill(&self, pod: &Pod, container: &str) -> Result<()>;
    /// Mends the nodes that were broken, and waits until all are ready.
    async fn heal(&self) -> Result<()>;
}

/// Breaks the nodes of kind, which are containers of docker.
pub struct Kind {
    cluster: Cluster,
    /// nodes that this test broke; what an earlier run left broken is looked for before the first one
    broken: Mutex<BTreeSet<String>>,
}

/// All rules of a node that is cut off; the comment finds them again.
const CUT: &str = "for tables in iptables ip6tables; do
    $tables -w -t raw -I PREROUTING -i eth0 -m comment --comment cut -j DROP
    $tables -w -t mangle -I POSTROUTING -o eth0 -m comment --comment cut -j DROP
done";
const RECONNECT: &str = "for tables in iptables ip6tables; do
    while $tables -w -t raw -D PREROUTING -i eth0 -m comment --comment cut -j DROP 2>/dev/null; do :; done
    while $tables -w -t mangle -D POSTROUTING -o eth0 -m comment --comment cut -j DROP 2>/dev/null; do :; done
done";

impl Kind {
    /// Faults of a cluster that `make cluster` made; nothing is looked up yet.
    pub fn new(cluster: Cluster) -> Self {
        Kind { cluster, broken: Mutex::new(BTreeSet::new()) }
    }

    fn note(&self, node: &str) {
        let mut broken = self.broken.lock().unwrap_or_else(PoisonError::into_inner);
        broken.insert(node.to_owned());
    }

    /// Runs a shell command on a node and returns what it printed.
    pub async fn on_node(&self, node: &str, script: &str) -> Result<String> {
        docker(&["exec", node, "sh", "-ec", script]).await
    }

    /// Gives an image that the workers have another name.
    pub async fn tag_image(&self, image: &str, alias: &str) -> Result<()> {
        let workers = self.nodes().await?.into_iter().filter(|node| !node.labels().contains_key(CONTROL_PLANE));
        for node in workers {
            let script = format!("ctr -n k8s.io images tag --force docker.io/{image} docker.io/{alias}");
            self.on_node(&node.name_any(), &script).await?;
        }
        Ok(())
    }

    async fn nodes(&self) -> Result<Vec<Node>> {
        let nodes: Api<Node> = Api::all(self.cluster.client.clone());
        Ok(nodes.list(&ListParams::default()).await.context("cannot list nodes")?.items)
    }

    /// Mends whatever an earlier run may have left.
    pub async fn heal_all(&self) -> Result<()> {
        for node in self.nodes().await? {
            self.note(&node.name_any());
            self.cluster.uncordon(&node.name_any()).await?;
        }
        self.heal().await
    }

    async fn mend(&self, node: &str) -> Result<()> {
        let state = docker(&["inspect", "--format", "{{.State.Status}}", node]).await?;
        match state.trim() {
            "paused" => self.resume(node).await?,
            "running" => {}
            _ => self.start(node).await?,
        }
        self.reconnect(node).await
    }
}

/// Runs docker; its standard output.
async fn docker(arguments: &[&str]) -> Result<String> {
    let mut command = Command::new("docker");
    command.args(arguments).kill_on_drop(true);
    if env::var_os("DOCKER_HOST").is_none() && Path::new(OUR_DOCKER).exists() {
        command.env("DOCKER_HOST", format!("unix://{OUR_DOCKER}"));
    }
    let output = timeout(COMMAND, command.output()).await.with_context(|| format!("docker {arguments:?} hangs"))?;
    let output = output.context("cannot run docker, which the nodes of kind are containers of")?;
    let complaint = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "docker {arguments:?}: {}", complaint.trim());
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn ready(node: &Node) -> bool {
    let conditions = node.status.as_ref().and_then(|status| status.conditions.as_deref()).unwrap_or_default();
    conditions.iter().any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

impl Faults for Kind {
    async fn stop(&self, node: &str) -> Result<()> {
        self.note(node);
        docker(&["kill", node]).await.map(drop)
    }

    async fn start(&self, node: &str) -> Result<()> {
        docker(&["start", node]).await.map(drop)
    }

    async fn pause(&self, node: &str) -> Result<()> {
        self.note(node);
        docker(&["pause", node]).await.map(drop)
    }

    async fn resume(&self, node: &str) -> Result<()> {
        docker(&["unpause", node]).await.map(drop)
    }

    async fn cut(&self, node: &str) -> Result<()> {
        self.note(node);
        self.on_node(node, CUT).await.map(drop)
    }

    async fn reconnect(&self, node: &str) -> Result<()> {
        self.on_node(node, RECONNECT).await.map(drop)
    }

    async fn kill(&self, pod: &Pod, container: &str) -> Result<()> {
        let status = pod.status.clone().unwrap_or_default();
        let all = status.init_container_statuses.into_iter().chain(status.container_statuses).flatten();
        let id = all.into_iter().find(|one| one.name == container).and_then(|one| one.container_id);
        let id = id.with_context(|| format!("{} has no running container {container}", pod.name_any()))?;
        let id = id.rsplit('/').next().unwrap_or_default();
        let node = pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref()).context("a pod without a node")?;
        let script = format!("kill -KILL $(crictl inspect --output go-template --template '{{{{.info.pid}}}}' {id})");
        self.on_node(node, &script).await.map(drop)
    }

    async fn heal(&self) -> Result<()> {
        let broken = self.broken.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for node in &broken {
            self.mend(node).await?;
        }
        wait_until("all nodes to be ready", LATER, async || {
            let not =
                self.nodes().await?.iter().filter(|node| !ready(node)).map(ResourceExt::name_any).collect::<Vec<_>>();
            ensure!(not.is_empty(), "{not:?} not ready");
            Ok(())
        })
        .await?;
        self.broken.lock().unwrap_or_else(PoisonError::into_inner).clear();
        Ok(())
    }
}
