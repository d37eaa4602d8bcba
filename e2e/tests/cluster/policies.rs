//! Who may connect, where the cluster enforces it.

use anyhow::{Result, ensure};
use e2e::cluster::{Application, LATER, Pair, SOON, Space, run_beside, wait_until};
use serde_json::json;

use crate::pair_of;

/// Nobody may connect to anything in the namespace.
const NOBODY: &str = r#"
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: nobody, namespace: NAMESPACE}
spec: {podSelector: {}, policyTypes: [Ingress]}
"#;

/// Whether the cluster enforces policies at all: the first replica must become unreachable by a policy that lets nobody
/// in. The pair must have no policy of its own, which would let clients in.
async fn enforced(space: &Space, pair: &Pair, application: &Application) -> Result<bool> {
    space.cluster.kubectl_apply(&NOBODY.replace("NAMESPACE", &space.namespace)).await?;
    let denied = wait_until("a policy to be enforced", SOON / 4, async || {
        ensure!(!application.reaches(&pair.replica(0)).await, "clients are let in");
        Ok(())
    })
    .await;
    let delete = ["delete", "networkpolicy", "nobody", "--namespace", &space.namespace];
    space.cluster.kubectl(&delete, "").await?;
    application.expect(&pair.replica(0), "foo", None).await?;
    Ok(denied.is_ok())
}

async fn wait_denied(application: &Application, server: &str) -> Result<()> {
    wait_until(&format!("{server} to be out of reach"), LATER, async || {
        ensure!(!application.reaches(server).await, "it answers");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn clients_that_are_not_named_are_kept_out() -> Result<()> {
    run_beside("policy", async |space| {
        let (pair, named) = pair_of(space, json!({"networkPolicy": {"enabled": false}})).await?;
        if !enforced(space, &pair, &named).await? {
            println!("SKIPPED NetworkPolicy: this cluster enforces no NetworkPolicy");
            return Ok(());
        }
        let other = Application::start_in(&space.cluster, &space.namespace, "other", "other").await?;
        pair.change(json!({"networkPolicy": {"from": [{"podLabels": {"app": "application"}}]}})).await?;
        pair.settle().await?;
        for index in 0..2 {
            wait_denied(&other, &pair.replica(index)).await?;
        }
        wait_denied(&other, &pair.server()).await?;
        named.set(&pair.replica(0), "foo", "let in").await?;
        named.expect(&pair.replica(1), "foo", Some("let in")).await?;
        // replication and control are nobody's business but the pair's and the operator's
        for port in [11212, 11213] {
            wait_denied(&named, &pair.replica(0).replace(":11211", &format!(":{port}"))).await?;
        }
        // a new pod: replication, wiring and the probes get through
        pair.replace(1).await?;
        pair.settle().await?;
        named.expect(&pair.replica(1), "foo", Some("let in")).await
    })
    .await
}
