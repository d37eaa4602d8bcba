//! A pod deleted, a process killed: the data is back before the replica serves.

use anyhow::{Result, ensure};
use e2e::cluster::{Faults, run_beside};

use crate::pair;

/// As many items as a loss must not cost.
const ITEMS: u64 = 20_000;

#[tokio::test]
async fn a_deleted_pod_comes_back_with_all_items_and_nobody_notices() -> Result<()> {
    run_beside("deleted-pod", async |space| {
        let (pair, application) = pair(space).await?;
        application.fill(&pair.replica(0), "item", ITEMS).await?;
        application.check_both(&pair, "item", ITEMS).await?;
        for index in 0..2 {
            let load = application.load(&pair.server(), &format!("load{index}"), 500).await?;
            let before = pair.facts(index).await?;
            pair.replace(index).await?;
            // Ready only after the resync: there is nothing to wait for
            let found = application.compare(&pair.replica(index), "item", ITEMS).await?;
            ensure!(found.good == ITEMS, "as soon as it was ready: {found:?}");
            ensure!(pair.facts(index).await?.uid != before.uid, "the pod is the same");
            let report = load.stop().await?;
            ensure!(report.errors == 0 && report.misses == 0 && report.stale == 0, "{report:?}");
            pair.settle().await?;
            application.check_both(&pair, "item", ITEMS).await?;
        }
        Ok(())
    })
    .await
}

/// Kills a process of the first replica while an application uses the pair.
async fn killed(name: &str, container: &str) -> Result<()> {
    run_beside(name, async |space| {
        let (pair, application) = pair(space).await?;
        application.fill(&pair.replica(1), "item", ITEMS).await?;
        application.check_both(&pair, "item", ITEMS).await?;
        let before = pair.facts(0).await?;
        space.faults.kill(&pair.get_pod(0).await?, container).await?;
        pair.wait_replaced(0, &before).await?;
        pair.settle().await?;
        ensure!(pair.facts(0).await?.uid == before.uid, "another pod: the container was to be started again");
        application.check_both(&pair, "item", ITEMS).await?;
        // and it replicates again, both ways
        application.set(&pair.replica(0), "after", "from the killed one").await?;
        application.expect(&pair.replica(1), "after", Some("from the killed one")).await?;
        application.set(&pair.replica(1), "after", "to the killed one").await?;
        application.expect(&pair.replica(0), "after", Some("to the killed one")).await
    })
    .await
}

#[tokio::test]
async fn a_killed_memcached_is_filled_again() -> Result<()> {
    killed("killed-memcached", "memcached").await
}

#[tokio::test]
async fn a_killed_sidecar_catches_up() -> Result<()> {
    killed("killed-sidecar", "sidecar").await
}
