//! Writes what is to be, where it is not so already, and removes what is not to be. Never touches what is not ours.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use kube::Api;
use kube::api::{DeleteParams, DynamicObject, ObjectMeta, Patch, PatchParams, Preconditions};

use super::context::{Context, Look, ReconcileError};
use super::observe::{Pair, Pods};
use crate::build::{Child, Children, Kind, Orphan};
use crate::live::{Owner, difference, owner};
use crate::names::{APPLIED, FIELD_MANAGER};
use crate::status::{MONITORING_UNAVAILABLE, Problem};
use crate::update::{self, Decision};

/// It is looked so often whether there is anything that should not be.
const TIDY: Duration = Duration::from_secs(600);
/// Objects of kinds that the cluster may not know are looked at so often.
const OPTIONAL: Duration = Duration::from_secs(60);
/// Reason of a problem that goes by itself.
pub(super) const WAITING: &str = "WaitingForGarbageCollection";

/// What came of it.
#[derive(Debug, Default)]
pub(super) struct Applied {
    pub(super) problem: Option<Problem>,
    pub(super) held: Option<update::Reason>,
}

/// Applies everything but the Secrets. `blocked`: what new pods would need is missing, or not ours.
pub(super) async fn all(
    context: &Context,
    pair: &Pair<'_>,
    children: &Children,
    pods: &Pods,
    (own_secrets, blocked): (bool, bool),
) -> Result<Applied, ReconcileError> {
    let mut applied = Applied::default();
    for child in &children.wanted {
        let problem = match child.kind.is_optional() {
            true => optional(context, pair, child).await?,
            false => one(context, pair, child).await?,
        };
        // What keeps pods waiting is told first.
        if problem.is_some() && applied.problem.as_ref().is_none_or(|known| !known.keeps_pods_waiting()) {
            applied.problem = problem;
        }
    }
    let set = &children.stateful_set;
    match find(context, pair, set.kind, &set.name).await? {
        Found::Ours(live) => {
            let empty = BTreeMap::new();
            let wanted = annotations(set);
            let policy = pair.resource.spec.update_policy;
            match update::decide(Some(live.metadata.annotations.as_ref().unwrap_or(&empty)), &wanted, policy) {
                // A pod that is lost meanwhile returns as it was, and not as one that cannot begin.
                Decision::Write if blocked => {}
                Decision::Write => write(context, pair, set, Some(&live)).await?,
                Decision::Hold(reason) => applied.held = Some(reason),
            }
        }
        // Pods must not begin before what they need is there, and ours.
        // The controller of StatefulSets would run into them, and then wait for ever longer.
        Found::Nothing if pods.stranger.is_some() => {
            let name = pods.stranger.as_deref().unwrap_or_default();
            let message = format!("Pod {name} of another owner has the name of a replica; waiting until it is gone");
            applied.problem.get_or_insert(Problem { reason: WAITING, message });
        }
        Found::Nothing if blocked => {}
        Found::Nothing if !applied.problem.as_ref().is_some_and(Problem::keeps_pods_waiting) => {
            write(context, pair, set, None).await?;
        }
        Found::Nothing => {}
        Found::Foreign(problem) => applied.problem = Some(problem),
    }
    tidy(context, pair, children, own_secrets).await?;
    Ok(applied)
}

/// Applies an object of a kind that the cluster may not know. Such kinds are not watched, so it is looked now and then how they
/// are, and whether they are known by now.
async fn optional(context: &Context, pair: &Pair<'_>, child: &Child) -> Result<Option<Problem>, ReconcileError> {
    let wanted = child.object["metadata"]["annotations"][APPLIED].as_str().unwrap_or_default();
    let known = context.with_memory(pair.uid, |memory| {
        let look = memory.optional.get(&child.kind)?;
        (look.wanted == wanted && look.at.elapsed() < OPTIONAL).then(|| look.problem.clone())
    });
    if let Some(problem) = known {
        return Ok(problem);
    }
    let problem = one(context, pair, child).await?;
    let look = Look { wanted: wanted.to_owned(), at: Instant::now(), problem: problem.clone() };
    context.with_memory(pair.uid, |memory| memory.optional.insert(child.kind, look));
    Ok(problem)
}

/// Applies one object. What comes back keeps others from being applied, too.
pub(super) async fn one(context: &Context, pair: &Pair<'_>, child: &Child) -> Result<Option<Problem>, ReconcileError> {
    match find(context, pair, child.kind, &child.name).await {
        Ok(Found::Ours(live)) => ignore_unknown(child, write(context, pair, child, Some(&live)).await),
        Ok(Found::Nothing) => ignore_unknown(child, write(context, pair, child, None).await),
        Ok(Found::Foreign(problem)) => Ok(Some(problem)),
        Err(error) => ignore_unknown(child, Err(error)),
    }
}

fn ignore_unknown(child: &Child, result: Result<(), ReconcileError>) -> Result<Option<Problem>, ReconcileError> {
    match result {
        Ok(()) => Ok(None),
        Err(error) if child.kind.is_optional() && is_code(&error, &[403, 404, 405]) => Ok(Some(Problem {
            reason: MONITORING_UNAVAILABLE,
            message: format!(
                "{:?} cannot be written; install the CRDs of the Prometheus operator and let this operator write them, or switch it off: {error}",
                child.kind
            ),
        })),
        Err(error) => Err(error),
    }
}

/// Whether the API server answered with one of these codes.
pub(super) fn is_code(error: &ReconcileError, codes: &[u16]) -> bool {
    match error {
        ReconcileError::Api { source, .. } => {
            matches!(source.as_ref(), kube::Error::Api(status) if codes.contains(&status.code))
        }
        _ => false,
    }
}

