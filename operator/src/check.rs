//! `memcached-operator check`, which `helm test` runs: makes a pair, writes to one replica, reads from the other, removes it.

use std::time::Duration;

use anyhow::{Context, bail, ensure};
use clap::Args;
use kube::api::{DeleteParams, PostParams};
use kube::{Api, Client};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

use crate::api::v1alpha1::{ConditionStatus, ConditionType};
use crate::api::{ReplicatedMemcached, ReplicatedMemcachedSpec};
use crate::names::{CLIENT_PORT, Names};

/// Pause between two looks.
const LOOK: Duration = Duration::from_millis(500);
/// An exchange with memcached takes no longer.
const EXCHANGE: Duration = Duration::from_secs(5);

/// What is checked.
#[derive(Clone, Debug, Args)]
pub struct Check {
    /// Where the pair is made
    #[arg(long)]
    pub namespace: String,
    /// Its name; there must be none of it
    #[arg(long, default_value = "check")]
    pub name: String,
    /// Seconds that all of it may take
    #[arg(long, default_value_t = 180)]
    pub deadline: u64,
}

/// Checks, and removes the pair whatever came of it.
///
/// # Errors
/// What does not work.
pub async fn check(check: Check) -> anyhow::Result<()> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let api: Api<ReplicatedMemcached> = Api::namespaced(Client::try_default().await?, &check.namespace);
    let spec = ReplicatedMemcachedSpec { memory: "64Mi".to_owned(), ..ReplicatedMemcachedSpec::default() };
    let pair = ReplicatedMemcached::new(&check.name, spec);
    api.create(&PostParams::default(), &pair).await.with_context(|| format!("cannot create {}", check.name))?;
    tracing::info!(namespace = check.namespace, name = check.name, "created");
    let deadline = Duration::from_secs(check.deadline);
    let result = match timeout(deadline, replicates(&api, &check)).await {
        Ok(result) => result,
        Err(_) => Err(anyhow::anyhow!("not within {} s", check.deadline)),
    };
    let removed = api.delete(&check.name, &DeleteParams::default()).await;
    result?;
    removed.context("cannot remove it")?;
    tracing::info!("what was written to one replica was read from the other");
    Ok(())
}

async fn replicates(api: &Api<ReplicatedMemcached>, check: &Check) -> anyhow::Result<()> {
    let mut told = String::new();
    loop {
        let status = api.get(&check.name).await?.status.unwrap_or_default();
        let holds = |type_| status.conditions.iter().any(|c| c.type_ == type_ && c.status == ConditionStatus::True);
        if holds(ConditionType::Available) && holds(ConditionType::Synced) {
            break;
        }
        let now: Vec<_> = status.conditions.iter().map(|c| format!("{} {}", c.type_.as_str(), c.reason)).collect();
        let now = now.join(", ");
        if now != told {
            tracing::info!("{now}");
            told = now;
        }
        sleep(LOOK).await;
    }
    let names = Names { cr: &check.name };
    let [one, other] = [0, 1].map(|index| format!("{}.{}.svc:{CLIENT_PORT}", names.replica(index), check.namespace));
    let begun = Instant::now();
    until("STORED", || exchange(&one, "set check 0 60 2\r\nok\r\n")).await?;
    until("VALUE check 0 2", || exchange(&other, "get check\r\n")).await?;
    tracing::info!("replicated {} ms after the first attempt to write", begun.elapsed().as_millis());
    Ok(())
}

/// A Service may take a moment to lead anywhere, and a write to arrive.
async fn until<F: Future<Output = anyhow::Result<String>>>(
    wanted: &str,
    attempt: impl Fn() -> F,
) -> anyhow::Result<()> {
    loop {
        match attempt().await {
            Ok(answer) if answer == wanted => return Ok(()),
            Ok(answer) if answer.contains("ERROR") => bail!("memcached says {answer}"),
            Ok(_) => {}
            Err(error) => tracing::info!("{error:#}"),
        }
        sleep(LOOK).await;
    }
}

async fn exchange(at: &str, request: &str) -> anyhow::Result<String> {
    let exchange = async {
        let mut stream = BufReader::new(TcpStream::connect(at).await?);
        stream.write_all(request.as_bytes()).await?;
        let mut line = String::new();
        let len = stream.read_line(&mut line).await?;
        ensure!(len > 0, "closed");
        Ok(line.trim_end().to_owned())
    };
    timeout(EXCHANGE, exchange).await.context("no answer")?.with_context(|| format!("at {at}"))
}
