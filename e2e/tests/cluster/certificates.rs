//! Certificates are renewed while the pair is used.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use e2e::cluster::{Faults, LATER, OPERATOR, Operator, Pair, Space, run_alone, wait_until};
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Api, ObjectMeta, Patch, PatchParams};
use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair, KeyUsagePurpose};

use crate::pair;

/// As whom the operator writes.
const MANAGER: &str = "replicated-memcached-operator";
const SESSIONS: &str = "rmc_link_sessions_total";
/// The longest that a write may take to the other replica while certificates change.
const LONGEST_MS: u64 = 1000;

struct Secrets {
    api: Api<Secret>,
    authority: String,
    leaf: String,
}

impl Secrets {
    fn of(space: &Space, pair: &Pair) -> Self {
        let api = space.cluster.api(&pair.namespace);
        Secrets { api, authority: format!("{}-ca", pair.name), leaf: format!("{}-tls", pair.name) }
    }

    async fn data(&self, name: &str) -> Result<BTreeMap<String, ByteString>> {
        self.api.get(name).await?.data.with_context(|| format!("{name} is empty"))
    }
}

/// What the operator does after eight years, now: it finds a second CA, which everybody is to know before it signs.
async fn introduce_authority(secrets: &Secrets) -> Result<ByteString> {
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let certificate = params.self_signed(&key)?.pem();
    let mut secret = secrets.api.get(&secrets.authority).await?;
    let new = [("next.crt", certificate.clone()), ("next.key", key.serialize_pem())];
    let data = secret.data.get_or_insert_default();
    data.extend(new.map(|(name, text)| (name.to_owned(), ByteString(text.into_bytes()))));
    secret.metadata = ObjectMeta { managed_fields: None, resource_version: None, ..secret.metadata };
    // in the operator's name: what others have put there is not for it to remove
    let params = PatchParams::apply(MANAGER).force();
    secrets.api.patch(&secrets.authority, &params, &Patch::Apply(&secret)).await?;
    Ok(ByteString(certificate.into_bytes()))
}

#[tokio::test]
async fn leaves_and_authority_are_renewed_under_load_and_the_link_stays() -> Result<()> {
    run_alone("certificates", async |space| {
        let (pair, application) = pair(space).await?;
        let operator = Operator::at(&space.cluster, OPERATOR);
        let secrets = Secrets::of(space, &pair);
        let before = [secrets.data(&secrets.authority).await?, secrets.data(&secrets.leaf).await?];
        let pods = pair.both_facts().await?;
        let sessions = [pair.metric(0, SESSIONS).await?, pair.metric(1, SESSIONS).await?];
        let load = application.load(&pair.server(), "load", 500).await?;
        let there = application.lag(&pair.replica(0), &pair.replica(1), "there").await?;
        let back = application.lag(&pair.replica(1), &pair.replica(0), "back").await?;

        let authority = introduce_authority(&secrets).await?;
        // it reads Secrets now and then, and when it begins
        operator.kill().await?;
        wait_until("the new authority alone", LATER, async || {
            let (now, leaf) = (secrets.data(&secrets.authority).await?, secrets.data(&secrets.leaf).await?);
            ensure!(now.get("ca.crt") == Some(&authority), "the old one signs");
            ensure!(!now.contains_key("previous.crt") && !now.contains_key("next.crt"), "not alone: {:?}", now.keys());
            ensure!(leaf.get("ca.crt") == Some(&authority), "others are trusted, too");
            ensure!(leaf.get("tls.crt") != before[1].get("tls.crt"), "the old leaf");
            Ok(())
        })
        .await?;
        ensure!(before[0].get("ca.crt") != Some(&authority), "the authority has not changed");

        for lag in [there.stop().await?, back.stop().await?] {
            eprintln!("  {lag:?}");
            ensure!(lag.longest_ms <= LONGEST_MS, "{lag:?}");
        }
        let report = load.stop().await?;
        ensure!(report.errors == 0 && report.misses == 0 && report.reconnects == 0, "{report:?}");
        ensure!(pair.both_facts().await? == pods, "pods were restarted");
        ensure!([pair.metric(0, SESSIONS).await?, pair.metric(1, SESSIONS).await?] == sessions, "the link was lost");

        // and what is new is good for new links: of a process that begins with it, and of one that has loaded it
        pair.settle().await?;
        let before = pair.facts(0).await?;
        space.faults.kill(&pair.get_pod(0).await?, "sidecar").await?;
        pair.wait_replaced(0, &before).await?;
        pair.settle().await?;
        application.set(&pair.replica(0), "foo", "by the new authority").await?;
        application.expect(&pair.replica(1), "foo", Some("by the new authority")).await
    })
    .await
}
