//! A new release of the operator brings another image of the sidecar.

use std::time::Duration;

use anyhow::{Result, ensure};
use e2e::cluster::{LATER, OPERATOR, Operator, Watch, run_alone};
use tokio::time::sleep;

use crate::pair;

const ITEMS: u64 = 5_000;
const IMAGE: &str = "replicated-memcached/sidecar";
/// How long the new operator must leave the pods alone: many times what it waits between two looks.
const REST: Duration = Duration::from_secs(20);

#[tokio::test]
async fn an_upgraded_operator_restarts_no_pod_until_it_is_told_to() -> Result<()> {
    run_alone("upgrade", async |space| {
        let (pair, application) = pair(space).await?;
        application.fill(&pair.replica(0), "item", ITEMS).await?;
        application.check(&pair.replica(1), "item", ITEMS).await?;
        let old = pair.sidecar_image(0).await?;
        let before = pair.both_facts().await?;
        space.faults.tag_image(&format!("{IMAGE}:{}", env!("CARGO_PKG_VERSION")), &format!("{IMAGE}:next")).await?;
        Operator::install(&space.cluster, OPERATOR, &["sidecar.image.tag=next"]).await?;
        pair.wait_for_reason("Progressing", "False", "UpdatePending").await?;
        // that nothing happens has no end to wait for
        sleep(REST).await;
        ensure!(pair.both_facts().await? == before, "a pod was restarted");
        // a pod that is lost meanwhile comes back as it was
        pair.replace(0).await?;
        ensure!(pair.sidecar_image(0).await? == old, "a lost pod came back with the new image");
        pair.wait_for("Synced", "True", LATER).await?;

        let before = pair.both_facts().await?;
        let load = application.load(&pair.server(), "load", 500).await?;
        let watch = Watch::begin(&pair);
        pair.annotate("replicated-memcached.io/update", "now").await?;
        for (index, before) in before.iter().enumerate() {
            pair.wait_another(index, before).await?;
            let image = pair.sidecar_image(index).await?;
            ensure!(image.ends_with(":next"), "{} runs {image}", pair.pod(index));
        }
        pair.settle().await?;
        watch.end()?;
        pair.wait_for_reason("Progressing", "False", "Done").await?;
        let report = load.stop().await?;
        ensure!(report.errors == 0 && report.misses == 0, "{report:?}");
        application.check_both(&pair, "item", ITEMS).await
    })
    .await
}
