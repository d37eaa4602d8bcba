//! The operator away, and the operator at rest.

use std::time::Duration;

use anyhow::{Result, ensure};
use e2e::cluster::{Audit, OPERATOR, Operator, run_alone, run_beside};
use tokio::time::sleep;

use crate::pair;

const ITEMS: u64 = 5_000;
/// How long an operator must write nothing: longer than it waits until it writes numbers again.
const REST: Duration = Duration::from_secs(75);

#[tokio::test]
async fn a_pair_heals_while_the_operator_is_away() -> Result<()> {
    run_alone("no-operator", async |space| {
        let (pair, application) = pair(space).await?;
        application.fill(&pair.replica(0), "item", ITEMS).await?;
        application.check(&pair.replica(1), "item", ITEMS).await?;
        let operator = Operator::install(&space.cluster, OPERATOR, &[]).await?;
        operator.scale(0).await?;
        for index in 0..2 {
            pair.replace(index).await?;
            application.check_both(&pair, "item", ITEMS).await?;
        }
        operator.scale(1).await?;
        pair.settle().await?;
        operator.kill().await?;
        pair.replace(0).await?;
        pair.settle().await?;
        application.check(&pair.replica(0), "item", ITEMS).await
    })
    .await
}

#[tokio::test]
async fn an_operator_with_nothing_to_do_writes_nothing() -> Result<()> {
    run_beside("idle", async |space| {
        let (_pair, _application) = pair(space).await?;
        // what follows from becoming whole: the numbers of the status once more
        sleep(REST).await;
        let audit = Audit::from_now(&space.faults).await?;
        sleep(REST).await;
        let writes = audit.writes_of(OPERATOR, &space.namespace).await?;
        ensure!(writes.is_empty(), "{writes:?}");
        Ok(())
    })
    .await
}
