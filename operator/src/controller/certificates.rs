//! The Secrets of a pair, and what speaks to its sidecars.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Pod, Secret};
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::json;
use sidecar::control::protocol::Certificates;

use super::apply;
use super::context::{Context, ReconcileError};
use super::observe::{self, Pair, Pods};
use crate::api::v1alpha1::TlsMode;
use crate::build::{self, Kind, Whose, hex};
use crate::names::{ACCESS, CERTIFICATES, FIELD_MANAGER};
use crate::sidecars::Sidecars;
use crate::status::Problem;
use crate::tls::given::{self, Named};
use crate::tls::issue::{self, Purpose};
use crate::tls::secrets::{Authority, Data, Kept, Leaf};
use crate::tls::{LEAF_LIFE, Step, decide};

/// Secrets are read again so often: they cannot be watched, since the operator may not list them.
const READ: Duration = Duration::from_secs(60);
/// A leaf of the operator is used for so long; it is good for much longer.
const OPERATOR_LEAF: Duration = Duration::from_secs(24 * 3600);
/// The most steps of a rotation at once.
const STEPS_MAX: usize = 6;

/// Why there is none.
pub(super) enum Failed {
    /// Somebody has to mend it.
    Problem(Problem),
    /// To be tried again.
    Error(ReconcileError),
}

impl<E: Into<ReconcileError>> From<E> for Failed {
    fn from(error: E) -> Self {
        Self::Error(error.into())
    }
}

/// Makes and renews certificates, and returns what speaks with the sidecars.
pub(super) async fn ensure(context: &Context, pair: &Pair<'_>, pods: &Pods) -> Result<Sidecars, Failed> {
    let tls = &pair.resource.spec.replication.tls;
    match (tls.mode, &tls.secret_ref) {
        (TlsMode::Secret, Some(name)) => given(context, pair, pods, (name, tls.operator_secret_ref.as_deref())).await,
        _ => managed(context, pair, pods).await,
    }
}

pub(super) async fn read(context: &Context, pair: &Pair<'_>, name: &str) -> Result<Option<Secret>, ReconcileError> {
    let api: Api<Secret> = Api::namespaced(context.client.clone(), pair.namespace);
    api.get_opt(name).await.map_err(ReconcileError::api(format!("get Secret {name}")))
}

/// From Secrets of the user's.
async fn given(
    context: &Context,
    pair: &Pair<'_>,
    pods: &Pods,
    (name, operator): (&str, Option<&str>),
) -> Result<Sidecars, Failed> {
    if let Some(sidecars) = remembered(context, pair, None) {
        return Ok(sidecars);
    }
    let problem = |reason, message| Failed::Problem(Problem { reason, message });
    let missing =
        |name: &str, keys| problem("CertificatesMissing", format!("there is no Secret {name}; make it, with {keys}"));
    let replicas = read(context, pair, name).await?;
    let replicas =
        replicas.ok_or_else(|| missing(name, "the keys ca.crt, tls.crt and tls.key"))?.data.unwrap_or_default();
    let own = match operator {
        Some(name) => {
            let secret = read(context, pair, name).await?;
            let secret = secret.ok_or_else(|| missing(name, "the keys tls.crt and tls.key"))?;
            Some((name, secret.data.unwrap_or_default()))
        }
        None => None,
    };
    let own = own.as_ref().map(|(name, data)| Named { name, data });
    let given = given::read(Named { name, data: &replicas }, own, Timestamp::now());
    let given = given.map_err(|wrong| problem("CertificatesInvalid", wrong.to_string()))?;
    let sidecars = Sidecars::new(&given.authorities, &given.operator);
    let sidecars = sidecars.map_err(|error| problem("CertificatesInvalid", format!("Secret {name}: {error}")))?;
    annotate(context, pair, pods, CERTIFICATES, &hex(&format!("{}{}", given.authorities, given.sidecar))).await;
    remember(context, pair, given.authorities, &sidecars);
    Ok(sidecars)
}

async fn managed(context: &Context, pair: &Pair<'_>, pods: &Pods) -> Result<Sidecars, Failed> {
    let known = context.with_memory(pair.uid, |memory| {
        memory.kept.clone().filter(|(kept, at)| at.elapsed() < READ && kept.leaf.is_some() && kept.authority.is_some())
    });
    let (mut kept, fresh) = match known {
        Some((kept, _)) => (kept, false),
        None => (fetch(context, pair).await?, true),
    };
    // What the sidecars say matters only in a rotation of the CA.
    let rotating = kept.authority.as_ref().is_some_and(|ca| ca.next.is_some() || ca.previous.is_some());
    let mut reports: [Option<Certificates>; 2] = [None, None];
    if let Some(sidecars) = rotating.then(|| speaker(context, pair, &kept).ok()).flatten() {
        let talk = observe::statuses(pair, pods, &sidecars).await;
        reports = talk.statuses().map(|status| status.map(|status| status.certificates.clone()));
    }
    let now = Timestamp::now();
    let mut kept_before = kept.clone();
    for _ in 0..STEPS_MAX {
        let step = decide(&kept.view([reports[0].as_ref(), reports[1].as_ref()]), now);
        if step == Step::Nothing {
            break;
        }
        if !fresh {
            // Somebody may have changed them since.
            let current = fetch(context, pair).await?;
            if current != kept_before {
                (kept, kept_before) = (current.clone(), current);
                continue;
            }
        }
        tracing::info!(namespace = pair.namespace, name = pair.name, ?step, "certificates");
        kept.take(step, pair.name, now).map_err(ReconcileError::from)?;
        write(context, pair, &kept_before, &kept).await?;
        kept_before = kept.clone();
    }
    context.with_memory(pair.uid, |memory| {
        if fresh || memory.kept.as_ref().is_none_or(|(known, _)| *known != kept) {
            memory.kept = Some((kept.clone(), Instant::now()));
        }
    });
    if let Some(leaf) = &kept.leaf {
        let fingerprints = leaf.fingerprints();
        annotate(
            context,
            pair,
            pods,
            CERTIFICATES,
            &hex(&format!("{}{}", fingerprints.authorities, fingerprints.leaf)),
        )
        .await;
    }
    Ok(speaker(context, pair, &kept)?)
}

