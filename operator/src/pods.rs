//! PURE: what is known of the two pods.

use std::net::IpAddr;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ContainerState, ContainerStatus, Pod, PodCondition};

use crate::names::{ACCESS, CERTIFICATES};

/// The Ready condition of a pod that never was ready has not changed since the pod began, seconds.
const BEGINNING_SECONDS: i64 = 3;

/// One pod, as far as it matters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PodView {
    /// Its name.
    pub name: String,
    /// Its UID.
    pub uid: String,
    /// The UID of what controls it.
    pub owner: Option<String>,
    /// Its version, for preconditions.
    pub resource_version: String,
    /// Where it runs.
    pub node: Option<String>,
    /// Its addresses.
    pub addresses: Vec<IpAddr>,
    /// Of which revision of the StatefulSet it is.
    pub revision: String,
    /// It serves clients.
    pub ready: bool,
    /// It has served clients at some time.
    pub was_ready: bool,
    /// No node can take it.
    pub unschedulable: Option<String>,
    /// Deletion was requested then.
    pub deleted_at: Option<Timestamp>,
    /// It is deleted since its node is gone.
    pub node_gone: bool,
    /// All of it has ended, and its node says so.
    pub ended: bool,
    /// memcached runs.
    pub memcached_runs: bool,
    /// The sidecar has run at some time.
    pub sidecar_ran: bool,
    /// Why a container waits, in words of Kubernetes, such as ImagePullBackOff.
    pub waiting: Option<String>,
    /// The value of [`CERTIFICATES`].
    pub certificates: Option<String>,
    /// The value of [`ACCESS`].
    pub access: Option<String>,
}

impl PodView {
    /// Reads a pod.
    #[must_use]
    pub fn new(pod: &Pod) -> Self {
        let metadata = &pod.metadata;
        let status = pod.status.clone().unwrap_or_default();
        let spec = pod.spec.as_ref();
        let conditions = status.conditions.unwrap_or_default();
        let condition = |name: &str| conditions.iter().find(|condition| condition.type_ == name);
        let containers: Vec<ContainerStatus> =
            [status.init_container_statuses, status.container_statuses].into_iter().flatten().flatten().collect();
        let container = |name: &str| containers.iter().find(|container| container.name == name);
        let addresses = status.pod_ips.unwrap_or_default().into_iter().filter_map(|ip| ip.ip.parse().ok()).collect();
        let ready = condition("Ready").is_some_and(|condition| condition.status == "True");
        let deleted = metadata.deletion_timestamp.is_some();
        let grace = metadata.deletion_grace_period_seconds.unwrap_or_default();
        Self {
            name: metadata.name.clone().unwrap_or_default(),
            uid: metadata.uid.clone().unwrap_or_default(),
            owner: metadata
                .owner_references
                .iter()
                .flatten()
                .find(|o| o.controller == Some(true))
                .map(|o| o.uid.clone()),
            resource_version: metadata.resource_version.clone().unwrap_or_default(),
            node: spec.and_then(|spec| spec.node_name.clone()),
            addresses,
            revision: label(pod, "controller-revision-hash"),
            ready,
            was_ready: ready || condition("Ready").is_some_and(|ready| has_changed(ready, status.start_time.as_ref())),
            unschedulable: condition("PodScheduled")
                .filter(|scheduled| scheduled.reason.as_deref() == Some("Unschedulable"))
                .map(|scheduled| scheduled.message.clone().unwrap_or_default()),
            deleted_at: metadata
                .deletion_timestamp
                .as_ref()
                .and_then(|end| end.0.checked_sub(jiff::SignedDuration::from_secs(grace)).ok()),
            node_gone: condition("DisruptionTarget").is_some_and(|target| {
                target.status == "True" && target.reason.as_deref() == Some("DeletionByTaintManager")
            }),
            ended: matches!(status.phase.as_deref(), Some("Succeeded" | "Failed"))
                || container("sidecar").is_some_and(|c| deleted && c.state.as_ref().is_some_and(has_ended)),
            memcached_runs: container("memcached").is_some_and(is_running),
            sidecar_ran: container("sidecar")
                .is_some_and(|c| is_running(c) || c.restart_count > 0 || c.last_state.as_ref().is_some_and(has_ended)),
            waiting: containers.iter().find_map(waits_for),
            certificates: metadata.annotations.as_ref().and_then(|all| all.get(CERTIFICATES)).cloned(),
            access: metadata.annotations.as_ref().and_then(|all| all.get(ACCESS)).cloned(),
        }
    }

