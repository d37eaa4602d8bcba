//! A pod with an application in it: `e2e client`, by a client library, over the pod network.

use std::pin::Pin;

use anyhow::{Context, Result, bail, ensure};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, AttachParams, AttachedProcess};
use serde::de::DeserializeOwned;
use serde_json::json;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use super::access::apply;
use super::exec::exec;
use super::{Cluster, LATER, Pair, SOON, Space, wait_until};
use crate::application::load::Report;
use crate::application::{Compared, Got};

/// The program in its image.
const PROGRAM: &str = "/usr/local/bin/e2e";

/// A pod in which applications run.
pub struct Application {
    pods: Api<Pod>,
    name: String,
}

impl Application {
    /// Starts the pod and waits until it runs.
    pub async fn start(space: &Space, name: &str) -> Result<Self> {
        Self::start_in(&space.cluster, &space.namespace, name).await
    }

    /// The same in any namespace.
    pub async fn start_in(cluster: &Cluster, namespace: &str, name: &str) -> Result<Self> {
        let pods: Api<Pod> = cluster.api(namespace);
        let image = concat!("replicated-memcached/e2e:", env!("CARGO_PKG_VERSION"));
        let object = json!({
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name, "labels": {"app": "application"}},
            "spec": {
                "automountServiceAccountToken": false,
                "terminationGracePeriodSeconds": 0,
                "securityContext": {"runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}},
                "containers": [{
                    "name": "application",
                    "image": image,
                    "args": ["client", "idle"],
                    "securityContext": {
                        "allowPrivilegeEscalation": false,
                        "readOnlyRootFilesystem": true,
                        "capabilities": {"drop": ["ALL"]},
                    },
                }],
            },
        });
        apply(&pods, &object).await?;
        wait_until("the application's pod to run", LATER, async || {
            let status = pods.get(name).await?.status.unwrap_or_default();
            ensure!(status.phase.as_deref() == Some("Running"), "{:?}", status.container_statuses);
            Ok(())
        })
        .await?;
        Ok(Application { pods, name: name.to_owned() })
    }

    async fn client(&self, arguments: &[&str]) -> Result<String> {
        let command = [&[PROGRAM, "client"], arguments].concat();
        // 20,000 items take seconds
        timeout(LATER, exec(&self.pods, &self.name, &command)).await.with_context(|| format!("{arguments:?} hangs"))?
    }

    async fn answer<T: DeserializeOwned>(&self, arguments: &[&str]) -> Result<T> {
        let said = self.client(arguments).await?;
        serde_json::from_str(&said).with_context(|| format!("{arguments:?} answered: {said}"))
    }

    /// Writes one value.
    pub async fn set(&self, server: &str, key: &str, value: &str) -> Result<()> {
        self.client(&["set", server, key, value]).await.map(drop)
    }

    /// Reads one value.
    pub async fn get(&self, server: &str, key: &str) -> Result<Option<String>> {
        Ok(self.answer::<Got>(&["get", server, key]).await?.value)
    }

    /// Deletes one key.
    pub async fn delete(&self, server: &str, key: &str) -> Result<()> {
        self.client(&["delete", server, key]).await.map(drop)
    }

    /// Writes `count` numbered items.
    pub async fn fill(&self, server: &str, prefix: &str, count: u64) -> Result<()> {
        let done: Compared = self.answer(&["fill", server, "--prefix", prefix, "--count", &count.to_string()]).await?;
        ensure!(done.good == count, "{done:?}");
        Ok(())
    }

    /// Deletes `count` numbered items.
    pub async fn remove(&self, server: &str, prefix: &str, count: u64) -> Result<()> {
        let _: Compared = self.answer(&["remove", server, "--prefix", prefix, "--count", &count.to_string()]).await?;
        Ok(())
    }

    /// Compares what a server holds with what [`Self::fill`] wrote.
    pub async fn compare(&self, server: &str, prefix: &str, count: u64) -> Result<Compared> {
        self.answer(&["check", server, "--prefix", prefix, "--count", &count.to_string()]).await
    }

    /// Every one of `count` items, with value, flags and time to live, is there within [`SOON`].
    pub async fn check(&self, server: &str, prefix: &str, count: u64) -> Result<()> {
        wait_until(&format!("{count} items at {server}"), SOON, async || {
            let found = self.compare(server, prefix, count).await?;
            ensure!(found.good == count, "{found:?}");
            Ok(())
        })
        .await
    }

    /// [`Self::check`] at both replicas of a pair.
    pub async fn check_both(&self, pair: &Pair, prefix: &str, count: u64) -> Result<()> {
        for index in 0..2 {
            self.check(&pair.replica(index), prefix, count).await?;
        }
        Ok(())
    }

    /// Waits until a key has the value.
    pub async fn expect(&self, server: &str, key: &str, value: Option<&str>) -> Result<()> {
        wait_until(&format!("{key} at {server} to be {value:?}"), SOON, async || {
            let found = self.get(server, key).await?;
            ensure!(found.as_deref() == value, "{found:?}");
            Ok(())
        })
        .await
    }

    /// Starts to read and write all the time; returns when its keys are there.
    pub async fn load(&self, server: &str, prefix: &str, keys: u64) -> Result<Load> {
        let keys = keys.to_string();
        let command = [PROGRAM, "client", "load", server, "--prefix", prefix, "--keys", &keys];
        let params = AttachParams::default().stdin(true).stdout(true).stderr(false);
        let mut process = self.pods.exec(&self.name, command, &params).await.context("cannot start the load")?;
        let mut out = process.stdout().context("no stdout")?;
        let mut said = Vec::new();
        let started = async {
            while !said.ends_with(b"started\n") {
                match out.read_u8().await {
                    Ok(byte) => said.push(byte),
                    Err(_) => return false,
                }
            }
            true
        };
        if timeout(SOON, started).await.is_ok_and(|started| started) {
            return Ok(Load { process, out: Box::pin(out) });
        }
        bail!("the load did not start: {}", String::from_utf8_lossy(&said))
    }
}

/// An application that reads and writes all the time.
pub struct Load {
    process: AttachedProcess,
    out: Pin<Box<dyn AsyncRead + Send>>,
}

impl Load {
    /// Ends it; what it noticed.
    pub async fn stop(mut self) -> Result<Report> {
        let mut input = self.process.stdin().context("no stdin")?;
        input.write_all(b"stop\n").await.context("the load has ended by itself")?;
        let mut said = String::new();
        timeout(SOON, self.out.read_to_string(&mut said)).await.context("the load does not stop")??;
        serde_json::from_str(&said).with_context(|| format!("the load answered: {said}"))
    }
}
