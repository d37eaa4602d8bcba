//! The Secrets that decide who may use the cache: looked at before a pod needs them, and brought to the pods when they change.

use std::time::{Duration, Instant};

use super::certificates::{annotate, read};
use super::context::{Context, ReconcileError};
use super::observe::{Pair, Pods};
use crate::access::Wanted;
use crate::build::hex;
use crate::names::ACCESS;
use crate::status::Problem;

/// They are read again so often: they cannot be watched, since the operator may not list them.
const READ: Duration = Duration::from_secs(14);

/// What has to be mended, if anything.
pub(super) async fn ensure(context: &Context, pair: &Pair<'_>, pods: &Pods) -> Result<Option<Problem>, ReconcileError> {
    let wanted = Wanted::of(&pair.resource.spec);
    if wanted.is_empty() {
        return Ok(None);
    }
    let names = format!("{wanted:?}");
    let known = context.with_memory(pair.uid, |memory| {
        let (of, at, versions) = memory.access.as_ref()?;
        (*of == names && at.elapsed() < READ).then(|| versions.clone())
    });
    let versions = match known {
        Some(versions) => versions,
        None => {
            let mut versions = String::new();
            for wanted in wanted {
                let secret = read(context, pair, wanted.name()).await?;
                if let Err(problem) = wanted.check(secret.as_ref()) {
                    return Ok(Some(problem));
                }
                let metadata = secret.unwrap_or_default().metadata;
                // Not of the content: a password could be guessed from its hash.
                let (uid, version) = (metadata.uid.unwrap_or_default(), metadata.resource_version.unwrap_or_default());
                versions.push_str(&format!("{} {uid} {version}\n", wanted.name()));
            }
            context.with_memory(pair.uid, |memory| memory.access = Some((names, Instant::now(), versions.clone())));
            versions
        }
    };
    annotate(context, pair, pods, ACCESS, &hex(&versions)).await;
    Ok(None)
}
