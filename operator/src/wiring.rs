//! PURE: who is told who his peer is.

use sidecar::control::protocol::{Peer, PeerPod, Status};

use crate::names::REPLICATION_PORT;
use crate::pods::PodView;

/// What each of the two sidecars is to be told now; `None`: nothing new.
///
/// A peer that is away for a moment is nothing new either: the sidecar waits for it, as it does without an operator. Only
/// one that no node can take is not to be waited for.
#[must_use]
pub fn decide(pods: [Option<&PodView>; 2], statuses: [Option<&Status>; 2]) -> [Option<Peer>; 2] {
    [0, 1].map(|index: usize| {
        let status = statuses.get(index).copied().flatten()?;
        let other = pods.get(1 - index).copied().flatten()?;
        let peer = if other.unschedulable.is_some() {
            Peer { pod: None }
        } else if other.deleted_at.is_none() && other.is_reachable() {
            let (uid, addresses) = (other.uid.clone(), other.addresses.clone());
            Peer { pod: Some(PeerPod { uid, addresses, port: REPLICATION_PORT }) }
        } else {
            return None;
        };
        (status.told.as_ref() != Some(&peer)).then_some(peer)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(index: u8) -> PodView {
        PodView {
            uid: format!("uid-{index}"),
            addresses: vec![format!("10.0.0.{index}").parse().unwrap()],
            sidecar_ran: true,
            ..PodView::default()
        }
    }

    fn uid(peer: Option<&Peer>) -> Option<&str> {
        peer?.pod.as_ref().map(|pod| pod.uid.as_str())
    }

    #[test]
    fn both_are_told_of_each_other_once() {
        let (a, b) = (pod(0), pod(1));
        let mut statuses = [Status::default(), Status::default()];
        let told = decide([Some(&a), Some(&b)], [Some(&statuses[0]), Some(&statuses[1])]);
        assert_eq!((uid(told[0].as_ref()), uid(told[1].as_ref())), (Some("uid-1"), Some("uid-0")));
        for (status, peer) in statuses.iter_mut().zip(told) {
            status.told = peer;
        }
        assert_eq!(decide([Some(&a), Some(&b)], [Some(&statuses[0]), Some(&statuses[1])]), [None, None]);
        // A new pod, or a new address, is news.
        let mut new = pod(1);
        new.uid = "uid-2".to_owned();
        let told = decide([Some(&a), Some(&new)], [Some(&statuses[0]), None]);
        assert_eq!((uid(told[0].as_ref()), &told[1]), (Some("uid-2"), &None));
    }

    #[test]
    fn nobody_waits_for_a_peer_that_no_node_can_take() {
        let (a, mut b) = (pod(0), PodView::default());
        let mut status = Status::default();
        assert_eq!(decide([Some(&a), Some(&b)], [Some(&status), None]), [None, None]);
        b.unschedulable = Some("no node".to_owned());
        let told = decide([Some(&a), Some(&b)], [Some(&status), None]);
        assert_eq!(told, [Some(Peer { pod: None }), None]);
        status.told = Some(Peer { pod: None });
        assert_eq!(decide([Some(&a), Some(&b)], [Some(&status), None]), [None, None]);
        // A node was added.
        let told = decide([Some(&a), Some(&pod(1))], [Some(&status), None]);
        assert_eq!(uid(told[0].as_ref()), Some("uid-1"));
    }

    #[test]
    fn a_peer_that_goes_is_nothing_new() {
        let (a, mut b) = (pod(0), pod(1));
        b.deleted_at = Some(jiff::Timestamp::UNIX_EPOCH);
        let status = Status::default();
        assert_eq!(decide([Some(&a), Some(&b)], [Some(&status), Some(&status)])[0], None);
        assert_eq!(decide([Some(&a), None], [Some(&status), None]), [None, None]);
    }
}
