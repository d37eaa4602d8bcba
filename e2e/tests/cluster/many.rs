//! More than one pair, and names that are taken.

use anyhow::{Result, ensure};
use e2e::cluster::{Application, LATER, OPERATOR, Operator, Pair, run_beside, wait_until};
use serde_json::json;

use crate::pair;

#[tokio::test]
async fn pairs_of_one_name_in_two_namespaces_know_nothing_of_each_other() -> Result<()> {
    run_beside("two", async |space| {
        let (first, application) = pair(space).await?;
        let other = format!("{}-other", space.namespace);
        space.create(&other).await?;
        let second = Pair::apply_in(&space.cluster, &other, &first.name, json!({})).await?;
        second.settle().await?;
        application.set(&first.replica(0), "foo", "first").await?;
        application.set(&second.replica(0), "foo", "second").await?;
        application.expect(&first.replica(1), "foo", Some("first")).await?;
        application.expect(&second.replica(1), "foo", Some("second")).await
    })
    .await
}

#[tokio::test]
async fn ten_pairs_at_once() -> Result<()> {
    run_beside("ten", async |space| {
        Operator::install(&space.cluster, OPERATOR, &[]).await?;
        let application = Application::start(space, "application").await?;
        let mut pairs = Vec::new();
        for number in 0..10 {
            pairs.push(Pair::apply(space, &format!("cache{number}"), json!({"memory": "64Mi"})).await?);
        }
        for pair in &pairs {
            pair.settle().await?;
            application.set(&pair.replica(0), "foo", &pair.name).await?;
        }
        for pair in &pairs {
            application.expect(&pair.replica(1), "foo", Some(&pair.name)).await?;
        }
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_pair_made_again_under_its_name_is_empty() -> Result<()> {
    run_beside("again", async |space| {
        let (pair, application) = pair(space).await?;
        application.fill(&pair.replica(0), "item", 1000).await?;
        application.check(&pair.replica(1), "item", 1000).await?;
        pair.delete().await?;
        wait_until("the resource to be gone", LATER, async || {
            ensure!(pair.get().await.is_err(), "it is there");
            Ok(())
        })
        .await?;
        let pair = Pair::apply(space, &pair.name, json!({})).await?;
        pair.settle().await?;
        // its pods do not begin with what is left of the first one's, which goes away under them
        let mut ours = Vec::new();
        for index in 0..2 {
            ours.push(pair.get_pod(index).await?.metadata.uid.unwrap_or_default());
        }
        let events = ["get", "events", "--namespace", &pair.namespace, "--field-selector", "reason=FailedMount"];
        let shown = r#"jsonpath={range .items[*]}{.involvedObject.uid} {.message}{"\n"}{end}"#;
        let failed = space.cluster.kubectl(&[&events[..], &["-o", shown]].concat(), "").await?;
        let is_ours = |line: &&str| ours.iter().any(|uid| line.starts_with(uid.as_str()));
        let failed: Vec<&str> = failed.lines().filter(is_ours).collect();
        ensure!(!failed.iter().any(|line| line.contains("not found")), "{failed:?}");
        for index in 0..2 {
            let found = application.compare(&pair.replica(index), "item", 1000).await?;
            ensure!(found.missing == 1000, "{found:?}");
        }
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_foreign_service_of_the_name_is_left_alone() -> Result<()> {
    run_beside("foreign", async |space| {
        Operator::install(&space.cluster, OPERATOR, &[]).await?;
        let foreign = format!(
            "{{apiVersion: v1, kind: Service, metadata: {{name: cache, namespace: {}}}, spec: {{ports: [{{port: 1}}]}}}}",
            space.namespace
        );
        space.cluster.kubectl_apply(&foreign).await?;
        let show = ["get", "service", "cache", "--namespace", &space.namespace, "-o", "yaml"];
        let before = space.cluster.kubectl(&show, "").await?;
        let pair = Pair::apply(space, "cache", json!({})).await?;
        pair.wait_for("Degraded", "True", LATER).await?;
        let (_, reason) = pair.condition("Degraded").await?;
        ensure!(reason == "NameConflict", "{reason}");
        ensure!(space.cluster.kubectl(&show, "").await? == before, "the foreign Service was changed");
        let remove = ["delete", "service", "cache", "--namespace", &space.namespace];
        space.cluster.kubectl(&remove, "").await?;
        pair.settle().await
    })
    .await
}
