//! Nodes that are lost, cut off, or drained.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use e2e::cluster::{Faults, LATER, OPERATOR, Operator, Pair, PodFacts, Space, Watch, run_alone, wait_until};
use serde_json::json;
use tokio::time::sleep;

use crate::{pair, pair_of};

const ITEMS: u64 = 5_000;
/// From the loss of a node to a replica elsewhere that is ready and filled.
const PROMISED: Duration = Duration::from_secs(120);
/// How long a node is cut off when nothing shall be replaced.
const CUT: Duration = Duration::from_secs(20);

async fn node(pair: &Pair, index: usize) -> Result<String> {
    pair.facts(index).await?.node.context("a pod without a node")
}

/// A replica that does not share its node with the application, which must not be lost with it.
async fn apart_from_application(space: &Space, pair: &Pair) -> Result<usize> {
    Ok(usize::from(space.node_of("application").await? == node(pair, 0).await?))
}

async fn wait_elsewhere(pair: &Pair, index: usize, before: &PodFacts) -> Result<()> {
    wait_until("the replica on another node", PROMISED, async || {
        let now = pair.facts(index).await?;
        ensure!(now.uid != before.uid && now.node != before.node && now.ready, "{now:?}");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_node_lost_with_the_operator_is_replaced_within_two_minutes() -> Result<()> {
    run_alone("lost-node", async |space| {
        let (pair, application) = pair(space).await?;
        let lost = apart_from_application(space, &pair).await?;
        application.fill(&pair.replica(1 - lost), "item", ITEMS).await?;
        application.check(&pair.replica(lost), "item", ITEMS).await?;
        // the operator is: somebody else has to take over first
        Operator::at(&space.cluster, OPERATOR).move_to(&node(&pair, lost).await?).await?;
        let before = pair.facts(lost).await?;
        let start = Instant::now();
        space.faults.stop(&node(&pair, lost).await?).await?;
        wait_elsewhere(&pair, lost, &before).await?;
        eprintln!("replaced after {:.0} s", start.elapsed().as_secs_f64());
        application.check(&pair.replica(lost), "item", ITEMS).await?;
        pair.settle().await
    })
    .await
}

#[tokio::test]
async fn writes_on_both_sides_of_a_short_cut_converge() -> Result<()> {
    run_alone("cut", async |space| {
        let (pair, application) = pair(space).await?;
        let cut = apart_from_application(space, &pair).await?;
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

/// What the old pod of a node that comes back may serve beside the new one.
const BOTH_MS: u64 = 1000;

#[tokio::test]
async fn a_node_that_hung_until_it_was_given_up_serves_nobody_when_it_goes_on() -> Result<()> {
    run_alone("paused", async |space| {
        let (pair, application) = pair(space).await?;
        let hung = apart_from_application(space, &pair).await?;
        application.fill(&pair.replica(hung), "item", ITEMS).await?;
        application.check(&pair.replica(1 - hung), "item", ITEMS).await?;
        let before = pair.facts(hung).await?;
        let old = application.served(&pair.address(hung).await?).await?;
        space.faults.pause(&node(&pair, hung).await?).await?;
        wait_elsewhere(&pair, hung, &before).await?;
        // what was deleted while it hung must not come back with it
        application.remove(&pair.replica(hung), "item", ITEMS / 2).await?;
        application.set(&pair.replica(hung), "foo", "of the new one").await?;
        space.faults.heal().await?;
        wait_until("the old pod to be gone from its node", LATER, async || {
            let node = before.node.as_deref().context("a pod without a node")?;
            let list = format!("crictl pods -q --state ready --label io.kubernetes.pod.uid={}", before.uid);
            let found = space.faults.on_node(node, &list).await?;
            ensure!(found.trim().is_empty(), "{}", found.trim());
            Ok(())
        })
        .await?;
        let old = old.stop().await?;
        eprintln!("  the old pod served for {:?} ms", old.times_ms);
        // the first time was before it hung
        let after = old.times_ms.get(1..).unwrap_or_default();
        ensure!(after.iter().all(|ms| *ms <= BOTH_MS), "{old:?}");
        pair.settle().await?;
        for index in 0..2 {
            application.expect(&pair.replica(index), "foo", Some("of the new one")).await?;
            let found = application.compare(&pair.replica(index), "item", ITEMS).await?;
            ensure!(found.missing == ITEMS / 2 && found.good == ITEMS / 2, "{}: {found:?}", pair.pod(index));
        }
        Ok(())
    })
    .await
}

/// Items of 300 bytes on average that take a while at [`RATE`].
const SLOW_ITEMS: u64 = 20_000;
const RATE: &str = "512Ki";

#[tokio::test]
async fn a_second_drain_waits_until_the_first_replica_is_back_and_synced() -> Result<()> {
    run_alone("drain", async |space| {
        let (pair, application) = pair_of(space, json!({"warmup": {"rateLimit": RATE}})).await?;
        application.fill(&pair.replica(0), "item", SLOW_ITEMS).await?;
        application.check(&pair.replica(1), "item", SLOW_ITEMS).await?;
        let nodes = [node(&pair, 0).await?, node(&pair, 1).await?];
        let load = application.load(&pair.server(), "load", 500).await?;
        let watch = Watch::begin(&pair);
        let mut refused = Vec::new();
        for node in &nodes {
            // the pods' budget makes this wait where it must
            let complaints = space.cluster.drain(node, &pair.name).await;
            // a pod has to go somewhere: one node is left for each
            let back = space.cluster.uncordon(node).await;
            refused.push(complaints?.matches("violate the pod's disruption budget").count());
            back?;
        }
        eprintln!("  evictions that were refused: {refused:?}");
        ensure!(refused[1] > 0, "the second drain had nothing to wait for: the resync was not slow");
        pair.settle().await?;
        watch.end()?;
        let report = load.stop().await?;
        ensure!(report.errors == 0 && report.misses == 0, "{report:?}");
        application.check_both(&pair, "item", SLOW_ITEMS).await
    })
    .await
}
