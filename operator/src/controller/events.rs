//! Events: what somebody who looks at a resource should know of its past.

use kube::Resource;
use kube::runtime::events::{Event, EventType};

use super::context::Context;
use super::observe::Pair;

/// Writes an Event; that it cannot be written stops nothing.
pub(super) async fn tell(context: &Context, pair: &Pair<'_>, bad: bool, reason: &str, action: &str, note: &str) {
    let event = Event {
        type_: if bad { EventType::Warning } else { EventType::Normal },
        reason: reason.to_owned(),
        note: Some(note.chars().take(1000).collect()),
        action: action.to_owned(),
        secondary: None,
    };
    let reference = pair.resource.object_ref(&());
    if let Err(error) = context.recorder.publish(&event, &reference).await {
        tracing::debug!(namespace = pair.namespace, name = pair.name, "no Event {reason}: {error}");
    }
}
