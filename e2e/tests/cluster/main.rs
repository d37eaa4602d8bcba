//! Pairs in a real Kubernetes, installed as a user installs them: `make cluster` starts one, `make e2e` runs these.
//!
//! Each test has a namespace of its own. Those that break nodes or change the operator run alone, the others beside each other.

mod access;
mod asked;
mod certificates;
mod chart;
mod harness;
mod losses;
mod many;
mod monitoring;
mod namespaces;
mod nodes;
mod operators;
mod own_certificate;
mod policies;
mod rolling;
mod seed;
mod upgrades;

use anyhow::Result;
use e2e::cluster::{Application, OPERATOR, Operator, Pair, Space};
use serde_json::{Value, json};

/// Starts what most tests begin with: the operator, a pair with nothing but its name, and an application.
async fn pair(space: &Space) -> Result<(Pair, Application)> {
    pair_of(space, json!({})).await
}

/// The same with this spec.
async fn pair_of(space: &Space, spec: Value) -> Result<(Pair, Application)> {
    Operator::install(&space.cluster, OPERATOR, &[]).await?;
    let pair = Pair::apply(space, "cache", spec).await?;
    let application = Application::start(space, "application").await?;
    pair.settle().await?;
    application.wait_reaches(&pair).await?;
    Ok((pair, application))
}
