//! Pairs in a real Kubernetes, installed as a user installs them: `make cluster` starts one, `make e2e` runs these.
//!
//! Each test has a namespace of its own; they run one after the other, since they break nodes and count writes.

mod chart;
mod harness;
mod losses;
mod many;
mod nodes;
mod operators;
mod rolling;
mod seed;

use anyhow::Result;
use e2e::cluster::{Application, OPERATOR, Operator, Pair, Space};
use serde_json::json;

/// Starts what most tests begin with: the operator, a pair with nothing but its name, and an application.
async fn pair(space: &Space) -> Result<(Pair, Application)> {
    Operator::install(&space.cluster, OPERATOR, &[]).await?;
    let pair = Pair::apply(space, "cache", json!({})).await?;
    let application = Application::start(space, "application").await?;
    pair.settle().await?;
    Ok((pair, application))
}