async fn fetch(context: &Context, pair: &Pair<'_>) -> Result<Kept, Failed> {
    let authority = Authority::read(&own(context, pair, &pair.names().ca_secret()).await?);
    let leaf = Leaf::read(&own(context, pair, &pair.names().tls_secret()).await?);
    Ok(Kept { authority, leaf })
}

/// Only what is ours: keys of others, also of a deleted resource of this name, are not used.
async fn own(context: &Context, pair: &Pair<'_>, name: &str) -> Result<Data, Failed> {
    let Some(secret) = read(context, pair, name).await? else { return Ok(Data::default()) };
    match apply::foreign(&secret.metadata, pair, Kind::Secret, name) {
        Some(problem) => Err(Failed::Problem(problem)),
        None => Ok(secret.data.unwrap_or_default()),
    }
}

async fn write(context: &Context, pair: &Pair<'_>, before: &Kept, after: &Kept) -> Result<(), Failed> {
    let whose = Whose { name: pair.name, namespace: pair.namespace, uid: pair.uid };
    let mut secrets = Vec::new();
    if let Some(authority) = after.authority.as_ref().filter(|authority| before.authority.as_ref() != Some(authority)) {
        secrets.push(build::secret(whose, pair.names().ca_secret(), authority.data()));
    }
    if let Some(leaf) = after.leaf.as_ref().filter(|leaf| before.leaf.as_ref() != Some(leaf)) {
        secrets.push(build::secret(whose, pair.names().tls_secret(), leaf.data()));
    }
    for secret in secrets {
        if let Some(problem) = apply::one(context, pair, &secret).await? {
            return Err(Failed::Problem(problem));
        }
    }
    Ok(())
}

/// A mounted Secret arrives after a minute or more; a changed pod makes kubelet look at once.
/// Has kubelet fetch changed Secrets now: it does so when a pod changes.
pub(super) async fn annotate(context: &Context, pair: &Pair<'_>, pods: &Pods, annotation: &str, wanted: &str) {
    let api: Api<Pod> = Api::namespaced(context.client.clone(), pair.namespace);
    for pod in pods.views().into_iter().flatten() {
        // A pod that has none yet has mounted what there was when it began; it gets one, so that the next change is one.
        let has = if annotation == ACCESS { &pod.access } else { &pod.certificates };
        if has.as_deref() == Some(wanted) || pod.node.is_none() || pod.deleted_at.is_some() {
            continue;
        }
        let patch = json!({"metadata": {"uid": pod.uid, "annotations": {annotation: wanted}}});
        let params = PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
        match api.patch_metadata(&pod.name, &params, &Patch::Merge(&patch)).await {
            Ok(_) => context.health.metrics.writes.inc(),
            Err(error) => {
                tracing::debug!(pod = pod.name, "the pod cannot be annotated: {error}");
                0
            }
        };
    }
}

fn speaker(context: &Context, pair: &Pair<'_>, kept: &Kept) -> Result<Sidecars, ReconcileError> {
    let (Some(authority), Some(leaf)) = (&kept.authority, &kept.leaf) else {
        return Err(ReconcileError::Incomplete("certificates"));
    };
    if let Some(sidecars) = remembered(context, pair, Some(&leaf.authorities)) {
        return Ok(sidecars);
    }
    // Before everybody knows a new CA, the old one signs.
    let own = issue::leaf(&authority.current, Purpose::Operator, Timestamp::now())?;
    let sidecars =
        Sidecars::new(&leaf.authorities, &own).map_err(|error| issue::CertificateError::Read(error.to_string()))?;
    remember(context, pair, leaf.authorities.clone(), &sidecars);
    Ok(sidecars)
}

fn remembered(context: &Context, pair: &Pair<'_>, authorities: Option<&str>) -> Option<Sidecars> {
    let limit = if authorities.is_some() { OPERATOR_LEAF } else { READ };
    context.with_memory(pair.uid, |memory| {
        let (of, at, sidecars) = memory.sidecars.as_ref()?;
        let same = authorities.is_none_or(|authorities| of == authorities);
        (same && at.elapsed() < limit).then(|| sidecars.clone())
    })
}

fn remember(context: &Context, pair: &Pair<'_>, authorities: String, sidecars: &Sidecars) {
    context.with_memory(pair.uid, |memory| memory.sidecars = Some((authorities, Instant::now(), sidecars.clone())));
}

const _: () = assert!(OPERATOR_LEAF.as_secs() < LEAF_LIFE.as_secs() as u64 / 2);
