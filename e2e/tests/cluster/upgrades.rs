//! A new release of the operator brings another image of the sidecar.

use std::time::Duration;

use anyhow::{Result, ensure};
use e2e::cluster::{LATER, OPERATOR, Operator, Watch, run_alone, wait_until};
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
        let before = [pair.facts(0).await?, pair.facts(1).await?];
        space.faults.tag_image(&format!("{IMAGE}:{}", env!("CARGO_PKG_VERSION")), &format!("{IMAGE}:next")).await?;
        Operator::install(&space.cluster, OPERATOR, &["sidecar.image.tag=next"]).await?;
        wait_until("the update to be held back", LATER, async || {
            let seen = pair.condition("Progressing").await?;
            ensure!(seen.1 == "UpdatePending", "{seen:?}");
            Ok(())
        })
        .await?;
        // that nothing happens has no end to wait for
        sleep(REST).await;
        ensure!([pair.facts(0).await?, pair.facts(1).await?] == before, "a pod was restarted");
        // a pod that is lost meanwhile comes back as it was
        pair.replace(0).await?;
        ensure!(pair.sidecar_image(0).await? == old, "a lost pod came back with the new image");
        wait_until("both to hold the same", LATER, async || {
            let seen = pair.condition("Synced").await?;
            ensure!(seen.0 == "True", "{seen:?}");
            Ok(())
        })
        .await?;

        let before = [pair.facts(0).await?, pair.facts(1).await?];
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
        wait_until("nothing to be left to do", LATER, async || {
            let progress = pair.condition("Progressing").await?;
            ensure!(progress == ("False".to_owned(), "Done".to_owned()), "{progress:?}");
            Ok(())
        })
        .await?;
        let report = load.stop().await?;
        ensure!(report.errors == 0 && report.misses == 0, "{report:?}");
        application.check_both(&pair, "item", ITEMS).await
    })
    .await
}
