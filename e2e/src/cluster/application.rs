//! A pod with an application in it: `e2e client`, by a client library, over the pod network.

use std::marker::PhantomData;
use std::pin::Pin;
use std::time::Duration;

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
use crate::application::{Compared, Got, lag, load, served};

/// The program in its image.
const PROGRAM: &str = "/usr/local/bin/e2e";

/// A server that does not answer for so long is out of reach.
const ANSWER: Duration = Duration::from_secs(10);

/// A pod in which applications run.
pub struct Application {
    pods: Api<Pod>,
    name: String,
}

impl Application {
    /// Starts the pod and waits until it runs.
    pub async fn start(space: &Space, name: &str) -> Result<Self> {
        Self::start_in(&space.cluster, &space.namespace, name, "application").await
    }

    /// The same in any namespace, with another label `app`.
    pub async fn start_in(cluster: &Cluster, namespace: &str, name: &str, label: &str) -> Result<Self> {
        let pods: Api<Pod> = cluster.api(namespace);
        let image = concat!("replicated-memcached/e2e:", env!("CARGO_PKG_VERSION"));
        let object = json!({
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name, "labels": {"app": label}},
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
        // Each node's rules follow the endpoints of a Service a moment after these are ready.
        wait_until(&format!("{server} to take {key}"), SOON, async || {
            self.client(&["set", server, key, value]).await.map(drop)
        })
        .await
    }

    /// Reads one value.
    pub async fn get(&self, server: &str, key: &str) -> Result<Option<String>> {
        Ok(self.answer::<Got>(&["get", server, key]).await?.value)
    }

    /// Whether a server answers within [`ANSWER`]. (The library would go on for minutes.)
    pub async fn reaches(&self, server: &str) -> bool {
        timeout(ANSWER, self.get(server, "reached")).await.is_ok_and(|got| got.is_ok())
    }

    /// Waits until the Services of a pair lead to it: each node's rules follow the endpoints a moment after they are ready.
    pub async fn wait_reaches(&self, pair: &Pair) -> Result<()> {
        for server in [pair.server(), pair.replica(0), pair.replica(1)] {
            self.wait_reaches_server(&server).await?;
        }
        Ok(())
    }

    /// The same for one server.
    pub async fn wait_reaches_server(&self, server: &str) -> Result<()> {
        wait_until(&format!("{server} to be reached"), SOON, async || {
            ensure!(self.reaches(server).await, "no answer");
            Ok(())
        })
        .await
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
    pub async fn load(&self, server: &str, prefix: &str, keys: u64) -> Result<Running<load::Report>> {
        self.start_client(&["load", server, "--prefix", prefix, "--keys", &keys.to_string()]).await
    }

    /// Starts to measure how long a write takes from one server to the other.
    pub async fn lag(&self, from: &str, to: &str, key: &str) -> Result<Running<lag::Report>> {
        self.start_client(&["lag", from, to, "--key", key]).await
    }

    /// Starts to ask a server, which answers now, whether it does.
    pub async fn served(&self, server: &str) -> Result<Running<served::Report>> {
        self.start_client(&["served", server]).await
    }

    /// Starts an action that runs until it is told to stop; returns when it says that it has started.
    async fn start_client<T>(&self, arguments: &[&str]) -> Result<Running<T>> {
        let command = [&[PROGRAM, "client"], arguments].concat();
        let params = AttachParams::default().stdin(true).stdout(true).stderr(true);
        let mut process = self
            .pods
            .exec(&self.name, command, &params)
            .await
            .with_context(|| format!("cannot start {arguments:?}"))?;
        let mut out = process.stdout().context("no stdout")?;
        let mut errors = process.stderr().context("no stderr")?;
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
            let what = arguments.join(" ");
            return Ok(Running { process, out: Box::pin(out), errors: Box::pin(errors), what, report: PhantomData });
        }
        let mut complaint = String::new();
        let _ = timeout(SOON, errors.read_to_string(&mut complaint)).await;
        bail!("{arguments:?} did not start: {} {complaint}", String::from_utf8_lossy(&said))
    }
}

/// What an application does all the time, until it is told to stop.
pub struct Running<T> {
    process: AttachedProcess,
    out: Pin<Box<dyn AsyncRead + Send>>,
    errors: Pin<Box<dyn AsyncRead + Send>>,
    what: String,
    report: PhantomData<T>,
}

impl<T: DeserializeOwned> Running<T> {
    /// Ends it; what it noticed.
    pub async fn stop(mut self) -> Result<T> {
        let mut input = self.process.stdin().context("no stdin")?;
        // one that has ended by itself says why
        let _ = input.write_all(b"stop\n").await;
        let (mut said, mut complaint) = (String::new(), String::new());
        let read =
            async { tokio::join!(self.out.read_to_string(&mut said), self.errors.read_to_string(&mut complaint)) };
        let (read, read_errors) = timeout(SOON, read).await.with_context(|| format!("{} does not stop", self.what))?;
        read.and(read_errors).with_context(|| format!("the output of {} broke off", self.what))?;
        serde_json::from_str(&said).with_context(|| format!("{} answered: {said} {complaint}", self.what))
    }
}
