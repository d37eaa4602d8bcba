//! Events: what somebody who looks at a resource should know of its past.

use k8s_openapi::api::core::v1::ObjectReference;
use kube::Resource;
use kube::runtime::events::{Event, EventType};

use super::context::Context;
use super::observe::Pair;
use crate::pods::PodView;

/// Writes an Event about a pod of the resource.
pub(super) async fn tell_of_pod(
    context: &Context,
    pair: &Pair<'_>,
    pod: &PodView,
    bad: bool,
    reason: &str,
    note: &str,
) {
    let related = ObjectReference {
        api_version: Some("v1".to_owned()),
        kind: Some("Pod".to_owned()),
        namespace: Some(pair.namespace.to_owned()),
        name: Some(pod.name.clone()),
        uid: Some(pod.uid.clone()),
        ..ObjectReference::default()
    };
    publish(context, pair, Event { secondary: Some(related), ..event(bad, reason, "ReplacePod", note) }).await;
}

/// Writes an Event; that it cannot be written stops nothing.
pub(super) async fn tell(context: &Context, pair: &Pair<'_>, bad: bool, reason: &str, action: &str, note: &str) {
    publish(context, pair, event(bad, reason, action, note)).await;
}

fn event(bad: bool, reason: &str, action: &str, note: &str) -> Event {
    Event {
        type_: if bad { EventType::Warning } else { EventType::Normal },
        reason: reason.to_owned(),
        note: Some(note.chars().take(1000).collect()),
        action: action.to_owned(),
        secondary: None,
    }
}

async fn publish(context: &Context, pair: &Pair<'_>, event: Event) {
    let reference = pair.resource.object_ref(&());
    if let Err(error) = context.recorder.publish(&event, &reference).await {
        tracing::debug!(namespace = pair.namespace, name = pair.name, "no Event {}: {error}", event.reason);
    }
}
