//! Nodes that are lost, cut off, or drained.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use e2e::cluster::{Faults, LATER, Pair, Watch, run, wait_until};
use tokio::time::sleep;

use crate::pair;

const ITEMS: u64 = 5_000;
/// From the loss of a node to a replica elsewhere that is ready and filled.
const PROMISED: Duration = Duration::from_secs(120);
/// How long a node is cut off when nothing shall be replaced.
const CUT: Duration = Duration::from_secs(20);

async fn node(pair: &Pair, index: usize) -> Result<String> {
    pair.facts(index).await?.node.context("a pod without a node")
}

#[tokio::test]
async fn a_lost_node_is_replaced_within_two_minutes() -> Result<()> {
    run("lost-node", async |space| {
        let (pair, application) = pair(space).await?;
        // the application must not be lost with the node
        let lost = if space.node_of("application").await? == node(&pair, 0).await? { 1 } else { 0 };
        application.fill(&pair.replica(1 - lost), "item", ITEMS).await?;
        application.check(&pair.replica(lost), "item", ITEMS).await?;
        let before = pair.facts(lost).await?;
        let start = Instant::now();
        space.faults.stop(&node(&pair, lost).await?).await?;
        wait_until("the replica on another node", PROMISED, async || {
            let now = pair.facts(lost).await?;
            ensure!(now.uid != before.uid && now.node != before.node && now.ready, "{now:?}");
            Ok(())
        })
        .await?;
        eprintln!("replaced after {:.0} s", start.elapsed().as_secs_f64());
        application.check(&pair.replica(lost), "item", ITEMS).await?;
        pair.settle().await
    })
    .await
}

#[tokio::test]
async fn writes_on_both_sides_of_a_short_cut_converge() -> Result<()> {
    run("cut", async |space| {
        let (pair, application) = pair(space).await?;
        let cut = if space.node_of("application").await? == node(&pair, 0).await? { 1 } else { 0 };
        application.fill(&pair.replica(cut), "old", ITEMS).await?;
        application.check(&pair.replica(1 - cut), "old", ITEMS).await?;
        space.faults.cut(&node(&pair, cut).await?).await?;
        let start = Instant::now();
        application.remove(&pair.replica(1 - cut), "old", ITEMS / 2).await?;
        application.fill(&pair.replica(1 - cut), "new", ITEMS).await?;
        // the length of the fault is what is tested, not a wait for something
        sleep(CUT.saturating_sub(start.elapsed())).await;
        space.faults.heal().await?;
        pair.settle().await?;
        for index in 0..2 {
            application.check(&pair.replica(index), "new", ITEMS).await?;
            let found = application.compare(&pair.replica(index), "old", ITEMS).await?;
            ensure!(found.missing == ITEMS / 2 && found.good == ITEMS / 2, "{}: {found:?}", pair.pod(index));
        }
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_drain_waits_for_the_other_replica_to_be_synced() -> Result<()> {
    run("drain", async |space| {
        let (pair, application) = pair(space).await?;
        application.fill(&pair.replica(0), "item", ITEMS).await?;
        application.check(&pair.replica(1), "item", ITEMS).await?;
        let nodes = [node(&pair, 0).await?, node(&pair, 1).await?];
        let watch = Watch::begin(&pair);
        for node in &nodes {
            // the pods' budget makes this wait where it must
            let drain = ["drain", node, "--ignore-daemonsets", "--delete-emptydir-data", "--timeout=180s"];
            let selector = format!("--pod-selector=app.kubernetes.io/instance={}", pair.name);
            let outcome = space.cluster.kubectl(&[&drain[..], &[&selector]].concat(), "").await;
            // a pod has to go somewhere: one node is left for each
            let back = space.cluster.kubectl(&["uncordon", node], "").await;
            outcome.and(back)?;
        }
        wait_until("both replicas elsewhere", LATER, async || {
            for index in 0..2 {
                let now = pair.facts(index).await?;
                ensure!(now.ready, "{} {now:?}", pair.pod(index));
            }
            Ok(())
        })
        .await?;
        pair.settle().await?;
        watch.end()?;
        application.check_both(&pair, "item", ITEMS).await
    })
    .await
}
