//! PURE: which process may still run as a replica though its pod is gone.
//!
//! A pod that is deleted without waiting for its node leaves the API at once and its node later, or never. Its place is taken
//! by a new one, and of the two only the new one may serve. The sidecars settle that among themselves
//! (`sidecar::peer::choose`); where the old one can be reached, the operator tells it, too.

use std::net::IpAddr;

use sidecar::control::protocol::{Id, Status};

use crate::pods::PodView;

/// A process that ran as a replica.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ran {
    /// The UID of its pod.
    pub uid: String,
    /// Itself.
    pub boot: Id,
    /// Where it was reached.
    pub addresses: Vec<IpAddr>,
}

/// What ran as each replica, as far as it was seen.
#[derive(Clone, Debug, Default)]
pub struct Roster([Option<Ran>; 2]);

impl Roster {
    /// Takes in what is seen now, and returns who has to be fenced: another pod has its place, and nothing said that it has
    /// ended. That a pod is not seen says nothing.
    pub fn see(&mut self, pods: [Option<&PodView>; 2], statuses: [Option<&Status>; 2]) -> Vec<Ran> {
        let mut fenced = Vec::new();
        for ((known, pod), status) in self.0.iter_mut().zip(pods).zip(statuses) {
            let same = |pod: &PodView| known.as_ref().is_some_and(|known| known.uid == pod.uid);
            if pod.is_some_and(|pod| pod.ended && same(pod)) {
                *known = None;
            } else if pod.is_some_and(|pod| !same(pod)) {
                fenced.extend(known.take());
            }
            if let (Some(pod), Some(status)) = (pod.filter(|pod| !pod.ended), status) {
                *known = Some(Ran { uid: pod.uid.clone(), boot: status.boot, addresses: pod.addresses.clone() });
            }
        }
        fenced
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(uid: &str) -> PodView {
        PodView { uid: uid.to_owned(), addresses: vec!["10.0.0.1".parse().unwrap()], ..PodView::default() }
    }

    fn status(boot: u64) -> Status {
        Status { boot: Id(boot), ..Status::default() }
    }

    fn boots(ran: &[Ran]) -> Vec<u64> {
        ran.iter().map(|ran| ran.boot.0).collect()
    }

    #[test]
    fn a_pod_that_vanishes_without_having_ended_is_fenced_once() {
        let (old, new, other) = (pod("old"), pod("new"), pod("other"));
        let (first, second) = (status(1), status(2));
        let mut roster = Roster::default();
        assert_eq!(boots(&roster.see([Some(&old), Some(&other)], [Some(&first), Some(&second)])), [0; 0]);
        // Its sidecar was restarted, then its node stopped answering.
        assert_eq!(boots(&roster.see([Some(&old), Some(&other)], [Some(&status(3)), Some(&second)])), [0; 0]);
        assert_eq!(boots(&roster.see([Some(&old), Some(&other)], [None, Some(&second)])), [0; 0]);
        // Whether the new pod is seen at once or after a while.
        let mut later = roster.clone();
        let fenced = roster.see([Some(&new), Some(&other)], [None, Some(&second)]);
        assert_eq!((boots(&fenced), fenced[0].uid.as_str(), &fenced[0].addresses), (vec![3], "old", &old.addresses));
        assert_eq!(boots(&roster.see([Some(&new), Some(&other)], [Some(&status(4)), None])), [0; 0]);
        assert_eq!(boots(&later.see([None, None], [None, None])), [0; 0]);
        assert_eq!(boots(&later.see([Some(&new), Some(&other)], [Some(&status(4)), Some(&second)])), [3]);
    }

    #[test]
    fn what_has_ended_is_left_alone() {
        let (old, new) = (pod("old"), pod("new"));
        let mut roster = Roster::default();
        roster.see([Some(&old), None], [Some(&status(1)), None]);
        roster.see([Some(&PodView { ended: true, ..old }), None], [None, None]);
        assert_eq!(roster.see([Some(&new), None], [None, None]), []);
    }
}
