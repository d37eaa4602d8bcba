//! What must always work: what is written on one replica is read on the other.

use anyhow::Result;
use e2e::cluster::{Application, LATER, OPERATOR, Operator, Pair, run_beside};

/// The smallest resource: what a newcomer applies.
const SMALLEST: &str = "\
apiVersion: replicated-memcached.io/v1alpha1
kind: ReplicatedMemcached
metadata:
  name: cache
  namespace: e2e-seed
";

#[tokio::test]
async fn five_lines_make_a_pair_that_replicates_both_ways() -> Result<()> {
    run_beside("seed", async |space| {
        Operator::install(&space.cluster, OPERATOR, &[]).await?;
        space.cluster.kubectl_apply(SMALLEST).await?;
        let pair = Pair::named(&space.cluster, &space.namespace, "cache");
        let application = Application::start(space, "application").await?;
        pair.wait_for("Available", "True", LATER).await?;
        pair.wait_for("Synced", "True", LATER).await?;
        application.set(&pair.replica(0), "foo", "written on the first").await?;
        application.expect(&pair.replica(1), "foo", Some("written on the first")).await?;
        application.set(&pair.replica(1), "foo", "written on the second").await?;
        application.expect(&pair.replica(0), "foo", Some("written on the second")).await?;
        application.expect(&pair.server(), "foo", Some("written on the second")).await?;
        application.delete(&pair.replica(0), "foo").await?;
        application.expect(&pair.replica(1), "foo", None).await
    })
    .await
}
