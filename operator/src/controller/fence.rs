//! Tells a process whose pod was replaced that it is no replica any more, where it still runs and can be reached.

use std::time::Duration;

use sidecar::control::protocol::Fence;
use tokio::time::{Instant, sleep};

use super::context::Context;
use super::events;
use super::observe::{Pair, Pods, Talk};
use crate::fencing::Ran;
use crate::sidecars::{SidecarError, Sidecars};

/// A process that does not answer is tried so often,
const RETRY: Duration = Duration::from_secs(2);
/// and for so long. Then its node has killed it, or it asks its peer by itself when it is back.
const PATIENCE: Duration = Duration::from_secs(900);
/// The code of a sidecar that is another process than the one that is meant.
const OTHER: u16 = 409;

/// Looks who ran as a replica and has lost its place, and has it told, beside everything else.
pub(super) fn replaced(context: &Context, pair: &Pair<'_>, pods: &Pods, talk: &Talk, sidecars: &Sidecars) {
    let replaced = context.with_memory(pair.uid, |memory| memory.ran.see(pods.views(), talk.statuses()));
    for ran in replaced {
        let (context, sidecars) = (context.clone(), sidecars.clone());
        let resource = pair.resource.clone();
        tokio::spawn(async move {
            if fence(&sidecars, &ran).await
                && let Ok(pair) = Pair::new(&resource)
            {
                let note =
                    format!("A process of a pod that is gone ({}) still ran and was told to serve nobody", ran.uid);
                tracing::warn!(namespace = pair.namespace, name = pair.name, "{note}");
                events::tell(&context, &pair, true, "Fenced", "Fence", &note).await;
            }
        });
    }
}

/// Whether it was still there.
async fn fence(sidecars: &Sidecars, ran: &Ran) -> bool {
    let begun = Instant::now();
    while begun.elapsed() < PATIENCE {
        match sidecars.fence(&ran.addresses, Fence { boot: ran.boot }).await {
            Ok(()) => return true,
            // Its address is another one's by now.
            Err(SidecarError::Refused { code: OTHER, .. }) => return false,
            Err(error) => tracing::debug!(uid = ran.uid, "cannot be fenced: {error}"),
        }
        sleep(RETRY).await;
    }
    false
}
