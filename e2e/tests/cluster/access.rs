//! Who may use the cache: users and certificates for clients out of Secrets, which change, and where clients find both replicas.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use e2e::cluster::{LATER, OPERATOR, Operator, Pair, Space, run_beside, wait_until};
use e2e::process::Authority;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio_rustls::TlsConnector;

/// More than an answer takes.
const ANSWER: Duration = Duration::from_secs(20);

/// Makes or changes a Secret.
async fn secret(space: &Space, name: &str, kind: &str, data: Value) -> Result<()> {
    let object = json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "namespace": space.namespace},
        "type": kind,
        "stringData": data,
    });
    space.cluster.kubectl_apply(&object.to_string()).await
}

async fn users(space: &Space, key: &str, text: &str) -> Result<()> {
    secret(space, "web-users", "Opaque", json!({key: text})).await
}

async fn certificates(space: &Space, authority: &Authority) -> Result<()> {
    let (certificate, key) = authority.leaf("cache")?;
    secret(space, "web-clients", "kubernetes.io/tls", json!({"tls.crt": certificate, "tls.key": key})).await
}

async fn exchange(stream: &mut (impl AsyncRead + AsyncWrite + Unpin), request: &str, end: &str) -> Result<String> {
    stream.write_all(request.as_bytes()).await?;
    stream.flush().await?;
    let (mut all, mut chunk) = (Vec::new(), [0; 4096]);
    while !all.ends_with(end.as_bytes()) {
        let read = tokio::time::timeout(ANSWER, stream.read(&mut chunk)).await;
        let len = read.with_context(|| format!("only {:?}", String::from_utf8_lossy(&all)))??;
        ensure!(len > 0, "closed after {:?}", String::from_utf8_lossy(&all));
        all.extend_from_slice(&chunk[..len]);
    }
    Ok(String::from_utf8(all)?)
}

/// The answers to a login and to some requests of a client that speaks TLS with this CA.
async fn ask(
    pair: &Pair,
    index: usize,
    authority: &Authority,
    password: &str,
    requests: &[(&str, &str)],
) -> Result<Vec<String>> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(authority.certificate().as_bytes()) {
        roots.add(certificate?)?;
    }
    let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let mut forwarded = pair.pods.portforward(&pair.pod(index), &[11211]).await?;
    let stream = forwarded.take_stream(11211).context("no stream")?;
    let mut stream = TlsConnector::from(Arc::new(config)).connect(ServerName::try_from("cache")?, stream).await?;
    let login = format!("set login 0 0 {}\r\nweb {password}\r\n", password.len() + 4);
    let mut answers = vec![exchange(&mut stream, &login, "\r\n").await?];
    for (request, end) in requests {
        answers.push(exchange(&mut stream, request, end).await?);
    }
    Ok(answers)
}

#[tokio::test]
async fn users_and_certificates_come_from_secrets_and_are_renewed_without_a_restart() -> Result<()> {
    run_beside("access", async |space| {
        Operator::install(&space.cluster, OPERATOR, &[]).await?;
        let (first, second) = (Authority::new("first")?, Authority::new("second")?);
        let spec = json!({"auth": {"secretRef": "web-users"}, "clientTls": {"secretRef": "web-clients"}});
        let pair = Pair::apply(space, "cache", spec).await?;
        pair.wait_for_reason("Degraded", "True", "AuthSecretMissing").await?;
        users(space, "passwords", "web:one\n").await?;
        pair.wait_for_reason("Degraded", "True", "AuthSecretMissing").await?;
        users(space, "users", "web:one\nnobody\n").await?;
        pair.wait_for_reason("Degraded", "True", "AuthSecretInvalid").await?;
        users(space, "users", "web:one\n").await?;
        pair.wait_for_reason("Degraded", "True", "ClientTlsSecretMissing").await?;
        certificates(space, &first).await?;
        pair.settle().await?;

        let stored = ask(&pair, 0, &first, "one", &[("set key 0 0 5\r\nvalue\r\n", "\r\n")]).await?;
        ensure!(stored == ["STORED\r\n", "STORED\r\n"], "{stored:?}");
        ensure!(ask(&pair, 0, &first, "two", &[]).await? == ["CLIENT_ERROR authentication failure\r\n"]);
        ensure!(ask(&pair, 0, &second, "one", &[]).await.is_err(), "another CA");
        wait_until("the value and the addresses on the other replica", LATER, async || {
            let requests = [("get key\r\n", "END\r\n"), ("config get cluster\r\n", "\n\r\nEND\r\n")];
            let answers = ask(&pair, 1, &first, "one", &requests).await?;
            let found = answers.get(2).context("no answer")?;
            ensure!(answers[1].contains("value"), "{answers:?}");
            let host = |index| format!("{}.{}.svc|", pair.pod(index), pair.namespace);
            ensure!(
                found.starts_with("CONFIG cluster 0 ") && found.contains(&host(0)) && found.contains(&host(1)),
                "{found}"
            );
            Ok(())
        })
        .await?;

        // other users, and a certificate of another CA: used without a restart
        let facts = pair.both_facts().await?;
        users(space, "users", "web:two\n").await?;
        certificates(space, &second).await?;
        for index in 0..2 {
            wait_until("the new password and certificate", LATER, async || {
                let answers = ask(&pair, index, &second, "two", &[("get key\r\n", "END\r\n")]).await?;
                ensure!(answers[0] == "STORED\r\n" && answers[1].contains("value"), "{answers:?}");
                Ok(())
            })
            .await?;
            ensure!(ask(&pair, index, &second, "one", &[]).await? == ["CLIENT_ERROR authentication failure\r\n"]);
        }
        ensure!(pair.both_facts().await? == facts, "pods were restarted");

        // what is no good is told, and the last good ones stay in use
        users(space, "users", "nobody\n").await?;
        pair.wait_for_reason("Degraded", "True", "AuthSecretInvalid").await?;
        ensure!(ask(&pair, 0, &second, "two", &[]).await? == ["STORED\r\n"]);
        ensure!(pair.both_facts().await? == facts, "pods were restarted");
        users(space, "users", "web:two\n").await?;
        pair.settle().await
    })
    .await
}
