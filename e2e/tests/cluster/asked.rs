//! What a user asks for by hand: a resync, a pause, an update that waits for a word.

use std::time::Duration;

use anyhow::{Result, ensure};
use e2e::cluster::{LATER, Pair, run_beside, wait_until};
use serde_json::json;
use tokio::time::sleep;

use crate::pair;

const ITEMS: u64 = 5_000;
const FULL: &str = "rmc_resyncs_total{kind=\"full\"}";
/// How long a change must be held back: many times what the operator waits between two looks.
const REST: Duration = Duration::from_secs(15);

async fn resyncs(pair: &Pair) -> Result<[f64; 2]> {
    Ok([pair.metric(0, FULL).await?, pair.metric(1, FULL).await?])
}

#[tokio::test]
async fn a_resync_is_done_once_for_each_new_value_of_the_annotation() -> Result<()> {
    run_beside("resync", async |space| {
        let (pair, application) = pair(space).await?;
        application.fill(&pair.replica(0), "item", ITEMS).await?;
        application.check_both(&pair, "item", ITEMS).await?;
        let facts = pair.both_facts().await?;
        for value in ["first", "second"] {
            let before = resyncs(&pair).await?;
            pair.annotate("replicated-memcached.io/resync", value).await?;
            wait_until("a full resync of both", LATER, async || {
                let now = resyncs(&pair).await?;
                ensure!((0..2).all(|index| now[index] == before[index] + 1.0), "{now:?}, {before:?} before");
                Ok(())
            })
            .await?;
        }
        pair.settle().await?;
        let done = resyncs(&pair).await?;
        // another reconcile with the old value starts none
        pair.annotate("example.com/unrelated", "1").await?;
        sleep(REST).await;
        ensure!(resyncs(&pair).await? == done, "a resync that nobody asked for");
        ensure!(pair.both_facts().await? == facts, "a pod was restarted");
        application.check_both(&pair, "item", ITEMS).await
    })
    .await
}

#[tokio::test]
async fn a_change_waits_for_the_end_of_a_pause_or_for_the_word() -> Result<()> {
    run_beside("held", async |space| {
        let (pair, application) = pair(space).await?;
        application.fill(&pair.replica(1), "item", ITEMS).await?;
        application.check_both(&pair, "item", ITEMS).await?;
        for (held, reason, released) in [
            (json!({"paused": true, "memory": "512Mi"}), "Paused", Some(json!({"memory": "512Mi"}))),
            (json!({"updatePolicy": "OnDemand", "memory": "640Mi"}), "UpdatePending", None),
        ] {
            let before = pair.both_facts().await?;
            pair.change(held).await?;
            pair.wait_for_reason("Progressing", "False", reason).await?;
            // that nothing happens has no end to wait for
            sleep(REST).await;
            ensure!(pair.both_facts().await? == before, "a pod was restarted");
            match released {
                Some(spec) => pair.change(spec).await?,
                None => pair.annotate("replicated-memcached.io/update", "now").await?,
            }
            pair.wait_rolled(&before).await?;
            pair.settle().await?;
            application.check_both(&pair, "item", ITEMS).await?;
        }
        Ok(())
    })
    .await
}
