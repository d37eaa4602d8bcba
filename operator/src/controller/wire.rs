//! Tells the sidecars of each other, and has them bring each other everything when the user asks for it.

use jiff::Timestamp;

use super::context::{Context, ReconcileError};
use super::events;
use super::observe::{Pair, Pods, Talk};
use crate::build::Kind;
use crate::discovery;
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

/// Tells the sidecars where clients reach the pair, for those that ask. Nothing waits for that.
pub(super) async fn announce(
    context: &Context,
    pair: &Pair<'_>,
    pods: &Pods,
    talk: &Talk,
    sidecars: &Sidecars,
) -> Result<(), ReconcileError> {
    let caches = context.caches()?;
    let addresses = [0, 1].map(|index| {
        let service = caches.get(Kind::Service, pair.namespace, &pair.names().replica(index))?;
        service.data.pointer("/spec/clusterIP")?.as_str()?.parse().ok()
    });
    let Some(nodes) = discovery::nodes(pair.names(), pair.namespace, addresses) else { return Ok(()) };
    let now = u64::try_from(Timestamp::now().as_second()).unwrap_or_default();
    let wanted = discovery::decide(&nodes, talk.statuses(), now);
    for (pod, cluster) in pods.views().into_iter().zip(&wanted) {
        let (Some(pod), Some(cluster)) = (pod, cluster) else { continue };
        match sidecars.announce(&pod.addresses, cluster).await {
            Ok(()) => tracing::info!(pod = pod.name, version = cluster.version, "told where clients reach the pair"),
            // A sidecar of an older release does not know this.
            Err(error) => tracing::debug!(pod = pod.name, "cannot be told where clients reach the pair: {error}"),
        }
    }
    Ok(())
}

/// A new value of the annotation starts a resync of both, once: of each when it has a link. Returns the value that was followed
/// last.
pub(super) async fn resync(
    context: &Context,
    pair: &Pair<'_>,
    asked: Option<&str>,
    pods: &Pods,
    talk: &Talk,
    sidecars: &Sidecars,
) -> Option<String> {
    let followed = pair.resource.status.as_ref().and_then(|status| status.resync_requested.clone());
    let Some(asked) = asked else { return followed };
    // A resource that is created with the annotation has nothing to resync yet.
    if followed.as_deref() == Some(asked) || pair.resource.status.is_none() {
        return Some(asked.to_owned());
    }
    let known = context.with_memory(pair.uid, |memory| memory.resync.clone());
    let mut begun = known.filter(|(of, _)| of == asked).map_or([false; 2], |(_, begun)| begun);
    let before = begun;
    for ((pod, status), begun) in pods.views().into_iter().zip(talk.statuses()).zip(&mut begun) {
        let (Some(pod), Some(_), false) = (pod, status, *begun) else { continue };
        match sidecars.resync(&pod.addresses).await {
            Ok(()) => {
                *begun = true;
                tracing::info!(pod = pod.name, "brings its peer everything, as the annotation asks for");
            }
            Err(error) => tracing::warn!(pod = pod.name, "cannot resync yet: {error}"),
        }
    }
    if begun != before {
        let note = "Each replica brings the other one everything, as the annotation asks for";
        events::tell(context, pair, false, "ResyncRequested", "Resync", note).await;
    }
    context.with_memory(pair.uid, |memory| memory.resync = Some((asked.to_owned(), begun)));
    if begun == [true; 2] { Some(asked.to_owned()) } else { followed }
}
