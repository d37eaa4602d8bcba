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
        // a helm that was not released does not know which Kubernetes it is for
        let version = space.cluster.client.apiserver_version().await?.git_version;
        let all = ["--kube-version", &version, "--set", "replicas=2", "--set", "log.level=debug"];
        // the test's pod needs its service account first; `helm test` below makes both
        let manifests = operator.helm(&[&["template", OPERATOR, &chart, "--skip-tests"], &all[..]].concat()).await?;
        space.cluster.kubectl(&["apply", "--dry-run=server", "-n", OPERATOR, "-f", "-"], &manifests).await?;
        let unknown = [&["template", OPERATOR, &chart], &all[..], &["--set", "replica=2"]].concat();
        let complaint = operator.helm(&unknown).await.err().map(|error| format!("{error:#}")).unwrap_or_default();
        ensure!(complaint.contains("additional properties"), "a value that does not exist was taken: {complaint}");
        operator.helm(&["test", OPERATOR, "--timeout", "3m"]).await?;

        let pair = Pair::apply(space, "cache", json!({})).await?;
        pair.settle().await?;
        let before = pair.both_facts().await?;
        Operator::install(&space.cluster, OPERATOR, &["replicas=2", "log.level=debug"]).await?;
        pair.settle().await?;
        operator.uninstall().await?;
        // the resource definition is kept, and with it the pair
        ensure!(pair.both_facts().await? == before, "pods were restarted");
        Operator::install(&space.cluster, OPERATOR, &[]).await?;
        pair.settle().await?;
        ensure!(pair.both_facts().await? == before, "pods were restarted");
        Ok(())
    })
    .await
}
