//! Certificates of the user's own, in Secrets as cert-manager makes them.

use anyhow::{Result, ensure};
use e2e::cluster::{Application, OPERATOR, Operator, Pair, Space, run_beside};
use e2e::process::Authority;
use serde_json::json;

const SIDECAR: &str = "sidecar.replicated-memcached.io";
const OPERATOR_NAME: &str = "operator.replicated-memcached.io";

/// Makes or changes a Secret with a leaf of this CA.
async fn secret(space: &Space, name: &str, authority: &Authority, leaf: &str) -> Result<()> {
    let (certificate, key) = authority.leaf(leaf)?;
    let object = json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "namespace": space.namespace},
        "type": "kubernetes.io/tls",
        "stringData": {"ca.crt": authority.certificate(), "tls.crt": certificate, "tls.key": key},
    });
    space.cluster.kubectl_apply(&object.to_string()).await
}

#[tokio::test]
async fn a_pair_with_certificates_of_another_authority() -> Result<()> {
    run_beside("own-certificate", async |space| {
        Operator::install(&space.cluster, OPERATOR, &[]).await?;
        let spec = json!({"replication": {"tls": {"mode": "Secret", "secretRef": "web", "operatorSecretRef": "web-operator"}}});
        let pair = Pair::apply(space, "cache", spec).await?;
        let application = Application::start(space, "application").await?;
        pair.wait_for_reason("Degraded", "True", "CertificatesMissing").await?;
        let (authority, stranger) = (Authority::new("ours")?, Authority::new("stranger")?);
        secret(space, "web", &authority, SIDECAR).await?;
        secret(space, "web-operator", &stranger, OPERATOR_NAME).await?;
        pair.wait_for_reason("Degraded", "True", "CertificatesInvalid").await?;
        secret(space, "web-operator", &authority, OPERATOR_NAME).await?;
        pair.settle().await?;
        application.set(&pair.replica(0), "key", "value").await?;
        application.expect(&pair.replica(1), "key", Some("value")).await?;
        // nothing of ours beside it
        let secrets = space.cluster.kubectl(&["get", "secrets", "-n", &space.namespace, "-o", "name"], "").await?;
        ensure!(!secrets.contains("cache-ca") && !secrets.contains("cache-tls"), "{secrets}");

        // renewed by its owner: used without a restart
        let before = pair.both_facts().await?;
        secret(space, "web", &authority, SIDECAR).await?;
        secret(space, "web-operator", &authority, OPERATOR_NAME).await?;
        application.set(&pair.replica(1), "key", "renewed").await?;
        application.expect(&pair.replica(0), "key", Some("renewed")).await?;
        pair.settle().await?;
        ensure!(pair.both_facts().await? == before, "pods were restarted");
        Ok(())
    })
    .await
}
