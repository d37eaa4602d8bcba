//! Kinds that a cluster may not know.

use anyhow::{Result, ensure};
use e2e::cluster::{OPERATOR, Operator, Pair, run_beside};
use serde_json::{Value, json};

/// Enough of the Prometheus operator's PodMonitor for the API server to take one.
fn definition() -> Value {
    json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "podmonitors.monitoring.coreos.com"},
        "spec": {
            "group": "monitoring.coreos.com",
            "scope": "Namespaced",
            "names": {"kind": "PodMonitor", "plural": "podmonitors"},
            "versions": [{
                "name": "v1",
                "served": true,
                "storage": true,
                "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}},
            }],
        },
    })
}

#[tokio::test]
async fn a_missing_kind_is_told_and_stops_nothing_else_and_is_used_when_it_is_there() -> Result<()> {
    run_beside("monitoring", async |space| {
        let kubectl = async |arguments: &[&str]| space.cluster.kubectl(arguments, "").await;
        let known = kubectl(&["get", "crd", "podmonitors.monitoring.coreos.com"]).await.is_ok();
        ensure!(!known, "this cluster has PodMonitors: left by another run? remove the definition");
        Operator::install(&space.cluster, OPERATOR, &[]).await?;
        let spec = |memory: &str| json!({"memory": memory, "monitoring": {"podMonitor": {"enabled": true}}});
        let pair = Pair::apply(space, "cache", spec("1Gi")).await?;
        pair.settle().await?;
        pair.wait_for_reason("Degraded", "True", "MonitoringUnavailable").await?;
        // a change rolls all the same
        let before = pair.both_facts().await?;
        pair.change(spec("2Gi")).await?;
        pair.wait_rolled(&before).await?;
        pair.settle().await?;
        space.cluster.kubectl_apply(&definition().to_string()).await?;
        let outcome = async {
            pair.wait_for_reason("Degraded", "False", "AsExpected").await?;
            kubectl(&["get", "podmonitor", "cache", "-n", &space.namespace]).await.map(drop)
        }
        .await;
        kubectl(&["delete", "crd", "podmonitors.monitoring.coreos.com"]).await?;
        outcome
    })
    .await
}
