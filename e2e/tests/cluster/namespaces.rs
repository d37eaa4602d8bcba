//! An operator for some namespaces: Roles in them, nothing in the others.

use std::time::Duration;

use anyhow::{Result, ensure};
use e2e::cluster::{OPERATOR, Operator, Pair, run_alone};
use serde_json::json;

/// An operator that looks at everything had long begun by then; there is no sign of one that does not.
const LONG_ENOUGH: Duration = Duration::from_secs(10);

#[tokio::test]
async fn an_operator_for_one_namespace_leaves_the_others_alone() -> Result<()> {
    run_alone("watched", async |space| {
        let other = format!("{}-other", space.namespace);
        space.create(&other).await?;
        let only = format!("watchNamespaces={{{}}}", space.namespace);
        Operator::install(&space.cluster, OPERATOR, &[&only]).await?;
        let outcome = watched(space, &other).await;
        // for the tests that come after this one
        Operator::install(&space.cluster, OPERATOR, &["watchNamespaces=null"]).await?;
        outcome
    })
    .await
}

async fn watched(space: &e2e::cluster::Space, other: &str) -> Result<()> {
    let may = async |what: &[&str], namespace: &str| {
        let account = format!("system:serviceaccount:{OPERATOR}:{OPERATOR}");
        let question = [&["auth", "can-i"], what, &["--namespace", namespace, "--as", &account]].concat();
        // kubectl exits with 1 for no
        space.cluster.kubectl(&question, "").await.is_ok_and(|answer| answer.trim() == "yes")
    };
    for what in [&["get", "secrets"][..], &["create", "pods", "--subresource=eviction"]] {
        ensure!(may(what, &space.namespace).await, "{what:?} is refused in its namespace");
        ensure!(!may(what, other).await, "{what:?} is allowed in another namespace");
    }
    ensure!(!may(&["list", "secrets"], &space.namespace).await, "it may list secrets");
    ensure!(!may(&["list", "pods"], "kube-system").await, "it may list pods of the system");

    let ignored = Pair::apply_in(&space.cluster, other, "ignored", json!({})).await?;
    let pair = Pair::apply(space, "cache", json!({})).await?;
    pair.settle().await?;
    tokio::time::sleep(LONG_ENOUGH).await;
    ensure!(ignored.get_pod(0).await.is_err(), "a pair of another namespace was begun");
    Ok(())
}
