//! Tells the sidecars of each other, and has them bring each other everything when the user asks for it.

use super::context::Context;
use super::observe::{Pair, Pods, Talk};
use crate::api::ReplicatedMemcached;
use crate::sidecars::Sidecars;
use crate::wiring;

/// Whether anything was told.
pub(super) async fn tell(pods: &Pods, talk: &Talk, sidecars: &Sidecars) -> bool {
    let wanted = wiring::decide(pods.views(), talk.statuses());
    let mut told = false;
    for (pod, peer) in pods.views().into_iter().zip(&wanted) {
        let (Some(pod), Some(peer)) = (pod, peer) else { continue };
        told = true;
        match sidecars.tell(&pod.addresses, peer).await {
            Ok(()) => {
                tracing::info!(pod = pod.name, peer = ?peer.pod.as_ref().map(|pod| &pod.uid), "told who its peer is")
            }
            Err(error) => tracing::warn!(pod = pod.name, "cannot be told who its peer is: {error}"),
        }
    }
    told
}

/// A new value of the annotation starts a resync of both, once. What the status says was followed is followed.
pub(super) async fn resync(
    context: &Context,
    pair: &Pair<'_>,
    resource: &ReplicatedMemcached,
    asked: Option<&str>,
    pods: &Pods,
    talk: &Talk,
    sidecars: &Sidecars,
) {
    let Some(asked) = asked else { return };
    let followed = resource.status.as_ref().and_then(|status| status.resync_requested.as_deref()) == Some(asked);
    let known = context.with_memory(pair.uid, |memory| memory.resync.as_deref() == Some(asked));
    // A resource that is created with the annotation has nothing to resync yet.
    let first = resource.status.is_none();
    if followed || known || first {
        return;
    }
    for (pod, status) in pods.views().into_iter().zip(talk.statuses()) {
        let (Some(pod), Some(_)) = (pod, status) else { continue };
        match sidecars.resync(&pod.addresses).await {
            Ok(()) => tracing::info!(pod = pod.name, "brings its peer everything, as the annotation asks for"),
            Err(error) => tracing::warn!(pod = pod.name, "cannot resync: {error}"),
        }
    }
    context.with_memory(pair.uid, |memory| memory.resync = Some(asked.to_owned()));
}
