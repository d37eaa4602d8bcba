//! The Helm chart as a user handles it.

use anyhow::{Result, ensure};
use e2e::cluster::{OPERATOR, Operator, Pair, run_alone};
use serde_json::json;

#[tokio::test]
async fn the_chart_is_installed_tested_upgraded_and_removed_and_pairs_outlive_it() -> Result<()> {
    run_alone("chart", async |space| {
        let operator = Operator::install(&space.cluster, OPERATOR, &[]).await?;
        let chart = Operator::chart()?;
        operator.helm(&["lint", "--strict", &chart]).await?;
        let all = ["--set", "replicas=2", "--set", "log.level=debug"];
        let manifests = operator.helm(&[&["template", OPERATOR, &chart], &all[..]].concat()).await?;
        space.cluster.kubectl(&["apply", "--dry-run=server", "-n", OPERATOR, "-f", "-"], &manifests).await?;
        let unknown = operator.helm(&["template", OPERATOR, &chart, "--set", "replica=2"]).await;
        ensure!(unknown.is_err(), "a value that does not exist was taken");
        operator.helm(&["test", OPERATOR, "--timeout", "3m"]).await?;

        let pair = Pair::apply(space, "cache", json!({})).await?;
        pair.settle().await?;
        let before = [pair.facts(0).await?, pair.facts(1).await?];
        Operator::install(&space.cluster, OPERATOR, &["replicas=2", "log.level=debug"]).await?;
        pair.settle().await?;
        operator.uninstall().await?;
        // the resource definition is kept, and with it the pair
        ensure!([pair.facts(0).await?, pair.facts(1).await?] == before, "pods were restarted");
        Operator::install(&space.cluster, OPERATOR, &[]).await?;
        pair.settle().await?;
        ensure!([pair.facts(0).await?, pair.facts(1).await?] == before, "pods were restarted");
        Ok(())
    })
    .await
}
