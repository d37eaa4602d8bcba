//! Changes that reach the pods: one after the other, never the last copy.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use e2e::cluster::{LATER, Watch, run_beside, wait_until};
use serde_json::json;
use tokio::time::{sleep, timeout};

use crate::pair;

const ITEMS: u64 = 5_000;

#[tokio::test]
async fn a_change_of_memory_rolls_one_pod_after_the_other_and_loses_nothing() -> Result<()> {
    run_beside("roll", async |space| {
        let (pair, application) = pair(space).await?;
        application.fill(&pair.replica(0), "item", ITEMS).await?;
        let load = application.load(&pair.server(), "load", 500).await?;
        let before = pair.both_facts().await?;
        let watch = Watch::begin(&pair);
        pair.change(json!({"memory": "2Gi"})).await?;
        pair.wait_rolled(&before).await?;
        pair.settle().await?;
        watch.end()?;
        let report = load.stop().await?;
        ensure!(report.errors == 0 && report.misses == 0, "{report:?}");
        let told: Vec<_> = pair.events().await?.into_iter().filter_map(|(reason, note)| step(&reason, &note)).collect();
        ensure!(told == ["cache-1 goes", "cache-1 awaited", "cache-0 goes"], "{told:?} of {:?}", pair.events().await?);
        application.check_both(&pair, "item", ITEMS).await
    })
    .await
}

/// What an event says about the order of a roll.
fn step(reason: &str, note: &str) -> Option<&'static str> {
    match reason {
        "ReplacingPod" if note.starts_with("cache-1 ") => Some("cache-1 goes"),
        "ReplacingPod" => Some("cache-0 goes"),
        "WaitingForReplica" if note.starts_with("The roll goes on when cache-1 ") => Some("cache-1 awaited"),
        _ => None,
    }
}

/// How many pods the other one evicts.
const FOREIGN: usize = 3;

#[tokio::test]
async fn a_roll_and_a_foreign_eviction_at_once_never_take_both() -> Result<()> {
    run_beside("evicted", async |space| {
        let (pair, application) = pair(space).await?;
        application.fill(&pair.replica(0), "item", ITEMS).await?;
        application.check(&pair.replica(1), "item", ITEMS).await?;
        let load = application.load(&pair.server(), "load", 500).await?;
        let before = pair.both_facts().await?;
        let watch = Watch::begin(&pair);
        // somebody tries to evict either pod all the time, so also in the very moment in which the operator does
        let foreign = async {
            let (mut evicted, mut refused) = (BTreeSet::new(), 0);
            while evicted.len() < FOREIGN {
                for index in [0, 1] {
                    // one that has not begun yet is evicted without asking the budget, and so would be all that follow
                    let Some(facts) = pair.facts(index).await.ok().filter(|facts| facts.ready) else { continue };
                    match space.cluster.evict(&pair.namespace, &pair.pod(index)).await {
                        Ok(true) => drop(evicted.insert(facts.uid)),
                        Ok(false) => refused += 1,
                        // it is not there any more
                        Err(_) => {}
                    }
                }
                sleep(Duration::from_millis(20)).await;
            }
            Ok::<_, anyhow::Error>((evicted.len(), refused))
        };
        let (changed, foreign) = tokio::join!(pair.change(json!({"memory": "2Gi"})), timeout(LATER, foreign));
        changed?;
        let (evicted, refused) = foreign.context("the budget hardly ever let anybody evict a pod")??;
        eprintln!("  evicted {evicted} times, refused {refused} times");
        pair.wait_rolled(&before).await?;
        pair.settle().await?;
        watch.end()?;
        ensure!(refused > 0, "the budget never refused");
        let report = load.stop().await?;
        ensure!(report.errors == 0 && report.misses == 0, "{report:?}");
        application.check_both(&pair, "item", ITEMS).await
    })
    .await
}

#[tokio::test]
async fn a_bad_image_takes_one_replica_and_can_be_mended() -> Result<()> {
    run_beside("bad-image", async |space| {
        let (pair, application) = pair(space).await?;
        application.fill(&pair.replica(0), "item", ITEMS).await?;
        let before = pair.both_facts().await?;
        let watch = Watch::begin(&pair);
        pair.change(json!({"memcached": {"image": "memcached:does-not-exist"}})).await?;
        wait_until("one pod of the bad image", LATER, async || {
            let now = pair.both_facts().await?;
            ensure!((0..2).any(|index| now[index].uid != before[index].uid), "{now:?}");
            Ok(())
        })
        .await?;
        pair.change(json!({})).await?;
        pair.settle().await?;
        watch.end()?;
        application.check_both(&pair, "item", ITEMS).await
    })
    .await
}