/// Whether nothing can be made since the namespace is being deleted.
pub(super) fn is_namespace_ending(error: &ReconcileError) -> bool {
    let ReconcileError::Api { source, .. } = error else { return false };
    let kube::Error::Api(status) = source.as_ref() else { return false };
    let causes = status.details.iter().flat_map(|details| &details.causes);
    causes.into_iter().any(|cause| cause.reason == "NamespaceTerminating")
}

enum Found {
    Nothing,
    Ours(Box<DynamicObject>),
    Foreign(Problem),
}

fn api(context: &Context, namespace: &str, kind: Kind) -> Api<DynamicObject> {
    Api::namespaced_with(context.client.clone(), namespace, &kind.api_resource())
}

async fn find(context: &Context, pair: &Pair<'_>, kind: Kind, name: &str) -> Result<Found, ReconcileError> {
    let cached = context.caches()?.get(kind, pair.namespace, name);
    // What is not in the cache may be there without our labels.
    let live = match cached {
        Some(live) => Some((*live).clone()),
        None => {
            let found = api(context, pair.namespace, kind).get_opt(name).await;
            found.map_err(ReconcileError::api(format!("get {kind:?} {name}")))?
        }
    };
    let Some(live) = live else { return Ok(Found::Nothing) };
    Ok(match foreign(&live.metadata, pair, kind, name) {
        Some(problem) => Found::Foreign(problem),
        None => Found::Ours(Box::new(live)),
    })
}

/// Why the object with this metadata is not to be used.
pub(super) fn foreign(metadata: &ObjectMeta, pair: &Pair<'_>, kind: Kind, name: &str) -> Option<Problem> {
    let (reason, message) = match owner(metadata, pair.name, pair.uid) {
        Owner::Us if metadata.deletion_timestamp.is_none() => return None,
        Owner::Us => (WAITING, format!("{kind:?} {name} is being removed")),
        Owner::Predecessor => {
            (WAITING, format!("{kind:?} {name} of the deleted resource of this name is not gone yet"))
        }
        Owner::Other(who) => (
            "NameConflict",
            format!("{kind:?} {name} belongs to {who}: rename it or this resource; it was not touched"),
        ),
    };
    Some(Problem { reason, message })
}

async fn write(
    context: &Context,
    pair: &Pair<'_>,
    child: &Child,
    live: Option<&DynamicObject>,
) -> Result<(), ReconcileError> {
    let mut object = child.object.clone();
    if let Some(live) = live {
        let Some(field) = difference(&serde_json::to_value(live)?, &object) else { return Ok(()) };
        tracing::debug!(kind = ?child.kind, name = child.name, field, "is not as it is wanted");
        // If it was replaced by somebody else's in the meantime, this fails.
        object["metadata"]["uid"] = serde_json::json!(live.metadata.uid);
    }
    let (kind, name) = (child.kind, child.name.as_str());
    let params = PatchParams::apply(FIELD_MANAGER).force();
    let written = api(context, pair.namespace, kind).patch(name, &params, &Patch::Apply(&object)).await;
    written.map_err(ReconcileError::api(format!("apply {kind:?} {name}")))?;
    context.health.metrics.writes.inc();
    let done = if live.is_some() { "changed" } else { "created" };
    tracing::info!(namespace = pair.namespace, name = pair.name, "{done} {kind:?} {name}");
    Ok(())
}

fn annotations(child: &Child) -> BTreeMap<String, String> {
    serde_json::from_value(child.object["metadata"]["annotations"].clone()).unwrap_or_default()
}

/// Removes what the spec has switched off.
async fn tidy(
    context: &Context,
    pair: &Pair<'_>,
    children: &Children,
    own_secrets: bool,
) -> Result<(), ReconcileError> {
    let generation = pair.resource.metadata.generation.unwrap_or_default();
    let due = context
        .with_memory(pair.uid, |memory| memory.tidied.is_none_or(|(of, at)| of != generation || at.elapsed() > TIDY));
    if !due {
        return Ok(());
    }
    let secret = |name| Orphan { kind: Kind::Secret, name };
    let secrets = [secret(pair.names().ca_secret()), secret(pair.names().tls_secret())];
    let secrets = secrets.into_iter().filter(|_| !own_secrets);
    for orphan in children.unwanted.iter().cloned().chain(secrets) {
        match remove(context, pair, &orphan).await {
            Err(error) if orphan.kind.is_optional() && is_code(&error, &[403, 404, 405]) => {}
            other => other?,
        }
    }
    context.with_memory(pair.uid, |memory| memory.tidied = Some((generation, Instant::now())));
    Ok(())
}

async fn remove(context: &Context, pair: &Pair<'_>, orphan: &Orphan) -> Result<(), ReconcileError> {
    let (kind, name) = (orphan.kind, orphan.name.as_str());
    let Found::Ours(live) = find(context, pair, kind, name).await? else { return Ok(()) };
    let preconditions = Preconditions { uid: live.metadata.uid.clone(), ..Preconditions::default() };
    let params = DeleteParams { preconditions: Some(preconditions), ..DeleteParams::default() };
    let removed = api(context, pair.namespace, kind).delete(name, &params).await;
    match removed.map(drop).map_err(ReconcileError::api(format!("delete {kind:?} {name}"))) {
        Err(error) if is_code(&error, &[404, 409]) => Ok(()),
        Err(error) => Err(error),
        Ok(()) => {
            context.health.metrics.writes.inc();
            tracing::info!(namespace = pair.namespace, name = pair.name, "removed {kind:?} {name}");
            Ok(())
        }
    }
}
