//! Replaces pods: those of an old revision, one by one, and those of lost nodes.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::api::{DeleteParams, Preconditions};
use kube::core::Status as ApiStatus;
use kube::{Api, Client};
use serde_json::json;

use super::context::{Context, ReconcileError};
use super::observe::{self, Pair, Pods, Talk};
use super::{apply, events};
use crate::build::Kind;
use crate::lost::{self, Verdict};
use crate::pods::PodView;
use crate::rolling::{self, Step, Wait};
use crate::sidecars::Sidecars;

/// Takes the next step of a roll; what it was, or `None` while the StatefulSet says nothing.
pub(super) async fn roll(
    context: &Context,
    pair: &Pair<'_>,
    pods: &Pods,
    talk: &Talk,
    sidecars: Option<&Sidecars>,
) -> Result<Option<Step>, ReconcileError> {
    let Some(revision) = wanted_revision(context, pair)? else { return Ok(None) };
    let pair_of = |pods: &Pods, talk: &Talk| {
        let (pods, statuses) = (pods.views(), talk.statuses());
        rolling::decide(&rolling::Pair { pods, statuses, revision: &revision })
    };
    let mut step = pair_of(pods, talk);
    if let (Step::Evict(_) | Step::Delete(_) | Step::Discard(_), Some(sidecars)) = (&step, sidecars) {
        // What was seen a moment ago may be over: now it counts.
        let pods = observe::pods_now(context, pair).await?;
        let talk = observe::statuses(pair, &pods, sidecars).await;
        let again = pair_of(&pods, &talk);
        if again == step {
            step = replace(context, pair, &pods, step).await?;
        } else {
            step = again;
        }
    }
    tell(context, pair, &step).await;
    Ok(Some(step))
}

/// The revision that pods are to have, once the StatefulSet's controller knows what was written.
fn wanted_revision(context: &Context, pair: &Pair<'_>) -> Result<Option<String>, ReconcileError> {
    let Some(set) = context.caches()?.get(Kind::StatefulSet, pair.namespace, pair.name) else { return Ok(None) };
    let status = &set.data["status"];
    if status["observedGeneration"].as_i64() != set.metadata.generation {
        return Ok(None);
    }
    Ok(status["updateRevision"].as_str().map(str::to_owned))
}

async fn replace(context: &Context, pair: &Pair<'_>, pods: &Pods, step: Step) -> Result<Step, ReconcileError> {
    let (index, evict, why) = match step {
        Step::Evict(index) => (index, true, "both replicas hold the same, and the other one serves"),
        Step::Delete(index) => (index, false, "it never served, and holds nothing"),
        Step::Discard(index) => (index, false, "it was fenced, so it would never serve again; the other one serves"),
        other => return Ok(other),
    };
    let Some(pod) = pods.views().get(index).copied().flatten() else { return Ok(Step::Wait(Wait::Pod(index))) };
    let done = if evict {
        evict_pod(&context.client, pair.namespace, pod).await
    } else {
        let api: Api<Pod> = Api::namespaced(context.client.clone(), pair.namespace);
        let preconditions =
            Preconditions { uid: Some(pod.uid.clone()), resource_version: Some(pod.resource_version.clone()) };
        let params = DeleteParams { preconditions: Some(preconditions), ..DeleteParams::default() };
        api.delete(&pod.name, &params).await.map(drop)
    };
    match done.map_err(ReconcileError::api(format!("replace pod {}", pod.name))) {
        Ok(()) => {
            context.health.metrics.replaced.inc();
            let why = match pod.waiting.as_deref().filter(|_| evict && !pod.ready) {
                Some(broken) => format!("the other one serves, and it does not start ({broken})"),
                None => why.to_owned(),
            };
            let note = format!("{} is replaced: {why}", pod.name);
            tracing::info!(namespace = pair.namespace, name = pair.name, "{note}");
            events::tell_of_pod(context, pair, pod, false, "ReplacingPod", &note).await;
            Ok(step)
        }
        // The budget says no, or the pod has changed: the next look will tell.
        Err(error) if apply::is_code(&error, &[404, 409, 429]) => {
            tracing::info!(namespace = pair.namespace, name = pair.name, "not now: {error}");
            Ok(Step::Wait(Wait::Pod(index)))
        }
        Err(error) => Err(error),
    }
}