    /// Whether its sidecar can be spoken to.
    #[must_use]
    pub fn is_reachable(&self) -> bool {
        self.sidecar_ran && !self.addresses.is_empty()
    }
}

/// A label of a pod.
#[must_use]
pub fn label(pod: &Pod, name: &str) -> String {
    pod.metadata.labels.as_ref().and_then(|labels| labels.get(name)).cloned().unwrap_or_default()
}

fn has_changed(ready: &PodCondition, start: Option<&k8s_openapi::apimachinery::pkg::apis::meta::v1::Time>) -> bool {
    match (&ready.last_transition_time, start) {
        (Some(changed), Some(start)) => changed.0.duration_since(start.0).as_secs() > BEGINNING_SECONDS,
        _ => false,
    }
}

fn is_running(container: &ContainerStatus) -> bool {
    container.state.as_ref().is_some_and(|state| state.running.is_some())
}

fn has_ended(state: &ContainerState) -> bool {
    state.terminated.is_some()
}

fn waits_for(container: &ContainerStatus) -> Option<String> {
    let waiting = container.state.as_ref()?.waiting.as_ref()?;
    let reason = waiting.reason.clone().unwrap_or_default();
    // Those are on the way of every pod.
    let usual = matches!(reason.as_str(), "" | "ContainerCreating" | "PodInitializing");
    (!usual).then(|| format!("{}: {reason}: {}", container.name, waiting.message.clone().unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn view(status: serde_json::Value) -> PodView {
        let pod = json!({"metadata": {"name": "web-0", "uid": "u"}, "status": status});
        PodView::new(&serde_json::from_value(pod).unwrap())
    }

    #[test]
    fn a_pod_that_serves() {
        let pod = view(json!({
            "startTime": "2026-01-01T00:00:00Z",
            "podIPs": [{"ip": "10.0.0.1"}, {"ip": "fd00::1"}],
            "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:02Z"}],
            "initContainerStatuses": [{"name": "memcached", "image": "", "imageID": "", "ready": true, "restartCount": 0, "state": {"running": {}}}],
            "containerStatuses": [{"name": "sidecar", "image": "", "imageID": "", "ready": true, "restartCount": 0, "state": {"running": {}}}],
        }));
        assert!(pod.ready && pod.was_ready && pod.memcached_runs && pod.sidecar_ran && pod.is_reachable());
        assert_eq!(pod.addresses.len(), 2);
        assert_eq!((pod.waiting, pod.unschedulable), (None, None));
    }

    #[test]
    fn a_pod_whose_image_is_nowhere_has_never_run() {
        let pod = view(json!({
            "startTime": "2026-01-01T00:00:00Z",
            "podIPs": [{"ip": "10.0.0.1"}],
            "conditions": [{"type": "Ready", "status": "False", "lastTransitionTime": "2026-01-01T00:00:00Z"}],
            "initContainerStatuses": [{"name": "memcached", "image": "", "imageID": "", "ready": true, "restartCount": 0, "state": {"running": {}}}],
            "containerStatuses": [{"name": "sidecar", "image": "", "imageID": "", "ready": false, "restartCount": 0,
                "state": {"waiting": {"reason": "ImagePullBackOff", "message": "not found"}}}],
        }));
        assert!(!pod.was_ready && !pod.sidecar_ran && !pod.is_reachable());
        assert_eq!(pod.waiting.as_deref(), Some("sidecar: ImagePullBackOff: not found"));
    }

    #[test]
    fn a_pod_that_was_ready_once_is_remembered_as_such() {
        let pod = view(json!({
            "startTime": "2026-01-01T00:00:00Z",
            "conditions": [{"type": "Ready", "status": "False", "lastTransitionTime": "2026-01-01T01:00:00Z"}],
        }));
        assert!(!pod.ready && pod.was_ready);
    }

    #[test]
    fn a_pod_on_a_lost_node_and_one_without_a_node() {
        let pod = json!({
            "metadata": {"deletionTimestamp": "2026-01-01T00:01:00Z", "deletionGracePeriodSeconds": 60},
            "status": {"conditions": [
                {"type": "DisruptionTarget", "status": "True", "reason": "DeletionByTaintManager"},
                {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/1 nodes"},
            ]},
        });
        let pod = PodView::new(&serde_json::from_value(pod).unwrap());
        assert_eq!(pod.deleted_at, Some("2026-01-01T00:00:00Z".parse().unwrap()));
        assert!(pod.node_gone);
        assert_eq!(pod.unschedulable.as_deref(), Some("0/1 nodes"));
    }
}
