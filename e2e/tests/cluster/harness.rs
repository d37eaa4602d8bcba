//! The harness itself: what the other tests rely on must be able to see a loss. Against a memcached that replicates
//! nothing.

use anyhow::{Result, ensure};
use e2e::cluster::{Application, Audit, Faults, LATER, Pair, SOON, Space, run_alone, run_beside, wait_until};

/// A memcached and its Service, named like a pair's first replica so that the harness finds its way.
const PLAIN: &str = r#"
apiVersion: v1
kind: Service
metadata: {name: plain-0, namespace: NAMESPACE}
spec:
  selector: {app: plain}
  ports: [{port: 11211}]
---
apiVersion: v1
kind: Pod
metadata: {name: plain-0, namespace: NAMESPACE, labels: {app: plain}}
spec:
  terminationGracePeriodSeconds: 1
  securityContext: {runAsNonRoot: true, seccompProfile: {type: RuntimeDefault}}
  # away from the application, so that its node can be cut off
  affinity:
    podAntiAffinity:
      requiredDuringSchedulingIgnoredDuringExecution:
      - topologyKey: kubernetes.io/hostname
        labelSelector: {matchLabels: {app: application}}
  containers:
  - name: memcached
    image: memcached:1.6.45
    securityContext: {allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: {drop: [ALL]}}
    readinessProbe: {tcpSocket: {port: 11211}, periodSeconds: 1}
"#;

async fn plain(space: &Space) -> Result<(Pair, Application)> {
    let application = Application::start(space, "application").await?;
    space.cluster.kubectl_apply(&PLAIN.replace("NAMESPACE", &space.namespace)).await?;
    let pair = Pair::named(&space.cluster, &space.namespace, "plain");
    wait_until("memcached", LATER, async || {
        ensure!(pair.facts(0).await?.ready, "not ready");
        Ok(())
    })
    .await?;
    application.expect(&pair.replica(0), "nothing", None).await?;
    Ok((pair, application))
}

#[tokio::test]
async fn items_lost_with_a_killed_process_are_missed() -> Result<()> {
    run_beside("harness-kill", async |space| {
        let (pair, application) = plain(space).await?;
        application.fill(&pair.replica(0), "item", 2000).await?;
        application.check(&pair.replica(0), "item", 2000).await?;
        application.remove(&pair.replica(0), "item", 10).await?;
        ensure!(application.compare(&pair.replica(0), "item", 2000).await?.missing == 10);
        let load = application.load(&pair.replica(0), "load", 100).await?;
        let before = pair.facts(0).await?;
        space.faults.kill(&pair.get_pod(0).await?, "memcached").await?;
        pair.wait_replaced(0, &before).await?;
        let found = application.compare(&pair.replica(0), "item", 2000).await?;
        ensure!(found.missing == 2000, "{found:?}");
        let report = load.stop().await?;
        ensure!(report.commands > 0 && report.reconnects > 0 && report.errors + report.misses > 0, "{report:?}");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn nodes_are_cut_off_paused_and_healed() -> Result<()> {
    run_alone("harness-nodes", async |space| {
        let (pair, application) = plain(space).await?;
        let server = pair.replica(0);
        application.set(&server, "key", "value").await?;
        let node = pair.facts(0).await?.node.unwrap_or_default();
        for fault in ["cut", "pause"] {
            match fault {
                "cut" => space.faults.cut(&node).await?,
                _ => space.faults.pause(&node).await?,
            }
            ensure!(!application.reaches(&server).await, "{fault}: it answers");
            space.faults.heal().await?;
            application.expect(&server, "key", Some("value")).await?;
        }
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_failed_test_keeps_what_the_cluster_knew() -> Result<()> {
    let outcome = run_beside("harness-keep", async |space| {
        let _plain = plain(space).await?;
        panic!("on purpose")
    })
    .await;
    ensure!(format!("{:#}", outcome.expect_err("it panicked")).contains("on purpose"));
    let kept = e2e::paths::target_dir().join("e2e/harness-keep");
    ensure!(std::fs::read_to_string(kept.join("pod.json"))?.contains("plain-0"));
    ensure!(kept.join("e2e-harness-keep.plain-0.memcached.log").exists());
    std::fs::remove_dir_all(kept)?;
    Ok(())
}

/// Writes a ConfigMap as the default service account, which the audit log must show.
#[tokio::test]
async fn writes_of_a_service_account_are_counted() -> Result<()> {
    run_beside("harness-audit", async |space| {
        let audit = Audit::from_now(&space.faults).await?;
        let namespace = &space.namespace;
        ensure!(audit.writes_of(namespace, namespace).await?.is_empty());
        // refused before its body was read, so without a name; but written to the log all the same
        let refused = space.cluster.kubectl_as(namespace, "default", &["create", "configmap", "audited"]).await;
        ensure!(refused.is_err(), "the default service account may write");
        wait_until("the write in the audit log", SOON, async || {
            let writes = audit.writes_of(namespace, namespace).await?;
            ensure!(writes == ["create configmaps/ "], "{writes:?}");
            Ok(())
        })
        .await
    })
    .await
}
