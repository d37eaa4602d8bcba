//! Writes what was seen into the status: a changed state at once, numbers now and then.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::json;

use super::context::{Context, ReconcileError};
use super::events;
use super::observe::{Pair, Pods, Talk};
use crate::api::v1alpha1::{Condition, ConditionStatus, ConditionType, Images};
use crate::api::{GROUP, ReplicatedMemcached, ReplicatedMemcachedStatus};
use crate::build::Kind;
use crate::metrics::ConditionLabels;
use crate::names::FIELD_MANAGER;
use crate::rolling::Step;
use crate::status::{self, Problem, Seen};
use crate::update;

/// Numbers alone are written so often.
const NUMBERS: Duration = Duration::from_secs(60);

/// What the other steps came to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Outcome<'a> {
    pub(super) pods: &'a Pods,
    pub(super) talk: &'a Talk,
    pub(super) problem: Option<&'a Problem>,
    pub(super) held: Option<update::Reason>,
    pub(super) step: Option<&'a Step>,
    pub(super) resync_requested: Option<&'a str>,
}

/// Writes the status where it has changed; whether the pair is as it should be.
pub(super) async fn update(context: &Context, pair: &Pair<'_>, outcome: &Outcome<'_>) -> Result<bool, ReconcileError> {
    let resource = pair.resource;
    // Not what this reconcile began with: another one may have written since.
    let key = kube::runtime::reflector::ObjectRef::from_obj(resource);
    let caches = context.caches()?;
    let newest = caches.resources.get(&key);
    let before = newest.as_ref().map_or(resource.status.as_ref(), |newest| newest.status.as_ref());
    let images = images(context, pair)?;
    let said = status::status(&Seen {
        name: pair.name,
        namespace: pair.namespace,
        generation: resource.metadata.generation,
        before,
        pods: outcome.pods.views(),
        statuses: outcome.talk.statuses(),
        problem: outcome.problem,
        held: outcome.held,
        step: outcome.step,
        paused: resource.spec.paused,
        images: &images,
        resync_requested: outcome.resync_requested,
        now: Timestamp::now(),
    });
    count(context, pair, &said);
    if context.remembered() > caches.resources.len() + 16 {
        let all = caches.resources.state();
        context.forget_others(&|uid| all.iter().any(|resource| resource.metadata.uid.as_deref() == Some(uid)));
    }

    let changed = before.is_none_or(|before| status::differ_in_state(before, &said));
    let numbers_due =
        context.with_memory(pair.uid, |memory| memory.numbers_written.is_none_or(|at| at.elapsed() >= NUMBERS));
    if changed || (numbers_due && before != Some(&said)) {
        write(context, pair, &said).await?;
        context.with_memory(pair.uid, |memory| memory.numbers_written = Some(Instant::now()));
        transitions(context, pair, before, &said).await;
    }
    let holds = |type_| said.conditions.iter().any(|c| c.type_ == type_ && c.status == ConditionStatus::True);
    // When a node comes that can take it, the pod changes, and that begins a reconcile.
    let waits_for_a_node = outcome.pods.views().iter().flatten().any(|pod| pod.unschedulable.is_some());
    if waits_for_a_node && said.ready == "1/2" {
        return Ok(true);
    }
    Ok(holds(ConditionType::Synced) && !holds(ConditionType::Progressing) && said.ready == "2/2")
}

async fn write(context: &Context, pair: &Pair<'_>, said: &ReplicatedMemcachedStatus) -> Result<(), ReconcileError> {
    let api: Api<ReplicatedMemcached> = Api::namespaced(context.client.clone(), pair.namespace);
    let patch = json!({
        "apiVersion": format!("{GROUP}/v1alpha1"),
        "kind": "ReplicatedMemcached",
        "metadata": {"uid": pair.uid},
        "status": said,
    });
    let params = PatchParams::apply(FIELD_MANAGER).force();
    let written = api.patch_status(pair.name, &params, &Patch::Apply(&patch)).await;
    written.map_err(ReconcileError::api("write the status"))?;
    context.health.metrics.writes.inc();
    Ok(())
}

/// The images that the StatefulSet asks for.
fn images(context: &Context, pair: &Pair<'_>) -> Result<Images, ReconcileError> {
    let Some(set) = context.caches()?.get(Kind::StatefulSet, pair.namespace, pair.name) else {
        return Ok(Images::default());
    };
    let image = |path: &str| {
        let text = set.data.pointer(path).and_then(serde_json::Value::as_str).unwrap_or_default();
        text.chars().take(500).collect()
    };
    Ok(Images {
        memcached: image("/spec/template/spec/initContainers/0/image"),
        sidecar: image("/spec/template/spec/containers/0/image"),
    })
}

/// Events of what has changed, with the reason that it has now.
async fn transitions(
    context: &Context,
    pair: &Pair<'_>,
    before: Option<&ReplicatedMemcachedStatus>,
    said: &ReplicatedMemcachedStatus,
) {
    for condition in &said.conditions {
        let was = before.and_then(|before| before.conditions.iter().find(|c| c.type_ == condition.type_));
        let news = was.is_none_or(|was| was.status != condition.status || was.reason != condition.reason);
        // A new pair serves nobody yet, which is no news.
        if news && (was.is_some() || condition.type_ == ConditionType::Degraded && is_bad(condition)) {
            let message = if condition.message.is_empty() { condition.reason.as_str() } else { &condition.message };
            let action = condition.type_.as_str();
            events::tell(context, pair, is_bad(condition), &condition.reason, action, message).await;
        }
    }
}

fn is_bad(condition: &Condition) -> bool {
    match condition.type_ {
        ConditionType::Available => condition.status == ConditionStatus::False,
        ConditionType::Degraded => condition.status == ConditionStatus::True,
        ConditionType::Synced | ConditionType::Progressing => false,
    }
}

fn count(context: &Context, pair: &Pair<'_>, said: &ReplicatedMemcachedStatus) {
    for condition in &said.conditions {
        let labels = ConditionLabels {
            namespace: pair.namespace.to_owned(),
            name: pair.name.to_owned(),
            condition: condition.type_.as_str(),
        };
        let value = f64::from(u8::from(condition.status == ConditionStatus::True));
        context.health.metrics.conditions.get_or_create(&labels).set(value);
    }
}
