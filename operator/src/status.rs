//! PURE: what is said of a pair, out of what was seen.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use sidecar::control::protocol::Status;

use crate::api::ReplicatedMemcachedStatus;
use crate::api::v1alpha1::{Condition, ConditionStatus, ConditionType, Endpoints, Images, LastResync, ReplicaStatus};
use crate::names::{CLIENT_PORT, Names};
use crate::pods::PodView;
use crate::rolling::{Step, Wait};
use crate::synced::{self, NotSynced};
use crate::update;

/// The longest message of a condition, in bytes.
const MESSAGE_MAX: usize = 1024;

/// Lags below this are as none: a pair at rest measures another one each second, and its status would never rest.
const LAG_MIN_MS: u64 = 100;

/// Reason of a problem with a kind that the cluster does not know, or that the operator may not write.
pub const MONITORING_UNAVAILABLE: &str = "MonitoringUnavailable";

/// Something that somebody has to mend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// One word.
    pub reason: &'static str,
    /// What to do.
    pub message: String,
}

impl Problem {
    /// Whether pods have to wait until it is mended: not for what only watches them.
    #[must_use]
    pub fn keeps_pods_waiting(&self) -> bool {
        self.reason != MONITORING_UNAVAILABLE
    }
}

/// Everything that is said something of.
#[derive(Clone, Copy, Debug)]
pub struct Seen<'a> {
    /// Name of the resource.
    pub name: &'a str,
    /// Its namespace.
    pub namespace: &'a str,
    /// Its generation.
    pub generation: Option<i64>,
    /// What was said before.
    pub before: Option<&'a ReplicatedMemcachedStatus>,
    /// The pods.
    pub pods: [Option<&'a PodView>; 2],
    /// What their sidecars say.
    pub statuses: [Option<&'a Status>; 2],
    /// What has to be mended.
    pub problem: Option<&'a Problem>,
    /// A change that waits.
    pub held: Option<update::Reason>,
    /// What the roll does; `None`: nothing is known of the StatefulSet.
    pub step: Option<&'a Step>,
    /// The user wants nothing to be changed.
    pub paused: bool,
    /// The images of the StatefulSet.
    pub images: &'a Images,
    /// The value of the annotation that asks for a resync.
    pub resync_requested: Option<&'a str>,
    /// The time.
    pub now: Timestamp,
}

/// What is said now.
#[must_use]
pub fn status(seen: &Seen<'_>) -> ReplicatedMemcachedStatus {
    let ready = seen.pods.iter().flatten().filter(|pod| serves(pod)).count();
    let replicas = [0, 1].map(|index| replica(seen, index)).to_vec();
    let lag = seen.statuses.iter().flatten().map(|status| status.lag_us).max();
    let names = Names { cr: seen.name };
    let endpoint = |service: &str| format!("{service}.{}.svc:{CLIENT_PORT}", seen.namespace);
    ReplicatedMemcachedStatus {
        observed_generation: seen.generation,
        conditions: vec![available(seen, ready), synced(seen), progressing(seen, ready), degraded(seen)],
        ready: format!("{ready}/2"),
        lag: lag.map(lag_text),
        items: replicas.iter().filter_map(|replica| replica.items).max(),
        replicas,
        endpoints: Endpoints {
            both: endpoint(seen.name),
            replicas: [0, 1].map(|index| endpoint(&names.replica(index))).to_vec(),
        },
        images: seen.images.clone(),
        resync_requested: seen.resync_requested.map(str::to_owned),
    }
}

/// Whether two states differ in more than numbers, which change all the time.
#[must_use]
pub fn differ_in_state(a: &ReplicatedMemcachedStatus, b: &ReplicatedMemcachedStatus) -> bool {
    let bare = |status: &ReplicatedMemcachedStatus| {
        let mut bare = status.clone();
        (bare.lag, bare.items) = (None, None);
        for replica in &mut bare.replicas {
            (replica.lag_milliseconds, replica.items, replica.bytes, replica.last_resync) = (None, None, None, None);
        }
        bare
    };
    bare(a) != bare(b)
}

/// Whether clients are sent there.
fn serves(pod: &PodView) -> bool {
    pod.ready && pod.deleted_at.is_none()
}

fn lag_text(us: u64) -> String {
    match us / 1000 {
        0..LAG_MIN_MS => format!("<{LAG_MIN_MS}ms"),
        ms @ ..1000 => format!("{ms}ms"),
        ms => format!("{}s", ms / 1000),
    }
}

fn replica(seen: &Seen<'_>, index: usize) -> ReplicaStatus {
    let (pod, status) = (seen.pods.get(index).copied().flatten(), seen.statuses.get(index).copied().flatten());
    let number = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    let phase = match (pod, status) {
        (None, _) => "missing",
        (Some(pod), _) if pod.deleted_at.is_some() => "terminating",
        (Some(_), Some(status)) => status.phase.as_str(),
        (Some(pod), None) if !pod.is_reachable() => "pending",
        (Some(_), None) => "unreachable",
    };
    ReplicaStatus {
        name: Names { cr: seen.name }.replica(index),
        node: pod.and_then(|pod| pod.node.clone()).unwrap_or_default(),
        phase: phase.chars().take(32).collect(),
        ready: pod.is_some_and(serves),
        peer_connected: status.is_some_and(|status| status.linked.is_some()),
        lag_milliseconds: status
            .map(|status| status.lag_us / 1000)
            .map(|ms| if ms < LAG_MIN_MS { 0 } else { number(ms) }),
        items: status.map(|status| number(status.items)),
        bytes: status.map(|status| number(status.bytes)),
        last_resync: status.and_then(|status| status.resync.as_ref()).map(|resync| LastResync {
            kind: resync.kind.chars().take(16).collect(),
            items: number(resync.items_done),
            duration_milliseconds: (!resync.running).then(|| number(resync.duration_ms)),
        }),
    }
}

fn condition(seen: &Seen<'_>, type_: ConditionType, status: bool, reason: &str, message: String) -> Condition {
    let status = if status { ConditionStatus::True } else { ConditionStatus::False };
    let before = seen.before.and_then(|before| before.conditions.iter().find(|c| c.type_ == type_));
    let since = before.filter(|before| before.status == status).map(|before| before.last_transition_time.clone());
    let mut message = message;
    let mut end = message.len().min(MESSAGE_MAX);
    while !message.is_char_boundary(end) {
        end -= 1;
    }
    message.truncate(end);
    Condition {
        type_,
        status,
        reason: reason.to_owned(),
        message,
        last_transition_time: since.unwrap_or(Time(seen.now)),
        observed_generation: seen.generation,
    }
}

/// Why containers do not run, where they say it.
fn waiting(seen: &Seen<'_>) -> Option<String> {
    let of = |pod: &PodView| pod.waiting.as_ref().map(|why| format!("{}: {why}", pod.name));
    seen.pods.iter().flatten().find_map(|pod| of(pod))
}

fn available(seen: &Seen<'_>, ready: usize) -> Condition {
    let type_ = ConditionType::Available;
    match ready {
        2 => condition(seen, type_, true, "ReplicasReady", "Both replicas serve clients".to_owned()),
        1 => condition(seen, type_, true, "OneReplicaReady", "One of two replicas serves clients".to_owned()),
        _ => {
            let why = waiting(seen).unwrap_or_else(|| "No replica serves clients".to_owned());
            condition(seen, type_, false, "NoReplicaReady", why)
        }
    }
}

fn synced(seen: &Seen<'_>) -> Condition {
    let name = |index: usize| Names { cr: seen.name }.replica(index);
    let (synced, reason, message) = if let Some((pod, why)) =
        seen.pods.iter().flatten().find_map(|pod| pod.unschedulable.as_ref().map(|why| (&pod.name, why)))
    {
        (false, "PeerUnschedulable", format!("No node can take {pod}: {why}"))
    } else {
        match synced::check(seen.statuses) {
            Ok(()) => (true, "InSync", "Each replica holds what the other one holds".to_owned()),
            Err(NotSynced::NoAnswer(index)) => {
                (false, "ReplicaMissing", format!("{} does not answer the operator", name(index)))
            }
            Err(NotSynced::Filling(index)) => {
                (false, "Filling", format!("{} is being filled, or waits for it", name(index)))
            }
            Err(NotSynced::NoLink(index)) => {
                (false, "NoLink", format!("{} has no link with the other replica", name(index)))
            }
            Err(NotSynced::Resyncing(index)) => {
                (false, "Resyncing", format!("{} is bringing the other replica what it lacks", name(index)))
            }
        }
    };
    condition(seen, ConditionType::Synced, synced, reason, message)
}

fn progressing(seen: &Seen<'_>, ready: usize) -> Condition {
    let name = |index: usize| Names { cr: seen.name }.replica(index);
    let (progressing, reason, message) = match (seen.step, seen.held) {
        _ if seen.paused => (false, "Paused", "spec.paused is true: nothing is changed".to_owned()),
        (_, Some(update::Reason::OnDemand)) => (
            false,
            "UpdatePending",
            "The update policy is OnDemand: give the annotation replicated-memcached.io/update a new value to roll".to_owned(),
        ),
        (_, Some(update::Reason::OperatorChanged)) => (
            false,
            "UpdatePending",
            "The operator was upgraded and wants other pods: give the annotation replicated-memcached.io/update a new value to roll, or change the resource".to_owned(),
        ),
        (Some(Step::Evict(index) | Step::Delete(index) | Step::Discard(index)), _) => {
            (true, "RollingUpdate", format!("{} is being replaced", name(*index)))
        }
        (Some(Step::Wait(Wait::NotSynced)), _) => {
            (true, "WaitingForSync", "The next pod is replaced when both replicas hold the same".to_owned())
        }
        (Some(Step::Wait(Wait::Pod(index))), _) => {
            (true, "WaitingForReplica", format!("The next pod is replaced when {} serves clients", name(*index)))
        }
        (Some(Step::Done), _) if ready == 2 => (false, "Done", "The pods are as they should be".to_owned()),
        (Some(Step::Done), _) if ready == 1 && seen.pods.iter().flatten().any(|pod| pod.unschedulable.is_some()) => {
            (false, "PeerUnschedulable", "One pod waits for a node that can take it".to_owned())
        }
        (Some(Step::Done) | None, _) => (true, "Starting", "Pods are starting".to_owned()),
    };
    condition(seen, ConditionType::Progressing, progressing, reason, message)
}

fn degraded(seen: &Seen<'_>) -> Condition {
    let type_ = ConditionType::Degraded;
    if let Some(problem) = seen.problem {
        return condition(seen, type_, true, problem.reason, problem.message.clone());
    }
    match waiting(seen) {
        Some(why) => condition(seen, type_, true, "ContainerWaiting", why),
        None => condition(seen, type_, false, "AsExpected", String::new()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(index: usize) -> PodView {
        PodView {
            name: format!("web-{index}"),
            ready: true,
            sidecar_ran: true,
            addresses: vec!["10.0.0.1".parse().unwrap()],
            ..PodView::default()
        }
    }

    fn seen<'a>(
        pods: [Option<&'a PodView>; 2],
        statuses: [Option<&'a Status>; 2],
        step: &'a Step,
        images: &'a Images,
    ) -> Seen<'a> {
        Seen {
            name: "web",
            namespace: "shop",
            generation: Some(3),
            before: None,
            pods,
            statuses,
            problem: None,
            held: None,
            step: Some(step),
            paused: false,
            images,
            resync_requested: None,
            now: Timestamp::from_second(1000).unwrap(),
        }
    }

    fn said(status: &ReplicatedMemcachedStatus) -> Vec<(ConditionStatus, &str)> {
        status.conditions.iter().map(|c| (c.status, c.reason.as_str())).collect()
    }

    use ConditionStatus::{False, True};

    #[test]
    fn a_pair_in_sync() {
        let (pods, statuses, images) = ([pod(0), pod(1)], synced::tests::pair(), Images::default());
        let seen =
            seen([Some(&pods[0]), Some(&pods[1])], [Some(&statuses[0]), Some(&statuses[1])], &Step::Done, &images);
        let status = status(&seen);
        assert_eq!(said(&status), [(True, "ReplicasReady"), (True, "InSync"), (False, "Done"), (False, "AsExpected")]);
        assert_eq!((status.ready.as_str(), status.lag.as_deref()), ("2/2", Some("<100ms")));
        assert_eq!(status.endpoints.replicas, ["web-0.shop.svc:11211", "web-1.shop.svc:11211"]);

        // Numbers alone are no change of state, and a condition that holds on keeps its time.
        let mut more = statuses.clone();
        (more[0].items, more[1].lag_us) = (7, 500_000);
        let later = Seen {
            statuses: [Some(&more[0]), Some(&more[1])],
            before: Some(&status),
            now: Timestamp::from_second(2000).unwrap(),
            ..seen
        };
        let then = super::status(&later);
        assert!(then != status && !differ_in_state(&then, &status));
        assert_eq!((then.lag.as_deref(), then.items), (Some("500ms"), Some(7)));
    }

    #[test]
    fn a_pair_with_one_node() {
        let (mut other, images) = (PodView { name: "web-1".to_owned(), ..PodView::default() }, Images::default());
        other.unschedulable = Some("0/1 nodes are available".to_owned());
        let (one, statuses) = (pod(0), synced::tests::pair());
        let status = status(&seen([Some(&one), Some(&other)], [Some(&statuses[0]), None], &Step::Done, &images));
        let unschedulable = (False, "PeerUnschedulable");
        assert_eq!(said(&status)[..3], [(True, "OneReplicaReady"), unschedulable, unschedulable]);
        assert_eq!(status.replicas[1].phase, "pending");
    }

    #[test]
    fn what_somebody_has_to_mend() {
        let images = Images::default();
        let bad = PodView {
            waiting: Some("sidecar: ImagePullBackOff: é".repeat(200)),
            name: "web-0".to_owned(),
            ..PodView::default()
        };
        let status = status(&seen([Some(&bad), None], [None, None], &Step::Done, &images));
        assert_eq!(said(&status)[3], (True, "ContainerWaiting"));
        assert!(status.conditions.iter().all(|c| c.message.len() <= MESSAGE_MAX));
        let problem = Problem { reason: "NameConflict", message: "Service web is not ours".to_owned() };
        let seen = Seen {
            problem: Some(&problem),
            held: Some(update::Reason::OnDemand),
            ..seen([None, None], [None, None], &Step::Done, &images)
        };
        assert_eq!(said(&super::status(&seen))[2..], [(False, "UpdatePending"), (True, "NameConflict")]);
    }
}
