//! Changes that reach the pods: one after the other, never the last copy.

use anyhow::{Result, ensure};
use e2e::cluster::{LATER, Watch, run, wait_until};
use serde_json::json;

use crate::pair;

const ITEMS: u64 = 5_000;

#[tokio::test]
async fn a_change_of_memory_rolls_one_pod_after_the_other_and_loses_nothing() -> Result<()> {
    run("roll", async |space| {
        let (pair, application) = pair(space).await?;
        application.fill(&pair.replica(0), "item", ITEMS).await?;
        let load = application.load(&pair.server(), "load", 500).await?;
        let before = [pair.facts(0).await?, pair.facts(1).await?];
        let watch = Watch::begin(&pair);
        pair.change(json!({"memory": "2Gi"})).await?;
        for (index, before) in before.iter().enumerate() {
            wait_until("the pods to be rolled", LATER, async || {
                let now = pair.facts(index).await?;
                ensure!(now.uid != before.uid && now.ready, "{} {now:?}", pair.pod(index));
                Ok(())
            })
            .await?;
        }
        pair.settle().await?;
        watch.end()?;
        let report = load.stop().await?;
        ensure!(report.errors == 0 && report.misses == 0, "{report:?}");
        application.check_both(&pair, "item", ITEMS).await
    })
    .await
}

#[tokio::test]
async fn a_bad_image_takes_one_replica_and_can_be_mended() -> Result<()> {
    run("bad-image", async |space| {
        let (pair, application) = pair(space).await?;
        application.fill(&pair.replica(0), "item", ITEMS).await?;
        let before = [pair.facts(0).await?, pair.facts(1).await?];
        let watch = Watch::begin(&pair);
        pair.change(json!({"memcached": {"image": "memcached:does-not-exist"}})).await?;
        wait_until("one pod of the bad image", LATER, async || {
            let now = [pair.facts(0).await?, pair.facts(1).await?];
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