/// As `kubectl drain` does, but only this very pod in this very state. (kube's own call sends the preconditions under a name
/// that the API server does not know.)
async fn evict_pod(client: &Client, namespace: &str, pod: &PodView) -> Result<(), kube::Error> {
    let body = json!({
        "apiVersion": "policy/v1",
        "kind": "Eviction",
        "metadata": {"name": pod.name, "namespace": namespace},
        "deleteOptions": {"preconditions": {"uid": pod.uid, "resourceVersion": pod.resource_version}},
    });
    let path = format!("/api/v1/namespaces/{namespace}/pods/{}/eviction", pod.name);
    let body = serde_json::to_vec(&body).map_err(kube::Error::SerdeError)?;
    let request = hyper::Request::post(path)
        .header("content-type", "application/json")
        .body(body)
        .map_err(|error| kube::Error::BuildRequest(kube::core::request::Error::BuildRequest(error)))?;
    client.request::<ApiStatus>(request).await.map(drop)
}

/// An Event when a roll begins to wait for something else.
async fn tell(context: &Context, pair: &Pair<'_>, step: &Step) {
    let note = match step {
        Step::Wait(Wait::Pod(index)) => {
            Some(("WaitingForReplica", format!("The roll goes on when {} serves", pair.names().replica(*index))))
        }
        Step::Wait(Wait::NotSynced) => {
            Some(("WaitingForSync", "The roll goes on when both replicas hold the same".to_owned()))
        }
        Step::Done | Step::Evict(_) | Step::Delete(_) | Step::Discard(_) => None,
    };
    let key = note.as_ref().map(|(_, note)| note.clone());
    let news = context.with_memory(pair.uid, |memory| {
        let news = memory.step != key;
        memory.step = key;
        news
    });
    if let Some((reason, note)) = note.filter(|_| news) {
        // Events that differ in their note alone would be counted as one.
        let action = match step {
            Step::Wait(Wait::Pod(index)) => format!("WaitForReplica{index}"),
            _ => "WaitForSync".to_owned(),
        };
        events::tell(context, pair, false, reason, &action, &note).await;
    }
}

/// Removes pods of lost nodes; whether one may be lost.
pub(super) async fn lost(context: &Context, pair: &Pair<'_>, pods: &Pods) -> Result<bool, ReconcileError> {
    let mut suspicion = false;
    for pod in pods.views().into_iter().flatten().filter(|pod| pod.node_gone && pod.deleted_at.is_some()) {
        let Some(node) = &pod.node else { continue };
        let verdict = lost::decide(pod, node_is_ready(context, node).await?, Timestamp::now());
        suspicion |= verdict != Verdict::Keep;
        if verdict != Verdict::Remove {
            continue;
        }
        let api: Api<Pod> = Api::namespaced(context.client.clone(), pair.namespace);
        let preconditions = Preconditions { uid: Some(pod.uid.clone()), ..Preconditions::default() };
        let params = DeleteParams {
            grace_period_seconds: Some(0),
            preconditions: Some(preconditions),
            ..DeleteParams::default()
        };
        match api.delete(&pod.name, &params).await.map(drop).map_err(ReconcileError::api("remove a lost pod")) {
            Ok(()) => {
                context.health.metrics.replaced.inc();
                let note = format!("{} is given up: its node {node} does not answer", pod.name);
                tracing::warn!(namespace = pair.namespace, name = pair.name, "{note}");
                events::tell_of_pod(context, pair, pod, true, "NodeLost", &note).await;
            }
            Err(error) if apply::is_code(&error, &[404, 409]) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(suspicion)
}

/// A node that is gone is not ready; one that may not be read is taken for ready, since its pod would be removed otherwise.
async fn node_is_ready(context: &Context, name: &str) -> Result<bool, ReconcileError> {
    let api: Api<Node> = Api::all(context.client.clone());
    match api.get_opt(name).await.map_err(ReconcileError::api(format!("get Node {name}"))) {
        Ok(None) => Ok(false),
        Ok(Some(node)) => {
            let conditions = node.status.and_then(|status| status.conditions).unwrap_or_default();
            Ok(conditions.iter().any(|condition| condition.type_ == "Ready" && condition.status == "True"))
        }
        Err(error) if apply::is_code(&error, &[403]) => {
            tracing::warn!("nodes may not be read: pods of lost nodes are not replaced");
            Ok(true)
        }
        Err(error) => Err(error),
    }
}
