//! What there is: the resource, its pods, what their sidecars say.

use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::runtime::reflector::ObjectRef;
use sidecar::control::protocol::Status;

use super::context::{Context, ReconcileError};
use crate::api::ReplicatedMemcached;
use crate::build::Kind;
use crate::live::{Owner, owner};
use crate::names::Names;
use crate::pods::PodView;
use crate::sidecars::Sidecars;

/// Which resource it is about.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pair<'a> {
    pub(super) name: &'a str,
    pub(super) namespace: &'a str,
    pub(super) uid: &'a str,
    pub(super) resource: &'a ReplicatedMemcached,
}

impl<'a> Pair<'a> {
    pub(super) fn new(resource: &'a ReplicatedMemcached) -> Result<Self, ReconcileError> {
        let metadata = &resource.metadata;
        let given = |field: &'a Option<String>, name| field.as_deref().ok_or(ReconcileError::Incomplete(name));
        Ok(Self {
            name: given(&metadata.name, "name")?,
            namespace: given(&metadata.namespace, "namespace")?,
            uid: given(&metadata.uid, "UID")?,
            resource,
        })
    }

    pub(super) fn names(&self) -> Names<'a> {
        Names { cr: self.name }
    }
}

/// The two pods.
#[derive(Clone, Debug, Default)]
pub(super) struct Pods {
    ours: [Option<PodView>; 2],
    /// A pod of one of the names that is not of our StatefulSet.
    pub(super) stranger: Option<String>,
}

impl Pods {
    pub(super) fn views(&self) -> [Option<&PodView>; 2] {
        [self.ours[0].as_ref(), self.ours[1].as_ref()]
    }

    /// Only those of our StatefulSet.
    fn new(context: &Context, pair: &Pair<'_>, found: [Option<PodView>; 2]) -> Result<Self, ReconcileError> {
        let set = context.caches()?.get(Kind::StatefulSet, pair.namespace, pair.name);
        let set = set
            .filter(|set| owner(&set.metadata, pair.name, pair.uid) == Owner::Us)
            .and_then(|set| set.metadata.uid.clone());
        let mut stranger = None;
        let ours = found.map(|pod| {
            let pod = pod?;
            if set.is_some() && pod.owner == set {
                return Some(pod);
            }
            stranger = Some(pod.name);
            None
        });
        Ok(Self { ours, stranger })
    }
}

/// The pods as they were seen last.
pub(super) async fn pods(context: &Context, pair: &Pair<'_>) -> Result<Pods, ReconcileError> {
    let caches = context.caches()?;
    caches.ready().await.map_err(|_| ReconcileError::Watch)?;
    let found = [0, 1].map(|index| {
        let key = ObjectRef::<Pod>::new(&pair.names().replica(index)).within(pair.namespace);
        caches.pods.get(&key).map(|pod| PodView::new(&pod))
    });
    Pods::new(context, pair, found)
}

/// The pods as they are now.
pub(super) async fn pods_now(context: &Context, pair: &Pair<'_>) -> Result<Pods, ReconcileError> {
    let api: Api<Pod> = Api::namespaced(context.client.clone(), pair.namespace);
    let mut pods = [None, None];
    for (index, pod) in pods.iter_mut().enumerate() {
        let name = pair.names().replica(index);
        let found = api.get_opt(&name).await.map_err(ReconcileError::api(format!("get pod {name}")))?;
        *pod = found.as_ref().map(PodView::new);
    }
    Pods::new(context, pair, pods)
}

/// What the sidecars say.
#[derive(Clone, Debug, Default)]
pub(super) struct Talk([Option<Status>; 2]);

impl Talk {
    pub(super) fn statuses(&self) -> [Option<&Status>; 2] {
        [self.0[0].as_ref(), self.0[1].as_ref()]
    }
}

/// Asks both sidecars.
pub(super) async fn statuses(pair: &Pair<'_>, pods: &Pods, sidecars: &Sidecars) -> Talk {
    let [first, second] = pods.views();
    let (first, second) = tokio::join!(status(pair, 0, first, sidecars), status(pair, 1, second, sidecars));
    Talk([first, second])
}

async fn status(pair: &Pair<'_>, index: u8, pod: Option<&PodView>, sidecars: &Sidecars) -> Option<Status> {
    let pod = pod.filter(|pod| pod.is_reachable())?;
    match sidecars.status(&pod.addresses).await {
        // An address may have been given to another pod, though hardly to one with this pair's certificates.
        Ok(status) if status.pair == pair.uid && status.replica == index => Some(status),
        Ok(status) => {
            tracing::warn!(
                pod = pod.name,
                pair = status.pair,
                replica = status.replica,
                "another sidecar answers there"
            );
            None
        }
        Err(error) => {
            tracing::debug!(namespace = pair.namespace, pod = pod.name, "the sidecar does not answer: {error}");
            None
        }
    }
}
